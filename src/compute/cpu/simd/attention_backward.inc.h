/* compute/cpu/simd/attention_backward: P again from (m, l), then dS, and three products with it: dq over keys
 * ascending, dk and dv over (row, head) pairs ascending. A thread has a KV head, or some panels of its D, for all rows,
 * as the chains of dk and dv want it. K and V of a block are transposed once per group of pairs, so that every product
 * has its lanes along memory. Pairs and keys that do not see each other take no part in any chain: what a whole tile of
 * pairs or keys has in common is one tile, the rest is walked one by one.
 */
#ifndef ASSAY_COMPUTE_CPU_SIMD_ATTENTION_BACKWARD_INC_H
#define ASSAY_COMPUTE_CPU_SIMD_ATTENTION_BACKWARD_INC_H

#include "compute/cpu/simd/attention.inc.h"

enum { GROUP_PAIRS = 96, GROUP_DIM = 256, EDGE_KEYS = 4 };

/* A group's buffers, in the thread's scratch. */
struct backward {
  float m[GROUP_PAIRS], l[GROUP_PAIRS], delta[GROUP_PAIRS];
  size_t lane, lanes; /* the part of D whose gradients are this thread's */
  int32_t position[GROUP_PAIRS];
  struct seen seen[GROUP_PAIRS];
  float p[GROUP_PAIRS * KEY_BLOCK], ds[GROUP_PAIRS * KEY_BLOCK];               /* scores and dP first */
  float q[GROUP_PAIRS * A_STRIDE], dout[GROUP_PAIRS * A_STRIDE];               /* by pack_pairs */
  float dq[GROUP_PAIRS * GROUP_DIM];                                           /* [pair][D] */
  float key_rows[KEY_BLOCK * GROUP_DIM], value_columns[KEY_BLOCK * GROUP_DIM]; /* [32][D], [D][32] */
  float copy[2 * KEY_BLOCK * GROUP_DIM];
};
_Static_assert(sizeof(struct backward) <= 768 * 1024, "fits in a thread's scratch");

/* ---- a block's weights ---- */

/* Scores and dP of all pairs against a block, and the block's transposes. */
static void backward_scores(const struct attention_call *c, const struct unit *u, struct backward *w, int32_t start,
                            int32_t low, int32_t high)
{
  const int32_t width = piece_width(c->kv);
  const size_t pairs = unit_pairs(u), dim = c->dim;
  for (int32_t at = 0; at < KEY_BLOCK; at += width) {
    if (start + at > high || start + at + width <= low) continue;
    const struct piece piece = piece_load(c, u, start + at, low, high, w->copy);
    for (size_t d = 0; d < dim; d += PANEL)
      for (size_t j = 0; j < (size_t)width; j += PANEL) {
        if (d >= w->lane && d < w->lane + w->lanes)
          f16_transpose(piece.key + d * piece.key_step + j, piece.key_step, w->key_rows + ((size_t)at + j) * dim + d,
                        dim);
        f16_transpose(piece.value + j * dim + d, dim, w->value_columns + d * KEY_BLOCK + (size_t)at + j, KEY_BLOCK);
      }
    pairs_by_keys(w->q, pairs, dim, piece.key, piece.key_step, (size_t)width, w->p + at, 0);
    pairs_by_keys(w->dout, pairs, dim, w->value_columns + at, KEY_BLOCK, (size_t)width, w->ds + at, 0);
  }
}

/* P = exp(s scale - m) / l, its score capped; dS = (P (dP - Delta)) slope scale. Lanes that are not seen hold nonsense
 * and are never read. */
static void backward_weights(struct backward *w, size_t pairs, const struct score_shape *score)
{
  for (size_t i = 0; i < pairs; i++) {
    if (w->seen[i].from >= w->seen[i].end) continue;
    for (size_t j = 0; j < KEY_BLOCK; j += 16) {
      float *p = w->p + i * KEY_BLOCK + j, *ds = w->ds + i * KEY_BLOCK + j;
      struct f16 slope;
      const struct f16 s = f16_score_slope(f16_load(p), score, &slope), e = f16_exp(f16_sub(s, f16_set(w->m[i])));
      const struct f16 x = f16_div(e, f16_set(w->l[i]));
      f16_store(p, x);
      f16_store(ds, f16_through_score(f16_mul(x, f16_sub(f16_load(ds), f16_set(w->delta[i]))), score, slope));
    }
  }
}

/* ---- the three products ---- */

/* dq of pairs first .. first+pairs-1 from keys range.from .. range.end-1. */
static void backward_dq(const struct attention_call *c, struct backward *w, size_t first, size_t pairs,
                        struct seen range)
{
  if (range.from >= range.end) return;
  const struct tile t = {.a = w->ds + first * KEY_BLOCK + range.from,
                         .b = w->key_rows + (size_t)range.from * c->dim + w->lane,
                         .c = w->dq + first * c->dim + w->lane,
                         .b_step = c->dim,
                         .c_row = c->dim,
                         .depth = (size_t)(range.end - range.from),
                         .load = true};
  tile_across(t, &tiles_PAIRS, tile_lone_PAIRS, pairs, w->lanes / PANEL);
}

