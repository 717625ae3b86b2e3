/* eval/boundary: what a model can solve at all, before and after training (Yue et al. 2025, arXiv 2504.13837, "the
 * pass@k audit"; Kim et al. 2025, arXiv 2505.14216, accuracy and capability). All in f64; counts in integers.
 */
#ifndef ASSAY_EVAL_BOUNDARY_H
#define ASSAY_EVAL_BOUNDARY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- two models on the same problems, n samples each: base[i], trained[i] of them right ----------------------------
 */

/* Mean over problems of pass@k. */
double boundary_mean_pass(const int64_t *right, size_t problems, int64_t n, int64_t k);
/* Is the start model's mean pass@k above the trained one's? By more than 1e-12, what rounding may do. */
bool boundary_base_ahead(const int64_t *base, const int64_t *trained, size_t problems, int64_t n, int64_t k);
/* The smallest k from which the start model is ahead for every larger k up to n; 0: there is none. */
int64_t boundary_crossing(const int64_t *base, const int64_t *trained, size_t problems, int64_t n);

/* Solvable sets: problems with at least one right sample. */
struct boundary_coverage {
  size_t base, trained, both, neither;
  double subset_ratio; /* both / trained; NaN where trained solves nothing */
};
struct boundary_coverage boundary_cover(const int64_t *base, const int64_t *trained, size_t problems);

/* ---- one model -----------------------------------------------------------------------------------------------------
 */

/* Accuracy histogram of 12 bins: {0}, (0, 0.1], ..., (0.8, 0.9], (0.9, 1), {1}; in integers, so that 3 of 10 is in
 * (0.2, 0.3]. */
enum { BOUNDARY_BINS = 12 };
int boundary_bin(int64_t right, int64_t n);
/* Guessability: keep a problem unless its accuracy without a chain of thought lies in (0, top / bottom). */
bool boundary_keeps(int64_t right, int64_t n, int64_t top, int64_t bottom);

/* exp(-mean logp) over the tokens with mask != 0 (NULL: all); NaN where there is none. */
double boundary_perplexity(const double *logp, const double *mask, size_t n);
/* Are these perplexities in the lower portion of those? below: share under the other's median; above: how many exceed
 * its largest; lower: P(a < b), ties as half. b is sorted in place. */
struct boundary_portion {
  double median, below, lower;
  size_t above;
};
struct boundary_portion boundary_lower_portion(const double *a, size_t n, double *b, size_t m);

/* Mean entropy in nats of softmax(z / T) over rows [rows, v]; per_row may be NULL. */
double boundary_entropy(const double *z, size_t rows, size_t v, double temperature, double *per_row);
/* The temperature at which the mean entropy is `target`, by bisection on [low, high], first the middle. A target out
 * of reach gives the nearer end. step (may be NULL) is called with each probe. */
struct boundary_match {
  double temperature, entropy;
  bool reached; /* |entropy - target| <= tolerance */
};
struct boundary_search {
  double target, low, high, tolerance;
  int64_t max_steps;
  void (*step)(void *arg, double temperature, double entropy, double low, double high);
  void *arg;
};
struct boundary_match boundary_match_entropy(const double *z, size_t rows, size_t v, const struct boundary_search *s);

/* ---- accuracy and capability ---------------------------------------------------------------------------------------
 */

/* Mean of 1 - (1 - p)^k. */
double capability_of(const double *p, size_t n, int64_t k);
/* With no success among k samples, p is below this with the given confidence: 1 - (1 - confidence)^(1/k). */
double capability_bound(int64_t k, double confidence);
/* A group of g rollouts has both outcomes: 1 - p^g - (1-p)^g. */
double capability_informative(double p, int64_t g);

/* Bins of right answers out of 256, by upper edge; x of k falls in the first with 256 x <= edge k. */
enum capability_bins { CAPABILITY_MAIN, CAPABILITY_APPENDIX, CAPABILITY_LENGTH };
enum { CAPABILITY_MOST_BINS = 8 };
size_t capability_bin_count(enum capability_bins bins);
size_t capability_bin(enum capability_bins bins, int64_t x, int64_t k);

/* Entropy of answers grouped by equality, nats: counts [n] of each group. */
double capability_answer_entropy(const int64_t *counts, size_t n);

/* Occurrences of the paper's 27 reflection phrases: lower case, curly apostrophes as straight ones, a non-word
 * character or an end on both sides. found: [capability_keyword_count()]. */
size_t capability_keyword_count(void);
const char *capability_keyword(size_t i);
void capability_keywords(const char *text, size_t n, int64_t *found);

/* The last box as the release finds it: "\boxed " with a space up to the next $, wherever it stands; else from the last
 * \boxed (or \fbox where there is none) by braces. false: none. */
struct capability_span {
  size_t at, length;
};
bool capability_last_box(const char *text, size_t n, struct capability_span *out);

#endif
