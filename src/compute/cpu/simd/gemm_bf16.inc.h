/* compute/cpu/simd/gemm_bf16: gemm, gemm_dx and gemm_dw of compute type bf16. The nest is gemm.inc.h's: a grid of cells
 * over the outputs, in a cell blocks of rows and of depth, in these groups of panels over all rows. What a group does
 * is gemm_words.inc.h's (multiply-adds) or amx/gemm_tiles.inc.h's (tiles), which a file includes before this one.
 *
 *             rows (packed)      depth     panels (words)
 *   gemm      rows of x          K         panels of W's copy, streamed as they are
 *   gemm_dx   rows of dy         N         16 inputs k each: the copy turned into scratch, 32 n by 32 k at a time
 *   gemm_dw   inputs k of x      rows m    panels of W's gradient; dy rounded into words
 *
 * Floors: 2 M N K operations in each; 2 N K + 4 (M K + M N) bytes, gemm_dw 8 N K.
 */
#ifndef ASSAY_COMPUTE_CPU_SIMD_GEMM_BF16_INC_H
#define ASSAY_COMPUTE_CPU_SIMD_GEMM_BF16_INC_H

#include "compute/cpu/ref/ref.h"
#include "compute/cpu/simd/blocks.inc.h"
#include "compute/cpu/simd/grid.inc.h"

enum {
  B_PAIR = 2 * PANEL,                                    /* two panels are packed at a time, side by side */
  B_WORDS = WORD_DEPTH / 2 * B_PAIR,                     /* 24 KiB */
  MADE_WORDS = WORD_PANELS_MAX * WORD_DEPTH / 2 * PANEL, /* panels of a weight in blocks, made for a group */
  GEMM_SCRATCH = (A_FLOATS + (MADE_WORDS > B_WORDS ? MADE_WORDS : B_WORDS)) * 4
};

struct gemm_call {
  struct device *device;
  const struct weight *w;
  const float *bias;      /* gemm */
  const float *x, *dy;    /* packed operand of gemm and gemm_dw; of gemm_dx */
  float *out, *bias_grad; /* y, dx, or the gradient */
  size_t m, n, k;
  bool accumulate;
  struct grid grid;
};

/* ---- weights in blocks ---- */

/* 32 values from k on of a panel, as 16 words of 16 lanes. */
static void words_made(const struct weight *w, size_t p, size_t k, uint32_t *to)
{
  float made[TERM_BLOCK * PANEL];
  blocks_steps(w, p, k, TERM_BLOCK, made);
  for (size_t i = 0; i < TERM_BLOCK / 2; i++)
    w16_store(to + i * PANEL,
              w16_join(f16_round(f16_load(made + 2 * i * PANEL)), f16_round(f16_load(made + (2 * i + 1) * PANEL))));
}

/* A group of W's panels: as its copy lies, or made from blocks in scratch. *panel: words from one to the next. */
static const uint32_t *group_words(const struct gemm_call *c, const struct cell *cell, size_t p, size_t group, size_t k,
                                   size_t depth, size_t *panel)
{
  const struct weight *w = c->w;
  uint32_t *made = cell->b;
  *panel = (w->quant ? depth : block_round(w->k)) / 2 * PANEL;
  if (!w->quant) return w->copy + p * *panel + k / 2 * PANEL;
  for (size_t i = 0; i < group; i++)
    for (size_t t = 0; t < depth; t += TERM_BLOCK) words_made(w, p + i, k + t, made + i * *panel + t / 2 * PANEL);
  return made;
}

/* ---- gemm ---- */

static void gemm_block(const struct gemm_call *c, const struct cell *cell, size_t m, size_t rows, size_t k,
                       size_t depth)
{
  a_pack_rows(cell->a, c->x + m * c->k + k, c->k, rows, c->k - k, depth);
  for (size_t p = cell->panel, group; p < cell->panel_end; p += group) {
    size_t b_panel;
    group = group_size(cell->panel_end - p, rows, false);
    const uint32_t *b = group_words(c, cell, p, group, k, depth, &b_panel);
    const struct words_tile t = {.b = b,
                                 .b_step = PANEL,
                                 .b_panel = b_panel,
                                 .c = c->out + m * c->n + p * PANEL,
                                 .c_row = c->n,
                                 .c_panel = PANEL,
                                 .blocks = depth / TERM_BLOCK,
                                 .lanes = size_min(c->n - (p + group - 1) * PANEL, PANEL),
                                 .bias = c->bias && k + depth >= c->k ? c->bias + p * PANEL : NULL,
                                 .load = k > 0};
    group_over_rows(t, cell->a, false, rows, group);
  }
}

