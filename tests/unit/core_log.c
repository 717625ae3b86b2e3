#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "check.h"
#include "core/file.h"
#include "core/log.h"

/* What is written to stderr between begin and end, and the log's copy. */
struct capture {
  int kept;
  char err_path[64], log_path[64];
  struct arena *arena;
};

static void capture_begin(struct capture *c)
{
  struct error err = {0};
  snprintf(c->err_path, sizeof c->err_path, "/tmp/assay-core-log-XXXXXX");
  int fd = mkstemp(c->err_path);
  CHECK(fd >= 0);
  snprintf(c->log_path, sizeof c->log_path, "%s.log", c->err_path);
  fflush(stderr);
  c->kept = dup(STDERR_FILENO);
  dup2(fd, STDERR_FILENO);
  close(fd);
  CHECK_OK(log_open(c->log_path, &err), &err);
}

static char *whole(struct capture *c, const char *path)
{
  struct error err = {0};
  char *text = NULL;
  size_t n = 0;
  CHECK_OK(file_read(c->arena, path, 1 << 20, &text, &n, &err), &err);
  CHECK_OK(file_remove_tree(path, &err), &err);
  return text;
}

static void capture_end(struct capture *c, char **shown, char **copied)
{
  struct error err = {0};
  CHECK_OK(log_open(NULL, &err), &err);
  fflush(stderr);
  dup2(c->kept, STDERR_FILENO);
  close(c->kept);
  c->arena = arena_create("capture", 0, &err);
  *shown = whole(c, c->err_path);
  *copied = whole(c, c->log_path);
}

static void test_lines(void **state)
{
  (void)state;
  struct capture c;
  char *shown, *copied;
  struct error err = {0};
  CHECK_INT(error_fail(&err, ERROR_INPUT, "r.yaml", 4, NULL, "found x"), ERROR_INPUT);
  capture_begin(&c);
  log_info("step %d", 1);
  log_warn("careful");
  log_detail(true, "due");
  log_detail(false, "not due");
  log_set_quiet(true);
  log_info("hidden");
  log_detail(true, "hidden as well");
  log_error(&err);
  log_set_quiet(false);
  bool terminal = log_is_terminal();
  capture_end(&c, &shown, &copied);
  CHECK(!terminal);
  CHECK_STR(shown, "step 1\nassay: warning: careful\ndue\nassay: r.yaml:4: found x\n");
  CHECK(strstr(copied, "Z step 1\n") && strstr(copied, "Z hidden\n") && strstr(copied, "Z not due\n") &&
        strstr(copied, "Z assay: r.yaml:4: found x\n"));
  CHECK(copied[0] == '2' && copied[4] == '-' && copied[10] == 'T' && copied[19] == 'Z');
  arena_destroy(c.arena);
}

static void test_progress_is_silent_at_first(void **state)
{
  (void)state;
  struct capture c;
  char *shown, *copied;
  capture_begin(&c);
  for (int i = 0; i < 100; i++) log_progress("loading", i, 100, "tensors");
  log_progress_end();
  capture_end(&c, &shown, &copied);
  CHECK_STR(shown, "");
  CHECK_STR(copied, "");
  arena_destroy(c.arena);
}

static void draw_nothing(void *arg, int columns, const struct log_phase *phase, struct text *out)
{
  (void)arg, (void)columns, (void)phase, (void)out;
}

static void test_no_view_without_a_terminal(void **state)
{
  (void)state;
  struct capture c;
  char *shown, *copied;
  capture_begin(&c);
  bool opened = log_view_open(draw_nothing, NULL);
  log_view_close();
  log_info("a line");
  capture_end(&c, &shown, &copied);
  CHECK(!opened);
  CHECK_STR(shown, "a line\n");
  arena_destroy(c.arena);
}

static void test_wrong_path_and_clock(void **state)
{
  (void)state;
  struct error err = {0};
  CHECK_ERROR(log_open("/no/such/folder/log.txt", &err), &err, ERROR_INPUT, "the log cannot be opened");
  double first = clock_seconds(), second = clock_seconds();
  CHECK(second >= first && second - first < 10);
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_lines), cmocka_unit_test(test_progress_is_silent_at_first),
                                     cmocka_unit_test(test_no_view_without_a_terminal),
                                     cmocka_unit_test(test_wrong_path_and_clock)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
