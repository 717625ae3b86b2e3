/* compute/cpu/simd/elementwise: add, mul, scale, softcap, swiglu, geglu and their backward, rope, adamw, and the
 * reductions over a weight. The formulas are in backend.h.
 *
 * Floors: all but swiglu and rope move more bytes than they compute: add 12 bytes per element, adamw 28 (8 read and
 * written parts of 4 bytes, less one read), sum_squares 4. swiglu: 12 bytes and some 25 operations with exp; its
 * backward 20 bytes and 30 operations: arithmetic while it is in cache, memory beyond. Division is the dearest single
 * operation (one per element; two with adamw's square root).
 */
#ifndef ASSAY_COMPUTE_CPU_SIMD_ELEMENTWISE_INC_H
#define ASSAY_COMPUTE_CPU_SIMD_ELEMENTWISE_INC_H

#include "compute/cpu/ref/ref.h"
#include "compute/cpu/simd/softcap.inc.h"

struct element_job {
  const float *g, *u, *dy;
  float *x, *dg, *du;
  float factor;
};

/* ---- x = x + y ---- */

static void add_part(void *arg, int thread, size_t begin, size_t end)
{
  const struct element_job *job = arg;
  (void)thread;
  for (size_t i = begin; i < end; i += 16) {
    const struct m16 m = m16_first(end - i);
    f16_store_mask(job->x + i, m, f16_add(f16_load_mask(job->x + i, m), f16_load_mask(job->dy + i, m)));
  }
}

static void add_run(struct device *d, size_t n, struct view x, struct view y)
{
  if (!n) return;
  struct element_job job = {.x = view_reals(x), .dy = view_reals(y)};
  pool_run_grain(d->pool, n, grain_of(1), add_part, &job);
}

/* ---- x = x y; x = x factor; x = cap tanh(x / cap) ---- */

static void mul_part(void *arg, int thread, size_t begin, size_t end)
{
  const struct element_job *job = arg;
  (void)thread;
  for (size_t i = begin; i < end; i += 16) {
    const struct m16 m = m16_first(end - i);
    f16_store_mask(job->x + i, m, f16_mul(f16_load_mask(job->x + i, m), f16_load_mask(job->dy + i, m)));
  }
}

static void mul_run(struct device *d, size_t n, struct view x, struct view y)
{
  if (!n) return;
  struct element_job job = {.x = view_reals(x), .dy = view_reals(y)};
  pool_run_grain(d->pool, n, grain_of(1), mul_part, &job);
}

static void scale_part(void *arg, int thread, size_t begin, size_t end)
{
  const struct element_job *job = arg;
  (void)thread;
  for (size_t i = begin; i < end; i += 16) {
    const struct m16 m = m16_first(end - i);
    f16_store_mask(job->x + i, m, f16_mul(f16_load_mask(job->x + i, m), f16_set(job->factor)));
  }
}

static void scale_run(struct device *d, size_t n, double factor, struct view x)
{
  if (!n) return;
  struct element_job job = {.x = view_reals(x), .factor = (float)factor};
  pool_run_grain(d->pool, n, grain_of(1), scale_part, &job);
}

struct cap_job {
  float *x, *slope, cap, inverse;
};

static void softcap_part(void *arg, int thread, size_t begin, size_t end)
{
  const struct cap_job *job = arg;
  (void)thread;
  for (size_t i = begin; i < end; i += 16) {
    const struct m16 m = m16_first(end - i);
    const struct f16 t = f16_tanh(f16_mul(f16_load_mask(job->x + i, m), f16_set(job->inverse)));
    f16_store_mask(job->x + i, m, f16_mul(t, f16_set(job->cap)));
    if (job->slope) f16_store_mask(job->slope + i, m, f16_fma(f16_neg(t), t, f16_set(1.0f)));
  }
}

static void softcap_run(struct device *d, size_t n, double cap, struct view x, const struct view *slope)
{
  if (!n) return;
  ASSAY_BUG_IF(!(cap > 0));
  struct cap_job job = {view_reals(x), slope ? view_reals(*slope) : NULL, (float)cap, (float)(1 / cap)};
  pool_run_grain(d->pool, n, grain_of(1), softcap_part, &job);
}

/* ---- t = 1 / (1 + exp(-g)); y = (g t) u ---- */

