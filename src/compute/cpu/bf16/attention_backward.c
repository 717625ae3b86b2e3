/* bf16/attention_backward: as ref/attention_backward.c, every product by blocks of 32 terms. The unit of work is a
 * square of 32 positions by 32 keys of one query head: P and dS of it are rounded, then give one block to dq of each
 * row and one to dk and dv of each key. */
#include "compute/cpu/bf16/bf16.h"

struct backward_job {
  const struct attention_shape *shape;
  const struct kv *kv;
  int layer;
  const struct rows *rows;
  const float *q, *o, *stat, *dout;
  float *dq, *dk, *dv;
  struct score_shape score;
};

/* Rows of a run at positions 32 b + first .. 32 b + end - 1, with one query head, against keys start .. start + 31. */
struct square {
  const struct rows_run *run;
  int32_t position, first, end; /* position = 32 b */
  int head, kv_head;
  int32_t start;
  float delta[KEY_BLOCK];
  float p[KEY_BLOCK][KEY_BLOCK], ds[KEY_BLOCK][KEY_BLOCK]; /* [row][key], rounded; +0 where unseen */
};

/* [M, H] index of a row of the square. */
static size_t square_pair(const struct backward_job *job, const struct square *s, int32_t t)
{
  const int32_t row = s->run->row + (s->position + t - s->run->position);
  return (size_t)row * (size_t)job->shape->heads + (size_t)s->head;
}

static bool square_sees(const struct backward_job *job, const struct square *s, int32_t t, int32_t j)
{
  const int32_t position = s->position + t, key = s->start + j;
  return t >= s->first && t < s->end && key <= position && key >= attention_first(job->shape->window, position);
}

/* P = exp(s - m) / l; dS = (P (dP - Delta)) scale */
REF_HOT static void square_weights(const struct backward_job *job, struct square *s)
{
  const size_t dim = (size_t)job->shape->head_dim, step = (size_t)job->kv->shape.block;
  const int32_t *table = job->rows->blocks + s->run->table;
  memset(s->p, 0, sizeof s->p);
  memset(s->ds, 0, sizeof s->ds);
  for (int32_t t = s->first; t < s->end; t++)
    for (int32_t j = 0; j < KEY_BLOCK; j++) {
      if (!square_sees(job, s, t, j)) continue;
      const size_t at = square_pair(job, s, t);
      const uint32_t *key = path_key_words(job->kv, job->layer, s->kv_head, table, s->start + j);
      const uint32_t *value = path_value_words(job->kv, job->layer, s->kv_head, table, s->start + j);
      float slope;
      const float raw = blocks_by_key(job->q + at * dim, key, dim, step) * job->score.scale;
      const float score = score_cap(&job->score, raw, &slope);
      const float p = real_exp(score - job->stat[2 * at]) / job->stat[2 * at + 1];
      const float dp = blocks_by_value(job->dout + at * dim, value, dim, j);
      s->p[t][j] = bf16_round(p);
      s->ds[t][j] = bf16_round(((p * (dp - s->delta[t])) * slope) * job->score.scale);
    }
}

/* dq of each row that sees a key of the square */
REF_HOT static void square_dq(const struct backward_job *job, const struct square *s)
{
  const size_t dim = (size_t)job->shape->head_dim, step = (size_t)job->kv->shape.block;
  const int32_t *table = job->rows->blocks + s->run->table;
  for (int32_t t = s->first; t < s->end; t++) {
    const uint32_t *key[KEY_BLOCK];
    bool any = false;
    for (int32_t j = 0; j < KEY_BLOCK; j++) {
      const bool sees = square_sees(job, s, t, j);
      key[j] = sees ? path_key_words(job->kv, job->layer, s->kv_head, table, s->start + j) : NULL;
      any = any || sees;
    }
    float *dq = job->dq + square_pair(job, s, t) * dim;
    for (size_t d = 0; d < dim && any; d++) {
      float k[KEY_BLOCK];
      for (size_t j = 0; j < KEY_BLOCK; j++) k[j] = key[j] ? word_half(key[j][d / 2 * step], d) : 0;
      dq[d] = bf16_block(s->ds[t], k, dq[d]);
    }
  }
}

