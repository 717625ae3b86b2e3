/* PreRL and DSRL (arXiv 2604.14142): part_prerl.h. Cases "schedule:" are tables of phases, "model:" and "run:" score
 * and train a tiny model, which says how the sequence without a prompt is built; the others are one update. */
#include <string.h>

#include "core/math.h"
#include "method/calc.h"
#include "method/part_group.h"
#include "method/part_prerl.h"
#include "method/part_rows.h"
#include "method/part_softmax.h"

struct settings {
  struct prerl_schedule schedule;
  int64_t step;
  struct prerl_rule pre;
  bool negative_rl, positive_rl, pre_norm_std, kl_in_warmup, sample_std;
  double coef, eps, kl_coef;
  const char *aggregation, *pre_aggregation;
};

static int read_settings(const struct calc_case *c, struct settings *o, struct error *err)
{
  int64_t disable = 20, length;
  *o = (struct settings){.aggregation = calc_text(c, "agg", "token-mean"),
                         .pre_aggregation = calc_text(c, "pre_agg", "token-mean"),
                         .negative_rl = calc_flag(c, "negative_rl", true),
                         .positive_rl = calc_flag(c, "positive_rl", true),
                         .pre_norm_std = calc_flag(c, "pre_norm_std", false),
                         .kl_in_warmup = calc_flag(c, "kl_in_warmup", false),
                         .sample_std = strcmp(calc_text(c, "adv_std", "sample"), "population") != 0};
  if (json_is_null(json_object_get(c->args, "disable_step")))
    disable = 0; /* never, as null says it; absent: the default */
  else
    TRY(calc_int(c, "disable_step", 20, &disable, err));
  o->schedule =
      (struct prerl_schedule){disable, calc_flag(c, "warmup_only", true), calc_flag(c, "pretrain_only", false)};
  o->pre.negative = calc_flag(c, "negative_pretrain", true);
  o->pre.positive = calc_flag(c, "positive_pretrain", false);
  TRY(calc_int(c, "step", 1, &o->step, err));
  TRY(calc_int(c, "pre_max_len", 0, &length, err));
  o->pre.max_length = (int32_t)(length > INT32_MAX ? INT32_MAX : length);
  TRY(calc_real(c, "coef", 0.01, &o->coef, err));
  TRY(calc_real(c, "adv_eps", 1e-6, &o->eps, err));
  TRY(calc_real(c, "kl_coef", 0, &o->kl_coef, err));
  TRY(calc_real(c, "clip_low", 0.2, &o->pre.bounds.low, err));
  TRY(calc_real(c, "clip_high", 0.2, &o->pre.bounds.high, err));
  TRY(calc_real(c, "clip_dual", 10, &o->pre.bounds.dual, err));
  if (!(o->pre.bounds.dual > 0)) o->pre.bounds.dual = __builtin_inf();
  return 0;
}

/* ---- one update -------------------------------------------------------------------------------------------------- */

struct update_case {
  struct calc_rows rows;
  double *lq, *lq_old;     /* [tokens] */
  double *advantage, *pre; /* [rows] */
  double *coef, *pre_coef; /* [tokens] dL/dlp, dL/dlq */
  double loss, rl, pre_loss, kl;
};

static int credit(struct calc_case *c, const struct settings *o, struct update_case *x, struct error *err)
{
  const struct calc_rows *b = &x->rows;
  x->advantage = ARENA_NEW(c->arena, double, 2 * (size_t)b->rows + 1, "calc", err);
  if (!x->advantage) return err->code;
  x->pre = x->advantage + b->rows;
  TRY(calc_rows_advantage(c, b, b->reward, o->sample_std, o->eps, x->advantage, err));
  return calc_rows_advantage(c, b, b->reward, o->sample_std, o->pre_norm_std ? o->eps : -1, x->pre, err);
}

static json_t *chosen_rows(const struct calc_rows *b, const double *a, bool negative, bool positive)
{
  json_t *out = json_array();
  for (int32_t i = 0; i < b->rows; i++)
    if (b->first[i + 1] > b->first[i] && prerl_selected(a[i], negative, positive))
      json_array_append_new(out, json_integer(i));
  return out;
}

