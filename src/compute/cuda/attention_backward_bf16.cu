/* cuda/attention_backward_bf16: attention_backward.cu in compute type bf16, on tensor cores (attention_bf16.h), in three
 * passes.
 *
 * words     Delta, and q and dout as words, which stand where dq will be: two of its halves have its size.
 * slots     dk and dv: a team has 32 slots of a KV head and walks runs, blocks of 32 positions and heads in order. Of
 *           each it makes the square of slots by positions, S^T = k q^T and dP^T = v dout^T, each of its eight warps 16
 *           slots by 8 positions; then each adds the whole square to its quarter of the columns of 16 slots, which it
 *           keeps in registers from the first run to the last.
 * queries   dq: a team's warps have 16 lines each, as in the forward.
 *
 * Floors, per line and key: 2 D operations each for S, dP and dq, and again for S, dP, dk and dv: 14 D with what is made
 * twice, 10 D without; two exps and two divisions (some 60 instructions of a lane with the rest: at D = 64 about what
 * the products take). Bytes: q and dout as words once a team of 32 slots, 4 D a line; K and V 4 D a position and team.
 */
#include "compute/cuda/attention_bf16.h"

struct backward_tiles {
  struct tile_args t;
  const real *q, *o, *stat, *dout;
  real *dq, *dk, *dv, *delta; /* delta: [M, H] */
};

/* q's and dout's words of a pair, dim / 2 each. */
HERE uint32_t *item_words(const struct backward_tiles *a, size_t item)
{
  return (uint32_t *)a->dq + item * a->t.path.dim;
}

/* Delta = sum16 of fma(dout, o). A warp has a row and head. */
KERNEL_TEAM(backward_words, struct backward_tiles, TEAM)
{
  const size_t item = block_x() * (TEAM / WARP) + (size_t)warp_here(), dim = a.t.path.dim;
  if (item >= (size_t)a.t.path.rows * a.t.heads) return;
  const real *q = a.q + item * dim, *dout = a.dout + item * dim, *o = a.o + item * dim;
  uint32_t *words = item_words(&a, item);
  real sum = 0;
  for (size_t i = (size_t)(lane_here() % 16); i < dim; i += 16) sum = real_fma(dout[i], o[i], sum);
  sum = half_sum(sum);
  if (!lane_here()) a.delta[item] = sum;
  for (size_t i = (size_t)lane_here(); i < dim / 2; i += WARP) {
    words[i] = word_pack(q[2 * i], q[2 * i + 1]);
    words[dim / 2 + i] = word_pack(dout[2 * i], dout[2 * i + 1]);
  }
}

/* P = exp(s - m) / l; dS = (P (dP - Delta) slope) scale, of a visible pair. */
HERE real pair_gradient(const struct score_args *score, real s, real dp, const real stat[2], real delta, real *p)
{
  real slope;
  s = score_cap(score, s * score->scale, &slope);
  *p = real_divide(real_exp(s - stat[0]), stat[1]);
  const real ds = *p * (dp - delta);
  return (score->cap > 0 ? ds * slope : ds) * score->scale;
}

/* ---- dq_i: for each key block that has a visible key the block of bf16(dS_ij) and k_j ---- */

/* What a lane knows of its two lines. */
struct query_lines {
  struct line line[2];
  real stat[2][2], delta[2];
};

HERE void queries_load(const struct backward_tiles *a, const int c, struct query_lines *l, struct left *q,
                       struct left *dout)
{
  const int half = (int)a->t.path.dim / 2;
  UNROLL
  for (int h = 0; h < 2; h++) {
    const size_t item = l->line[h].item;
    l->stat[h][0] = a->stat[2 * item];
    l->stat[h][1] = a->stat[2 * item + 1];
    l->delta[h] = a->delta[item];
  }
  UNROLL
  for (int i = 0; i < c; i++)
    UNROLL
    for (int k = 0; k < 8; k++) {
      const int at = 16 * i + k / 2 * 4 + lane_part();
      const bool there = l->line[k % 2].there && at < half; /* a line's words are gone when its dq is written */
      const uint32_t *words = item_words(a, l->line[k % 2].item);
      left_set(q, c > 4, i, k, there ? words[at] : 0);
      left_set(dout, c > 2, i, k, there ? words[half + at] : 0);
    }
}

