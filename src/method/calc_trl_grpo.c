/* The losses of TRL's GRPOTrainer (loss_type), GMPOTrainer and RLOOTrainer on rectangles of numbers, with d loss /
 * d log-probability, d loss / d entropy, and the metrics that TRL writes beside them.
 *
 * TRL counts rows without tokens as rows, multiplies k3 by the ratio with its gradient, and adds the KL after entropy
 * mask, off-policy mask and sampler weights. `grpo` and `sapo` take the mean over rows, `bnpo` the mean over tokens,
 * `dr_grpo` a constant, `dapo`, `cispo` and `vespo` the tokens of the generation batch, `luspo` the sum of a row. */
#include <string.h>
#include "core/math.h"
#include "method/part_entropy.h"
#include "method/part_grid.h"
#include "method/part_kl.h"
#include "method/part_sequence.h"
#include "method/part_token_loss.h"

enum kind { CLIPPED, CISPO, SAPO, VESPO };
enum divide { BY_ROWS, BY_TOKENS, BY_CONSTANT, BY_ITEMS, BY_ROW_SUMS };

static const struct loss_type {
  const char *function;
  enum kind kind;
  enum divide divide;
} types[] = {{"grpo_grpo", CLIPPED, BY_ROWS},        {"grpo_bnpo", CLIPPED, BY_TOKENS},
             {"grpo_dr_grpo", CLIPPED, BY_CONSTANT}, {"grpo_dapo", CLIPPED, BY_ITEMS},
             {"grpo_luspo", CLIPPED, BY_ROW_SUMS},   {"grpo_cispo", CISPO, BY_ITEMS},
             {"grpo_sapo", SAPO, BY_ROWS},           {"grpo_vespo", VESPO, BY_ITEMS}};

struct trl {
  struct calc_case *c;
  struct grid *g;
  const struct loss_type *type;
  json_t *metrics;
  double low, high, delta, beta, entropy_coef, quantile, threshold;
  bool sequence, masked_off_policy;
  struct soft_temperatures tau;
  struct gamma_options gamma;
  double *ratio; /* [count] the row's where the level is the sequence */
  double *keep;  /* [count] entropy mask */
  double *low_clip, *high_clip, *phi;
};

/* per_token_logps and completion_mask are TRL's own names; an importance_sampling_ratio is read where it applies. */
static const struct grid_names names = {.logp = "per_token_logps",
                                        .old = "old_per_token_logps",
                                        .advantage = "advantages",
                                        .mask = "completion_mask",
                                        .mask_too = "?tool_mask",
                                        .reference = "?ref_per_token_logps",
                                        .entropy = "?entropies",
                                        .sampler = "?sampling_per_token_logps"};

/* Rounded to f32. gcc 12 drops two such conversions that stand side by side, hence the volatile. */
static double f32_of(double x)
{
  volatile float rounded = (float)x;
  return (double)rounded;
}

static int read_args(struct trl *t, struct error *err)
{
  struct calc_case *c = t->c;
  double positive, negative;
  TRY(calc_real(c, "epsilon_low", 0.2, &t->low, err));
  TRY(calc_real(c, "epsilon_high", 0.2, &t->high, err));
  TRY(calc_real(c, "delta", 0, &t->delta, err));
  TRY(calc_real(c, "beta", 0, &t->beta, err));
  TRY(calc_real(c, "entropy_coef", 0, &t->entropy_coef, err));
  TRY(calc_real(c, "top_entropy_quantile", 1, &t->quantile, err));
  TRY(calc_real(c, "off_policy_mask_threshold", 0, &t->threshold, err));
  TRY(calc_real(c, "sapo_temperature_pos", 1, &positive, err));
  TRY(calc_real(c, "sapo_temperature_neg", 1.05, &negative, err));
  TRY(calc_real(c, "vespo_k_pos", 2, &t->gamma.k_positive, err));
  TRY(calc_real(c, "vespo_lambda_pos", 3, &t->gamma.lambda_positive, err));
  TRY(calc_real(c, "vespo_k_neg", 3, &t->gamma.k_negative, err));
  TRY(calc_real(c, "vespo_lambda_neg", 2, &t->gamma.lambda_negative, err));
  t->tau.positive = f32_of(positive); /* TRL's temperatures are f32 */
  t->tau.negative = f32_of(negative);
  t->masked_off_policy = json_is_number(json_object_get(c->args, "off_policy_mask_threshold"));
  t->sequence = !strcmp(calc_text(c, "importance_sampling_level", "token"), "sequence");
  return 0;
}

