/* OpenRLHF's PolicyLoss (openrlhf/models/loss.py): PPO and GSPO, dual clip, and three ways to weigh a sampler that is
 * not the policy. Means are over tokens, or over rows of row means; rows without tokens are left out. */
#include <string.h>
#include "core/math.h"
#include "method/part_grid.h"
#include "method/part_sequence.h"

static const struct grid_names names = {.logp = "log_probs",
                                        .old = "old_log_probs",
                                        .advantage = "advantages",
                                        .mask = "action_mask",
                                        .sampler = "?rollout_log_probs"};

struct correction_args {
  const char *kind; /* NULL: none */
  double low, high;
};

static int read_correction(const struct calc_case *c, const struct grid *g, struct correction_args *out,
                           struct error *err)
{
  *out = (struct correction_args){0};
  if (!calc_flag(c, "enable_vllm_is_correction", false)) return 0;
  const json_t *bounds = json_object_get(c->args, "vllm_is_truncated_threshold");
  out->kind = calc_text(c, "vllm_is_correction_type", "tis");
  out->low = json_number_value(json_array_get(bounds, 0));
  out->high = json_number_value(json_array_get(bounds, 1));
  bool known = !strcmp(out->kind, "tis") || !strcmp(out->kind, "icepop") || !strcmp(out->kind, "seq-mask-tis");
  if (!known || !g->sampler || json_array_size(bounds) != 2)
    FAIL_AT(err, ERROR_INPUT, c->file, 0, "vllm_is_correction_type",
            "found a correction \"%s\"; expected tis, icepop or seq-mask-tis, two bounds and rollout_log_probs",
            out->kind);
  return 0;
}

/* The sampler's weight of every token. */
static void weigh(const struct grid *g, const struct correction_args *o, double *weight)
{
  const struct minibatch *m = &g->batch;
  for (int32_t s = 0; s < m->sequence_count; s++) {
    const struct minibatch_sequence *q = &m->sequences[s];
    double log = 0;
    for (int32_t i = q->first; i < q->first + q->count; i++) log += (m->old[i] - g->sampler[i]) / q->count;
    double row = math_exp(log);
    for (int32_t i = q->first; i < q->first + q->count; i++) {
      double rho = math_exp(m->old[i] - g->sampler[i]);
      if (!strcmp(o->kind, "tis"))
        weight[i] = math_clamp(rho, o->low, o->high);
      else if (!strcmp(o->kind, "icepop"))
        weight[i] = rho >= o->low && rho <= o->high ? rho : 0;
      else
        weight[i] = row >= o->low && row <= o->high ? rho : 0;
    }
  }
}

static double mean_apart(const struct grid *g, const double *from, const double *to)
{
  double sum = 0;
  for (int32_t i = 0; i < g->batch.count; i++) sum += from[i] - to[i];
  return g->batch.count ? sum / g->batch.count : 0;
}

/* PPO's minimum per token. Returns the share of tokens whose bound is the smaller. */
static double ppo(struct grid *g, const struct clip_bounds *b)
{
  struct minibatch *m = &g->batch;
  struct clip_bounds two = *b;
  double clipped = 0;
  two.dual = __builtin_inf();
  for (int32_t i = 0; i < m->count; i++) {
    struct clip_value v = clip_surrogate(m->logp[i], m->old[i], m->advantage[i], b);
    g->loss.loss[i] = g->scale[i] * m->weight[i] * v.loss;
    g->loss.coef[i] = g->scale[i] * m->weight[i] * v.coef;
    clipped += clip_surrogate(m->logp[i], m->old[i], m->advantage[i], &two).clipped;
  }
  return m->count ? clipped / m->count : 0;
}

/* GSPO's ratio is to the sampler itself where it is corrected. */
static double gspo(struct grid *g, const struct clip_bounds *b, bool corrected)
{
  double *old = g->batch.old, clipped = 0;
  size_t bytes = (size_t)g->batch.count * sizeof(double);
  struct sequence_options o = {.bounds = *b, .limit = __builtin_inf()};
  if (corrected) g->batch.old = g->sampler;
  o.bounds.dual = __builtin_inf();
  sequence_clipped(&g->batch, &o, g->scale, &g->loss);
  for (int32_t i = 0; i < g->batch.count; i++) clipped += g->loss.clipped[i];
  o.bounds.dual = b->dual;
  memset(g->loss.loss, 0, bytes);
  memset(g->loss.coef, 0, bytes);
  sequence_clipped(&g->batch, &o, g->scale, &g->loss);
  g->batch.old = old;
  return g->batch.count ? clipped / g->batch.count : 0;
}

static int compute(struct calc_case *c, struct error *err)
{
  struct grid g;
  struct clip_bounds b = {0};
  struct correction_args o;
  TRY(grid_open(c, &names, &g, err));
  TRY(calc_real(c, "clip_eps_low", 0.2, &b.low, err));
  TRY(calc_real(c, "clip_eps_high", 0.2, &b.high, err));
  TRY(calc_real(c, "dual_clip", __builtin_inf(), &b.dual, err));
  TRY(read_correction(c, &g, &o, err));
  bool sequence = !strcmp(calc_text(c, "policy_loss_type", "ppo"), "gspo");
  bool tokens = calc_flag(c, "token_level_loss", true) && !sequence;
  aggregate_scale(&g.batch, tokens ? AGGREGATE_TOKEN_MEAN : AGGREGATE_SEQ_MEAN_TOKEN_MEAN, 0, g.batch.counted, g.scale);
  if (o.kind && !sequence) {
    double *weight = ARENA_NEW(c->arena, double, (size_t)g.batch.count, "calc", err);
    if (!weight) return err->code;
    weigh(&g, &o, weight);
    g.batch.weight = weight;
  }
  double clipped = sequence ? gspo(&g, &b, o.kind != NULL) : ppo(&g, &b);
  calc_put(c->outputs, "loss", grid_total(&g, g.loss.loss));
  calc_put(c->outputs, "clip_ratio", clipped);
  calc_put(c->outputs, "ppo_kl", mean_apart(&g, g.batch.old, g.batch.logp));
  json_object_set_new(c->outputs, "vllm_kl",
                      o.kind && !sequence ? calc_number(mean_apart(&g, g.sampler, g.batch.old)) : json_null());
  json_object_set_new(c->grads, "log_probs", grid_rectangle(&g, g.loss.coef));
  return 0;
}

const struct calc calc_policy_loss = {
    .function = "policy_loss",
    .help = "PPO's and GSPO's loss as OpenRLHF defines them, with gradients",
    .compute = compute,
};
