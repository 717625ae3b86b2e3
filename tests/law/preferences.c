/* links: train. Given texts keep the laws: what examples share moves no log-probability, a step of examples that share
   nothing ends with the same weights however they are laid, the reference's log-probabilities that are kept are those
   that it gives in any step, and runs on pairs end with the same two hashes whatever the knobs, stops and resumes. */
#include "check.h"

#include "core/file.h"
#include "core/log.h"
#include "core/math.h"
#include "tiny_model.h"
#include "train/given.h"
#include "train/preference.h"
#include "train/run.h"
#include "train/token_pass.h"

#include <unistd.h>

static char folder[64];
static enum compute_type type;

/* Problems of three kinds that begin alike, and pairs of a right and a wrong sum. */
static void write_data(const char *name, bool pairs, bool alike)
{
  static const char *const heads[] = {"SUM:", "SUMOF:", "GIVE.THE.SUM.OF:"};
  char path[128];
  struct error err = {0};
  struct file_writer *w;
  struct arena *a = arena_create("data", 0, &err);
  snprintf(path, sizeof path, "%s/%s", folder, name);
  CHECK_OK(file_writer_open(a, path, &w, &err), &err);
  for (int i = 0; i < 40; i++) {
    int x = i % 7, y = (3 * i) % 10;
    // what does not begin alike: another first letter each, as far as they go
    if (alike)
      CHECK_OK(file_writer_printf(w, &err, "{\"prompt\": \"%s%d+%d=\"", heads[i % 3], x, y), &err);
    else
      CHECK_OK(file_writer_printf(w, &err, "{\"prompt\": \"%c%d+%d=\"", '0' + i, x, y), &err);
    if (pairs)
      CHECK_OK(file_writer_printf(w, &err, ", \"chosen\": \"%d\", \"rejected\": \"%d\", \"margin\": %g}\n", x + y,
                                  x + y + 1 + i % 2, 0.25 * (i % 3)),
               &err);
    else
      CHECK_OK(file_writer_printf(w, &err, ", \"completion\": \"%d\", \"weight\": %d}\n", x + y, 1 + i % 3), &err);
  }
  CHECK_OK(file_writer_commit(w, &err), &err);
  arena_destroy(a);
}

struct result {
  int rc;
  struct error err;
  char weights[65], state[65];
  double rows, loss, margin;
};

struct opened {
  struct arena *arena;
  struct run *run;
};

static struct result open_run(const char *name, const char *data, const char *const *overrides, size_t count,
                              int threads, bool resume, bool (*stop)(void), struct opened *out)
{
  struct result r = {0};
  char recipe[128], folder_of_run[128];
  struct file_writer *w;
  struct arena *a = arena_create("run", 0, &r.err);
  snprintf(recipe, sizeof recipe, "%s/recipe.yaml", folder);
  snprintf(folder_of_run, sizeof folder_of_run, "%s/%s", folder, name);
  CHECK_OK(file_writer_open(a, recipe, &w, &r.err), &r.err);
  CHECK_OK(file_writer_printf(w, &r.err,
                              "model: random:%s/model\ndata: [{path: %s/%s}]\n"
                              "eval: {data: [{path: %s/%s}], every: 3, problems: 20}\n"
                              "train: {steps: 6, lr: 1.0e-2, batch: 12, max_tokens: 40, minibatches: 2}\n"
                              "save: {every: 2, keep: 2}\nseed: 5\n",
                              folder, folder, data, folder, data),
           &r.err);
  CHECK_OK(file_writer_commit(w, &r.err), &r.err);
  struct run_options o = {.recipe = recipe,
                          .sft = true,
                          .overrides = overrides,
                          .override_count = count,
                          .folder = folder_of_run,
                          .resume = resume,
                          .threads = threads,
                          .seed = -1,
                          .compute = compute_type_name(type),
                          .stop = stop};
  out->arena = a;
  r.rc = run_open(a, &o, &out->run, &r.err);
  return r;
}

