#include "data/task_grid.h"

int grid_move(const struct grid *g, int cell, enum grid_step step)
{
  int row = cell / g->columns + (step == GRID_DOWN) - (step == GRID_UP);
  int column = cell % g->columns + (step == GRID_RIGHT) - (step == GRID_LEFT);
  if (row < 0 || row >= g->rows || column < 0 || column >= g->columns) return -1;
  int to = row * g->columns + column;
  return g->open[to] ? to : -1;
}

void grid_distances(const struct grid *g, int target, int *distance)
{
  int queue[GRID_CELLS], head = 0, tail = 0;
  for (int i = 0; i < g->rows * g->columns; i++) distance[i] = -1;
  distance[target] = 0;
  queue[tail++] = target;
  while (head < tail) {
    int cell = queue[head++];
    for (int step = 0; step < GRID_STEPS; step++) {
      int to = grid_move(g, cell, (enum grid_step)step);
      if (to < 0 || distance[to] >= 0) continue;
      distance[to] = distance[cell] + 1;
      queue[tail++] = to;
    }
  }
}
