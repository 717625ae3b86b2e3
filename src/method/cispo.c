/* cispo: clipped importance sampling (arXiv 2506.13585, section 3.1): the ratio is a weight, bounded and without a
 * gradient of its own, so that no token loses its gradient.
 *
 *     L_t = -sg[w_t] A logp        dL/dlogp = -w_t A
 *     w_t = clip(r, 1 - clip_low, 1 + clip_high)          dialect: verl, as in the paper
 *     w_t = min(r, clip_high)                             dialect: trl: the bound itself, and no floor
 */
#include "method/method.h"
#include "method/part_aggregate.h"
#include "method/part_token_loss.h"

#define OPTIONS(X)                                                                                                \
  X(ENUM, dialect, VERL, 0, 0, "verl|trl", "what clip_low and clip_high mean: distances from 1, or a cap alone")  \
  X(REAL, clip_low, 1, 0, OPTION_INF, NULL, "weights are at least 1 - clip_low; 1: no floor; dialect verl")       \
  X(REAL, clip_high, 4, 0, OPTION_INF, NULL, "weights are at most 1 + clip_high; dialect trl: at most clip_high") \
  X(ENUM, aggregation, AGGREGATE_TOKEN_MEAN, 0, 0, AGGREGATE_WORDS, "how token losses become one number")         \
  X(REAL, constant, 0, 0, 1e9, NULL, "length that aggregation: constant divides by; 0: rollout.max_new_tokens")

enum dialect { VERL, TRL };

struct self {
  OPTIONS(OPTION_FIELD)
};
static const struct method_option options[] = {OPTIONS(OPTION_ROW)};

static int objective(struct method_call *c, const struct minibatch *m, struct loss *out, struct error *err)
{
  const struct self *o = c->self;
  bool distances = o->dialect == VERL;
  double floor = distances ? 1 - o->clip_low : 0, cap = distances ? 1 + o->clip_high : o->clip_high;
  const double *scale = aggregate_scales(c->scratch, m, (enum aggregation)o->aggregation, o->constant, m->counted, err);
  if (!scale) return err->code;
  for (int32_t i = 0; i < m->count; i++) {
    struct clip_value v = token_weighted(m->logp[i], m->old[i], m->advantage[i], floor, cap);
    out->loss[i] = scale[i] * m->weight[i] * v.loss;
    out->coef[i] = scale[i] * m->weight[i] * v.coef;
    out->clipped[i] = v.clipped;
  }
  return 0;
}

const struct method method_cispo = {
    .name = "cispo",
    .title = "CISPO: clipped ratios as weights",
    .paper = "arXiv 2506.13585, eq. 4 and 5; dialects of verl and TRL",
    .base = "grpo",
    METHOD_OPTIONS(options),
    .objective = objective,
};
