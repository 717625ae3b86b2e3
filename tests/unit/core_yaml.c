#include <stdio.h>

#include "check.h"
#include "core/fault.h"
#include "core/yaml.h"

static struct arena *arena;

static int set_up(void **state)
{
  (void)state;
  struct error err = {0};
  arena = arena_create("test", 0, &err);
  return arena ? 0 : 1;
}

static int tear_down(void **state)
{
  (void)state;
  arena_destroy(arena);
  return 0;
}

static int parse(const char *text, struct yaml_node **root, struct error *err)
{
  return yaml_parse_text(arena, text, strlen(text), "r.yaml", root, err);
}

static void test_tree_with_lines(void **state)
{
  (void)state;
  struct error err = {0};
  struct yaml_node *root = NULL;
  CHECK_OK(parse("# a recipe\nmodel: tiny\ntrain:\n  lr: 1e-6   # small\n  steps: [1, 'two',\n    3]\nnote: |\n  two\n "
                 " lines\n",
                 &root, &err),
           &err);
  CHECK_INT(root->kind, YAML_MAP);
  CHECK_INT(root->count, 3);
  CHECK_STR(root->keys[1], "train");
  CHECK_INT(root->key_lines[1], 3);
  CHECK_STR(yaml_get(root, "model")->text, "tiny");
  CHECK_INT(yaml_get(root, "model")->line, 2);
  struct yaml_node *train = yaml_get(root, "train"), *steps = yaml_get(train, "steps");
  CHECK_STR(train->file, "r.yaml");
  CHECK_INT(steps->kind, YAML_LIST);
  CHECK_INT(steps->count, 3);
  CHECK(steps->items[1]->quoted && !steps->items[0]->quoted);
  CHECK_INT(steps->items[2]->line, 6);
  CHECK_STR(yaml_get(root, "note")->text, "two\nlines\n");
  CHECK(yaml_get(root, "absent") == NULL && yaml_get(steps, "x") == NULL && yaml_get(NULL, "x") == NULL);
  for (int i = 0; i < 3; i++) {
    static const char *const nothing[] = {"", "# only a comment\n", "---\n"};
    CHECK_OK(parse(nothing[i], &root, &err), &err);
    CHECK(root->kind == YAML_MAP && root->count == 0);
  }
}

static void test_refusals(void **state)
{
  (void)state;
  static const struct {
    const char *text, *part;
    int line;
  } rows[] = {{"a: 1\nb: &x 2\n", "found the anchor &x", 2},
              {"a: 1\n\nb: *x\n", "found the alias *x", 3},
              {"a: !!int 3\n", "found the tag tag:yaml.org,2002:int", 1},
              {"a: [1]\nb: !mine {}\n", "found the tag !mine", 2},
              {"a: 1\nb: 2\na: 3\n", "found the key \"a\" again (first on line 1)", 3},
              {"a: 1\n---\nb: 2\n", "found a second document", 2},
              {"[1]: 2\n", "found a list, map or alias as a key", 1},
              {"a: 1\nb: [1, 2\nc: 3\n", "expected YAML", 3},
              {"a:\n\t- 1\n", "expected YAML", 2},
              {"a: \"x\\0y\"\n", "found a NUL character", 1},
              {"a: \xff\n", "expected UTF-8 text", 0},
              {"a: b: c\n", "expected YAML", 1}};
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    struct error err = {0};
    struct yaml_node *root = NULL;
    CHECK_ERROR(parse(rows[i].text, &root, &err), &err, ERROR_INPUT, rows[i].part);
    CHECK_STR(err.file, "r.yaml");
    CHECK_INT(err.line, rows[i].line);
  }
}

