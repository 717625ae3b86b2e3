/* The registered policy losses of verl (verl/trainer/ppo/core_algos.py) on rectangles of numbers, with d loss / d
 * log_prob and the metrics that verl returns beside them. */
#include <string.h>
#include "core/math.h"
#include "method/part_covariance.h"
#include "method/part_grid.h"
#include "method/part_mersenne.h"
#include "method/part_sequence.h"
#include "method/part_token_loss.h"

struct verl {
  struct calc_case *c;
  struct grid *g;
  double low, high, dual;
  const char *mode;
  json_t *metrics;
};

static const struct grid_names names = {.logp = "log_prob",
                                        .old = "old_log_prob",
                                        .advantage = "advantages",
                                        .mask = "response_mask",
                                        .weight = "?rollout_is_weights"};

static void put_metric(const struct verl *v, const char *name, double x)
{
  calc_put(v->metrics, name, x);
}

static double clipped_share(const struct grid *g)
{
  double n = 0;
  for (int32_t i = 0; i < g->batch.count; i++) n += g->loss.clipped[i];
  return g->batch.count ? n / g->batch.count : 0;
}

/* Mean of old - logp, each within +-limit. */
static double mean_kl(const struct grid *g, double limit)
{
  double sum = 0;
  for (int32_t i = 0; i < g->batch.count; i++) sum += math_clamp(g->batch.old[i] - g->batch.logp[i], -limit, limit);
  return g->batch.count ? sum / g->batch.count : 0;
}

/* agg_loss of verl: its modes by name, with the counts of the whole batch where global_batch_info gives them. */
static int aggregate(const struct verl *v, const char *name, struct error *err)
{
  static const struct {
    const char *name;
    enum aggregation mode;
  } modes[] = {{"token-mean", AGGREGATE_TOKEN_MEAN},
               {"token-sum", AGGREGATE_TOKEN_MEAN},
               {"seq-mean-token-sum", AGGREGATE_SEQ_MEAN_TOKEN_SUM},
               {"seq-mean-token-sum-norm", AGGREGATE_CONSTANT},
               {"seq-mean-token-mean", AGGREGATE_SEQ_MEAN_TOKEN_MEAN}};
  size_t k = 0;
  while (k < 5 && strcmp(modes[k].name, name)) k++;
  if (k == 5)
    FAIL_AT(
        err, ERROR_INPUT, v->c->file, 0, "loss_agg_mode",
        "found loss_agg_mode \"%s\"; expected token-mean, token-sum, seq-mean-token-sum, seq-mean-token-sum-norm or "
        "seq-mean-token-mean",
        name);
  struct grid *g = v->g;
  const json_t *all = json_object_get(v->c->args, "global_batch_info");
  double tokens = g->batch.count, rows = g->filled, copies = 1;
  if (json_is_number(json_object_get(all, "dp_size"))) copies = json_number_value(json_object_get(all, "dp_size"));
  const json_t *t = json_object_get(all, "batch_num_tokens"), *b = json_object_get(all, "global_batch_size");
  bool by_tokens = modes[k].mode == AGGREGATE_TOKEN_MEAN;
  double factor = copies;
  if (by_tokens && json_is_number(t)) factor *= tokens / json_number_value(t);
  if (!by_tokens && json_is_number(b)) factor *= rows / json_number_value(b);
  if (!strcmp(name, "token-sum")) factor = copies * tokens;
  aggregate_scale(&g->batch, modes[k].mode, (double)g->width, g->batch.counted, g->scale);
  for (int32_t i = 0; i < g->batch.count; i++) g->scale[i] *= factor;
  return 0;
}

static void take(struct grid *g, int32_t i, const struct clip_value *v)
{
  g->loss.loss[i] = g->scale[i] * g->batch.weight[i] * v->loss;
  g->loss.coef[i] = g->scale[i] * g->batch.weight[i] * v->coef;
  g->loss.clipped[i] = v->clipped;
}

/* ---- the losses -------------------------------------------------------------------------------------------------- */

