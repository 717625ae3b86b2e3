/* links: train. Law 2 with a verifier that answers at random, fails at random and is late at random: a run that is
   killed (SIGKILL) again and again ends with the hashes of one that was not, given the same verdicts. */
#include "check.h"

#include "core/file.h"
#include "core/log.h"
#include "tiny_model.h"
#include "train/run.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST_TURNS = 40, STEPS = 6 };

static char folder[64];

/* A reward of 0 to 0.999 by chance; now and then an error, an end, a word that is no answer. An evaluation asks for
   twenty verdicts, so that never all of them fail, which would end the run. */
static const char PROGRAM[] =
    "while read -r l; do\n"
    "  read -r x </proc/sys/kernel/random/uuid; n=$((0x${x%%-*} % 1000))\n"
    "  case $n in\n"
    "  *9?) echo '{\"error\": \"by chance\"}';;\n"
    "  *8?) exit 1;;\n"
    "  *7?) echo no;;\n"
    "  *55) sleep 10;;\n"
    "  *) echo \"{\\\"reward\\\": 0.$n, \\\"correct\\\": $([ $n -gt 500 ] && echo true || echo false), "
    "\\\"channels\\\": {\\\"style\\\": 0.$n}}\";;\n"
    "  esac\n"
    "done\n";

static const char RECIPE[] =
    "data: [{path: %s/data.jsonl, verifier: {command: {command: sh %s/program.sh}}}]\n"
    "eval: {data: [{path: %s/data.jsonl, verifier: {command: {command: sh %s/program.sh}}}], every: 2, problems: 5, "
    "samples: 4}\n"
    "reward: {on_failure: %s, timeout: 0.2, combine: [reward, {style: 0.5}]}\n"
    "rollout: {problems: 4, group: 4, max_new_tokens: 12, max_prompt_tokens: 16}\n"
    "train: {steps: 6, lr: 1.0e-3}\n"
    "save: {every: 2, keep: 9}\n"
    "seed: 5\n";

static void write_file(struct arena *a, const char *name, const char *text, size_t n)
{
  struct error err = {0};
  struct file_writer *w;
  CHECK_OK(file_writer_open(a, path_join(a, folder, name, &err), &w, &err), &err);
  CHECK_OK(file_writer_write(w, text, n, &err), &err);
  CHECK_OK(file_writer_commit(w, &err), &err);
}

static void write_all(const char *on_failure)
{
  static const char lines[] =
      "{\"prompt\": \"1+2\", \"answer\": \"3\"}\n{\"prompt\": \"2+2\", \"answer\": \"4\"}\n"
      "{\"prompt\": \"3+2\", \"answer\": \"5\"}\n{\"prompt\": \"4+2\", \"answer\": \"6\"}\n"
      "{\"prompt\": \"5+2\", \"answer\": \"7\"}\n";
  struct error err = {0};
  struct arena *a = arena_create("test", 0, &err);
  char recipe[2048];
  int n = snprintf(recipe, sizeof recipe, "model: random:%s/model\n", folder);
  n += snprintf(recipe + n, sizeof recipe - (size_t)n, RECIPE, folder, folder, folder, folder, on_failure);
  write_file(a, "recipe.yaml", recipe, (size_t)n);
  write_file(a, "data.jsonl", lines, sizeof lines - 1);
  write_file(a, "program.sh", PROGRAM, sizeof PROGRAM - 1);
  arena_destroy(a);
}

static int run_it(const char *name, bool resume, int threads, char hashes[140], struct error *err)
{
  struct arena *a = arena_create("run", 0, err);
  struct run *r;
  struct run_options o = {.recipe = arena_printf(a, "test", err, "%s/recipe.yaml", folder),
                          .folder = path_join(a, folder, name, err),
                          .resume = resume,
                          .threads = threads,
                          .seed = -1};
  int rc = run_open(a, &o, &r, err);
  if (!rc) rc = run_train(r, err);
  if (!rc) snprintf(hashes, 140, "%s %s", run_weights_hash(r), run_state_hash(r));
  arena_destroy(a);
  return rc;
}

/* A child that ends by itself or is killed after so many milliseconds; true: it ended. */
static bool run_and_kill(const char *name, bool resume, int threads, int ms)
{
  pid_t pid = fork();
  CHECK(pid >= 0);
  if (!pid) {
    struct error err = {0};
    char hashes[140];
    setpgid(0, 0);
    int rc = run_it(name, resume, threads, hashes, &err);
    if (rc) fprintf(stderr, "%s: %s\n", err.file, err.message);
    _exit(rc);
  }
  int status;
  for (int i = 0; i < ms; i++) {
    if (waitpid(pid, &status, WNOHANG) == pid) {
      CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
      return true;
    }
    usleep(1000);
  }
  kill(pid, SIGKILL);
  CHECK(waitpid(pid, &status, 0) == pid);
  return false;
}

static void copy_tree(const char *from, const char *to)
{
  const char *argv[] = {"cp", "-a", from, to, NULL};
  pid_t pid = fork();
  int status;
  if (!pid) {
    execvp("cp", (char *const *)(uintptr_t)argv);
    _exit(127);
  }
  CHECK(waitpid(pid, &status, 0) == pid && status == 0);
}

