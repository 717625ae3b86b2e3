#include "train/chart.h"

#include "core/math.h"
#include "eval/svg.h"

#include <inttypes.h>
#include <string.h>

/* ---- numbers ----------------------------------------------------------------------------------------------------- */

void chart_put_count(struct text *t, int64_t n)
{
  char digits[32];
  int length = snprintf(digits, sizeof digits, "%" PRId64, n);
  for (int i = 0; i < length; i++) {
    if (i && (length - i) % 3 == 0 && digits[i - 1] != '-') text_puts(t, ",");
    text_add(t, &digits[i], 1);
  }
}

void chart_put_duration(struct text *t, double seconds)
{
  if (seconds < 9.95) {
    text_printf(t, "%.1f s", seconds > 0 ? seconds : 0);
    return;
  }
  int64_t s = (int64_t)(seconds + 0.5);
  if (s < 60)
    text_printf(t, "%" PRId64 " s", s);
  else if (s < 3600)
    text_printf(t, "%" PRId64 " min %02" PRId64 " s", s / 60, s % 60);
  else
    text_printf(t, "%" PRId64 " h %02" PRId64 " min", s / 3600, s % 3600 / 60);
}

void chart_put_percent(struct text *t, double fraction)
{
  text_printf(t, "%.1f %%", 100 * fraction);
}

/* ---- heights ----------------------------------------------------------------------------------------------------- */

/* The height of a value in `levels` equal steps between low and high, 0 to levels. */
static int level(double value, double low, double high, int levels)
{
  double share = high > low ? (value - low) / (high - low) : 1;
  return (int)math_round(math_clamp(share, 0, 1) * levels);
}

/* An eighth-block of height 0..8. */
static const char *block(int eighths, bool utf8)
{
  static const char *const blocks[] = {" ",      "\u2581", "\u2582", "\u2583", "\u2584",
                                       "\u2585", "\u2586", "\u2587", "\u2588"};
  static const char *const letters[] = {" ", ".", ".", ":", ":", "|", "|", "#", "#"};
  return utf8 ? blocks[eighths] : letters[eighths];
}

void chart_put_spark(struct text *t, const double *values, int n, double low, double high, bool utf8)
{
  for (int i = 0; i < n; i++) text_puts(t, block(1 + level(values[i], low, high, 7), utf8));
}

/* The top of an axis that begins at 0: fractions end at 10, 20, 30, 50 or 100 %, losses at 1, 2 or 5 times a power of
 * ten. */
static double axis_top(const struct ledger *l)
{
  static const double fractions[] = {0.1, 0.2, 0.3, 0.5};
  double most = 0, top = 1e-6;
  for (size_t i = 0; i < l->point_count; i++)
    if (l->points[i].value > most) most = l->points[i].value;
  for (size_t i = 0; i < l->result_count; i++)
    if (l->results[i].high > most) most = l->results[i].high;
  for (size_t i = 0; !l->sft && i < sizeof fractions / sizeof *fractions; i++)
    if (most <= 0.95 * fractions[i]) return fractions[i];
  if (!l->sft) return 1;
  while (top < most)
    for (int k = 0; k < 3 && top < most; k++) top *= k == 1 ? 2.5 : 2;
  return top;
}

static void put_value(struct text *t, const struct ledger *l, double value)
{
  char word[32];
  if (l->sft)
    snprintf(word, sizeof word, "%.3g", value);
  else
    snprintf(word, sizeof word, "%.0f %%", 100 * value);
  text_printf(t, "%6s", word);
}

/* ---- as characters ----------------------------------------------------------------------------------------------- */

enum { CHART_ROWS = 8, CHART_LEAST = 20, CHART_MOST = 120, CHART_LEFT = 11 };

struct grid {
  int bars[CHART_MOST];         /* height in eighths of a row */
  signed char mark[CHART_MOST]; /* row of an evaluation, from below; -1: none */
  int columns;
};

