/* The bounds that core/math.h states, against 64-bit-mantissa long double of libm, over dense samples. */
#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "check.h"
#include "core/math.h"
#include "core/math_exp.h"
#include "core/pool.h"
#include "core/rng.h"

/* Values are handed to the long double functions of libm on purpose. */
#pragma GCC diagnostic ignored "-Wdouble-promotion"

static uint32_t samples(void)
{
  return (uint32_t)check_cases(100000, 20000);
}

/* Distance from want in units of its last place: of f32 (24 bits) or f64 (53 bits). */
static double ulps(double got, long double want, int bits)
{
  if (!isfinite(got) || !isfinite(want)) return (long double)got == want ? 0 : HUGE_VAL;
  if (want == 0) return got == 0 ? 0 : HUGE_VAL;
  int e;
  frexpl(want, &e);
  long double least = bits == 24 ? 0x1p-149L : 0x1p-1074L, ulp = ldexpl(1, e - bits);
  return (double)(fabsl((long double)got - want) / (ulp < least ? least : ulp));
}

static double uniform(uint32_t i, double low, double high)
{
  struct rng_at at = {.purpose = RNG_TEST, .position = i};
  return low + (high - low) * rng_uniform(1, &at);
}

/* Any positive normal number, exponents equally likely. */
static double any_size(uint32_t i)
{
  return ldexp(uniform(i, 1, 2), (int)uniform(i + 0x80000000u, -1022, 1023));
}

static double near_zero(uint32_t i)
{
  return uniform(i, -0.4, 0.4) * ldexp(1, (int)uniform(i + 0x80000000u, -50, 0));
}

struct sampled {
  const char *name;
  double (*got)(double);
  long double (*want)(long double);
  double low, high, bound;
};

static void test_f64(void **state)
{
  (void)state;
  static const struct sampled rows[] = {
      {"exp", math_exp, expl, -745, 709.78, 0.75},    {"exp", math_exp, expl, -1, 1, 0.75},
      {"expm1", math_expm1, expm1l, -50, 50, 1.1},    {"expm1", math_expm1, expm1l, -1, 1, 1.1},
      {"log", math_log, logl, 0.5, 2, 0.83},          {"log", math_log, logl, 0.999, 1.001, 0.83},
      {"log1p", math_log1p, log1pl, -0.999, 3, 0.81}, {"tanh", math_tanh, tanhl, -23, 23, 1.5},
      {"tanh", math_tanh, tanhl, -1, 1, 1.5},         {"sin", math_sin, sinl, -0x1p30, 0x1p30, 0.78},
      {"sin", math_sin, sinl, -10, 10, 0.78},         {"cos", math_cos, cosl, -0x1p30, 0x1p30, 0.78},
      {"cos", math_cos, cosl, -10, 10, 0.78},         {"exp", math_exp, expl, 709.78, 712, 0.75},
      {"exp", math_exp, expl, -760, -745, 0.75},
  };
  for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++) {
    double worst = 0;
    for (uint32_t i = 0; i < samples(); i++) {
      double x = uniform(i, rows[r].low, rows[r].high);
      long double want = rows[r].want(x);
      /* What overflows or underflows f64 must do so here, too. */
      if (want > (long double)DBL_MAX * (1 + 0x1p-54L)) want = HUGE_VALL;
      if (want != 0 && fabsl(want) < 0x1p-1075L) want = 0;
      worst = fmax(worst, ulps(rows[r].got(x), want, 53));
    }
    if (worst > rows[r].bound) print_error("%s [%g, %g]: %.3f ulp\n", rows[r].name, rows[r].low, rows[r].high, worst);
    CHECK(worst <= rows[r].bound);
    CHECK(worst > 0.3 || rows[r].low > 709 || rows[r].low < -750); /* the measurement is alive */
  }
}

