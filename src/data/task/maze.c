/* How many steps the shortest way through a maze has. The signs for wall, passage, start and goal are drawn anew for
 * each problem. */
#include <string.h>
#include "data/task_grid.h"
#include "data/task_number.h"
#include "data/task_text.h"

enum { SPLIT_KEY = 0x3a2e0001, TRY_LIMIT = 2000 };

static const struct setting options[] = {
    {"min_dist", SETTING_INT, 1, 500, "5", NULL, "fewest steps of the shortest way"},
    {"max_dist", SETTING_INT, 1, 500, "10", NULL, "most steps of the shortest way"},
    {"min_grid_size", SETTING_INT, 4, GRID_SIDE, "5", NULL, "smallest side of the square, walls included"},
    {"max_grid_size", SETTING_INT, 4, GRID_SIDE, "10", NULL, "largest side of the square, walls included"},
    TASK_HELD_OUT,
};

struct maze {
  struct grid grid;
  int start, goal, steps;
};

/* A square of walls around random cells, a goal, and a start that is as far away as asked for; false: there is none. */
static bool draw_maze(const struct task_config *c, struct draw *d, struct maze *m)
{
  int size = (int)task_draw_between(c, d, "min_grid_size", "max_grid_size"), cells[GRID_CELLS], distance[GRID_CELLS];
  int count = 0;
  m->grid.rows = m->grid.columns = size;
  for (int i = 0; i < size * size; i++) {
    bool border = i / size == 0 || i / size == size - 1 || i % size == 0 || i % size == size - 1;
    m->grid.open[i] = !border && draw_index(d, 3) > 0;
    if (m->grid.open[i]) cells[count++] = i;
  }
  if (!count) return false;
  m->goal = cells[draw_index(d, (size_t)count)];
  grid_distances(&m->grid, m->goal, distance);
  count = 0;
  for (int i = 0; i < size * size; i++)
    if (distance[i] >= task_int(c, "min_dist") && distance[i] <= task_int(c, "max_dist")) cells[count++] = i;
  if (!count) return false;
  m->start = cells[draw_index(d, (size_t)count)];
  m->steps = distance[m->start];
  return true;
}

/* Rows of the maze, each between `before` and `behind`; signs: wall, passage, start, goal. */
static char *write_maze(struct arena *a, const struct maze *m, const char signs[4], const char *before,
                        const char *behind, const char *between, struct error *err)
{
  struct text t = {0};
  for (int row = 0; row < m->grid.rows; row++) {
    text_puts(&t, row ? between : "");
    text_puts(&t, before);
    for (int i = row * m->grid.columns; i < (row + 1) * m->grid.columns; i++)
      text_add(&t, i == m->start ? &signs[2] : i == m->goal ? &signs[3] : m->grid.open[i] ? &signs[1] : &signs[0], 1);
    text_puts(&t, behind);
  }
  return text_keep(a, &t, err);
}

static int one(struct arena *a, const struct task_config *c, struct draw *d, struct task_problem *out,
               struct error *err)
{
  char signs[] = "#.*+=@%&ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz0123456789";
  struct maze m;
  int tries = 0;
  while (!draw_maze(c, d, &m))
    if (++tries == TRY_LIMIT)
      FAIL_AT(
          err, ERROR_INPUT, NULL, 0, "min_dist",
          "found no maze with a shortest way of %lld to %lld steps in %d draws; expected distances that the grid has "
          "room for",
          (long long)task_int(c, "min_dist"), (long long)task_int(c, "max_dist"), TRY_LIMIT);
  draw_shuffle(d, signs, sizeof signs - 1, 1);
  const char *picture = write_maze(a, &m, signs, "", "", "\n", err);
  const char *rows = picture ? write_maze(a, &m, signs, "\"", "\"", ", ", err) : NULL;
  d->canonical = rows ? write_maze(a, &m, "#.SG", "", "", "\n", err) : NULL; /* whatever the signs */
  if (!d->canonical) return err->code;
  out->question = arena_printf(a, "task", err,
                               "In this maze '%c' is wall, '%c' is passage, '%c' the start and '%c' the goal:\n\n%s\n\n"
                               "A step leads up, down, left or right, never into a wall. How many steps has the "
                               "shortest way from start to goal? Answer with a number.",
                               signs[0], signs[1], signs[2], signs[3], picture);
  out->answer = arena_printf(a, "task", err, "%d", m.steps);
  out->meta = arena_printf(a, "task", err,
                           "{\"grid\": [%s], \"wall\": \"%c\", \"path\": \"%c\", \"start\": \"%c\", \"goal\": \"%c\", "
                           "\"answer\": %d}",
                           rows, signs[0], signs[1], signs[2], signs[3], m.steps);
  return out->question && out->answer && out->meta ? 0 : err->code;
}

static int open_task(struct arena *a, struct task_config *c, struct error *err)
{
  TRY(task_need_order(c, "min_dist", "max_dist", err));
  TRY(task_need_order(c, "min_grid_size", "max_grid_size", err));
  return task_draw_open(a, c, SPLIT_KEY, one, err);
}

static int make(struct arena *a, const struct task_config *c, uint64_t index, struct task_problem *out,
                struct error *err)
{
  return task_draw(a, c, index, SPLIT_KEY, one, out, err);
}

static int check(struct arena *a, const json_t *meta, const char *answer, const char *response, size_t n,
                 struct task_verdict *out, struct error *err)
{
  return task_number_check(a, meta, answer, response, n, out, err);
}

const struct task task_maze = {
    .name = "maze",
    .help = "How many steps the shortest way through a maze has",
    .right =
        "The text's last number (or the one in \\boxed{}, behind #### or \"answer is\") is the number of steps. No "
        "partial credit.",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .open = open_task,
    .make = make,
    .check = check,
};
