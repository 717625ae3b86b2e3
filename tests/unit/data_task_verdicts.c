/* What the checkers of the tasks over numbers make of a response: every way to write the right answer, and none of the
 * wrong ones. */
#include "check.h"
#include "core/json.h"
#include "data/task.h"

static struct arena *arena;
static struct error err;

static int setup(void **state)
{
  (void)state;
  error_clear(&err);
  arena = arena_create("test", 0, &err);
  return arena ? 0 : -1;
}

static int teardown(void **state)
{
  (void)state;
  arena_destroy(arena);
  return 0;
}

enum { UNREADABLE = -1 };

struct verdict_case {
  const char *response;
  double reward; /* 1: right; UNREADABLE: no answer, reward 0 */
};

static int judge(const char *task, const char *meta_text, const char *answer, const char *response,
                 struct task_verdict *v)
{
  json_t *meta;
  const struct task *t = task_find(task, &err);
  CHECK(t != NULL);
  CHECK_OK(json_parse(arena, meta_text, strlen(meta_text), "meta", 0, 0, &meta, &err), &err);
  return t->check(arena, meta, answer, response, strlen(response), v, &err);
}

static void check_rows(const char *task, const char *meta, const char *answer, const struct verdict_case *cases,
                       size_t count)
{
  CHECK(count > 0);
  for (size_t i = 0; i < count; i++) {
    struct task_verdict v;
    CHECK_OK(judge(task, meta, answer, cases[i].response, &v), &err);
    double want = cases[i].reward < 0 ? 0 : cases[i].reward;
    if (v.readable != (cases[i].reward >= 0) || v.correct != (want == 1) || check_abs(v.reward - want) > 1e-12)
      fail_msg("%s: \"%s\": reward %g, %s", task, cases[i].response, v.reward, v.reason);
    CHECK(v.reason && *v.reason && v.readable == (v.extracted != NULL));
  }
}
#define CASES(task, meta, answer, ...)                                      \
  do {                                                                      \
    static const struct verdict_case cases_[] = {__VA_ARGS__};              \
    check_rows(task, meta, answer, cases_, sizeof cases_ / sizeof *cases_); \
  } while (0)

static void test_numbers(void **state)
{
  (void)state;
  CASES("lcm", "{}", "2842", {"2842", 1}, {"2,842", 1}, {"2842.0", 1}, {"5684/2", 1}, {"**2842**", 1},
        {"$\\boxed{2842}$", 1}, {"<answer>2842</answer>", 1}, {"<answer>2842</answer> or 7?", 1},
        {"98 * 58 / 2 = 2842", 1}, {"The answer is 2842.", 1}, {"2.842e3", 1}, {"2841", 0}, {"-2842", 0}, {"28 42", 0},
        {"2842%", 0}, {"2842.0001", 0}, {"<answer>2841</answer> 2842", 0}, {"<answer>2842", UNREADABLE},
        {"not 2842", UNREADABLE}, {"2842 or 2843", UNREADABLE}, {"", UNREADABLE}, {"many", UNREADABLE},
        {"<think>2842", UNREADABLE});
  CASES("gcd", "{\"numbers\": [4, 6], \"answer\": \"2\"}", NULL, {"2", 1}, {"gcd(4, 6) = 2", 1}, {"4", 0}, {"1", 0});
  CASES("basic_arithmetic", "{}", "-1043", {"-1043", 1},
        {"\xe2\x88\x92"
         "1043",
         1},
        {"= -1,043", 1}, {"1043", 0});
  CASES("chain_sum", "{\"answer\": 15}", NULL, {"15", 1}, {"it is 15.", 1}, {"51", 0});
  CASES("simple_equations", "{}", "13", {"e = 13", 1}, {"$e = \\frac{26}{2}$", 1}, {"56 - 98*13 = -1218, so e = 13", 1},
        {"e = -13", 0}, {"e", UNREADABLE});
  CASES("number_sequence", "{}", "344", {"3, 14, 36, 80, 168, 344", 1}, {"344", 1}, {"343", 0}, {"168", 0});
}

static void test_decimals(void **state)
{
  (void)state;
  CASES("decimal_arithmetic", "{}", "6.32098837209", {"6.32098837209", 1}, {"6.320988372093", 1}, {"6.3209883721", 1},
        {"6.32098837", 1}, {"6.3209883", 0}, {"6.321", 0}, {"-6.32098837209", 0}, {"6.3209884", 0}, {"0", 0},
        {"632.098837209%", 0}, {"1e300", 0}, {"108721/17200", 1}, {"108722/17200", 0});
  CASES("decimal_arithmetic", "{\"precision\": 6}", "0.333333", {"1/3", 1}, {"0.3333", 1}, {"0.333", 1}, {"0.33", 0});
  CASES("decimal_arithmetic", "{}", "0", {"0", 1}, {"-0.0", 1}, {"0.0000000001", 0});
  struct task_verdict v;
  CHECK_ERROR(judge("decimal_arithmetic", "{}", "about 6", "6", &v), &err, ERROR_INPUT, "expected a number");
  error_clear(&err);
  CHECK_ERROR(judge("gcd", "{}", NULL, "6", &v), &err, ERROR_INPUT, "found no answer");
}