/* bf16(dS) of a block of keys, as a left operand. */
HERE void queries_square(const struct tile_args *a, const int c, const struct query_lines *l, const struct left *q,
                         const struct left *dout, const uint32_t *keys, const uint32_t *values,
                         const struct seen seen[2], uint32_t ds[8])
{
  real s[4][4] = {{0}}, dp[4][4] = {{0}}, p;
  uint32_t left[8], right[4];
  UNROLL
  for (int i = 0; i < c; i++) {
    if (TERM_BLOCK * i >= (int)a->path.dim) continue;
    left_get(q, c > 4, i, left);
    UNROLL
    for (int n = 0; n < 4; n++) {
      keys_by_d(keys, i, n, right);
      tile_multiply(left, right, s[n]);
    }
    left_get(dout, c > 2, i, left);
    UNROLL
    for (int n = 0; n < 4; n++) {
      values_by_d(values, c, i, n, right);
      tile_multiply(left, right, dp[n]);
    }
  }
  UNROLL
  for (int n = 0; n < 4; n++) {
    UNROLL
    for (int x = 0; x < 4; x++) {
      const int h = x / 2;
      const real gradient = pair_gradient(&a->score, s[n][x], dp[n][x], l->stat[h], l->delta[h], &p);
      s[n][x] = seen_has(seen[h], 8 * n + 2 * lane_part() + x % 2) ? gradient : 0;
    }
    ds[2 * n] = word_pack(s[n][0], s[n][1]);
    ds[2 * n + 1] = word_pack(s[n][2], s[n][3]);
  }
}

HERE void queries_block(const struct tile_args *a, const int c, const struct query_lines *l, const struct left *q,
                        const struct left *dout, const uint32_t *keys, const uint32_t *values, int32_t start,
                        bool whole, real dq[MOST_TILES][4])
{
  const struct seen seen[2] = {seen_of(l->line[0].first, l->line[0].last, start),
                               seen_of(l->line[1].first, l->line[1].last, start)};
  uint32_t ds[8], right[4];
  queries_square(a, c, l, q, dout, keys, values, seen, ds);
  UNROLL
  for (int n = 0; n < 4 * c; n++) {
    if (8 * n >= (int)a->path.dim) continue;
    keys_by_key(keys, n, right);
    if (whole)
      tile_multiply(ds, right, dq[n]);
    else
      tile_multiply_seen(ds, right, seen, dq[n]);
  }
}

/* The lines are made once more: until here registers are short. */
HERE void queries_store(const struct backward_tiles *a, const int c, const struct unit *u, size_t pair,
                        real dq[MOST_TILES][4])
{
  const size_t dim = a->t.path.dim;
  UNROLL
  for (int h = 0; h < 2; h++) {
    const struct line line = line_of(&a->t, u, pair + (size_t)(lane_group() + 8 * h));
    UNROLL
    for (int n = 0; n < 4 * c; n++)
      UNROLL
      for (int x = 0; x < 2; x++) {
        const size_t column = (size_t)(8 * n + 2 * lane_part() + x);
        if (line.there && column < dim) a->dq[line.item * dim + column] = dq[n][2 * h + x];
      }
  }
}

