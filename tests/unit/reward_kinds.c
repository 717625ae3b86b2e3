/* The kinds: which responses are right, which are readable, and which problems are refused. */
#include "check.h"
#include "reward/verify_queue.h"

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

static struct problem make(const char *answer, const char *json)
{
  json_t *fields;
  CHECK_OK(json_parse(arena, json, strlen(json), "test", 0, 0, &fields, &err), &err);
  return (struct problem){.id = "p", .source = "f.jsonl", .line = 3, .answer = answer, .fields = fields};
}

static int judge(const char *kind, const char *answer, const char *json, const char *response, struct verdict *v)
{
  struct problem p = make(answer, json);
  struct verifier_config *c;
  TRY(verifier_open(arena, verifier_find(kind, &err), NULL, 0, 0, &c, &err));
  return verify_now(arena, c, &p, response, strlen(response), v, &err);
}

static void check(const char *kind, const char *answer, const char *json, const char *response, bool correct,
                  const char *extracted)
{
  struct verdict v;
  CHECK_OK(judge(kind, answer, json, response, &v), &err);
  if (v.correct != correct) fail_msg("%s \"%s\" against \"%s\": %s", kind, response, answer, v.reason);
  CHECK_INT(v.status, VERDICT_OK);
  CHECK(v.reward == (correct ? 1 : 0) && v.readable == (extracted != NULL) && v.reason && *v.reason && v.ms >= 0);
  if (extracted) CHECK_STR(v.extracted, extracted);
}

static void test_number(void **state)
{
  (void)state;
  check("number", "Natalia sold 48/2 = <<48/2=24>>24 clips in May.\n#### 72", "{}", "So 48 + 24 = 72 clips.", true,
        "72");
  check("number", "#### 1,080", "{}", "The answer is 1080.00 dollars.", true, "1080.00");
  check("number", "145.0", "{}", "145", true, "145");
  check("number", "0.5", "{}", "1/2", true, "1/2");
  check("number", "72", "{}", "It is 71.", false, "71");
  check("number", "72", "{}", "no idea", false, NULL);
  check("number", "72", "{}", "", false, NULL);
  check("number", "-3", "{}", "3", false, "3");
  struct verdict v;
  CHECK_ERROR(judge("number", NULL, "{}", "1", &v), &err, ERROR_INPUT, "no answer");
  CHECK_INT(err.line, 3);
  error_clear(&err);
  CHECK_ERROR(judge("number", "blue", "{}", "1", &v), &err, ERROR_INPUT, "expected a number");
}

static void test_string(void **state)
{
  (void)state;
  check("string", "Paris", "{}", "  Paris\n", true, "Paris");
  check("string", "Paris", "{}", "paris", false, "paris");
  check("string", "Paris", "{\"ignore_case\": true}", "PARIS", true, "PARIS");
  check("string",
        "Stra\xc3\x9f"
        "e",
        "{\"ignore_case\": true}", "STRASSE", true, "STRASSE");
  check("string", "caf\xc3\xa9", "{\"ignore_case\": true}", "Cafe\xcc\x81", true, "Cafe\xcc\x81");
  check("string", "a b", "{}", "a  b", false, "a  b");
  check("string", "a b", "{\"collapse_space\": true}", "a \n b", true, "a \n b");
  check("string", "b", "{\"last_line\": true}", "first a\nthen\n b \n", true, "b");
  check("string", "b", "{\"last_line\": true}", "b\na", false, "a");
  check("string", "b", "{}", " \n", false, NULL);
  check("string", "\xff", "{\"ignore_case\": true}", "\xff", true, "\xff");
  struct verdict v;
  CHECK_ERROR(judge("string", NULL, "{}", "1", &v), &err, ERROR_INPUT, "no answer");
  error_clear(&err);
  CHECK_ERROR(judge("string", "x", "{\"ignore_case\": 1}", "1", &v), &err, ERROR_INPUT, "ignore_case");
}

static void test_task(void **state)
{
  (void)state;
  const char *json = "{\"task\": \"addition\", \"meta\": {\"a\": 12, \"b\": 34}}";
  check("task", "46", json, "12+34=46", true, "46");
  check("task", "wrong on purpose", json, "46", true, "46");
  check("task", "46", json, "47", false, "47");
  struct verdict v;
  CHECK_ERROR(judge("task", "46", "{}", "46", &v), &err, ERROR_INPUT, "no task and meta");
  error_clear(&err);
  CHECK_ERROR(judge("task", "46", "{\"task\": \"addtion\", \"meta\": {}}", "46", &v), &err, ERROR_INPUT,
              "did you mean \"addition\"");
  CHECK_INT(err.line, 3);
}

static void test_registry(void **state)
{
  (void)state;
  CHECK(verifier_count() >= 3);
  for (size_t i = 0; i < verifier_count(); i++) {
    CHECK(verifier_find(verifier_at(i)->name, &err) == verifier_at(i));
    CHECK(!verifier_at(i)->waits || verifier_at(i)->outside);
    CHECK(*verifier_at(i)->help && *verifier_at(i)->fields && verifier_at(i)->judge);
  }
  CHECK(!verifier_find("nubmer", &err));
  CHECK_ERROR(err.code, &err, ERROR_INPUT, "did you mean \"number\"?");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
  const struct CMUnitTest tests[] = {TEST(test_number), TEST(test_string), TEST(test_task), TEST(test_registry)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
