/* cuda/attention_bf16: attention.cu in compute type bf16, on tensor cores (attention_bf16.h). The order is backend.h's:
 * key blocks of 32 one behind the other, each one block of a sum; sum16 over the lanes that hold a line's weights.
 *
 * Many rows (prefill, training): a team's warps have 16 lines each and read the same blocks of K and V from shared
 * memory, the next one on its way. Few rows (decoding): a team has 16 lines, its eight warps a block of keys each: they
 * make the scores of eight blocks at once, tell each other their maxima, make the weights, and add the eight blocks in
 * order, each to its own columns of o. So the chain of a long path costs a maximum and a few products a block.
 *
 * Floors, per line and key: 4 D operations of a tensor core and one exp (some 25 instructions of a lane with scale,
 * maximum and sum: at D = 64 more than the products). Bytes of K and V: 4 D per position and KV head once for each
 * team: in decoding all there is to read, 84 MB per layer for 256 paths of 640 positions and 2 KV heads of 64.
 */
#include "compute/cuda/attention_bf16.h"

struct attention_tiles {
  struct tile_args t;
  const real *q;
  real *o, *stat;
};

/* What the two lines of a lane carry from block to block. */
struct softmax {
  real m[2], l[2];
};

/* ---- steps of both ---- */

HERE uint32_t query_word(const struct attention_tiles *a, const struct line *line, int pair)
{
  const size_t dim = a->t.path.dim, at = 2 * (size_t)pair;
  return at < dim ? word_pack(a->q[line->item * dim + at], a->q[line->item * dim + at + 1]) : 0;
}

HERE void query_load(const struct attention_tiles *a, const struct line line[2], int c, bool aside, struct left *q)
{
  UNROLL
  for (int i = 0; i < c; i++)
    UNROLL
    for (int k = 0; k < 8; k++) left_set(q, aside, i, k, query_word(a, &line[k % 2], 16 * i + k / 2 * 4 + lane_part()));
}

/* s = s scale, capped, -inf where not seen; top: the largest of a line's and of what top was. */
HERE void scores_end(const struct tile_args *a, const struct seen seen[2], real s[4][4], real top[2])
{
  real slope;
  UNROLL
  for (int n = 0; n < 4; n++)
    UNROLL
    for (int x = 0; x < 4; x++) {
      const real score = score_cap(&a->score, s[n][x] * a->score.scale, &slope);
      s[n][x] = seen_has(seen[x / 2], 8 * n + 2 * lane_part() + x % 2) ? score : -REAL_INFINITY;
      top[x / 2] = s[n][x] > top[x / 2] ? s[n][x] : top[x / 2];
    }
  UNROLL
  for (int h = 0; h < 2; h++) {
    UNROLL
    for (int mask = 2; mask; mask /= 2) {
      const real other = lane_across(top[h], mask);
      top[h] = other > top[h] ? other : top[h];
    }
    top[h] += 0; /* -0 becomes +0 */
  }
}

/* sum16 of a line's 32 terms: lane t holds terms 8n + 2t and 8n + 2t + 1. */
HERE real line_sum(real s[4][4], int h)
{
  real part[2];
  UNROLL
  for (int x = 0; x < 2; x++) {
    part[x] = (s[0][2 * h + x] + s[2][2 * h + x]) + (s[1][2 * h + x] + s[3][2 * h + x]);
    part[x] = part[x] + lane_across(part[x], 2);
    part[x] = part[x] + lane_across(part[x], 1);
  }
  return part[0] + part[1];
}

/* e = exp(s - m), +0 for a line that sees nothing; their sums, and the rounded ones as a left operand. */
HERE void weights_make(const struct seen seen[2], const real m[2], real s[4][4], real sum[2], uint32_t e[8])
{
  UNROLL
  for (int n = 0; n < 4; n++)
    UNROLL
    for (int x = 0; x < 4; x++) s[n][x] = seen_any(seen[x / 2]) ? real_exp(s[n][x] - m[x / 2]) : 0;
  UNROLL
  for (int h = 0; h < 2; h++) {
    sum[h] = line_sum(s, h);
    UNROLL
    for (int n = 0; n < 4; n++) e[2 * n + h] = word_pack(s[n][2 * h], s[n][2 * h + 1]);
  }
}

