/* cuda/reduce: numbers of a whole weight in logical order: a thread a logical row; rows are joined on the host. */
#include "compute/cuda/cuda.h"

enum { ROW_BATCH = 4096 };

struct reduce_args {
  const real *part;
  size_t first, rows, k;
  double *sum;
  int64_t *bad;
};

/* Per row a chain over K of fma(x, x, acc) in f64. */
KERNEL(square_rows, struct reduce_args)
{
  size_t row = index_here();
  if (row >= a.rows) return;
  const real *x = a.part + panel_here(a.k, a.first + row, 0);
  double sum = 0;
  for (size_t k = 0; k < a.k; k++) sum = double_fma((double)x[k * PANEL], (double)x[k * PANEL], sum);
  a.sum[row] = sum;
}

double CUDA_NAME(sum_squares)(struct device *d, const struct weight *w, enum weight_part part)
{
  double total = 0, sum[ROW_BATCH];
  struct reduce_args a = {weight_reals(w, part), 0, 0, w->k, (double *)CUDA_NAME(cuda_room)(d, sizeof sum), NULL};
  for (; a.sum && a.first < w->n; a.first += ROW_BATCH) {
    a.rows = size_min(ROW_BATCH, w->n - a.first);
    LAUNCH(d, square_rows, blocks_for(a.rows), 1, TEAM, a);
    cuda_fetch(d, sum, a.sum, a.rows * sizeof *sum);
    for (size_t i = 0; i < a.rows; i++) total += sum[i];
  }
  return total;
}

KERNEL(finite_rows, struct reduce_args)
{
  size_t row = index_here();
  if (row >= a.rows) return;
  const real *x = a.part + panel_here(a.k, a.first + row, 0);
  a.bad[row] = -1;
  for (size_t k = 0; k < a.k && a.bad[row] < 0; k++)
    if ((bits_of(x[k * PANEL]) & 0x7f800000u) == 0x7f800000u) a.bad[row] = (int64_t)k;
}

int64_t CUDA_NAME(find_not_finite)(struct device *d, const struct weight *w, enum weight_part part)
{
  int64_t bad[ROW_BATCH];
  struct reduce_args a = {weight_reals(w, part), 0, 0, w->k, NULL, (int64_t *)CUDA_NAME(cuda_room)(d, sizeof bad)};
  for (; a.bad && a.first < w->n; a.first += ROW_BATCH) {
    a.rows = size_min(ROW_BATCH, w->n - a.first);
    LAUNCH(d, finite_rows, blocks_for(a.rows), 1, TEAM, a);
    cuda_fetch(d, bad, a.bad, a.rows * sizeof *bad);
    for (size_t i = 0; i < a.rows; i++)
      if (bad[i] >= 0) return (int64_t)((a.first + i) * w->k) + bad[i];
  }
  return -1;
}
