#include "core/log.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards everything below */
static bool quiet;
static FILE *copy; /* log.txt */
static bool live;  /* a live line stands on the terminal */
static struct {
  char what[64];
  double begun, shown, first_done;
} progress;

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

static void clear_live(void)
{
  if (live) fputs("\r\033[K", stderr);
  live = false;
}

/* One line to stderr (if shown) and, with the time, to the copy. */
static void put_line(const char *prefix, const char *message, bool shown)
{
  pthread_mutex_lock(&lock);
  if (shown || !quiet) {
    clear_live();
    fprintf(stderr, "%s%s\n", prefix, message);
  }
  if (copy) {
    char when[32];
    time_t now = time(NULL);
    struct tm utc;
    strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
    fprintf(copy, "%s %s%s\n", when, prefix, message);
    fflush(copy);
  }
  pthread_mutex_unlock(&lock);
}

void log_info(const char *fmt, ...)
{
  char message[2048];
  va_list args;
  va_start(args, fmt);
  vsnprintf(message, sizeof message, fmt, args);
  va_end(args);
  put_line("", message, false);
}

void log_warn(const char *fmt, ...)
{
  char message[2048];
  va_list args;
  va_start(args, fmt);
  vsnprintf(message, sizeof message, fmt, args);
  va_end(args);
  put_line("assay: warning: ", message, false);
}

void log_error(const struct error *err)
{
  char message[sizeof err->message + sizeof err->file + 32];
  error_format(err, message, sizeof message);
  put_line("assay: ", message, true);
}

/* "12 of 100 rows, 3.4 rows/s, 26 s left" */
static void format_progress(char *line, size_t size, double now, double done, double total, const char *unit)
{
  double spent = now - progress.begun, rate = spent > 0 ? (done - progress.first_done) / spent : 0;
  int n = total > 0 ? snprintf(line, size, "%s: %.0f of %.0f %s", progress.what, done, total, unit)
                    : snprintf(line, size, "%s: %.0f %s", progress.what, done, unit);
  if (rate > 0 && n > 0 && (size_t)n < size) {
    n += snprintf(line + n, size - (size_t)n, ", %.3g %s/s", rate, unit);
  }
  if (rate > 0 && total > done && n > 0 && (size_t)n < size) {
    snprintf(line + n, size - (size_t)n, ", %.0f s left", (total - done) / rate);
  }
}

void log_progress(const char *what, double done, double total, const char *unit)
{
  double now = clock_seconds();
  bool terminal = log_is_terminal();
  pthread_mutex_lock(&lock);
  if (strncmp(progress.what, what, sizeof progress.what - 1) != 0) {
    snprintf(progress.what, sizeof progress.what, "%s", what);
    progress.begun = now;
    progress.first_done = done;
    progress.shown = now + 2.0 - (terminal ? 0.1 : 10.0); /* silent for 2 s */
  }
  if (!quiet && now - progress.shown >= (terminal ? 0.1 : 10.0)) {
    char line[256];
    format_progress(line, sizeof line, now, done, total, unit);
    fprintf(stderr, terminal ? "\r\033[K%.*s" : "%.*s\n", (int)sizeof line, line);
    live = terminal;
    progress.shown = now;
  }
  pthread_mutex_unlock(&lock);
}

void log_progress_end(void)
{
  pthread_mutex_lock(&lock);
  clear_live();
  progress.what[0] = '\0';
  pthread_mutex_unlock(&lock);
}
