/* Odd inputs cost a bounded time: 50 ms of processor time for each of more than a hundred, whatever they hold; and none
 * of them is taken for an answer that it is not. */
#include <time.h>
#include "check.h"
#include "core/arena.h"
#include "reward/verify_queue.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || defined(ASSAY_HOSTILE)
enum { SLOWER = 20 };
#else
enum { SLOWER = 1 };
#endif

static struct arena *arena;
static struct error err;
static struct verifier_config *math;
static double worst;

static double seconds(void)
{
  struct timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void check(const char *answer, const char *response, bool want)
{
  struct verdict v;
  struct problem p = {.id = "p", .source = "f", .line = 1, .answer = answer};
  double best = 1e9;
  /* the least of three: another process may take the caches away */
  for (int i = 0; i < 3 && best > 0.02; i++) {
    double start = seconds();
    CHECK_OK(verify_now(arena, math, &p, response, strlen(response), &v, &err), &err);
    double took = seconds() - start;
    if (took < best) best = took;
  }
  if (v.correct != want) fail_msg("%.60s | %.60s: %s", answer, response, v.reason);
  if (best > 0.05 * SLOWER * (check_emulated() ? 50 : 1))
    fail_msg("%.60s | %.60s: %.1f ms", answer, response, 1e3 * best);
  if (best > worst) worst = best;
}

/* head, body count times, tail */
static char *build(const char *head, const char *body, size_t count, const char *tail)
{
  size_t a = strlen(head), b = strlen(body), c = strlen(tail);
  char *s = arena_push(arena, a + b * count + c + 1, 1, "test", &err);
  CHECK(s != NULL);
  memcpy(s, head, a);
  for (size_t i = 0; i < count; i++) memcpy(s + a + i * b, body, b);
  memcpy(s + a + b * count, tail, c + 1);
  return s;
}

static void test_towers(void **state)
{
  (void)state;
  static const struct {
    const char *answer, *response;
    bool equal;
  } cases[] = {
      {"5", "2^{2^{2^9}}", false},
      {"2^{2^{2^9}}", "2^{2^{512}}", true},
      {"2^{2^{2^9}}", "2^{2^{2^9}}+1", false},
      {"10^{10^{10}}", "10^{10^{10}}+1", false},
      {"9^{9^{9^9}}", "9^{9^{9^8}}", false},
      {"x^{x^{x^x}}", "x^{x^{x}}", false},
      {"1", "1000000!", false},
      {"1", "1000000!!", false},
      {"3", "((3!)!)!", false},
      {"1", "((((9!)!)!)!)!", false},
      {"1", "\\binom{1000000000}{500000000}", false},
      {"1", "e^{10^{100}}", false},
      {"1", "e^{e^{e^{e^{e}}}}", false},
      {"1", "\\sin(10^{100000})", false},
      {"1", "\\ln(\\ln(\\ln(10^{10000})))", false},
      {"1", "1e1000000000", false},
      {"1", "1e-1000000000", false},
      {"0", "1e-999999999 - 1e-999999998", false},
      {"0", "10^{-10^{10}}", false},
      {"1", "\\sqrt[1000000]{2}", false},
      {"0", "\\sin(\\pi^{\\pi^{\\pi^\\pi}})", false},
      {"e^{\\pi\\sqrt{163}}", "262537412640768744", false},
      {"\\pi", "\\pi+10^{-1000}", false},
      {"\\pi", "\\pi+10^{-100000}", false},
      {"e^{\\pi}", "e^{\\pi}+10^{-5000}", false},
      {"\\sin 1", "\\sin 1 + 10^{-3000}", false},
      {"\\sin 1", "\\sin 1 + e^{-e^{10}}", false},
      {"\\ln 2", "\\ln 2 + \\frac{1}{900!}", false},
      {"\\sqrt{2}", "\\sqrt{2 + 10^{-2000}}", false},
      {"(x+1)^{1000000}", "(1+x)^{1000001}", false},
      {"(x+y+z+w)^{60}", "(x+y+z+w)^{59}(x+y+z+w)", true},
      {"x", "(a+b+c+d+e+f+g+h)^{64}", false},
      {"x", "(a+b+c+d+f+g+h+k+l+m+n+o+p+q)^{2000}", false},
      {"1", "\\log_{1.0000001} 2", false},
      {"1", "2^{-100000}", false},
      {"1", "\\left(1+\\frac{1}{1000}\\right)^{100000}", false},
      {"\\tan(\\pi/2)", "1", false},
      {"1", "\\frac{1}{0}", false},
      {"1", "0^0", false},
      {"1", "\\frac{0}{0}", false},
      {"0", "\\ln 0", false},
      {"1", "\\gcd(2^{30000}, 3^{20000}) + 1", false},
      {"1", "\\lfloor 10^{40000} \\rfloor", false},
      {"1", "2^{2^{2^{2^{2^{2^{2^{2^{2^{2}}}}}}}}}", false},
      {"x!", "\\binom{x}{x/2}", false},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) check(cases[i].answer, cases[i].response, cases[i].equal);
}

static const struct {
  const char *head, *body;
  size_t count;
  const char *tail;
} texts[] = {
    {"", "(", 1000000, ""},
    {"", "{", 1000000, ""},
    {"", "[", 1000000, ""},
    {"", "|", 1000000, ""},
    {"", "|", 3000, "1"},
    {"", "\\", 1000000, ""},
    {"", "$", 1000000, ""},
    {"", "x", 1000000, ""},
    {"", "9 ", 500000, ""},
    {"", "\xe2\x88\x9a", 300000, ""},
    {"", "\xc2\xb2", 300000, ""},
    {"", "\xff", 1000000, ""},
    {"", "<think>", 100000, "</think>"},
    {"", "</think>", 100000, ""},
    {"", "\\boxed{", 100000, ""},
    {"", "\\boxed{1} or ", 60000, "\\boxed{2}"},
    {"", "answer is ", 100000, ""},
    {"", "answer: $1$, ", 50000, ""},
    {"", "answer", 150000, ""},
    {"", "#### ", 100000, ""},
    {"", "<answer>", 100000, ""},
    {"", "1 or ", 200000, "19"},
    {"", "19 = ", 200000, "19"},
    {"", "$1$ or ", 100000, "$18$"},
    {"19", " eggs", 100000, ""},
    {"", "seven ", 100000, ""},
    {"", "1 million ", 100000, ""},
    {"", "-", 100000, "x"},
    {"", "1+", 100000, "1"},
    {"", "1,", 100000, "1"},
    {"", "1+", 1500, "1"},
    {"", "1,", 1500, "1"},
    {"", "\\pm ", 1000, "1"},
    {"1", "\\pm 1", 300, ""},
    {"", "\\frac{1}{", 3000, "1"},
    {"", "\\frac12", 3000, ""},
    {"", "\\sqrt{", 3000, "2"},
    {"", "\\sqrt", 3000, "2"},
    {"", "\\sin ", 3000, "x"},
    {"", "\\sin(", 90, "x"},
    {"x", "^x", 3000, ""},
    {"2", "^2", 90, ""},
    {"2", "!", 3000, ""},
    {"2", "%", 3000, ""},
    {"2", "^\\circ", 3000, ""},
    {"x", "_x", 3000, ""},
    {"x", "'", 100000, ""},
    {"f", "(f", 95, ""},
    {"\\text{", "a ", 100000, "}"},
    {"", "\\text{", 100000, ""},
    {"", "\\begin{pmatrix}", 3000, ""},
    {"\\begin{pmatrix}", "1&", 1500, "1\\end{pmatrix}"},
    {"\\begin{pmatrix}", "1\\\\", 1500, "1\\end{pmatrix}"},
    {"(1,2)", "\\cup(3,4)", 500, ""},
    {"1", "<x", 15, ""},
    {"1", ":1", 1000, ""},
    {"0.", "1", 100000, ""},
    {"0.", "37", 20000, "..."},
    {"1", ",000", 30000, ""},
    {"1e", "9", 100000, ""},
    {"1", "e9", 100000, ""},
    {"", "\\alpha", 3000, ""},
    {"", "ab", 1900, ""},
    {"\\{", "\\{", 300, "\\}"},
};

static void test_long(void **state)
{
  (void)state;
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    struct arena_mark mark = arena_mark(arena);
    check("18", build(texts[i].head, texts[i].body, texts[i].count, texts[i].tail), false);
    arena_release(arena, mark);
  }
  CHECK(sizeof texts / sizeof *texts + 45 >= 100);
}

