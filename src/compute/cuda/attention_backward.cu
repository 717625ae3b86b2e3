/* cuda/attention_backward: the backward of attention.cu (Dao et al. 2022, appendix B.2) in f32, in two passes (bf16:
 * attention_backward_bf16.cu). First a warp a row and head gives Delta and dq; then a team has 32 slots of one KV head
 * and walks the rows that see them, in order, which are the chains of dk and dv. */
#include "compute/cuda/path.h"

enum {
  DIM_EACH = 8,
  MOST_DIM = DIM_EACH * WARP,
  PAIRS = 16 /* rows and heads at a time, a warp each */,
  SLOT_TEAM = PAIRS * WARP,
  KEEP = MOST_DIM * KEY_BLOCK / SLOT_TEAM
};

struct backward_args {
  struct path_args path;
  const real *q, *o, *stat, *dout;
  real *dq, *dk, *dv, *delta; /* delta: [M, H] */
  size_t heads;
  int window;
  struct score_args score;
};

/* P = exp(s - m) / l; dS = (P (dP - Delta) [slope]) scale, of one visible pair. */
HERE real pair_gradient(const struct backward_args *a, const struct path_place *place, size_t item, real delta, real *p)
{
  const size_t dim = a->path.dim;
  const real *q = a->q + item * dim, *dout = a->dout + item * dim;
  real s = 0, dp = 0, slope;
  for (size_t i = 0; i < dim; i++) s = real_fma(q[i], path_key(&a->path, false, place, i), s);
  for (size_t i = 0; i < dim; i++) dp = real_fma(dout[i], path_value(&a->path, false, place, i), dp);
  s = score_cap(&a->score, s * a->score.scale, &slope);
  *p = real_divide(real_exp(s - a->stat[2 * item]), a->stat[2 * item + 1]);
  const real ds = *p * (dp - delta);
  return (a->score.cap > 0 ? ds * slope : ds) * a->score.scale;
}

/* Delta = sum16 of fma(dout, o), the same for all lanes. */
HERE real pair_delta(const struct backward_args *a, size_t item)
{
  const size_t dim = a->path.dim;
  real sum = 0;
  for (size_t i = (size_t)(thread_here() % 16); i < dim; i += 16)
    sum = real_fma(a->dout[item * dim + i], a->o[item * dim + i], sum);
  return half_sum(sum);
}

/* ---- dq_i[d] = sum_{j ascending, visible} dS_ij k_j[d] from +0 ---- */

/* One block of keys. */
HERE void queries_block(const struct backward_args *a, const struct rows_run *run, size_t head, size_t item,
                        int32_t start, int32_t first, int32_t last, real delta, real dq[DIM_EACH])
{
  const int lane = thread_here() % WARP;
  const int32_t own = start + lane;
  real ds = 0, p;
  if (own >= first && own <= last) {
    const struct path_place place = path_place_of(&a->path, false, run, head, own);
    ds = pair_gradient(a, &place, item, delta, &p);
  }
  for (int j = 0; j < KEY_BLOCK; j++) {
    const real term = lane_from(ds, j);
    if (start + j < first || start + j > last) continue;
    const struct path_place place = path_place_of(&a->path, false, run, head, start + j);
    for (int i = 0; i < DIM_EACH; i++) {
      const size_t at = (size_t)(lane + i * WARP);
      if (at < a->path.dim) dq[i] = real_fma(term, path_key(&a->path, false, &place, at), dq[i]);
    }
  }
}

KERNEL_TEAM(backward_queries, struct backward_args, TEAM)
{
  const size_t item = block_x() * (TEAM / WARP) + (size_t)(thread_here() / WARP), row = item / a.heads;
  if (row >= (size_t)a.path.rows) return;
  const size_t head = item % a.heads / (a.heads / a.path.heads), dim = a.path.dim;
  const struct rows_run *run = path_run(&a.path, (int32_t)row);
  const int32_t last = run->position + ((int32_t)row - run->row), first = path_first(a.window, last);
  const int lane = thread_here() % WARP;
  const real delta = pair_delta(&a, item);
  real dq[DIM_EACH] = {0};
  if (!lane) a.delta[item] = delta;
  for (int32_t start = first / KEY_BLOCK * KEY_BLOCK; start <= last; start += KEY_BLOCK)
    queries_block(&a, run, head, item, start, first, last, delta, dq);
  for (int i = 0; i < DIM_EACH; i++)
    if ((size_t)(lane + i * WARP) < dim) a.dq[item * dim + (size_t)(lane + i * WARP)] = dq[i];
}

/* ---- dk_j[d] = sum_i dS_ij q_i[d], dv_j[d] = sum_i P_ij dout_i[d]: rows ascending, in a row the heads ---- */

/* What the warps leave for the team: of each pair and slot dS, P and whether the row sees the key. */
struct pairs_shared {
  real ds[PAIRS][KEY_BLOCK], p[PAIRS][KEY_BLOCK];
  bool seen[PAIRS][KEY_BLOCK];
};

/* A thread's elements of dk and dv. */
struct slot_sums {
  real dk[KEEP], dv[KEEP];
};

/* Pair i of a run: row i / G, query head i % G of the KV head. */
HERE size_t pair_item(const struct backward_args *a, const struct rows_run *run, size_t kv_head, size_t pair)
{
  const size_t group = a->heads / a->path.heads;
  return ((size_t)run->row + pair / group) * a->heads + kv_head * group + pair % group;
}