static int rl_loss(struct calc_case *c, const struct settings *o, struct update_case *x, struct error *err)
{
  struct calc_rows *b = &x->rows;
  double *advantage = ARENA_NEW(c->arena, double, 2 * (size_t)b->count + 1, "calc", err);
  if (!advantage) return err->code;
  double *counted = advantage + b->count;
  calc_rows_spread(b, x->advantage, advantage);
  for (int32_t i = 0; i < b->count; i++) counted[i] = prerl_selected(advantage[i], o->negative_rl, o->positive_rl);
  const struct calc_loss l = {advantage, counted, counted, o->pre.bounds, o->aggregation};
  return calc_rows_loss(c, b, &l, &x->rl, x->coef, err);
}

static int pre_loss(struct calc_case *c, const struct settings *o, struct update_case *x, struct error *err)
{
  struct calc_rows *b = &x->rows;
  size_t n = (size_t)b->count + 1;
  struct prerl_rule rule = o->pre;
  double *room = ARENA_NEW(c->arena, double, 4 * n, "calc", err), *advantage = room + 3 * n;
  if (!room) return err->code;
  calc_rows_spread(b, x->pre, advantage);
  TRY(calc_rows_aggregation(c, o->pre_aggregation, &rule.aggregation, err));
  rule.constant = 1;
  const struct prerl_tokens tokens = {advantage, x->lq, x->lq_old, b->at};
  const struct prerl_result result = {room, room + n, room + 2 * n, x->pre_coef};
  x->pre_loss = prerl_loss(&b->batch, &rule, &tokens, &result);
  for (int32_t i = 0; i < b->count; i++) x->pre_coef[i] *= o->coef;
  return 0;
}

/* x->rows, lq and lq_old are there: the rest. NaN for a loss that the phase does not compute. */
static int compute_update(struct calc_case *c, const struct settings *o, struct update_case *x, struct error *err)
{
  size_t n = (size_t)x->rows.count + 1;
  enum prerl_phase phase = prerl_phase_of(&o->schedule, o->step);
  TRY(credit(c, o, x, err));
  x->coef = ARENA_NEW(c->arena, double, 2 * n, "calc", err);
  if (!x->coef) return err->code;
  x->pre_coef = x->coef + n;
  x->rl = x->pre_loss = x->kl = __builtin_nan("");
  if (phase != PRERL_WARMUP) {
    TRY(rl_loss(c, o, x, err));
    x->loss += x->rl;
  }
  if (phase != PRERL_RL) {
    TRY(pre_loss(c, o, x, err));
    x->loss += o->coef * x->pre_loss;
  }
  if (o->kl_coef > 0 && (phase != PRERL_WARMUP || o->kl_in_warmup)) {
    TRY(calc_rows_kl(c, &x->rows, o->aggregation, o->kl_coef, &x->kl, x->coef, err));
    x->loss += o->kl_coef * x->kl;
  }
  return 0;
}

static json_t *phase_word(enum prerl_phase phase)
{
  return json_string(phase == PRERL_WARMUP ? "warmup" : phase == PRERL_JOINT ? "joint" : "rl");
}

static void put_update(json_t *out, const struct settings *o, const struct update_case *x)
{
  const struct calc_rows *b = &x->rows;
  enum prerl_phase phase = prerl_phase_of(&o->schedule, o->step);
  json_object_set_new(out, "advantages", calc_list(x->advantage, (size_t)b->rows));
  json_object_set_new(out, "pre_advantages", calc_list(x->pre, (size_t)b->rows));
  json_object_set_new(out, "phase", phase_word(phase));
  json_object_set_new(
      out, "rl_rows",
      phase == PRERL_WARMUP ? json_array() : chosen_rows(b, x->advantage, o->negative_rl, o->positive_rl));
  json_object_set_new(out, "pre_rows",
                      phase == PRERL_RL ? json_array() : chosen_rows(b, x->pre, o->pre.negative, o->pre.positive));
  calc_put(out, "loss_rl", x->rl);
  calc_put(out, "loss_pre", x->pre_loss);
  calc_put(out, "kl", x->kl);
  calc_put(out, "loss", x->loss);
}

static int update(struct calc_case *c, const struct settings *o, struct error *err)
{
  struct update_case x = {0};
  TRY(calc_rows_open(c, &x.rows, err));
  TRY(calc_rows_tokens(c, &x.rows, "pre_log_prob", &x.lq, err));
  TRY(calc_rows_tokens(c, &x.rows, "pre_old_log_prob", &x.lq_old, err));
  TRY(compute_update(c, o, &x, err));
  put_update(c->outputs, o, &x);
  json_object_set_new(c->grads, "log_prob", calc_rows_matrix(&x.rows, x.coef));
  json_object_set_new(c->grads, "pre_log_prob", calc_rows_matrix(&x.rows, x.pre_coef));
  return 0;
}

