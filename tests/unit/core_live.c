/* What the live region makes of a terminal's description and of lines that are too wide for it. */
#include "check.h"

#include "core/live.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern char **environ;

/* The program reads the environment and never writes it; a test has to. */
static void with(const char *all, const char *type, const char *lang)
{
  static char entries[3][64];
  static char *list[4];
  const char *names[] = {"LC_ALL", "LC_CTYPE", "LANG"}, *values[] = {all, type, lang};
  int n = 0;
  for (int i = 0; i < 3; i++) {
    if (!values[i]) continue;
    snprintf(entries[i], sizeof entries[i], "%s=%s", names[i], values[i]);
    list[n++] = entries[i];
  }
  list[n] = NULL;
  environ = list;
}

static void test_locale(void **state)
{
  (void)state;
  char **before = environ;
  with(NULL, NULL, NULL);
  CHECK(!live_utf8());
  with(NULL, NULL, "en_GB.UTF-8");
  CHECK(live_utf8());
  with(NULL, NULL, "C.utf8");
  CHECK(live_utf8());
  with("C", NULL, "en_GB.UTF-8");  // LC_ALL wins
  CHECK(!live_utf8());
  with("", "de_DE.ISO-8859-1", "en_GB.UTF-8");  // an empty one counts as none
  CHECK(!live_utf8());
  CHECK(!live_able());  // no TERM
  environ = before;
}

static void check_clip(const char *line, size_t columns, const char *want)
{
  struct text t = {0};
  live_clip(&t, line, strlen(line), columns);
  text_puts(&t, "");
  CHECK_STR(t.bytes ? t.bytes : "", want);
  text_free(&t);
}

static void test_width(void **state)
{
  (void)state;
  CHECK_INT(live_width("abc", 3), 3);
  CHECK_INT(live_width("\033[1;31mabc\033[0m", 14), 3);
  CHECK_INT(live_width("\u2588\u2581x", 7), 3);
  CHECK_INT(live_width("\xff\xfe", 2), 2);  // no UTF-8: a column a byte
  CHECK_INT(live_width("\033[12", 4), 0);   // a sequence that was cut
  check_clip("abcdef", 4, "abcd");
  check_clip("\u2588\u2581\u2582", 2, "\u2588\u2581");
  check_clip("\033[1mabc\033[0mdef", 2, "\033[1mab\033[0m");  // colours end although their text was cut
  check_clip("abc", 0, "");
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_locale), cmocka_unit_test(test_width)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