/* stages: as in the forward. aside: for dout, and for q, of large heads. */
HERE void queries_run(const struct backward_tiles *a, const int c, const int warps, const int stages, uint32_t *words,
                      uint32_t *aside)
{
  struct unit u;
  if (!unit_find(&a->t, (size_t)(warps * LINES), &u)) return;
  const size_t pair = u.pair + (size_t)(warp_here() * LINES);
  const struct reach team = reach_of(&a->t, &u, u.pair, (size_t)(warps * LINES)), own = reach_of(&a->t, &u, pair, LINES);
  struct query_lines l;
  struct left q, dout;
  real dq[MOST_TILES][4];
  l.line[0] = line_of(&a->t, &u, pair + (size_t)lane_group());
  l.line[1] = line_of(&a->t, &u, pair + (size_t)lane_group() + 8);
  dout.aside = aside + warp_here() * c * LEFT_WORDS;
  q.aside = dout.aside + warps * c * LEFT_WORDS;
  queries_load(a, c, &l, &q, &dout);
  UNROLL
  for (int n = 0; n < 4 * c; n++)
    UNROLL
    for (int x = 0; x < 4; x++) dq[n][x] = 0;
  int stage = 0;
  int32_t start = team.low / KEY_BLOCK * KEY_BLOCK;
  block_fetch(&a->t, &u, start, team.low, team.high, c, words, words + c * KEY_WORDS);
  for (; start <= team.high; start += KEY_BLOCK) {
    const bool more = start + KEY_BLOCK <= team.high;
    uint32_t *here = words + stage * 2 * c * KEY_WORDS;
    words_wait();
    team_wait();
    if (stages == 2) stage ^= 1;
    uint32_t *next = words + stage * 2 * c * KEY_WORDS;
    if (more && stages == 2)
      block_fetch(&a->t, &u, start + KEY_BLOCK, team.low, team.high, c, next, next + c * KEY_WORDS);
    if (reach_some(&own, start))
      queries_block(&a->t, c, &l, &q, &dout, here, here + c * KEY_WORDS, start, reach_whole(&own, start), dq);
    if (stages == 2) continue;
    team_wait();
    if (more) block_fetch(&a->t, &u, start + KEY_BLOCK, team.low, team.high, c, next, next + c * KEY_WORDS);
  }
  queries_store(a, c, &u, pair, dq);
}

enum { QUERY_WARPS = 4, QUERY_WARPS_LARGE = 1 /* heads over 128 */ };

KERNEL_TEAM(backward_queries_64, struct backward_tiles, QUERY_WARPS *WARP)
{
  SHARED uint32_t words[2 * 2 * 2 * KEY_WORDS];
  queries_run(&a, 2, QUERY_WARPS, 2, words, words);
}
KERNEL_TEAM(backward_queries_128, struct backward_tiles, QUERY_WARPS *WARP)
{
  SHARED uint32_t words[2 * 2 * 4 * KEY_WORDS + QUERY_WARPS * 4 * LEFT_WORDS];
  queries_run(&a, 4, QUERY_WARPS, 2, words, words + 2 * 2 * 4 * KEY_WORDS);
}
KERNEL_TEAM(backward_queries_256, struct backward_tiles, QUERY_WARPS_LARGE *WARP)
{
  SHARED uint32_t words[2 * 8 * KEY_WORDS + QUERY_WARPS_LARGE * 2 * 8 * LEFT_WORDS];
  queries_run(&a, 8, QUERY_WARPS_LARGE, 1, words, words + 2 * 8 * KEY_WORDS);
}

/* ---- dk_j, dv_j: runs, blocks of 32 positions and heads in order; in each the block of bf16(dS_ij) and bf16(q_i), of
   bf16(P_ij) and bf16(dout_i) over the 32 positions, left out where none of them sees the key ---- */

enum { SLOT_PARTS = 4 /* warps that share 16 slots */, SLOT_GROUPS = 2, SLOT_GROUPS_LARGE = 1 /* heads over 128 */ };

/* P and dS of the square as left operands: [group][word][lane]. */
struct square_words {
  uint32_t p[SLOT_GROUPS][8][WARP], ds[SLOT_GROUPS][8][WARP];
};

/* A warp's part of the work: 16 slots, and of them the square's columns 8 part .. 8 part + 7, and c tiles of dk and dv. */
struct slot_part {
  int group, part;
  int32_t slot[2]; /* of the lane's two lines */
  real dk[MOST_BLOCKS][4], dv[MOST_BLOCKS][4];
};

/* A run as the team's slots see it. */
struct slot_run {
  const struct rows_run *run;
  int32_t position[2];        /* of the lane's slots; -1: not on this path */
  int32_t block, blocks;      /* of 32 positions, from `block` on */
  struct left key;            /* of the warp's 16 slots; aside, once a group */
  uint32_t value[MOST_BLOCKS][8];
};

