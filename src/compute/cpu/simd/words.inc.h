/* compute/cpu/simd/words: the one inner loop of bf16, and the copies that make its operands.
 *
 *   c[j][p][lane] (+)= for each block of 32 terms: even + odd, chains of 16 multiply-adds from +0 over the block's even
 *   and odd terms of a[j, t] * b[p][t][lane]
 *
 * for a few rows j and panels p of 16 lanes. b comes in words, as it lies in a weight's copy and in KV: term pair by
 * term pair, widened by a shift and a mask on the way. a is rounded and widened already, so that a broadcast is a load.
 * The running sums stand in memory while the chains have the registers: two loads or stores for 32 multiply-adds, in
 * one place, for the rows of c may lie so that they hit each other's cache sets.
 *
 * Floors, per pair of terms: 2 rows * panels multiply-adds against panels words loaded, 2 panels shifts and masks, 2
 * rows broadcasts; per block 2 rows * panels additions: at 6 x 2, 24 multiply-adds against 4 and 1.5 other operations.
 */
#ifndef ASSAY_COMPUTE_CPU_SIMD_WORDS_INC_H
#define ASSAY_COMPUTE_CPU_SIMD_WORDS_INC_H

#include "compute/cpu/cpu.h"

enum { WORD_DEPTH = 384, WORD_STRIDE = WORD_DEPTH + 16, WORD_PANELS_MAX = 8, PAIRS_PER_BLOCK = TERM_BLOCK / 2 };

struct words_tile {
  const float *a;
  const uint32_t *b;
  float *c;
  size_t b_step, b_panel; /* words from one pair of terms, one panel of b to the next */
  size_t c_row, c_panel;  /* floats from one row, one panel of c to the next */
  size_t blocks;          /* of 32 terms, at least 1 */
  size_t lanes;           /* of the last panel of c that exist, 1 .. 16 */
  const float *bias;      /* added after the last block, a panel of 16 each; NULL: none */
  bool load;              /* start from c, not from +0 */
};

/* Forms of a: ROWS a[j, t] at j * WORD_STRIDE + t; STEPS at t * WORD_ROWS + j; KEYS at t * KEY_BLOCK + j; PAIRS at
 * j * KEY_BLOCK + t. */
enum {
  ROW_AT_ROWS = WORD_STRIDE,
  STEP_AT_ROWS = 1,
  ROW_AT_STEPS = 1,
  STEP_AT_STEPS = WORD_ROWS,
  ROW_AT_PAIRS = KEY_BLOCK,
  STEP_AT_PAIRS = 1,
  ROW_AT_KEYS = 1,
  STEP_AT_KEYS = KEY_BLOCK
};

/* The numbers of panel p of row j of c that exist. */
INLINE struct f16 words_load(const struct words_tile *t, size_t j, size_t p, bool last)
{
  const float *c = t->c + j * t->c_row + p * t->c_panel;
  return last && t->lanes < PANEL ? f16_load_mask(c, m16_first(t->lanes)) : f16_load(c);
}

INLINE void words_store(const struct words_tile *t, size_t j, size_t p, bool last, struct f16 sum)
{
  float *c = t->c + j * t->c_row + p * t->c_panel;
  if (t->bias) sum = f16_add(sum, f16_load(t->bias + p * PANEL));
  if (last && t->lanes < PANEL)
    f16_store_mask(c, m16_first(t->lanes), sum);
  else
    f16_store(c, sum);
}

INLINE void words_start(const size_t rows, const size_t panels, const struct words_tile *t,
                        struct f16 sum[WORD_ROWS][WORD_PANELS_MAX])
{
  UNROLL for (size_t j = 0; j < rows; j++)
  {
    UNROLL for (size_t p = 0; p < panels; p++) sum[j][p] = t->load ? words_load(t, j, p, p + 1 == panels) : f16_zero();
  }
}

