/* reward/verify_queue: responses are judged on worker threads while others are still being generated.
 *
 * A job is (verifier, problem, response, slot); its verdict lands in slots[slot]. The queue between the generator and
 * the workers is bounded: submit waits while it is full. Nothing depends on which worker takes which job or when it is
 * done: a verdict goes to its own slot, its strings live in the worker's arena until the next start, and where jobs
 * fail the error of the lowest slot is reported.
 *
 *     verify_queue_start(q, verdicts, count);  for each finished rollout: verify_queue_submit(q, ...);
 * verify_queue_wait(q, err);
 *
 * start, submit and wait belong to one thread.
 */
#ifndef ASSAY_REWARD_VERIFY_QUEUE_H
#define ASSAY_REWARD_VERIFY_QUEUE_H

#include "reward/journal.h"

struct verify_queue_options {
  int workers;                            /* threads, 1..256 */
  int room;                               /* jobs that may wait; 0: 4 a worker */
  void (*before)(void *arg, size_t slot); /* tests: called on the worker before a job, to delay it; NULL */
  void *arg;
};

struct verify_queue;

/* The workers end when the arena resets (jobs not yet begun are dropped). */
int verify_queue_create(struct arena *a, const struct verify_queue_options *o, struct verify_queue **out,
                        struct error *err) MUST_USE;
/* Verdicts of outside kinds are looked up there first, and written down before wait returns. attempt: 1 for batches
 * that judge again what failed. journal NULL: none (the default). Between batches. */
void verify_queue_set_journal(struct verify_queue *q, struct journal *journal, int attempt);
/* Begins a batch: slots[0 .. count-1] get the verdicts. Verdicts of the batch before lose their strings. */
void verify_queue_start(struct verify_queue *q, struct verdict *slots, size_t count);
/* Problem and response must stay as they are until wait. A slot is used once in a batch. */
void verify_queue_submit(struct verify_queue *q, const struct verifier_config *v, const struct problem *p,
                         const char *response, size_t n, size_t slot);
/* Waits until all jobs submitted are judged, and their verdicts are on the disk where they are journalled. */
int verify_queue_wait(struct verify_queue *q, struct error *err) MUST_USE;
/* Seconds of judging, added over workers, in this batch. Call after wait. */
double verify_queue_seconds(const struct verify_queue *q);

/* One response here and now, with the checks that every verdict gets: a reward that is a number, a reason. Sets
 * out->ms. */
int verify_now(struct arena *a, const struct verifier_config *v, const struct problem *p, const char *response,
               size_t n, struct verdict *out, struct error *err) MUST_USE;

#endif
