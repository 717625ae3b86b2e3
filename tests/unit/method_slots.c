/* Losses on the token behind an answer: dL/dslot_logp against central differences. */
#include "unit/method_case.h"

static const struct case_rollout STEP[] = {{0, 0, 1, 3}, {0, 1, 0, 2}, {0, 2, 0.25, 4}, {1, 0, 0, 1}, {1, 1, 1, 5}};
enum { COUNT = sizeof STEP / sizeof STEP[0] };

static double loss_at(struct composed *set, const struct minibatch *m, struct composed_loss *l)
{
  struct error err = {0};
  CHECK_OK(compose_objective(set, m, case_arena, l, &err), &err);
  return l->loss;
}

static void check_slots(const char *methods)
{
  struct composed *set;
  struct composed_loss at, moved;
  struct error err = {0};
  double want[COUNT] = {0};
  const double h = 1e-5;
  int32_t slots = 0;
  CHECK_OK(case_open(methods, 1, &set, &err), &err);
  struct step *s = case_step(STEP, COUNT, NULL);
  case_score(set, s);
  CHECK_OK(compose_shape(set, s, &err), &err);
  CHECK_OK(compose_advantage(set, s, &err), &err);
  CHECK_OK(compose_weight(set, s, &err), &err);
  struct minibatch *m = case_minibatch(set, s, &err);
  for (int32_t i = 0; i < m->count; i++) m->logp[i] = m->old[i];
  CHECK_INT(m->rollout_count, COUNT);
  loss_at(set, m, &at);
  for (int32_t i = 0; i < COUNT; i++) {
    double was = m->slot_logp[i];
    slots += at.slot_coef[i] < 0 || at.slot_coef[i] > 0;
    if (math_is_nan(was)) continue; /* cut off: no slot, and no derivative */
    m->slot_logp[i] = was + h;
    double up = loss_at(set, m, &moved);
    m->slot_logp[i] = was - h;
    want[i] = (up - loss_at(set, m, &moved)) / (2 * h);
    m->slot_logp[i] = was;
  }
  CHECK(slots > 1 && slots < COUNT);
  /* The loss is quadratic: rounding alone, 1e-16 / 1e-5 of it. */
  check_report(check_grad_at(at.slot_coef, want, COUNT, 1e-7, 1e-9), methods, __FILE__, __LINE__);
}

static void test_laser(void **state)
{
  (void)state;
  check_slots("[{laser: {warm_loss: 0}}]");
  check_slots("[{laser: {warm_loss: 0, alpha: 2, measure: true, class_weights: false}}]");
}

int main(void)
{
  struct error err = {0};
  case_arena = arena_create("test", 0, &err);
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_laser)};
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  arena_destroy(case_arena);
  return failed;
}
