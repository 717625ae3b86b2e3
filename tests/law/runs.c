/* links: train. Law 2 and 3 on whole runs: the same two hashes whatever the threads, micro-batch, recomputation,
   chunks, blocks, slots and verifiers' delays, in f32 and in bf16, of whole weights and of adapters; a stop and a
   resume change nothing; a weight that moves between sampling and training ends the run with exit 4. */
#include "law/run_case.h"

#include "core/rng.h"

#include <unistd.h>

static bool supervised;        /* runs are `assay sft` */
static enum compute_type type; /* of all runs */

static const char RECIPE[] =
    "data: [{task: addition, digits: 1, format: plain, held_out: 0.2}]\n"
    "eval: {data: [{task: addition, digits: 1, format: plain}], every: 2, problems: 4, samples: 2}\n"
    "rollout: {problems: 4, group: 8, max_new_tokens: 20, max_prompt_tokens: 16}\n"
    "train: {steps: 3, lr: 1.0e-3, minibatches: 2, epochs: 2}\n"
    "save: {every: 2, keep: 2}\n"
    "seed: 5\n";

static const char SFT_RECIPE[] =
    "data: [{task: addition, digits: 1, format: plain}]\n"
    "train: {steps: 6, lr: 1.0e-2, schedule: cosine, batch: 100, max_tokens: 24, epochs: 2}\n"
    "save: {every: 2, keep: 2}\n"
    "seed: 5\n";

static struct result run_it(const char *name, const char *const *overrides, size_t count, int threads, bool resume,
                            bool (*stop)(void), const struct run_hooks *hooks)
{
  const struct run_case c = {.name = name,
                             .recipe = supervised ? SFT_RECIPE : RECIPE,
                             .overrides = overrides,
                             .count = count,
                             .threads = threads,
                             .resume = resume,
                             .sft = supervised,
                             .compute = compute_type_name(type),
                             .stop = stop,
                             .hooks = hooks};
  return run_case(&c);
}

static void delay(void *arg, size_t slot)
{
  const struct rng_at at = {.purpose = RNG_TEST, .position = (uint32_t)slot};
  usleep((unsigned)(3000 * rng_uniform((uint64_t)(uintptr_t)arg, &at)));
}

static void test_no_knob_moves_a_hash(void **state)
{
  (void)state;
  static const struct {
    const char *overrides[4];
    int threads;
    bool delays;
  } cases[] = {{{"compute.slots=64", "compute.recompute=true"}, 2, false},
               {{"compute.slots=1", "compute.micro_batch=512"}, 2, false},
               {{"compute.slots=3", "compute.kv_block=4"}, 3, true},
               {{"compute.vocab_chunk=32", "compute.kv_block=64"}, 1, false},
               {{"compute.memory=600M"}, 2, true}};
  struct result first = run_it("first", NULL, 0, 1, false, NULL, NULL);
  CHECK_OK(first.rc, &first.err);
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    char name[32];
    size_t n = 0;
    struct run_hooks hooks = {.before_verdict = delay, .arg = (void *)(uintptr_t)(i + 1)};
    while (n < 4 && cases[i].overrides[n]) n++;
    snprintf(name, sizeof name, "case%zu", i);
    struct result r =
        run_it(name, cases[i].overrides, n, cases[i].threads, false, NULL, cases[i].delays ? &hooks : NULL);
    CHECK_OK(r.rc, &r.err);
    CHECK_STR(r.weights, first.weights);
    CHECK_STR(r.state, first.state);
  }
  // the weights did move, and the seed says where to
  static const char *const others[] = {"seed=6", "train.lr=0"};
  for (size_t i = 0; i < 2; i++) {
    struct result r = run_it(i ? "still" : "other", &others[i], 1, 1, false, NULL, NULL);
    CHECK_OK(r.rc, &r.err);
    CHECK(strcmp(r.weights, first.weights) != 0);
  }
}

static int stop_after;
static bool stop_now(void)
{
  return stop_after-- <= 0;
}

static int asked;
static bool count_alone(void)
{
  asked++;
  return false;
}

