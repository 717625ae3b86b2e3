/* train/evaluate_given: evaluation of `assay sft`, on eval.data. Of examples: eval/NAME/loss (mean negative
 * log-probability of a token with loss), perplexity (its exponential), tokens. Of pairs: accuracy (the chosen side has
 * the larger log-ratio to the reference, or score; a tie counts a half) with its 95 % interval low and high, and the
 * means of margin, chosen and rejected. */
#ifndef ASSAY_TRAIN_EVALUATE_GIVEN_H
#define ASSAY_TRAIN_EVALUATE_GIVEN_H

#include "data/source.h"

struct run;
struct eval_set;

/* At most `wanted` examples (0: all) that are not too long. */
int evaluate_given_open(struct run *r, const struct source *source, int64_t wanted, struct eval_set *set,
                        struct error *err) MUST_USE;
/* All sets. *mean: what a larger number of says that the model is better: minus the loss, or the accuracy. */
int evaluate_given_run(struct run *r, double *mean, struct error *err) MUST_USE;

#endif
