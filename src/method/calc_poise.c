/* POISE (arXiv 2605.07579): part_poise.h. */
#include <string.h>
#include "method/calc.h"
#include "method/part_poise.h"
#include "method/part_rows.h"

static int read_options(struct calc_case *c, struct poise_options *o, struct error *err)
{
  const json_t *alpha = json_object_get(c->args, "alpha");
  int64_t prompt, response;
  TRY(calc_int(c, "pca_prompt", 0, &prompt, err));
  TRY(calc_int(c, "pca_response", 0, &response, err));
  TRY(calc_int(c, "bootstrap_steps", 16, &o->bootstrap, err));
  TRY(calc_int(c, "warmup_steps", 8, &o->warmup, err));
  TRY(calc_int(c, "n_steps", 1, &o->steps, err));
  TRY(calc_real(c, "clip_min", 0, &o->probe.low, err));
  TRY(calc_real(c, "clip_max", 1, &o->probe.high, err));
  o->probe.components[0] = (int32_t)prompt;
  o->probe.components[1] = (int32_t)response;
  o->probe.model = strcmp(calc_text(c, "model", "ridge"), "logistic") ? PROBE_RIDGE : PROBE_LOGISTIC;
  o->window = strcmp(calc_text(c, "window", "rows"), "steps") ? POISE_ROWS : POISE_STEPS;
  o->with_own = strcmp(calc_text(c, "target", "other"), "other") != 0;
  o->probe.alphas = 1;
  if (!json_is_array(alpha)) return calc_real(c, "alpha", 0.01, &o->probe.alpha[0], err);
  o->probe.alphas = (int32_t)json_array_size(alpha);
  if (o->probe.alphas < 1 || o->probe.alphas > 2)
    FAIL_AT(err, ERROR_INPUT, c->file, 0, "alpha", "found %d values; expected one, or two whose ridges are averaged",
            o->probe.alphas);
  for (int32_t i = 0; i < o->probe.alphas; i++) o->probe.alpha[i] = json_number_value(json_array_get(alpha, (size_t)i));
  return 0;
}

static double *numbers(struct calc_case *c, size_t n, struct error *err)
{
  return ARENA_NEW(c->arena, double, n + 1, "calc", err);
}

/* A list of lists as one block. */
static int flat(struct calc_case *c, const json_t *v, int32_t *rows, int32_t *width, double **out, struct error *err)
{
  struct calc_matrix m;
  TRY(calc_matrix(c, v, &m, err));
  *rows = (int32_t)m.row_count;
  *width = (int32_t)m.rows[0].count;
  if (!(*out = numbers(c, m.row_count * m.rows[0].count, err))) return err->code;
  for (size_t i = 0; i < m.row_count; i++) {
    if (m.rows[i].count != (size_t)*width)
      FAIL_AT(err, ERROR_INPUT, c->file, 0, "", "case \"%s\": found rows of %d and %zu numbers; expected one width",
              c->name, *width, m.rows[i].count);
    memcpy(*out + i * (size_t)*width, m.rows[i].at, (size_t)*width * sizeof(double));
  }
  return 0;
}

/* ---- one policy step --------------------------------------------------------------------------------------------- */

struct step_case {
  struct calc_rows rows;
  struct poise_options o;
  struct poise_pools pools;
  int32_t dim, inputs;
  double *z, *g, *raw, *baseline, *target, *advantage; /* [rows] */
};

static int32_t int_at(const json_t *list, int32_t i)
{
  return (int32_t)json_integer_value(json_array_get(list, (size_t)i));
}

/* The prompt's states that its mask keeps. */
static int read_prompt(struct calc_case *c, int32_t row, struct poise_response *r, struct error *err)
{
  struct calc_matrix mask;
  int32_t rows, width;
  double *all;
  TRY(flat(c, json_array_get(calc_need(c, "prompt_hidden", err), (size_t)row), &rows, &width, &all, err));
  TRY(calc_matrix(c, json_array_get(calc_need(c, "prompt_mask", err), (size_t)row), &mask, err));
  for (int32_t t = 0; t < rows && t < (int32_t)mask.rows[0].count; t++)
    if (mask.rows[0].at[t] > 0) {
      memmove(all + (int64_t)r->prompt_count * width, all + (int64_t)t * width, (size_t)width * sizeof *all);
      r->prompt_count++;
    }
  r->prompt = (struct vector_rows){.f64 = all, .width = width};
  return 0;
}

