/* method/part_aggregate: how losses per token become one number: loss = sum over tokens of scale * L.
 *
 * With counted c (1, or less where a weight says so), sequences i with n_i = sum_t c_it, N = sum_i n_i, B sequences
 * (methods sheet 00, section 9):
 *
 *     token_mean            1 / N                      (DAPO, arXiv 2503.14476)
 *     seq_mean_token_mean   1 / (B n_i)                (GRPO, arXiv 2402.03300, eq. 3)
 *     seq_mean_token_sum    1 / B
 *     constant              1 / (B constant)           (Dr.GRPO, arXiv 2503.20783)
 *     token_sum             1
 *     group_token_mean      1 / (P N_g)                P groups with N_g > 0: every problem weighs the same (the
 *                                                      micro-batches of one group of ResRL, arXiv 2605.00380)
 *
 * Denominators are those of the mini-batch. A sequence is a rollout; B leaves out rollouts with n_i = 0, as verl does.
 * An empty denominator gives scale 0.
 */
#ifndef ASSAY_METHOD_PART_AGGREGATE_H
#define ASSAY_METHOD_PART_AGGREGATE_H

#include "method/step.h"

enum aggregation {
  AGGREGATE_TOKEN_MEAN,
  AGGREGATE_SEQ_MEAN_TOKEN_MEAN,
  AGGREGATE_SEQ_MEAN_TOKEN_SUM,
  AGGREGATE_CONSTANT,
  AGGREGATE_TOKEN_SUM,
  AGGREGATE_GROUP_TOKEN_MEAN
};
#define AGGREGATE_WORDS "token_mean|seq_mean_token_mean|seq_mean_token_sum|constant|token_sum|group_token_mean"

/* scale: [m->count]. counted: [m->count], m->counted for the policy loss; NULL: every token counts 1 (regularisers). */
void aggregate_scale(const struct minibatch *m, enum aggregation mode, double constant, const double *counted,
                     double *scale);

/* N and B of the mini-batch, or what another rule says of them: a batch of which this is a part, or rollouts without
 * tokens that count too (TRL). */
struct aggregate_counts {
  double tokens, sequences;
};
struct aggregate_counts aggregate_count(const struct minibatch *m, const double *counted);
void aggregate_scale_by(const struct minibatch *m, enum aggregation mode, double constant, const double *counted,
                        const struct aggregate_counts *by, double *scale);

/* aggregate_scale into a new array; constant 0: the budget of a response. NULL and an error: no memory. */
double *aggregate_scales(struct arena *a, const struct minibatch *m, enum aggregation mode, double constant,
                         const double *counted, struct error *err);

/* Whether rollouts without tokens count in B: TRL counts them, verl and OpenRLHF do not. */
#define AGGREGATE_EMPTY_WORDS "left_out|counted"
double *aggregate_scales_empty(struct arena *a, const struct minibatch *m, enum aggregation mode, double constant,
                               bool empty, struct error *err);

#endif
