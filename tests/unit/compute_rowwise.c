/* Norm, rotary embedding, activation, element-wise operations, embedding, AdamW and reductions: worked numbers, and
 * plain formulas in f64. */
#include "compute_fixture.h"

#include "compute/cpu/cpu.h"

/* x = (3, 4, 0, 0): mean square 25/4, r = 2/5. */
static void test_rmsnorm_worked(void **state)
{
  struct rig rig;
  (void)state;
  CHECK(rig_open(&rig, "reference64", NULL, 1));
  struct weight *w = rig_weight(&rig, 4, 0, (double[]){1, 2, 3, 4});
  struct view x = rig_view(&rig, (double[]){3, 4, 0, 0}, 4), y = rig_zeros(&rig, 4), r = rig_zeros(&rig, 1),
              dx = rig_zeros(&rig, 4);
  rig.ops->rmsnorm(rig.d, w, 0, 1, x, y, r);
  double *got = rig_read(&rig, y, 4), want[] = {1.2, 3.2, 0, 0};
  for (int i = 0; i < 4; i++) CHECK_CLOSE(got[i], want[i], 1e-15, "a few roundings of f64");
  CHECK_CLOSE(rig_read(&rig, r, 1)[0], 0.4, 1e-16, "one rounding");
  /* dy = (1, 0, 1, 0): g = (1, 0, 3, 0), s = 3, t = 0.064 * 3 / 4 = 0.048; dx = g r - x t */
  rig.ops->rmsnorm_backward(rig.d, w, 1, x, r, rig_view(&rig, (double[]){1, 0, 1, 0}, 4), dx, false);
  double *grad = rig_read(&rig, dx, 4), want_dx[] = {0.256, -0.192, 1.2, 0};
  for (int i = 0; i < 4; i++) CHECK_CLOSE(grad[i], want_dx[i], 1e-15, "a few roundings of f64");
  CHECK_CLOSE(rig_part(&rig, w, WEIGHT_GRAD)[0], 1.2, 1e-15, "dy x r");
  CHECK(rig_part(&rig, w, WEIGHT_GRAD)[1] == 0);
  rig_close(&rig);
}

static void check_rmsnorm(struct rig *rig, size_t m, size_t c)
{
  const double eps = 1e-5;
  double *x = rig_noise(rig, 1, m * c, 2), *w = rig_noise(rig, 2, c, 1), *dy = rig_noise(rig, 3, m * c, 1);
  double *before = rig_noise(rig, 4, m * c, 1), *dw = rig_host(rig, c);
  struct weight *weight = rig_weight(rig, c, 0, w);
  struct view vx = rig_view(rig, x, m * c), y = rig_zeros(rig, m * c), r = rig_zeros(rig, m),
              dx = rig_view(rig, before, m * c);
  rig->ops->rmsnorm(rig->d, weight, eps, (int32_t)m, vx, y, r);
  rig->ops->rmsnorm_backward(rig->d, weight, (int32_t)m, vx, r, rig_view(rig, dy, m * c), dx, true);
  double *got_y = rig_read(rig, y, m * c), *got_dx = rig_read(rig, dx, m * c),
         *got_dw = rig_part(rig, weight, WEIGHT_GRAD);
  for (size_t i = 0; i < m; i++) {
    double squares = 0, dot = 0;
    for (size_t j = 0; j < c; j++) squares += x[i * c + j] * x[i * c + j];
    for (size_t j = 0; j < c; j++) dot += dy[i * c + j] * w[j] * x[i * c + j];
    double mean = squares / (double)c + eps, root = 1 / math_sqrt(mean);
    for (size_t j = 0; j < c; j++) {
      double value =
          before[i * c + j] + root * dy[i * c + j] * w[j] - x[i * c + j] * root * root * root / (double)c * dot;
      CHECK_CLOSE(got_y[i * c + j], x[i * c + j] * root * w[j], 4e-6 * root,
                  "C <= 100 lanes of 7: relative 1e-6 of |x r| <= 2 root");
      CHECK_CLOSE(got_dx[i * c + j], value, 2e-5 * (1 + root + root * root * root),
                  "sums of at most 100 terms below 2, each within u");
      dw[j] += dy[i * c + j] * x[i * c + j] * root;
    }
  }
  for (size_t j = 0; j < c; j++)
    CHECK_CLOSE(got_dw[j], dw[j], 1e-4, "a chain of M <= 40 terms below 20, each within 4 u");
}

