/* BroRL (arXiv 2510.01180): part_broad.h, part_mass.h. */
#include <string.h>

#include "core/math.h"
#include "method/calc.h"
#include "method/part_broad.h"
#include "method/part_correction.h"
#include "method/part_group.h"
#include "method/part_kl.h"
#include "method/part_mass.h"
#include "method/part_rows.h"

static int word_of(const struct calc_case *c, const char *key, const char *const *words, int count, int *out,
                   struct error *err)
{
  const char *word = calc_text(c, key, words[0]);
  for (*out = 0; *out < count; (*out)++)
    if (!strcmp(word, words[*out])) return 0;
  FAIL_AT(err, ERROR_INPUT, c->file, 0, key, "found \"%s\"; expected %s, %s or another of `assay methods brorl`", word,
          words[0], words[1]);
}

/* ---- a training step --------------------------------------------------------------------------------------------- */

struct broad_case {
  struct calc_rows rows;
  double *keep, *centred, *advantage; /* [rows] */
  double *counted, *weight;           /* [tokens] */
};

static int credit(struct calc_case *c, struct broad_case *x, struct error *err)
{
  static const char *const FILTERS[] = {"count", "mean-range", "spread", "none"}, *const OVER[] = {"response", "token",
                                                                                                   "group"};
  static const char *const STDS[] = {"n", "n-1"}, *const GUARDS[] = {"floor", "inside", "add"};
  const struct calc_rows *b = &x->rows;
  int filter, over, std, guard;
  TRY(word_of(c, "filter", FILTERS, 4, &filter, err));
  TRY(word_of(c, "norm_over", OVER, 3, &over, err));
  TRY(word_of(c, "std", STDS, 2, &std, err));
  TRY(word_of(c, "guard", GUARDS, 3, &guard, err));
  double *room = ARENA_NEW(c->arena, double, 3 * (size_t)b->rows + 1, "calc", err);
  if (!room) return err->code;
  double *centred = room + b->rows, *weight = centred + b->rows;
  TRY(calc_rows_advantage(c, b, b->reward, true, 1e-6, x->advantage, err));
  for (int32_t g = 0; g < b->group_count; g++) {
    const int32_t *member = b->member + b->group_first[g];
    int32_t n = b->group_first[g + 1] - b->group_first[g];
    for (int32_t i = 0; i < n; i++) room[i] = b->reward[member[i]];
    if (!broad_keeps((enum broad_filter)filter, room, n)) continue;
    broad_centre(room, n, centred);
    for (int32_t i = 0; i < n; i++) {
      x->keep[member[i]] = 1;
      x->centred[member[i]] = centred[i];
    }
  }
  for (int32_t i = 0; i < b->rows; i++) weight[i] = x->keep[i] * (over == 1 ? b->first[i + 1] - b->first[i] : 1);
  struct broad_batch batch = {0, 1};
  if (over < 2) batch = broad_measure(x->centred, weight, b->rows, std == 1, (enum broad_guard)guard);
  for (int32_t i = 0; i < b->rows; i++) {
    if (over < 2) x->advantage[i] = (x->centred[i] - batch.mean) / batch.std;
    x->advantage[i] *= x->keep[i];
  }
  calc_put(c->outputs, "batch_mean", batch.mean);
  calc_put(c->outputs, "batch_std", batch.std);
  return 0;
}

static int sampler_weights(struct calc_case *c, struct broad_case *x, struct error *err)
{
  static const char *const TYPES[] = {"tis", "icepop", "none"};
  double *sampler;
  struct correction_weighting w = {.level = CORRECTION_TOKEN};
  int type;
  TRY(word_of(c, "is_type", TYPES, 3, &type, err));
  TRY(calc_real(c, "is_low", 0, &w.low, err));
  TRY(calc_real(c, "is_high", 5, &w.high, err));
  w.kind = type == 1 ? CORRECTION_DROP : CORRECTION_TRUNCATE;
  TRY(calc_rows_tokens(c, &x->rows, "rollout_log_prob", &sampler, err));
  for (int32_t i = 0; i < x->rows.count; i++) {
    double rho = math_exp(math_clamp(x->rows.old[i] - sampler[i], -CLIP_LOG_RATIO, CLIP_LOG_RATIO));
    x->counted[i] = x->keep[x->rows.row[i]];
    x->weight[i] = x->counted[i] * (type == 2 ? 1 : correction_weight(&w, rho));
  }
  json_object_set_new(c->outputs, "is_weight", calc_rows_matrix(&x->rows, x->weight));
  return 0;
}

