/* compute/cpu/simd/attention_bf16: attention of compute type bf16, over words.inc.h.
 *
 * A unit of work is a few (row, head) pairs that share a run and a KV head, as in attention.inc.h. Keys go by in blocks
 * of KEY_BLOCK by absolute position, each one block of a sum: K and V are read as words, as they are stored. Pairs that
 * see a whole block take it as a tile; the others, at the ends of their range, walk the keys that they see, and the
 * terms +0 * +0 of the others come down to one addition of +0 behind them.
 *
 * Floors, per (row, head, key): 4 D operations and one exp, 4 D bytes of K and V per unit and key: half of f32's.
 *
 * Head sizes off 16 are left to bf16/attention.c.
 */
#ifndef ASSAY_COMPUTE_CPU_SIMD_ATTENTION_BF16_INC_H
#define ASSAY_COMPUTE_CPU_SIMD_ATTENTION_BF16_INC_H

#include "compute/cpu/bf16/bf16.h"
#include "compute/cpu/simd/softcap.inc.h"
#include "compute/cpu/simd/words.inc.h"

WORDS_TABLE(ROWS)
WORDS_TABLE(PAIRS)

enum { DIM_MAX = 256, UNIT_PAIRS = 12, EDGE_PANELS = 4 };
_Static_assert((int)DIM_MAX <= (int)WORD_DEPTH, "a row of q fits");

/* ---- products ---- */

/* A product over all rows (row_at apart in a) and panels, 16 apart in b and c. */
static void words_across(struct words_tile t, const struct words_table *table, size_t row_at, size_t rows,
                         size_t panels)
{
  const size_t tiles = (rows + WORD_ROWS - 1) / WORD_ROWS;
  const float *a = t.a;
  float *c = t.c;
  t.b_panel = t.c_panel = t.lanes = PANEL;
  for (size_t group; panels > 0; panels -= group) {
    group = panels >= WORD_PANELS ? WORD_PANELS : 1;
    for (size_t i = 0; i < tiles; i++) {
      const size_t first = rows * i / tiles, count = rows * (i + 1) / tiles - first;
      t.a = a + first * row_at;
      t.c = c + first * t.c_row;
      table->run[group == WORD_PANELS][count - 1](&t);
    }
    t.b += group * PANEL;
    c += group * PANEL;
  }
}

/* The part from .. end-1 of a block of 32 that one side sees of the other; from >= end: none. */
struct seen {
  int32_t from, end;
};
static bool seen_whole(struct seen s)
{
  return s.from == 0 && s.end == KEY_BLOCK;
}
static bool seen_none(struct seen s)
{
  return s.from >= s.end;
}

/* c = c + (even + odd) of the terms `seen` of one row, a[t * step] by words b; the others are +0 * +0. */
INLINE void edge_run(const size_t panels, const float *a, size_t step, const uint32_t *b, size_t b_step, float *c,
                     struct seen seen)
{
  const size_t from = (size_t)seen.from, end = (size_t)seen.end;
  struct f16 even[EDGE_PANELS], odd[EDGE_PANELS];
  UNROLL for (size_t p = 0; p < panels; p++) even[p] = odd[p] = f16_zero();
  for (size_t r = (from + 1) / 2; r < (end + 1) / 2; r++) {
    const struct f16 x = f16_set(a[2 * r * step]);
    UNROLL for (size_t p = 0; p < panels; p++) even[p] =
        f16_fma(x, w16_even(w16_load(b + r * b_step + p * PANEL)), even[p]);
  }
  for (size_t r = from / 2; r < end / 2; r++) {
    const struct f16 x = f16_set(a[(2 * r + 1) * step]);
    UNROLL for (size_t p = 0; p < panels; p++) odd[p] =
        f16_fma(x, w16_odd(w16_load(b + r * b_step + p * PANEL)), odd[p]);
  }
  /* Terms behind turn -0 into +0; those before met a +0. */
  UNROLL for (size_t p = 0; p < panels; p++)
  {
    if (end + 1 < KEY_BLOCK) even[p] = f16_add(even[p], f16_zero());
    if (end < KEY_BLOCK) odd[p] = f16_add(odd[p], f16_zero());
    f16_store(c + p * PANEL, f16_add(f16_load(c + p * PANEL), f16_add(even[p], odd[p])));
  }
}

