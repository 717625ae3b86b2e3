/* The external program: answers, and every way not to answer; nothing hangs, nothing stays behind. */
#include "reward_case.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/* A line of a shell script that answers every line with this. */
#define ECHO(answer) "while read -r line; do echo '" answer "'; done"

static struct verifier_config *start(const char *script, double timeout)
{
  static char settings[1024];
  struct verifier_config *c;
  struct setting_given given[] = {{"command", settings, NULL, 0}, {"workers", "2", NULL, 0}};
  snprintf(settings, sizeof settings, "%s", script);
  CHECK_OK(verifier_open(arena, verifier_find("command", &err), given, 2, timeout, &c, &err), &err);
  return c;
}

static struct verdict ask(struct verifier_config *c, const char *response)
{
  struct verdict v;
  struct problem p = case_problem("{\"answer\": \"4\", \"question\": \"2+2?\", \"hint\": [1, null]}");
  CHECK_OK(verify_now(arena, c, &p, response, strlen(response), &v, &err), &err);
  return v;
}

static void check_failed(const char *script, const char *words)
{
  struct verdict v = ask(start(script, 0.3), "x");
  if (v.status != VERDICT_FAILED || !strstr(v.reason, words) || v.reward != 0)
    fail_msg("%s: status %d, %s; want \"%s\"", script, (int)v.status, v.reason, words);
}

static void test_answers(void **state)
{
  (void)state;
  struct verifier_config *c =
      start(ECHO("{\"reward\": 0.5, \"extracted\": 4, \"reason\": \"so\", \"channels\": {\"s\": 2}}"), 5);
  for (int i = 0; i < 50; i++) {
    struct verdict v = ask(c, "four");
    CHECK(v.status == VERDICT_OK && v.reward == 0.5 && !v.correct && v.channel_count == 1 && v.channels[0].value == 2);
    CHECK_STR(v.extracted, "4");
    CHECK_STR(v.reason, "so");
    CHECK_STR(v.channels[0].name, "s");
  }
  /* it sees the problem's fields and its own number */
  c = start(
      "while read -r l; do case $l in "
      "*'\"question\":\"2+2?\"'*'\"hint\":[1,null]'*'\"answer\":\"4\"'*'\"response\":\"a\\\"b\"}') "
      "echo '{\"reward\": 1}';; *) echo '{\"reward\": 0}';; esac; done",
      5);
  CHECK(ask(c, "a\"b").correct);
  CHECK(!ask(c, "ab").correct);
  c = start(
      "while read -r l; do n=${l#*:}; echo \"{\\\"id\\\": ${n%%,*}, \\\"reward\\\": 1, \\\"correct\\\": false}\"; done",
      5);
  CHECK(ask(c, "x").status == VERDICT_OK && !ask(c, "x").correct);
}

static void test_failures(void **state)
{
  (void)state;
  check_failed("sleep 100", "no line within 0.3 s");
  check_failed("read l; sleep 100 & sleep 100", "no line within");
  check_failed("trap '' TERM INT; while :; do :; done", "no line within");
  check_failed("read l; printf '{\"reward\": 1'; sleep 100", "no line within");
  check_failed("read l; exit 3", "ended with status 3");
  check_failed("read l; kill -9 $$", "signal 9");
  check_failed("exec <&-; exec >&-; sleep 100", "before it answered");
  check_failed("read l; yes x", "more than one line");
  check_failed("yes '{\"reward\": 1}'", "more than one line");
  check_failed("read l; head -c 3000000 /dev/zero", "more than one line");
  check_failed(ECHO("no"), "no JSON object");
  check_failed(ECHO("[1]"), "no JSON object");
  check_failed(ECHO("{\"reward\": \"1\"}"), "no reward that is a number");
  check_failed(ECHO("{\"reward\": 1, \"reward\": 0}"), "no JSON object");
  check_failed(ECHO("{\"reward\": 1e999}"), "no JSON object");
  check_failed(ECHO("{\"reward\": 1, \"correct\": 1}"), "neither true nor false");
  check_failed(ECHO("{\"reward\": 1, \"channels\": {\"a\": \"b\"}}"), "names to numbers");
  check_failed(ECHO("{\"reward\": 1, \"id\": 0}"), "another question");
  check_failed(ECHO("{\"error\": \"no GPU\"}"), "no GPU");
  struct verdict v = ask(start("sleep 100", 0.1), "x");
  CHECK(v.timeout && v.ms < 2000);
}

/* A program that ends after each answer, one that fails every other time, one that is not there. */
static void test_restarts(void **state)
{
  (void)state;
  struct verifier_config *c = start("read l; echo '{\"reward\": 1}'", 5);
  for (int i = 0; i < 20; i++) CHECK(ask(c, "x").correct);
  char folder[] = "/tmp/assay-command-XXXXXX", script[256];
  CHECK(mkdtemp(folder) != NULL);
  snprintf(script, sizeof script,
           "while read -r l; do if rmdir %s/on; then exit 1; fi; mkdir %s/on; echo '{\"reward\": 1}'; done", folder,
           folder);
  c = start(script, 5);
  for (int i = 0; i < 5; i++) CHECK(ask(c, "x").status == VERDICT_OK);
  c = start("/nowhere/reward --fast", 5);
  struct verdict v;
  struct problem p = case_problem("{}");
  CHECK_ERROR(verify_now(arena, c, &p, "x", 1, &v, &err), &err, ERROR_RESOURCE, "cannot be run");
  snprintf(script, sizeof script, "%s/on", folder);
  rmdir(script);
  rmdir(folder);
  case_refused("command", "", "{}", "found no command");
}

/* A question of a megabyte to a program that talks before it listens, and many threads over two programs. */
static void test_sizes_and_threads(void **state)
{
  (void)state;
  enum { BIG = 1 << 20, JOBS = 200 };
  char *text = memory_alloc(BIG + 1, 1, "test", &err);
  memset(text, 'x', BIG);
  struct verdict v = ask(start("while read -r l; do echo \"{\\\"reward\\\": ${#l}}\"; done", 20), text);
  CHECK(v.status == VERDICT_OK && v.reward > BIG);
  v = ask(start("sleep 100", 0.2), text);
  CHECK(v.status == VERDICT_FAILED && v.timeout);
  memory_free(text);
  struct verify_queue *q;
  struct verdict *slots = ARENA_NEW(arena, struct verdict, JOBS, "test", &err);
  struct problem p = case_problem("{\"answer\": \"4\"}");
  struct verifier_config *c = start(ECHO("{\"reward\": 1}"), 5);
  CHECK_OK(verify_queue_create(arena, &(struct verify_queue_options){.workers = 6}, &q, &err), &err);
  verify_queue_start(q, slots, JOBS);
  for (size_t i = 0; i < JOBS; i++) verify_queue_submit(q, c, &p, "x", 1, i);
  CHECK_OK(verify_queue_wait(q, &err), &err);
  for (size_t i = 0; i < JOBS; i++) CHECK(slots[i].correct);
}

/* Runs last: all programs of all tests were waited for. */
static void test_nothing_is_left(void **state)
{
  (void)state;
  CHECK(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD);
}

int main(void)
{
  log_set_quiet(true);
  const struct CMUnitTest tests[] = {CASE(test_answers), CASE(test_failures), CASE(test_restarts),
                                     CASE(test_sizes_and_threads), CASE(test_nothing_is_left)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