static int vanilla(struct verl *v, struct error *err)
{
  struct grid *g = v->g;
  const struct clip_bounds b = {.low = v->low, .high = v->high, .dual = v->dual};
  const struct clip_bounds two = {.low = v->low, .high = v->high, .dual = __builtin_inf()};
  double lower = 0, clip = 0;
  TRY(aggregate(v, v->mode, err));
  for (int32_t i = 0; i < g->batch.count; i++) {
    double A = g->batch.advantage[i];
    struct clip_value x = clip_surrogate(g->batch.logp[i], g->batch.old[i], A, &b);
    struct clip_value plain = clip_surrogate(g->batch.logp[i], g->batch.old[i], A, &two);
    take(g, i, &x);
    clip += plain.clipped;
    lower += A < 0 && plain.loss > -A * v->dual;
  }
  double n = g->batch.count ? g->batch.count : 1;
  put_metric(v, "actor/pg_clipfrac", clip / n);
  put_metric(v, "actor/ppo_kl", mean_kl(g, CLIP_LOG_RATIO));
  put_metric(v, "actor/pg_clipfrac_lower", lower / n);
  return 0;
}

static int dppo(struct verl *v, enum trust_region by, struct error *err)
{
  struct grid *g = v->g;
  const struct trust_bounds b = {.by = by, .low = v->low, .high = v->high, .cap = v->dual};
  double lower = 0;
  TRY(aggregate(v, v->mode, err));
  for (int32_t i = 0; i < g->batch.count; i++) {
    struct clip_value x = token_bounded(g->batch.logp[i], g->batch.old[i], g->batch.advantage[i], &b);
    take(g, i, &x);
    lower += !x.clipped && x.ratio > v->dual;
  }
  put_metric(v, "actor/pg_clipfrac", clipped_share(g));
  put_metric(v, "actor/ppo_kl", mean_kl(g, CLIP_LOG_RATIO));
  put_metric(v, "actor/pg_clipfrac_lower", g->batch.count ? lower / g->batch.count : 0);
  return 0;
}

static int dppo_tv(struct verl *v, struct error *err)
{
  return dppo(v, TRUST_TV, err);
}

static int dppo_kl(struct verl *v, struct error *err)
{
  return dppo(v, TRUST_KL, err);
}

static int gspo(struct verl *v, struct error *err)
{
  struct grid *g = v->g;
  const struct sequence_options o = {
      .bounds = {.low = v->low, .high = v->high, .dual = __builtin_inf()}, .limit = 10, .own = true};
  TRY(aggregate(v, "seq-mean-token-mean", err));
  sequence_clipped(&g->batch, &o, g->scale, &g->loss);
  put_metric(v, "actor/pg_clipfrac", clipped_share(g));
  put_metric(v, "actor/ppo_kl", mean_kl(g, __builtin_inf()));
  put_metric(v, "actor/pg_clipfrac_lower", 0);
  return 0;
}

static int sapo(struct verl *v, struct error *err)
{
  struct grid *g = v->g;
  struct soft_temperatures tau;
  TRY(calc_real(v->c, "tau_pos", 1, &tau.positive, err));
  TRY(calc_real(v->c, "tau_neg", 1.05, &tau.negative, err));
  TRY(aggregate(v, "seq-mean-token-mean", err));
  for (int32_t i = 0; i < g->batch.count; i++) {
    double d = g->batch.logp[i] - g->batch.old[i];
    struct clip_value x = token_soft(clip_ratio(g->batch.logp[i], g->batch.old[i]), math_abs(d) <= CLIP_LOG_RATIO,
                                     g->batch.advantage[i], &tau);
    take(g, i, &x);
  }
  put_metric(v, "actor/pg_clipfrac", 0);
  put_metric(v, "actor/ppo_kl", mean_kl(g, CLIP_LOG_RATIO));
  put_metric(v, "actor/pg_clipfrac_lower", 0);
  return 0;
}

static int gpg(struct verl *v, struct error *err)
{
  struct grid *g = v->g;
  TRY(aggregate(v, v->mode, err));
  for (int32_t i = 0; i < g->batch.count; i++) {
    struct clip_value x = token_weighted(g->batch.logp[i], g->batch.logp[i], g->batch.advantage[i], 1, 1);
    take(g, i, &x);
  }
  return 0;
}

