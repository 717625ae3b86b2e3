/* ref/reduce: numbers of a whole weight, in logical order, a batch of rows at a time so that nothing is allocated. */
#include "compute/cpu/ref/ref.h"

enum { ROW_BATCH = 1024 };

struct reduce_job {
  const struct weight *w;
  enum weight_part part;
  size_t first;           /* row of the batch's first */
  double sum[ROW_BATCH];  /* of squares, by row */
  int64_t bad[ROW_BATCH]; /* first k that is not finite, or -1 */
};

/* Per row a chain over K of fma(x, x, acc) in f64. */
static void square_part(void *arg, int thread, size_t begin, size_t end)
{
  struct reduce_job *job = arg;
  const real *reals = weight_reals(job->w, job->part);
  (void)thread;
  for (size_t i = begin; i < end; i++) {
    const real *row = reals + panel_at(job->w, job->first + i, 0);
    double acc = 0;
    for (size_t k = 0; k < job->w->k; k++) acc = math_fma((double)row[k * PANEL], (double)row[k * PANEL], acc);
    job->sum[i] = acc;
  }
}

double REAL_NAME(sum_squares)(struct device *d, const struct weight *w, enum weight_part part)
{
  struct reduce_job job;
  double total = 0;
  job.w = w;
  job.part = part;
  for (job.first = 0; job.first < w->n; job.first += ROW_BATCH) {
    size_t rows = size_min(ROW_BATCH, w->n - job.first);
    pool_run(d->pool, rows, square_part, &job);
    for (size_t i = 0; i < rows; i++) total += job.sum[i];
  }
  return total;
}

static void finite_part(void *arg, int thread, size_t begin, size_t end)
{
  struct reduce_job *job = arg;
  const real *reals = weight_reals(job->w, job->part);
  (void)thread;
  for (size_t i = begin; i < end; i++) {
    const real *row = reals + panel_at(job->w, job->first + i, 0);
    job->bad[i] = -1;
    for (size_t k = 0; k < job->w->k && job->bad[i] < 0; k++)
      if (!math_is_finite((double)row[k * PANEL])) job->bad[i] = (int64_t)k;
  }
}

int64_t REAL_NAME(find_not_finite)(struct device *d, const struct weight *w, enum weight_part part)
{
  struct reduce_job job;
  job.w = w;
  job.part = part;
  for (job.first = 0; job.first < w->n; job.first += ROW_BATCH) {
    size_t rows = size_min(ROW_BATCH, w->n - job.first);
    pool_run(d->pool, rows, finite_part, &job);
    for (size_t i = 0; i < rows; i++)
      if (job.bad[i] >= 0) return (int64_t)((job.first + i) * w->k) + job.bad[i];
  }
  return -1;
}
