/* Tasks: options, the split, the streams, the checkers. */
#include "check.h"
#include "core/yaml.h"
#include "data/source.h"
#include "data/stream.h"

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

static struct source *open_text(const char *text, enum source_split split, uint64_t seed)
{
  struct source_options o;
  struct source *s = NULL;
  CHECK_OK(source_options_from_text(arena, text, split, &o, &err), &err);
  CHECK_OK(source_open(arena, &o, 0, seed, &s, &err), &err);
  return s;
}

static int try_text(const char *text)
{
  struct source_options o;
  struct source *s = NULL;
  error_clear(&err);
  int rc = source_options_from_text(arena, text, SPLIT_TRAIN, &o, &err);
  return rc ? rc : source_open(arena, &o, 0, 1, &s, &err);
}

static void operands(const struct problem *p, int64_t *a, int64_t *b)
{
  const json_t *meta = json_object_get(p->fields, "meta");
  CHECK_OK(json_need_int(meta, "a", 0, INT64_MAX, a, "meta", &err), &err);
  CHECK_OK(json_need_int(meta, "b", 0, INT64_MAX, b, "meta", &err), &err);
}

/* The multiplication table of the recipe: 121 ordered pairs, exactly 30 held out, every pair on one side, mirrors
 * together. */
static void test_table(void **state)
{
  (void)state;
  char seen[13][13] = {{0}};
  const char *text = "task:multiplication,min=2,max=12,held_out_count=30";
  struct source *sides[2] = {open_text(text, SPLIT_TRAIN, 1), open_text(text, SPLIT_HELD_OUT, 99)};
  CHECK_INT(source_count(sides[0]), 91);
  CHECK_INT(source_count(sides[1]), 30);
  for (int side = 0; side < 2; side++)
    for (uint64_t i = 0; i < source_count(sides[side]); i++) {
      struct problem p;
      int64_t a, b;
      char want[64];
      CHECK_OK(source_problem(sides[side], arena, i, &p, &err), &err);
      operands(&p, &a, &b);
      CHECK(a >= 2 && a <= 12 && b >= 2 && b <= 12 && !seen[a][b]);
      seen[a][b] = (char)(side + 1);
      snprintf(want, sizeof want, "What is %d * %d? Answer with a number.", (int)a, (int)b);
      CHECK_STR(json_string_value(json_object_get(json_array_get(p.messages, 0), "content")), want);
      snprintf(want, sizeof want, "%d", (int)(a * b));
      CHECK_STR(p.answer, want);
      CHECK_STR(p.verifier, "task");
    }
  for (int a = 2; a <= 12; a++)
    for (int b = 2; b <= 12; b++) CHECK(seen[a][b] && seen[a][b] == seen[b][a]);
}

static void test_fraction(void **state)
{
  (void)state;
  struct source *train = open_text("task:addition,digits=2", SPLIT_TRAIN, 1),
                *held = open_text("task:addition,digits=2", SPLIT_HELD_OUT, 1);
  CHECK_INT(source_count(train) + source_count(held), 8100);
  CHECK_CLOSE((double)source_count(held), 1620, 160,
              "4050 coins of 0.2, two pairs each: standard deviation 51; three of them");
}

/* Ranges too large to list: the same index gives the same problem, the other seed another one, and no pair of one side
 * appears on the other. */
static void test_endless(void **state)
{
  (void)state;
  struct source *train = open_text("task:addition,digits=9", SPLIT_TRAIN, 1),
                *again = open_text("task:addition,digits=9", SPLIT_TRAIN, 1);
  struct source *other = open_text("task:addition,digits=9", SPLIT_TRAIN, 2);
  CHECK_INT(source_count(train), 0);
  int differ = 0;
  for (uint64_t i = 0; i < 200; i++) {
    struct problem p, q, r;
    int64_t a, b;
    CHECK_OK(source_problem(train, arena, i, &p, &err), &err);
    CHECK_OK(source_problem(again, arena, i, &q, &err), &err);
    CHECK_OK(source_problem(other, arena, i, &r, &err), &err);
    operands(&p, &a, &b);
    CHECK(a >= 100000000 && a <= 999999999 && b >= 100000000 && b <= 999999999);
    CHECK_STR(p.answer, q.answer);
    CHECK_STR(p.id, q.id);
    differ += strcmp(p.answer, r.answer) != 0;
  }
  CHECK(differ >= 199);
  struct problem p;
  CHECK_OK(source_problem(train, arena, UINT64_MAX - 1, &p, &err), &err);
}

/* 60 x 60 pairs drawn as if they were endless would be listed; 1025 operands are not: both sides drawn, none shared. */
static void test_endless_sides(void **state)
{
  (void)state;
  const char *text = "task:multiplication,min=0,max=1024,held_out=0.5";
  static char seen[1025][1025];
  struct source *sides[2] = {open_text(text, SPLIT_TRAIN, 3), open_text(text, SPLIT_HELD_OUT, 3)};
  int found[2] = {0, 0};
  for (int side = 0; side < 2; side++)
    for (uint64_t i = 0; i < 5000; i++) {
      struct problem p;
      int64_t a, b;
      struct arena_mark mark = arena_mark(arena);
      CHECK_OK(source_problem(sides[side], arena, i, &p, &err), &err);
      operands(&p, &a, &b);
      CHECK(seen[a][b] == 0 || seen[a][b] == side + 1);
      seen[a][b] = seen[b][a] = (char)(side + 1);
      found[side]++;
      arena_release(arena, mark);
    }
  CHECK(found[0] == 5000 && found[1] == 5000);
}

