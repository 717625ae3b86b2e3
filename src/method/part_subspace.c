#include "method/part_subspace.h"

#include <string.h>

#include "core/math.h"
#include "method/part_rank.h"

enum { SWEEPS = 64, EXTRA = 16 };
/* A direction with less than this share of the largest energy is rounding. */
static const double NOTHING = 1e-13;

/* Eight sums side by side, then one after the other: a single chain of additions would wait for each. */
static double dot(const double *x, const double *y, int32_t n)
{
  enum { LANES = 8 };
  double part[LANES] = {0}, sum = 0;
  int32_t i = 0;
  for (; i + LANES <= n; i += LANES)
    for (int32_t l = 0; l < LANES; l++) part[l] += x[i + l] * y[i + l];
  for (int32_t l = 0; i < n; i++, l++) part[l] += x[i] * y[i];
  for (int32_t l = 0; l < LANES; l++) sum += part[l];
  return sum;
}

static void add_scaled(double *to, double factor, const double *x, int32_t n)
{
  for (int32_t i = 0; i < n; i++) to[i] += factor * x[i];
}

void subspace_layer_norm(double *x, int32_t width)
{
  double sum = 0, squares = 0;
  for (int32_t i = 0; i < width; i++) sum += x[i];
  double mean = sum / width;
  for (int32_t i = 0; i < width; i++) squares += (x[i] - mean) * (x[i] - mean);
  double by = math_sqrt(squares / width + 1e-5);
  for (int32_t i = 0; i < width; i++) x[i] = (x[i] - mean) / by;
}

/* ---- eigenvalues of a symmetric matrix -------------------------------------------------------------------------- */

/* One rotation that makes m[p][q] zero. m, v: [n][n]; the rows of v become the eigenvectors. */
static void rotate(double *m, double *v, int32_t n, int32_t p, int32_t q)
{
  double off = m[(int64_t)p * n + q];
  double theta = (m[(int64_t)q * n + q] - m[(int64_t)p * n + p]) / (2 * off);
  double t = (theta < 0 ? -1 : 1) / (math_abs(theta) + math_sqrt(theta * theta + 1));
  double c = 1 / math_sqrt(t * t + 1), s = t * c;
  for (int32_t k = 0; k < n; k++) {
    double a = m[(int64_t)k * n + p], b = m[(int64_t)k * n + q];
    m[(int64_t)k * n + p] = c * a - s * b;
    m[(int64_t)k * n + q] = s * a + c * b;
  }
  for (int32_t k = 0; k < n; k++) {
    double a = m[(int64_t)p * n + k], b = m[(int64_t)q * n + k];
    m[(int64_t)p * n + k] = c * a - s * b;
    m[(int64_t)q * n + k] = s * a + c * b;
    a = v[(int64_t)p * n + k];
    b = v[(int64_t)q * n + k];
    v[(int64_t)p * n + k] = c * a - s * b;
    v[(int64_t)q * n + k] = s * a + c * b;
  }
}

/* Cyclic Jacobi, down to what rounding leaves of equal tokens. Afterwards order holds the eigenvalues, falling, and the
 * rows of v where their vectors are. */
static void eigen(double *m, double *v, int32_t n, struct ranked *order)
{
  memset(v, 0, (size_t)n * (size_t)n * sizeof *v);
  for (int32_t i = 0; i < n; i++) v[(int64_t)i * n + i] = 1;
  double scale = 0; /* the trace: what is left of an off-diagonal entry is measured by it */
  for (int32_t i = 0; i < n; i++) scale += math_abs(m[(int64_t)i * n + i]);
  for (int sweep = 0; sweep < SWEEPS; sweep++) {
    bool done = true;
    for (int32_t p = 0; p < n; p++) {
      for (int32_t q = p + 1; q < n; q++) {
        if (!(math_abs(m[(int64_t)p * n + q]) > 1e-17 * scale)) continue;
        done = false;
        rotate(m, v, n, p, q);
      }
    }
    if (done) break;
  }
  for (int32_t i = 0; i < n; i++) order[i] = (struct ranked){m[(int64_t)i * n + i], i};
  rank_sort(order, n, true);
}

