/* What counts as equal (reward_math.tsv), where the answer is found, what the settings change, and the properties that
 * equality has: reflexive, symmetric, blind to spacing and spelling, false after a digit was changed. */
#include <pthread.h>
#include <stdlib.h>
#include "check.h"
#include "reward/verify_queue.h"

static struct arena *arena, *work;
static struct error err;

static struct verifier_config *open_kind(const char *key, const char *value)
{
  struct verifier_config *c;
  const struct setting_given given = {.key = key, .text = value};
  CHECK_OK(verifier_open(arena, verifier_find("math", &err), &given, key ? 1 : 0, 0, &c, &err), &err);
  return c;
}

static struct verdict judge_by(struct arena *a, struct verifier_config *c, const char *answer, const char *response)
{
  struct verdict v;
  struct problem p = {.id = "p", .source = "f.jsonl", .line = 3, .answer = answer};
  CHECK_OK(verify_now(a, c, &p, response, strlen(response), &v, &err), &err);
  CHECK(v.status == VERDICT_OK && v.reason && *v.reason && (v.extracted != NULL) == v.readable);
  return v;
}

static bool equal(struct verifier_config *c, const char *answer, const char *response)
{
  bool correct = judge_by(work, c, answer, response).correct;
  arena_reset(work);
  return correct;
}

/* One row of the table in `line`, cut at its tabs. False: a remark. */
static bool read_row(char *line, bool *want, char **answer, char **response)
{
  char *end = strchr(line, '\n');
  if (end) *end = 0;
  *answer = strchr(line, '\t');
  if (line[0] == '#' || !*answer) return false;
  *want = line[0] == '=';
  *(*answer)++ = 0;
  *response = strchr(*answer, '\t');
  CHECK(*response != NULL);
  *(*response)++ = 0;
  return true;
}

static FILE *open_table(void)
{
  FILE *f = fopen(ASSAY_SOURCE_DIR "/tests/unit/reward_math.tsv", "r");
  CHECK(f != NULL);
  return f;
}

static void test_table(void **state)
{
  (void)state;
  struct verifier_config *c = open_kind(NULL, NULL);
  char line[1024], *answer, *response;
  int count = 0, failed = 0;
  bool want;
  FILE *f = open_table();
  while (fgets(line, sizeof line, f)) {
    if (!read_row(line, &want, &answer, &response)) continue;
    struct verdict v = judge_by(work, c, answer, response);
    if (v.correct != want) print_message("%c %s | %s: %s\n", want ? '=' : '!', answer, response, v.reason);
    failed += v.correct != want;
    count++;
    arena_reset(work);
  }
  fclose(f);
  CHECK(count > 250);
  CHECK_INT(failed, 0);
}

/* The answer found, or NULL, and a part of the reason. */
static void check_found(const char *response, const char *extracted, const char *reason)
{
  struct verifier_config *c = open_kind(NULL, NULL);
  struct verdict v = judge_by(work, c, "18", response);
  if (extracted && v.extracted)
    CHECK_STR(v.extracted, extracted);
  else if (extracted || v.extracted)
    fail_msg("%s: found %s: %s", response, v.extracted ? v.extracted : "nothing", v.reason);
  if (!strstr(v.reason, reason)) fail_msg("%s: \"%s\" lacks \"%s\"", response, v.reason, reason);
  arena_reset(work);
}

static void test_find(void **state)
{
  (void)state;
  check_found("\\boxed{20}, no: \\boxed{18}.", "18", "18 (boxed) equals 18");
  check_found("\\boxed{\\boxed{18}}", "18", "equals");
  check_found("\\fbox{18} and more text, 20 words", "18", "equals");
  check_found("so it is \\boxed{18", NULL, "the last \\boxed is not closed");
  check_found("\\boxed{}", NULL, "empty");
  check_found("not \\boxed{18}", NULL, "what the answer is not");
  check_found("\\boxed{18} or \\boxed{20}", "18 or 20", "more than one answer is given");
  check_found("<think>\\boxed{18}</think> So: \\boxed{20}", "20", "20 (boxed) is not 18");
  check_found("<think>\\boxed{18}", NULL, "the reasoning never ended");
  check_found("a\n#### 18\n", "18", "####");
  check_found("x <answer> 18 </answer>", "18", "answer tag");
  check_found("x <answer> 18", NULL, "not closed");
  check_found("The answer is $9 \\cdot 2$, clearly.", "9 \\cdot 2", "answer is");
  check_found("The answer is not 18.", NULL, "not");
  check_found("The answer is 18 or 20.", "18 or 20", "more than one");
  check_found("**Final Answer:**\n\n18", "18", "answer is");
  check_found("Each has 9, so there are 18 eggs in all.", "18 eggs in all", "last line");
  check_found("Each had 9 and they sold 18 eggs in all.", "18", "last number");
  check_found("Hence $x = 18$.", "x = 18", "last formula");
  check_found("18 19", NULL, "side by side");
  check_found("", NULL, "no answer was found");
  check_found("no idea", NULL, "found no answer");
}

