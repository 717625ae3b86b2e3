/* method/part_tempered: the divergence of the policy from a reference that is flattened where the reward is low
 * (arXiv 2510.03865, RAPO).
 *
 *     phi(R)   = lo + (hi - lo) clamp((R - r_lo) / (r_hi - r_lo), 0, 1)        r_hi <= r_lo: a step at r_hi
 *     hat      = ref^phi / Z: the softmax of phi log ref, the reference at temperature 1 / phi
 *
 * With y the sampled token, u = hat_y / p_y and f(u) = u log u - u + 1 >= 0, whose mean over p is KL(hat || p):
 *
 *     full      KL(hat || p)                            dD/dz = p - hat
 *     sampled   f(u), within [0, 10]                    df/dlog p_y = -u log u
 *     score     the value of `sampled`                  -u: in the mean over p the derivative of `full`
 *     k3        part_kl.h, reference not flattened      1 - ref_y / p_y
 *
 * log u is kept within +-20; outside a bound the derivative of `sampled` is 0. The paper has f; that it means tokens,
 * and that phi is linear, is inferred.
 */
#ifndef ASSAY_METHOD_PART_TEMPERED_H
#define ASSAY_METHOD_PART_TEMPERED_H

#include <stdbool.h>
#include <stdint.h>

struct tempered_exponent {
  double lo, hi, r_lo, r_hi;
};
double tempered_phi(const struct tempered_exponent *o, double reward);

enum tempered_form { TEMPERED_FULL, TEMPERED_SAMPLED, TEMPERED_SCORE, TEMPERED_K3 };
#define TEMPERED_FORM_WORDS "full|sampled|score|k3"

/* out: [v] log hat; normalise false: phi log ref as it is. phi 0 is the uniform distribution, whatever ref leaves out.
 */
void tempered_reference(const double *reference, int32_t v, double phi, bool normalise, double *out);

/* The term at one token from the log-probabilities [v] of both, and its derivative by the policy's logits, gradient
 * [v], written. normalise concerns sampled and score alone. ratio: u, or NULL. work: [v]. */
struct tempered_options {
  enum tempered_form form;
  bool normalise;
};
double tempered_row(const struct tempered_options *o, double phi, const double *policy, const double *reference,
                    int32_t v, int32_t target, double *gradient, double *ratio, double *work);

#endif