static void test_heavy(void **state)
{
  (void)state;
  char *digits = build("", "7", 100000, ""), *other = build("", "7", 99999, "8");
  check(digits, digits, true);
  check(digits, other, false);
  check("\\pi", build("3.", "1", 50000, ""), false);
  check("\\pi", build("\\frac{", "3", 10000, "}{7}"), false);
  check(build("\\sqrt{", "7", 11000, "}"), build("\\sqrt{", "7", 10999, "8}"), false);
  check("2", build("", "\\sqrt{2+", 60, "2}"), false);
  char nested[1200] = "2", next[1200];
  for (int i = 0; i < 60; i++) {
    snprintf(next, sizeof next, "\\sqrt{2+%.900s}", nested);
    memcpy(nested, next, sizeof nested);
  }
  check("2", nested, true);
  check("\\sqrt{3}", nested, false);
  char sum[2048] = "0", turned[2048] = "";
  for (int k = 2; k < 60; k++) snprintf(sum + strlen(sum), 32, "+\\sqrt{%d}", k);
  for (int k = 59; k > 1; k--) snprintf(turned + strlen(turned), 32, "%s%d^{1/2}", k < 59 ? "+" : "", k);
  check("1", sum, false);
  check(sum, turned, true);
  /* lists of values that only digits can tell apart */
  char list[2048] = "0", back[2048] = "";
  for (int k = 1; k < 60; k++) snprintf(list + strlen(list), 32, ",\\sin %d", k);
  for (int k = 59; k > 0; k--) snprintf(back + strlen(back), 32, "\\sin %d,", k);
  strncat(back, "1", 2);
  check(list, back, false);
}

static void test_worst(void **state)
{
  (void)state;
  print_message("worst: %.2f ms of processor time\n", 1e3 * worst);
  CHECK(worst > 0);
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_towers), cmocka_unit_test(test_long),
                                     cmocka_unit_test(test_heavy), cmocka_unit_test(test_worst)};
  arena = arena_create("test", 0, &err);
  if (!arena || verifier_open(arena, verifier_find("math", &err), NULL, 0, 0, &math, &err)) return 1;
  int rc = cmocka_run_group_tests(tests, NULL, NULL);
  arena_destroy(arena);
  return rc;
}
