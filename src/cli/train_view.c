#include "cli/train_view.h"

#include "core/live.h"
#include "core/log.h"
#include "core/math.h"
#include "train/chart.h"

#include <inttypes.h>
#include <pthread.h>
#include <string.h>

enum { BUCKETS = 160, RECENT = 64, WIDEST = 118 };

struct train_view {
  pthread_mutex_t lock; /* guards what follows: reports come from the run, drawing from the log's thread */
  const struct ledger *ledger;
  bool (*stopped)(void);
  bool utf8, sft, open;
  int64_t steps, step;
  bool any; /* a step has been reported */
  double value, reward, entropy, length, speed, loss, gradient, rate;
  int64_t mismatch, mismatch_of;
  double curve[BUCKETS];
  int curve_count;
  double first, low, high;
  /* when the last reports came, for the time left */
  double times[RECENT];
  int64_t time_steps[RECENT];
  int time_count;
};

/* ---- what is shown ----------------------------------------------------------------------------------------------- */

static void remember_time(struct train_view *v)
{
  if (v->time_count == RECENT) {
    memmove(v->times, v->times + 1, (RECENT - 1) * sizeof *v->times);
    memmove(v->time_steps, v->time_steps + 1, (RECENT - 1) * sizeof *v->time_steps);
    v->time_count--;
  }
  v->times[v->time_count] = clock_seconds();
  v->time_steps[v->time_count++] = v->step;
}

static void take_curve(struct train_view *v)
{
  const struct ledger *l = v->ledger;
  if (!l->point_count) return;
  v->curve_count = l->point_count < BUCKETS ? (int)l->point_count : BUCKETS;
  ledger_buckets(l, v->curve_count, v->curve);
  v->low = v->high = v->curve[0];
  for (int i = 1; i < v->curve_count; i++) {
    if (v->curve[i] < v->low) v->low = v->curve[i];
    if (v->curve[i] > v->high) v->high = v->curve[i];
  }
  v->first = l->points[0].value;
}

void train_view_report(struct train_view *v, const struct metrics *m)
{
  if (!v) return;
  pthread_mutex_lock(&v->lock);
  const struct ledger *l = v->ledger;
  v->step = ledger_last_step(l);
  v->mismatch = l->mismatch;
  v->mismatch_of = l->mismatch_of;
  if (m && !math_is_nan(metrics_get(m, "time_s"))) {
    v->any = true;
    v->value = metrics_get(m, "solved");
    v->reward = metrics_get(m, "reward/mean");
    v->entropy = metrics_get(m, "entropy");
    v->length = metrics_get(m, "length/mean");
    v->speed = metrics_get(m, v->sft ? "tok_s/train" : "tok_s/generate");
    v->loss = metrics_get(m, "loss");
    v->gradient = metrics_get(m, "grad_norm");
    v->rate = metrics_get(m, "lr");
  }
  take_curve(v);
  remember_time(v);
  pthread_mutex_unlock(&v->lock);
}

/* ---- lines ------------------------------------------------------------------------------------------------------- */

#define DIM   "\033[2m"
#define BOLD  "\033[1m"
#define RED   "\033[1;31m"
#define PLAIN "\033[0m"

/* Right-aligned in `width`. */
static void put_cell(struct text *t, int width, const struct text *cell)
{
  text_printf(t, "%*s%s", width > (int)cell->size ? width - (int)cell->size : 0, "", cell->bytes ? cell->bytes : "");
}

static void put_real_cell(struct text *t, int width, const char *format_unit, int digits, double value, bool known)
{
  struct text cell = {0};
  if (known && math_is_finite(value))
    text_printf(&cell, "%.*f%s", digits, value, format_unit);
  else
    text_puts(&cell, "-");
  put_cell(t, width, &cell);
  text_free(&cell);
}

static void put_step_cell(const struct train_view *v, struct text *t, int width)
{
  struct text cell = {0};
  text_printf(&cell, "%" PRId64 "/%" PRId64, v->step, v->steps);
  put_cell(t, width, &cell);
  text_free(&cell);
}

