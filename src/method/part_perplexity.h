/* method/part_perplexity: credit by how surprising a response is within its group, and by where a token stands in it
 * (arXiv 2508.02260 and 2508.07534; code RUCAIBox/Slow_Thinking_with_LLMs, entropy2performance).
 *
 *     l_i   = -mean_t old_t                               log-perplexity; no tokens: none
 *     kept  = those within [Q1 - iqr (Q3 - Q1), Q3 + iqr (Q3 - Q1)], bounds included; none kept: all
 *     w_i   = (l_i - mean) / sd                           of the kept, sd over n; sd <= 1e-6: 1. All of l_i - l_1, so
 * that equal perplexities give exactly 0 low   A clip(1 - alpha w, low, high)                high  A clip(1 + alpha w,
 * low, high) additive  A - alpha clip(w, -2, 2) sign(A)          an older form; responses outside the bounds leave the
 * loss
 *
 *     rho_t = t / n, t from 0
 *     b_t   = min(gamma logistic(k (rho_t - 1/2)), cap |A_t|)
 *     A_t + sign(A_t) b_t
 */
#ifndef ASSAY_METHOD_PART_PERPLEXITY_H
#define ASSAY_METHOD_PART_PERPLEXITY_H

#include "method/part_rank.h"

struct perplexity_group {
  double q1, q3, mean, sd;
};
/* log_ppl: [n], n >= 1, of one group. keep, weight: [n] results. scratch: [n]. */
struct perplexity_group perplexity_weights(const double *log_ppl, int32_t n, double iqr, struct ranked *scratch,
                                           bool *keep, double *weight);

enum perplexity_rule { PERPLEXITY_OFF, PERPLEXITY_LOW, PERPLEXITY_HIGH, PERPLEXITY_ADDITIVE };
#define PERPLEXITY_WORDS "off|low|high|additive"
struct perplexity_options {
  enum perplexity_rule rule;
  double alpha, low, high;
};
/* What A is multiplied by; 1 for off and additive. */
double perplexity_factor(const struct perplexity_options *o, double weight);
double perplexity_shaped(const struct perplexity_options *o, double weight, double advantage);

struct position_options {
  double gamma, k, cap;
};
/* Of the token at rho. */
double position_bonus(const struct position_options *o, double rho, double advantage);
double position_shaped(const struct position_options *o, double rho, double advantage);

/* Plateau: the mean entropy of the last `window` steps fell by less than `threshold` a step from the window before.
 * entropy: [steps], of steps 1 .. steps. NaN before step 2 window. */
double plateau_fall(const double *entropy, int64_t steps, int64_t window);

#endif
