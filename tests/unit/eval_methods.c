/* The worked numbers of CoT-pass@k (arXiv 2506.14245), the pass@k audit (2504.13837) and accuracy against capability
 * (2505.14216), to the last digit that they are given with. */
#include <string.h>
#include "check.h"
#include "core/math.h"
#include "eval/boundary.h"
#include "eval/cot.h"
#include "eval/estimators.h"

static const char *const digits = "given with six digits";
static const double half = 5.1e-7;

static void test_cot(void **state)
{
  (void)state;
  /* eight answers, four right, one of them with a right chain */
  static const struct {
    int64_t k;
    double pass, cot;
  } rows[] = {{1, 0.5, 0.125}, {2, 0.785714, 0.25}, {4, 0.985714, 0.5}, {8, 1, 1}};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    CHECK_CLOSE(eval_pass_at_k(8, 4, rows[i].k), rows[i].pass, half, digits);
    CHECK_CLOSE(eval_pass_at_k(8, 1, rows[i].k), rows[i].cot, half, digits);
  }
  static const int verdicts[4][3] = {{1, 1, 0}, {1, 0, 0}, {1, 1, 1}, {0, 0, 0}};
  static const bool any[4] = {1, 1, 1, 0}, majority[4] = {1, 0, 1, 0}, all[4] = {0, 0, 1, 0};
  for (int i = 0; i < 4; i++) {
    bool out[COT_RULES];
    cot_combine(verdicts[i], 3, COT_SPLIT, out);
    CHECK(out[COT_ANY] == any[i] && out[COT_MAJORITY] == majority[i] && out[COT_ALL] == all[i]);
  }
  struct cot_errors e = cot_error_rates(0.2, 0.3, 3);
  CHECK_CLOSE(e.false_yes[COT_ALL], 0.008, half, digits);
  CHECK_CLOSE(e.false_no[COT_ANY], 0.027, half, digits);
  CHECK_CLOSE(e.false_yes[COT_MAJORITY], 0.104, half, digits);
}

static void test_cot_theorem(void **state)
{
  (void)state;
  static const struct {
    double p, alpha, beta, mean, variance, right, wrong;
  } rows[] = {{0.2, 0.9, 0.1, 0.26, 0.1924, 1.459074, -0.364769},
              {0.5, 0.9, 0.1, 0.5, 0.25, 0.8, -0.8},
              {0.2, 0.3, 0.3, 0.3, 0.21, 0, 0},
              {0.2, 0.2, 0.4, 0.36, 0.2304, -0.333333, 0.083333},
              {0.2, 1, 0, 0.2, 0.16, 2, -0.5}};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    struct cot_theorem t = cot_expect(rows[i].p, rows[i].alpha, rows[i].beta, 0, 0);
    CHECK_CLOSE(t.mean, rows[i].mean, half, digits);
    CHECK_CLOSE(t.variance, rows[i].variance, half, digits);
    CHECK_CLOSE(t.right, rows[i].right, half, digits);
    CHECK_CLOSE(t.wrong, rows[i].wrong, half, digits);
    CHECK_CLOSE(rows[i].p * t.right + (1 - rows[i].p) * t.wrong, 0, 1e-15, "advantages have mean zero");
    CHECK(t.alarm == (rows[i].alpha <= rows[i].beta));
  }
}

static void test_boundary(void **state)
{
  (void)state;
  static const struct {
    int64_t n, c, k;
    double pass;
  } rows[] = {{8, 2, 1, 0.25},          {8, 2, 4, 0.785714},  {8, 7, 2, 1},         {256, 1, 128, 0.5},
              {1024, 3, 256, 0.578538}, {16, 5, 8, 0.987179}, {64, 3, 8, 0.334677}, {10, 2, 3, 0.533333}};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
    CHECK_CLOSE(eval_pass_at_k(rows[i].n, rows[i].c, rows[i].k), rows[i].pass, half, digits);
  static const int64_t base[] = {3, 2, 1, 1}, trained[] = {14, 12, 0, 0};
  static const struct {
    int64_t k;
    double base, trained;
  } curve[] = {
      {1, 0.109375, 0.406250}, {2, 0.210417, 0.485417}, {4, 0.389286, 0.499863}, {8, 0.666667, 0.5}, {16, 1, 0.5}};
  for (size_t i = 0; i < sizeof curve / sizeof *curve; i++) {
    CHECK_CLOSE(boundary_mean_pass(base, 4, 16, curve[i].k), curve[i].base, half, digits);
    CHECK_CLOSE(boundary_mean_pass(trained, 4, 16, curve[i].k), curve[i].trained, half, digits);
  }
  CHECK_CLOSE(boundary_mean_pass(base, 4, 16, 1) - boundary_mean_pass(trained, 4, 16, 1), -0.296875, half, digits);
  struct boundary_coverage c = boundary_cover(base, trained, 4);
  CHECK(c.base == 4 && c.trained == 2 && c.both == 2 && c.neither == 0);
  CHECK_CLOSE(c.subset_ratio, 1, 0, "a count over itself");
  int64_t crossing = boundary_crossing(base, trained, 4, 16);
  CHECK(crossing > 4 && crossing <= 8);
  CHECK(boundary_base_ahead(base, trained, 4, 16, crossing) &&
        !boundary_base_ahead(base, trained, 4, 16, crossing - 1));
  const double logp[] = {math_log(0.5), math_log(0.25), math_log(0.8)};
  CHECK_CLOSE(boundary_perplexity(logp, NULL, 3), 2.154435, half, digits);
}

static void test_capability(void **state)
{
  (void)state;
  CHECK_CLOSE(capability_bound(256, 0.95), 0.011634, half, digits);
  static const double first[] = {0.9, 0.9, 0.003}, second[] = {0.5, 0.5, 0.5};
  CHECK_CLOSE(capability_of(first, 3, 1), 0.601, half, digits);
  CHECK_CLOSE(capability_of(first, 3, 256), 0.845, 1e-3, "given with three digits, cut off");
  CHECK_CLOSE(capability_of(second, 3, 256), 1, 5.1e-4, "given with three digits");
  static const double before[] = {0.9, 0.5, 0.02}, after[] = {0.99, 0.8, 0.002};
  static const struct {
    int64_t k;
    double before, after;
  } rows[] = {{1, 0.473333, 0.597333}, {16, 0.758729, 0.677175}, {64, 0.908515, 0.706753}, {256, 0.998109, 0.800337}};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    CHECK_CLOSE(capability_of(before, 3, rows[i].k), rows[i].before, half, digits);
    CHECK_CLOSE(capability_of(after, 3, rows[i].k), rows[i].after, half, digits);
  }
  CHECK_CLOSE(capability_informative(0.9, 10), 0.651322, half, digits);
  CHECK_CLOSE(capability_informative(0.5, 10), 0.998047, half, digits);
  CHECK_CLOSE(capability_informative(0.01, 10), 0.095618, half, digits);
  struct capability_span box;
  static const char two[] = "a \\boxed{1} b \\boxed{\\frac{1}{2}}", open[] = "\\boxed{1";
  CHECK(capability_last_box(two, strlen(two), &box));
  CHECK(box.length == strlen("\\boxed{\\frac{1}{2}}") && !strncmp(two + box.at, "\\boxed{\\frac{1}{2}}", box.length));
  CHECK(!capability_last_box(open, strlen(open), &box));
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_cot),
      cmocka_unit_test(test_cot_theorem),
      cmocka_unit_test(test_boundary),
      cmocka_unit_test(test_capability),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
