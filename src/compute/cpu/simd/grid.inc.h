/* compute/cpu/simd/grid: how the outputs of a product are split over threads, as a grid of cells, and cells into
 * blocks.
 */
#ifndef ASSAY_COMPUTE_CPU_SIMD_GRID_INC_H
#define ASSAY_COMPUTE_CPU_SIMD_GRID_INC_H

#include "compute/cpu/ref/ref.h"

struct grid {
  size_t rows, columns; /* cells down and across */
};

/* A thread's part of the outputs and its scratch. */
struct cell {
  size_t row, row_end; /* of the packed operand */
  size_t panel, panel_end;
  float *a; /* the packed operand */
  void *b;  /* panels of the other, where they are made */
};

static size_t ceil_div(size_t a, size_t b)
{
  return (a + b - 1) / b;
}
/* Part i of `parts` of 0 .. total, cut at multiples of unit. */
static size_t cut(size_t total, size_t unit, size_t parts, size_t i)
{
  return size_min(ceil_div(total, unit) * i / parts * unit, total);
}

/* The grid whose largest cell costs least; packing counts as `pack_row` columns for every row and `pack_column` rows
 * for every column. */
static struct grid grid_choose(const struct device *d, size_t rows, size_t panels, size_t pack_row, size_t pack_column)
{
  const size_t threads = (size_t)pool_threads(d->pool);
  struct grid best = {1, 1};
  size_t least = SIZE_MAX;
  for (size_t columns = 1; columns <= threads; columns++) {
    const size_t cell_rows = ceil_div(rows, threads / columns), cell_columns = ceil_div(panels, columns) * PANEL;
    const size_t cost = cell_rows * (cell_columns + pack_row) + cell_columns * pack_column;
    if (cost >= least) continue;
    least = cost;
    best = (struct grid){size_min(threads / columns, rows), size_min(columns, panels)};
  }
  return best;
}

/* Cell `index`, across first; columns are cut at groups of `unit` panels. b: behind a_floats of scratch. */
static struct cell cell_of(const struct grid *g, size_t rows, size_t panels, size_t unit, size_t index, float *scratch,
                           size_t a_floats)
{
  const size_t i = index / g->columns, j = index % g->columns;
  return (struct cell){.row = cut(rows, 1, g->rows, i),
                       .row_end = cut(rows, 1, g->rows, i + 1),
                       .panel = cut(panels, unit, g->columns, j),
                       .panel_end = cut(panels, unit, g->columns, j + 1),
                       .a = scratch,
                       .b = scratch + a_floats};
}

#endif
