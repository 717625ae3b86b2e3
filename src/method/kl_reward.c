/* kl_reward: the KL to the reference as a part of the reward, token by token, instead of a term of the loss.
 *
 *     rho_t = R on the last token - coef KL_t        KL_t: an estimator of part_kl.h, of the policy that sampled
 *
 * Methods with returns (reinforce, reinforce_pp, remax, ppo, optimal_token_baseline) discount rho; the others compare
 * rollouts by its sum. k1 is the right estimator in a reward: its expected gradient there is that of the KL (arXiv
 * 1909.08593, section 2; arXiv 2402.14740). `controller: adaptive` moves coef after every step towards a KL of
 * `target` (arXiv 1909.08593, section 2.2): coef (1 + clamp(KL / target - 1, -0.2, 0.2) rollouts / horizon), where KL
 * is the mean over rollouts of their tokens' mean.
 */
#include "method/method.h"
#include "method/part_kl.h"

enum controller { FIXED, ADAPTIVE };

#define OPTIONS(X)                                                                                             \
  X(REAL, coef, 0.001, 0, 1e6, NULL, "weight of the KL; 0: no reference is kept")                              \
  X(ENUM, type, KL_K1, 0, 0, KL_WORDS, "its estimator; a plus changes nothing in a reward")                    \
  X(ENUM, clamp, KL_CLAMP_NONE, 0, 0, "none|verl|openrlhf", "bounds of its values: none; k3 at 10; all at 10") \
  X(ENUM, controller, FIXED, 0, 0, "fixed|adaptive", "whether coef follows a target")                          \
  X(REAL, target, 6, 1e-9, 1e9, NULL, "adaptive: KL that is aimed at")                                         \
  X(REAL, horizon, 10000, 1, 1e12, NULL, "adaptive: rollouts over which coef moves")
#define STATE(X)                                                       \
  X(double, change, , "coef is the option times 1 + this")             \
  X(double, kl, , "KL of the step, rollouts it was measured on below") \
  X(double, rollouts, , "how many")

struct self {
  OPTIONS(OPTION_FIELD)
  STATE(STATE_FIELD)
};
static const struct method_option options[] = {OPTIONS(OPTION_ROW)};
static const struct state_field state[] = {STATE(STATE_ROW)};
static const struct metric metrics[] = {{"kl", "nats", "mean over rollouts of the mean estimate per token"},
                                        {"coef", "1", "weight of the KL in this step"}};

static int declare(const void *options_of, struct needs *out, struct error *err)
{
  const struct self *o = options_of;
  (void)err;
  if (o->coef > 0) out->flags |= NEED_REFERENCE_LOGP;
  return 0;
}

static int shape(struct method_call *c, const struct step *s, struct shaping *out, struct error *err)
{
  struct self *o = c->self;
  double coef = o->coef * (1 + o->change);
  TRY(c->base->method->shape(c->base, s, out, err));
  if (o->coef > 0 && !s->reference)
    FAIL(err, ERROR_INPUT,
         "the reference's log-probabilities are not there before rewards are shaped; expected a "
         "training run with a reference");
  o->kl = o->rollouts = 0;
  out->uses_dense = o->coef > 0;
  for (int32_t i = 0; out->uses_dense && i < s->kept; i++) {
    const struct rollout *r = &s->rollouts[s->order[i]];
    double sum = 0;
    for (int32_t p = r->path; p < r->path + r->path_count; p++) {
      double kl =
          kl_estimate((enum kl_type)o->type, (double)step_record(s, p)->logp, s->reference[p], (enum kl_clamp)o->clamp)
              .value;
      out->dense[p] -= coef * kl;
      sum += kl;
    }
    o->kl += r->path_count ? sum / r->path_count : 0;
    o->rollouts += r->path_count > 0;
  }
  if (o->rollouts > 0) o->kl /= o->rollouts;
  method_report(c, "kl", o->kl);
  method_report(c, "coef", coef);
  return 0;
}

static int observe(struct method_call *c, const struct step *s, struct observation *seen, struct error *err)
{
  struct self *o = c->self;
  (void)s;
  (void)seen;
  (void)err;
  if (o->controller == ADAPTIVE)
    o->change = kl_controlled(1 + o->change, o->kl, o->target, o->rollouts, o->horizon) - 1;
  return 0;
}

const struct method method_kl_reward = {
    .name = "kl_reward",
    .title = "KL to the reference in the reward",
    .paper = "arXiv 1909.08593, section 2; arXiv 2402.14740",
    .base = "grpo",
    .needs = NEED_REFERENCE_LOGP,
    METHOD_OPTIONS(options),
    METHOD_STATE(state),
    METHOD_METRICS(metrics),
    .declare = declare,
    .shape = shape,
    .observe = observe,
};
