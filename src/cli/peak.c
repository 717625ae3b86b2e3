#include "cli/peak.h"

#include <string.h>
#include <time.h>
#include "compute/cpu/amx/tile.h"
#include "core/log.h"
#include "core/pool.h"

double peak_clock(const struct device *d)
{
  struct timespec t;
  if (device_threads(d) > 1) return clock_seconds();
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

#ifdef __x86_64__
/* Twelve independent chains: more than the latency of an addition times the units that add. */
enum { STEPS = 2000000, CHAINS = 12, TILE_STEPS = 200000, TIMES = 9 };
#define ALL(X)      X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11)
#define LANES_16(i) "vfmadd231ps %%zmm30, %%zmm31, %%zmm" #i "\n\t"
#define LANES_8(i)  "vfmadd231ps %%ymm14, %%ymm15, %%ymm" #i "\n\t"
#define TOUCHED                                                                                                       \
  "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", \
      "xmm14", "xmm15"

static void chains_16(void *arg, int thread, size_t begin, size_t end)
{
  (void)arg, (void)thread, (void)begin, (void)end;
  for (int i = 0; i < STEPS; i++) __asm__ volatile(ALL(LANES_16)::: TOUCHED);
  __asm__ volatile("vzeroupper" ::: TOUCHED);
}

static void chains_8(void *arg, int thread, size_t begin, size_t end)
{
  (void)arg, (void)thread, (void)begin, (void)end;
  for (int i = 0; i < STEPS; i++) __asm__ volatile(ALL(LANES_8)::: TOUCHED);
  __asm__ volatile("vzeroupper" ::: TOUCHED);
}

/* Four tiles of sums of their own. */
static void tiles(void *arg, int thread, size_t begin, size_t end)
{
  (void)arg, (void)thread, (void)begin, (void)end;
  TILES_BEGIN();
  for (int i = 0; i < TILE_STEPS; i++) {
    TILE_DOT(0, 4, 5);
    TILE_DOT(1, 4, 5);
    TILE_DOT(2, 4, 5);
    TILE_DOT(3, 4, 5);
  }
  TILES_END();
}

/* What a thread runs, and how many operations that is. */
struct work {
  pool_fn *run;
  double operations;
};

static struct work work_of(const struct device *d)
{
  const char *isa = device_isa(d);
  if (!strcmp(isa, "amx") && device_type(d) == COMPUTE_BF16)
    return (struct work){tiles, 2.0 * TILE_STEPS * 4 * TILE_SIDE * TILE_SIDE * (TILE_BYTES / 2)};
  if (!strcmp(isa, "ref")) return (struct work){0};
  if (!strcmp(isa, "avx2")) return (struct work){chains_8, 2.0 * STEPS * CHAINS * 8};
  return (struct work){chains_16, 2.0 * STEPS * CHAINS * 16};
}

double peak_multiply_adds(struct device *d)
{
  const struct work work = work_of(d);
  double best = 1e9;
  if (!work.run) return 0;
  for (int i = 0; i < TIMES; i++) {
    const double start = peak_clock(d);
    pool_run(device_pool(d), (size_t)device_threads(d), work.run, NULL);
    const double seconds = peak_clock(d) - start;
    if (seconds < best) best = seconds;
  }
  return work.operations * device_threads(d) / best;
}
#else
double peak_multiply_adds(struct device *d)
{
  (void)d;
  return 0;
}
#endif
