/* compute/cpu/simd/gemm: gemm, gemm_dx and gemm_dw over tile.inc.h.
 *
 * All three are one loop nest: the outputs are split over threads as a grid of cells; a cell walks blocks of rows and
 * of depth that stay in L2, copies the broadcast operand of the block into the thread's scratch, then takes the panels
 * of the other operand one group after the other over all row tiles, and fetches the next group and the next tile's
 * outputs meanwhile: what remains to wait for is the first group.
 *
 *             rows (broadcast)   depth     panels (lanes)
 *   gemm      rows of x          K         panels of W, streamed as they are
 *   gemm_dx   rows of dy         N         16 inputs k each: W transposed into scratch, once for all rows
 *   gemm_dw   inputs k of x      rows m    panels of W's gradient; dy copied, 16 outputs each, once for all k
 *
 * Floors: 2 M N K operations in each, 32 per cycle and core where a core has 16 lanes of multiply-add per cycle; 4 (N K
 * + M K + M N) bytes (gemm_dw: N K twice). Below some 8 rows gemm runs at the speed of memory, above at that of the
 * multiply-adds.
 */
#ifndef ASSAY_COMPUTE_CPU_SIMD_GEMM_INC_H
#define ASSAY_COMPUTE_CPU_SIMD_GEMM_INC_H

#include <string.h>
#include "compute/cpu/ref/ref.h"
#include "compute/cpu/simd/blocks_tile.inc.h"
#include "compute/cpu/simd/grid.inc.h"

enum { A_DEPTH = 640, TILE_AHEAD = true, TILE_AHEAD_C = true };
#include "compute/cpu/simd/tile.inc.h"

TILE_TABLE(ROWS)
TILE_TABLE(STEPS)

/* Few rows: more panels, or the multiply-adds wait for each other. STEPS. */
enum { TILE_WIDE_ROWS = 3 };
static void tile_wide_1(const struct tile *t)
{
  tile_run(1, 4 * TILE_PANELS, ROW_AT_STEPS, STEP_AT_STEPS, t);
}
static void tile_wide_2(const struct tile *t)
{
  tile_run(2, 2 * TILE_PANELS, ROW_AT_STEPS, STEP_AT_STEPS, t);
}
static void tile_wide_3(const struct tile *t)
{
  tile_run(3, 2 * TILE_PANELS, ROW_AT_STEPS, STEP_AT_STEPS, t);
}
static const struct {
  size_t panels;
  tile_fn *run;
} tile_wide[TILE_WIDE_ROWS] = {
    {4 * TILE_PANELS, tile_wide_1}, {2 * TILE_PANELS, tile_wide_2}, {2 * TILE_PANELS, tile_wide_3}};

enum {
  BLOCK_ROWS = 192,      /* rows of a packed block: 16 tiles of 12, 32 of 6 */
  A_FLOATS = 160 * 1024, /* the packed block: 640 KiB of scratch, most of L2 */
  B_PANELS = 40,         /* panels of a packed block of the other operand, in L3 */
  B_FLOATS = A_DEPTH * PANEL * B_PANELS,
  GEMM_SCRATCH = (A_FLOATS + B_FLOATS) * 4
};
_Static_assert(BLOCK_ROWS *A_STRIDE <= A_FLOATS, "a block of rows fits");
_Static_assert(A_DEPTH % PANEL == 0, "gemm_dx cuts the depth at panels");

/* A weight in blocks: how deep the pieces are that are made of a group of panels for one tile of rows: all in L1. */
enum { MADE_DEPTH = 128 };
/* One tile of rows, by steps, may be so deep; whole pieces, so that a depth that is cut at them is no deeper. */
enum { STEPS_DEPTH = A_FLOATS / TILE_ROWS / MADE_DEPTH * MADE_DEPTH };
_Static_assert(A_DEPTH % MADE_DEPTH == 0 && MADE_DEPTH % QUANT_STEP == 0, "a depth cut at pieces is no deeper");

