/* method/part_divergence: how far two distributions of the next token are apart, over the whole vocabulary or over the
 * student's likeliest tokens, with the derivative by the student's logits.
 *
 *     p = softmax(student), q = softmax(teacher)
 *     alpha 0        KL(q || p) = sum q (log q - log p)             dD/dz = p - q
 *     alpha 1        KL(p || q) = sum p (log p - log q)             dD/dz = p (log p - log q - KL)
 *     between        (1 - alpha) KL(p || m) + alpha KL(q || m), m = (1 - alpha) p + alpha q
 *
 * top > 0: on the support of the student's `top` likeliest tokens (of equal ones the first). With `tail` what is left
 * of each distribution is one more outcome, else both are renormalised to the support (TRL's SDPO, arXiv 2601.20802).
 */
#ifndef ASSAY_METHOD_PART_DIVERGENCE_H
#define ASSAY_METHOD_PART_DIVERGENCE_H

#include <stdbool.h>
#include <stdint.h>

struct divergence_options {
  double alpha; /* 0 .. 1 */
  int32_t top;  /* 0: the whole vocabulary */
  bool tail;
};

/* One row of log-probabilities (log-softmax of logits at the step's temperature), [v] each. gradient: [v] dD/dz,
 * written; z: the student's logits divided by the temperature. work: [2 v]. A probability of 0 has log -inf and 0 log 0
 * = 0; D is infinite where a mass of one side has nothing opposite that the formula divides by. */
double divergence_row(const double *student, const double *teacher, int32_t v, const struct divergence_options *o,
                      double *gradient, double *work);

/* out: [v] log softmax of logits. */
void divergence_log_softmax(const double *logits, int32_t v, double *out);

#endif
