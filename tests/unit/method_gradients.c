/* Every objective's coefficients are the derivative of the loss that it reports: central differences in float64 on
   random tensors, at the defaults and at every word of every option, alone and in pairs, with what makes the option
   matter. */
#include "unit/method_outcome.h"

#include "method/method_set.h"

/* Whose coefficient is not the derivative of the loss that is reported, by intention: something in the loss is a frozen
 * copy of a current number. setting NULL: always, else where the options hold it. */
static struct {
  const char *method, *setting, *reason;
  bool seen;
} detached[] = {{"cispo", NULL, "the clipped weight is a constant beside logp: the paper's stop-gradient", false},
                {"dispo", NULL, "the weight of each sign is a constant beside logp, as cispo's", false},
                {"dppo", NULL, "the truncated ratio is a constant beside logp", false},
                {"vespo", NULL, "the weight of the whole response is a constant beside logp", false},
                {"grpo", "kl_type: k1+", "the value of k1, the derivative of k2 (verl's straight-through)", false},
                {"grpo", "kl_type: abs+", "the value of |k1|, the derivative of k2", false},
                {"grpo", "kl_type: k3+", "the value of k3, the derivative of k2", false}};
enum { DETACHED = sizeof detached / sizeof detached[0] };

/* What has to stand beside an option for it to reach the loss. */
static const char *const BESIDE[][2] = {{"ace", "alpha: 2"},
                                        {"brorl", "kl_coef: 0.5"},
                                        {"beyond_8020", "rho: 0.5"},
                                        {"clip_cov", "share: 0.5, clip_low: 0.07, clip_high: 0.05"},
                                        {"entropy_bonus", "coef: 0.3"},
                                        {"full_kl", "coef: 0.5"},
                                        {"grpo", "kl_coef: 0.5, entropy_coef: 0.3"},
                                        {"grpo", "clip_low: 0.07, clip_high: 0.03, clip_dual: 1.02"},
                                        {"grpo", "clip_low: .inf, clip_high: .inf, clip_dual: .inf"},
                                        {"kl_cov", "share: 0.5"},
                                        {"kl_reward", "coef: 0.5"},
                                        {"laser", "alpha: 1, warm_loss: 0, warm_mix: 0"},
                                        {"lp_reg", "rho: 0.5, ratio_max: 1.02"},
                                        {"lp_reg", "rho: 0.5, log_ratio_max: 0.07"},
                                        {"ppl_position", "alpha: 0.5"},
                                        {"ppo", "value_clip: 0.05"},
                                        {"prerl_dsrl", "coef: 1, warmup_only: false"},
                                        {"prerl_dsrl", "coef: 1, warmup_only: false, pre_max_length: 2"},
                                        {"progrpo", "alpha: 1"},
                                        {"rapo", "alpha: 0.5, beta: 0.3"},
                                        {"reinforce", "gamma: 0.9"},
                                        {"resrl", "rank: 1"},
                                        {"rloo", "clip_low: 0.02, clip_high: 0.02"},
                                        {"sdpo", "grpo_weight: 0.5"}};

/* ---- the difference --------------------------------------------------------------------------------------------- */

static double loss_at(struct composed *set, const struct minibatch *m)
{
  struct composed_loss l;
  struct error err = {0};
  CHECK_OK(compose_objective(set, m, case_arena, &l, &err), &err);
  return l.loss;
}

/* Numbers in (-1, 1). */
static double random_number(uint32_t tensor, uint32_t what, int32_t i)
{
  const struct rng_at at = {.purpose = RNG_TEST, .step = tensor, .group = what, .position = (uint32_t)i};
  return 2 * rng_uniform(7, &at) - 1;
}

