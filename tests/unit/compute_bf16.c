/* Compute type bf16: rounding, the order of a sum, the copy beside a master, KV in half the bytes; that the products
 * lie as near to f32's as the rounding of their operands allows; and that blocks of 32 are the only places where a sum
 * may be cut. That every instruction set gives the same bits is compute_overlay.c's. */
#include "compute_fixture.h"

#define UNIT_BF16 0x1p-8 /* half a step of a number with 8 bits: what rounding to the nearest moves at most */

static bool open_bf16(struct rig *rig, const char *isa, int threads)
{
  return rig_open_type(rig, "cpu", isa, threads, COMPUTE_BF16);
}

/* ---- rounding ---- */

static void test_rounding(void **state)
{
  /* ties go to the even neighbour, what is above the largest to infinity, denormals of f32 to zeros of their sign */
  static const float from[] = {1,     1 + 0x1p-8f, 1 + 0x3p-8f, 1 + 0x1.8p-8f,    -1 - 0x1p-8f, 3.4e38f,
                               -0.0f, 1e-40f,      -1e-40f,     0x1.fffffcp-127f, 0x1p-126f};
  static const double want[] = {1, 1, 1 + 0x1p-6, 1 + 0x1p-7, -1, (double)__builtin_inff(), -0.0, 0, -0.0, 0, 0x1p-126};
  enum { N = sizeof from / sizeof from[0] };
  double x[N];
  (void)state;
  for (int i = 0; i < N; i++) x[i] = (double)from[i];
  for (int i = 0; i < ISA_COUNT; i++) {
    struct rig rig;
    struct error err = {0};
    struct weight *w;
    if (!open_bf16(&rig, isa_names[i], 2)) continue;
    CHECK_OK(weight_create_rounded(rig.d, WEIGHT_MATRIX, 1, N, "w", &w, &err), &err);
    weight_write(w, WEIGHT_MASTER, 0, 1, x, HOST_F64);
    CHECK_BITS(rig_part(&rig, w, WEIGHT_MASTER), want, sizeof want);
    weight_destroy(w);
    /* The same through a product by 1: x is rounded at the entry. Infinity by the 0 beside it is NaN: left out. */
    double one[] = {1};
    struct weight *unit = rig_weight(&rig, 1, 1, one);
    struct view y = rig_zeros(&rig, N);
    rig.ops->gemm(rig.d, unit, NULL, N, rig_view(&rig, x, N), y);
    double *got = rig_read(&rig, y, N);
    for (int j = 0; j < N; j++) CHECK(got[j] == want[j]);
    rig_close(&rig);
  }
}

/* ---- the order of a sum ---- */

/* In a block even and odd terms are summed apart: 2^30 + 1 - 2^30 is 1 where 1 stands at an odd place and both others
 * at even ones, 0 where all three are neighbours of one chain. In the next block the sum so far joins last. */
static void test_order(void **state)
{
  enum { K = 64 };
  static const struct {
    int big, one, minus;
    double want;
  } cases[] = {{0, 1, 2, 1}, {0, 2, 4, 0}, {1, 3, 5, 0}, {1, 2, 31, 1}, {0, 33, 2, 1}, {0, 2, 32, 0}, {32, 1, 34, 1}};
  (void)state;
  for (int i = 0; i < ISA_COUNT; i++) {
    struct rig rig;
    if (!open_bf16(&rig, isa_names[i], 1)) continue;
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
      double x[K] = {0}, w[K];
      for (int k = 0; k < K; k++) w[k] = 1;
      x[cases[c].big] = 0x1p30;
      x[cases[c].one] = 1;
      x[cases[c].minus] = -0x1p30;
      struct view y = rig_zeros(&rig, 1);
      rig.ops->gemm(rig.d, rig_weight(&rig, 1, K, w), NULL, 1, rig_view(&rig, x, K), y);
      CHECK(rig_read(&rig, y, 1)[0] == cases[c].want);
    }
    rig_close(&rig);
  }
}

/* ---- beside f32 ---- */

/* |bf16(a) bf16(b) - a b| <= (2 u + u^2) |a b| with u = 2^-8; the sums themselves err by some K 2^-24 more of the
 * terms' sizes, in both types, which 0.01 u covers up to K = 300. */
static const char *const near_why = "operands move by 2^-8 of themselves at most: two of them, per term";
#define NEAR (2.02 * UNIT_BF16 + UNIT_BF16 * UNIT_BF16)

enum { M = 70, N = 52, K = 90 };

struct sides {
  double *x, *w, *dy;
};

