#include "method/part_probe.h"

#include <string.h>

#include "core/math.h"
#include "method/part_logistic.h"
#include "method/part_subspace.h"

enum { POWER_ITERATIONS = 30, NEWTON_STEPS = 200 };

int probe_open(struct arena *a, int32_t dim, int32_t inputs, const struct probe_options *o, struct probe *out,
               struct error *err)
{
  *out = (struct probe){.dim = dim, .inputs = inputs, .intercept = 0};
  size_t n = (size_t)inputs + 1;
  for (int i = 0; i < 2; i++) {
    size_t k = (size_t)(o->components[i] < dim ? o->components[i] : dim);
    out->centre[i] = ARENA_NEW(a, double, (size_t)dim + 1, "probe", err);
    out->components[i] = ARENA_NEW(a, double, k *(size_t)dim + 1, "probe", err);
    out->variance[i] = ARENA_NEW(a, double, k + 1, "probe", err);
    if (!out->centre[i] || !out->components[i] || !out->variance[i]) return err->code;
  }
  out->mean = ARENA_NEW(a, double, n, "probe", err);
  out->std = ARENA_NEW(a, double, n, "probe", err);
  out->w = ARENA_NEW(a, double, n, "probe", err);
  return out->mean && out->std && out->w ? 0 : err->code;
}

/* ---- rows to features -------------------------------------------------------------------------------------------- */

/* A state, or what is left of it: [rank or dim] to out. */
static int32_t project_state(const struct probe *p, int which, const double *h, double *out)
{
  for (int32_t k = 0; k < p->dim && !p->rank[which]; k++) out[k] = h[k];
  for (int32_t r = 0; r < p->rank[which]; r++) {
    const double *v = p->components[which] + (int64_t)r * p->dim;
    out[r] = 0;
    for (int32_t k = 0; k < p->dim; k++) out[r] += (h[k] - p->centre[which][k]) * v[k];
  }
  return p->rank[which] ? p->rank[which] : p->dim;
}

static int32_t project(const struct probe *p, const double *z, double *out)
{
  int32_t n = project_state(p, 0, z, out);
  n += project_state(p, 1, z + p->dim, out + n);
  for (int32_t k = 2 * p->dim; k < p->inputs; k++) out[n++] = z[k];
  return n;
}

static int find_components(struct probe *p, int which, int32_t asked, const double *z, int32_t rows,
                           struct arena *scratch, struct error *err)
{
  struct subspace s;
  p->rank[which] = 0;
  if (!asked || !p->dim || rows < 2) return 0;
  double *x = ARENA_NEW(scratch, double, (size_t)rows *(size_t)p->dim, "probe", err);
  if (!x) return err->code;
  for (int32_t i = 0; i < rows; i++)
    memcpy(x + (int64_t)i * p->dim, z + (int64_t)i * p->inputs + which * p->dim, (size_t)p->dim * sizeof *x);
  TRY(subspace_fit(x, rows, p->dim, asked, POWER_ITERATIONS, scratch, &s, err));
  p->rank[which] = s.rank;
  memcpy(p->centre[which], s.mean, (size_t)p->dim * sizeof *x);
  for (int32_t r = 0; r < s.rank; r++) {
    const double *from = s.basis + (int64_t)r * p->dim;
    double *to = p->components[which] + (int64_t)r * p->dim;
    int32_t most = 0;
    for (int32_t k = 1; k < p->dim; k++)
      if (math_abs(from[k]) > math_abs(from[most])) most = k;
    for (int32_t k = 0; k < p->dim; k++) to[k] = from[most] < 0 ? -from[k] : from[k];
    p->variance[which][r] = r < s.energy_count ? s.energy[r] / (rows - 1) : 0;
  }
  return 0;
}

static void standardise(struct probe *p, double *x, int32_t rows)
{
  int32_t f = p->features;
  for (int32_t k = 0; k < f; k++) {
    double sum = 0, squares = 0;
    for (int32_t i = 0; i < rows; i++) sum += x[(int64_t)i * f + k];
    p->mean[k] = sum / rows;
    for (int32_t i = 0; i < rows; i++) {
      double *at = &x[(int64_t)i * f + k];
      *at -= p->mean[k];
      squares += *at * *at;
    }
    double std = math_sqrt(squares / rows), size = math_abs(p->mean[k]);
    p->std[k] = std <= 1e-10 * (size > 1 ? size : 1) ? 1 : std;
    for (int32_t i = 0; i < rows; i++) x[(int64_t)i * f + k] /= p->std[k];
  }
}

/* ---- systems of equations ---------------------------------------------------------------------------------------- */

