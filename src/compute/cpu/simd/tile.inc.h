/* compute/cpu/simd/tile: the one inner loop of gemm, gemm_dx and gemm_dw.
 *
 *   c[j][p][lane] = chain over t ascending, from +0 or from c, of a[j, t] * b[p][t][lane]
 *
 * for up to TILE_ROWS rows j and a few panels p of 16 lanes. A chain may be cut anywhere: the partial sum goes through c, in f32, which moves no bit.
 * `a` is packed by the caller in one of two forms, so that every broadcast has an address known to the compiler but for one register:
 *   A_ROWS   a[j, t] at j * A_STRIDE + t      (rows copied as they stand; A_STRIDE is off the powers of two to spread cache sets)
 *   A_STEPS  a[j, t] at t * TILE_ROWS + j
 *
 * Floors, per tile and step t: rows * panels fused multiply-adds of 16 lanes against panels * 64 bytes of b and rows * 4 bytes of a. At 12 x 2 that is
 * 24 multiply-adds (24 cycles where a core does 16 lanes per cycle) for 128 + 48 bytes, which come from L1 and L2.
 */
#ifndef ASSAY_COMPUTE_CPU_SIMD_TILE_INC_H
#define ASSAY_COMPUTE_CPU_SIMD_TILE_INC_H

#include "compute/cpu/cpu.h"

enum { A_DEPTH = 384, A_STRIDE = A_DEPTH + 16, PANELS_MAX = 8 };
enum a_form { A_ROWS, A_STEPS };

struct tile {
  const float *a, *b;
  float *c;
  size_t b_panel;        /* floats from one panel of b to the next */
  size_t c_row, c_panel; /* floats from one row, one panel of c to the next */
  size_t depth;          /* steps t; 0 stores the start */
  size_t lanes;          /* of the last panel of c that exist, 1 .. 16 */
  const float *bias;     /* added after the chain, a panel of 16 each; NULL: none */
  bool load;             /* start from c */
};

INLINE void tile_run(const size_t rows, const size_t panels, const enum a_form form, const struct tile *t)
{
  struct f16 acc[TILE_ROWS][PANELS_MAX];
  const struct m16 last = m16_first(t->lanes);
  const bool whole = t->lanes >= PANEL;

  UNROLL for (size_t j = 0; j < rows; j++) {
    UNROLL for (size_t p = 0; p < panels; p++) {
      const float *c = t->c + j * t->c_row + p * t->c_panel;
      acc[j][p] = !t->load ? f16_zero() : p + 1 < panels || whole ? f16_load(c) : f16_load_mask(c, last);
    }
  }
  const float *a = t->a, *b = t->b, *end = t->b + t->depth * PANEL;
  for (; b < end; b += PANEL, a += form == A_ROWS ? 1 : TILE_ROWS) {
    struct f16 lane[PANELS_MAX];
    UNROLL for (size_t p = 0; p < panels; p++) lane[p] = f16_load(b + p * t->b_panel);
    UNROLL for (size_t j = 0; j < rows; j++) {
      const struct f16 x = f16_set(a[form == A_ROWS ? j * A_STRIDE : j]);
      UNROLL for (size_t p = 0; p < panels; p++) acc[j][p] = f16_fma(x, lane[p], acc[j][p]);
    }
  }
  UNROLL for (size_t p = 0; p < panels; p++) {
    const struct f16 bias = t->bias ? f16_load(t->bias + p * PANEL) : f16_zero();
    UNROLL for (size_t j = 0; j < rows; j++) {
      float *c = t->c + j * t->c_row + p * t->c_panel;
      const struct f16 y = t->bias ? f16_add(acc[j][p], bias) : acc[j][p];
      if (p + 1 < panels || whole) f16_store(c, y);
      else f16_store_mask(c, last, y);
    }
  }
}

typedef void tile_fn(const struct tile *t);

/* Every number of rows: TILE_PANELS at once, and one for what is left over. */
#define TILE_DEFINE(rows)                                                                                  \
  static void tile_full_rows_##rows(const struct tile *t) { tile_run(rows, TILE_PANELS, A_ROWS, t); }      \
  static void tile_full_steps_##rows(const struct tile *t) { tile_run(rows, TILE_PANELS, A_STEPS, t); }    \
  static void tile_one_rows_##rows(const struct tile *t) { tile_run(rows, 1, A_ROWS, t); }                 \
  static void tile_one_steps_##rows(const struct tile *t) { tile_run(rows, 1, A_STEPS, t); }
TILE_ROW_LIST(TILE_DEFINE)
#undef TILE_DEFINE

#define TILE_FULL_ROWS(rows) tile_full_rows_##rows,
#define TILE_FULL_STEPS(rows) tile_full_steps_##rows,
#define TILE_ONE_ROWS(rows) tile_one_rows_##rows,
#define TILE_ONE_STEPS(rows) tile_one_steps_##rows,
static tile_fn *const tile_full[2][TILE_ROWS] = {{TILE_ROW_LIST(TILE_FULL_ROWS)}, {TILE_ROW_LIST(TILE_FULL_STEPS)}};
static tile_fn *const tile_one[2][TILE_ROWS] = {{TILE_ROW_LIST(TILE_ONE_ROWS)}, {TILE_ROW_LIST(TILE_ONE_STEPS)}};

/* Few rows: more panels, or the multiply-adds wait for each other. A_STEPS. */
enum { TILE_WIDE_ROWS = 3 };
static void tile_wide_1(const struct tile *t) { tile_run(1, 4 * TILE_PANELS, A_STEPS, t); }
static void tile_wide_2(const struct tile *t) { tile_run(2, 2 * TILE_PANELS, A_STEPS, t); }
static void tile_wide_3(const struct tile *t) { tile_run(3, 2 * TILE_PANELS, A_STEPS, t); }
static const struct {
  size_t panels;
  tile_fn *run;
} tile_wide[TILE_WIDE_ROWS] = {{4 * TILE_PANELS, tile_wide_1}, {2 * TILE_PANELS, tile_wide_2}, {2 * TILE_PANELS, tile_wide_3}};

#endif
