/* PIPO (arXiv 2604.00860): part_improvement.h. Cases "signal:", "attribution:", "boundary" and "gate:" are tables,
 * "replay:" is the update on the batch before at a given xi, "run:" a sequence of steps on a table of logits. */
#include <string.h>

#include "core/math.h"
#include "method/calc.h"
#include "method/part_group.h"
#include "method/part_improvement.h"
#include "method/part_rows.h"
#include "method/part_sequence.h"
#include "method/part_softmax.h"

/* ---- the signal -------------------------------------------------------------------------------------------------- */

static int read_signal(const struct calc_case *c, struct improvement_rule *r, struct error *err)
{
  r->released = !strcmp(calc_text(c, "dialect", "paper"), "released");
  r->population = !strcmp(calc_text(c, "std", "sample"), "population");
  r->normalise = calc_flag(c, "normalise", true);
  TRY(calc_int(c, "window", 8, &r->window, err));
  TRY(calc_int(c, "min_steps", 8, &r->min_steps, err));
  TRY(calc_int(c, "every", 1, &r->every, err));
  TRY(calc_real(c, "lam", 0.1, &r->lam, err));
  TRY(calc_real(c, "threshold", 0, &r->threshold, err));
  TRY(calc_real(c, "clamp_difference", 5, &r->clamp, err));
  TRY(calc_real(c, "sd_floor", 1e-6, &r->floor, err));
  if (r->window < 1 || r->every < 1)
    FAIL_AT(err, ERROR_INPUT, c->file, 0, "window", "found window or every below 1; expected 1 or more");
  return 0;
}

static void put_signal(json_t *out, const struct improvement *s)
{
  calc_put(out, "mu_his", s->mean);
  calc_put(out, "sd_his", s->sd);
  calc_put(out, "xi", s->xi);
  calc_put(out, "slope", s->slope);
  json_object_set_new(out, "active", json_boolean(s->active));
}

static int signal_table(struct calc_case *c, struct error *err)
{
  struct improvement_rule rule;
  struct calc_matrix history;
  double mu;
  int64_t step;
  TRY(read_signal(c, &rule, err));
  TRY(calc_matrix(c, calc_need(c, "history", err), &history, err));
  TRY(calc_real(c, "mu", 0, &mu, err));
  TRY(calc_int(c, "step", 1, &step, err));
  int64_t n = (int64_t)history.rows[0].count;
  struct improvement s = improvement_signal(&rule, history.rows[0].at, n, n, mu, step);
  put_signal(c->outputs, &s);
  return 0;
}

/* ---- the replay -------------------------------------------------------------------------------------------------- */

struct replay_rule {
  bool released, gspo, sample_std;
  struct clip_bounds bounds;
  double lam, eps, clamp, kl_coef, adv_eps, log_bound;
  const char *aggregation;
};
struct replay {
  double *base, *mean, *attribution, *coefficient; /* [rows] */
  double *token;                                   /* [tokens] base advantage, then C */
  double *ratio, *loss, *coef;                     /* [tokens]; loss before the mean */
  double policy, kl, total;
};

static int read_replay(const struct calc_case *c, struct replay_rule *r, struct error *err)
{
  const char *form = calc_text(c, "form", "ppo");
  r->released = !strcmp(form, "code");
  r->gspo = !strcmp(form, "gspo");
  r->sample_std = strcmp(calc_text(c, "adv_std", "sample"), "population") != 0;
  r->aggregation = r->gspo ? "seq-mean-token-mean" : calc_text(c, "agg", "token-mean");
  r->bounds = (struct clip_bounds){.dual = __builtin_inf()};
  TRY(calc_real(c, "clip_low", 0.2, &r->bounds.low, err));
  TRY(calc_real(c, "clip_high", 0.2, &r->bounds.high, err));
  TRY(calc_real(c, "lam", 0.1, &r->lam, err));
  TRY(calc_real(c, "eps", 1e-6, &r->eps, err));
  TRY(calc_real(c, "clamp", 10, &r->clamp, err));
  TRY(calc_real(c, "kl_coef", 0, &r->kl_coef, err));
  TRY(calc_real(c, "adv_eps", 1e-6, &r->adv_eps, err));
  return calc_real(c, "log_ratio_bound", 20, &r->log_bound, err);
}

