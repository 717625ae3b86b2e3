/* method/part_residual: weights of the tokens of wrong responses (ResRL, arXiv 2605.00380; code 1229095296/ResRL).
 *
 *     X  = layer-normed hidden states of the right responses' tokens of a group, at most max_tokens of them
 *     d  = distance of a wrong token's layer-normed state from the subspace of X (part_subspace.h)
 *     w  = w_min + (1 - w_min) clamp((d - lo) / max(hi - lo, 1e-6), 0, 1)    lo, hi: quantiles of d over the group
 *          (1 + w_min) / 2 for all where max(hi - lo, 1e-6) < 1e-5
 *     f(L) = 1 up to `start` tokens, 1 - (1 - end)(L - start) / (longest - start) up to `longest`, then end
 */
#ifndef ASSAY_METHOD_PART_RESIDUAL_H
#define ASSAY_METHOD_PART_RESIDUAL_H

#include "method/part_subspace.h"
#include "method/part_vectors.h"

struct residual_rule {
  int32_t rank, iterations;
  double q_low, q_high, min_weight;
};
struct residual_group {
  const struct vector_rows *hidden;
  const int64_t *right; /* [right_count] rows of hidden */
  const int64_t *wrong; /* [wrong_count] */
  int32_t right_count, wrong_count;
};
struct residual {
  struct subspace subspace;
  double *distance, *weight; /* [wrong_count] */
  double low, high;          /* the quantiles; NaN where there is no wrong token */
};
/* right_count >= 1. Arrays in arena a. */
int residual_weigh(const struct residual_group *g, const struct residual_rule *rule, struct arena *a,
                   struct residual *out, struct error *err) MUST_USE;

/* Multiply-adds of a group, for the planner. */
double residual_work(const struct residual_rule *rule, double right, double wrong, double width);

double residual_length_factor(double length, double start, double longest, double end);

#endif
