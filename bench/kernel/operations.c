/* bench/kernel/operations: the operations beside the matrix products at the sizes of SmolLM2-135M, in microseconds per
 * call (median) with the rate that their nearer floor is stated in: GFLOP/s of multiply-adds for attention, numbers per
 * second for what is bound by exp, GB/s for the rest.
 *
 *     bench_kernel_operations [ISA [THREADS [f32|bf16 [PART-OF-THE-NAME]]]]
 */
#include <string.h>
#include "bench.h"

enum {
  REPEATS = 9,
  C = 576,
  F = 1536,
  HEADS = 9,
  KV_HEADS = 3,
  DIM = 64,
  VOCAB = 49152,
  BLOCK = 32,
  HIDDEN_ROWS = 64,
  MOST = 1024 * 2048 * 2
};

static float *noise;            /* MOST numbers */
static const char *wanted = ""; /* part of the names to run */

struct bench {
  struct device *d;
  const struct backend_ops *ops;
  struct view a, b, c, e, f, small;
  struct weight *norm, *matrix, *head;
  struct kv *kv;
  struct attention_shape shape;
  struct rows rows;
  struct kv_grad_view grad;
  struct sample_params params[HIDDEN_ROWS];
  int32_t token[2048], pair_row[HIDDEN_ROWS];
  size_t m;
};

static void report(const char *name, double *seconds, double work, const char *unit)
{
  const double median = bench_median(seconds, REPEATS);
  printf("%-44s %10.1f us %9.2f %s\n", name, median * 1e6, work / median * 1e-9, unit);
  fflush(stdout);
}

#define TIME(name, work, unit, call)             \
  do {                                           \
    double seconds[REPEATS];                     \
    if (!strstr(name, wanted)) break;            \
    for (int r_ = 0; r_ < REPEATS; r_++) {       \
      const double begin = bench_clock(t->d);    \
      call;                                      \
      seconds[r_] = bench_clock(t->d) - begin;   \
    }                                            \
    report(name, seconds, (double)(work), unit); \
  } while (0)

static void bench_elementwise(struct bench *t)
{
  struct device *d = t->d;
  const struct adamw_params p = {1e-3, 0.9, 0.999, 1e-8, 0.1, 0.1, 0.001, 1};
  const size_t m = 1024, n = m * F;
  TIME("add 1024 x 576", m * C * 12, "GB/s", t->ops->add(d, m * C, t->a, t->b));
  TIME("rmsnorm 1024 x 576", m * C * 8, "GB/s", t->ops->rmsnorm(d, t->norm, 1e-5, (int32_t)m, t->a, t->b, t->small));
  TIME("rmsnorm_backward 1024 x 576", m * C * 24, "GB/s",
       t->ops->rmsnorm_backward(d, t->norm, (int32_t)m, t->a, t->small, t->b, t->c, true));
  TIME("swiglu 1024 x 1536", n, "Gnumbers/s", t->ops->swiglu(d, n, t->a, t->b, t->c));
  TIME("swiglu_backward 1024 x 1536", n, "Gnumbers/s", t->ops->swiglu_backward(d, n, t->a, t->b, t->c, t->e, t->f));
  TIME("rope 1024 x 9 x 64", m * C * 8, "GB/s",
       t->ops->rope(d, (int32_t)m, t->token, HEADS, DIM, DIM, t->b, false, t->a));
  TIME("adamw 1536 x 576", (size_t)F * C * 28, "GB/s", t->ops->adamw(d, t->matrix, &p));
  TIME("sum_squares 1536 x 576", (size_t)F * C * 4, "GB/s", (void)t->ops->sum_squares(d, t->matrix, WEIGHT_GRAD));
  TIME("embed 1024", m * C * 8, "GB/s", t->ops->embed(d, t->head, (int32_t)m, t->token, t->a));
}