static int cispo(struct verl *v, struct error *err)
{
  struct grid *g = v->g;
  TRY(aggregate(v, v->mode, err));
  for (int32_t i = 0; i < g->batch.count; i++) {
    struct clip_value x =
        token_weighted(g->batch.logp[i], g->batch.old[i], g->batch.advantage[i], 1 - v->low, 1 + v->high);
    take(g, i, &x);
  }
  put_metric(v, "actor/pg_clipfrac", clipped_share(g));
  put_metric(v, "actor/ppo_kl", mean_kl(g, CLIP_LOG_RATIO));
  put_metric(v, "actor/pg_clipfrac_lower", 0);
  return 0;
}

static int dro(struct verl *v, struct error *err)
{
  struct grid *g = v->g;
  double beta;
  TRY(calc_real(v->c, "dro_beta", 0, &beta, err));
  if (!(beta > 0))
    FAIL_AT(err, ERROR_INPUT, v->c->file, 0, "dro_beta", "found dro_beta %g; expected a number > 0", beta);
  TRY(aggregate(v, v->mode, err));
  for (int32_t i = 0; i < g->batch.count; i++) {
    struct clip_value x = token_drawn(g->batch.logp[i], g->batch.old[i], g->batch.advantage[i], beta);
    take(g, i, &x);
  }
  put_metric(v, "actor/ppo_kl", mean_kl(g, __builtin_inf()));
  return 0;
}

/* Share of tokens beyond the clip whose advantage has this sign. */
static double beyond(const struct verl *v, bool positive)
{
  const struct minibatch *m = &v->g->batch;
  double n = 0;
  for (int32_t i = 0; i < m->count; i++) {
    double d = m->logp[i] - m->old[i];
    n += (d < -v->low || d > v->high) && (positive ? m->advantage[i] > 0 : m->advantage[i] < 0);
  }
  return m->count ? n / m->count : 0;
}

static int geo_mean(struct verl *v, struct error *err)
{
  (void)err;
  struct grid *g = v->g;
  const struct geometric_options o = {
      .low = v->low, .high = v->high, .limit = __builtin_inf(), .sequences = (double)g->rows};
  sequence_geometric(&g->batch, &o, &g->loss);
  put_metric(v, "actor/pg_clipfrac", beyond(v, true));
  put_metric(v, "actor/ppo_kl", mean_kl(g, __builtin_inf()));
  put_metric(v, "actor/pg_clipfrac_lower", beyond(v, false));
  return 0;
}

/* The ratio is not bounded in the two losses of the covariance. */
static struct clip_value unbounded(const struct grid *g, int32_t i, double low, double high)
{
  const struct clip_bounds b = {.low = low, .high = high, .dual = __builtin_inf()};
  return clip_given(math_exp(g->batch.logp[i] - g->batch.old[i]), true, g->batch.advantage[i], &b);
}

static json_t *places(const struct grid *g, const int32_t *tokens, int32_t n)
{
  json_t *out = json_array();
  for (int32_t i = 0; i < n; i++)
    json_array_append_new(out, json_pack("[i, i]", (int)g->row[tokens[i]], (int)g->col[tokens[i]]));
  return out;
}

/* In the order that torch draws under `seed`, 7 where the case names none: the seed of the documents at hand. */
static int draw(const struct verl *v, int32_t *tokens, int32_t n, int32_t most, struct error *err)
{
  int64_t seed;
  int32_t *order = ARENA_NEW(v->c->arena, int32_t, 2 * (size_t)n, "calc", err), *chosen = order + n;
  if (!order) return err->code;
  TRY(calc_int(v->c, "seed", 7, &seed, err));
  mersenne_permutation((uint32_t)seed, n, order);
  json_t *permutation = json_array();
  for (int32_t i = 0; i < n; i++) json_array_append_new(permutation, json_integer(order[i]));
  json_object_set_new(v->c->outputs, "candidates", places(v->g, tokens, n));
  json_object_set_new(v->c->outputs, "permutation", permutation);
  int32_t take_count = n < most ? n : most;
  for (int32_t i = 0; i < take_count; i++) chosen[i] = tokens[order[i]];
  json_object_set_new(v->c->outputs, "chosen", places(v->g, chosen, take_count));
  for (int32_t i = 0; i < take_count; i++) v->g->loss.loss[chosen[i]] = v->g->loss.coef[chosen[i]] = 0;
  put_metric(v, "actor/pg_clipfrac", v->g->batch.count ? (double)take_count / v->g->batch.count : 0);
  return 0;
}