/* f = exp(m - m'), 0 in the first block that the line sees, 1 in one that it does not see. */
HERE real factor_of(struct seen seen, const struct line *line, int32_t start, real before, real m)
{
  return !seen_any(seen) ? 1 : start <= line->first ? 0 : real_exp(before - m);
}

HERE void output_add(const uint32_t e[8], const uint32_t b[4], const struct seen seen[2], bool whole, const real f[2],
                     real o[4])
{
  UNROLL
  for (int x = 0; x < 4; x++) o[x] = o[x] * f[x / 2];
  if (whole)
    tile_multiply(e, b, o);
  else
    tile_multiply_seen(e, b, seen, o);
}

/* Columns 8n .. 8n + 7 of o / l. */
HERE void output_store(const struct attention_tiles *a, const struct line line[2], int n, const real o[4],
                       const real l[2])
{
  const size_t dim = a->t.path.dim, column = (size_t)(8 * n + 2 * lane_part());
  UNROLL
  for (int x = 0; x < 4; x++)
    if (line[x / 2].there && column < dim)
      a->o[line[x / 2].item * dim + column + (size_t)(x % 2)] = real_divide(o[x], l[x / 2]);
}
HERE void stat_store(const struct attention_tiles *a, const struct line line[2], const struct softmax *state)
{
  UNROLL
  for (int h = 0; h < 2; h++) {
    if (lane_part() || !line[h].there) continue;
    a->stat[2 * line[h].item] = state->m[h];
    a->stat[2 * line[h].item + 1] = state->l[h];
  }
}

/* ---- many rows ---- */

HERE void rows_block(const struct tile_args *a, const int c, const struct left *q, const uint32_t *keys,
                     const uint32_t *values, const struct line line[2], int32_t start, bool whole,
                     struct softmax *state, real o[MOST_TILES][4])
{
  const int dim = (int)a->path.dim;
  struct seen seen[2];
  real s[4][4] = {{0}}, top[2], f[2], sum[2];
  uint32_t left[8], right[4];
  UNROLL
  for (int i = 0; i < c; i++) {
    if (TERM_BLOCK * i >= dim) continue;
    left_get(q, c > 4, i, left);
    UNROLL
    for (int n = 0; n < 4; n++) {
      keys_by_d(keys, i, n, right);
      tile_multiply(left, right, s[n]);
    }
  }
  UNROLL
  for (int h = 0; h < 2; h++) {
    seen[h] = seen_of(line[h].first, line[h].last, start);
    top[h] = state->m[h];
  }
  scores_end(a, seen, s, top);
  weights_make(seen, top, s, sum, left);
  UNROLL
  for (int h = 0; h < 2; h++) {
    f[h] = factor_of(seen[h], &line[h], start, state->m[h], top[h]);
    state->m[h] = top[h];
    state->l[h] = seen_any(seen[h]) ? real_fma(state->l[h], f[h], sum[h]) : state->l[h];
  }
  UNROLL
  for (int n = 0; n < 4 * c; n++) {
    if (8 * n >= dim) continue;
    values_by_key(values, c, n, right);
    output_add(left, right, seen, whole, f, o[n]);
  }
}

