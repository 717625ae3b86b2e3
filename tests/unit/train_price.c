/* The price of methods: multiply-adds that this page counts again by hand, on a model whose numbers are round. */
#include "check.h"

#include "method/compose.h"
#include "method/part_recompose.h"
#include "train/price.h"

/* A row of the body: 2 (64 x 64 + 64 x 32) + 3 x 64 x 128 a layer; of the head: 64 x 1000. */
static const struct model_config CONFIG = {
    .vocab = 1000, .hidden = 64, .layers = 2, .heads = 4, .kv_heads = 2, .head_dim = 16, .ffn = 128, .tied = true};
static const double BODY = 2 * (2 * (64 * 64 + 64 * 32) + 3 * 64 * 128), HEAD = 64 * 1000, PAIR = 2 * 2 * 64;
static const struct price_shape SHAPE = {
    .policy = &CONFIG, .groups = 2, .prompt = 10, .group = 4, .answer = 6, .second = 12, .updates = 1};
/* 2 prompts of 10, 8 answers of which 5 tokens are rows. */
enum { ROWS = 20 + 40, HEADS = 2 + 40, PAIRS = 20 * 5 + 40 * 13 };
static const char SUMS[] = "the order of a few sums";
static struct error err;

static double forward(double rows, double heads, double pairs)
{
  return rows * BODY + heads * HEAD + pairs * PAIR;
}

static double unit(void)
{
  return forward(ROWS, HEADS, PAIRS);
}

/* Forward, two products backwards, logits once more. */
static double training(double rows, double heads, double pairs)
{
  return 3 * rows * BODY + 4 * heads * HEAD + 3.2 * pairs * PAIR;
}

static void check_total(const struct price *p)
{
  double sum = p->passes + p->rows + p->trained + p->updates + p->probes + p->own;
  CHECK_CLOSE(p->total, sum, 1e-12, SUMS);
}

static struct price price_of(const struct needs *n)
{
  struct price p;
  price_step(n, &SHAPE, &p);
  check_total(&p);
  return p;
}

static void nothing_and_a_pass(void **state)
{
  (void)state;
  struct price none = price_of(&(struct needs){0});
  CHECK_CLOSE(none.total, 0.0, 0.0, "nobody asks");
  struct price one = price_of(&(struct needs){.flags = NEED_REFERENCE_LOGP});
  CHECK_CLOSE(one.passes, 1.0, 1e-12, SUMS);
  CHECK_CLOSE(one.total, 1.0, 1e-12, SUMS);
  /* a reference of half the layers */
  struct model_config half = CONFIG;
  struct price_shape shape = SHAPE;
  half.layers = 1;
  shape.reference = &half;
  price_step(&(struct needs){.flags = NEED_REFERENCE_LOGP}, &shape, &one);
  CHECK_CLOSE(one.passes, (ROWS * BODY / 2 + HEADS * HEAD + PAIRS * PAIR / 2) / unit(), 1e-12, SUMS);
}

static void beside_the_answers(void **state)
{
  (void)state;
  /* a token behind each of 8 answers, 16 positions in */
  struct needs n = {.flags = NEED_LAST_STATE};
  CHECK_CLOSE(price_of(&n).total, 1 + forward(8, 0, 8 * 16) / unit(), 1e-12, SUMS);
  n.flags = NEED_SLOT;
  n.slot_trained = true;
  struct price p = price_of(&n);
  CHECK_CLOSE(p.passes, 1 + forward(8, 8, 8 * 16) / unit(), 1e-12, SUMS);
  CHECK_CLOSE(p.trained, training(8, 8, 8 * 16) / unit(), 1e-12, SUMS);
  CHECK_CLOSE(p.again, training(8, 8, 8 * 16) / training(ROWS, HEADS, PAIRS), 1e-12, SUMS);
  n = (struct needs){.flags = NEED_PROMPT_LOGP};
  CHECK_CLOSE(price_of(&n).total, 1 + 18 * HEAD / unit(), 1e-12, SUMS);
}