static void count_journal(const char *name, size_t *verdicts, size_t *failed)
{
  struct error err = {0};
  struct arena *a = arena_create("test", 0, &err);
  char *path = arena_printf(a, "test", &err, "%s/%s/journal", folder, name), **names, *text;
  size_t count, n;
  *verdicts = *failed = 0;
  CHECK_OK(file_list(a, path, &names, &count, &err), &err);
  CHECK_INT((int64_t)count, STEPS + 4); /* evaluations: before, and after 2, 4 and 6 */
  for (size_t i = 0; i < count; i++) {
    CHECK_OK(file_read(a, path_join(a, path, names[i], &err), 1 << 24, &text, &n, &err), &err);
    for (char *at = text; (at = strstr(at, "\"status\":\"")); at++) {
      ++*verdicts;
      *failed += at[10] != 'o';
    }
  }
  arena_destroy(a);
}

/* A metric added up over the lines of metrics.jsonl. */
static int64_t sum_of(const char *run, const char *metric)
{
  struct error err = {0};
  struct arena *a = arena_create("test", 0, &err);
  char *text, *name = arena_printf(a, "test", &err, "\"%s\":", metric);
  size_t n;
  int64_t sum = 0;
  CHECK_OK(file_read(a, arena_printf(a, "test", &err, "%s/%s/metrics.jsonl", folder, run), 1 << 24, &text, &n, &err),
           &err);
  for (char *at = text; (at = strstr(at, name)); at++) sum += strtoll(at + strlen(name), NULL, 10);
  arena_destroy(a);
  return sum;
}

/* The run that nobody touched has made the verdicts; a copy of its folder with the journal alone takes them, killed on
   the way: it has the same ones whenever it asks. */
static void check_kills(const char *name, const char *on_failure)
{
  struct error err = {0};
  struct arena *a = arena_create("test", 0, &err);
  char whole[140], after[140], *killed = arena_printf(a, "test", &err, "%s-killed", name);
  size_t verdicts, failed;
  write_all(on_failure);
  CHECK_OK(run_it(name, false, 2, whole, &err), &err);
  count_journal(name, &verdicts, &failed);
  CHECK(verdicts > 40 && failed > 5);
  CHECK(sum_of(name, "verify/failed") > 0 && sum_of(name, "verify/failed") == sum_of(name, "verify/failed/command"));
  CHECK((sum_of(name, "verify/again") > 0) == !strcmp(on_failure, "retry"));
  CHECK_OK(file_make_folder(path_join(a, folder, killed, &err), &err), &err);
  copy_tree(arena_printf(a, "test", &err, "%s/%s/journal", folder, name),
            arena_printf(a, "test", &err, "%s/%s/journal", folder, killed));
  int kills = 0;
  bool ended = false, begun = false;
  for (int turn = 0; !ended && turn < MOST_TURNS; turn++) {
    begun = file_exists(arena_printf(a, "test", &err, "%s/%s/recipe.yaml", folder, killed));
    ended = run_and_kill(killed, begun, 1 + turn % 3, 4 + 4 * turn * turn);
    kills += !ended;
  }
  CHECK(ended && kills >= 3);
  CHECK_OK(run_it(killed, true, 2, after, &err), &err);
  CHECK_STR(after, whole);
  arena_destroy(a);
}

static void test_kills_change_nothing(void **state)
{
  (void)state;
  check_kills("zero", "zero");
  check_kills("drop", "drop");
  check_kills("retry", "retry");
}

/* Killed while it makes its verdicts: what the journal holds in the end gives the same run again. */
static void test_own_verdicts(void **state)
{
  (void)state;
  struct error err = {0};
  struct arena *a = arena_create("test", 0, &err);
  char first[140], second[140];
  bool ended = false;
  int kills = 0;
  write_all("retry");
  for (int turn = 0; !ended && turn < MOST_TURNS; turn++) {
    bool begun = file_exists(arena_printf(a, "test", &err, "%s/own/recipe.yaml", folder));
    ended = run_and_kill("own", begun, 2, 20 + 20 * turn * turn);
    kills += !ended;
  }
  CHECK(ended && kills >= 2);
  CHECK_OK(run_it("own", true, 2, first, &err), &err);
  CHECK_OK(file_make_folder(path_join(a, folder, "again", &err), &err), &err);
  copy_tree(arena_printf(a, "test", &err, "%s/own/journal", folder),
            arena_printf(a, "test", &err, "%s/again/journal", folder));
  CHECK_OK(run_it("again", false, 2, second, &err), &err);
  CHECK_STR(second, first);
  /* without the verdicts it is another run: the test could fail */
  CHECK_OK(run_it("other", false, 2, second, &err), &err);
  CHECK(strcmp(second, first) != 0);
  arena_destroy(a);
}

static int make_folder(void **state)
{
  char model[80];
  (void)state;
  snprintf(folder, sizeof folder, "/tmp/assay-journal-XXXXXX");
  log_set_quiet(true);
  if (!mkdtemp(folder)) return -1;
  snprintf(model, sizeof model, "%s/model", folder);
  return tiny_model_write(model);
}

static int remove_folder(void **state)
{
  (void)state;
  struct error err = {0};
  return file_remove_tree(folder, &err);
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_kills_change_nothing), cmocka_unit_test(test_own_verdicts)};
  return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
