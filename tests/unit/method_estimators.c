/* The parts that advantages are made of, where their formulas say nothing: no tokens, no deviation, one rollout,
 * rewards and log-probabilities at the ends of what a number holds. */
#include "unit/method_case.h"

#include "method/part_correction.h"
#include "method/part_group.h"
#include "method/part_kl.h"
#include "method/part_return.h"
#include "method/part_token_baseline.h"

static const double EXACT = 1e-15; /* a few roundings of numbers of order 1 */

static void test_groups(void **state)
{
  (void)state;
  double a[4];
  const double one[] = {7}, none[] = {0, 0, 0}, lengths[] = {0, 0, 0}, mixed[] = {1, 0, 2};
  group_length_weighted(mixed, lengths, 3, a); /* no tokens: the plain mean */
  CHECK_CLOSE(a[0], 0, EXACT, "1 - (1 + 0 + 2) / 3");
  CHECK_CLOSE(a[2], 1, EXACT, "2 - 1");
  group_length_weighted(one, lengths, 1, a);
  CHECK(a[0] == 7);
  group_divided(none, 3, 0, a); /* 0 over 0 */
  CHECK(a[0] == 0 && a[1] == 0 && a[2] == 0);
  group_best(one, 1, 1e-6, a);
  CHECK(a[0] == 0);
  const double tie[] = {3, 1, 3};
  group_best(tie, 3, -1, a); /* two best: neither is ahead */
  CHECK(a[0] == 0 && a[1] == 0 && a[2] == 0);
  const double low[] = {-3, -1, -2};
  group_best(low, 3, -1, a);
  CHECK(a[0] == 0 && a[1] == 1 && a[2] == 0);
}

static void test_sets(void **state)
{
  (void)state;
  static const int64_t SILENT[][3] = {{1, 0, 1}, {1, 1, 1}, {4, 0, 2}, {4, 4, 2}, {4, 1, 2}, {3, 2, 4}, {0, 0, 1}};
  for (size_t i = 0; i < sizeof SILENT / sizeof SILENT[0]; i++) {
    struct group_sets s = group_sets(SILENT[i][0], SILENT[i][1], SILENT[i][2]);
    CHECK(s.right == 0 && s.wrong == 0);
  }
  /* Large groups stay numbers; the advantages of a group sum to 0 where a set is one rollout. */
  struct group_sets s = group_sets(100000, 99999, 50000);
  CHECK(math_is_finite(s.right) && math_is_finite(s.wrong) && s.right > 0 && s.wrong < 0);
  s = group_sets(10, 7, 1);
  CHECK_CLOSE(3 * s.right + 7 * s.wrong, 0, 1e-14, "ten roundings");
}

static void test_whitening(void **state)
{
  (void)state;
  double x[] = {5, 5, 5}, lone[] = {3}, mask[] = {0, 0, 0};
  static const enum whitening_kind KINDS[] = {WHITEN_VERL, WHITEN_OPENRLHF, WHITEN_TRL, WHITEN_CENTRE};
  for (size_t k = 0; k < sizeof KINDS / sizeof KINDS[0]; k++) {
    double same[] = {1.4, 1.4, 1.4}, single[] = {3};
    whiten(same, 3, KINDS[k]);
    whiten(single, 1, KINDS[k]);
    CHECK(same[0] == 0 && same[1] == 0 && same[2] == 0 && single[0] == 0);
  }
  whiten(lone, 1, WHITEN_NONE);
  CHECK(lone[0] == 3);
  whiten(lone, 0, WHITEN_VERL);
  CHECK(lone[0] == 3);
  struct whitening w = whitening_measure(x, mask, 3, WHITEN_VERL); /* nothing is measured */
  CHECK(whitened(&w, x[0]) == 5);
}

