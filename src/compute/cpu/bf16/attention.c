/* bf16/attention: causal softmax attention over paths, as ref/attention.c, its two products by blocks of 32 terms. */
#include "compute/cpu/bf16/bf16.h"

struct attention_job {
  const struct attention_shape *shape;
  const struct kv *kv;
  int layer;
  const struct rows *rows;
  const float *q;
  float *o, *stat;
  struct score_shape score;
};

/* What one row and head carries from key block to key block. */
struct attention_state {
  float m, l;
  float *o; /* [D] */
};

/* The scores of a block's visible keys into s, -inf for the others; returns max(m, s). */
static float block_scores(const struct attention_job *job, const float *q, int kv_head, const int32_t *table,
                          int32_t start, int32_t first, int32_t last, float m, float s[KEY_BLOCK])
{
  const size_t dim = (size_t)job->shape->head_dim, step = (size_t)job->kv->shape.block;
  float slope;
  for (int32_t j = 0; j < KEY_BLOCK; j++) {
    s[j] = -REAL_INFINITY;
    if (start + j < first || start + j > last) continue;
    s[j] =
        blocks_by_key(q, path_key_words(job->kv, job->layer, kv_head, table, start + j), dim, step) * job->score.scale;
    s[j] = score_cap(&job->score, s[j], &slope);
    m = s[j] > m ? s[j] : m;
  }
  return m + 0; /* -0 becomes +0, so that the order of comparison does not matter */
}

/* m' = max; f = exp(m - m'); e = exp(s - m'); l = l f + sum16(e); o = o f + the block of bf16(e_j) v_j */
static void block_step(const struct attention_job *job, struct attention_state *state, bool fresh, const float *q,
                       int kv_head, const int32_t *table, int32_t start, int32_t first, int32_t last)
{
  float s[KEY_BLOCK], e[KEY_BLOCK], lane[16] = {0};
  const uint32_t *value[KEY_BLOCK];
  const float m = block_scores(job, q, kv_head, table, start, first, last, state->m, s);
  const float f = fresh ? 0 : real_exp(state->m - m);
  for (int32_t j = 0; j < KEY_BLOCK; j++) {
    const bool visible = start + j >= first && start + j <= last;
    e[j] = visible ? real_exp(s[j] - m) : 0;
    lane[j % 16] += e[j];
    e[j] = bf16_round(e[j]);
    value[j] = visible ? path_value_words(job->kv, job->layer, kv_head, table, start + j) : NULL;
  }
  state->m = m;
  state->l = real_fma(state->l, f, lanes_sum(lane));
  for (int d = 0; d < job->shape->head_dim; d++) {
    float v[KEY_BLOCK];
    for (size_t j = 0; j < KEY_BLOCK; j++) v[j] = value[j] ? word_half(value[j][d], j) : 0;
    state->o[d] = bf16_block(e, v, state->o[d] * f);
  }
}

REF_HOT static void attention_row(const struct attention_job *job, int32_t row, int head)
{
  const struct attention_shape *shape = job->shape;
  const struct rows_run *run = path_run(job->rows, row);
  const size_t dim = (size_t)shape->head_dim, at = (size_t)row * (size_t)shape->heads + (size_t)head;
  const int32_t last = path_position(run, row), first = attention_first(shape->window, last);
  struct attention_state state = {-REAL_INFINITY, 0, job->o + at * dim};
  memset(state.o, 0, dim * sizeof *state.o);
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
  const size_t heads = (size_t)job->shape->heads;
  (void)thread;
  for (size_t item = begin; item < end; item++) attention_row(job, (int32_t)(item / heads), (int)(item % heads));
}

void attention_bf16(struct device *d, const struct attention_shape *shape, const struct kv *kv, int layer,
                    const struct rows *rows, struct view q, struct view o, struct view stat)
{
  if (rows->count <= 0) return;
  ASSAY_BUG_IF(layer < 0 || layer >= kv->shape.layers || shape->heads % shape->kv_heads);
  ASSAY_BUG_IF(shape->kv_heads != kv->shape.heads || shape->head_dim != kv->shape.head_dim);
  struct attention_job job = {
      shape, kv, layer, rows, view_reals(q), view_reals(o), view_reals(stat), score_shape_of(shape)};
  pool_run(d->pool, (size_t)rows->count * (size_t)shape->heads, attention_part, &job);
}