static int make_replay(struct calc_case *c, const struct calc_rows *b, struct replay *x, struct error *err)
{
  size_t rows = (size_t)b->rows + 1, tokens = (size_t)b->count + 1;
  x->base = ARENA_NEW(c->arena, double, 4 * rows, "calc", err);
  x->token = ARENA_NEW(c->arena, double, 4 * tokens, "calc", err);
  if (!x->base || !x->token) return err->code;
  x->mean = x->base + rows;
  x->attribution = x->mean + rows;
  x->coefficient = x->attribution + rows;
  x->ratio = x->token + tokens;
  x->loss = x->ratio + tokens;
  x->coef = x->loss + tokens;
  return 0;
}

/* From the base's advantages per token in x->token to C there. */
static int attribute(struct calc_case *c, const struct calc_rows *b, const struct replay_rule *r, double xi,
                     struct replay *x, struct error *err)
{
  double *room = ARENA_NEW(c->arena, double, 2 * (size_t)b->rows + 2, "calc", err);
  if (!room) return err->code;
  double *out = room + b->rows + 1;
  for (int32_t i = 0; i < b->rows; i++)
    for (int32_t t = b->first[i]; t < b->first[i + 1]; t++) x->mean[i] += x->token[t] / (b->first[i + 1] - b->first[i]);
  for (int32_t g = 0; g < b->group_count; g++) {
    const int32_t *member = b->member + b->group_first[g];
    int32_t n = b->group_first[g + 1] - b->group_first[g];
    for (int32_t i = 0; i < n; i++) room[i] = x->mean[member[i]];
    improvement_attribution(room, n, r->eps, out);
    for (int32_t i = 0; i < n; i++) x->attribution[member[i]] = out[i];
  }
  for (int32_t i = 0; i < b->rows; i++)
    x->coefficient[i] = improvement_coefficient(x->attribution[i], xi, xi < 0 ? r->lam : 1, r->clamp);
  calc_rows_spread(b, x->coefficient, x->token);
  return 0;
}

static int sequence_loss(struct calc_case *c, struct calc_rows *b, const struct replay_rule *r, const double *scale,
                         struct replay *x, struct error *err)
{
  const struct sequence_options q = {.bounds = r->bounds, .limit = SEQUENCE_LIMIT, .own = true};
  size_t n = (size_t)b->count + 1;
  double *one = ARENA_NEW(c->arena, double, n, "calc", err), *plain = ARENA_NEW(c->arena, double, n, "calc", err);
  uint8_t *clipped = ARENA_NEW(c->arena, uint8_t, n, "calc", err);
  if (!one || !plain || !clipped) return err->code;
  for (int32_t t = 0; t < b->count; t++) one[t] = 1;
  struct minibatch m = b->batch;
  m.logp = b->logp;
  m.old = b->old;
  m.advantage = x->token;
  m.weight = m.counted = one;
  struct loss out = {.loss = x->loss, .coef = plain, .clipped = clipped};
  sequence_clipped(&m, &q, one, &out);
  for (int32_t t = 0; t < b->count; t++) {
    x->policy += scale[t] * x->loss[t];
    x->coef[t] = scale[t] * plain[t];
  }
  return 0;
}

static void token_loss(const struct calc_rows *b, const struct replay_rule *r, const double *scale, struct replay *x)
{
  for (int32_t t = 0; t < b->count; t++) {
    struct clip_value v = improvement_loss(r->released, b->logp[t] - b->old[t], r->log_bound, x->token[t], &r->bounds);
    x->ratio[t] = v.ratio;
    x->loss[t] = v.loss;
    x->policy += scale[t] * v.loss;
    x->coef[t] = scale[t] * v.coef;
  }
}

/* x->token holds the base's advantages. */
static int replay_loss(struct calc_case *c, struct calc_rows *b, const struct replay_rule *r, double xi,
                       struct replay *x, struct error *err)
{
  double *scale = ARENA_NEW(c->arena, double, (size_t)b->count + 1, "calc", err);
  if (!scale) return err->code;
  TRY(attribute(c, b, r, xi, x, err));
  TRY(calc_rows_scale(c, b, r->aggregation, NULL, scale, err));
  if (r->gspo)
    TRY(sequence_loss(c, b, r, scale, x, err));
  else
    token_loss(b, r, scale, x);
  x->total = x->policy;
  if (!(r->kl_coef > 0)) return 0;
  TRY(calc_rows_kl(c, b, r->aggregation, r->kl_coef, &x->kl, x->coef, err));
  x->total += r->kl_coef * x->kl;
  return 0;
}