/* dq of a tile of pairs: together what all see, pair by pair what is before and behind. */
static void backward_dq_pairs(const struct attention_call *c, struct backward *w, size_t first, size_t pairs)
{
  struct seen common = {0, KEY_BLOCK};
  for (size_t i = first; i < first + pairs; i++) common = seen_both(common, w->seen[i]);
  if (common.from >= common.end) common.from = common.end = KEY_BLOCK;
  for (size_t i = first; i < first + pairs; i++)
    backward_dq(c, w, i, 1, seen_both(w->seen[i], (struct seen){0, common.from}));
  backward_dq(c, w, first, pairs, common);
  for (size_t i = first; i < first + pairs; i++)
    backward_dq(c, w, i, 1, seen_both(w->seen[i], (struct seen){common.end, KEY_BLOCK}));
}

/* dk and dv of keys first .. first+keys-1 of the block from pairs range.from .. range.end-1. at: of the first key's row
 * in both. */
static void backward_dkv(const struct attention_call *c, const struct backward *w, size_t first, size_t keys,
                         struct seen range, size_t at)
{
  if (range.from >= range.end) return;
  const size_t pair = (size_t)range.from;
  struct tile t = {.b_step = A_STRIDE,
                   .c_row = (size_t)c->shape->kv_heads * c->dim,
                   .depth = (size_t)(range.end - range.from),
                   .load = true};
  t.a = w->ds + pair * KEY_BLOCK + first;
  t.b = w->q + pair * A_STRIDE + w->lane;
  t.c = c->dk + at + w->lane;
  tile_across(t, &tiles_KEYS, tile_lone_KEYS, keys, w->lanes / PANEL);
  t.a = w->p + pair * KEY_BLOCK + first;
  t.b = w->dout + pair * A_STRIDE + w->lane;
  t.c = c->dv + at + w->lane;
  tile_across(t, &tiles_KEYS, tile_lone_KEYS, keys, w->lanes / PANEL);
}

/* dk and dv of a tile of keys: from the pairs that see them all together, key by key from those before and behind. */
static void backward_dkv_keys(const struct attention_call *c, const struct backward *w, int32_t pairs, size_t first,
                              size_t keys, size_t at)
{
  const size_t row = (size_t)c->shape->kv_heads * c->dim;
  struct seen by[TILE_ROWS], common = {0, pairs};
  for (size_t j = 0; j < keys; j++) {
    const int32_t key = (int32_t)(first + j);
    /* The pairs that see a key follow each other, for a run's positions ascend. */
    by[j] = (struct seen){0, pairs};
    while (by[j].from < pairs && !(w->seen[by[j].from].from <= key && key < w->seen[by[j].from].end)) by[j].from++;
    while (by[j].end > by[j].from && !(w->seen[by[j].end - 1].from <= key && key < w->seen[by[j].end - 1].end))
      by[j].end--;
    common = seen_both(common, by[j]);
  }
  if (common.from >= common.end) common.from = common.end = pairs;
  for (size_t j = 0; j < keys; j++)
    backward_dkv(c, w, first + j, 1, seen_both(by[j], (struct seen){0, common.from}), at + j * row);
  backward_dkv(c, w, first, keys, common, at);
  for (size_t j = 0; j < keys; j++)
    backward_dkv(c, w, first + j, 1, seen_both(by[j], (struct seen){common.end, pairs}), at + j * row);
}

static void backward_block(const struct attention_call *c, const struct unit *u, struct backward *w, int32_t start,
                           int32_t low, int32_t high)
{
  const size_t pairs = unit_pairs(u), row = (size_t)c->shape->kv_heads * c->dim;
  bool whole = true;
  for (size_t i = 0; i < pairs; i++) {
    w->seen[i] = seen_of(c, w->position[i], start);
    whole = whole && w->seen[i].from == 0 && w->seen[i].end == KEY_BLOCK;
  }
  const int32_t most =
      whole ? (int32_t)TILE_ROWS : EDGE_KEYS; /* where the mask is a staircase, fewer keys have more in common */
  backward_scores(c, u, w, start, low, high);
  backward_weights(w, pairs, &c->score);
  for (size_t i = 0; i < pairs; i += TILE_ROWS) backward_dq_pairs(c, w, i, size_min(TILE_ROWS, pairs - i));
  /* Keys low .. high of the block, span by span: the slots of a span follow each other. */
  const struct rows_span *span = c->rows->spans + u->run->span;
  const int32_t end = high + 1 < start + KEY_BLOCK ? high + 1 : start + KEY_BLOCK;
  for (int32_t j = low > start ? low : start; j < end; span++) {
    const int32_t span_end = span->position + span->count < end ? span->position + span->count : end;
    for (int32_t keys; j < span_end; j += keys) {
      keys = span_end - j < most ? span_end - j : most;
      const size_t slot = (size_t)(span->slot + j - span->position);
      backward_dkv_keys(c, w, (int32_t)pairs, (size_t)(j - start), (size_t)keys,
                        slot * row + (size_t)u->kv_head * c->dim);
    }
  }
}

