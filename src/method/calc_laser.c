/* LaSeR (arXiv 2510.14943): part_self_score.h. */
#include "core/math.h"
#include "method/calc.h"
#include "method/part_divergence.h"
#include "method/part_group.h"
#include "method/part_rows.h"
#include "method/part_self_score.h"

struct laser_case {
  int32_t n; /* answers */
  struct calc_groups groups;
  struct self_score score;
  double alpha, tau, tau_f;
  bool *valid, *right;
  double *reward, *now, *old, *reference;                         /* [n] log-probabilities of the slot */
  double *s, *mean, *sd, *verifier, *own, *mixed, *square, *coef; /* [n] */
  double *r;                                                      /* [n] scores under the current policy */
  struct self_classes classes;
  double loss;
};

static int read_list(struct calc_case *c, const char *key, int32_t n, double **out, struct error *err)
{
  struct calc_matrix m;
  if (!json_object_get(c->inputs, key)) return 0;
  TRY(calc_matrix(c, calc_need(c, key, err), &m, err));
  if (m.rows[0].count != (size_t)n)
    FAIL_AT(err, ERROR_INPUT, c->file, 0, key, "found %zu numbers; expected one for each of %d rewards",
            m.rows[0].count, n);
  *out = m.rows[0].at;
  return 0;
}

static int read_rewards(struct calc_case *c, struct laser_case *x, struct error *err)
{
  struct calc_matrix m;
  double *valid = NULL;
  TRY(calc_matrix(c, calc_need(c, "rewards", err), &m, err));
  x->n = (int32_t)m.rows[0].count;
  x->reward = m.rows[0].at;
  TRY(read_list(c, "valid", x->n, &valid, err));
  x->valid = ARENA_NEW(c->arena, bool, (size_t)x->n + 1, "calc", err);
  x->right = ARENA_NEW(c->arena, bool, (size_t)x->n + 1, "calc", err);
  if (!x->valid || !x->right) return err->code;
  for (int32_t i = 0; i < x->n; i++) {
    x->right[i] = x->reward[i] > 0.5;
    x->valid[i] = !valid || valid[i] > 0;
    if (math_abs(x->reward[i] - x->right[i]) > 0)
      FAIL_AT(err, ERROR_INPUT, c->file, 0, "rewards",
              "found the reward %g; expected 0 or 1: the score learns right and wrong", x->reward[i]);
  }
  return 0;
}

static int open_case(struct calc_case *c, struct laser_case *x, struct error *err)
{
  TRY(calc_real(c, "c_ref", -23, &x->score.c, err));
  TRY(calc_real(c, "beta_v", 0.1, &x->score.beta, err));
  TRY(calc_real(c, "alpha", 0.1, &x->alpha, err));
  TRY(calc_real(c, "tau", 0.1, &x->tau, err));
  TRY(calc_real(c, "tau_f", 0.1, &x->tau_f, err));
  TRY(read_rewards(c, x, err));
  size_t n = (size_t)x->n + 1;
  double **lists[] = {&x->now, &x->old, &x->reference, &x->s,      &x->mean, &x->sd,
                      &x->own, &x->r,   &x->mixed,     &x->square, &x->coef, &x->verifier};
  for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
    if (!(*lists[i] = ARENA_NEW(c->arena, double, n, "calc", err))) return err->code;
  TRY(read_list(c, "slot_log_prob", x->n, &x->now, err));
  TRY(read_list(c, "old_slot_log_prob", x->n, &x->old, err));
  TRY(read_list(c, "ref_slot_log_prob", x->n, &x->reference, err));
  return calc_groups(c, "group", (size_t)x->n, 0, &x->groups, err);
}

/* The verifier's credit and, where scores differ enough, their own beside it. */
static int credit(struct calc_case *c, struct laser_case *x, struct error *err)
{
  double eps, *work = ARENA_NEW(c->arena, double, 4 * (size_t)x->n + 4, "calc", err);
  if (!work) return err->code;
  TRY(calc_real(c, "adv_eps", 1e-6, &eps, err));
  for (size_t g = 0; g < x->groups.count; g++) {
    const size_t *member = x->groups.member + x->groups.first[g];
    int32_t n = (int32_t)(x->groups.first[g + 1] - x->groups.first[g]);
    double *reward = work, *s = work + n, *verifier = s + n, *own = verifier + n;
    for (int32_t i = 0; i < n; i++) {
      size_t k = member[i];
      reward[i] = x->reward[k];
      s[i] = x->valid[k] ? math_clamp(self_score(&x->score, x->old[k], x->reference[k]), 0, 1) : 0;
    }
    group_normalised(reward, n, true, eps, verifier);
    for (int32_t i = 0; i < n; i++) own[i] = verifier[i];
    struct self_group of = self_advantage(s, n, x->tau_f, own);
    for (int32_t i = 0; i < n; i++) {
      size_t k = member[i];
      x->s[k] = s[i];
      x->mean[k] = of.mean;
      x->sd[k] = of.sd;
      x->verifier[k] = verifier[i];
      x->own[k] = own[i];
      x->mixed[k] = (1 - x->tau) * verifier[i] + x->tau * own[i];
    }
  }
  return 0;
}

