/* Rewards to advantages, as verl's registered estimators make them: part_group.h, part_return.h, part_token_baseline.h.
 * Rewards are rows of tokens; a row's outcome is their sum. */
#include <stdio.h>
#include <string.h>
#include "core/math.h"
#include "method/calc.h"
#include "method/part_group.h"
#include "method/part_return.h"
#include "method/part_token_baseline.h"

struct batch {
  struct calc_grid reward, mask;
  struct calc_groups groups;
  double *score, *length; /* [rows] */
  double *out, *returns;  /* grids; returns NULL: the advantages */
};

/* A member of args, or of args.config, where verl's own configuration is written down. */
static double number_of(const struct calc_case *c, const char *key, double fallback)
{
  const json_t *v = json_object_get(c->args, key);
  if (!v) v = json_object_get(json_object_get(c->args, "config"), key);
  return json_is_number(v) ? json_number_value(v) : json_is_boolean(v) ? json_is_true(v) : fallback;
}

static int open_batch(struct calc_case *c, struct batch *b, struct error *err)
{
  TRY(calc_grid(c, "token_level_rewards", &b->reward, err));
  TRY(calc_grid_like(c, "response_mask", &b->reward, 1, &b->mask, err));
  TRY(calc_groups(c, "index", b->reward.rows, 0, &b->groups, err));
  b->score = ARENA_NEW(c->arena, double, b->reward.rows + 1, "calc", err);
  b->length = ARENA_NEW(c->arena, double, b->reward.rows + 1, "calc", err);
  b->out = calc_zeros(c, &b->reward, err);
  if (!b->score || !b->length || !b->out) return err->code;
  for (size_t i = 0; i < b->reward.rows * b->reward.width; i++) {
    b->score[i / b->reward.width] += b->reward.at[i];
    b->length[i / b->reward.width] += b->mask.at[i];
  }
  return 0;
}

/* ---- one number a row ------------------------------------------------------------------------------------------- */

enum outcome { GRPO, RLOO, RLOO_VECTORIZED, OPO, GPG, PASSK, CENTRED, FLOORED, RESTARTED };

struct outcome_rule {
  enum outcome kind;
  double eps;   /* of the standard deviation; < 0: no division */
  double alpha; /* GPG */
};

static void group_outcome(const struct outcome_rule *o, const double *r, const double *length, int32_t n, double *a)
{
  switch (o->kind) {
    case GRPO:
    case CENTRED:
      group_normalised(r, n, true, o->kind == GRPO ? o->eps : -1, a);
      return;
    case RLOO:
    case RLOO_VECTORIZED:
      group_leave_one_out(r, n, a);
      if (n == 1 && o->kind == RLOO_VECTORIZED) a[0] = 0;
      return;
    case OPO:
      group_length_weighted(r, length, n, a);
      return;
    case GPG:
      group_divided(r, n, 1 / o->alpha, a);
      return;
    case PASSK:
      group_best(r, n, o->eps, a);
      return;
    case FLOORED: {
      double std = n == 1 ? 1 : group_statistics(r, n, true).std;
      group_divided(r, n, (std > 1e-3 ? std : 1e-3) + o->eps, a);
      return;
    }
    case RESTARTED:
      break;
  }
}

/* row: [rows] of the scores by their groups. */
static int outcome_rows(const struct calc_case *c, const struct batch *b, const struct outcome_rule *o,
                        const double *score, double *row, struct error *err)
{
  size_t most = b->reward.rows + 1;
  double *r = ARENA_NEW(c->arena, double, 3 * most, "calc", err), *length = r + most, *a = length + most;
  if (!r) return err->code;
  for (size_t g = 0; g < b->groups.count; g++) {
    const size_t *member = b->groups.member + b->groups.first[g];
    size_t n = b->groups.first[g + 1] - b->groups.first[g];
    if (n < 2 && o->kind == PASSK)
      FAIL_AT(err, ERROR_INPUT, c->file, 0, "index", "case \"%s\": found a group of %zu; pass@k needs two or more",
              c->name, n);
    for (size_t i = 0; i < n; i++) {
      r[i] = score[member[i]];
      length[i] = b->length[member[i]];
    }
    group_outcome(o, r, length, (int32_t)n, a);
    for (size_t i = 0; i < n; i++) row[member[i]] = a[i];
  }
  return 0;
}