INLINE struct f16 swiglu_gate(struct f16 g)
{
  const struct f16 one = f16_set(1.0f);
  return f16_div(one, f16_add(one, f16_exp(f16_neg(g))));
}

static void swiglu_part(void *arg, int thread, size_t begin, size_t end)
{
  const struct element_job *job = arg;
  (void)thread;
  for (size_t i = begin; i < end; i += 16) {
    const struct m16 m = m16_first(end - i);
    const struct f16 g = f16_load_mask(job->g + i, m), u = f16_load_mask(job->u + i, m);
    f16_store_mask(job->x + i, m, f16_mul(f16_mul(g, swiglu_gate(g)), u));
  }
}

static void swiglu_run(struct device *d, size_t n, struct view g, struct view u, struct view y)
{
  if (!n) return;
  struct element_job job = {.g = view_reals(g), .u = view_reals(u), .x = view_reals(y)};
  pool_run_grain(d->pool, n, grain_of(1), swiglu_part, &job);
}

/* du = dy (g t); dg = (dy u) (t (1 + g (1 - t))) */
static void swiglu_backward_part(void *arg, int thread, size_t begin, size_t end)
{
  const struct element_job *job = arg;
  const struct f16 one = f16_set(1.0f);
  (void)thread;
  for (size_t i = begin; i < end; i += 16) {
    const struct m16 m = m16_first(end - i);
    const struct f16 g = f16_load_mask(job->g + i, m), u = f16_load_mask(job->u + i, m),
                     dy = f16_load_mask(job->dy + i, m);
    const struct f16 t = swiglu_gate(g);
    f16_store_mask(job->du + i, m, f16_mul(dy, f16_mul(g, t)));
    f16_store_mask(job->dg + i, m, f16_mul(f16_mul(dy, u), f16_mul(t, f16_fma(g, f16_sub(one, t), one))));
  }
}

static void swiglu_backward_run(struct device *d, size_t n, struct view g, struct view u, struct view dy,
                                struct view dg, struct view du)
{
  if (!n) return;
  struct element_job job = {
      .g = view_reals(g), .u = view_reals(u), .dy = view_reals(dy), .dg = view_reals(dg), .du = view_reals(du)};
  pool_run_grain(d->pool, n, grain_of(1), swiglu_backward_part, &job);
}

/* ---- GELU, tanh form: t = 1 / (1 + exp(-z)), z = g (A + B g^2); y = (g t) u ---- */

INLINE struct f16 geglu_gate(struct f16 g, struct f16 square)
{
  const struct f16 one = f16_set(1.0f),
                   z = f16_mul(g, f16_fma(f16_set((float)GEGLU_B), square, f16_set((float)GEGLU_A)));
  return f16_div(one, f16_add(one, f16_exp(f16_neg(z))));
}

static void geglu_part(void *arg, int thread, size_t begin, size_t end)
{
  const struct element_job *job = arg;
  (void)thread;
  for (size_t i = begin; i < end; i += 16) {
    const struct m16 m = m16_first(end - i);
    const struct f16 g = f16_load_mask(job->g + i, m), u = f16_load_mask(job->u + i, m);
    f16_store_mask(job->x + i, m, f16_mul(f16_mul(g, geglu_gate(g, f16_mul(g, g))), u));
  }
}

static void geglu_run(struct device *d, size_t n, struct view g, struct view u, struct view y)
{
  if (!n) return;
  struct element_job job = {.g = view_reals(g), .u = view_reals(u), .x = view_reals(y)};
  pool_run_grain(d->pool, n, grain_of(1), geglu_part, &job);
}

/* du = dy (g t); dg = (dy u) (t + g z' t (1 - t)), z' = A + 3 B g^2 */
static void geglu_backward_part(void *arg, int thread, size_t begin, size_t end)
{
  const struct element_job *job = arg;
  const struct f16 one = f16_set(1.0f);
  (void)thread;
  for (size_t i = begin; i < end; i += 16) {
    const struct m16 m = m16_first(end - i);
    const struct f16 g = f16_load_mask(job->g + i, m), u = f16_load_mask(job->u + i, m),
                     dy = f16_load_mask(job->dy + i, m);
    const struct f16 square = f16_mul(g, g), t = geglu_gate(g, square);
    const struct f16 slope = f16_mul(g, f16_fma(f16_set((float)(3 * GEGLU_B)), square, f16_set((float)GEGLU_A)));
    f16_store_mask(job->du + i, m, f16_mul(dy, f16_mul(g, t)));
    f16_store_mask(job->dg + i, m, f16_mul(f16_mul(dy, u), f16_fma(slope, f16_mul(t, f16_sub(one, t)), t)));
  }
}

