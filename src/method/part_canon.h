/* method/part_canon: advantages conditional on a metric of the responses (arXiv 2509.23962; code biuboomc/CANON).
 *
 * Of n responses, stably sorted by the metric, the first floor(n / 2) are low (mean reward lo), the others high (hi);
 * both means are 0 in a group of one.
 *
 *     entropy  high: inter = R - alpha lo + beta       low:   inter = alpha R - hi - beta
 *     length   high: inter = alpha R - lo + beta       low:   inter = R - alpha hi - beta
 *              high: intra = R - hi                    low:   intra = R - lo
 *     A = mu inter + (1 - mu) intra
 *
 * Where alpha = 1, beta = 0, mu = 1/2 and the halves are equal, A is R - mean R, and has its bits (part_group.h).
 *
 *     kappa = 1 - mu;  acc = mean reward of the batch
 *     accuracy_intra_first: 1 - acc               accuracy_inter_first: acc
 *     cosine_intra_first:   S(step; 0.6, 0)       cosine_inter_first:   1 - S(step; 1, 0.4)
 *     S(step; hi, lo) = hi (step + 1) / W for step < W, else lo + (hi - lo)/2 (1 + cos(pi ((step - W) mod C) / C)),
 *     C = floor((T - W) / cycles); the first step is 1
 */
#ifndef ASSAY_METHOD_PART_CANON_H
#define ASSAY_METHOD_PART_CANON_H

#include "method/part_rank.h"

struct canon_mix {
  double mu, alpha, beta;
  bool length; /* the factor is on the long half */
};
struct canon_means {
  double low, high;
};

/* high: [n] 1 for the upper part. scratch: [n]. */
void canon_split(const double *metric, int32_t n, struct ranked *scratch, bool *high);
/* inter, intra, advantage: [n] of one group. */
struct canon_means canon_advantage(const double *reward, const bool *high, int32_t n, const struct canon_mix *mix,
                                   double *inter, double *intra, double *advantage);

enum canon_schedule {
  CANON_FIXED,
  CANON_ACCURACY_INTRA_FIRST,
  CANON_ACCURACY_INTER_FIRST,
  CANON_COSINE_INTRA_FIRST,
  CANON_COSINE_INTER_FIRST
};
#define CANON_SCHEDULES "none|accuracy_intra_first|accuracy_inter_first|cosine_intra_first|cosine_inter_first"
struct canon_shape {
  int64_t total, warmup, cycles; /* (total - warmup) / cycles >= 1 */
};
/* The weight of intra. Not for CANON_FIXED. */
double canon_kappa(enum canon_schedule schedule, int64_t step, double accuracy, const struct canon_shape *shape);

#endif
