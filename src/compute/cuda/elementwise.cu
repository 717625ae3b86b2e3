/* cuda/elementwise: add, mul, scale, softcap, copy, zero, rows gathered and scattered, and the gated activations:
 * a thread an element. */
#include "compute/cuda/cuda.h"

struct elements {
  const real *from, *second, *third;
  real *to, *also;
  const int32_t *row;
  size_t n, c;
};

struct scaled {
  real *x;
  real factor;
  size_t n;
};

/* x = x + y */
KERNEL(add_elements, struct elements)
{
  size_t i = index_here();
  if (i < a.n) a.to[i] = a.to[i] + a.from[i];
}

void CUDA_NAME(add)(struct device *d, size_t n, struct view x, struct view y)
{
  struct elements a = {view_reals(y), NULL, NULL, view_reals(x), NULL, NULL, n, 0};
  if (n) LAUNCH(d, add_elements, blocks_for(n), 1, TEAM, a);
}

/* x = x * factor */
KERNEL(scale_elements, struct scaled)
{
  size_t i = index_here();
  if (i < a.n) a.x[i] = a.x[i] * a.factor;
}

void CUDA_NAME(scale)(struct device *d, size_t n, double factor, struct view x)
{
  struct scaled a = {view_reals(x), (real)factor, n};
  if (n) LAUNCH(d, scale_elements, blocks_for(n), 1, TEAM, a);
}

/* x = x * y */
KERNEL(mul_elements, struct elements)
{
  size_t i = index_here();
  if (i < a.n) a.to[i] = a.to[i] * a.from[i];
}

void CUDA_NAME(mul)(struct device *d, size_t n, struct view x, struct view y)
{
  struct elements a = {view_reals(y), NULL, NULL, view_reals(x), NULL, NULL, n, 0};
  if (n) LAUNCH(d, mul_elements, blocks_for(n), 1, TEAM, a);
}

struct capped {
  real *x, *slope, cap, inverse;
  size_t n;
};

/* t = tanh(x / cap); x = cap t; slope = 1 - t^2 */
KERNEL(softcap_elements, struct capped)
{
  size_t i = index_here();
  if (i >= a.n) return;
  real t = real_tanh(a.x[i] * a.inverse);
  a.x[i] = t * a.cap;
  if (a.slope) a.slope[i] = real_fma(-t, t, 1);
}

void CUDA_NAME(softcap)(struct device *d, size_t n, double cap, struct view x, const struct view *slope)
{
  ASSAY_BUG_IF(n && !(cap > 0));
  struct capped a = {view_reals(x), slope ? view_reals(*slope) : NULL, (real)cap, (real)(1 / cap), n};
  if (n) LAUNCH(d, softcap_elements, blocks_for(n), 1, TEAM, a);
}

KERNEL(copy_elements, struct elements)
{
  size_t i = index_here();
  if (i < a.n) a.to[i] = a.from[i];
}

void CUDA_NAME(copy)(struct device *d, size_t n, struct view to, struct view from)
{
  struct elements a = {view_reals(from), NULL, NULL, view_reals(to), NULL, NULL, n, 0};
  if (n) LAUNCH(d, copy_elements, blocks_for(n), 1, TEAM, a);
}

KERNEL(zero_elements, struct elements)
{
  size_t i = index_here();
  if (i < a.n) a.to[i] = 0;
}

void CUDA_NAME(zero)(struct device *d, size_t n, struct view x)
{
  struct elements a = {NULL, NULL, NULL, view_reals(x), NULL, NULL, n, 0};
  if (n) LAUNCH(d, zero_elements, blocks_for(n), 1, TEAM, a);
}

void CUDA_NAME(weight_zero_grad)(struct device *d, struct weight *w)
{
  struct elements a = {NULL, NULL, NULL, weight_reals(w, WEIGHT_GRAD), NULL, NULL, w->padded * w->k, 0};
  if (a.to) LAUNCH(d, zero_elements, blocks_for(a.n), 1, TEAM, a);
}

/* ---- rows ---- */

/* to[i, :] = from[row[i], :] */
KERNEL(gather_rows, struct elements)
{
  size_t i = index_here();
  if (i < a.n) a.to[i] = a.from[(size_t)a.row[i / a.c] * a.c + i % a.c];
}

void CUDA_NAME(gather)(struct device *d, int32_t count, const int32_t *row, size_t c, struct view from, struct view to)
{
  if (count <= 0) return;
  struct elements a = {view_reals(from), NULL, NULL, view_reals(to), NULL, CUDA_UPLOAD(d, row, (size_t)count),
                       (size_t)count * c, c};
  if (a.row) LAUNCH(d, gather_rows, blocks_for(a.n), 1, TEAM, a);
}

