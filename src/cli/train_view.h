/* cli/train_view: a run on a terminal: one table that stays in place under what is logged. The numbers of the last
 * step, the curve so far, how far the run is, what it is doing now and when it will be done. */
#ifndef ASSAY_CLI_TRAIN_VIEW_H
#define ASSAY_CLI_TRAIN_VIEW_H

#include "train/ledger.h"

struct train_view;

/* Opens the view where stderr can show one; *out NULL where it cannot. steps: train.steps. stopped: a stop was asked
   for. The ledger is read in train_view_report only. */
int train_view_open(struct arena *a, const struct ledger *l, int64_t steps, bool (*stopped)(void),
                    struct train_view **out, struct error *err) MUST_USE;
/* A step's line of metrics is in the ledger. NULL is allowed. */
void train_view_report(struct train_view *v, const struct metrics *m);
/* The terminal as it was. NULL is allowed; also runs when the arena resets. */
void train_view_close(struct train_view *v);

#endif
