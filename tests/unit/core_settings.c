/* The words for a number's bounds. */
#include "check.h"
#include "core/settings.h"

static void test_number_wanted(void **state)
{
  (void)state;
  const double inf = __builtin_inf();
  const struct {
    bool whole;
    double low, high;
    const char *words;
  } CASES[] = {
      {false, 0, 1, "a number from 0 to 1"},
      {false, 1e-6, 0.9999999, "a number from 1e-06 to 0.9999999"},
      {false, -1e9, 1e9, "a number from -1000000000 to 1000000000"},
      {true, 1, 9e18, "a whole number from 1 to 9000000000000000000"},
      {false, 0, inf, "a number of at least 0, or .inf"},
      {false, -inf, 0, "a number of at most 0, or -.inf"},
      {false, -inf, inf, "a number, or -.inf or .inf"},
      {true, 1, inf, "a whole number of at least 1"},
      {true, -inf, 5, "a whole number of at most 5"},
      {true, -inf, inf, "a whole number"},
  };
  char buf[96];
  for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++)
    CHECK_STR(number_wanted(CASES[i].whole, CASES[i].low, CASES[i].high, buf, sizeof buf), CASES[i].words);
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_number_wanted)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
