#include "check.h"

static void test_first_failure_wins(void **state)
{
  (void)state;
  struct error err = {0};
  int rc = error_fail(&err, ERROR_INPUT, "recipe.yaml", 3, "lr", "found \"%s\"; expected a number", "fast");
  CHECK_ERROR(rc, &err, ERROR_INPUT, "found \"fast\"; expected a number");
  CHECK_INT(error_fail(&err, ERROR_LAW, "other", 9, "k", "later"), ERROR_INPUT);
  CHECK_STR(err.file, "recipe.yaml");
  CHECK_STR(err.key, "lr");
  CHECK_INT(err.line, 3);
  char text[256];
  error_format(&err, text, sizeof text);
  CHECK_STR(text, "recipe.yaml:3: found \"fast\"; expected a number");
  error_clear(&err);
  CHECK_INT(err.code, 0);
  CHECK_INT(error_fail(NULL, ERROR_RESOURCE, NULL, 0, NULL, "no struct"), ERROR_RESOURCE);
}

static void test_context_and_place(void **state)
{
  (void)state;
  struct error err = {0};
  CHECK_INT(error_context(&err, "doing nothing"), 0);
  CHECK_INT(error_fail(&err, ERROR_RESOURCE, NULL, 0, NULL, "no memory"), ERROR_RESOURCE);
  CHECK_INT(error_context(&err, "loading layer %d", 3), ERROR_RESOURCE);
  CHECK_STR(err.message, "while loading layer 3: no memory");
  CHECK_INT(error_place(&err, "model.bin", 0), ERROR_RESOURCE);
  CHECK_INT(error_place(&err, "second.bin", 7), ERROR_RESOURCE);
  char text[256], small[8];
  error_format(&err, text, sizeof text);
  CHECK_STR(text, "model.bin: while loading layer 3: no memory");
  error_format(&err, small, sizeof small);
  CHECK_STR(small, "model.b");
}

static void test_one_clean_line(void **state)
{
  (void)state;
  struct error err = {0};
  CHECK_INT(error_fail(&err, ERROR_INPUT, "a\nb", 0, "k\x1b", "bad \xff byte\nline \xc3\xa9 \x7f"), ERROR_INPUT);
  CHECK_STR(err.message, "bad ? byte?line \xc3\xa9 ?");
  CHECK_STR(err.file, "a?b");
  CHECK_STR(err.key, "k?");
}

static void test_long_text_is_cut_between_characters(void **state)
{
  (void)state;
  char name[3001];
  for (int i = 0; i < 3000; i += 2) memcpy(name + i, "\xc3\xa9", 2);
  name[3000] = '\0';
  struct error err = {0};
  CHECK_INT(error_fail(&err, ERROR_INPUT, name, 1, NULL, "x%s", name), ERROR_INPUT);
  CHECK_INT(strlen(err.message), sizeof err.message - 1);
  CHECK_INT((unsigned char)err.message[sizeof err.message - 2], 0xa9);
  CHECK(strlen(err.file) < sizeof err.file);
  CHECK(!strncmp(err.file, "...\xc3\xa9", 5));
  CHECK_STR(err.file + strlen(err.file) - 2, "\xc3\xa9");
}

static int helper(bool fail, struct error *err)
{
  if (fail) FAIL_AT(err, ERROR_LAW, "f", 2, "k", "a law");
  return 0;
}

static int caller(bool fail, int *after, struct error *err)
{
  TRY(helper(fail, err));
  *after = 1;
  return 0;
}

static void test_try(void **state)
{
  (void)state;
  struct error err = {0};
  int after = 0;
  CHECK_OK(caller(false, &after, &err), &err);
  CHECK_INT(after, 1);
  after = 0;
  CHECK_ERROR(caller(true, &after, &err), &err, ERROR_LAW, "a law");
  CHECK_INT(after, 0);
  CHECK_STR(error_code_name(ERROR_LAW), "law");
  CHECK_STR(error_code_name(ERROR_STOPPED), "stopped");
  CHECK_STR(error_code_name(99), "bug");
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_first_failure_wins),
                                     cmocka_unit_test(test_context_and_place), cmocka_unit_test(test_one_clean_line),
                                     cmocka_unit_test(test_long_text_is_cut_between_characters),
                                     cmocka_unit_test(test_try)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
