/* clip_cov: entropy is spent where advantage and log-probability are both large; some of those tokens lose their
 * gradient (arXiv 2505.22617, section 4.2).
 *
 *     C_t  = (A_t - mean A) (logp_t - mean logp)                  over the tokens of the mini-batch
 *     taken out: max(1, floor(share * tokens)) drawn at random among those with low < C_t < high that the clip left
 *     loss = agg(L_t), L_t the clipped surrogate, 0 at the taken tokens; they stay in the denominator
 */
#include "method/method.h"
#include "method/part_aggregate.h"
#include "method/part_clip.h"
#include "method/part_covariance.h"

#define OPTIONS(X)                                                                                         \
  X(REAL, share, 0.0002, 0, 1, NULL, "part of the mini-batch's tokens that are taken out; 0: none")        \
  X(REAL, low, 1, -OPTION_INF, OPTION_INF, NULL, "covariances above it are candidates")                    \
  X(REAL, high, 5, -OPTION_INF, OPTION_INF, NULL, "covariances below it are candidates")                   \
  X(REAL, clip_low, 0.2, 0, OPTION_INF, NULL, "ratios below 1 - clip_low carry no gradient where A < 0")   \
  X(REAL, clip_high, 0.2, 0, OPTION_INF, NULL, "ratios above 1 + clip_high carry no gradient where A > 0") \
  X(ENUM, aggregation, AGGREGATE_TOKEN_MEAN, 0, 0, AGGREGATE_WORDS, "how token losses become one number")  \
  X(REAL, constant, 0, 0, 1e9, NULL, "length that aggregation: constant divides by; 0: rollout.max_new_tokens")

struct self {
  OPTIONS(OPTION_FIELD)
};
static const struct method_option options[] = {OPTIONS(OPTION_ROW)};

static const struct metric metrics[] = {{"candidates", "tokens", "tokens between the two bounds"},
                                        {"taken", "tokens", "tokens without a gradient because they were drawn"}};

/* The first `most` of a shuffle by the method's own stream, addressed by mini-batch and place: no order of storage
 * shows. */
static int32_t draw(const struct method_call *c, const struct minibatch *m, int32_t *tokens, int32_t n, int32_t most)
{
  int32_t take = n < most ? n : most;
  for (int32_t i = 0; i < take; i++) {
    struct rng_at at = method_rng(c, m->step->number, m->epoch, m->index, 0, i);
    int32_t other = i + (int32_t)rng_below(c->seed, &at, (uint32_t)(n - i)), held = tokens[i];
    tokens[i] = tokens[other];
    tokens[other] = held;
  }
  return take;
}

static int objective(struct method_call *c, const struct minibatch *m, struct loss *out, struct error *err)
{
  const struct self *o = c->self;
  const struct clip_bounds bounds = {.low = o->clip_low, .high = o->clip_high, .dual = OPTION_INF};
  const double *scale = aggregate_scales(c->scratch, m, (enum aggregation)o->aggregation, o->constant, m->counted, err);
  double *covariance = ARENA_NEW(c->scratch, double, (size_t)m->count, "clip_cov", err);
  int32_t *tokens = ARENA_NEW(c->scratch, int32_t, (size_t)m->count, "clip_cov", err);
  if (!scale || !covariance || !tokens) return err->code;
  for (int32_t i = 0; i < m->count; i++) {
    struct clip_value v = clip_surrogate(m->logp[i], m->old[i], m->advantage[i], &bounds);
    out->loss[i] = scale[i] * m->weight[i] * v.loss;
    out->coef[i] = scale[i] * m->weight[i] * v.coef;
    out->clipped[i] = v.clipped;
  }
  covariance_of(m, covariance);
  int32_t n = covariance_between(covariance, out->clipped, m->count, o->low, o->high, tokens);
  int32_t taken = draw(c, m, tokens, n, o->share > 0 ? covariance_share(o->share, m->count) : 0);
  for (int32_t k = 0; k < taken; k++) {
    out->loss[tokens[k]] = out->coef[tokens[k]] = 0;
    out->clipped[tokens[k]] = 1;
  }
  method_report(c, "candidates", n);
  method_report(c, "taken", taken);
  return 0;
}

const struct method method_clip_cov = {
    .name = "clip_cov",
    .title = "Clip-Cov: tokens of high covariance lose their gradient",
    .paper = "arXiv 2505.22617, section 4.2; verl's clip_cov",
    .base = "grpo",
    METHOD_OPTIONS(options),
    METHOD_METRICS(metrics),
    .objective = objective,
};
