/* cuda/attention_bf16: what attention and its backward share in compute type bf16, where every product is
 * tile_multiply's (kernel.h).
 *
 * A warp has 16 LINES, each a row and a query head: of one run and one KV head, rows ascending, in a row its heads. So
 * all lines share K and V, many rows fill a tile, and so do the heads of one row in decoding. Lines behind the last
 * pair repeat it and are not written. Of a tile 16 x 8 a lane holds columns 2t and 2t + 1 of lines g and g + 8 (g =
 * lane / 4, t = lane % 4): what is kept per line stands in arrays of two.
 *
 * A block of 32 keys lies in shared memory as words of two neighbouring d, [d / 2][32], and of two neighbouring
 * positions, [16][d], as KV has it: right operands of q k^T and of e v. Where the sum goes the other way (dout v^T over
 * d, dS k over keys) a word is made of two, of the even or the odd halves. Words stand at places that keep the lanes of
 * a warp in 32 banks (words_place).
 *
 * Kernels are compiled for head sizes up to 64, 128 and 256: `c` is that size in blocks of 32, a constant.
 */
#ifndef ASSAY_COMPUTE_CUDA_ATTENTION_BF16_H
#define ASSAY_COMPUTE_CUDA_ATTENTION_BF16_H

#include "compute/cuda/path.h"

enum { LINES = 16, MOST_BLOCKS = 8 /* of 32 d */, MOST_TILES = 4 * MOST_BLOCKS /* of 8 d */ };

struct tile_args {
  struct path_args path;
  size_t heads, group; /* query heads; of one KV head */
  struct score_args score;
  int32_t window, shift; /* shift: log2 of positions per storage block */
};

static inline struct tile_args tile_args_of(struct device *d, const struct attention_shape *shape, const struct kv *kv,
                                            int layer, const struct rows *rows)
{
  ASSAY_BUG_IF(layer < 0 || layer >= kv->shape.layers || shape->heads % shape->kv_heads);
  ASSAY_BUG_IF(shape->kv_heads != kv->shape.heads || shape->head_dim != kv->shape.head_dim);
  ASSAY_BUG_IF(shape->head_dim > MOST_BLOCKS * TERM_BLOCK || shape->head_dim % 2);
  struct tile_args a = {path_upload(d, kv, layer, rows),
                        (size_t)shape->heads,
                        (size_t)(shape->heads / shape->kv_heads),
                        score_args_of(shape),
                        shape->window,
                        0};
  while (1 << a.shift < kv->shape.block) a.shift++;
  return a;
}

/* ---- lanes ---- */

HERE int warp_here(void)
{
  return thread_here() / WARP;
}
HERE int lane_here(void)
{
  return thread_here() % WARP;
}
HERE int lane_group(void)
{
  return lane_here() / 4;
}
HERE int lane_part(void)
{
  return thread_here() % 4;
}

/* ---- units of work ---- */

/* Pairs of a run and a KV head from `pair` on; pair i: row i / G of the run, head i % G of the KV head. */
struct unit {
  const struct rows_run *run;
  size_t head, pair, pairs; /* pairs: of the run */
};

/* Run i begins with unit row * G / lines + i: enough for all pairs of those before it, so nobody needs a list. */
HERE size_t unit_first(const struct tile_args *a, size_t lines, int32_t run)
{
  return (size_t)a->path.runs[run].row * a->group / lines + (size_t)run;
}
static inline size_t units_for(const struct tile_args *a, size_t lines)
{
  return (size_t)a->path.rows * a->group / lines + (size_t)a->path.run_count;
}

/* The team's unit of `lines` pairs; false: it has none. The last ones of a run see the most keys and come first. */
HERE bool unit_find(const struct tile_args *a, size_t lines, struct unit *u)
{
  const size_t unit = blocks_x() - 1 - block_x();
  int32_t low = 0, high = a->path.run_count - 1;
  while (low < high) {
    const int32_t middle = low + (high - low + 1) / 2;
    if (unit_first(a, lines, middle) <= unit)
      low = middle;
    else
      high = middle - 1;
  }
  u->run = a->path.runs + low;
  u->head = block_y();
  u->pair = (unit - unit_first(a, lines, low)) * lines;
  u->pairs = (size_t)u->run->count * a->group;
  return u->pair < u->pairs;
}

/* A line's row and head, and what it sees. */
struct line {
  size_t item; /* row * heads + head */
  int32_t first, last;
  bool there;
};

HERE struct line line_of(const struct tile_args *a, const struct unit *u, size_t pair)
{
  const size_t at = size_min(pair, u->pairs - 1), row = at / a->group;
  struct line line;
  line.item = ((size_t)u->run->row + row) * a->heads + u->head * a->group + at % a->group;
  line.last = u->run->position + (int32_t)row;
  line.first = path_first(a->window, line.last);
  line.there = pair < u->pairs;
  return line;
}