/* The sum of |terms| of an output of product op (0: gemm, 1: dx, 2: dW). */
static double terms_size(const struct sides *s, int op, size_t i)
{
  double size = 0;
  if (op == 0)
    for (size_t k = 0; k < K; k++) size += check_abs(s->x[i / N * K + k] * s->w[i % N * K + k]);
  if (op == 1)
    for (size_t n = 0; n < N; n++) size += check_abs(s->dy[i / K * N + n] * s->w[n * K + i % K]);
  if (op == 2)
    for (size_t m = 0; m < M; m++) size += check_abs(s->dy[m * N + i / K] * s->x[m * K + i % K]);
  return size;
}

static const double *product(struct rig *rig, const struct sides *s, int op)
{
  struct weight *w = rig_weight(rig, N, K, s->w);
  struct view x = rig_view(rig, s->x, M * K), dy = rig_view(rig, s->dy, M * N);
  struct view out = rig_zeros(rig, op == 0 ? M * N : M * K);
  if (op == 0) rig->ops->gemm(rig->d, w, NULL, M, x, out);
  if (op == 1) rig->ops->gemm_dx(rig->d, w, M, dy, out, false);
  if (op == 2) rig->ops->gemm_dw(rig->d, w, NULL, M, dy, x);
  return op == 2 ? rig_part(rig, w, WEIGHT_GRAD) : rig_read(rig, out, op == 0 ? M * N : M * K);
}

static void test_near_f32(void **state)
{
  static const size_t sizes[] = {M * N, M * K, N * K};
  (void)state;
  for (int i = 0; i < ISA_COUNT; i++) {
    struct rig rig, plain;
    if (!open_bf16(&rig, isa_names[i], 2)) continue;
    CHECK(rig_open(&plain, "cpu", "ref", 1));
    const struct sides s = {rig_noise(&rig, 1, M * K, 1), rig_noise(&rig, 2, N * K, 1), rig_noise(&rig, 3, M * N, 1)};
    for (int op = 0; op < 3; op++) {
      const double *got = product(&rig, &s, op), *want = product(&plain, &s, op);
      size_t moved = 0;
      for (size_t j = 0; j < sizes[op]; j++) {
        CHECK_CLOSE(got[j], want[j], NEAR * terms_size(&s, op, j), near_why);
        moved += got[j] != want[j];
      }
      CHECK(moved > sizes[op] / 2); /* it is another type */
    }
    rig_close(&plain);
    rig_close(&rig);
  }
}

/* ---- where sums may be cut ---- */

/* dW in two calls has the bits of one where the cut is at 32 rows, and other bits where it is not; rows of zeros
 * between two units move nothing. */
static void test_units(void **state)
{
  enum { ROWS = 75, WIDE = 37, DEEP = 53 };
  (void)state;
  for (int i = 0; i < ISA_COUNT; i++) {
    struct rig rig;
    if (!open_bf16(&rig, isa_names[i], 2)) continue;
    double *x = rig_noise(&rig, 1, 128 * DEEP, 1), *dy = rig_noise(&rig, 2, 128 * WIDE, 1);
    double *grads[4];
    for (int how = 0; how < 3; how++) {
      struct weight *w = rig_weight(&rig, WIDE, DEEP, rig_noise(&rig, 3, WIDE * DEEP, 1));
      const struct view vx = rig_view(&rig, x, 128 * DEEP), vdy = rig_view(&rig, dy, 128 * WIDE);
      const int32_t first = how == 0 ? ROWS : how == 1 ? 32 : 40;
      rig.ops->gemm_dw(rig.d, w, NULL, first, vdy, vx);
      rig.ops->gemm_dw(rig.d, w, NULL, ROWS - first, view_at(vdy, (size_t)first * WIDE),
                       view_at(vx, (size_t)first * DEEP));
      grads[how] = rig_part(&rig, w, WEIGHT_GRAD);
    }
    CHECK_BITS(grads[1], grads[0], WIDE * DEEP * sizeof(double));
    CHECK(memcmp(grads[2], grads[0], WIDE * DEEP * sizeof(double)) != 0);
    /* units of 40 and of 35 rows: two calls, or one with rows of zeros up to 64 */
    double *gap_x = rig_host(&rig, 128 * DEEP), *gap_dy = rig_host(&rig, 128 * WIDE);
    memcpy(gap_x, x, 40 * DEEP * sizeof *x);
    memcpy(gap_dy, dy, 40 * WIDE * sizeof *x);
    memcpy(gap_x + 64 * DEEP, x + 40 * DEEP, 35 * DEEP * sizeof *x);
    memcpy(gap_dy + 64 * WIDE, dy + 40 * WIDE, 35 * WIDE * sizeof *x);
    struct weight *w = rig_weight(&rig, WIDE, DEEP, x);
    rig.ops->gemm_dw(rig.d, w, NULL, 64 + 35, rig_view(&rig, gap_dy, 128 * WIDE), rig_view(&rig, gap_x, 128 * DEEP));
    CHECK_BITS(rig_part(&rig, w, WEIGHT_GRAD), grads[2], WIDE * DEEP * sizeof(double));
    rig_close(&rig);
  }
}

