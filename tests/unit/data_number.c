/* Which number a text means, and when two are the same. */
#include "check.h"
#include "data/natural.h"
#include "data/number.h"

/* The answer of a text as it stands there, or "none". */
static const char *extract(const char *s)
{
  static char out[256];
  struct number_found f;
  const char *why = NULL;
  if (!number_extract(s, strlen(s), &f, &why)) {
    assert_non_null(why);
    return "none";
  }
  snprintf(out, sizeof out, "%.*s", (int)f.length, s + f.start);
  return out;
}

static bool same(const char *a, const char *b)
{
  struct number x, y;
  CHECK_INT(number_read(a, strlen(a), 0, &x), strlen(a));
  CHECK_INT(number_read(b, strlen(b), 0, &y), strlen(b));
  CHECK(number_equal(&x, &y) == number_equal(&y, &x));
  return number_equal(&x, &y);
}

static void test_equal(void **state)
{
  (void)state;
  static const char *const pairs[][2] = {
      {"72", "72"},
      {"72", "072"},
      {"72", "72.0"},
      {"72", "+72"},
      {"1234567", "1,234,567"},
      {"1234567", "1{,}234{,}567"},
      {"0.15", ".15"},
      {"0.15", "3/20"},
      {"0.15", "15%"},
      {"15", "15%"},
      {"15", "15\\%"},
      {"0.5", "1/2"},
      {"14/3", "\\frac{14}{3}"},
      {"14/3", "\\dfrac{28}{6}"},
      {"5/9", "\\frac59"},
      {"4 2/3", "14/3"},
      {"4\\frac{2}{3}", "14/3"},
      {"-3", "−3"},
      {"0", "-0"},
      {"0.0000672", "6.72 \\times 10^{-5}"},
      {"1.5e3", "1500"},
      {"1E+2", "100"},
      {"6.72*10^-5", "0.0000672"},
      {"$72", "72"},
      {"-$5", "-5"},
      {"€1,000.50", "1000.5"},
      {"1\xc2\xa0"
       "000",
       "1000"},
      {"0.30000000000000000000000000000000000000000001", "0.300000000000000000000000000000000000000000010"},
  };
  for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
    if (!same(pairs[i][0], pairs[i][1])) fail_msg("%s is not %s", pairs[i][0], pairs[i][1]);
}

static void test_different(void **state)
{
  (void)state;
  static const char *const pairs[][2] = {
      {"72", "-72"},
      {"72", "71"},
      {"14/3", "4.67"},
      {"14/3", "4.666666666666666666"},
      {"14/3", "3/14"},
      {"0.15", "0.015"},
      {"15%", "1.5%"},
      {"1500", "15%"},
      {"1000", "1000000"},
      {"1e300", "1e299"},
      {"0.1", "0.10000000000000000000000000000000000001"},
      {"99999999999999999999999999999999999999998", "99999999999999999999999999999999999999999"},
      {"1/3", "0.3333333333333333333333"},
  };
  for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
    if (same(pairs[i][0], pairs[i][1])) fail_msg("%s counts as %s", pairs[i][0], pairs[i][1]);
}

static void test_no_number(void **state)
{
  (void)state;
  static const char *const texts[] = {"",          "a",     "-",  "$", ".", "1/0", "1.2.3", "1/2/2024", "\\frac{1}{0}",
                                      "\\frac{1}", "1e999", "{5}"};
  struct number x;
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
    if (number_read(texts[i], strlen(texts[i]), 0, &x)) fail_msg("\"%s\" was read as a number", texts[i]);
  char digits[NUMBER_MAX_DIGITS + 2];
  memset(digits, '9', sizeof digits);
  CHECK_INT(number_read(digits, NUMBER_MAX_DIGITS, 0, &x), NUMBER_MAX_DIGITS);
  CHECK_INT(number_read(digits, sizeof digits, 0, &x), 0);
}

static void test_extract(void **state)
{
  (void)state;
  static const char *const cases[][2] = {
      {"72", "72"},
      {"She sold 48 in April and 24 in May, 72 in all.", "72"},
      {"48/2 = 24. 48+24 = 72\n#### 72", "72"},
      {"#### 5\nNo wait.\n#### 1,080 apples (360 each)", "1,080"},
      {"The answer is $18 per day, because 3 * 6 = 18 and 2 + 2 = 4.", "$18"},
      {"The final answer is: **72**", "72"},
      {"Answer: 48 + 24 = 72", "72"},
      {"The answer is 5. Let me check: the answer is 6.", "6"},
      {"so \\boxed{18} dollars, from 20 dollars", "18"},
      {"\\boxed{x = -7}", "-7"},
      {"\\boxed{\\frac{14}{3}} or 9", "\\frac{14}{3}"},
      {"first \\boxed{3}, then \\boxed{4}", "4"},
      {"\\boxed{12", "none"},
      {"it is 12, \\boxed{}", "none"},
      {"<think>maybe 5</think>The answer is 6", "6"},
      {"<think>maybe 5", "none"},
      {"maybe 5</think>", "none"},
      {"18 or 20", "none"},
      {"The answer is 18 or 20.", "none"},
      {"The answer is not 18.", "none"},
      {"\\boxed{x \\neq 27}", "none"},
      {"--5", "5"},
      {"a knot 18", "18"},
      {"", "none"},
      {"no idea", "none"},
      {"10-3", "3"},
      {"10 - 3", "3"},
      {"10 -3", "3"},
      {"it is -3", "-3"},
      {"(-3)", "-3"},
      {"x2 and H2O and step_1", "none"},
      {"It weighs 18kg.", "18"},
      {"Version 1.2.3", "none"},
      {"on 1/2/2024", "none"},
      {"The answer is 50%.", "50%"},
      {"a price of 1,5 or so", "5"},
      {"1.", "1"},
      {"12+34=46", "46"},
      {"The answer is\n\n7", "7"},
      {"The answer is not clear.\n\n7", "7"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    if (strcmp(extract(cases[i][0]), cases[i][1]) != 0)
      fail_msg("\"%s\": got %s, want %s", cases[i][0], extract(cases[i][0]), cases[i][1]);
}

/* 10^500 * 10^500 and carries, against the schoolbook identities. */
static void test_natural(void **state)
{
  (void)state;
  struct natural a, b, c, d;
  natural_set(&a, 999999999999999999u);
  natural_set(&b, 1);
  natural_add(&b, &a);
  natural_set(&c, 1);
  natural_shift(&c, 18);
  CHECK(natural_equal(&b, &c));
  natural_shift(&c, 482);
  natural_multiply(&c, &c, &d);
  natural_set(&a, 1);
  natural_shift(&a, 1000);
  CHECK(natural_equal(&a, &d));
  natural_set(&b, 999999999);
  natural_multiply(&b, &b, &d);
  natural_set(&c, 999999998000000001u);
  CHECK(natural_equal(&c, &d));
  natural_set(&a, 0);
  natural_multiply(&a, &b, &d);
  CHECK_INT(d.size, 0);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_equal),   cmocka_unit_test(test_different), cmocka_unit_test(test_no_number),
      cmocka_unit_test(test_extract), cmocka_unit_test(test_natural),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
