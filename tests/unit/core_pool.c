#include <stdatomic.h>
#include <time.h>
#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

#include "check.h"
#include "core/pool.h"

enum { MOST = 1000 };

/* The control register of floating point, without its sticky flags; what computing sets it to; rounding towards zero.
 */
#if defined(__x86_64__)
enum { COMPUTING = 0x9fc0, TOWARD_ZERO = 0x6000 };
static unsigned control_read(void)
{
  return _mm_getcsr() & ~0x3fu;
}
static void control_write(unsigned control)
{
  _mm_setcsr(control);
}
#else
enum { COMPUTING = 1 << 24, TOWARD_ZERO = 3 << 22 };
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

enum { THREADS = 5 };

struct tally {
  int hits[MOST];
  atomic_int calls;
  size_t grain;
  atomic_bool runs[THREADS]; /* nobody's scratch is used by two at once */
  atomic_int wrong;
};

static void count_items(void *arg, int thread, size_t begin, size_t end)
{
  struct tally *t = arg;
  atomic_fetch_add(&t->calls, 1);
  if (begin >= end || begin % t->grain) atomic_fetch_add(&t->wrong, 1);
  if (control_read() != COMPUTING) atomic_fetch_add(&t->wrong, 1);
  if (atomic_exchange(&t->runs[thread], true)) atomic_fetch_add(&t->wrong, 1);
  for (size_t i = begin; i < end; i++) t->hits[i]++;
  atomic_store(&t->runs[thread], false);
}

static void check_cover(struct pool *p, size_t items, size_t grain)
{
  struct tally t = {.grain = grain};
  pool_run_grain(p, items, grain, count_items, &t);
  CHECK_INT(t.wrong, 0);
  CHECK(t.calls <= pool_threads(p));
  CHECK(items == 0 ? t.calls == 0 : t.calls > 0);
  for (size_t i = 0; i < MOST; i++) CHECK_INT(t.hits[i], i < items);
}

static void test_each_item_once(void **state)
{
  (void)state;
  static const int threads[] = {1, 2, 3, THREADS};
  static const size_t sizes[] = {0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 999, 1000}, grains[] = {1, 2, 3, 16, 999, 5000};
  for (int t = 0; t < 4; t++) {
    struct error err = {0};
    struct pool *p = NULL;
    CHECK_OK(pool_create(threads[t], &p, &err), &err);
    CHECK_INT(pool_threads(p), threads[t]);
    for (int s = 0; s < 12; s++) {
      for (int g = 0; g < 6; g++) check_cover(p, sizes[s], grains[g]);
    }
    pool_destroy(p);
  }
}

static void add_one(void *arg, int thread, size_t begin, size_t end)
{
  (void)thread;
  long *sums = arg;
  for (size_t i = begin; i < end; i++) sums[i]++;
}

static void pause_for(long microseconds)
{
  struct timespec t = {.tv_nsec = microseconds * 1000};
  nanosleep(&t, NULL);
}

/* Workers that spin, that sleep, and that are about to fall asleep when the job comes. */
static void test_many_jobs(void **state)
{
  (void)state;
  struct error err = {0};
  struct pool *p = NULL;
  CHECK_OK(pool_create(3, &p, &err), &err);
  long sums[64] = {0};
  for (long i = 0; i < 2000; i++) {
    pool_run(p, 64, add_one, sums);
    if (i % 40 == 0) pause_for(i % 80);
  }
  for (int i = 0; i < 64; i++) CHECK_INT(sums[i], 2000);
  pool_destroy(p);
}

/* A worker that was late for the last job must not take the end for one. */
static void test_ends_behind_a_late_worker(void **state)
{
  (void)state;
  struct error err = {0};
  for (long i = 0; i < 3000; i++) {
    struct pool *p = NULL;
    long sums[4] = {0};
    CHECK_OK(pool_create(4, &p, &err), &err);
    pool_run(p, 4, add_one, sums);
    pool_destroy(p);
    for (int k = 0; k < 4; k++) CHECK_INT(sums[k], 1);
  }
}

static void count_parts_of_the_caller(void *arg, int thread, size_t begin, size_t end)
{
  (void)begin;
  (void)end;
  int *parts = arg;
  if (thread == 0) (*parts)++;
}

/* A worker that sleeps needs microseconds to come; the caller, whose part is nothing, takes that one's too. */
static void test_nobody_waits_for_a_sleeper(void **state)
{
  (void)state;
  struct error err = {0};
  struct pool *p = NULL;
  CHECK_OK(pool_create(2, &p, &err), &err);
  int parts = 0;
  for (int i = 0; i < 200; i++) {
    pause_for(200);
    pool_run(p, 2, count_parts_of_the_caller, &parts);
  }
  CHECK(parts > 200 && parts <= 400);
  pool_destroy(p);
}

static void flush_denormal(void *arg, int thread, size_t begin, size_t end)
{
  (void)thread;
  volatile float *out = arg, least = 0x1p-126f;
  for (size_t i = begin; i < end; i++) out[i] = least * 0.5f;
}

static void test_compute_mode_is_restored(void **state)
{
  (void)state;
  struct error err = {0};
  struct pool *p = NULL;
  CHECK_OK(pool_create(2, &p, &err), &err);
  unsigned before = control_read(), toward_zero = before | TOWARD_ZERO;
  control_write(toward_zero);
  float out[8];
  memset(out, 0xff, sizeof out);
  pool_run(p, 8, flush_denormal, out);
  unsigned after = control_read();
  control_write(before);
  CHECK_INT(after, toward_zero);
  const float zero[8] = {0};
  CHECK_BITS(out, zero, sizeof out);
  volatile float least = 0x1p-126f;
  CHECK(least * 0.5f > 0);
  struct compute_mode outer = compute_mode_enter(), inner = compute_mode_enter();
  compute_mode_leave(inner);
  CHECK_INT(control_read(), COMPUTING);
  compute_mode_leave(outer);
  CHECK_INT(control_read(), before);
  pool_destroy(p);
}

static void test_wrong_counts(void **state)
{
  (void)state;
  struct error err = {0};
  struct pool *p = NULL;
  CHECK_ERROR(pool_create(0, &p, &err), &err, ERROR_INPUT, "found 0 threads");
  error_clear(&err);
  CHECK_ERROR(pool_create(100000, &p, &err), &err, ERROR_INPUT, "expected 1 to");
  pool_destroy(NULL);
}

static void test_machine(void **state)
{
  (void)state;
  CHECK(cores_available() >= 1 && cores_available() < 65536);
  size_t available = memory_available_bytes(), peak = memory_resident_peak();
  CHECK(available > 1 << 20 && available < 1ull << 50);
  CHECK(peak > 100 << 10 && peak < 1ull << 45);
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_each_item_once),
                                     cmocka_unit_test(test_many_jobs),
                                     cmocka_unit_test(test_ends_behind_a_late_worker),
                                     cmocka_unit_test(test_nobody_waits_for_a_sleeper),
                                     cmocka_unit_test(test_compute_mode_is_restored),
                                     cmocka_unit_test(test_wrong_counts),
                                     cmocka_unit_test(test_machine)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