/* Of `lines` pairs together: what one of them sees, and what all of them see. */
struct reach {
  int32_t low, high, all_low, all_high; /* none: low > high */
};

HERE struct reach reach_of(const struct tile_args *a, const struct unit *u, size_t pair, size_t lines)
{
  struct reach reach = {0, -1, 0, -1};
  if (pair >= u->pairs) return reach;
  const struct line begin = line_of(a, u, pair), end = line_of(a, u, pair + lines - 1);
  reach.low = begin.first;
  reach.high = end.last;
  reach.all_low = end.first;
  reach.all_high = begin.last;
  return reach;
}
HERE bool reach_some(const struct reach *r, int32_t start)
{
  return start + KEY_BLOCK > r->low && start <= r->high;
}
HERE bool reach_whole(const struct reach *r, int32_t start)
{
  return start >= r->all_low && start + KEY_BLOCK <= r->all_high + 1;
}

/* Terms from .. end - 1 of a block that a line has; none: from >= end. */
struct seen {
  int from, end;
};

HERE struct seen seen_of(int32_t first, int32_t last, int32_t start)
{
  const int32_t from = first - start, end = last + 1 - start;
  struct seen seen;
  seen.from = from < 0 ? 0 : from < KEY_BLOCK ? (int)from : KEY_BLOCK;
  seen.end = end < 0 ? 0 : end < KEY_BLOCK ? (int)end : KEY_BLOCK;
  return seen;
}
HERE bool seen_any(struct seen seen)
{
  return seen.from < seen.end;
}
HERE bool seen_has(struct seen seen, int term)
{
  return term >= seen.from && term < seen.end;
}

/* ---- K and V ---- */

HERE size_t path_storage(const struct tile_args *a, const struct rows_run *run, size_t head, int32_t position)
{
  return (size_t)a->path.blocks[run->table + (position >> a->shift)] * a->path.heads + head;
}
/* Words d / 2 of a key, a storage block's positions apart; words d of a value, which share it with their neighbour. */
HERE const uint32_t *key_words(const struct tile_args *a, const struct rows_run *run, size_t head, int32_t position)
{
  const size_t words = block_round(a->path.dim) / 2;
  return (const uint32_t *)a->path.keys + (path_storage(a, run, head, position) * words << a->shift) +
         (position & ((1 << a->shift) - 1));
}
HERE const uint32_t *value_words(const struct tile_args *a, const struct rows_run *run, size_t head, int32_t position)
{
  const size_t pair = (size_t)((position & ((1 << a->shift) - 1)) >> 1);
  return (const uint32_t *)a->path.values +
         ((path_storage(a, run, head, position) << (a->shift - 1)) + pair) * a->path.dim;
}

/* Where word `column` of a row stands in shared memory, rows of a multiple of 32 words; by_four: lanes read 8 columns
   of 4 rows at once, else 4 columns of 8 rows. */
HERE int words_place(int row, int column, int width, bool by_four)
{
  return row * width + (column ^ (by_four ? row % 4 * 8 : row % 8 * 4));
}
/* The halves that two words have on one side. */
HERE uint32_t words_cross(uint32_t even, uint32_t odd, int side)
{
  return side % 2 ? even >> 16 | (odd & 0xffff0000u) : (even & 0xffff) | odd << 16;
}

enum { KEY_WORDS = KEY_BLOCK * TERM_BLOCK / 2 /* of keys, and of values, in one of c blocks */ };

/* The block of keys from `start` on begins to move to shared memory, +0 for positions outside low .. high. What else a
   line does not see stays as it is. */
HERE void block_fetch(const struct tile_args *a, const struct unit *u, int32_t start, int32_t low, int32_t high, int c,
                      uint32_t *keys, uint32_t *values)
{
  const int lane = lane_here(), step = threads_here() / WARP, dim = (int)a->path.dim, width = c * TERM_BLOCK;
  const bool there = start + lane >= low && start + lane <= high;
  const uint32_t *key = key_words(a, u->run, u->head, there ? start + lane : low);
  for (int pair = warp_here(); pair < width / 2; pair += step)
    word_fetch(keys + words_place(pair, lane, KEY_BLOCK, true), key + ((size_t)pair << a->shift),
               there && 2 * pair < dim);
  for (int pair = warp_here(); pair < KEY_BLOCK / 2; pair += step) {
    const int32_t position = start + 2 * pair;
    const bool some = position + 1 >= low && position <= high;
    const uint32_t *value = value_words(a, u->run, u->head, some ? position : low);
    for (int d = lane; d < width; d += WARP)
      word_fetch(values + words_place(pair, d, width, true), value + d, some && d < dim);
  }
}

/* words_place of what a lane reads, without what is the same for all lanes (a multiple of 4 rows, of 32 columns), so
   that few registers hold the places of a whole tile. straight: row t, column 8n + g; crossed: row g / 2, column 8j +
   2t.
 */
