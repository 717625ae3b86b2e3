/* bench/kernel/types: compute type bf16 beside f32: the three products on the shapes of SmolLM2-135M, in turn.
 *
 *     bench_kernel_types [ISA [THREADS]]
 *
 * Per shape and rows M, for gemm, gemm_dx and gemm_dw: GFLOP/s in f32 and in bf16 (medians of REPEATS) and their ratio.
 * Weights come from memory where they are larger than the cache.
 */
#include "bench.h"

enum { REPEATS = 5, OPS = 3, TYPES = 2 };

struct problem {
  struct device *d;
  int32_t m;
  struct weight *w;
  struct view x, y, dx;
};

static void run(const struct problem *p, int op)
{
  const struct backend_ops *ops = device_ops(p->d);
  if (op == 0) ops->gemm(p->d, p->w, NULL, p->m, p->x, p->y);
  if (op == 1) ops->gemm_dx(p->d, p->w, p->m, p->y, p->dx, false);
  if (op == 2) ops->gemm_dw(p->d, p->w, NULL, p->m, p->y, p->x);
}

static void problem_make(struct problem *p, struct device *d, size_t n, size_t k, size_t m)
{
  const size_t most = n * k > m * n ? n * k : m * n;
  float *x = malloc((most > m * k ? most : m * k) * sizeof *x);
  if (!x) exit(1);
  bench_fill(x, most > m * k ? most : m * k);
  *p = (struct problem){d,
                        (int32_t)m,
                        bench_weight(d, WEIGHT_MATRIX, x, n, k),
                        bench_buffer(d, x, m * k),
                        bench_buffer(d, x, m * n),
                        bench_buffer(d, NULL, m * k)};
  free(x);
}

static void problem_drop(struct problem *p)
{
  weight_destroy(p->w);
  buffer_destroy(p->x.buffer);
  buffer_destroy(p->y.buffer);
  buffer_destroy(p->dx.buffer);
}

static void measure(struct device *const devices[TYPES], size_t n, size_t k, size_t m)
{
  const double operations = 2.0 * (double)m * (double)n * (double)k;
  const int calls = operations > 1e9 ? 1 : (int)(1e9 / operations) < 100 ? 1 + (int)(1e9 / operations) : 100;
  struct problem p[TYPES];
  for (int t = 0; t < TYPES; t++) problem_make(p + t, devices[t], n, k, m);
  printf("%6zu %5zu %5zu", n, k, m);
  for (int op = 0; op < OPS; op++) {
    double seconds[TYPES][REPEATS], median[TYPES];
    for (int r = 0; r < REPEATS; r++)
      for (int t = 0; t < TYPES; t++) {
        const double begin = bench_clock(devices[t]);
        for (int i = 0; i < calls; i++) run(p + t, op);
        seconds[t][r] = (bench_clock(devices[t]) - begin) / calls;
      }
    for (int t = 0; t < TYPES; t++) median[t] = bench_median(seconds[t], REPEATS);
    printf(" | %6.1f %6.1f %5.2f", operations / median[0] * 1e-9, operations / median[1] * 1e-9, median[0] / median[1]);
  }
  printf("\n");
  fflush(stdout);
  for (int t = 0; t < TYPES; t++) problem_drop(p + t);
}

int main(int argc, char **argv)
{
  static const struct {
    size_t n, k;
  } shapes[] = {{1536, 576}, {576, 1536}, {576, 576}, {49152, 576}};
  static const size_t rows[] = {1, 64, 512, 2048};
  char *bf16[] = {argv[0], argc > 1 ? argv[1] : "auto", argc > 2 ? argv[2] : "2", "bf16"};
  struct device *const devices[TYPES] = {bench_device(argc < 3 ? argc : 3, argv), bench_device(4, bf16)};
  printf("%s, %d threads; GFLOP/s in f32, in bf16, and bf16 over f32\n", device_isa(devices[1]),
         device_threads(devices[1]));
  printf("     N     K     M |   gemm               |     dx               |     dW\n");
  for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
    for (size_t j = 0; j < sizeof rows / sizeof rows[0]; j++)
      if (shapes[i].n * rows[j] <= 49152 * 512) measure(devices, shapes[i].n, shapes[i].k, rows[j]);
  for (int t = 0; t < TYPES; t++) device_close(devices[t]);
  return 0;
}