struct gemm_call {
  struct device *device;
  const struct weight *blocks; /* gemm, gemm_dx: the weight, where it is in blocks; w is NULL then */
  const float *w, *bias;       /* gemm, gemm_dx */
  const float *x, *dy;         /* broadcast operand of gemm; of gemm_dw; of gemm_dx */
  float *out, *bias_grad;      /* y, dx, or the gradient */
  size_t m, n, k;
  bool accumulate;
  struct grid grid;
};

/* ---- packing ---- */

enum { COPY_STEPS = 16 };

/* ROWS: rows of `depth` numbers, `stride` apart. */
static void pack_rows(float *a, const float *from, size_t stride, size_t rows, size_t depth)
{
  for (size_t j = 0; j < rows; j++) memcpy(a + j * A_STRIDE, from + j * stride, depth * sizeof *a);
}

/* STEPS, one tile, from rows of `depth` numbers. */
static void pack_steps_of_rows(float *a, const float *from, size_t stride, size_t rows, size_t depth)
{
  for (size_t t = 0; t < depth; t++)
    for (size_t j = 0; j < rows; j++) a[t * TILE_ROWS + j] = from[j * stride + t];
}

/* STEPS, tiles one behind the other, from `depth` steps of `rows` numbers; COPY_STEPS at a time, which stay in L1. */
static void pack_steps(float *a, const float *from, size_t stride, size_t rows, size_t depth)
{
  const size_t tiles = ceil_div(rows, TILE_ROWS);
  for (size_t begin = 0; begin < depth; begin += COPY_STEPS)
    for (size_t i = 0; i < tiles; i++) {
      const size_t first = cut(rows, 1, tiles, i), end = size_min(begin + COPY_STEPS, depth);
      const struct m16 mask = m16_first(cut(rows, 1, tiles, i + 1) - first);
      for (size_t t = begin; t < end; t++)
        f16_store_mask(a + (i * depth + t) * TILE_ROWS, mask, f16_load_mask(from + t * stride + first, mask));
    }
}

/* A block of the other operand, panel behind panel, each of b_depth(depth) steps. */
static size_t b_depth(size_t depth)
{
  return ceil_div(depth, PANEL) * PANEL;
}

/* W[n .. n+depth-1, 16 p .. 16 end - 1] with lanes across k, in the order in which W lies; n a multiple of 16. Past K:
 * +0; a few steps past N are written too. */
static void pack_transposed(float *b, const float *w, size_t k, size_t n, size_t depth, size_t p, size_t end)
{
  float edge[PANEL * PANEL] = {0};
  for (size_t t = 0; t < depth; t += PANEL)
    for (size_t i = p; i < end; i++) {
      const float *from = w + ((n + t) / PANEL * k + i * PANEL) * PANEL;
      const size_t count = size_min(k - i * PANEL, PANEL);
      if (count < PANEL) from = memcpy(edge, from, count * PANEL * sizeof *b);
      f16_transpose(from, PANEL, b + ((i - p) * b_depth(depth) + t) * PANEL, PANEL);
    }
}

/* The same for a weight in blocks, whose K is a multiple of 16. */
static void pack_blocks_transposed(float *b, const struct weight *w, size_t n, size_t depth, size_t p, size_t end)
{
  for (size_t t = 0; t < depth; t += PANEL)
    for (size_t i = p; i < end; i++) {
      float made[QUANT_STEP * PANEL];
      blocks_steps(w, (n + t) / PANEL, i * PANEL, QUANT_STEP, made);
      f16_transpose(made, PANEL, b + ((i - p) * b_depth(depth) + t) * PANEL, PANEL);
    }
}

