/* Rewards to advantages as TRL and OpenRLHF make them, and what is done to rewards before: part_group.h, part_return.h.
 * TRL: grpo_advantages, rloo_advantages; OpenRLHF: advantages, overlong_penalty; verl: pf_ppo_weights. */
#include <string.h>
#include "core/math.h"
#include "method/calc.h"
#include "method/part_group.h"
#include "method/part_kl.h"
#include "method/part_return.h"
#include "reward/channel.h"

static bool is(const struct calc_case *c, const char *key, const char *fallback, const char *word)
{
  return !strcmp(calc_text(c, key, fallback), word);
}

/* ---- TRL: a reward that is null was not given; a row without any is in no statistic and gets 0 --------------------
 */

struct scored {
  struct calc_grid rewards; /* [rows, functions] */
  struct calc_groups groups;
  double *reward, *out; /* [rows]; NaN: no reward at all */
};

static int open_scored(struct calc_case *c, struct scored *s, struct error *err)
{
  int64_t size;
  TRY(calc_grid(c, "rewards_per_func", &s->rewards, err));
  TRY(calc_int(c, "num_generations", 4, &size, err));
  TRY(calc_groups(c, NULL, s->rewards.rows, (size_t)(size > 0 ? size : 1), &s->groups, err));
  s->reward = ARENA_NEW(c->arena, double, s->rewards.rows + 1, "calc", err);
  s->out = ARENA_NEW(c->arena, double, s->rewards.rows + 1, "calc", err);
  return s->reward && s->out ? 0 : err->code;
}

/* sum of weight * value over the values that are there. */
static void weighted_sum(const struct calc_case *c, const struct scored *s, const double *value, double *sum)
{
  const json_t *weights = json_object_get(c->args, "reward_weights");
  for (size_t r = 0; r < s->rewards.rows; r++) {
    bool any = false;
    sum[r] = 0;
    for (size_t k = 0; k < s->rewards.width; k++) {
      const json_t *w = json_array_get(weights, k);
      double x = value[r * s->rewards.width + k];
      if (math_is_nan(s->rewards.at[r * s->rewards.width + k])) continue;
      any = true;
      sum[r] += (json_is_number(w) ? json_number_value(w) : 1) * x;
    }
    if (!any) sum[r] = __builtin_nan("");
  }
}

/* The values of a group that are there, and where they stand. Returns how many. */
static int32_t present(const struct scored *s, size_t g, const double *value, size_t stride, double *x, size_t *row)
{
  int32_t n = 0;
  for (size_t i = s->groups.first[g]; i < s->groups.first[g + 1]; i++) {
    size_t r = s->groups.member[i];
    if (math_is_nan(value[r * stride])) continue;
    row[n] = r;
    x[n++] = value[r * stride];
  }
  return n;
}

enum scaling { SCALE_GROUP, SCALE_BATCH, SCALE_NONE, LEAVE_ONE_OUT };

/* std: of the batch. A value that is alone in its group has nothing to be compared with: 0. */
static int by_group(struct calc_case *c, const struct scored *s, const double *value, size_t stride, enum scaling how,
                    double std, double *out, struct error *err)
{
  double *x = ARENA_NEW(c->arena, double, 2 * s->rewards.rows + 1, "calc", err), *a = x + s->rewards.rows;
  size_t *row = ARENA_NEW(c->arena, size_t, s->rewards.rows + 1, "calc", err);
  if (!x || !row) return err->code;
  for (size_t g = 0; g < s->groups.count; g++) {
    int32_t n = present(s, g, value, stride, x, row);
    if (how == LEAVE_ONE_OUT) group_leave_one_out(x, n, a);
    if (how == SCALE_BATCH) group_divided(x, n, std + 1e-4, a);
    if (how == SCALE_GROUP || how == SCALE_NONE) group_normalised(x, n, true, how == SCALE_GROUP ? 1e-4 : -1, a);
    for (int32_t i = 0; i < n; i++) out[row[i] * stride] = n > 1 ? a[i] : 0;
  }
  return 0;
}

/* Statistics over the rows that have a number. */
static struct whitening measure_present(const struct calc_case *c, const double *x, size_t n, struct error *err)
{
  double *mask = ARENA_NEW(c->arena, double, n + 1, "calc", err);
  for (size_t i = 0; mask && i < n; i++) mask[i] = !math_is_nan(x[i]);
  return whitening_measure(x, mask, (int64_t)n, WHITEN_TRL);
}