/* ---- weights ---- */

/* A step of AdamW leaves the copy that writing its master would make; and a weight without a master gives the products
 * and the embedding of one that has it. */
static void test_copies(void **state)
{
  enum { ROWS = 21, DEEP = 45, TOKENS = 3 };
  static const int32_t tokens[TOKENS] = {20, 0, 7};
  (void)state;
  for (int i = 0; i < ISA_COUNT; i++) {
    struct rig rig;
    struct error err = {0};
    if (!open_bf16(&rig, isa_names[i], 2)) continue;
    struct weight *w = rig_weight(&rig, ROWS, DEEP, rig_noise(&rig, 1, ROWS * DEEP, 1)), *rounded;
    weight_write(w, WEIGHT_GRAD, 0, ROWS, rig_noise(&rig, 2, ROWS * DEEP, 1), HOST_F64);
    const struct adamw_params step = {0.01, 0.9, 0.99, 1e-8, 0.1, 0.1, 0.01, 1};
    rig.ops->adamw(rig.d, w, &step);
    CHECK_OK(weight_create_rounded(rig.d, WEIGHT_MATRIX, ROWS, DEEP, "rounded", &rounded, &err), &err);
    weight_write(rounded, WEIGHT_MASTER, 0, ROWS, rig_part(&rig, w, WEIGHT_MASTER), HOST_F64);
    struct view x = rig_view(&rig, rig_noise(&rig, 3, TOKENS * DEEP, 1), TOKENS * DEEP);
    double *out[2][3];
    for (int which = 0; which < 2; which++) {
      const struct weight *use = which ? rounded : w;
      struct view y = rig_zeros(&rig, TOKENS * ROWS), dx = rig_zeros(&rig, TOKENS * DEEP),
                  e = rig_zeros(&rig, TOKENS * DEEP);
      rig.ops->gemm(rig.d, use, NULL, TOKENS, x, y);
      rig.ops->gemm_dx(rig.d, use, TOKENS, y, dx, false);
      rig.ops->embed(rig.d, use, TOKENS, tokens, e);
      out[which][0] = rig_read(&rig, y, TOKENS * ROWS);
      out[which][1] = rig_read(&rig, dx, TOKENS * DEEP);
      out[which][2] = rig_read(&rig, e, TOKENS * DEEP);
    }
    CHECK_BITS(out[1][0], out[0][0], TOKENS * ROWS * sizeof(double));
    CHECK_BITS(out[1][1], out[0][1], TOKENS * DEEP * sizeof(double));
    CHECK_BITS(out[1][2], out[0][2], TOKENS * DEEP * sizeof(double));
    CHECK_BITS(out[0][2] + DEEP, rig_part(&rig, rounded, WEIGHT_MASTER), DEEP * sizeof(double)); /* token 0 */
    weight_destroy(rounded);
    rig_close(&rig);
  }
}

static void test_bytes(void **state)
{
  (void)state;
  CHECK_INT(weight_copy_bytes(WEIGHT_MATRIX, 17, 33, COMPUTE_BF16), 32 * 64 * 2); /* 16 outputs, 32 terms at a time */
  CHECK_INT(weight_copy_bytes(WEIGHT_MATRIX, 17, 33, COMPUTE_F32), 0);
  CHECK_INT(weight_copy_bytes(WEIGHT_VECTOR, 17, 1, COMPUTE_BF16), 0);
  CHECK_INT(kv_block_bytes(&(struct kv_shape){2, 3, 64, 4, 9}, compute_type_size(COMPUTE_BF16)),
            2 * 2 * 3 * 64 * 4 * 2);
  CHECK_INT(kv_block_bytes(&(struct kv_shape){2, 3, 80, 4, 9}, 2), 2 * 3 * (96 + 80) * 4 * 2); /* K: whole blocks */
  CHECK_STR(compute_type_name(COMPUTE_BF16), "bf16");
  struct device *d;
  struct error err = {0};
  CHECK_ERROR(device_open(&(struct device_options){.kind = "reference64", .type = COMPUTE_BF16}, &d, &err), &err,
              ERROR_INPUT, "computes in f64");
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_rounding), cmocka_unit_test(test_order),
                                     cmocka_unit_test(test_near_f32), cmocka_unit_test(test_units),
                                     cmocka_unit_test(test_copies),   cmocka_unit_test(test_bytes)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
