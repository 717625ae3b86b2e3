#include "core/log.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/live.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards everything below, and core/live */
static bool quiet;
static FILE *copy; /* log.txt */
static struct {
  struct log_phase phase;
  double begun, shown, first_done;
} progress;
static struct {
  log_draw_fn *draw; /* NULL: no view */
  void *arg;
  pthread_t thread;
  pthread_cond_t changed; /* signalled when the view closes */
  struct text lines;
} view;

double clock_seconds(void)
{
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

bool log_is_terminal(void)
{
  return isatty(STDERR_FILENO) == 1;
}

void log_set_quiet(bool set)
{
  pthread_mutex_lock(&lock);
  quiet = set;
  pthread_mutex_unlock(&lock);
}

int log_open(const char *path, struct error *err)
{
  FILE *f = path ? fopen(path, "ae") : NULL;
  if (path && !f)
    FAIL_AT(err, ERROR_INPUT, path, 0, NULL, "the log cannot be opened; expected a file that can be written");
  pthread_mutex_lock(&lock);
  if (copy) fclose(copy);
  copy = f;
  pthread_mutex_unlock(&lock);
  return 0;
}

/* ---- the view ---------------------------------------------------------------------------------------------------- */

/* The phase as it is now. */
static struct log_phase current_phase(void)
{
  struct log_phase p = progress.phase;
  if (!p.what[0]) return p;
  p.seconds = clock_seconds() - progress.begun;
  p.rate = p.seconds > 0 ? (p.done - progress.first_done) / p.seconds : 0;
  return p;
}

static void draw_view(const char *above)
{
  struct log_phase phase = current_phase();
  int columns, rows;
  live_size(&columns, &rows);
  text_clear(&view.lines);
  view.draw(view.arg, columns, &phase, &view.lines);
  if (!view.lines.rc) live_draw(view.lines.bytes ? view.lines.bytes : "", view.lines.size, above);
}

/* Draws ten times a second: the run itself never waits for a terminal, and its clock goes on through a long step. */
static void *keep_drawing(void *unused)
{
  (void)unused;
  pthread_mutex_lock(&lock);
  while (view.draw) {
    struct timespec until;
    draw_view(NULL);
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += 100000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_cond_timedwait(&view.changed, &lock, &until);
  }
  pthread_mutex_unlock(&lock);
  return NULL;
}

/* The thread takes no signals: they belong to those that wait for them. */
static bool start_thread(void)
{
  sigset_t all, old;
  pthread_condattr_t clock;
  sigfillset(&all);
  pthread_condattr_init(&clock);
  pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
  pthread_cond_init(&view.changed, &clock);
  pthread_condattr_destroy(&clock);
  pthread_sigmask(SIG_SETMASK, &all, &old);
  bool started = !pthread_create(&view.thread, NULL, keep_drawing, NULL);
  pthread_sigmask(SIG_SETMASK, &old, NULL);
  if (!started) pthread_cond_destroy(&view.changed);
  return started;
}

bool log_view_open(log_draw_fn *draw, void *arg)
{
  pthread_mutex_lock(&lock);
  bool can = !quiet && !view.draw && live_able();
  if (can) {
    live_close();  // a progress line
    live_hold();
    view.draw = draw;
    view.arg = arg;
    if (!start_thread()) {
      view.draw = NULL;
      live_close();
      can = false;
    }
  }
  pthread_mutex_unlock(&lock);
  return can;
}

void log_view_close(void)
{
  pthread_mutex_lock(&lock);
  bool open = view.draw != NULL;
  view.draw = NULL;
  if (open) {
    live_close();
    pthread_cond_signal(&view.changed);
  }
  pthread_mutex_unlock(&lock);
  if (!open) return;
  pthread_join(view.thread, NULL);
  pthread_cond_destroy(&view.changed);
  text_free(&view.lines);
}

/* ---- lines ------------------------------------------------------------------------------------------------------- */

static void put_copy(const char *prefix, const char *message)
{
  char when[32];
  time_t now = time(NULL);
  struct tm utc;
  if (!copy) return;
  strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
  fprintf(copy, "%s %s%s\n", when, prefix, message);
  fflush(copy);
}

enum shown { SHOWN_ALWAYS, SHOWN_UNLESS_QUIET, SHOWN_WITHOUT_VIEW, SHOWN_NEVER };

/* One line to stderr, and with the time to the copy. */
static void put_line(const char *prefix, const char *message, enum shown when)
{
  pthread_mutex_lock(&lock);
  bool shown =
      when == SHOWN_ALWAYS || (!quiet && (when == SHOWN_UNLESS_QUIET || (when == SHOWN_WITHOUT_VIEW && !view.draw)));
  if (shown && view.draw) {
    char line[5200];
    snprintf(line, sizeof line, "%s%s\n", prefix, message);
    draw_view(line);
  } else if (shown) {
    live_close();
    fprintf(stderr, "%s%s\n", prefix, message);
  }
  put_copy(prefix, message);
  pthread_mutex_unlock(&lock);
}

#define FORMAT(message, fmt)                            \
  do {                                                  \
    va_list args;                                       \
    va_start(args, fmt);                                \
    vsnprintf((message), sizeof(message), (fmt), args); \
    va_end(args);                                       \
  } while (0)

void log_info(const char *fmt, ...)
{
  char message[4096];
  FORMAT(message, fmt);
  put_line("", message, SHOWN_UNLESS_QUIET);
}

void log_detail(bool due, const char *fmt, ...)
{
  char message[4096];
  FORMAT(message, fmt);
  put_line("", message, due ? SHOWN_WITHOUT_VIEW : SHOWN_NEVER);
}

void log_warn(const char *fmt, ...)
{
  char message[4096];
  FORMAT(message, fmt);
  put_line("assay: warning: ", message, SHOWN_UNLESS_QUIET);
}

void log_error(const struct error *err)
{
  char message[sizeof err->message + sizeof err->file + 32];
  error_format(err, message, sizeof message);
  put_line("assay: ", message, SHOWN_ALWAYS);
}

/* ---- progress ---------------------------------------------------------------------------------------------------- */

/* "12 of 100 rows, 3.4 rows/s, 26 s left" */
static void format_progress(char *line, size_t size, const struct log_phase *p)
{
  int n = p->total > 0 ? snprintf(line, size, "%s: %.0f of %.0f %s", p->what, p->done, p->total, p->unit)
                       : snprintf(line, size, "%s: %.0f %s", p->what, p->done, p->unit);
  if (p->rate > 0 && n > 0 && (size_t)n < size) {
    n += snprintf(line + n, size - (size_t)n, ", %.3g %s/s", p->rate, p->unit);
  }
  if (p->rate > 0 && p->total > p->done && n > 0 && (size_t)n < size) {
    snprintf(line + n, size - (size_t)n, ", %.0f s left", (p->total - p->done) / p->rate);
  }
}

void log_progress(const char *what, double done, double total, const char *unit)
{
  double now = clock_seconds();
  pthread_mutex_lock(&lock);
  bool able = live_able();
  if (strncmp(progress.phase.what, what, sizeof progress.phase.what - 1) != 0) {
    snprintf(progress.phase.what, sizeof progress.phase.what, "%s", what);
    snprintf(progress.phase.unit, sizeof progress.phase.unit, "%s", unit);
    progress.begun = now;
    progress.first_done = done;
    double silent = now + 2.0 - (able ? 0.1 : 10.0); /* for 2 s; and 10 s behind the line of another phase */
    if (progress.shown < silent) progress.shown = silent;
  }
  progress.phase.done = done;
  progress.phase.total = total;
  if (!view.draw && !quiet && now - progress.shown >= (able ? 0.1 : 10.0)) {
    char line[256];
    struct log_phase phase = current_phase();
    format_progress(line, sizeof line, &phase);
    if (able)
      live_draw(line, strlen(line), NULL);
    else
      fprintf(stderr, "%s\n", line);
    progress.shown = now;
  }
  pthread_mutex_unlock(&lock);
}

void log_progress_end(void)
{
  pthread_mutex_lock(&lock);
  if (!view.draw) live_close();
  progress.phase.what[0] = '\0';
  pthread_mutex_unlock(&lock);
}
