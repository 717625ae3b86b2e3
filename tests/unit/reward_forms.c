/* Kinds that look at the form of a response: string, number, choice, regex, json, sql; and no kind takes long over a
   megabyte. */
#include "reward_case.h"

#include <stdlib.h>
#include <time.h>

static void test_string(void **state)
{
  (void)state;
  static const struct verdict_case rows[] = {
      {"score=contains", "{\"answer\": \"cat\"}", "The cat sat.", 1, "*"},
      {"score=contains", "{\"answer\": \"cat\"}", "concatenate", 0, "*"},
      {"score=contains", "{\"answer\": \"aab\"}", "aaaab aab", 1, "*"},
      {"score=contains;ignore_case=true", "{\"answer\": \"NEW york\"}", "In New York, yes", 1, "*"},
      {"ignore_articles=true;ignore_case=true", "{\"answer\": \"the  Beatles\"}", "Beatles", 1, "*"},
      {"ignore_punctuation=true", "{\"answer\": \"dont\"}", "don't!", 1, "*"},
      {"nfkc=true", "{\"answer\": \"x2 fi\"}", "x\xc2\xb2 \xef\xac\x81", 1, "*"},
      {"", "{\"answer\": \"x2\"}", "x\xc2\xb2", 0, "*"},
      {"", "{\"answers\": [\"a\", \"b\"]}", "b", 1, "*"},
      {"ignore_case=true", "{\"answer\": \"A\", \"ignore_case\": false}", "a", 0, "*"},
      {"score=f1;ignore_articles=true;ignore_case=true", "{\"answer\": \"A red car\"}", "the red old car", 0.8, "*"},
      {"score=f1", "{\"answer\": \"a a b\"}", "a b b", 2.0 / 3, "*"},
      {"score=f1", "{\"answer\": \"a b\"}", "b a", 1, "*"},
      {"score=f1", "{\"answer\": \"a b\"}", "c", 0, "*"},
      {"score=f1", "{\"answers\": [\"x y\", \"p q\"]}", "p", 2.0 / 3, "*"},
  };
  CASE_CHECK("string", rows);
  struct verdict v;
  CHECK_OK(case_judge("string", "score=f1", "{\"answer\": \"a b\"}", "b a", &v), &err);
  CHECK_INT(v.channel_count, 2);
  CHECK_STR(v.channels[0].name, "f1");
  CHECK(v.channels[0].value == 1 && v.channels[1].value == 0);
  case_refused("string", "", "{}", "no answer");
  case_refused("string", "", "{\"answers\": [1]}", "item 1");
  case_refused("string", "", "{\"answer\": \"a\", \"nfkc\": 1}", "no boolean");
  case_refused("string", "score=some", "{\"answer\": \"a\"}", "exact contains f1");
  case_refused("string", "ignore_cases=1", "{\"answer\": \"a\"}", "did you mean \"ignore_case\"?");
}

static void test_number(void **state)
{
  (void)state;
  static const struct verdict_case rows[] = {
      {"absolute=0.01", "{\"answer\": \"3.14\"}", "3.15", 1, "3.15"},
      {"absolute=0.01", "{\"answer\": \"3.14\"}", "3.1501", 0, "3.1501"},
      {"relative=0.001", "{\"answer\": \"3.14159\"}", "about 3.14", 1, "3.14"},
      {"relative=1e-6", "{\"answer\": \"3.14159\"}", "about 3.14", 0, "3.14"},
      {"relative=0.5", "{\"answer\": 0}", "0.0001", 0, "0.0001"},
      {"absolute=1", "{\"answer\": -3}", "-2", 1, "-2"},
      {"absolute=1", "{\"answer\": -3, \"absolute\": 0.5}", "-2", 0, "-2"},
      {"", "{\"answer\": \"15%\"}", "15", 1, "15"},
      {"percent=strict", "{\"answer\": \"15%\"}", "15", 0, "15"},
      {"percent=strict", "{\"answer\": \"15%\"}", "0.15", 1, "0.15"},
      {"percent=strict", "{\"answer\": \"15%\"}", "15.0 %", 1, "*"},
      {"absolute=0.1", "{\"answer\": \"1e300\"}", "1e300", 1, "*"},
  };
  CASE_CHECK("number", rows);
  case_refused("number", "absolute=-1", "{\"answer\": 1}", "expected 0 to");
}