static void test_fractions(void **state)
{
  (void)state;
  const char *meta =
      "{\"numerator\": 24, \"denominator\": 36, \"simplified_numerator\": 2, \"simplified_denominator\": 3}";
  CASES("fraction_simplification", meta, "$\\frac{2}{3}$", {"2/3", 1}, {"$2/3$", 1}, {"2 / 3", 1}, {"\\frac{2}{3}", 1},
        {"$\\DFRAC{2}{3}", 1}, {"24/36 = 12/18 = 2/3", 1}, {"24/36 is 2/3", 1}, {"\\boxed{\\tfrac{2}{3}}", 1},
        {"2/3 2/3", 1},
        {"2\xe2\x81\x84"
         "3",
         1},
        {"12/18", 0.5}, {"4/6.", 0.5}, {"24/36", 0}, {"48/72", 0}, {"3/2", 0}, {"-2/3", 0}, {"0.6667", 0}, {"2", 0},
        {"2/0", 0}, {"2/3 1/2", UNREADABLE}, {"two thirds", UNREADABLE}, {"99999999999999999999999/3", 0});
}

static void test_primes(void **state)
{
  (void)state;
  CASES("prime_factorization", "{\"number\": 980}", "2 \xc3\x97 2 \xc3\x97 5 \xc3\x97 7 \xc3\x97 7",
        {"2 \xc3\x97 2 \xc3\x97 5 \xc3\x97 7 \xc3\x97 7", 1}, {"7*5*2*7*2", 1}, {"2^2 \xc3\x97 5 \xc3\x97 7^2", 1},
        {"2\xc2\xb2 \xc2\xb7 5 \xc2\xb7 7\xc2\xb2", 1}, {"2**2 * 5 * 7**2", 1}, {"$2^{2} \\times 5 \\cdot 7^{2}$", 1},
        {"980 = 2 x 2 x 5 x 7 x 7", 1}, {"2, 2, 5, 7, 7", 1}, {"(2^2)(5)", UNREADABLE}, {"(2^2) * 5 * (7^2).", 1},
        {"Answer: 2 x 2 x 5 x 7 x 7", 1}, {"980", 0}, {"1 \xc3\x97 980", 0}, {"1 * 2 * 2 * 5 * 7 * 7", 0},
        {"2 * 490", 0.1}, {"2 * 2 * 5 * 49", 0.3}, {"4 * 5 * 49", 0.1}, {"4 * 245", 0}, {"2 * 2 * 5 * 7", 0},
        {"2 * 2 * 5 * 7 * 7 * 2", 0}, {"2 2 5 7 7", UNREADABLE}, {"2^99", UNREADABLE}, {"", UNREADABLE},
        {"2^64 * 5", UNREADABLE}, {"99999999999999999 * 99999999999999999", 0}, {"0 * 980", 0});
  CASES("prime_factorization", "{}", "139", {"139", 1}, {"139 is prime: 139", 1}, {"1 * 139", 0}, {"1", 0});
}

static void test_countdown(void **state)
{
  (void)state;
  CASES("countdown", "{\"numbers\": [6, 61, 94, 4], \"target\": 309}", "94*4 - 61 - 6", {"94*4 - 61 - 6", 1},
        {"94*4 - (61 + 6)", 1}, {"-6 - 61 + 4*94", 1}, {"94 \xc3\x97 4 - 61 - 6 = 309", 1}, {"309 = 94*4-61-6", 1},
        {"$94 \\times 4 - 61 - 6$", 1}, {"My expression: 94*4 - 61 - 6", 1}, {"<answer>4*94-6-61</answer>", 1},
        {"94*4 - 61 + 6", 0.1}, {"94 + 4 + 61 + 6", 0.1}, {"94*4 - 61 - 6 = 308", UNREADABLE}, {"94*4 - 67", 0},
        {"94*4 - 61 - 6 + 0", 0}, {"94*4 - 61 - 6 + 4 - 4", 0}, {"309", 0}, {"309 = 309", 0}, {"9*4 - 61 - 6", 0},
        {"94*4 - 61 - 6)", UNREADABLE}, {"94*4 - 61 - 6 94*4 - 61 - 6", UNREADABLE}, {"944 - 61 - 6", 0},
        {"94*4 - 61 - 6 / 0", UNREADABLE}, {"", UNREADABLE});
  CASES("countdown", "{\"numbers\": [1, 2], \"target\": 3}", NULL, {"1 + 2", 1}, {"1 + 2 / 0", UNREADABLE});
  struct task_verdict v;
  CHECK_ERROR(judge("countdown", "{\"numbers\": [1, 2]}", "1 + 2", "3", &v), &err, ERROR_INPUT, "target");
  error_clear(&err);
  CHECK_ERROR(judge("countdown", "{\"numbers\": [1, 2.5], \"target\": 3}", NULL, "3", &v), &err, ERROR_INPUT, "whole");
}