static int schedule_table(struct calc_case *c, const struct settings *o, struct error *err)
{
  struct calc_matrix m;
  TRY(calc_matrix(c, calc_need(c, "steps", err), &m, err));
  json_t *phase = json_array(), *copy = json_array();
  for (size_t i = 0; i < m.rows[0].count; i++) {
    int64_t step = (int64_t)m.rows[0].at[i];
    json_array_append_new(phase, phase_word(prerl_phase_of(&o->schedule, step)));
    json_array_append_new(copy, json_boolean(o->schedule.disable_step && step == o->schedule.disable_step));
  }
  json_object_set_new(c->outputs, "phase", phase);
  json_object_set_new(c->outputs, "copy_reference", copy);
  return 0;
}

/* ---- the tiny model ---------------------------------------------------------------------------------------------- */

/* logits at t = W^T mean over s <= t of (E[token s] + P[s]); they predict token t + 1. */
struct tiny {
  struct calc_grid e, p, w; /* [vocab, width], [places, width], [width, vocab] */
  double *ge, *gw;          /* gradients of e and w */
  double *state, *logp;     /* [width], [vocab] scratch */
  int32_t *ids;             /* [places] scratch */
  struct calc_matrix prompt, response;
  struct calc_matrix group;
  int32_t start;
};

static int check_ids(const struct calc_case *c, const struct tiny *t, const struct calc_matrix *m, struct error *err)
{
  for (size_t i = 0; i < m->row_count; i++)
    for (size_t k = 0; k < m->rows[i].count; k++)
      if (!(m->rows[i].at[k] >= 0 && m->rows[i].at[k] < (double)t->e.rows))
        FAIL_AT(err, ERROR_INPUT, c->file, 0, c->name, "found token %g; expected ids of E's rows", m->rows[i].at[k]);
  return 0;
}

static int check_shapes(const struct calc_case *c, const struct tiny *t, struct error *err)
{
  size_t longest = 0;
  for (size_t i = 0; i < t->response.row_count; i++) {
    double g = i < t->group.rows[0].count ? t->group.rows[0].at[i] : -1;
    if (!(g >= 0 && g < (double)t->prompt.row_count))
      FAIL_AT(err, ERROR_INPUT, c->file, 0, "group", "found no prompt for response %zu; expected its number", i);
    size_t n = t->prompt.rows[(size_t)g].count, m = t->response.rows[i].count;
    if (!n || !m) FAIL_AT(err, ERROR_INPUT, c->file, 0, "prompt", "found no tokens; expected one at least");
    longest = n + m > longest ? n + m : longest;
  }
  if (t->p.rows >= longest && t->p.width == t->e.width && t->w.rows == t->e.width && t->w.width == t->e.rows) return 0;
  FAIL_AT(err, ERROR_INPUT, c->file, 0, "E", "found E, P and W of shapes that do not fit together or the sequences");
}

static int open_tiny(struct calc_case *c, struct tiny *t, struct error *err)
{
  double start;
  TRY(calc_grid(c, "E", &t->e, err));
  TRY(calc_grid(c, "P", &t->p, err));
  TRY(calc_grid(c, "W", &t->w, err));
  TRY(calc_matrix(c, calc_need(c, "prompt", err), &t->prompt, err));
  TRY(calc_matrix(c, calc_need(c, "response", err), &t->response, err));
  TRY(calc_matrix(c, calc_need(c, "group", err), &t->group, err));
  const json_t *s = calc_need(c, "start", err);
  if (!s) return err->code;
  start = json_is_number(s) ? json_number_value(s) : -1;
  if (!(start >= 0 && start < (double)t->e.rows))
    FAIL_AT(err, ERROR_INPUT, c->file, 0, "start", "found no id of E's rows; expected the start token");
  t->start = (int32_t)start;
  TRY(check_ids(c, t, &t->prompt, err));
  TRY(check_ids(c, t, &t->response, err));
  TRY(check_shapes(c, t, err));
  t->state = ARENA_NEW(c->arena, double, t->e.width + t->e.rows, "calc", err);
  t->ids = ARENA_NEW(c->arena, int32_t, t->p.rows + 1, "calc", err);
  t->ge = calc_zeros(c, &t->e, err);
  t->gw = calc_zeros(c, &t->w, err);
  if (!t->state || !t->ids || !t->ge || !t->gw) return err->code;
  t->logp = t->state + t->e.width;
  return 0;
}

