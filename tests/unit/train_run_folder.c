/* A run's files: one writer, no run written over, cut back to a checkpoint's step, names for runs without one, metrics
   as lines of JSON. */
#include "check.h"

#include "core/file.h"
#include "train/run_folder.h"

#include <stdlib.h>
#include <unistd.h>

static char root[64];
static struct arena *arena;
static struct error err;

static int setup(void **state)
{
  (void)state;
  error_clear(&err);
  snprintf(root, sizeof root, "/tmp/assay-folder-XXXXXX");
  arena = arena_create("test", 0, &err);
  return arena && mkdtemp(root) ? 0 : -1;
}

static int teardown(void **state)
{
  (void)state;
  arena_destroy(arena);
  error_clear(&err);
  return file_remove_tree(root, &err);
}

static char *at(const char *name)
{
  char *path = path_join(arena, root, name, &err);
  CHECK(path != NULL);
  return path;
}

static void write_file(const char *name, const char *text)
{
  FILE *f = fopen(at(name), "w");
  CHECK(f != NULL);
  fputs(text, f);
  CHECK(fclose(f) == 0);
}

static const char *text_of(const char *name)
{
  char *text;
  size_t n;
  CHECK_OK(file_read(arena, at(name), 1 << 20, &text, &n, &err), &err);
  return text;
}

static struct run_folder *open_new(const char *name)
{
  struct run_folder *r;
  CHECK_OK(run_folder_open(arena, at(name), false, &r, &err), &err);
  return r;
}

static void test_new_folders(void **state)
{
  (void)state;
  struct run_folder *r, *second;
  CHECK_OK(run_folder_check_new(arena, at("deep/run"), &err), &err);
  CHECK(!file_exists(at("deep")));
  r = open_new("deep/run");
  CHECK_STR(r->path, at("deep/run"));
  CHECK(file_is_folder(at("deep/run/rollouts")));
  CHECK(file_is_folder(at("deep/run/checkpoints")));
  CHECK_ERROR(run_folder_open(arena, at("deep/run"), false, &second, &err), &err, ERROR_INPUT, "another process");
  write_file("file", "");
  error_clear(&err);
  CHECK_ERROR(run_folder_open(arena, at("file"), false, &second, &err), &err, ERROR_INPUT, "cannot be made");
}

static void test_runs_are_not_written_over(void **state)
{
  (void)state;
  struct run_folder *r;
  struct arena *first = arena_create("first", 0, &err);
  CHECK_ERROR(run_folder_open(arena, at("run"), true, &r, &err), &err, ERROR_INPUT, "no run to resume");
  CHECK(!file_exists(at("run")));
  error_clear(&err);
  CHECK_OK(run_folder_open(first, at("run"), false, &r, &err), &err);
  write_file("run/recipe.yaml", "seed: 1\n");
  CHECK_ERROR(run_folder_open(arena, at("run"), true, &r, &err), &err, ERROR_INPUT, "another process");
  arena_destroy(first);  // gives the lock back
  error_clear(&err);
  CHECK_ERROR(run_folder_open(arena, at("run"), false, &r, &err), &err, ERROR_INPUT, "holds a run already");
}

static void test_resuming(void **state)
{
  (void)state;
  struct run_folder *r;
  struct arena *first = arena_create("first", 0, &err);
  CHECK_OK(run_folder_open(first, at("run"), false, &r, &err), &err);
  write_file("run/recipe.yaml", "seed: 1\n");
  arena_destroy(first);
  CHECK_OK(run_folder_open(arena, at("run"), true, &r, &err), &err);
}

static void test_names_for_runs(void **state)
{
  (void)state;
  char *path, before[512];
  CHECK(getcwd(before, sizeof before) != NULL);
  CHECK(chdir(root) == 0);
  CHECK_OK(run_folder_next(arena, "recipes/my.demo.yaml", &path, &err), &err);
  CHECK_STR(path, "runs/my.demo-1");
  CHECK_OK(file_make_folder("runs/my.demo-1", &err), &err);
  CHECK_OK(file_make_folder("runs/my.demo-3", &err), &err);
  CHECK_OK(run_folder_next(arena, "recipes/my.demo.yaml", &path, &err), &err);
  CHECK_STR(path, "runs/my.demo-2");
  CHECK_OK(run_folder_next(arena, "grpo", &path, &err), &err);
  CHECK_STR(path, "runs/grpo-1");
  CHECK(chdir(before) == 0);
}

