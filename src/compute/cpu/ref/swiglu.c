/* ref/swiglu: the gated activations and their backward. */
#include "compute/cpu/ref/ref.h"

struct swiglu_job {
  const real *g, *u, *dy;
  real *y, *dg, *du;
};

/* t = 1 / (1 + exp(-g)), the logistic function */
static inline real swiglu_gate(real g)
{
  return 1 / (1 + real_exp(-g));
}

/* y = (g t) u */
static void swiglu_part(void *arg, int thread, size_t begin, size_t end)
{
  const struct swiglu_job *job = arg;
  (void)thread;
  for (size_t i = begin; i < end; i++) job->y[i] = (job->g[i] * swiglu_gate(job->g[i])) * job->u[i];
}

void REAL_NAME(swiglu)(struct device *d, size_t n, struct view g, struct view u, struct view y)
{
  if (!n) return;
  struct swiglu_job job = {.g = view_reals(g), .u = view_reals(u), .y = view_reals(y)};
  pool_run(d->pool, n, swiglu_part, &job);
}

/* du = dy (g t); dg = (dy u) (t (1 + g (1 - t))). dg may be g, du may be u. */
static void swiglu_backward_part(void *arg, int thread, size_t begin, size_t end)
{
  const struct swiglu_job *job = arg;
  (void)thread;
  for (size_t i = begin; i < end; i++) {
    real g = job->g[i], u = job->u[i], dy = job->dy[i], t = swiglu_gate(g);
    job->du[i] = dy * (g * t);
    job->dg[i] = (dy * u) * (t * real_fma(g, 1 - t, 1));
  }
}

void REAL_NAME(swiglu_backward)(struct device *d, size_t n, struct view g, struct view u, struct view dy,
                                struct view dg, struct view du)
{
  if (!n) return;
  struct swiglu_job job = {
      .g = view_reals(g), .u = view_reals(u), .dy = view_reals(dy), .dg = view_reals(dg), .du = view_reals(du)};
  pool_run(d->pool, n, swiglu_backward_part, &job);
}

/* ---- GELU, tanh form: t = 1 / (1 + exp(-z)), z = 2 sqrt(2/pi) (g + 0.044715 g^3) ---- */

#define GELU_A ((real)GEGLU_A)
#define GELU_B ((real)GEGLU_B)

static inline real gelu_gate(real g)
{
  return 1 / (1 + real_exp(-(g * real_fma(GELU_B, g * g, GELU_A))));
}

static void geglu_part(void *arg, int thread, size_t begin, size_t end)
{
  const struct swiglu_job *job = arg;
  (void)thread;
  for (size_t i = begin; i < end; i++) job->y[i] = (job->g[i] * gelu_gate(job->g[i])) * job->u[i];
}

void REAL_NAME(geglu)(struct device *d, size_t n, struct view g, struct view u, struct view y)
{
  if (!n) return;
  struct swiglu_job job = {.g = view_reals(g), .u = view_reals(u), .y = view_reals(y)};
  pool_run(d->pool, n, geglu_part, &job);
}

/* du = dy (g t); dg = (dy u) (t + g z' t (1 - t)), z' = A + 3 B g^2. dg may be g, du may be u. */
static void geglu_backward_part(void *arg, int thread, size_t begin, size_t end)
{
  const struct swiglu_job *job = arg;
  (void)thread;
  for (size_t i = begin; i < end; i++) {
    real g = job->g[i], u = job->u[i], dy = job->dy[i], t = gelu_gate(g);
    real slope = g * real_fma((real)(3 * GEGLU_B), g * g, GELU_A);
    job->du[i] = dy * (g * t);
    job->dg[i] = (dy * u) * real_fma(slope, t * (1 - t), t);
  }
}

void REAL_NAME(geglu_backward)(struct device *d, size_t n, struct view g, struct view u, struct view dy, struct view dg,
                               struct view du)
{
  if (!n) return;
  struct swiglu_job job = {
      .g = view_reals(g), .u = view_reals(u), .dy = view_reals(dy), .dg = view_reals(dg), .du = view_reals(du)};
  pool_run(d->pool, n, geglu_backward_part, &job);
}
