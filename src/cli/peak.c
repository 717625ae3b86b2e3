#include "cli/peak.h"

#include <string.h>
#include <time.h>
#include "compute/cpu/amx/tile.h"
#include "core/arena.h"
#include "core/log.h"
#include "core/pool.h"

/* Of a device with memory of its own nothing is measured: it is another machine than these threads. */
static bool on_processor(const struct device *d)
{
  static const char *const names[] = {"ref", "avx2", "avx512", "amx", "neon"};
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
    if (!strcmp(device_isa(d), names[i])) return true;
  return false;
}

double peak_clock(const struct device *d)
{
  struct timespec t;
  if (device_threads(d) > 1 || !on_processor(d)) return clock_seconds();
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- memory ------------------------------------------------------------------------------------------------------ */

enum { READ_LINES = 1 << 20, LINE_WORDS = 8, READ_STREAMS = 4, AHEAD_LINES = 32, READ_TIMES = 9 };

/* One part a thread: what it found goes where the compiler cannot leave it out. */
struct reading {
  const uint64_t *words;
  size_t threads;
  uint64_t *found; /* [threads], lines apart */
};

/* Four streams, each some lines ahead of itself: one alone waits for memory more than it reads. */
static void read_part(void *arg, int thread, size_t begin, size_t end)
{
  const struct reading *r = arg;
  size_t first = begin * READ_LINES / r->threads, lines = (end * READ_LINES / r->threads - first) / READ_STREAMS;
  const uint64_t *from = r->words + first * LINE_WORDS;
  uint64_t all[LINE_WORDS] = {0};
  for (size_t line = 0; line < lines; line++) {
    for (size_t s = 0; s < READ_STREAMS; s++) {
      const uint64_t *at = from + (s * lines + line) * LINE_WORDS;
      __builtin_prefetch(at + AHEAD_LINES * LINE_WORDS);
      for (int i = 0; i < LINE_WORDS; i++) all[i] ^= at[i];
    }
  }
  for (int i = 1; i < LINE_WORDS; i++) all[0] ^= all[i];
  r->found[thread * LINE_WORDS] = all[0];
}

int peak_reads(struct device *d, double *out, struct error *err)
{
  *out = 0;
  if (!on_processor(d)) return 0;
  size_t threads = (size_t)device_threads(d), bytes = (size_t)READ_LINES * LINE_WORDS * sizeof(uint64_t);
  uint64_t *words = memory_alloc(bytes, 1, "peak", err);
  uint64_t *found = memory_alloc(threads * LINE_WORDS, sizeof *found, "peak", err);
  struct reading r = {words, threads, found};
  double best = 1e9;
  if (words && found) memset(words, 1, bytes);  // pages that nobody wrote to are one page of zeros
  for (int i = 0; words && found && i < READ_TIMES; i++) {
    const double start = peak_clock(d);
    pool_run(device_pool(d), threads, read_part, &r);
    const double seconds = peak_clock(d) - start;
    if (seconds < best) best = seconds;
  }
  *out = (double)bytes / best;
  int rc = words && found ? 0 : err->code;
  memory_free(words);
  memory_free(found);
  return rc;
}

/* ---- arithmetic -------------------------------------------------------------------------------------------------- */

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
  if (!strcmp(isa, "ref") || !on_processor(d)) return (struct work){0};
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
