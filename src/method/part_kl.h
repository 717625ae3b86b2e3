/* method/part_kl: estimators of KL(pi || ref) from one sampled token, value and derivative by log pi.
 *
 * With d = log pi - log ref (J. Schulman, "Approximating KL divergence", 2020; methods sheet 00, section 10):
 *
 *     k1   d                     dk/dlogp = 1          (as a loss: zero expected gradient; meant for a reward)
 *     k2   d^2 / 2               d                     (the reverse-KL gradient)
 *     k3   exp(-d) + d - 1       1 - exp(-d)           (the forward-KL gradient; never negative)
 */
#ifndef ASSAY_METHOD_PART_KL_H
#define ASSAY_METHOD_PART_KL_H

#include <stdbool.h>

enum kl_type { KL_K1, KL_K2, KL_K3 };
#define KL_WORDS "k1|k2|k3"

struct kl_value {
  double value;
  double coef; /* dvalue/dlogp */
};
/* clamp: as verl does for k3: -d within +-20, the value within +-10; outside the derivative is 0. */
struct kl_value kl_estimate(enum kl_type type, double logp, double reference, bool clamp);

#endif
