/* ref/elementwise: add, mul, scale, softcap, copy, zero, and rows gathered and scattered. */
#include "compute/cpu/ref/ref.h"

#include <string.h>

struct element_job {
  const real *from;
  real *to;
  const int32_t *row;
  size_t c;
  real factor;
};

static void add_part(void *arg, int thread, size_t begin, size_t end)
{
  const struct element_job *job = arg;
  (void)thread;
  for (size_t i = begin; i < end; i++) job->to[i] += job->from[i];
}

void REAL_NAME(add)(struct device *d, size_t n, struct view x, struct view y)
{
  if (!n) return;
  struct element_job job = {.from = view_reals(y), .to = view_reals(x)};
  pool_run(d->pool, n, add_part, &job);
}

static void mul_part(void *arg, int thread, size_t begin, size_t end)
{
  const struct element_job *job = arg;
  (void)thread;
  for (size_t i = begin; i < end; i++) job->to[i] *= job->from[i];
}

void REAL_NAME(mul)(struct device *d, size_t n, struct view x, struct view y)
{
  if (!n) return;
  struct element_job job = {.from = view_reals(y), .to = view_reals(x)};
  pool_run(d->pool, n, mul_part, &job);
}

static void scale_part(void *arg, int thread, size_t begin, size_t end)
{
  const struct element_job *job = arg;
  (void)thread;
  for (size_t i = begin; i < end; i++) job->to[i] *= job->factor;
}

void REAL_NAME(scale)(struct device *d, size_t n, double factor, struct view x)
{
  if (!n) return;
  struct element_job job = {.to = view_reals(x), .factor = (real)factor};
  pool_run_grain(d->pool, n, grain_of(1), scale_part, &job);
}

struct cap_job {
  real *x, *slope, cap, inverse;
};

/* t = tanh(x / cap); x = cap t; slope = 1 - t^2 */
static void softcap_part(void *arg, int thread, size_t begin, size_t end)
{
  const struct cap_job *job = arg;
  (void)thread;
  for (size_t i = begin; i < end; i++) {
    real t = real_tanh(job->x[i] * job->inverse);
    job->x[i] = t * job->cap;
    if (job->slope) job->slope[i] = real_fma(-t, t, 1);
  }
}

void REAL_NAME(softcap)(struct device *d, size_t n, double cap, struct view x, const struct view *slope)
{
  if (!n) return;
  ASSAY_BUG_IF(!(cap > 0));
  struct cap_job job = {view_reals(x), slope ? view_reals(*slope) : NULL, (real)cap, (real)(1 / cap)};
  pool_run(d->pool, n, softcap_part, &job);
}

static void copy_part(void *arg, int thread, size_t begin, size_t end)
{
  const struct element_job *job = arg;
  (void)thread;
  if (end > begin) memcpy(job->to + begin, job->from + begin, (end - begin) * sizeof(real));
}

void REAL_NAME(copy)(struct device *d, size_t n, struct view to, struct view from)
{
  if (!n) return;
  struct element_job job = {.from = view_reals(from), .to = view_reals(to)};
  pool_run(d->pool, n, copy_part, &job);
}

static void zero_part(void *arg, int thread, size_t begin, size_t end)
{
  const struct element_job *job = arg;
  (void)thread;
  for (size_t i = begin; i < end; i++) job->to[i] = 0;
}

void REAL_NAME(zero)(struct device *d, size_t n, struct view x)
{
  if (!n) return;
  struct element_job job = {.to = view_reals(x)};
  pool_run(d->pool, n, zero_part, &job);
}

/* to[i, :] = from[row[i], :] */
static void gather_part(void *arg, int thread, size_t begin, size_t end)
{
  const struct element_job *job = arg;
  (void)thread;
  for (size_t i = begin; i < end; i++)
    memcpy(job->to + i * job->c, job->from + (size_t)job->row[i] * job->c, job->c * sizeof(real));
}

void REAL_NAME(gather)(struct device *d, int32_t count, const int32_t *row, size_t c, struct view from, struct view to)
{
  if (count <= 0) return;
  struct element_job job = {.from = view_reals(from), .to = view_reals(to), .row = row, .c = c};
  pool_run(d->pool, (size_t)count, gather_part, &job);
}

/* to[row[i], :] = from[i, :] */
static void scatter_part(void *arg, int thread, size_t begin, size_t end)
{
  const struct element_job *job = arg;
  (void)thread;
  for (size_t i = begin; i < end; i++)
    memcpy(job->to + (size_t)job->row[i] * job->c, job->from + i * job->c, job->c * sizeof(real));
}

void REAL_NAME(scatter)(struct device *d, int32_t count, const int32_t *row, size_t c, struct view from, struct view to)
{
  if (count <= 0) return;
  struct element_job job = {.from = view_reals(from), .to = view_reals(to), .row = row, .c = c};
  pool_run(d->pool, (size_t)count, scatter_part, &job);
}
