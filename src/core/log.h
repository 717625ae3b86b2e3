/* core/log: what a person reads on stderr, and the same with times in a run's log.txt. Progress is one live line on a
 * terminal and a line every 10 s elsewhere. Thread-safe. */
#ifndef ASSAY_CORE_LOG_H
#define ASSAY_CORE_LOG_H

#include "core/error.h"

void log_set_quiet(bool quiet);                             /* errors only */
int log_open(const char *path, struct error *err) MUST_USE; /* append copies to path; NULL closes */
void log_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* "assay: ..." on stderr (and in the log); always shown, clears a live line first. */
void log_error(const struct error *err);
/* A live line, replaced by the next. done/total give rate and time left; total 0: unknown. Silent during the first 2 s.
 */
void log_progress(const char *what, double done, double total, const char *unit);
void log_progress_end(void);
bool log_is_terminal(void);
double clock_seconds(void); /* monotonic */

#endif
