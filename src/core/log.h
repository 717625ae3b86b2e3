/* core/log: what a person reads on stderr, and the same with times in a run's log.txt. Progress is one live line on a
 * terminal, or the last lines of a view that a command draws there (core/live.h), and a line every 10 s elsewhere.
 * Thread-safe. */
#ifndef ASSAY_CORE_LOG_H
#define ASSAY_CORE_LOG_H

#include "core/json.h"

void log_set_quiet(bool quiet);                             /* errors only */
int log_open(const char *path, struct error *err) MUST_USE; /* append copies to path; NULL closes */
void log_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* For log.txt, and for stderr where `due` is set and no view stands that shows the same. */
void log_detail(bool due, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void log_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* "assay: ..." on stderr (and in the log); always shown, clears a live line first. */
void log_error(const struct error *err);
/* A live line, replaced by the next. done/total give rate and time left; total 0: unknown. Silent during the first 2 s.
 */
void log_progress(const char *what, double done, double total, const char *unit);
void log_progress_end(void);
bool log_is_terminal(void);

/* What log_progress was last told. */
struct log_phase {
  char what[64]; /* "": nothing is under way */
  char unit[16];
  double done, total; /* total 0: unknown */
  double rate;        /* units a second since the phase began; 0: not known yet */
  double seconds;     /* since the phase began */
};
/* Appends the view's lines, each ended by \n and at most `columns` wide. Called on a thread of the log, under its lock:
   it takes what it shows from memory of its own and calls nothing of this file. */
typedef void log_draw_fn(void *arg, int columns, const struct log_phase *phase, struct text *out);
/* Until log_view_close the lines stand at the bottom of the terminal, drawn again up to ten times a second, and what is
   logged is printed above them and stays. false, and nothing changes: stderr is no terminal that can do it
   (live_able), or the log is quiet. */
bool log_view_open(log_draw_fn *draw, void *arg);
void log_view_close(void);

double clock_seconds(void); /* monotonic */

#endif
