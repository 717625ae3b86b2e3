/* From losses per token to one number: part_aggregate.h. verl: agg_loss, value_loss, entropy_loss; OpenRLHF:
 * value_loss. */
#include <string.h>
#include "core/math.h"
#include "method/calc.h"
#include "method/part_aggregate.h"
#include "method/part_return.h"

static const struct {
  const char *word;
  enum aggregation mode;
} MODES[] = {{"token-mean", AGGREGATE_TOKEN_MEAN},
             {"token-sum", AGGREGATE_TOKEN_SUM},
             {"seq-mean-token-sum", AGGREGATE_SEQ_MEAN_TOKEN_SUM},
             {"seq-mean-token-sum-norm", AGGREGATE_CONSTANT},
             {"seq-mean-token-mean", AGGREGATE_SEQ_MEAN_TOKEN_MEAN}};

static int find_mode(const struct calc_case *c, enum aggregation *out, struct error *err)
{
  const char *word = calc_text(c, "loss_agg_mode", "token-mean");
  if (!calc_flag(c, "token_level_loss", true)) word = "seq-mean-token-mean";
  for (size_t i = 0; i < sizeof MODES / sizeof *MODES; i++) {
    if (strcmp(MODES[i].word, word)) continue;
    *out = MODES[i].mode;
    return 0;
  }
  FAIL_AT(err, ERROR_INPUT, c->file, 0, "loss_agg_mode",
          "found \"%s\"; expected token-mean, token-sum, seq-mean-token-sum, seq-mean-token-sum-norm or "
          "seq-mean-token-mean",
          word);
}

/* weight: the grid of d loss / d entry. batch_num_tokens, global_batch_size and dp_size say of which batch this is a
 * part; until February 2026 verl's seq-mean-token-sum-norm did not divide by the rows (`old`). */
static int weights(struct calc_case *c, const struct calc_grid *mask, bool old, double *weight, struct error *err)
{
  enum aggregation mode;
  struct minibatch *m;
  struct aggregate_counts by;
  double shards, constant;
  TRY(find_mode(c, &mode, err));
  TRY(calc_minibatch(c, mask, false, &m, err));
  by = aggregate_count(m, NULL);
  TRY(calc_real(c, "dp_size", 1, &shards, err));
  TRY(calc_real(c, "batch_num_tokens", by.tokens, &by.tokens, err));
  TRY(calc_real(c, "global_batch_size", by.sequences, &by.sequences, err));
  TRY(calc_real(c, "loss_scale_factor", (double)mask->width, &constant, err));
  if (old && mode == AGGREGATE_CONSTANT) by.sequences = 1;
  double *scale = ARENA_NEW(c->arena, double, (size_t)m->count + 1, "calc", err);
  if (!scale) return err->code;
  aggregate_scale_by(m, mode, constant, NULL, &by, scale);
  for (int32_t i = 0; i < m->count; i++) weight[m->token[i]] = shards * scale[i];
  return 0;
}

static int aggregate(struct calc_case *c, bool old, struct error *err)
{
  struct calc_grid loss, mask;
  TRY(calc_grid(c, "loss_mat", &loss, err));
  TRY(calc_grid_like(c, "loss_mask", &loss, 1, &mask, err));
  double *weight = calc_zeros(c, &loss, err), sum = 0;
  if (!weight) return err->code;
  TRY(weights(c, &mask, old, weight, err));
  for (size_t i = 0; i < loss.rows * loss.width; i++) sum += weight[i] != 0 ? weight[i] * loss.at[i] : 0;
  calc_put(c->outputs, "loss", sum);
  json_object_set_new(c->grads, "loss_mat", calc_grid_json(weight, loss.rows, loss.width));
  return 0;
}

/* The two frameworks' names of the same things. */
struct value_names {
  const char *now, *old, *mask, *clip, *loss, *fraction;
};

