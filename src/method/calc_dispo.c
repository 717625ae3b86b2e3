/* DISPO (arXiv 2602.00983): part_signed_clip.h. */
#include <string.h>

#include "core/math.h"
#include "method/calc.h"
#include "method/part_rows.h"
#include "method/part_signed_clip.h"

static int read_bounds(struct calc_case *c, struct signed_bounds *b, struct error *err)
{
  TRY(calc_real(c, "ep_low", 0.2, &b->positive_low, err));
  TRY(calc_real(c, "ep_high", 10, &b->positive_high, err));
  TRY(calc_real(c, "en_low", 1, &b->negative_low, err));
  return calc_real(c, "en_high", 100, &b->negative_high, err);
}

static int row_advantages(struct calc_case *c, struct calc_rows *x, double *advantage, struct error *err)
{
  const json_t *given = json_object_get(c->inputs, "advantages");
  const char *std = calc_text(c, "std", "sample");
  double eps;
  struct calc_matrix m;
  TRY(calc_real(c, "eps", 1e-6, &eps, err));
  if (!given) {
    return calc_rows_advantage(c, x, x->reward, strcmp(std, "population") != 0, strcmp(std, "none") ? eps : -1,
                               advantage, err);
  }
  TRY(calc_matrix(c, given, &m, err));
  if (m.rows[0].count != (size_t)x->rows)
    FAIL_AT(err, ERROR_INPUT, c->file, 0, "advantages", "found %zu; expected one for each row", m.rows[0].count);
  memcpy(advantage, m.rows[0].at, (size_t)x->rows * sizeof *advantage);
  return 0;
}

/* filter_groups: rows of groups with equal rewards have no tokens. */
static void find_kept(const struct calc_case *c, const struct calc_rows *x, double *counted)
{
  for (int32_t i = 0; i < x->count; i++) counted[i] = 1;
  if (!calc_flag(c, "filter_groups", false)) return;
  for (int32_t g = 0; g < x->group_count; g++) {
    bool equal = true;
    const int32_t *member = x->member + x->group_first[g];
    int32_t n = x->group_first[g + 1] - x->group_first[g];
    for (int32_t i = 1; i < n; i++)
      equal = equal && !(x->reward[member[i]] < x->reward[member[0]]) && !(x->reward[member[i]] > x->reward[member[0]]);
    for (int32_t i = 0; equal && i < n; i++)
      for (int32_t t = x->first[member[i]]; t < x->first[member[i] + 1]; t++) counted[t] = 0;
  }
}

static void put_shares(const struct calc_case *c, const struct signed_regimes *n, double tokens)
{
  double by = tokens > 0 ? tokens : 1;
  calc_put(c->outputs, "correct_above_1", n->positive_above / by);
  calc_put(c->outputs, "correct_below_1", n->positive_below / by);
  calc_put(c->outputs, "incorrect_above_1", n->negative_above / by);
  calc_put(c->outputs, "incorrect_below_1", n->negative_below / by);
  calc_put(c->outputs, "clipped_correct_above", n->positive_capped / by);
  calc_put(c->outputs, "clipped_correct_below", n->positive_lifted / by);
  calc_put(c->outputs, "clipped_incorrect_above", n->negative_capped / by);
  calc_put(c->outputs, "clipped_incorrect_below", n->negative_lifted / by);
}

static int update(struct calc_case *c, const struct signed_bounds *b, struct error *err)
{
  struct calc_rows x;
  struct signed_regimes seen = {0};
  TRY(calc_rows_open(c, &x, err));
  size_t n = (size_t)x.count + 1;
  double *row = ARENA_NEW(c->arena, double, (size_t)x.rows, "calc", err),
         *all = ARENA_NEW(c->arena, double, 6 * n, "calc", err);
  if (!row || !all) return err->code;
  double *advantage = all, *counted = all + n, *scale = counted + n, *ratio = scale + n, *weight = ratio + n,
         *coef = weight + n, loss = 0, tokens = 0;
  TRY(row_advantages(c, &x, row, err));
  calc_rows_spread(&x, row, advantage);
  find_kept(c, &x, counted);
  TRY(calc_rows_scale(c, &x, calc_text(c, "agg", "token-mean"), counted, scale, err));
  for (int32_t i = 0; i < x.count; i++) {
    if (!(counted[i] > 0)) continue;
    struct clip_value v = signed_clip(x.logp[i], x.old[i], advantage[i], b);
    ratio[i] = v.ratio;
    weight[i] = signed_weight(v.ratio, advantage[i], b);
    coef[i] = scale[i] * v.coef;
    loss += scale[i] * v.loss;
    tokens++;
    signed_count(v.ratio, advantage[i], b, &seen);
  }
  json_object_set_new(c->outputs, "advantages", calc_list(row, (size_t)x.rows));
  json_object_set_new(c->outputs, "ratio", calc_rows_matrix(&x, ratio));
  json_object_set_new(c->outputs, "weight", calc_rows_matrix(&x, weight));
  put_shares(c, &seen, tokens);
  calc_put(c->outputs, "loss", loss);
  json_object_set_new(c->grads, "log_prob", calc_rows_matrix(&x, coef));
  return 0;
}

/* Weights of single tokens. */
static int grid(struct calc_case *c, const struct signed_bounds *b, struct error *err)
{
  static const double RATIO[] = {0, 0.5, 0.8, 0.9, 1, 3, 11, 20, 101, 150};
  enum { COUNT = sizeof RATIO / sizeof *RATIO + 1 };
  double advantage[2 * COUNT], ratio[2 * COUNT], weight[2 * COUNT], coef[2 * COUNT];
  (void)err;
  for (size_t i = 0; i < 2 * COUNT; i++) {
    advantage[i] = i < COUNT ? 1 : -1;
    ratio[i] = i % COUNT < COUNT - 1 ? RATIO[i % COUNT] : math_exp(CLIP_LOG_RATIO);
    weight[i] = signed_weight(ratio[i], advantage[i], b);
    coef[i] = -weight[i] * advantage[i];
  }
  json_object_set_new(c->outputs, "advantage", calc_list(advantage, 2 * COUNT));
  json_object_set_new(c->outputs, "ratio", calc_list(ratio, 2 * COUNT));
  json_object_set_new(c->outputs, "weight", calc_list(weight, 2 * COUNT));
  json_object_set_new(c->outputs, "coefficient", calc_list(coef, 2 * COUNT));
  return 0;
}

static int compute(struct calc_case *c, struct error *err)
{
  struct signed_bounds b;
  TRY(read_bounds(c, &b, err));
  return c->inputs ? update(c, &b, err) : grid(c, &b, err);
}

const struct calc calc_dispo = {
    .function = "dispo",
    .help = "importance weights clipped by bounds of their own for right and for wrong responses",
    .compute = compute,
};
