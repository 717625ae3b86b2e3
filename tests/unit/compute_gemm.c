/* The three products against sums in f64, and their laws: rows do not see each other, chains go on where they stopped.
 */
#include "compute_fixture.h"

struct shape {
  int32_t m;
  size_t n, k;
};
static const struct shape shapes[] = {{1, 1, 1},   {0, 5, 3},    {1, 17, 1},   {3, 31, 7},
                                      {5, 16, 20}, {33, 49, 40}, {2, 130, 301}};
enum { SHAPES = sizeof shapes / sizeof shapes[0] };

static const char *const chain_why =
    "a chain of K fused multiply-adds errs by at most K u times the sum of the terms' sizes";

/* y = x W^T + b with numbers that are exact in f32. */
static void test_worked(void **state)
{
  (void)state;
  for (int i = 0; i < ISA_COUNT; i++) {
    struct rig rig;
    if (!rig_open(&rig, "cpu", isa_names[i], 2)) continue;
    struct weight *w = rig_weight(&rig, 2, 3, (double[]){1, 2, 3, -4, 5, 0.5});
    struct weight *b = rig_weight(&rig, 2, 0, (double[]){10, -1});
    struct view x = rig_view(&rig, (double[]){1, 1, 1, 2, 0, -2}, 6), y = rig_zeros(&rig, 4), dx = rig_zeros(&rig, 6);
    rig.ops->gemm(rig.d, w, b, 2, x, y);
    CHECK_BITS(rig_read(&rig, y, 4), ((double[]){16, 0.5, 6, -10}), 4 * sizeof(double));
    rig.ops->gemm(rig.d, w, NULL, 2, x, y);
    CHECK_BITS(rig_read(&rig, y, 4), ((double[]){6, 1.5, -4, -9}), 4 * sizeof(double));
    struct view dy = rig_view(&rig, (double[]){1, 2, 0, -1}, 4);
    rig.ops->gemm_dx(rig.d, w, 2, dy, dx, false);
    CHECK_BITS(rig_read(&rig, dx, 6), ((double[]){-7, 12, 4, 4, -5, -0.5}), 6 * sizeof(double));
    rig.ops->gemm_dx(rig.d, w, 2, dy, dx, true);
    CHECK_BITS(rig_read(&rig, dx, 6), ((double[]){-14, 24, 8, 8, -10, -1}), 6 * sizeof(double));
    rig.ops->gemm_dw(rig.d, w, b, 2, dy, x);
    CHECK_BITS(rig_part(&rig, w, WEIGHT_GRAD), ((double[]){1, 1, 1, 0, 2, 4}), 6 * sizeof(double));
    CHECK_BITS(rig_part(&rig, b, WEIGHT_GRAD), ((double[]){1, 1}), 2 * sizeof(double));
    rig_close(&rig);
  }
}

static void check_forward(struct rig *rig, const struct shape *s)
{
  size_t m = (size_t)s->m;
  double *x = rig_noise(rig, 1, m * s->k, 1), *w = rig_noise(rig, 2, s->n * s->k, 1), *b = rig_noise(rig, 3, s->n, 1);
  struct view y = rig_zeros(rig, m * s->n);
  rig->ops->gemm(rig->d, rig_weight(rig, s->n, s->k, w), rig_weight(rig, s->n, 0, b), s->m, rig_view(rig, x, m * s->k),
                 y);
  double *got = rig_read(rig, y, m * s->n);
  for (size_t i = 0; i < m * s->n; i++) {
    double want = b[i % s->n], size = check_abs(want);
    for (size_t k = 0; k < s->k; k++) {
      want += x[i / s->n * s->k + k] * w[i % s->n * s->k + k];
      size += check_abs(x[i / s->n * s->k + k] * w[i % s->n * s->k + k]);
    }
    CHECK_CLOSE(got[i], want, U32 * (double)(s->k + 2) * size, chain_why);
  }
}

static void check_dx(struct rig *rig, const struct shape *s, bool accumulate)
{
  size_t m = (size_t)s->m;
  double *dy = rig_noise(rig, 4, m * s->n, 1), *w = rig_noise(rig, 5, s->n * s->k, 1),
         *before = rig_noise(rig, 6, m * s->k, 1);
  struct view dx = rig_view(rig, before, m * s->k);
  rig->ops->gemm_dx(rig->d, rig_weight(rig, s->n, s->k, w), s->m, rig_view(rig, dy, m * s->n), dx, accumulate);
  double *got = rig_read(rig, dx, m * s->k);
  for (size_t i = 0; i < m * s->k; i++) {
    double want = accumulate ? before[i] : 0, size = check_abs(want);
    for (size_t n = 0; n < s->n; n++) {
      want += dy[i / s->k * s->n + n] * w[n * s->k + i % s->k];
      size += check_abs(dy[i / s->k * s->n + n] * w[n * s->k + i % s->k]);
    }
    CHECK_CLOSE(got[i], want, U32 * (double)(s->n + 1) * size, chain_why);
  }
}

