/* eval/estimators: what a handful of samples says about a model, without bias where that can be had. All in f64;
 * numbers in [0, 1].
 */
#ifndef ASSAY_EVAL_ESTIMATORS_H
#define ASSAY_EVAL_ESTIMATORS_H

#include "core/arena.h"

/* Probability that at least one of k samples drawn without replacement from n, c of them right, is right: 1 - C(n-c, k)
   / C(n, k) (Chen et al. 2021, "Evaluating large language models trained on code", eq. 1). 1 <= k <= n, 0 <= c <= n. */
double eval_pass_at_k(int64_t n, int64_t c, int64_t k);

/* Probability that the right answer wins the vote among k samples drawn without replacement; a tie of t answers counts
   1/t. right: how many of the samples gave the right answer; other: [count] how many gave each other answer; silent:
   how many gave none (they take part in the draw and do not vote). Exact up to rounding: a sum over how often the right
   answer occurs, by products of binomial weights. k <= EVAL_MAJORITY_LIMIT, or k = n; NaN otherwise. */
enum { EVAL_MAJORITY_LIMIT = 512 };
int eval_majority_at_k(struct arena *a, int64_t right, const int64_t *other, size_t count, int64_t silent, int64_t k,
                       double *out, struct error *err) MUST_USE;

/* 95 % interval of a proportion p seen in n trials (Wilson 1927). n need not be whole: see eval_effective_trials. n <=
 * 0: 0..1. */
void eval_wilson(double p, double n, double *low, double *high);

/* With several samples a problem the attempts are not independent: samples of one problem succeed and fail together.
   The variance of the mean over problems is v = sum (p_i - p)^2 / (N (N - 1)); the number of independent trials with
   the same variance is p (1 - p) / v, never under N (the problems) nor over the attempts (Dean and Pagano 2015,
   effective sample sizes for Wilson intervals of clustered data). rates: [problems] fraction right of each. */
double eval_effective_trials(const double *rates, size_t problems, int64_t attempts);

void eval_sort(double *x, size_t n); /* ascending; NaN last */
/* The q-quantile of n ascending numbers, linear between order statistics (Hyndman and Fan 1996, type 7). n >= 1. */
double eval_quantile(const double *sorted, size_t n, double q);

#endif
