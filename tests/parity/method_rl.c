/* GRPO against what verl, TRL and OpenRLHF themselves returned (ASSAY_FIXTURES/rl): advantages, clipped losses with
 * gradients, aggregation, KL estimators. */
#include "unit/method_case.h"

#include <stdlib.h>

#include "core/json.h"
#include "method/part_kl.h"

enum { ROWS = 16, MOST = 512 };
/* fixtures/rl/README.md: float64 by the frameworks, but token counts in float32: compare to 1e-8 of the largest entry.
 */
static const double SHARE = 2e-8;
static const char WHY[] = "the frameworks count tokens in float32";

static char folder[512];
static int compared;

static json_t *load(const char *name)
{
  char path[1024];
  json_t *out = NULL;
  struct error err = {0};
  snprintf(path, sizeof path, "%s/rl/%s", folder, name);
  CHECK_OK(json_parse_file(case_arena, path, &out, &err), &err);
  return out;
}

/* A named input of a file, "like" followed. */
static const json_t *input(const json_t *file, const json_t *c, const char *key)
{
  const json_t *inputs = json_object_get(file, "inputs");
  const json_t *set = json_object_get(inputs, json_string_value(json_object_get(c, "inputs")));
  while (set && !json_object_get(set, key))
    set = json_object_get(inputs, json_string_value(json_object_get(set, "like")));
  return set ? json_object_get(set, key) : NULL;
}

static double at(const json_t *m, size_t row, size_t col)
{
  const json_t *r = json_array_get(m, row);
  return json_number_value(json_is_array(r) ? json_array_get(r, col) : r);
}

static double arg(const json_t *c, const char *key, double otherwise)
{
  const json_t *v = json_object_get(json_object_get(c, "args"), key);
  return json_is_number(v) ? json_number_value(v) : otherwise;
}

static bool arg_is(const json_t *c, const char *key, const char *value)
{
  const char *s = json_string_value(json_object_get(json_object_get(c, "args"), key));
  return s && !strcmp(s, value);
}

static const char *case_name(const json_t *c)
{
  return json_string_value(json_object_get(c, "case"));
}

static struct composed *open_grpo(const char *options)
{
  char text[512];
  struct composed *set = NULL;
  struct error err = {0};
  snprintf(text, sizeof text, "[{grpo: {%s}}]", options);
  CHECK_OK(case_open(text, 1, &set, &err), &err);
  return set;
}

/* ---- advantages ------------------------------------------------------------------------------------------------- */

/* Names of groups become ordinals in order of first meeting. */
static size_t group_of(const json_t *index, size_t row)
{
  size_t seen = 0;
  for (size_t r = 0; r <= row; r++) {
    size_t first = 0;
    while (!json_equal(json_array_get(index, first), json_array_get(index, r))) first++;
    if (first == r && json_equal(json_array_get(index, r), json_array_get(index, row))) return seen;
    seen += first == r;
  }
  return seen;
}

/* want: one number a row, or per token. rewards: per row or per token, in which case they are summed. index NULL:
 * groups of `size`. */
static void check_advantages(const char *options, const json_t *rewards, const json_t *index, size_t size,
                             const json_t *want)
{
  struct case_rollout rollouts[ROWS] = {0};
  int32_t in_group[ROWS] = {0};
  size_t rows = json_array_size(rewards);
  struct error err = {0};
  CHECK(rows > 0 && rows <= ROWS);
  for (size_t r = 0; r < rows; r++) {
    const json_t *row = json_array_get(rewards, r);
    double sum = 0;
    for (size_t t = 0; t < (json_is_array(row) ? json_array_size(row) : 1); t++) sum += at(rewards, r, t);
    int32_t g = (int32_t)(index ? group_of(index, r) : r / size);
    rollouts[r] = (struct case_rollout){g, in_group[g]++, sum, 1};
  }
  struct composed *set = open_grpo(options);
  struct step *s = case_step(rollouts, rows, NULL);
  CHECK_OK(compose_shape(set, s, &err), &err);
  CHECK_OK(compose_advantage(set, s, &err), &err);
  for (size_t r = 0; r < rows; r++) CHECK_CLOSE(s->advantage[s->rollouts[r].path], at(want, r, 0), 4 * SHARE, WHY);
  compared++;
}

static const json_t *advantages_of(const json_t *c)
{
  return json_object_get(json_object_get(c, "outputs"), "advantages");
}

static void test_verl_advantages(void **state)
{
  (void)state;
  static const char *const FILES[] = {"verl/adv_grpo.json", "verl/adv_rloo.json"};
  for (int f = 0; f < 2; f++) {
    const json_t *file = load(FILES[f]), *c;
    size_t i;
    json_array_foreach(json_object_get(file, "cases"), i, c)
    {
      bool std = json_is_true(json_object_get(json_object_get(c, "args"), "norm_adv_by_std_in_grpo"));
      const char *options = f ? "dialect: rloo" : std ? "dialect: verl" : "dialect: dr_grpo";
      print_message("%s %s\n", FILES[f], case_name(c));
      check_advantages(options, input(file, c, "token_level_rewards"), input(file, c, "index"), 0, advantages_of(c));
    }
  }
  CHECK(compared >= 15);
}

