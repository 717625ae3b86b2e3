/* ref/gemm: y = x W^T + b, and its backward: dx = dy W, dW = dy^T x, db = sum dy. */
#include "compute/cpu/quant.h"
#include "compute/cpu/ref/ref.h"

/* ---- forward: y[m, n] = chain_k x[m, k] W[n, k], then + b[n] ---- */

struct gemm_job {
  const struct weight *weight;
  const real *x, *w, *b; /* w: NULL where the weight is in blocks; b: NULL or [N] */
  real *y;
  size_t n, k, panels;
};

/* One row by some of one panel: 16 outputs, each a chain over k that goes on. */
REF_HOT static void gemm_panel(size_t k, const real *x, const real *panel, real acc[PANEL])
{
  for (size_t j = 0; j < k; j++)
    for (size_t i = 0; i < PANEL; i++) acc[i] = real_fma(x[j], panel[j * PANEL + i], acc[i]);
}

/* The same for a panel in blocks. */
static void gemm_blocks(const struct weight *w, size_t panel, const real *x, real acc[PANEL])
{
  for (size_t k = 0; k < w->k; k += QUANT_STEP) {
    float steps[QUANT_STEP * PANEL];
    real wide[QUANT_STEP * PANEL];
    quant_steps(w, panel, k, QUANT_STEP, steps);
    for (size_t i = 0; i < QUANT_STEP * PANEL; i++) wide[i] = (real)steps[i];
    gemm_panel(QUANT_STEP, x + k, wide, acc);
  }
}

static void gemm_part(void *arg, int thread, size_t begin, size_t end)
{
  const struct gemm_job *job = arg;
  (void)thread;
  for (size_t item = begin; item < end; item++) {
    size_t m = item / job->panels, first = item % job->panels * PANEL, width = size_min(PANEL, job->n - first);
    real acc[PANEL] = {0};
    if (job->w)
      gemm_panel(job->k, job->x + m * job->k, job->w + first * job->k, acc);
    else
      gemm_blocks(job->weight, first / PANEL, job->x + m * job->k, acc);
    for (size_t i = 0; i < width; i++) job->y[m * job->n + first + i] = job->b ? acc[i] + job->b[first + i] : acc[i];
  }
}

void REAL_NAME(gemm)(struct device *d, const struct weight *w, const struct weight *b, int32_t m, struct view x,
                     struct view y)
{
  if (m <= 0) return;
  struct gemm_job job = {w,
                         view_reals(x),
                         weight_reals(w, WEIGHT_MASTER),
                         b ? weight_reals(b, WEIGHT_MASTER) : NULL,
                         view_reals(y),
                         w->n,
                         w->k,
                         w->padded / PANEL};
  pool_run(d->pool, (size_t)m * job.panels, gemm_part, &job);
}

/* ---- backward: dx[m, k] = chain_n dy[m, n] W[n, k] ---- */

struct gemm_dx_job {
  const struct weight *weight;
  const real *dy, *w; /* w: NULL where the weight is in blocks */
  real *dx;
  size_t n, k, tiles; /* tiles of 16 k */
  bool accumulate;
};

REF_HOT static void gemm_dx_tile(size_t n, size_t k, size_t width, const real *dy, const real *w, real acc[PANEL])
{
  for (size_t j = 0; j < n; j++) {
    const real *row = w + j / PANEL * k * PANEL + j % PANEL; /* W[j, k0 ..], PANEL apart */
    for (size_t i = 0; i < width; i++) acc[i] = real_fma(dy[j], row[i * PANEL], acc[i]);
  }
}

/* The same for 16 inputs from k on of a weight in blocks. */
static void gemm_dx_blocks(const struct weight *w, size_t k, const real *dy, real acc[PANEL])
{
  for (size_t n = 0; n < w->n; n += PANEL) {
    float steps[QUANT_STEP * PANEL];
    real wide[QUANT_STEP * PANEL];
    quant_steps(w, n / PANEL, k, QUANT_STEP, steps);
    for (size_t i = 0; i < QUANT_STEP * PANEL; i++) wide[i] = (real)steps[i];
    gemm_dx_tile(size_min(PANEL, w->n - n), PANEL, PANEL, dy + n, wide, acc);
  }
}

static void gemm_dx_part(void *arg, int thread, size_t begin, size_t end)
{
  const struct gemm_dx_job *job = arg;
  (void)thread;
  for (size_t item = begin; item < end; item++) {
    size_t m = item / job->tiles, first = item % job->tiles * PANEL, width = size_min(PANEL, job->k - first);
    real *dx = job->dx + m * job->k + first, acc[PANEL] = {0};
    for (size_t i = 0; job->accumulate && i < width; i++) acc[i] = dx[i];
    if (job->w)
      gemm_dx_tile(job->n, job->k, width, job->dy + m * job->n, job->w + first * PANEL, acc);
    else
      gemm_dx_blocks(job->weight, first, job->dy + m * job->n, acc);
    for (size_t i = 0; i < width; i++) dx[i] = acc[i];
  }
}

void REAL_NAME(gemm_dx)(struct device *d, const struct weight *w, int32_t m, struct view dy, struct view dx,
                        bool accumulate)
{
  if (m <= 0) return;
  struct gemm_dx_job job = {w,    view_reals(dy), weight_reals(w, WEIGHT_MASTER), view_reals(dx),
                            w->n, w->k,           (w->k + PANEL - 1) / PANEL,     accumulate};
  pool_run(d->pool, (size_t)m * job.tiles, gemm_dx_part, &job);
}

/* ---- backward: grad(W)[n, k] = chain_m dy[m, n] x[m, k], grad(b)[n] = chain_m of additions of dy[m, n] ---- */

struct gemm_dw_job {
  const real *dy, *x;
  real *dw;
  size_t m, n, k;
};

/* The 16 outputs of a panel at one k. */
REF_HOT static void gemm_dw_column(const struct gemm_dw_job *job, size_t first, size_t width, size_t at, real *dw)
{
  for (size_t m = 0; m < job->m; m++)
    for (size_t i = 0; i < width; i++)
      dw[i] = real_fma(job->dy[m * job->n + first + i], job->x[m * job->k + at], dw[i]);
}

static void gemm_dw_part(void *arg, int thread, size_t begin, size_t end)
{
  const struct gemm_dw_job *job = arg;
  (void)thread;
  for (size_t item = begin; item < end; item++) {
    size_t first = item / job->k * PANEL;
    gemm_dw_column(job, first, size_min(PANEL, job->n - first), item % job->k, job->dw + item * PANEL);
  }
}

static void gemm_db_part(void *arg, int thread, size_t begin, size_t end)
{
  const struct gemm_dw_job *job = arg;
  (void)thread;
  for (size_t m = 0; m < job->m; m++)
    for (size_t n = begin; n < end; n++) job->dw[n] += job->dy[m * job->n + n];
}

void REAL_NAME(gemm_dw)(struct device *d, struct weight *w, struct weight *b, int32_t m, struct view dy, struct view x)
{
  if (m <= 0) return;
  struct gemm_dw_job job = {view_reals(dy), view_reals(x), weight_reals(w, WEIGHT_GRAD), (size_t)m, w->n, w->k};
  if (job.dw) pool_run(d->pool, w->padded / PANEL * w->k, gemm_dw_part, &job);
  job.dw = b ? weight_reals(b, WEIGHT_GRAD) : NULL;
  if (job.dw) pool_run(d->pool, w->n, gemm_db_part, &job);
}