static void geglu_backward_run(struct device *d, size_t n, struct view g, struct view u, struct view dy, struct view dg,
                               struct view du)
{
  if (!n) return;
  struct element_job job = {
      .g = view_reals(g), .u = view_reals(u), .dy = view_reals(dy), .dg = view_reals(dg), .du = view_reals(du)};
  pool_run_grain(d->pool, n, grain_of(1), geglu_backward_part, &job);
}

/* ---- rope: a' = a c - b s, b' = b c + a s ---- */

struct rope_job {
  const int32_t *position;
  const float *table;
  float *x;
  size_t heads, head_dim, rotary;
  bool inverse;
};

static void rope_part(void *arg, int thread, size_t begin, size_t end)
{
  const struct rope_job *job = arg;
  const size_t half = job->rotary / 2;
  (void)thread;
  for (size_t item = begin; item < end; item++) {
    const float *angle = job->table + (size_t)job->position[item / job->heads] * half * 2;
    float *x = job->x + item * job->head_dim;
    for (size_t i = 0; i < half; i += 16) {
      const size_t n = size_min(16, half - i);
      const struct m16 m = m16_first(n);
      struct f16 c, s;
      f16_load_pairs(angle + 2 * i, n, &c, &s);
      if (job->inverse) s = f16_neg(s);
      const struct f16 a = f16_load_mask(x + i, m), b = f16_load_mask(x + i + half, m);
      f16_store_mask(x + i, m, f16_fma(a, c, f16_neg(f16_mul(b, s))));
      f16_store_mask(x + i + half, m, f16_fma(b, c, f16_mul(a, s)));
    }
  }
}

static void rope_run(struct device *d, int32_t m, const int32_t *position, int heads, int head_dim, int rotary,
                     struct view table, bool inverse, struct view x)
{
  if (m <= 0) return;
  ASSAY_BUG_IF(heads < 1 || rotary < 2 || rotary % 2 || rotary > head_dim);
  struct rope_job job = {position,         view_reals(table), view_reals(x), (size_t)heads,
                         (size_t)head_dim, (size_t)rotary,    inverse};
  pool_run_grain(d->pool, (size_t)m * job.heads, grain_of((size_t)head_dim), rope_part, &job);
}

/* ---- adamw ---- */

struct adamw_job {
  float *master, *grad, *moment1, *moment2;
  size_t n, k;
  float b1, not_b1, b2, not_b2, c1, c2, lr, decay, eps, grad_scale;
};

static void adamw_part(void *arg, int thread, size_t begin, size_t end)
{
  const struct adamw_job *job = arg;
  const struct f16 b1 = f16_set(job->b1), not_b1 = f16_set(job->not_b1), b2 = f16_set(job->b2),
                   not_b2 = f16_set(job->not_b2);
  const struct f16 c1 = f16_set(job->c1), c2 = f16_set(job->c2), lr = f16_set(job->lr), decay = f16_set(job->decay);
  const struct f16 eps = f16_set(job->eps), scale = f16_set(job->grad_scale);
  (void)thread;
  for (size_t item = begin; item < end; item++) {
    const size_t i = item * PANEL;
    const struct m16 mask = m16_first(job->n - item / job->k * PANEL); /* the padding stays 0 */
    const struct f16 g = f16_mul(f16_load_mask(job->grad + i, mask), scale);
    const struct f16 m1 = f16_fma(b1, f16_load_mask(job->moment1 + i, mask), f16_mul(not_b1, g));
    const struct f16 m2 = f16_fma(b2, f16_load_mask(job->moment2 + i, mask), f16_mul(not_b2, f16_mul(g, g)));
    struct f16 w = f16_load_mask(job->master + i, mask);
    w = f16_fma(decay, w, w);
    w = f16_sub(w, f16_mul(lr, f16_div(f16_div(m1, c1), f16_add(f16_sqrt(f16_div(m2, c2)), eps))));
    f16_store_mask(job->master + i, mask, w);
    f16_store_mask(job->moment1 + i, mask, m1);
    f16_store_mask(job->moment2 + i, mask, m2);
    f16_store_mask(job->grad + i, mask, f16_zero());
  }
}