static void whiten_present(const struct calc_case *c, double *x, size_t n, struct error *err)
{
  struct whitening w = measure_present(c, x, n, err);
  for (size_t i = 0; i < n; i++) x[i] = math_is_nan(x[i]) ? 0 : whitened(&w, x[i]);
}

static int normalise_then_sum(struct calc_case *c, struct scored *s, struct error *err)
{
  double *normal = calc_zeros(c, &s->rewards, err);
  if (!normal) return err->code;
  for (size_t k = 0; k < s->rewards.width; k++)
    TRY(by_group(c, s, s->rewards.at + k, s->rewards.width, SCALE_GROUP, 0, normal + k, err));
  weighted_sum(c, s, normal, s->out);
  whiten_present(c, s->out, s->rewards.rows, err);
  return 0;
}

static int trl_grpo(struct calc_case *c, struct error *err)
{
  struct scored s;
  struct calc_grid lengths, ends;
  TRY(open_scored(c, &s, err));
  weighted_sum(c, &s, s.rewards.at, s.reward);
  if (is(c, "multi_objective_aggregation", "sum_then_normalize", "normalize_then_sum")) {
    TRY(normalise_then_sum(c, &s, err));
  } else {
    enum scaling how = is(c, "scale_rewards", "group", "none")    ? SCALE_NONE
                       : is(c, "scale_rewards", "group", "batch") ? SCALE_BATCH
                                                                  : SCALE_GROUP;
    double std = 1 / measure_present(c, s.reward, s.rewards.rows, err).factor - 1e-4;
    TRY(by_group(c, &s, s.reward, 1, how, std, s.out, err));
  }
  json_object_set_new(c->outputs, "advantages", calc_list(s.out, s.rewards.rows));
  if (!json_object_get(c->inputs, "lengths")) return 0;
  /* A response that does not end is masked as a whole where that is asked for. */
  const struct calc_grid column = {.rows = s.rewards.rows, .width = 1};
  TRY(calc_grid_like(c, "lengths", &column, 0, &lengths, err));
  TRY(calc_grid_like(c, "ends_with_eos", &column, 1, &ends, err));
  double tokens = 0;
  for (size_t r = 0; r < s.rewards.rows; r++) {
    if (calc_flag(c, "mask_truncated_completions", false) && ends.at[r] == 0) lengths.at[r] = 0;
    tokens += lengths.at[r];
  }
  json_object_set_new(c->outputs, "tokens_per_row", calc_list(lengths.at, s.rewards.rows));
  calc_put(c->outputs, "num_items_in_batch", tokens);
  return 0;
}

/* R - beta sum_t k1_t, clipped before, then the mean of the others. */
static int trl_rloo(struct calc_case *c, struct error *err)
{
  struct scored s;
  struct calc_grid old, reference, lengths;
  double beta;
  const json_t *range = json_object_get(c->args, "reward_clip_range");
  TRY(open_scored(c, &s, err));
  TRY(calc_real(c, "beta", 0, &beta, err));
  TRY(calc_grid(c, "old_log_prob", &old, err));
  TRY(calc_grid_like(c, "ref_log_prob", &old, 0, &reference, err));
  TRY(calc_grid_like(c, "lengths", &(struct calc_grid){.rows = old.rows, .width = 1}, (double)old.width, &lengths,
                     err));
  double *sum = ARENA_NEW(c->arena, double, old.rows + 1, "calc", err);
  if (!sum) return err->code;
  weighted_sum(c, &s, s.rewards.at, s.reward);
  for (size_t r = 0; r < s.rewards.rows && r < old.rows; r++) {
    if (json_is_array(range) && !math_is_nan(s.reward[r]))
      s.reward[r] = math_clamp(s.reward[r], json_number_value(json_array_get(range, 0)),
                               json_number_value(json_array_get(range, 1)));
    for (size_t t = 0; t < old.width && (double)t < lengths.at[r]; t++) {
      size_t i = r * old.width + t;
      sum[r] += old.at[i];
      s.reward[r] -= beta * kl_estimate(KL_K1, old.at[i], reference.at[i], KL_CLAMP_NONE).value;
    }
  }
  TRY(by_group(c, &s, s.reward, 1, LEAVE_ONE_OUT, 0, s.out, err));
  if (calc_flag(c, "normalize_advantages", false)) whiten_present(c, s.out, s.rewards.rows, err);
  json_object_set_new(c->outputs, "advantages", calc_list(s.out, s.rewards.rows));
  json_object_set_new(c->outputs, "old_logps", calc_list(sum, old.rows));
  return 0;
}