static int features(struct calc_case *c, struct step_case *x, struct error *err)
{
  const struct calc_rows *b = &x->rows;
  double *hidden, *entropy;
  TRY(calc_rows_vectors(c, b, "hidden", &hidden, &x->dim, err));
  TRY(calc_rows_tokens(c, b, "entropy", &entropy, err));
  x->inputs = 2 * x->dim + 3;
  double *work = numbers(c, (size_t)x->dim, err);
  x->z = numbers(c, (size_t)b->rows * (size_t)x->inputs, err);
  if (!work || !x->z) return err->code;
  for (int32_t i = 0; i < b->rows; i++) {
    int32_t first = b->first[i], close = int_at(json_object_get(c->inputs, "think_end"), i);
    struct poise_response r = {.state = {.f64 = hidden + (int64_t)first * x->dim, .width = x->dim},
                               .count = b->first[i + 1] - first,
                               .entropy = entropy + first,
                               .at = b->at + first,
                               .think_start = int_at(json_object_get(c->inputs, "think_start"), i),
                               .close_first = close,
                               .close_last = close};
    TRY(read_prompt(c, i, &r, err));
    poise_features(&r, &x->pools, x->z + (int64_t)i * x->inputs, work);
  }
  return 0;
}

static json_t *matrix(const double *x, int32_t rows, int32_t width)
{
  return calc_grid_json(x, (size_t)rows, (size_t)width);
}

static json_t *probe_json(const struct probe *p)
{
  static const char *const NAMES[] = {"pca_prompt", "pca_response"};
  size_t f = (size_t)p->features;
  json_t *out = json_pack("{s:o, s:o, s:o, s:o}", "mean", calc_list(p->mean, f), "std", calc_list(p->std, f), "w",
                          calc_list(p->w, f), "intercept", calc_number(p->intercept));
  for (int i = 0; i < 2; i++)
    if (p->rank[i])
      json_object_set_new(out, NAMES[i],
                          json_pack("{s:o, s:o, s:o}", "mean", calc_list(p->centre[i], (size_t)p->dim), "components",
                                    matrix(p->components[i], p->rank[i], p->dim), "variance",
                                    calc_list(p->variance[i], (size_t)p->rank[i])));
  return out;
}

/* A probe fitted on the named history, and the other rollouts' guesses. */
static int guess(struct calc_case *c, struct step_case *x, struct error *err)
{
  const json_t *rows = json_object_get(json_object_get(c->sets, "buffers"), calc_text(c, "buffer", ""));
  struct probe p;
  struct calc_matrix target;
  int32_t n, width;
  double *z, *work = numbers(c, (size_t)x->inputs, err);
  if (!work) return err->code;
  if (!rows) FAIL_AT(err, ERROR_INPUT, c->file, 0, "buffer", "found no such history among buffers");
  TRY(flat(c, json_object_get(rows, "z"), &n, &width, &z, err));
  TRY(calc_matrix(c, json_object_get(rows, "target"), &target, err));
  if (width != x->inputs || target.rows[0].count != (size_t)n)
    FAIL_AT(err, ERROR_INPUT, c->file, 0, "buffer", "found %d rows of %d; expected rows of %d and a target each", n,
            width, x->inputs);
  TRY(probe_open(c->arena, x->dim, x->inputs, &x->o.probe, &p, err));
  TRY(probe_fit(&p, &x->o.probe, z, target.rows[0].at, n, c->arena, err));
  for (int32_t i = 0; i < x->rows.rows; i++)
    x->g[i] = probe_at(&p, &x->o.probe, x->z + (int64_t)i * x->inputs, &x->raw[i], work);
  poise_others(x->g, x->rows.group, x->rows.rows, x->baseline);
  json_object_set_new(c->outputs, "probe", probe_json(&p));
  json_object_set_new(c->outputs, "raw", calc_list(x->raw, (size_t)x->rows.rows));
  json_object_set_new(c->outputs, "g", calc_list(x->g, (size_t)x->rows.rows));
  return 0;
}

static int baselines(struct calc_case *c, struct step_case *x, struct error *err)
{
  const char *word = calc_text(c, "baseline", "probe");
  double value;
  TRY(calc_real(c, "value", 0.5, &value, err));
  if (!strcmp(word, "probe")) return guess(c, x, err);
  for (int32_t i = 0; i < x->rows.rows; i++) x->baseline[i] = value;
  if (!strcmp(word, "rloo")) poise_others(x->rows.reward, x->rows.group, x->rows.rows, x->baseline);
  return 0;
}