/* dy[0 .. depth-1, 16 p .. 16 end - 1]; past N: +0. */
static void pack_columns(float *b, const float *dy, size_t n, size_t depth, size_t p, size_t end)
{
  for (size_t begin = 0; begin < depth; begin += COPY_STEPS)
    for (size_t i = p; i < end; i++) {
      const struct m16 mask = m16_first(n - i * PANEL);
      float *to = b + (i - p) * b_depth(depth) * PANEL;
      for (size_t t = begin; t < size_min(begin + COPY_STEPS, depth); t++)
        f16_store(to + t * PANEL, f16_load_mask(dy + t * n + i * PANEL, mask));
    }
}

/* ---- the nest ---- */

/* While tile i of `tiles` runs, its share of the next group of panels comes into L2. A lone tile of much depth would
 * fetch more than L2 holds: it looks NEAR_STEPS ahead instead. */
static void tile_look_ahead(struct tile *t, const float *next, size_t i, size_t tiles, size_t panels)
{
  enum { NEAR_STEPS = 64, LINE = PANEL * sizeof(float), FAR_BYTES = 256 * 1024 };
  const bool near = tiles == 1 && panels * t->depth * LINE > FAR_BYTES;
  t->ahead = near ? (uintptr_t)t->b + NEAR_STEPS * LINE : (uintptr_t)next + i * t->depth / tiles * LINE;
  t->ahead_step = ceil_div(LINE, tiles);
  t->ahead_panel = t->b_panel * sizeof(float);
}

/* All row tiles of a packed block against one group of panels. t: a, c at the block's first row. next: the panels that
 * come after this group. */
static void tiles_over_rows(struct tile t, bool steps, size_t rows, size_t panels, const float *next)
{
  const struct tile_table *table = steps ? &tiles_STEPS : &tiles_ROWS;
  const size_t tiles = ceil_div(rows, TILE_ROWS);
  const float *a = t.a;
  float *c = t.c;
  for (size_t i = 0; i < tiles; i++) {
    const size_t first = cut(rows, 1, tiles, i), count = cut(rows, 1, tiles, i + 1) - first;
    t.a = a + (steps ? i * t.depth * TILE_ROWS : first * A_STRIDE);
    t.c = c + first * t.c_row;
    tile_look_ahead(&t, next, i, tiles, panels);
    if (panels > TILE_PANELS)
      tile_wide[count - 1].run(&t);
    else
      table->run[panels == TILE_PANELS][count - 1](&t);
  }
}

/* Panels that the next group takes of those left. */
static size_t group_size(size_t left, size_t rows, bool wide)
{
  if (wide && rows <= TILE_WIDE_ROWS && left >= tile_wide[rows - 1].panels) return tile_wide[rows - 1].panels;
  return left >= TILE_PANELS ? TILE_PANELS : 1;
}

/* All row tiles against all panels of a packed block. t: as for tiles_over_rows, at the first panel; lanes: of the last
 * one. */
static void tiles_over_block(struct tile t, bool steps, size_t rows, size_t panels)
{
  const float *b = t.b;
  float *c = t.c;
  const size_t lanes = t.lanes;
  for (size_t p = 0, group; p < panels; p += group) {
    group = group_size(panels - p, rows, false);
    t.b = b + p * t.b_panel;
    t.c = c + p * t.c_panel;
    t.lanes = p + group == panels ? lanes : PANEL;
    tiles_over_rows(t, steps, rows, group, p + group == panels ? b : t.b + group * t.b_panel);
  }
}

/* ---- gemm ---- */

/* A group of a weight in blocks: made piece by piece in scratch, each of which all rows take at once. t: as for
 * tiles_over_rows, for all of the depth. */
static void made_over_rows(const struct weight *w, struct tile t, float *made, size_t p, size_t k, bool steps,
                           size_t rows, size_t panels)
{
  const size_t depth = t.depth, piece = steps ? MADE_DEPTH : depth;
  const float *a = t.a, *bias = t.bias;
  t.b = made;
  for (size_t at = 0; at < depth; at += piece) {
    t.depth = size_min(piece, depth - at);
    t.b_panel = t.depth * PANEL;
    t.a = a + at * (steps ? TILE_ROWS : 1);
    t.bias = at + t.depth == depth ? bias : NULL;
    for (size_t i = 0; i < panels; i++) blocks_steps(w, p + i, k + at, t.depth, made + i * t.b_panel);
    tiles_over_rows(t, steps, rows, panels, made);
    t.load = true;
  }
}

