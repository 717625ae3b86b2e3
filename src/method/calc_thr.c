/* Token hidden reward and its companion (arXiv 2510.03669, 2505.18830): part_thr.h. */
#include <string.h>
#include "core/math.h"
#include "method/calc.h"
#include "method/part_rows.h"
#include "method/part_sequence.h"
#include "method/part_softmax.h"
#include "method/part_thr.h"

struct thr_case {
  struct calc_rows rows;
  struct thr_rule rule;
  double *id;          /* [count] sampled tokens */
  double *probability; /* [count][vocabulary] */
  struct vector_rows hidden;
  int32_t vocabulary;
  bool full;              /* V* is the whole vocabulary */
  double *score, *factor; /* [count] */
  double *kept;           /* [count] 1 where the mask leaves a token */
  int64_t kept_count;
  json_t *tau, *eta, *matrix, *columns; /* per group */
};

static int open_case(struct calc_case *c, struct thr_case *x, struct error *err)
{
  double *logits, *hidden;
  TRY(calc_rows_open(c, &x->rows, err));
  TRY(calc_rows_tokens(c, &x->rows, "token", &x->id, err));
  TRY(calc_rows_vectors(c, &x->rows, "logits", &logits, &x->vocabulary, err));
  TRY(calc_rows_vectors(c, &x->rows, "hidden", &hidden, &x->hidden.width, err));
  x->hidden.f64 = hidden;
  size_t n = (size_t)x->rows.count;
  x->probability = ARENA_NEW(c->arena, double, n *(size_t)x->vocabulary + 1, "calc", err);
  x->score = ARENA_NEW(c->arena, double, 3 * n + 3, "calc", err);
  if (!x->probability || !x->score) return err->code;
  x->factor = x->score + n + 1;
  x->kept = x->factor + n + 1;
  for (size_t i = 0; i < n; i++) {
    double *p = x->probability + i * (size_t)x->vocabulary;
    softmax_log(logits + i * (size_t)x->vocabulary, x->vocabulary, 1, p);
    for (int32_t v = 0; v < x->vocabulary; v++) p[v] = math_exp(p[v]);
    if (!(x->id[i] >= 0 && x->id[i] < x->vocabulary))
      FAIL_AT(err, ERROR_INPUT, c->file, 0, "token", "found token %g; expected an id below %d", x->id[i],
              x->vocabulary);
  }
  x->rule.nthr = !strcmp(calc_text(c, "method", "thr"), "nthr");
  x->rule.mask = calc_flag(c, "mask_tokens", true);
  x->full = !strcmp(calc_text(c, "vocab", "group"), "full");
  TRY(calc_real(c, "p", 0.1, &x->rule.p, err));
  return calc_real(c, "beta", 1, &x->rule.beta, err);
}

/* The group's tokens, its columns, and the probabilities on them. */
static int open_group(struct calc_case *c, const struct thr_case *x, int32_t g, struct thr_group *out,
                      int32_t **columns, struct error *err)
{
  const int32_t *member = x->rows.member + x->rows.group_first[g];
  int32_t rows = x->rows.group_first[g + 1] - x->rows.group_first[g], n = 0, count = 0;
  size_t most = (size_t)x->rows.count + 1;
  bool *right = ARENA_NEW(c->arena, bool, (size_t)rows, "calc", err);
  int32_t *first = ARENA_NEW(c->arena, int32_t, (size_t)rows + 1, "calc", err);
  int64_t *token = ARENA_NEW(c->arena, int64_t, most, "calc", err);
  int32_t *own = ARENA_NEW(c->arena, int32_t, most, "calc", err);
  int32_t *column_of = ARENA_NEW(c->arena, int32_t, (size_t)x->vocabulary, "calc", err);
  *columns = ARENA_NEW(c->arena, int32_t, (size_t)x->vocabulary, "calc", err);
  if (!right || !first || !token || !own || !column_of || !*columns) return err->code;
  for (int32_t i = 0; i < rows; i++) {
    right[i] = x->rows.reward[member[i]] > 0.5;
    first[i] = n;
    for (int32_t t = x->rows.first[member[i]]; t < x->rows.first[member[i] + 1]; t++) {
      token[n++] = t;
      column_of[(int32_t)x->id[t]] = 1;
    }
  }
  first[rows] = n;
  for (int32_t v = 0; v < x->vocabulary; v++) {
    if (!column_of[v] && !x->full) continue;
    (*columns)[count] = v;
    column_of[v] = count++;
  }
  double *p = ARENA_NEW(c->arena, double, most *(size_t)count + 1, "calc", err);
  if (!p) return err->code;
  for (int32_t i = 0; i < n; i++) {
    own[i] = column_of[(int32_t)x->id[token[i]]];
    for (int32_t k = 0; k < count; k++)
      p[token[i] * count + k] = x->probability[token[i] * x->vocabulary + (*columns)[k]];
  }
  *out = (struct thr_group){.responses = rows, .right = right, .first = first, .token = token, .column = own};
  out->hidden = x->hidden;
  out->probability = (struct vector_rows){.f64 = p, .width = count};
  return 0;
}

static json_t *matrix_rows(const double *m, int32_t rows, int32_t width)
{
  json_t *out = json_array();
  for (int32_t i = 0; i < rows; i++) json_array_append_new(out, calc_list(m + (int64_t)i * width, (size_t)width));
  return out;
}