static void spread(struct batch *b, const double *row)
{
  for (size_t i = 0; i < b->reward.rows * b->reward.width; i++) b->out[i] = row[i / b->reward.width] * b->mask.at[i];
}

static void whiten_grid(struct batch *b, bool masked)
{
  size_t n = b->reward.rows * b->reward.width;
  struct whitening w = whitening_measure(b->out, b->mask.at, (int64_t)n, WHITEN_VERL);
  for (size_t i = 0; i < n; i++) b->out[i] = masked && b->mask.at[i] == 0 ? 0 : whitened(&w, b->out[i]);
}

static int outcome(struct calc_case *c, struct batch *b, struct outcome_rule o, struct error *err)
{
  double *row = ARENA_NEW(c->arena, double, b->reward.rows + 1, "calc", err), right = 0;
  if (!row) return err->code;
  for (size_t r = 0; r < b->reward.rows; r++) right += b->score[r] != 0;
  o.alpha = (double)b->reward.rows / (right > 0 ? right : 1);
  TRY(outcome_rows(c, b, &o, b->score, row, err));
  spread(b, row);
  return 0;
}

static int grpo(struct calc_case *c, struct batch *b, enum outcome kind, struct error *err)
{
  bool std = number_of(c, "norm_adv_by_std_in_grpo", 1) != 0;
  return outcome(c, b, (struct outcome_rule){kind, std ? number_of(c, "epsilon", 1e-6) : -1, 1}, err);
}

/* Each reward normalised in its group, their weighted sum whitened over the tokens. */
static int gdpo(struct calc_case *c, struct batch *b, enum outcome kind, struct error *err)
{
  const json_t *keys = json_object_get(c->args, "gdpo_reward_keys"),
               *weights = json_object_get(c->args, "gdpo_reward_weights");
  const struct outcome_rule rule = {kind, number_of(c, "epsilon", 1e-6), 1};
  size_t rows = b->reward.rows, count = json_is_array(keys) ? json_array_size(keys) : 1;
  double *sum = ARENA_NEW(c->arena, double, rows + 1, "calc", err),
         *row = ARENA_NEW(c->arena, double, rows + 1, "calc", err);
  const struct calc_grid column = {.rows = rows, .width = 1};
  if (!sum || !row) return err->code;
  for (size_t k = 0; k < count; k++) {
    struct calc_grid scores = {.at = b->score};
    const char *key = json_string_value(json_array_get(keys, k));
    if (key) TRY(calc_grid_like(c, key, &column, __builtin_nan(""), &scores, err));
    TRY(outcome_rows(c, b, &rule, scores.at, row, err));
    const json_t *weight = json_array_get(weights, k);
    for (size_t r = 0; r < rows; r++) sum[r] += (json_is_number(weight) ? json_number_value(weight) : 1) * row[r];
  }
  spread(b, sum);
  whiten_grid(b, true);
  return 0;
}

static int centred_and_whitened(struct calc_case *c, struct batch *b, enum outcome kind, struct error *err)
{
  TRY(outcome(c, b, (struct outcome_rule){kind, -1, 1}, err));
  whiten_grid(b, true);
  return 0;
}

/* ---- numbers per token ------------------------------------------------------------------------------------------ */

static int gae(struct calc_case *c, struct batch *b, enum outcome unused, struct error *err)
{
  (void)unused;
  struct calc_grid values;
  size_t width = b->reward.width;
  TRY(calc_grid_like(c, "values", &b->reward, __builtin_nan(""), &values, err));
  if (!(b->returns = calc_zeros(c, &b->reward, err))) return err->code;
  for (size_t r = 0; r < b->reward.rows; r++)
    return_gae(b->reward.at + r * width, values.at + r * width, b->mask.at + r * width, (int32_t)width,
               number_of(c, "gamma", 1), number_of(c, "lam", 1), RETURN_SKIP, b->out + r * width,
               b->returns + r * width);
  whiten_grid(b, false);
  return 0;
}

