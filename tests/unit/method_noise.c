/* Verdicts turned over: the rates, the coins' addresses, what stays true. */
#include "unit/method_case.h"

enum { GROUPS = 8, MEMBERS = 250, COUNT = GROUPS * MEMBERS };
static struct case_rollout rollouts[COUNT];

static void fill(int first)
{
  for (int i = 0; i < COUNT; i++) {
    int k = (i * 7 + first) % COUNT; /* 7 and COUNT have no common factor */
    rollouts[i] = (struct case_rollout){k / MEMBERS, k % MEMBERS, k % 2, 1};
  }
}

static struct step *turn(const char *methods, struct composed **set)
{
  struct error err = {0};
  CHECK_OK(case_open(methods, 1, set, &err), &err);
  struct step *s = case_step(rollouts, COUNT, NULL);
  CHECK_OK(compose_reward(*set, s, &err), &err);
  return s;
}

/* Rewards in canonical order. */
static void rewards(const struct step *s, double *out)
{
  for (int i = 0; i < COUNT; i++) CHECK(step_get_channel(s, s->order[i], 0, &out[i]));
}

static void test_rates(void **state)
{
  (void)state;
  static double got[COUNT];
  struct composed *set;
  double lost = 0, gained = 0;
  fill(0);
  const struct step *s = turn("[{reward_noise: {false_negative: 0.2, false_positive: 0.1}}]", &set);
  rewards(s, got);
  for (int i = 0; i < COUNT; i++) {
    CHECK(got[i] == 0 || got[i] == 1);
    bool right = s->rollouts[s->order[i]].verdict.correct;
    lost += right && got[i] == 0;
    gained += !right && got[i] == 1;
  }
  CHECK_CLOSE(lost / (COUNT / 2), 0.2, 0.05, "4 standard deviations of 1000 coins");
  CHECK_CLOSE(gained / (COUNT / 2), 0.1, 0.038, "4 standard deviations of 1000 coins");
  s = turn("[{reward_noise: {false_negative: 1, false_positive: 0}}]", &set);
  rewards(s, got);
  for (int i = 0; i < COUNT; i++) CHECK(got[i] == 0);
  s = turn("[{reward_noise: {false_negative: 0, false_positive: 1}}]", &set);
  rewards(s, got);
  for (int i = 0; i < COUNT; i++) CHECK(got[i] == 1);
}

static void test_addresses(void **state)
{
  (void)state;
  static double straight[COUNT], other[COUNT];
  struct composed *set;
  fill(0);
  rewards(turn("[reward_noise]", &set), straight);
  fill(3);
  rewards(turn("[reward_noise]", &set), other);
  CHECK_BITS(straight, other, sizeof straight);
  rewards(turn("[reward_noise, rloo]", &set), other); /* another method does not move the coins */
  CHECK_BITS(straight, other, sizeof straight);
}

static void test_refused(void **state)
{
  (void)state;
  static const struct case_rollout wide[] = {{0, 0, 1, 1}, {0, 1, -1, 1}};
  struct error err = {0};
  struct composed *set;
  CHECK_OK(case_open("[reward_noise]", 1, &set, &err), &err);
  CHECK_ERROR(compose_reward(set, case_step(wide, 2, NULL), &err), &err, ERROR_INPUT, "expected 0 to 1");
  CHECK_OK(case_open("[{reward_noise: {channel: length}}]", 1, &set, &err), &err);
  CHECK_ERROR(compose_reward(set, case_step(wide, 2, NULL), &err), &err, ERROR_INPUT, "no channel \"length\"");
}

int main(void)
{
  struct error err = {0};
  case_arena = arena_create("test", 0, &err);
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_rates), cmocka_unit_test(test_addresses),
                                     cmocka_unit_test(test_refused)};
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  arena_destroy(case_arena);
  return failed;
}