/* Positions low .. high of the run's path that stand in slots first .. after - 1; none: low > high. */
HERE void slots_positions(const struct path_args *path, const struct rows_run *run, int32_t first, int32_t after,
                          int32_t *low, int32_t *high)
{
  *low = INT32_MAX;
  *high = -1;
  for (int32_t i = 0; i < run->span_count; i++) {
    const struct rows_span *span = path->spans + run->span + i;
    const int32_t from = span->slot > first ? span->slot : first;
    const int32_t end = span->slot + span->count < after ? span->slot + span->count : after;
    if (from >= end) continue;
    const int32_t begin = span->position + (from - span->slot), last = begin + (end - from) - 1;
    *low = begin < *low ? begin : *low;
    *high = last > *high ? last : *high;
  }
}

/* The words of a slot's K or V that the lane has in left operands: line h, d from 32 i on. */
HERE void slot_words(const struct tile_args *a, const int c, size_t kv_head, int part, int h, struct slot_run *r)
{
  const int32_t position = r->position[h] < 0 ? 0 : r->position[h];
  const uint32_t *key = key_words(a, r->run, kv_head, position), *value = value_words(a, r->run, kv_head, position);
  const int half = (int)a->path.dim / 2;
  UNROLL
  for (int i = 0; i < c; i++)
    UNROLL
    for (int k = 0; k < 4; k++) {
      const int at = 16 * i + 4 * k + lane_part();
      const bool there = r->position[h] >= 0 && at < half;
      if (!part) left_set(&r->key, true, i, 2 * k + h, there ? key[(size_t)at << a->shift] : 0);
      r->value[i][2 * k + h] = there ? words_cross(value[2 * at], value[2 * at + 1], position) : 0;
    }
}

/* false: none of the run's rows sees one of the team's slots. */
HERE bool slot_run_begin(const struct tile_args *a, const int c, const int groups, size_t kv_head,
                         const struct slot_part *w, const struct rows_run *run, struct slot_run *r)
{
  const int32_t first_slot = (int32_t)block_x() * groups * LINES;
  int32_t low, high;
  slots_positions(&a->path, run, first_slot, first_slot + groups * LINES, &low, &high);
  const int32_t begin = run->position > low ? run->position : low;
  int32_t last = run->position + run->count - 1;
  if (a->window > 0 && last - high >= a->window) last = high + a->window - 1;
  if (high < 0 || begin > last) return false;
  r->run = run;
  r->block = begin / KEY_BLOCK;
  r->blocks = last / KEY_BLOCK - r->block + 1;
  UNROLL
  for (int h = 0; h < 2; h++) {
    r->position[h] = path_slot_position(&a->path, run, w->slot[h]);
    slot_words(a, c, kv_head, w->part, h, r);
  }
  return true;
}

/* Step i of a run: a block of positions and a head. */
HERE int32_t step_start(const struct tile_args *a, const struct slot_run *r, size_t step)
{
  return (r->block + (int32_t)(step / a->group)) * KEY_BLOCK;
}
HERE size_t step_item(const struct tile_args *a, const struct slot_run *r, size_t kv_head, size_t step,
                      int32_t position)
{
  return (size_t)(r->run->row + (position - r->run->position)) * a->heads + kv_head * a->group + step % a->group;
}
HERE bool run_has(const struct rows_run *run, int32_t position)
{
  return position >= run->position && position < run->position + run->count;
}

/* q and dout of a step's 32 positions begin to move to shared memory: [32][16 c] words each. */
HERE void step_fetch(const struct backward_tiles *a, const int c, const int groups, const struct slot_run *r,
                     size_t kv_head, size_t step, uint32_t *words)
{
  const int half = (int)a->t.path.dim / 2, width = c * TERM_BLOCK / 2;
  for (int t = warp_here(); t < KEY_BLOCK; t += groups * SLOT_PARTS) {
    const int32_t position = step_start(&a->t, r, step) + t;
    const bool there = run_has(r->run, position);
    const uint32_t *from = item_words(a, step_item(&a->t, r, kv_head, step, there ? position : r->run->position));
    for (int at = lane_here(); at < width; at += WARP) {
      word_fetch(words + words_place(t, at, width, false), from + at, there && at < half);
      word_fetch(words + KEY_BLOCK * width + words_place(t, at, width, false), from + half + at, there && at < half);
    }
  }
}

