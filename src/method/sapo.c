/* sapo: soft adaptive policy optimisation (arXiv 2511.20347): a smooth gate instead of a clip.
 *
 *     L_t = -A (4 / tau) logistic(tau (r - 1))        tau: tau_positive where A > 0, else tau_negative
 *     dL/dlogp = -4 A r s (1 - s), s = logistic(tau (r - 1)): -A at r = 1, whatever tau
 */
#include "core/math.h"
#include "method/method.h"
#include "method/part_aggregate.h"
#include "method/part_token_loss.h"

#define OPTIONS(X)                                                                                                 \
  X(REAL, tau_positive, 1, 1e-3, 1e3, NULL, "how fast the gate closes where A > 0")                                \
  X(REAL, tau_negative, 1.05, 1e-3, 1e3, NULL, "how fast the gate closes where A <= 0")                            \
  X(ENUM, aggregation, AGGREGATE_SEQ_MEAN_TOKEN_MEAN, 0, 0, AGGREGATE_WORDS, "how token losses become one number") \
  X(REAL, constant, 0, 0, 1e9, NULL, "length that aggregation: constant divides by; 0: rollout.max_new_tokens")

struct self {
  OPTIONS(OPTION_FIELD)
};
static const struct method_option options[] = {OPTIONS(OPTION_ROW)};

static int objective(struct method_call *c, const struct minibatch *m, struct loss *out, struct error *err)
{
  const struct self *o = c->self;
  const struct soft_temperatures tau = {o->tau_positive, o->tau_negative};
  const double *scale = aggregate_scales(c->scratch, m, (enum aggregation)o->aggregation, o->constant, m->counted, err);
  if (!scale) return err->code;
  for (int32_t i = 0; i < m->count; i++) {
    struct clip_value v = token_soft(clip_ratio(m->logp[i], m->old[i]),
                                     !(math_abs(m->logp[i] - m->old[i]) > CLIP_LOG_RATIO), m->advantage[i], &tau);
    out->loss[i] = scale[i] * m->weight[i] * v.loss;
    out->coef[i] = scale[i] * m->weight[i] * v.coef;
    out->clipped[i] = v.clipped;
  }
  return 0;
}

const struct method method_sapo = {
    .name = "sapo",
    .title = "Soft adaptive policy optimisation",
    .paper = "arXiv 2511.20347, eq. 5 to 7",
    .base = "grpo",
    METHOD_OPTIONS(options),
    .objective = objective,
};
