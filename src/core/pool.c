#include "core/pool.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>

#include "core/arena.h"
#include "core/log.h"

#if defined(__x86_64__)
#include <xmmintrin.h>
#elif !defined(__aarch64__)
#error \
    "the compute mode is written for x86-64 (MXCSR) and AArch64 (FPCR); add the control register of this machine here"
#endif

/* --- Compute mode: round to nearest, flush to zero, denormals are zero, no traps --- */

#if defined(__x86_64__)
enum { COMPUTE_CONTROL = 0x1f80 | 0x8000 | 0x0040 };
static void spin_wait(void)
{
  _mm_pause();
}
static unsigned control_read(void)
{
  return _mm_getcsr();
}
static void control_write(unsigned control)
{
  _mm_setcsr(control);
}
#else
/* FZ: operands and results; results are flushed before rounding, not behind it as on x86-64 (backend.h). */
enum { COMPUTE_CONTROL = 1 << 24 };
static void spin_wait(void)
{
  __asm__ volatile("yield");
}
static unsigned control_read(void)
{
  uint64_t control;
  __asm__ volatile("mrs %0, fpcr" : "=r"(control));
  return (unsigned)control;
}
static void control_write(unsigned control)
{
  __asm__ volatile("msr fpcr, %0" : : "r"((uint64_t)control) : "memory");
}
#endif

struct compute_mode compute_mode_enter(void)
{
  struct compute_mode m = {.saved = control_read()};
  control_write(COMPUTE_CONTROL);
  return m;
}

void compute_mode_leave(struct compute_mode m)
{
  control_write(m.saved);
}

/* --- The pool ---
 * A job is published by raising `round`. Workers wait for the next round, first spinning, then asleep on `work`; the
 * caller waits the same way for `remaining` to reach zero, asleep on `done`. Whoever goes to sleep first says so
 * (sleepers, caller_sleeps) under the lock and looks again, so that no wake-up is lost: both sides use sequentially
 * consistent atomics.
 *
 * A part belongs to whoever claims it first: its worker, or the caller once its own part is done. So nobody waits for a
 * worker that sleeps, or whose core another program has. A part's claim counts the rounds in which it was taken: round
 * r takes it from the one before to r, and a worker that comes too late for r finds it there and takes nothing. The job
 * stays as it is while a claimed part runs, for its round ends behind it. Rounds are counted in steps of 2; an odd one
 * is the end of the pool, and no job, so that one look tells a worker which it is.
 */

enum { THREADS_LIMIT = 1024, NEXT_ROUND = 2, END = 1 };

struct worker {
  struct pool *pool;
  pthread_t id;
  int thread;
  _Alignas(64) atomic_uint claim; /* of part `thread`; a line of its own */
};

struct pool {
  int threads;
  struct worker *workers; /* threads - 1: thread 1 first; the caller is thread 0 */
  int started;
  /* The job, written before round is raised. */
  size_t items, grain;
  pool_fn *fn;
  void *arg;
  atomic_uint round;
  atomic_int remaining, sleepers;
  atomic_bool caller_sleeps, busy;
  pthread_mutex_t lock;
  pthread_cond_t work, done;
};

/* Units of `grain` items are dealt out evenly; the first parts get one more. */
static void run_part(struct pool *p, int part, int thread)
{
  size_t units = p->items / p->grain + (p->items % p->grain != 0), n = (size_t)p->threads, t = (size_t)part;
  size_t each = units / n, more = units % n;
  size_t begin = each * t + (t < more ? t : more), count = each + (t < more ? 1 : 0);
  if (count == 0) return;
  size_t end = begin + count == units ? p->items : (begin + count) * p->grain;
  struct compute_mode mode = compute_mode_enter();
  p->fn(p->arg, thread, begin * p->grain, end);
  compute_mode_leave(mode);
}

/* About 20 microseconds of looking; true as soon as the condition holds. */
static bool spin_while_equal(atomic_uint *value, unsigned old)
{
  double until = clock_seconds() + 20e-6;
  do {
    for (int i = 0; i < 64; i++) {
      if (atomic_load(value) != old) return true;
      spin_wait();
    }
  } while (clock_seconds() < until);
  return false;
}

static bool spin_until_zero(atomic_int *value)
{
  double until = clock_seconds() + 20e-6;
  do {
    for (int i = 0; i < 64; i++) {
      if (atomic_load(value) == 0) return true;
      spin_wait();
    }
  } while (clock_seconds() < until);
  return false;
}

static bool claim_part(struct worker *w, unsigned round)
{
  unsigned before = round - NEXT_ROUND;
  return atomic_compare_exchange_strong(&w->claim, &before, round);
}