/* stages: blocks of K and V in shared memory, 1 or 2. aside: for q of large heads. */
HERE void rows_run(const struct attention_tiles *a, const int c, const int warps, const int stages, uint32_t *words,
                   uint32_t *aside)
{
  struct unit u;
  if (!unit_find(&a->t, (size_t)(warps * LINES), &u)) return;
  const size_t pair = u.pair + (size_t)(warp_here() * LINES);
  const struct reach team = reach_of(&a->t, &u, u.pair, (size_t)(warps * LINES)), own = reach_of(&a->t, &u, pair, LINES);
  const struct line line[2] = {line_of(&a->t, &u, pair + (size_t)lane_group()),
                               line_of(&a->t, &u, pair + (size_t)lane_group() + 8)};
  struct softmax state = {{-REAL_INFINITY, -REAL_INFINITY}, {0, 0}};
  struct left q;
  real o[MOST_TILES][4];
  q.aside = aside + warp_here() * c * LEFT_WORDS;
  query_load(a, line, c, c > 4, &q);
  UNROLL
  for (int n = 0; n < 4 * c; n++)
    UNROLL
    for (int x = 0; x < 4; x++) o[n][x] = 0;
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
      rows_block(&a->t, c, &q, here, here + c * KEY_WORDS, line, start, reach_whole(&own, start), &state, o);
    if (stages == 2) continue;
    team_wait();
    if (more) block_fetch(&a->t, &u, start + KEY_BLOCK, team.low, team.high, c, next, next + c * KEY_WORDS);
  }
  UNROLL
  for (int n = 0; n < 4 * c; n++) output_store(a, line, n, o[n], state.l);
  stat_store(a, line, &state);
}

enum { ROW_WARPS = 4, ROW_WARPS_LARGE = 2 /* heads over 128 */ };

KERNEL_TEAM(attention_rows_64, struct attention_tiles, ROW_WARPS *WARP)
{
  SHARED uint32_t words[2 * 2 * 2 * KEY_WORDS];
  rows_run(&a, 2, ROW_WARPS, 2, words, words);
}
KERNEL_TEAM(attention_rows_128, struct attention_tiles, ROW_WARPS *WARP)
{
  SHARED uint32_t words[2 * 2 * 4 * KEY_WORDS];
  rows_run(&a, 4, ROW_WARPS, 2, words, words);
}
KERNEL_TEAM(attention_rows_256, struct attention_tiles, ROW_WARPS_LARGE *WARP)
{
  SHARED uint32_t words[2 * 8 * KEY_WORDS + ROW_WARPS_LARGE * 8 * LEFT_WORDS];
  rows_run(&a, 8, ROW_WARPS_LARGE, 1, words, words + 2 * 8 * KEY_WORDS);
}

/* ---- few rows ---- */

enum { FEW_WARPS = 8 };

/* What the warps, a block of keys each, tell each other. */
struct few_shared {
  real top[FEW_WARPS][LINES], f[FEW_WARPS][LINES], sum[FEW_WARPS][LINES];
  uint32_t e[FEW_WARPS][8][WARP];
};

/* Scores of the warp's block, K straight from memory. */
HERE void few_scores(const struct attention_tiles *a, const struct unit *u, const int c, const struct left *q,
                     int32_t start, const struct reach *reach, real s[4][4])
{
  const int dim = (int)a->t.path.dim;
  const uint32_t *key[4];
  bool there[4];
  uint32_t left[8], right[4];
  UNROLL
  for (int n = 0; n < 4; n++) {
    const int32_t position = start + 8 * n + lane_group();
    there[n] = position >= reach->low && position <= reach->high;
    key[n] = key_words(&a->t, u->run, u->head, there[n] ? position : reach->low);
    UNROLL
    for (int x = 0; x < 4; x++) s[n][x] = 0;
  }
  UNROLL
  for (int i = 0; i < c; i++) {
    if (TERM_BLOCK * i >= dim) continue;
    left_get(q, true, i, left);
    UNROLL
    for (int n = 0; n < 4; n++) {
      UNROLL
      for (int j = 0; j < 4; j++)
        right[j] = there[n] ? key[n][(size_t)(16 * i + 4 * j + lane_part()) << a->t.shift] : 0;
      tile_multiply(left, right, s[n]);
    }
  }
}

