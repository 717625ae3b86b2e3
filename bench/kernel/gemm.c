/* bench/kernel/gemm: gemm, gemm_dx and gemm_dw on the shapes of SmolLM2-135M beside OpenBLAS with as many threads.
 *
 *     bench_kernel_gemm [ISA [THREADS]]
 *
 * Per shape: GFLOP/s (median of REPEATS, taken in turn with OpenBLAS so that both meet the same disturbances), the
 * share of OpenBLAS, and of the peak of fused multiply-adds measured beforehand on all threads at once; for gemm also
 * the bytes of W per second, the floor at small M.
 */
#include "bench.h"

#ifdef BENCH_OPENBLAS
#include <cblas.h>
void openblas_set_num_threads(int threads);
#endif

enum { REPEATS = 9 };

/* ---- the peak: twelve independent chains of multiply-adds in registers ---- */

enum { PEAK_STEPS = 20000000, PEAK_CHAINS = 12 };
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

struct problem {
  struct device *d;
  size_t m, n, k;
  struct weight *w;
  struct view x, y, dx;
  float *host_x, *host_w, *host_y, *host_dx; /* OpenBLAS's: row-major */
};

static void run_ours(const struct problem *p, enum op op)
{
  const struct backend_ops *ops = device_ops(p->d);
  if (op == OP_GEMM) ops->gemm(p->d, p->w, NULL, (int32_t)p->m, p->x, p->y);
  if (op == OP_DX) ops->gemm_dx(p->d, p->w, (int32_t)p->m, p->y, p->dx, false);
  if (op == OP_DW) ops->gemm_dw(p->d, p->w, NULL, (int32_t)p->m, p->y, p->x);
}

static bool run_openblas(const struct problem *p, enum op op)
{
#ifdef BENCH_OPENBLAS
  const int m = (int)p->m, n = (int)p->n, k = (int)p->k;
  if (op == OP_GEMM)
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, m, n, k, 1, p->host_x, k, p->host_w, k, 0, p->host_y, n);
  if (op == OP_DX)
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, m, k, n, 1, p->host_y, n, p->host_w, k, 0, p->host_dx, k);
  if (op == OP_DW)
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, n, k, m, 1e-6f, p->host_y, n, p->host_x, k, 1, p->host_w, k);
  return true;
#else
  (void)p, (void)op;
  return false;
#endif
}

static void measure(const struct problem *p, double peak)
{
  const double operations = 2.0 * (double)p->m * (double)p->n * (double)p->k;
  const int calls = operations > 1e9 ? 1 : (int)(1e9 / operations) < 200 ? 1 + (int)(1e9 / operations) : 200;
  printf("%6zu %5zu %5zu", p->n, p->k, p->m);
  for (enum op op = OP_GEMM; op < OPS; op++) {
    double ours[REPEATS], theirs[REPEATS];
    bool openblas = false;
    for (int r = 0; r < REPEATS; r++) {
      double begin = bench_clock(p->d);
      for (int i = 0; i < calls; i++) run_ours(p, op);
      ours[r] = (bench_clock(p->d) - begin) / calls;
      begin = bench_clock(p->d);
      for (int i = 0; i < calls; i++) openblas = run_openblas(p, op);
      theirs[r] = (bench_clock(p->d) - begin) / calls;
    }
    const double mine = bench_median(ours, REPEATS), other = bench_median(theirs, REPEATS);
    printf(" | %6.1f %4.0f%%", operations / mine * 1e-9, 100 * operations / mine / peak);
    if (openblas) printf(" %4.0f%%", 100 * other / mine);
    if (op == OP_GEMM) printf(" %5.1f", (double)(p->n * p->k) * 4e-9 / mine);
  }
  printf("\n");
  fflush(stdout);
}

static void measure_shape(struct device *d, size_t n, size_t k, size_t m, double peak)
{
  struct problem p = {.d = d, .m = m, .n = n, .k = k};
  float **hosts[] = {&p.host_x, &p.host_w, &p.host_y, &p.host_dx};
  const size_t sizes[] = {m * k, n * k, m * n, m * k};
  for (int i = 0; i < 4; i++) {
    *hosts[i] = aligned_alloc(64, (sizes[i] * sizeof(float) + 63) / 64 * 64);
    if (!*hosts[i]) exit(3);
    bench_fill(*hosts[i], sizes[i]);
  }
  p.w = bench_weight(d, WEIGHT_MATRIX, p.host_w, n, k);
  p.x = bench_buffer(d, p.host_x, m * k);
  p.y = bench_buffer(d, p.host_y, m * n);
  p.dx = bench_buffer(d, NULL, m * k);
  measure(&p, peak);
  weight_destroy(p.w);
  buffer_destroy(p.x.buffer);
  buffer_destroy(p.y.buffer);
  buffer_destroy(p.dx.buffer);
  for (int i = 0; i < 4; i++) free(*hosts[i]);
}

int main(int argc, char **argv)
{
  static const size_t shapes[][2] = {{576, 576}, {192, 576}, {1536, 576}, {576, 1536}, {49152, 576}};
  static const size_t rows[] = {1, 2, 4, 8, 16, 32, 64, 256, 512, 1024, 2048};
  struct device *d = bench_device(argc, argv);
#ifdef BENCH_OPENBLAS
  openblas_set_num_threads(device_threads(d));
#endif
  const double peak = peak_measure(d);
  printf("%s, %d threads; multiply-add peak %.0f GFLOP/s\n", device_isa(d), device_threads(d), peak * 1e-9);
  printf("     N     K     M |   gemm peak blas  GB/s |     dx peak blas |     dw peak blas\n");
  for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++)
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
      if (shapes[s][0] * rows[i] <= 49152 * 512) measure_shape(d, shapes[s][0], shapes[s][1], rows[i], peak);
  device_close(d);
  return 0;
}