static void test_settings(void **state)
{
  (void)state;
  CHECK(!equal(open_kind("policy", "boxed"), "18", "18") && equal(open_kind("policy", "boxed"), "18", "\\boxed{18}"));
  CHECK(!equal(open_kind("policy", "marked"), "18", "18") && equal(open_kind("policy", "marked"), "18", "#### 18"));
  CHECK(equal(open_kind("policy", "whole"), "18", "18") && !equal(open_kind("policy", "whole"), "18", "It is 18 now"));
  CHECK(!equal(open_kind("ordered", "true"), "1,2", "2,1") && equal(open_kind("ordered", "true"), "1,2", "1,2"));
  CHECK(equal(open_kind("ordered", "false"), "(1,2)", "(2,1)") && !equal(open_kind(NULL, NULL), "(1,2)", "(2,1)"));
  CHECK(!equal(open_kind("units", "same"), "3 \\text{ hours}", "180 minutes"));
  CHECK(equal(open_kind("units", "ignore"), "3 \\text{ hours}", "3 minutes"));
  CHECK(!equal(open_kind("strict", "true"), "x=5", "5") && !equal(open_kind("strict", "true"), "5 \\text{ cm}", "5"));
  CHECK(!equal(open_kind("strict", "true"), "25\\%", "25") && equal(open_kind("strict", "true"), "25\\%", "0.25"));
  CHECK(equal(open_kind("tolerance", "0.001"), "\\pi", "3.1416") &&
        !equal(open_kind("tolerance", "0.001"), "\\pi", "3.2"));
}

static void test_refused(void **state)
{
  (void)state;
  static const char *const answers[] = {NULL, "", "\\boxed{", "\\frac{1}{2", "#### "};
  for (size_t i = 0; i < 5; i++) {
    struct verdict v;
    struct problem p = {.id = "p", .source = "f.jsonl", .line = 3, .answer = answers[i]};
    error_clear(&err);
    CHECK_ERROR(verify_now(work, open_kind(NULL, NULL), &p, "1", 1, &v, &err), &err, ERROR_INPUT, "found");
    CHECK_INT(err.line, 3);
  }
  error_clear(&err);
}

/* ---- properties -------------------------------------------------------------------------------------------------- */

/* splitmix64 */
static uint64_t draw(uint64_t *state)
{
  uint64_t z = *state += 0x9e3779b97f4a7c15u;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
  z = (z ^ z >> 27) * 0x94d049bb133111ebu;
  return z ^ z >> 31;
}

/* Blanks put in and taken out where they mean nothing: around operators and braces. */
static void respace(uint64_t *r, const char *s, char *to, size_t room)
{
  size_t n = 0;
  for (; *s && n + 3 < room; s++) {
    bool sign = strchr("+=^_{}", *s) != NULL && !(s[0] == '}' && s[1] == '{');
    if (sign && draw(r) % 2 && !(n && to[n - 1] == '\\')) to[n++] = ' ';
    to[n++] = *s;
    if (sign && *s != '{' && draw(r) % 2) to[n++] = ' ';
  }
  to[n] = 0;
}

static void test_properties(void **state)
{
  (void)state;
  struct verifier_config *c = open_kind("policy", "whole");
  uint64_t r;
  char line[1024], text[2048], *answer, *response;
  int failed = 0;
  bool want;
  r = 7;
  FILE *f = open_table();
  while (fgets(line, sizeof line, f)) {
    if (!read_row(line, &want, &answer, &response)) continue;
    bool both = equal(c, answer, response);
    /* A response may hold more than an answer: "No, it is not", "(B) 12", a box. */
    bool bare =
        !strstr(response, "boxed") && !strstr(response, "###") && !strstr(response, "No,") && !strstr(response, ") 12");
    struct verdict v;
    struct problem p = {.id = "p", .source = "f", .line = 1, .answer = response};
    bool readable = !verify_now(work, c, &p, answer, strlen(answer), &v, &err);
    error_clear(&err);
    if (bare && readable && v.correct != both) print_message("not symmetric: %s | %s\n", answer, response), failed++;
    if (!equal(c, answer, answer)) print_message("not reflexive: %s\n", answer), failed++;
    if (strstr(answer, "text")) continue;
    respace(&r, answer, text, sizeof text);
    if (!equal(c, answer, text)) print_message("not blind to blanks: %s | %s\n", answer, text), failed++;
  }
  fclose(f);
  CHECK_INT(failed, 0);
}