#define OPTIONS "{\"answer\": \"B\", \"choices\": [\"Rome\", \"Paris\", \"Oslo\", \"Bonn\"]}"

static void test_choice(void **state)
{
  (void)state;
  static const char OPEN[] = "{\"answer\": \"B\"}";
  static const struct verdict_case rows[] = {
      {"", OPEN, "B", 1, "B"},
      {"", OPEN, "b", 1, "B"},
      {"", OPEN, "(B)", 1, "B"},
      {"", OPEN, "B.", 1, "B"},
      {"", OPEN, "**B**", 1, "B"},
      {"", OPEN, "I think \\boxed{B}.", 1, "B"},
      {"", OPEN, "so \\boxed{\\text{B}}", 1, "B"},
      {"", OPEN, "\\boxed{A} no, \\boxed{(B)}", 1, "B"},
      {"", OPEN, "The answer is B.", 1, "B"},
      {"", OPEN, "The answer is **(B)** because", 1, "B"},
      {"", OPEN, "the correct option is (b).", 1, "B"},
      {"", OPEN, "Answer: B) Paris", 1, "B"},
      {"", OPEN, "**Answer:** B", 1, "B"},
      {"", OPEN, "The answer is A. Wait. The answer is B", 1, "B"},
      {"", OPEN, "The answer is A", 0, "A"},
      {"", OPEN, "<think>The answer is A</think> B", 1, "B"},
      {"", OPEN, "<think>The answer is B", 0, NULL},
      {"", OPEN, "B) since Paris is in France", 1, "B"},
      {"", OPEN, "Thinking of rivers.\nB", 1, "B"},
      {"", OPEN, "Option B is correct.", 1, "B"},
      {"", OPEN, "A is wrong, so **(B)** is the right answer, as C is not.", 1, "B"},
      {"", OPEN, "Which of these is correct? None.", 0, NULL},
      {"", OPEN, "The answer should be option B.", 1, "B"},
      {"", OPEN, "I would go with B, not C", 1, "B"},
      {"", OPEN, "FINAL ANSWER: B", 1, "B"},
      {"", OPEN, "The answer is B or C", 0, NULL},
      {"", OPEN, "The answer is A, B", 0, NULL},
      {"", OPEN, "A) x\nB) y\nC) z", 0, NULL},
      {"", OPEN, "The answer is not B.", 0, NULL},
      {"", OPEN, "I would go for (B) here", 1, "B"},
      {"", OPEN, "(A) or (B)", 0, NULL},
      {"", OPEN, "A dog is a bird.", 0, NULL},
      {"", OPEN, "The answer is a dog", 0, NULL},
      {"", OPEN,
       "\xe7\xad\x94\xe6\xa1\x88\xe6\x98\xaf"
       "B",
       1, "B"},
      {"", OPEN, "", 0, NULL},
      {"letters=3", OPEN, "E", 0, NULL},
  };
  CASE_CHECK("choice", rows);
}