static struct result run_it(const char *name, const char *data, const char *const *overrides, size_t count, int threads,
                            bool resume, bool (*stop)(void))
{
  struct opened o;
  struct result r = open_run(name, data, overrides, count, threads, resume, stop, &o);
  if (!r.rc) r.rc = run_train(o.run, &r.err);
  if (!r.rc) {
    memcpy(r.weights, run_weights_hash(o.run), 65);
    memcpy(r.state, run_state_hash(o.run), 65);
    r.rows = metrics_get(&o.run->metrics, "rows/backward");
    r.loss = metrics_get(&o.run->metrics, "loss");
  }
  arena_destroy(o.arena);
  return r;
}

static int logps_of(struct run *r, const struct given *items, int32_t count, double **out, int32_t *n,
                    struct error *err)
{
  struct step *s;
  TRY(given_open_step(r, r->arena, items, count, &s, err));
  struct token_pass pass = {.trainer = r->trainer,
                            .step = s,
                            .rollouts = s->order,
                            .rollout_count = s->kept,
                            .count = s->path_count,
                            .trained = true};
  struct token_want want = {.logp = *out = ARENA_NEW(r->arena, double, (size_t)s->path_count, "test", err)};
  *n = s->path_count;
  TRY(token_pass_open(&pass, r->arena, err));
  return token_pass_read(&pass, r->arena, s->temperature, &want, err);
}

/* Twelve problems laid together, and each alone. */
static void check_alone(const char *data, const char *methods)
{
  enum { COUNT = 12 };
  struct opened o;
  struct error err = {0};
  struct problem problems[COUNT];
  struct given items[COUNT];
  double *together, *alone;
  int32_t all, n, at = 0;
  struct result r = open_run("alone", data, &methods, methods ? 1 : 0, 2, false, NULL, &o);
  CHECK_OK(r.rc, &r.err);
  for (int i = 0; i < COUNT; i++) {
    CHECK_OK(stream_next(o.run->stream, o.arena, &problems[i], &err), &err);
    CHECK_OK(given_read(o.run, o.arena, &problems[i], &items[i], &err), &err);
  }
  CHECK_OK(logps_of(o.run, items, COUNT, &together, &all, &err), &err);
  for (int i = 0; i < COUNT; i++) {
    CHECK_OK(logps_of(o.run, &items[i], 1, &alone, &n, &err), &err);
    CHECK(n > 1);
    CHECK_BITS(together + at, alone, (size_t)n * sizeof *alone);
    at += n;
  }
  CHECK_INT(at, all);
  arena_destroy(o.arena);
  CHECK_OK(file_remove_tree(folder, &err), &err);
}

static void fresh(void)
{
  char model[80];
  snprintf(folder, sizeof folder, "/tmp/assay-law-XXXXXX");
  CHECK(mkdtemp(folder) != NULL);
  snprintf(model, sizeof model, "%s/model", folder);
  CHECK_INT(tiny_model_write(model), 0);
  write_data("examples.jsonl", false, true);
  write_data("apart.jsonl", false, false);
  write_data("pairs.jsonl", true, true);
}

static void test_neighbours_move_no_bit(void **state)
{
  (void)state;
  fresh();
  check_alone("examples.jsonl", NULL);
  fresh();
  check_alone("pairs.jsonl", "methods=[dpo]");
}

static void test_sharing(void **state)
{
  (void)state;
  struct error err = {0};
  const char *shared[] = {"train.share_prefixes=true"}, *apart[] = {"train.share_prefixes=false"};
  fresh();
  // nothing to share: the same weights
  struct result a = run_it("a", "apart.jsonl", shared, 1, 1, false, NULL),
                b = run_it("b", "apart.jsonl", apart, 1, 2, false, NULL);
  CHECK_OK(a.rc, &a.err);
  CHECK_OK(b.rc, &b.err);
  CHECK_STR(a.weights, b.weights);
  CHECK_CLOSE(a.rows, b.rows, 0, "the same tree");
  // much to share: fewer rows, gradients summed in another order
  struct result c = run_it("c", "examples.jsonl", shared, 1, 1, false, NULL),
                d = run_it("d", "examples.jsonl", apart, 1, 1, false, NULL);
  CHECK_OK(c.rc, &c.err);
  CHECK_OK(d.rc, &d.err);
  CHECK(c.rows < 0.8 * d.rows);
  CHECK_CLOSE(c.loss, d.loss, type == COMPUTE_BF16 ? 0.05 : 1e-3,
              "six steps of AdamW on gradients whose sums differ in the last bits");
  CHECK_OK(file_remove_tree(folder, &err), &err);
}