static void test_f64_at_every_size(void **state)
{
  (void)state;
  double log_worst = 0, log1p_worst = 0, expm1_worst = 0, tanh_worst = 0, pow_worst = 0;
  for (uint32_t i = 0; i < samples(); i++) {
    double x = any_size(i), z = near_zero(i), y = uniform(i, -2, 2), near = 1 + 0.02 * z;
    log_worst = fmax(log_worst, ulps(math_log(x), logl(x), 53));
    log1p_worst = fmax(log1p_worst, ulps(math_log1p(x), log1pl(x), 53));
    log1p_worst = fmax(log1p_worst, ulps(math_log1p(z), log1pl(z), 53));
    expm1_worst = fmax(expm1_worst, ulps(math_expm1(z), expm1l(z), 53));
    tanh_worst = fmax(tanh_worst, ulps(math_tanh(z), tanhl(z), 53));
    long double w = powl(x, y);
    if (w < (long double)DBL_MAX && w > 0x1p-1022L) pow_worst = fmax(pow_worst, ulps(math_pow(x, y), w, 53));
    pow_worst = fmax(pow_worst, ulps(math_pow(near, 30000 * y), powl(near, 30000 * y), 53));
  }
  CHECK(log_worst <= 0.83 && log_worst > 0.3);
  CHECK(log1p_worst <= 0.81 && log1p_worst > 0.3);
  CHECK(expm1_worst <= 1.1 && expm1_worst > 0.3);
  CHECK(tanh_worst <= 1.5 && tanh_worst > 0.3);
  CHECK(pow_worst <= 0.75 && pow_worst > 0.3);
}

static void test_f32(void **state)
{
  (void)state;
  double exp_worst = 0, log_worst = 0;
  for (uint64_t bits = 0; bits < 1ull << 32; bits += check_cases(2039, 20411)) {
    float x = math_f32_from_bits((uint32_t)bits);
    if (isnan(x)) {
      CHECK(isnan(math_expf(x)) && isnan(math_logf(x)));
      continue;
    }
    if (x < MATH_EXP_LOW) {
      CHECK(math_bits_from_f32(math_expf(x)) == 0);
    } else if (x > MATH_EXP_HIGH) {
      CHECK(math_expf(x) == HUGE_VALF);
    } else {
      exp_worst = fmax(exp_worst, ulps((double)math_expf(x), expl((long double)x), 24));
    }
    if (fabsf(x) < FLT_MIN) {
      CHECK(math_logf(x) == -HUGE_VALF);
    } else if (x < 0) {
      CHECK(isnan(math_logf(x)));
    } else {
      log_worst = fmax(log_worst, ulps((double)math_logf(x), logl((long double)x), 24));
    }
  }
  CHECK(exp_worst <= 1.02 && exp_worst > 0.5);
  CHECK(log_worst <= 0.92 && log_worst > 0.5);
  CHECK(math_expf(0) == 1 && math_logf(1) == 0 && !signbit(math_logf(1)));
  CHECK(math_expf(MATH_EXP_LOW) >= FLT_MIN && math_expf(MATH_EXP_HIGH) <= FLT_MAX &&
        math_expf(MATH_EXP_HIGH) > 3.4e38f);
}

/* The f32 routines give the same bits inside and outside the compute mode. */
static void test_f32_in_compute_mode(void **state)
{
  (void)state;
  enum { COUNT = 40000 };
  static float outside[2 * COUNT], inside[2 * COUNT];
  for (uint32_t i = 0; i < COUNT; i++) {
    float x = math_f32_from_bits(i * 107377u);
    outside[2 * i] = math_expf(x);
    outside[2 * i + 1] = math_logf(x);
  }
  struct compute_mode mode = compute_mode_enter();
  for (uint32_t i = 0; i < COUNT; i++) {
    float x = math_f32_from_bits(i * 107377u);
    inside[2 * i] = math_expf(x);
    inside[2 * i + 1] = math_logf(x);
  }
  compute_mode_leave(mode);
  CHECK_BITS_F32(inside, outside, 2 * COUNT);
}

