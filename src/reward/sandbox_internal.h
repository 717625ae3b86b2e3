/* reward/sandbox_internal: what sandbox.c (jobs, pool), sandbox_start.c (processes) and sandbox_filter.c (system calls)
 * share. */
#ifndef ASSAY_REWARD_SANDBOX_INTERNAL_H
#define ASSAY_REWARD_SANDBOX_INTERNAL_H

#include <stdint.h>
#include <sys/types.h>
#include "reward/sandbox.h"

/* A started sandbox seen from outside; -1 where there is none. */
struct sandbox_process {
  pid_t pid;   /* of bubblewrap, in whose PID namespace the rest lives */
  int control; /* stream socket to the worker */
  int out;     /* standard output and verdicts */
  int errors;  /* standard error */
};

/* Starts bubblewrap with the worker. Does not wait for it: its first word is "ready". */
int sandbox_start(const struct sandbox_options *o, struct sandbox_process *out, struct error *err) MUST_USE;
/* Kills it with everything inside and waits until that is gone. */
void sandbox_stop(struct sandbox_process *p);
/* ERROR_RESOURCE for a worker that ended before its first word: what bubblewrap said, and the cure. */
int sandbox_refused(struct sandbox_process *p, struct error *err) MUST_USE;
/* Private memory of the process and all its descendants, in bytes. */
uint64_t sandbox_memory(pid_t pid);

/* The filter as a program for the kernel, readable from the descriptor *fd to its end. */
int sandbox_filter(int *fd, struct error *err) MUST_USE;

#endif
