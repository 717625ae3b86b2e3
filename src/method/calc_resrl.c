/* Projection residuals of wrong tokens (arXiv 2605.00380): part_residual.h. */
#include <string.h>
#include "core/math.h"
#include "method/calc.h"
#include "method/part_residual.h"
#include "method/part_rows.h"

struct residual_case {
  struct calc_rows rows;
  struct vector_rows hidden;
  struct residual_rule rule;
  double *think;              /* [count] 1: left out */
  double *shaped, *advantage; /* [rows] */
  bool *right;                /* [rows] */
  double *distance, *weight;  /* [count] */
  int64_t most, least;        /* tokens of right responses: used at most, needed at least */
  double pos_weight;
};

static int rule_of(const struct calc_case *c, struct residual_rule *r, struct error *err)
{
  int64_t rank;
  TRY(calc_int(c, "rank", 64, &rank, err));
  if (rank < 1 || rank > 100000)
    FAIL_AT(err, ERROR_INPUT, c->file, 0, "rank", "found rank %lld; expected 1 to 100000", (long long)rank);
  *r = (struct residual_rule){.rank = (int32_t)rank, .iterations = 4};
  TRY(calc_real(c, "q_low", 0.2, &r->q_low, err));
  TRY(calc_real(c, "q_high", 0.8, &r->q_high, err));
  return calc_real(c, "min_weight", 0.1, &r->min_weight, err);
}

static int length_factors(struct calc_case *c, const double *length, size_t n, double *out, struct error *err)
{
  double start, longest, end;
  TRY(calc_real(c, "length_start", 3500, &start, err));
  TRY(calc_real(c, "length_max", 4096, &longest, err));
  TRY(calc_real(c, "end_scale", 0.7, &end, err));
  for (size_t i = 0; i < n; i++) out[i] = residual_length_factor(length[i], start, longest, end);
  return 0;
}

/* hidden: {row, token, as: [row, token]} is the set "main" with one cell replaced by another. */
static int read_hidden(struct calc_case *c, struct residual_case *x, struct error *err)
{
  json_t *given = json_object_get(c->inputs, "hidden");
  double *vectors;
  if (!json_is_object(given)) {
    TRY(calc_rows_vectors(c, &x->rows, "hidden", &vectors, &x->hidden.width, err));
  } else {
    json_t *changed = json_object();
    const json_t *as = json_object_get(given, "as");
    json_object_set(changed, "hidden", json_object_get(json_object_get(c->sets, "main"), "hidden"));
    struct calc_case other = *c;
    other.inputs = changed;
    int rc = calc_rows_vectors(&other, &x->rows, "hidden", &vectors, &x->hidden.width, err);
    json_decref(changed);
    TRY(rc);
    int64_t to = -1, from = -1;
    for (int32_t i = 0; i < x->rows.count; i++) {
      if (x->rows.row[i] == json_integer_value(json_object_get(given, "row")) &&
          x->rows.at[i] == json_integer_value(json_object_get(given, "token")))
        to = i;
      if (x->rows.row[i] == json_integer_value(json_array_get(as, 0)) &&
          x->rows.at[i] == json_integer_value(json_array_get(as, 1)))
        from = i;
    }
    size_t width = (size_t)x->hidden.width;
    if (to >= 0 && from >= 0)
      memcpy(vectors + to * x->hidden.width, vectors + from * x->hidden.width, width * sizeof(double));
  }
  x->hidden.f64 = vectors;
  return 0;
}