static void *worker_main(void *arg)
{
  struct worker *w = arg;
  struct pool *p = w->pool;
  for (unsigned seen = 0;;) {
    if (!spin_while_equal(&p->round, seen)) {
      pthread_mutex_lock(&p->lock);
      atomic_fetch_add(&p->sleepers, 1);
      while (atomic_load(&p->round) == seen) pthread_cond_wait(&p->work, &p->lock);
      atomic_fetch_sub(&p->sleepers, 1);
      pthread_mutex_unlock(&p->lock);
    }
    seen = atomic_load(&p->round);
    if (seen & END) return NULL;
    if (!claim_part(w, seen)) continue;
    run_part(p, w->thread, w->thread);
    if (atomic_fetch_sub(&p->remaining, 1) == 1 && atomic_load(&p->caller_sleeps)) {
      pthread_mutex_lock(&p->lock);
      pthread_cond_signal(&p->done);
      pthread_mutex_unlock(&p->lock);
    }
  }
}

static void raise_round(struct pool *p, unsigned by)
{
  atomic_fetch_add(&p->round, by);
  if (atomic_load(&p->sleepers) == 0) return;
  pthread_mutex_lock(&p->lock);
  pthread_cond_broadcast(&p->work);
  pthread_mutex_unlock(&p->lock);
}

/* Takes the parts that no worker has begun, and waits for the others. */
static void finish_round(struct pool *p)
{
  const unsigned round = atomic_load(&p->round);
  for (int i = 0; i < p->started; i++) {
    if (!claim_part(&p->workers[i], round)) continue;
    run_part(p, p->workers[i].thread, 0);
    atomic_fetch_sub(&p->remaining, 1);
  }
  if (spin_until_zero(&p->remaining)) return;
  pthread_mutex_lock(&p->lock);
  atomic_store(&p->caller_sleeps, true);
  while (atomic_load(&p->remaining) != 0) pthread_cond_wait(&p->done, &p->lock);
  atomic_store(&p->caller_sleeps, false);
  pthread_mutex_unlock(&p->lock);
}

void pool_run_grain(struct pool *p, size_t items, size_t grain, pool_fn *fn, void *arg)
{
  ASSAY_BUG_IF(grain == 0);
  if (items == 0) return;
  ASSAY_BUG_IF(atomic_exchange(&p->busy, true));
  p->items = items;
  p->grain = grain;
  p->fn = fn;
  p->arg = arg;
  bool alone = p->threads == 1 || items <= grain;
  if (!alone) {
    atomic_store(&p->remaining, p->threads - 1);
    raise_round(p, NEXT_ROUND);
  }
  run_part(p, 0, 0);
  if (!alone) finish_round(p);
  atomic_store(&p->busy, false);
}

void pool_run(struct pool *p, size_t items, pool_fn *fn, void *arg)
{
  pool_run_grain(p, items, 1, fn, arg);
}

int pool_threads(const struct pool *p)
{
  return p->threads;
}

/* Signals stay with the threads that know what to do with them. */
static int start_workers(struct pool *p, struct error *err)
{
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int rc = 0;
  while (rc == 0 && p->started < p->threads - 1) {
    struct worker *w = &p->workers[p->started];
    *w = (struct worker){.pool = p, .thread = p->started + 1};
    rc = pthread_create(&w->id, NULL, worker_main, w);
    if (rc == 0) p->started++;
  }
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (rc)
    FAIL(err, ERROR_RESOURCE, "thread %d of %d cannot be started: %s; use fewer threads", p->started + 2, p->threads,
         strerror(rc));
  return 0;
}

int pool_create(int threads, struct pool **out, struct error *err)
{
  if (threads < 1 || threads > THREADS_LIMIT) {
    FAIL_AT(err, ERROR_INPUT, NULL, 0, "threads",
            "found %d threads; expected 1 to %d; the number of cores is a good choice", threads, THREADS_LIMIT);
  }
  struct pool *p = memory_alloc(1, sizeof *p, "pool", err);
  if (!p) return ERROR_RESOURCE;
  p->threads = threads;
  pthread_mutex_init(&p->lock, NULL);
  pthread_cond_init(&p->work, NULL);
  pthread_cond_init(&p->done, NULL);
  p->workers = memory_alloc((size_t)threads, sizeof *p->workers, "pool", err);
  int rc = p->workers ? start_workers(p, err) : ERROR_RESOURCE;
  if (rc) {
    pool_destroy(p);
    return rc;
  }
  *out = p;
  return 0;
}

void pool_destroy(struct pool *p)
{
  if (!p) return;
  raise_round(p, END);
  for (int i = 0; i < p->started; i++) pthread_join(p->workers[i].id, NULL);
  pthread_cond_destroy(&p->done);
  pthread_cond_destroy(&p->work);
  pthread_mutex_destroy(&p->lock);
  memory_free(p->workers);
  memory_free(p);
}
