/* pgbc_pgfc: credit from a verifier that errs at known rates (arXiv 2510.00915).
 *
 *     rho0 = P(r = 1 | wrong), rho1 = P(r = 0 | right), c = 1 - rho0 - rho1
 *     pgbc   A_i = (x_i - mean of the others' x) / scale     x = (r - rho0) / c: its expectation is the true reward
 *     pgfc   A_i = (r_i - (1 - rho1)) / scale                rho1 alone; no baseline, no group's deviation
 *     noise  the same without the correction: what they are compared with
 *
 * The numbers stand on the tokens as they are: both are affine in r, and GRPO's standardisation would give back the
 * uncorrected ones. A group of equal rewards is trained under pgfc. With a judge, a random part of what the rule
 * rejects is judged again, and a moving average of rho1 follows what it overturns (part_channel.h); the reward stays
 * the rule's unless `replace` says otherwise. Inferred: pgbc's scale of 1, the average's start at rho1.
 */
#include "method/method.h"
#include "method/part_channel.h"
#include "method/part_plain.h"
#include "method/part_return.h"

#define OPTIONS(X)                                                                                                     \
  X(ENUM, mode, CHANNEL_FORWARD, 0, 0, CHANNEL_WORDS, "which correction; none: the base")                              \
  X(REAL, rho0, 0.1, 0, 0.75, NULL, "rate of wrong responses that the verifier accepts; rho0 + rho1 < 1")              \
  X(REAL, rho1, 0.2, 0, 0.75, NULL, "rate of right responses that it rejects; with a judge, where its average begins") \
  X(ENUM, scale, CHANNEL_SCALE_ONE, 0, 0, "one|c|1-rho1", "what the coefficients are divided by")                      \
  X(REAL, scale_by, 1, 1e-6, 1e6, NULL, "and a number beside it")                                                      \
  X(ENUM, baseline, CHANNEL_BASELINE_AUTO, 0, 0, "auto|loo|none", "auto: leave-one-out for pgbc, none otherwise")      \
  X(REAL, eps_c, 1e-6, 1e-12, 1, NULL, "least c and 1 - rho1, where the average drifts")                               \
  X(STRING, judge, 0, 0, 0, NULL, "verifier kind that hears appeals; unset: none")                                     \
  X(REAL, q, 0.1, 1e-6, 1, NULL, "probability that a rejected response is appealed")                                   \
  X(REAL, prior_a, 1e-5, 1e-12, 1e6, NULL, "false negatives that the estimate begins with")                            \
  X(REAL, prior_b, 1e-5, 1e-12, 1e6, NULL, "accepted responses that it begins with")                                   \
  X(REAL, decay, 0.9, 0, 1, NULL, "of the average of rho1")                                                            \
  X(BOOL, skip_empty, 0, 0, 1, NULL, "steps without any accepted or overturned response leave the average alone")      \
  X(BOOL, replace, 0, 0, 1, NULL, "an overturned verdict counts as reward 1 (the paper's ablation)")
#define STATE(X)                                                 \
  X(double, estimate, , "moving average of rho1")                \
  X(bool, begun, , "it has seen a step")                         \
  X(int64_t, accepted, , "of the step: responses with reward 1") \
  X(int64_t, appealed, , "of the step: responses judged again")  \
  X(int64_t, overturned, , "of the step: found right by the judge")

struct self {
  OPTIONS(OPTION_FIELD)
  STATE(STATE_FIELD)
  int32_t *asked, asked_count; /* of the wave, in the step's arena */
  bool *turned;                /* [turned_count] by rollout, in the step's arena */
  int32_t turned_count;
};
static const struct method_option options[] = {OPTIONS(OPTION_ROW)};
static const struct state_field state[] = {STATE(STATE_ROW)};
static const struct metric metrics[] = {
    {"rho1", "", "rate of false negatives that the step's credit assumes"},
    {"rho1_step", "", "estimate of this step alone"},
    {"appealed", "responses", "judged again"},
    {"overturned", "responses", "of these, found right"},
    {"graded", "share", "of rewards beside 0 and 1, for which the correction is not known to be unbiased"},
    {"audit_mean", "", "mean |A - A of the uncorrected control| over tokens; 0: the correction does nothing"},
    {"audit_max", "", "largest such difference"},
    {"audit_cosine", "", "between the two; 0 where one is zero"},
};

static int declare(const void *options_of, struct needs *out, struct error *err)
{
  const struct self *o = options_of;
  if (!(o->rho0 + o->rho1 < 1))
    FAIL(err, ERROR_INPUT, "pgbc_pgfc: found rho0 + rho1 = %g; expected below 1: such verdicts say nothing",
         o->rho0 + o->rho1);
  if (o->judge && o->mode != CHANNEL_NONE) out->flags |= NEED_JUDGE;
  return 0;
}

/* ---- appeals ----------------------------------------------------------------------------------------------------- */

static bool is_appealed(struct method_call *c, const struct step *s, int32_t rollout)
{
  const struct self *o = c->self;
  const struct rollout *r = &s->rollouts[rollout];
  struct rng_at at = method_rng(c, s->number, s->groups[r->group].ordinal, r->attempt, r->ordinal, 0);
  return rng_uniform(c->seed, &at) < o->q;
}