static void test_rmsnorm(void **state)
{
  static const size_t shapes[][2] = {{1, 1}, {3, 5}, {2, 16}, {40, 20}, {7, 100}};
  (void)state;
  for (int i = 0; i < ISA_COUNT; i++) {
    struct rig rig;
    if (!rig_open(&rig, "cpu", isa_names[i], 2)) continue;
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) check_rmsnorm(&rig, shapes[s][0], shapes[s][1]);
    rig_close(&rig);
  }
}

/* A quarter turn of (1, 2 | 3, 4) with the second pair left alone; and the inverse brings any x back. */
static void test_rope(void **state)
{
  (void)state;
  for (int i = 0; i < ISA_COUNT; i++) {
    struct rig rig;
    if (!rig_open(&rig, "cpu", isa_names[i], 2)) continue;
    struct view table = rig_view(&rig, (double[]){1, 0, 1, 0, 0, 1, 1, 0}, 8),
                x = rig_view(&rig, (double[]){1, 2, 3, 4}, 4);
    rig.ops->rope(rig.d, 1, (int32_t[]){1}, 1, 4, 4, table, false, x);
    CHECK_BITS(rig_read(&rig, x, 4), ((double[]){-3, 2, 1, 4}), 4 * sizeof(double));
    rig.ops->rope(rig.d, 1, (int32_t[]){1}, 1, 4, 4, table, true, x);
    CHECK_BITS(rig_read(&rig, x, 4), ((double[]){1, 2, 3, 4}), 4 * sizeof(double));
    enum { M = 5, HEADS = 3, D = 20, POSITIONS = 9 };
    double *angles = rig_host(&rig, POSITIONS * D), *before = rig_noise(&rig, 1, M * HEADS * D, 1);
    for (size_t j = 0; j < POSITIONS * D / 2; j++) {
      angles[2 * j] = math_cos(0.3 * (double)j);
      angles[2 * j + 1] = math_sin(0.3 * (double)j);
    }
    table = rig_view(&rig, angles, POSITIONS * D);
    x = rig_view(&rig, before, M * HEADS * D);
    const int32_t position[M] = {8, 0, 3, 3, 7};
    rig.ops->rope(rig.d, M, position, HEADS, D, D, table, false, x);
    double *got = rig_read(&rig, x, M * HEADS * D);
    for (size_t j = 0; j < M * HEADS * D; j++) {
      size_t d = j % D, low = d % (D / 2), at = j - d + low;
      double c = angles[((size_t)position[j / (HEADS * D)] * D / 2 + low) * 2],
             s = angles[((size_t)position[j / (HEADS * D)] * D / 2 + low) * 2 + 1];
      double want = d < D / 2 ? before[at] * c - before[at + D / 2] * s : before[at + D / 2] * c + before[at] * s;
      CHECK_CLOSE(got[j], want, 4 * U32, "cos, sin, a product and a fused step rounded to f32, of numbers below 1");
    }
    rig.ops->rope(rig.d, M, position, HEADS, D, D, table, true, x);
    got = rig_read(&rig, x, M * HEADS * D);
    for (size_t j = 0; j < M * HEADS * D; j++) CHECK_CLOSE(got[j], before[j], 12 * U32, "twice the above");
    rig_close(&rig);
  }
}

