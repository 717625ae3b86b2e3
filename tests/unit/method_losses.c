/* The baselines that change the loss: derivatives, weights that are constants for the derivative, dynamic sampling, and
 * what happens where a formula says nothing. Their numbers: tests/golden/losses.c. */
#include "unit/method_case.h"

#include "method/part_divergence.h"

static const struct case_rollout STEP[] = {{0, 0, 1, 3}, {0, 1, 0, 2},   {0, 2, 0.25, 4}, {1, 0, 0, 1},  {1, 1, 1, 5},
                                           {1, 2, 1, 2}, {2, 0, 0.5, 2}, {2, 1, 0.5, 3},  {2, 2, 0.5, 1}};
enum { COUNT = sizeof STEP / sizeof STEP[0], MOST = 64 };

static struct composed *open_method(const char *method, const char *options)
{
  char text[512];
  struct composed *set = NULL;
  struct error err = {0};
  snprintf(text, sizeof text, "[{%s: {%s}}]", method, options);
  CHECK_OK(case_open(text, 1, &set, &err), &err);
  return set;
}

/* A mini-batch of STEP whose policy is a little off the record: log-ratios of -0.1 .. 0.1. */
static struct minibatch *moved(struct composed *set)
{
  struct error err = {0};
  struct step *s = case_step(STEP, COUNT, NULL);
  case_score(set, s);
  CHECK_OK(compose_reward(set, s, &err), &err);
  CHECK_OK(compose_shape(set, s, &err), &err);
  CHECK_OK(compose_advantage(set, s, &err), &err);
  CHECK_OK(compose_weight(set, s, &err), &err);
  struct minibatch *m = case_minibatch(set, s, &err);
  for (int32_t i = 0; i < m->count; i++) {
    m->logp[i] = m->old[i] + 0.05 * ((i * 7) % 5 - 2) + 0.003 * i;
    if (m->entropy) m->entropy[i] = 1 + 0.1 * i;
    if (m->reference) m->reference[i] = m->old[i] - 0.03 * ((i * 3) % 7 - 3);
  }
  return m;
}

static struct composed_loss loss_of(struct composed *set, const struct minibatch *m)
{
  struct composed_loss loss;
  struct error err = {0};
  CHECK_OK(compose_objective(set, m, case_arena, &loss, &err), &err);
  return loss;
}

/* ---- derivatives ---------------------------------------------------------------------------------------------------
 */

static void check_derivatives(const char *method, const char *options)
{
  struct composed *set = open_method(method, options);
  struct minibatch *m = moved(set);
  struct composed_loss loss = loss_of(set, m);
  double want[MOST], got[MOST];
  const double h = 1e-5;
  CHECK(m->count <= MOST);
  for (int entropy = 0; entropy < 2; entropy++) {
    double *x = entropy ? m->entropy : m->logp;
    if (!x) continue;
    for (int32_t i = 0; i < m->count; i++) {
      double was = x[i];
      x[i] = was + h;
      want[i] = loss_of(set, m).loss;
      x[i] = was - h;
      want[i] = (want[i] - loss_of(set, m).loss) / (2 * h);
      x[i] = was;
      got[i] = entropy ? loss.entropy_coef[i] : loss.coef[i];
    }
    /* h^2 of the third derivative is 1e-10 of the loss's size, at most 100; the difference loses 1e-14 / 1e-5. */
    check_report(check_grad_at(got, want, (size_t)m->count, 1e-6, 1e-8), method, __FILE__, __LINE__);
  }
}

