/* laser: last-token self-rewarding (arXiv 2510.14943; code RUCBM/LaSeR).
 *
 *     r_s  = beta_v (log p(token in the slot behind the answer) - c_ref)                 part_self_score.h
 *     loss = grpo + alpha mean_i v_i w_i (r_s,i - right_i)^2        from step warm_loss + 1
 *     A    = (1 - tau) A_v + tau A_s                                from step warm_loss + warm_mix + 1
 *
 * One unused token is taught to be likelier behind right answers, from exp(-23) to exp(-13), which changes no answer.
 * What was cut off has no slot. The verdict alone says what is right. A_s: of the scores under the sampler's weights.
 */
#include "core/math.h"
#include "method/method.h"
#include "method/part_self_test.h"

#define OPTIONS(X)                                                                                                   \
  X(INT, token, 151652, 0, 1e9, NULL, "id of a token that answers never contain (z_c)")                              \
  X(REAL, c_ref, -23, -1e3, 1e3, NULL, "its log-probability before training; 0 or more: the reference's, each time") \
  X(BOOL, measure, 0, 0, 1, NULL, "c_ref is the mean over the run's first answers instead")                          \
  X(REAL, beta_v, 0.1, 0, 1e3, NULL, "score per nat: a right answer's token is to reach c_ref + 1 / beta_v")         \
  X(REAL, alpha, 0.1, 0, 1e6, NULL, "weight of the score's squared error")                                           \
  X(REAL, tau, 0.1, 0, 1, NULL, "share of the scores in the advantage")                                              \
  X(REAL, tau_f, 0.1, 0, 1e3, NULL, "scores enter a group's advantages where their standard deviation is above it")  \
  X(INT, warm_loss, 200, 0, 1e9, NULL, "steps before the error enters the loss (W_r)")                               \
  X(INT, warm_mix, 200, 0, 1e9, NULL, "further steps before scores enter the advantage (W_s)")                       \
  X(BOOL, class_weights, 1, 0, 1, NULL, "right and wrong answers of a mini-batch weigh the same")                    \
  X(REAL, bar, 0.5, -1e3, 1e3, NULL, "metrics: a score above it says that the answer is right")                      \
  X(ENUM, vote, SELF_VOTE_RAW, 0, 0, SELF_VOTE_WORDS, "metrics: what an answer adds to the vote of its group")
#define STATE(X)                                                      \
  X(double, measured, , "measure: log-probability, a mean over once") \
  X(bool, is_measured, , "it is there")

struct self {
  OPTIONS(OPTION_FIELD)
  STATE(STATE_FIELD)
};
static const struct method_option options[] = {OPTIONS(OPTION_ROW)};
static const struct state_field state[] = {STATE(STATE_ROW)};
static const struct metric metrics[] = {
    {"slot", "share", "answers that have a slot"},
    {"logp", "nats", "mean log-probability of the slot's token; in the first step: what c_ref should be"},
    {"score_right", "", "mean score of right answers that have a slot"},
    {"score_wrong", "", "mean score of wrong ones"},
    {"verified_right", "share", "readable right answers with a score above the bar"},
    {"verified_wrong", "share", "readable wrong answers with a score not above it"},
    {"f1", "", "harmonic mean of the two; 0 where a kind is absent"},
    {"vote", "share", "groups with an answer whose vote, weighed by scores, is right"},
    {"majority", "share", "the same where every answer counts one"},
    {"mixed", "share", "groups whose scores enter the advantage"},
    {"loss", "", "mean weighted squared error of the scores, in the last mini-batch"},
};
static const char REFERENCE[] = "laser_reference";

static bool is_on(const struct self *o)
{
  return o->alpha > 0 || o->tau > 0;
}

/* The exact form: the reference is asked for each slot. */
static bool asks(const struct self *o)
{
  return is_on(o) && !o->measure && !(o->c_ref < 0);
}

static int declare(const void *options_of, struct needs *out, struct error *err)
{
  const struct self *o = options_of;
  (void)err;
  if (!is_on(o)) return 0;
  out->flags |= NEED_SLOT | (o->alpha > 0 ? NEED_ALWAYS : 0) | (asks(o) ? NEED_REFERENCE_LOGP : 0);
  out->slot_token = (int32_t)o->token;
  out->slot_trained = o->alpha > 0;
  return 0;
}