static void put_count_cell(struct text *t, int width, double value, bool known)
{
  struct text cell = {0};
  if (known && math_is_finite(value))
    chart_put_count(&cell, (int64_t)value);
  else
    text_puts(&cell, "-");
  put_cell(t, width, &cell);
  text_free(&cell);
}

/* From the pace of the last reports, evaluations and checkpoints between them included. */
static void put_left_cell(const struct train_view *v, struct text *t, int width)
{
  struct text cell = {0};
  int n = v->time_count;
  if (v->step >= v->steps) {
    text_puts(&cell, "done");
  } else if (n > 1 && v->time_steps[n - 1] > v->time_steps[0]) {
    double pace = (v->times[n - 1] - v->times[0]) / (double)(v->time_steps[n - 1] - v->time_steps[0]);
    double left = pace * (double)(v->steps - v->step) - (clock_seconds() - v->times[n - 1]);
    chart_put_duration(&cell, left > 1 ? (double)(int64_t)left : 1);
  } else {
    text_puts(&cell, "-");
  }
  put_cell(t, width, &cell);
  text_free(&cell);
}

/* Where the window is wider than the table needs, columns stand further apart. */
static int spread(int width, int needed, int columns)
{
  int more = (width - 1 - needed) / columns;
  return more < 0 ? 0 : more > 3 ? 3 : more;
}

static void put_heads(struct text *t, const char *const *names, const int *widths, int count, int more)
{
  text_puts(t, DIM);
  for (int i = 0; i < count; i++) text_printf(t, "%*s", widths[i] + more, names[i]);
  text_puts(t, PLAIN "\n" BOLD);
}

static void put_sft_table(const struct train_view *v, int width, struct text *t)
{
  static const char *const names[] = {"step", "loss", "grad", "lr", "tok/s", "time left"};
  static const int widths[] = {13, 10, 10, 11, 10, 16};
  int more = spread(width, 70, 6);
  struct text rate = {0};
  put_heads(t, names, widths, 6, more);
  put_step_cell(v, t, widths[0] + more);
  put_real_cell(t, widths[1] + more, "", 4, v->loss, v->any);
  put_real_cell(t, widths[2] + more, "", 3, v->gradient, v->any);
  text_printf(&rate, v->any ? "%.3g" : "-", v->rate);
  put_cell(t, widths[3] + more, &rate);
  put_count_cell(t, widths[4] + more, v->speed, v->any);
  put_left_cell(v, t, widths[5] + more);
  text_puts(t, PLAIN "\n");
  text_free(&rate);
}

static void put_train_table(const struct train_view *v, int width, struct text *t)
{
  static const char *const names[] = {"step",   "solved", "reward",   "entropy",
                                      "length", "tok/s",  "mismatch", "time left"};
  static const int widths[] = {11, 9, 8, 8, 7, 8, 15, 12};
  int more = spread(width, 78, 8);
  struct text law = {0};
  chart_put_count(&law, v->mismatch);
  text_puts(&law, " of ");
  if (v->mismatch_of < 10000000)
    chart_put_count(&law, v->mismatch_of);
  else
    text_printf(&law, "%.1f M", (double)v->mismatch_of / 1e6);
  put_heads(t, names, widths, 8, more);
  put_step_cell(v, t, widths[0] + more);
  put_real_cell(t, widths[1] + more, " %", 1, 100 * v->value, v->any);
  put_real_cell(t, widths[2] + more, "", 3, v->reward, v->any);
  put_real_cell(t, widths[3] + more, "", 3, v->entropy, v->any);
  put_real_cell(t, widths[4] + more, "", 1, v->length, v->any);
  put_count_cell(t, widths[5] + more, v->speed, v->any);
  text_puts(t, v->mismatch ? RED : "");
  put_cell(t, widths[6] + more, &law);
  text_puts(t, v->mismatch ? PLAIN BOLD : "");
  put_left_cell(v, t, widths[7] + more);
  text_puts(t, PLAIN "\n");
  text_free(&law);
}

