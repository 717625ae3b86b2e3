/* compute/cpu/simd/blocks_tile: products of up to BLOCKS_ROWS rows with a weight in blocks, whose numbers live in
 * registers alone. The chain of each output is tile.inc.h's: over all of K, ascending, from +0, then the bias.
 *
 * Few rows have few chains, so panels run side by side: as many as registers hold, half as many, or one.
 */
#ifndef ASSAY_COMPUTE_CPU_SIMD_BLOCKS_TILE_INC_H
#define ASSAY_COMPUTE_CPU_SIMD_BLOCKS_TILE_INC_H

#include "compute/cpu/simd/blocks.inc.h"

enum { BLOCKS_ROWS = 3, BLOCKS_WIDTHS = 3, BLOCKS_WIDEST = 8 };
/* Panels side by side. */
enum { BLOCKS_WIDE_1 = 4 * TILE_PANELS, BLOCKS_WIDE_2 = 2 * TILE_PANELS, BLOCKS_WIDE_3 = 2 * TILE_PANELS };

struct blocks_tile {
  const uint8_t *panel; /* the first of them */
  size_t panel_bytes;   /* to the next */
  size_t far;           /* what is fetched meanwhile: so many bytes behind what is read */
  const float *x;       /* [depth][rows] */
  size_t depth;
  float *y;          /* of the first row, at the first panel */
  size_t y_row;      /* to the next row */
  size_t lanes;      /* of the last panel that exist, 1 .. 16 */
  const float *bias; /* or NULL */
};

INLINE void blocks_store(const struct blocks_tile *t, const size_t rows, const size_t panels,
                         struct f16 acc[BLOCKS_ROWS][BLOCKS_WIDEST])
{
  UNROLL for (size_t p = 0; p < panels; p++)
  {
    const struct m16 lanes = m16_first(p + 1 < panels ? PANEL : t->lanes);
    UNROLL for (size_t j = 0; j < rows; j++)
    {
      const struct f16 y = t->bias ? f16_add(acc[j][p], f16_load(t->bias + p * PANEL)) : acc[j][p];
      f16_store_mask(t->y + j * t->y_row + p * PANEL, lanes, y);
    }
  }
}

INLINE void blocks_run(const struct quant_form f, const size_t rows, const size_t panels,
                       const struct blocks_tile *from)
{
  const struct blocks_tile tile = *from, *t = &tile; /* a copy, for the stores could be to the original */
  struct f16 acc[BLOCKS_ROWS][BLOCKS_WIDEST], s[BLOCKS_WIDEST], m[BLOCKS_WIDEST], w[2];
  const float *x = t->x;
  UNROLL for (size_t j = 0; j < rows; j++)
  {
    UNROLL for (size_t p = 0; p < panels; p++) acc[j][p] = f16_zero();
  }
  for (size_t k = 0; k < t->depth; k += QUANT_STEP) {
    const uint8_t *record = t->panel + k / f.block * quant_record_bytes(&f);
    UNROLL for (size_t p = 0; p < panels; p++)
    {
      blocks_fetch(f, t->panel + p * t->panel_bytes, k, t->far);
      blocks_scale(f, record + p * t->panel_bytes, k % f.block, &s[p], &m[p]);
    }
    for (size_t i = 0; i < QUANT_STEP; i += 2, x += 2 * rows) {
      UNROLL for (size_t p = 0; p < panels; p++)
      {
        blocks_pair(f, record + p * t->panel_bytes, k % f.block + i, s[p], m[p], w);
        UNROLL for (size_t j = 0; j < rows; j++) acc[j][p] = f16_fma(f16_set(x[j]), w[0], acc[j][p]);
        UNROLL for (size_t j = 0; j < rows; j++) acc[j][p] = f16_fma(f16_set(x[rows + j]), w[1], acc[j][p]);
      }
    }
  }
  blocks_store(t, rows, panels, acc);
}