static json_t *ratios(const struct calc_rows *b, const struct replay_rule *r, const struct replay *x)
{
  if (!r->gspo) return calc_rows_matrix(b, x->ratio);
  json_t *out = json_array();
  for (int32_t i = 0; i < b->rows; i++) {
    double sum = 0, n = b->first[i + 1] - b->first[i];
    for (int32_t t = b->first[i]; t < b->first[i + 1]; t++) sum += b->logp[t] - b->old[t];
    double log = n > 0 ? sum / n : 0;
    json_array_append_new(out, calc_number(math_exp(log < SEQUENCE_LIMIT ? log : SEQUENCE_LIMIT)));
  }
  return out;
}

static int replay_case(struct calc_case *c, struct error *err)
{
  struct replay_rule rule;
  struct calc_rows b;
  struct replay x = {0};
  double xi, *given;
  TRY(read_replay(c, &rule, err));
  TRY(calc_real(c, "xi", 0, &xi, err));
  TRY(calc_rows_open(c, &b, err));
  TRY(make_replay(c, &b, &x, err));
  if (json_object_get(c->inputs, "advantages_token")) {
    TRY(calc_rows_tokens(c, &b, "advantages_token", &given, err));
    if (b.count) memcpy(x.token, given, (size_t)b.count * sizeof *given);
  } else {
    TRY(calc_rows_advantage(c, &b, b.reward, rule.sample_std, rule.adv_eps, x.base, err));
    calc_rows_spread(&b, x.base, x.token);
    json_object_set_new(c->outputs, "advantages", calc_list(x.base, (size_t)b.rows));
  }
  TRY(replay_loss(c, &b, &rule, xi, &x, err));
  json_object_set_new(c->outputs, "mean_advantage", calc_list(x.mean, (size_t)b.rows));
  json_object_set_new(c->outputs, "attribution", calc_list(x.attribution, (size_t)b.rows));
  json_object_set_new(c->outputs, "coefficient", calc_list(x.coefficient, (size_t)b.rows));
  json_object_set_new(c->outputs, "ratio", ratios(&b, &rule, &x));
  json_object_set_new(c->outputs, "token_loss", calc_rows_matrix(&b, x.loss));
  calc_put(c->outputs, "loss_policy", x.policy);
  if (rule.kl_coef > 0) calc_put(c->outputs, "kl", x.kl);
  calc_put(c->outputs, "loss", x.total);
  json_object_set_new(c->grads, "log_prob", calc_rows_matrix(&b, x.coef));
  return 0;
}

/* ---- tables ------------------------------------------------------------------------------------------------------ */

static int attribution_table(struct calc_case *c, struct error *err)
{
  struct calc_matrix rewards;
  double eps;
  TRY(calc_real(c, "eps", 1e-6, &eps, err));
  TRY(calc_matrix(c, calc_need(c, "rewards", err), &rewards, err));
  size_t n = rewards.rows[0].count;
  double *a = ARENA_NEW(c->arena, double, 2 * n + 1, "calc", err);
  if (!a) return err->code;
  group_normalised(rewards.rows[0].at, (int32_t)n, true, 1e-6, a);
  improvement_attribution(a, (int32_t)n, eps, a + n);
  json_object_set_new(c->outputs, "advantages", calc_list(a, n));
  json_object_set_new(c->outputs, "mean_advantage", calc_list(a, n));
  json_object_set_new(c->outputs, "attribution", calc_list(a + n, n));
  return 0;
}

/* How a division by the group's standard deviation scales the gradient at success rate p. */
static int boundary_table(struct calc_case *c, struct error *err)
{
  struct calc_matrix p;
  double n;
  TRY(calc_real(c, "n", 8, &n, err));
  TRY(calc_matrix(c, calc_need(c, "p", err), &p, err));
  json_t *eta = json_array();
  for (size_t i = 0; i < p.rows[0].count; i++) {
    double x = p.rows[0].at[i];
    json_array_append_new(eta, calc_number(math_sqrt(n - 1) / (n * x * (1 - x))));
  }
  json_object_set_new(c->outputs, "eta", eta);
  return 0;
}

/* A critic's method: 1 before there is a history. The mask stands in the advantages, which are 0 outside. */
static int gate_table(struct calc_case *c, struct error *err)
{
  struct calc_grid a;
  double xi, low, high;
  TRY(calc_real(c, "xi", 0, &xi, err));
  TRY(calc_real(c, "gate_low", -2, &low, err));
  TRY(calc_real(c, "gate_high", 2, &high, err));
  TRY(calc_grid(c, "advantages", &a, err));
  double phi = calc_flag(c, "ready", true) ? math_clamp(xi, low, high) : 1;
  for (size_t i = 0; i < a.rows * a.width; i++) a.at[i] *= phi;
  calc_put(c->outputs, "phi", phi);
  json_object_set_new(c->outputs, "advantages", calc_grid_json(a.at, a.rows, a.width));
  return 0;
}