/* Makes the rows orthonormal, twice for good measure; a row that lies in those before it becomes 0. */
static void orthonormalise(double *rows, int32_t count, int32_t width)
{
  for (int32_t i = 0; i < count; i++) {
    double *own = rows + (int64_t)i * width, before = math_sqrt(dot(own, own, width));
    for (int pass = 0; pass < 2; pass++) {
      for (int32_t j = 0; j < i; j++) {
        const double *other = rows + (int64_t)j * width;
        add_scaled(own, -dot(own, other, width), other, width);
      }
    }
    double length = math_sqrt(dot(own, own, width));
    bool real = length > 1e-12 * before && length > 0;
    for (int32_t k = 0; k < width; k++) own[k] = real ? own[k] / length : 0;
  }
}

/* ---- the two ways ------------------------------------------------------------------------------------------------ */

struct eigen_room {
  double *m, *v;
  struct ranked *order;
};

static int open_room(struct eigen_room *r, int32_t n, struct arena *a, struct error *err)
{
  size_t cells = (size_t)n * (size_t)n;
  r->m = ARENA_NEW(a, double, cells, "subspace", err);
  r->v = ARENA_NEW(a, double, cells, "subspace", err);
  r->order = ARENA_NEW(a, struct ranked, (size_t)n, "subspace", err);
  return r->m && r->v && r->order ? 0 : err->code;
}

static int set_energies(const struct eigen_room *r, int32_t n, struct arena *a, struct subspace *s, struct error *err)
{
  s->energy_count = n;
  s->energy = ARENA_NEW(a, double, (size_t)n, "subspace", err);
  if (!s->energy) return err->code;
  for (int32_t i = 0; i < n; i++) s->energy[i] = r->order[i].value > 0 ? r->order[i].value : 0;
  return 0;
}

/* By X'X where there are at least as many rows as columns, else by XX'. */
static int fit_exactly(const double *x, int32_t rows, struct arena *a, struct subspace *s, struct error *err)
{
  int32_t width = s->width, n = width <= rows ? width : rows;
  struct eigen_room r;
  TRY(open_room(&r, n, a, err));
  for (int32_t t = 0; width <= rows && t < rows; t++) {
    const double *row = x + (int64_t)t * width;
    for (int32_t i = 0; i < n; i++) add_scaled(r.m + (int64_t)i * n, row[i], row, n);
  }
  for (int32_t i = 0; width > rows && i < n; i++) {
    for (int32_t j = 0; j < n; j++)
      r.m[(int64_t)i * n + j] = dot(x + (int64_t)i * width, x + (int64_t)j * width, width);
  }
  eigen(r.m, r.v, n, r.order);
  TRY(set_energies(&r, n, a, s, err));
  for (int32_t i = 0; i < s->rank; i++) {
    const double *vector = r.v + (int64_t)r.order[i].index * n;
    double *own = s->basis + (int64_t)i * width;
    if (width <= rows) {
      memcpy(own, vector, (size_t)n * sizeof *own);
    } else if (s->energy[i] > NOTHING * s->energy[0]) {
      for (int32_t t = 0; t < rows; t++) add_scaled(own, vector[t], x + (int64_t)t * width, width);
    }
  }
  orthonormalise(s->basis, s->rank, width);
  return 0;
}

/* q <- q X'X, rows of q: [block][width]. */
static void multiply(const double *x, int32_t rows, int32_t width, const double *q, int32_t block, double *out)
{
  memset(out, 0, (size_t)block * (size_t)width * sizeof *out);
  for (int32_t t = 0; t < rows; t++) {
    const double *row = x + (int64_t)t * width;
    for (int32_t b = 0; b < block; b++)
      add_scaled(out + (int64_t)b * width, dot(q + (int64_t)b * width, row, width), row, width);
  }
}

