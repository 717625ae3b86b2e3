/* links: train. Law 2 against SIGKILL: a run that is killed again and again, also in the middle of writing a
   checkpoint, ends with the hashes of a run that nobody touched, never goes back by more than save.every steps, and
   never has a checkpoint that is not whole. Then Ctrl-C: exit status 5 and a run that goes on; a second one ends it at
   once. */
#include "check.h"

#include "core/file.h"
#include "core/log.h"
#include "core/rng.h"
#include "tiny_model.h"
#include "train/checkpoint.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { STEPS = 12, SAVE_EVERY = 2, KILLS = 20, WRITING_KILLS = 5, MOST_KILLS = 80 };

static char folder[64], recipe[96];
static struct arena *arena; /* reset often */
static struct error err;

static const char *in_folder(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static const char *in_folder(const char *fmt, ...)
{
  char name[128];
  va_list args;
  va_start(args, fmt);
  vsnprintf(name, sizeof name, fmt, args);
  va_end(args);
  return path_join(arena, folder, name, &err);
}

/* ---- the program as a child ----------------------------------------------------------------------------------------
 */

static pid_t start(const char *run, int threads, bool resume)
{
  char count[8];
  snprintf(count, sizeof count, "%d", threads);
  const char *argv[] = {ASSAY_BINARY, "train", recipe, "--run", run, "--quiet", "--threads", count, NULL, NULL};
  if (resume) argv[8] = "--resume";
  pid_t pid = fork();
  CHECK(pid >= 0);
  if (pid) return pid;
  int null = open("/dev/null", O_WRONLY);
  dup2(null, STDOUT_FILENO);
  execv(ASSAY_BINARY, (char *const *)(uintptr_t)argv);
  _exit(127);
}

/* The exit status, -1 where a signal ended it. */
static int finish(pid_t pid)
{
  int status;
  CHECK(waitpid(pid, &status, 0) == pid);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static bool has_ended(pid_t pid)
{
  siginfo_t info = {0};
  CHECK(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0);
  return info.si_pid == pid;
}

/* ---- what a run folder says -----------------------------------------------------------------------------------------
 */

/* "weights HEX state HEX" of the last line of the log. */
static const char *hashes(const char *run)
{
  char *text, *last = NULL;
  size_t n;
  CHECK_OK(file_read(arena, path_join(arena, run, "log.txt", &err), 1 << 24, &text, &n, &err), &err);
  for (char *at = text; (at = strstr(at, "Z weights ")); at++) last = at;
  CHECK(last != NULL);
  CHECK_INT(strlen(last + 2), 8 + 64 + 7 + 64 + 1);
  return last + 2;
}

/* Steps in metrics.jsonl in order; a last line that was cut short is no step. */
static int metric_steps(const char *run, int64_t steps[], int room)
{
  char *path = path_join(arena, run, "metrics.jsonl", &err), *text;
  size_t n;
  int count = 0;
  if (!file_exists(path)) return 0;
  CHECK_OK(file_read(arena, path, 1 << 24, &text, &n, &err), &err);
  for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1) {
    char *step = strstr(line, "\"step\":");
    CHECK(step && step < end && count < room);
    steps[count++] = strtoll(step + 7, NULL, 10);
  }
  return count;
}

static bool is_writing(const char *run)
{
  char **names, *path = path_join(arena, run, "checkpoints", &err);
  size_t count;
  bool found = false;
  if (!file_is_folder(path)) return false;
  CHECK_OK(file_list(arena, path, &names, &count, &err), &err);
  for (size_t i = 0; i < count; i++) found = found || !strncmp(names[i], ".writing-", 9);
  return found;
}

/* Every file of the checkpoint has the SHA-256 that stands in its checksums.txt. */
static void check_whole(const char *checkpoint)
{
  char *text, *bytes, hex[65];
  size_t n, files = 0;
  CHECK_OK(file_read(arena, path_join(arena, checkpoint, "checksums.txt", &err), 1 << 16, &text, &n, &err), &err);
  for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1, files++) {
    struct sha256 s;
    uint8_t digest[32];
    *end = 0;
    CHECK_OK(file_read(arena, path_join(arena, checkpoint, line + 66, &err), 1 << 28, &bytes, &n, &err), &err);
    sha256_start(&s);
    sha256_add(&s, bytes, n);
    sha256_finish(&s, digest);
    sha256_hex(digest, hex);
    line[64] = 0;
    CHECK_STR(hex, line);
  }
  CHECK(files >= 4);
}