/* ---- a run on a table of logits ---------------------------------------------------------------------------------- */

struct table_run {
  struct calc_grid theta;  /* [prompts, options] */
  double *logp, *gradient; /* the same */
  double lr;
};
struct table_batch {
  struct calc_rows rows; /* a row a draw, one token each */
  const double *action;  /* [rows] */
};

static void table_read(struct table_run *t)
{
  for (size_t q = 0; q < t->theta.rows; q++)
    softmax_log(t->theta.at + q * t->theta.width, (int32_t)t->theta.width, 1, t->logp + q * t->theta.width);
}

static size_t cell_of(const struct table_run *t, const struct table_batch *b, int32_t row)
{
  return (size_t)b->rows.group[row] * t->theta.width + (size_t)b->action[row];
}

/* theta -= lr * gradient, where coef is the loss's derivative by each row's log-probability. */
static void table_descend(struct table_run *t, const struct table_batch *b, const double *coef)
{
  size_t width = t->theta.width;
  memset(t->gradient, 0, t->theta.rows * width * sizeof *t->gradient);
  for (int32_t i = 0; i < b->rows.rows; i++) {
    size_t row = (size_t)b->rows.group[i] * width;
    for (size_t v = 0; v < width; v++) t->gradient[row + v] -= coef[i] * math_exp(t->logp[row + v]);
    t->gradient[cell_of(t, b, i)] += coef[i];
  }
  for (size_t i = 0; i < t->theta.rows * width; i++) t->theta.at[i] -= t->lr * t->gradient[i];
}

/* A step's draws, with the table's present log-probabilities as old ones. Groups are prompts, the first 0. */
static int open_batch(struct calc_case *c, struct table_run *t, const json_t *step, struct table_batch *out,
                      struct error *err)
{
  struct calc_case inner = *c;
  struct calc_matrix action;
  TRY(calc_matrix(c, json_object_get(step, "action"), &action, err));
  json_t *mask = json_array();
  for (size_t i = 0; i < action.rows[0].count; i++) json_array_append_new(mask, json_pack("[i]", 1));
  json_t *inputs = json_pack("{s:o, s:O, s:O}", "response_mask", mask, "group", json_object_get(step, "group"),
                             "rewards", json_object_get(step, "rewards"));
  if (!inputs)
    FAIL_AT(err, ERROR_INPUT, c->file, 0, "steps", "found a step without action, group and rewards; expected them");
  inner.inputs = inputs;
  int rc = calc_rows_open(&inner, &out->rows, err);
  json_decref(inputs);
  if (rc) return rc;
  out->action = action.rows[0].at;
  struct calc_rows *b = &out->rows;
  b->old = ARENA_NEW(c->arena, double, 2 * (size_t)b->rows + 1, "calc", err);
  if (!b->old) return err->code;
  b->logp = b->old + b->rows;
  for (int32_t i = 0; i < b->rows; i++) {
    if ((size_t)b->group[i] >= t->theta.rows || !(out->action[i] >= 0 && out->action[i] < (double)t->theta.width))
      FAIL_AT(err, ERROR_INPUT, c->file, 0, "steps", "found an action or a prompt that theta does not have");
    b->old[i] = t->logp[cell_of(t, out, i)];
  }
  return 0;
}

static int run_replay(struct calc_case *c, struct table_run *t, const struct replay_rule *r, struct table_batch *b,
                      double xi, json_t *row, struct error *err)
{
  struct replay x = {0};
  TRY(make_replay(c, &b->rows, &x, err));
  TRY(calc_rows_advantage(c, &b->rows, b->rows.reward, r->sample_std, r->adv_eps, x.base, err));
  calc_rows_spread(&b->rows, x.base, x.token);
  for (int32_t i = 0; i < b->rows.rows; i++) b->rows.logp[i] = t->logp[cell_of(t, b, i)];
  TRY(replay_loss(c, &b->rows, r, xi, &x, err));
  table_descend(t, b, x.coef);
  table_read(t);
  json_object_set_new(row, "coefficient", calc_list(x.coefficient, (size_t)b->rows.rows));
  json_object_set_new(row, "theta_after_replay", calc_grid_json(t->theta.at, t->theta.rows, t->theta.width));
  return 0;
}