static void test_plain(void **state)
{
  (void)state;
  struct source *s = open_text("task:addition,digits=2,format=plain", SPLIT_TRAIN, 1);
  struct problem p;
  int64_t a, b;
  char want[32];
  CHECK_OK(source_problem(s, arena, 7, &p, &err), &err);
  operands(&p, &a, &b);
  snprintf(want, sizeof want, "%d+%d=", (int)a, (int)b);
  CHECK_STR(p.prompt, want);
  CHECK(!p.messages);
}

static void test_bad(void **state)
{
  (void)state;
  CHECK_ERROR(try_text("task:additon"), &err, ERROR_INPUT, "did you mean \"addition\"");
  CHECK_ERROR(try_text("task:addition,digit=2"), &err, ERROR_INPUT, "did you mean \"digits\"");
  CHECK_ERROR(try_text("task:addition,digits=two"), &err, ERROR_INPUT, "expected a whole number");
  CHECK_ERROR(try_text("task:addition,digits=19"), &err, ERROR_INPUT, "expected 1 to 18");
  CHECK_ERROR(try_text("task:multiplication,digits=10"), &err, ERROR_INPUT, "expected 1 to 9");
  CHECK_ERROR(try_text("task:addition,min=5,max=3"), &err, ERROR_INPUT, "expected min <= max");
  CHECK_ERROR(try_text("task:addition,format=shell"), &err, ERROR_INPUT, "question plain");
  CHECK_ERROR(try_text("task:addition,template={a} and {c}"), &err, ERROR_INPUT, "no other braces");
  CHECK_ERROR(try_text("task:addition,template={a}"), &err, ERROR_INPUT, "both {a} and {b}");
  CHECK_ERROR(try_text("task:addition,held_out=1"), &err, ERROR_INPUT, "no train problems");
  CHECK_ERROR(try_text("task:addition,digits=9,held_out=1"), &err, ERROR_INPUT, "leaves some");
  CHECK_ERROR(try_text("task:addition,digits=9,held_out_count=5"), &err, ERROR_INPUT, "at most 1024");
  CHECK_ERROR(try_text("task:addition,digits"), &err, ERROR_INPUT, "key=value");
  CHECK_ERROR(try_text("task:addition,split=some"), &err, ERROR_INPUT, "train, held_out or all");
  CHECK_ERROR(try_text("/nonexistent/file.jsonl"), &err, ERROR_INPUT, "cannot be opened");
}

static void test_check(void **state)
{
  (void)state;
  static const struct {
    const char *response;
    bool readable, correct;
  } cases[] = {
      {"56", true, true},          {"The answer is 56.", true, true},
      {"7 * 8 = 56", true, true},  {"\\boxed{56.0}", true, true},
      {"$56", true, true},         {"55", true, false},
      {"56%", true, false},        {"", false, false},
      {"fifty-six", false, false}, {"56 or 57", false, false},
      {"56, no, 57", true, false},
  };
  const struct task *t = task_find("multiplication", &err);
  json_t *meta;
  CHECK_OK(json_parse(arena, "{\"a\": 7, \"b\": 8}", 16, "meta", 0, 0, &meta, &err), &err);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct task_verdict v;
    CHECK_OK(t->check(arena, meta, NULL, cases[i].response, strlen(cases[i].response), &v, &err), &err);
    if (v.readable != cases[i].readable || v.correct != cases[i].correct)
      fail_msg("\"%s\": %s", cases[i].response, v.reason);
    CHECK((v.reward == 1) == v.correct);
  }
  struct task_verdict v;
  CHECK_OK(json_parse(arena, "{\"a\": 7}", 8, "meta", 0, 0, &meta, &err), &err);
  CHECK_ERROR(t->check(arena, meta, NULL, "56", 2, &v, &err), &err, ERROR_INPUT, "b");
}

/* Every task of the table: the answer that it prints is right by its own checker, on both sides, and nonsense is not.
 */
static void test_all_tasks(void **state)
{
  (void)state;
  CHECK(task_count() >= 2);
  for (size_t k = 0; k < task_count(); k++)
    for (int side = 0; side < 2; side++) {
      const struct task *t = task_at(k);
      struct source *s =
          open_text(arena_printf(arena, "test", &err, "task:%s", t->name), side ? SPLIT_HELD_OUT : SPLIT_TRAIN, 5);
      CHECK(t->help && t->right);
      for (uint64_t i = 0; i < 50; i++) {
        struct problem p;
        struct task_verdict v;
        CHECK_OK(source_problem(s, arena, i, &p, &err), &err);
        const json_t *meta = json_object_get(p.fields, "meta");
        CHECK_OK(t->check(arena, meta, NULL, p.answer, strlen(p.answer), &v, &err), &err);
        CHECK(v.correct && v.readable && v.reward == 1);
        CHECK_OK(t->check(arena, meta, NULL, "no idea", 7, &v, &err), &err);
        CHECK(!v.correct && v.reward == 0);
      }
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
  const struct CMUnitTest tests[] = {
      TEST(test_table), TEST(test_fraction), TEST(test_endless), TEST(test_endless_sides),
      TEST(test_plain), TEST(test_bad),      TEST(test_check),   TEST(test_all_tasks),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