/* ---- OpenRLHF --------------------------------------------------------------------------------------------------- */

struct experience {
  struct calc_grid kl, mask, reward, values; /* reward: a column */
  struct calc_groups groups;
  double kl_coef, gamma, lambda;
};

static int open_experience(struct calc_case *c, struct experience *e, struct error *err)
{
  int64_t size;
  TRY(calc_grid(c, "action_mask", &e->mask, err));
  TRY(calc_grid_like(c, "kl", &e->mask, 0, &e->kl, err));
  TRY(calc_grid_like(c, "values", &e->mask, 0, &e->values, err));
  TRY(calc_grid_like(c, "rewards", &(struct calc_grid){.rows = e->mask.rows, .width = 1}, __builtin_nan(""), &e->reward,
                     err));
  TRY(calc_int(c, "n_samples_per_prompt", 1, &size, err));
  TRY(calc_groups(c, NULL, e->mask.rows, (size_t)(size > 0 ? size : 1), &e->groups, err));
  TRY(calc_real(c, "kl_coef", 0, &e->kl_coef, err));
  TRY(calc_real(c, "gamma", 1, &e->gamma, err));
  return calc_real(c, "lambd", 1, &e->lambda, err);
}

/* The reward of a row against its group's, in place. */
static int take_baseline(struct calc_case *c, struct experience *e, struct error *err)
{
  bool rloo = is(c, "estimator", "gae", "rloo"), norm = is(c, "estimator", "gae", "group_norm");
  bool centre = is(c, "estimator", "gae", "reinforce_baseline") || is(c, "estimator", "gae", "dr_grpo");
  double *r = ARENA_NEW(c->arena, double, e->mask.rows + 1, "calc", err);
  if (!r) return err->code;
  if (rloo || norm || centre) {
    for (size_t g = 0; g < e->groups.count; g++) {
      double *own = e->reward.at + e->groups.member[e->groups.first[g]];
      int32_t n = (int32_t)(e->groups.first[g + 1] - e->groups.first[g]);
      memcpy(r, own, (size_t)n * sizeof *r);
      if (rloo)
        group_leave_one_out(r, n, own);
      else
        group_normalised(r, n, true, norm ? 1e-9 : -1, own);
    }
  }
  const json_t *range = json_object_get(c->args, "clip_range");
  for (size_t i = 0; json_is_array(range) && i < e->mask.rows; i++)
    e->reward.at[i] = math_clamp(e->reward.at[i], json_number_value(json_array_get(range, 0)),
                                 json_number_value(json_array_get(range, 1)));
  return 0;
}

/* rho: the reward on the last own token, less kl_coef KL on every own token. */
static void token_rewards(const struct experience *e, size_t row, double *rho)
{
  size_t last = e->mask.width;
  for (size_t t = 0; t < e->mask.width; t++) {
    size_t i = row * e->mask.width + t;
    if (e->mask.at[i] != 0) last = t;
    rho[t] = e->mask.at[i] != 0 ? -e->kl_coef * e->kl.at[i] : 0;
  }
  if (last < e->mask.width) rho[last] += e->reward.at[row];
}