static int discounted(struct calc_case *c, struct batch *b, enum outcome kind, struct error *err)
{
  enum return_hole hole = kind == RESTARTED ? RETURN_RESTART : RETURN_SKIP;
  size_t width = b->reward.width;
  if (!(b->returns = calc_zeros(c, &b->reward, err))) return err->code;
  for (size_t r = 0; r < b->reward.rows; r++)
    return_discounted(b->reward.at + r * width, b->mask.at + r * width, (int32_t)width, number_of(c, "gamma", 1), hole,
                      b->returns + r * width);
  memcpy(b->out, b->returns, b->reward.rows * width * sizeof *b->out);
  whiten_grid(b, true);
  return 0;
}

/* What follows each place, holes and padding included. */
static int sums_to_come(struct calc_case *c, struct batch *b, struct error *err)
{
  size_t width = b->reward.width;
  if (!(b->returns = calc_zeros(c, &b->reward, err))) return err->code;
  for (size_t r = 0; r < b->reward.rows; r++) {
    double after = 0;
    for (size_t t = width; t-- > 0;) {
      after += b->reward.at[r * width + t] * b->mask.at[r * width + t];
      b->returns[r * width + t] = after;
    }
  }
  return 0;
}

static int remax(struct calc_case *c, struct batch *b, enum outcome unused, struct error *err)
{
  (void)unused;
  struct calc_grid baseline;
  const struct calc_grid column = {.rows = b->reward.rows, .width = 1};
  TRY(calc_grid_like(c, "reward_baselines", &column, __builtin_nan(""), &baseline, err));
  TRY(sums_to_come(c, b, err));
  for (size_t i = 0; i < b->reward.rows * b->reward.width; i++)
    b->out[i] = b->returns[i] - baseline.at[i / b->reward.width] * b->mask.at[i];
  return 0;
}

/* The own tokens of a row; slots are places in the response, or among the own tokens. */
static void own_tokens(const struct batch *b, size_t r, bool by_place, const struct calc_grid *energy, double *scratch,
                       int32_t *slot, struct token_baseline_row *row)
{
  size_t width = b->reward.width;
  double *returns = scratch, *w = scratch + width;
  row->count = 0;
  for (size_t t = r * width; t < (r + 1) * width; t++) {
    if (b->mask.at[t] == 0) continue;
    slot[row->count] = by_place ? (int32_t)(t - r * width) : row->count;
    returns[row->count] = b->returns[t];
    w[row->count++] = energy->at[t];
  }
  row->slot = slot;
  row->returns = returns;
  row->energy = w;
  row->advantage = scratch + 2 * width;
}

static int energies(struct calc_case *c, const struct batch *b, struct calc_grid *out, struct error *err)
{
  struct calc_grid squared, importance;
  TRY(calc_grid_like(c, "old_log_probs", &b->reward, __builtin_nan(""), out, err));
  TRY(calc_grid_like(c, "sum_pi_squared", &b->reward, __builtin_nan(""), &squared, err));
  TRY(calc_grid_like(c, "rollout_is_weights", &b->reward, 1, &importance, err));
  for (size_t i = 0; i < b->reward.rows * b->reward.width; i++)
    out->at[i] = token_baseline_energy(out->at[i], squared.at[i], importance.at[i]);
  return 0;
}

static int optimal_baseline(struct calc_case *c, struct batch *b, bool by_place, struct error *err)
{
  size_t rows = b->reward.rows, width = b->reward.width;
  struct calc_grid energy;
  TRY(energies(c, b, &energy, err));
  TRY(sums_to_come(c, b, err));
  struct token_baseline_row *list = ARENA_NEW(c->arena, struct token_baseline_row, rows + 1, "calc", err);
  double *scratch = ARENA_NEW(c->arena, double, 3 * rows * width + 1, "calc", err);
  int32_t *slots = ARENA_NEW(c->arena, int32_t, rows * width + 1, "calc", err);
  if (!list || !scratch || !slots) return err->code;
  for (size_t g = 0; g < b->groups.count; g++) {
    const size_t *member = b->groups.member + b->groups.first[g];
    size_t n = b->groups.first[g + 1] - b->groups.first[g];
    for (size_t i = 0; i < n; i++)
      own_tokens(b, member[i], by_place, &energy, scratch + 3 * i * width, slots + i * width, &list[i]);
    token_baseline(list, (int32_t)n, calc_flag(c, "handle_zero_tail", true));
    for (size_t i = 0; i < n; i++)
      for (size_t t = member[i] * width, k = 0; t < (member[i] + 1) * width; t++)
        if (b->mask.at[t] != 0) b->out[t] = list[i].advantage[k++];
  }
  return 0;
}