/* One block of the dk, or dv, of key j: weights [row][key] by the rows' vectors, [M, H, D]. */
static void square_column(const struct backward_job *job, const struct square *s, int32_t j,
                          const float weight[KEY_BLOCK][KEY_BLOCK], const float *from, float *to)
{
  const size_t dim = (size_t)job->shape->head_dim;
  float a[KEY_BLOCK], b[KEY_BLOCK];
  for (int32_t t = 0; t < KEY_BLOCK; t++) a[t] = weight[t][j];
  for (size_t d = 0; d < dim; d++) {
    for (int32_t t = 0; t < KEY_BLOCK; t++)
      b[t] = square_sees(job, s, t, j) ? bf16_round(from[square_pair(job, s, t) * dim + d]) : 0;
    to[d] = bf16_block(a, b, to[d]);
  }
}

REF_HOT static void square_dkv(const struct backward_job *job, const struct square *s)
{
  const size_t dim = (size_t)job->shape->head_dim, width = (size_t)job->shape->kv_heads * dim;
  const struct rows_span *span = job->rows->spans + s->run->span;
  for (int32_t j = 0; j < KEY_BLOCK; j++) {
    bool any = false;
    for (int32_t t = s->first; t < s->end; t++) any = any || square_sees(job, s, t, j);
    if (!any) continue;
    while (s->start + j >= span->position + span->count) span++;
    const size_t to = (size_t)(span->slot + s->start + j - span->position) * width + (size_t)s->kv_head * dim;
    square_column(job, s, j, s->ds, job->q, job->dk + to);
    square_column(job, s, j, s->p, job->dout, job->dv + to);
  }
}

/* All keys of the rows of one block of positions, for one query head. */
static void backward_rows(const struct backward_job *job, struct square *s)
{
  const size_t dim = (size_t)job->shape->head_dim;
  for (int32_t t = s->first; t < s->end; t++) {
    const size_t at = square_pair(job, s, t) * dim;
    float lane[16] = {0};
    for (size_t i = 0; i < dim; i++) lane[i % 16] = real_fma(job->dout[at + i], job->o[at + i], lane[i % 16]);
    s->delta[t] = lanes_sum(lane);
    memset(job->dq + at, 0, dim * sizeof *job->dq);
  }
  const int32_t low = attention_first(job->shape->window, s->position + s->first) / KEY_BLOCK * KEY_BLOCK;
  for (s->start = low; s->start < s->position + s->end; s->start += KEY_BLOCK) {
    square_weights(job, s);
    square_dq(job, s);
    square_dkv(job, s);
  }
}

/* One thread has a KV head whole: runs in order, blocks of positions ascending, query heads ascending. */
static void backward_part(void *arg, int thread, size_t begin, size_t end)
{
  const struct backward_job *job = arg;
  const int group = job->shape->heads / job->shape->kv_heads;
  (void)thread;
  for (size_t kv_head = begin; kv_head < end; kv_head++)
    for (int32_t i = 0; i < job->rows->run_count; i++) {
      const struct rows_run *run = job->rows->runs + i;
      const int32_t run_end = run->position + run->count;
      for (int32_t at = run->position / KEY_BLOCK * KEY_BLOCK; at < run_end; at += KEY_BLOCK)
        for (int g = 0; g < group; g++) {
          struct square s = {.run = run, .position = at, .kv_head = (int)kv_head, .head = (int)kv_head * group + g};
          s.first = run->position > at ? run->position - at : 0;
          s.end = run_end - at < KEY_BLOCK ? run_end - at : KEY_BLOCK;
          backward_rows(job, &s);
        }
    }
}

void attention_backward_bf16(struct device *d, const struct attention_shape *shape, const struct kv *kv, int layer,
                             const struct rows *rows, struct view q, struct view o, struct view stat, struct view dout,
                             struct view dq, struct kv_grad_view grad)
{
  if (rows->count <= 0) return;
  ASSAY_BUG_IF(layer < 0 || layer >= kv->shape.layers || shape->heads % shape->kv_heads);
  ASSAY_BUG_IF(shape->kv_heads != kv->shape.heads || shape->head_dim != kv->shape.head_dim);
  for (int32_t i = 0; i < rows->run_count; i++) ASSAY_BUG_IF(rows->runs[i].span_count < 1);
  struct backward_job job = {.shape = shape,
                             .kv = kv,
                             .layer = layer,
                             .rows = rows,
                             .q = view_reals(q),
                             .o = view_reals(o),
                             .stat = view_reals(stat),
                             .dout = view_reals(dout),
                             .dq = view_reals(dq),
                             .dk = view_reals(grad.dk),
                             .dv = view_reals(grad.dv),
                             .score = score_shape_of(shape)};
  pool_run(d->pool, (size_t)shape->kv_heads, backward_part, &job);
}