/* ---- rows and masks ---------------------------------------------------------------------------------------------- */

static int make_ratios(struct trl *t, struct error *err)
{
  struct minibatch *m = &t->g->batch;
  size_t n = (size_t)m->count;
  t->ratio = ARENA_NEW(t->c->arena, double, 5 * n, "calc", err);
  if (!t->ratio) return err->code;
  memset(t->ratio, 0, 5 * n * sizeof(double));
  t->keep = t->ratio + n;
  t->low_clip = t->ratio + 2 * n;
  t->high_clip = t->ratio + 3 * n;
  t->phi = t->ratio + 4 * n;
  for (int32_t s = 0; s < m->sequence_count; s++) {
    const struct minibatch_sequence *q = &m->sequences[s];
    double log = sequence_mean_log_ratio(m, q);
    for (int32_t i = q->first; i < q->first + q->count; i++)
      t->ratio[i] = math_exp(t->sequence ? log : m->logp[i] - m->old[i]);
  }
  return 0;
}

/* 1 where the entropy is at least the quantile of all tokens'. */
static int keep_uncertain(const struct trl *t, double quantile, double *keep, struct error *err)
{
  const struct minibatch *m = &t->g->batch;
  double *sorted = ARENA_NEW(t->c->arena, double, (size_t)m->count, "calc", err);
  if (!sorted) return err->code;
  if (!m->entropy)
    FAIL_AT(err, ERROR_INPUT, t->c->file, 0, "entropies", "found no entropies; a quantile of them needs them");
  memcpy(sorted, m->entropy, (size_t)m->count * sizeof *sorted);
  double least = entropy_quantile_f32(sorted, (size_t)m->count, 1 - quantile);
  for (int32_t i = 0; i < m->count; i++) keep[i] = m->entropy[i] >= least;
  return 0;
}

/* DeepSeek-V3.2's mask: a row with A < 0 whose sampler is further away than the threshold has no policy loss. */
static double on_policy(const struct trl *t, const struct minibatch_sequence *q, int32_t i)
{
  const struct minibatch *m = &t->g->batch;
  const double *sampler = t->g->sampler ? t->g->sampler : m->old;
  double sum = 0;
  for (int32_t k = q->first; k < q->first + q->count; k++) {
    double kl = sampler[k] - m->logp[k];
    sum += math_is_nan(kl) ? 0 : kl;
  }
  return m->advantage[i] >= 0 || sum / q->count <= t->threshold;
}

/* All entries of the sampler's weights in a row, those of padding too. */
static int sampler_weights(const struct trl *t, struct calc_matrix *out, struct error *err)
{
  *out = (struct calc_matrix){0};
  if (!calc_flag(t->c, "apply_importance_sampling_ratio", false)) return 0;
  return calc_matrix(t->c, calc_need(t->c, "importance_sampling_ratio", err), out, err);
}

static double log_weight_of_row(const struct calc_matrix *w, size_t row)
{
  double sum = 0;
  if (!w->row_count) return 0;
  for (size_t k = 0; k < w->rows[row].count; k++) sum += math_clamp(math_log(w->rows[row].at[k]), math_log(1e-8), 20);
  return sum;
}

/* ---- the loss ---------------------------------------------------------------------------------------------------- */

static double divisor(const struct trl *t, const struct minibatch_sequence *q, double *factor)
{
  int64_t steps, windows;
  struct error ignored = {0};
  double rows = (double)t->g->rows, length, items;
  (void)!calc_int(t->c, "gradient_accumulation_steps", 1, &steps, &ignored);
  (void)!calc_int(t->c, "steps_per_generation", steps, &windows, &ignored);
  (void)!calc_real(t->c, "max_completion_length", (double)t->g->width, &length, &ignored);
  (void)!calc_real(t->c, "num_items_in_batch", t->g->batch.count, &items, &ignored);
  *factor = 1.0 / (double)(steps > 0 ? steps : 1);
  switch (t->type->divide) {
    case BY_ROWS:
      return rows * (q->count ? q->count : 1);
    case BY_TOKENS:
      return t->g->batch.count ? t->g->batch.count : 1;
    case BY_CONSTANT:
      return rows * length;
    case BY_ROW_SUMS:
      return rows;
    case BY_ITEMS:
      break;
  }
  *factor = 1;
  return (items > 1 ? items : 1) * (double)steps / (double)(windows > 0 ? windows : 1);
}