static void test_swiglu(void **state)
{
  enum { N = 203 };
  (void)state;
  for (int i = 0; i < ISA_COUNT; i++) {
    struct rig rig;
    if (!rig_open(&rig, "cpu", isa_names[i], 2)) continue;
    double *g = rig_noise(&rig, 1, N, 6), *u = rig_noise(&rig, 2, N, 1), *dy = rig_noise(&rig, 3, N, 1);
    g[0] = 0, u[0] = 3, g[1] = -90, g[2] = 90, g[3] = -300;
    struct view vg = rig_view(&rig, g, N), vu = rig_view(&rig, u, N), y = rig_zeros(&rig, N), dg = rig_zeros(&rig, N),
                du = rig_zeros(&rig, N);
    rig.ops->swiglu(rig.d, N, vg, vu, y);
    rig.ops->swiglu_backward(rig.d, N, vg, vu, rig_view(&rig, dy, N), dg, du);
    double *got = rig_read(&rig, y, N), *got_dg = rig_read(&rig, dg, N), *got_du = rig_read(&rig, du, N);
    for (size_t j = 0; j < N; j++) {
      double t = 1 / (1 + math_exp(-g[j])), size = check_abs(g[j]) + 1;
      CHECK_CLOSE(got[j], g[j] * t * u[j], 1e-6 * size * (1 + check_abs(u[j])),
                  "exp within 1 ulp, five more roundings");
      CHECK_CLOSE(got_du[j], dy[j] * g[j] * t, 1e-6 * size, "exp within 1 ulp, four more roundings");
      CHECK_CLOSE(got_dg[j], dy[j] * u[j] * t * (1 + g[j] * (1 - t)), 2e-6 * size * (1 + check_abs(u[j])),
                  "exp, seven more roundings");
    }
    CHECK(got[0] == 0 && got_dg[0] == (double)(float)(dy[0] * 3 * 0.5));
    /* in place */
    rig.ops->swiglu_backward(rig.d, N, vg, vu, rig_view(&rig, dy, N), vg, vu);
    CHECK_BITS(rig_read(&rig, vg, N), got_dg, N * sizeof(double));
    CHECK_BITS(rig_read(&rig, vu, N), got_du, N * sizeof(double));
    rig_close(&rig);
  }
}

static void test_elementwise(void **state)
{
  (void)state;
  for (int i = 0; i < ISA_COUNT; i++) {
    struct rig rig;
    if (!rig_open(&rig, "cpu", isa_names[i], 2)) continue;
    struct view x = rig_view(&rig, (double[]){1, 2, 3, 4, 5, 6}, 6),
                y = rig_view(&rig, (double[]){10, 20, 30, 40, 50, 60}, 6), z = rig_zeros(&rig, 6);
    rig.ops->add(rig.d, 5, x, y);
    CHECK_BITS(rig_read(&rig, x, 6), ((double[]){11, 22, 33, 44, 55, 6}), 6 * sizeof(double));
    rig.ops->copy(rig.d, 3, z, view_at(y, 2));
    CHECK_BITS(rig_read(&rig, z, 4), ((double[]){30, 40, 50, 0}), 4 * sizeof(double));
    rig.ops->gather(rig.d, 3, (int32_t[]){2, 0, 2}, 2, y, z);
    CHECK_BITS(rig_read(&rig, z, 6), ((double[]){50, 60, 10, 20, 50, 60}), 6 * sizeof(double));
    rig.ops->scatter(rig.d, 2, (int32_t[]){2, 0}, 2, x, z);
    CHECK_BITS(rig_read(&rig, z, 6), ((double[]){33, 44, 10, 20, 11, 22}), 6 * sizeof(double));
    rig.ops->zero(rig.d, 4, z);
    CHECK_BITS(rig_read(&rig, z, 6), ((double[]){0, 0, 0, 0, 11, 22}), 6 * sizeof(double));
    rig.ops->add(rig.d, 0, x, y);
    rig.ops->gather(rig.d, 0, NULL, 2, y, z);
    CHECK_BITS(rig_read(&rig, z, 6), ((double[]){0, 0, 0, 0, 11, 22}), 6 * sizeof(double));
    rig_close(&rig);
  }
}