static int open_case(struct calc_case *c, struct residual_case *x, struct error *err)
{
  TRY(calc_rows_open(c, &x->rows, err));
  TRY(read_hidden(c, x, err));
  TRY(calc_rows_tokens(c, &x->rows, "think_mask", &x->think, err));
  TRY(rule_of(c, &x->rule, err));
  TRY(calc_int(c, "max_pos_tokens", 4096, &x->most, err));
  TRY(calc_int(c, "min_pos_tokens", 4, &x->least, err));
  TRY(calc_real(c, "pos_weight", 0.1, &x->pos_weight, err));
  size_t n = (size_t)x->rows.count + 1, rows = (size_t)x->rows.rows;
  x->shaped = ARENA_NEW(c->arena, double, 2 * rows, "calc", err);
  x->right = ARENA_NEW(c->arena, bool, rows, "calc", err);
  x->distance = ARENA_NEW(c->arena, double, 2 * n, "calc", err);
  if (!x->shaped || !x->right || !x->distance) return err->code;
  x->advantage = x->shaped + rows;
  x->weight = x->distance + n;
  for (size_t i = 0; !calc_flag(c, "mask_think", false) && i + 1 < n; i++) x->think[i] = 0;
  for (size_t i = 0; i < n; i++) x->weight[i] = 1;
  return 0;
}

static int shape(struct calc_case *c, struct residual_case *x, struct error *err)
{
  double *length = ARENA_NEW(c->arena, double, 2 * (size_t)x->rows.rows, "calc", err);
  double *factor = length + x->rows.rows, eps;
  if (!length) return err->code;
  for (int32_t i = 0; i < x->rows.rows; i++) length[i] = x->rows.first[i + 1] - x->rows.first[i];
  if (json_object_get(c->inputs, "lengths")) {
    struct calc_matrix m;
    TRY(calc_matrix(c, calc_need(c, "lengths", err), &m, err));
    for (int32_t i = 0; i < x->rows.rows && (size_t)i < m.rows[0].count; i++) length[i] = m.rows[0].at[i];
  }
  TRY(length_factors(c, length, (size_t)x->rows.rows, factor, err));
  bool used = calc_flag(c, "shape", false);
  json_t *right = json_array();
  for (int32_t i = 0; i < x->rows.rows; i++) {
    x->shaped[i] = x->rows.reward[i] * (used && x->rows.reward[i] > 0 ? factor[i] : 1);
    x->right[i] = x->shaped[i] > 0;
    json_array_append_new(right, json_integer(x->right[i]));
  }
  json_object_set_new(c->outputs, "shaped", calc_list(x->shaped, (size_t)x->rows.rows));
  json_object_set_new(c->outputs, "positive", right);
  TRY(calc_real(c, "eps", 1e-6, &eps, err));
  TRY(calc_rows_advantage(c, &x->rows, x->shaped, true, eps, x->advantage, err));
  json_object_set_new(c->outputs, "advantages", calc_list(x->advantage, (size_t)x->rows.rows));
  return 0;
}

/* The group's tokens of one side: all, or those outside the thinking. */
static int32_t tokens_of(const struct residual_case *x, int32_t g, bool right, bool all, int64_t *out)
{
  int32_t n = 0;
  for (int32_t k = x->rows.group_first[g]; k < x->rows.group_first[g + 1]; k++) {
    int32_t row = x->rows.member[k];
    for (int32_t t = x->rows.first[row]; x->right[row] == right && t < x->rows.first[row + 1]; t++)
      if (all || !(x->think[t] > 0)) out[n++] = t;
  }
  return n;
}

/* The tokens that are used where there are too many: inputs.subset holds their numbers. */
static int32_t take_subset(const struct calc_case *c, const struct residual_case *x, int32_t g, int64_t *right,
                           int32_t n)
{
  const json_t *subset = json_object_get(json_object_get(c->inputs, "subset"), x->rows.group_key[g]), *v;
  int32_t taken = 0;
  size_t i;
  if (n <= x->most) return n;
  json_array_foreach(subset, i, v)
  {
    json_int_t at = json_integer_value(v);
    if (at >= taken && at < n) right[taken++] = right[at];
  }
  return taken;
}

