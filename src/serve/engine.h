/* serve/engine: the one loop that writes all answers: calls wait in a bounded queue, are admitted into the running
 * batch as slots become free, and leave it token by token.
 *
 * Who is next: of the clients that wait, one with the fewest answers being written; among equals whoever came first. So
 * a client with a hundred requests does not stand in front of one with a single one.
 *
 * Every answer is the one that `assay generate` gives for the same seed, whoever else is served (law 2), and its
 * log-probabilities are those of `assay score` (law 1).
 */
#ifndef ASSAY_SERVE_ENGINE_H
#define ASSAY_SERVE_ENGINE_H

#include <pthread.h>
#include "serve/call.h"
#include "serve/meter.h"

struct engine {
  struct generator *generator;
  struct meter *meter;
  int slots, queue_most;
  bool (*stopped)(void);
  double limit; /* seconds that a request may take, waiting included; 0: none */
  double grace; /* seconds that running answers have when it stops */
  /* the queue: under the lock */
  pthread_mutex_t lock;
  pthread_cond_t wake;
  struct call *waiting; /* in order of arrival; jobs of theirs may run already */
  int waiting_count;
  uint64_t arrivals;
  bool closed;
  /* the loop's own */
  struct call *active; /* all of whose jobs were admitted */
  struct live {
    struct call *call;
    int32_t job;
  } * live; /* [live_room] by the number that hooks know a job by */
  int live_room;
  int32_t running; /* rollouts admitted and not over */
  double looked;   /* at clients that may have left */
};

int engine_open(struct arena *a, struct engine *e, struct error *err) MUST_USE;
/* Takes the call over, or says no: the queue is full (*retry_after: seconds) or closed. Any thread. */
bool engine_submit(struct engine *e, struct call *c, int *retry_after);
/* Runs until stopped() and what runs is over or the grace is. */
int engine_run(struct engine *e, struct error *err) MUST_USE;

#endif
