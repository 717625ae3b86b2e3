/* Golden numbers of published methods, by an independent reference (ASSAY_FIXTURES/methods): every case of every file
 * whose function `assay calc` computes gives the outputs and gradients that the file holds. */
#include "parity/calc_compare.h"

/* fixtures/methods/README.md: 13 significant digits, 1e-8 of an array's largest entry with a floor of 1e-12 */
static const struct tolerance tolerance = {1e-8, 1e-12, "13 significant digits were written"};

static void test_methods(void **state)
{
  (void)state;
  compare_folder("methods", &tolerance, NULL, 1);
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_methods)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