/* ---- by name ---------------------------------------------------------------------------------------------------- */

static int by_rule(struct calc_case *c, struct batch *b, enum outcome kind, struct error *err)
{
  return outcome(c, b, (struct outcome_rule){kind, -1, 1}, err);
}

static int optimal(struct calc_case *c, struct batch *b, enum outcome unused, struct error *err)
{
  (void)unused;
  return optimal_baseline(c, b, true, err);
}

static int optimal_turns(struct calc_case *c, struct batch *b, enum outcome unused, struct error *err)
{
  (void)unused;
  return optimal_baseline(c, b, false, err);
}

static const struct estimator {
  const char *name;
  int (*make)(struct calc_case *c, struct batch *b, enum outcome kind, struct error *err);
  enum outcome now, old; /* old: as verl had it in January 2026 */
} estimators[] = {{"gae", gae, GRPO, GRPO},
                  {"grpo", grpo, GRPO, GRPO},
                  {"grpo_vectorized", grpo, GRPO, FLOORED},
                  {"grpo_passk", grpo, PASSK, PASSK},
                  {"gdpo", gdpo, GRPO, GRPO},
                  {"rloo", by_rule, RLOO, RLOO},
                  {"rloo_vectorized", by_rule, RLOO_VECTORIZED, RLOO_VECTORIZED},
                  {"opo", by_rule, OPO, OPO},
                  {"gpg", by_rule, GPG, GPG},
                  {"reinforce_plus_plus_baseline", centred_and_whitened, CENTRED, CENTRED},
                  {"reinforce_plus_plus", discounted, GRPO, RESTARTED},
                  {"remax", remax, GRPO, GRPO},
                  {"optimal_token_baseline", optimal, GRPO, GRPO},
                  {"tir_optimal_token_baseline", optimal_turns, GRPO, GRPO}};

static int estimate(struct calc_case *c, const char *name, bool old, struct batch *b, struct error *err)
{
  char names[512] = "";
  for (size_t i = 0; i < sizeof estimators / sizeof *estimators; i++) {
    const struct estimator *e = &estimators[i];
    if (!strcmp(e->name, name)) return e->make(c, b, old ? e->old : e->now, err);
    size_t n = strlen(names);
    snprintf(names + n, sizeof names - n, "%s%s", i ? ", " : "", e->name);
  }
  FAIL_AT(err, ERROR_INPUT, c->file, 0, "estimator", "found the estimator \"%s\"; expected one of %s", name, names);
}

static int compute(struct calc_case *c, struct error *err)
{
  struct batch b = {0};
  bool old = !strncmp(c->function, "old_", 4);
  const char *name = !strcmp(c->function, "adv") ? calc_text(c, "estimator", "grpo") : c->function + (old ? 8 : 4);
  TRY(open_batch(c, &b, err));
  TRY(estimate(c, name, old, &b, err));
  size_t n = b.reward.rows * b.reward.width;
  json_object_set_new(c->outputs, "advantages", calc_grid_json(b.out, b.reward.rows, b.reward.width));
  bool equal = !b.returns || !memcmp(b.returns, b.out, n * sizeof *b.out);
  json_object_set_new(c->outputs, "returns",
                      equal ? json_string("advantages") : calc_grid_json(b.returns, b.reward.rows, b.reward.width));
  return 0;
}

static const char *const also[] = {"adv_gae",
                                   "adv_grpo",
                                   "adv_grpo_vectorized",
                                   "adv_grpo_passk",
                                   "adv_gdpo",
                                   "adv_rloo",
                                   "adv_rloo_vectorized",
                                   "adv_opo",
                                   "adv_gpg",
                                   "adv_reinforce_plus_plus",
                                   "adv_reinforce_plus_plus_baseline",
                                   "adv_remax",
                                   "adv_optimal_token_baseline",
                                   "adv_tir_optimal_token_baseline",
                                   "old_adv_grpo_vectorized",
                                   "old_adv_reinforce_plus_plus",
                                   NULL};
const struct calc calc_adv = {
    .function = "adv",
    .also = also,
    .help = "rewards per token to advantages and returns, by estimator",
    .compute = compute,
};