/* `runs` runs of `count` rows that end at position length-1 of a path of their own. */
static void bench_attention(struct bench *t, const char *name, int32_t runs, int32_t count, int32_t length,
                            bool backward)
{
  static struct rows_run run[64];
  static struct rows_span span[64];
  static int32_t blocks[64 * 64];
  const int32_t each = (length + BLOCK - 1) / BLOCK;
  for (int32_t i = 0; i < runs; i++) {
    run[i] = (struct rows_run){i * count, count, length - count, i * each, i, 1};
    span[i] = (struct rows_span){0, length, i * length};
    for (int32_t b = 0; b < each; b++) blocks[i * each + b] = i * each + b;
  }
  t->rows = (struct rows){.count = runs * count, .run_count = runs, .runs = run, .blocks = blocks, .spans = span};
  double keys = 0;
  for (int32_t p = length - count; p < length; p++) keys += p + 1;
  const double pairs = keys * runs * HEADS;
  char line[96];
  snprintf(line, sizeof line, "attention %s", name);
  TIME(line, pairs * 4 * DIM, "GFLOP/s", t->ops->attention(t->d, &t->shape, t->kv, 0, &t->rows, t->a, t->b, t->small));
  if (!backward) return;
  snprintf(line, sizeof line, "attention_backward %s", name);
  TIME(line, pairs * 10 * DIM, "GFLOP/s",
       t->ops->attention_backward(t->d, &t->shape, t->kv, 0, &t->rows, t->a, t->b, t->small, t->c, t->e, t->grad));
}

static void bench_head(struct bench *t)
{
  const int32_t rows = HIDDEN_ROWS, chunk = 4096;
  const struct head_rows h = {rows, NULL, rows, t->pair_row, t->token};
  const double work = 2.0 * rows * C * VOCAB;
  double coef[HIDDEN_ROWS];
  struct sample_result out[HIDDEN_ROWS];
  for (int i = 0; i < rows; i++) coef[i] = 0.01 * (i + 1);
  TIME("gemm of the head, 64 rows", work, "GFLOP/s", t->ops->gemm(t->d, t->head, NULL, rows, t->a, t->e));
  TIME("head_score 64 rows", work, "GFLOP/s",
       t->ops->head_score(t->d, t->head, 1, &h, t->a, chunk, t->e, t->small, t->b, t->c));
  TIME("head_backward 64 rows", 3 * work, "GFLOP/s",
       t->ops->head_backward(t->d, t->head, 1, &h, t->a, chunk, t->e, t->small, coef, NULL, NULL, t->b));
  for (int filters = 0; filters < 3; filters++) {
    static const char *const names[] = {"head_sample 64 rows", "head_sample 64 rows, top_p 0.9",
                                        "head_sample 64 rows, top_k 20, top_p 0.8"};
    for (int i = 0; i < rows; i++)
      t->params[i] = (struct sample_params){
          1, filters == 1 ? 0.9f : filters == 2 ? 0.8f : 1, 0, filters == 2 ? 20 : 0, -1, i / 64.0, NULL};
    TIME(names[filters], work, "GFLOP/s", t->ops->head_sample(t->d, t->head, 1, rows, t->a, t->e, t->params, out));
  }
}

int main(int argc, char **argv)
{
  static struct bench t;
  struct error err = {0};
  t.d = bench_device(argc, argv);
  t.ops = device_ops(t.d);
  if (argc > 4) wanted = argv[4];
  noise = malloc(MOST * sizeof *noise);
  float *head = malloc((size_t)VOCAB * C * sizeof *head);
  if (!noise || !head) return 3;
  bench_fill(noise, MOST);
  bench_fill(head, (size_t)VOCAB * C);
  struct view *views[] = {&t.a, &t.b, &t.c, &t.e, &t.f, &t.grad.dk, &t.grad.dv};
  for (size_t i = 0; i < sizeof views / sizeof views[0]; i++) *views[i] = bench_buffer(t.d, noise, MOST);
  t.small = bench_buffer(t.d, noise, 1 << 16);
  t.norm = bench_weight(t.d, WEIGHT_VECTOR, noise, C, 1);
  t.matrix = bench_weight(t.d, WEIGHT_MATRIX, noise, F, C);
  t.head = bench_weight(t.d, WEIGHT_MATRIX, head, VOCAB, C);
  for (int i = 0; i < 2048; i++) t.token[i] = i % 1024;
  for (int i = 0; i < HIDDEN_ROWS; i++) t.pair_row[i] = i;
  const struct kv_shape kv = {1, KV_HEADS, DIM, BLOCK, 64 * 32};
  bench_stop_on(kv_create(t.d, &kv, &t.kv, &err), &err);
  t.shape = (struct attention_shape){HEADS, KV_HEADS, DIM, 0, 0.125, 0};
  printf("%s, %d threads\n", device_isa(t.d), device_threads(t.d));
  bench_elementwise(&t);
  bench_attention(&t, "decode, 1 path of 512", 1, 1, 512, false);
  bench_attention(&t, "decode, 64 paths of 512", 64, 1, 512, false);
  bench_attention(&t, "4 runs of 256", 4, 256, 256, true);
  bench_attention(&t, "2 runs of 1024", 2, 1024, 1024, true);
  bench_head(&t);
  return 0;
}