static json_t *projector(const struct subspace *s)
{
  json_t *out = json_array();
  for (int32_t i = 0; i < s->width; i++) {
    json_t *row = json_array();
    for (int32_t j = 0; j < s->width; j++) {
      double sum = 0;
      for (int32_t k = 0; k < s->rank; k++) sum += s->basis[k * s->width + i] * s->basis[k * s->width + j];
      json_array_append_new(row, calc_number(sum));
    }
    json_array_append_new(out, row);
  }
  return out;
}

static void put_fit(json_t *out, const struct residual *r)
{
  json_object_set_new(out, "mean", calc_list(r->subspace.mean, (size_t)r->subspace.width));
  json_object_set_new(out, "projector", projector(&r->subspace));
  json_object_set_new(out, "energy", calc_list(r->subspace.energy, (size_t)r->subspace.energy_count));
  calc_put(out, "rank", r->subspace.rank);
  calc_put(out, "lo", r->low);
  calc_put(out, "hi", r->high);
}

static json_t *side_rows(const struct residual_case *x, int32_t g, bool right)
{
  json_t *out = json_array();
  for (int32_t k = x->rows.group_first[g]; k < x->rows.group_first[g + 1]; k++)
    if (x->right[x->rows.member[k]] == right) json_array_append_new(out, json_integer(x->rows.member[k]));
  return out;
}

static int weigh_group(struct calc_case *c, struct residual_case *x, int32_t g, json_t *note, struct error *err)
{
  size_t n = (size_t)x->rows.count + 1;
  int64_t *right = ARENA_NEW(c->arena, int64_t, 3 * n, "calc", err), *wrong = right + n, *all = wrong + n;
  double *u = ARENA_NEW(c->arena, double, (size_t)x->hidden.width + 1, "calc", err);
  if (!right || !u) return err->code;
  const char *skipped = NULL;
  int32_t right_count = tokens_of(x, g, true, false, right), wrong_count = tokens_of(x, g, false, false, wrong);
  if (!json_array_size(json_object_get(note, "positive"))) {
    skipped = "no positive response";
  } else if (!json_array_size(json_object_get(note, "negative"))) {
    skipped = "no negative response";
  } else if (right_count < x->least) {
    skipped = "too few positive tokens";
  }
  if (!skipped) {
    struct residual r;
    right_count = take_subset(c, x, g, right, right_count);
    const struct residual_group group = {&x->hidden, right, wrong, right_count, wrong_count};
    TRY(residual_weigh(&group, &x->rule, c->arena, &r, err));
    for (int32_t i = 0; i < wrong_count; i++) x->weight[wrong[i]] = r.weight[i];
    int32_t all_count = tokens_of(x, g, false, true, all);
    for (int32_t i = 0; i < all_count; i++) {
      vector_row(&x->hidden, all[i], u);
      subspace_layer_norm(u, x->hidden.width);
      x->distance[all[i]] = subspace_distance(&r.subspace, u);
    }
    if (wrong_count) put_fit(note, &r);
    if (!wrong_count) skipped = "no negative tokens";
  }
  if (skipped) json_object_set_new(note, "skipped", json_string(skipped));
  return 0;
}

static int weigh(struct calc_case *c, struct residual_case *x, struct error *err)
{
  json_t *groups = json_array();
  json_object_set_new(c->outputs, "groups", groups);
  for (int32_t g = 0; g < x->rows.group_count; g++) {
    json_t *note = json_object();
    json_array_append_new(groups, note);
    size_t first = (size_t)x->rows.member[x->rows.group_first[g]];
    json_object_set(note, "group", json_array_get(json_object_get(c->inputs, "group"), first));
    json_object_set_new(note, "positive", side_rows(x, g, true));
    json_object_set_new(note, "negative", side_rows(x, g, false));
    TRY(weigh_group(c, x, g, note, err));
  }
  for (int32_t i = 0; i < x->rows.count; i++)
    if (x->right[x->rows.row[i]]) x->weight[i] = x->pos_weight;
  json_object_set_new(c->outputs, "distance", calc_rows_matrix(&x->rows, x->distance));
  json_object_set_new(c->outputs, "weight", calc_rows_matrix(&x->rows, x->weight));
  return 0;
}

