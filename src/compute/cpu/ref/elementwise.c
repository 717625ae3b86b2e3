/* ref/elementwise: add, scale, copy, zero, and rows gathered and scattered. */
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
  struct element_job job = {view_reals(from), view_reals(to), row, c, 0};
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
  struct element_job job = {view_reals(from), view_reals(to), row, c, 0};
  pool_run(d->pool, (size_t)count, scatter_part, &job);
}