typedef void blocks_fn(const struct blocks_tile *t);
#define BLOCKS_ONE(name, rows, panels)                                          \
  static void blocks_##name##_##rows##_##panels(const struct blocks_tile *t)    \
  {                                                                             \
    blocks_run((struct quant_form)QUANT_FORM_##name, rows, BLOCKS_##panels, t); \
  }
enum {
  BLOCKS_ALONE = 1,
  BLOCKS_HALF_1 = BLOCKS_WIDE_1 / 2,
  BLOCKS_HALF_2 = BLOCKS_WIDE_2 / 2,
  BLOCKS_HALF_3 = BLOCKS_WIDE_3 / 2
};
#define BLOCKS_ALL(name)      \
  BLOCKS_ONE(name, 1, WIDE_1) \
  BLOCKS_ONE(name, 1, HALF_1) \
  BLOCKS_ONE(name, 1, ALONE)  \
  BLOCKS_ONE(name, 2, WIDE_2) \
  BLOCKS_ONE(name, 2, HALF_2) \
  BLOCKS_ONE(name, 2, ALONE)  \
  BLOCKS_ONE(name, 3, WIDE_3) \
  BLOCKS_ONE(name, 3, HALF_3) \
  BLOCKS_ONE(name, 3, ALONE)
QUANT_LIST(BLOCKS_ALL)

#define BLOCKS_WIDTHS_OF(name, rows)                                                                           \
  {                                                                                                            \
    blocks_##name##_##rows##_WIDE_##rows, blocks_##name##_##rows##_HALF_##rows, blocks_##name##_##rows##_ALONE \
  }
#define BLOCKS_ENTRY(name) \
  [QUANT_##name] = {BLOCKS_WIDTHS_OF(name, 1), BLOCKS_WIDTHS_OF(name, 2), BLOCKS_WIDTHS_OF(name, 3)},
static blocks_fn *const blocks_tiles[QUANT_FORMS][BLOCKS_ROWS][BLOCKS_WIDTHS] = {QUANT_LIST(BLOCKS_ENTRY)};
static const size_t blocks_widths[BLOCKS_ROWS][BLOCKS_WIDTHS] = {
    {BLOCKS_WIDE_1, BLOCKS_HALF_1, 1}, {BLOCKS_WIDE_2, BLOCKS_HALF_2, 1}, {BLOCKS_WIDE_3, BLOCKS_HALF_3, 1}};

/* Panels `panel` .. panel_end - 1 of w, all of K, by rows <= BLOCKS_ROWS of x, `stride` apart. scratch: [K, rows],
 * where rows > 1. y: of the first row. */
static void blocks_over_panels(const struct weight *w, const float *bias, const float *x, size_t rows, float *scratch,
                               float *y, size_t panel, size_t panel_end)
{
  enum { FAR_BYTES = 256 * 1024 };
  if (rows > 1)
    for (size_t k = 0; k < w->k; k++)
      for (size_t j = 0; j < rows; j++) scratch[k * rows + j] = x[j * w->k + k];
  for (size_t p = panel, kind, width; p < panel_end; p += width) {
    for (kind = 0; blocks_widths[rows - 1][kind] > panel_end - p;) kind++;
    width = blocks_widths[rows - 1][kind];
    const size_t group = width * w->quant_panel;
    blocks_tiles[w->quant_type][rows - 1][kind](
        &(struct blocks_tile){.panel = w->quant + p * w->quant_panel,
                              .panel_bytes = w->quant_panel,
                              .far = group <= FAR_BYTES ? group : BLOCKS_NEAR,
                              .x = rows > 1 ? scratch : x,
                              .depth = w->k,
                              .y = y + p * PANEL,
                              .y_row = w->n,
                              .lanes = size_min(w->n - (p + width - 1) * PANEL, PANEL),
                              .bias = bias ? bias + p * PANEL : NULL});
  }
}

#endif
