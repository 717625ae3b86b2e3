/* kl_cov: entropy is spent where advantage and log-probability are both large; those tokens pay for moving away from
 * the sampler (arXiv 2505.22617, section 4.2).
 *
 *     C_t = (A_t - mean A) (logp_t - mean logp)                   over the tokens of the mini-batch
 *     L_t = -A r, + coef |logp - old| at the max(1, floor(share * tokens)) tokens of largest C
 *
 * There is no clip, as in the paper. At logp = old the penalty has no gradient.
 */
#include "core/math.h"
#include "method/method.h"
#include "method/part_aggregate.h"
#include "method/part_clip.h"
#include "method/part_covariance.h"

#define OPTIONS(X)                                                                                        \
  X(REAL, share, 0.0002, 0, 1, NULL, "part of the mini-batch's tokens that pay; 0: none")                 \
  X(REAL, coef, 1, 0, 1e6, NULL, "weight of |logp - old| there")                                          \
  X(ENUM, aggregation, AGGREGATE_TOKEN_MEAN, 0, 0, AGGREGATE_WORDS, "how token losses become one number") \
  X(REAL, constant, 0, 0, 1e9, NULL, "length that aggregation: constant divides by; 0: rollout.max_new_tokens")

struct self {
  OPTIONS(OPTION_FIELD)
};
static const struct method_option options[] = {OPTIONS(OPTION_ROW)};

static int objective(struct method_call *c, const struct minibatch *m, struct loss *out, struct error *err)
{
  const struct self *o = c->self;
  const struct clip_bounds none = {.low = OPTION_INF, .high = OPTION_INF, .dual = OPTION_INF};
  int32_t taken = o->share > 0 ? covariance_share(o->share, m->count) : 0;
  const double *scale = aggregate_scales(c->scratch, m, (enum aggregation)o->aggregation, o->constant, m->counted, err);
  double *covariance = ARENA_NEW(c->scratch, double, (size_t)m->count, "kl_cov", err);
  int32_t *tokens = ARENA_NEW(c->scratch, int32_t, (size_t)taken, "kl_cov", err);
  if (!scale || !covariance || !tokens) return err->code;
  for (int32_t i = 0; i < m->count; i++) {
    struct clip_value v = clip_surrogate(m->logp[i], m->old[i], m->advantage[i], &none);
    out->loss[i] = scale[i] * m->weight[i] * v.loss;
    out->coef[i] = scale[i] * m->weight[i] * v.coef;
  }
  covariance_of(m, covariance);
  covariance_largest(covariance, m->count, taken, tokens);
  for (int32_t k = 0; k < taken; k++) {
    int32_t i = tokens[k];
    double d = m->logp[i] - m->old[i], f = o->coef * scale[i] * m->weight[i];
    out->loss[i] += f * math_abs(d);
    out->coef[i] += d > 0 ? f : d < 0 ? -f : 0;
  }
  return 0;
}

const struct method method_kl_cov = {
    .name = "kl_cov",
    .title = "KL-Cov: tokens of high covariance pay for moving",
    .paper = "arXiv 2505.22617, section 4.2; verl's kl_cov",
    .base = "grpo",
    METHOD_OPTIONS(options),
    .objective = objective,
};
