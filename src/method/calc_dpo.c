/* Losses of preference pairs: TRL's DPOTrainer on rectangles of token log-probabilities (chosen rows first, then the
 * rejected ones in the same order), OpenRLHF's DPOLoss on one number a response. */
#include <string.h>
#include "core/math.h"
#include "method/part_grid.h"
#include "method/part_pair.h"

static int word_of(const struct calc_case *c, const char *key, const char *word, const char *words, int *out,
                   struct error *err)
{
  *out = 0;
  for (const char *at = words; *at; ++*out) {
    size_t n = strcspn(at, "|");
    if (strlen(word) == n && !strncmp(word, at, n)) return 0;
    at += n + (at[n] == '|');
  }
  FAIL_AT(err, ERROR_INPUT, c->file, 0, key, "found %s \"%s\"; expected one of %s", key, word, words);
}

static int read_options(const struct calc_case *c, struct pair_options *out, struct error *err)
{
  const json_t *type = json_object_get(c->args, "loss_type");
  const char *name = json_is_array(type) ? json_string_value(json_array_get(type, 0)) : json_string_value(type);
  int loss, score;
  TRY(word_of(c, "loss_type", name ? name : "sigmoid", PAIR_WORDS, &loss, err));
  TRY(word_of(c, "f_divergence_type", calc_text(c, "f_divergence_type", "reverse_kl"), PAIR_SCORE_WORDS, &score, err));
  *out = (struct pair_options){.loss = (enum pair_loss)loss, .score = (enum pair_score)score};
  TRY(calc_real(c, "beta", 0.1, &out->beta, err));
  TRY(calc_real(c, "label_smoothing", 0, &out->smoothing, err));
  TRY(calc_real(c, "discopop_tau", 0.05, &out->tau, err));
  if (!(out->beta > 0) || !(out->smoothing >= 0 && out->smoothing < 0.5))
    FAIL_AT(err, ERROR_INPUT, c->file, 0, "beta", "found beta %g and label_smoothing %g; expected > 0, and 0 to 1/2",
            out->beta, out->smoothing);
  return 0;
}

/* ---- TRL --------------------------------------------------------------------------------------------------------- */

static const struct grid_names names = {
    .logp = "per_token_logps", .reference = "ref_per_token_logps", .mask = "completion_mask"};

/* What a token counts in its response's sum: ld_alpha beyond the shorter length of the pair. */
static double token_share(const struct grid *g, int32_t s, int32_t i, double alpha)
{
  int32_t half = g->batch.sequence_count / 2;
  const struct minibatch_sequence *q = &g->batch.sequences[s];
  const struct minibatch_sequence *other = &g->batch.sequences[s < half ? s + half : s - half];
  return i - q->first < other->count ? 1 : alpha;
}

static struct pair_side side(const struct grid *g, int32_t s, double alpha)
{
  const struct minibatch_sequence *q = &g->batch.sequences[s];
  struct pair_side out = {.tokens = q->count};
  for (int32_t i = q->first; i < q->first + q->count; i++) {
    double share = token_share(g, s, i, alpha);
    out.logp += share * g->batch.logp[i];
    out.reference += share * g->batch.reference[i];
  }
  return out;
}

/* TRL sums whole rows, in which what is no token is 0: the gradient is there, too, except in `sft`. */
static json_t *gradient(const struct grid *g, const struct pair_options *o, const double *by, double alpha)
{
  json_t *out = json_array();
  for (int32_t s = 0, i = 0; s < g->batch.sequence_count; s++) {
    const struct minibatch_sequence *q = &g->batch.sequences[s];
    json_t *row = json_array();
    json_array_append_new(out, row);
    for (size_t t = 0; t < g->width; t++) {
      bool token = i < q->first + q->count && g->col[i] == (int32_t)t;
      double share = token_share(g, s, token ? i : q->first + q->count - 1, alpha);
      json_array_append_new(row, calc_number(!token && o->loss == PAIR_SFT ? 0 : by[s] * share));
      i += token;
    }
  }
  return out;
}