static void randomise(struct minibatch *m, uint32_t tensor)
{
  for (int32_t i = 0; i < m->count; i++) {
    m->old[i] = -1.5 + random_number(tensor, 0, i);
    m->logp[i] = m->old[i] + 0.4 * random_number(tensor, 1, i);
    if (m->entropy) m->entropy[i] = 1 + 0.8 * random_number(tensor, 2, i);
    if (m->reference) m->reference[i] = m->old[i] + 0.5 * random_number(tensor, 3, i);
    if (m->value) m->value[i] = random_number(tensor, 4, i);
    if (m->second_logp) m->second_logp[i] = -1.5 + random_number(tensor, 5, i);
  }
  for (int32_t i = 0; m->slot_logp && i < m->rollout_count; i++) m->slot_logp[i] = -2 + random_number(tensor, 6, i);
}

/* The largest difference between a coefficient and the central difference of the loss, beside the sizes of both. */
static double gradient_error(struct composed *set, const struct outcome *out)
{
  const struct minibatch *m = out->batch;
  const struct composed_loss *l = &out->loss;
  struct {
    double *x;
    const double *coef;
    int32_t n;
  } parts[] = {{m->logp, l->coef, m->count},
               {m->entropy, l->entropy_coef, m->count},
               {m->value, l->value_coef, m->count},
               {m->second_logp, l->second_coef, m->count},
               {m->slot_logp, l->slot_coef, m->rollout_count}};
  const double h = 1e-6;
  double worst = 0;
  for (size_t k = 0; k < sizeof parts / sizeof parts[0]; k++) {
    for (int32_t i = 0; parts[k].x && i < parts[k].n; i++) {
      struct arena_mark mark = arena_mark(case_arena);
      double was = parts[k].x[i], up, down;
      parts[k].x[i] = was + h;
      up = loss_at(set, m);
      parts[k].x[i] = was - h;
      down = loss_at(set, m);
      parts[k].x[i] = was;
      double size = 1 + math_abs(parts[k].coef[i]) + math_abs(l->loss);
      double e = math_abs((up - down) / (2 * h) - parts[k].coef[i]) / size;
      if (!(e <= worst)) worst = e;
      arena_release(case_arena, mark);
    }
  }
  return worst;
}

/* A kink of a clip within h of a random number has a chance of 1e-6 a token; h^2 of a third derivative is 1e-12, and a
 * loss of order 1 loses 1e-16 / 1e-6. */
static const double GRADIENT_TOLERANCE = 1e-7;

static int checked;

/* Options that contradict each other (a sentence, tested where they are declared) are no case. */
static void check(const struct method *m, const char *options, uint32_t tensors)
{
  char text[512];
  double worst = 0;
  struct arena_mark mark = arena_mark(case_arena);
  snprintf(text, sizeof text, "[{%s: {%s}}]", m->name, options);
  for (uint32_t tensor = 0; tensor < tensors; tensor++) {
    struct composed *set;
    struct outcome out;
    struct error err = {0};
    if (case_open(text, 1, &set, &err)) {
      CHECK_INT(err.code, ERROR_INPUT);
      arena_release(case_arena, mark);
      return;
    }
    CHECK_OK(run(set, case_step(STEP, COUNT, NULL), &out, &err), &err);
    randomise(out.batch, tensor);
    CHECK_OK(compose_weight_current(set, out.batch, case_arena, &err), &err);
    CHECK_OK(compose_objective(set, out.batch, case_arena, &out.loss, &err), &err);
    double e = gradient_error(set, &out);
    worst = e > worst || math_is_nan(e) ? e : worst;
  }
  arena_release(case_arena, mark);
  checked++;
  if (worst <= GRADIENT_TOLERANCE) return;
  for (size_t i = 0; i < DETACHED; i++) {
    if (strcmp(detached[i].method, m->name) || (detached[i].setting && !strstr(options, detached[i].setting))) continue;
    detached[i].seen = true;
    return;
  }
  fail_msg("%s: %g from the central difference; expected its derivative, or a row of `detached`", text, worst);
}

/* ---- the cases -------------------------------------------------------------------------------------------------- */