static void test_choice_by_text(void **state)
{
  (void)state;
  static const struct verdict_case rows[] = {
      {"", OPTIONS, "Paris", 1, "B"},
      {"", OPTIONS, "The answer is paris.", 1, "B"},
      {"", OPTIONS, "It must be\n  Paris", 1, "B"},
      {"", OPTIONS, "\\boxed{Paris}", 1, "B"},
      {"", OPTIONS, "The answer is Rome.", 0, "A"},
      {"", OPTIONS, "E", 0, NULL},
      {"", "{\"answer\": \"Paris\", \"choices\": {\"A\": \"Rome\", \"B\": \"Paris\"}}", "B", 1, "B"},
      {"", "{\"answer\": 1, \"choices\": [\"x\", \"y\"]}", "B", 1, "B"},
      {"first=1", "{\"answer\": 1, \"choices\": [\"x\", \"y\"]}", "A", 1, "A"},
      {"", "{\"answer\": \"C\", \"choices\": {\"label\": [\"A\",\"B\",\"C\"], \"text\": [\"x\",\"y\",\"z\"]}}", "z", 1,
       "C"},
      {"", "{\"answer\": \"7\", \"choices\": [5, 7]}", "The answer is 7", 1, "B"},
  };
  CASE_CHECK("choice", rows);
  case_refused("choice", "", "{}", "no answer");
  case_refused("choice", "", "{\"answer\": \"blue\"}", "expected a letter from A to J");
  case_refused("choice", "", "{\"answer\": \"A\", \"choices\": [\"x\"]}", "choices that are no options");
  case_refused("choice", "", "{\"answer\": \"A\", \"choices\": {\"one\": \"x\", \"two\": \"y\"}}", "no options");
}