static int trl(struct calc_case *c, struct error *err)
{
  struct grid g;
  struct pair_options o;
  double alpha, loss;
  TRY(grid_open(c, &names, &g, err));
  TRY(read_options(c, &o, err));
  TRY(calc_real(c, "ld_alpha", 1, &alpha, err));
  if (o.loss == PAIR_SIGMOID) o.smoothing = 0; /* TRL smooths it in `robust` alone */
  size_t n = g.rows / 2;
  struct pair *pairs = ARENA_NEW(c->arena, struct pair, n, "calc", err);
  double *by = ARENA_NEW(c->arena, double, 2 * n, "calc", err);
  if (!pairs || !by) return err->code;
  if (g.rows != 2 * n) FAIL_AT(err, ERROR_INPUT, c->file, 0, NULL, "found %zu rows; expected pairs", g.rows);
  for (size_t k = 0; k < n; k++)
    pairs[k] = (struct pair){side(&g, (int32_t)k, alpha), side(&g, (int32_t)(k + n), alpha)};
  TRY(pair_losses(c->arena, &o, pairs, n, true, &loss, by, by + n, err));
  calc_put(c->outputs, "loss", loss);
  json_object_set_new(c->grads, "per_token_logps", gradient(&g, &o, by, alpha));
  return 0;
}

/* ---- OpenRLHF ---------------------------------------------------------------------------------------------------- */

static int openrlhf(struct calc_case *c, struct error *err)
{
  static const char *const fields[] = {"policy_chosen_logps", "policy_rejected_logps", "reference_chosen_logps",
                                       "reference_rejected_logps"};
  struct calc_matrix m[4];
  struct pair_options o;
  double loss;
  for (int k = 0; k < 4; k++) {
    const json_t *v = calc_need(c, fields[k], err);
    if (!v) return err->code;
    TRY(calc_matrix(c, v, &m[k], err));
    if (m[k].rows[0].count != m[0].rows[0].count)
      FAIL_AT(err, ERROR_INPUT, c->file, 0, fields[k], "found %zu and %zu responses; expected as many of each",
              m[0].rows[0].count, m[k].rows[0].count);
  }
  TRY(read_options(c, &o, err));
  if (calc_flag(c, "ipo", false)) o.loss = PAIR_IPO;
  size_t n = m[0].rows[0].count;
  struct pair *pairs = ARENA_NEW(c->arena, struct pair, n, "calc", err);
  double *by = ARENA_NEW(c->arena, double, 4 * n, "calc", err);
  if (!pairs || !by) return err->code;
  for (size_t k = 0; k < n; k++) {
    pairs[k].chosen = (struct pair_side){m[0].rows[0].at[k], m[2].rows[0].at[k], 1};
    pairs[k].rejected = (struct pair_side){m[1].rows[0].at[k], m[3].rows[0].at[k], 1};
    by[2 * n + k] = o.beta * (pairs[k].chosen.logp - pairs[k].chosen.reference);
    by[3 * n + k] = o.beta * (pairs[k].rejected.logp - pairs[k].rejected.reference);
  }
  TRY(pair_losses(c->arena, &o, pairs, n, false, &loss, by, by + n, err));
  calc_put(c->outputs, "loss", loss);
  json_object_set_new(c->outputs, "chosen_rewards", calc_list(by + 2 * n, n));
  json_object_set_new(c->outputs, "rejected_rewards", calc_list(by + 3 * n, n));
  json_object_set_new(c->grads, fields[0], calc_list(by, n));
  json_object_set_new(c->grads, fields[1], calc_list(by + n, n));
  return 0;
}

static int compute(struct calc_case *c, struct error *err)
{
  return json_object_get(c->inputs, "policy_chosen_logps") ? openrlhf(c, err) : trl(c, err);
}

const struct calc calc_dpo = {
    .function = "dpo",
    .help = "losses of preference pairs as TRL (15 of them) and OpenRLHF define them, with gradients",
    .compute = compute,
};
