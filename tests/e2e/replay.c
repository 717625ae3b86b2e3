/* links: train. assay replay: what a run recorded comes out again bit for bit, from checkpoints, between them and
   before the first; a single flipped bit in a record or in the data is found and named; a start that is gone is said.
 */
#include "check.h"

#include "core/file.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zstd.h>

enum { STEPS = 7, SAVE_EVERY = 3, GROUPS = 3, GROUP = 8 };

static char folder[64], said[1 << 16]; /* stdout and stderr of the last command */
static struct arena *arena;
static struct error err;

static char *in_folder(const char *name)
{
  char *path = path_join(arena, folder, name, &err);
  CHECK(path != NULL);
  return path;
}

/* Runs assay with words up to NULL; returns its exit status, leaves what it printed in `said`. */
static int assay(const char *first, ...)
{
  const char *argv[32] = {ASSAY_BINARY, first};
  int n = 2, status;
  va_list words;
  va_start(words, first);
  while (n < 31 && (argv[n] = va_arg(words, const char *))) n++;
  va_end(words);
  char *out = in_folder("said");
  pid_t pid = fork();
  CHECK(pid >= 0);
  if (!pid) {
    int to = open(out, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    dup2(to, STDOUT_FILENO);
    dup2(to, STDERR_FILENO);
    execv(ASSAY_BINARY, (char *const *)(uintptr_t)argv);
    _exit(127);
  }
  CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
  FILE *f = fopen(out, "r");
  CHECK(f != NULL);
  said[fread(said, 1, sizeof said - 1, f)] = 0;
  fclose(f);
  return WEXITSTATUS(status);
}

static int count(const char *what)
{
  int n = 0;
  for (const char *at = said; (at = strstr(at, what)); at++) n++;
  return n;
}

static void has(const char *what)
{
  if (!strstr(said, what)) fail_msg("lacks \"%s\": %s", what, said);
}

/* The lines of a step's record. */
static char *read_record(const char *path, size_t *n)
{
  char *packed;
  size_t size, room = 1 << 20;
  CHECK_OK(file_read(arena, path, room, &packed, &size, &err), &err);
  char *lines = ARENA_NEW(arena, char, room, "test", &err);
  CHECK(lines != NULL);
  *n = ZSTD_decompress(lines, room - 1, packed, size);
  CHECK(!ZSTD_isError(*n));
  return lines;
}

static void write_record(const char *path, const char *lines, size_t n)
{
  size_t room = ZSTD_compressBound(n);
  char *packed = ARENA_NEW(arena, char, room, "test", &err);
  CHECK(packed != NULL);
  size_t size = ZSTD_compress(packed, room, lines, n, 1);
  FILE *f = fopen(path, "w");
  CHECK(f && !ZSTD_isError(size) && fwrite(packed, 1, size, f) == size && fclose(f) == 0);
}

/* ---- the tests ----------------------------------------------------------------------------------------------------
 */

static void test_every_step_comes_out_again(void **state)
{
  (void)state;
  for (int step = 1; step <= STEPS; step++) {
    char s[8];
    snprintf(s, sizeof s, "%d", step);
    CHECK_INT(assay("replay", in_folder("run"), "--step", s, "--json", "--threads", step % 2 ? "1" : "2", NULL), 0);
    CHECK_INT(count("\"identical\": true"), GROUPS * GROUP);
  }
  has("from checkpoint 6");
}

static void test_estimate_comes_first(void **state)
{
  (void)state;
  CHECK_INT(assay("replay", in_folder("run"), "--step", "6", "--rollout", "1", NULL), 0);
  CHECK(!strncmp(said, "from the start model: trains 5 steps again, generates step 6; time about ", 73));
  CHECK_INT(count(": identical ("), GROUPS);
}

/* A digit in the last decimal of one log-probability. */
static void test_flipped_digit_is_found(void **state)
{
  (void)state;
  size_t n;
  char *path = in_folder("run/rollouts/000007.jsonl.zst"), *lines = read_record(path, &n);
  char *kept = arena_strndup(arena, lines, n, "test", &err), *at = strstr(lines, "\"logp\":[");
  CHECK(kept && at);
  at += strlen("\"logp\":[");
  at += strcspn(at, ",]") - 1;
  *at = *at == '5' ? '4' : '5';
  write_record(path, lines, n);
  CHECK_INT(assay("replay", in_folder("run"), "--step", "7", NULL), 4);
  has("token 0, logp: recorded ");
  has("1 of 24 rollouts of step 7 differ from their record");
  CHECK_INT(count(": identical ("), GROUPS * GROUP - 1);
  write_record(path, kept, n);
  CHECK_INT(assay("replay", in_folder("run"), "--step", "7", NULL), 0);
}

/* Other problems than the run drew: named by the step that trains otherwise, and by the record. */
static void test_changed_data_is_found(void **state)
{
  (void)state;
  CHECK_INT(assay("replay", in_folder("run"), "--step", "2", "train.lr=0.01", NULL), 4);
  has("step 1 does not train as it did: lr was 0.001, now 0.01");
  has("differ from their record");
}

static void test_what_is_not_there(void **state)
{
  (void)state;
  CHECK_INT(assay("replay", in_folder("run"), "--step", "8", NULL), 2);
  has("expected one of 1-7");
  CHECK_INT(assay("replay", in_folder("run"), "--step", "2", "--problem", "nine", NULL), 2);
  has("has no problem \"nine\"; expected one of the 3 of step 2: addition:");
  CHECK_INT(assay("replay", in_folder("none"), "--step", "2", NULL), 2);
  has("holds no run");
  CHECK_INT(assay("replay", in_folder("run"), NULL), 2);
  has("--step S");
}

/* Without the start model only what follows a checkpoint can be made again. */
static void test_start_that_is_gone(void **state)
{
  (void)state;
  CHECK(!unlink(in_folder("model")));
  CHECK_INT(assay("replay", in_folder("run"), "--step", "6", NULL), 3);
  has("steps from 7 on can be replayed");
  CHECK_INT(assay("replay", in_folder("run"), "--step", "7", NULL), 0);
}

/* Nothing in the run has changed by all this. */
static void test_run_is_as_it_was(void **state)
{
  (void)state;
  size_t n;
  char **names;
  CHECK_OK(file_list(arena, in_folder("run"), &names, &n, &err), &err);
  for (size_t i = 0; i < n; i++) CHECK(strncmp(names[i], ".writing", 8) != 0);
  CHECK_OK(file_list(arena, in_folder("run/rollouts"), &names, &n, &err), &err);
  CHECK_INT(n, STEPS);
  CHECK_OK(file_list(arena, in_folder("run/checkpoints"), &names, &n, &err), &err);
  CHECK_STR(names[0], "000006");
}

static int make_run(void **state)
{
  (void)state;
  char model[80];
  snprintf(folder, sizeof folder, "/tmp/assay-replay-XXXXXX");
  if (!mkdtemp(folder)) return -1;
  snprintf(model, sizeof model, "%s/model", folder);
  arena = arena_create("test", 1 << 20, &err);
  FILE *f = arena ? fopen(in_folder("recipe.yaml"), "w") : NULL;
  if (!f || symlink(ASSAY_SOURCE_DIR "/models/tiny", model)) return -1;
  fprintf(f,
          "model: %s\n"
          "data: [{task: addition, format: plain, held_out: 0.2}]\n"
          "rollout: {problems: %d, group: %d, max_new_tokens: 6, max_prompt_tokens: 16}\n"
          "train: {steps: %d, lr: 1.0e-3, minibatches: 3, epochs: 2}\n"
          "save: {every: %d, keep: 2}\n"
          "seed: 11\n",
          model, GROUPS, GROUP, STEPS, SAVE_EVERY);
  if (fclose(f)) return -1;
  return assay("train", in_folder("recipe.yaml"), "--run", in_folder("run"), "--quiet", NULL);
}

static int remove_run(void **state)
{
  (void)state;
  int rc = file_remove_tree(folder, &err);
  arena_destroy(arena);
  return rc;
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_step_comes_out_again),
                                     cmocka_unit_test(test_estimate_comes_first),
                                     cmocka_unit_test(test_flipped_digit_is_found),
                                     cmocka_unit_test(test_changed_data_is_found),
                                     cmocka_unit_test(test_what_is_not_there),
                                     cmocka_unit_test(test_start_that_is_gone),
                                     cmocka_unit_test(test_run_is_as_it_was)};
  return cmocka_run_group_tests(tests, make_run, remove_run);
}