static int clip_cov(struct verl *v, struct error *err)
{
  struct grid *g = v->g;
  double share, low, high;
  TRY(calc_real(v->c, "clip_cov_ratio", 0.0002, &share, err));
  TRY(calc_real(v->c, "clip_cov_lb", 1, &low, err));
  TRY(calc_real(v->c, "clip_cov_ub", 5, &high, err));
  TRY(aggregate(v, v->mode, err));
  double *covariance = ARENA_NEW(v->c->arena, double, (size_t)g->batch.count, "calc", err);
  int32_t *tokens = ARENA_NEW(v->c->arena, int32_t, (size_t)g->batch.count, "calc", err);
  if (!covariance || !tokens) return err->code;
  for (int32_t i = 0; i < g->batch.count; i++) {
    struct clip_value x = unbounded(g, i, v->low, v->high);
    take(g, i, &x);
  }
  covariance_of(&g->batch, covariance);
  int32_t n = covariance_between(covariance, g->loss.clipped, g->batch.count, low, high, tokens);
  put_metric(v, "actor/pg_clipfrac", 0);
  put_metric(v, "actor/ppo_kl", mean_kl(g, __builtin_inf()));
  return n ? draw(v, tokens, n, covariance_share(share, g->batch.count), err) : 0;
}

static int kl_cov(struct verl *v, struct error *err)
{
  struct grid *g = v->g;
  double share, coef, apart = 0;
  TRY(calc_real(v->c, "kl_cov_ratio", 0.0002, &share, err));
  TRY(calc_real(v->c, "ppo_kl_coef", 1, &coef, err));
  TRY(aggregate(v, v->mode, err));
  double *covariance = ARENA_NEW(v->c->arena, double, (size_t)g->batch.count, "calc", err);
  int32_t take_count = covariance_share(share, g->batch.count);
  int32_t *tokens = ARENA_NEW(v->c->arena, int32_t, (size_t)take_count, "calc", err);
  if (!covariance || !tokens) return err->code;
  for (int32_t i = 0; i < g->batch.count; i++) {
    struct clip_value x = unbounded(g, i, __builtin_inf(), __builtin_inf());
    take(g, i, &x);
    apart += math_abs(g->batch.logp[i] - g->batch.old[i]);
  }
  covariance_of(&g->batch, covariance);
  covariance_largest(covariance, g->batch.count, take_count, tokens);
  for (int32_t k = 0; k < take_count; k++) {
    int32_t i = tokens[k];
    double d = g->batch.logp[i] - g->batch.old[i], f = g->scale[i] * g->batch.weight[i] * coef;
    g->loss.loss[i] += f * math_abs(d);
    g->loss.coef[i] += d > 0 ? f : d < 0 ? -f : 0;
  }
  put_metric(v, "actor/ppo_kl", g->batch.count ? apart / g->batch.count : 0);
  return 0;
}

/* ---- */

static const struct {
  const char *function;
  int (*compute)(struct verl *v, struct error *err);
} losses[] = {{"loss_vanilla", vanilla},   {"loss_dppo_tv", dppo_tv},   {"loss_dppo_kl", dppo_kl}, {"loss_gspo", gspo},
              {"loss_sapo", sapo},         {"loss_gpg", gpg},           {"loss_cispo", cispo},     {"loss_dro", dro},
              {"loss_geo_mean", geo_mean}, {"loss_clip_cov", clip_cov}, {"loss_kl_cov", kl_cov}};

