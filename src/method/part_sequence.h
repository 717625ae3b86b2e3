/* method/part_sequence: policy losses whose ratio belongs to a whole response. d_t = logp_t - old_t, n tokens:
 *
 *     GSPO         s = exp(mean_t d_t)      L_t = max(-A_t s, -A_t clip(s))                  arXiv 2507.18071, eq. 5-7
 *     GSPO-token   s with its gradient at its own token alone: dL_t/dlogp_t = -A_t s         eq. 13 and 14
 *     LUSPO        GSPO's L_t summed over the response instead of averaged                   arXiv 2602.05261
 *     RLOO (TRL)   s = exp(sum_t d_t)
 *     GMPO         g = exp(mean_t l_t), l_t the d_t clipped on the side that A pushes to     arXiv 2507.20673, eq. 4
 *                  L = -A g, once a response
 *     VESPO        L_t = -sg[phi(w)] A_t logp_t, w = exp(sum_t d_t),                         arXiv 2602.10693
 *                  phi = exp(lambda) w^k exp(-lambda w): 1 at w = 1
 *
 * How tokens add up is the caller's `scale` (part_aggregate.h). A response without tokens has s = 1 and no loss.
 */
#ifndef ASSAY_METHOD_PART_SEQUENCE_H
#define ASSAY_METHOD_PART_SEQUENCE_H

#include "method/method.h"
#include "method/part_aggregate.h"
#include "method/part_clip.h"

/* Sum of logp - old. */
double sequence_log_ratio(const struct minibatch *m, const struct minibatch_sequence *q);
/* Mean of logp - old; 0 without tokens. */
double sequence_mean_log_ratio(const struct minibatch *m, const struct minibatch_sequence *q);

/* For runs: no response moves by more than a factor of e^10 (verl). */
#define SEQUENCE_LIMIT 10.0

/* scale: [m->count]. limit: log s is at most this, a constant beyond; infinite: no limit. own: the gradient of a
 * token's loss stays at that token (GSPO-token), else all tokens share it. Adds to out. */
struct sequence_options {
  struct clip_bounds bounds;
  double limit;
  bool own;
  bool sum; /* log s is the sum of the d_t, not their mean */
};
void sequence_clipped(const struct minibatch *m, const struct sequence_options *o, const double *scale,
                      struct loss *out);

/* GSPO and LUSPO differ in their aggregation alone: their options and their objective. */
#define SEQUENCE_OPTIONS(X)                                                                               \
  X(ENUM, empty, 0, 0, 0, AGGREGATE_EMPTY_WORDS, "responses without tokens in the mean: TRL counts them") \
  X(REAL, clip_low, 3e-4, 0, OPTION_INF, NULL,                                                            \
    "ratios of a response below 1 - clip_low carry no gradient where A < 0")                              \
  X(REAL, clip_high, 4e-4, 0, OPTION_INF, NULL, "ratios above 1 + clip_high carry no gradient where A > 0")
struct sequence_choice {
  int32_t empty;
  double clip_low, clip_high;
  enum aggregation aggregation;
};
int sequence_objective(struct method_call *c, const struct minibatch *m, const struct sequence_choice *o,
                       struct loss *out, struct error *err) MUST_USE;

/* GMPO. sequences: B, what the sum over responses is divided by. use: [m->count] 1 for tokens of the mean, else 0;
 * NULL: all. The factor of a response is the geometric mean of its tokens' weights. The loss stands at the first token.
 */
struct geometric_options {
  double low, high;
  double limit; /* log g is at most this, a constant beyond; infinite: no limit */
  double sequences;
  const double *use;
};
void sequence_geometric(const struct minibatch *m, const struct geometric_options *o, struct loss *out);

/* VESPO. log_weight: what the sampler's correction adds to log w, 0 for none; each d_t within +-20, log w within
 * log(1e-8) and 20. */
struct gamma_options {
  double k_positive, lambda_positive; /* A >= 0 */
  double k_negative, lambda_negative;
};
double sequence_gamma(const struct minibatch *m, const struct minibatch_sequence *q, double log_weight,
                      double advantage, const struct gamma_options *o);

#endif