static void second_contexts(void **state)
{
  (void)state;
  struct needs n = {.flags = NEED_SECOND_CONTEXT, .second_policies = {"policy"}};
  /* one of 12 tokens for each answer, or one of a single token a group */
  CHECK_CLOSE(price_of(&n).total, forward(8 * 12 + 40, 8 + 40, 8 * 12 * 6 + 40 * 15) / unit(), 1e-12, SUMS);
  n.second_each = n.second_prompt = 1;
  n.second_trained = true;
  struct price p = price_of(&n);
  CHECK_CLOSE(p.passes, forward(2 + 40, 2 + 40, 1 + 40 * 4) / unit(), 1e-12, SUMS);
  CHECK_CLOSE(p.trained, training(2 + 40, 2 + 40, 1 + 40 * 4) / unit(), 1e-12, SUMS);
}

static void more_updates(void **state)
{
  (void)state;
  /* a whole step once more, and before the main update: itself scored, then law 1, then the step's own */
  struct needs n = {.more_updates = {.again = 1, .first = true}};
  struct price p = price_of(&n);
  CHECK_CLOSE(p.passes, 3.0, 1e-12, SUMS);
  CHECK_CLOSE(p.again, 1.0, 1e-12, SUMS);
  CHECK(p.updates > 0 && p.updates < 1);
  /* with several mini-batches law 1 has its pass anyhow */
  struct price_shape shape = SHAPE;
  shape.updates = 2;
  price_step(&n, &shape, &p);
  CHECK_CLOSE(p.passes, 1.5, 1e-12, SUMS);
  /* half waits, and half comes back in every other step */
  n.more_updates = (struct update_need){.left_out = 0.5, .again = 0.5};
  p = price_of(&n);
  double half = forward(20 + 20, 2 + 20, 20 * 5 + 20 * 13), trained = training(20 + 20, 2 + 20, 20 * 5 + 20 * 13);
  CHECK_CLOSE(p.passes, (0.5 * (unit() + unit()) + 0.5 * half) / unit(), 1e-12, SUMS);
  CHECK_CLOSE(p.again, 0.5 + trained / training(ROWS, HEADS, PAIRS) - 1, 1e-12, SUMS);
}

static double an_eighth(const void *options, const struct work_shape *s)
{
  CHECK_CLOSE(s->group, 4.0, 0.0, "small whole numbers");
  return *(const double *)options / 8;
}

/* Parts that are rounded up leave less, and less comes back. */
static void rounding(void **state)
{
  (void)state;
  const double one = 1;
  struct needs n = {
      .more_updates = {.left_out = 0.5, .again = 0.5, .entries = 3, .rounding = an_eighth, .options = &one}};
  struct needs sum = {0};
  CHECK_OK(needs_add(&sum, &n, "a", &err), &err);
  /* 3 of 8 wait, and 3 come back at once in every step */
  struct price p = price_of(&sum);
  double whole = training(ROWS, HEADS, PAIRS), three = training(20 + 15, 2 + 15, 20 * 5 + 15 * 13);
  double five = training(20 + 25, 2 + 25, 20 * 5 + 25 * 13);
  CHECK_CLOSE(p.trained, (three + five - whole) / unit(), 1e-12, SUMS);
  CHECK_CLOSE(p.passes, 1 + forward(20 + 15, 2 + 15, 20 * 5 + 15 * 13) / unit(), 1e-12, SUMS);
  /* 2 at once: no more than those, though 3 wait */
  sum.more_updates.entries = 2;
  double two = training(20 + 10, 2 + 10, 20 * 5 + 10 * 13);
  CHECK_CLOSE(price_of(&sum).trained, (two + five - whole) / unit(), 1e-12, SUMS);
}