/* ---- scores: [kept] in canonical order, 0 without a slot --------------------------------------------------------- */

/* Asks the reference for the slot's token behind every answer that has a slot; the value is a channel for metrics. */
static int reward(struct method_call *c, const struct step *s, struct channels *out, struct error *err)
{
  const struct self *o = c->self;
  if (!asks(o)) return 0;
  int32_t *id = ARENA_NEW(s->arena, int32_t, 1, "laser", err);
  if (!id) return err->code;
  *id = (int32_t)o->token;
  for (int32_t i = 0, next = 0; i < s->kept; i++) {
    const struct rollout *r = &s->rollouts[s->order[i]];
    if (r->attempt != s->wave || r->finish != FINISH_STOP || r->length >= s->max_new_tokens) continue;
    if (out->asking.answers) {
      TRY(reward_add(out, REFERENCE, true, s->order[i], (double)out->asking.answers[next++].logp[0], err));
      continue;
    }
    struct request *q;
    TRY(ask(&out->asking, REQUEST_SCORE, "laser", &q, err));
    q->segment = r->leaf;
    q->ids = id;
    q->id_count = 1;
    q->policy = "reference";
  }
  return 0;
}

/* The score of a rollout whose slot has this log-probability; NaN: it has no slot. Untempered up to the normaliser, as
 * in the released code: the log-probability at temperature T, times T. */
static double score_of(const struct self *o, const struct step *s, int32_t rollout, double logp)
{
  double reference = __builtin_nan("");
  if (asks(o)) (void)step_get_channel(s, rollout, step_find_channel(s, REFERENCE), &reference);
  struct self_score of = {o->beta_v, o->is_measured ? o->measured : o->measure ? 0 : o->c_ref};
  return self_score(&of, logp * s->temperature, reference * s->temperature);
}

static double slot_of(const struct step *s, int32_t rollout)
{
  return s->slot_logp ? s->slot_logp[rollout] : __builtin_nan("");
}

/* The step's mean log-probability; the run's first one may be c_ref. */
static void measure(struct method_call *c, const struct step *s)
{
  struct self *o = c->self;
  double sum = 0, count = 0;
  for (int32_t i = 0; i < s->kept; i++) {
    double logp = slot_of(s, s->order[i]) * s->temperature;
    sum += math_is_nan(logp) ? 0 : logp;
    count += !math_is_nan(logp);
  }
  if (!(count > 0)) return;
  method_report(c, "logp", sum / count);
  if (o->is_measured || !o->measure) return;
  o->measured = sum / count;
  o->is_measured = true;
}

static int read_scores(struct method_call *c, const struct step *s, double **out, struct error *err)
{
  const struct self *o = c->self;
  double sum[2] = {0}, count[2] = {0}; /* of wrong answers, of right ones */
  double *x = *out = ARENA_NEW(c->scratch, double, (size_t)s->kept + 1, "laser", err);
  if (!x) return err->code;
  for (int32_t i = 0; i < s->kept; i++) {
    double score = score_of(o, s, s->order[i], slot_of(s, s->order[i]));
    if (math_is_nan(score)) continue;
    bool right = s->rollouts[s->order[i]].verdict.correct;
    x[i] = score;
    sum[right] += score;
    count[right]++;
  }
  method_report(c, "slot", s->kept ? (count[0] + count[1]) / s->kept : 0);
  if (count[1] > 0) method_report(c, "score_right", sum[1] / count[1]);
  if (count[0] > 0) method_report(c, "score_wrong", sum[0] / count[0]);
  return 0;
}

/* What answers chosen by their scores would be worth. */
static void report_test(struct method_call *c, const struct self_test *t)
{
  method_report(c, "verified_right", t->verified.right);
  method_report(c, "verified_wrong", t->verified.wrong);
  method_report(c, "f1", t->verified.f1);
  method_report(c, "vote", t->vote);
  method_report(c, "majority", t->majority);
}

/* ---- the advantage and the loss --------------------------------------------------------------------------------- */

static struct self_phase phase_of(const struct self *o, const struct step *s)
{
  return self_phase(s->number + 1, o->warm_loss, o->warm_mix);
}

