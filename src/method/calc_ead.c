/* EAD (arXiv 2510.05251): part_anneal.h. */
#include <string.h>

#include "core/math.h"
#include "method/calc.h"
#include "method/part_anneal.h"
#include "method/part_rows.h"

static int read_schedule(const struct calc_case *c, struct anneal *out, struct error *err)
{
  static const char *const MODES[] = {"negexp", "exp", "step", "both", "steps_variant", "steps_variant_rev", "none"};
  enum { MODE_COUNT = sizeof MODES / sizeof *MODES };
  const char *word = calc_text(c, "mode", MODES[0]);
  int mode = 0;
  while (mode < MODE_COUNT && strcmp(word, MODES[mode])) mode++;
  if (mode == MODE_COUNT) FAIL_AT(err, ERROR_INPUT, c->file, 0, "mode", "found \"%s\"; expected " ANNEAL_WORDS, word);
  out->mode = (enum anneal_mode)mode;
  TRY(calc_real(c, "tau_max", 1.2, &out->hot, err));
  TRY(calc_real(c, "tau_min", 0.1, &out->cold, err));
  TRY(calc_real(c, "d0", 500, &out->d0, err));
  TRY(calc_real(c, "d_inc", 100, &out->growth, err));
  TRY(calc_real(c, "d_cap", 800000, &out->most, err));
  TRY(calc_real(c, "d0_steps", 25, &out->steps, err));
  return calc_real(c, "c", 10, &out->first, err);
}

/* ---- a step ------------------------------------------------------------------------------------------------------ */

enum correction { NONE, TIS, BEHAVIOUR };
struct ead_case {
  struct calc_rows rows;
  struct anneal schedule;
  int64_t step;
  enum correction correction;
  double cap;
  double *tau, *old, *mu, *weight; /* [tokens] */
};

static int read_case(struct calc_case *c, struct ead_case *x, struct error *err)
{
  static const char *const CORRECTIONS[] = {"none", "tis", "behaviour"};
  const char *word = calc_text(c, "correction", CORRECTIONS[0]);
  int k = 0;
  while (k < 3 && strcmp(word, CORRECTIONS[k])) k++;
  if (k == 3) FAIL_AT(err, ERROR_INPUT, c->file, 0, "correction", "found \"%s\"; expected none|tis|behaviour", word);
  x->correction = (enum correction)k;
  TRY(calc_rows_open(c, &x->rows, err));
  TRY(read_schedule(c, &x->schedule, err));
  TRY(calc_int(c, "step", 0, &x->step, err));
  TRY(calc_real(c, "cap", 2, &x->cap, err));
  if (json_is_null(json_object_get(c->args, "cap"))) x->cap = __builtin_inf();
  size_t n = (size_t)x->rows.count + 1;
  if (!(x->tau = ARENA_NEW(c->arena, double, 4 * n, "calc", err))) return err->code;
  x->old = x->tau + n;
  x->mu = x->old + n;
  x->weight = x->mu + n;
  return 0;
}

/* Temperatures, log-probabilities at 1 and at the token's own temperature, weights. */
static int score(struct calc_case *c, struct ead_case *x, struct error *err)
{
  struct calc_rows *b = &x->rows;
  double *logits, *token;
  int32_t depth;
  bool own = !strcmp(calc_text(c, "count", "position"), "model");
  TRY(calc_rows_vectors(c, b, "logits", &logits, &depth, err));
  TRY(calc_rows_tokens(c, b, "tokens", &token, err));
  double *logp = ARENA_NEW(c->arena, double, (size_t)depth + 1, "calc", err);
  if (!logp) return err->code;
  for (int32_t i = 0; i < b->count; i++) {
    const double *row = logits + (size_t)i * (size_t)depth;
    int32_t id = (int32_t)token[i];
    if (id < 0 || id >= depth) FAIL_AT(err, ERROR_INPUT, c->file, 0, "tokens", "found %d of %d logits", id, depth);
    x->tau[i] = anneal_temperature(&x->schedule, own ? i - b->first[b->row[i]] : b->at[i], x->step);
    anneal_distribution(row, depth, 1, logp);
    x->old[i] = logp[id];
    anneal_distribution(row, depth, x->tau[i], logp);
    x->mu[i] = logp[id];
    x->weight[i] = x->correction == TIS ? anneal_weight(x->old[i], x->mu[i], x->cap) : 1;
  }
  return 0;
}