/* Of 8 answers with 1, 2 .. 7 right ones, halves rounded up: 5 4 5 4 5 4 5. */
static void rounded_parts(void **state)
{
  (void)state;
  CHECK_CLOSE(recompose_rounding(0.5, 8), 32.0 / 7 / 8 - 0.5, 1e-15, SUMS);
  CHECK_CLOSE(recompose_rounding(0.5, 2), 0.5, 1e-15, SUMS);
  CHECK_CLOSE(recompose_rounding(0.7, 1), 0.3, 1e-15, SUMS);
  CHECK_CLOSE(recompose_rounding(1, 16), 0.0, 1e-15, "nothing is rounded");
  CHECK_CLOSE(recompose_rounding(0, 16), 0.0, 0.0, "nothing is taken");
  CHECK(recompose_rounding(0.5, 1e5) > 0 && recompose_rounding(0.5, 1e5) < 1e-5);
}

static void rows_and_functions(void **state)
{
  (void)state;
  struct needs n = {.flags = NEED_TOKEN_STAT, .token_stats = {{TOKEN_STAT_MAX_P, 0}}, .token_stat_count = 1};
  double plain = price_of(&n).rows;
  CHECK(plain > HEADS * HEAD / unit()); /* the logits once more, and their softmax */
  n.token_stats[0].kind = TOKEN_STAT_SUM_P2;
  CHECK(price_of(&n).rows > plain); /* an exponential more */
  n = (struct needs){.flags = NEED_ROW_TERM, .row_source_count = 1, .row_sources = {{"reference", false}}};
  CHECK(price_of(&n).rows > 2 * plain); /* another's rows are read for every token */
}

static double half_a_width(const void *options, const struct work_shape *s)
{
  CHECK_CLOSE(s->groups * s->group * s->answer, 48.0, 0.0, "small whole numbers");
  return *(const double *)options * s->width;
}

static void own_arithmetic_and_probes(void **state)
{
  (void)state;
  const double few = 1e3, many = 2e3;
  struct needs n = {.own = {{half_a_width, &few}}, .own_count = 1};
  double one = price_of(&n).own;
  CHECK(one > 64 * few / unit());
  n.own[0].options = &many;
  CHECK_CLOSE(price_of(&n).own, 2 * one, 1e-12, SUMS);
  struct needs both = {0};
  CHECK_OK(needs_add(&both, &n, "a", &err), &err);
  CHECK_OK(needs_add(&both, &n, "b", &err), &err);
  CHECK_CLOSE(price_of(&both).own, 4 * one, 1e-12, SUMS);
  /* an answer to each prompt, sampled and looked at by law 1 */
  n = (struct needs){.flags = NEED_GENERATE, .probes = 1};
  CHECK_CLOSE(price_of(&n).probes, 2 * forward(20 + 10, 2 + 10, 20 * 5 + 10 * 13) / unit(), 1e-12, SUMS);
}

/* Every method of the registry, under its defaults, has a price that is a number and not below the cheapest thing that
 * it may leave out. */
static void registry(void **state)
{
  (void)state;
  for (size_t i = 0; i < method_count(); i++) {
    const struct method_choice choice = {.name = method_at(i)->name};
    const struct compose_options o = {.seed = 1, .epochs = 1, .minibatches = 1};
    struct arena *a = arena_create("test", 0, &err);
    struct composed *set;
    CHECK_OK(compose_open(a, &choice, 1, &o, &set, &err), &err);
    struct price p = price_of(compose_needs(set));
    if (!(p.total > -training(ROWS, HEADS, PAIRS) / unit() && p.total < 1e9))
      fail_msg("%s: %g forwards", choice.name, p.total);
    arena_destroy(a);
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(nothing_and_a_pass),
                                     cmocka_unit_test(beside_the_answers),
                                     cmocka_unit_test(second_contexts),
                                     cmocka_unit_test(more_updates),
                                     cmocka_unit_test(rounding),
                                     cmocka_unit_test(rounded_parts),
                                     cmocka_unit_test(rows_and_functions),
                                     cmocka_unit_test(own_arithmetic_and_probes),
                                     cmocka_unit_test(registry)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