static int values(struct calc_case *c, const struct value_names *name, struct error *err)
{
  struct calc_grid now, old, mask, returns;
  double clip, sum = 0, clipped = 0, tokens = 0;
  TRY(calc_grid(c, name->now, &now, err));
  TRY(calc_grid_like(c, name->old, &now, __builtin_nan(""), &old, err));
  TRY(calc_grid_like(c, name->mask, &now, 1, &mask, err));
  TRY(calc_grid_like(c, "returns", &now, __builtin_nan(""), &returns, err));
  TRY(calc_real(c, name->clip, __builtin_inf(), &clip, err));
  double *weight = calc_zeros(c, &now, err), *grad = calc_zeros(c, &now, err);
  if (!weight || !grad) return err->code;
  TRY(weights(c, &mask, false, weight, err));
  for (size_t i = 0; i < now.rows * now.width; i++) {
    if (mask.at[i] == 0) continue;
    struct value_loss v = value_loss(now.at[i], old.at[i], returns.at[i], clip);
    sum += weight[i] * v.loss;
    grad[i] = weight[i] * v.coef;
    clipped += v.clipped;
    tokens++;
  }
  calc_put(c->outputs, name->loss, sum);
  if (name->fraction) calc_put(c->outputs, name->fraction, tokens > 0 ? clipped / tokens : 0);
  json_object_set_new(c->grads, name->now, calc_grid_json(grad, now.rows, now.width));
  return 0;
}

/* H and dH/dz of one row of logits z: -p_v (log p_v + H). */
static double entropy_of(const double *z, size_t n, double *p, double *grad)
{
  double most = z[0], sum = 0, h = 0;
  for (size_t v = 1; v < n; v++) most = z[v] > most ? z[v] : most;
  for (size_t v = 0; v < n; v++) sum += p[v] = math_exp(z[v] - most);
  for (size_t v = 0; v < n; v++) h -= (p[v] /= sum) * (z[v] - most - math_log(sum));
  for (size_t v = 0; v < n; v++) grad[v] = -p[v] * (z[v] - most - math_log(sum) + h);
  return h;
}

static int entropy(struct calc_case *c, struct error *err)
{
  struct calc_grid mask;
  const json_t *logits = calc_need(c, "logits", err), *row;
  double sum = 0;
  size_t r;
  TRY(calc_grid(c, "response_mask", &mask, err));
  double *weight = calc_zeros(c, &mask, err);
  json_t *grads = json_array();
  json_object_set_new(c->grads, "logits", grads);
  if (!logits || !weight) return err->code;
  TRY(weights(c, &mask, false, weight, err));
  json_array_foreach(logits, r, row)
  {
    struct calc_matrix z;
    json_t *out = json_array();
    json_array_append_new(grads, out);
    TRY(calc_matrix(c, row, &z, err));
    for (size_t t = 0; t < z.row_count && r * mask.width + t < mask.rows * mask.width; t++) {
      size_t n = z.rows[t].count;
      double *p = ARENA_NEW(c->arena, double, 2 * n + 1, "calc", err), w = weight[r * mask.width + t];
      if (!p) return err->code;
      sum += w * entropy_of(z.rows[t].at, n, p, p + n);
      for (size_t v = 0; v < n; v++) p[n + v] *= w;
      json_array_append_new(out, calc_list(p + n, n));
    }
  }
  calc_put(c->outputs, "entropy", sum);
  return 0;
}

static int compute(struct calc_case *c, struct error *err)
{
  static const struct value_names VERL = {"vpreds",          "values",  "response_mask",
                                          "cliprange_value", "vf_loss", "vf_clipfrac"},
                                  OPENRLHF = {"values", "old_values", "action_mask", "clip_eps", "loss", NULL};
  if (!strcmp(c->function, "entropy_loss")) return entropy(c, err);
  if (!strcmp(c->function, "value_loss"))
    return values(c, c->dialect && !strcmp(c->dialect, "openrlhf") ? &OPENRLHF : &VERL, err);
  return aggregate(c, !strcmp(c->function, "old_agg_loss"), err);
}

static const char *const also[] = {"old_agg_loss", "value_loss", "entropy_loss", NULL};
const struct calc calc_agg_loss = {
    .function = "agg_loss",
    .also = also,
    .help = "losses per token to one number, the critic's and the entropy's among them",
    .compute = compute,
};
