/* compute/cpu/simd/attention: attention over paths, forward and backward, over tile.inc.h.
 *
 * A unit of work is a few (row, head) pairs that share a KV head: the query heads of some neighbouring rows, of one run
 * or, in decoding, of runs of one row each. Keys go by in blocks of KEY_BLOCK by absolute position; a block that all
 * rows of a unit have in common (a prompt's, under its rollouts) is read once for all of them. Scores have lanes
 * across keys, straight from the [D][block] layout of K; outputs lanes across D, from the rows of V. What a pair does
 * not see differs only at the ends of its range, so a block that every pair sees alike is one tile, and the others are
 * walked pair by pair.
 *
 * Floors, per (row, head, key): forward 4 D operations and one exp, 8 D bytes of K and V per unit and key; backward 10
 * D operations, one exp and one division. At D = 64 exp, maximum and sums add about a quarter to the multiply-adds.
 *
 * Head sizes off 16 are left to the reference.
 */
#ifndef ASSAY_COMPUTE_CPU_SIMD_ATTENTION_INC_H
#define ASSAY_COMPUTE_CPU_SIMD_ATTENTION_INC_H

#include <string.h>
#include "compute/cpu/ref/path.h"
#include "compute/cpu/simd/softcap.inc.h"

enum { A_DEPTH = 384, TILE_AHEAD = true, TILE_AHEAD_C = false };
#include "compute/cpu/simd/tile.inc.h"

TILE_TABLE(ROWS)
TILE_TABLE(PAIRS)
TILE_TABLE(KEYS)

enum { DIM_MAX = A_DEPTH };

/* One row alone: more panels at once, or the multiply-adds wait for each other. */
enum { LONE_PANELS = 4 };
static void tile_lone_PAIRS(const struct tile *t)
{
  tile_run(1, LONE_PANELS, ROW_AT_PAIRS, STEP_AT_PAIRS, t);
}
static void tile_lone_KEYS(const struct tile *t)
{
  tile_run(1, LONE_PANELS, ROW_AT_KEYS, STEP_AT_KEYS, t);
}

/* A tile over `panels` panels 16 floats apart in b and c. lone: the form's tile of one row and LONE_PANELS panels, or
 * NULL. t.ahead: how far from b lies what is fetched meanwhile. */
static void tile_across(struct tile t, const struct tile_table *table, tile_fn *lone, size_t rows, size_t panels)
{
  const uintptr_t distance = t.ahead;
  t.b_panel = t.c_panel = t.lanes = PANEL;
  t.ahead_step = t.b_step * sizeof(float);
  t.ahead_panel = PANEL * sizeof(float);
  while (panels > 0) {
    t.ahead = (uintptr_t)t.b + distance;
    const size_t group = rows == 1 && lone && panels >= LONE_PANELS ? LONE_PANELS
                         : panels >= TILE_PANELS                    ? TILE_PANELS
                                                                    : 1;
    if (rows == 1 && lone && group == LONE_PANELS)
      lone(&t);
    else
      table->run[group == TILE_PANELS][rows - 1](&t);
    t.b += group * PANEL;
    t.c += group * PANEL;
    panels -= group;
  }
}

/* ---- units of work ---- */

/* Pairs of one unit: rows row .. row+rows-1, query heads head .. head+heads-1 of KV head kv_head; pair i is
 * row + i / heads, head + i % heads. The rows belong to one run, or each to a run of its own, from `run` on. */
struct unit {
  const struct rows_run *run;
  int32_t row, rows;
  int kv_head, head, heads;
  bool apart;
};

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
static int32_t pair_position(const struct unit *u, size_t i)
{
  if (u->apart) return u->run[i / (size_t)u->heads].position;
  return u->run->position + (u->row - u->run->row) + (int32_t)(i / (size_t)u->heads);
}

/* Calls fn for every unit of at most `pairs` pairs of one KV head and run, in the order of rows, then heads. */
typedef void unit_fn(const struct attention_call *c, const struct unit *u, float *scratch);
static void units_of_run(const struct attention_call *c, const struct rows_run *run, int kv_head, int pairs,
                         size_t item, size_t *count, unit_fn *fn, float *scratch)
{
  const int group = c->shape->heads / c->shape->kv_heads, heads = group < pairs ? group : pairs, rows = pairs / heads;
  for (int32_t row = 0; row < run->count; row += rows)
    for (int head = 0; head < group; head += heads, ++*count) {
      if (*count % c->items != item) continue;
      const struct unit u = {.run = run,
                             .row = run->row + row,
                             .rows = row + rows < run->count ? rows : run->count - row,
                             .kv_head = kv_head,
                             .head = kv_head * group + head,
                             .heads = head + heads < group ? heads : group - head};
      fn(c, &u, scratch);
    }
}