static void check_dw(struct rig *rig, const struct shape *s)
{
  size_t m = (size_t)s->m;
  double *dy = rig_noise(rig, 7, m * s->n, 1), *x = rig_noise(rig, 8, m * s->k, 1),
         *before = rig_noise(rig, 9, s->n * s->k, 1);
  struct weight *w = rig_weight(rig, s->n, s->k, before), *b = rig_weight(rig, s->n, 0, before);
  weight_write(w, WEIGHT_GRAD, 0, s->n, before, HOST_F64);
  rig->ops->gemm_dw(rig->d, w, b, s->m, rig_view(rig, dy, m * s->n), rig_view(rig, x, m * s->k));
  double *got = rig_part(rig, w, WEIGHT_GRAD), *bias = rig_part(rig, b, WEIGHT_GRAD);
  for (size_t i = 0; i < s->n * s->k; i++) {
    double want = before[i], size = check_abs(want), sum = 0;
    for (size_t r = 0; r < m; r++) {
      want += dy[r * s->n + i / s->k] * x[r * s->k + i % s->k];
      size += check_abs(dy[r * s->n + i / s->k] * x[r * s->k + i % s->k]);
      sum += dy[r * s->n + i / s->k];
    }
    CHECK_CLOSE(got[i], want, U32 * (double)(m + 1) * size, chain_why);
    if (i % s->k == 0)
      CHECK_CLOSE(bias[i / s->k], sum, U32 * (double)(m + 1) * (double)m, "a chain of M additions of numbers below 1");
  }
}

static void test_naive(void **state)
{
  (void)state;
  for (int i = 0; i < ISA_COUNT; i++)
    for (int s = 0; s < SHAPES; s++) {
      struct rig rig;
      if (!rig_open(&rig, "cpu", isa_names[i], 2)) continue;
      check_forward(&rig, shapes + s);
      check_dx(&rig, shapes + s, false);
      check_dx(&rig, shapes + s, true);
      check_dw(&rig, shapes + s);
      rig_close(&rig);
    }
}

/* Row r alone has the bits that it has among others; so has its dx. The gradient in two calls has the bits of one. */
static void test_rows_alone(void **state)
{
  enum { M = 19, N = 37, K = 53 };
  (void)state;
  for (int i = 0; i < ISA_COUNT; i++) {
    struct rig rig;
    if (!rig_open(&rig, "cpu", isa_names[i], 2)) continue;
    double *x = rig_noise(&rig, 1, M * K, 1), *dy = rig_noise(&rig, 2, M * N, 1);
    struct weight *w = rig_weight(&rig, N, K, rig_noise(&rig, 3, N * K, 1)),
                  *b = rig_weight(&rig, N, 0, rig_noise(&rig, 4, N, 1));
    struct view vx = rig_view(&rig, x, M * K), vdy = rig_view(&rig, dy, M * N), y = rig_zeros(&rig, M * N),
                dx = rig_zeros(&rig, M * K);
    rig.ops->gemm(rig.d, w, b, M, vx, y);
    rig.ops->gemm_dx(rig.d, w, M, vdy, dx, false);
    double *all = rig_read(&rig, y, M * N), *all_dx = rig_read(&rig, dx, M * K);
    for (size_t first = 0, count = 1; first < M; first += count, count = first % 4 + 1) {
      if (count > M - first) count = M - first;
      rig.ops->gemm(rig.d, w, b, (int32_t)count, view_at(vx, first * K), y);
      rig.ops->gemm_dx(rig.d, w, (int32_t)count, view_at(vdy, first * N), dx, false);
      CHECK_BITS(rig_read(&rig, y, count * N), all + first * N, count * N * sizeof(double));
      CHECK_BITS(rig_read(&rig, dx, count * K), all_dx + first * K, count * K * sizeof(double));
    }
    rig.ops->gemm_dw(rig.d, w, b, M, vdy, vx);
    double *grad = rig_part(&rig, w, WEIGHT_GRAD), *grad_b = rig_part(&rig, b, WEIGHT_GRAD);
    rig.ops->weight_zero_grad(rig.d, w);
    rig.ops->weight_zero_grad(rig.d, b);
    rig.ops->gemm_dw(rig.d, w, b, 7, vdy, vx);
    rig.ops->gemm_dw(rig.d, w, b, M - 7, view_at(vdy, 7 * N), view_at(vx, 7 * K));
    CHECK_BITS(rig_part(&rig, w, WEIGHT_GRAD), grad, N * K * sizeof(double));
    CHECK_BITS(rig_part(&rig, b, WEIGHT_GRAD), grad_b, N * sizeof(double));
    rig_close(&rig);
  }
}

/* The order is k ascending: in any other, 1 would survive or 2^30 would not. */
static void test_order(void **state)
{
  (void)state;
  for (int i = 0; i < ISA_COUNT; i++) {
    struct rig rig;
    if (!rig_open(&rig, "cpu", isa_names[i], 1)) continue;
    struct weight *w = rig_weight(&rig, 1, 4, (double[]){0x1p30, 1, -0x1p30, 1});
    struct view x = rig_view(&rig, (double[]){1, 1, 1, 1}, 4), y = rig_zeros(&rig, 1);
    rig.ops->gemm(rig.d, w, NULL, 1, x, y);
    CHECK(rig_read(&rig, y, 1)[0] == 1);
    /* fused: (1 + u)^2 - (1 + 2u) keeps the u^2 */
    double one = 1 + 0x1p-23;
    w = rig_weight(&rig, 1, 2, (double[]){-(1 + 0x1p-22), one});
    x = rig_view(&rig, (double[]){1, one}, 2);
    rig.ops->gemm(rig.d, w, NULL, 1, x, y);
    CHECK(rig_read(&rig, y, 1)[0] == 0x1p-46);
    rig_close(&rig);
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_worked), cmocka_unit_test(test_naive),
                                     cmocka_unit_test(test_rows_alone), cmocka_unit_test(test_order)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
