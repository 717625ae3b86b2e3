/* vespo: variational sequence-level soft policy optimisation (arXiv 2602.10693): a response's whole ratio weighs it,
 * through a kernel that falls off on both sides.
 *
 *     w_i = exp(sum_t (logp - old))            phi(w) = exp(lambda) w^k exp(-lambda w), 1 at w = 1
 *     L_t = -sg[phi(w_i)] A logp               dL/dlogp = -phi(w_i) A
 *
 * k and lambda are others for A >= 0 and for A < 0. phi is largest at w = k / lambda.
 */
#include "method/method.h"
#include "method/part_aggregate.h"
#include "method/part_sequence.h"

#define OPTIONS(X)                                                                                        \
  X(REAL, k_positive, 2, 0, 100, NULL, "power of w where A >= 0")                                         \
  X(REAL, lambda_positive, 3, 1e-4, 100, NULL, "decay in w where A >= 0")                                 \
  X(REAL, k_negative, 3, 0, 100, NULL, "power of w where A < 0")                                          \
  X(REAL, lambda_negative, 2, 1e-4, 100, NULL, "decay in w where A < 0")                                  \
  X(ENUM, aggregation, AGGREGATE_TOKEN_MEAN, 0, 0, AGGREGATE_WORDS, "how token losses become one number") \
  X(REAL, constant, 0, 0, 1e9, NULL, "length that aggregation: constant divides by; 0: rollout.max_new_tokens")

struct self {
  OPTIONS(OPTION_FIELD)
};
static const struct method_option options[] = {OPTIONS(OPTION_ROW)};

static const struct metric metrics[] = {{"phi", "ratio", "mean weight of a response"}};

static int objective(struct method_call *c, const struct minibatch *m, struct loss *out, struct error *err)
{
  const struct self *o = c->self;
  const struct gamma_options gamma = {o->k_positive, o->lambda_positive, o->k_negative, o->lambda_negative};
  double sum = 0;
  const double *scale = aggregate_scales(c->scratch, m, (enum aggregation)o->aggregation, o->constant, m->counted, err);
  if (!scale) return err->code;
  for (int32_t s = 0; s < m->sequence_count; s++) {
    const struct minibatch_sequence *q = &m->sequences[s];
    double phi = 0;
    for (int32_t i = q->first; i < q->first + q->count; i++) {
      phi = sequence_gamma(m, q, 0, m->advantage[i], &gamma);
      out->coef[i] = -scale[i] * m->weight[i] * phi * m->advantage[i];
      out->loss[i] = out->coef[i] * m->logp[i];
    }
    sum += phi;
  }
  method_report(c, "phi", m->sequence_count ? sum / m->sequence_count : 0);
  return 0;
}

const struct method method_vespo = {
    .name = "vespo",
    .title = "Variational sequence-level soft policy optimisation",
    .paper = "arXiv 2602.10693; TRL's loss_type vespo",
    .base = "grpo",
    METHOD_OPTIONS(options),
    METHOD_METRICS(metrics),
    .objective = objective,
};