/* GRPO on the fresh draws, against their log-probabilities from before the replay. */
static int run_ordinary(struct calc_case *c, struct table_run *t, struct table_batch *b, json_t *row, struct error *err)
{
  double *a = ARENA_NEW(c->arena, double, 2 * (size_t)b->rows.rows + 1, "calc", err), loss;
  if (!a) return err->code;
  const struct calc_loss l = {a, NULL, NULL, {.low = 0.2, .high = 0.2, .dual = 3}, "token-mean"};
  TRY(calc_rows_advantage(c, &b->rows, b->rows.reward, true, 1e-6, a, err));
  for (int32_t i = 0; i < b->rows.rows; i++) b->rows.logp[i] = t->logp[cell_of(t, b, i)];
  TRY(calc_rows_loss(c, &b->rows, &l, &loss, a + b->rows.rows, err));
  table_descend(t, b, a + b->rows.rows);
  table_read(t);
  calc_put(row, "loss", loss);
  json_object_set_new(row, "theta", calc_grid_json(t->theta.at, t->theta.rows, t->theta.width));
  return 0;
}

static double mean_of(const double *x, int32_t n)
{
  double sum = 0;
  for (int32_t i = 0; i < n; i++) sum += x[i];
  return n ? sum / n : 0;
}

static int run_steps(struct calc_case *c, struct table_run *t, const struct improvement_rule *signal,
                     const struct replay_rule *replay, double *history, struct error *err)
{
  const json_t *steps = json_object_get(c->args, "steps"), *step;
  struct table_batch batch[2] = {0};
  int64_t count = 0;
  size_t i;
  json_t *states = json_array();
  json_object_set_new(c->outputs, "states", states);
  json_array_foreach(steps, i, step)
  {
    struct table_batch *b = &batch[i % 2];
    json_t *row = json_pack("{s:I, s:n, s:n}", "step", (json_int_t)i + 1, "coefficient", "theta_after_replay");
    json_array_append_new(states, row);
    TRY(open_batch(c, t, step, b, err));
    double mu = mean_of(b->rows.reward, b->rows.rows);
    struct improvement s = improvement_signal(signal, history, count, (int64_t)i, mu, (int64_t)i + 1);
    calc_put(row, "mu", mu);
    put_signal(row, &s);
    if (s.active && i) TRY(run_replay(c, t, replay, &batch[(i + 1) % 2], s.xi, row, err));
    TRY(run_ordinary(c, t, b, row, err));
    for (int times = signal->released ? 2 : 1; times > 0; times--) history[count++] = mu;
    int64_t kept = count < signal->window ? count : signal->window;
    json_object_set_new(row, "history", calc_list(history + count - kept, (size_t)kept));
  }
  return 0;
}

static int table_runs(struct calc_case *c, struct error *err)
{
  struct improvement_rule signal;
  struct replay_rule replay;
  struct table_run t = {0};
  struct calc_case part = *c;
  part.args = json_object_get(c->args, "signal");
  TRY(read_signal(&part, &signal, err));
  part.args = json_object_get(c->args, "replay");
  TRY(read_replay(&part, &replay, err));
  TRY(calc_real(&part, "lr", 0.25, &t.lr, err));
  replay.lam = signal.lam;
  TRY(calc_grid(c, "theta", &t.theta, err));
  t.logp = calc_zeros(c, &t.theta, err);
  t.gradient = calc_zeros(c, &t.theta, err);
  size_t steps = json_array_size(json_object_get(c->args, "steps"));
  double *history = ARENA_NEW(c->arena, double, 2 * steps + 1, "calc", err);
  if (!t.logp || !t.gradient || !history) return err->code;
  table_read(&t);
  return run_steps(c, &t, &signal, &replay, history, err);
}

static int compute(struct calc_case *c, struct error *err)
{
  if (calc_is(c, "signal")) return signal_table(c, err);
  if (calc_is(c, "attribution")) return attribution_table(c, err);
  if (calc_is(c, "boundary")) return boundary_table(c, err);
  if (calc_is(c, "gate")) return gate_table(c, err);
  return calc_is(c, "run") ? table_runs(c, err) : replay_case(c, err);
}

const struct calc calc_pipo = {
    .function = "pipo",
    .help = "PIPO: the improvement signal, attribution, and the update on the batch before",
    .compute = compute,
};
