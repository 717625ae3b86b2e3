/* data/task_grid: shortest ways through a grid of open and blocked cells, by breadth-first search. */
#ifndef ASSAY_DATA_TASK_GRID_H
#define ASSAY_DATA_TASK_GRID_H

#include <stdbool.h>

enum { GRID_SIDE = 64, GRID_CELLS = GRID_SIDE * GRID_SIDE };
enum grid_step { GRID_UP, GRID_DOWN, GRID_LEFT, GRID_RIGHT, GRID_STEPS };

struct grid {
  int rows, columns;     /* 1..GRID_SIDE */
  bool open[GRID_CELLS]; /* [row * columns + column] */
};

/* The cell that a step from `cell` leads to, or -1 where it leaves the grid or is blocked. */
int grid_move(const struct grid *g, int cell, enum grid_step step);
/* Steps from every cell to `target` over open cells, -1: none lead there. distance [rows * columns]. */
void grid_distances(const struct grid *g, int target, int *distance);

#endif