static void test_special_values(void **state)
{
  (void)state;
  double inf = HUGE_VAL, nan = NAN;
  CHECK(math_exp(inf) == inf && math_exp(-inf) == 0 && isnan(math_exp(nan)) && math_exp(0) == 1);
  CHECK(math_expm1(-inf) == -1 && math_expm1(inf) == inf && isnan(math_expm1(nan)) && math_expm1(0) == 0);
  CHECK(math_log(0) == -inf && isnan(math_log(-1)) && math_log(inf) == inf && isnan(math_log(nan)) && math_log(1) == 0);
  CHECK(math_log1p(-1) == -inf && isnan(math_log1p(-2)) && math_log1p(inf) == inf && isnan(math_log1p(nan)));
  CHECK(math_tanh(inf) == 1 && math_tanh(-inf) == -1 && isnan(math_tanh(nan)) && math_tanh(0) == 0);
  CHECK(isnan(math_sin(inf)) && isnan(math_cos(nan)) && math_sin(0) == 0 && math_cos(0) == 1);
  CHECK(math_pow(2, 10) == 1024 && math_pow(10, -2) == 0.01 && math_pow(0, 0) == 1 && math_pow(nan, 0) == 1);
  CHECK(math_pow(0, 2) == 0 && math_pow(0, -1) == inf && math_pow(inf, -1) == 0 && math_pow(inf, 2) == inf);
  CHECK(math_pow(2, 2000) == inf && math_pow(2, -2000) == 0 && isnan(math_pow(-1, 2)) && isnan(math_pow(2, nan)));
  CHECK(math_pow(2, inf) == inf && math_pow(0.5, inf) == 0 && math_pow(2, -inf) == 0 && math_pow(1, inf) == 1);
  CHECK(math_floor(-1.5) == -2 && math_abs(-0.0) == 0 && math_sqrt(2) == 1.4142135623730951 && math_sqrtf(4) == 2);
  CHECK(math_clamp(5, 0, 1) == 1 && math_clamp(-5, 0, 1) == 0 && isnan(math_clamp(nan, 0, 1)));
  CHECK(math_is_nan(nan) && !math_is_nan(inf) && !math_is_finite(inf) && !math_is_finite(nan) &&
        math_is_finite(DBL_MAX));
  CHECK_CLOSE(math_log(0x1p-1074), -744.44007192138126, 1e-12, "an ulp of 744 is 1.1e-13");
}

/* The value of a half by its definition. */
static double f16_value(uint16_t h)
{
  double sign = h & 0x8000 ? -1 : 1;
  int e = h >> 10 & 31, m = h & 1023;
  if (e == 31) return m ? (double)NAN : sign * HUGE_VAL;
  return sign * (e ? ldexp(1024 + m, e - 25) : ldexp(m, -24));
}

static void test_all_f16(void **state)
{
  (void)state;
  int wrong = 0;
  for (uint32_t h = 0; h < 65536; h++) {
    float x = math_f32_from_f16((uint16_t)h);
    double want = f16_value((uint16_t)h);
    wrong += isnan(want) ? !isnan(x) : (double)x != want || !!signbit(x) != (h >> 15);
    uint16_t back = math_f16_from_f32(x);
    wrong += isnan(want) ? !isnan(f16_value(back)) : back != h;
    /* Between h and its neighbour away from zero: the tie goes to even, a hair beside it to the nearer. */
    if ((h & 0x7fff) >= 0x7bff) continue;
    float next = math_f32_from_f16((uint16_t)(h + 1)), tie = 0.5f * (x + next);
    uint16_t even = (uint16_t)(h & 1 ? h + 1 : h);
    wrong += math_f16_from_f32(tie) != even;
    wrong += math_f16_from_f32(nextafterf(tie, x)) != h;
    wrong += math_f16_from_f32(nextafterf(tie, next)) != h + 1;
  }
  CHECK_INT(wrong, 0);
  CHECK_INT(math_f16_from_f32(65519.996f), 0x7bff);
  CHECK_INT(math_f16_from_f32(65520), 0x7c00);
  CHECK_INT(math_f16_from_f32(-HUGE_VALF), 0xfc00);
  CHECK_INT(math_f16_from_f32(0x1p-25f), 0);
  CHECK_INT(math_f16_from_f32(-0x1.000002p-25f), 0x8001);
}