static void gemm_block(const struct gemm_call *c, const struct cell *cell, size_t m, size_t rows, size_t k,
                       size_t depth)
{
  const bool steps = rows <= TILE_ROWS, last = k + depth == c->k;
  if (steps)
    pack_steps_of_rows(cell->a, c->x + m * c->k + k, c->k, rows, depth);
  else
    pack_rows(cell->a, c->x + m * c->k + k, c->k, rows, depth);
  for (size_t p = cell->panel, group; p < cell->panel_end; p += group) {
    group = group_size(cell->panel_end - p, rows, true);
    const struct tile t = {.a = cell->a,
                           .b = c->blocks ? NULL : c->w + (p * c->k + k) * PANEL,
                           .b_step = PANEL,
                           .b_panel = c->k * PANEL,
                           .c = c->out + m * c->n + p * PANEL,
                           .c_row = c->n,
                           .c_panel = PANEL,
                           .depth = depth,
                           .lanes = size_min(c->n - (p + group - 1) * PANEL, PANEL),
                           .bias = c->bias && last ? c->bias + p * PANEL : NULL,
                           .load = k > 0};
    if (c->blocks) {
      made_over_rows(c->blocks, t, cell->b, p, k, steps, rows, group);
      continue;
    }
    const float *next = p + group < cell->panel_end ? t.b + group * t.b_panel
                                                    : c->w + (cell->panel * c->k + (last ? 0 : k + depth)) * PANEL;
    tiles_over_rows(t, steps, rows, group, next);
  }
}

static void gemm_cells(void *arg, int thread, size_t begin, size_t end)
{
  const struct gemm_call *c = arg;
  for (size_t i = begin; i < end; i++) {
    const struct cell cell =
        cell_of(&c->grid, c->m, ceil_div(c->n, PANEL), TILE_PANELS, i, thread_scratch(c->device, thread), A_FLOATS);
    const size_t rows = cell.row_end - cell.row, row_blocks = ceil_div(rows, BLOCK_ROWS);
    if (c->blocks && rows <= BLOCKS_ROWS && rows * c->k <= A_FLOATS) {
      blocks_over_panels(c->blocks, c->bias, c->x + cell.row * c->k, rows, cell.a, c->out + cell.row * c->n, cell.panel,
                         cell.panel_end);
      continue;
    }
    /* One tile of rows is packed by steps and may be as deep as the scratch is long: W is then read in one piece per
     * panel. */
    const size_t depth_blocks = ceil_div(c->k, rows <= TILE_ROWS ? STEPS_DEPTH : A_DEPTH);
    const size_t unit = c->blocks ? MADE_DEPTH : 1;
    for (size_t r = 0; r < row_blocks; r++) {
      const size_t m = cell.row + cut(rows, 1, row_blocks, r), m_end = cell.row + cut(rows, 1, row_blocks, r + 1);
      for (size_t d = 0; d < depth_blocks; d++) {
        const size_t k = cut(c->k, unit, depth_blocks, d);
        gemm_block(c, &cell, m, m_end - m, k, cut(c->k, unit, depth_blocks, d + 1) - k);
      }
    }
  }
}

static void gemm_run(struct device *d, const struct weight *w, const struct weight *b, int32_t m, struct view x,
                     struct view y)
{
  ASSAY_BUG_IF(d->scratch_each < GEMM_SCRATCH);
  if (m <= 0) return;
  struct gemm_call c = {.device = d,
                        .blocks = w->quant ? w : NULL,
                        .w = weight_reals(w, WEIGHT_MASTER),
                        .bias = b ? weight_reals(b, WEIGHT_MASTER) : NULL,
                        .x = view_reals(x),
                        .out = view_reals(y),
                        .m = (size_t)m,
                        .n = w->n,
                        .k = w->k};
  c.grid = grid_choose(d, c.m, ceil_div(c.n, PANEL), 4, 2);
  pool_run(d->pool, c.grid.rows * c.grid.columns, gemm_cells, &c);
}