static int put_loss(struct calc_case *c, struct broad_case *x, struct error *err)
{
  struct calc_rows *b = &x->rows;
  size_t n = (size_t)b->count + 1;
  double *advantage = ARENA_NEW(c->arena, double, 3 * n, "calc", err), *reference, weight, loss, kl = 0;
  if (!advantage) return err->code;
  double *coef = advantage + n, *scale = coef + n;
  calc_rows_spread(b, x->advantage, advantage);
  struct calc_loss l = {advantage, x->weight, x->counted, {.cap = 0}, calc_text(c, "agg", "token-mean")};
  TRY(calc_real(c, "eps_low", 0.2, &l.bounds.low, err));
  TRY(calc_real(c, "eps_high", 0.27, &l.bounds.high, err));
  TRY(calc_real(c, "dual", __builtin_inf(), &l.bounds.dual, err));
  TRY(calc_real(c, "kl_coef", 1e-4, &weight, err));
  TRY(calc_rows_loss(c, b, &l, &loss, coef, err));
  TRY(calc_rows_tokens(c, b, "ref_log_prob", &reference, err));
  TRY(calc_rows_scale(c, b, l.aggregation, x->counted, scale, err));
  for (int32_t i = 0; i < b->count; i++) {
    struct kl_value k = kl_estimate(KL_K2, b->logp[i], reference[i], KL_CLAMP_NONE);
    kl += scale[i] * x->counted[i] * k.value;
    coef[i] += weight * scale[i] * x->counted[i] * k.coef;
  }
  calc_put(c->outputs, "pg_loss", loss);
  calc_put(c->outputs, "kl_loss", kl);
  calc_put(c->outputs, "loss", loss + weight * kl);
  json_object_set_new(c->grads, "log_prob", calc_rows_matrix(b, coef));
  return 0;
}

static int train(struct calc_case *c, struct error *err)
{
  struct broad_case x = {0};
  TRY(calc_rows_open(c, &x.rows, err));
  size_t n = (size_t)x.rows.rows, tokens = (size_t)x.rows.count + 1;
  x.keep = ARENA_NEW(c->arena, double, 3 * n, "calc", err);
  x.counted = ARENA_NEW(c->arena, double, 2 * tokens, "calc", err);
  if (!x.keep || !x.counted) return err->code;
  x.centred = x.keep + n;
  x.advantage = x.centred + n;
  x.weight = x.counted + tokens;
  TRY(credit(c, &x, err));
  TRY(sampler_weights(c, &x, err));
  json_object_set_new(c->outputs, "keep", calc_list(x.keep, n));
  json_object_set_new(c->outputs, "centred", calc_list(x.centred, n));
  json_object_set_new(c->outputs, "advantages", calc_list(x.advantage, n));
  return put_loss(c, &x, err);
}

/* ---- theory ------------------------------------------------------------------------------------------------------ */

/* A list of ids as flags. */
static int flags_of(struct calc_case *c, const char *key, size_t n, bool **out, struct error *err)
{
  const json_t *ids = calc_need(c, key, err), *id;
  size_t i;
  if (!ids || !(*out = ARENA_NEW(c->arena, bool, n + 1, "calc", err))) return err->code;
  json_array_foreach(ids, i, id)
  {
    json_int_t v = json_is_integer(id) ? json_integer_value(id) : -1;
    if (v < 0 || v >= (json_int_t)n)
      FAIL_AT(err, ERROR_INPUT, c->file, 0, key, "found an id outside of 0 .. %zu; expected those of actions", n - 1);
    (*out)[v] = true;
  }
  return 0;
}