static int weigh_group(struct calc_case *c, struct thr_case *x, int32_t g, struct error *err)
{
  struct thr_group group;
  struct thr_result r;
  int32_t *columns;
  TRY(open_group(c, x, g, &group, &columns, err));
  TRY(thr_weigh(&group, &x->rule, c->arena, &r, err));
  for (int32_t i = 0; i < group.first[group.responses]; i++) {
    x->score[group.token[i]] = r.score[i];
    x->factor[group.token[i]] = r.factor[i];
    x->kept[group.token[i]] = x->rule.nthr || r.factor[i] > 0;
  }
  x->kept_count += r.kept;
  if (!r.weighed) return 0;
  const char *key = x->rows.group_key[g];
  json_t *list = json_array();
  for (int32_t k = 0; k < group.probability.width; k++) json_array_append_new(list, json_integer(columns[k]));
  json_object_set_new(x->columns, key, list);
  json_object_set_new(x->matrix, key, matrix_rows(r.matrix, group.probability.width, group.hidden.width));
  calc_put(x->tau, key, r.tau);
  if (x->rule.nthr) calc_put(x->eta, key, r.eta);
  return 0;
}

/* GSPO-token (part_sequence.h). */
static int gspo_token_loss(struct calc_case *c, struct thr_case *x, const struct calc_loss *l, double *loss,
                           double *coef, struct error *err)
{
  size_t n = (size_t)x->rows.count + 1;
  double *scale = ARENA_NEW(c->arena, double, n, "calc", err), *weight = ARENA_NEW(c->arena, double, n, "calc", err);
  struct loss out = {.loss = ARENA_NEW(c->arena, double, n, "calc", err), .coef = coef};
  out.clipped = ARENA_NEW(c->arena, uint8_t, n, "calc", err);
  if (!scale || !weight || !out.loss || !out.clipped) return err->code;
  TRY(calc_rows_scale(c, &x->rows, l->aggregation, l->counted, scale, err));
  for (size_t i = 0; i + 1 < n; i++) weight[i] = l->weight ? l->weight[i] : 1;
  struct minibatch batch = x->rows.batch;
  batch.logp = x->rows.logp;
  batch.old = x->rows.old;
  batch.advantage = l->advantage;
  batch.weight = weight;
  sequence_clipped(&batch, &(struct sequence_options){.bounds = l->bounds, .limit = 10, .own = true}, scale, &out);
  *loss = 0;
  for (int32_t i = 0; i < x->rows.count; i++) *loss += out.loss[i];
  return 0;
}

static int loss_of(struct calc_case *c, struct thr_case *x, const double *advantage, struct error *err)
{
  double loss, kl, kl_coef, *coef = ARENA_NEW(c->arena, double, (size_t)x->rows.count + 1, "calc", err);
  if (!coef) return err->code;
  bool all = !strcmp(calc_text(c, "denominator", "all"), "all");
  struct calc_loss l = {.advantage = advantage,
                        .counted = all ? NULL : x->kept,
                        .weight = all ? NULL : x->kept,
                        .aggregation = calc_text(c, "agg", "token-mean")};
  l.bounds.dual = __builtin_inf();
  TRY(calc_real(c, "low", 0.2, &l.bounds.low, err));
  TRY(calc_real(c, "high", 0.2, &l.bounds.high, err));
  TRY(calc_real(c, "kl_coef", 1e-4, &kl_coef, err));
  if (!strcmp(calc_text(c, "base", "grpo"), "gspo_token")) {
    TRY(gspo_token_loss(c, x, &l, &loss, coef, err));
  } else {
    TRY(calc_rows_loss(c, &x->rows, &l, &loss, coef, err));
  }
  calc_put(c->outputs, "policy_loss", loss);
  TRY(calc_rows_kl(c, &x->rows, l.aggregation, kl_coef, &kl, coef, err));
  calc_put(c->outputs, "kl", kl);
  calc_put(c->outputs, "loss", loss + kl_coef * kl);
  json_object_set_new(c->grads, "log_prob", calc_rows_matrix(&x->rows, coef));
  return 0;
}

static int compute(struct calc_case *c, struct error *err)
{
  struct thr_case x = {.tau = json_object()};
  double eps;
  json_object_set_new(c->outputs, "tau", x.tau);
  json_object_set_new(c->outputs, "M", x.matrix = json_object());
  json_object_set_new(c->outputs, "columns", x.columns = json_object());
  TRY(open_case(c, &x, err));
  if (x.rule.nthr) json_object_set_new(c->outputs, "eta", x.eta = json_object());
  for (int32_t g = 0; g < x.rows.group_count; g++) TRY(weigh_group(c, &x, g, err));
  TRY(calc_real(c, "eps", 1e-6, &eps, err));
  double *per_row = ARENA_NEW(c->arena, double, (size_t)x.rows.rows, "calc", err);
  double *advantage = ARENA_NEW(c->arena, double, (size_t)x.rows.count + 1, "calc", err);
  if (!per_row || !advantage) return err->code;
  bool unbiased = strcmp(calc_text(c, "std", "sample"), "population") != 0;
  TRY(calc_rows_advantage(c, &x.rows, x.rows.reward, unbiased, eps, per_row, err));
  calc_rows_spread(&x.rows, per_row, advantage);
  for (int32_t i = 0; i < x.rows.count; i++) advantage[i] *= x.factor[i];
  json_object_set_new(c->outputs, "thr", calc_rows_matrix(&x.rows, x.score));
  json_object_set_new(c->outputs, "factor", calc_rows_matrix(&x.rows, x.factor));
  json_object_set_new(c->outputs, "advantages", calc_rows_matrix(&x.rows, advantage));
  calc_put(c->outputs, "kept_fraction", x.rows.count ? (double)x.kept_count / x.rows.count : 0);
  return loss_of(c, &x, advantage, err);
}

const struct calc calc_thr = {
    .function = "thr",
    .help = "token hidden rewards of a group, the threshold, and the loss on the tokens that are kept",
    .compute = compute,
};
