/* Discriminative token credit (arXiv 2605.21467): part_delta.h. */
#include <string.h>
#include "core/math.h"
#include "method/calc.h"
#include "method/part_delta.h"
#include "method/part_rows.h"

struct delta_case {
  struct calc_rows rows;
  struct vector_rows hidden;
  struct delta d;
  double *per_row; /* [rows] advantages */
  double *advantage, *raw, *weight;
  double scale;
};

static int open_case(struct calc_case *c, struct delta_case *x, struct error *err)
{
  double *hidden, eps;
  TRY(calc_rows_open(c, &x->rows, err));
  TRY(calc_rows_vectors(c, &x->rows, "hidden", &hidden, &x->hidden.width, err));
  x->hidden.f64 = hidden;
  x->hidden.f32 = NULL;
  size_t n = (size_t)x->rows.count + 1;
  x->per_row = ARENA_NEW(c->arena, double, (size_t)x->rows.rows, "calc", err);
  x->advantage = ARENA_NEW(c->arena, double, 3 * n, "calc", err);
  if (!x->per_row || !x->advantage || !x->rows.old) return err->code;
  x->raw = x->advantage + n;
  x->weight = x->raw + n;
  TRY(calc_real(c, "adv_eps", 1e-6, &eps, err));
  const json_t *given = json_object_get(c->inputs, "advantages");
  struct calc_matrix m;
  if (given) {
    TRY(calc_matrix(c, given, &m, err));
    memcpy(x->per_row, m.rows[0].at, (size_t)x->rows.rows * sizeof(double));
  } else {
    TRY(calc_rows_advantage(c, &x->rows, x->rows.reward, true, eps, x->per_row, err));
  }
  calc_rows_spread(&x->rows, x->per_row, x->advantage);
  x->d = (struct delta){.count = x->rows.count, .hidden = &x->hidden, .logp = x->rows.old, .advantage = x->advantage};
  return calc_real(c, "eps", 1e-8, &x->d.eps, err);
}

static void put_state(const struct delta_case *x, json_t *out, bool full)
{
  size_t width = (size_t)x->hidden.width;
  json_object_set_new(out, "mu_pos", calc_list(x->d.mu[DELTA_POSITIVE], width));
  json_object_set_new(out, "mu_neg", calc_list(x->d.mu[DELTA_NEGATIVE], width));
  calc_put(out, "gamma_pos", x->d.gamma[DELTA_POSITIVE]);
  calc_put(out, "gamma_neg", x->d.gamma[DELTA_NEGATIVE]);
  if (!full) return;
  json_object_set_new(out, "margin", calc_rows_matrix(&x->rows, x->d.margin));
  json_object_set_new(out, "alpha", calc_rows_matrix(&x->rows, x->d.alpha));
}

static int refine(struct calc_case *c, struct delta_case *x, struct error *err)
{
  int64_t k;
  json_t *steps = json_array();
  json_object_set_new(c->outputs, "steps", steps);
  TRY(calc_int(c, "K", 1, &k, err));
  if (k < 0 || k > 1000) FAIL_AT(err, ERROR_INPUT, c->file, 0, "K", "found K %lld; expected 0 to 1000", (long long)k);
  TRY(delta_begin(&x->d, c->arena, err));
  for (int64_t i = 0;; i++) {
    json_t *row = json_object();
    put_state(x, row, true);
    json_array_append_new(steps, row);
    if (i == k) break;
    delta_refine(&x->d);
  }
  put_state(x, c->outputs, false);
  return 0;
}

/* minibatch_rows: the rows of the update. The coefficients come from all rows. */
static int loss_of(struct calc_case *c, struct delta_case *x, struct error *err)
{
  size_t n = (size_t)x->rows.count + 1;
  double *coef = ARENA_NEW(c->arena, double, n, "calc", err), *inside = ARENA_NEW(c->arena, double, n, "calc", err);
  double *weight = ARENA_NEW(c->arena, double, n, "calc", err), loss;
  if (!coef || !inside || !weight) return err->code;
  bool raw = !strcmp(calc_text(c, "normaliser", "rollout"), "minibatch");
  const json_t *rows = json_object_get(c->args, "minibatch_rows"), *v;
  size_t at;
  for (int32_t i = 0; i < x->rows.count; i++) {
    bool in = !json_array_size(rows);
    json_array_foreach(rows, at, v) in = in || json_integer_value(v) == x->rows.row[i];
    weight[i] = in ? (raw ? x->raw[i] : x->weight[i]) : 0;
    inside[i] = in ? (raw ? x->raw[i] : 1) : 0;
  }
  struct calc_loss l = {.advantage = x->advantage, .weight = weight, .counted = inside, .aggregation = "token-mean"};
  TRY(calc_real(c, "clip_low", 0.2, &l.bounds.low, err));
  TRY(calc_real(c, "clip_high", 0.28, &l.bounds.high, err));
  TRY(calc_real(c, "dual_clip", 10, &l.bounds.dual, err));
  TRY(calc_rows_loss(c, &x->rows, &l, &loss, coef, err));
  calc_put(c->outputs, "loss", loss);
  json_object_set_new(c->grads, "log_prob", calc_rows_matrix(&x->rows, coef));
  return 0;
}

static int put_weights(struct calc_case *c, struct delta_case *x, struct error *err)
{
  size_t n = (size_t)x->rows.count, width = (size_t)x->hidden.width;
  double low, high, *v = ARENA_NEW(c->arena, double, n *width + 1, "calc", err);
  if (!v) return err->code;
  TRY(calc_real(c, "lam_min", 0.8, &low, err));
  TRY(calc_real(c, "lam_max", 1.2, &high, err));
  x->scale = delta_lambda(&x->d, low, high, x->raw);
  double *weighted = ARENA_NEW(c->arena, double, n + 1, "calc", err);
  if (!weighted) return err->code;
  for (size_t i = 0; i < n; i++) {
    x->weight[i] = x->raw[i] * x->scale;
    weighted[i] = x->advantage[i] * x->weight[i];
    delta_proxy(&x->d, (int64_t)i, v + i * width);
  }
  calc_put(c->outputs, "scale", x->scale);
  json_object_set_new(c->outputs, "advantage", calc_list(x->per_row, (size_t)x->rows.rows));
  json_object_set_new(c->outputs, "v", calc_rows_vectors_matrix(&x->rows, v, x->hidden.width));
  json_object_set_new(c->outputs, "lambda_raw", calc_rows_matrix(&x->rows, x->raw));
  json_object_set_new(c->outputs, "lambda", calc_rows_matrix(&x->rows, x->weight));
  json_object_set_new(c->outputs, "weighted_advantage", calc_rows_matrix(&x->rows, weighted));
  return 0;
}

static int compute(struct calc_case *c, struct error *err)
{
  struct delta_case x;
  TRY(open_case(c, &x, err));
  TRY(refine(c, &x, err));
  TRY(put_weights(c, &x, err));
  return loss_of(c, &x, err);
}

const struct calc calc_delta = {
    .function = "delta",
    .help = "token weights from the distances of gradient proxies to the centroids of both sides",
    .compute = compute,
};