static void test_all_bf16(void **state)
{
  (void)state;
  int wrong = 0;
  for (uint32_t h = 0; h < 65536; h++) {
    float x = math_f32_from_bf16((uint16_t)h);
    wrong += math_bits_from_f32(x) != h << 16;
    bool nan = isnan(x);
    wrong += nan ? !isnan(math_f32_from_bf16(math_bf16_from_f32(x))) : math_bf16_from_f32(x) != h;
    if (nan || (h & 0x7fff) == 0x7f80) continue;
    uint16_t even = (uint16_t)(h & 1 ? h + 1 : h);
    wrong += math_bf16_from_f32(math_f32_from_bits(h << 16 | 0x8000)) != even;
    wrong += math_bf16_from_f32(math_f32_from_bits(h << 16 | 0x7fff)) != h;
    wrong += math_bf16_from_f32(math_f32_from_bits(h << 16 | 0x8001)) != h + 1;
  }
  CHECK_INT(wrong, 0);
  CHECK(isnan(math_f32_from_bf16(math_bf16_from_f32(math_f32_from_bits(0x7f800001)))));
  CHECK(isnan(math_f32_from_bf16(math_bf16_from_f32(math_f32_from_bits(0xffffffff)))));
}

/* Both are exact, so that libm's are the same to the bit. */
static void test_remainder_and_rounding(void **state)
{
  (void)state;
  static const double special[] = {
      0.0,    -0.0, 0.5, -0.5,      1.5,        2.5,          -2.5,     0.49999999999999994,
      5e-324, 1.0,  3.0, 0x1p-1022, 0x1.fp1023, 0x1p52 - 0.5, INFINITY, NAN};
  enum { SPECIAL = sizeof special / sizeof special[0], RANDOM = 200000 };
  size_t wrong = 0;
  for (size_t i = 0; i < SPECIAL * SPECIAL + RANDOM; i++) {
    double x = special[i % SPECIAL], y = special[i / SPECIAL % SPECIAL], got[2], want[2];
    if (i >= SPECIAL * SPECIAL) {
      uint64_t bits[2];
      uint32_t words[4];
      rng_block(7, &(struct rng_at){.purpose = RNG_METHOD, .position = (uint32_t)i}, words);
      memcpy(bits, words, sizeof bits);
      if (i % 2) bits[1] = (bits[0] & UINT64_C(0xfff0000000000000)) | bits[1] >> 12; /* of one size */
      memcpy(&x, &bits[0], sizeof x);
      memcpy(&y, &bits[1], sizeof y);
    }
    got[0] = math_fmod(x, y), want[0] = fmod(x, y);
    got[1] = math_round(x), want[1] = nearbyint(x);
    for (int k = 0; k < 2; k++)
      if (isnan(want[k]) ? !isnan(got[k]) : memcmp(&got[k], &want[k], sizeof want[k])) wrong++;
  }
  CHECK_INT(wrong, 0);
}

static void test_environment(void **state)
{
  (void)state;
  struct error err = {0};
  CHECK_OK(math_check_environment(&err), &err);
  struct compute_mode mode = compute_mode_enter();
  int rc = math_check_environment(&err);
  compute_mode_leave(mode);
  CHECK_ERROR(rc, &err, ERROR_LAW, "denormal numbers flushed to zero");
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_f64),
                                     cmocka_unit_test(test_f64_at_every_size),
                                     cmocka_unit_test(test_f32),
                                     cmocka_unit_test(test_f32_in_compute_mode),
                                     cmocka_unit_test(test_special_values),
                                     cmocka_unit_test(test_all_f16),
                                     cmocka_unit_test(test_all_bf16),
                                     cmocka_unit_test(test_remainder_and_rounding),
                                     cmocka_unit_test(test_environment)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