/* The policy loss of token i: by: dL/dlog r where the ratio is that of the loss; else the gradient stays at the token.
 */
static struct clip_value policy_loss(struct trl *t, int32_t i, double phi, bool *by_ratio)
{
  const struct minibatch *m = &t->g->batch;
  const struct clip_bounds b = {.low = t->low, .high = t->high, .dual = __builtin_inf(), .cap = t->delta};
  double A = m->advantage[i], r = t->ratio[i], capped = t->delta > 0 && r > t->delta ? t->delta : r;
  *by_ratio = t->type->kind == CLIPPED || t->type->kind == SAPO;
  switch (t->type->kind) {
    case CLIPPED:
      t->low_clip[i] = capped < 1 - t->low && A < 0;
      t->high_clip[i] = capped > 1 + t->high && A > 0;
      return clip_given(r, true, A, &b);
    case SAPO:
      return token_soft(r, true, A, &t->tau);
    case CISPO:
      t->high_clip[i] = r > t->high && A > 0;
      phi = r < t->high ? r : t->high;
      break;
    case VESPO:
      t->phi[i] = phi;
      break;
  }
  return (struct clip_value){.loss = -phi * A * m->logp[i], .coef = -phi * A};
}

/* k3 of the token, times the ratio with its gradient unless told otherwise. */
static struct kl_value kl_of(const struct trl *t, int32_t i, double *by_ratio)
{
  const struct minibatch *m = &t->g->batch;
  struct kl_value k = kl_estimate(KL_K3, m->logp[i], m->reference[i], false);
  *by_ratio = 0;
  if (!calc_flag(t->c, "use_bias_correction_kl", true)) return k;
  *by_ratio = k.value * t->ratio[i];
  return (struct kl_value){.value = k.value * t->ratio[i], .coef = k.coef * t->ratio[i]};
}

static void row_loss(struct trl *t, const struct minibatch_sequence *q, const struct calc_matrix *weights, double *kl)
{
  struct grid *g = t->g;
  double factor, by = divisor(t, q, &factor), shared = 0, phi = 0;
  double extra = t->type->kind == VESPO ? log_weight_of_row(weights, (size_t)q->rollout) : 0;
  for (int32_t i = q->first; i < q->first + q->count; i++) {
    bool by_ratio;
    double scale = factor / by, w = t->keep[i], kl_by_ratio = 0;
    if (t->type->kind == VESPO) phi = sequence_gamma(&g->batch, q, extra, g->batch.advantage[i], &t->gamma);
    if (t->masked_off_policy) w *= on_policy(t, q, i);
    if (weights->row_count && t->type->kind != VESPO) w *= weights->rows[g->row[i]].at[g->col[i]];
    struct clip_value v = policy_loss(t, i, phi, &by_ratio);
    struct kl_value k = {0};
    if (t->beta != 0) k = kl_of(t, i, &kl_by_ratio);
    kl[i] = k.value;
    g->loss.loss[i] = scale * (w * v.loss + t->beta * k.value);
    g->loss.coef[i] += scale * ((by_ratio ? 0 : w * v.coef) + t->beta * k.coef);
    double moved = scale * ((by_ratio ? w * v.coef : 0) + t->beta * kl_by_ratio);
    if (t->sequence)
      shared += moved / q->count;
    else
      g->loss.coef[i] += moved;
  }
  for (int32_t i = q->first; i < q->first + q->count; i++) g->loss.coef[i] += shared;
}

/* ---- metrics ----------------------------------------------------------------------------------------------------- */

/* Mean over tokens, or over all rows where there is one number a row; of_empty: that of a row without tokens. */
static double level_mean(const struct trl *t, const double *x, bool of_rows, double of_empty)
{
  const struct minibatch *m = &t->g->batch;
  double sum = 0;
  if (!of_rows) return grid_mean(t->g, x);
  for (int32_t s = 0; s < m->sequence_count; s++) sum += m->sequences[s].count ? x[m->sequences[s].first] : of_empty;
  return m->sequence_count ? sum / m->sequence_count : 0;
}