/* "solved 35.2 % ▁▂▃▅▆▇ 83.3 %" over the whole run. */
static void put_curve(const struct train_view *v, int width, struct text *t)
{
  double shown[BUCKETS];
  int room = width - 30, n = v->curve_count;
  if (!n) {
    text_puts(t, "\n");
    return;
  }
  if (room < 8) room = 8;
  if (n > room) {
    for (int b = 0; b < room; b++) shown[b] = v->curve[b * n / room];
    shown[room - 1] = v->curve[n - 1];
    n = room;
  } else {
    memcpy(shown, v->curve, (size_t)n * sizeof *shown);
  }
  if (v->sft)
    text_printf(t, DIM "  loss" PLAIN "   %8.4f ", v->first);
  else
    text_printf(t, DIM "  solved" PLAIN " %6.1f %% ", 100 * v->first);
  chart_put_spark(t, shown, n, v->low, v->high, v->utf8);
  text_printf(t, v->sft ? " %.4f\n" : " %.1f %%\n",
              v->sft ? v->curve[v->curve_count - 1] : 100 * v->curve[v->curve_count - 1]);
}

static void put_phase(const struct train_view *v, const struct log_phase *p, struct text *t)
{
  if (v->stopped && v->stopped()) {
    text_puts(t, BOLD "stopping, saving; Ctrl-C again ends at once" PLAIN);
    return;
  }
  if (!p->what[0] || p->seconds < 2) return;
  text_printf(t, "%s ", p->what);
  if (p->done > 0) chart_put_count(t, (int64_t)p->done);
  if (p->total > 0) {
    text_puts(t, " of ");
    chart_put_count(t, (int64_t)p->total);
  }
  text_printf(t, "%s%s", p->done > 0 ? " " : "", p->done > 0 ? p->unit : "");
  if (p->rate > 0) text_printf(t, p->rate < 10 ? ", %.1f %s/s" : ", %.0f %s/s", p->rate, p->unit);
  text_puts(t, ", ");
  chart_put_duration(t, (double)(int64_t)p->seconds);
}

/* How far the run is, and what it does now where that takes longer than 2 s. */
static void put_bar(const struct train_view *v, int width, const struct log_phase *p, struct text *t)
{
  struct text phase = {0};
  put_phase(v, p, &phase);
  int room = width < 100 ? 22 : 40;  // the same whatever is said behind it
  double share = v->steps ? math_clamp((double)v->step / (double)v->steps, 0, 1) : 0;
  int full = (int)(share * room);
  text_puts(t, "  ");
  for (int i = 0; i < full; i++) text_puts(t, v->utf8 ? "\u2501" : "#");
  text_puts(t, DIM);
  for (int i = full; i < room; i++) text_puts(t, v->utf8 ? "\u2500" : "-");
  text_printf(t, PLAIN " %3.0f %%   %s\n", 100 * share, phase.bytes ? phase.bytes : "");
  text_free(&phase);
}

static void draw(void *arg, int columns, const struct log_phase *phase, struct text *out)
{
  struct train_view *v = arg;
  int width = columns > WIDEST ? WIDEST : columns;
  pthread_mutex_lock(&v->lock);
  text_puts(out, "\n");
  if (v->sft)
    put_sft_table(v, width, out);
  else
    put_train_table(v, width, out);
  put_curve(v, width, out);
  put_bar(v, width, phase, out);
  pthread_mutex_unlock(&v->lock);
}

/* ---- open and close ---------------------------------------------------------------------------------------------- */

static void close_view(void *arg)
{
  struct train_view *v = arg;
  if (v->open) log_view_close();
  if (v->open) pthread_mutex_destroy(&v->lock);
  v->open = false;
}

void train_view_close(struct train_view *v)
{
  if (v) close_view(v);
}

int train_view_open(struct arena *a, const struct ledger *l, int64_t steps, bool (*stopped)(void),
                    struct train_view **out, struct error *err)
{
  struct train_view *v = ARENA_NEW(a, struct train_view, 1, "view", err);
  *out = NULL;
  if (!v) return err->code;
  v->ledger = l;
  v->steps = steps;
  v->stopped = stopped;
  v->sft = l->sft;
  v->utf8 = live_utf8();
  pthread_mutex_init(&v->lock, NULL);
  int rc = arena_on_reset(a, close_view, v, err);
  if (!rc) train_view_report(v, NULL);
  v->open = !rc && log_view_open(draw, v);
  if (!v->open) pthread_mutex_destroy(&v->lock);
  if (v->open) *out = v;
  return rc;
}