static int put_loss(struct calc_case *c, struct step_case *x, struct error *err)
{
  struct calc_rows *b = &x->rows;
  double *advantage = numbers(c, 2 * (size_t)b->count + 1, err), loss;
  if (!advantage) return err->code;
  double *coef = advantage + b->count + 1;
  calc_rows_spread(b, x->advantage, advantage);
  struct calc_loss l = {.advantage = advantage, .aggregation = calc_text(c, "agg", "seq-mean-token-mean")};
  TRY(calc_real(c, "eps_low", 0.2, &l.bounds.low, err));
  TRY(calc_real(c, "eps_high", 0.28, &l.bounds.high, err));
  TRY(calc_real(c, "dual", __builtin_inf(), &l.bounds.dual, err));
  TRY(calc_rows_loss(c, b, &l, &loss, coef, err));
  calc_put(c->outputs, "loss", loss);
  json_object_set_new(c->grads, "log_prob", calc_rows_matrix(b, coef));
  return 0;
}

static int step(struct calc_case *c, struct error *err)
{
  struct step_case x = {0};
  int64_t prompt, response;
  TRY(calc_int(c, "m_p", 10, &prompt, err));
  TRY(calc_int(c, "m_r", 10, &response, err));
  x.pools = (struct poise_pools){(int32_t)prompt, (int32_t)response, calc_flag(c, "pool_marker", true),
                                 !strcmp(calc_text(c, "no_marker", "release"), "whole")};
  TRY(read_options(c, &x.o, err));
  TRY(calc_rows_open(c, &x.rows, err));
  TRY(features(c, &x, err));
  size_t n = (size_t)x.rows.rows;
  double **lists[] = {&x.g, &x.raw, &x.baseline, &x.target, &x.advantage};
  for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
    if (!(*lists[i] = numbers(c, n, err))) return err->code;
  TRY(baselines(c, &x, err));
  poise_targets(x.rows.reward, x.rows.group, x.rows.rows, x.o.with_own, x.target);
  for (size_t i = 0; i < n; i++) x.advantage[i] = x.rows.reward[i] - x.baseline[i];
  json_object_set_new(c->outputs, "features", matrix(x.z, x.rows.rows, x.inputs));
  json_object_set_new(c->outputs, "baseline", calc_list(x.baseline, n));
  json_object_set_new(c->outputs, "target", calc_list(x.target, n));
  json_object_set_new(c->outputs, "advantages", calc_list(x.advantage, n));
  return put_loss(c, &x, err);
}

/* ---- a run: phases, buffers, fits -------------------------------------------------------------------------------- */

struct run_case {
  struct poise_options o;
  struct poise state;
  const char **names; /* of all rows, by tag */
  int64_t rows;
};

static const char *text_of(const json_t *row, const char *key)
{
  const char *s = json_string_value(json_object_get(row, key));
  return s ? s : "";
}

/* Every domain is there from the first step on, with a given probe or none. */
static int open_domains(struct calc_case *c, struct run_case *x, const json_t *steps, struct error *err)
{
  const json_t *initial = json_object_get(c->args, "initial"), *most = json_object_get(c->args, "max_rows"), *s, *row;
  size_t i, k;
  int32_t at;
  json_array_foreach(steps, i, s) json_array_foreach(s, k, row)
  {
    const char *name = text_of(row, "domain");
    const json_t *limit = json_object_get(most, name);
    x->rows++;
    TRY(poise_domain(&x->state, &x->o, name, limit ? json_integer_value(limit) : INT32_MAX, &at, err));
  }
  for (int32_t d = 0; initial && d < x->state.domain_count; d++) {
    struct probe *p = &x->state.domains[d].probe;
    const struct {
      const char *key;
      double *to;
    } lists[] = {{"mean", p->mean}, {"std", p->std}, {"w", p->w}};
    p->features = p->inputs;
    p->intercept = json_number_value(json_object_get(initial, "intercept"));
    for (size_t l = 0; l < sizeof lists / sizeof *lists; l++)
      for (size_t f = 0; f < (size_t)p->inputs; f++)
        lists[l].to[f] = json_number_value(json_array_get(json_object_get(initial, lists[l].key), f));
    x->state.domains[d].ready = true;
  }
  return 0;
}