static void test_regex(void **state)
{
  (void)state;
  static const char COUNT[] = "pattern=Answer: (\\d+);group=1";
  static const struct verdict_case rows[] = {
      {"", "{\"answer\": \"^a+b$\"}", "aaab", 1, "aaab"},
      {"", "{\"answer\": \"a+b\"}", "xaab", 1, "aab"},
      {"match=full", "{\"answer\": \"a+b\"}", "xaab", 0, NULL},
      {"match=full", "{\"answer\": \"a|b+\"}", " bb\n", 1, "bb"},
      {"match=full", "{\"answer\": \"a|b\"}", "bb", 0, NULL},
      {COUNT, "{\"answer\": 42}", "Answer: 41? No. Answer: 42", 1, "42"},
      {COUNT, "{\"answer\": 42}", "Answer: 42? No. Answer: 41", 0, "41"},
      {COUNT, "{\"answer\": 42}", "42", 0, NULL},
      {"pattern=(a)|b;group=1", "{\"answer\": \"a\"}", "b", 0, NULL},
      {"ignore_case=true", "{\"answer\": \"PARIS\"}", "paris", 1, "paris"},
      {"pattern=x", "{\"pattern\": \"y\"}", "y", 1, "y"},
      {"pattern=.", "{}", "\xff", 1, "\xef\xbf\xbd"},
  };
  CASE_CHECK("regex", rows);
  struct verdict v;
  CHECK_OK(case_judge("regex", "pattern=(a+)+$", "{}", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab", &v), &err);
  CHECK_INT(v.status, VERDICT_FAILED);
  CHECK(strstr(v.reason, "more steps") != NULL && v.reward == 0);
  case_refused("regex", "", "{}", "no pattern");
  case_refused("regex", "pattern=(", "{}", "wrong at character");
  case_refused("regex", "", "{\"answer\": \"(\"}", "wrong at character");
  CHECK_INT(err.line, 3);
  case_refused("regex", "match=full", "{\"answer\": \"a)|(b\"}", "wrong at character");
  case_refused("regex", "group=1", "{\"answer\": \"a\"}", "no pattern but the answer");
}

#define PERSON                                                                                              \
  "\"schema\": {\"type\": \"object\", \"properties\": {\"name\": {\"type\": \"string\", \"minLength\": 1}," \
  " \"age\": {\"type\": \"integer\", \"minimum\": 0}}, \"required\": [\"name\", \"age\"],"                  \
  " \"additionalProperties\": false}"

static void test_json(void **state)
{
  (void)state;
  static const char FORM[] = "{" PERSON "}", BOTH[] = "{\"answer\": {\"age\": 5}, " PERSON "}";
  static const struct verdict_case rows[] = {
      {"", FORM, "{\"name\": \"Ann\", \"age\": 5}", 1, "*"},
      {"", FORM, "{\"name\": \"Ann\", \"age\": 5.0}", 1, "*"},
      {"", FORM, "{\"name\": \"Ann\", \"age\": -5}", 0, "*"},
      {"", FORM, "{\"name\": \"Ann\"}", 0, "*"},
      {"", FORM, "{\"name\": \"\", \"age\": 5}", 0, "*"},
      {"", FORM, "{\"name\": \"A\", \"age\": 5, \"x\": 1}", 0, "*"},
      {"", FORM, "Here:\n```json\n{\"name\": \"A\", \"age\": 5}\n```\nDone. {", 1, "*"},
      {"", FORM, "```\n{}\n```\n```json\n{\"name\": \"A\", \"age\": 5}\n```\n```\n[]\n```", 1, "*"},
      {"", FORM, "It is {\"name\": \"A\", \"age\": 5}.", 1, "*"},
      {"", FORM, "<think>{</think>{\"name\": \"A\", \"age\": 5}", 1, "*"},
      {"", FORM, "no", 0, NULL},
      {"", FORM, "{\"name\": \"A\", \"name\": \"B\", \"age\": 1}", 0, NULL},
      {"", BOTH, "{\"name\": \"A\", \"age\": 5}", 1, "*"},
      {"", BOTH, "{\"name\": \"A\", \"age\": 6}", 0, "*"},
      {"", "{\"answer\": {\"a\": [1, {\"b\": null}]}}", "{\"a\": [1.0, {\"b\": null}], \"c\": 1}", 1, "*"},
      {"exact=true", "{\"answer\": {\"a\": 1}}", "{\"a\": 1, \"c\": 1}", 0, "*"},
      {"", "{\"answer\": \"[1, 2]\"}", "[1,2]", 1, "*"},
      {"", "{\"answer\": [1, 2]}", "[2, 1]", 0, "*"},
      {"schema={\"type\": [\"string\", \"null\"], \"pattern\": \"^a\"}", "{}", "\"abc\"", 1, "*"},
      {"schema={\"type\": [\"string\", \"null\"], \"pattern\": \"^a\"}", "{}", "\"bc\"", 0, "*"},
      {"schema={\"anyOf\": [{\"const\": 1}, {\"enum\": [2, 3]}]}", "{}", "3", 1, "*"},
      {"schema={\"oneOf\": [{\"minimum\": 1}, {\"maximum\": 5}]}", "{}", "3", 0, "*"},
      {"schema={\"allOf\": [{\"minimum\": 1}], \"not\": {\"exclusiveMinimum\": 5}}", "{}", "6", 0, "*"},
      {"schema={\"items\": {\"maxLength\": 2}, \"minItems\": 2, \"maxItems\": 3}", "{}",
       "[\"a\", \"\xc3\xa9\xc3\xa9\"]", 1, "*"},
      {"schema={\"items\": false, \"maxItems\": 3}", "{}", "[1]", 0, "*"},
  };
  CASE_CHECK("json", rows);
  struct verdict v;
  CHECK_OK(case_judge("json", "", "{\"answer\": {\"a\": 1, \"b\": 2}}", "{\"a\": 1}", &v), &err);
  CHECK(v.channels[1].value == 0.5 && v.channels[0].value == 1 && v.reward == 0);
  CHECK_STR(v.reason, "the field \"b\" is not in the response");
  CHECK_OK(case_judge("json", "", FORM, "{\"name\": \"Ann\", \"age\": -5}", &v), &err);
  CHECK_STR(v.reason, "at $.age: found -5; expected minimum 0");
  case_refused("json", "", "{}", "neither schema nor answer");
  case_refused("json", "schema={\"$ref\": \"#\"}", "{}", "schema keyword \"$ref\" at $");
  case_refused("json", "", "{\"schema\": {\"properties\": {\"a\": {\"uniqueItems\": true}}}}", "\"uniqueItems\" at $");
  CHECK_INT(err.line, 3);
  case_refused("json", "", "{\"schema\": {\"type\": \"strin\"}}", "a name or names of");
  case_refused("json", "", "{\"schema\": {\"pattern\": \"(\"}}", "wrong at character");
  case_refused("json", "", "{\"schema\": 5}", "expected an object");
}

#define SHOP                                                            \
  "\"schema\": \"CREATE TABLE item(id INTEGER, name TEXT, price REAL);" \
  " INSERT INTO item VALUES (1, 'pen', 2), (2, 'cup', 3.5), (3, 'hat', NULL);\""

static void test_sql(void **state)
{
  (void)state;
  static const char ALL[] = "{" SHOP ", \"query\": \"SELECT name, price FROM item\"}",
                    SUM[] = "{" SHOP ", \"query\": \"SELECT sum(price) / 3 FROM item\"}",
                    SORTED[] = "{" SHOP ", \"query\": \"SELECT id FROM item ORDER BY id\", \"ordered\": true}";
  static const struct verdict_case rows[] = {
      {"", ALL, "SELECT name, price FROM item ORDER BY id DESC", 1, "*"},
      {"", ALL, "```sql\nSELECT name AS n, price AS p FROM item;\n```", 1, "*"},
      {"", ALL, "You want\nselect name, price from item; -- all", 1, "*"},
      {"", ALL, "WITH t AS (SELECT * FROM item) SELECT name, price FROM t", 1, "*"},
      {"", ALL, "SELECT price, name FROM item", 0, "*"},
      {"", ALL, "SELECT name FROM item", 0, "*"},
      {"", ALL, "SELECT name, price FROM item WHERE id < 3", 0, "*"},
      {"", ALL, "SELECT name, price FROM item UNION ALL SELECT 'x', 1", 0, "*"},
      {"", ALL, "SELECT nam FROM item", 0, "*"},
      {"", ALL, "", 0, "*"},
      {"", ALL, "SELECT name, price FROM item; DROP TABLE item", 0, "*"},
      {"", ALL, "DELETE FROM item", 0, "*"},
      {"", ALL, "INSERT INTO item VALUES (1, 'a', 2) RETURNING name, price", 0, "*"},
      {"", ALL, "ATTACH '/etc/passwd' AS p", 0, "*"},
      {"", ALL, "PRAGMA query_only = 0", 0, "*"},
      {"", ALL, "SELECT load_extension('x')", 0, "*"},
      {"", ALL, "SELECT name, random() FROM item", 0, "*"},
      {"steps=500000", ALL, "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*), 1 FROM c",
       0, "*"},
      {"", SUM, "SELECT 1.1 / 0.6", 1, "*"},
      {"", SUM, "SELECT 1.8333", 0, "*"},
      {"", SORTED, "SELECT id FROM item ORDER BY id", 1, "*"},
      {"", SORTED, "SELECT id FROM item ORDER BY id DESC", 0, "*"},
      {"ordered=true", "{" SHOP ", \"query\": \"SELECT id FROM item ORDER BY id\", \"ordered\": false}",
       "SELECT id FROM item ORDER BY id DESC", 1, "*"},
      {"", "{" SHOP ", \"query\": \"SELECT date('now')\"}", "SELECT '2000-01-01'", 1, "*"},
  };
  CASE_CHECK("sql", rows);
  struct verdict v;
  CHECK_OK(case_judge("sql", "steps=100000", ALL,
                      "SELECT count(*), 1 FROM item a, item b, item c, item d, item e, item f, "
                      "item g, item h, item i, item j, item k, item l",
                      &v),
           &err);
  CHECK_STR(v.reason, "the query takes more steps than are allowed");
  CHECK_OK(case_judge("sql", "memory=4", ALL,
                      "WITH RECURSIVE c(x, y) AS (SELECT 1, zeroblob(60000) UNION SELECT x + 1, "
                      "zeroblob(60000) FROM c LIMIT 1000) SELECT * FROM c ORDER BY y, x DESC",
                      &v),
           &err);
  CHECK_STR(v.reason, "the query takes more memory than is allowed");
  CHECK_OK(case_judge("sql", "", ALL, "SELECT name, id FROM item", &v), &err);
  CHECK_STR(v.reason, "row 1 of the sorted rows is (\"cup\" | 2); the answer has (\"cup\" | 3.5)");
  case_refused("sql", "", "{\"query\": \"SELECT 1\"}", "no schema");
  case_refused("sql", "", "{" SHOP "}", "no query");
  case_refused("sql", "", "{\"schema\": \"CREATE TABL\", \"query\": \"SELECT 1\"}", "does not run");
  case_refused("sql", "", "{" SHOP ", \"query\": \"SELECT nope\"}", "no such column");
  case_refused("sql", "", "{" SHOP ", \"query\": \"DROP TABLE item\"}", "not authorized");
  case_refused("sql", "rows=2", ALL, "more rows");
}

/* Of this process: a busy machine changes nothing. */
static double processor_seconds(void)
{
  struct timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Responses of a megabyte, made to be slow: what costs the square of the length takes hours, the rest half a second. */
static void test_a_megabyte(void **state)
{
  (void)state;
  size_t size = check_cases(1 << 20, 1 << 16);
  static const char *const patterns[] = {
      "a", "\\boxed{", "answer is ",       "```json\n", "{",       "<think>", "1 ",  "choose", "(B) ", "\n",
      "`", "\xcc\x81", "\xcc\xa3\xcc\x81", "- ",        "SELECT ", "B\n",     "[1,", "\"a\":", "A, ",  "not "};
  static const struct {
    const char *kind, *settings, *line;
  } kinds[] = {{"string", "score=f1;nfkc=true;ignore_case=true;ignore_articles=true", "{\"answer\": \"a b c\"}"},
               {"string", "score=contains", "{\"answer\": \"aaaaaaaaaaaaaaaaaaaaaaaaab\"}"},
               {"number", "relative=0.1", "{\"answer\": 3}"},
               {"choice", "", OPTIONS},
               {"regex", "pattern=(\\w+)\\s*=\\s*(\\d+);group=1", "{\"answer\": \"x\"}"},
               {"json", "", "{\"answer\": {\"a\": 1}, " PERSON "}"},
               {"sql", "", "{" SHOP ", \"query\": \"SELECT 1\"}"},
               {"task", "", "{\"answer\": \"46\", \"task\": \"addition\", \"meta\": {\"a\": 12, \"b\": 34}}"}};
  char *text = memory_alloc(size, 1, "test", &err);
  CHECK(text != NULL);
  for (size_t p = 0; p < sizeof patterns / sizeof *patterns; p++) {
    size_t n = strlen(patterns[p]);
    for (size_t i = 0; i < size; i++) text[i] = patterns[p][i % n];
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
      struct verdict v;
      case_teardown(NULL);
      case_setup(NULL);
      double start = processor_seconds();
      CHECK_OK(case_judge_n(kinds[k].kind, kinds[k].settings, kinds[k].line, text, size, &v), &err);
      double took = processor_seconds() - start;
      if (getenv("ASSAY_TEST_TIMES") && took > 0.05) printf("%s %s %.0f ms\n", kinds[k].kind, patterns[p], 1000 * took);
      if (took > 8) fail_msg("%s took %.1f s over a megabyte of \"%s\"", kinds[k].kind, took, patterns[p]);
      CHECK(!v.extracted || strlen(v.extracted) <= VERDICT_TEXT);
      CHECK(strlen(v.reason) <= VERDICT_TEXT);
    }
  }
  memory_free(text);
}

int main(void)
{
  const struct CMUnitTest tests[] = {CASE(test_string), CASE(test_number), CASE(test_choice), CASE(test_choice_by_text),
                                     CASE(test_regex),  CASE(test_json),   CASE(test_sql),    CASE(test_a_megabyte)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