static void put_metrics(const struct calc_case *c, const struct ead_case *x)
{
  double tau = 0, weight = 0, most = 0, at_cap = 0, n = x->rows.count ? x->rows.count : 1;
  for (int32_t i = 0; i < x->rows.count; i++) {
    tau += x->tau[i];
    weight += x->weight[i];
    most = x->weight[i] > most ? x->weight[i] : most;
    at_cap += x->weight[i] >= x->cap;
  }
  json_t *m = json_object();
  calc_put(m, "mean_tau", tau / n);
  calc_put(m, "mean_weight", weight / n);
  calc_put(m, "max_weight", most);
  calc_put(m, "share_at_cap", at_cap / n);
  json_object_set_new(c->outputs, "metrics", m);
}

static int put_loss(struct calc_case *c, struct ead_case *x, struct error *err)
{
  struct calc_rows *b = &x->rows;
  size_t n = (size_t)b->count + 1;
  double *credit = ARENA_NEW(c->arena, double, (size_t)b->rows + 3 * n, "calc", err), loss;
  if (!credit) return err->code;
  double *advantage = credit + b->rows, *coef = advantage + n;
  struct calc_loss l = {.advantage = advantage, .weight = x->weight, .aggregation = calc_text(c, "agg", "token-mean")};
  TRY(calc_real(c, "eps_low", 0.2, &l.bounds.low, err));
  TRY(calc_real(c, "eps_high", 0.28, &l.bounds.high, err));
  TRY(calc_real(c, "dual", 3, &l.bounds.dual, err));
  TRY(calc_rows_advantage(c, b, b->reward, true, 1e-6, credit, err));
  calc_rows_spread(b, credit, advantage);
  const json_t *drift = json_object_get(c->inputs, "log_prob_drift");
  if (drift && !json_is_null(drift)) {
    TRY(calc_rows_tokens(c, b, "log_prob_drift", &b->logp, err));
    for (int32_t i = 0; i < b->count; i++) b->logp[i] += x->old[i];
  } else {
    b->logp = x->old;
  }
  b->old = x->correction == BEHAVIOUR ? x->mu : x->old;
  TRY(calc_rows_loss(c, b, &l, &loss, coef, err));
  json_object_set_new(c->outputs, "advantages", calc_list(credit, (size_t)b->rows));
  calc_put(c->outputs, "loss", loss);
  json_object_set_new(c->grads, "log_prob", calc_rows_matrix(b, coef));
  return 0;
}

static int step(struct calc_case *c, struct error *err)
{
  struct ead_case x = {0};
  TRY(read_case(c, &x, err));
  TRY(score(c, &x, err));
  put_metrics(c, &x);
  json_object_set_new(c->outputs, "tau", calc_rows_matrix(&x.rows, x.tau));
  json_object_set_new(c->outputs, "old_log_prob", calc_rows_matrix(&x.rows, x.old));
  json_object_set_new(c->outputs, "mu_log_prob", calc_rows_matrix(&x.rows, x.mu));
  json_object_set_new(c->outputs, "weight", calc_rows_matrix(&x.rows, x.weight));
  return put_loss(c, &x, err);
}

/* ---- tables ------------------------------------------------------------------------------------------------------ */

static json_t *by_step(const struct anneal *o, const struct calc_row *steps,
                       double (*of)(const struct anneal *, int64_t))
{
  json_t *out = json_array();
  for (size_t i = 0; i < steps->count; i++) json_array_append_new(out, calc_number(of(o, (int64_t)steps->at[i])));
  return out;
}