HERE int place_straight(int n, int width)
{
  return lane_part() * width + ((n % 4) ^ lane_part()) * 8 + lane_group();
}
HERE int place_crossed(int j, int width)
{
  return lane_group() / 2 * width + (j ^ (lane_group() / 2)) * 8 + lane_part() * 2;
}

/* Right operands from shared memory: 32 d from block i on by keys 8n .. 8n + 7, of K and of V; 32 keys by d 8n .. 8n +
   7, of V and of K. */
HERE void keys_by_d(const uint32_t *keys, int i, int n, uint32_t b[4])
{
  UNROLL
  for (int j = 0; j < 4; j++) b[j] = keys[place_straight(n, KEY_BLOCK) + (16 * i + 4 * j) * KEY_BLOCK];
}
HERE void values_by_d(const uint32_t *values, int c, int i, int n, uint32_t b[4])
{
  UNROLL
  for (int j = 0; j < 4; j++) {
    const uint32_t *at = values + place_crossed(j, c * TERM_BLOCK) + (4 * n * c + i) * TERM_BLOCK;
    b[j] = words_cross(at[0], at[1], lane_group());
  }
}
HERE void values_by_key(const uint32_t *values, int c, int n, uint32_t b[4])
{
  UNROLL
  for (int j = 0; j < 4; j++) b[j] = values[place_straight(n, c * TERM_BLOCK) + (4 * j * c + n / 4) * TERM_BLOCK];
}
HERE void keys_by_key(const uint32_t *keys, int n, uint32_t b[4])
{
  UNROLL
  for (int j = 0; j < 4; j++) {
    const uint32_t *at = keys + place_crossed(j, KEY_BLOCK) + 4 * n * KEY_BLOCK;
    b[j] = words_cross(at[0], at[1], lane_group());
  }
}

/* ---- products ---- */

/* Left operands of a warp, 16 lines by 32 terms each. Where registers are short they stand in shared memory (`aside`, a
   constant), each word by the lane that needs it. */
struct left {
  uint32_t words[4][8];
  uint32_t *aside; /* LEFT_WORDS each */
};
enum { LEFT_WORDS = 8 * WARP };

HERE void left_set(struct left *left, bool aside, int i, int k, uint32_t word)
{
  if (aside)
    left->aside[i * LEFT_WORDS + k * WARP + lane_here()] = word;
  else
    left->words[i % 4][k] = word;
}
HERE void left_get(const struct left *left, bool aside, int i, uint32_t a[8])
{
  UNROLL
  for (int k = 0; k < 8; k++)
    a[k] = aside ? left->aside[i * LEFT_WORDS + k * WARP + lane_here()] : left->words[i % 4][k];
}

/* Every line by itself, with the right operand's terms that it does not have as +0. */
HERE void lines_multiply(const uint32_t a[8], const uint32_t b[4], const struct seen seen[2], const real c[4],
                         real sum[4])
{
  ROLLED
  for (int line = 0; line < LINES; line++) {
    const bool low = line < 8;
    const int holder = line % 8 * 4;
    const int from = (int)lane_from((real)(low ? seen[0].from : seen[1].from), holder);
    const int end = (int)lane_from((real)(low ? seen[0].end : seen[1].end), holder);
    const struct seen own = {from, end};
    uint32_t right[4];
    real alone[4];
    UNROLL
    for (int j = 0; j < 4; j++) {
      const int term = 2 * (4 * j + lane_part());
      right[j] = b[j] & ((seen_has(own, term) ? 0xffff : 0) | (seen_has(own, term + 1) ? 0xffff0000u : 0));
      alone[j] = c[j];
    }
    tile_multiply(a, right, alone);
    UNROLL
    for (int x = 0; x < 4; x++)
      if (lane_group() == line % 8 && low == (x < 2)) sum[x] = alone[x];
  }
}

/* c += a b, where a line has only the terms seen[0] (line g), seen[1] (g + 8): a is +0 at the others, b is whatever
   stands there. Their products are zeros, which move no sum, unless b is not finite (NaN), or they are -0 and all the
   rest is too: then it is done again, line by line. A line that has no term keeps its c. */
HERE void tile_multiply_seen(const uint32_t a[8], const uint32_t b[4], const struct seen seen[2], real c[4])
{
  real sum[4];
  bool doubt = false;
  UNROLL
  for (int x = 0; x < 4; x++) sum[x] = c[x];
  tile_multiply(a, b, sum);
  UNROLL
  for (int x = 0; x < 4; x++) {
    const uint32_t bits = bits_of(sum[x]);
    doubt = doubt || bits == 0x80000000u || (bits & 0x7fffffffu) > 0x7f800000u;
  }
  if (lanes_any(doubt)) lines_multiply(a, b, seen, c, sum);
  UNROLL
  for (int x = 0; x < 4; x++)
    if (seen_any(seen[x / 2])) c[x] = sum[x];
}

#endif