static void test_limits(void **state)
{
  (void)state;
  static char text[3 << 20];
  struct error err = {0};
  struct yaml_node *root = NULL;
  for (int depth = 32; depth <= 1000; depth += 968) {
    memset(text, '[', (size_t)depth);
    memset(text + depth, ']', (size_t)depth);
    text[2 * depth] = '\0';
    error_clear(&err);
    int rc = parse(text, &root, &err);
    if (depth == 32) {
      CHECK_OK(rc, &err);
    } else {
      CHECK_ERROR(rc, &err, ERROR_INPUT, "more than 32 levels");
    }
  }
  for (int i = 0; i < 10001; i++) memcpy(text + 4 * i, "- x\n", 4);
  text[4 * 10001] = '\0';
  error_clear(&err);
  CHECK_ERROR(parse(text, &root, &err), &err, ERROR_INPUT, "more than 10000 values");
  memset(text, 'x', sizeof text - 1);
  error_clear(&err);
  CHECK_ERROR(parse(text, &root, &err), &err, ERROR_INPUT, "at most 1 MiB");
}

static struct yaml_node plain(const char *text)
{
  return (struct yaml_node){.kind = YAML_SCALAR, .text = text};
}

static void test_integers(void **state)
{
  (void)state;
  static const struct {
    const char *text;
    int64_t value;
  } good[] = {
      {"0", 0}, {"-7", -7}, {"+12", 12}, {"007", 7}, {"0x1F", 31}, {"0o17", 15}, {"-9223372036854775808", INT64_MIN}};
  static const char *const bad[] = {"",     "1.0", "1e3", "9223372036854775808", "0x", "0xg", "1_000", " 1", "1 ",
                                    "-0x1", "--1", "one"};
  int64_t value = 0;
  for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
    struct yaml_node n = plain(good[i].text);
    CHECK(yaml_as_int(&n, &value));
    CHECK_INT(value, good[i].value);
    n.quoted = true;
    CHECK(!yaml_as_int(&n, &value));
  }
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    struct yaml_node n = plain(bad[i]);
    CHECK(!yaml_as_int(&n, &value));
  }
}

static void test_reals(void **state)
{
  (void)state;
  static const struct {
    const char *text;
    double value;
  } good[] = {{"1e-6", 1e-6}, {"1", 1}, {"-.5", -0.5}, {"2.", 2}, {"+1.5E+3", 1500}};
  static const char *const bad[] = {"",     ".",     "e5",  "1e",    "1e+", "inf", "nan",
                                    ".nan", "0x1p3", "1,5", "1e999", "1 2", "-"};
  double value = 0;
  for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
    struct yaml_node n = plain(good[i].text);
    CHECK(yaml_as_real(&n, &value));
    CHECK_CLOSE(value, good[i].value, 0, "exact");
  }
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    struct yaml_node n = plain(bad[i]);
    CHECK(!yaml_as_real(&n, &value));
  }
  struct yaml_node n = plain("-.inf");
  CHECK(yaml_as_real(&n, &value) && value < -1e308);
  n = plain(".INF");
  CHECK(yaml_as_real(&n, &value) && value > 1e308);
}

static void test_booleans_and_null(void **state)
{
  (void)state;
  struct yaml_node n = plain("True");
  bool value = false;
  CHECK(yaml_as_bool(&n, &value) && value);
  n = plain("false");
  CHECK(yaml_as_bool(&n, &value) && !value);
  static const char *const bad[] = {"yes", "no", "on", "1", "tRUE", ""};
  for (int i = 0; i < 6; i++) {
    n = plain(bad[i]);
    CHECK(!yaml_as_bool(&n, &value));
  }
  static const char *const nulls[] = {"", "~", "null", "Null", "NULL"};
  for (int i = 0; i < 5; i++) {
    n = plain(nulls[i]);
    CHECK(yaml_is_null(&n));
    n.quoted = true;
    CHECK(!yaml_is_null(&n));
  }
  n = plain("nULL");
  CHECK(!yaml_is_null(&n));
}

