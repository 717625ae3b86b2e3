/* Words that tell that a response turns to another idea or looks back: whole words alone, ASCII letters of either case.
 */
#include "check.h"

#include "method/part_thoughts.h"

static int64_t count(const char *text, const char *words)
{
  return thoughts_count(text, strlen(text), words);
}

static void test_whole_words(void **state)
{
  (void)state;
  CHECK_INT(count("Wait, wait. WAIT!", "wait|check"), 3);
  CHECK_INT(count("waiting awaits a waiter", "wait"), 0);
  CHECK_INT(count("wait2 3wait wait_a wait-a", "wait"), 4); /* digits and signs are no letters */
  CHECK_INT(count("re-check the check", "check"), 2);
  CHECK_INT(count("recheck", "check|recheck"), 1);
  CHECK_INT(count("wait", "wait"), 1);                     /* at both ends of the text */
  CHECK_INT(count("w\xc3\xa4it \xc3\xa4wait", "wait"), 1); /* a byte beyond ASCII stands beside a word */
}

static void test_lists(void **state)
{
  (void)state;
  CHECK_INT(count("but however another", "alternatively|but|however|another"), 3);
  CHECK_INT(count("wait", ""), 0);
  CHECK_INT(count("wait", "||wait||"), 1); /* empty words count nothing */
  CHECK_INT(count("", "wait"), 0);
  CHECK_INT(count("wait", "wait|wait"), 2); /* a word that stands twice counts twice: the list says so */
  CHECK_INT(count("let me see. Let me check", "let me"), 2);
  CHECK_INT(count("wai", "wait"), 0); /* cut off at the end */
}

/* [n] is all that is read: no NUL is needed, none ends it. */
static void test_bounds(void **state)
{
  (void)state;
  static const char text[] = {'w', 'a', 'i', 't', 'x'};
  CHECK_INT(thoughts_count(text, 4, "wait"), 1);
  CHECK_INT(thoughts_count(text, 5, "wait"), 0);
  CHECK_INT(thoughts_count("wait\0wait", 9, "wait"), 2);
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_whole_words), cmocka_unit_test(test_lists),
                                     cmocka_unit_test(test_bounds)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
