/* eval/svg: what the charts have in common: a page of 700 x 350 that follows the reader's light or dark scheme, with a
 * title. The same calls give the same bytes. */
#ifndef ASSAY_EVAL_SVG_H
#define ASSAY_EVAL_SVG_H

#include "core/json.h"

/* style, dark: the chart's own rules, beside those of text, .title, .small, .back, .grid and .axis. left: where the
 * title begins. */
void svg_begin(struct text *t, const char *style, const char *dark, const char *title, int left);
void svg_put_escaped(struct text *t, const char *s);
void svg_end(struct text *t);

#endif