/* After a kill: what is there is whole, and little is lost. Returns the step of the last checkpoint, -1: none. */
static int64_t check_after_kill(const char *run, int64_t before)
{
  const char *last;
  int64_t step, steps[STEPS + 2];
  CHECK_OK(checkpoint_last(arena, run, &last, &step, &err), &err);
  CHECK(step >= before);
  if (last) check_whole(last);
  int count = metric_steps(run, steps, STEPS + 2);
  int64_t lost = count ? steps[count - 1] - (step < 0 ? 0 : step) : 0;
  CHECK(lost <= SAVE_EVERY);
  return step;
}

/* The text of the last checkpoint's README.md. */
static const char *last_card(const char *run)
{
  const char *last;
  char *text;
  int64_t step;
  size_t n;
  CHECK_OK(checkpoint_last(arena, run, &last, &step, &err), &err);
  CHECK_OK(file_read(arena, path_join(arena, last, "README.md", &err), 1 << 20, &text, &n, &err), &err);
  return text;
}

static void check_finished(const char *run, const char *want)
{
  int64_t steps[STEPS + 2];
  CHECK_STR(hashes(run), want);
  CHECK_INT(metric_steps(run, steps, STEPS + 2), STEPS + 1);  // with the evaluation before the first
  for (int i = 0; i <= STEPS; i++) CHECK_INT(steps[i], i);
  for (int i = 1; i <= STEPS; i++) {
    char name[64];
    snprintf(name, sizeof name, "rollouts/%06d.jsonl.zst", i);
    CHECK(file_exists(path_join(arena, run, name, &err)));
  }
  CHECK(!is_writing(run));
}

/* ---- killing --------------------------------------------------------------------------------------------------------
 */

static double uniform(uint32_t i)
{
  const struct rng_at at = {.purpose = RNG_TEST, .position = i};
  return rng_uniform(20, &at);
}

/* Waits for the moment and kills: by the clock, or as soon as a checkpoint is being written. Returns false where the
   program had ended before. */
static bool kill_at(pid_t pid, const char *run, bool writing, double seconds)
{
  for (double begun = clock_seconds(); writing ? !is_writing(run) : clock_seconds() - begun < seconds;) {
    arena_reset(arena);
    if (has_ended(pid)) return false;
    usleep(50);
  }
  kill(pid, SIGKILL);
  return true;
}

struct tally {
  int kills, while_writing, whole_runs;
};

/* One run from its start to its end through as many kills as are still wanted. */
static void kill_one_run(int number, double seconds, const char *want, struct tally *t)
{
  char run[128];
  int64_t step = -1;
  snprintf(run, sizeof run, "%s/killed-%d", folder, number);
  for (bool ended = false; !ended;) {
    bool enough = t->kills >= KILLS && t->while_writing >= WRITING_KILLS;
    char file[160];
    snprintf(file, sizeof file, "%s/recipe.yaml", run);
    CHECK(t->kills < MOST_KILLS);
    pid_t pid = start(run, 1 + t->kills % 3, file_exists(file));
    bool killed = !enough && kill_at(pid, run, t->kills % 2, 0.5 * seconds * uniform((uint32_t)t->kills));
    int status = finish(pid);
    arena_reset(arena);
    ended = status == 0;
    CHECK(ended || (killed && status == -1));
    if (ended) break;
    t->kills++;
    t->while_writing += is_writing(run);
    step = check_after_kill(run, step);
  }
  t->whole_runs++;
  check_finished(run, want);
  CHECK_STR(last_card(run), last_card(in_folder("whole")));
}