static void test_holes(void **state)
{
  (void)state;
  const double rho[] = {0, 9, 9, 1, 9}, mask[] = {1, 0, 0, 1, 0}, value[] = {0.5, 7, 7, 0.25, 7};
  double g[5], a[5], ret[5];
  return_discounted(rho, mask, 5, 0.5, RETURN_SKIP, g);
  CHECK(g[0] == 0.5 && g[1] == 0 && g[3] == 1 && g[4] == 0);
  return_discounted(rho, mask, 5, 0.5, RETURN_WALK, g);
  CHECK(g[0] == 0.125 && g[3] == 1);
  return_discounted(rho, mask, 5, 0.5, RETURN_RESTART, g);
  CHECK(g[0] == 0 && g[1] == 9 && g[2] == 9.5 && g[3] == 1); /* as verl until August 2026: the hole cuts off */
  return_gae(rho, value, mask, 5, 1, 1, RETURN_SKIP, a, ret);
  CHECK(a[3] == 0.75 && a[0] == 0.5 && ret[0] == 1 && ret[3] == 1);
  return_gae(rho, value, mask, 5, 0.5, 1, RETURN_WALK, a, ret);
  CHECK(a[0] == 0.125 - 0.5 && ret[0] == 0.125);
  return_gae(rho, value, mask, 0, 1, 1, RETURN_SKIP, a, ret); /* no token, nothing written */
}

static void test_values(void **state)
{
  (void)state;
  struct value_loss v = value_loss(0.9, 0.4, 1, 0);
  CHECK_CLOSE(v.loss, 0.18, EXACT, "0.5 (0.4 - 1)^2");
  CHECK(v.coef == 0 && v.clipped);
  v = value_loss(0.4, 0.4, 1, 0); /* where it stands it is pulled */
  CHECK(v.coef == 0.4 - 1 && !v.clipped);
  double weight[3];
  const double same[] = {2, 2, 2};
  resample_weights(same, 3, RESAMPLE_MAX_MIN, 2, weight);
  CHECK(weight[0] == 1 + 1e-8);
  resample_weights(same, 0, RESAMPLE_POW, 2, weight);
}

static void test_token_baseline(void **state)
{
  (void)state;
  const int32_t slot[] = {0, 1, 2};
  const double still[] = {0, 0, 0}, moves[] = {0.4, 0.1, 0.2}, high[] = {1.4, 1.4, 1.4}, low[] = {1.4, 1.4};
  double a[3], b[2];
  struct token_baseline_row rows[] = {{.count = 3, .slot = slot, .returns = high, .energy = moves, .advantage = a},
                                      {.count = 2, .slot = slot, .returns = low, .energy = still, .advantage = b}};
  token_baseline(rows, 2, true);
  CHECK(a[0] == 0 && a[1] == 0 && b[0] == 0 && b[1] == 0 && a[2] == 1.4); /* the tail is alone */
  token_baseline(rows, 2, false);
  CHECK(a[2] == 0);
  token_baseline(rows, 1, false); /* a group of one */
  CHECK(a[0] == 1.4 && a[2] == 1.4);
  rows[1].count = 0; /* an empty rollout is shorter than any */
  token_baseline(rows, 2, true);
  CHECK(a[0] == 1.4);
}

static void test_kl(void **state)
{
  (void)state;
  struct kl_value k = kl_estimate(KL_ABS, -1, -1, KL_CLAMP_NONE);
  CHECK(k.value == 0 && k.coef == 0);
  k = kl_estimate(KL_K3_PLUS, -1, -1.5, KL_CLAMP_VERL);
  CHECK_CLOSE(k.value, 0.106531, 1e-6, "the sheet's digits");
  CHECK(k.coef == 0.5);
  k = kl_estimate(KL_K2, -1, -30, KL_CLAMP_OPENRLHF); /* beyond the bound the derivative is 0 */
  CHECK(k.value == 10 && k.coef == 0);
  k = kl_estimate(KL_K1_PLUS, -1, -30, KL_CLAMP_OPENRLHF); /* but for a plus */
  CHECK(k.value == 10 && k.coef == 29);
  CHECK(kl_controlled(0.1, 0, 6, 0, 10000) == 0.1); /* nothing was measured */
  CHECK(kl_controlled(0, 9, 6, 256, 10000) == 0);
}

