/* method/part_token_loss: policy losses of one token that do without PPO's minimum. L and dL/dlogp; what stands under a
 * "sg" is a constant for the derivative.
 *
 *     weighted   L = -sg[clip(r, floor, cap)] A logp              CISPO, arXiv 2506.13585, eq. 4 and 5
 *     bounded    L = -sg[min(r, cap)] M A logp                    DPPO, arXiv 2602.04879, section 4
 *     soft       L = -A (4 / tau) logistic(tau (r - 1))           SAPO, arXiv 2511.20347, eq. 5 to 7
 *     drawn      L = -(A logp - beta / 2 (logp - old)^2)          DRO, arXiv 2405.19107, eq. 6
 *
 * r = exp(clamp(logp - old, -20, 20)). M is 0 where the step leaves the trust region: where A > 0 the probability of
 * the token has grown by more than `high`, where A <= 0 it has fallen by more than `low`; by total variation |p -
 * p_old|, or by the KL of "this token or another".
 */
#ifndef ASSAY_METHOD_PART_TOKEN_LOSS_H
#define ASSAY_METHOD_PART_TOKEN_LOSS_H

#include "method/part_clip.h"

/* clipped: the weight is not r. */
struct clip_value token_weighted(double logp, double old, double advantage, double floor, double cap);

enum trust_region { TRUST_TV, TRUST_KL };
#define TRUST_WORDS "tv|kl"
struct trust_bounds {
  enum trust_region by;
  double low, high; /* on the divergence */
  double cap;       /* on r, as a weight */
};
/* clipped: M is 0. */
struct clip_value token_bounded(double logp, double old, double advantage, const struct trust_bounds *b);
/* old (log old - log new) + (1 - old) log((1 - old) / (1 - new)) of the probabilities, the rest + 1e-8 each, as verl.
 */
double token_binary_kl(double logp, double old);

/* tau: positive where A > 0, negative elsewhere. coef: dL/dlog r, so that a sequence's ratio may be given. */
struct soft_temperatures {
  double positive, negative;
};
struct clip_value token_soft(double ratio, bool moves, double advantage, const struct soft_temperatures *tau);

struct clip_value token_drawn(double logp, double old, double advantage, double beta);

#endif