INLINE void words_run(const size_t rows, const size_t panels, const size_t row_at, const size_t step_at,
                      const struct words_tile *from)
{
  const struct words_tile tile = *from, *t = &tile; /* a copy, for the stores below could be to the original */
  const float *a = t->a;
  const uint32_t *b = t->b;
  struct f16 sum[WORD_ROWS][WORD_PANELS_MAX];
  words_start(rows, panels, t, sum);
  for (size_t block = 0; block < t->blocks; block++) {
    struct f16 even[WORD_ROWS][WORD_PANELS_MAX], odd[WORD_ROWS][WORD_PANELS_MAX];
    UNROLL for (size_t j = 0; j < rows; j++)
    {
      UNROLL for (size_t p = 0; p < panels; p++) even[j][p] = odd[j][p] = f16_zero();
    }
    for (size_t i = 0; i < PAIRS_PER_BLOCK; i++, b += t->b_step, a += 2 * step_at) {
      struct f16 low[WORD_PANELS_MAX], high[WORD_PANELS_MAX];
      UNROLL for (size_t p = 0; p < panels; p++)
      {
        const struct w16 word = w16_load(b + p * t->b_panel);
        low[p] = w16_even(word);
        high[p] = w16_odd(word);
      }
      UNROLL for (size_t j = 0; j < rows; j++)
      {
        const struct f16 x = f16_set(a[j * row_at]), y = f16_set(a[j * row_at + step_at]);
        UNROLL for (size_t p = 0; p < panels; p++) even[j][p] = f16_fma(x, low[p], even[j][p]);
        UNROLL for (size_t p = 0; p < panels; p++) odd[j][p] = f16_fma(y, high[p], odd[j][p]);
      }
    }
    UNROLL for (size_t j = 0; j < rows; j++)
    {
      UNROLL for (size_t p = 0; p < panels; p++) sum[j][p] = f16_add(sum[j][p], f16_add(even[j][p], odd[j][p]));
    }
  }
  UNROLL for (size_t j = 0; j < rows; j++)
  {
    UNROLL for (size_t p = 0; p < panels; p++) words_store(t, j, p, p + 1 == panels, sum[j][p]);
  }
}

typedef void words_fn(const struct words_tile *t);

/* One form's tiles for every number of rows: with one panel ([0]) and with WORD_PANELS ([1]). */
struct words_table {
  words_fn *run[2][WORD_ROWS];
};
#define WORDS_BOTH(rows, form)                                       \
  static void words_one_##form##_##rows(const struct words_tile *t)  \
  {                                                                  \
    words_run(rows, 1, ROW_AT_##form, STEP_AT_##form, t);            \
  }                                                                  \
  static void words_full_##form##_##rows(const struct words_tile *t) \
  {                                                                  \
    words_run(rows, WORD_PANELS, ROW_AT_##form, STEP_AT_##form, t);  \
  }
#define WORDS_ONE(rows, form)  words_one_##form##_##rows,
#define WORDS_FULL(rows, form) words_full_##form##_##rows,
#define WORDS_TABLE(form)                          \
  WORD_ROW_LIST(WORDS_BOTH, form)                  \
  static const struct words_table words_##form = { \
      {{WORD_ROW_LIST(WORDS_ONE, form)}, {WORD_ROW_LIST(WORDS_FULL, form)}}};

/* ---- copies ---- */

/* Words of two rows of up to 16 numbers, rounded; NULL: a row of +0. */
INLINE struct w16 words_of_rows(const float *even, const float *odd, struct m16 mask)
{
  return w16_join(even ? f16_round(f16_load_mask(even, mask)) : f16_zero(),
                  odd ? f16_round(f16_load_mask(odd, mask)) : f16_zero());
}

/* A square of 16 x 16 words, pairs over its rows' inner index, turned: from[i * from_step + lane] holds terms 2 i and 2
 * i + 1 of lane; to: row pair r (of lanes 2 r, 2 r + 1), columns 0 .. 31 (terms) in two panels of 16 words, `low` and
 * `high`, to_step apart from pair to pair. */
INLINE void words_turn(const uint32_t *from, size_t from_step, uint32_t *low, uint32_t *high, size_t to_step)
{
  uint32_t turned[16 * 16];
  f16_transpose((const float *)(const void *)from, from_step, (float *)(void *)turned, 16);
  for (size_t r = 0; r < 8; r++) {
    const struct w16 a = w16_load(turned + 2 * r * 16), b = w16_load(turned + (2 * r + 1) * 16);
    w16_store_mixed(low + r * to_step, high + r * to_step, w16_evens(a, b), w16_odds(a, b));
  }
}

#endif