static void fill_grid(struct grid *g, const struct ledger *l, double top)
{
  double means[CHART_MOST];
  int64_t last = ledger_last_step(l);
  ledger_buckets(l, g->columns, means);
  for (int c = 0; c < g->columns; c++) {
    g->bars[c] = level(means[c], 0, top, 8 * CHART_ROWS);
    g->mark[c] = -1;
  }
  for (size_t i = 0; i < l->result_count; i++) {
    if (l->results[i].set) continue;
    int column = last ? (int)(l->results[i].step * (g->columns - 1) / last) : 0;
    int row = level(l->results[i].accuracy, 0, top, 8 * CHART_ROWS) / 8;
    g->mark[column] = (signed char)(row < CHART_ROWS ? row : CHART_ROWS - 1);
  }
}

static void put_row(struct text *t, const struct grid *g, const struct ledger *l, int row, double top, bool utf8)
{
  text_puts(t, "  ");
  if (row == CHART_ROWS - 1 || row == CHART_ROWS / 2 - 1)
    put_value(t, l, row == CHART_ROWS - 1 ? top : top / 2);
  else
    text_puts(t, "      ");
  text_puts(t, utf8 ? " \u2502" : " |");
  for (int c = 0; c < g->columns; c++) {
    int eighths = g->bars[c] - 8 * row;
    if (g->mark[c] == row)
      text_puts(t, utf8 ? "\u25cf" : "o");
    else
      text_puts(t, block(eighths < 0 ? 0 : eighths > 8 ? 8 : eighths, utf8));
  }
  text_puts(t, "\n");
}

void chart_put_text(struct text *t, const struct ledger *l, int columns, bool utf8)
{
  struct grid g = {.columns = columns - CHART_LEFT};
  double top = axis_top(l);
  if (!l->point_count) return;
  if (g.columns > CHART_MOST) g.columns = CHART_MOST;
  if (g.columns < CHART_LEAST) g.columns = CHART_LEAST;
  fill_grid(&g, l, top);
  for (int row = CHART_ROWS - 1; row >= 0; row--) put_row(t, &g, l, row, top, utf8);
  text_puts(t, "  ");
  put_value(t, l, 0);
  text_puts(t, utf8 ? " \u2514" : " +");
  for (int c = 0; c < g.columns; c++) text_puts(t, utf8 ? "\u2500" : "-");
  char end[32];
  int n = snprintf(end, sizeof end, "step %" PRId64, ledger_last_step(l));
  text_printf(t, "\n          0%*s%s\n", g.columns - 1 - n > 1 ? g.columns - 1 - n : 1, "", end);
}

/* ---- as SVG ------------------------------------------------------------------------------------------------------ */

enum { LEFT = 60, RIGHT = 676, TOP = 52, BOTTOM = 306, SVG_POINTS = 600 };

static const char STYLE[] =
    ".raw{fill:none;stroke:#0969da;opacity:.25}.key{fill:#0969da}\n"
    ".line{fill:none;stroke:#0969da;stroke-width:2.5;stroke-linejoin:round}.bar{stroke-width:1.5;fill:none}\n"
    ".e0{stroke:#bc4c00;fill:#bc4c00}.e1{stroke:#1a7f37;fill:#1a7f37}.e2{stroke:#8250df;fill:#8250df}\n";
static const char DARK[] =
    ".raw,.line{stroke:#58a6ff}.key{fill:#58a6ff}.e0{stroke:#f0883e;fill:#f0883e}.e1{stroke:#3fb950;fill:#3fb950}"
    ".e2{stroke:#bc8cff;fill:#bc8cff}";

struct axes {
  double top;   /* value at TOP */
  int64_t last; /* step at RIGHT */
};

static double x_of(const struct axes *a, double step)
{
  return LEFT + (RIGHT - LEFT) * step / (double)a->last;
}
static double y_of(const struct axes *a, double value)
{
  return BOTTOM - (BOTTOM - TOP) * math_clamp(value / a->top, 0, 1);
}

/* The distance of ticks on the axis of steps: 1, 2 or 5 times a power of ten, at most 8 of them. */
static int64_t tick_distance(int64_t last)
{
  static const int64_t shape[] = {1, 2, 5};
  for (int64_t ten = 1;; ten *= 10)
    for (int k = 0; k < 3; k++)
      if (shape[k] * ten * 8 >= last) return shape[k] * ten;
}