static void adamw_run(struct device *d, struct weight *w, const struct adamw_params *p)
{
  ASSAY_BUG_IF(!w->part[WEIGHT_GRAD] || !w->part[WEIGHT_MOMENT1] || !w->part[WEIGHT_MOMENT2]);
  struct adamw_job job = {.master = weight_reals(w, WEIGHT_MASTER),
                          .grad = weight_reals(w, WEIGHT_GRAD),
                          .moment1 = weight_reals(w, WEIGHT_MOMENT1),
                          .moment2 = weight_reals(w, WEIGHT_MOMENT2),
                          .n = w->n,
                          .k = w->k,
                          .b1 = (float)p->beta1,
                          .not_b1 = (float)(1.0 - p->beta1),
                          .b2 = (float)p->beta2,
                          .not_b2 = (float)(1.0 - p->beta2),
                          .c1 = (float)p->correction1,
                          .c2 = (float)p->correction2,
                          .lr = (float)p->lr,
                          .decay = (float)(-(p->lr * p->weight_decay)),
                          .eps = (float)p->eps,
                          .grad_scale = (float)p->grad_scale};
  pool_run_grain(d->pool, w->padded / PANEL * w->k, grain_of(PANEL), adamw_part, &job);
}

/* ---- reductions over a weight: lanes are the 16 rows of a panel ---- */

enum { REDUCE_PANELS = 64 };

struct reduce_job {
  const float *panels;
  size_t k;
  double sum[REDUCE_PANELS * PANEL]; /* of squares, by row */
  bool bad[REDUCE_PANELS];           /* a number that is not finite */
};

static void square_part(void *arg, int thread, size_t begin, size_t end)
{
  struct reduce_job *job = arg;
  (void)thread;
  for (size_t p = begin; p < end; p++) {
    const float *x = job->panels + p * job->k * PANEL;
    struct d16 acc = d16_zero();
    for (size_t k = 0; k < job->k; k++) acc = d16_add_square(acc, f16_load(x + k * PANEL));
    d16_store(job->sum + p * PANEL, acc);
  }
}

static double sum_squares_run(struct device *d, const struct weight *w, enum weight_part part)
{
  struct reduce_job job;
  double total = 0;
  job.k = w->k;
  for (size_t row = 0; row < w->n; row += REDUCE_PANELS * PANEL) {
    const size_t rows = size_min(REDUCE_PANELS * PANEL, w->n - row);
    job.panels = weight_reals(w, part) + row * w->k;
    pool_run(d->pool, (rows + PANEL - 1) / PANEL, square_part, &job);
    for (size_t i = 0; i < rows; i++) total += job.sum[i];
  }
  return total;
}

static void finite_part(void *arg, int thread, size_t begin, size_t end)
{
  struct reduce_job *job = arg;
  (void)thread;
  for (size_t p = begin; p < end; p++) {
    const float *x = job->panels + p * job->k * PANEL;
    /* x - x is 0 for what is finite, NaN for the rest; NaN stays in the sum. */
    struct f16 acc = f16_zero();
    for (size_t k = 0; k < job->k; k++) acc = f16_add(acc, f16_sub(f16_load(x + k * PANEL), f16_load(x + k * PANEL)));
    job->bad[p] = m16_bits(f16_is_nan(acc)) != 0;
  }
}

static int64_t find_not_finite_run(struct device *d, const struct weight *w, enum weight_part part)
{
  struct reduce_job job;
  job.k = w->k;
  for (size_t row = 0; row < w->n; row += REDUCE_PANELS * PANEL) {
    const size_t panels = (size_min(REDUCE_PANELS * PANEL, w->n - row) + PANEL - 1) / PANEL;
    job.panels = weight_reals(w, part) + row * w->k;
    pool_run(d->pool, panels, finite_part, &job);
    for (size_t p = 0; p < panels; p++)
      if (job.bad[p]) return find_not_finite_ref(d, w, part); /* which one: rare enough to search again */
  }
  return -1;
}

#endif
