/* reward/sandbox: programs that nobody trusts, run under bubblewrap and seccomp by workers that are kept warm.
 *
 * A sandbox is a Python process (sandbox_worker.py, carried in this program as text) that is process 1 of namespaces of
 * its own: user, PID, network, IPC, UTS, cgroup and mount. It sees /usr/lib and /usr/bin read-only, a private /tmp in
 * memory, four devices, and nothing else: no /home, /proc, /sys, network or file of ours. A seccomp filter allows a
 * list of system calls. For each job it forks children with limits that they cannot raise; afterwards it kills and
 * reaps every other process of its namespace. A sandbox whose /tmp was touched, that ran a command, or that died is
 * replaced by a new one.
 *
 *     sandbox_pool_create(a, &options, &pool, err);        // starts one: a machine that cannot is told at once
 *     sandbox_take(pool, &s, err);  sandbox_run(s, a, &job, &result, err);  sandbox_give(pool, s);
 *
 * A pool may be used by many threads, a sandbox by the one that took it. All of them end when the arena resets.
 */
#ifndef ASSAY_REWARD_SANDBOX_H
#define ASSAY_REWARD_SANDBOX_H

#include "core/arena.h"

struct sandbox_pool;
struct sandbox;

enum sandbox_kind {
  SANDBOX_EXAMINE = 1, /* first: a Python program; second: {test, entry_point?, prompt?}. Output: a verdict as JSON */
  SANDBOX_SCRIPT,      /* first: a Python program; second: its standard input. Output: what it wrote */
  SANDBOX_COMMAND,     /* first: a shell command; second: its standard input */
  SANDBOX_WRITE        /* first: the bytes of a file in /tmp; second: its name */
};

struct sandbox_limits {
  int cpu_seconds;     /* of one process */
  double wall_seconds; /* of the job */
  int memory_mib;      /* address space of one process; all together may use as much, and 64 MiB */
  int disk_mib;        /* of /tmp, and of one file */
  int processes;       /* and threads */
  size_t output_bytes; /* standard output, and standard error; more ends the job */
};

struct sandbox_options {
  struct sandbox_limits limits; /* disk_mib sizes /tmp */
  bool commands;                /* the root also shows all of /usr and /proc: for compilers and other languages */
  bool later;                   /* the first starts when it is first taken, not with the pool */
};

struct sandbox_job {
  enum sandbox_kind kind;
  const char *first, *second;
  size_t first_size, second_size;
};

enum sandbox_outcome {
  SANDBOX_ENDED,  /* by itself: status tells how */
  SANDBOX_WALL,   /* the wall clock ran out */
  SANDBOX_MEMORY, /* all processes together used too much */
  SANDBOX_OUTPUT, /* more output than allowed */
  SANDBOX_FILES,  /* more files in /tmp than one for each 4 KiB of it */
  SANDBOX_LOST    /* the sandbox itself died, twice: nothing is known of the program */
};

struct sandbox_result {
  enum sandbox_outcome outcome;
  int status, judge_status; /* as of waitpid: the program; the examiner */
  double cpu_seconds;       /* of the program */
  const char *output;       /* with a NUL behind it; in the arena */
  size_t output_size;
  const char *errors; /* the end of what it wrote to standard error */
};

/* ERROR_RESOURCE with the cure where bubblewrap, Python or user namespaces are lacking. */
int sandbox_pool_create(struct arena *a, const struct sandbox_options *o, struct sandbox_pool **out,
                        struct error *err) MUST_USE;
int sandbox_take(struct sandbox_pool *pool, struct sandbox **out, struct error *err) MUST_USE;
void sandbox_give(struct sandbox_pool *pool, struct sandbox *s);
/* One job. What the program does is a result, never an error. wall_seconds of the options may be made shorter. */
int sandbox_run(struct sandbox *s, struct arena *a, const struct sandbox_job *job, double wall_seconds,
                struct sandbox_result *out, struct error *err) MUST_USE;
/* Seconds that the start of this sandbox took, from the first system call to its first word. */
double sandbox_start_seconds(const struct sandbox *s);

#endif
