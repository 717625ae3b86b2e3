/* compute/cpu/simd/attention_backward_bf16: the squares of bf16/attention_backward.c, 32 positions by 32 keys of one
 * query head, over words.inc.h. K and V of a square are turned, q and dout made words, so that every product has its
 * lanes along memory. Where all see all a product is a tile; at the edges each row, or key, walks what it sees. A
 * thread has a KV head, or some panels of its D, for all rows.
 *
 * Floors, per (row, head, key): 10 D operations, one exp and one division; turning and packing 1/32 of it.
 */
#ifndef ASSAY_COMPUTE_CPU_SIMD_ATTENTION_BACKWARD_BF16_INC_H
#define ASSAY_COMPUTE_CPU_SIMD_ATTENTION_BACKWARD_BF16_INC_H

#include "compute/cpu/simd/attention_bf16.inc.h"

WORDS_TABLE(KEYS)

/* A square and its buffers, in the thread's scratch. Rows first .. end-1 of the block of positions from `position` on
 * are the run's. */
struct square {
  const struct rows_run *run;
  int32_t position, first, end, start;
  int head, kv_head;
  size_t lane, lanes;          /* the part of D whose gradients are this thread's */
  struct seen seen[KEY_BLOCK]; /* by row */
  float m[KEY_BLOCK], l[KEY_BLOCK], delta[KEY_BLOCK];
  float p[KEY_BLOCK * KEY_BLOCK], ds[KEY_BLOCK * KEY_BLOCK];                      /* [row][key] */
  float q[KEY_BLOCK * WORD_STRIDE], dout[KEY_BLOCK * WORD_STRIDE];                /* [row][D'], rounded */
  uint32_t q_words[KEY_BLOCK / 2 * DIM_MAX], dout_words[KEY_BLOCK / 2 * DIM_MAX]; /* [row pair][D] */
  uint32_t key_words[KEY_BLOCK / 2 * DIM_MAX];                                    /* [key pair][D'] */
  uint32_t value_words[DIM_MAX / 2 * KEY_BLOCK];                                  /* [d pair][key] */
  uint32_t copy[DIM_MAX / 2 * KEY_BLOCK + KEY_BLOCK / 2 * DIM_MAX];
};
_Static_assert(sizeof(struct square) <= 512 * 1024, "fits in a thread's scratch");

/* [M, H] index of a row of the square. */
static size_t square_pair(const struct attention_call *c, const struct square *s, int32_t t)
{
  return (size_t)(s->run->row + s->position + t - s->run->position) * (size_t)c->shape->heads + (size_t)s->head;
}

/* The rows' vectors and statistics, once for all keys; dq = 0. */
static void square_rows(const struct attention_call *c, struct square *s)
{
  const size_t dim = c->dim;
  const struct m16 all = m16_first(PANEL);
  for (int32_t t = s->first; t < s->end; t++) {
    const size_t at = square_pair(c, s, t);
    struct f16 lane = f16_zero();
    for (size_t d = 0; d < dim; d += 16)
      lane = f16_fma(f16_load(c->dout + at * dim + d), f16_load(c->o_in + at * dim + d), lane);
    s->delta[t] = f16_sum(lane);
    s->m[t] = c->stat_in[2 * at];
    s->l[t] = c->stat_in[2 * at + 1];
    pack_row(s->q + t * WORD_STRIDE, c->q + at * dim, dim);
    pack_row(s->dout + t * WORD_STRIDE, c->dout + at * dim, dim);
    memset(c->dq + at * dim + s->lane, 0, s->lanes * sizeof *c->dq);
  }
  for (int32_t t = 0; t < KEY_BLOCK; t += 2)
    for (size_t d = s->lane; d < s->lane + s->lanes; d += 16) {
      const bool even = t >= s->first && t < s->end, odd = t + 1 >= s->first && t + 1 < s->end;
      const float *q = s->q + t * WORD_STRIDE + d, *dout = s->dout + t * WORD_STRIDE + d;
      const size_t to = (size_t)(t / 2) * dim + d;
      w16_store(s->q_words + to, words_of_rows(even ? q : NULL, odd ? q + WORD_STRIDE : NULL, all));
      w16_store(s->dout_words + to, words_of_rows(even ? dout : NULL, odd ? dout + WORD_STRIDE : NULL, all));
    }
}

/* Scores, dP, and from them P = exp(s scale - m) / l and dS = (P (dP - Delta)) scale, with the cap's slope, rounded.
 * Lanes that are not seen hold nonsense and are never read. */