static int openrlhf(struct calc_case *c, struct error *err)
{
  struct experience e;
  TRY(open_experience(c, &e, err));
  TRY(take_baseline(c, &e, err));
  bool critic = is(c, "estimator", "gae", "gae"), plain = is(c, "estimator", "gae", "reinforce");
  size_t width = e.mask.width, n = e.mask.rows * width;
  double *a = calc_zeros(c, &e.mask, err), *g = calc_zeros(c, &e.mask, err), *rho = calc_zeros(c, &e.mask, err);
  if (!a || !g || !rho) return err->code;
  for (size_t r = 0; r < e.mask.rows; r++) {
    size_t at = r * width;
    token_rewards(&e, r, rho);
    if (critic) {
      return_gae(rho, e.values.at + at, e.mask.at + at, (int32_t)width, e.gamma, e.lambda, RETURN_WALK, a + at, g + at);
    } else {
      return_discounted(rho, e.mask.at + at, (int32_t)width, plain ? e.gamma : 1, RETURN_WALK, g + at);
      memcpy(a + at, g + at, width * sizeof *a);
    }
  }
  if (critic || plain || is(c, "estimator", "gae", "reinforce_baseline")) {
    enum whitening_kind kind = calc_flag(c, "no_std_norm", false) ? WHITEN_CENTRE : WHITEN_OPENRLHF;
    struct whitening w = whitening_measure(a, e.mask.at, (int64_t)n, kind);
    for (size_t i = 0; i < n; i++) a[i] = whitened(&w, a[i]);
  }
  for (size_t i = 0; i < n; i++)
    if (e.mask.at[i] == 0) a[i] = g[i] = 0;
  json_object_set_new(c->outputs, "advantages", calc_grid_json(a, e.mask.rows, width));
  json_object_set_new(c->outputs, "returns", calc_grid_json(g, e.mask.rows, width));
  return 0;
}

/* ---- rewards ---------------------------------------------------------------------------------------------------- */

static int overlong(struct calc_case *c, struct error *err)
{
  struct calc_grid length;
  double max, buffer, factor;
  TRY(calc_grid(c, "response_length", &length, err));
  TRY(calc_real(c, "max_new_tokens", 0, &max, err));
  TRY(calc_real(c, "overlong_buffer_len", 0, &buffer, err));
  TRY(calc_real(c, "overlong_penalty_factor", 1, &factor, err));
  if (!(buffer > 0 && buffer <= max))
    FAIL_AT(err, ERROR_INPUT, c->file, 0, "overlong_buffer_len",
            "found a buffer of %g before %g tokens; expected more than 0 and at most all", buffer, max);
  for (size_t i = 0; i < length.rows; i++) length.at[i] = factor * channel_overlong(length.at[i], max, buffer);
  json_object_set_new(c->outputs, "penalty", calc_list(length.at, length.rows));
  return 0;
}

static int resample(struct calc_case *c, struct error *err)
{
  struct calc_grid scores;
  double power;
  TRY(calc_grid(c, "token_level_scores", &scores, err));
  TRY(calc_real(c, "weight_pow", 2, &power, err));
  double *sum = ARENA_NEW(c->arena, double, 2 * scores.rows + 1, "calc", err), *weight = sum + scores.rows;
  if (!sum) return err->code;
  for (size_t i = 0; i < scores.rows * scores.width; i++) sum[i / scores.width] += scores.at[i];
  bool random = is(c, "reweight_method", "pow", "max_random"), two = is(c, "reweight_method", "pow", "max_min");
  if (!random && !two && !is(c, "reweight_method", "pow", "pow"))
    FAIL_AT(err, ERROR_INPUT, c->file, 0, "reweight_method", "found \"%s\"; expected pow, max_min or max_random",
            calc_text(c, "reweight_method", "pow"));
  resample_weights(sum, (int32_t)scores.rows,
                   random ? RESAMPLE_MAX_RANDOM
                   : two  ? RESAMPLE_MAX_MIN
                          : RESAMPLE_POW,
                   power, weight);
  json_object_set_new(c->outputs, "weights", calc_list(weight, scores.rows));
  return 0;
}

static int compute(struct calc_case *c, struct error *err)
{
  if (!strcmp(c->function, "grpo_advantages")) return trl_grpo(c, err);
  if (!strcmp(c->function, "rloo_advantages")) return trl_rloo(c, err);
  if (!strcmp(c->function, "overlong_penalty")) return overlong(c, err);
  if (!strcmp(c->function, "pf_ppo_weights")) return resample(c, err);
  return openrlhf(c, err);
}

static const char *const also[] = {"grpo_advantages", "rloo_advantages", "overlong_penalty", "pf_ppo_weights", NULL};
const struct calc calc_advantages = {
    .function = "advantages",
    .also = also,
    .help = "rewards to advantages as OpenRLHF and TRL make them; the overlong penalty; weights for drawing again",
    .compute = compute,
};