static void put_axes(struct text *t, const struct ledger *l, const struct axes *a)
{
  for (int i = 0; i <= 4; i++) {
    double value = a->top * i / 4, y = y_of(a, value);
    text_printf(t,
                "<path class=\"%s\" d=\"M%d %.1fH%d\"/><text class=\"small\" x=\"%d\" y=\"%.1f\" text-anchor=\"end\">",
                i ? "grid" : "axis", LEFT, y, RIGHT, LEFT - 8, y + 4);
    if (l->sft)
      text_printf(t, "%.3g</text>\n", value);
    else
      text_printf(t, "%.4g %%</text>\n", 100 * value);
  }
  int64_t distance = tick_distance(a->last);
  for (int64_t step = 0; step <= a->last; step += distance)
    text_printf(t, "<text class=\"small\" x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%" PRId64 "</text>\n",
                x_of(a, (double)step), BOTTOM + 18, step);
  text_printf(t, "<text class=\"small\" x=\"%d\" y=\"%d\" text-anchor=\"middle\">step</text>\n", (LEFT + RIGHT) / 2,
              BOTTOM + 36);
}

/* One line through the points: means of `window` neighbours on either side, at most SVG_POINTS of them. */
static void put_line(struct text *t, const struct ledger *l, const struct axes *a, size_t window, const char *class)
{
  size_t stride = (l->point_count + SVG_POINTS - 1) / SVG_POINTS;
  text_printf(t, "<polyline class=\"%s\" points=\"", class);
  for (size_t i = 0; i < l->point_count; i += stride) {
    // narrower towards the ends, so that the line begins and ends where the points do
    size_t side = i < window ? i : window, sides = l->point_count - 1 - i;
    if (sides < side) side = sides;
    double sum = 0;
    for (size_t k = i - side; k <= i + side; k++) sum += l->points[k].value;
    text_printf(t, "%.1f,%.1f ", x_of(a, (double)l->points[i].step), y_of(a, sum / (double)(2 * side + 1)));
  }
  text_puts(t, "\"/>\n");
}

static void put_results(struct text *t, const struct ledger *l, const struct axes *a)
{
  for (size_t i = 0; i < l->result_count; i++) {
    const struct ledger_result *r = &l->results[i];
    double x = x_of(a, (double)r->step), low = y_of(a, r->low), high = y_of(a, r->high);
    text_printf(t, "<g class=\"e%d\"><path class=\"bar\" d=\"M%.1f %.1fV%.1fM%.1f %.1fh8M%.1f %.1fh8\"/>", r->set % 3,
                x, low, high, x - 4, low, x - 4, high);
    text_printf(t, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3.5\"/></g>\n", x, y_of(a, r->accuracy));
  }
}

static void put_keys(struct text *t, const struct ledger *l)
{
  double x = LEFT;
  text_printf(t, "<rect class=\"key\" x=\"%.0f\" y=\"34\" width=\"14\" height=\"3\"/>", x);
  text_printf(t, "<text class=\"small\" x=\"%.0f\" y=\"40\">%s</text>\n", x + 20,
              l->sft ? "loss" : "solved while training");
  x += l->sft ? 70 : 170;
  for (int i = 0; i < l->set_count && i < 3; i++) {
    text_printf(t, "<circle class=\"e%d\" cx=\"%.0f\" cy=\"36\" r=\"3.5\"/><text class=\"small\" x=\"%.0f\" y=\"40\">",
                i, x + 4, x + 14);
    svg_put_escaped(t, l->sets[i]);
    text_puts(t, ", 95 % interval</text>\n");
    x += 120 + 7 * (double)strlen(l->sets[i]);
  }
}

void chart_put_svg(struct text *t, const struct ledger *l, const char *title)
{
  struct axes a = {.top = axis_top(l), .last = ledger_last_step(l)};
  if (a.last < 1) a.last = 1;
  svg_begin(t, STYLE, DARK, title, LEFT);
  put_keys(t, l);
  put_axes(t, l, &a);
  if (l->point_count) {
    size_t window = l->point_count / 40;
    if (window) put_line(t, l, &a, 0, "raw");
    put_line(t, l, &a, window, "line");
  }
  put_results(t, l, &a);
  svg_end(t);
}
