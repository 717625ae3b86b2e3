/* method/part_covariance: how much a token's update moves the entropy (arXiv 2505.22617, section 4):
 *
 *     C_t = (A_t - mean A) (logp_t - mean logp)         means over the tokens of the mini-batch
 *
 * Clip-Cov takes the gradient of some tokens away whose C lies between two bounds; KL-Cov adds a penalty on
 * |logp - old| at the tokens of largest C.
 */
#ifndef ASSAY_METHOD_PART_COVARIANCE_H
#define ASSAY_METHOD_PART_COVARIANCE_H

#include "method/step.h"

/* out: [m->count] */
void covariance_of(const struct minibatch *m, double *out);
/* Tokens with low < C < high that no clip took already: their numbers in ascending order. Returns how many. */
int32_t covariance_between(const double *covariance, const uint8_t *clipped, int32_t count, double low, double high,
                           int32_t *out);
/* The `take` tokens of largest C, of equal ones the first, in no order. taken: [take]; take <= count. */
void covariance_largest(const double *covariance, int32_t count, int32_t take, int32_t *taken);
/* How many tokens a share means: max(1, floor(share * count)); 0 without tokens. */
int32_t covariance_share(double share, int32_t count);

#endif
