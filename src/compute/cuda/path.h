/* cuda/path: where a path's keys, values and gradient slots are, as kernels find them. `half`: the compute type is
 * bf16; kernels are compiled for either. */
#ifndef ASSAY_COMPUTE_CUDA_PATH_H
#define ASSAY_COMPUTE_CUDA_PATH_H

#include "compute/cuda/cuda.h"

/* Rows and one layer of KV on the device. */
struct path_args {
  const struct rows_run *runs;
  const struct rows_span *spans; /* NULL where no run has any */
  const int32_t *blocks;
  void *keys, *values; /* of the layer: reals, or words */
  int32_t rows, run_count, slots;
  size_t heads, dim, block; /* KV heads; positions per storage block */
};

/* Reals (or words) of one KV head's part of a storage block. */
EVERYWHERE size_t path_key_size(const struct path_args *a, bool half)
{
  return half ? block_round(a->dim) / 2 * a->block : a->dim * a->block;
}
EVERYWHERE size_t path_value_size(const struct path_args *a, bool half)
{
  return half ? a->dim * (a->block / 2) : a->dim * a->block;
}

/* Copies runs, tables and spans to the device; rows 0 where that failed. */
static inline struct path_args path_upload(struct device *d, const struct kv *kv, int layer, const struct rows *rows)
{
  struct path_args a = {NULL,
                        NULL,
                        NULL,
                        kv->keys,
                        kv->values,
                        rows->count,
                        rows->run_count,
                        0,
                        (size_t)kv->shape.heads,
                        (size_t)kv->shape.head_dim,
                        (size_t)kv->shape.block};
  const size_t before = (size_t)layer * (size_t)kv->shape.blocks * a.heads; /* KV heads' parts of the layers before */
  const bool half = d->type == COMPUTE_BF16;
  a.keys = (char *)kv->keys + before * path_key_size(&a, half) * sizeof(real);
  a.values = (char *)kv->values + before * path_value_size(&a, half) * sizeof(real);
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

/* K and V of one position of a storage block, or of a run's path. */
struct path_place {
  size_t key, value, position; /* where element 0 is, in reals or words */
};

HERE struct path_place path_place_in(const struct path_args *a, bool half, size_t storage, size_t head, size_t position)
{
  const size_t part = storage * a->heads + head;
  struct path_place place;
  place.key = part * path_key_size(a, half) + position;
  place.value = part * path_value_size(a, half) + (half ? position / 2 : position) * a->dim;
  place.position = position;
  return place;
}
HERE struct path_place path_place_of(const struct path_args *a, bool half, const struct rows_run *run, size_t head,
                                     int32_t position)
{
  const size_t at = (size_t)position, storage = (size_t)a->blocks[(size_t)run->table + at / a->block];
  return path_place_in(a, half, storage, head, at % a->block);
}

HERE real path_key(const struct path_args *a, bool half, const struct path_place *at, size_t i)
{
  if (half) return word_half(((const uint32_t *)a->keys)[at->key + i / 2 * a->block], i);
  return ((const real *)a->keys)[at->key + i * a->block];
}
HERE real path_value(const struct path_args *a, bool half, const struct path_place *at, size_t i)
{
  if (half) return word_half(((const uint32_t *)a->values)[at->value + i], at->position);
  return ((const real *)a->values)[at->value + i];
}
HERE void path_set(const struct path_args *a, bool half, const struct path_place *at, size_t i, real key, real value)
{
  if (half) {
    half_set((uint32_t *)a->keys, 2 * (at->key + i / 2 * a->block) + i % 2, key);
    half_set((uint32_t *)a->values, 2 * (at->value + i) + at->position % 2, value);
    return;
  }
  ((real *)a->keys)[at->key + i * a->block] = key;
  ((real *)a->values)[at->value + i] = value;
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

/* The position of a run's path that has this slot, or -1. */
HERE int32_t path_slot_position(const struct path_args *path, const struct rows_run *run, int32_t slot)
{
  for (int32_t i = 0; i < run->span_count; i++) {
    const struct rows_span *span = path->spans + run->span + i;
    if (slot >= span->slot && slot < span->slot + span->count) return span->position + (slot - span->slot);
  }
  return -1;
}

#endif
