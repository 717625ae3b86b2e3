/* core/pool: the one thread pool. pool_run splits `items` into contiguous static parts, as many as threads, and waits.
 * A part is run by its own worker, or by the caller where that one has not begun when the caller is done with the
 * first: `thread` names who runs it (whose scratch it may use), not which part it is. What is computed depends on
 * neither: kernels split outputs, never a reduction.
 *
 * Compute mode: inside a job every thread has round-to-nearest, flush-to-zero and denormals-are-zero set, and its own
 * setting back afterwards (also the caller's, which works as thread 0). Workers spin for some microseconds before they
 * sleep.
 */
#ifndef ASSAY_CORE_POOL_H
#define ASSAY_CORE_POOL_H

#include "core/error.h"

struct pool;
/* fn(arg, thread, begin, end): items begin..end-1 belong to this call. */
typedef void pool_fn(void *arg, int thread, size_t begin, size_t end);

int pool_create(int threads, struct pool **out, struct error *err) MUST_USE; /* threads >= 1 */
void pool_destroy(struct pool *p);
int pool_threads(const struct pool *p);
void pool_run(struct pool *p, size_t items, pool_fn *fn, void *arg); /* items 0: nothing; not re-entrant */
/* items are cut at multiples of grain. */
void pool_run_grain(struct pool *p, size_t items, size_t grain, pool_fn *fn, void *arg);

/* For compute operations that do not use the pool. */
struct compute_mode {
  unsigned saved;
};
struct compute_mode compute_mode_enter(void);
void compute_mode_leave(struct compute_mode m);

int cores_available(void);           /* affinity and cgroup quota respected */
size_t memory_available_bytes(void); /* MemAvailable and cgroup limit respected */
size_t memory_resident_peak(void);   /* VmHWM */

#endif