/* b becomes A^-1 b for a symmetric positive A [n][n], whose lower half is overwritten (Cholesky). */
static int solve(double *a, int32_t n, double *b, struct error *err)
{
  for (int32_t i = 0; i < n; i++) {
    double *row = a + (int64_t)i * n;
    for (int32_t j = 0; j <= i; j++) {
      const double *other = a + (int64_t)j * n;
      double sum = row[j];
      for (int32_t k = 0; k < j; k++) sum -= row[k] * other[k];
      if (j < i) {
        row[j] = sum / other[j];
        continue;
      }
      if (!(sum > 0))
        FAIL(err, ERROR_INPUT,
             "the probe's rows leave %d equations that cannot be solved; expected a positive definite system; raise "
             "alpha",
             (int)n);
      row[i] = math_sqrt(sum);
    }
  }
  for (int32_t i = 0; i < n; i++) {
    for (int32_t k = 0; k < i; k++) b[i] -= a[(int64_t)i * n + k] * b[k];
    b[i] /= a[(int64_t)i * n + i];
  }
  for (int32_t i = n - 1; i >= 0; i--) {
    for (int32_t k = i + 1; k < n; k++) b[i] -= a[(int64_t)k * n + i] * b[k];
    b[i] /= a[(int64_t)i * n + i];
  }
  return 0;
}

/* The lower half of X'DX [f][f] (D the weights; NULL: 1), or of XX' [rows][rows]. */
static void gram(const double *x, int32_t rows, int32_t f, const double *weight, double *out)
{
  for (int32_t i = 0; i < rows; i++) {
    const double *row = x + (int64_t)i * f;
    for (int32_t a = 0; a < f; a++) {
      double part = weight ? weight[i] * row[a] : row[a];
      for (int32_t b = 0; b <= a; b++) out[(int64_t)a * f + b] += part * row[b];
    }
  }
}

static void gram_of_rows(const double *x, int32_t rows, int32_t f, double *out)
{
  for (int32_t i = 0; i < rows; i++)
    for (int32_t j = 0; j <= i; j++)
      for (int32_t k = 0; k < f; k++) out[(int64_t)i * rows + j] += x[(int64_t)i * f + k] * x[(int64_t)j * f + k];
}

/* X'c [f], added. */
static void against(const double *x, int32_t rows, int32_t f, const double *c, double *out)
{
  for (int32_t i = 0; i < rows; i++)
    for (int32_t k = 0; k < f; k++) out[k] += x[(int64_t)i * f + k] * c[i];
}

/* Adds share times the ridge's weights to p->w. */
static int add_ridge(struct probe *p, const double *x, const double *centred, int32_t rows, double alpha, double share,
                     struct arena *scratch, struct error *err)
{
  int32_t f = p->features, n = rows < f ? rows : f;
  double *a = ARENA_NEW(scratch, double, (size_t)n *(size_t)n + 1, "probe", err);
  double *b = ARENA_NEW(scratch, double, (size_t)n + 1, "probe", err);
  double *w = ARENA_NEW(scratch, double, (size_t)f + 1, "probe", err);
  if (!a || !b || !w) return err->code;
  bool dual = rows < f;
  if (dual) {
    gram_of_rows(x, rows, f, a);
    memcpy(b, centred, (size_t)rows * sizeof *b);
  } else {
    gram(x, rows, f, NULL, a);
    against(x, rows, f, centred, b);
  }
  for (int32_t i = 0; i < n; i++) a[(int64_t)i * n + i] += alpha;
  TRY(solve(a, n, b, err));
  if (dual) against(x, rows, f, b, w);
  for (int32_t k = 0; k < f; k++) p->w[k] += share * (dual ? w[k] : b[k]);
  return 0;
}

static int fit_ridge(struct probe *p, const struct probe_options *o, const double *x, const double *target,
                     int32_t rows, struct arena *scratch, struct error *err)
{
  double *centred = ARENA_NEW(scratch, double, (size_t)rows, "probe", err), sum = 0;
  if (!centred) return err->code;
  for (int32_t i = 0; i < rows; i++) sum += target[i] - target[0];
  p->intercept = target[0] + sum / rows;
  for (int32_t i = 0; i < rows; i++) centred[i] = target[i] - target[0] - sum / rows;
  for (int32_t k = 0; k < o->alphas; k++)
    TRY(add_ridge(p, x, centred, rows, o->alpha[k], 1.0 / o->alphas, scratch, err));
  return 0;
}