static void test_killed_runs_end_alike(void **state)
{
  (void)state;
  struct tally t = {0};
  const char *run = in_folder("whole");
  double begun = clock_seconds();
  CHECK_INT(finish(start(run, 2, false)), 0);
  double seconds = clock_seconds() - begun;
  char want[256];
  snprintf(want, sizeof want, "%s", hashes(run));
  check_finished(run, want);
  while (t.kills < KILLS || t.while_writing < WRITING_KILLS) kill_one_run(t.whole_runs, seconds, want, &t);
  print_message("%d kills, %d of them while a checkpoint was being written, %d runs\n", t.kills, t.while_writing,
                t.whole_runs);
}

/* ---- Ctrl-C ---------------------------------------------------------------------------------------------------------
 */

static void wait_for_step(pid_t pid, const char *run, int64_t step)
{
  int64_t steps[STEPS + 2];
  for (;;) {
    int count = metric_steps(run, steps, STEPS + 2);
    if (count && steps[count - 1] >= step) return;
    CHECK(!has_ended(pid));
    usleep(500);
  }
}

static void test_interrupted_run_goes_on(void **state)
{
  (void)state;
  char run[128], want[256];
  int64_t step;
  const char *last;
  snprintf(run, sizeof run, "%s/interrupted", folder);
  snprintf(want, sizeof want, "%s", hashes(in_folder("whole")));
  pid_t pid = start(run, 2, false);
  wait_for_step(pid, run, 3);
  kill(pid, SIGINT);
  CHECK_INT(finish(pid), 5);
  CHECK_OK(checkpoint_last(arena, run, &last, &step, &err), &err);
  CHECK(step >= 3);  // it saved where it stood
  check_whole(last);
  pid = start(run, 2, true);
  wait_for_step(pid, run, step + 1);
  kill(pid, SIGINT);
  usleep(1000);
  double begun = clock_seconds();
  kill(pid, SIGINT);
  CHECK_INT(finish(pid), 5);
  CHECK(clock_seconds() - begun < 5);
  CHECK_INT(finish(start(run, 1, true)), 0);
  check_finished(run, want);
  // nothing is left to do, and the hashes are said again
  CHECK_INT(finish(start(run, 1, true)), 0);
  check_finished(run, want);
}

static int make_folder(void **state)
{
  (void)state;
  char model[80];
  snprintf(folder, sizeof folder, "/tmp/assay-kill-XXXXXX");
  if (!mkdtemp(folder)) return -1;
  snprintf(model, sizeof model, "%s/model", folder);
  snprintf(recipe, sizeof recipe, "%s/recipe.yaml", folder);
  arena = arena_create("test", 1 << 20, &err);
  FILE *f = fopen(recipe, "w");
  if (!arena || !f || tiny_model_write(model)) return -1;
  fprintf(f,
          "model: random:%s\n"
          "data: [{task: addition, digits: 1, format: plain}]\n"
          "eval: {data: [{task: addition, digits: 1, format: plain}], every: 4, problems: 4, samples: 2}\n"
          "rollout: {problems: 4, group: 8, max_new_tokens: 24, max_prompt_tokens: 16}\n"
          "train: {steps: %d, lr: 1.0e-3, minibatches: 2, epochs: 2}\n"
          "save: {every: %d, keep: 2}\n"
          "seed: 5\n",
          model, STEPS, SAVE_EVERY);
  return fclose(f);
}

static int remove_folder(void **state)
{
  (void)state;
  arena_destroy(arena);
  return file_remove_tree(folder, &err);
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_killed_runs_end_alike),
                                     cmocka_unit_test(test_interrupted_run_goes_on)};
  return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