/* s_i = clip(r_s, 0, 1), A_s = (s_i - mean s) / std s; where std s > tau_f: A = (1 - tau) A_v + tau A_s at every token.
 * room: [2 count]. Returns whether the scores entered. */
static bool mix(const struct self *o, const struct step *s, const struct group *g, const double *score, double *room,
                double *advantage)
{
  double *clipped = room, *credit = room + g->count;
  for (int32_t i = 0; i < g->count; i++) clipped[i] = math_clamp(score[g->first + i], 0, 1);
  if (!g->count || !self_advantage(clipped, g->count, o->tau_f, credit).used) return false;
  for (int32_t i = 0; i < g->count; i++) {
    const struct rollout *r = &s->rollouts[s->order[g->first + i]];
    for (int32_t p = r->path; p < r->path + r->path_count; p++)
      advantage[p] = (1 - o->tau) * advantage[p] + o->tau * credit[i];
  }
  return true;
}

static int advantage(struct method_call *c, const struct step *s, struct credit *out, struct error *err)
{
  const struct self *o = c->self;
  struct self_test test;
  double *score, mixed = 0;
  TRY(c->base->method->advantage(c->base, s, out, err));
  if (!is_on(o)) return 0;
  measure(c, s);
  TRY(read_scores(c, s, &score, err));
  TRY(self_test(s, score, o->bar, (enum self_vote)o->vote, c->scratch, &test, err));
  report_test(c, &test);
  double *room = ARENA_NEW(c->scratch, double, 2 * (size_t)s->kept + 1, "laser", err);
  for (int32_t g = 0; room && o->tau > 0 && phase_of(o, s).mix && g < s->group_count; g++)
    mixed += mix(o, s, &s->groups[g], score, room, out->advantage);
  method_report(c, "mixed", s->group_count ? mixed / s->group_count : 0);
  return room ? 0 : err->code;
}

/* L_s = alpha mean_i v_i w_i (r_s,i - right_i)^2 over all n answers of the mini-batch, v_i 1 where there is a slot. The
 * error of a score stands with its answer's first token; the derivative is the slot's: d r_s / d logp = beta_v T. */
static int regularise(struct method_call *c, const struct minibatch *m, struct loss *out, struct error *err)
{
  const struct self *o = c->self;
  const struct step *s = m->step;
  int32_t n = m->rollout_count, sequence = 0;
  if (!(o->alpha > 0) || !phase_of(o, s).loss) return 0;
  double *score = ARENA_NEW(c->scratch, double, (size_t)n + 1, "laser", err), all = 0;
  bool *valid = ARENA_NEW(c->scratch, bool, 2 * (size_t)n + 1, "laser", err);
  if (!score || !valid) return err->code;
  bool *right = valid + n;
  for (int32_t i = 0; i < n; i++) {
    score[i] = score_of(o, s, m->rollouts[i], m->slot_logp[i]);
    valid[i] = !math_is_nan(score[i]);
    right[i] = s->rollouts[m->rollouts[i]].verdict.correct;
  }
  struct self_classes classes = self_classes(valid, right, n, o->class_weights);
  for (int32_t i = 0; i < n; i++) {
    bool has_tokens = sequence < m->sequence_count && m->sequences[sequence].rollout == m->rollouts[i];
    int32_t first = has_tokens ? m->sequences[sequence++].first : -1;
    if (!valid[i]) continue;
    struct self_square e = self_square(&classes, score[i], right[i]); /* w (r_s - right)^2 */
    out->slot_coef[i] = o->alpha * e.coef * o->beta_v * s->temperature / n;
    if (has_tokens) out->loss[first] = o->alpha * e.value / n;
    all += e.value / n;
  }
  method_report(c, "loss", all);
  return 0;
}

const struct method method_laser = {
    .name = "laser",
    .title = "LaSeR: last-token self-rewarding",
    .paper = "arXiv 2510.14943; code RUCBM/LaSeR",
    .number = 29,
    .base = "grpo",
    .neutral = "alpha=0 tau=0",
    .needs = NEED_SLOT | NEED_ALWAYS | NEED_REFERENCE_LOGP,
    METHOD_OPTIONS(options),
    METHOD_STATE(state),
    METHOD_METRICS(metrics),
    .declare = declare,
    .reward = reward,
    .advantage = advantage,
    .regularise = regularise,
};