/* The unit of row i alone. */
static struct unit unit_member(const struct unit *u, int32_t i)
{
  struct unit one = *u;
  one.run = u->run + i;
  one.row = u->row + i;
  one.rows = 1;
  one.apart = false;
  return one;
}

/* ---- keys and values of a block ---- */

/* K and V of some positions: key element d of position i is key[d * key_step + i], value element d is value[i * D + d].
 */
struct piece {
  const float *key, *value;
  size_t key_step;
};

/* Positions that one piece covers: those of a storage block, at most KEY_BLOCK; storage blocks under 16 are copied
 * together. */
static int32_t piece_width(const struct kv *kv)
{
  return kv->shape.block >= KEY_BLOCK ? KEY_BLOCK : PANEL;
}

/* The piece that begins at `position`. low .. high is what exists of the path here. copy: 2 * 16 * D floats. */
static struct piece piece_load(const struct attention_call *c, const struct unit *u, int32_t position, int32_t low,
                               int32_t high, float *copy)
{
  const int32_t *table = c->rows->blocks + u->run->table;
  const size_t dim = c->dim, step = (size_t)c->kv->shape.block;
  if (step >= PANEL) {
    return (struct piece){path_key(c->kv, c->layer, u->kv_head, table, position),
                          path_value(c->kv, c->layer, u->kv_head, table, position), step};
  }
  float *key = copy, *value = copy + PANEL * dim;
  memset(copy, 0, 2 * PANEL * dim * sizeof *copy);
  for (int32_t i = 0; i < PANEL; i++) {
    if (position + i < low || position + i > high) continue;
    const float *from = path_key(c->kv, c->layer, u->kv_head, table, position + i);
    for (size_t d = 0; d < dim; d++) key[d * PANEL + (size_t)i] = from[d * step];
    memcpy(value + (size_t)i * dim, path_value(c->kv, c->layer, u->kv_head, table, position + i), dim * sizeof *value);
  }
  return (struct piece){key, value, PANEL};
}

/* The part from .. end-1 of a block of keys that a pair sees, or of a group's pairs that see a key; from >= end: none.
 */
struct seen {
  int32_t from, end;
};
/* What both ranges hold. */
static struct seen seen_both(struct seen a, struct seen b)
{
  return (struct seen){a.from > b.from ? a.from : b.from, a.end < b.end ? a.end : b.end};
}
static struct seen seen_of(const struct attention_call *c, int32_t position, int32_t start)
{
  const int32_t first = attention_first(c->shape->window, position) - start, end = position + 1 - start;
  return (struct seen){first > 0 ? first : 0, end < KEY_BLOCK ? end : KEY_BLOCK};
}

/* Pairs' vectors of D, `from` by [M, H], as the broadcast side of a tile (ROWS), and as the other side with b_step
 * A_STRIDE. */
static void pack_pairs(const struct attention_call *c, const struct unit *u, const float *from, float *to)
{
  for (size_t i = 0; i < unit_pairs(u); i++)
    memcpy(to + i * A_STRIDE, from + pair_at(c, u, i) * c->dim, c->dim * sizeof *to);
}

/* scores[i][0 ..] = chain over D of pair i's vector and 16 or 32 columns of b ([D], b_step apart). */
static void pairs_by_keys(const float *packed, size_t pairs, size_t dim, const float *b, size_t b_step, size_t width,
                          float *scores, uintptr_t ahead)
{
  for (size_t i = 0; i < pairs; i += TILE_ROWS) {
    const struct tile t = {.a = packed + i * A_STRIDE,
                           .b = b,
                           .c = scores + i * KEY_BLOCK,
                           .b_step = b_step,
                           .c_row = KEY_BLOCK,
                           .depth = dim,
                           .ahead = ahead};
    tile_across(t, &tiles_ROWS, NULL, size_min(TILE_ROWS, pairs - i), width / PANEL);
  }
}

/* ---- forward ---- */

