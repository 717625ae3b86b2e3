/* reward/child: a program that lives long and answers lines with lines: started by sh -c in a process group of its own,
 * asked with a time limit, killed as a group, reaped always. What it writes to stderr goes to the log, the first lines
 * of it. One thread at a time.
 */
#ifndef ASSAY_REWARD_CHILD_H
#define ASSAY_REWARD_CHILD_H

#include <sys/types.h>
#include "core/json.h"

enum { CHILD_LINE = 1 << 20 /* longest answer */ };

enum child_result {
  CHILD_ANSWERED,
  CHILD_LATE,    /* no line within the limit */
  CHILD_ENDED,   /* it ended, or closed its output; `status` says how */
  CHILD_FLOODED, /* a line longer than CHILD_LINE, or a second line before it was asked */
};

struct child {
  pid_t pid;            /* 0: not running */
  int to, from, errors; /* -1: closed */
  int status;           /* of waitpid, once it ended */
  int logged;           /* lines of stderr in the log so far */
  size_t asked;         /* questions that it was asked */
  struct text answer, complaint;
};

void child_init(struct child *c);
int child_start(struct child *c, const char *command, struct error *err) MUST_USE;
/* Writes a line and waits for one; *line lies in the child until the next call. Whatever is not CHILD_ANSWERED has
 * killed it; ERROR_RESOURCE only where memory is lacking. */
int child_ask(struct child *c, const char *question, size_t n, double seconds, enum child_result *result,
              const char **line, struct error *err) MUST_USE;
/* Ends the group at once and waits for it. */
void child_kill(struct child *c);
/* Closes its input, gives it a moment to end by itself, then kills; frees what it held. */
void child_close(struct child *c);
/* "ended with status 3", "was ended by signal 9"; in buf. */
const char *child_status_text(const struct child *c, char *buf, size_t size);

#endif