/* At the first step the policy is the reference: each pair's margin is 0 and its loss log 2, exactly. */
static void test_kept_reference(void **state)
{
  (void)state;
  struct opened o;
  struct error err = {0};
  const char *dpo = "methods=[dpo]";
  fresh();
  struct result r = open_run("kept", "pairs.jsonl", &dpo, 1, 2, false, NULL, &o);
  CHECK_OK(r.rc, &r.err);
  CHECK(o.run->kept && !o.run->reference);
  CHECK_INT(o.run->plan.reference, 0);
  o.run->metrics.count = 0;
  CHECK_OK(run_step(o.run, &err), &err);
  // of the second mini-batch the weights have moved; both together were reported
  CHECK(metrics_get(&o.run->metrics, "dpo/pairs") > 0);
  arena_destroy(o.arena);
  CHECK_OK(file_remove_tree(folder, &err), &err);
  fresh();
  const char *once[] = {dpo, "train.minibatches=1"};
  r = open_run("once", "pairs.jsonl", once, 2, 1, false, NULL, &o);
  CHECK_OK(r.rc, &r.err);
  CHECK_OK(run_step(o.run, &err), &err);
  CHECK_CLOSE(metrics_get(&o.run->metrics, "dpo/margin"), 0, 0, "the same bits");
  CHECK_CLOSE(metrics_get(&o.run->metrics, "loss"), 0.69314718055994531, 1e-15, "a mean of log 2");
  arena_destroy(o.arena);
  CHECK_OK(file_remove_tree(folder, &err), &err);
}

static int asked;
static bool stop_sometimes(void)
{
  return ++asked % 4 == 0;
}

static void check_pairs(const char *method)
{
  static const struct {
    const char *overrides[3];
    int threads;
  } cases[] = {{{"compute.micro_batch=512", "compute.kv_block=4"}, 2},
               {{"compute.recompute=true", "compute.vocab_chunk=32"}, 3}};
  struct error err = {0};
  fresh();
  struct result first = run_it("first", "pairs.jsonl", &method, 1, 1, false, NULL);
  CHECK_OK(first.rc, &first.err);
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    const char *overrides[4] = {method, cases[i].overrides[0], cases[i].overrides[1]};
    char name[32];
    snprintf(name, sizeof name, "case%zu", i);
    struct result r = run_it(name, "pairs.jsonl", overrides, 3, cases[i].threads, false, NULL);
    CHECK_OK(r.rc, &r.err);
    CHECK_STR(r.weights, first.weights);
    CHECK_STR(r.state, first.state);
  }
  struct result r = {.rc = ERROR_STOPPED};
  int turns = 0;
  for (; r.rc == ERROR_STOPPED; turns++) {
    r = run_it("stopped", "pairs.jsonl", &method, 1, 1, turns > 0, stop_sometimes);
    CHECK(turns < 20);
  }
  CHECK_OK(r.rc, &r.err);
  CHECK(turns >= 2);
  CHECK_STR(r.weights, first.weights);
  CHECK_STR(r.state, first.state);
  const char *still[] = {method, "train.lr=0"};
  r = run_it("still", "pairs.jsonl", still, 2, 1, false, NULL);
  CHECK_OK(r.rc, &r.err);
  CHECK(strcmp(r.weights, first.weights) != 0);
  CHECK_OK(file_remove_tree(folder, &err), &err);
}

static void test_runs_on_pairs(void **state)
{
  (void)state;
  check_pairs("methods=[dpo]");
}

static void test_reward_models(void **state)
{
  (void)state;
  check_pairs("methods=[reward_model]");
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_neighbours_move_no_bit), cmocka_unit_test(test_sharing),
                                     cmocka_unit_test(test_kept_reference), cmocka_unit_test(test_runs_on_pairs),
                                     cmocka_unit_test(test_reward_models)};
  int failed = 0;
  log_set_quiet(true);
  for (type = COMPUTE_F32; type <= COMPUTE_BF16; type++)
    failed += cmocka_run_group_tests_name(compute_type_name(type), tests, NULL, NULL);
  return failed;
}