/* A unit's softmax state and buffers, all in the thread's scratch. */
struct forward {
  float m[PANEL], next[PANEL], l[PANEL], f[PANEL]; /* by pair; next: m after this block */
  bool begun[TILE_ROWS];                           /* a block has been seen */
  int32_t position[TILE_ROWS];
  struct seen seen[TILE_ROWS];
  float e[TILE_ROWS * KEY_BLOCK]; /* scores, then weights: the form PAIRS */
  float q[TILE_ROWS * A_STRIDE], o[TILE_ROWS * DIM_MAX], copy[2 * KEY_BLOCK * DIM_MAX];
  /* how far from the keys and values of this block's pieces the next block's are */
  uintptr_t key_ahead[KEY_BLOCK / PANEL], value_ahead[KEY_BLOCK / PANEL];
};
_Static_assert(sizeof(struct forward) <= 512 * 1024 && (int)TILE_ROWS <= (int)PANEL, "fits in a thread's scratch");

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

/* e = exp(s - m'); l = l f + sum16(e); o = o f */
static void forward_weights(struct forward *w, size_t i, size_t dim)
{
  float *e = w->e + i * KEY_BLOCK, *o = w->o + i * dim;
  const struct f16 m = f16_set(w->next[i]);
  struct m16 low, high;
  seen_masks(w->seen[i], &low, &high);
  const struct f16 a = f16_select(low, f16_exp(f16_sub(f16_load(e), m)), f16_zero());
  const struct f16 b = f16_select(high, f16_exp(f16_sub(f16_load(e + 16), m)), f16_zero());
  const float f = w->begun[i] ? w->f[i] : 0;
  f16_store(e, a);
  f16_store(e + 16, b);
  w->l[i] = math_fmaf(w->l[i], f, f16_sum(f16_add(a, b)));
  w->m[i] = w->next[i];
  w->begun[i] = true;
  if (f == 1) return; /* o 1 is o */
  for (size_t d = 0; d < dim; d += 16) f16_store(o + d, f16_mul(f16_load(o + d), f16_set(f)));
}

/* The softmax step of pairs first .. end-1: in phases, so that the pairs' chains of instructions overlap. */
static void forward_softmax(struct forward *w, size_t first, size_t end, const struct score_shape *score, size_t dim)
{
  for (size_t i = first; i < end; i++)
    if (w->seen[i].from < w->seen[i].end) forward_largest(w, i, score);
  f16_store(w->f, f16_exp(f16_sub(f16_load(w->m), f16_load(w->next))));
  for (size_t i = first; i < end; i++)
    if (w->seen[i].from < w->seen[i].end) forward_weights(w, i, dim);
}

/* o = o + sum_j e_j v_j over keys range.from .. range.end-1 of the block, for pairs first .. first+pairs-1. `at`: the
 * piece's first key. */
static void forward_values(const struct attention_call *c, struct forward *w, size_t first, size_t pairs,
                           struct seen range, int32_t at, const struct piece *piece)
{
  if (range.from >= range.end) return;
  const struct tile t = {.a = w->e + first * KEY_BLOCK + range.from,
                         .b = piece->value + (size_t)(range.from - at) * c->dim,
                         .c = w->o + first * c->dim,
                         .b_step = c->dim,
                         .c_row = c->dim,
                         .depth = (size_t)(range.end - range.from),
                         .load = true,
                         .ahead = w->value_ahead[at / PANEL]};
  tile_across(t, &tiles_PAIRS, tile_lone_PAIRS, pairs, c->dim / PANEL);
}

/* o = o + 0, as the keys that are not seen add e v = +0: it turns -0 into +0. */
static void forward_unseen(struct forward *w, size_t i, size_t dim)
{
  float *o = w->o + i * dim;
  for (size_t d = 0; d < dim; d += 16) f16_store(o + d, f16_add(f16_load(o + d), f16_zero()));
}

/* The values of one piece for pairs first .. end-1, all of which see some of the block: as a tile what all see, pair by
 * pair what is before and behind. */
static void forward_piece(const struct attention_call *c, struct forward *w, size_t first, size_t end, int32_t at,
                          int32_t width, const struct piece *piece)
{
  const struct seen held = {at, at + width};
  struct seen common = held;
  for (size_t i = first; i < end; i++) common = seen_both(common, w->seen[i]);
  if (common.from >= common.end) common.from = common.end = held.end;
  for (size_t i = first; i < end; i++) {
    const struct seen own = seen_both(held, w->seen[i]),
                      before = {own.from, own.end < common.from ? own.end : common.from};
    if (own.from > held.from) forward_unseen(w, i, c->dim);
    forward_values(c, w, i, 1, before, at, piece);
  }
  forward_values(c, w, first, end - first, common, at, piece);
  for (size_t i = first; i < end; i++) {
    const struct seen own = seen_both(held, w->seen[i]),
                      behind = {own.from > common.end ? own.from : common.end, own.end};
    forward_values(c, w, i, 1, behind, at, piece);
    if (own.end < held.end) forward_unseen(w, i, c->dim);
  }
}