static int balance(struct calc_case *c, struct error *err)
{
  struct calc_matrix z;
  struct mass_rewards o;
  bool *right, *sampled;
  TRY(calc_real(c, "r_c", 1, &o.right, err));
  TRY(calc_real(c, "r_w", -1, &o.wrong, err));
  TRY(calc_real(c, "eta", 0.01, &o.rate, err));
  TRY(calc_real(c, "n", 1, &o.n, err));
  TRY(calc_matrix(c, calc_need(c, "logits", err), &z, err));
  size_t n = z.rows[0].count;
  TRY(flags_of(c, "correct", n, &right, err));
  TRY(flags_of(c, "sampled", n, &sampled, err));
  double *p = ARENA_NEW(c->arena, double, 2 * n + 1, "calc", err);
  if (!p) return err->code;
  struct mass m = mass_balance(z.rows[0].at, right, sampled, (int32_t)n, &o, p, p + n);
  json_object_set_new(c->outputs, "p", calc_list(p, n));
  json_object_set_new(c->outputs, "dz", calc_list(p + n, n));
  json_object_set_new(c->outputs, "terms", calc_list(m.terms, 3));
  calc_put(c->outputs, "s_r", m.s);
  calc_put(c->outputs, "q_pos", m.q);
  calc_put(c->outputs, "a2", m.a2);
  calc_put(c->outputs, "b2", m.b2);
  calc_put(c->outputs, "u_pos2", m.u_right2);
  calc_put(c->outputs, "u_neg2", m.u_wrong2);
  calc_put(c->outputs, "dq_predicted", m.predicted);
  calc_put(c->outputs, "dq_exact", m.exact);
  return 0;
}

static double pass_at(double q, double k)
{
  return 1 - math_pow(1 - q, k);
}

/* of(row value, column value) as rows. */
static int table(struct calc_case *c, const char *rows, const char *columns, double (*of)(double, double),
                 const char *name, struct error *err)
{
  struct calc_matrix r, k;
  TRY(calc_matrix(c, calc_need(c, rows, err), &r, err));
  TRY(calc_matrix(c, calc_need(c, columns, err), &k, err));
  json_t *out = json_array();
  for (size_t i = 0; i < r.rows[0].count; i++) {
    json_t *row = json_array();
    for (size_t j = 0; j < k.rows[0].count; j++)
      json_array_append_new(row, calc_number(of(r.rows[0].at[i], k.rows[0].at[j])));
    json_array_append_new(out, row);
  }
  json_object_set_new(c->outputs, name, out);
  return 0;
}

static int tables(struct calc_case *c, struct error *err)
{
  struct calc_grid batch;
  double rate;
  TRY(calc_real(c, "base_lr", 1e-6, &rate, err));
  TRY(table(c, "p", "n", mass_unsampled, "unsampled_second_moment", err));
  TRY(table(c, "p", "n", broad_survival, "survives_dynamic_sampling", err));
  TRY(table(c, "q_pos", "k", pass_at, "pass_at_k", err));
  TRY(calc_grid(c, "batch", &batch, err));
  json_t *lr = json_array();
  for (size_t i = 0; i < batch.rows; i++)
    json_array_append_new(lr, calc_number(rate * broad_rate(batch.at[i * batch.width + 1], batch.at[i * batch.width])));
  json_object_set_new(c->outputs, "lr", lr);
  return 0;
}

/* ---- refill ------------------------------------------------------------------------------------------------------ */

/* Wave by wave, as a run does it: as many new problems as are missing. */
static int refill(struct calc_case *c, struct error *err)
{
  struct calc_matrix counts;
  int64_t n, want, drawn = 0, kept = 0;
  double cap;
  TRY(calc_int(c, "n", 1, &n, err));
  TRY(calc_int(c, "want", 1, &want, err));
  TRY(calc_real(c, "cap", 3, &cap, err));
  TRY(calc_matrix(c, calc_need(c, "correct_counts", err), &counts, err));
  json_t *list = json_array();
  for (int64_t ask; (ask = broad_missing(want, kept, drawn, cap)) > 0 && drawn < (int64_t)counts.rows[0].count;) {
    for (; ask > 0 && drawn < (int64_t)counts.rows[0].count; ask--, drawn++) {
      double right = counts.rows[0].at[drawn];
      if (!(right > 0 && right < (double)n)) continue;
      json_array_append_new(list, json_integer(drawn));
      kept++;
    }
  }
  json_object_set_new(c->outputs, "kept", list);
  json_object_set_new(c->outputs, "drawn", json_integer(drawn));
  calc_put(c->outputs, "pass_rate", drawn ? (double)kept / (double)drawn : 0);
  json_object_set_new(c->outputs, "complete", json_boolean(kept == want));
  return 0;
}

