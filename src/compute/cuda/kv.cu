/* cuda/kv: K and V of rows into the storage blocks of their paths, and back. */
#include "compute/cuda/path.h"

struct kv_args {
  struct path_args path;
  real *k, *v; /* [M, kv_heads * D] */
  const struct rows_copy *copies;
  int32_t copy_count;
};

/* A thread a number of a row: its index in k and v, and the element of its place. */
HERE bool kv_place(const struct kv_args *a, bool half, size_t *element, struct path_place *place)
{
  const size_t width = a->path.heads * a->path.dim, i = index_here(), row = i / width;
  if (row >= (size_t)a->path.rows) return false;
  const struct rows_run *run = path_run(&a->path, (int32_t)row);
  const int32_t position = run->position + ((int32_t)row - run->row);
  *element = i % a->path.dim;
  *place = path_place_of(&a->path, half, run, i % width / a->path.dim, position);
  return true;
}

HERE void write_row(const struct kv_args *a, bool half)
{
  size_t element;
  struct path_place place;
  if (kv_place(a, half, &element, &place))
    path_set(&a->path, half, &place, element, a->k[index_here()], a->v[index_here()]);
}
KERNEL(kv_write_rows, struct kv_args) { write_row(&a, false); }
KERNEL(kv_write_rows_half, struct kv_args) { write_row(&a, true); }

HERE void read_row(const struct kv_args *a, bool half)
{
  size_t element;
  struct path_place place;
  if (!kv_place(a, half, &element, &place)) return;
  a->k[index_here()] = path_key(&a->path, half, &place, element);
  a->v[index_here()] = path_value(&a->path, half, &place, element);
}
KERNEL(kv_read_rows, struct kv_args) { read_row(&a, false); }
KERNEL(kv_read_rows_half, struct kv_args) { read_row(&a, true); }

/* A thread has one element of one position of all blocks and takes the copies in order, which may read what earlier
   ones wrote. */
HERE void copy_blocks(const struct kv_args *a, bool half)
{
  const size_t i = index_here(), element = i % a->path.dim, position = i / a->path.dim % a->path.block,
               head = i / a->path.dim / a->path.block;
  if (head >= a->path.heads) return;
  for (int32_t c = 0; c < a->copy_count; c++) {
    if (position >= (size_t)a->copies[c].count) continue;
    const struct path_place to = path_place_in(&a->path, half, (size_t)a->copies[c].to, head, position);
    const struct path_place from = path_place_in(&a->path, half, (size_t)a->copies[c].from, head, position);
    path_set(&a->path, half, &to, element, path_key(&a->path, half, &from, element),
             path_value(&a->path, half, &from, element));
  }
}
KERNEL(kv_copy_blocks, struct kv_args) { copy_blocks(&a, false); }
KERNEL(kv_copy_blocks_half, struct kv_args) { copy_blocks(&a, true); }

void CUDA_NAME(kv_write)(struct device *d, struct kv *kv, int layer, const struct rows *rows, struct view k,
                         struct view v)
{
  if (rows->count <= 0 && rows->copy_count <= 0) return;
  ASSAY_BUG_IF(layer < 0 || layer >= kv->shape.layers);
  struct kv_args a = {path_upload(d, kv, layer, rows), NULL, NULL, NULL, rows->copy_count};
  const size_t width = a.path.heads * a.path.dim;
  if (a.path.rows > 0) {
    a.k = view_reals(k);
    a.v = view_reals(v);
    LAUNCH_TYPE(d, kv_write_rows, blocks_for((size_t)a.path.rows * width), 1, TEAM, a);
  }
  if (rows->copy_count > 0) a.copies = CUDA_UPLOAD(d, rows->copies, (size_t)rows->copy_count);
  if (a.copies) LAUNCH_TYPE(d, kv_copy_blocks, blocks_for(a.path.block * width), 1, TEAM, a);
}

void CUDA_NAME(kv_read)(struct device *d, const struct kv *kv, int layer, const struct rows *rows, struct view k,
                        struct view v)
{
  if (rows->count <= 0) return;
  ASSAY_BUG_IF(layer < 0 || layer >= kv->shape.layers);
  struct kv_args a = {path_upload(d, kv, layer, rows), view_reals(k), view_reals(v), NULL, 0};
  const size_t numbers = (size_t)a.path.rows * a.path.heads * a.path.dim;
  if (numbers) LAUNCH_TYPE(d, kv_read_rows, blocks_for(numbers), 1, TEAM, a);
}
