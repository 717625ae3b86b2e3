/* bench/kernel/bench: what the kernel benchmarks share: a device, buffers of numbers, and medians. */
#ifndef ASSAY_BENCH_KERNEL_BENCH_H
#define ASSAY_BENCH_KERNEL_BENCH_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include "compute/backend.h"
#include "core/pool.h"

static inline void bench_stop_on(int rc, const struct error *err)
{
  if (!rc) return;
  fprintf(stderr, "bench: %s\n", err->message);
  exit(rc);
}

/* Arguments: [isa [threads [f32 or bf16]]]. */
static inline struct device *bench_device(int argc, char **argv)
{
  const struct device_options options = {.kind = "cpu",
                                         .isa = argc > 1 ? argv[1] : "auto",
                                         .threads = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 2,
                                         .type = argc > 3 && !strcmp(argv[3], "bf16") ? COMPUTE_BF16 : COMPUTE_F32};
  struct device *d = NULL;
  struct error err = {0};
  bench_stop_on(device_open(&options, &d, &err), &err);
  return d;
}

/* With one thread the processor time of the program, which others on the machine do not disturb; else the time of day.
 */
static inline double bench_clock(const struct device *d)
{
  struct timespec t;
  clock_gettime(device_threads(d) == 1 ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* n numbers in (-1, 1); any will do, as long as none is denormal. */
static inline void bench_fill(float *x, size_t n)
{
  uint32_t state = 12345;
  for (size_t i = 0; i < n; i++) {
    state = state * 1664525u + 1013904223u;
    x[i] = (float)((int32_t)(state >> 8) - (1 << 23)) * 0x1p-23f;
  }
}

static inline struct view bench_buffer(struct device *d, const float *from, size_t n)
{
  struct view v = {NULL, 0};
  struct error err = {0};
  bench_stop_on(buffer_create(d, n, "bench", &v.buffer, &err), &err);
  if (from) buffer_write(d, v, from, HOST_F32, n);
  return v;
}

static inline struct weight *bench_weight(struct device *d, enum weight_kind kind, const float *from, size_t n,
                                          size_t k)
{
  struct weight *w = NULL;
  struct error err = {0};
  bench_stop_on(weight_create(d, kind, n, k, "bench", &w, &err), &err);
  bench_stop_on(weight_make_trainable(w, &err), &err);
  weight_write(w, WEIGHT_MASTER, 0, n, from, HOST_F32);
  return w;
}

static inline int bench_order(const void *a, const void *b)
{
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static inline double bench_median(double *x, size_t n)
{
  qsort(x, n, sizeof *x, bench_order);
  return x[n / 2];
}

/* ---- the speed of reading: bytes per second of all threads over an array that no cache holds ---- */

enum { READ_FLOATS = 64 << 20 };

static inline void bench_read_part(void *arg, int thread, size_t begin, size_t end)
{
  const uint64_t *from = arg;
  uint64_t sum[8] = {0};
  (void)thread;
  for (size_t i = begin * 8; i < end * 8; i += 8)
    for (size_t j = 0; j < 8; j++) sum[j] ^= from[i + j];
  for (size_t j = 0; j < 8; j++) __asm__ volatile("" ::"r"(sum[j]));
}

static inline double bench_read_speed(struct device *d)
{
  double seconds[5];
  float *x = aligned_alloc(2 << 20, READ_FLOATS * sizeof *x);
  if (!x) exit(3);
  (void)madvise(x, READ_FLOATS * sizeof *x, MADV_HUGEPAGE);
  bench_fill(x, READ_FLOATS);
  for (int i = 0; i < 5; i++) {
    const double begin = bench_clock(d);
    pool_run(device_pool(d), READ_FLOATS * sizeof *x / 64, bench_read_part, x);
    seconds[i] = bench_clock(d) - begin;
  }
  free(x);
  return (double)READ_FLOATS * sizeof *x / bench_median(seconds, 5);
}

#endif