/* The warp's tile of the square: P and dS of 16 slots and 8 positions, rounded, for all warps of the group. */
HERE void step_square(const struct backward_tiles *a, const int c, const struct slot_part *w, const struct slot_run *r,
                      size_t kv_head, size_t step, const struct seen seen[2], const uint32_t *words,
                      struct square_words *square)
{
  const int width = c * TERM_BLOCK / 2, line = 8 * w->part + lane_group();
  const int32_t start = step_start(&a->t, r, step);
  real s[4] = {0}, dp[4] = {0}, stat[2][2], delta[2], p[4];
  UNROLL
  for (int x = 0; x < 2; x++) {
    const int32_t position = start + 8 * w->part + 2 * lane_part() + x;
    const size_t item =
        step_item(&a->t, r, kv_head, step, run_has(r->run, position) ? position : r->run->position);
    stat[x][0] = a->stat[2 * item];
    stat[x][1] = a->stat[2 * item + 1];
    delta[x] = a->delta[item];
  }
  UNROLL
  for (int i = 0; i < c; i++) {
    if (TERM_BLOCK * i >= (int)a->t.path.dim) continue;
    uint32_t key[8], q[4], dout[4];
    left_get(&r->key, true, i, key);
    UNROLL
    for (int j = 0; j < 4; j++) {
      const int at = line * width + ((i % 2 * 4 + j) ^ lane_group()) * 4 + lane_part() + i / 2 * 32; /* words_place */
      q[j] = words[at];
      dout[j] = words[KEY_BLOCK * width + at];
    }
    tile_multiply(key, q, s);
    tile_multiply(r->value[i], dout, dp);
  }
  UNROLL
  for (int x = 0; x < 4; x++) {
    s[x] = pair_gradient(&a->t.score, s[x], dp[x], stat[x % 2], delta[x % 2], &p[x]);
    if (seen_has(seen[x / 2], 8 * w->part + 2 * lane_part() + x % 2)) continue;
    s[x] = p[x] = 0;
  }
  UNROLL
  for (int h = 0; h < 2; h++) {
    square->p[w->group][2 * w->part + h][lane_here()] = word_pack(p[2 * h], p[2 * h + 1]);
    square->ds[w->group][2 * w->part + h][lane_here()] = word_pack(s[2 * h], s[2 * h + 1]);
  }
}

/* 32 positions by d 8n .. 8n + 7 of q or dout: words 4n + g / 2 of lines 8j + 2t and 8j + 2t + 1. */
HERE void words_by_position(const uint32_t *words, int width, int n, uint32_t b[4])
{
  const int next = width + 4 - n % 2 * 8; /* of words_place from line to line */
  const uint32_t *at = words + 2 * lane_part() * width + n / 8 * 32 + ((n % 8 / 2) ^ lane_part()) * 8 + n % 2 * 4 +
                       lane_group() / 2;
  UNROLL
  for (int j = 0; j < 4; j++) b[j] = words_cross(at[8 * j * width], at[8 * j * width + next], lane_group());
}

/* The square's block of the warp's columns. */
HERE void step_add(const struct tile_args *a, const int c, const struct seen seen[2], const uint32_t *words,
                   const struct square_words *square, struct slot_part *w)
{
  const int width = c * TERM_BLOCK / 2;
  const bool edge = lanes_any(seen[0].from > 0 || seen[0].end < KEY_BLOCK || seen[1].from > 0 || seen[1].end < KEY_BLOCK);
  uint32_t p[8], ds[8], q[4], dout[4];
  UNROLL
  for (int k = 0; k < 8; k++) {
    p[k] = square->p[w->group][k][lane_here()];
    ds[k] = square->ds[w->group][k][lane_here()];
  }
  UNROLL
  for (int n = 0; n < c; n++) {
    const int tile = w->part * c + n;
    if (8 * tile >= (int)a->path.dim) continue;
    words_by_position(words, width, tile, q);
    words_by_position(words + KEY_BLOCK * width, width, tile, dout);
    if (edge) {
      tile_multiply_seen(ds, q, seen, w->dk[n]);
      tile_multiply_seen(p, dout, seen, w->dv[n]);
    } else {
      tile_multiply(ds, q, w->dk[n]);
      tile_multiply(p, dout, w->dv[n]);
    }
  }
}