/* One Newton step; *moved: its largest entry. x: [rows][f + 1], a 1 at the end of each row. */
static int newton(struct probe *p, const double *x, const double *target, int32_t rows, double alpha, double *a,
                  double *b, double *weight, double *off, double *moved, struct error *err)
{
  int32_t f = p->features, n = f + 1;
  memset(a, 0, (size_t)n * (size_t)n * sizeof *a);
  memset(b, 0, (size_t)n * sizeof *b);
  for (int32_t i = 0; i < rows; i++) {
    double at = p->intercept;
    for (int32_t k = 0; k < f; k++) at += p->w[k] * x[(int64_t)i * n + k];
    double guess = logistic(at);
    weight[i] = guess * (1 - guess);
    off[i] = guess - math_clamp(target[i], 1e-6, 1 - 1e-6);
  }
  gram(x, rows, n, weight, a);
  against(x, rows, n, off, b);
  for (int32_t k = 0; k < f; k++) {
    a[(int64_t)k * n + k] += alpha;
    b[k] += alpha * p->w[k];
  }
  TRY(solve(a, n, b, err));
  *moved = 0;
  for (int32_t k = 0; k < n; k++) *moved = math_abs(b[k]) > *moved ? math_abs(b[k]) : *moved;
  /* A long step is cut: far out the curvature vanishes. */
  double scale = *moved > 4 ? 4 / *moved : 1;
  for (int32_t k = 0; k < f; k++) p->w[k] -= scale * b[k];
  p->intercept -= scale * b[f];
  return 0;
}

static int fit_logistic(struct probe *p, const struct probe_options *o, const double *x, const double *target,
                        int32_t rows, struct arena *scratch, struct error *err)
{
  int32_t f = p->features, n = f + 1;
  double *wide = ARENA_NEW(scratch, double, (size_t)rows *(size_t)n, "probe", err);
  double *a = ARENA_NEW(scratch, double, (size_t)n *(size_t)n, "probe", err);
  double *b = ARENA_NEW(scratch, double, (size_t)n, "probe", err);
  double *per_row = ARENA_NEW(scratch, double, 2 * (size_t)rows, "probe", err), moved = 1;
  if (!wide || !a || !b || !per_row) return err->code;
  for (int32_t i = 0; i < rows; i++) {
    memcpy(wide + (int64_t)i * n, x + (int64_t)i * f, (size_t)f * sizeof *x);
    wide[(int64_t)i * n + f] = 1;
  }
  p->intercept = 0;
  for (int k = 0; k < NEWTON_STEPS && moved > 1e-13; k++)
    TRY(newton(p, wide, target, rows, o->alpha[0], a, b, per_row, per_row + rows, &moved, err));
  return 0;
}

int probe_fit(struct probe *p, const struct probe_options *o, const double *z, const double *target, int32_t rows,
              struct arena *scratch, struct error *err)
{
  for (int i = 0; i < 2; i++) TRY(find_components(p, i, o->components[i], z, rows, scratch, err));
  double *x = ARENA_NEW(scratch, double, (size_t)rows *(size_t)p->inputs + 1, "probe", err);
  if (!x) return err->code;
  p->features = (p->rank[0] ? p->rank[0] : p->dim) + (p->rank[1] ? p->rank[1] : p->dim) + p->inputs - 2 * p->dim;
  for (int32_t i = 0; i < rows; i++) project(p, z + (int64_t)i * p->inputs, x + (int64_t)i * p->features);
  standardise(p, x, rows);
  memset(p->w, 0, (size_t)p->features * sizeof *p->w);
  return o->model == PROBE_LOGISTIC ? fit_logistic(p, o, x, target, rows, scratch, err)
                                    : fit_ridge(p, o, x, target, rows, scratch, err);
}

/* Loops that add one number at a time count twice. */
double probe_work(const struct probe_options *o, double rows, double dim, double inputs)
{
  const double steps_of_newton = 16;
  double features = inputs, sum = 0;
  for (int i = 0; i < 2; i++) {
    double rank = o->components[i] < dim ? o->components[i] : dim;
    if (!o->components[i] || rows < 2) continue;
    sum += subspace_work(rows, dim, rank, POWER_ITERATIONS) + 2 * rows * rank * dim;
    features -= dim - rank;
  }
  sum += rows * inputs + 5 * rows * features;
  double primal = rows * features * features / 2 + features * features * features / 3;
  if (o->model == PROBE_LOGISTIC) return sum + steps_of_newton * (primal + 4 * rows * features);
  double dual = rows * rows * features + rows * rows * rows / 3;
  return sum + o->alphas * ((rows < features ? dual : primal) + 2 * rows * features);
}

double probe_at(const struct probe *p, const struct probe_options *o, const double *z, double *raw, double *work)
{
  double sum = p->intercept;
  project(p, z, work);
  for (int32_t k = 0; k < p->features; k++) sum += (work[k] - p->mean[k]) / p->std[k] * p->w[k];
  if (o->model == PROBE_LOGISTIC) sum = logistic(sum);
  if (raw) *raw = sum;
  return math_clamp(sum, o->low, o->high);
}