/* The k-th value of an option as "name: value"; false: it has no more. Numbers: their ends where they are not far. */
static bool value_of(const struct method_option *o, int k, char *out, size_t size)
{
  double x = k ? o->high : o->low;
  const char *word = o->text;
  switch (o->type) {
    case METHOD_OPTION_BOOL:
      snprintf(out, size, "%s: %s", o->name, k ? "true" : "false");
      return k < 2;
    case METHOD_OPTION_ENUM:
      for (; k && word; k--) word = strchr(word, '|') ? strchr(word, '|') + 1 : NULL;
      if (word) snprintf(out, size, "%s: %.*s", o->name, (int)strcspn(word, "|"), word);
      return word != NULL;
    case METHOD_OPTION_REAL:
    case METHOD_OPTION_INT:
      snprintf(out, size, "%s: %.17g", o->name, math_abs(x) <= 1e3 ? x : o->fallback);
      return k < 2;
    case METHOD_OPTION_STRING:
      break;
  }
  return false;
}

/* Alone, and with each setting of BESIDE that does not name the same option. */
static void check_beside(const struct method *m, const char *options, const char *name, const char *other,
                         uint32_t tensors)
{
  char text[384];
  check(m, options, tensors);
  for (size_t i = 0; i < sizeof BESIDE / sizeof BESIDE[0]; i++) {
    if (strcmp(BESIDE[i][0], m->name) || strstr(BESIDE[i][1], name) || (other && strstr(BESIDE[i][1], other))) continue;
    snprintf(text, sizeof text, "%s, %s", options, BESIDE[i][1]);
    check(m, text, tensors);
  }
}

static void test_defaults(void **state)
{
  (void)state;
  for (size_t i = 0; i < method_count(); i++) check(method_at(i), "", 4);
  for (size_t i = 0; i < sizeof BESIDE / sizeof BESIDE[0]; i++) check(method_find(BESIDE[i][0]), BESIDE[i][1], 4);
}

static void test_every_option(void **state)
{
  (void)state;
  char text[128];
  for (size_t i = 0; i < method_count(); i++) {
    const struct method *m = method_at(i);
    for (size_t o = 0; o < m->option_count; o++)
      for (int k = 0; value_of(&m->options[o], k, text, sizeof text); k++)
        check_beside(m, text, m->options[o].name, NULL, 2);
  }
}

static bool is_choice(const struct method_option *o)
{
  return o->type == METHOD_OPTION_ENUM || o->type == METHOD_OPTION_BOOL;
}

/* Words of two options together: an aggregation under each dialect, an estimator with each clamp. */
static void test_pairs_of_choices(void **state)
{
  (void)state;
  char first[64], second[64], text[160];
  for (size_t i = 0; i < method_count(); i++) {
    const struct method *m = method_at(i);
    for (size_t a = 0; a < m->option_count; a++)
      for (size_t b = a + 1; b < m->option_count; b++)
        for (int k = 0; is_choice(&m->options[a]) && value_of(&m->options[a], k, first, sizeof first); k++)
          for (int l = 0; is_choice(&m->options[b]) && value_of(&m->options[b], l, second, sizeof second); l++) {
            snprintf(text, sizeof text, "%s, %s", first, second);
            check_beside(m, text, m->options[a].name, m->options[b].name, 1);
          }
  }
}

static void test_each_exception_is_one(void **state)
{
  (void)state;
  CHECK(checked > 1500);
  for (size_t i = 0; i < DETACHED; i++)
    if (!detached[i].seen)
      fail_msg("%s %s: its coefficient is the derivative; it need not stand in `detached` (%s)", detached[i].method,
               detached[i].setting ? detached[i].setting : "", detached[i].reason);
}

int main(void)
{
  struct error err = {0};
  case_arena = arena_create("test", 0, &err);
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_defaults), cmocka_unit_test(test_every_option),
                                     cmocka_unit_test(test_pairs_of_choices),
                                     cmocka_unit_test(test_each_exception_is_one)};
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  arena_destroy(case_arena);
  return failed;
}