/* The log-probabilities behind position `at`, in t->logp; t->state is what they are made of. */
static void read_at(struct tiny *t, int32_t at)
{
  size_t width = t->e.width, vocab = t->e.rows;
  for (size_t k = 0; k < width; k++) {
    t->state[k] = 0;
    for (int32_t s = 0; s <= at; s++)
      t->state[k] += t->e.at[(size_t)t->ids[s] * width + k] + t->p.at[(size_t)s * width + k];
    t->state[k] /= at + 1;
  }
  for (size_t v = 0; v < vocab; v++) {
    t->logp[v] = 0;
    for (size_t k = 0; k < width; k++) t->logp[v] += t->state[k] * t->w.at[k * vocab + v];
  }
  softmax_log(t->logp, (int32_t)vocab, 1, t->logp);
}

/* Adds coef * d logp(target) / d parameters at a position that read_at has just read. */
static void differentiate_at(struct tiny *t, int32_t at, int32_t target, double coef)
{
  size_t width = t->e.width, vocab = t->e.rows;
  for (size_t k = 0; k < width; k++) {
    double state = 0;
    for (size_t v = 0; v < vocab; v++) {
      double z = coef * ((v == (size_t)target) - math_exp(t->logp[v]));
      t->gw[k * vocab + v] += t->state[k] * z;
      state += t->w.at[k * vocab + v] * z;
    }
    for (int32_t s = 0; s <= at; s++) t->ge[(size_t)t->ids[s] * width + k] += state / (at + 1);
  }
}

/* A response behind its prompt, or behind the start token. coef NULL: writes logp, else adds the gradients. */
static void walk(struct tiny *t, size_t row, bool with_prompt, double *logp, const double *coef)
{
  const struct calc_row *prompt = &t->prompt.rows[(size_t)t->group.rows[0].at[row]], *response = &t->response.rows[row];
  int32_t n = 0;
  if (!with_prompt) t->ids[n++] = t->start;
  for (size_t k = 0; with_prompt && k < prompt->count; k++) t->ids[n++] = (int32_t)prompt->at[k];
  for (size_t k = 0; k < response->count; k++, n++) {
    int32_t target = (int32_t)response->at[k];
    read_at(t, n - 1);
    if (coef)
      differentiate_at(t, n - 1, target, coef[k]);
    else
      logp[k] = t->logp[target];
    t->ids[n] = target;
  }
}

/* What the update of a step sees: ratios are 1. */
static int open_step(struct calc_case *c, struct tiny *t, const double *rewards, struct update_case *x,
                     struct error *err)
{
  struct calc_case inner = *c;
  size_t n = t->response.row_count, width = 0;
  for (size_t i = 0; i < n; i++) width = t->response.rows[i].count > width ? t->response.rows[i].count : width;
  json_t *mask = json_array();
  for (size_t i = 0; i < n; i++) {
    json_t *row = json_array();
    for (size_t k = 0; k < width; k++) json_array_append_new(row, json_integer(k < t->response.rows[i].count));
    json_array_append_new(mask, row);
  }
  json_t *inputs = json_pack("{s:o, s:O, s:o}", "response_mask", mask, "group", json_object_get(c->inputs, "group"),
                             "rewards", calc_list(rewards, n));
  inner.inputs = inputs;
  int rc = calc_rows_open(&inner, &x->rows, err);
  json_decref(inputs);
  if (rc) return rc;
  x->lq = ARENA_NEW(c->arena, double, 2 * (size_t)x->rows.count + 1, "calc", err);
  if (!x->lq) return err->code;
  x->rows.logp = x->lq + x->rows.count;
  for (size_t i = 0; i < n; i++) {
    walk(t, i, true, x->rows.logp + x->rows.first[i], NULL);
    walk(t, i, false, x->lq + x->rows.first[i], NULL);
  }
  x->rows.old = x->rows.logp;
  x->lq_old = x->lq;
  return 0;
}