static void test_derivatives(void **state)
{
  static const char *const CASES[][2] = {
      {"dr_grpo", ""},
      {"dr_grpo", "constant: 7, clip_low: 0.04, clip_high: 0.02"},
      {"dapo", ""},
      {"dapo", "clip_low: 0.04, clip_high: 0.02, clip_dual: 1.01, overlong: filter"},
      {"gspo", "clip_low: .inf, clip_high: .inf"},
      {"gspo", "clip_low: 0.01, clip_high: 0.01"},
      {"luspo", "clip_low: 0.01, clip_high: 0.02"},
      {"gmpo", ""},
      {"gmpo", "clip_low: 0.03, clip_high: 0.03, empty: counted"},
      {"sapo", ""},
      {"sapo", "tau_positive: 5, tau_negative: 9, aggregation: token_mean"},
      {"clip_cov", "low: 0, high: 100, share: 0.2"},
      {"kl_cov", "share: 0.3, coef: 0.5"},
      {"psr_nsr", "mode: psr"},
      {"psr_nsr", "mode: nsr"},
      {"psr_nsr", ""},
      {"rft", "threshold: 0.5"},
      {"rft", "threshold: 0.5, aggregation: seq_mean_token_mean, most: 1"},
      {"entropy_bonus", "coef: 0.3, aggregation: seq_mean_token_mean"},
      {"dpo", ""},
      {"dpo", "smoothing: 0.2, score: forward_kl"},
      {"dpo", "pairs: 3, score: js_divergence"},
      {"dpo", "loss: hinge"},
      {"dpo", "loss: ipo"},
      {"dpo", "loss: ipo, per_token: false"},
      {"dpo", "loss: exo_pair, smoothing: 0.1"},
      {"dpo", "loss: nca_pair"},
      {"dpo", "loss: robust, smoothing: 0.1"},
      {"dpo", "loss: bco_pair"},
      {"dpo", "loss: sppo_hard"},
      {"dpo", "loss: aot, smoothing: 0.1"},
      {"dpo", "loss: aot_unpaired"},
      {"dpo", "loss: apo_zero, beta: 2"},
      {"dpo", "loss: apo_down, beta: 2"},
      {"dpo", "loss: discopop, beta: 0.5"},
      {"dpo", "loss: sft"},
      {"dpo", "loss: sigmoid_norm"},
  };
  (void)state;
  for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) check_derivatives(CASES[i][0], CASES[i][1]);
}

/* Scores of pairs: dL/dvalue against differences. */
static void test_score_derivatives(void **state)
{
  static const char *const CASES[] = {"", "centre: 0.3", "pairs: 3, centre: 0.01"};
  const double h = 1e-5;
  (void)state;
  for (size_t k = 0; k < sizeof CASES / sizeof CASES[0]; k++) {
    struct composed *set = open_method("reward_model", CASES[k]);
    struct minibatch *m = moved(set);
    double got[64], want[64], size = 0;
    CHECK(m->count <= 64);
    for (int32_t i = 0; i < m->count; i++) m->value[i] = 0.4 * ((7 * i) % 5) - 0.7;
    struct composed_loss loss = loss_of(set, m);
    for (int32_t i = 0; i < m->count; i++) {
      double was = m->value[i];
      m->value[i] = was + h;
      want[i] = loss_of(set, m).loss;
      m->value[i] = was - h;
      want[i] = (want[i] - loss_of(set, m).loss) / (2 * h);
      m->value[i] = was;
      size += check_abs(got[i] = loss.value_coef[i]);
    }
    CHECK(size > 0.1);
    /* h^2 of the third derivative is 1e-10; the difference loses 1e-15 / 1e-5. */
    check_report(check_grad_at(got, want, (size_t)m->count, 1e-6, 1e-8), "reward_model", __FILE__, __LINE__);
  }
}

/* Where the ratio is a weight, L = coef * logp with a constant coef: differences of L would move the weight, too. */
static void test_weights_are_constants(void **state)
{
  static const char *const CASES[][2] = {
      {"cispo", ""}, {"cispo", "clip_low: 0.05, clip_high: 0.05"},        {"cispo", "dialect: trl, clip_high: 1.02"},
      {"dppo", ""},  {"dppo", "divergence: kl, low: 0.001, high: 0.001"}, {"vespo", ""}};
  (void)state;
  for (size_t k = 0; k < sizeof CASES / sizeof CASES[0]; k++) {
    struct composed *set = open_method(CASES[k][0], CASES[k][1]);
    struct minibatch *m = moved(set);
    struct composed_loss loss = loss_of(set, m);
    double sum = 0, size = 0;
    for (int32_t i = 0; i < m->count; i++) {
      sum += loss.coef[i] * m->logp[i];
      size += check_abs(loss.coef[i]);
    }
    CHECK(size > 0);
    CHECK_CLOSE(loss.loss, sum, 1e-14, "the same products in another order");
  }
}

