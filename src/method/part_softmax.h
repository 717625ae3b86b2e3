/* method/part_softmax: distributions in f64, for formulas on given logits. Runs have them from the model's head
 * (compute). */
#ifndef ASSAY_METHOD_PART_SOFTMAX_H
#define ASSAY_METHOD_PART_SOFTMAX_H

#include <stdint.h>

/* logp = log softmax(logits / temperature), [n]. A logit of -inf has probability 0. */
void softmax_log(const double *logits, int32_t n, double temperature, double *logp);
/* H = -sum p log p in nats, at least 0. */
double softmax_entropy(const double *logp, int32_t n);

#endif