/* The least and the largest mean of a row. Rows without tokens have none, or 0 where there is one number a row. */
static void row_ends(const struct trl *t, const double *x, bool of_rows, double *least, double *most)
{
  const struct minibatch *m = &t->g->batch;
  bool any = false;
  *least = *most = __builtin_nan("");
  for (int32_t s = 0; s < m->sequence_count; s++) {
    const struct minibatch_sequence *q = &m->sequences[s];
    double mean = 0;
    if (!q->count && !of_rows) continue;
    for (int32_t i = q->first; i < q->first + q->count; i++) mean += x[i] / q->count;
    if (!any || mean < *least) *least = mean;
    if (!any || mean > *most) *most = mean;
    any = true;
  }
}

static int put_clips(const struct trl *t, bool of_rows, struct error *err)
{
  int32_t n = t->g->batch.count;
  double *both = ARENA_NEW(t->c->arena, double, (size_t)n, "calc", err), least, most, unused;
  if (!both) return err->code;
  for (int32_t i = 0; i < n; i++) both[i] = t->low_clip[i] + t->high_clip[i];
  calc_put(t->metrics, "clip_ratio/low_mean", level_mean(t, t->low_clip, of_rows, 0));
  calc_put(t->metrics, "clip_ratio/high_mean", level_mean(t, t->high_clip, of_rows, 0));
  calc_put(t->metrics, "clip_ratio/region_mean", level_mean(t, both, of_rows, 0));
  row_ends(t, t->low_clip, of_rows, &least, &unused);
  row_ends(t, t->high_clip, of_rows, &unused, &most);
  calc_put(t->metrics, "clip_ratio/low_min", least);
  calc_put(t->metrics, "clip_ratio/high_max", most);
  return 0;
}

/* Advantages of one number a row keep the comparison one number a row, too. */
static bool numbers_of_rows(const struct trl *t)
{
  const json_t *a = json_object_get(t->c->inputs, "advantages");
  return t->sequence && !json_is_array(json_array_get(a, 0));
}

static int put_metrics(const struct trl *t, const double *kl, struct error *err)
{
  const struct minibatch *m = &t->g->batch;
  if (t->beta != 0) calc_put(t->metrics, "kl", grid_mean(t->g, kl));
  if (m->entropy) calc_put(t->metrics, "entropy", grid_mean(t->g, m->entropy));
  if (t->type->kind == CLIPPED) return put_clips(t, numbers_of_rows(t), err);
  if (t->type->kind == CISPO)
    calc_put(t->metrics, "cispo_clip_ratio", level_mean(t, t->high_clip, numbers_of_rows(t), 0));
  if (t->type->kind == VESPO) calc_put(t->metrics, "vespo/phi_seq_mean", level_mean(t, t->phi, true, 1));
  return 0;
}

/* - coef * mean entropy of the tokens that the policy loss is on. */
static double entropy_bonus(struct trl *t)
{
  const struct minibatch *m = &t->g->batch;
  double tokens = 0, sum = 0, factor;
  const struct minibatch_sequence any = {.count = 1};
  divisor(t, &any, &factor);
  for (int32_t i = 0; i < m->count; i++) tokens += t->keep[i];
  if (tokens < 1) tokens = 1;
  for (int32_t i = 0; i < m->count; i++) {
    double by = t->entropy_coef * factor * t->keep[i] / tokens;
    sum += by * m->entropy[i];
    t->g->loss.entropy_coef[i] = -by;
  }
  return -sum;
}

static int grpo(struct trl *t, struct error *err)
{
  struct calc_matrix weights;
  struct minibatch *m = &t->g->batch;
  double *kl = ARENA_NEW(t->c->arena, double, (size_t)m->count, "calc", err);
  if (!kl) return err->code;
  if (t->beta != 0 && !m->reference)
    FAIL_AT(err, ERROR_INPUT, t->c->file, 0, "ref_per_token_logps", "found beta %g and no ref_per_token_logps",
            t->beta);
  TRY(sampler_weights(t, &weights, err));
  for (int32_t i = 0; i < m->count; i++) t->keep[i] = 1;
  if (t->quantile < 1) TRY(keep_uncertain(t, t->quantile, t->keep, err));
  for (int32_t s = 0; s < m->sequence_count; s++) row_loss(t, &m->sequences[s], &weights, kl);
  double loss = grid_total(t->g, t->g->loss.loss), factor;
  const struct minibatch_sequence any = {.count = 1};
  divisor(t, &any, &factor);
  if (t->entropy_coef != 0) {
    calc_put(t->metrics, "policy_loss", loss / factor);
    calc_put(t->metrics, "entropy_coef", t->entropy_coef);
    loss += entropy_bonus(t);
    json_object_set_new(t->c->grads, "entropies", grid_rectangle(t->g, t->g->loss.entropy_coef));
  }
  calc_put(t->c->outputs, "loss", loss);
  return put_metrics(t, kl, err);
}

