/* eval/plot: pass@k over k as an SVG file that follows the reader's light or dark scheme. The same numbers give the
 * same bytes. */
#ifndef ASSAY_EVAL_PLOT_H
#define ASSAY_EVAL_PLOT_H

#include "core/json.h"

struct plot_point {
  int64_t k;
  double value, low, high; /* fractions; low = high = NaN: no interval */
};
struct plot_line {
  const char *name;
  const struct plot_point *points;
  size_t count;
};
enum { PLOT_LINES = 5 };

/* 700 x 350; k on a log2 axis. At most PLOT_LINES lines of at least one point, k ascending. */
void plot_put_svg(struct text *t, const char *title, const struct plot_line *lines, size_t count);

#endif