static int fit_roughly(const double *x, int32_t rows, int32_t iterations, struct arena *a, struct subspace *s,
                       struct error *err)
{
  int32_t width = s->width, least = rows < width ? rows : width;
  int32_t block = s->rank + EXTRA < least ? s->rank + EXTRA : least;
  struct eigen_room r;
  TRY(open_room(&r, block, a, err));
  size_t cells = (size_t)block * (size_t)width;
  double *q = ARENA_NEW(a, double, cells, "subspace", err), *next = ARENA_NEW(a, double, cells, "subspace", err);
  if (!q || !next) return err->code;
  /* Start: rows of X, evenly spaced. */
  for (int32_t b = 0; b < block; b++)
    memcpy(q + (int64_t)b * width, x + (int64_t)b * rows / block * width, (size_t)width * sizeof *q);
  orthonormalise(q, block, width);
  for (int32_t i = 0; i < iterations; i++) {
    multiply(x, rows, width, q, block, next);
    memcpy(q, next, cells * sizeof *q);
    orthonormalise(q, block, width);
  }
  /* Rayleigh-Ritz: the best directions inside the block. */
  multiply(x, rows, width, q, block, next);
  for (int32_t i = 0; i < block; i++)
    for (int32_t j = 0; j < block; j++)
      r.m[(int64_t)i * block + j] =
          dot(q + (int64_t)(i < j ? i : j) * width, next + (int64_t)(i < j ? j : i) * width, width);
  eigen(r.m, r.v, block, r.order);
  TRY(set_energies(&r, block, a, s, err));
  for (int32_t i = 0; i < s->rank; i++)
    for (int32_t b = 0; b < block; b++)
      add_scaled(s->basis + (int64_t)i * width, r.v[(int64_t)r.order[i].index * block + b], q + (int64_t)b * width,
                 width);
  return 0;
}

int subspace_fit(double *x, int32_t rows, int32_t width, int32_t rank, int32_t iterations, struct arena *a,
                 struct subspace *out, struct error *err)
{
  int32_t most = rows - 1 < width ? rows - 1 : width, least = rows < width ? rows : width;
  *out = (struct subspace){.width = width, .rank = rank < most ? rank : most};
  out->mean = ARENA_NEW(a, double, (size_t)width, "subspace", err);
  out->basis = ARENA_NEW(a, double, (size_t)out->rank *(size_t)width + 1, "subspace", err);
  if (!out->mean || !out->basis) return err->code;
  for (int32_t t = 0; t < rows; t++) add_scaled(out->mean, 1, x + (int64_t)t * width, width);
  for (int32_t k = 0; k < width; k++) out->mean[k] /= rows;
  for (int32_t t = 0; t < rows; t++) add_scaled(x + (int64_t)t * width, -1, out->mean, width);
  return least <= SUBSPACE_EXACT ? fit_exactly(x, rows, a, out, err) : fit_roughly(x, rows, iterations, a, out, err);
}

double subspace_work(double rows, double width, double rank, double iterations)
{
  /* a sweep of Jacobi's has n^2 / 2 rotations of 12 n; six sweeps are usual */
  const double rotations = 6 * 12 / 2.0, least = rows < width ? rows : width, most = rows < width ? width : rows;
  if (rank > least - 1) rank = least > 1 ? least - 1 : 1;
  double centred = 2 * rows * width, orthonormal = 2 * rank * rank * width;
  if (least <= SUBSPACE_EXACT)
    return centred + least * least * most + rotations * least * least * least + rank * rows * width + orthonormal;
  double block = rank + EXTRA < least ? rank + EXTRA : least;
  double round = 2 * rows * width * block + 2 * block * block * width;
  return centred + (iterations + 1) * round + rotations * block * block * block + 2 * block * block * width;
}

double subspace_distance(const struct subspace *s, double *x)
{
  /* One direction after the other: the same as u - V V' u for orthonormal rows, and closer to 0 inside. */
  add_scaled(x, -1, s->mean, s->width);
  for (int32_t i = 0; i < s->rank; i++) {
    const double *v = s->basis + (int64_t)i * s->width;
    add_scaled(x, -dot(x, v, s->width), v, s->width);
  }
  return dot(x, x, s->width) / s->width;
}