static const char LINES[] = "{\"step\":0,\"a\":1}\n{\"step\":1,\"a\":2}\n{\"step\":2,\"a\":3}\n{\"step\":3,\"a\":4}\n";

static void test_cutting_back(void **state)
{
  (void)state;
  struct run_folder *r = open_new("run");
  CHECK_OK(run_folder_cut_back(r, -1, &err), &err);  // nothing there yet
  CHECK_OK(run_folder_append_metrics(r, LINES, sizeof LINES - 1, &err), &err);
  CHECK_OK(run_folder_append_metrics(r, "{\"step\":4,\"a", 11, &err), &err);  // as a kill leaves it
  for (int step = 1; step <= 4; step++) CHECK_OK(run_folder_write_rollouts(r, step, "{}\n", 3, &err), &err);
  write_file("run/rollouts/000005.jsonl.zst.tmp-77", "half");
  CHECK_OK(run_folder_cut_back(r, 3, &err), &err);
  CHECK_STR(text_of("run/metrics.jsonl"), LINES);
  CHECK(file_exists(at("run/rollouts/000003.jsonl.zst")));
  CHECK(!file_exists(at("run/rollouts/000004.jsonl.zst")));
  CHECK(!file_exists(at("run/rollouts/000005.jsonl.zst.tmp-77")));
  CHECK_OK(run_folder_cut_back(r, 1, &err), &err);
  CHECK_STR(text_of("run/metrics.jsonl"), "{\"step\":0,\"a\":1}\n{\"step\":1,\"a\":2}\n");
  CHECK(!file_exists(at("run/rollouts/000002.jsonl.zst")));
  CHECK_OK(run_folder_cut_back(r, -1, &err), &err);  // no checkpoint: from the start, with its evaluation
  CHECK_STR(text_of("run/metrics.jsonl"), "");
  CHECK(!file_exists(at("run/rollouts/000001.jsonl.zst")));
}

static void test_rollouts_are_read_back(void **state)
{
  (void)state;
  struct run_folder *r = open_new("run");
  struct line_reader *lines;
  char *line;
  size_t n;
  int number;
  CHECK_OK(run_folder_write_rollouts(r, 7, "one\ntwo\n", 8, &err), &err);
  CHECK_OK(line_reader_open(arena, at("run/rollouts/000007.jsonl.zst"), &lines, &err), &err);
  CHECK_OK(line_reader_next(lines, &line, &n, &number, &err), &err);
  CHECK_STR(arena_strndup(arena, line, n, "test", &err), "one");
  CHECK_OK(line_reader_next(lines, &line, &n, &number, &err), &err);
  CHECK_STR(arena_strndup(arena, line, n, "test", &err), "two");
  CHECK_OK(line_reader_next(lines, &line, &n, &number, &err), &err);
  CHECK(line == NULL);
}

static void test_metrics(void **state)
{
  (void)state;
  static struct metrics m;
  struct text t = {0};
  m.count = 0;
  metrics_set_int(&m, "step", 12);
  metrics_set(&m, "reward/mean", 0.1);
  metrics_set(&m, "kl", (double)__builtin_nanf(""));
  metrics_set(&m, "low", -(double)__builtin_inff());
  metrics_set(&m, "reward/mean", 0.25);  // the place stays
  CHECK_CLOSE(metrics_get(&m, "reward/mean"), 0.25, 0, "it was set to this");
  CHECK(metrics_get(&m, "absent") != metrics_get(&m, "absent"));
  metrics_write_line(&m, &t);
  CHECK_OK(text_finish(&t, &err), &err);
  CHECK_STR(t.bytes, "{\"step\":12,\"reward/mean\":0.25,\"kl\":null,\"low\":null}\n");
  text_free(&t);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
  const struct CMUnitTest tests[] = {
      CASE(test_new_folders),  CASE(test_runs_are_not_written_over), CASE(test_resuming), CASE(test_names_for_runs),
      CASE(test_cutting_back), CASE(test_rollouts_are_read_back),    CASE(test_metrics)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
