/* links: train. Laws 1 to 3 where the base under an adapter stays in blocks: whole runs end with the same two hashes
   whatever the threads, micro-batch, recomputation, chunks, blocks and slots, in f32 and in bf16; a stop and a resume
   change nothing; and the run is that of the base whose numbers were rounded to blocks beforehand and are f32 (a token
   whose log-probability differed between sampler and trainer would end any of them with exit 4). */
#include "law/run_case.h"

#include "rollout/session.h"

static const char RECIPE[] =
    "lora: {rank: 4, alpha: 8}\n"
    "data: [{task: addition, digits: 1, format: plain}]\n"
    "rollout: {problems: 4, group: 8, max_new_tokens: 20, max_prompt_tokens: 16}\n"
    "train: {steps: 3, lr: 1.0e-2, minibatches: 2, epochs: 2}\n"
    "save: {every: 2, keep: 2}\n"
    "seed: 5\n";
enum { SEED = 5 };

static const char *const kinds[] = {"q8_0", "q4_0"};
enum { KINDS = sizeof kinds / sizeof kinds[0], MOST = 4 };
static enum compute_type type; /* of all runs */

/* name: NULL: a folder of its own. overrides: up to MOST - 1, beside compute.weights=KIND */
static struct result run_it(const char *name, const char *kind, const char *const *overrides, int threads, bool resume,
                            bool (*stop)(void))
{
  static int count;
  char weights[32], fresh[32];
  const char *all[MOST] = {weights};
  size_t n = 1;
  snprintf(fresh, sizeof fresh, "run-%d", count++);
  snprintf(weights, sizeof weights, "compute.weights=%s", kind);
  for (; overrides && n < MOST && overrides[n - 1]; n++) all[n] = overrides[n - 1];
  return run_case(&(struct run_case){.name = name ? name : fresh,
                                     .methods = "[{grpo: {kl_coef: 0.01}}]",
                                     .recipe = RECIPE,
                                     .overrides = all,
                                     .count = n,
                                     .threads = threads,
                                     .resume = resume,
                                     .compute = compute_type_name(type),
                                     .stop = stop});
}

static void check_same(const struct result *r, const struct result *want)
{
  CHECK_OK(r->rc, &r->err);
  CHECK_STR(r->weights, want->weights);
  CHECK_STR(r->state, want->state);
}

static void test_no_knob_moves_a_hash(void **state)
{
  (void)state;
  static const struct {
    const char *overrides[MOST];
    int threads;
  } cases[] = {{{"compute.slots=64", "compute.recompute=true"}, 1},
               {{NULL}, 2},
               {{"compute.slots=3", "compute.kv_block=4", "compute.micro_batch=512"}, 3},
               {{"compute.vocab_chunk=32", "compute.kv_block=64"}, 4}};
  for (size_t k = 0; k < KINDS; k++) {
    struct result first = run_it(NULL, kinds[k], NULL, 1, false, NULL);
    CHECK_OK(first.rc, &first.err);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
      struct result r = run_it(NULL, kinds[k], cases[i].overrides, cases[i].threads, false, NULL);
      check_same(&r, &first);
    }
    // the blocks say where the weights go, and so does the learning rate
    struct result other = run_it(NULL, k ? "q8_0" : "full", NULL, 1, false, NULL);
    CHECK_OK(other.rc, &other.err);
    CHECK(strcmp(other.weights, first.weights) != 0);
    other = run_it(NULL, kinds[k], (const char *const[]){"train.lr=0", NULL}, 1, false, NULL);
    CHECK_OK(other.rc, &other.err);
    CHECK(strcmp(other.weights, first.weights) != 0);
  }
}

static int stop_after;
static bool stop_now(void)
{
  return stop_after-- <= 0;
}

static void test_stop_and_resume_change_nothing(void **state)
{
  (void)state;
  struct result whole = run_it(NULL, "q4_0", NULL, 1, false, NULL), r = {.rc = ERROR_STOPPED};
  CHECK_OK(whole.rc, &whole.err);
  int stops = 0;
  for (int turn = 0; r.rc == ERROR_STOPPED; turn++) {
    stop_after = 4 + 6 * turn; /* `stop` is asked once a pass */
    r = run_it("stopped", "q4_0", NULL, 1 + turn % 3, turn > 0, stop_now);
    stops += r.rc == ERROR_STOPPED;
    CHECK(turn < 60);
  }
  CHECK(stops >= 3);
  check_same(&r, &whole);
  // other blocks are another model
  r = run_it("stopped", "q8_0", NULL, 1, true, NULL);
  CHECK_ERROR(r.rc, &r.err, ERROR_INPUT, "compute.weights");
}

/* The model whose matrices are the numbers of the blocks, as a folder of f32. */
static void write_rounded(const char *kind, char path[128])
{
  struct error err = {0};
  struct arena *a = arena_create("rounded", 0, &err);
  struct session s;
  char model[96];
  snprintf(model, sizeof model, "random:%s/model", folder);
  snprintf(path, 128, "%s/rounded-%s", folder, kind);
  struct session_options o = {.model = model, .threads = 1, .allow_random = true, .seed = SEED, .now = "2026-01-01"};
  CHECK(model_keep_find(kind, &o.keep));
  CHECK_OK(session_open(a, &o, &s, &err), &err);
  CHECK_OK(session_load(&s, 0, &err), &err);
  CHECK(weight_quant(s.model->layer[1].down) == (strcmp(kind, "q4_0") ? QUANT_Q8_0 : QUANT_Q4_0));
  CHECK_OK(file_make_folder(path, &err), &err);
  CHECK_OK(model_save(s.model, &s.source, path, SAVE_F32, &err), &err);
  arena_destroy(a);
}

static void test_blocks_are_the_rounded_model(void **state)
{
  (void)state;
  for (size_t k = 0; k < KINDS; k++) {
    char path[128], model[160];
    write_rounded(kinds[k], path);
    snprintf(model, sizeof model, "model=%s", path);
    struct result blocks = run_it(NULL, kinds[k], NULL, 2, false, NULL);
    struct result rounded = run_it(NULL, "full", (const char *const[]){model, NULL}, 1, false, NULL);
    CHECK_OK(blocks.rc, &blocks.err);
    CHECK_OK(rounded.rc, &rounded.err);
    CHECK_STR(blocks.weights, rounded.weights); /* the adapters; the recipes, and so the states, are two */
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_no_knob_moves_a_hash),
                                     cmocka_unit_test(test_stop_and_resume_change_nothing),
                                     cmocka_unit_test(test_blocks_are_the_rounded_model)};
  int failed = 0;
  for (type = COMPUTE_F32; type <= COMPUTE_BF16; type++)
    failed += cmocka_run_group_tests_name(compute_type_name(type), tests, make_folder, remove_folder);
  return failed;
}
