/* cuda/kv: K and V of rows into the storage blocks of their paths, and back. */
#include "compute/cuda/path.h"

struct kv_args {
  struct path_args path;
  real *k, *v; /* [M, kv_heads * D] */
  const struct rows_copy *copies;
  int32_t copy_count;
};

/* A thread a number of a row. */
HERE bool kv_places(const struct kv_args *a, size_t *at, real **key, real **value)
{
  const size_t width = a->path.heads * a->path.dim, i = index_here(), row = i / width;
  if (row >= (size_t)a->path.rows) return false;
  const struct rows_run *run = path_run(&a->path, (int32_t)row);
  const int32_t position = run->position + ((int32_t)row - run->row);
  const size_t head = i % width / a->path.dim, element = i % a->path.dim;
  *at = i;
  *key = path_key(&a->path, run, head, position) + element * a->path.block;
  *value = path_value(&a->path, run, head, position) + element;
  return true;
}

KERNEL(kv_write_rows, struct kv_args)
{
  size_t at;
  real *key, *value;
  if (!kv_places(&a, &at, &key, &value)) return;
  *key = a.k[at];
  *value = a.v[at];
}

/* A thread has one place of all blocks and takes the copies in order, which may read what earlier ones wrote. */
KERNEL(kv_copy_blocks, struct kv_args)
{
  const size_t i = index_here(), of_head = i % (a.path.dim * a.path.block);
  if (i >= a.path.block_reals) return;
  for (int32_t c = 0; c < a.copy_count; c++) {
    const size_t to = (size_t)a.copies[c].to * a.path.block_reals + i,
                 from = (size_t)a.copies[c].from * a.path.block_reals + i, count = (size_t)a.copies[c].count;
    if (of_head % a.path.block < count) a.path.keys[to] = a.path.keys[from];
    if (of_head / a.path.dim < count) a.path.values[to] = a.path.values[from];
  }
}

void CUDA_NAME(kv_write)(struct device *d, struct kv *kv, int layer, const struct rows *rows, struct view k,
                         struct view v)
{
  if (rows->count <= 0 && rows->copy_count <= 0) return;
  ASSAY_BUG_IF(layer < 0 || layer >= kv->shape.layers);
  struct kv_args a = {path_upload(d, kv, layer, rows), NULL, NULL, NULL, rows->copy_count};
  if (a.path.rows > 0) {
    a.k = view_reals(k);
    a.v = view_reals(v);
    LAUNCH(d, kv_write_rows, blocks_for((size_t)a.path.rows * a.path.heads * a.path.dim), 1, TEAM, a);
  }
  if (rows->copy_count > 0) a.copies = CUDA_UPLOAD(d, rows->copies, (size_t)rows->copy_count);
  if (a.copies) LAUNCH(d, kv_copy_blocks, blocks_for(a.path.block_reals), 1, TEAM, a);
}

KERNEL(kv_read_rows, struct kv_args)
{
  size_t at;
  real *key, *value;
  if (!kv_places(&a, &at, &key, &value)) return;
  a.k[at] = *key;
  a.v[at] = *value;
}

void CUDA_NAME(kv_read)(struct device *d, const struct kv *kv, int layer, const struct rows *rows, struct view k,
                        struct view v)
{
  if (rows->count <= 0) return;
  ASSAY_BUG_IF(layer < 0 || layer >= kv->shape.layers);
  struct kv_args a = {path_upload(d, kv, layer, rows), view_reals(k), view_reals(v), NULL, 0};
  if (a.path.rows > 0) LAUNCH(d, kv_read_rows, blocks_for((size_t)a.path.rows * a.path.heads * a.path.dim), 1, TEAM, a);
}
