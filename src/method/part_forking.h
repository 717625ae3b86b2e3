/* method/part_forking: tokens at which the policy is undecided (arXiv 2506.01939).
 *
 *     topk      s = 1 for the k = max(1, floor(rho N)) largest H; the threshold is the smallest of them
 *     quantile  s = 1 where H >= the linear (1 - rho)-quantile of H
 *     gated     temperature = high where H > threshold, else low
 */
#ifndef ASSAY_METHOD_PART_FORKING_H
#define ASSAY_METHOD_PART_FORKING_H

#include "method/part_rank.h"

enum forking_threshold { FORKING_TOPK, FORKING_QUANTILE };
#define FORKING_WORDS "topk|quantile"

struct forking {
  double threshold; /* NaN where there are no tokens */
  int32_t kept;
};
/* entropy: [n] nats. keep: [n] 1 or 0. bottom: exactly the tokens that are not at the top. scratch: [n]. */
struct forking forking_mask(const double *entropy, int32_t n, double rho, enum forking_threshold how, bool bottom,
                            struct ranked *scratch, double *keep);

/* The temperature of gated decoding. */
double forking_temperature(double entropy, double threshold, double high, double low);

/* Two checkpoints on the same n tokens. Overlap of their top shares, over k. scratch: [2 n]. */
double forking_overlap(const double *before, const double *after, int32_t n, double rho, struct ranked *scratch);
/* Mean change of the entropy of the tokens whose rank before lies in floor(b n / bins) .. floor((b + 1) n / bins) - 1.
 * NaN where there are none. ranks: [n] of before, rising. */
double forking_bin_change(const double *before, const double *after, const struct ranked *ranks, int32_t n, int32_t b,
                          int32_t bins);

#endif
