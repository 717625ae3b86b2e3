/* bench/kernel/gemm: gemm, gemm_dx and gemm_dw on the shapes of SmolLM2-135M beside OpenBLAS and oneDNN (where they
 * were found at configure time) with as many threads.
 *
 *     bench_kernel_gemm [ISA [THREADS [f32|bf16 [ROWS [hot|cold]]]]]
 *
 * hot: one weight, again and again; cold: weights enough to fill COLD_BYTES, one after the other, as a model's layers
 * are met. Per shape: GFLOP/s (median of REPEATS, taken in turn with the others so that all meet the same
 * disturbances), the share of the peak of fused multiply-adds, measured beforehand on all threads at once, the bytes of
 * W per second, the floor at small M, and the speed as a share of each peer's.
 */
#include <string.h>
#include "bench.h"

#ifdef BENCH_OPENBLAS
#include <cblas.h>
void openblas_set_num_threads(int threads);
#endif
#ifdef BENCH_DNNL
#include <oneapi/dnnl/dnnl.h>
void omp_set_num_threads(int threads);
#endif

enum { REPEATS = 7, COLD_BYTES = 96 << 20, WEIGHTS_MOST = 256 };

/* ---- the peak: twelve independent chains of multiply-adds in registers ---- */

enum { PEAK_STEPS = 4000000, PEAK_CHAINS = 12 };
#define PEAK_ALL(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11)
#define PEAK_ZMM(i) "vfmadd231ps %%zmm30, %%zmm31, %%zmm" #i "\n\t"
#define PEAK_YMM(i) "vfmadd231ps %%ymm14, %%ymm15, %%ymm" #i "\n\t"

static void peak_zmm(void *arg, int thread, size_t begin, size_t end)
{
  (void)arg, (void)thread, (void)begin, (void)end;
  for (int i = 0; i < PEAK_STEPS; i++)
    __asm__ volatile(PEAK_ALL(PEAK_ZMM)::
                         : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10",
                           "xmm11");
}

static void peak_ymm(void *arg, int thread, size_t begin, size_t end)
{
  (void)arg, (void)thread, (void)begin, (void)end;
  for (int i = 0; i < PEAK_STEPS; i++)
    __asm__ volatile(PEAK_ALL(PEAK_YMM)::
                         : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10",
                           "xmm11");
}

/* FLOP/s of all threads. */
static double peak_measure(struct device *d)
{
  const bool wide = device_isa(d)[3] == '5';
  double seconds[5];
  for (int i = 0; i < 5; i++) {
    const double begin = bench_clock(d);
    pool_run(device_pool(d), (size_t)device_threads(d), wide ? peak_zmm : peak_ymm, NULL);
    seconds[i] = bench_clock(d) - begin;
  }
  return 2.0 * PEAK_STEPS * PEAK_CHAINS * (wide ? 16 : 8) * device_threads(d) / bench_median(seconds, 5);
}

/* ---- one shape ---- */

enum op { OP_GEMM, OP_DX, OP_DW, OPS };
enum side { SIDE_OURS, SIDE_OPENBLAS, SIDE_DNNL, SIDES };
static const char *const op_names[OPS] = {"gemm", "dx", "dw"};

struct problem {
  struct device *d;
  size_t m, n, k;
  size_t weights;
  struct weight *w[WEIGHTS_MOST];
  struct view x, y, dx;
  float *host_x, *host_w, *host_y, *host_dx; /* the peers': row-major; host_w: all weights */
};

static void run_ours(const struct problem *p, enum op op, size_t i)
{
  const struct backend_ops *ops = device_ops(p->d);
  struct weight *w = p->w[i % p->weights];
  if (op == OP_GEMM) ops->gemm(p->d, w, NULL, (int32_t)p->m, p->x, p->y);
  if (op == OP_DX) ops->gemm_dx(p->d, w, (int32_t)p->m, p->y, p->dx, false);
  if (op == OP_DW) ops->gemm_dw(p->d, w, NULL, (int32_t)p->m, p->y, p->x);
}

static void run_openblas(const struct problem *p, enum op op, size_t i)
{
#ifdef BENCH_OPENBLAS
  const int m = (int)p->m, n = (int)p->n, k = (int)p->k;
  float *w = p->host_w + i % p->weights * p->n * p->k;
  if (op == OP_GEMM)
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, m, n, k, 1, p->host_x, k, w, k, 0, p->host_y, n);
  if (op == OP_DX)
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, m, k, n, 1, p->host_y, n, w, k, 0, p->host_dx, k);
  if (op == OP_DW)
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, n, k, m, 1e-6f, p->host_y, n, p->host_x, k, 1, w, k);
#else
  (void)p, (void)op, (void)i;
#endif
}

static void run_dnnl(const struct problem *p, enum op op, size_t i)
{
#ifdef BENCH_DNNL
  const dnnl_dim_t m = (dnnl_dim_t)p->m, n = (dnnl_dim_t)p->n, k = (dnnl_dim_t)p->k;
  float *w = p->host_w + i % p->weights * p->n * p->k;
  dnnl_status_t status = dnnl_success;
  if (op == OP_GEMM) status = dnnl_sgemm('N', 'T', m, n, k, 1, p->host_x, k, w, k, 0, p->host_y, n);
  if (op == OP_DX) status = dnnl_sgemm('N', 'N', m, k, n, 1, p->host_y, n, w, k, 0, p->host_dx, k);
  if (op == OP_DW) status = dnnl_sgemm('T', 'N', n, k, m, 1e-6f, p->host_y, n, p->host_x, k, 1, w, k);
  if (status != dnnl_success) exit(1);
#else
  (void)p, (void)op, (void)i;
#endif
}