/* The whole response moved at once: GSPO-token's gradients add up to GSPO's, each token's own included. */
static void test_gspo_token_adds_up(void **state)
{
  (void)state;
  static const char RANGE[] = "clip_low: 0.02, clip_high: 0.02";
  struct composed *whole = open_method("gspo", RANGE), *own = open_method("gspo_token", RANGE);
  struct minibatch *a = moved(whole), *b = moved(own);
  struct composed_loss x = loss_of(whole, a), y = loss_of(own, b);
  CHECK_CLOSE(x.loss, y.loss, 1e-15, "equal in value");
  for (int32_t i = 0; i < a->count; i++) CHECK_CLOSE(x.coef[i], y.coef[i], 1e-15, "one advantage a response");
}

static void test_divergences(void **state)
{
  enum { V = 7 };
  static const struct divergence_options CASES[] = {{.alpha = 0},   {.alpha = 1}, {.alpha = 0.3}, {0.0, 3, true},
                                                    {0.5, 3, true}, {1, 3, true}, {0, 3, false},  {1, 4, false}};
  double z[V], t[V], lp[V], lq[V], got[V], want[V], unused[V], work[2 * V];
  const double h = 1e-5;
  (void)state;
  for (size_t k = 0; k < sizeof CASES / sizeof CASES[0]; k++) {
    for (int i = 0; i < V; i++) {
      z[i] = 0.3 * ((i * 5) % 7) - 0.01 * i;
      t[i] = 0.4 * ((i * 3) % 5);
    }
    divergence_log_softmax(t, V, lq);
    divergence_log_softmax(z, V, lp);
    divergence_row(lp, lq, V, &CASES[k], got, work);
    for (int i = 0; i < V; i++) {
      double was = z[i], side[2];
      for (int up = 0; up < 2; up++) {
        z[i] = up ? was + h : was - h;
        divergence_log_softmax(z, V, lp);
        side[up] = divergence_row(lp, lq, V, &CASES[k], unused, work);
      }
      z[i] = was;
      want[i] = (side[1] - side[0]) / (2 * h);
    }
    check_report(check_grad_at(got, want, V, 1e-7, 1e-9), "divergence", __FILE__, __LINE__);
  }
  /* 0 log 0 is 0; a mass with nothing opposite is infinitely far away. */
  const double half[] = {math_log(0.5), math_log(0.5)}, one[] = {0, -__builtin_inf()};
  CHECK_CLOSE(divergence_row(one, half, 2, &CASES[1], got, work), math_log(2), 1e-15, "log 2");
  CHECK(!math_is_finite(divergence_row(half, one, 2, &CASES[1], got, work)));
  CHECK(math_is_finite(divergence_row(half, one, 2, &CASES[2], got, work)));
}

/* ---- dynamic sampling ----------------------------------------------------------------------------------------------
 */

static const struct problem drawn = {.id = "drawn"};
static int draw(void *arg, struct step *s, const struct problem **out, struct error *err)
{
  (void)s;
  (void)err;
  ++*(int *)arg;
  *out = &drawn;
  return 0;
}

static struct revision revise(const char *options, bool last, int64_t left, struct step *s, int *draws)
{
  struct composed *set = open_method("dapo", options);
  struct method_host *host = ARENA_NEW(case_arena, struct method_host, 1, "test", &(struct error){0});
  struct revision out = {.last = last, .rollouts_left = left};
  struct error err = {0};
  *draws = 0;
  *host = (struct method_host){.arg = draws, .draw = draw};
  for (int32_t g = 0; g < s->group_count; g++) s->groups[g].wanted = 3;
  compose_set_host(set, host);
  CHECK_OK(compose_revise(set, s, &out, &err), &err);
  return out;
}