/* ---- a group of pairs ---- */

static void backward_unit(const struct attention_call *c, const struct unit *u, float *scratch)
{
  struct backward *w = (struct backward *)(void *)scratch;
  const size_t pairs = unit_pairs(u), dim = c->dim;
  const int32_t low = attention_first(c->shape->window, pair_position(u, 0)), high = pair_position(u, pairs - 1);
  for (size_t i = 0; i < pairs; i++) {
    const size_t at = pair_at(c, u, i);
    struct f16 lane = f16_zero();
    for (size_t d = 0; d < dim; d += 16) {
      f16_store(w->dq + i * dim + d, f16_zero());
      lane = f16_fma(f16_load(c->dout + at * dim + d), f16_load(c->o_in + at * dim + d), lane);
    }
    w->position[i] = pair_position(u, i);
    w->delta[i] = f16_sum(lane);
    w->m[i] = c->stat_in[2 * at];
    w->l[i] = c->stat_in[2 * at + 1];
  }
  pack_pairs(c, u, c->q, w->q);
  pack_pairs(c, u, c->dout, w->dout);
  for (int32_t start = low / KEY_BLOCK * KEY_BLOCK; start <= high; start += KEY_BLOCK)
    backward_block(c, u, w, start, low, high);
  for (size_t i = 0; i < pairs; i++)
    memcpy(c->dq + pair_at(c, u, i) * dim + w->lane, w->dq + i * dim + w->lane, w->lanes * sizeof *w->dq);
}

static void backward_head(const struct attention_call *c, struct backward *w, size_t kv_head, size_t lane,
                          size_t lane_end)
{
  size_t count = 0;
  w->lane = lane;
  w->lanes = lane_end - lane;
  for (int32_t i = 0; i < c->rows->run_count && lane < lane_end; i++)
    units_of_run(c, c->rows->runs + i, (int)kv_head, GROUP_PAIRS, 0, &count, backward_unit, (float *)(void *)w);
}

/* KV heads are dealt out evenly. Those left over are split by panels of D: each part computes the weights anew, two
 * products of five. */
static void backward_part(void *arg, int thread, size_t begin, size_t end)
{
  const struct attention_call *c = arg;
  struct backward *w = thread_scratch(c->device, thread);
  const size_t heads = (size_t)c->shape->kv_heads, threads = (size_t)pool_threads(c->device->pool),
               panels = c->dim / PANEL;
  const size_t each = heads / threads, left = heads % threads, parts = left ? size_min(threads / left, panels) : 0;
  for (size_t item = begin; item < end; item++) {
    for (size_t head = item * each; head < (item + 1) * each; head++) backward_head(c, w, head, 0, c->dim);
    if (item >= left * parts) continue;
    const size_t part = item % parts;
    backward_head(c, w, each * threads + item / parts, panels * part / parts * PANEL,
                  panels * (part + 1) / parts * PANEL);
  }
}

static void attention_backward_run(struct device *d, const struct attention_shape *shape, const struct kv *kv,
                                   int layer, const struct rows *rows, struct view q, struct view o, struct view stat,
                                   struct view dout, struct view dq, struct kv_grad_view grad)
{
  if (rows->count <= 0) return;
  if (!attention_fits(shape) || shape->head_dim > GROUP_DIM) {
    attention_backward_ref(d, shape, kv, layer, rows, q, o, stat, dout, dq, grad);
    return;
  }
  ASSAY_BUG_IF(layer < 0 || layer >= kv->shape.layers || shape->heads % shape->kv_heads);
  ASSAY_BUG_IF(shape->kv_heads != kv->shape.heads || shape->head_dim != kv->shape.head_dim);
  ASSAY_BUG_IF(d->scratch_each < sizeof(struct backward));
  for (int32_t i = 0; i < rows->run_count; i++) ASSAY_BUG_IF(rows->runs[i].span_count < 1);
  struct attention_call call = {.device = d,
                                .shape = shape,
                                .kv = kv,
                                .layer = layer,
                                .rows = rows,
                                .q = view_reals(q),
                                .o_in = view_reals(o),
                                .stat_in = view_reals(stat),
                                .dout = view_reals(dout),
                                .dq = view_reals(dq),
                                .dk = view_reals(grad.dk),
                                .dv = view_reals(grad.dv),
                                .score = score_shape_of(shape),
                                .dim = (size_t)shape->head_dim,
                                .items = 1};
  pool_run(d->pool, (size_t)pool_threads(d->pool), backward_part, &call);
}

#endif