/* Positions of a block, of a run, that see a slot. */
HERE struct seen slot_seen(const struct tile_args *a, const struct rows_run *run, int32_t position, int32_t start)
{
  const int32_t last = run->position + run->count - 1;
  const int32_t end = a->window > 0 && last - position >= a->window ? position + a->window - 1 : last;
  if (position < 0) return seen_of(0, -1, start);
  return seen_of(position > run->position ? position : run->position, end, start);
}

HERE void slots_walk(const struct backward_tiles *a, const int c, const int groups, const int stages,
                     const struct rows_run *run, uint32_t *words, uint32_t *aside, struct square_words *square,
                     struct slot_part *w)
{
  const size_t kv_head = block_y();
  const int size = c * TERM_BLOCK * KEY_BLOCK; /* words of q and dout */
  struct slot_run r;
  r.key.aside = aside + w->group * c * LEFT_WORDS;
  if (!slot_run_begin(&a->t, c, groups, kv_head, w, run, &r)) return;
  const size_t steps = (size_t)r.blocks * a->t.group;
  int stage = 0;
  team_wait(); /* what the run before had in shared memory is used up */
  step_fetch(a, c, groups, &r, kv_head, 0, words);
  for (size_t step = 0; step < steps; step++) {
    const int32_t start = step_start(&a->t, &r, step);
    const struct seen seen[2] = {slot_seen(&a->t, run, r.position[0], start),
                                 slot_seen(&a->t, run, r.position[1], start)};
    uint32_t *here = words + stage * size;
    words_wait();
    team_wait();
    if (stages == 2) stage ^= 1;
    if (stages == 2 && step + 1 < steps) step_fetch(a, c, groups, &r, kv_head, step + 1, words + stage * size);
    step_square(a, c, w, &r, kv_head, step, seen, here, square);
    team_wait();
    step_add(&a->t, c, seen, here, square, w);
    if (stages == 2) continue;
    team_wait();
    if (step + 1 < steps) step_fetch(a, c, groups, &r, kv_head, step + 1, words);
  }
}

/* Element x of tile n of the warp's columns in dk and dv; SIZE_MAX outside. */
HERE size_t slot_at(const struct backward_tiles *a, const int c, const struct slot_part *w, int n, int x)
{
  const size_t dim = a->t.path.dim, column = (size_t)(8 * (w->part * c + n) + 2 * lane_part() + x % 2);
  const int32_t slot = w->slot[x / 2];
  if (slot >= a->t.path.slots || column >= dim) return SIZE_MAX;
  return ((size_t)slot * a->t.path.heads + block_y()) * dim + column;
}

/* aside: for the keys of the groups. */
HERE void slots_run(const struct backward_tiles *a, const int c, const int groups, const int stages, uint32_t *words,
                    uint32_t *aside, struct square_words *square)
{
  struct slot_part w;
  w.group = warp_here() / SLOT_PARTS;
  w.part = warp_here() % SLOT_PARTS;
  UNROLL
  for (int h = 0; h < 2; h++) w.slot[h] = ((int32_t)block_x() * groups + w.group) * LINES + lane_group() + 8 * h;
  UNROLL
  for (int n = 0; n < c; n++)
    UNROLL
    for (int x = 0; x < 4; x++) {
      const size_t at = slot_at(a, c, &w, n, x);
      w.dk[n][x] = at == SIZE_MAX ? 0 : a->dk[at];
      w.dv[n][x] = at == SIZE_MAX ? 0 : a->dv[at];
    }
  for (int32_t i = 0; i < a->t.path.run_count; i++)
    slots_walk(a, c, groups, stages, a->t.path.runs + i, words, aside, square, &w);
  UNROLL
  for (int n = 0; n < c; n++)
    UNROLL
    for (int x = 0; x < 4; x++) {
      const size_t at = slot_at(a, c, &w, n, x);
      if (at == SIZE_MAX) continue;
      a->dk[at] = w.dk[n][x];
      a->dv[at] = w.dv[n][x];
    }
}