static void test_dynamic_sampling(void **state)
{
  (void)state;
  int draws;
  /* Group 2 has no difference: it leaves, and one problem is asked for. */
  struct step *s = case_step(STEP, COUNT, NULL);
  struct revision r = revise("", false, 100, s, &draws);
  CHECK_INT(draws, 1);
  CHECK_INT(r.again_count, 1);
  CHECK(r.again[0].problem == &drawn && r.again[0].count == 3);
  for (int32_t i = 0; i < COUNT; i++) CHECK(s->rollouts[i].kept == (s->rollouts[i].group != 2));
  /* Twice as many as are missing. */
  CHECK_INT((revise("surplus: 2", false, 100, case_step(STEP, COUNT, NULL), &draws), draws), 2);
  /* Whether an answer is right differs in groups 0 and 1 alone, too. */
  CHECK_INT((revise("metric: correct", false, 100, case_step(STEP, COUNT, NULL), &draws), draws), 1);
  /* No budget: nothing is drawn, the group leaves all the same. */
  s = case_step(STEP, COUNT, NULL);
  r = revise("", true, 0, s, &draws);
  CHECK_INT(draws, 0);
  CHECK(!s->rollouts[COUNT - 1].kept);
  r = revise("", false, 2, case_step(STEP, COUNT, NULL), &draws);
  CHECK_INT(draws, 0);
  CHECK_INT(r.refused, 3);
  /* Off: nothing happens. */
  s = case_step(STEP, COUNT, NULL);
  CHECK_INT((revise("dynamic: false", false, 100, s, &draws), draws), 0);
  CHECK(s->rollouts[COUNT - 1].kept);
}

static void test_dynamic_sampling_ends(void **state)
{
  (void)state;
  int draws;
  struct case_rollout equal[COUNT] = {0};
  for (int i = 0; i < COUNT; i++) equal[i] = (struct case_rollout){STEP[i].group, STEP[i].ordinal, 1, STEP[i].tokens};
  /* All alike and no wave left: they stay, with advantages of 0. */
  struct step *s = case_step(equal, COUNT, NULL);
  revise("", true, 0, s, &draws);
  for (int32_t i = 0; i < COUNT; i++) CHECK(s->rollouts[i].kept);
  /* With waves left all are replaced. */
  s = case_step(equal, COUNT, NULL);
  revise("", false, 100, s, &draws);
  CHECK_INT(draws, 3);
  for (int32_t i = 0; i < COUNT; i++) CHECK(!s->rollouts[i].kept);
}

/* ---- where a formula says nothing ----------------------------------------------------------------------------------
 */

static const char *const LOSSES[] = {"cispo",  "clip_cov", "dapo",    "dppo", "dr_grpo", "gmpo",  "gspo", "gspo_token",
                                     "kl_cov", "luspo",    "psr_nsr", "rft",  "sapo",    "vespo", "dpo"};

/* Log-ratios of +-1000, one at a time: a finite loss and finite derivatives. */
static void test_far_ratios(void **state)
{
  (void)state;
  for (size_t k = 0; k < sizeof LOSSES / sizeof LOSSES[0]; k++) {
    struct composed *set = open_method(LOSSES[k], "");
    for (int sign = -1; sign <= 1; sign += 2) {
      struct minibatch *m = moved(set);
      for (int32_t i = 0; i < m->count; i++) {
        double was = m->old[i];
        m->old[i] = m->logp[i] + 1000 * sign;
        struct composed_loss loss = loss_of(set, m);
        CHECK(math_is_finite(loss.loss));
        m->old[i] = was;
      }
    }
  }
}

/* A log-probability that is no number: a sentence, from every one of them. */
static void test_no_numbers(void **state)
{
  (void)state;
  for (size_t k = 0; k < sizeof LOSSES / sizeof LOSSES[0]; k++) {
    struct composed *set = open_method(LOSSES[k], "");
    struct minibatch *m = moved(set);
    struct composed_loss loss;
    struct error err = {0};
    m->logp[0] = __builtin_nan("");
    CHECK_ERROR(compose_objective(set, m, case_arena, &loss, &err), &err, ERROR_INPUT, "expected a finite number");
    error_clear(&err);
  }
}