static void edge_across(const float *a, size_t step, const uint32_t *b, size_t b_step, float *c, struct seen seen,
                        size_t panels)
{
  if (seen_none(seen)) return;
  for (; panels >= EDGE_PANELS; panels -= EDGE_PANELS, b += EDGE_PANELS * PANEL, c += EDGE_PANELS * PANEL)
    edge_run(EDGE_PANELS, a, step, b, b_step, c, seen);
  for (; panels > 0; panels--, b += PANEL, c += PANEL) edge_run(1, a, step, b, b_step, c, seen);
}

/* ---- keys and values of a block ---- */

struct attention_call {
  struct device *device;
  const struct attention_shape *shape;
  const struct kv *kv;
  int layer;
  const struct rows *rows;
  const float *q, *dout, *o_in, *stat_in;
  float *o, *stat, *dq, *dk, *dv;
  struct score_shape score;
  size_t dim, items;
};

/* K and V of 32 positions: words of d pairs, key_step apart, 32 positions wide; words of position pairs, D apart. */
struct piece {
  const uint32_t *key, *value;
  size_t key_step;
};

/* The block of keys from `start` on; low .. high is what exists of the path. Storage blocks under 32 are put together
 * in copy: (D' / 2) * 32 + 16 * D words. */
static struct piece piece_load(const struct attention_call *c, const struct rows_run *run, int kv_head, int32_t start,
                               int32_t low, int32_t high, uint32_t *copy)
{
  const int32_t *table = c->rows->blocks + run->table, size = c->kv->shape.block;
  if (size >= KEY_BLOCK)
    return (struct piece){path_key_words(c->kv, c->layer, kv_head, table, start),
                          path_value_words(c->kv, c->layer, kv_head, table, start), (size_t)size};
  const size_t pairs = block_round(c->dim) / 2;
  uint32_t *key = copy, *value = copy + pairs * KEY_BLOCK;
  memset(copy, 0, (pairs * KEY_BLOCK + KEY_BLOCK / 2 * c->dim) * sizeof *copy);
  for (int32_t at = 0; at < KEY_BLOCK; at += size) {
    if (start + at > high || start + at + size <= low) continue;
    const uint32_t *from = path_key_words(c->kv, c->layer, kv_head, table, start + at);
    for (size_t d = 0; d < pairs; d++)
      memcpy(key + d * KEY_BLOCK + at, from + d * (size_t)size, (size_t)size * sizeof *key);
    memcpy(value + (size_t)(at / 2) * c->dim, path_value_words(c->kv, c->layer, kv_head, table, start + at),
           (size_t)(size / 2) * c->dim * sizeof *value);
  }
  return (struct piece){key, value, KEY_BLOCK};
}

/* What the row at `position` sees of the keys from `start` on. */
static struct seen seen_of(const struct attention_call *c, int32_t position, int32_t start)
{
  const int32_t first = attention_first(c->shape->window, position) - start, end = position + 1 - start;
  return (struct seen){first > 0 ? first : 0, end < KEY_BLOCK ? end : KEY_BLOCK};
}

/* A vector of D, rounded, +0 up to whole blocks. */
static void pack_row(float *to, const float *from, size_t dim)
{
  for (size_t d = 0; d < dim; d += 16) f16_store(to + d, f16_round(f16_load(from + d)));
  if (dim % TERM_BLOCK) f16_store(to + dim, f16_zero());
}

/* ---- units of work ---- */

/* Pairs of one unit: rows row .. row+rows-1 of the run, query heads head .. head+heads-1 of KV head kv_head; pair i is
 * row + i / heads, head + i % heads. */
struct unit {
  const struct rows_run *run;
  int32_t row, rows;
  int kv_head, head, heads;
};

/* A unit's softmax state and buffers, all in the thread's scratch. */
struct forward {
  float m[PANEL], next[PANEL], l[PANEL], f[PANEL]; /* by pair; next: m after this block */
  bool begun[UNIT_PAIRS];                          /* a block has been seen */
  int32_t position[UNIT_PAIRS];
  struct seen seen[UNIT_PAIRS];
  float e[UNIT_PAIRS * KEY_BLOCK]; /* scores, then rounded weights: the form PAIRS */
  float q[UNIT_PAIRS * WORD_STRIDE], o[UNIT_PAIRS * DIM_MAX];
  uint32_t copy[DIM_MAX / 2 * KEY_BLOCK + KEY_BLOCK / 2 * DIM_MAX];
};
_Static_assert(sizeof(struct forward) <= 512 * 1024 && (int)UNIT_PAIRS <= (int)PANEL, "fits in a thread's scratch");

