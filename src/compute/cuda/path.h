/* cuda/path: where a path's keys, values and gradient slots are, as kernels find them. */
#ifndef ASSAY_COMPUTE_CUDA_PATH_H
#define ASSAY_COMPUTE_CUDA_PATH_H

#include "compute/cuda/cuda.h"

/* Rows and one layer of KV on the device. */
struct path_args {
  const struct rows_run *runs;
  const struct rows_span *spans; /* NULL where no run has any */
  const int32_t *blocks;
  real *keys, *values; /* of the layer */
  int32_t rows, run_count, slots;
  size_t heads, dim, block, block_reals; /* KV heads; positions per storage block */
};

/* Copies runs, tables and spans to the device; rows 0 where that failed. */
static inline struct path_args path_upload(struct device *d, const struct kv *kv, int layer, const struct rows *rows)
{
  const size_t layer_reals = kv->block_reals * (size_t)kv->shape.blocks;
  struct path_args a = {NULL,
                        NULL,
                        NULL,
                        (real *)kv->keys + (size_t)layer * layer_reals,
                        (real *)kv->values + (size_t)layer * layer_reals,
                        rows->count,
                        rows->run_count,
                        0,
                        (size_t)kv->shape.heads,
                        (size_t)kv->shape.head_dim,
                        (size_t)kv->shape.block,
                        kv->block_reals};
  size_t entries = 0, spans = 0;
  for (int32_t i = 0; i < rows->run_count; i++) {
    const struct rows_run *run = rows->runs + i;
    const size_t table = (size_t)run->table + (size_t)(run->position + run->count - 1) / a.block + 1;
    if (table > entries) entries = table;
    if (run->span_count > 0 && (size_t)(run->span + run->span_count) > spans)
      spans = (size_t)(run->span + run->span_count);
  }
  for (size_t i = 0; i < spans; i++)
    if (rows->spans[i].slot + rows->spans[i].count > a.slots) a.slots = rows->spans[i].slot + rows->spans[i].count;
  a.runs = CUDA_UPLOAD(d, rows->runs, (size_t)rows->run_count);
  a.blocks = CUDA_UPLOAD(d, rows->blocks, entries);
  a.spans = CUDA_UPLOAD(d, rows->spans, spans);
  if (rows->run_count && (!a.runs || !a.blocks || (spans && !a.spans))) a.rows = 0;
  return a;
}

/* The run that holds a row. */
HERE const struct rows_run *path_run(const struct path_args *a, int32_t row)
{
  int32_t low = 0, high = a->run_count - 1;
  while (low < high) {
    int32_t middle = low + (high - low + 1) / 2;
    if (a->runs[middle].row <= row)
      low = middle;
    else
      high = middle - 1;
  }
  return a->runs + low;
}

/* K and V of one position of a run's path: key element i is key[i * block], value element i is value[i]. */
HERE real *path_key(const struct path_args *a, const struct rows_run *run, size_t head, int32_t position)
{
  const size_t at = (size_t)position, storage = (size_t)a->blocks[(size_t)run->table + at / a->block];
  return a->keys + storage * a->block_reals + head * a->dim * a->block + at % a->block;
}
HERE real *path_value(const struct path_args *a, const struct rows_run *run, size_t head, int32_t position)
{
  const size_t at = (size_t)position, storage = (size_t)a->blocks[(size_t)run->table + at / a->block];
  return a->values + storage * a->block_reals + (head * a->block + at % a->block) * a->dim;
}

/* What becomes of a score: its factor, and the cap where there is one. */
struct score_args {
  real scale, cap, inverse; /* inverse: 1/cap */
};

static inline struct score_args score_args_of(const struct attention_shape *shape)
{
  struct score_args a = {(real)shape->scale, (real)shape->cap, shape->cap > 0 ? (real)(1 / shape->cap) : 0};
  return a;
}

/* cap tanh(s / cap); slope: its derivative 1 - tanh^2. Both as they are without a cap. */
HERE real score_cap(const struct score_args *a, real s, real *slope)
{
  *slope = 1;
  if (!(a->cap > 0)) return s;
  const real t = real_tanh(s * a->inverse);
  *slope = real_fma(-t, t, 1);
  return t * a->cap;
}

/* First position that the one at `position` sees. */
HERE int32_t path_first(int window, int32_t position)
{
  return window > 0 && position - window + 1 > 0 ? position - window + 1 : 0;
}

/* chain_d x[d] y[d * stride] from +0 */
HERE real path_chain(const real *x, const real *y, size_t dim, size_t stride)
{
  real sum = 0;
  for (size_t i = 0; i < dim; i++) sum = real_fma(x[i], y[i * stride], sum);
  return sum;
}

#endif
