/* Tasks over numbers: where an answer stands, exact expressions, and for each task that its problems are deterministic,
 * never on both sides, right by independent computation, and judged as they should be. */
#include <stdlib.h>
#include "check.h"
#include "core/json.h"
#include "data/task_answer.h"
#include "data/task_draw.h"
#include "data/task_expression.h"

static struct arena *arena;
static struct error err;

static const char *const names[] = {
    "basic_arithmetic",
    "chain_sum",
    "decimal_arithmetic",
    "fraction_simplification",
    "gcd",
    "lcm",
    "countdown",
    "prime_factorization",
    "puzzle24",
    "number_sequence",
    "simple_equations",
    "base_conversion",
    "polynomial_equations",
};
enum { TASKS = sizeof names / sizeof *names };

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

static const struct task *find_task(const char *name)
{
  const struct task *t = task_find(name, &err);
  CHECK(t != NULL);
  return t;
}

static int try_open(const char *name, const char *key, const char *value, bool held_out, uint64_t seed,
                    struct task_config **out)
{
  struct setting_given given = {key, value, NULL, 0};
  error_clear(&err);
  return task_open(arena, find_task(name), &given, key ? 1 : 0, held_out, seed, out, &err);
}

static struct task_config *open_task(const char *name, bool held_out, uint64_t seed)
{
  struct task_config *c = NULL;
  CHECK_OK(try_open(name, NULL, NULL, held_out, seed, &c), &err);
  return c;
}

static struct task_problem make(const struct task_config *c, uint64_t i)
{
  struct task_problem p;
  CHECK_OK(c->task->make(arena, c, i, &p, &err), &err);
  return p;
}

static json_t *parse(const char *text)
{
  json_t *o;
  CHECK_OK(json_parse(arena, text, strlen(text), "meta", 0, 0, &o, &err), &err);
  return o;
}

/* ---- where the answer stands ------------------------------------------------------------------------------------- */