static void test_correction(void **state)
{
  (void)state;
  /* Two responses, one of them empty; a token of probability 0 on one side. */
  const double old[] = {-1, -1e9}, sampler[] = {-1e9, -1};
  const struct correction_span spans[] = {{0, 2}, {2, 0}};
  const struct correction c = {2, 2, spans, old, sampler};
  struct correction_weighting o = {.level = CORRECTION_TOKEN, .kind = CORRECTION_TRUNCATE, .high = 2};
  double raw[2], weight[2];
  CHECK(correction_weights(&c, &o, raw, weight) == 1);
  CHECK(math_is_finite(raw[0]) && weight[0] == 2 && weight[1] > 0 && weight[1] < 1e-8);
  o = (struct correction_weighting){
      .level = CORRECTION_SEQUENCE, .kind = CORRECTION_DROP, .low = 3, .high = 4, .normalise = true};
  CHECK(correction_weights(&c, &o, raw, weight) == 1); /* every weight is 0: nothing to divide by */
  CHECK(weight[0] == 0 && weight[1] == 0);
  const struct correction none = {0, 1, &(struct correction_span){0, 0}, old, sampler};
  CHECK(correction_weights(&none, &o, raw, weight) == 1);
}

static void test_rules(void **state)
{
  (void)state;
  struct correction_rules r;
  struct error err = {0};
  CHECK_OK(correction_read_rules("token_k1,seq_max_k2", "0.9_1.1,0.05", &r, &err), &err);
  CHECK(r.count == 2 && r.at[0].low == 0.9 && r.at[1].high == 0.05 && r.at[1].rule == RULE_SEQ_MAX_K2);
  CHECK_OK(correction_read_rules("token_k1,seq_sum_k1", "2", &r, &err), &err);
  CHECK(r.at[0].low == 0.5 && r.at[1].high == 2);
  static const char *const WRONG[][3] = {{"token_k4", "1", "found the rule \"token_k4\""},
                                         {"token_k2", "", "no bound each"},
                                         {"token_k2", "x", "the bound \"x\""},
                                         {"token_k2", "-1", "the bound \"-1\""},
                                         {"token_k2", "0.1_0.2", "only k1 has a lower one"},
                                         {"token_k1", "2_1", "the bound \"2_1\""},
                                         {"token_k1,token_k2", "1,1,1", "more bounds than rules"},
                                         {"token_k1,token_k2,token_k3", "1,1", "no bound each"}};
  for (size_t i = 0; i < sizeof WRONG / sizeof WRONG[0]; i++) {
    error_clear(&err);
    CHECK_ERROR(correction_read_rules(WRONG[i][0], WRONG[i][1], &r, &err), &err, ERROR_INPUT, WRONG[i][2]);
  }
  struct composed *set;
  error_clear(&err);
  CHECK_ERROR(case_open("[{rollout_correction: {reject: nothing, reject_bounds: \"1\"}}]", 1, &set, &err), &err,
              ERROR_INPUT, "rollout_correction");
  error_clear(&err);
  CHECK_ERROR(case_open("[{rollout_correction: {bounds: \"0\"}}]", 1, &set, &err), &err, ERROR_INPUT,
              "the bound \"0\"");
}

/* A reward that is infinite is a sentence, whoever makes advantages of it. */
static void test_infinite_reward(void **state)
{
  (void)state;
  static const struct case_rollout ROLLOUTS[] = {{0, 0, 1, 2}, {0, 1, 0, 3}, {0, 2, 0, 1}};
  for (size_t i = 0; i < method_count(); i++) {
    char text[128];
    struct composed *set;
    struct error err = {0};
    if (!method_at(i)->base || strcmp(method_at(i)->base, "grpo") || method_at(i)->number) continue;
    snprintf(text, sizeof text, "[{%s: {}}]", method_at(i)->name);
    CHECK_OK(case_open(text, 1, &set, &err), &err);
    struct step *s = case_step(ROLLOUTS, 3, &(struct problem){.id = "p7"});
    s->rollouts[1].channel[0] = __builtin_inf();
    int rc = compose_reward(set, s, &err);
    if (!rc) rc = step_gather(s, &err);
    if (!rc) {
      case_score(set, s);
      rc = compose_shape(set, s, &err);
    }
    CHECK_ERROR(rc, &err, ERROR_INPUT, "p7");
  }
}

int main(void)
{
  struct error err = {0};
  case_arena = arena_create("test", 0, &err);
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_groups),    cmocka_unit_test(test_sets),
                                     cmocka_unit_test(test_whitening), cmocka_unit_test(test_holes),
                                     cmocka_unit_test(test_values),    cmocka_unit_test(test_token_baseline),
                                     cmocka_unit_test(test_kl),        cmocka_unit_test(test_correction),
                                     cmocka_unit_test(test_rules),     cmocka_unit_test(test_infinite_reward)};
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  arena_destroy(case_arena);
  return failed;
}