static int schedule(struct calc_case *c, struct error *err)
{
  struct anneal o;
  struct calc_matrix positions, steps;
  TRY(read_schedule(c, &o, err));
  TRY(calc_matrix(c, calc_need(c, "positions", err), &positions, err));
  TRY(calc_matrix(c, calc_need(c, "steps", err), &steps, err));
  json_t *table = json_array();
  for (size_t s = 0; s < steps.rows[0].count; s++) {
    json_t *row = json_array();
    for (size_t p = 0; p < positions.rows[0].count; p++)
      json_array_append_new(
          row, calc_number(anneal_temperature(&o, (int64_t)positions.rows[0].at[p], (int64_t)steps.rows[0].at[s])));
    json_array_append_new(table, row);
  }
  json_object_set_new(c->outputs, "tau", table);
  if (o.mode != ANNEAL_NEGEXP) return 0;
  json_object_set_new(c->outputs, "d", by_step(&o, &steps.rows[0], anneal_length));
  json_object_set_new(c->outputs, "crosses_one", by_step(&o, &steps.rows[0], anneal_crossing));
  json_object_set_new(c->outputs, "reaches_floor", by_step(&o, &steps.rows[0], anneal_floor));
  return 0;
}

static int distribution(struct calc_case *c, struct error *err)
{
  struct calc_matrix logits, temperatures;
  TRY(calc_matrix(c, calc_need(c, "logits", err), &logits, err));
  TRY(calc_matrix(c, calc_need(c, "temperatures", err), &temperatures, err));
  json_t *plain = json_array(), *tempered = json_array();
  for (size_t i = 0; i < logits.row_count; i++) {
    size_t n = logits.rows[i].count;
    double *logp = ARENA_NEW(c->arena, double, n + 1, "calc", err);
    if (!logp || !n) return err->code;
    json_t *each = json_array();
    for (size_t k = 0; k < temperatures.rows[0].count; k++) {
      anneal_distribution(logits.rows[i].at, (int32_t)n, temperatures.rows[0].at[k], logp);
      json_array_append_new(each, calc_list(logp, n));
    }
    json_array_append_new(tempered, each);
    anneal_distribution(logits.rows[i].at, (int32_t)n, 1, logp);
    for (size_t v = 0; v < n; v++) logp[v] = math_exp(logp[v]);
    json_array_append_new(plain, calc_list(logp, n));
  }
  json_object_set_new(c->outputs, "pi", plain);
  json_object_set_new(c->outputs, "log_mu", tempered);
  return 0;
}

/* From dL/dlogp to logits: coefficient (1[v = y] - p_v), at temperature 1 whatever the token was drawn at. */
static int chain(struct calc_case *c, struct error *err)
{
  struct calc_matrix logits, tokens, coefficients;
  double temperature;
  TRY(calc_real(c, "temperature", 1, &temperature, err));
  TRY(calc_matrix(c, calc_need(c, "logits", err), &logits, err));
  TRY(calc_matrix(c, calc_need(c, "tokens", err), &tokens, err));
  TRY(calc_matrix(c, calc_need(c, "coefficients", err), &coefficients, err));
  if (tokens.rows[0].count != logits.row_count || coefficients.rows[0].count != logits.row_count)
    FAIL_AT(err, ERROR_INPUT, c->file, 0, "tokens",
            "found lists of unequal lengths; expected one entry a row of logits");
  json_t *out = json_array();
  for (size_t i = 0; i < logits.row_count; i++) {
    size_t n = logits.rows[i].count;
    double *g = ARENA_NEW(c->arena, double, n + 1, "calc", err), coef = coefficients.rows[0].at[i] / temperature;
    if (!g || !n) return err->code;
    anneal_distribution(logits.rows[i].at, (int32_t)n, temperature, g);
    for (size_t v = 0; v < n; v++) g[v] = coef * ((v == (size_t)tokens.rows[0].at[i]) - math_exp(g[v]));
    json_array_append_new(out, calc_list(g, n));
  }
  json_object_set_new(c->grads, "logits", out);
  return 0;
}

static int compute(struct calc_case *c, struct error *err)
{
  const char *part = calc_text(c, "part", "step");
  if (!strcmp(part, "schedule")) return schedule(c, err);
  if (!strcmp(part, "distribution")) return distribution(c, err);
  return strcmp(part, "chain") ? step(c, err) : chain(c, err);
}

const struct calc calc_ead = {
    .function = "ead",
    .help = "temperatures that fall along a response, and the weights that correct for them",
    .compute = compute,
};