static void test_trl_advantages(void **state)
{
  (void)state;
  const json_t *file = load("trl/grpo_advantages.json"), *c;
  size_t i;
  compared = 0;
  json_array_foreach(json_object_get(file, "cases"), i, c)
  {
    bool group = arg_is(c, "scale_rewards", "group"), none = arg_is(c, "scale_rewards", "none");
    if (!group && !none) continue;
    print_message("trl %s\n", case_name(c));
    check_advantages(group ? "dialect: trl" : "dialect: dr_grpo", input(file, c, "rewards_per_func"), NULL, 4,
                     advantages_of(c));
  }
  CHECK_INT(compared, 4);
}

static void test_openrlhf_advantages(void **state)
{
  (void)state;
  const json_t *file = load("openrlhf/advantages.json"), *c;
  size_t i;
  compared = 0;
  json_array_foreach(json_object_get(file, "cases"), i, c)
  {
    bool norm = arg_is(c, "estimator", "group_norm"), dr = arg_is(c, "estimator", "dr_grpo"),
         rloo = arg_is(c, "estimator", "rloo");
    bool plain = arg(c, "kl_coef", 0) == 0 && !json_is_array(json_object_get(json_object_get(c, "args"), "clip_range"));
    if (!plain || arg_is(c, "computed_in", "float32") || !(norm || dr || rloo)) continue;
    print_message("openrlhf %s\n", case_name(c));
    check_advantages(norm ? "dialect: openrlhf"
                     : dr ? "dialect: dr_grpo"
                          : "dialect: rloo",
                     input(file, c, "rewards"), NULL, 4, advantages_of(c));
  }
  CHECK_INT(compared, 9);
}

/* ---- losses ----------------------------------------------------------------------------------------------------- */

struct tensors {
  const json_t *logp, *old, *advantages, *mask, *weights, *gradient;
  double loss;
};

/* Unmasked tokens become path tokens; the gradient is compared on them. */
static void check_loss(const char *options, const struct tensors *t)
{
  struct case_rollout rollouts[ROWS] = {0};
  size_t rows = json_array_size(t->logp), width = json_array_size(json_array_get(t->logp, 0)), n = 0;
  double logp[MOST], old[MOST], advantage[MOST], weight[MOST], want[MOST], largest = 0;
  for (size_t r = 0; r < rows; r++) {
    rollouts[r] = (struct case_rollout){0, (int32_t)r, 0, 0};
    for (size_t k = 0; k < width; k++) {
      if (at(t->mask, r, k) == 0) continue;
      rollouts[r].tokens++;
      logp[n] = at(t->logp, r, k);
      old[n] = at(t->old, r, k);
      advantage[n] = at(t->advantages, r, k);
      weight[n] = t->weights ? at(t->weights, r, k) : 1;
      want[n] = at(t->gradient, r, k);
      largest = check_abs(want[n]) > largest ? check_abs(want[n]) : largest;
      CHECK(++n < MOST);
    }
  }
  struct error err = {0};
  struct composed *set = open_grpo(options);
  struct step *s = case_step(rollouts, rows, NULL);
  CHECK_INT(s->path_count, n);
  memcpy(s->advantage, advantage, n * sizeof *advantage);
  memcpy(s->weight, weight, n * sizeof *weight);
  struct minibatch *m = case_minibatch(set, s, &err);
  memcpy(m->logp, logp, n * sizeof *logp);
  memcpy(m->old, old, n * sizeof *old);
  struct composed_loss got;
  CHECK_OK(compose_objective(set, m, case_arena, &got, &err), &err);
  CHECK(largest > 0);
  CHECK_CLOSE(got.loss, t->loss, SHARE * (1 + check_abs(t->loss)), WHY);
  for (size_t i = 0; i < n; i++) CHECK_CLOSE(got.coef[i], want[i], SHARE * largest, WHY);
  compared++;
}

static double output(const json_t *c, const char *key)
{
  return json_number_value(json_object_get(json_object_get(c, "outputs"), key));
}

static const json_t *gradient(const json_t *c, const char *key)
{
  return json_object_get(json_object_get(c, "grads"), key);
}

