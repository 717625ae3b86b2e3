/* KL estimators per token and what is made of them: part_kl.h. verl: kl_penalty, rewards_with_kl, kl_controller;
 * OpenRLHF: kl. */
#include <string.h>
#include "core/math.h"
#include "method/calc.h"
#include "method/part_kl.h"

static const struct {
  const char *word;
  enum kl_type type;
} WORDS[] = {{"k1", KL_K1},       {"kl", KL_K1},
             {"k2", KL_K2},       {"mse", KL_K2},
             {"k2+", KL_K2},      {"mse+", KL_K2},
             {"k3", KL_K3},       {"low_var_kl", KL_K3},
             {"abs", KL_ABS},     {"k1+", KL_K1_PLUS},
             {"kl+", KL_K1_PLUS}, {"abs+", KL_ABS_PLUS},
             {"k3+", KL_K3_PLUS}, {"low_var_kl+", KL_K3_PLUS}};

static int find_type(const struct calc_case *c, const char *key, enum kl_type *out, struct error *err)
{
  const char *word = calc_text(c, key, "k1");
  for (size_t i = 0; i < sizeof WORDS / sizeof *WORDS; i++) {
    if (strcmp(WORDS[i].word, word)) continue;
    *out = WORDS[i].type;
    return 0;
  }
  FAIL_AT(err, ERROR_INPUT, c->file, 0, key,
          "found %s \"%s\"; expected " KL_WORDS
          ", kl, mse or low_var_kl; the KL of whole distributions needs more than "
          "the log-probability of one token",
          key, word);
}

static int estimate(struct calc_case *c, const char *logp_key, const char *reference_key, const char *type_key,
                    enum kl_clamp clamp, struct error *err)
{
  enum kl_type type;
  struct calc_grid logp, reference;
  TRY(find_type(c, type_key, &type, err));
  TRY(calc_grid(c, logp_key, &logp, err));
  TRY(calc_grid_like(c, reference_key, &logp, __builtin_nan(""), &reference, err));
  double *value = calc_zeros(c, &logp, err), *coef = calc_zeros(c, &logp, err);
  if (!value || !coef) return err->code;
  for (size_t i = 0; i < logp.rows * logp.width; i++) {
    struct kl_value k = kl_estimate(type, logp.at[i], reference.at[i], clamp);
    value[i] = k.value;
    coef[i] = k.coef;
  }
  json_object_set_new(c->outputs, "kl", calc_grid_json(value, logp.rows, logp.width));
  json_object_set_new(c->grads, logp_key, calc_grid_json(coef, logp.rows, logp.width));
  return 0;
}

/* rho_t = score_t - kl_ratio k1_t */
static int rewards(struct calc_case *c, struct error *err)
{
  struct calc_grid score, old, reference;
  double ratio;
  TRY(calc_real(c, "kl_ratio", 0, &ratio, err));
  TRY(calc_grid(c, "token_level_scores", &score, err));
  TRY(calc_grid_like(c, "old_log_prob", &score, __builtin_nan(""), &old, err));
  TRY(calc_grid_like(c, "ref_log_prob", &score, __builtin_nan(""), &reference, err));
  for (size_t i = 0; i < score.rows * score.width; i++)
    score.at[i] -= ratio * kl_estimate(KL_K1, old.at[i], reference.at[i], KL_CLAMP_NONE).value;
  json_object_set_new(c->outputs, "token_level_rewards", calc_grid_json(score.at, score.rows, score.width));
  return 0;
}

/* verl's own sequence of measurements where the case gives none: args.kl and args.steps are lists. */
static int control(struct calc_case *c, struct error *err)
{
  static const double KL[] = {6, 12, 6.3, 0, 0.08, 0.11}, STEPS[] = {256, 256, 512, 256, 64, 64};
  const json_t *kls = json_object_get(c->args, "kl"), *steps = json_object_get(c->args, "steps");
  double coef, target, horizon;
  TRY(calc_real(c, "init_kl_coef", 0.2, &coef, err));
  TRY(calc_real(c, "target_kl", 6, &target, err));
  TRY(calc_real(c, "horizon", 10000, &horizon, err));
  if (!(target > 0 && horizon > 0))
    FAIL_AT(err, ERROR_INPUT, c->file, 0, "horizon", "found target_kl %g and horizon %g; expected more than 0", target,
            horizon);
  json_t *trace = json_array();
  json_object_set_new(c->outputs, "trace", trace);
  size_t n = kls ? json_array_size(kls) : sizeof KL / sizeof *KL;
  for (size_t i = 0; i < n; i++) {
    double kl = kls ? json_number_value(json_array_get(kls, i)) : KL[i];
    double count = kls ? json_number_value(json_array_get(steps, i)) : STEPS[i];
    coef = kl_controlled(coef, kl, target, count, horizon);
    json_t *row = json_object();
    calc_put(row, "current_kl", kl);
    calc_put(row, "n_steps", count);
    calc_put(row, "kl_coef", coef);
    json_array_append_new(trace, row);
  }
  return 0;
}

static int compute(struct calc_case *c, struct error *err)
{
  if (!strcmp(c->function, "rewards_with_kl")) return rewards(c, err);
  if (!strcmp(c->function, "kl_controller")) return control(c, err);
  if (!strcmp(c->function, "kl_penalty"))
    return estimate(c, "logprob", "ref_logprob", "kl_penalty", KL_CLAMP_VERL, err);
  return estimate(c, "log_probs", "log_probs_base", "kl_estimator",
                  c->dialect && !strcmp(c->dialect, "openrlhf") ? KL_CLAMP_OPENRLHF : KL_CLAMP_NONE, err);
}

static const char *const also[] = {"kl_penalty", "rewards_with_kl", "kl_controller", NULL};
const struct calc calc_kl = {
    .function = "kl",
    .also = also,
    .help = "estimators of KL per token, as a reward, and the controller of its weight",
    .compute = compute,
};
