/* Adapters that pip's peft made (tests/parity/peft, by tests/parity/make/peft_adapters.py): log-probabilities beside
   the base are those that transformers with peft gives, of the adapter as --adapter, as MODEL, and folded in by merge.
 */
#include "check.h"

#include "core/file.h"
#include "core/json.h"

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define PEFT ASSAY_SOURCE_DIR "/tests/parity/peft"
static char folder[64];
static struct arena *arena;
static struct error err;

static void assay(const char *const *words)
{
  pid_t pid = fork();
  CHECK(pid >= 0);
  if (!pid) {
    if (chdir(ASSAY_SOURCE_DIR) || !freopen("/dev/null", "w", stdout)) _exit(127);
    execv(ASSAY_BINARY, (char *const *)(uintptr_t)words);
    _exit(127);
  }
  int status;
  CHECK(waitpid(pid, &status, 0) == pid);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static char *in_folder(const char *name)
{
  return path_join(arena, folder, name, &err);
}

static void write_ids(const json_t *ids)
{
  struct file_writer *w;
  struct text t = {0};
  for (size_t i = 0; i < json_array_size(ids); i++) {
    text_puts(&t, "{\"ids\": ");
    json_put_value(&t, json_array_get(ids, i));
    text_puts(&t, "}\n");
  }
  CHECK_OK(text_finish(&t, &err), &err);
  CHECK_OK(file_writer_open(arena, in_folder("in.jsonl"), &w, &err), &err);
  CHECK_OK(file_writer_write(w, t.bytes, t.size, &err), &err);
  CHECK_OK(file_writer_commit(w, &err), &err);
  text_free(&t);
}

/* Largest difference between what assay scores and what is expected. */
static double compare(const char *model, const char *adapter, const json_t *want)
{
  const char *words[] = {"assay",
                         "score",
                         model,
                         "--in",
                         in_folder("in.jsonl"),
                         "--out",
                         in_folder("out.jsonl"),
                         "--quiet",
                         adapter ? "--adapter" : NULL,
                         adapter,
                         NULL};
  struct line_reader *r;
  double worst = 0;
  assay(words);
  CHECK_OK(line_reader_open(arena, in_folder("out.jsonl"), &r, &err), &err);
  for (size_t i = 0; i < json_array_size(want); i++) {
    char *line;
    size_t n;
    int number;
    json_t *o;
    CHECK_OK(line_reader_next(r, &line, &n, &number, &err), &err);
    CHECK(line != NULL);
    CHECK_OK(json_parse(arena, line, n, "out", 0, JSON_READ_PLAIN, &o, &err), &err);
    const json_t *got = json_object_get(o, "logp"), *row = json_array_get(want, i);
    CHECK_INT(json_array_size(got), json_array_size(row));
    CHECK(json_array_size(row) > 3);
    for (size_t k = 0; k < json_array_size(row); k++) {
      double off = json_number_value(json_array_get(got, k)) - json_number_value(json_array_get(row, k));
      off = off < 0 ? -off : off;
      worst = off > worst ? off : worst;
    }
  }
  return worst;
}

static void test_scores_are_those_of_peft(void **state)
{
  (void)state;
  static const char *const names[] = {"lora", "rslora"};
  json_t *expected;
  CHECK_OK(json_parse_file(arena, PEFT "/expected.json", &expected, &err), &err);
  for (size_t i = 0; i < 2; i++) {
    const json_t *o = json_object_get(expected, names[i]), *logp = json_object_get(o, "logp");
    char *adapter = path_join(arena, PEFT, names[i], &err), *merged = in_folder(names[i]);
    write_ids(json_object_get(o, "ids"));
    const char *merge[] = {"assay", "merge", adapter, merged, "--quiet", NULL};
    assay(merge);
    const char why[] = "f32 sums in other orders, of values up to some ten; an adapter moves these by more than 0.1";
    CHECK_CLOSE(compare("models/tiny", NULL, json_object_get(o, "base")), 0, 1e-4, why);
    CHECK_CLOSE(compare("models/tiny", adapter, logp), 0, 1e-4, why);
    CHECK_CLOSE(compare(adapter, NULL, logp), 0, 1e-4, why);
    CHECK_CLOSE(compare(merged, NULL, logp), 0, 1e-4, why);
    CHECK(compare("models/tiny", NULL, logp) > 0.1);
  }
}

static int make_folder(void **state)
{
  (void)state;
  snprintf(folder, sizeof folder, "/tmp/assay-peft-XXXXXX");
  arena = arena_create("test", 0, &err);
  return arena && mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
  (void)state;
  arena_destroy(arena);
  return file_remove_tree(folder, &err);
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_scores_are_those_of_peft)};
  return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
