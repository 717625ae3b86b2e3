/* links: reward
 * HumanEval: every canonical solution passes, and every mutant of humaneval.tsv (task, what is replaced, by what)
 * fails. The mutants were chosen as those that the benchmark's own tests refuse under plain Python with an
 * AssertionError: each differs from its original on an input. Prints what a sandbox costs. */
#include "code_case.h"

#include <stdlib.h>

#include "core/file.h"
#include "core/log.h"
#include "reward/sandbox.h"

enum { TASKS = 164, MUTANTS_AT_LEAST = 60, MUTANTS_AT_MOST = 256, WORKERS = 2, STARTS = 5 };

static struct problem tasks[TASKS];
static int task_count;

static int make_arena(void **state)
{
  (void)state;
  arena = arena_create("test", 0, &err);
  return arena ? 0 : -1;
}

static int drop_arena(void **state)
{
  (void)state;
  arena_destroy(arena);
  return 0;
}

static bool read_tasks(void)
{
  const char *fixtures = getenv("ASSAY_FIXTURES");
  struct line_reader *r;
  char *line;
  size_t size;
  int number;
  const char *path = fixtures ? arena_printf(arena, "test", &err, "%s/../data/humaneval.jsonl", fixtures)
                              : ASSAY_SOURCE_DIR "/../shared/data/humaneval.jsonl";
  if (!file_exists(path)) {
    print_message("skipped: %s is not there\n", path);
    return false;
  }
  CHECK_OK(line_reader_open(arena, path, &r, &err), &err);
  for (task_count = 0; task_count < TASKS; task_count++) {
    CHECK_OK(line_reader_next(r, &line, &size, &number, &err), &err);
    CHECK(line != NULL);
    tasks[task_count] = make_problem(arena_strndup(arena, line, size, "test", &err));
  }
  return true;
}

static const char *member(const struct problem *p, const char *key)
{
  const char *s = json_string_value(json_object_get(p->fields, key));
  CHECK(s != NULL);
  return s ? s : "";
}

/* Judges responses[i] against problems[i] by two workers; how many are right. */
static int judge_all(const struct verifier_config *c, const struct problem *const *problems,
                     const char *const *responses, struct verdict *verdicts, int count, double *seconds)
{
  struct verify_queue *q;
  int right = 0;
  CHECK_OK(verify_queue_create(arena, &(struct verify_queue_options){.workers = WORKERS}, &q, &err), &err);
  verify_queue_start(q, verdicts, (size_t)count);
  double begin = clock_seconds();
  for (int i = 0; i < count; i++) verify_queue_submit(q, c, problems[i], responses[i], strlen(responses[i]), (size_t)i);
  CHECK_OK(verify_queue_wait(q, &err), &err);
  *seconds = clock_seconds() - begin;
  for (int i = 0; i < count; i++) {
    CHECK_INT(verdicts[i].status, VERDICT_OK);
    right += verdicts[i].correct;
  }
  return right;
}

static void test_canonical(void **state)
{
  (void)state;
  const struct problem *problems[TASKS];
  const char *responses[TASKS];
  struct verdict verdicts[TASKS];
  double cold, warm;
  struct verifier_config *c = read_tasks() ? open_code(NULL, 0) : NULL;
  if (!c) skip();
  for (int i = 0; i < TASKS; i++) {
    problems[i] = &tasks[i];
    responses[i] = member(&tasks[i], "canonical_solution");
  }
  int right = judge_all(c, problems, responses, verdicts, TASKS, &cold);
  for (int i = 0; i < TASKS; i++)
    if (!verdicts[i].correct) print_message("%s: %s\n", member(&tasks[i], "task_id"), verdicts[i].reason);
  CHECK_INT(right, TASKS);
  CHECK_INT(judge_all(c, problems, responses, verdicts, TASKS, &warm), TASKS);
  print_message("%d canonical solutions, %d workers: %.1f cases/s from the start, %.1f cases/s once warm\n", TASKS,
                WORKERS, TASKS / cold, TASKS / warm);
}

/* The same in a chat model's form: words and a block with the whole function. */
static void test_fenced(void **state)
{
  (void)state;
  const struct problem *problems[TASKS];
  const char *responses[TASKS];
  struct verdict verdicts[TASKS];
  double seconds;
  struct verifier_config *c = read_tasks() ? open_code(NULL, 0) : NULL;
  if (!c) skip();
  for (int i = 0; i < TASKS; i++) {
    problems[i] = &tasks[i];
    responses[i] = arena_printf(arena, "test", &err, "Here it is:\n\n```python\n%s%s```\n\nIt runs in linear time.",
                                member(&tasks[i], "prompt"), member(&tasks[i], "canonical_solution"));
  }
  CHECK_INT(judge_all(c, problems, responses, verdicts, TASKS, &seconds), TASKS);
}