/* ---- gemm_dx ---- */

/* One block of W, transposed, against all rows of the cell. */
static void gemm_dx_block(const struct gemm_call *c, const struct cell *cell, size_t n, size_t depth)
{
  const size_t rows = cell->row_end - cell->row, row_blocks = ceil_div(rows, BLOCK_ROWS),
               panels = cell->panel_end - cell->panel;
  if (c->blocks)
    pack_blocks_transposed(cell->b, c->blocks, n, depth, cell->panel, cell->panel_end);
  else
    pack_transposed(cell->b, c->w, c->k, n, depth, cell->panel, cell->panel_end);
  for (size_t r = 0; r < row_blocks; r++) {
    const size_t m = cell->row + cut(rows, 1, row_blocks, r), end = cell->row + cut(rows, 1, row_blocks, r + 1);
    pack_rows(cell->a, c->dy + m * c->n + n, c->n, end - m, depth);
    const struct tile t = {.a = cell->a,
                           .b = cell->b,
                           .b_step = PANEL,
                           .b_panel = b_depth(depth) * PANEL,
                           .c = c->out + m * c->k + cell->panel * PANEL,
                           .c_row = c->k,
                           .c_panel = PANEL,
                           .depth = depth,
                           .lanes = size_min(c->k - (cell->panel_end - 1) * PANEL, PANEL),
                           .load = c->accumulate || n > 0};
    tiles_over_block(t, false, end - m, panels);
  }
}

static void gemm_dx_cells(void *arg, int thread, size_t begin, size_t end)
{
  const struct gemm_call *c = arg;
  const size_t depth_blocks = ceil_div(c->n, A_DEPTH);
  for (size_t i = begin; i < end; i++) {
    const struct cell cell =
        cell_of(&c->grid, c->m, ceil_div(c->k, PANEL), TILE_PANELS, i, thread_scratch(c->device, thread), A_FLOATS);
    const size_t panels = cell.panel_end - cell.panel, chunks = ceil_div(panels, B_PANELS);
    for (size_t j = 0; j < chunks; j++) {
      struct cell part = cell;
      part.panel = cell.panel + cut(panels, 1, chunks, j);
      part.panel_end = cell.panel + cut(panels, 1, chunks, j + 1);
      for (size_t d = 0; d < depth_blocks; d++) {
        const size_t n = cut(c->n, PANEL, depth_blocks, d);
        gemm_dx_block(c, &part, n, cut(c->n, PANEL, depth_blocks, d + 1) - n);
      }
    }
  }
}

static void gemm_dx_run(struct device *d, const struct weight *w, int32_t m, struct view dy, struct view dx,
                        bool accumulate)
{
  ASSAY_BUG_IF(d->scratch_each < GEMM_SCRATCH);
  if (m <= 0) return;
  struct gemm_call c = {.device = d,
                        .blocks = w->quant ? w : NULL,
                        .w = weight_reals(w, WEIGHT_MASTER),
                        .dy = view_reals(dy),
                        .out = view_reals(dx),
                        .m = (size_t)m,
                        .n = w->n,
                        .k = w->k,
                        .accumulate = accumulate};
  c.grid = grid_choose(d, c.m, ceil_div(c.k, PANEL), 4, 8);
  pool_run(d->pool, c.grid.rows * c.grid.columns, gemm_dx_cells, &c);
}

/* ---- gemm_dw ---- */