static void run(const struct problem *p, enum side side, enum op op, size_t i)
{
  if (side == SIDE_OURS) run_ours(p, op, i);
  if (side == SIDE_OPENBLAS) run_openblas(p, op, i);
  if (side == SIDE_DNNL) run_dnnl(p, op, i);
}

static bool have(enum side side)
{
#ifdef BENCH_OPENBLAS
  if (side == SIDE_OPENBLAS) return true;
#endif
#ifdef BENCH_DNNL
  if (side == SIDE_DNNL) return true;
#endif
  return side == SIDE_OURS;
}

static void measure(const struct problem *p, enum op op, double peak)
{
  const double operations = 2.0 * (double)p->m * (double)p->n * (double)p->k, wanted = 5e8 / operations;
  const size_t calls = wanted < 1 ? 1 : wanted < 200 ? 1 + (size_t)wanted : 200;
  double seconds[SIDES][REPEATS], median[SIDES];
  size_t next[SIDES] = {0};
  for (int r = 0; r < REPEATS; r++)
    for (enum side side = SIDE_OURS; side < SIDES; side++) {
      if (!have(side)) continue;
      const double begin = bench_clock(p->d);
      for (size_t i = 0; i < calls; i++) run(p, side, op, next[side]++);
      seconds[side][r] = (bench_clock(p->d) - begin) / (double)calls;
    }
  for (enum side side = SIDE_OURS; side < SIDES; side++)
    if (have(side)) median[side] = bench_median(seconds[side], REPEATS);
  const double rate = operations / median[SIDE_OURS];
  printf("%-4s %6zu %5zu %5zu %s %7.1f %4.0f%% %6.1f", op_names[op], p->n, p->k, p->m, p->weights > 1 ? "cold" : "hot ",
         rate * 1e-9, 100 * rate / peak, (double)(p->n * p->k) * 4e-9 / median[SIDE_OURS]);
  for (enum side side = SIDE_OPENBLAS; side < SIDES; side++)
    if (have(side)) printf(" %8.0f%%", 100 * median[side] / median[SIDE_OURS]);
  printf("\n");
  fflush(stdout);
}

static void measure_shape(struct device *d, size_t n, size_t k, size_t m, bool cold, double peak)
{
  struct problem p = {.d = d, .m = m, .n = n, .k = k};
  p.weights = cold ? COLD_BYTES / 4 / (n * k) + 1 : 1;
  if (p.weights > WEIGHTS_MOST) p.weights = WEIGHTS_MOST;
  float **hosts[] = {&p.host_x, &p.host_w, &p.host_y, &p.host_dx};
  const size_t sizes[] = {m * k, p.weights * n * k, m * n, m * k};
  for (int i = 0; i < 4; i++) {
    *hosts[i] = aligned_alloc(64, (sizes[i] * sizeof(float) + 63) / 64 * 64);
    if (!*hosts[i]) exit(3);
    bench_fill(*hosts[i], sizes[i]);
  }
  for (size_t i = 0; i < p.weights; i++) p.w[i] = bench_weight(d, WEIGHT_MATRIX, p.host_w + i * n * k, n, k);
  p.x = bench_buffer(d, p.host_x, m * k);
  p.y = bench_buffer(d, p.host_y, m * n);
  p.dx = bench_buffer(d, NULL, m * k);
  for (enum op op = OP_GEMM; op < OPS; op++) {
    for (size_t i = 0; i < p.weights; i++) run_ours(&p, op, i); /* memory is there before the clock starts */
    measure(&p, op, peak);
  }
  for (size_t i = 0; i < p.weights; i++) weight_destroy(p.w[i]);
  buffer_destroy(p.x.buffer);
  buffer_destroy(p.y.buffer);
  buffer_destroy(p.dx.buffer);
  for (int i = 0; i < 4; i++) free(*hosts[i]);
}

/* ---- the tables ---- */

static void measure_rows(struct device *d, size_t m, bool cold, double peak)
{
  static const size_t shapes[][2] = {{192, 576}, {576, 576}, {1536, 576}, {576, 1536}, {49152, 576}};
  for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
    const bool large = shapes[s][0] * shapes[s][1] * 4 > COLD_BYTES; /* cold by itself */
    if (shapes[s][0] * m > (size_t)49152 * 512 || (large && !cold)) continue;
    measure_shape(d, shapes[s][0], shapes[s][1], m, cold && !large, peak);
  }
}

int main(int argc, char **argv)
{
  static const size_t rows[] = {1, 2, 4, 8, 16, 32, 64, 256, 512, 1024, 2048};
  const size_t only = argc > 4 ? (size_t)strtol(argv[4], NULL, 10) : 0;
  struct device *d = bench_device(argc, argv);
#ifdef BENCH_OPENBLAS
  openblas_set_num_threads(device_threads(d));
#endif
#ifdef BENCH_DNNL
  omp_set_num_threads(device_threads(d));
#endif
  const double peak = peak_measure(d);
  printf("%s, %d threads; multiply-add peak %.0f GFLOP/s; reads %.1f GB/s\n", device_isa(d), device_threads(d),
         peak * 1e-9, bench_read_speed(d) * 1e-9);
  printf("op        N     K     M  W   GFLOP/s peak   GB/s");
  for (enum side side = SIDE_OPENBLAS; side < SIDES; side++)
    if (have(side)) printf(" %9s", side == SIDE_OPENBLAS ? "/OpenBLAS" : "/oneDNN");
  printf("\n");
  for (int cold = 0; cold < 2; cold++) {
    if (argc > 5 && strcmp(argv[5], cold ? "cold" : "hot")) continue;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
      if (!only || rows[i] == only) measure_rows(d, rows[i], cold, peak);
  }
  device_close(d);
  return 0;
}