/* A number in five spellings equals itself, and nothing with another digit. */
static void test_digits(void **state)
{
  (void)state;
  struct verifier_config *c = open_kind(NULL, NULL);
  uint64_t r;
  r = 11;
  for (int round = 0; round < 2000; round++) {
    char plain[32], other[32], text[128];
    long top = (long)(draw(&r) % 1000000), bottom = 1 + (long)(draw(&r) % 998);
    snprintf(plain, sizeof plain, "\\frac{%ld}{%ld}", top, bottom);
    snprintf(text, sizeof text, "The answer is $\\dfrac{%ld}{%ld}$.", 3 * top, 3 * bottom);
    if (!equal(c, plain, text)) fail_msg("%s | %s", plain, text);
    snprintf(text, sizeof text, "\\boxed{%ld/%ld}", top, bottom);
    if (!equal(c, plain, text)) fail_msg("%s | %s", plain, text);
    snprintf(text, sizeof text, "%ld + %ld/%ld", top / bottom, top % bottom, bottom);
    if (!equal(c, plain, text)) fail_msg("%s | %s", plain, text);
    memcpy(other, plain, sizeof plain);
    size_t at = 6 + draw(&r) % (strcspn(plain, "}") - 6);
    other[at] = (char)('0' + (other[at] - '0' + 1 + (int)(draw(&r) % 9)) % 10);
    if (equal(c, plain, other)) fail_msg("%s equals %s", plain, other);
  }
}

/* Expansions of products of linear factors are equal, and with one coefficient changed they are not. */
static void test_polynomials(void **state)
{
  (void)state;
  struct verifier_config *c = open_kind(NULL, NULL);
  uint64_t r;
  r = 13;
  for (int round = 0; round < 500; round++) {
    long a = (long)(draw(&r) % 19) - 9, b = (long)(draw(&r) % 19) - 9, k = 1 + (long)(draw(&r) % 5);
    char factored[128], expanded[128], wrong[128];
    snprintf(factored, sizeof factored, "%ld(x%+ld)(x%+ld)", k, a, b);
    snprintf(expanded, sizeof expanded, "%ldx^2%+ldx%+ld", k, k * (a + b), k * a * b);
    snprintf(wrong, sizeof wrong, "%ldx^2%+ldx%+ld", k, k * (a + b) + 1, k * a * b);
    if (!equal(c, factored, expanded)) fail_msg("%s | %s", factored, expanded);
    if (equal(c, factored, wrong)) fail_msg("%s equals %s", factored, wrong);
    /* under a root and a sine, where only points decide */
    char left[300], right[300];
    snprintf(left, sizeof left, "\\sqrt{%s+1000}+\\sin(%s)", factored, factored);
    snprintf(right, sizeof right, "\\sin(%s)+\\sqrt{1000+%s}", expanded, expanded);
    if (!equal(c, left, right)) fail_msg("%s | %s", left, right);
    snprintf(right, sizeof right, "\\sin(%s)+\\sqrt{1000+%s}", expanded, wrong);
    if (equal(c, left, right)) fail_msg("%s equals %s", left, right);
  }
}

/* ---- threads ----------------------------------------------------------------------------------------------------- */

static void *judge_table(void *arg)
{
  struct error mine = {0};
  struct arena *a = arena_create("thread", 0, &mine);
  char line[1024], *answer, *response;
  long wrong = 0;
  bool want;
  FILE *f = open_table();
  while (a && fgets(line, sizeof line, f)) {
    if (!read_row(line, &want, &answer, &response)) continue;
    struct verdict v;
    struct problem p = {.id = "p", .source = "f", .line = 1, .answer = answer};
    if (verify_now(a, arg, &p, response, strlen(response), &v, &mine) || v.correct != want) wrong++;
    arena_reset(a);
  }
  fclose(f);
  arena_destroy(a);
  return (void *)(intptr_t)wrong;
}

static void test_threads(void **state)
{
  (void)state;
  pthread_t thread[6];
  struct verifier_config *c = open_kind(NULL, NULL);
  for (int i = 0; i < 6; i++) CHECK_INT(pthread_create(&thread[i], NULL, judge_table, c), 0);
  for (int i = 0; i < 6; i++) {
    void *wrong = NULL;
    CHECK_INT(pthread_join(thread[i], &wrong), 0);
    CHECK_INT((intptr_t)wrong, 0);
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_table),       cmocka_unit_test(test_find),
                                     cmocka_unit_test(test_settings),    cmocka_unit_test(test_refused),
                                     cmocka_unit_test(test_properties),  cmocka_unit_test(test_digits),
                                     cmocka_unit_test(test_polynomials), cmocka_unit_test(test_threads)};
  arena = arena_create("test", 0, &err);
  work = arena_create("work", 0, &err);
  int rc = arena && work ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
  arena_destroy(work);
  arena_destroy(arena);
  return rc;
}