static void square_weights(const struct attention_call *c, struct square *s, const struct piece *piece)
{
  const size_t first = (size_t)s->first, rows = (size_t)(s->end - s->first), dim = c->dim;
  struct words_tile t = {.a = s->q + first * WORD_STRIDE,
                         .b = piece->key,
                         .b_step = piece->key_step,
                         .c = s->p + first * KEY_BLOCK,
                         .c_row = KEY_BLOCK,
                         .blocks = block_round(dim) / TERM_BLOCK};
  words_across(t, &words_ROWS, ROW_AT_ROWS, rows, KEY_BLOCK / PANEL);
  t.a = s->dout + first * WORD_STRIDE;
  t.b = s->value_words;
  t.b_step = KEY_BLOCK;
  t.c = s->ds + first * KEY_BLOCK;
  words_across(t, &words_ROWS, ROW_AT_ROWS, rows, KEY_BLOCK / PANEL);
  for (size_t i = first; i < first + rows; i++)
    for (size_t j = 0; j < KEY_BLOCK; j += 16) {
      float *p = s->p + i * KEY_BLOCK + j, *ds = s->ds + i * KEY_BLOCK + j;
      struct f16 slope;
      const struct f16 z = f16_score_slope(f16_load(p), &c->score, &slope), e = f16_exp(f16_sub(z, f16_set(s->m[i])));
      const struct f16 x = f16_div(e, f16_set(s->l[i]));
      f16_store(p, f16_round(x));
      f16_store(
          ds, f16_round(f16_through_score(f16_mul(x, f16_sub(f16_load(ds), f16_set(s->delta[i]))), &c->score, slope)));
    }
}

/* K and V of the square the other way round. */
static void square_turn(const struct attention_call *c, struct square *s, const struct piece *piece)
{
  const size_t dim = c->dim, width = block_round(dim);
  for (size_t d = 0; d < width; d += 32)
    for (size_t j = 0; j < KEY_BLOCK; j += 16) {
      uint32_t *to = s->key_words + j / 2 * width + d;
      words_turn(piece->key + d / 2 * piece->key_step + j, piece->key_step, to, to + 16, width);
    }
  for (size_t d = 0; d < dim; d += 16) {
    uint32_t *to = s->value_words + d / 2 * KEY_BLOCK;
    words_turn(piece->value + d, dim, to, to + 16, KEY_BLOCK);
  }
  memset(s->value_words + dim / 2 * KEY_BLOCK, 0, (width - dim) / 2 * KEY_BLOCK * sizeof *s->value_words);
}

/* dq of the rows: those that see all keys together. */
static void square_dq(const struct attention_call *c, const struct square *s)
{
  const size_t width = block_round(c->dim), panels = s->lanes / PANEL;
  for (int32_t i = s->first, end; i < s->end; i = end) {
    const float *a = s->ds + i * KEY_BLOCK;
    float *dq = c->dq + square_pair(c, s, i) * c->dim + s->lane;
    end = i + 1;
    if (!seen_whole(s->seen[i])) {
      edge_across(a, 1, s->key_words + s->lane, width, dq, s->seen[i], panels);
      continue;
    }
    while (end < s->end && seen_whole(s->seen[end])) end++;
    const struct words_tile t = {.a = a,
                                 .b = s->key_words + s->lane,
                                 .b_step = width,
                                 .c = dq,
                                 .c_row = (size_t)c->shape->heads * c->dim,
                                 .blocks = 1,
                                 .load = true};
    words_across(t, &words_PAIRS, ROW_AT_PAIRS, (size_t)(end - i), panels);
  }
}

/* dk and dv of keys first .. first+keys-1 of the square, whose slots follow each other: at, of the first in both. */
static void square_dkv_keys(const struct attention_call *c, const struct square *s, bool whole, int32_t first,
                            int32_t keys, size_t at)
{
  const size_t row = (size_t)c->shape->kv_heads * c->dim, panels = s->lanes / PANEL;
  if (whole) {
    struct words_tile t = {.a = s->ds + first,
                           .b = s->q_words + s->lane,
                           .b_step = c->dim,
                           .c = c->dk + at + s->lane,
                           .c_row = row,
                           .blocks = 1,
                           .load = true};
    words_across(t, &words_KEYS, ROW_AT_KEYS, (size_t)keys, panels);
    t.a = s->p + first;
    t.b = s->dout_words + s->lane;
    t.c = c->dv + at + s->lane;
    words_across(t, &words_KEYS, ROW_AT_KEYS, (size_t)keys, panels);
    return;
  }
  for (int32_t j = first; j < first + keys; j++, at += row) {
    /* The rows that see a key follow each other, for a run's positions ascend. */
    struct seen by = {s->first, s->end};
    while (by.from < by.end && !(s->seen[by.from].from <= j && j < s->seen[by.from].end)) by.from++;
    while (by.end > by.from && !(s->seen[by.end - 1].from <= j && j < s->seen[by.end - 1].end)) by.end--;
    edge_across(s->ds + j, KEY_BLOCK, s->q_words + s->lane, c->dim, c->dk + at + s->lane, by, panels);
    edge_across(s->p + j, KEY_BLOCK, s->dout_words + s->lane, c->dim, c->dv + at + s->lane, by, panels);
  }
}

