/* ref/path: where a path's keys, values and gradient slots are, and the steps that attention forward and backward
 * share. */
#ifndef ASSAY_COMPUTE_CPU_REF_PATH_H
#define ASSAY_COMPUTE_CPU_REF_PATH_H

#include "compute/cpu/ref/ref.h"

/* The run that holds a row. */
static inline const struct rows_run *path_run(const struct rows *rows, int32_t row)
{
  int32_t low = 0, high = rows->run_count - 1;
  while (low < high) {
    int32_t middle = low + (high - low + 1) / 2;
    if (rows->runs[middle].row <= row)
      low = middle;
    else
      high = middle - 1;
  }
  return rows->runs + low;
}

static inline int32_t path_position(const struct rows_run *run, int32_t row)
{
  return run->position + (row - run->row);
}

/* First real of KV head `head` of storage block `block`, for K and V alike. */
static inline size_t kv_at(const struct kv *kv, int layer, int32_t block, int head)
{
  size_t reals = (size_t)kv->shape.head_dim * (size_t)kv->shape.block;
  return ((size_t)layer * (size_t)kv->shape.blocks + (size_t)block) * kv->block_reals + (size_t)head * reals;
}

/* K and V of one position: key element d is key[d * kv block], value element d is value[d]. */
static inline real *path_key(const struct kv *kv, int layer, int head, const int32_t *table, int32_t position)
{
  int32_t size = kv->shape.block;
  return (real *)kv->keys + kv_at(kv, layer, table[position / size], head) + position % size;
}

static inline real *path_value(const struct kv *kv, int layer, int head, const int32_t *table, int32_t position)
{
  int32_t size = kv->shape.block;
  return (real *)kv->values + kv_at(kv, layer, table[position / size], head) +
         (size_t)(position % size) * (size_t)kv->shape.head_dim;
}

/* First position that the one at `position` sees. */
static inline int32_t attention_first(int window, int32_t position)
{
  return window > 0 && position - window + 1 > 0 ? position - window + 1 : 0;
}

/* What becomes of a score: its factor, and the cap where there is one. */
struct score_shape {
  real scale, cap, inverse; /* inverse: 1/cap */
};

static inline struct score_shape score_shape_of(const struct attention_shape *shape)
{
  return (struct score_shape){(real)shape->scale, (real)shape->cap, shape->cap > 0 ? (real)(1 / shape->cap) : 0};
}

/* cap tanh(s / cap); slope: its derivative 1 - tanh^2. Both as they are without a cap. */
static inline real score_cap(const struct score_shape *shape, real s, real *slope)
{
  *slope = 1;
  if (!(shape->cap > 0)) return s;
  real t = real_tanh(s * shape->inverse);
  *slope = real_fma(-t, t, 1);
  return t * shape->cap;
}

/* s = (chain_d q[d] k[d]) * scale */
static inline real attention_score(const real *q, const real *key, size_t dim, size_t stride, real scale)
{
  real acc = 0;
  for (size_t i = 0; i < dim; i++) acc = real_fma(q[i], key[i * stride], acc);
  return acc * scale;
}

#endif