static size_t unit_pairs(const struct unit *u)
{
  return (size_t)u->rows * (size_t)u->heads;
}
/* [M, H] index of a pair. */
static size_t pair_at(const struct attention_call *c, const struct unit *u, size_t i)
{
  const size_t heads = (size_t)u->heads;
  return ((size_t)u->row + i / heads) * (size_t)c->shape->heads + (size_t)u->head + i % heads;
}

/* The lanes of a block that a pair sees, as two masks. */
INLINE void seen_masks(struct seen seen, struct m16 *low, struct m16 *high)
{
  const size_t from = (size_t)seen.from, end = (size_t)seen.end;
  *low = m16_range(from, end);
  *high = m16_range(from < 16 ? 0 : from - 16, end < 16 ? 0 : end - 16);
}

/* s = s scale, capped, -inf where not seen; m' = max(m, s) */
static void forward_largest(struct forward *w, size_t i, const struct score_shape *score)
{
  float *s = w->e + i * KEY_BLOCK;
  const struct f16 none = f16_set(-__builtin_inff());
  struct m16 low, high;
  seen_masks(w->seen[i], &low, &high);
  const struct f16 a = f16_select(low, f16_score(f16_load(s), score), none),
                   b = f16_select(high, f16_score(f16_load(s + 16), score), none);
  const float top = f16_largest(f16_max(b, f16_max(a, none)));
  f16_store(s, a);
  f16_store(s + 16, b);
  w->next[i] = (top > w->m[i] ? top : w->m[i]) + 0.0f; /* -0 becomes +0 */
}

/* e = exp(s - m'); l = l f + sum16(e); o = o f; then e rounded */
static void forward_weights(struct forward *w, size_t i, size_t dim)
{
  float *e = w->e + i * KEY_BLOCK, *o = w->o + i * dim;
  const struct f16 m = f16_set(w->next[i]);
  struct m16 low, high;
  seen_masks(w->seen[i], &low, &high);
  const struct f16 a = f16_select(low, f16_exp(f16_sub(f16_load(e), m)), f16_zero());
  const struct f16 b = f16_select(high, f16_exp(f16_sub(f16_load(e + 16), m)), f16_zero());
  const float f = w->begun[i] ? w->f[i] : 0;
  f16_store(e, f16_round(a));
  f16_store(e + 16, f16_round(b));
  w->l[i] = math_fmaf(w->l[i], f, f16_sum(f16_add(a, b)));
  w->m[i] = w->next[i];
  w->begun[i] = true;
  if (f == 1) return; /* o 1 is o */
  for (size_t d = 0; d < dim; d += 16) f16_store(o + d, f16_mul(f16_load(o + d), f16_set(f)));
}

/* One block of keys, for all pairs of a unit. low .. high: what some pair sees. */
static void forward_block(const struct attention_call *c, const struct unit *u, struct forward *w, int32_t start,
                          int32_t low, int32_t high)
{
  const size_t pairs = unit_pairs(u), dim = c->dim;
  const struct piece piece = piece_load(c, u->run, u->kv_head, start, low, high, w->copy);
  const struct words_tile scores = {.a = w->q,
                                    .b = piece.key,
                                    .b_step = piece.key_step,
                                    .c = w->e,
                                    .c_row = KEY_BLOCK,
                                    .blocks = block_round(dim) / TERM_BLOCK};
  words_across(scores, &words_ROWS, ROW_AT_ROWS, pairs, KEY_BLOCK / PANEL);
  for (size_t i = 0; i < pairs; i++) w->seen[i] = seen_of(c, w->position[i], start);
  /* In phases, so that the pairs' chains of instructions overlap. */
  for (size_t i = 0; i < pairs; i++)
    if (!seen_none(w->seen[i])) forward_largest(w, i, &c->score);
  f16_store(w->f, f16_exp(f16_sub(f16_load(w->m), f16_load(w->next))));
  for (size_t i = 0; i < pairs; i++)
    if (!seen_none(w->seen[i])) forward_weights(w, i, dim);
  /* Pairs that see all of it follow each other, for a run's positions ascend. */
  for (size_t i = 0, end; i < pairs; i = end) {
    end = i + 1;
    float *e = w->e + i * KEY_BLOCK, *o = w->o + i * dim;
    if (!seen_whole(w->seen[i])) {
      edge_across(e, 1, piece.value, dim, o, w->seen[i], dim / PANEL);
      continue;
    }
    while (end < pairs && seen_whole(w->seen[end])) end++;
    const struct words_tile t = {
        .a = e, .b = piece.value, .b_step = dim, .c = o, .c_row = dim, .blocks = 1, .load = true};
    words_across(t, &words_PAIRS, ROW_AT_PAIRS, end - i, dim / PANEL);
  }
}

