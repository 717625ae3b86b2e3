/* train/cost: seconds of a step, from what a step has to do and how fast this machine does it just now.
 *
 * The pace is measured: matrix products of the model's own width on few rows and on many, AdamW, a copy, and the
 * wake-up of the threads, in some tenths of a second. The work follows from recipe and plan. Their product is the time
 * where every answer is as long as it may be; verification runs beside the sampling and is left out, as are evaluations
 * and checkpoints.
 */
#ifndef ASSAY_TRAIN_COST_H
#define ASSAY_TRAIN_COST_H

#include "train/plan.h"

/* Seconds a unit, with all threads of the device. */
struct cost_pace {
  double one_row, slot_rows; /* a weight read for 1 row, for the rows of a full decode pass; weights come from memory */
  double forward, dx, dw;    /* a weight and row, on many rows */
  double adamw;              /* a weight */
  double byte;               /* moved in or out of memory */
  double wake;               /* an operation of no work */
};

/* What a step does; sft: groups are examples of `prompt` tokens, rollouts and fresh are 0. */
struct cost_work {
  double groups, prompt;  /* prompts, and mean tokens of one */
  double rollouts, fresh; /* answers, and tokens of each */
  double epochs, moves;   /* passes over the rollouts, updates of the weights */
  double passes;          /* scoring passes over all rows, and what takes as long as them */
  double probes, again;   /* answers that are not trained; trained once more, in shares of the rollouts */
};

struct cost {
  double generate, score, train, update; /* seconds */
  double total;
};

/* Allocates up to 200 MB for the time of the call. */
int cost_measure(struct device *d, const struct model_config *c, const struct plan *p, struct cost_pace *out,
                 struct error *err) MUST_USE;
void cost_step(const struct cost_pace *pace, const struct model_config *c, const struct plan *p,
               const struct cost_work *work, struct cost *out);

#endif