static void test_overrides(void **state)
{
  (void)state;
  struct error err = {0};
  struct yaml_node *root = NULL;
  CHECK_OK(parse("model: tiny\ntrain:\n  lr: 1\nempty:\n", &root, &err), &err);
  static const char *const good[] = {
      "train.lr=2e-6", "train.steps=3",      "a.b.c=[1, 'x']", "model=path: with #, strange=text", "empty.x=", "q='1'",
      "a.b.c.1=y",     "m=[{grpo: {x: 1}}]", "m.0.grpo.x=2"};
  for (int i = 0; i < 9; i++) CHECK_OK(yaml_override(arena, root, good[i], &err), &err);
  CHECK_STR(yaml_get(yaml_get(root, "train"), "lr")->text, "2e-6");
  CHECK_INT(yaml_get(yaml_get(root, "train"), "lr")->line, 0);
  CHECK_STR(yaml_get(yaml_get(root, "train"), "lr")->file, "command line");
  CHECK_STR(yaml_get(yaml_get(root, "train"), "steps")->text, "3");
  struct yaml_node *list = yaml_get(yaml_get(yaml_get(root, "a"), "b"), "c");
  CHECK_INT(list->kind, YAML_LIST);
  CHECK(list->count == 2 && list->items[1]->line == 0);
  CHECK_STR(list->items[1]->text, "y");
  CHECK_STR(yaml_get(yaml_get(yaml_get(root, "m")->items[0], "grpo"), "x")->text, "2");
  CHECK_STR(yaml_get(root, "model")->text, "path: with #, strange=text");
  CHECK(yaml_is_null(yaml_get(yaml_get(root, "empty"), "x")));
  CHECK(yaml_get(root, "q")->quoted);
  CHECK_INT(root->count, 6);
  static const struct {
    const char *text, *part;
  } bad[] = {{"novalue", "expected key=value"},  {"=1", "expected key=value"}, {"a..b=1", "followed by no name"},
             {"a.=1", "followed by no name"},    {"q.x=1", "is not a map"},    {"train.steps.x=1", "is not a map"},
             {"z=[1", "expected YAML"},          {"z='a' b", "expected YAML"}, {"a.b.c.2=1", "no entry of a list of 2"},
             {"a.b.c.x=1", "no entry of a list"}};
  for (int i = 0; i < 10; i++) {
    error_clear(&err);
    CHECK_ERROR(yaml_override(arena, root, bad[i].text, &err), &err, ERROR_INPUT, bad[i].part);
    CHECK_STR(err.file, "command line");
  }
}

static void test_nearest(void **state)
{
  (void)state;
  static const char *const names[] = {"temperature", "top_k", "top_p", "min_p", "steps"};
  CHECK_STR(name_nearest("temprature", names, 5), "temperature");
  CHECK_STR(name_nearest("step", names, 5), "steps");
  CHECK_STR(name_nearest("topp", names, 5), "top_p");
  CHECK(name_nearest("learning_rate", names, 5) == NULL);
  CHECK(name_nearest("xyzzy", names, 5) == NULL);
  CHECK(name_nearest("", names, 0) == NULL);
  CHECK(name_nearest("a very long name that nobody would ever write in a recipe, surely not", names, 5) == NULL);
}

static void test_each_allocation_may_fail(void **state)
{
  (void)state;
#ifdef ASSAY_HOSTILE
  long failures = 0;
  for (long n = 1; n < 10000; n++) {
    struct error err = {0};
    struct arena *own = arena_create("own", 0, &err);
    struct yaml_node *root = NULL;
    const char *text = "a: 1\nb: [x, {y: 'z'}]\n";
    fault_set(FAULT_ALLOC, n);
    int rc = yaml_parse_text(own, text, strlen(text), "r.yaml", &root, &err);
    if (!rc) rc = yaml_override(own, root, "c.d=[1, 2]", &err);
    fault_set(FAULT_ALLOC, 0);
    arena_destroy(own);
    if (rc == 0) break;
    CHECK_ERROR(rc, &err, ERROR_RESOURCE, "no memory");
    failures++;
  }
  CHECK(failures > 20 && failures < 9999);
#endif
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_tree_with_lines),
                                     cmocka_unit_test(test_refusals),
                                     cmocka_unit_test(test_limits),
                                     cmocka_unit_test(test_integers),
                                     cmocka_unit_test(test_reals),
                                     cmocka_unit_test(test_booleans_and_null),
                                     cmocka_unit_test(test_overrides),
                                     cmocka_unit_test(test_nearest),
                                     cmocka_unit_test(test_each_allocation_may_fail)};
  return cmocka_run_group_tests(tests, set_up, tear_down);
}