static void forward_unit(const struct attention_call *c, const struct unit *u, struct forward *w)
{
  const size_t pairs = unit_pairs(u), dim = c->dim;
  memset(w->o, 0, pairs * dim * sizeof *w->o);
  f16_store(w->m, f16_set(-__builtin_inff()));
  f16_store(w->next, f16_zero());
  f16_store(w->l, f16_zero());
  for (size_t i = 0; i < pairs; i++) {
    w->position[i] = u->run->position + (u->row - u->run->row) + (int32_t)(i / (size_t)u->heads);
    w->begun[i] = false;
    pack_row(w->q + i * WORD_STRIDE, c->q + pair_at(c, u, i) * dim, dim);
  }
  const int32_t low = attention_first(c->shape->window, w->position[0]), high = w->position[pairs - 1];
  for (int32_t start = low / KEY_BLOCK * KEY_BLOCK; start <= high; start += KEY_BLOCK)
    forward_block(c, u, w, start, low, high);
  for (size_t i = 0; i < pairs; i++) {
    const size_t at = pair_at(c, u, i);
    for (size_t d = 0; d < dim; d += 16)
      f16_store(c->o + at * dim + d, f16_div(f16_load(w->o + i * dim + d), f16_set(w->l[i])));
    c->stat[2 * at] = w->m[i];
    c->stat[2 * at + 1] = w->l[i];
  }
}

/* Those units of a run and KV head that are the item's, in the order of rows, then heads. */
static void forward_run(const struct attention_call *c, const struct rows_run *run, int kv_head, size_t item,
                        size_t *count, struct forward *w)
{
  const int group = c->shape->heads / c->shape->kv_heads, heads = group < UNIT_PAIRS ? group : UNIT_PAIRS;
  const int32_t rows = UNIT_PAIRS / heads;
  for (int32_t row = 0; row < run->count; row += rows)
    for (int head = 0; head < group; head += heads, ++*count) {
      if (*count % c->items != item) continue;
      const struct unit u = {run,     run->row + row,         row + rows < run->count ? rows : run->count - row,
                             kv_head, kv_head * group + head, head + heads < group ? heads : group - head};
      forward_unit(c, &u, w);
    }
}

/* Item i of n takes every n-th unit: later rows see more keys, so contiguous ranges would be uneven. */
static void forward_part(void *arg, int thread, size_t begin, size_t end)
{
  const struct attention_call *c = arg;
  struct forward *w = thread_scratch(c->device, thread);
  for (size_t item = begin; item < end; item++) {
    size_t count = 0;
    for (int32_t i = 0; i < c->rows->run_count; i++)
      for (int kv_head = 0; kv_head < c->shape->kv_heads; kv_head++)
        forward_run(c, c->rows->runs + i, kv_head, item, &count, w);
  }
}

static bool attention_fits(const struct attention_shape *shape)
{
  return shape->head_dim % PANEL == 0 && shape->head_dim <= DIM_MAX;
}

static void attention_run(struct device *d, const struct attention_shape *shape, const struct kv *kv, int layer,
                          const struct rows *rows, struct view q, struct view o, struct view stat)
{
  if (rows->count <= 0) return;
  if (!attention_fits(shape)) {
    attention_bf16(d, shape, kv, layer, rows, q, o, stat);
    return;
  }
  ASSAY_BUG_IF(layer < 0 || layer >= kv->shape.layers || shape->heads % shape->kv_heads);
  ASSAY_BUG_IF(shape->kv_heads != kv->shape.heads || shape->head_dim != kv->shape.head_dim);
  ASSAY_BUG_IF(d->scratch_each < sizeof(struct forward));
  struct attention_call call = {.device = d,
                                .shape = shape,
                                .kv = kv,
                                .layer = layer,
                                .rows = rows,
                                .q = view_reals(q),
                                .o = view_reals(o),
                                .stat = view_reals(stat),
                                .score = score_shape_of(shape),
                                .dim = (size_t)shape->head_dim,
                                .items = (size_t)pool_threads(d->pool)};
  pool_run(d->pool, call.items, forward_part, &call);
}

#endif