static const struct problem *find_task(const char *id)
{
  for (int i = 0; i < task_count; i++)
    if (!strcmp(member(&tasks[i], "task_id"), id)) return &tasks[i];
  fail_msg("there is no task %s", id);
  return NULL;
}

/* The canonical solution with the one place where `search` stands replaced. */
static const char *mutate(const struct problem *p, const char *search, const char *replace)
{
  const char *s = member(p, "canonical_solution"), *at = strstr(s, search);
  if (!at || strstr(at + 1, search)) fail_msg("%s: \"%s\" stands there not once", member(p, "task_id"), search);
  return arena_printf(arena, "test", &err, "%.*s%s%s", (int)(at - s), s, replace, at + strlen(search));
}

static void test_mutants(void **state)
{
  (void)state;
  const struct problem *problems[MUTANTS_AT_MOST];
  const char *responses[MUTANTS_AT_MOST];
  struct verdict verdicts[MUTANTS_AT_MOST];
  struct line_reader *r;
  double seconds;
  int count = 0, number;
  struct verifier_config *c = read_tasks() ? open_code(NULL, 0) : NULL;
  if (!c) skip();
  CHECK_OK(line_reader_open(arena, ASSAY_SOURCE_DIR "/tests/parity/humaneval.tsv", &r, &err), &err);
  for (char *line;; count++) {
    size_t size;
    CHECK_OK(line_reader_next(r, &line, &size, &number, &err), &err);
    if (!line) break;
    char *search = strchr(line, '\t'), *replace = search ? strchr(search + 1, '\t') : NULL;
    CHECK(replace != NULL && count < MUTANTS_AT_MOST);
    *search++ = *replace++ = 0;
    problems[count] = find_task(line);
    responses[count] = mutate(problems[count], search, replace);
  }
  int right = judge_all(c, problems, responses, verdicts, count, &seconds);
  for (int i = 0; i < count; i++)
    if (verdicts[i].correct) print_message("line %d, a mutant of %s, passes\n", i + 1, member(problems[i], "task_id"));
  print_message("%d mutants, %.1f cases/s\n", count, count / seconds);
  CHECK(count >= MUTANTS_AT_LEAST);
  CHECK_INT(right, 0);
}

/* A wrong solution with right ones around it: the share of asserts that pass. */
static void test_share(void **state)
{
  (void)state;
  struct verifier_config *c = read_tasks() ? open_code(NULL, 0) : NULL;
  struct verdict v;
  if (!c) skip();
  CHECK_OK(judge_problem(c, find_task("HumanEval/0"), "    return True\n", &v), &err);
  CHECK_STR(v.more, "\"passed\": 4, \"cases\": 7");
  CHECK(strstr(v.reason, "case 2 of 7: assert candidate([1.0, 2.0, 3.9, 4.0, 5.0, 2.2], 0.05) == False: gave True") !=
        NULL);
}

static void test_starts(void **state)
{
  (void)state;
  double best = 1e9, sum = 0;
  const struct sandbox_options o = {.limits = {.cpu_seconds = 1,
                                               .wall_seconds = 10,
                                               .memory_mib = 256,
                                               .disk_mib = 8,
                                               .processes = 8,
                                               .output_bytes = 4096}};
  if (!open_code(NULL, 0)) skip();
  for (int i = 0; i < STARTS; i++) {
    struct sandbox_pool *pool;
    struct sandbox *s;
    CHECK_OK(sandbox_pool_create(arena, &o, &pool, &err), &err);
    CHECK_OK(sandbox_take(pool, &s, &err), &err);
    double seconds = sandbox_start_seconds(s);
    sandbox_give(pool, s);
    sum += seconds;
    if (seconds < best) best = seconds;
  }
  CHECK(best > 0);
  print_message("cold start of a sandbox: %.1f ms at best, %.1f ms on average of %d\n", best * 1000,
                sum * 1000 / STARTS, STARTS);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_arena, drop_arena)
  const struct CMUnitTest tests[] = {TEST(test_canonical), TEST(test_fenced), TEST(test_mutants), TEST(test_share),
                                     TEST(test_starts)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
