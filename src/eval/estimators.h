/* eval/estimators: what a handful of samples says about a model, without bias where that can be had. All in f64;
 * numbers in [0, 1].
 */
#ifndef ASSAY_EVAL_ESTIMATORS_H
#define ASSAY_EVAL_ESTIMATORS_H

#include "core/arena.h"

/* Probability that at least one of k samples drawn without replacement from n, c of them right, is right: 1 - C(n-c, k)
   / C(n, k) (Chen et al. 2021, "Evaluating large language models trained on code", eq. 1). 1 <= k <= n, 0 <= c <= n. */
double eval_pass_at_k(int64_t n, int64_t c, int64_t k);
/* Probability that all k samples are right: C(c, k) / C(n, k). */
double eval_all_at_k(int64_t n, int64_t c, int64_t k);
/* 1 - (1 - c/n)^k: biased downwards for k > 1; for comparison with papers that use it. */
double eval_plug_in_at_k(int64_t n, int64_t c, int64_t k);

/* Expected largest of k rewards drawn without replacement from n ascending ones (best-of-k by reward); of the smallest
   with their order turned and the sign: eval_worst_at_k. 1 <= k <= n. */
double eval_best_at_k(const double *ascending, size_t n, size_t k);
double eval_worst_at_k(const double *ascending, size_t n, size_t k);

/* The answer that most samples gave, the first seen where several are level. NULL answers do not vote. */
struct eval_vote {
  const char *winner; /* NULL: nobody voted */
  size_t votes;       /* for it */
  double share;       /* of all samples, silent ones too */
  bool tied;          /* another answer has as many */
};
struct eval_vote eval_vote_of(const char *const *answers, size_t n);

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

/* Bootstrap over problems (Efron 1979): EVAL_RESAMPLES times as many problems are drawn with replacement, and the mean
   of each series over them taken; low and high are the 2.5 % and 97.5 % quantiles of those means. All series share the
   draws, so the difference of two runs is one series more, paired by problem. The draws depend on the number of
   problems alone. values: [problems, series]; out: [series]. */
enum { EVAL_RESAMPLES = 10000 };
struct eval_interval {
  double mean; /* of the values */
  double std;  /* of the resampled means */
  double low, high;
};
int eval_bootstrap(struct arena *a, const double *values, size_t problems, size_t series, struct eval_interval *out,
                   struct error *err) MUST_USE;
/* The means of one resample: index [count] says which problems. */
void eval_resample_means(const double *values, size_t series, const uint32_t *index, size_t count, double *means);

/* Exact two-sided binomial test of McNemar's: of gained + lost problems that changed, would so uneven a split be
   chance? min(1, 2 P(X <= min(gained, lost))), X ~ B(gained + lost, 1/2). */
double eval_mcnemar(size_t gained, size_t lost);

void eval_sort(double *x, size_t n); /* ascending; NaN last */
/* The q-quantile of n ascending numbers, linear between order statistics (Hyndman and Fan 1996, type 7). n >= 1. */
double eval_quantile(const double *sorted, size_t n, double q);

#endif