static void test_verl_losses(void **state)
{
  (void)state;
  static const struct {
    const char *verl, *ours;
  } MODES[] = {{"token-mean", "token_mean"},
               {"seq-mean-token-mean", "seq_mean_token_mean"},
               {"seq-mean-token-sum", "seq_mean_token_sum"},
               {"seq-mean-token-sum-norm", "constant, constant: 20"}};
  const json_t *file = load("verl/loss_vanilla.json"), *c;
  size_t i;
  compared = 0;
  json_array_foreach(json_object_get(file, "cases"), i, c)
  {
    const char *mode = NULL;
    for (size_t k = 0; k < 4; k++) {
      if (arg_is(c, "loss_agg_mode", MODES[k].verl)) mode = MODES[k].ours;
    }
    if (!mode || json_object_get(json_object_get(c, "args"), "global_batch_info"))
      continue; /* a sum, or another process's counts */
    char options[256];
    snprintf(options, sizeof options, "clip_low: %.17g, clip_high: %.17g, clip_dual: %.17g, aggregation: %s",
             arg(c, "clip_ratio_low", 0.2), arg(c, "clip_ratio_high", 0.2), arg(c, "clip_ratio_c", 3), mode);
    print_message("verl %s\n", case_name(c));
    check_loss(options,
               &(struct tensors){input(file, c, "log_prob"), input(file, c, "old_log_prob"),
                                 input(file, c, "advantages"), input(file, c, "response_mask"),
                                 input(file, c, "rollout_is_weights"), gradient(c, "log_prob"), output(c, "loss")});
  }
  CHECK(compared >= 14);
}

static void test_openrlhf_losses(void **state)
{
  (void)state;
  const json_t *file = load("openrlhf/policy_loss.json"), *c;
  size_t i;
  compared = 0;
  json_array_foreach(json_object_get(file, "cases"), i, c)
  {
    const json_t *args = json_object_get(c, "args");
    bool beyond =
        !strcmp(json_string_value(json_object_get(c, "inputs")), "extreme"); /* no clamp of the log-ratio there */
    if (json_object_get(args, "policy_loss_type") || json_object_get(args, "enable_vllm_is_correction") || beyond)
      continue;
    char options[256], dual[64] = ".inf";
    if (arg(c, "dual_clip", 0) > 0) snprintf(dual, sizeof dual, "%.17g", arg(c, "dual_clip", 0));
    snprintf(options, sizeof options, "clip_low: %.17g, clip_high: %.17g, clip_dual: %s, aggregation: %s",
             arg(c, "clip_eps_low", 0.2), arg(c, "clip_eps_high", 0.2), dual,
             json_is_false(json_object_get(args, "token_level_loss")) ? "seq_mean_token_mean" : "token_mean");
    print_message("openrlhf %s\n", case_name(c));
    check_loss(options, &(struct tensors){input(file, c, "log_probs"), input(file, c, "old_log_probs"),
                                          input(file, c, "advantages"), input(file, c, "action_mask"), NULL,
                                          gradient(c, "log_probs"), output(c, "loss")});
  }
  CHECK_INT(compared, 6);
}

/* ---- KL
 * --------------------------------------------------------------------------------------------------------------------
 */

static void check_kl(enum kl_type type, bool clamp, const json_t *logp, const json_t *reference, const json_t *value,
                     const json_t *coef)
{
  for (size_t r = 0; r < json_array_size(logp); r++) {
    for (size_t k = 0; k < json_array_size(json_array_get(logp, r)); k++) {
      struct kl_value got = kl_estimate(type, at(logp, r, k), at(reference, r, k), clamp);
      double size = 1 + check_abs(at(value, r, k));
      CHECK_CLOSE(got.value, at(value, r, k), SHARE * size, WHY);
      CHECK_CLOSE(got.coef, at(coef, r, k), SHARE * (1 + check_abs(at(coef, r, k))), WHY);
    }
  }
  compared++;
}

static void test_kl(void **state)
{
  (void)state;
  static const struct {
    const char *name;
    enum kl_type type;
  } NAMES[] = {{"kl", KL_K1}, {"k1", KL_K1}, {"mse", KL_K2}, {"k2", KL_K2}, {"low_var_kl", KL_K3}, {"k3", KL_K3}};
  const json_t *file = load("verl/kl_penalty.json"), *c;
  size_t i;
  compared = 0;
  json_array_foreach(json_object_get(file, "cases"), i, c)
  {
    for (size_t k = 0; k < 6; k++) {
      if (!arg_is(c, "kl_penalty", NAMES[k].name)) continue;
      print_message("verl %s\n", case_name(c));
      check_kl(NAMES[k].type, true, input(file, c, "logprob"), input(file, c, "ref_logprob"),
               json_object_get(json_object_get(c, "outputs"), "kl"), gradient(c, "logprob"));
    }
  }
  CHECK(compared >= 9);
}

int main(void)
{
  const char *given = getenv("ASSAY_FIXTURES");
  struct error err = {0};
  snprintf(folder, sizeof folder, "%s", given ? given : ASSAY_SOURCE_DIR "/../shared/fixtures");
  FILE *probe = NULL;
  char path[600];
  snprintf(path, sizeof path, "%s/rl/dialects.json", folder);
  probe = fopen(path, "rb");
  if (!probe) {
    printf("skipped: %s is not there (set ASSAY_FIXTURES)\n", path);
    return 0;
  }
  fclose(probe);
  case_arena = arena_create("test", 0, &err);
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_verl_advantages),     cmocka_unit_test(test_trl_advantages),
                                     cmocka_unit_test(test_openrlhf_advantages), cmocka_unit_test(test_verl_losses),
                                     cmocka_unit_test(test_openrlhf_losses),     cmocka_unit_test(test_kl)};
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  arena_destroy(case_arena);
  return failed;
}