/* One block of dy against all inputs k of the cell. */
static void gemm_dw_block(const struct gemm_call *c, const struct cell *cell, size_t m, size_t depth)
{
  /* As many inputs as the depth leaves room for. */
  const size_t rows = cell->row_end - cell->row, panels = cell->panel_end - cell->panel,
               row_blocks = ceil_div(rows, A_FLOATS / TILE_ROWS / depth * TILE_ROWS - TILE_ROWS);
  pack_columns(cell->b, c->dy + m * c->n, c->n, depth, cell->panel, cell->panel_end);
  for (size_t r = 0; r < row_blocks; r++) {
    const size_t k = cell->row + cut(rows, 1, row_blocks, r), end = cell->row + cut(rows, 1, row_blocks, r + 1);
    pack_steps(cell->a, c->x + m * c->k + k, c->k, end - k, depth);
    const struct tile t = {.a = cell->a,
                           .b = cell->b,
                           .b_step = PANEL,
                           .b_panel = b_depth(depth) * PANEL,
                           .c = c->out + (cell->panel * c->k + k) * PANEL,
                           .c_row = PANEL,
                           .c_panel = c->k * PANEL,
                           .depth = depth,
                           .lanes = size_min(c->n - (cell->panel_end - 1) * PANEL, PANEL),
                           .load = true};
    tiles_over_block(t, true, end - k, panels);
  }
}

/* grad(b), by the cells that hold k = 0. */
static void gemm_dw_bias(const struct gemm_call *c, const struct cell *cell)
{
  for (size_t p = cell->panel; p < cell->panel_end; p++) {
    const struct m16 mask = m16_first(c->n - p * PANEL);
    struct f16 sum = f16_load(c->bias_grad + p * PANEL);
    for (size_t m = 0; m < c->m; m++) sum = f16_add(sum, f16_load_mask(c->dy + m * c->n + p * PANEL, mask));
    f16_store_mask(c->bias_grad + p * PANEL, mask, sum);
  }
}

static void gemm_dw_cells(void *arg, int thread, size_t begin, size_t end)
{
  const struct gemm_call *c = arg;
  /* A frozen weight has no gradient; its bias may. */
  const size_t depth_blocks = c->out ? ceil_div(c->m, A_DEPTH) : 0;
  for (size_t i = begin; i < end; i++) {
    const struct cell cell =
        cell_of(&c->grid, c->k, ceil_div(c->n, PANEL), TILE_PANELS, i, thread_scratch(c->device, thread), A_FLOATS);
    const size_t panels = cell.panel_end - cell.panel, chunks = ceil_div(panels, B_PANELS);
    for (size_t j = 0; j < chunks; j++) {
      struct cell part = cell;
      part.panel = cell.panel + cut(panels, 1, chunks, j);
      part.panel_end = cell.panel + cut(panels, 1, chunks, j + 1);
      for (size_t d = 0; d < depth_blocks; d++) {
        const size_t m = cut(c->m, 1, depth_blocks, d);
        gemm_dw_block(c, &part, m, cut(c->m, 1, depth_blocks, d + 1) - m);
      }
    }
    if (c->bias_grad && cell.row == 0) gemm_dw_bias(c, &cell);
  }
}

static void gemm_dw_run(struct device *d, struct weight *w, struct weight *b, int32_t m, struct view dy, struct view x)
{
  ASSAY_BUG_IF(d->scratch_each < GEMM_SCRATCH);
  if (m <= 0) return;
  struct gemm_call c = {.device = d,
                        .x = view_reals(x),
                        .dy = view_reals(dy),
                        .out = weight_reals(w, WEIGHT_GRAD),
                        .bias_grad = b ? weight_reals(b, WEIGHT_GRAD) : NULL,
                        .m = (size_t)m,
                        .n = w->n,
                        .k = w->k};
  c.grid = grid_choose(d, c.k, ceil_div(c.n, PANEL), 4, 4);
  pool_run(d->pool, c.grid.rows * c.grid.columns, gemm_dw_cells, &c);
}

#endif