/* One block of keys, for the pairs of u, which are pairs first .. of w. low .. high: what some pair sees. */
static void forward_block(const struct attention_call *c, const struct unit *u, struct forward *w, size_t first,
                          int32_t start, int32_t low, int32_t high)
{
  size_t end = first + unit_pairs(u);
  const int32_t width = piece_width(c->kv);
  struct piece piece[KEY_BLOCK / PANEL] = {0};
  for (int32_t at = 0, i = 0; at < KEY_BLOCK; at += width, i++) {
    if (start + at > high || start + at + width <= low) continue;
    piece[i] = piece_load(c, u, start + at, low, high, w->copy + (size_t)i * 2 * PANEL * c->dim);
    pairs_by_keys(w->q + first * A_STRIDE, end - first, c->dim, piece[i].key, piece[i].key_step, (size_t)width,
                  w->e + first * KEY_BLOCK + at, w->key_ahead[i]);
  }
  for (size_t i = first; i < end; i++) w->seen[i] = seen_of(c, w->position[i], start);
  forward_softmax(w, first, end, &c->score, c->dim);
  /* The pairs that see some of the block follow each other, for a run's positions ascend. */
  while (first < end && w->seen[first].from >= w->seen[first].end) first++;
  while (end > first && w->seen[end - 1].from >= w->seen[end - 1].end) end--;
  for (int32_t at = 0, i = 0; at < KEY_BLOCK; at += width, i++) forward_piece(c, w, first, end, at, width, &piece[i]);
}

/* The piece of u at `position`, or at the last position of its first path: only where it lies is asked. */
static struct piece piece_near(const struct attention_call *c, const struct unit *u, int32_t position)
{
  const int32_t last = u->apart ? u->run->position : pair_position(u, unit_pairs(u) - 1);
  return piece_load(c, u, position < last ? position : last, 0, 0, NULL);
}

/* While the block at `start` of u is worked on, the one at next_start of `next` is fetched, where both are pieces. */
static void forward_look_ahead(const struct attention_call *c, struct forward *w, const struct unit *u, int32_t start,
                               const struct unit *next, int32_t next_start)
{
  const int32_t width = piece_width(c->kv);
  for (int32_t at = 0; at < KEY_BLOCK; at += PANEL) w->key_ahead[at / PANEL] = w->value_ahead[at / PANEL] = 0;
  if (c->kv->shape.block < PANEL) return;
  for (int32_t at = 0; at < KEY_BLOCK; at += width) {
    const struct piece here = piece_near(c, u, start + at), there = piece_near(c, next, next_start + at);
    w->key_ahead[at / PANEL] = (uintptr_t)there.key - (uintptr_t)here.key;
    w->value_ahead[at / PANEL] = (uintptr_t)there.value - (uintptr_t)here.value;
  }
}

/* Every row of the unit sees the whole block, in the same storage. */
static bool block_is_common(const struct attention_call *c, const struct unit *u, int32_t start)
{
  const int32_t size = c->kv->shape.block, first = start / size, last = (start + KEY_BLOCK - 1) / size;
  for (int32_t i = 0; i < u->rows; i++) {
    const struct seen seen = seen_of(c, u->run[i].position, start);
    if (seen.from > 0 || seen.end < KEY_BLOCK) return false;
    for (int32_t b = first; b <= last; b++)
      if (c->rows->blocks[u->run[i].table + b] != c->rows->blocks[u->run->table + b]) return false;
  }
  return true;
}

static bool member_sees(const struct attention_call *c, const struct unit *u, int32_t i, int32_t start)
{
  const struct seen seen = seen_of(c, u->run[i].position, start);
  return seen.from < seen.end;
}

