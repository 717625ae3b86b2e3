/* method/part_pair: losses of preference pairs. A pair is a chosen and a rejected response with their summed
 * log-probabilities under the policy and under a reference. With c, r the two log-ratios (policy - reference), f a
 * score of a log-ratio, d = f(c) - f(r), s = logistic:
 *
 *     sigmoid       -log s(beta d); smoothed: (1 - e) that + e (-log s(-beta d))        DPO, arXiv 2305.18290, eq. 7
 *     hinge         max(0, 1 - beta d)                                                  SLiC, arXiv 2305.10425
 *     ipo           (d' - 1 / (2 beta))^2; d': scores per token where lengths are given arXiv 2310.12036, eq. 17
 *     exo_pair      s(beta d) (log s(beta d) - log(1 - e)) + s(-beta d) (log s(-beta d) - log e)    arXiv 2402.00856
 *     nca_pair      -log s(beta c) - (log s(-beta c) + log s(-beta r)) / 2              arXiv 2402.05369
 *     robust        ((1 - e) (-log s(beta d)) + e log s(-beta d)) / (1 - 2 e)           arXiv 2403.00409
 *     bco_pair      -log s(beta c) - log s(-beta r)                                     arXiv 2404.04656, without shift
 *     sppo_hard     (c - 1 / (2 beta))^2 + (r + 1 / (2 beta))^2                         arXiv 2405.00675, eq. 4.7
 *     aot           smoothed sigmoid of (policy's c - r, sorted) - (reference's, sorted)    arXiv 2406.05882
 *     aot_unpaired  the same of c sorted - r sorted
 *     apo_zero      1 - s(beta c) + s(beta r)                                           arXiv 2408.06266, eq. 7
 *     apo_down      s(beta c) + 1 - s(beta (c - r))                                     eq. 8
 *     discopop      mixed by s(beta d / tau): -log s(beta d) and exp(-beta d)           arXiv 2406.08414, eq. 5
 *     sft           -log-probability of a chosen token, mean over all of them
 *     sigmoid_norm  sigmoid of scores per token
 *
 * f(x): reverse_kl x; forward_kl 1 - exp(-x); js_divergence log 2 + log s(x) (arXiv 2309.16240).
 */
#ifndef ASSAY_METHOD_PART_PAIR_H
#define ASSAY_METHOD_PART_PAIR_H

#include <stddef.h>
#include "core/arena.h"

#define PAIR_WORDS                                                                                                 \
  "sigmoid|hinge|ipo|exo_pair|nca_pair|robust|bco_pair|sppo_hard|aot|aot_unpaired|apo_zero|apo_down|discopop|sft|" \
  "sigmoid_norm"
enum pair_loss {
  PAIR_SIGMOID,
  PAIR_HINGE,
  PAIR_IPO,
  PAIR_EXO,
  PAIR_NCA,
  PAIR_ROBUST,
  PAIR_BCO,
  PAIR_SPPO,
  PAIR_AOT,
  PAIR_AOT_UNPAIRED,
  PAIR_APO_ZERO,
  PAIR_APO_DOWN,
  PAIR_DISCOPOP,
  PAIR_SFT,
  PAIR_SIGMOID_NORM,
  PAIR_LOSSES
};
#define PAIR_SCORE_WORDS "reverse_kl|forward_kl|js_divergence"
enum pair_score { PAIR_REVERSE_KL, PAIR_FORWARD_KL, PAIR_JS };

struct pair_options {
  enum pair_loss loss;
  enum pair_score score;
  double beta;      /* > 0 */
  double smoothing; /* e: share of pairs whose label is wrong; 0 <= e < 1/2; exo_pair: > 0 */
  double tau;       /* discopop */
};
/* One response of a pair. */
struct pair_side {
  double logp, reference; /* sums over the response */
  double tokens;          /* its length; 0 counts as 1 */
};
struct pair {
  struct pair_side chosen, rejected;
};

/* Mean over the pairs of the loss; by_chosen, by_rejected: [n] its derivatives by the summed log-probabilities.
 * per_token: ipo divides its scores by the lengths (TRL), else not (OpenRLHF). n 0: loss 0. */
int pair_losses(struct arena *a, const struct pair_options *o, const struct pair *pairs, size_t n, bool per_token,
                double *loss, double *by_chosen, double *by_rejected, struct error *err) MUST_USE;

#endif
