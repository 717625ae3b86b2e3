/* The time of a step: it follows from work and pace as the formulas say, and the pace is measured. */
#include "check.h"

#include "method/compose.h"
#include "train/cost.h"
#include "train/score.h"

static const struct model_config CONFIG = {
    .vocab = 1000, .hidden = 64, .layers = 2, .heads = 4, .kv_heads = 2, .head_dim = 16, .ffn = 128, .tied = true};
static const struct plan PLAN = {.slots = 8, .threads = 2, .micro_rows = 64};
static const struct cost_pace PACE = {
    .one_row = 1e-9, .slot_rows = 2e-9, .forward = 1e-10, .dx = 2e-10, .dw = 3e-10, .adamw = 4e-9};
static struct error err;

static void products_alone(void **state)
{
  (void)state;
  struct cost_pace pace = PACE;
  struct cost_work w = {.groups = 4, .prompt = 1, .epochs = 1, .moves = 1};
  struct cost cost;
  struct model_config c = CONFIG;
  // 4 examples of one token: no attention to speak of, no sampling
  cost_step(&pace, &c, &PLAN, &w, &cost);
  double layer = 2 * 64 * 64 + 2 * 64 * 32 + 3 * 64 * 128, head = 64 * 1000;
  CHECK_CLOSE(cost.generate, 0.0, 0.0, "nothing is sampled");
  CHECK_CLOSE(cost.score, 0.0, 0.0, "no passes");
  CHECK_CLOSE(cost.update, (2 * layer + head) * 4e-9, 1e-15, "rounding of a handful of operations");
  double products = 4 * 2 * layer * 6e-10 + 4 * head * 7e-10;
  CHECK(cost.train > products && cost.train < 1.02 * products);
  CHECK_CLOSE(cost.total, cost.train + cost.update, 1e-15, "rounding of one addition");
}

static void grows_with_work(void **state)
{
  (void)state;
  struct cost_work w = {.groups = 2, .prompt = 10, .rollouts = 16, .fresh = 20, .epochs = 1, .moves = 1, .passes = 1};
  struct cost once, twice, slow;
  cost_step(&PACE, &CONFIG, &PLAN, &w, &once);
  w.rollouts = 32;
  cost_step(&PACE, &CONFIG, &PLAN, &w, &twice);
  CHECK(twice.generate > 1.8 * once.generate && twice.generate < 2 * once.generate);
  CHECK(twice.train > once.train && twice.score > once.score && twice.update == once.update);
  w.rollouts = 16;
  w.probes = 16; /* as many answers, of which half are trained */
  w.again = 1;   /* twice */
  cost_step(&PACE, &CONFIG, &PLAN, &w, &slow);
  CHECK(slow.generate == twice.generate && slow.score == once.score && slow.update == once.update);
  CHECK_CLOSE(slow.train, 2 * once.train, 1e-15, "rounding of one product");
  w.probes = w.again = 0;
  struct plan narrow = PLAN;
  narrow.slots = 1;
  narrow.recompute = true;
  cost_step(&PACE, &CONFIG, &narrow, &w, &slow);
  CHECK(slow.generate > 3 * once.generate); /* 8 slots at twice the time of one row */
  CHECK(slow.train > once.train);
}

/* Answers that are not trained, and rollouts that are trained twice. */
static void told(void **state)
{
  (void)state;
  static const struct {
    const char *method, *words;
  } CASES[] = {{"remax", "extra answers a step: up to 1 a problem, not trained"},
               {"pipo", "extra training a step: 1 of a step's rollouts once more"}};
  for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
    struct arena *a = arena_create("test", 0, &err);
    struct composed *set;
    struct text t = {0};
    const struct method_choice choice = {.name = CASES[i].method};
    const struct compose_options o = {.seed = 1, .epochs = 1, .minibatches = 2};
    CHECK_OK(compose_open(a, &choice, 1, &o, &set, &err), &err);
    score_describe(compose_needs(set), 2, &t);
    CHECK_OK(text_finish(&t, &err), &err);
    if (!strstr(t.bytes, CASES[i].words)) fail_msg("found %s; expected \"%s\" in it", t.bytes, CASES[i].words);
    text_free(&t);
    arena_destroy(a);
  }
}

static void measures(void **state)
{
  (void)state;
  struct device *d;
  struct cost_pace pace;
  CHECK_OK(device_open(&(struct device_options){.kind = "cpu", .threads = 1}, &d, &err), &err);
  CHECK_OK(cost_measure(d, &CONFIG, &PLAN, &pace, &err), &err);
  const double all[] = {pace.one_row, pace.slot_rows, pace.forward, pace.dx, pace.dw, pace.adamw, pace.byte};
  for (int i = 0; i < 7; i++) CHECK(all[i] > 0 && all[i] < 1e-6);
  CHECK(pace.wake >= 0 && pace.wake < 1e-2);
  device_close(d);
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(products_alone), cmocka_unit_test(grows_with_work),
                                     cmocka_unit_test(told), cmocka_unit_test(measures)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