static void test_embed(void **state)
{
  (void)state;
  for (int i = 0; i < ISA_COUNT; i++) {
    struct rig rig;
    if (!rig_open(&rig, "cpu", isa_names[i], 2)) continue;
    enum { V = 37, C = 5, M = 4 };
    double *table = rig_noise(&rig, 1, V * C, 1);
    struct weight *w = rig_weight(&rig, V, C, table);
    const int32_t token[M] = {36, 0, 16, 36};
    struct view y = rig_zeros(&rig, M * C), accum = rig_zeros(&rig, 3 * C);
    rig.ops->embed(rig.d, w, M, token, y);
    double *got = rig_read(&rig, y, M * C);
    for (size_t m = 0; m < M; m++) CHECK_BITS(got + m * C, table + (size_t)token[m] * C, C * sizeof(double));
    /* slots of tokens 36, 0, 16; 2^30 + 1 - 2^30 in row order loses the 1 */
    double dy[M * C] = {0x1p30, 1, 1, 1, 1, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 1, 1, 1, 1, 1},
                  last[C] = {-0x1p30, 5, 5, 5, 5};
    const int32_t slot[M] = {0, 1, 2, 0};
    rig.ops->embed_backward(rig.d, M, slot, C, rig_view(&rig, dy, M * C), accum);
    rig.ops->embed_backward(rig.d, 1, slot, C, rig_view(&rig, last, C), accum);
    CHECK_BITS(rig_read(&rig, accum, 3 * C), ((double[]){0, 7, 7, 7, 7, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3}),
               3 * C * sizeof(double));
    weight_write(w, WEIGHT_GRAD, 16, 1, (double[]){10, 20, 30, 40, 50}, HOST_F64);
    rig.ops->embed_join(rig.d, w, 3, (int32_t[]){36, 0, 16}, accum);
    double *grad = rig_part(&rig, w, WEIGHT_GRAD);
    CHECK_BITS(grad, ((double[]){2, 2, 2, 2, 2, 0}), 6 * sizeof(double));
    CHECK_BITS(grad + 16 * C, ((double[]){13, 23, 33, 43, 53, 0}), 6 * sizeof(double));
    CHECK_BITS(grad + 36 * C, ((double[]){0, 7, 7, 7, 7}), 5 * sizeof(double));
    rig_close(&rig);
  }
}

/* Two steps by hand, lr 0.1, betas 0.9 and 0.99, eps 1e-8, decay 0.5, from w = 1 with g = 2 and then g = -1 scaled by
 * 1/2. */
static void test_adamw_worked(void **state)
{
  struct rig rig;
  (void)state;
  CHECK(rig_open(&rig, "reference64", NULL, 1));
  struct weight *w = rig_weight(&rig, 17, 1, rig_host(&rig, 17));
  weight_write(w, WEIGHT_MASTER, 16, 1, (double[]){1}, HOST_F64);
  weight_write(w, WEIGHT_GRAD, 16, 1, (double[]){2}, HOST_F64);
  struct adamw_params p = {0.1, 0.9, 0.99, 1e-8, 0.5, 0.1, 0.01, 1};
  rig.ops->adamw(rig.d, w, &p);
  /* m1 = 0.2, m2 = 0.04: m1/c1 = 2, sqrt(m2/c2) = 2; w = 0.95 - 0.1 * 2 / (2 + 1e-8) */
  CHECK_CLOSE(rig_part(&rig, w, WEIGHT_MASTER)[16], 0.95 - 0.1 * 2 / (2 + 1e-8), 1e-15, "a few roundings of f64");
  CHECK_CLOSE(rig_part(&rig, w, WEIGHT_MOMENT1)[16], 0.2, 1e-16, "a few roundings of f64");
  CHECK_CLOSE(rig_part(&rig, w, WEIGHT_MOMENT2)[16], 0.04, 1e-16, "a few roundings of f64");
  CHECK(rig_part(&rig, w, WEIGHT_GRAD)[16] == 0);
  weight_write(w, WEIGHT_GRAD, 16, 1, (double[]){-1}, HOST_F64);
  p.correction1 = 1 - 0.81, p.correction2 = 1 - 0.9801, p.grad_scale = 0.5;
  rig.ops->adamw(rig.d, w, &p);
  /* m1 = 0.18 - 0.05 = 0.13, m2 = 0.0396 + 0.0025 = 0.0421 */
  double before = 0.95 - 0.1 * 2 / (2 + 1e-8), step = (0.13 / 0.19) / (math_sqrt(0.0421 / 0.0199) + 1e-8);
  CHECK_CLOSE(rig_part(&rig, w, WEIGHT_MASTER)[16], before * 0.95 - 0.1 * step, 1e-15, "a few roundings of f64");
  /* without a gradient nothing moves but the decay */
  CHECK(rig_part(&rig, w, WEIGHT_MASTER)[3] == 0);
  rig_close(&rig);
}

