/* links: core. Proves that every comparer of check.h fails when it must: a NaN, an infinity, nothing compared, a thing
 * compared with itself, a reason missing. */
#include "check.h"

#include <stdlib.h>

#define PASSES(sentence) assert_null(sentence)
#define FAILS(sentence)  assert_non_null(sentence)

static double nan_value(void)
{
  return strtod("nan", NULL);
}

static double infinity_value(void)
{
  return strtod("inf", NULL);
}

static void test_int(void **state)
{
  (void)state;
  PASSES(check_int_at(3, 3));
  FAILS(check_int_at(3, -3));
  FAILS(check_int_at(INT64_MIN, INT64_MAX));
}

static void test_str(void **state)
{
  (void)state;
  PASSES(check_str_at("a", "a"));
  FAILS(check_str_at("a", "b"));
  FAILS(check_str_at("a", "ab"));
  FAILS(check_str_at(NULL, "a"));
  FAILS(check_str_at("a", NULL));
  FAILS(check_str_at(NULL, NULL));
}

static void test_bits(void **state)
{
  (void)state;
  const char a[4] = "abc", b[4] = "abc", c[4] = "abd";
  PASSES(check_bits_at(a, b, 4));
  FAILS(check_bits_at(a, c, 4));
  FAILS(check_bits_at(a, b, 0));
  FAILS(check_bits_at(a, a, 4));
  FAILS(check_bits_at(a, NULL, 4));
  FAILS(check_bits_at(NULL, NULL, 4));
}

static void test_bits_f32(void **state)
{
  (void)state;
  const float nan = (float)nan_value(), a[2] = {1.0f, nan}, b[2] = {1.0f, -nan}, c[2] = {1.0f, 0.0f}, zero[1] = {0.0f},
              minus[1] = {-0.0f};
  PASSES(check_bits_f32_at(a, b, 2));
  FAILS(check_bits_f32_at(a, c, 2));
  FAILS(check_bits_f32_at(c, a, 2));
  FAILS(check_bits_f32_at(zero, minus, 1));
  FAILS(check_bits_f32_at(a, b, 0));
  FAILS(check_bits_f32_at(a, a, 2));
  FAILS(check_bits_f32_at(NULL, a, 2));
}

static void test_close(void **state)
{
  (void)state;
  double nan = nan_value(), inf = infinity_value();
  PASSES(check_close_at(1.0, 1.5, 0.5, "half"));
  PASSES(check_close_at(1.0, 1.0, 0.0, "exact"));
  FAILS(check_close_at(1.0, 1.6, 0.5, "half"));
  FAILS(check_close_at(1.0, -1.0, 0.5, "sign"));
  FAILS(check_close_at(nan, 1.0, 0.5, "nan"));
  FAILS(check_close_at(1.0, nan, 0.5, "nan"));
  FAILS(check_close_at(nan, nan, 0.5, "nan"));
  FAILS(check_close_at(inf, inf, 0.5, "inf"));
  FAILS(check_close_at(inf, 1.0, inf, "inf"));
  FAILS(check_close_at(1.0, 1.0, nan, "nan tolerance"));
  FAILS(check_close_at(1.0, 1.0, -1.0, "negative tolerance"));
  FAILS(check_close_at(1.0, 2.0, inf, "infinite tolerance"));
  FAILS(check_close_at(1.0, 1.0, 0.5, ""));
  FAILS(check_close_at(1.0, 1.0, 0.5, NULL));
}

static void test_grad(void **state)
{
  (void)state;
  double nan = nan_value();
  const double want[3] = {1.0, -2.0, 0.0}, good[3] = {1.0 + 1e-7, -2.0, 1e-12}, sign[3] = {1.0, 2.0, 0.0},
               zero[3] = {0, 0, 0}, other_zero[3] = {0, 0, 0}, bad[3] = {1.0, nan, 0.0}, tiny[3] = {1e-12, 0, 0},
               off[3] = {1.0, -2.0, 1e-3};
  PASSES(check_grad_at(good, want, 3, 1e-6, 1e-9));
  FAILS(check_grad_at(good, want, 3, 1e-9, 1e-9));
  FAILS(check_grad_at(sign, want, 3, 1e-6, 1e-9));
  FAILS(check_grad_at(off, want, 3, 1e-6, 1e-9));
  FAILS(check_grad_at(zero, want, 3, 1e-6, 1e-9));
  FAILS(check_grad_at(zero, other_zero, 3, 1e-6, 1e-9));
  FAILS(check_grad_at(tiny, tiny + 0, 3, 1e-6, 1e-9));
  FAILS(check_grad_at(zero, tiny, 3, 1e-6, 1e-9)); /* all below the floor */
  FAILS(check_grad_at(bad, want, 3, 1e-6, 1e-9));
  FAILS(check_grad_at(want, bad, 3, 1e-6, 1e-9));
  FAILS(check_grad_at(bad, bad, 3, 1e-6, 1e-9));
  FAILS(check_grad_at(want, want, 3, 1e-6, 1e-9));
  FAILS(check_grad_at(good, want, 0, 1e-6, 1e-9));
  FAILS(check_grad_at(good, want, 3, nan, 1e-9));
  FAILS(check_grad_at(good, want, 3, 1.0, 1e-9));
  FAILS(check_grad_at(NULL, want, 3, 1e-6, 1e-9));
}

static void test_ok_and_error(void **state)
{
  (void)state;
  struct error none = {0}, bad = {.code = ERROR_INPUT, .message = "found x; expected y"};
  PASSES(check_ok_at(0, &none));
  PASSES(check_ok_at(0, NULL));
  FAILS(check_ok_at(1, &none));
  FAILS(check_ok_at(0, &bad));
  PASSES(check_error_at(ERROR_INPUT, &bad, ERROR_INPUT, "expected y"));
  FAILS(check_error_at(0, &none, ERROR_INPUT, "expected"));
  FAILS(check_error_at(0, &none, 0, "expected"));
  FAILS(check_error_at(ERROR_INPUT, &bad, ERROR_RESOURCE, "expected"));
  FAILS(check_error_at(ERROR_LAW, &bad, ERROR_INPUT, "expected"));
  FAILS(check_error_at(ERROR_INPUT, &bad, ERROR_INPUT, "another"));
  FAILS(check_error_at(ERROR_INPUT, &bad, ERROR_INPUT, ""));
  FAILS(check_error_at(ERROR_INPUT, &bad, ERROR_INPUT, NULL));
  FAILS(check_error_at(ERROR_INPUT, NULL, ERROR_INPUT, "expected"));
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_int),         cmocka_unit_test(test_str),
                                     cmocka_unit_test(test_bits),        cmocka_unit_test(test_bits_f32),
                                     cmocka_unit_test(test_close),       cmocka_unit_test(test_grad),
                                     cmocka_unit_test(test_ok_and_error)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