static int open_batch(struct calc_case *c, struct run_case *x, const json_t *rows, struct poise_batch *b, double **z,
                      double **reward, struct error *err)
{
  size_t n = json_array_size(rows), f = (size_t)x->state.inputs, i, k;
  int32_t *group = ARENA_NEW(c->arena, int32_t, 2 * n + 1, "calc", err), *domain = group + n;
  int64_t *tag = ARENA_NEW(c->arena, int64_t, n + 1, "calc", err);
  const json_t *row, *v;
  b->ready = ARENA_NEW(c->arena, bool, n + 1, "calc", err);
  double **lists[] = {reward, &b->g, &b->baseline, &b->target};
  for (i = 0; i < sizeof lists / sizeof *lists; i++)
    if (!(*lists[i] = numbers(c, n, err))) return err->code;
  if (!group || !tag || !b->ready || !(*z = numbers(c, n * f, err))) return err->code;
  json_array_foreach(rows, i, row)
  {
    const char *id = text_of(row, "group");
    group[i] = i && !strcmp(id, text_of(json_array_get(rows, i - 1), "group")) ? group[i - 1] : (int32_t)i;
    tag[i] = x->rows;
    x->names[x->rows++] = text_of(row, "id");
    (*reward)[i] = json_number_value(json_object_get(row, "reward"));
    json_array_foreach(json_object_get(row, "z"), k, v) if (k < f)(*z)[i * f + k] = json_number_value(v);
    TRY(poise_domain(&x->state, &x->o, text_of(row, "domain"), 0, &domain[i], err));
  }
  b->n = (int32_t)n;
  b->z = *z;
  b->reward = *reward;
  b->group = group;
  b->domain = domain;
  b->tag = tag;
  return 0;
}

static json_t *state_json(const struct run_case *x)
{
  json_t *out = json_object();
  for (int32_t k = 0; k < x->state.domain_count; k++) {
    const struct poise_domain *d = &x->state.domains[k];
    json_t *of = d->ready ? probe_json(&d->probe) : json_object(), *ids = json_array();
    for (int32_t i = 0; i < d->count; i++) json_array_append_new(ids, json_string(x->names[d->key[i].tag]));
    json_object_set_new(of, "buffer", ids);
    json_object_set_new(of, "observed", json_integer(d->observed));
    json_object_set_new(of, "fits", json_integer(d->fits));
    json_object_set_new(out, d->name, of);
  }
  return out;
}

static int run_step(struct calc_case *c, struct run_case *x, const json_t *rows, json_t *out, struct error *err)
{
  struct poise_batch b = {0};
  double *z, *reward;
  TRY(open_batch(c, x, rows, &b, &z, &reward, err));
  TRY(poise_step(&x->state, &x->o, &b, c->arena, err));
  json_t *ready = json_array();
  size_t n = (size_t)b.n;
  for (size_t i = 0; i < n; i++) {
    json_array_append_new(ready, json_integer(b.ready[i]));
    reward[i] -= b.baseline[i];
  }
  json_array_append_new(out, json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "ready", ready, "g", calc_list(b.g, n),
                                       "baseline", calc_list(b.baseline, n), "target", calc_list(b.target, n),
                                       "advantages", calc_list(reward, n), "state", state_json(x)));
  return 0;
}

static int run(struct calc_case *c, struct error *err)
{
  struct run_case *x = ARENA_NEW(c->arena, struct run_case, 1, "calc", err);
  const json_t *steps = calc_need(c, "steps", err), *s;
  if (!x || !steps) return err->code;
  size_t width = json_array_size(json_object_get(json_array_get(json_array_get(steps, 0), 0), "z")), i;
  TRY(read_options(c, &x->o, err));
  x->state = (struct poise){.arena = c->arena, .inputs = (int32_t)width};
  TRY(open_domains(c, x, steps, err));
  if (!(x->names = ARENA_NEW(c->arena, const char *, (size_t)x->rows + 1, "calc", err))) return err->code;
  x->rows = 0;
  json_t *out = json_array();
  json_object_set_new(c->outputs, "steps", out);
  json_array_foreach(steps, i, s) TRY(run_step(c, x, s, out, err));
  return 0;
}

static int compute(struct calc_case *c, struct error *err)
{
  return strcmp(calc_text(c, "part", "step"), "run") ? step(c, err) : run(c, err);
}

const struct calc calc_poise = {
    .function = "poise",
    .help = "a baseline guessed from the policy's states on the other rollouts: features, probe, buffers",
    .compute = compute,
};