/* ---- simulator --------------------------------------------------------------------------------------------------- */

static int read_adam(struct calc_case *c, struct mass_adam *o, struct error *err)
{
  const json_t *betas = json_object_get(c->args, "betas");
  TRY(calc_real(c, "lr", 1e-3, &o->rate, err));
  TRY(calc_real(c, "weight_decay", 0.01, &o->decay, err));
  TRY(calc_real(c, "eps", 1e-8, &o->eps, err));
  o->beta1 = betas ? json_number_value(json_array_get(betas, 0)) : 0.9;
  o->beta2 = betas ? json_number_value(json_array_get(betas, 1)) : 0.999;
  return 0;
}

static json_t *state_json(struct mass_state *s, const struct mass_draws *d, const double *before, const bool *right)
{
  size_t n = (size_t)s->n;
  json_t *out = json_object();
  calc_put(out, "baseline", d->baseline);
  calc_put(out, "surrogate", d->surrogate);
  json_object_set_new(out, "grad", calc_list(s->gradient, n));
  json_object_set_new(out, "m", calc_list(s->first, n));
  json_object_set_new(out, "v", calc_list(s->second, n));
  json_object_set_new(out, "z", calc_list(s->z, n));
  mass_softmax(s->z, s->n, s->p);
  struct mass_progress p = mass_compare(before, s->p, right, s->n);
  calc_put(out, "q_pos", p.q);
  calc_put(out, "share_improved", p.improved);
  calc_put(out, "worst_drop", p.drop);
  return out;
}

static int simulator(struct calc_case *c, struct error *err)
{
  struct calc_matrix z, draws;
  struct mass_adam o;
  bool *right;
  TRY(read_adam(c, &o, err));
  TRY(calc_matrix(c, calc_need(c, "logits", err), &z, err));
  TRY(calc_matrix(c, calc_need(c, "draws", err), &draws, err));
  size_t n = z.rows[0].count;
  TRY(flags_of(c, "correct", n, &right, err));
  double *room = ARENA_NEW(c->arena, double, 6 * n + 1, "calc", err);
  if (!room) return err->code;
  struct mass_state s = {(int32_t)n, 0, room, room + n, room + 2 * n, room + 3 * n, room + 4 * n};
  memcpy(s.z, z.rows[0].at, n * sizeof(double));
  mass_softmax(s.z, s.n, room + 5 * n);
  json_t *steps = json_array();
  json_object_set_new(c->outputs, "steps", steps);
  for (size_t k = 0; k < draws.row_count; k++) {
    int32_t count = (int32_t)draws.rows[k].count, *ids = ARENA_NEW(c->arena, int32_t, (size_t)count + 1, "calc", err);
    if (!ids) return err->code;
    for (int32_t i = 0; i < count; i++) {
      ids[i] = (int32_t)draws.rows[k].at[i];
      if (ids[i] < 0 || ids[i] >= s.n)
        FAIL_AT(err, ERROR_INPUT, c->file, 0, "draws", "found action %d of %d", ids[i], s.n);
    }
    if (!count) FAIL_AT(err, ERROR_INPUT, c->file, 0, "draws", "found a step without draws; expected one or more");
    struct mass_draws d = mass_step(&s, right, ids, count, &o);
    json_array_append_new(steps, state_json(&s, &d, room + 5 * n, right));
  }
  return 0;
}

static int compute(struct calc_case *c, struct error *err)
{
  static const struct {
    const char *part;
    int (*of)(struct calc_case *, struct error *);
  } PARTS[] = {{"mass-balance", balance}, {"tables", tables}, {"refill", refill}, {"simulator", simulator}};
  const char *part = calc_text(c, "part", "train");
  for (size_t i = 0; i < sizeof PARTS / sizeof *PARTS; i++)
    if (!strcmp(part, PARTS[i].part)) return PARTS[i].of(c, err);
  return train(c, err);
}

const struct calc calc_brorl = {
    .function = "brorl",
    .help = "whitening over many rollouts of few problems, and where one update moves probability",
    .compute = compute,
};
