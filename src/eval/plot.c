#include "eval/plot.h"
#include <inttypes.h>
#include <string.h>
#include "core/math.h"
#include "eval/svg.h"

enum { LEFT = 60, RIGHT = 676, TOP = 62, BOTTOM = 306 };

static const char STYLE[] =
    ".band{opacity:.15}.line{fill:none;stroke-width:2.5;stroke-linejoin:round}\n"
    ".s0{stroke:#0969da}.s1{stroke:#bc4c00}.s2{stroke:#1a7f37}.s3{stroke:#8250df}.s4{stroke:#bf3989}\n"
    ".f0{fill:#0969da}.f1{fill:#bc4c00}.f2{fill:#1a7f37}.f3{fill:#8250df}.f4{fill:#bf3989}\n";
static const char DARK[] =
    ".s0{stroke:#58a6ff}.s1{stroke:#f0883e}.s2{stroke:#3fb950}.s3{stroke:#bc8cff}.s4{stroke:#f778ba}\n"
    ".f0{fill:#58a6ff}.f1{fill:#f0883e}.f2{fill:#3fb950}.f3{fill:#bc8cff}.f4{fill:#f778ba}";

struct axes {
  double low, high; /* values at BOTTOM and TOP */
  int64_t last;     /* k at RIGHT */
};

static double x_of(const struct axes *a, int64_t k)
{
  if (a->last < 2) return (LEFT + RIGHT) / 2.0;
  return LEFT + (RIGHT - LEFT) * math_log((double)k) / math_log((double)a->last);
}

static double y_of(const struct axes *a, double value)
{
  return BOTTOM - (BOTTOM - TOP) * math_clamp((value - a->low) / (a->high - a->low), 0, 1);
}

static double edge(const struct plot_point *p, bool high)
{
  double x = high ? p->high : p->low;
  return math_is_nan(x) ? p->value : x;
}

/* The values' range, widened to whole tenths. */
static struct axes find_axes(const struct plot_line *lines, size_t count)
{
  struct axes a = {.low = 1, .high = 0, .last = 1};
  for (size_t i = 0; i < count; i++)
    for (size_t k = 0; k < lines[i].count; k++) {
      const struct plot_point *p = &lines[i].points[k];
      if (edge(p, false) < a.low) a.low = edge(p, false);
      if (edge(p, true) > a.high) a.high = edge(p, true);
      if (p->k > a.last) a.last = p->k;
    }
  a.low = math_floor(math_clamp(a.low, 0, 0.9) * 10) / 10;
  a.high = -math_floor(-math_clamp(a.high, 0, 1) * 10) / 10;
  if (a.high < a.low + 0.1) a.high = a.low + 0.1;
  return a;
}

static void put_axes(struct text *t, const struct axes *a)
{
  int steps = (int)math_round((a->high - a->low) * 10);
  for (int i = 0; i <= steps; i += steps > 5 ? 2 : 1) {
    double value = a->low + i / 10.0, y = y_of(a, value);
    text_printf(t,
                "<path class=\"%s\" d=\"M%d %.1fH%d\"/><text class=\"small\" x=\"%d\" y=\"%.1f\" "
                "text-anchor=\"end\">%.0f %%</text>\n",
                i ? "grid" : "axis", LEFT, y, RIGHT, LEFT - 8, y + 4, 100 * value);
  }
  for (int64_t k = 1; k <= a->last; k *= 2)
    text_printf(t, "<text class=\"small\" x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%" PRId64 "</text>\n", x_of(a, k),
                BOTTOM + 18, k);
  text_printf(t, "<text class=\"small\" x=\"%d\" y=\"%d\" text-anchor=\"middle\">k</text>\n", (LEFT + RIGHT) / 2,
              BOTTOM + 36);
}

static void put_line(struct text *t, const struct axes *a, const struct plot_line *line, size_t index)
{
  text_printf(t, "<polygon class=\"band f%zu\" points=\"", index);
  for (size_t i = 0; i < line->count; i++)
    text_printf(t, "%.1f,%.1f ", x_of(a, line->points[i].k), y_of(a, edge(&line->points[i], true)));
  for (size_t i = line->count; i-- > 0;)
    text_printf(t, "%.1f,%.1f ", x_of(a, line->points[i].k), y_of(a, edge(&line->points[i], false)));
  text_printf(t, "\"/>\n<polyline class=\"line s%zu\" points=\"", index);
  for (size_t i = 0; i < line->count; i++)
    text_printf(t, "%.1f,%.1f ", x_of(a, line->points[i].k), y_of(a, line->points[i].value));
  text_puts(t, "\"/>\n");
  for (size_t i = 0; i < line->count; i++)
    text_printf(t, "<circle class=\"f%zu\" cx=\"%.1f\" cy=\"%.1f\" r=\"3\"/>\n", index, x_of(a, line->points[i].k),
                y_of(a, line->points[i].value));
}

void plot_put_svg(struct text *t, const char *title, const struct plot_line *lines, size_t count)
{
  struct axes a = find_axes(lines, count);
  double x = LEFT;
  ASSAY_BUG_IF(count > PLOT_LINES);
  svg_begin(t, STYLE, DARK, title, LEFT);
  for (size_t i = 0; i < count; i++) {
    text_printf(t, "<circle class=\"f%zu\" cx=\"%.0f\" cy=\"38\" r=\"4\"/><text class=\"small\" x=\"%.0f\" y=\"42\">",
                i, x + 4, x + 14);
    svg_put_escaped(t, lines[i].name);
    text_puts(t, "</text>\n");
    x += 34 + 7 * (double)strlen(lines[i].name);
  }
  put_axes(t, &a);
  for (size_t i = 0; i < count; i++) put_line(t, &a, &lines[i], i);
  svg_end(t);
}