static int tiny_step(struct calc_case *c, const struct settings *o, struct tiny *t, const double *rewards,
                     struct update_case *x, struct error *err)
{
  memset(t->ge, 0, t->e.rows * t->e.width * sizeof *t->ge);
  memset(t->gw, 0, t->w.rows * t->w.width * sizeof *t->gw);
  *x = (struct update_case){0};
  TRY(open_step(c, t, rewards, x, err));
  TRY(compute_update(c, o, x, err));
  for (size_t i = 0; i < t->response.row_count; i++) {
    walk(t, i, true, NULL, x->coef + x->rows.first[i]);
    walk(t, i, false, NULL, x->pre_coef + x->rows.first[i]);
  }
  return 0;
}

static int tiny_model(struct calc_case *c, const struct settings *o, struct error *err)
{
  struct tiny t = {0};
  struct update_case x;
  struct calc_matrix rewards;
  TRY(open_tiny(c, &t, err));
  TRY(calc_matrix(c, calc_need(c, "rewards", err), &rewards, err));
  if (rewards.rows[0].count != t.response.row_count)
    FAIL_AT(err, ERROR_INPUT, c->file, 0, "rewards", "found another number of rewards than of responses");
  TRY(tiny_step(c, o, &t, rewards.rows[0].at, &x, err));
  put_update(c->outputs, o, &x);
  json_object_set_new(c->outputs, "log_prob", calc_rows_matrix(&x.rows, x.rows.logp));
  json_object_set_new(c->outputs, "pre_log_prob", calc_rows_matrix(&x.rows, x.lq));
  json_object_set_new(c->grads, "E", calc_grid_json(t.ge, t.e.rows, t.e.width));
  json_object_set_new(c->grads, "W", calc_grid_json(t.gw, t.w.rows, t.w.width));
  return 0;
}

/* Rewards of step i, given in args.rewards_by_step, or where the document states the sequence. */
static const json_t *rewards_of(const struct calc_case *c, size_t i)
{
  const json_t *given = json_object_get(c->args, "rewards_by_step");
  if (given) return json_array_get(given, i);
  return json_object_get(json_array_get(json_object_get(c->stated, "states"), i), "rewards");
}

static json_t *put_state(const struct settings *o, const struct tiny *t, const struct update_case *x,
                         const json_t *rewards)
{
  json_t *row = json_object();
  put_update(row, o, x);
  json_object_set_new(row, "step", json_integer(o->step));
  json_object_set(row, "rewards", (json_t *)(uintptr_t)rewards);
  json_object_set_new(row, "W", calc_grid_json(t->w.at, t->w.rows, t->w.width));
  return row;
}

/* Plain gradient descent on W, one update a step. */
static int tiny_run(struct calc_case *c, struct settings *o, struct error *err)
{
  struct tiny t = {0};
  double lr;
  json_t *states = json_array();
  json_object_set_new(c->outputs, "states", states);
  TRY(open_tiny(c, &t, err));
  TRY(calc_real(c, "lr", 1, &lr, err));
  const json_t *rewards;
  for (size_t i = 0; (rewards = rewards_of(c, i)); i++) {
    struct update_case x;
    struct calc_matrix m;
    TRY(calc_matrix(c, rewards, &m, err));
    if (m.rows[0].count != t.response.row_count)
      FAIL_AT(err, ERROR_INPUT, c->file, 0, "rewards", "found another number of rewards than of responses");
    o->step = (int64_t)i + 1;
    TRY(tiny_step(c, o, &t, m.rows[0].at, &x, err));
    for (size_t k = 0; k < t.w.rows * t.w.width; k++) t.w.at[k] -= lr * t.gw[k];
    json_array_append_new(states, put_state(o, &t, &x, rewards));
  }
  return 0;
}

static int compute(struct calc_case *c, struct error *err)
{
  struct settings o;
  TRY(read_settings(c, &o, err));
  if (calc_is(c, "schedule")) return schedule_table(c, &o, err);
  if (calc_is(c, "model")) return tiny_model(c, &o, err);
  return calc_is(c, "run") ? tiny_run(c, &o, err) : update(c, &o, err);
}

const struct calc calc_prerl_dsrl = {
    .function = "prerl_dsrl",
    .help = "PreRL and DSRL: the loss on responses without their prompts, and when it holds",
    .compute = compute,
};