/* One warp's pair into the shared rows, for its lane's slot. */
HERE void pair_share(const struct backward_args *a, const struct rows_run *run, size_t kv_head, size_t pair,
                     int32_t position, struct pairs_shared *shared)
{
  const int warp = thread_here() / WARP, lane = thread_here() % WARP;
  const size_t row = pair / (a->heads / a->path.heads);
  const int32_t at = run->position + (int32_t)row;
  const bool seen = row < (size_t)run->count && position >= 0 && position <= at && position >= path_first(a->window, at);
  real ds = 0, p = 0;
  if (seen) {
    const struct path_place place = path_place_of(&a->path, false, run, kv_head, position);
    const size_t item = pair_item(a, run, kv_head, pair);
    ds = pair_gradient(a, &place, item, a->delta[item], &p);
  }
  shared->seen[warp][lane] = seen;
  shared->ds[warp][lane] = ds;
  shared->p[warp][lane] = p;
}

/* The thread's elements of one shared pair. */
HERE void pair_add(const struct backward_args *a, const struct pairs_shared *shared, int pair, size_t item,
                   struct slot_sums *sums)
{
  const size_t dim = a->path.dim;
  UNROLL
  for (int i = 0; i < KEEP; i++) {
    const size_t element = (size_t)(thread_here() + i * SLOT_TEAM), key = element / dim, at = element % dim;
    if (key >= KEY_BLOCK || !shared->seen[pair][key]) continue;
    sums->dk[i] = real_fma(shared->ds[pair][key], a->q[item * dim + at], sums->dk[i]);
    sums->dv[i] = real_fma(shared->p[pair][key], a->dout[item * dim + at], sums->dv[i]);
  }
}

HERE void slots_run(const struct backward_args *a, const struct rows_run *run, size_t kv_head, int32_t slot,
                    struct pairs_shared *shared, struct slot_sums *sums)
{
  const int32_t position = path_slot_position(&a->path, run, slot);
  const size_t pairs = (size_t)run->count * (a->heads / a->path.heads);
  for (size_t begin = 0; begin < pairs; begin += PAIRS) {
    pair_share(a, run, kv_head, begin + (size_t)(thread_here() / WARP), position, shared);
    team_wait();
    for (int i = 0; i < PAIRS && begin + (size_t)i < pairs; i++)
      pair_add(a, shared, i, pair_item(a, run, kv_head, begin + (size_t)i), sums);
    team_wait();
  }
}

KERNEL_TEAM(backward_slots, struct backward_args, SLOT_TEAM)
{
  SHARED struct pairs_shared shared;
  const size_t kv_head = block_y(), dim = a.path.dim, width = a.path.heads * dim;
  const int32_t first_slot = (int32_t)block_x() * KEY_BLOCK, slot = first_slot + thread_here() % WARP;
  struct slot_sums sums;
  UNROLL
  for (int i = 0; i < KEEP; i++) {
    const size_t element = (size_t)(thread_here() + i * SLOT_TEAM), of = (size_t)first_slot + element / dim;
    const bool there = element < KEY_BLOCK * dim && of < (size_t)a.path.slots;
    sums.dk[i] = there ? a.dk[of * width + kv_head * dim + element % dim] : 0;
    sums.dv[i] = there ? a.dv[of * width + kv_head * dim + element % dim] : 0;
  }
  for (int32_t r = 0; r < a.path.run_count; r++) slots_run(&a, a.path.runs + r, kv_head, slot, &shared, &sums);
  UNROLL
  for (int i = 0; i < KEEP; i++) {
    const size_t element = (size_t)(thread_here() + i * SLOT_TEAM), of = (size_t)first_slot + element / dim;
    if (element >= KEY_BLOCK * dim || of >= (size_t)a.path.slots) continue;
    a.dk[of * width + kv_head * dim + element % dim] = sums.dk[i];
    a.dv[of * width + kv_head * dim + element % dim] = sums.dv[i];
  }
}

void CUDA_NAME(attention_backward)(struct device *d, const struct attention_shape *shape, const struct kv *kv,
                                   int layer, const struct rows *rows, struct view q, struct view o, struct view stat,
                                   struct view dout, struct view dq, struct kv_grad_view grad)
{
  if (rows->count <= 0) return;
  ASSAY_BUG_IF(layer < 0 || layer >= kv->shape.layers || shape->heads % shape->kv_heads);
  ASSAY_BUG_IF(shape->kv_heads != kv->shape.heads || shape->head_dim != kv->shape.head_dim);
  ASSAY_BUG_IF(shape->head_dim > MOST_DIM);
  for (int32_t i = 0; i < rows->run_count; i++) ASSAY_BUG_IF(rows->runs[i].span_count < 1);
  struct backward_args a = {path_upload(d, kv, layer, rows), view_reals(q), view_reals(o), view_reals(stat),
                            view_reals(dout), view_reals(dq), view_reals(grad.dk), view_reals(grad.dv), NULL,
                            (size_t)shape->heads, shape->window, score_args_of(shape)};
  const size_t items = (size_t)a.path.rows * a.heads;
  a.delta = (real *)CUDA_NAME(cuda_room)(d, items * sizeof(real));
  if (!a.delta) return;
  LAUNCH_TEAM(d, backward_queries, (items + TEAM / WARP - 1) / (TEAM / WARP), 1, TEAM, a);
  LAUNCH_TEAM(d, backward_slots, ((size_t)a.path.slots + KEY_BLOCK - 1) / KEY_BLOCK, a.path.heads, SLOT_TEAM, a);
}