static void squares(const struct calc_case *c, struct laser_case *x)
{
  x->classes = self_classes(x->valid, x->right, x->n, calc_flag(c, "class_weights", true));
  for (int32_t i = 0; i < x->n; i++) {
    x->r[i] = self_score(&x->score, x->now[i], x->reference[i]);
    if (!x->valid[i]) continue;
    struct self_square e = self_square(&x->classes, x->r[i], x->right[i]);
    x->square[i] = e.value;
    x->coef[i] = e.coef * x->score.beta / x->n;
    x->loss += e.value / x->n;
  }
}

static void put_scores(const struct calc_case *c, const struct laser_case *x, bool mixed)
{
  const struct {
    const char *key;
    const double *list;
    bool always;
  } out[] = {{"score", x->r, true},
             {"weighted_square", x->square, true},
             {"verifier_advantage", x->verifier, true},
             {"s", x->s, false},
             {"mean", x->mean, false},
             {"std", x->sd, false},
             {"advantage", x->mixed, false},
             {"self_advantage", x->own, false}};
  for (size_t i = 0; i < sizeof out / sizeof *out; i++)
    if (mixed || out[i].always) json_object_set_new(c->outputs, out[i].key, calc_list(out[i].list, (size_t)x->n));
  struct self_classes balanced = self_classes(x->valid, x->right, x->n, true); /* shown where they are not used, too */
  json_object_set_new(c->outputs, "n_correct", json_integer((json_int_t)balanced.right));
  json_object_set_new(c->outputs, "n_incorrect", json_integer((json_int_t)balanced.wrong));
  calc_put(c->outputs, "w_correct", balanced.weight_right);
  calc_put(c->outputs, "w_incorrect", balanced.weight_wrong);
  calc_put(c->outputs, "self_loss", x->loss);
}

static int read_phase(struct calc_case *c, int64_t step, struct self_phase *out, struct error *err)
{
  int64_t loss_after, mix_after;
  TRY(calc_int(c, "W_r", 200, &loss_after, err));
  TRY(calc_int(c, "W_s", 200, &mix_after, err));
  *out = self_phase(step, loss_after, mix_after);
  return 0;
}

static int policy(struct calc_case *c, struct laser_case *x, struct self_phase on, struct error *err)
{
  struct calc_rows b;
  double policy_loss;
  TRY(calc_rows_open(c, &b, err));
  size_t n = (size_t)b.count + 1;
  double *advantage = ARENA_NEW(c->arena, double, 2 * n, "calc", err);
  if (!advantage) return err->code;
  calc_rows_spread(&b, on.mix ? x->mixed : x->verifier, advantage);
  struct calc_loss l = {.advantage = advantage, .aggregation = calc_text(c, "agg", "token-mean")};
  TRY(calc_real(c, "clip_low", 0.2, &l.bounds.low, err));
  TRY(calc_real(c, "clip_high", 0.2, &l.bounds.high, err));
  TRY(calc_real(c, "dual_clip", 3, &l.bounds.dual, err));
  TRY(calc_rows_loss(c, &b, &l, &policy_loss, advantage + n, err));
  double weight = on.loss ? x->alpha : 0;
  for (int32_t i = 0; i < x->n; i++) x->coef[i] *= weight;
  calc_put(c->outputs, "pg_loss", policy_loss);
  calc_put(c->outputs, "loss", policy_loss + weight * x->loss);
  json_object_set_new(c->grads, "log_prob", calc_rows_matrix(&b, advantage + n));
  json_object_set_new(c->grads, "slot_log_prob", calc_list(x->coef, (size_t)x->n));
  return 0;
}

static int update(struct calc_case *c, struct error *err)
{
  struct laser_case x = {0};
  struct self_phase on;
  int64_t step;
  TRY(open_case(c, &x, err));
  TRY(credit(c, &x, err));
  squares(c, &x);
  TRY(calc_int(c, "step", 401, &step, err));
  TRY(read_phase(c, step, &on, err));
  put_scores(c, &x, on.mix);
  if (json_object_get(c->inputs, "response_mask")) return policy(c, &x, on, err);
  json_object_set_new(c->grads, "slot_log_prob (of self_loss)", calc_list(x.coef, (size_t)x.n));
  return 0;
}

/* ---- tables ------------------------------------------------------------------------------------------------------ */