static void gemm_cells(void *arg, int thread, size_t begin, size_t end)
{
  const struct gemm_call *c = arg;
  const size_t k_all = block_round(c->k);
  PRODUCT_BEGIN();
  for (size_t i = begin; i < end; i++) {
    const struct cell cell =
        cell_of(&c->grid, c->m, ceil_div(c->n, PANEL), 2, i, thread_scratch(c->device, thread), A_FLOATS);
    const size_t rows = cell.row_end - cell.row, row_blocks = ceil_div(rows, A_ROWS);
    /* One row may be as deep as the scratch is long: W is then read in one piece per panel. */
    const size_t depth_blocks = ceil_div(k_all, rows == 1 && !c->w->quant ? A_ALONE : WORD_DEPTH);
    for (size_t r = 0; r < row_blocks; r++) {
      const size_t m = cell.row + cut(rows, 1, row_blocks, r), m_end = cell.row + cut(rows, 1, row_blocks, r + 1);
      for (size_t d = 0; d < depth_blocks; d++) {
        const size_t k = cut(k_all, TERM_BLOCK, depth_blocks, d);
        gemm_block(c, &cell, m, m_end - m, k, cut(k_all, TERM_BLOCK, depth_blocks, d + 1) - k);
      }
    }
  }
  PRODUCT_END();
}

static void gemm_run(struct device *d, const struct weight *w, const struct weight *b, int32_t m, struct view x,
                     struct view y)
{
  ASSAY_BUG_IF(d->scratch_each < GEMM_SCRATCH || !(w->copy || w->quant));
  if (m <= 0) return;
  struct gemm_call c = {.device = d,
                        .w = w,
                        .bias = b ? weight_reals(b, WEIGHT_MASTER) : NULL,
                        .x = view_reals(x),
                        .out = view_reals(y),
                        .m = (size_t)m,
                        .n = w->n,
                        .k = w->k};
  c.grid = grid_choose(d, c.m, ceil_div(c.n, PANEL), 8, 2);
  pool_run(d->pool, c.grid.rows * c.grid.columns, gemm_cells, &c);
}

/* ---- gemm_dx ---- */

/* W[n .. n + depth - 1, 16 p .. 16 p + 31] as words of n pairs, two panels side by side; p even. Past N: +0. */
static void b_pack_turned(uint32_t *b, const struct weight *w, size_t n, size_t depth, size_t p)
{
  const size_t step = block_round(w->k) / 2 * PANEL;
  for (size_t t = 0; t < depth; t += PANEL) {
    uint32_t *to = b + t / 2 * B_PAIR;
    uint32_t made[PANEL * PANEL];
    if (w->quant && n + t < w->padded) {
      words_made(w, (n + t) / PANEL, p * PANEL, made);
      words_turn(made, PANEL, to, to + PANEL, B_PAIR);
    } else if (n + t < w->padded)
      words_turn(w->copy + (n + t) / PANEL * step + p * PANEL / 2 * PANEL, PANEL, to, to + PANEL, B_PAIR);
    else
      memset(to, 0, PANEL / 2 * B_PAIR * sizeof *to);
  }
}

static void gemm_dx_block(const struct gemm_call *c, const struct cell *cell, size_t m, size_t rows, size_t n,
                          size_t depth)
{
  a_pack_rows(cell->a, c->dy + m * c->n + n, c->n, rows, c->n - n, depth);
  for (size_t p = cell->panel; p < cell->panel_end; p += 2) {
    b_pack_turned(cell->b, c->w, n, depth, p);
    for (size_t i = 0, group; i < 2 && p + i < cell->panel_end; i += group) {
      group = group_size(size_min(cell->panel_end - p, 2) - i, rows, false);
      const struct words_tile t = {.b = (const uint32_t *)cell->b + i * PANEL,
                                   .b_step = B_PAIR,
                                   .b_panel = PANEL,
                                   .c = c->out + m * c->k + (p + i) * PANEL,
                                   .c_row = c->k,
                                   .c_panel = PANEL,
                                   .blocks = depth / TERM_BLOCK,
                                   .lanes = size_min(c->k - (p + i + group - 1) * PANEL, PANEL),
                                   .load = c->accumulate || n > 0};
      group_over_rows(t, cell->a, false, rows, group);
    }
  }
}

static void gemm_dx_cells(void *arg, int thread, size_t begin, size_t end)
{
  const struct gemm_call *c = arg;
  const size_t n_all = block_round(c->n);
  PRODUCT_BEGIN();
  for (size_t i = begin; i < end; i++) {
    const struct cell cell =
        cell_of(&c->grid, c->m, ceil_div(c->k, PANEL), 2, i, thread_scratch(c->device, thread), A_FLOATS);
    const size_t rows = cell.row_end - cell.row, row_blocks = ceil_div(rows, A_ROWS),
                 depth_blocks = ceil_div(n_all, WORD_DEPTH);
    for (size_t r = 0; r < row_blocks; r++) {
      const size_t m = cell.row + cut(rows, 1, row_blocks, r), m_end = cell.row + cut(rows, 1, row_blocks, r + 1);
      for (size_t d = 0; d < depth_blocks; d++) {
        const size_t n = cut(n_all, TERM_BLOCK, depth_blocks, d);
        gemm_dx_block(c, &cell, m, m_end - m, n, cut(n_all, TERM_BLOCK, depth_blocks, d + 1) - n);
      }
    }
  }
  PRODUCT_END();
}