static int compute_loss(struct calc_case *c, int (*loss)(struct verl *v, struct error *err), struct error *err)
{
  struct grid g;
  struct verl v = {.c = c, .g = &g, .mode = calc_text(c, "loss_agg_mode", "token-mean"), .metrics = json_object()};
  json_object_set_new(c->outputs, "metrics", v.metrics);
  TRY(grid_open(c, &names, &g, err));
  TRY(calc_real(c, "clip_ratio_low", 0.2, &v.low, err));
  TRY(calc_real(c, "clip_ratio_high", 0.2, &v.high, err));
  TRY(calc_real(c, "clip_ratio_c", 3, &v.dual, err));
  TRY(loss(&v, err));
  calc_put(c->outputs, "loss", grid_total(&g, g.loss.loss));
  json_object_set_new(c->grads, "log_prob", grid_rectangle(&g, g.loss.coef));
  return 0;
}

static int reinforce(struct verl *v, struct error *err)
{
  TRY(gpg(v, err));
  put_metric(v, "actor/ppo_kl", mean_kl(v->g, __builtin_inf()));
  return 0;
}

/* Sampler and trainer one step apart: old is the sampler's, and the correction compares the current policy with it. Its
 * weights are for REINFORCE alone: PPO's ratio is the correction. */
static int bypass_with(struct calc_case *c, struct calc_case *correction, json_t *inputs, struct error *err)
{
  const char *type = calc_text(correction, "loss_type", "ppo_clip");
  bool plain = !strcmp(type, "reinforce");
  if (!plain && strcmp(type, "ppo_clip"))
    FAIL_AT(err, ERROR_INPUT, c->file, 0, "loss_type", "found loss_type \"%s\"; expected ppo_clip or reinforce", type);
  TRY(calc_find("rollout_correction")->compute(correction, err));
  json_t *mask = json_object_get(correction->outputs, "modified_response_mask");
  json_t *weights = json_object_get(correction->outputs, "rollout_is_weights");
  if (mask) json_object_set(inputs, "response_mask", mask);
  if (weights && plain) json_object_set(inputs, "rollout_is_weights", weights);
  struct calc_case own = *c;
  own.inputs = inputs;
  TRY(compute_loss(&own, plain ? reinforce : vanilla, err));
  json_object_update(json_object_get(c->outputs, "metrics"), json_object_get(correction->outputs, "metrics"));
  return 0;
}

static int bypass(struct calc_case *c, struct error *err)
{
  const json_t *args = json_object_get(c->args, "rollout_correction");
  if (!json_is_object(args) || !json_is_object(c->inputs))
    FAIL_AT(err, ERROR_INPUT, c->file, 0, "rollout_correction", "found no args.rollout_correction; expected an object");
  struct calc_case correction = *c;
  json_t *inputs = json_copy((json_t *)(uintptr_t)c->inputs), *compared = json_object();
  json_object_set(compared, "old_log_prob", json_object_get(c->inputs, "log_prob"));
  json_object_set(compared, "rollout_log_prob", json_object_get(c->inputs, "old_log_prob"));
  json_object_set(compared, "response_mask", json_object_get(c->inputs, "response_mask"));
  json_object_del(inputs, "rollout_is_weights");
  correction.args = args;
  correction.inputs = compared;
  correction.outputs = json_object();
  int rc = bypass_with(c, &correction, inputs, err);
  json_decref(correction.outputs);
  json_decref(compared);
  json_decref(inputs);
  return rc;
}

static int compute(struct calc_case *c, struct error *err)
{
  size_t k = 0;
  if (!strcmp(c->function, "loss_bypass_mode")) return bypass(c, err);
  while (strcmp(losses[k].function, c->function)) k++;
  return compute_loss(c, losses[k].compute, err);
}

static const char *const also[] = {"loss_dppo_tv",  "loss_dppo_kl", "loss_gspo",        "loss_sapo",
                                   "loss_gpg",      "loss_cispo",   "loss_dro",         "loss_geo_mean",
                                   "loss_clip_cov", "loss_kl_cov",  "loss_bypass_mode", NULL};

const struct calc calc_verl_loss = {
    .function = "loss_vanilla",
    .also = also,
    .help = "policy losses as verl defines them, with gradients and metrics",
    .compute = compute,
};
