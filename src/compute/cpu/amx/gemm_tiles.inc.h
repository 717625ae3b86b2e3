/* compute/cpu/amx/gemm_tiles: how simd/gemm_bf16.inc.h does its products with AMX: squares of 2 x 2 tiles, 32 rows by
 * two panels. Per block of 32 terms two tiles of each side are loaded for four instructions of 16 x 16 x 32. The packed
 * side lies in rows of bf16; the words of the other are tiles as they stand.
 *
 * Floor: 16 cycles an instruction, 1024 operations a cycle and core. */
#ifndef ASSAY_COMPUTE_CPU_AMX_GEMM_TILES_INC_H
#define ASSAY_COMPUTE_CPU_AMX_GEMM_TILES_INC_H

#include "compute/cpu/amx/tile.h"
#include "compute/cpu/simd/words.inc.h"

enum {
  ROW_WORDS = WORD_DEPTH / 2 + TILE_SIDE, /* from row to row of the packed side, off the powers of two */
  SQUARE_ROWS = 2 * TILE_SIDE,
  A_FLOATS = 160 * 1024,
  A_ROWS = A_FLOATS / ROW_WORDS - SQUARE_ROWS, /* a last square may read rows that are not there */
  A_ALONE = 2 * (A_FLOATS - SQUARE_ROWS * ROW_WORDS) / TERM_BLOCK * TERM_BLOCK /* deepest single row */
};

#define PRODUCT_BEGIN() TILES_BEGIN()
#define PRODUCT_END()   TILES_END()

static size_t a_rows_of_steps(size_t depth)
{
  (void)depth;
  return A_ROWS / TILE_SIDE * TILE_SIDE;
}

/* Rows of `exist` numbers, `stride` apart, as words up to `depth`, +0 behind. */
static void a_pack_rows(float *a, const float *from, size_t stride, size_t rows, size_t exist, size_t depth)
{
  uint32_t *to = (uint32_t *)(void *)a;
  for (size_t j = 0; j < rows; j++)
    for (size_t t = 0; t < depth; t += TERM_BLOCK) {
      float edge[TERM_BLOCK] = {0};
      const float *x = from + j * stride + t;
      struct f16 even, odd;
      if (t + TERM_BLOCK > exist) x = memcpy(edge, x, (exist - t) * sizeof *x);
      f16_load_pairs(x, TERM_BLOCK / 2, &even, &odd);
      w16_store(to + j * ROW_WORDS + t / 2, w16_join(f16_round(even), f16_round(odd)));
    }
}

/* The same rows from `exist` steps of `rows` numbers: 16 rows and 32 steps are turned at a time. */
static void a_pack_steps(float *a, const float *from, size_t stride, size_t rows, size_t exist, size_t depth)
{
  for (size_t j = 0; j < rows; j += TILE_SIDE)
    for (size_t t = 0; t < depth; t += TERM_BLOCK) {
      uint32_t words[TILE_SIDE * TILE_SIDE];
      const struct m16 mask = m16_first(rows - j);
      for (size_t i = 0; i < TERM_BLOCK; i += 2) {
        const float *x = from + (t + i) * stride + j;
        w16_store(words + i / 2 * TILE_SIDE,
                  words_of_rows(t + i < exist ? x : NULL, t + i + 1 < exist ? x + stride : NULL, mask));
      }
      f16_transpose((const float *)(const void *)words, TILE_SIDE, a + j * ROW_WORDS + t / 2, ROW_WORDS);
    }
}

static size_t group_size(size_t left, size_t rows, bool steps)
{
  (void)rows, (void)steps;
  return size_min(left, 2);
}

/* Tiles 0 .. 3 (two rows of two) += the product of a and b over all blocks. */
static void square_dot(const struct words_tile *t, bool two_rows, bool two_panels)
{
  const float *a = t->a;
  const uint32_t *b = t->b;
  for (size_t i = 0; i < t->blocks; i++, a += TILE_SIDE, b += PAIRS_PER_BLOCK * t->b_step) {
    TILE_LOAD(4, a, ROW_WORDS * sizeof *a);
    TILE_LOAD(6, b, t->b_step * sizeof *b);
    TILE_DOT(0, 4, 6);
    if (two_panels) {
      TILE_LOAD(7, b + t->b_panel, t->b_step * sizeof *b);
      TILE_DOT(1, 4, 7);
    }
    if (!two_rows) continue;
    TILE_LOAD(5, a + TILE_SIDE * ROW_WORDS, ROW_WORDS * sizeof *a);
    TILE_DOT(2, 5, 6);
    if (two_panels) TILE_DOT(3, 5, 7);
  }
}

/* A square whose four, two or one tiles are whole in c. */
static void square_whole(const struct words_tile *t, bool two_rows, bool two_panels)
{
  const size_t step = t->c_row * sizeof *t->c;
  float *c[] = {t->c, t->c + t->c_panel, t->c + TILE_SIDE * t->c_row, t->c + TILE_SIDE * t->c_row + t->c_panel};
  if (t->load) {
    TILE_LOAD(0, c[0], step);
    if (two_panels) TILE_LOAD(1, c[1], step);
    if (two_rows) TILE_LOAD(2, c[2], step);
    if (two_rows && two_panels) TILE_LOAD(3, c[3], step);
  } else {
    TILE_ZERO(0);
    TILE_ZERO(1);
    TILE_ZERO(2);
    TILE_ZERO(3);
  }
  square_dot(t, two_rows, two_panels);
  TILE_STORE(0, c[0], step);
  if (two_panels) TILE_STORE(1, c[1], step);
  if (two_rows) TILE_STORE(2, c[2], step);
  if (two_rows && two_panels) TILE_STORE(3, c[3], step);
}

/* A square with less, or with a bias: through a copy. */
static void square_part(const struct words_tile *t, size_t rows, size_t panels)
{
  float copy[SQUARE_ROWS * 2 * PANEL] = {0};
  struct words_tile whole = *t;
  whole.c = copy;
  whole.c_row = 2 * PANEL;
  whole.c_panel = PANEL;
  for (size_t j = 0; j < rows && t->load; j++)
    for (size_t p = 0; p < panels; p++)
      f16_store(copy + j * 2 * PANEL + p * PANEL,
                f16_load_mask(t->c + j * t->c_row + p * t->c_panel, m16_first(p + 1 < panels ? PANEL : t->lanes)));
  square_whole(&whole, rows > TILE_SIDE, panels == 2);
  for (size_t j = 0; j < rows; j++)
    for (size_t p = 0; p < panels; p++) {
      struct f16 sum = f16_load(copy + j * 2 * PANEL + p * PANEL);
      if (t->bias) sum = f16_add(sum, f16_load(t->bias + p * PANEL));
      f16_store_mask(t->c + j * t->c_row + p * t->c_panel, m16_first(p + 1 < panels ? PANEL : t->lanes), sum);
    }
}

/* All rows of a packed block against one or two panels. t: c at the block's first row. */
static void group_over_rows(struct words_tile t, const float *a, bool steps, size_t rows, size_t panels)
{
  float *c = t.c;
  (void)steps;
  for (size_t first = 0; first < rows; first += SQUARE_ROWS) {
    const size_t count = size_min(SQUARE_ROWS, rows - first);
    t.a = a + first * ROW_WORDS;
    t.c = c + first * t.c_row;
    if (count % TILE_SIDE || t.lanes < PANEL || t.bias)
      square_part(&t, count, panels);
    else
      square_whole(&t, count > TILE_SIDE, panels == 2);
  }
}

#endif