/* The steps in a run's metrics.jsonl, in their order, those with an evaluation marked: "0e 1 2e 3e ". */
static const char *steps_of(const char *name)
{
  static char out[2][256];
  static int turn;
  char path[128], *text, *to = out[turn ^= 1];
  size_t n, used = 0;
  struct error err = {0};
  struct arena *a = arena_create("test", 0, &err);
  snprintf(path, sizeof path, "%s/%s/metrics.jsonl", folder, name);
  CHECK_OK(file_read(a, path, 1 << 20, &text, &n, &err), &err);
  to[0] = 0;
  for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1) {
    *end = 0;
    const char *step = strstr(line, "\"step\":");
    CHECK(step != NULL && used < 200);
    used += (size_t)snprintf(to + used, 256 - used, "%ld%s ", strtol(step + 7, NULL, 10),
                             strstr(line, "\"eval/") ? "e" : "");
  }
  arena_destroy(a);
  return to;
}

static void test_stop_and_resume_change_nothing(void **state)
{
  (void)state;
  asked = 0;
  struct result whole = run_it("whole", NULL, 0, 1, false, count_alone, NULL);
  CHECK_OK(whole.rc, &whole.err);
  CHECK_STR(steps_of("whole"), "0e 1 2e 3e ");
  int stops = 0;
  struct result r = {.rc = ERROR_STOPPED};
  // `stop` is asked once a pass: each turn goes a little further
  for (int turn = 0; r.rc == ERROR_STOPPED; turn++) {
    stop_after = 15 + 10 * turn;
    r = run_it("stopped", NULL, 0, 1 + turn % 2, turn > 0, stop_now, NULL);
    stops += r.rc == ERROR_STOPPED;
    CHECK(turn < 60);
  }
  CHECK_OK(r.rc, &r.err);
  CHECK(stops >= 3);
  CHECK_STR(r.weights, whole.weights);
  CHECK_STR(r.state, whole.state);
  CHECK_STR(steps_of("stopped"), steps_of("whole"));
  // in the last evaluation, whose step has trained: the resumed run makes it up; and within the first step
  const int after[] = {asked - 2, asked / 8};
  for (int i = 0; i < 2; i++) {
    stop_after = after[i];
    r = run_it(i ? "begun" : "ending", NULL, 0, 1, false, stop_now, NULL);
    CHECK_INT(r.rc, ERROR_STOPPED);
    r = run_it(i ? "begun" : "ending", NULL, 0, 1, true, NULL, NULL);
    CHECK_OK(r.rc, &r.err);
    CHECK_STR(r.weights, whole.weights);
    CHECK_STR(r.state, whole.state);
    CHECK_STR(steps_of(i ? "begun" : "ending"), steps_of("whole"));
  }
}

static void test_a_reference_and_entropy(void **state)
{
  (void)state;
  static const char method[] = "methods=[{grpo: {kl_coef: 0.1, entropy_coef: 0.01}}]";
  const char *plain[] = {method};
  const char *knobs[] = {method, "compute.micro_batch=512", "compute.recompute=true", "compute.slots=3"};
  const char *other[] = {"methods=[{grpo: {kl_coef: 0.1}}]"};
  struct result first = run_it("reference", plain, 1, 1, false, NULL, NULL);
  CHECK_OK(first.rc, &first.err);
  struct result r = run_it("reference-knobs", knobs, 4, 2, false, NULL, NULL);
  CHECK_OK(r.rc, &r.err);
  CHECK_STR(r.weights, first.weights);
  CHECK_STR(r.state, first.state);
  // a resume reads the policy from the checkpoint and the reference from where the run began
  stop_after = 60;
  r = run_it("reference-stopped", plain, 1, 1, false, stop_now, NULL);
  CHECK_INT(r.rc, ERROR_STOPPED);
  r = run_it("reference-stopped", plain, 1, 2, true, NULL, NULL);
  CHECK_OK(r.rc, &r.err);
  CHECK_STR(r.weights, first.weights);
  CHECK_STR(r.state, first.state);
  r = run_it("reference-other", other, 1, 1, false, NULL, NULL);
  CHECK_OK(r.rc, &r.err);
  CHECK(strcmp(r.weights, first.weights) != 0);
}

static int stop_every_step;
static bool stop_sometimes(void)
{
  return ++stop_every_step % 3 == 0;
}