static void test_puzzle24(void **state)
{
  (void)state;
  CASES("puzzle24", "{\"numbers\": [8, 3, 8, 3]}", NULL, {"8/(3 - 8/3)", 1},
        {"8 \xc3\xb7 (3 \xe2\x88\x92 8 \xc3\xb7 3)", 1}, {"\\frac{8}{3-\\frac{8}{3}}", 1}, {"8/(3-8/3) = 24", 1},
        {"8 + 8 + 3 + 3", 0.1}, {"8 * 3", 0}, {"24", 0});
  CASES("puzzle24", "{}", "10*(8 - 5) - 6", {"10*(8 - 5) - 6", 1}, {"(8 - 5)*10 - 6", 1}, {"9*3*8/9", 1}, {"4*6", 0},
        {"6 - 10*(5 - 8)", 0.1}, {"-6 - 10*(5 - 8)", 1});
  struct task_verdict v;
  CHECK_ERROR(judge("puzzle24", "{}", NULL, "24", &v), &err, ERROR_INPUT, "found no answer");
}

static void test_polynomials(void **state)
{
  (void)state;
  CASES("polynomial_equations", "{}", "-3.625, 0.0", {"-3.625, 0.0", 1}, {"0, -3.625", 1}, {"0.0,-3.625", 1},
        {"x = -3.625, x = 0", 1}, {"x_1 = 0 and x_2 = -29/8", 1}, {"$\\{-\\frac{29}{8}, 0\\}$", 1}, {"[-3.6250, 0]", 1},
        {"-3.6251, 0", 1}, {"-3.6252, 0", 0}, {"-3.625", 0}, {"0", 0}, {"3.625, 0", 0}, {"-3.625, 0, 1", 0},
        {"0, 0, -3.625", 1}, {"none", 0}, {"-3.625 or so", 0}, {"-3.625, 0i", UNREADABLE}, {"", UNREADABLE},
        {"all reals", UNREADABLE}, {"sqrt(2)", UNREADABLE}, {"-3.625, 0, none", UNREADABLE}, {"1e400, 0", UNREADABLE});
  CASES("polynomial_equations", "{}", "-0.7211, 0.7211",
        {"\xc2\xb1"
         "0.7211",
         1},
        {"x = \\pm 0.7211", UNREADABLE}, {"\\pm0.7211", 1}, {"x \xe2\x89\x88 0.7211, x \xe2\x89\x88 -0.7211", 1},
        {"0.7211, 0.7211", 0});
  CASES("polynomial_equations", "{}", "none", {"none", 1}, {"None.", 1}, {"There are no real solutions.", 1},
        {"no real roots", 1}, {"\xe2\x88\x85", 1}, {"{}", 1}, {"0", 0}, {"no idea", UNREADABLE}, {"", UNREADABLE});
}

static void test_bases(void **state)
{
  (void)state;
  CASES("base_conversion", "{\"target_base\": 13}", "3a0", {"3a0", 1}, {"3A0", 1}, {"03a0", 1}, {"3a0_{13}", 1},
        {"(3A0)_{13}", 1}, {"3a0 in base 13", 1}, {"3a0 (base-13)", 1}, {"2541 in base 6 is 3a0", 1},
        {"3a0\xe2\x82\x81\xe2\x82\x83", 1}, {"\\boxed{3a0_{13}}", 1}, {"2541_6 = 3a0_13", 1}, {"3a1", 0}, {"3a", 0},
        {"-3a0", UNREADABLE}, {"a0", 0}, {"3 a0", 0}, {"0x3a0", 0}, {"...", UNREADABLE}, {"", UNREADABLE});
  CASES("base_conversion", "{\"target_base\": 16}", "182", {"0x182", 1}, {"0X0182", 1}, {"182 in hexadecimal", 1},
        {"0x", 0});
  CASES("base_conversion", "{}", "1111010010", {"1111010010", 1}, {"1111010010 in binary", 1}, {"0b1111010010", 0});
  CASES("base_conversion", "{\"target_base\": 2}", "0", {"0", 1}, {"0b0", 1}, {"00", 1}, {"1", 0});
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
  const struct CMUnitTest tests[] = {
      TEST(test_numbers),   TEST(test_decimals), TEST(test_fractions),   TEST(test_primes),
      TEST(test_countdown), TEST(test_puzzle24), TEST(test_polynomials), TEST(test_bases),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
