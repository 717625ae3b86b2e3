/* ref/kv: K and V of rows into the storage blocks of their paths, and back. */
#include "compute/cpu/ref/path.h"

struct kv_job {
  const struct kv *kv;
  int layer;
  const struct rows *rows;
  real *k, *v; /* [M, kv_heads * D] */
};

static void kv_copy(const struct kv *kv, int layer, size_t head, const struct rows_copy *copy)
{
  size_t dim = (size_t)kv->shape.head_dim, size = (size_t)kv->shape.block;
  size_t to = kv_at(kv, layer, copy->to, (int)head), from = kv_at(kv, layer, copy->from, (int)head);
  real *keys = kv->keys, *values = kv->values;
  for (size_t i = 0; i < dim; i++)
    for (size_t j = 0; j < (size_t)copy->count; j++) keys[to + i * size + j] = keys[from + i * size + j];
  for (size_t i = 0; i < dim * (size_t)copy->count; i++) values[to + i] = values[from + i];
}

/* One thread has a KV head whole: its rows in order, then its copies in order, which may read what the rows wrote. */
static void kv_write_part(void *arg, int thread, size_t begin, size_t end)
{
  const struct kv_job *job = arg;
  const struct kv_shape *shape = &job->kv->shape;
  size_t dim = (size_t)shape->head_dim, width = (size_t)shape->heads * dim;
  (void)thread;
  for (size_t head = begin; head < end; head++) {
    for (int32_t row = 0; row < job->rows->count; row++) {
      const struct rows_run *run = path_run(job->rows, row);
      const int32_t *table = job->rows->blocks + run->table;
      int32_t position = path_position(run, row);
      real *key = path_key(job->kv, job->layer, (int)head, table, position);
      real *value = path_value(job->kv, job->layer, (int)head, table, position);
      size_t from = (size_t)row * width + head * dim;
      for (size_t i = 0; i < dim; i++) key[i * (size_t)shape->block] = job->k[from + i];
      for (size_t i = 0; i < dim; i++) value[i] = job->v[from + i];
    }
    for (int32_t i = 0; i < job->rows->copy_count; i++) kv_copy(job->kv, job->layer, head, job->rows->copies + i);
  }
}

void REAL_NAME(kv_write)(struct device *d, struct kv *kv, int layer, const struct rows *rows, struct view k,
                         struct view v)
{
  if (rows->count <= 0 && rows->copy_count <= 0) return;
  ASSAY_BUG_IF(layer < 0 || layer >= kv->shape.layers);
  struct kv_job job = {kv, layer, rows, rows->count > 0 ? view_reals(k) : NULL, rows->count > 0 ? view_reals(v) : NULL};
  pool_run(d->pool, (size_t)kv->shape.heads, kv_write_part, &job);
}

static void kv_read_part(void *arg, int thread, size_t begin, size_t end)
{
  const struct kv_job *job = arg;
  const struct kv_shape *shape = &job->kv->shape;
  size_t dim = (size_t)shape->head_dim, width = (size_t)shape->heads * dim;
  (void)thread;
  for (size_t row = begin; row < end; row++) {
    const struct rows_run *run = path_run(job->rows, (int32_t)row);
    const int32_t *table = job->rows->blocks + run->table;
    int32_t position = path_position(run, (int32_t)row);
    for (int head = 0; head < shape->heads; head++) {
      const real *key = path_key(job->kv, job->layer, head, table, position);
      const real *value = path_value(job->kv, job->layer, head, table, position);
      size_t to = row * width + (size_t)head * dim;
      for (size_t i = 0; i < dim; i++) job->k[to + i] = key[i * (size_t)shape->block];
      for (size_t i = 0; i < dim; i++) job->v[to + i] = value[i];
    }
  }
}

void REAL_NAME(kv_read)(struct device *d, const struct kv *kv, int layer, const struct rows *rows, struct view k,
                        struct view v)
{
  if (rows->count <= 0) return;
  ASSAY_BUG_IF(layer < 0 || layer >= kv->shape.layers);
  struct kv_job job = {kv, layer, rows, view_reals(k), view_reals(v)};
  pool_run(d->pool, (size_t)rows->count, kv_read_part, &job);
}
