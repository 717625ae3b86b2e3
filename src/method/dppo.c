/* dppo: divergence proximal policy optimisation (arXiv 2602.04879): a token is held back when its probability, not its
 * ratio, has left the trust region.
 *
 *     L_t = -sg[min(r, cap)] M_t A logp        dL/dlogp = -min(r, cap) M_t A
 *     divergence tv:  M = 0 where A > 0 and p - p_old > high, or A <= 0 and p_old - p > low
 *     divergence kl:  the same sides, by the KL of (this token, any other): p_old log(p_old / p) + (1 - p_old) log(...)
 */
#include "method/method.h"
#include "method/part_aggregate.h"
#include "method/part_token_loss.h"

#define OPTIONS(X)                                                                                             \
  X(ENUM, divergence, TRUST_TV, 0, 0, TRUST_WORDS, "what is bounded: the probability itself or the binary KL") \
  X(REAL, low, 0.2, 0, OPTION_INF, NULL, "bound where A <= 0 and the probability has fallen")                  \
  X(REAL, high, 0.2, 0, OPTION_INF, NULL, "bound where A > 0 and the probability has grown")                   \
  X(REAL, cap, 20, 1, OPTION_INF, NULL, "bound on the ratio as a weight")                                      \
  X(ENUM, aggregation, AGGREGATE_TOKEN_MEAN, 0, 0, AGGREGATE_WORDS, "how token losses become one number")      \
  X(REAL, constant, 0, 0, 1e9, NULL, "length that aggregation: constant divides by; 0: rollout.max_new_tokens")

struct self {
  OPTIONS(OPTION_FIELD)
};
static const struct method_option options[] = {OPTIONS(OPTION_ROW)};

static int objective(struct method_call *c, const struct minibatch *m, struct loss *out, struct error *err)
{
  const struct self *o = c->self;
  const struct trust_bounds bounds = {
      .by = (enum trust_region)o->divergence, .low = o->low, .high = o->high, .cap = o->cap};
  const double *scale = aggregate_scales(c->scratch, m, (enum aggregation)o->aggregation, o->constant, m->counted, err);
  if (!scale) return err->code;
  for (int32_t i = 0; i < m->count; i++) {
    struct clip_value v = token_bounded(m->logp[i], m->old[i], m->advantage[i], &bounds);
    out->loss[i] = scale[i] * m->weight[i] * v.loss;
    out->coef[i] = scale[i] * m->weight[i] * v.coef;
    out->clipped[i] = v.clipped;
  }
  return 0;
}

const struct method method_dppo = {
    .name = "dppo",
    .title = "Divergence proximal policy optimisation",
    .paper = "arXiv 2602.04879, section 4; verl's dppo_tv and dppo_kl",
    .base = "grpo",
    METHOD_OPTIONS(options),
    .objective = objective,
};