static void test_answer(void **state)
{
  (void)state;
  static const struct {
    enum answer_mode mode;
    const char *response, *want, *rule; /* want NULL: none */
  } cases[] = {
      {ANSWER_LINE, "42", "42", "last line"},
      {ANSWER_LINE, "so it is\n\n  42.  \n\n", "42", "last line"},
      {ANSWER_LINE, "first <answer>1</answer> then <ANSWER> **2** </answer> end", "2", "<answer>"},
      {ANSWER_LINE, "<answer>1</answer> <answer>2", NULL, NULL},
      {ANSWER_LINE, "<answer>\\boxed{5}</answer>", "5", "\\boxed{}"},
      {ANSWER_LINE, "\\boxed{\\frac{1}{2}} and more", "\\frac{1}{2}", "\\boxed{}"},
      {ANSWER_LINE, "\\boxed{1} \\boxed{2", NULL, NULL},
      {ANSWER_LINE, "\\boxed{\\text{cat}}", "cat", "\\boxed{}"},
      {ANSWER_LINE, "\\boxed{}", NULL, NULL},
      {ANSWER_LINE, "sum\n#### 72\nbye", "72", "####"},
      {ANSWER_LINE, "The answer is 5. I added both.\nGood luck", "5", "answer is"},
      {ANSWER_LINE, "**Answer:** cat dog", "cat dog", "answer is"},
      {ANSWER_LINE, "The Answer is:\n\n\"cat\"\nok", "cat", "answer is"},
      {ANSWER_LINE, "answer = 6.5", "6.5", "answer is"},
      {ANSWER_LINE, "an answer isolated\n7", "7", "last line"},
      {ANSWER_LINE, "\"cat\", \"dog\"", "\"cat\", \"dog\"", "last line"},
      {ANSWER_LINE, "<think>answer: 5</think>6", "6", "last line"},
      {ANSWER_LINE, "<think>answer: 5", NULL, NULL},
      {ANSWER_LINE, "6 </think> <think> 7", NULL, NULL},
      {ANSWER_LINE, "", NULL, NULL},
      {ANSWER_LINE, " \n\t ", NULL, NULL},
      {ANSWER_LINE, "```\n12\n```", "12", "last line"},
      {ANSWER_TEXT, "```text\n1 2\n3 4\n```", "1 2\n3 4", "whole text"},
      {ANSWER_TEXT, "The answer is:\n1 2\n3 4\n", "1 2\n3 4", "answer is"},
      {ANSWER_TEXT, "a\n\nb", "a\n\nb", "whole text"},
      {ANSWER_LINE, "$$x$$", "x", "last line"},
      {ANSWER_LINE, "***x***", "x", "last line"},
      {ANSWER_LINE, "\\(x\\)", "x", "last line"},
      {ANSWER_LINE, "2**3", "2**3", "last line"},
      {ANSWER_LINE, ".", ".", "last line"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    /* on the heap and to the byte, so that a sanitizer sees a read past the end */
    size_t n = strlen(cases[i].response);
    char *exact = malloc(n ? n : 1);
    CHECK(exact != NULL);
    memcpy(exact, cases[i].response, n);
    struct answer_span span;
    const char *why = NULL;
    bool found = answer_find(exact, n, cases[i].mode, &span, &why);
    if (found != (cases[i].want != NULL)) fail_msg("\"%s\": %s", cases[i].response, found ? "found one" : why);
    CHECK(found || why);
    if (found) {
      CHECK_STR(arena_strndup(arena, exact + span.start, span.length, "test", &err), cases[i].want);
      CHECK_STR(span.rule, cases[i].rule);
    }
    free(exact);
  }
}

/* ---- random numbers ---------------------------------------------------------------------------------------------- */

static void test_draw(void **state)
{
  (void)state;
  struct draw a = draw_start(1, 2, 3, 4), b = draw_start(1, 2, 3, 4);
  int counts[7] = {0}, heads = 0, moved = 0;
  for (int i = 0; i < 70000; i++) {
    int64_t x = draw_int(&a, -3, 3);
    CHECK(x >= -3 && x <= 3 && x == draw_int(&b, -3, 3));
    counts[x + 3]++;
  }
  for (int i = 0; i < 7; i++)
    CHECK_CLOSE(counts[i], 10000, 400, "a binomial of 70000 and 1/7: standard deviation 93; over four of them");
  for (int i = 0; i < 10000; i++) heads += draw_chance(&a, 0.25);
  CHECK_CLOSE(heads, 2500, 220, "a binomial of 10000 and 1/4: standard deviation 43; five of them");
  CHECK_INT(draw_int(&a, 5, 5), 5);
  for (int i = 0; i < 100; i++) CHECK(draw_int(&a, INT64_MIN, INT64_MAX) != draw_int(&a, INT64_MIN, INT64_MAX));
  int items[50], seen[50] = {0};
  for (int i = 0; i < 50; i++) items[i] = i;
  draw_shuffle(&a, items, 50, sizeof *items);
  for (int i = 0; i < 50; i++) seen[items[i]]++, moved += items[i] != i;
  for (int i = 0; i < 50; i++) CHECK_INT(seen[i], 1);
  CHECK(moved > 40);
  struct draw others[] = {draw_start(2, 2, 3, 4), draw_start(1, 3, 3, 4), draw_start(1, 2, 4, 4),
                          draw_start(1, 2, 3, 5), draw_start(1, 2, 3 + (1ull << 32), 4)};
  uint64_t first = draw_bits(&(struct draw){.seed = 1, .at = draw_start(1, 2, 3, 4).at});
  for (size_t i = 0; i < sizeof others / sizeof *others; i++) CHECK(draw_bits(&others[i]) != first);
}

/* ---- expressions ------------------------------------------------------------------------------------------------- */

static void test_expression(void **state)
{
  (void)state;
  static const struct {
    const char *text;
    int64_t top, bottom; /* bottom 0: unreadable */
    size_t numbers;
  } cases[] = {
      {"1 + 2 * 3", 7, 1, 3},
      {"(1 + 2) * 3", 9, 1, 3},
      {"8/(3-8/3)", 24, 1, 4},
      {"-2 - -3", 1, 1, 2},
      {"27*(-2 + (5 - 55 + 62)/2)", 108, 1, 6},
      {"10 / 4", 5, 2, 2},
      {"2 - 3 - 4", -5, 1, 3},
      {"24 / 4 / 3", 2, 1, 3},
      {"4.180+(7.365/3.440)", 36301, 5750 - 7, 0}, /* replaced below */
      {"2 \xc3\x97 3 \xe2\x88\x92 1", 5, 1, 3},
      {"2 x 3", 6, 1, 2},
      {"\\frac{1}{2} + \\left(1 \\div 4\\right)", 3, 4, 4},
      {"[1 + {2}] \\times 3", 9, 1, 3},
      {"0.5", 1, 2, 1},
      {"--5", 5, 1, 1},
      {"+-+5", -5, 1, 1},
      {"1 / 0", 0, 0, 0},
      {"1 / (2 - 2)", 0, 0, 0},
      {"", 0, 0, 0},
      {"()", 0, 0, 0},
      {"2 3", 0, 0, 0},
      {"2(3)", 0, 0, 0},
      {"2^3", 0, 0, 0},
      {"2**3", 0, 0, 0},
      {"2 +", 0, 0, 0},
      {"(2", 0, 0, 0},
      {"2)", 0, 0, 0},
      {"1.2.3", 0, 0, 0},
      {"5.", 0, 0, 0},
      {"\\frac{1}", 0, 0, 0},
      {"99999999999999999999999999999 * 99999999999999999999999999999", 0, 0, 0},
      {"1234567890123456789012345678901", 0, 0, 0},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct expression e;
    const char *why = NULL;
    bool good = expression_read(cases[i].text, strlen(cases[i].text), &e, &why);
    if (i == 8) { /* 4.18 + 7365/3440 = (4.18 * 688 + 1473) / 688 */
      CHECK(good && (int64_t)e.value.top * 68800 == (int64_t)e.value.bottom * (418 * 688 + 147300));
      continue;
    }
    if (good != (cases[i].bottom != 0)) fail_msg("\"%s\": %s", cases[i].text, good ? "was read" : why);
    CHECK(good || why);
    if (!good) continue;
    CHECK_INT((int64_t)e.value.top, cases[i].top);
    CHECK_INT((int64_t)e.value.bottom, cases[i].bottom);
    CHECK_INT((int64_t)e.count, (int64_t)cases[i].numbers);
  }
}

static void test_decimal(void **state)
{
  (void)state;
  static const struct {
    int64_t top, bottom;
    int digits;
    const char *want;
  } cases[] = {
      {1, 3, 4, "0.3333"}, {2, 3, 4, "0.6667"},          {-2, 3, 4, "-0.6667"},     {1, 2, 4, "0.5"},
      {0, 1, 4, "0"},      {12345, 1, 5, "12345"},       {99995, 10000, 4, "10"},   {1, 800, 12, "0.00125"},
      {100, 1, 3, "100"},  {1234567, 1000, 5, "1234.6"}, {5, 100000, 1, "0.00005"}, {25, 10000, 1, "0.003"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char text[64];
    struct rational x = rational_whole(cases[i].top), y = rational_whole(cases[i].bottom);
    CHECK(rational_apply('/', &x, &y, &x));
    CHECK(rational_decimal(&x, cases[i].digits, text, sizeof text));
    CHECK_STR(text, cases[i].want);
  }
}

/* ---- every task -------------------------------------------------------------------------------------------------- */

static void test_deterministic(void **state)
{
  (void)state;
  for (size_t k = 0; k < TASKS; k++)
    for (int side = 0; side < 2; side++) {
      struct task_config *one = open_task(names[k], side, 11), *two = open_task(names[k], side, 11),
                         *other = open_task(names[k], side, 12);
      int differ = 0;
      for (uint64_t j = 0; j < 1000; j++) {
        uint64_t i = j < 999 ? j : UINT64_MAX - 1;
        struct arena_mark mark = arena_mark(arena);
        struct task_problem p = make(one, i), q = make(two, i), r = make(other, i);
        struct task_verdict v;
        CHECK_STR(p.question, q.question);
        CHECK_STR(p.answer, q.answer);
        CHECK_STR(p.meta, q.meta);
        differ += strcmp(p.question, r.question) != 0;
        const json_t *meta = parse(p.meta);
        const char *known = i % 2 ? p.answer : NULL;
        CHECK_OK(one->task->check(arena, meta, known, p.answer, strlen(p.answer), &v, &err), &err);
        if (!v.correct || v.reward != 1 || !v.readable) fail_msg("%s: \"%s\": %s", names[k], p.question, v.reason);
        CHECK_OK(one->task->check(arena, meta, known, "no idea", 7, &v, &err), &err);
        CHECK(!v.correct && v.reward == 0);
        CHECK_OK(one->task->check(arena, meta, known, "", 0, &v, &err), &err);
        CHECK(!v.correct && v.reward == 0 && !v.readable);
        arena_release(arena, mark);
      }
      CHECK(differ > 900);
    }
}

static int compare_ints(const void *a, const void *b)
{
  int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return (x > y) - (x < y);
}

/* What makes two problems the same one: the numbers in any order, else the question. */
static uint64_t problem_key(const struct task_problem *p)
{
  uint64_t h = 14695981039346656037ull;
  const json_t *meta = parse(p->meta), *list = json_object_get(meta, "numbers");
  if (!list) {
    for (const char *s = p->question; *s; s++) h = (h ^ (unsigned char)*s) * 1099511628211ull;
    return h;
  }
  int64_t numbers[32];
  size_t n = json_array_size(list);
  for (size_t i = 0; i < n; i++) numbers[i] = json_integer_value(json_array_get(list, i));
  qsort(numbers, n, sizeof *numbers, compare_ints);
  for (size_t i = 0; i < n; i++) h = (h ^ (uint64_t)numbers[i]) * 1099511628211ull;
  return h;
}

static int compare_keys(const void *a, const void *b)
{
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return (x > y) - (x < y);
}

/* Three thousand train problems of two seeds and a thousand held-out ones of two others share none. */
static void test_sides(void **state)
{
  (void)state;
  static uint64_t train[3000];
  size_t count = check_cases(3000, 300);
  for (size_t k = 0; k < TASKS; k++) {
    struct task_config *trains[2] = {open_task(names[k], false, 1), open_task(names[k], false, 2)},
                       *helds[2] = {open_task(names[k], true, 1), open_task(names[k], true, 3)};
    for (uint64_t i = 0; i < count; i++) {
      struct arena_mark mark = arena_mark(arena);
      struct task_problem p = make(trains[i % 2], i / 2);
      train[i] = problem_key(&p);
      arena_release(arena, mark);
    }
    qsort(train, count, sizeof *train, compare_keys);
    for (uint64_t i = 0; i < count / 3; i++) {
      struct arena_mark mark = arena_mark(arena);
      struct task_problem p = make(helds[i % 2], i / 2);
      uint64_t key = problem_key(&p);
      if (bsearch(&key, train, count, sizeof *train, compare_keys))
        fail_msg("%s: on both sides: %s", names[k], p.question);
      arena_release(arena, mark);
    }
  }
}

/* ---- right by independent computation ---------------------------------------------------------------------------- */

/* Plain evaluation in long double, for expressions that the tasks themselves print. x is the value of any letter. */
struct evaluator {
  const char *at;
  long double x;
};

static long double sum(struct evaluator *e);

static long double factor(struct evaluator *e)
{
  while (*e->at == ' ') e->at++;
  if (*e->at == '-') return e->at++, -factor(e);
  if (*e->at == '(') {
    e->at++;
    long double y = sum(e);
    CHECK(*e->at == ')');
    e->at++;
    return y;
  }
  long double y = e->x;
  if (*e->at >= 'a' && *e->at <= 'z') {
    e->at++;
  } else {
    char *end;
    y = strtold(e->at, &end);
    CHECK(end > e->at);
    e->at = end;
  }
  if (*e->at != '^') return y;
  long double base = y;
  for (int power = e->at[1] - '0'; power > 1; power--) y *= base;
  e->at += 2;
  return y;
}

static long double sum(struct evaluator *e)
{
  long double total = 0, product = factor(e);
  for (;;) {
    while (*e->at == ' ') e->at++;
    char op = *e->at;
    if (op != '+' && op != '-' && op != '*' && op != '/') return total + product;
    e->at++;
    long double y = factor(e);
    if (op == '*') product *= y;
    if (op == '/') product /= y;
    if (op == '+' || op == '-') {
      total += product;
      product = op == '-' ? -y : y;
    }
  }
}

static double evaluate(const char *text, double x)
{
  struct evaluator e = {text, (long double)x};
  long double y = sum(&e);
  CHECK(!*e.at || *e.at == '=' || *e.at == ' ');
  return (double)y;
}

static const char *text_of(const json_t *meta, const char *key)
{
  const char *s = json_string_value(json_object_get(meta, key));
  CHECK(s != NULL);
  return s;
}

static int64_t whole(const json_t *meta, const char *key)
{
  CHECK(json_is_integer(json_object_get(meta, key)));
  return json_integer_value(json_object_get(meta, key));
}

static int64_t number_at(const json_t *meta, const char *key, size_t i)
{
  return json_integer_value(json_array_get(json_object_get(meta, key), i));
}

static void verify_expression(const struct task_problem *p, const json_t *meta)
{
  const char *e = text_of(meta, "expression");
  CHECK(strstr(p->question, e) != NULL);
  double want = strtod(p->answer, NULL);
  CHECK_CLOSE(evaluate(e, 0), want, 1e-11 * check_abs(want) + 1e-10, "long double rounds some ten times; 12 digits");
}

static void verify_common(const struct task_problem *p, const json_t *meta, bool multiple)
{
  int64_t want = 0;
  size_t n = json_array_size(json_object_get(meta, "numbers"));
  CHECK(n >= 2);
  for (int64_t x = 1; x <= (multiple ? 10000 : 1000); x++) {
    bool fits = true;
    for (size_t i = 0; i < n; i++) {
      int64_t y = number_at(meta, "numbers", i);
      fits &= multiple ? x % y == 0 : y % x == 0;
    }
    if (fits) want = x;
    if (fits && multiple) break;
  }
  CHECK_INT(strtoll(p->answer, NULL, 10), want);
}

static void verify_primes(const struct task_problem *p, const json_t *meta)
{
  int64_t product = 1;
  (void)p;
  for (size_t i = 0; i < json_array_size(json_object_get(meta, "factors")); i++) {
    int64_t f = number_at(meta, "factors", i);
    for (int64_t d = 2; d < f; d++) CHECK(f % d != 0);
    product *= f;
  }
  CHECK_INT(product, whole(meta, "number"));
}

static void verify_target(const struct task_problem *p, const json_t *meta)
{
  const json_t *target = json_object_get(meta, "target");
  CHECK_CLOSE(evaluate(p->answer, 0), target ? (double)json_integer_value(target) : 24, 1e-9,
              "fractions of small numbers");
}

static void verify_sequence(const struct task_problem *p, const json_t *meta)
{
  const char *rule = text_of(meta, "rule");
  size_t n = json_array_size(json_object_get(meta, "sequence"));
  for (size_t i = 0; i + 1 < n; i++) {
    int64_t x = number_at(meta, "sequence", i), before = i ? number_at(meta, "sequence", i - 1) : 0;
    for (const char *s = rule; s; s = strstr(s, "then ") ? strstr(s, "then ") + 5 : NULL) {
      if (!strncmp(s, "add previous", 12))
        x += before;
      else if (!strncmp(s, "add ", 4))
        x += strtoll(s + 4, NULL, 10);
      else if (!strncmp(s, "multiply by ", 12))
        x *= strtoll(s + 12, NULL, 10);
      else if (!strncmp(s, "double", 6))
        x *= 2;
      else if (!strncmp(s, "square", 6))
        x *= x;
      else if (!strncmp(s, "halve", 5))
        x = x >= 0 ? x / 2 : -((1 - x) / 2);
      else
        fail_msg("an unknown step: %s", s);
    }
    CHECK_INT(number_at(meta, "sequence", i + 1), x);
  }
  CHECK_INT(number_at(meta, "sequence", n - 1), strtoll(p->answer, NULL, 10));
}

static void verify_equation(const struct task_problem *p, const json_t *meta)
{
  const char *equation = text_of(meta, "equation");
  CHECK_CLOSE(evaluate(equation, strtod(p->answer, NULL)), strtod(strchr(equation, '=') + 1, NULL), 1e-9,
              "whole numbers");
}

/* Every listed root is within rounding of a change of sign (or an exact or double root); and the sign changes on a fine
 * grid are not more than the roots. */
static void verify_polynomial(const struct task_problem *p, const json_t *meta)
{
  const char *text = text_of(meta, "polynomial");
  size_t listed = 0, changes = 0;
  if (strcmp(p->answer, "none") != 0)
    for (const char *s = p->answer; s; s = strchr(s, ',') ? strchr(s, ',') + 1 : NULL, listed++) {
      double x = strtod(s, NULL), low = evaluate(text, x - 1e-4), high = evaluate(text, x + 1e-4);
      CHECK(low * high <= 0 || check_abs(evaluate(text, x)) < 1e-9 * (1 + check_abs(low)));
    }
  double before = evaluate(text, -102);
  for (double x = -102; x <= 102; x += 0.003) {
    double y = evaluate(text, x + 0.0007);
    changes += before * y < 0;
    before = y;
  }
  CHECK(changes <= listed);
}

static void verify_base(const struct task_problem *p, const json_t *meta)
{
  CHECK_INT(strtoll(p->answer, NULL, (int)whole(meta, "target_base")), whole(meta, "decimal_value"));
  char *source = strstr(p->question, "number ") + 7;
  CHECK_INT(strtoll(source, NULL, (int)whole(meta, "source_base")), whole(meta, "decimal_value"));
}

static void verify_fraction(const struct task_problem *p, const json_t *meta)
{
  int64_t top = whole(meta, "numerator"), bottom = whole(meta, "denominator"),
          low = whole(meta, "simplified_numerator"), under = whole(meta, "simplified_denominator");
  (void)p;
  CHECK_INT(top * under, bottom * low);
  CHECK(under < bottom);
  for (int64_t d = 2; d <= under; d++) CHECK(low % d != 0 || under % d != 0);
}

static void verify(const char *name, const struct task_problem *p, const json_t *meta)
{
  if (json_object_get(meta, "expression"))
    verify_expression(p, meta);
  else if (!strcmp(name, "gcd") || !strcmp(name, "lcm"))
    verify_common(p, meta, name[0] == 'l');
  else if (!strcmp(name, "prime_factorization"))
    verify_primes(p, meta);
  else if (!strcmp(name, "countdown") || !strcmp(name, "puzzle24"))
    verify_target(p, meta);
  else if (!strcmp(name, "number_sequence"))
    verify_sequence(p, meta);
  else if (!strcmp(name, "simple_equations"))
    verify_equation(p, meta);
  else if (!strcmp(name, "polynomial_equations"))
    verify_polynomial(p, meta);
  else if (!strcmp(name, "base_conversion"))
    verify_base(p, meta);
  else if (!strcmp(name, "fraction_simplification"))
    verify_fraction(p, meta);
  else
    fail_msg("nothing verifies %s", name);
}

static void test_true(void **state)
{
  (void)state;
  for (size_t k = 0; k < TASKS; k++) {
    struct task_config *c = open_task(names[k], k % 2, 77);
    uint64_t count = !strcmp(names[k], "polynomial_equations") ? 30 : 300;
    for (uint64_t i = 0; i < count; i++) {
      struct arena_mark mark = arena_mark(arena);
      struct task_problem p = make(c, i);
      verify(names[k], &p, parse(p.meta));
      arena_release(arena, mark);
    }
  }
}

/* ---- hostile responses ------------------------------------------------------------------------------------------- */

static void test_hostile(void **state)
{
  (void)state;
  static const char *const bits[] = {
      "(",          ")",   "9",        "1+", "\\boxed{", "\\frac{",  "<think>", "</think>", "<answer>",
      "=",          "*",   "**",       "$",  "- ",       "2*",       "2^",      "^",        "[{(",
      "answer is ", "1/",  ",",        "1,", "\\text{",  "\xc3\x97", "\xff",    "0x",       "base ",
      "_{",         "###", "####",     "\n", "x = 1\n",  ":",        "1 = ",    "'",        "`",
      "1e9",        ".",   "\xc2\xb1", "\\", "0.",       "none ",    "}",       "\xc2\xb2",
  };
  enum { SIZE = 100000 };
  static char response[SIZE];
  size_t size = check_cases(SIZE, SIZE / 10);
  for (size_t k = 0; k < TASKS; k++) {
    struct task_problem p = make(open_task(names[k], false, 5), 3);
    const json_t *meta = parse(p.meta);
    struct draw d = draw_start(1, 2, k, 0);
    for (size_t b = 0; b < sizeof bits / sizeof *bits + 3; b++) {
      struct arena_mark mark = arena_mark(arena);
      struct task_verdict v;
      bool repeat = b < sizeof bits / sizeof *bits;
      for (size_t i = 0; i < size; i++)
        response[i] = repeat ? bits[b][i % strlen(bits[b])] : (char)(draw_bits(&d) & (b % 2 ? 255 : 63));
      CHECK_OK(find_task(names[k])->check(arena, meta, NULL, response, size, &v, &err), &err);
      CHECK(v.reason && v.reward >= 0 && v.reward <= 1 && v.correct == (v.reward == 1));
      arena_release(arena, mark);
    }
  }
}

/* ---- options ----------------------------------------------------------------------------------------------------- */

static void test_bad_options(void **state)
{
  (void)state;
  static const struct {
    const char *name, *key, *value, *says;
  } cases[] = {
      {"gcd", "min_value", "2000", "min_value above max_value"},
      {"gcd", "max_value", "1", "too few problems"},
      {"gcd", "max_numbers", "1", "expected 2 to 16"},
      {"countdown", "operators", "+^", "some of +-*/"},
      {"countdown", "max_value", "1", "that make 100 to 999"},
      {"basic_arithmetic", "operators", "", "some of +-*/"},
      {"base_conversion", "max_base", "2", "two at least"},
      {"fraction_simplification", "style", "roman", "latex_frac"},
      {"decimal_arithmetic", "precision", "3", "expected 4 to 20"},
      {"polynomial_equations", "min_degree", "4", "expected 1 to 3"},
      {"puzzle24", "max_value", "1", "that make 24 to 24"},
      {"lcm", "held_out", "0", "held-out"},
      {"number_sequence", "min_terms", "9", "min_terms above max_terms"},
  };
  struct task_config *c;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    CHECK_ERROR(try_open(cases[i].name, cases[i].key, cases[i].value, true, 1, &c), &err, ERROR_INPUT, cases[i].says);
}

/* The far end of each difficulty: problems are made, and judged right. */
static void test_hard_options(void **state)
{
  (void)state;
  struct task_config *c;
  static const struct {
    const char *name, *key, *value;
  } hard[] = {
      {"basic_arithmetic", "max_terms", "24"},
      {"basic_arithmetic", "allow_parentheses", "false"},
      {"basic_arithmetic", "allow_negation", "false"},
      {"chain_sum", "max_digits", "15"},
      {"chain_sum", "max_terms", "32"},
      {"chain_sum", "allow_negation", "true"},
      {"decimal_arithmetic", "max_terms", "8"},
      {"decimal_arithmetic", "min_num_decimal_places", "0"},
      {"countdown", "max_numbers", "8"},
      {"countdown", "operators", "+-"},
      {"puzzle24", "max_value", "99"},
      {"gcd", "max_value", "1000000000000"},
      {"lcm", "max_numbers", "6"},
      {"lcm", "max_value", "1000"},
      {"prime_factorization", "max_value", "1000000000"},
      {"base_conversion", "max_base", "36"},
      {"number_sequence", "max_terms", "32"},
      {"number_sequence", "max_complexity", "7"},
      {"simple_equations", "max_terms", "12"},
      {"simple_equations", "max_value", "1000000"},
      {"polynomial_equations", "max_value", "1000"},
      {"fraction_simplification", "max_value", "1000000"},
  };
  for (size_t i = 0; i < sizeof hard / sizeof *hard; i++) {
    CHECK_OK(try_open(hard[i].name, hard[i].key, hard[i].value, false, 1, &c), &err);
    for (uint64_t j = 0; j < 50; j++) {
      struct arena_mark mark = arena_mark(arena);
      struct task_problem p = make(c, j);
      struct task_verdict v;
      CHECK_OK(c->task->check(arena, parse(p.meta), NULL, p.answer, strlen(p.answer), &v, &err), &err);
      if (!v.correct) fail_msg("%s %s=%s: \"%s\": %s", hard[i].name, hard[i].key, hard[i].value, p.question, v.reason);
      arena_release(arena, mark);
    }
  }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
  const struct CMUnitTest tests[] = {
      TEST(test_answer), TEST(test_draw), TEST(test_expression), TEST(test_decimal),     TEST(test_deterministic),
      TEST(test_sides),  TEST(test_true), TEST(test_hostile),    TEST(test_bad_options), TEST(test_hard_options),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