/* Block v's part of the warp's columns: tiles warp, warp + 8, ... of o. */
HERE void few_block(const struct attention_tiles *a, const struct unit *u, const int c, int v, int32_t start,
                    const struct reach *reach, const struct line line[2], const struct few_shared *shared,
                    struct softmax *state, real o[MOST_TILES / FEW_WARPS][4])
{
  const int dim = (int)a->t.path.dim, g = lane_group();
  const struct seen seen[2] = {seen_of(line[0].first, line[0].last, start),
                               seen_of(line[1].first, line[1].last, start)};
  const real f[2] = {shared->f[v][g], shared->f[v][g + 8]};
  const bool whole = reach_whole(reach, start);
  const uint32_t *value[4];
  bool there[4];
  uint32_t e[8], right[4];
  UNROLL
  for (int h = 0; h < 2; h++)
    state->l[h] = seen_any(seen[h]) ? real_fma(state->l[h], f[h], shared->sum[v][g + 8 * h]) : state->l[h];
  UNROLL
  for (int k = 0; k < 8; k++) e[k] = shared->e[v][k][lane_here()];
  UNROLL
  for (int j = 0; j < 4; j++) {
    const int32_t position = start + 2 * (4 * j + lane_part());
    there[j] = position + 1 >= reach->low && position <= reach->high;
    value[j] = value_words(&a->t, u->run, u->head, there[j] ? position : reach->low);
  }
  UNROLL
  for (int i = 0; i < (c + 1) / 2; i++) {
    const int d = 8 * (warp_here() + FEW_WARPS * i);
    if (d >= dim) continue;
    UNROLL
    for (int j = 0; j < 4; j++) right[j] = there[j] && d + g < dim ? value[j][d + g] : 0;
    output_add(e, right, seen, whole, f, o[i]);
  }
}

/* All eight, four at a time in flight. */
HERE void few_output(const struct attention_tiles *a, const struct unit *u, const int c, int32_t begin,
                     const struct reach *reach, const struct line line[2], const struct few_shared *shared,
                     struct softmax *state, real o[MOST_TILES / FEW_WARPS][4])
{
  ROLLED
  for (int first = 0; first < FEW_WARPS; first += 4)
    UNROLL
    for (int v = 0; v < 4; v++) {
      const int32_t start = begin + (first + v) * KEY_BLOCK;
      if (start <= reach->high) few_block(a, u, c, first + v, start, reach, line, shared, state, o);
    }
}

/* Eight blocks of keys from `begin` on. */
HERE void few_chunk(const struct attention_tiles *a, const struct unit *u, const int c, const struct left *q,
                    int32_t begin, const struct reach *reach, const struct line line[2], struct few_shared *shared,
                    struct softmax *state, real o[MOST_TILES / FEW_WARPS][4])
{
  const int warp = warp_here(), g = lane_group();
  const int32_t start = begin + warp * KEY_BLOCK;
  const struct seen seen[2] = {seen_of(line[0].first, line[0].last, start),
                               seen_of(line[1].first, line[1].last, start)};
  const bool some = reach_some(reach, start);
  real s[4][4], top[2] = {-REAL_INFINITY, -REAL_INFINITY}, before[2], m[2], sum[2];
  uint32_t e[8];
  if (some) {
    few_scores(a, u, c, q, start, reach, s);
    scores_end(&a->t, seen, s, top);
  }
  UNROLL
  for (int h = 0; h < 2; h++)
    if (!lane_part()) shared->top[warp][g + 8 * h] = top[h];
  team_wait();
  UNROLL
  for (int h = 0; h < 2; h++) {
    before[h] = m[h] = state->m[h];
    UNROLL
    for (int v = 0; v < FEW_WARPS; v++) {
      if (v == warp) before[h] = state->m[h];
      const real other = shared->top[v][g + 8 * h];
      state->m[h] = other > state->m[h] ? other : state->m[h];
      if (v == warp) m[h] = state->m[h];
    }
  }
  if (some) {
    weights_make(seen, m, s, sum, e);
    UNROLL
    for (int k = 0; k < 8; k++) shared->e[warp][k][lane_here()] = e[k];
    UNROLL
    for (int h = 0; h < 2; h++) {
      if (lane_part()) continue;
      shared->f[warp][g + 8 * h] = factor_of(seen[h], &line[h], start, before[h], m[h]);
      shared->sum[warp][g + 8 * h] = sum[h];
    }
  }
  team_wait();
  few_output(a, u, c, begin, reach, line, shared, state, o);
}