/* The block of keys at `start`, row by row. */
static void forward_members(const struct attention_call *c, const struct unit *u, struct forward *w, int32_t start)
{
  for (int32_t i = 0; i < u->rows; i++) {
    const struct unit one = unit_member(u, i);
    const int32_t position = one.run->position;
    int32_t next = i + 1, next_start = start;
    if (!member_sees(c, u, i, start)) continue;
    while (next < u->rows && !member_sees(c, u, next, start)) next++;
    if (next == u->rows) {
      next_start += KEY_BLOCK;
      for (next = 0; next < u->rows && !member_sees(c, u, next, next_start);) next++;
    }
    const struct unit then = next < u->rows ? unit_member(u, next) : one;
    forward_look_ahead(c, w, &one, start, &then, next < u->rows ? next_start : start);
    forward_block(c, &one, w, (size_t)i * (size_t)u->heads, start, attention_first(c->shape->window, position),
                  position);
  }
}

/* What some row sees of the unit's paths. */
static struct seen unit_range(const struct attention_call *c, const struct unit *u)
{
  struct seen range = {INT32_MAX, 0};
  for (size_t i = 0; i < unit_pairs(u); i++) {
    const int32_t position = pair_position(u, i), first = attention_first(c->shape->window, position);
    if (first < range.from) range.from = first;
    if (position >= range.end) range.end = position + 1;
  }
  return range;
}

static void forward_unit(const struct attention_call *c, const struct unit *u, float *scratch)
{
  struct forward *w = (struct forward *)(void *)scratch;
  const size_t pairs = unit_pairs(u), dim = c->dim;
  const struct seen range = unit_range(c, u);
  memset(w->o, 0, pairs * dim * sizeof *w->o);
  f16_store(w->m, f16_set(-__builtin_inff()));
  f16_store(w->next, f16_zero());
  f16_store(w->l, f16_zero());
  for (size_t i = 0; i < pairs; i++) {
    w->position[i] = pair_position(u, i);
    w->begun[i] = false;
  }
  pack_pairs(c, u, c->q, w->q);
  for (int32_t start = range.from / KEY_BLOCK * KEY_BLOCK; start < range.end; start += KEY_BLOCK) {
    if (u->apart && !block_is_common(c, u, start)) {
      forward_members(c, u, w, start);
      continue;
    }
    forward_look_ahead(c, w, u, start, u, start + KEY_BLOCK < range.end ? start + KEY_BLOCK : start);
    forward_block(c, u, w, 0, start, range.from, range.end - 1);
  }
  for (size_t i = 0; i < pairs; i++) {
    const size_t at = pair_at(c, u, i);
    for (size_t d = 0; d < dim; d += 16)
      f16_store(c->o + at * dim + d, f16_div(f16_load(w->o + i * dim + d), f16_set(w->l[i])));
    c->stat[2 * at] = w->m[i];
    c->stat[2 * at + 1] = w->l[i];
  }
}

/* Rows that a unit of one-row runs takes: as many as a tile has room for, while every thread still gets some units. */
static int32_t members_most(const struct attention_call *c)
{
  enum { UNITS_EACH = 4 };
  const size_t group = (size_t)(c->shape->heads / c->shape->kv_heads),
               units = (size_t)c->rows->count * (size_t)c->shape->kv_heads / (UNITS_EACH * c->items);
  return (int32_t)(group >= TILE_ROWS || units < 1 ? 1 : size_min(TILE_ROWS / group, units));
}

/* Item i of n takes every n-th unit: later rows see more keys, so contiguous ranges would be uneven. */
static void forward_part(void *arg, int thread, size_t begin, size_t end)
{
  const struct attention_call *c = arg;
  const int group = c->shape->heads / c->shape->kv_heads;
  const int32_t most = members_most(c);
  float *scratch = thread_scratch(c->device, thread);
  for (size_t item = begin; item < end; item++) {
    size_t count = 0;
    for (int32_t i = 0, rows; i < c->rows->run_count; i += rows) {
      const struct rows_run *run = c->rows->runs + i;
      for (rows = 0; rows < most && i + rows < c->rows->run_count && run[rows].count == 1;) rows++;
      if (rows < 2) rows = 1;
      for (int kv_head = 0; kv_head < c->shape->kv_heads; kv_head++) {
        const struct unit u = {run, run->row, rows, kv_head, kv_head * group, group, true};
        if (rows == 1)
          units_of_run(c, run, kv_head, TILE_ROWS, item, &count, forward_unit, scratch);
        else if (count++ % c->items == item)
          forward_unit(c, &u, scratch);
      }
    }
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
    attention_ref(d, shape, kv, layer, rows, q, o, stat);
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
