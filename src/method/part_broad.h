/* method/part_broad: hundreds of rollouts a problem, few problems a step (BroRL, arXiv 2510.01180, and the recipe of
 * its predecessor ProRL v2 in OpenRLHF and NeMo RL): which groups count, and the whitening of a step.
 *
 *     count        0 < #(R > 0) < N                       the paper
 *     mean_range   1e-6 < mean R < 1 - 1e-6               OpenRLHF
 *     spread       max R > min R                          NeMo RL
 *     none         every group
 *
 *     x_i = R_i - mean of its group       A_i = (x_i - mean x) / std x     over all kept rollouts, each of weight w_i
 *
 *     floor    sqrt(max(var, 1e-8))       inside   sqrt(var + 1e-8)       add   sqrt(var) + 1e-8
 */
#ifndef ASSAY_METHOD_PART_BROAD_H
#define ASSAY_METHOD_PART_BROAD_H

#include <stdbool.h>
#include <stdint.h>

enum broad_filter { BROAD_COUNT, BROAD_MEAN_RANGE, BROAD_SPREAD, BROAD_NONE };
#define BROAD_FILTER_WORDS "count|mean_range|spread|none"
/* An empty group is not kept. */
bool broad_keeps(enum broad_filter filter, const double *reward, int32_t n);

/* R_i - mean: [n]. Sums of R_i - R_1, so that equal rewards give exactly 0. */
void broad_centre(const double *reward, int32_t n, double *centred);

enum broad_guard { BROAD_FLOOR, BROAD_INSIDE, BROAD_ADD };
#define BROAD_GUARD_WORDS "floor|inside|add"
struct broad_batch {
  double mean, std;
};
/* Without weight: mean 0, std 1. unbiased: over the sum of weights less 1. */
struct broad_batch broad_measure(const double *x, const double *weight, int32_t n, bool unbiased,
                                 enum broad_guard guard);

/* Dynamic sampling: problems still to draw where `kept` of `wanted` are there after `drawn`, at most `cap` times the
 * wanted ones in all. */
int64_t broad_missing(int64_t wanted, int64_t kept, int64_t drawn, double cap);
/* 1 - p^n - (1 - p)^n: a problem with success p survives the filter. */
double broad_survival(double p, double n);
/* sqrt(rollouts / base): the factor on the learning rate where a step grows and its number of mini-batches stays. */
double broad_rate(double rollouts, double base);

#endif