/* The square's keys span by span: the slots of a span follow each other. */
static void square_dkv(const struct attention_call *c, const struct square *s, int32_t low)
{
  const size_t row = (size_t)c->shape->kv_heads * c->dim;
  const struct rows_span *span = c->rows->spans + s->run->span;
  const int32_t last = s->position + s->end, end = last < s->start + KEY_BLOCK ? last : s->start + KEY_BLOCK;
  bool whole = s->first == 0 && s->end == KEY_BLOCK;
  for (int32_t i = s->first; i < s->end; i++) whole = whole && seen_whole(s->seen[i]);
  for (int32_t j = low > s->start ? low : s->start; j < end; span++) {
    const int32_t span_end = span->position + span->count < end ? span->position + span->count : end;
    if (span_end <= j) continue;
    const size_t slot = (size_t)(span->slot + j - span->position);
    square_dkv_keys(c, s, whole, j - s->start, span_end - j, slot * row + (size_t)s->kv_head * c->dim);
    j = span_end;
  }
}

/* All keys of the rows of one block of positions, for one query head. */
static void backward_rows(const struct attention_call *c, struct square *s)
{
  const int32_t low = attention_first(c->shape->window, s->position + s->first), high = s->position + s->end - 1;
  square_rows(c, s);
  for (s->start = low / KEY_BLOCK * KEY_BLOCK; s->start <= high; s->start += KEY_BLOCK) {
    const struct piece piece = piece_load(c, s->run, s->kv_head, s->start, low, high, s->copy);
    for (int32_t i = s->first; i < s->end; i++) s->seen[i] = seen_of(c, s->position + i, s->start);
    square_turn(c, s, &piece);
    square_weights(c, s, &piece);
    square_dq(c, s);
    square_dkv(c, s, low);
  }
}

static void backward_head(const struct attention_call *c, struct square *s, size_t kv_head, size_t lane,
                          size_t lane_end)
{
  const int group = c->shape->heads / c->shape->kv_heads;
  s->kv_head = (int)kv_head;
  s->lane = lane;
  s->lanes = lane_end - lane;
  for (int32_t i = 0; i < c->rows->run_count && lane < lane_end; i++) {
    s->run = c->rows->runs + i;
    const int32_t from = s->run->position, end = from + s->run->count;
    for (s->position = from / KEY_BLOCK * KEY_BLOCK; s->position < end; s->position += KEY_BLOCK)
      for (int g = 0; g < group; g++) {
        s->head = (int)kv_head * group + g;
        s->first = from > s->position ? from - s->position : 0;
        s->end = end - s->position < KEY_BLOCK ? end - s->position : KEY_BLOCK;
        backward_rows(c, s);
      }
  }
}

/* KV heads are dealt out evenly. Those left over are split by panels of D: each part computes the weights anew, two
 * products of five. */
static void backward_part(void *arg, int thread, size_t begin, size_t end)
{
  const struct attention_call *c = arg;
  struct square *s = thread_scratch(c->device, thread);
  const size_t heads = (size_t)c->shape->kv_heads, threads = (size_t)pool_threads(c->device->pool),
               panels = c->dim / PANEL;
  const size_t each = heads / threads, left = heads % threads, parts = left ? size_min(threads / left, panels) : 0;
  for (size_t item = begin; item < end; item++) {
    for (size_t head = item * each; head < (item + 1) * each; head++) backward_head(c, s, head, 0, c->dim);
    if (item >= left * parts) continue;
    const size_t part = item % parts;
    backward_head(c, s, each * threads + item / parts, panels * part / parts * PANEL,
                  panels * (part + 1) / parts * PANEL);
  }
}

static void attention_backward_run(struct device *d, const struct attention_shape *shape, const struct kv *kv,
                                   int layer, const struct rows *rows, struct view q, struct view o, struct view stat,
                                   struct view dout, struct view dq, struct kv_grad_view grad)
{
  if (rows->count <= 0) return;
  if (!attention_fits(shape)) {
    attention_backward_bf16(d, shape, kv, layer, rows, q, o, stat, dout, dq, grad);
    return;
  }
  ASSAY_BUG_IF(layer < 0 || layer >= kv->shape.layers || shape->heads % shape->kv_heads);
  ASSAY_BUG_IF(shape->kv_heads != kv->shape.heads || shape->head_dim != kv->shape.head_dim);
  ASSAY_BUG_IF(d->scratch_each < sizeof(struct square));
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