/* Counts the wave's verdicts, and asks. */
static int ask_wave(struct method_call *c, const struct step *s, struct asking *a, struct error *err)
{
  struct self *o = c->self;
  o->asked_count = 0;
  o->asked = ARENA_NEW(a->arena, int32_t, (size_t)s->kept + 1, "appeals", err);
  bool *turned = ARENA_NEW(a->arena, bool, (size_t)s->rollout_count + 1, "appeals", err);
  if (!o->asked || !turned) return err->code;
  for (int32_t r = 0; r < o->turned_count && s->wave > 0; r++) turned[r] = o->turned[r];
  o->turned = turned;
  o->turned_count = s->rollout_count;
  if (s->wave == 0) o->accepted = o->appealed = o->overturned = 0;
  for (int32_t i = 0; i < s->kept; i++) {
    int32_t r = s->order[i];
    struct request *q;
    double reward;
    if (s->rollouts[r].attempt != s->wave || !step_get_channel(s, r, 0, &reward)) continue;
    o->accepted += reward >= 1;
    if (reward >= 1 || !is_appealed(c, s, r)) continue;
    TRY(ask(a, REQUEST_JUDGE, "appeal", &q, err));
    q->rollout = r;
    q->verifier = o->judge;
    o->asked[o->asked_count++] = r;
  }
  o->appealed += o->asked_count;
  return 0;
}

/* After the wave's rewards are final: another method may have rewritten them. */
static int revise(struct method_call *c, const struct step *s, struct revision *out, struct error *err)
{
  struct self *o = c->self;
  if (!o->judge || o->mode == CHANNEL_NONE) return 0;
  if (out->asking.round == 0) return ask_wave(c, s, &out->asking, err);
  for (int32_t i = 0; i < out->asking.answer_count && i < o->asked_count; i++) {
    const struct verdict *v = out->asking.answers[i].verdict;
    bool right = v && v->status == VERDICT_OK && v->correct;
    o->turned[o->asked[i]] = right;
    o->overturned += right;
  }
  return 0;
}

static void estimate(struct method_call *c)
{
  struct self *o = c->self;
  const struct appeal_options a = {o->q, o->prior_a, o->prior_b, o->decay, o->skip_empty};
  if (!o->judge) return;
  struct appeal now = channel_appeal(&a, o->begun ? o->estimate : o->rho1, (double)o->overturned, (double)o->accepted);
  o->estimate = now.rho1;
  o->begun = true;
  method_report(c, "rho1_step", now.step);
  method_report(c, "appealed", (double)o->appealed);
  method_report(c, "overturned", (double)o->overturned);
}

/* ---- credit ------------------------------------------------------------------------------------------------------ */

struct rule {
  const struct self *o;
  struct error_rates rates;
  enum channel_mode mode;
  double scale, *x; /* x: [kept] */
};

static void credit_group(const void *arg, const struct step *s, const int32_t *members, double *reward, int32_t n,
                         double *out)
{
  const struct rule *r = arg;
  bool replace = r->o->replace && r->o->judge;
  (void)s;
  for (int32_t i = 0; replace && i < n; i++)
    if (members[i] < r->o->turned_count && r->o->turned[members[i]]) reward[i] = 1;
  bool loo = channel_leaves_one_out((enum channel_mode)r->o->mode, (enum channel_baseline)r->o->baseline);
  channel_credit(&r->rates, r->mode, loo, r->scale, reward, n, r->x, out);
}

/* Share of the rewards that are neither 0 nor 1: the same map, but no statement about its expectation. */
static double graded_share(const struct step *s)
{
  double graded = 0;
  for (int32_t i = 0; i < s->kept; i++) {
    double x = return_whole(s, s->order[i]);
    graded += (x < 0 || x > 0) && (x < 1 || x > 1);
  }
  return s->kept ? graded / s->kept : 0;
}

static int advantage(struct method_call *c, const struct step *s, struct credit *out, struct error *err)
{
  const struct self *o = c->self;
  if (o->mode == CHANNEL_NONE) return c->base->method->advantage(c->base, s, out, err);
  estimate(c);
  struct rule rule = {o, {o->rho0, o->judge ? o->estimate : o->rho1, o->eps_c}, (enum channel_mode)o->mode, 1, NULL};
  rule.scale = o->scale_by * channel_scale(&rule.rates, (enum channel_scale)o->scale);
  rule.x = ARENA_NEW(c->scratch, double, (size_t)s->kept + 1, "pgbc_pgfc", err);
  double *control = ARENA_NEW(c->scratch, double, (size_t)s->path_count + 1, "pgbc_pgfc", err);
  if (!rule.x || !control) return err->code;
  TRY(plain_by_group(c->scratch, s, credit_group, &rule, out->advantage, err));
  rule.mode = CHANNEL_NOISE;
  TRY(plain_by_group(c->scratch, s, credit_group, &rule, control, err));
  struct audit a = channel_audit(out->advantage, control, s->path_count);
  method_report(c, "graded", graded_share(s));
  method_report(c, "rho1", rule.rates.rho1);
  method_report(c, "audit_mean", a.mean_abs);
  method_report(c, "audit_max", a.max_abs);
  method_report(c, "audit_cosine", a.cosine);
  return 0;
}

const struct method method_pgbc_pgfc = {
    .name = "pgbc_pgfc",
    .title = "Credit from a noisy verifier, corrected backward or forward, with appeals",
    .paper = "arXiv 2510.00915, corrections and appeals",
    .number = 10,
    .base = "grpo",
    .neutral = "mode=none",
    .needs = NEED_JUDGE,
    METHOD_OPTIONS(options),
    METHOD_STATE(state),
    METHOD_METRICS(metrics),
    .declare = declare,
    .revise = revise,
    .advantage = advantage,
};