/* f32 on every instruction set against f64; eps 0 must not bring NaN into the padding, which products read. */
static void test_adamw(void **state)
{
  enum { N = 19, K = 7 };
  double want[N * K];
  const struct adamw_params p = {1e-3, 0.9, 0.999, 1e-8, 0.1, 0.1, 0.001, 0.25};
  double *master, *grad, *m1, *m2;
  (void)state;
  for (int i = -1; i < ISA_COUNT; i++) {
    struct rig rig;
    if (!rig_open(&rig, i < 0 ? "reference64" : "cpu", i < 0 ? "ref" : isa_names[i], 2)) continue;
    master = rig_noise(&rig, 1, N * K, 1), grad = rig_noise(&rig, 2, N * K, 1), m1 = rig_noise(&rig, 3, N * K, 0.1),
    m2 = rig_noise(&rig, 4, N * K, 0.1);
    for (size_t j = 0; j < N * K; j++) m2[j] = check_abs(m2[j]);
    struct weight *w = rig_weight(&rig, N, K, master);
    weight_write(w, WEIGHT_GRAD, 0, N, grad, HOST_F64);
    weight_write(w, WEIGHT_MOMENT1, 0, N, m1, HOST_F64);
    weight_write(w, WEIGHT_MOMENT2, 0, N, m2, HOST_F64);
    rig.ops->adamw(rig.d, w, &p);
    double *got = rig_part(&rig, w, WEIGHT_MASTER);
    if (i < 0) memcpy(want, got, sizeof want);
    for (size_t j = 0; i >= 0 && j < N * K; j++)
      CHECK_CLOSE(got[j], want[j], 1e-6, "weights below 1 round within u; the step is 1e-3 times numbers below 1000");
    for (size_t j = 0; j < N * K; j++) CHECK(rig_part(&rig, w, WEIGHT_GRAD)[j] == 0);
    struct adamw_params bare = p;
    bare.eps = 0;
    weight_write(w, WEIGHT_GRAD, 0, N, grad, HOST_F64);
    rig.ops->adamw(rig.d, w, &bare);
    for (int part = 0; part < 4; part++)
      for (size_t n = N; n < w->padded; n++)
        for (size_t k = 0; k < K; k++)
          CHECK(i < 0 ? ((double *)w->part[part])[panel_at(w, n, k)] == 0
                      : ((float *)w->part[part])[panel_at(w, n, k)] == 0);
    rig_close(&rig);
  }
}

static void test_reduce(void **state)
{
  (void)state;
  for (int i = 0; i < ISA_COUNT; i++) {
    struct rig rig;
    if (!rig_open(&rig, "cpu", isa_names[i], 2)) continue;
    enum { N = 2053, K = 3 };
    double *x = rig_noise(&rig, 1, N * K, 1), want = 0;
    struct weight *w = rig_weight(&rig, N, K, x);
    for (size_t n = 0; n < N; n++) {
      double row = 0;
      for (size_t k = 0; k < K; k++) row = math_fma(x[n * K + k], x[n * K + k], row);
      want += row;
    }
    double got = rig.ops->sum_squares(rig.d, w, WEIGHT_MASTER);
    CHECK_BITS(&got, &want, sizeof got);
    CHECK(rig.ops->sum_squares(rig.d, w, WEIGHT_GRAD) == 0);
    CHECK_INT(rig.ops->find_not_finite(rig.d, w, WEIGHT_MASTER), -1);
    double bad[K] = {0, 0, -(double)__builtin_inff()}, worse[K] = {0, (double)__builtin_nanf(""), 0};
    weight_write(w, WEIGHT_GRAD, 2050, 1, bad, HOST_F64);
    CHECK_INT(rig.ops->find_not_finite(rig.d, w, WEIGHT_GRAD), 2050 * K + 2);
    weight_write(w, WEIGHT_GRAD, 33, 1, worse, HOST_F64);
    CHECK_INT(rig.ops->find_not_finite(rig.d, w, WEIGHT_GRAD), 33 * K + 1);
    rig.ops->weight_zero_grad(rig.d, w);
    CHECK_INT(rig.ops->find_not_finite(rig.d, w, WEIGHT_GRAD), -1);
    rig_close(&rig);
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_rmsnorm_worked), cmocka_unit_test(test_rmsnorm),     cmocka_unit_test(test_rope),
      cmocka_unit_test(test_swiglu),         cmocka_unit_test(test_elementwise), cmocka_unit_test(test_embed),
      cmocka_unit_test(test_adamw_worked),   cmocka_unit_test(test_adamw),       cmocka_unit_test(test_reduce),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
