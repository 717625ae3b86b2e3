/* Golden numbers of published methods, by an independent reference (ASSAY_FIXTURES/methods): every case of every file
 * whose function `assay calc` computes gives the outputs and gradients that the file holds. */
#include "parity/calc_compare.h"

/* fixtures/methods/README.md: 13 significant digits, 1e-8 of an array's largest entry with a floor of 1e-12 */
static const struct tolerance tolerance = {1e-8, 1e-12, "13 significant digits were written"};

/* Functions that must be computed: one that vanishes from the table would otherwise be passed over. */
static const char *const computed[] = {
    "ace",
    "beyond_8020",
    "brorl",
    "canon",
    "cot_pass_at_k",
    "delta",
    "dispo",
    "ead",
    "laser",
    "lp_reg",
    "passk_boundary",
    "pgbc_pgfc",
    "pipo",
    "poise",
    "ppl_position",
    "prerl_dsrl",
    "progrpo",
    "rapo",
    "resrl",
    "rl_vs_distillation",
    "rorecomp",
    "scrl",
    "thr",
};
enum { COMPUTED = sizeof computed / sizeof *computed };

static void test_methods(void **state)
{
  (void)state;
  for (int i = 0; i < COMPUTED; i++) CHECK(calc_find(computed[i]) != NULL);
  compare_folder("methods", &tolerance, NULL, COMPUTED);
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_methods)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
