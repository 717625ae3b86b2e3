/* method/part_kl: estimators of KL(pi || ref) from one sampled token, value and derivative by log pi.
 *
 * With d = log pi - log ref (J. Schulman, "Approximating KL divergence", 2020; methods sheet 00, section 10):
 *
 *     k1   d                     dk/dlogp = 1          (as a loss: zero expected gradient; meant for a reward)
 *     k2   d^2 / 2               d                     (the reverse-KL gradient)
 *     k3   exp(-d) + d - 1       1 - exp(-d)           (the forward-KL gradient; never negative)
 *     abs  |d|                   sign(d)
 *
 * k1+, abs+ and k3+ have the value of the one and the derivative of k2, d: the reverse-KL gradient (verl).
 */
#ifndef ASSAY_METHOD_PART_KL_H
#define ASSAY_METHOD_PART_KL_H

enum kl_type { KL_K1, KL_K2, KL_K3, KL_ABS, KL_K1_PLUS, KL_ABS_PLUS, KL_K3_PLUS };
#define KL_WORDS "k1|k2|k3|abs|k1+|abs+|k3+"

/* Outside a bound the derivative is 0, except for the types with a plus.
 * - VERL      k3: -d within +-20, the value within +-10; the others as they are
 * - OPENRLHF  every value within +-10 */
enum kl_clamp { KL_CLAMP_NONE, KL_CLAMP_VERL, KL_CLAMP_OPENRLHF };

struct kl_value {
  double value;
  double coef; /* dvalue/dlogp */
};
struct kl_value kl_estimate(enum kl_type type, double logp, double reference, enum kl_clamp clamp);

/* The coefficient of a KL penalty that follows a target (arXiv 1909.08593, section 2.2), after `tokens` samples with a
 * mean KL of `kl`:
 *
 *     coef (1 + clamp(kl / target - 1, -0.2, 0.2) tokens / horizon)
 *
 * target, horizon > 0. */
double kl_controlled(double coef, double kl, double target, double tokens, double horizon);

#endif