KERNEL_TEAM(backward_slots_64, struct backward_tiles, SLOT_GROUPS *SLOT_PARTS *WARP)
{
  SHARED uint32_t words[2 * 2 * TERM_BLOCK * KEY_BLOCK];
  SHARED uint32_t aside[SLOT_GROUPS * 2 * LEFT_WORDS];
  SHARED struct square_words square;
  slots_run(&a, 2, SLOT_GROUPS, 2, words, aside, &square);
}
KERNEL_TEAM(backward_slots_128, struct backward_tiles, SLOT_GROUPS *SLOT_PARTS *WARP)
{
  SHARED uint32_t words[2 * 4 * TERM_BLOCK * KEY_BLOCK];
  SHARED uint32_t aside[SLOT_GROUPS * 4 * LEFT_WORDS];
  SHARED struct square_words square;
  slots_run(&a, 4, SLOT_GROUPS, 2, words, aside, &square);
}
KERNEL_TEAM(backward_slots_256, struct backward_tiles, SLOT_GROUPS_LARGE *SLOT_PARTS *WARP)
{
  SHARED uint32_t words[8 * TERM_BLOCK * KEY_BLOCK];
  SHARED uint32_t aside[SLOT_GROUPS_LARGE * 8 * LEFT_WORDS];
  SHARED struct square_words square;
  slots_run(&a, 8, SLOT_GROUPS_LARGE, 1, words, aside, &square);
}

/* ---- the operation ---- */

static size_t slot_units(const struct backward_tiles *a, int groups)
{
  return ((size_t)a->t.path.slots + (size_t)(groups * LINES) - 1) / (size_t)(groups * LINES);
}

static void launch_slots(struct device *d, const struct backward_tiles *a)
{
  const size_t units = slot_units(a, SLOT_GROUPS), heads = a->t.path.heads;
  if (a->t.path.dim <= 64)
    LAUNCH_TEAM(d, backward_slots_64, units, heads, SLOT_GROUPS * SLOT_PARTS * WARP, *a);
  else if (a->t.path.dim <= 128)
    LAUNCH_TEAM(d, backward_slots_128, units, heads, SLOT_GROUPS * SLOT_PARTS * WARP, *a);
  else
    LAUNCH_TEAM(d, backward_slots_256, slot_units(a, SLOT_GROUPS_LARGE), heads, SLOT_GROUPS_LARGE * SLOT_PARTS * WARP,
                *a);
}

static void launch_queries(struct device *d, const struct backward_tiles *a)
{
  const size_t units = units_for(&a->t, QUERY_WARPS * LINES), heads = a->t.path.heads;
  if (a->t.path.dim <= 64)
    LAUNCH_TEAM(d, backward_queries_64, units, heads, QUERY_WARPS * WARP, *a);
  else if (a->t.path.dim <= 128)
    LAUNCH_TEAM(d, backward_queries_128, units, heads, QUERY_WARPS * WARP, *a);
  else
    LAUNCH_TEAM(d, backward_queries_256, units_for(&a->t, QUERY_WARPS_LARGE * LINES), heads, QUERY_WARPS_LARGE * WARP,
                *a);
}

void CUDA_NAME(attention_backward_bf16)(struct device *d, const struct attention_shape *shape, const struct kv *kv,
                                        int layer, const struct rows *rows, struct view q, struct view o,
                                        struct view stat, struct view dout, struct view dq, struct kv_grad_view grad)
{
  if (rows->count <= 0) return;
  for (int32_t i = 0; i < rows->run_count; i++) ASSAY_BUG_IF(rows->runs[i].span_count < 1);
  struct backward_tiles a = {tile_args_of(d, shape, kv, layer, rows), view_reals(q), view_reals(o), view_reals(stat),
                             view_reals(dout), view_reals(dq), view_reals(grad.dk), view_reals(grad.dv), NULL};
  const size_t items = (size_t)a.t.path.rows * a.t.heads;
  a.delta = (real *)CUDA_NAME(cuda_room)(d, items * sizeof(real));
  if (!items || !a.delta) return;
  LAUNCH_TEAM(d, backward_words, (items + TEAM / WARP - 1) / (TEAM / WARP), 1, TEAM, a);
  launch_slots(d, &a);
  launch_queries(d, &a);
}
