/* method/part_proxy: a policy without its tail, and the tokens that are kept alive by it (Lp-Reg, arXiv 2510.03222;
 * code CarlanLark/Lp-Reg-dev).
 *
 *     keep   v with p(v) >= tau, p = softmax(old logits) before the temperature; tau = kappa max p, or fixed
 *     q      = softmax(kept old logits / T); filtered tokens have none (log q = -inf), or the row's lowest logit (soft)
 *     gate   A < 0, log q(y) > -inf, log p(y) low, and log p(y) < log q(y) where need_below is set
 *            low, negative: among the n- tokens with A < 0 the k = max(1, floor(rho n-)) lowest; none if k = 1
 *            low, all:      p(y) below the linear rho-quantile of all tokens' p(y)
 *     policy max(-A r, -A clip(r, 0, U)), at gated tokens -A r; plain: -A clip(r, 0, U) everywhere
 *     k3     beta (exp(D) - D - 1), D = log q(y) - log p(y), the value within +-10
 *     full   beta sum_v q_v (log q_v - log p_v), gradient by logit v: beta (p_v - q_v) / T
 */
#ifndef ASSAY_METHOD_PART_PROXY_H
#define ASSAY_METHOD_PART_PROXY_H

#include "method/part_rank.h"

struct proxy_rule {
  double kappa, fixed; /* fixed > 0: the threshold itself */
  bool soft;
  double temperature;
};
struct proxy {
  double tau, mass; /* threshold; sum of p over the kept */
  int32_t kept;
};
/* old: logits [n]; logq: [n]. */
struct proxy proxy_filter(const double *old, int32_t n, const struct proxy_rule *rule, double *logq);

enum proxy_population { PROXY_NEGATIVE, PROXY_ALL };
#define PROXY_POPULATIONS "negative|all"
struct proxy_gate_rule {
  double rho;
  enum proxy_population population;
  bool need_below;
};
struct proxy_gate {
  double delta; /* the largest probability of the low ones, or the quantile; NaN where there is none */
  int32_t candidates, gated;
};
/* Per token of an update: current log-probability, log q, advantage; gate: [n]. scratch: [n]. */
struct proxy_gate proxy_gate_tokens(const double *logp, const double *logq, const double *advantage, int32_t n,
                                    const struct proxy_gate_rule *rule, struct ranked *scratch, bool *gate);

struct proxy_loss_rule {
  double most; /* U */
  bool plain;
  double log_ratio; /* clamp of log p - log old; infinite: none */
};
struct proxy_value {
  double loss, coef; /* coef: dloss/dlogp */
  bool clipped;
};
struct proxy_value proxy_policy(double logp, double old, double advantage, bool gated, const struct proxy_loss_rule *r);
/* k3 before beta. */
struct proxy_value proxy_k3(double logp, double logq);
/* KL(q || p). */
double proxy_full(const double *logq, const double *logp, int32_t n);

#endif
