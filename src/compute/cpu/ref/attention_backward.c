/* ref/attention_backward: the backward of attention.c (Dao et al. 2022, "FlashAttention", appendix B.2): P again from
 * the saved (m, l), then dS = P (dP - Delta) scale,  dq = dS k,  dk = dS^T q,  dv = P^T dout. */
#include "compute/cpu/ref/path.h"

struct backward_job {
  const struct attention_shape *shape;
  const struct kv *kv;
  int layer;
  const struct rows *rows;
  const real *q, *o, *stat, *dout;
  real *dq, *dk, *dv;
  struct score_shape score;
};

/* One row and head: its own dq whole, and its terms of the dk and dv of the keys it sees. */
REF_HOT static void backward_row(const struct backward_job *job, const struct rows_run *run, int32_t row, int head,
                                 int kv_head)
{
  const struct attention_shape *shape = job->shape;
  size_t dim = (size_t)shape->head_dim, at = (size_t)row * (size_t)shape->heads + (size_t)head;
  size_t stride = (size_t)job->kv->shape.block, width = (size_t)shape->kv_heads * dim;
  const real *q = job->q + at * dim, *o = job->o + at * dim, *dout = job->dout + at * dim;
  const int32_t *table = job->rows->blocks + run->table;
  const struct rows_span *span = job->rows->spans + run->span;
  real *dq = job->dq + at * dim, m = job->stat[2 * at], l = job->stat[2 * at + 1], lane[16] = {0};
  for (size_t i = 0; i < dim; i++) dq[i] = 0;
  for (size_t i = 0; i < dim; i++) lane[i % 16] = real_fma(dout[i], o[i], lane[i % 16]);
  real delta = lanes_sum(lane);
  int32_t last = path_position(run, row);
  for (int32_t j = attention_first(shape->window, last); j <= last; j++) {
    while (j >= span->position + span->count) span++;
    const real *key = path_key(job->kv, job->layer, kv_head, table, j);
    const real *value = path_value(job->kv, job->layer, kv_head, table, j);
    real *dk = job->dk + (size_t)(span->slot + j - span->position) * width + (size_t)kv_head * dim;
    real *dv = job->dv + (size_t)(span->slot + j - span->position) * width + (size_t)kv_head * dim;
    real slope, score = score_cap(&job->score, attention_score(q, key, dim, stride, job->score.scale), &slope);
    real p = real_exp(score - m) / l, dp = 0;
    for (size_t i = 0; i < dim; i++) dp = real_fma(dout[i], value[i], dp);
    real ds = ((p * (dp - delta)) * slope) * job->score.scale;
    for (size_t i = 0; i < dim; i++) {
      dq[i] = real_fma(ds, key[i * stride], dq[i]);
      dk[i] = real_fma(ds, q[i], dk[i]);
      dv[i] = real_fma(p, dout[i], dv[i]);
    }
  }
}

/* One thread has a KV head whole: rows ascending, in a row its query heads ascending, as the chains of dk and dv want
 * it. */
static void backward_part(void *arg, int thread, size_t begin, size_t end)
{
  const struct backward_job *job = arg;
  int group = job->shape->heads / job->shape->kv_heads;
  (void)thread;
  for (size_t kv_head = begin; kv_head < end; kv_head++)
    for (int32_t i = 0; i < job->rows->run_count; i++) {
      const struct rows_run *run = job->rows->runs + i;
      for (int32_t row = run->row; row < run->row + run->count; row++)
        for (int g = 0; g < group; g++) backward_row(job, run, row, (int)kv_head * group + g, (int)kv_head);
    }
}

void REAL_NAME(attention_backward)(struct device *d, const struct attention_shape *shape, const struct kv *kv,
                                   int layer, const struct rows *rows, struct view q, struct view o, struct view stat,
                                   struct view dout, struct view dq, struct kv_grad_view grad)
{
  if (rows->count <= 0) return;
  ASSAY_BUG_IF(layer < 0 || layer >= kv->shape.layers || shape->heads % shape->kv_heads);
  ASSAY_BUG_IF(shape->kv_heads != kv->shape.heads || shape->head_dim != kv->shape.head_dim);
  for (int32_t i = 0; i < rows->run_count; i++) ASSAY_BUG_IF(rows->runs[i].span_count < 1);
  struct backward_job job = {shape,
                             kv,
                             layer,
                             rows,
                             view_reals(q),
                             view_reals(o),
                             view_reals(stat),
                             view_reals(dout),
                             view_reals(dq),
                             view_reals(grad.dk),
                             view_reals(grad.dv),
                             score_shape_of(shape)};
  pool_run(d->pool, (size_t)shape->kv_heads, backward_part, &job);
}
