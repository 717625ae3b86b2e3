/* compute/cpu/simd/gemm_words: how gemm_bf16.inc.h does its products where there is only multiply-add. */
#ifndef ASSAY_COMPUTE_CPU_SIMD_GEMM_WORDS_INC_H
#define ASSAY_COMPUTE_CPU_SIMD_GEMM_WORDS_INC_H

#include "compute/cpu/simd/words.inc.h"

WORDS_TABLE(ROWS)
WORDS_TABLE(STEPS)

enum { WIDE_ROWS = 3 };
static void words_wide_1(const struct words_tile *t)
{
  words_run(1, WORD_WIDE_1, ROW_AT_ROWS, STEP_AT_ROWS, t);
}
static void words_wide_2(const struct words_tile *t)
{
  words_run(2, WORD_WIDE_2, ROW_AT_ROWS, STEP_AT_ROWS, t);
}
static void words_wide_3(const struct words_tile *t)
{
  words_run(3, WORD_WIDE_3, ROW_AT_ROWS, STEP_AT_ROWS, t);
}
static const struct {
  size_t panels;
  words_fn *run;
} words_wide[WIDE_ROWS] = {{WORD_WIDE_1, words_wide_1}, {WORD_WIDE_2, words_wide_2}, {WORD_WIDE_3, words_wide_3}};

enum {
  A_FLOATS = 160 * 1024,               /* a packed block of rows: 640 KiB of scratch */
  A_ROWS = A_FLOATS / WORD_STRIDE - 8, /* its most rows, ROWS */
  A_ALONE = A_FLOATS - WORD_STRIDE,    /* deepest single row */
};

#define PRODUCT_BEGIN()
#define PRODUCT_END()

/* Rows of a packed block of STEPS. */
static size_t a_rows_of_steps(size_t depth)
{
  return A_FLOATS / WORD_ROWS / depth * WORD_ROWS - WORD_ROWS;
}

/* ROWS: rows of `exist` numbers, `stride` apart, as `depth` rounded ones, +0 behind. */
static void a_pack_rows(float *a, const float *from, size_t stride, size_t rows, size_t exist, size_t depth)
{
  for (size_t j = 0; j < rows; j++)
    for (size_t t = 0; t < depth; t += 16)
      f16_store(a + j * WORD_STRIDE + t,
                f16_round(f16_load_mask(from + j * stride + t, m16_first(t < exist ? exist - t : 0))));
}

/* STEPS, tiles one behind the other, from `exist` steps of `rows` numbers; +0 up to depth. */
static void a_pack_steps(float *a, const float *from, size_t stride, size_t rows, size_t exist, size_t depth)
{
  const size_t tiles = (rows + WORD_ROWS - 1) / WORD_ROWS;
  for (size_t i = 0; i < tiles; i++, a += depth * WORD_ROWS) {
    const size_t first = rows * i / tiles, count = rows * (i + 1) / tiles - first;
    const struct m16 mask = m16_first(count);
    for (size_t t = 0; t < depth; t++)
      f16_store_mask(a + t * WORD_ROWS, mask,
                     t < exist ? f16_round(f16_load_mask(from + t * stride + first, mask)) : f16_zero());
  }
}

/* Panels that the next group takes of those left. */
static size_t group_size(size_t left, size_t rows, bool steps)
{
  if (!steps && rows <= WIDE_ROWS && left >= words_wide[rows - 1].panels) return words_wide[rows - 1].panels;
  return left >= WORD_PANELS ? WORD_PANELS : 1;
}

/* All row tiles of a packed block against one group of panels. t: a, c at the block's first row. */
static void group_over_rows(struct words_tile t, const float *a, bool steps, size_t rows, size_t panels)
{
  const struct words_table *table = steps ? &words_STEPS : &words_ROWS;
  const size_t tiles = (rows + WORD_ROWS - 1) / WORD_ROWS, depth = t.blocks * TERM_BLOCK;
  float *c = t.c;
  for (size_t i = 0; i < tiles; i++) {
    const size_t first = rows * i / tiles, count = rows * (i + 1) / tiles - first;
    t.a = a + (steps ? i * depth * WORD_ROWS : first * WORD_STRIDE);
    t.c = c + first * t.c_row;
    if (!steps && rows <= WIDE_ROWS && panels == words_wide[rows - 1].panels)
      words_wide[rows - 1].run(&t);
    else
      table->run[panels == WORD_PANELS][count - 1](&t);
  }
}

#endif