static void test_supervised_runs(void **state)
{
  (void)state;
  static const struct {
    const char *overrides[3];
    int threads;
  } cases[] = {{{"compute.micro_batch=512", "compute.kv_block=4"}, 2},
               {{"compute.recompute=true", "compute.vocab_chunk=32"}, 3},
               {{"compute.micro_batch=4096"}, 1}};
  supervised = true;
  struct result first = run_it("sft", NULL, 0, 1, false, NULL, NULL);
  CHECK_OK(first.rc, &first.err);
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    char name[32];
    size_t n = 0;
    while (n < 3 && cases[i].overrides[n]) n++;
    snprintf(name, sizeof name, "sft%zu", i);
    struct result r = run_it(name, cases[i].overrides, n, cases[i].threads, false, NULL, NULL);
    CHECK_OK(r.rc, &r.err);
    CHECK_STR(r.weights, first.weights);
    CHECK_STR(r.state, first.state);
  }
  struct result r = {.rc = ERROR_STOPPED};
  int turns = 0;
  for (; r.rc == ERROR_STOPPED; turns++) {
    r = run_it("sft-stopped", NULL, 0, 1, turns > 0, stop_sometimes, NULL);
    CHECK(turns < 20);
  }
  CHECK_OK(r.rc, &r.err);
  CHECK(turns >= 3);
  CHECK_STR(r.weights, first.weights);
  CHECK_STR(r.state, first.state);
  static const char *const still[] = {"train.lr=0"};
  r = run_it("sft-still", still, 1, 1, false, NULL, NULL);
  CHECK_OK(r.rc, &r.err);
  CHECK(strcmp(r.weights, first.weights) != 0);
  supervised = false;
}

static void flip(void *arg, struct run *run)
{
  (void)arg;
  if (run->step != 1) return;
  struct weight *w = model_find(run->session.model, "model.layers.1.mlp.up_proj.weight");
  float row[32];
  uint32_t bits;
  weight_read(w, WEIGHT_MASTER, 3, 1, row, HOST_F32);
  memcpy(&bits, &row[5], sizeof bits);
  bits ^= 1u << 22;
  memcpy(&row[5], &bits, sizeof bits);
  weight_write(w, WEIGHT_MASTER, 3, 1, row, HOST_F32);
}

static void test_a_moved_weight_is_caught(void **state)
{
  (void)state;
  struct run_hooks hooks = {.after_rollouts = flip};
  struct result r = run_it("flipped", NULL, 0, 1, false, NULL, &hooks);
  CHECK_ERROR(r.rc, &r.err, ERROR_LAW, "step 2");
  // the mini-batches of one update check on the way
  const char *once[] = {"train.minibatches=1", "train.epochs=1"};
  r = run_it("flipped-once", once, 2, 2, false, NULL, &hooks);
  CHECK_ERROR(r.rc, &r.err, ERROR_LAW, "another log-probability in training");
}

/* The type is a part of what a run is: it moves the weights, and a resume in another one is refused. */
static void test_types_are_different_runs(void **state)
{
  (void)state;
  struct result first[2];
  for (type = COMPUTE_F32; type <= COMPUTE_BF16; type++) {
    first[type] = run_it(compute_type_name(type), NULL, 0, 1, false, NULL, NULL);
    CHECK_OK(first[type].rc, &first[type].err);
  }
  CHECK(strcmp(first[0].weights, first[1].weights) != 0);
  type = COMPUTE_F32;
  struct result r = run_it("bf16", NULL, 0, 2, true, NULL, NULL);
  CHECK_ERROR(r.rc, &r.err, ERROR_INPUT, "compute.type");
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_no_knob_moves_a_hash), cmocka_unit_test(test_stop_and_resume_change_nothing),
      cmocka_unit_test(test_a_reference_and_entropy), cmocka_unit_test(test_supervised_runs),
      cmocka_unit_test(test_a_moved_weight_is_caught)};
  const struct CMUnitTest both[] = {cmocka_unit_test(test_types_are_different_runs)};
  int failed = 0;
  for (int adapters = 0; adapters < 2; adapters++) {
    lora = adapters ? LORA : "";
    for (type = COMPUTE_F32; type <= COMPUTE_BF16; type++)
      failed += cmocka_run_group_tests_name(compute_type_name(type), tests, make_folder, remove_folder);
  }
  return failed + cmocka_run_group_tests(both, make_folder, remove_folder);
}