static int loss_of(struct calc_case *c, struct residual_case *x, struct error *err)
{
  size_t n = (size_t)x->rows.count + 1;
  double *advantage = ARENA_NEW(c->arena, double, n, "calc", err), loss;
  double *coef = ARENA_NEW(c->arena, double, n, "calc", err);
  if (!advantage || !coef) return err->code;
  calc_rows_spread(&x->rows, x->advantage, advantage);
  struct calc_loss l = {.advantage = advantage, .weight = x->weight, .aggregation = calc_text(c, "agg", "token-mean")};
  TRY(calc_real(c, "clip", 0.2, &l.bounds.low, err));
  l.bounds.high = l.bounds.low;
  TRY(calc_real(c, "dual", 3, &l.bounds.dual, err));
  TRY(calc_rows_loss(c, &x->rows, &l, &loss, coef, err));
  calc_put(c->outputs, "loss", loss);
  json_object_set_new(c->grads, "log_prob", calc_rows_matrix(&x->rows, coef));
  return 0;
}

static int lengths(struct calc_case *c, struct error *err)
{
  struct calc_matrix m;
  TRY(calc_matrix(c, calc_need(c, "lengths", err), &m, err));
  TRY(length_factors(c, m.rows[0].at, m.rows[0].count, m.rows[0].at, err));
  json_object_set_new(c->outputs, "factor", calc_list(m.rows[0].at, m.rows[0].count));
  return 0;
}

/* Two lists of states, without a batch. */
static int states(struct calc_case *c, struct error *err)
{
  struct calc_matrix right, wrong;
  struct residual_rule rule;
  struct residual r;
  TRY(calc_matrix(c, calc_need(c, "positive", err), &right, err));
  TRY(calc_matrix(c, calc_need(c, "negative", err), &wrong, err));
  TRY(rule_of(c, &rule, err));
  size_t width = right.rows[0].count, count = right.row_count + wrong.row_count;
  double *all = ARENA_NEW(c->arena, double, count *width + 1, "calc", err);
  int64_t *row = ARENA_NEW(c->arena, int64_t, count, "calc", err);
  if (!all || !row) return err->code;
  for (size_t i = 0; i < count; i++) {
    const struct calc_row *v = i < right.row_count ? &right.rows[i] : &wrong.rows[i - right.row_count];
    if (v->count != width) FAIL_AT(err, ERROR_INPUT, c->file, 0, "negative", "found states of different widths");
    memcpy(all + i * width, v->at, width * sizeof(double));
    row[i] = (int64_t)i;
  }
  const struct vector_rows hidden = {.f64 = all, .width = (int32_t)width};
  const struct residual_group g = {&hidden, row, row + right.row_count, (int32_t)right.row_count,
                                   (int32_t)wrong.row_count};
  TRY(residual_weigh(&g, &rule, c->arena, &r, err));
  put_fit(c->outputs, &r);
  json_object_set_new(c->outputs, "distance", calc_list(r.distance, wrong.row_count));
  json_object_set_new(c->outputs, "weight", calc_list(r.weight, wrong.row_count));
  return 0;
}

static int compute(struct calc_case *c, struct error *err)
{
  const char *part = calc_text(c, "part", "step");
  if (!strcmp(part, "length")) return lengths(c, err);
  if (!strcmp(part, "subspace")) return states(c, err);
  struct residual_case x = {0};
  TRY(open_case(c, &x, err));
  TRY(shape(c, &x, err));
  TRY(weigh(c, &x, err));
  return loss_of(c, &x, err);
}

const struct calc calc_resrl = {
    .function = "resrl",
    .help = "weights of wrong tokens by their distance from the subspace of the right ones, length shaping",
    .compute = compute,
};
