/* train/chart: a run's numbers for a person's eyes: counts and durations, the learning curve as characters and as SVG.
 */
#ifndef ASSAY_TRAIN_CHART_H
#define ASSAY_TRAIN_CHART_H

#include "train/ledger.h"

void chart_put_count(struct text *t, int64_t n);         /* 1,234,567 */
void chart_put_duration(struct text *t, double seconds); /* 0.8 s, 12 s, 1 min 05 s, 2 h 03 min */
void chart_put_percent(struct text *t, double fraction); /* 41.5 % */
/* One character a value, low to high as a bar's height; ASCII where utf8 is false. */
void chart_put_spark(struct text *t, const double *values, int n, double low, double high, bool utf8);

/* The learning curve in 9 lines of at most `columns` (40 or more): bars are the step's solved rollouts (sft: the loss),
   marks the evaluations. Nothing where the ledger has no point. */
void chart_put_text(struct text *t, const struct ledger *l, int columns, bool utf8);

/* A whole SVG file, 700 x 350, that follows the reader's light or dark scheme: the curve smoothed over the raw points,
   the evaluations with their 95 % intervals. The same ledger gives the same bytes. */
void chart_put_svg(struct text *t, const struct ledger *l, const char *title);

#endif
