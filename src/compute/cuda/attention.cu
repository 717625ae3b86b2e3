/* cuda/attention: causal softmax attention over paths in f32 (bf16: attention_bf16.cu). A warp has one row and head:
 * lane j the score of key j of the block of 32, lane d the outputs d, d + 32, ...; the softmax state goes from block to
 * block, ascending (Milakov and Gimelshein 2018). */
#include "compute/cuda/path.h"

enum { DIM_EACH = 8, MOST_DIM = DIM_EACH * WARP };

struct attention_args {
  struct path_args path;
  const real *q;
  real *o, *stat;
  size_t heads;
  int window;
  struct score_args score;
};

struct attention_state {
  real m, l, o[DIM_EACH];
};

/* m' = max; f = exp(m - m'); e = exp(s - m'); l = l f + sum16(e); o = o f + sum_j e_j v_j */
HERE void attention_block(const struct attention_args *a, const struct rows_run *run, size_t head, const real *q,
                          int32_t start, int32_t first, int32_t last, bool fresh,
                          struct attention_state *state)
{
  const int lane = thread_here() % WARP;
  const int32_t key = start + lane;
  const bool visible = key >= first && key <= last;
  const size_t dim = a->path.dim;
  real s = -REAL_INFINITY, slope;
  if (visible) {
    const struct path_place place = path_place_of(&a->path, false, run, head, key);
    real sum = 0;
    for (size_t i = 0; i < dim; i++) sum = real_fma(q[i], path_key(&a->path, false, &place, i), sum);
    s = score_cap(&a->score, sum * a->score.scale, &slope);
  }
  const real m = lanes_max(s, state->m), f = fresh ? 0 : real_exp(state->m - m), e = visible ? real_exp(s - m) : 0;
  state->m = m;
  state->l = real_fma(state->l, f, lanes_sum(e));
  for (int i = 0; i < DIM_EACH; i++) state->o[i] = state->o[i] * f;
  for (int j = 0; j < KEY_BLOCK; j++) {
    const real weight = lane_from(e, j);
    const bool seen = start + j >= first && start + j <= last;
    const struct path_place place = path_place_of(&a->path, false, run, head, seen ? start + j : first);
    for (int i = 0; i < DIM_EACH; i++) {
      const size_t at = (size_t)(lane + i * WARP);
      if (at < dim) state->o[i] = real_fma(weight, seen ? path_value(&a->path, false, &place, at) : 0, state->o[i]);
    }
  }
}

KERNEL_TEAM(attention_rows, struct attention_args, TEAM)
{
  const size_t item = block_x() * (TEAM / WARP) + (size_t)(thread_here() / WARP), row = item / a.heads;
  if (row >= (size_t)a.path.rows) return;
  const size_t head = item % a.heads / (a.heads / a.path.heads), dim = a.path.dim;
  const struct rows_run *run = path_run(&a.path, (int32_t)row);
  const int32_t last = run->position + ((int32_t)row - run->row), first = path_first(a.window, last);
  const int lane = thread_here() % WARP;
  struct attention_state state = {-REAL_INFINITY, 0, {0}};
  for (int32_t block = first / KEY_BLOCK; block <= last / KEY_BLOCK; block++)
    attention_block(&a, run, head, a.q + item * dim, block * KEY_BLOCK, first, last, block == first / KEY_BLOCK,
                    &state);
  for (int i = 0; i < DIM_EACH; i++)
    if ((size_t)(lane + i * WARP) < dim)
      a.o[item * dim + (size_t)(lane + i * WARP)] = real_divide(state.o[i], state.l);
  if (lane) return;
  a.stat[2 * item] = state.m;
  a.stat[2 * item + 1] = state.l;
}

void CUDA_NAME(attention)(struct device *d, const struct attention_shape *shape, const struct kv *kv, int layer,
                          const struct rows *rows, struct view q, struct view o, struct view stat)
{
  if (rows->count <= 0) return;
  ASSAY_BUG_IF(layer < 0 || layer >= kv->shape.layers || shape->heads % shape->kv_heads);
  ASSAY_BUG_IF(shape->kv_heads != kv->shape.heads || shape->head_dim != kv->shape.head_dim);
  ASSAY_BUG_IF(shape->head_dim > MOST_DIM);
  struct attention_args a = {path_upload(d, kv, layer, rows), view_reals(q), view_reals(o), view_reals(stat),
                             (size_t)shape->heads, shape->window, score_args_of(shape)};
  const size_t items = (size_t)a.path.rows * a.heads;
  if (items) LAUNCH_TEAM(d, attention_rows, (items + TEAM / WARP - 1) / (TEAM / WARP), 1, TEAM, a);
}