/* All weights 0: no denominator, no loss. */
static void test_no_denominator(void **state)
{
  (void)state;
  for (size_t k = 0; k < sizeof LOSSES / sizeof LOSSES[0]; k++) {
    if (!strcmp(LOSSES[k], "dpo")) continue; /* weighs nothing */
    struct composed *set = open_method(LOSSES[k], "");
    struct minibatch *m = moved(set);
    memset((double *)(uintptr_t)m->weight, 0, (size_t)m->count * sizeof(double));
    memset((double *)(uintptr_t)m->counted, 0, (size_t)m->count * sizeof(double));
    struct composed_loss loss = loss_of(set, m);
    CHECK(loss.loss == 0);
    for (int32_t i = 0; i < m->count; i++) CHECK(loss.coef[i] == 0);
  }
}

static void test_dpo_pairs(void **state)
{
  (void)state;
  /* Equal rewards make no pair and no loss. */
  struct case_rollout equal[] = {{0, 0, 1, 2}, {0, 1, 1, 3}};
  struct composed *set = open_method("dpo", "");
  struct step *s = case_step(equal, 2, NULL);
  struct error err = {0};
  CHECK_OK(compose_shape(set, s, &err), &err);
  CHECK_OK(compose_advantage(set, s, &err), &err);
  struct minibatch *m = case_minibatch(set, s, &err);
  for (int32_t i = 0; i < m->count; i++) m->reference[i] = m->old[i];
  CHECK(loss_of(set, m).loss == 0);
  /* exo_pair needs a share of wrong labels. */
  struct composed *refused = NULL;
  CHECK_ERROR(case_open("[{dpo: {loss: exo_pair}}]", 1, &refused, &err), &err, ERROR_INPUT, "smoothing");
}

static void test_rft_keeps_the_first(void **state)
{
  (void)state;
  static const struct case_rollout TWICE[] = {{0, 0, 1, 2}, {0, 1, 1, 2}, {0, 2, 1, 3}, {1, 0, 1, 2}};
  struct composed *set = open_method("rft", "");
  struct step *s = case_step(TWICE, 4, NULL);
  struct error err = {0};
  CHECK_OK(compose_shape(set, s, &err), &err);
  CHECK_OK(compose_advantage(set, s, &err), &err);
  CHECK_OK(compose_weight(set, s, &err), &err);
  static const double WANT[] = {1, 1, 0, 0, 1, 1, 1, 1, 1}; /* the same ids in another group are another answer */
  for (int32_t p = 0; p < s->path_count; p++) CHECK(s->weight[p] == WANT[p] && s->counted[p] == WANT[p]);
}

static void test_entropy_target(void **state)
{
  (void)state;
  struct composed *set = open_method("entropy_bonus", "coef: 0.01, target: 0.5, rate: 0.02, most: 0.03");
  struct minibatch *m = moved(set);
  struct error err = {0};
  static const double SEEN[] = {0.2, 0.2, 0.9, 0.9, 0.9}, WANT[] = {0.03, 0.03, 0.01, 0, 0};
  for (int i = 0; i < 5; i++) {
    CHECK_OK(compose_observe(set, m->step, &(struct observation){.entropy = SEEN[i]}, &err), &err);
    double by = loss_of(set, m).entropy_coef[0] * m->count;
    CHECK_CLOSE(-by, WANT[i], 1e-15, "sums of hundredths");
  }
  /* A step that trained nothing says nothing. */
  CHECK_OK(compose_observe(set, m->step, &(struct observation){.entropy = __builtin_nan("")}, &err), &err);
  CHECK_CLOSE(loss_of(set, m).entropy_coef[0], 0, 1e-15, "unmoved");
}

int main(void)
{
  struct error err = {0};
  case_arena = arena_create("test", 0, &err);
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_derivatives),
                                     cmocka_unit_test(test_score_derivatives),
                                     cmocka_unit_test(test_weights_are_constants),
                                     cmocka_unit_test(test_gspo_token_adds_up),
                                     cmocka_unit_test(test_divergences),
                                     cmocka_unit_test(test_dynamic_sampling),
                                     cmocka_unit_test(test_dynamic_sampling_ends),
                                     cmocka_unit_test(test_far_ratios),
                                     cmocka_unit_test(test_no_numbers),
                                     cmocka_unit_test(test_no_denominator),
                                     cmocka_unit_test(test_dpo_pairs),
                                     cmocka_unit_test(test_rft_keeps_the_first),
                                     cmocka_unit_test(test_entropy_target)};
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  arena_destroy(case_arena);
  return failed;
}