HERE void few_run(const struct attention_tiles *a, const int c, struct few_shared *shared, uint32_t *aside)
{
  struct unit u;
  if (!unit_find(&a->t, LINES, &u)) return;
  const struct reach reach = reach_of(&a->t, &u, u.pair, LINES);
  const struct line line[2] = {line_of(&a->t, &u, u.pair + (size_t)lane_group()),
                               line_of(&a->t, &u, u.pair + (size_t)lane_group() + 8)};
  struct softmax state = {{-REAL_INFINITY, -REAL_INFINITY}, {0, 0}};
  struct left q;
  real o[MOST_TILES / FEW_WARPS][4] = {{0}};
  q.aside = aside;
  if (!warp_here()) query_load(a, line, c, true, &q);
  team_wait();
  for (int32_t begin = reach.low / KEY_BLOCK * KEY_BLOCK; begin <= reach.high; begin += FEW_WARPS * KEY_BLOCK)
    few_chunk(a, &u, c, &q, begin, &reach, line, shared, &state, o);
  UNROLL
  for (int i = 0; i < (c + 1) / 2; i++) output_store(a, line, warp_here() + FEW_WARPS * i, o[i], state.l);
  if (!warp_here()) stat_store(a, line, &state);
}

KERNEL_TEAM(attention_few_64, struct attention_tiles, FEW_WARPS *WARP)
{
  SHARED struct few_shared shared;
  SHARED uint32_t aside[2 * LEFT_WORDS];
  few_run(&a, 2, &shared, aside);
}
KERNEL_TEAM(attention_few_128, struct attention_tiles, FEW_WARPS *WARP)
{
  SHARED struct few_shared shared;
  SHARED uint32_t aside[4 * LEFT_WORDS];
  few_run(&a, 4, &shared, aside);
}
KERNEL_TEAM(attention_few_256, struct attention_tiles, FEW_WARPS *WARP)
{
  SHARED struct few_shared shared;
  SHARED uint32_t aside[8 * LEFT_WORDS];
  few_run(&a, 8, &shared, aside);
}

/* ---- the operation ---- */

static void launch_few(struct device *d, const struct attention_tiles *a)
{
  const size_t units = units_for(&a->t, LINES), heads = a->t.path.heads;
  if (a->t.path.dim <= 64)
    LAUNCH_TEAM(d, attention_few_64, units, heads, FEW_WARPS * WARP, *a);
  else if (a->t.path.dim <= 128)
    LAUNCH_TEAM(d, attention_few_128, units, heads, FEW_WARPS * WARP, *a);
  else
    LAUNCH_TEAM(d, attention_few_256, units, heads, FEW_WARPS * WARP, *a);
}

static void launch_rows(struct device *d, const struct attention_tiles *a)
{
  const size_t units = units_for(&a->t, ROW_WARPS * LINES), heads = a->t.path.heads;
  if (a->t.path.dim <= 64)
    LAUNCH_TEAM(d, attention_rows_64, units, heads, ROW_WARPS * WARP, *a);
  else if (a->t.path.dim <= 128)
    LAUNCH_TEAM(d, attention_rows_128, units, heads, ROW_WARPS * WARP, *a);
  else
    LAUNCH_TEAM(d, attention_rows_256, units_for(&a->t, ROW_WARPS_LARGE * LINES), heads, ROW_WARPS_LARGE * WARP, *a);
}

/* Runs of up to two tiles on the average are few rows. */
void CUDA_NAME(attention_bf16)(struct device *d, const struct attention_shape *shape, const struct kv *kv, int layer,
                               const struct rows *rows, struct view q, struct view o, struct view stat)
{
  if (rows->count <= 0) return;
  struct attention_tiles a = {tile_args_of(d, shape, kv, layer, rows), view_reals(q), view_reals(o), view_reals(stat)};
  if (!a.t.path.rows) return;
  if ((size_t)rows->count * a.t.group <= (size_t)rows->run_count * 2 * LINES)
    launch_few(d, &a);
  else
    launch_rows(d, &a);
}