/* From the logits in the slot to the loss of one answer. */
static int slot_logits(struct calc_case *c, struct error *err)
{
  struct calc_matrix m;
  struct self_score of;
  double reward, weight, token;
  TRY(calc_matrix(c, calc_need(c, "slot_logits", err), &m, err));
  TRY(calc_real(c, "c_ref", -23, &of.c, err));
  TRY(calc_real(c, "beta_v", 0.1, &of.beta, err));
  TRY(calc_real(c, "reward", 1, &reward, err));
  TRY(calc_real(c, "weight", 1, &weight, err));
  int32_t v = (int32_t)m.rows[0].count;
  token = json_number_value(json_object_get(c->inputs, "z_c"));
  if (!(token >= 0 && token < v))
    FAIL_AT(err, ERROR_INPUT, c->file, 0, "z_c", "found %g; expected a token below %d", token, v);
  double *z = m.rows[0].at, logp, score;
  divergence_log_softmax(z, v, z);
  logp = z[(int32_t)token];
  score = self_score(&of, logp, of.c);
  const struct self_classes one = {.weight_right = weight, .weight_wrong = weight};
  struct self_square e = self_square(&one, score, reward > 0.5);
  calc_put(c->outputs, "log_prob", logp);
  calc_put(c->outputs, "score", score);
  calc_put(c->outputs, "self_loss", e.value);
  for (int32_t k = 0; k < v; k++) z[k] = e.coef * of.beta * ((k == (int32_t)token) - math_exp(z[k]));
  json_object_set_new(c->grads, "slot_logits", calc_list(z, (size_t)v));
  return 0;
}

static int phases(struct calc_case *c, struct error *err)
{
  struct calc_matrix m;
  TRY(calc_matrix(c, calc_need(c, "step", err), &m, err));
  json_t *out = json_array();
  json_object_set_new(c->outputs, "phase", out);
  for (size_t i = 0; i < m.rows[0].count; i++) {
    struct self_phase on;
    TRY(read_phase(c, (int64_t)m.rows[0].at[i], &on, err));
    json_array_append_new(out, json_pack("{s:b, s:b}", "loss", on.loss, "mix", on.mix));
  }
  return 0;
}

static int verification(struct calc_case *c, struct error *err)
{
  struct laser_case x = {0};
  double *score = NULL, bar;
  TRY(read_rewards(c, &x, err));
  TRY(read_list(c, "scores", x.n, &score, err));
  TRY(calc_real(c, "bar", 0.5, &bar, err));
  struct self_verified v = self_verify(x.right, score, x.n, bar);
  calc_put(c->outputs, "accuracy_right", v.right);
  calc_put(c->outputs, "accuracy_wrong", v.wrong);
  calc_put(c->outputs, "f1", v.f1);
  return 0;
}

static int votes(struct calc_case *c, struct error *err)
{
  static const char *const WORDS[] = {"raw", "clip", "count"};
  const json_t *answers = json_object_get(c->inputs, "answers");
  size_t n = json_array_size(answers);
  double *score = NULL, *sum = ARENA_NEW(c->arena, double, n + 1, "calc", err);
  const char **answer = ARENA_NEW(c->arena, const char *, n + 1, "calc", err);
  int32_t *first = ARENA_NEW(c->arena, int32_t, n + 1, "calc", err), winner;
  if (!sum || !answer || !first) return err->code;
  TRY(calc_need(c, "scores", err) ? read_list(c, "scores", (int32_t)n, &score, err) : err->code);
  for (size_t i = 0; i < n; i++) answer[i] = json_string_value(json_array_get(answers, i));
  for (int how = SELF_VOTE_RAW; how <= SELF_VOTE_COUNT; how++) {
    int32_t count = self_vote(answer, score, (int32_t)n, (enum self_vote)how, first, sum, &winner);
    json_t *names = json_array();
    for (int32_t k = 0; k < count; k++) json_array_append_new(names, json_string(answer[first[k]]));
    json_object_set_new(c->outputs, WORDS[how],
                        json_pack("{s:o, s:o, s:o}", "sums", calc_list(sum, (size_t)count), "answers", names, "winner",
                                  winner < 0 ? json_null() : json_string(answer[first[winner]])));
  }
  return 0;
}

static int compute(struct calc_case *c, struct error *err)
{
  if (json_object_get(c->inputs, "slot_logits")) return slot_logits(c, err);
  if (json_object_get(c->inputs, "answers")) return votes(c, err);
  if (calc_is(c, "phases")) return phases(c, err);
  return calc_is(c, "verification") ? verification(c, err) : update(c, err);
}

const struct calc calc_laser = {
    .function = "laser",
    .help = "self-scores read off one unused token behind the answer: their loss, their credit, their vote",
    .compute = compute,
};