static void gemm_dx_run(struct device *d, const struct weight *w, int32_t m, struct view dy, struct view dx,
                        bool accumulate)
{
  ASSAY_BUG_IF(d->scratch_each < GEMM_SCRATCH || !(w->copy || w->quant));
  if (m <= 0) return;
  struct gemm_call c = {.device = d,
                        .w = w,
                        .dy = view_reals(dy),
                        .out = view_reals(dx),
                        .m = (size_t)m,
                        .n = w->n,
                        .k = w->k,
                        .accumulate = accumulate};
  c.grid = grid_choose(d, c.m, ceil_div(c.k, PANEL), 8, 8);
  pool_run(d->pool, c.grid.rows * c.grid.columns, gemm_dx_cells, &c);
}

/* ---- gemm_dw ---- */

/* Rows m .. m + depth - 1 of dy, columns 16 p .. 16 p + 31, as words of row pairs; past M and N: +0. */
static void b_pack_rows(uint32_t *b, const struct gemm_call *c, size_t m, size_t depth, size_t p)
{
  for (size_t t = 0; t < depth; t += 2)
    for (size_t i = 0; i < 2; i++) {
      const size_t column = (p + i) * PANEL;
      const struct m16 mask = m16_first(column < c->n ? c->n - column : 0);
      const float *even = m + t < c->m ? c->dy + (m + t) * c->n + column : NULL;
      const float *odd = m + t + 1 < c->m ? c->dy + (m + t + 1) * c->n + column : NULL;
      w16_store(b + t / 2 * B_PAIR + i * PANEL, words_of_rows(even, odd, mask));
    }
}

static void gemm_dw_block(const struct gemm_call *c, const struct cell *cell, size_t k, size_t rows, size_t m,
                          size_t depth)
{
  a_pack_steps(cell->a, c->x + m * c->k + k, c->k, rows, size_min(depth, c->m - m), depth);
  for (size_t p = cell->panel; p < cell->panel_end; p += 2) {
    b_pack_rows(cell->b, c, m, depth, p);
    for (size_t i = 0, group; i < 2 && p + i < cell->panel_end; i += group) {
      group = group_size(size_min(cell->panel_end - p, 2) - i, rows, true);
      const struct words_tile t = {.b = (const uint32_t *)cell->b + i * PANEL,
                                   .b_step = B_PAIR,
                                   .b_panel = PANEL,
                                   .c = c->out + ((p + i) * c->k + k) * PANEL,
                                   .c_row = PANEL,
                                   .c_panel = c->k * PANEL,
                                   .blocks = depth / TERM_BLOCK,
                                   .lanes = size_min(c->n - (p + i + group - 1) * PANEL, PANEL),
                                   .load = true};
      group_over_rows(t, cell->a, true, rows, group);
    }
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
  const size_t m_all = block_round(c->m);
  PRODUCT_BEGIN();
  for (size_t i = begin; i < end; i++) {
    const struct cell cell =
        cell_of(&c->grid, c->k, ceil_div(c->n, PANEL), 2, i, thread_scratch(c->device, thread), A_FLOATS);
    /* A frozen weight has no gradient; its bias may. */
    const size_t rows = cell.row_end - cell.row, depth_blocks = c->out ? ceil_div(m_all, WORD_DEPTH) : 0;
    /* As many rows as the depth leaves room for: dy is then packed less often. */
    const size_t row_blocks = ceil_div(rows, a_rows_of_steps(size_min(m_all, WORD_DEPTH)));
    for (size_t d = 0; d < depth_blocks; d++) {
      const size_t m = cut(m_all, TERM_BLOCK, depth_blocks, d), m_end = cut(m_all, TERM_BLOCK, depth_blocks, d + 1);
      for (size_t r = 0; r < row_blocks; r++) {
        const size_t k = cell.row + cut(rows, 1, row_blocks, r);
        gemm_dw_block(c, &cell, k, cell.row + cut(rows, 1, row_blocks, r + 1) - k, m, m_end - m);
      }
    }
    if (c->bias_grad && cell.row == 0) gemm_dw_bias(c, &cell);
  }
  PRODUCT_END();
}

static void gemm_dw_run(struct device *d, struct weight *w, struct weight *b, int32_t m, struct view dy, struct view x)
{
  ASSAY_BUG_IF(d->scratch_each < GEMM_SCRATCH);
  if (m <= 0) return;
  struct gemm_call c = {.device = d,
                        .w = w,
                        .x = view_reals(x),
                        .dy = view_reals(dy),
                        .out = weight_reals(w, WEIGHT_GRAD),
                        .bias_grad = b ? weight_reals(b, WEIGHT_GRAD) : NULL,
                        .m = (size_t)m,
                        .n = w->n,
                        .k = w->k};
  c.grid = grid_choose(d, c.k, ceil_div(c.n, PANEL), 8, 8);
  pool_run(d->pool, c.grid.rows * c.grid.columns, gemm_dw_cells, &c);
}

#endif
