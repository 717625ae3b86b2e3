/* compute/cpu/simd/tile: the one inner loop of gemm, gemm_dx and gemm_dw.
 *
 *   c[j][p][lane] = chain over t ascending, from +0 or from c, of a[j, t] * b[p][t][lane]
 *
 * for up to TILE_ROWS rows j and a few panels p of 16 lanes. A chain may be cut anywhere: the partial sum goes through
 * c, in f32, which moves no bit. `a` stands in one of four forms, so that every broadcast has an address known to the
 * compiler but for one register: ROWS    a[j, t] at j * A_STRIDE + t      rows copied as they stand; A_STRIDE is off
 * the powers of two to spread cache sets STEPS   a[j, t] at t * TILE_ROWS + j PAIRS   a[j, t] at j * KEY_BLOCK + t
 * attention's weights, rows over (row, head) pairs KEYS    a[j, t] at t * KEY_BLOCK + j     the same, rows over keys A
 * file that includes this one says A_DEPTH, TILE_AHEAD and TILE_AHEAD_C first, and TILE_TABLE(form) for the forms it
 * uses.
 *
 * Floors, per tile and step t: rows * panels fused multiply-adds of 16 lanes against panels * 64 bytes of b and rows *
 * 4 bytes of a. At 12 x 2 that is 24 multiply-adds (24 cycles where a core does 16 lanes per cycle) for 128 + 48 bytes,
 * which come from L1 and L2.
 */
#ifndef ASSAY_COMPUTE_CPU_SIMD_TILE_INC_H
#define ASSAY_COMPUTE_CPU_SIMD_TILE_INC_H

#include "compute/cpu/cpu.h"

enum { A_STRIDE = A_DEPTH + 16, PANELS_MAX = 8 };

struct tile {
  const float *a, *b;
  float *c;
  size_t b_step, b_panel; /* floats from one step, one panel of b to the next */
  size_t c_row, c_panel;  /* floats from one row, one panel of c to the next */
  size_t depth;           /* steps t; 0 stores the start */
  size_t lanes;           /* of the last panel of c that exist, 1 .. 16 */
  const float *bias;      /* added after the chain, a panel of 16 each; NULL: none */
  bool load;              /* start from c */
  /* What is fetched into L2 meanwhile: a line of each panel every step, ahead_step bytes further on each time, the next
   * panel's ahead_panel bytes away; and the numbers of c of as many rows behind these. Any address will do. */
  uintptr_t ahead;
  size_t ahead_step, ahead_panel;
};

enum {
  ROW_AT_ROWS = A_STRIDE,
  STEP_AT_ROWS = 1,
  ROW_AT_STEPS = 1,
  STEP_AT_STEPS = TILE_ROWS,
  ROW_AT_PAIRS = KEY_BLOCK,
  STEP_AT_PAIRS = 1,
  ROW_AT_KEYS = 1,
  STEP_AT_KEYS = KEY_BLOCK
};

/* The numbers of panel p of row j that exist; the others are not touched. */
INLINE struct f16 tile_load(const struct tile *t, size_t j, size_t p, bool whole)
{
  const float *c = t->c + j * t->c_row + p * t->c_panel;
  return whole ? f16_load(c) : f16_load_mask(c, m16_first(t->lanes));
}

INLINE void tile_store(const struct tile *t, size_t j, size_t p, bool whole, struct f16 y)
{
  float *c = t->c + j * t->c_row + p * t->c_panel;
  if (whole)
    f16_store(c, y);
  else
    f16_store_mask(c, m16_first(t->lanes), y);
}

INLINE void tile_fetch_b(uintptr_t ahead, size_t ahead_panel, const size_t panels)
{
  UNROLL for (size_t p = 0; TILE_AHEAD && p < panels; p++)
      __builtin_prefetch((const void *)(ahead + p * ahead_panel), 0, 2);
}

/* c of the rows behind these: the next tile's, which would else begin and end by waiting for memory. */
INLINE void tile_fetch_c(const struct tile *t, const size_t rows, const size_t panels)
{
  UNROLL for (size_t j = rows; TILE_AHEAD_C && j < 2 * rows; j++)
  {
    UNROLL for (size_t p = 0; p < panels; p++)
        __builtin_prefetch((const void *)((uintptr_t)t->c + (j * t->c_row + p * t->c_panel) * sizeof(float)), 1, 3);
  }
}

INLINE void tile_run(const size_t rows, const size_t panels, const size_t row_at, const size_t step_at,
                     const struct tile *from)
{
  const struct tile tile = *from, *t = &tile; /* a copy, for the stores below could be to the original */
  struct f16 acc[TILE_ROWS][PANELS_MAX];
  const bool whole = t->lanes >= PANEL;

  UNROLL for (size_t j = 0; j < rows; j++)
  {
    UNROLL for (size_t p = 0; p < panels; p++) acc[j][p] =
        t->load ? tile_load(t, j, p, p + 1 < panels || whole) : f16_zero();
  }
  tile_fetch_c(t, rows, panels);
  const float *a = t->a, *b = t->b;
  uintptr_t ahead = t->ahead;
  for (size_t i = t->depth; i > 0; i--, b += t->b_step, a += step_at, ahead += t->ahead_step) {
    struct f16 lane[PANELS_MAX];
    UNROLL for (size_t p = 0; p < panels; p++) lane[p] = f16_load(b + p * t->b_panel);
    tile_fetch_b(ahead, t->ahead_panel, panels);
    UNROLL for (size_t j = 0; j < rows; j++)
    {
      const struct f16 x = f16_set(a[j * row_at]);
      UNROLL for (size_t p = 0; p < panels; p++) acc[j][p] = f16_fma(x, lane[p], acc[j][p]);
    }
  }
  UNROLL for (size_t p = 0; p < panels; p++)
  {
    const struct f16 bias = t->bias ? f16_load(t->bias + p * PANEL) : f16_zero();
    UNROLL for (size_t j = 0; j < rows; j++)
        tile_store(t, j, p, p + 1 < panels || whole, t->bias ? f16_add(acc[j][p], bias) : acc[j][p]);
  }
}

typedef void tile_fn(const struct tile *t);

/* One form's tiles for every number of rows: with one panel ([0]) and with TILE_PANELS ([1]). */
struct tile_table {
  tile_fn *run[2][TILE_ROWS];
};
#define TILE_BOTH(rows, form)                                      \
  static void tile_one_##form##_##rows(const struct tile *t)       \
  {                                                                \
    tile_run(rows, 1, ROW_AT_##form, STEP_AT_##form, t);           \
  }                                                                \
  static void tile_full_##form##_##rows(const struct tile *t)      \
  {                                                                \
    tile_run(rows, TILE_PANELS, ROW_AT_##form, STEP_AT_##form, t); \
  }
#define TILE_ONE(rows, form)  tile_one_##form##_##rows,
#define TILE_FULL(rows, form) tile_full_##form##_##rows,
#define TILE_TABLE(form)         \
  TILE_ROW_LIST(TILE_BOTH, form) \
  static const struct tile_table tiles_##form = {{{TILE_ROW_LIST(TILE_ONE, form)}, {TILE_ROW_LIST(TILE_FULL, form)}}};

#endif
