/* ref/attention: causal softmax attention over paths: the keys of a path in blocks of 32 by absolute position, the
 * softmax state carried from block to block (Milakov and Gimelshein 2018, "Online normalizer calculation for softmax").
 */
#include "compute/cpu/ref/path.h"

struct attention_job {
  const struct attention_shape *shape;
  const struct kv *kv;
  int layer;
  const struct rows *rows;
  const real *q;
  real *o, *stat;
  struct score_shape score;
};

/* What one row and head carries from key block to key block. */
struct attention_state {
  real m, l;
  real *o; /* [D] */
};

/* The scores of a block's visible keys into s, -inf for the others; returns max(m, s). */
static real block_scores(const struct attention_job *job, const real *q, int kv_head, const int32_t *table,
                         int32_t start, int32_t first, int32_t last, real m, real s[KEY_BLOCK])
{
  size_t dim = (size_t)job->shape->head_dim, stride = (size_t)job->kv->shape.block;
  real slope;
  for (int32_t j = 0; j < KEY_BLOCK; j++) {
    s[j] = -REAL_INFINITY;
    if (start + j < first || start + j > last) continue;
    s[j] = attention_score(q, path_key(job->kv, job->layer, kv_head, table, start + j), dim, stride, job->score.scale);
    s[j] = score_cap(&job->score, s[j], &slope);
    m = s[j] > m ? s[j] : m;
  }
  return m + 0; /* -0 becomes +0, so that the order of comparison does not matter */
}

/* m' = max; f = exp(m - m'); e = exp(s - m'); l = l f + sum16(e); o = o f + sum_j e_j v_j */
static void block_step(const struct attention_job *job, struct attention_state *state, bool fresh, const real *q,
                       int kv_head, const int32_t *table, int32_t start, int32_t first, int32_t last)
{
  size_t dim = (size_t)job->shape->head_dim;
  real s[KEY_BLOCK], e[KEY_BLOCK], lane[16] = {0};
  real m = block_scores(job, q, kv_head, table, start, first, last, state->m, s);
  real f = fresh ? 0 : real_exp(state->m - m);
  for (int32_t j = 0; j < KEY_BLOCK; j++) {
    e[j] = start + j < first || start + j > last ? 0 : real_exp(s[j] - m);
    lane[j % 16] += e[j];
  }
  state->m = m;
  state->l = real_fma(state->l, f, lanes_sum(lane));
  for (size_t i = 0; i < dim; i++) state->o[i] *= f;
  for (int32_t j = 0; j < KEY_BLOCK; j++) {
    bool visible = start + j >= first && start + j <= last;
    const real *v = visible ? path_value(job->kv, job->layer, kv_head, table, start + j) : NULL;
    for (size_t i = 0; i < dim; i++) state->o[i] = real_fma(e[j], v ? v[i] : 0, state->o[i]);
  }
}

REF_HOT static void attention_row(const struct attention_job *job, int32_t row, int head)
{
  const struct attention_shape *shape = job->shape;
  const struct rows_run *run = path_run(job->rows, row);
  size_t dim = (size_t)shape->head_dim, at = (size_t)row * (size_t)shape->heads + (size_t)head;
  int32_t last = path_position(run, row), first = attention_first(shape->window, last);
  struct attention_state state = {-REAL_INFINITY, 0, job->o + at * dim};
  for (size_t i = 0; i < dim; i++) state.o[i] = 0;
  for (int32_t block = first / KEY_BLOCK; block <= last / KEY_BLOCK; block++)
    block_step(job, &state, block == first / KEY_BLOCK, job->q + at * dim, head / (shape->heads / shape->kv_heads),
               job->rows->blocks + run->table, block * KEY_BLOCK, first, last);
  for (size_t i = 0; i < dim; i++) state.o[i] = state.o[i] / state.l;
  job->stat[2 * at] = state.m;
  job->stat[2 * at + 1] = state.l;
}

static void attention_part(void *arg, int thread, size_t begin, size_t end)
{
  const struct attention_job *job = arg;
  size_t heads = (size_t)job->shape->heads;
  (void)thread;
  for (size_t item = begin; item < end; item++) attention_row(job, (int32_t)(item / heads), (int)(item % heads));
}

void REAL_NAME(attention)(struct device *d, const struct attention_shape *shape, const struct kv *kv, int layer,
                          const struct rows *rows, struct view q, struct view o, struct view stat)
{
  if (rows->count <= 0) return;
  ASSAY_BUG_IF(layer < 0 || layer >= kv->shape.layers || shape->heads % shape->kv_heads);
  ASSAY_BUG_IF(shape->kv_heads != kv->shape.heads || shape->head_dim != kv->shape.head_dim);
  struct attention_job job = {
      shape, kv, layer, rows, view_reals(q), view_reals(o), view_reals(stat), score_shape_of(shape)};
  pool_run(d->pool, (size_t)rows->count * (size_t)shape->heads, attention_part, &job);
}
