#include "method/part_table_policy.h"
#include <string.h>
#include "core/math.h"
#include "eval/boundary.h"

int table_policy_open(struct calc_case *c, struct table_policy *out, struct error *err)
{
  struct calc_matrix theta, s, right, ks;
  TRY(calc_matrix(c, calc_need(c, "theta", err), &theta, err));
  TRY(calc_matrix(c, calc_need(c, "s", err), &s, err));
  TRY(calc_matrix(c, calc_need(c, "right", err), &right, err));
  TRY(calc_matrix(c, calc_need(c, "ks", err), &ks, err));
  *out = (struct table_policy){.prompts = theta.row_count,
                               .actions = s.rows[0].count,
                               .shared = s.rows[0].at,
                               .ks = ks.rows[0].at,
                               .k_count = ks.rows[0].count};
  TRY(calc_real(c, "step_theta", 1, &out->step, err));
  TRY(calc_real(c, "step_s", 0, &out->shared_step, err));
  size_t n = out->prompts * out->actions;
  out->theta = ARENA_NEW(c->arena, double, 2 * n + out->actions, "calc", err);
  out->right = ARENA_NEW(c->arena, size_t, out->prompts, "calc", err);
  if (!out->theta || !out->right) return err->code;
  out->gradient = out->theta + n;
  out->shared_gradient = out->gradient + n;
  for (size_t q = 0; q < out->prompts; q++) {
    if (theta.rows[q].count != out->actions || q >= right.rows[0].count || !(right.rows[0].at[q] >= 0) ||
        !(right.rows[0].at[q] < (double)out->actions))
      FAIL_AT(err, ERROR_INPUT, c->file, 0, "theta", "found theta, s and right of shapes that do not fit");
    memcpy(out->theta + q * out->actions, theta.rows[q].at, out->actions * sizeof(double));
    out->right[q] = (size_t)right.rows[0].at[q];
  }
  return 0;
}

void table_policy_row(const struct table_policy *t, size_t q, double *p)
{
  const double *theta = t->theta + q * t->actions;
  double most = theta[0] + t->shared[0], sum = 0;
  for (size_t a = 1; a < t->actions; a++) most = theta[a] + t->shared[a] > most ? theta[a] + t->shared[a] : most;
  for (size_t a = 0; a < t->actions; a++) sum += p[a] = math_exp(theta[a] + t->shared[a] - most);
  for (size_t a = 0; a < t->actions; a++) p[a] /= sum;
}

size_t table_policy_draw(const struct table_policy *t, const double *p, double u)
{
  double sum = 0;
  for (size_t a = 0; a + 1 < t->actions; a++)
    if (u < (sum += p[a])) return a;
  return t->actions - 1;
}

void table_policy_begin(struct table_policy *t)
{
  memset(t->gradient, 0, t->prompts * t->actions * sizeof(double));
  memset(t->shared_gradient, 0, t->actions * sizeof(double));
}

void table_policy_step(struct table_policy *t, double count)
{
  if (!(count > 0)) return;
  for (size_t i = 0; i < t->prompts * t->actions; i++) t->theta[i] += t->step * t->gradient[i] / count;
  for (size_t a = 0; a < t->actions; a++) t->shared[a] += t->shared_step * t->shared_gradient[a] / count;
}

int table_policy_put(const struct calc_case *c, const struct table_policy *t, json_t *row, struct error *err)
{
  double *p = ARENA_NEW(c->arena, double, t->prompts + t->actions, "calc", err);
  if (!p) return err->code;
  json_t *cap = json_array();
  for (size_t q = 0; q < t->prompts; q++) {
    table_policy_row(t, q, p + t->prompts);
    p[q] = p[t->prompts + t->right[q]];
  }
  for (size_t k = 0; k < t->k_count; k++)
    json_array_append_new(cap, calc_number(capability_of(p, t->prompts, (int64_t)t->ks[k])));
  json_object_set_new(row, "p", calc_list(p, t->prompts));
  json_object_set_new(row, "s", calc_list(t->shared, t->actions));
  json_object_set_new(row, "cap", cap);
  return 0;
}
