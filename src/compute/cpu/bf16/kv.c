/* bf16/kv: K and V of rows, rounded, into the storage blocks of their paths, and back. */
#include "compute/cpu/bf16/bf16.h"

struct kv_job {
  const struct kv *kv;
  int layer;
  const struct rows *rows;
  float *k, *v; /* [M, kv_heads * D] */
};

/* The first `count` positions of a block. */
static void kv_copy(const struct kv *kv, int layer, int head, const struct rows_copy *copy)
{
  const size_t dim = (size_t)kv->shape.head_dim, size = (size_t)kv->shape.block, count = (size_t)copy->count;
  const uint32_t *key_from = kv_keys(kv, layer, copy->from, head), *from = kv_values(kv, layer, copy->from, head);
  uint32_t *key_to = kv_keys(kv, layer, copy->to, head), *to = kv_values(kv, layer, copy->to, head);
  for (size_t d = 0; d < dim; d += 2) memcpy(key_to + d / 2 * size, key_from + d / 2 * size, count * sizeof *to);
  memcpy(to, from, count / 2 * dim * sizeof *to);
  for (size_t d = 0; d < dim && count % 2; d++)
    word_set(to + count / 2 * dim + d, 0, word_even(from[count / 2 * dim + d]));
}

/* One thread has a KV head whole: its rows in order, then its copies in order, which may read what the rows wrote. */
static void kv_write_part(void *arg, int thread, size_t begin, size_t end)
{
  const struct kv_job *job = arg;
  const struct kv_shape *shape = &job->kv->shape;
  const size_t dim = (size_t)shape->head_dim, width = (size_t)shape->heads * dim;
  (void)thread;
  for (size_t head = begin; head < end; head++) {
    for (int32_t row = 0; row < job->rows->count; row++) {
      const struct rows_run *run = path_run(job->rows, row);
      const int32_t *table = job->rows->blocks + run->table, position = path_position(run, row);
      uint32_t *key = path_key_words(job->kv, job->layer, (int)head, table, position);
      uint32_t *value = path_value_words(job->kv, job->layer, (int)head, table, position);
      const size_t from = (size_t)row * width + head * dim;
      for (size_t d = 0; d < dim; d++) word_set(key + d / 2 * (size_t)shape->block, d, job->k[from + d]);
      for (size_t d = 0; d < dim; d++) word_set(value + d, (size_t)position, job->v[from + d]);
    }
    for (int32_t i = 0; i < job->rows->copy_count; i++) kv_copy(job->kv, job->layer, (int)head, job->rows->copies + i);
  }
}

void kv_write_bf16(struct device *d, struct kv *kv, int layer, const struct rows *rows, struct view k, struct view v)
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
  const size_t dim = (size_t)shape->head_dim, width = (size_t)shape->heads * dim;
  (void)thread;
  for (size_t row = begin; row < end; row++) {
    const struct rows_run *run = path_run(job->rows, (int32_t)row);
    const int32_t *table = job->rows->blocks + run->table, position = path_position(run, (int32_t)row);
    for (int head = 0; head < shape->heads; head++) {
      const uint32_t *key = path_key_words(job->kv, job->layer, head, table, position);
      const uint32_t *value = path_value_words(job->kv, job->layer, head, table, position);
      const size_t to = row * width + (size_t)head * dim;
      for (size_t d = 0; d < dim; d++) job->k[to + d] = word_half(key[d / 2 * (size_t)shape->block], d);
      for (size_t d = 0; d < dim; d++) job->v[to + d] = word_half(value[d], (size_t)position);
    }
  }
}

void kv_read_bf16(struct device *d, const struct kv *kv, int layer, const struct rows *rows, struct view k,
                  struct view v)
{
  if (rows->count <= 0) return;
  ASSAY_BUG_IF(layer < 0 || layer >= kv->shape.layers);
  struct kv_job job = {kv, layer, rows, view_reals(k), view_reals(v)};
  pool_run(d->pool, (size_t)rows->count, kv_read_part, &job);
}
