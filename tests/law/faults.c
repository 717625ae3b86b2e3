/* links: train. The hostile build: allocations, device calls and writes of a whole run fail one after the other. Each
   failure is an orderly error, and a run whose disk failed goes on to the hashes of a run that nothing happened to. */
#include "check.h"

#ifdef ASSAY_HOSTILE

#include "core/fault.h"
#include "core/file.h"
#include "core/log.h"
#include "tiny_model.h"
#include "train/train.h"

#include <stdlib.h>
#include <unistd.h>

static char folder[64];

struct result {
  int rc;
  struct error err;
  char weights[65], state[65];
};

static struct result run_it(const char *name, bool resume)
{
  struct result out = {0};
  struct arena *a = arena_create("run", 0, &out.err);
  char recipe[128], run[128];
  struct run *r;
  snprintf(recipe, sizeof recipe, "%s/recipe.yaml", folder);
  snprintf(run, sizeof run, "%s/%s", folder, name);
  struct run_options o = {.recipe = recipe, .folder = run, .resume = resume, .threads = 2, .seed = -1};
  out.rc = a ? run_open(a, &o, &r, &out.err) : out.err.code;
  if (!out.rc) out.rc = run_train(r, &out.err);
  if (!out.rc) {
    memcpy(out.weights, run_weights_hash(r), 65);
    memcpy(out.state, run_state_hash(r), 65);
  }
  arena_destroy(a);
  return out;
}

static struct result run_with_fault(enum fault_kind kind, long n, const char *name)
{
  fault_set(kind, n);
  struct result r = run_it(name, false);
  fault_set(kind, 0);
  if (r.rc) CHECK_INT(r.rc, ERROR_RESOURCE);
  if (r.rc) CHECK(r.err.message[0] != 0);
  return r;
}

static void remove_run(const char *name)
{
  char path[128];
  struct error err = {0};
  snprintf(path, sizeof path, "%s/%s", folder, name);
  if (file_exists(path)) CHECK_OK(file_remove_tree(path, &err), &err);
}

/* Calls of a kind that a whole run makes; about `tries` of them fail, spread evenly. Those behind are harmless. */
static void fail_some(enum fault_kind kind, int tries, bool resume)
{
  struct result whole = run_it("whole", false);
  CHECK_OK(whole.rc, &whole.err);
  remove_run("whole");
  fault_set(kind, 1L << 40);
  struct result counted = run_it("counted", false);
  long calls = fault_calls(kind);
  fault_set(kind, 0);
  CHECK_OK(counted.rc, &counted.err);
  remove_run("counted");
  int failed = 0;
  for (int i = 0; i < tries; i++) {
    struct result r = run_with_fault(kind, 1 + calls * i / tries, "faulty");
    failed += r.rc != 0;
    char recipe[128];
    snprintf(recipe, sizeof recipe, "%s/faulty/recipe.yaml", folder);
    if (resume) {
      r = run_it("faulty", file_exists(recipe));
      CHECK_OK(r.rc, &r.err);
      CHECK_STR(r.weights, whole.weights);
      CHECK_STR(r.state, whole.state);
    }
    remove_run("faulty");
  }
  print_message("%d of %d faults among %ld calls ended a run\n", failed, tries, calls);
  CHECK(failed > tries / 2);
}

static void test_memory(void **state)
{
  (void)state;
  fail_some(FAULT_ALLOC, 40, false);
}

static void test_device(void **state)
{
  (void)state;
  fail_some(FAULT_DEVICE, 20, false);
}

static void test_disk(void **state)
{
  (void)state;
  fail_some(FAULT_WRITE, 25, true);
}

static int make_folder(void **state)
{
  (void)state;
  char path[96];
  snprintf(folder, sizeof folder, "/tmp/assay-faults-XXXXXX");
  log_set_quiet(true);
  if (!mkdtemp(folder)) return -1;
  snprintf(path, sizeof path, "%s/model", folder);
  if (tiny_model_write(path)) return -1;
  snprintf(path, sizeof path, "%s/recipe.yaml", folder);
  FILE *f = fopen(path, "w");
  if (!f) return -1;
  fprintf(f,
          "model: random:%s/model\n"
          "data: [{task: addition, digits: 1, format: plain}]\n"
          "eval: {data: [{task: addition, digits: 1, format: plain}], every: 2, problems: 2, samples: 1}\n"
          "rollout: {problems: 2, group: 4, max_new_tokens: 6, max_prompt_tokens: 16}\n"
          "train: {steps: 2, lr: 1.0e-3}\n"
          "save: {every: 1, keep: 1}\n",
          folder);
  return fclose(f);
}

static int remove_folder(void **state)
{
  (void)state;
  struct error err = {0};
  return file_remove_tree(folder, &err);
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_memory), cmocka_unit_test(test_device),
                                     cmocka_unit_test(test_disk)};
  return cmocka_run_group_tests(tests, make_folder, remove_folder);
}

#else

int main(void)
{
  printf("skipped: calls fail in the hostile build only\n");
  return 77;
}

#endif