/* to[row[i], :] = from[i, :] */
KERNEL(scatter_rows, struct elements)
{
  size_t i = index_here();
  if (i < a.n) a.to[(size_t)a.row[i / a.c] * a.c + i % a.c] = a.from[i];
}

void CUDA_NAME(scatter)(struct device *d, int32_t count, const int32_t *row, size_t c, struct view from, struct view to)
{
  if (count <= 0) return;
  struct elements a = {view_reals(from), NULL, NULL, view_reals(to), NULL, CUDA_UPLOAD(d, row, (size_t)count),
                       (size_t)count * c, c};
  if (a.row) LAUNCH(d, scatter_rows, blocks_for(a.n), 1, TEAM, a);
}

/* ---- the gated activation ---- */

/* t = 1 / (1 + exp(-g)), the logistic function */
HERE real gate_of(real g)
{
  return real_divide(1, 1 + real_exp(-g));
}

/* y = (g t) u. from: g, second: u. */
KERNEL(swiglu_elements, struct elements)
{
  size_t i = index_here();
  if (i < a.n) a.to[i] = (a.from[i] * gate_of(a.from[i])) * a.second[i];
}

void CUDA_NAME(swiglu)(struct device *d, size_t n, struct view g, struct view u, struct view y)
{
  struct elements a = {view_reals(g), view_reals(u), NULL, view_reals(y), NULL, NULL, n, 0};
  if (n) LAUNCH(d, swiglu_elements, blocks_for(n), 1, TEAM, a);
}

/* du = dy (g t); dg = (dy u) (t (1 + g (1 - t))). from: g, second: u, third: dy, to: dg (may be g), also: du (may be
   u). */
KERNEL(swiglu_gradients, struct elements)
{
  size_t i = index_here();
  if (i >= a.n) return;
  real g = a.from[i], u = a.second[i], dy = a.third[i], t = gate_of(g);
  a.also[i] = dy * (g * t);
  a.to[i] = (dy * u) * (t * real_fma(g, 1 - t, 1));
}

void CUDA_NAME(swiglu_backward)(struct device *d, size_t n, struct view g, struct view u, struct view dy,
                                struct view dg, struct view du)
{
  struct elements a = {view_reals(g), view_reals(u), view_reals(dy), view_reals(dg), view_reals(du), NULL, n, 0};
  if (n) LAUNCH(d, swiglu_gradients, blocks_for(n), 1, TEAM, a);
}

/* ---- GELU, tanh form: t = 1 / (1 + exp(-z)), z = g (A + B g^2) ---- */

#define GELU_A ((real)1.5957691216057308) /* 2 sqrt(2/pi) */
#define GELU_B ((real)(0.044715 * 1.5957691216057308))
#define GELU_3B ((real)(3 * (0.044715 * 1.5957691216057308)))

HERE real gelu_gate(real g)
{
  return gate_of(g * real_fma(GELU_B, g * g, GELU_A));
}

KERNEL(geglu_elements, struct elements)
{
  size_t i = index_here();
  if (i < a.n) a.to[i] = (a.from[i] * gelu_gate(a.from[i])) * a.second[i];
}

void CUDA_NAME(geglu)(struct device *d, size_t n, struct view g, struct view u, struct view y)
{
  struct elements a = {view_reals(g), view_reals(u), NULL, view_reals(y), NULL, NULL, n, 0};
  if (n) LAUNCH(d, geglu_elements, blocks_for(n), 1, TEAM, a);
}

/* du = dy (g t); dg = (dy u) (t + g z' t (1 - t)), z' = A + 3 B g^2. */
KERNEL(geglu_gradients, struct elements)
{
  size_t i = index_here();
  if (i >= a.n) return;
  real g = a.from[i], u = a.second[i], dy = a.third[i], t = gelu_gate(g);
  real slope = g * real_fma(GELU_3B, g * g, GELU_A);
  a.also[i] = dy * (g * t);
  a.to[i] = (dy * u) * real_fma(slope, t * (1 - t), t);
}

void CUDA_NAME(geglu_backward)(struct device *d, size_t n, struct view g, struct view u, struct view dy, struct view dg,
                               struct view du)
{
  struct elements a = {view_reals(g), view_reals(u), view_reals(dy), view_reals(dg), view_reals(du), NULL, n, 0};
  if (n) LAUNCH(d, geglu_gradients, blocks_for(n), 1, TEAM, a);
}