/* ---- relatives --------------------------------------------------------------------------------------------------- */

/* A row without tokens has the ratio 1 and its advantage: a constant that TRL adds. */
static double empty_rows(const struct trl *t)
{
  const json_t *a = json_object_get(t->c->inputs, "advantages");
  double sum = 0;
  for (int32_t s = 0; s < t->g->batch.sequence_count; s++)
    if (!t->g->batch.sequences[s].count) sum -= json_number_value(json_array_get(a, (size_t)s)) / (double)t->g->rows;
  return sum;
}

static int gmpo(struct trl *t, struct error *err)
{
  struct grid *g = t->g;
  double *kl = ARENA_NEW(t->c->arena, double, (size_t)g->batch.count, "calc", err);
  if (!kl) return err->code;
  const struct geometric_options o = {.low = t->low,
                                      .high = t->high,
                                      .limit = __builtin_inf(),
                                      .sequences = (double)g->rows,
                                      .use = t->quantile < 1 ? t->keep : NULL};
  if (o.use) TRY(keep_uncertain(t, t->quantile, t->keep, err));
  sequence_geometric(&g->batch, &o, &g->loss);
  for (int32_t s = 0; s < g->batch.sequence_count; s++) {
    const struct minibatch_sequence *q = &g->batch.sequences[s];
    for (int32_t i = q->first; i < q->first + q->count; i++) {
      double d = g->batch.logp[i] - g->batch.old[i], by = t->beta / ((double)g->rows * q->count);
      struct kl_value k = {0};
      if (t->beta != 0) k = kl_estimate(KL_K3, g->batch.logp[i], g->batch.reference[i], false);
      kl[i] = k.value;
      g->loss.loss[i] += by * k.value;
      g->loss.coef[i] += by * k.coef;
      t->low_clip[i] = d < -t->low && g->batch.advantage[i] < 0;
      t->high_clip[i] = d > t->high && g->batch.advantage[i] > 0;
    }
  }
  calc_put(t->c->outputs, "loss", grid_total(g, g->loss.loss) + empty_rows(t));
  return put_metrics(t, kl, err);
}

static void rloo(struct trl *t)
{
  const struct sequence_options o = {
      .bounds = {.low = t->low, .high = t->high, .dual = __builtin_inf()}, .limit = __builtin_inf(), .sum = true};
  struct grid *g = t->g;
  for (int32_t s = 0; s < g->batch.sequence_count; s++) {
    const struct minibatch_sequence *q = &g->batch.sequences[s];
    for (int32_t i = q->first; i < q->first + q->count; i++) g->scale[i] = 1 / ((double)g->rows * q->count);
  }
  sequence_clipped(&g->batch, &o, g->scale, &g->loss);
  calc_put(t->c->outputs, "loss", grid_total(g, g->loss.loss) + empty_rows(t));
}

static int compute(struct calc_case *c, struct error *err)
{
  struct grid g;
  struct trl t = {.c = c, .g = &g, .type = &types[0]};
  for (size_t k = 0; k < sizeof types / sizeof *types; k++)
    if (!strcmp(types[k].function, c->function)) t.type = &types[k];
  TRY(read_args(&t, err));
  TRY(grid_open(c, &names, &g, err));
  TRY(make_ratios(&t, err));
  if (!strcmp(c->function, "rloo_loss")) {
    rloo(&t);
  } else {
    json_object_set_new(c->outputs, "metrics", t.metrics = json_object());
    TRY(!strcmp(c->function, "gmpo") ? gmpo(&t, err) : grpo(&t, err));
  }
  json_object_set_new(c->grads, "per_token_logps", grid_rectangle(&g, g.loss.coef));
  return 0;
}

static const char *const also[] = {"grpo_bnpo", "grpo_dr_grpo", "grpo_dapo", "grpo_luspo", "grpo_cispo",
                                   "grpo_sapo", "grpo_vespo",   "gmpo",      "rloo_loss",  NULL};

const struct calc calc_trl_grpo = {
    .function = "grpo_grpo",
    .also = also,
    .help = "GRPO's relatives, GMPO and RLOO as TRL defines their losses, with gradients and metrics",
    .compute = compute,
};
