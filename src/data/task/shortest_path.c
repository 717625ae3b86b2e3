/* A shortest way through a grid as a list of directions, or that there is none. */
#include <string.h>
#include "data/task_grid.h"
#include "data/task_text.h"

enum { SPLIT_KEY = 0x5407e501 };

static const struct setting options[] = {
    {"min_rows", SETTING_INT, 2, GRID_SIDE, "5", NULL, "fewest rows"},
    {"max_rows", SETTING_INT, 2, GRID_SIDE, "8", NULL, "most rows"},
    {"min_cols", SETTING_INT, 2, GRID_SIDE, "5", NULL, "fewest columns"},
    {"max_cols", SETTING_INT, 2, GRID_SIDE, "8", NULL, "most columns"},
    {"p_blocked", SETTING_REAL, 0, 1, "0.4", NULL, "probability that a cell is blocked"},
    TASK_HELD_OUT,
};

static const char *const step_names[GRID_STEPS] = {"up", "down", "left", "right"};

struct field {
  struct grid grid;
  int start, goal; /* -1: the grid has none */
};

static void draw_field(const struct task_config *c, struct draw *d, struct field *f)
{
  double blocked = task_value(c, "p_blocked")->real;
  f->grid.rows = (int)task_draw_between(c, d, "min_rows", "max_rows");
  f->grid.columns = (int)task_draw_between(c, d, "min_cols", "max_cols");
  int cells = f->grid.rows * f->grid.columns;
  for (int i = 0; i < cells; i++) f->grid.open[i] = !draw_chance(d, blocked);
  f->start = (int)draw_index(d, (size_t)cells);
  do {
    f->goal = (int)draw_index(d, (size_t)cells);
  } while (f->goal == f->start);
  f->grid.open[f->start] = f->grid.open[f->goal] = true;
}

/* A shortest way: of several, up before down before left before right at each cell. */
static char *write_way(struct arena *a, const struct field *f, struct error *err)
{
  int distance[GRID_CELLS];
  struct text t = {0};
  grid_distances(&f->grid, f->goal, distance);
  if (distance[f->start] < 0) text_puts(&t, "infeasible");
  for (int cell = f->start; distance[cell] > 0;) {
    for (int step = 0; step < GRID_STEPS; step++) {
      int to = grid_move(&f->grid, cell, (enum grid_step)step);
      if (to < 0 || distance[to] != distance[cell] - 1) continue;
      text_printf(&t, "%s%s", cell == f->start ? "" : " ", step_names[step]);
      cell = to;
      break;
    }
  }
  return text_keep(a, &t, err);
}

static void put_cells(struct text *t, const struct field *f, bool json)
{
  for (int i = 0; i < f->grid.rows * f->grid.columns; i++) {
    char sign = i == f->start ? '*' : i == f->goal ? '#' : f->grid.open[i] ? 'O' : 'X';
    bool first = i % f->grid.columns == 0, last = i % f->grid.columns == f->grid.columns - 1;
    if (json)
      text_printf(t, "%s\"%c\"%s", i == 0 ? "[" : first ? ", [" : ", ", sign, last ? "]" : "");
    else
      text_printf(t, "%s%c%s", first ? "" : " ", sign, last ? "\n" : "");
  }
}

static int one(struct arena *a, const struct task_config *c, struct draw *d, struct task_problem *out,
               struct error *err)
{
  struct field f;
  struct text question = {0}, meta = {0};
  draw_field(c, d, &f);
  text_puts(&question,
            "Find a shortest way from * to # in this grid. O is open, X is blocked; a step leads up, down, left or "
            "right to a cell that is not blocked.\n\n");
  put_cells(&question, &f, false);
  text_puts(
      &question,
      "\nAnswer with the steps in one line, like: up right right down. If no way leads there, answer infeasible.");
  text_puts(&meta, "{\"matrix\": [");
  put_cells(&meta, &f, true);
  text_puts(&meta, "]}");
  out->question = text_keep(a, &question, err);
  out->meta = text_keep(a, &meta, err);
  out->answer = write_way(a, &f, err);
  return out->question && out->meta && out->answer ? 0 : err->code;
}

static int open_task(struct arena *a, struct task_config *c, struct error *err)
{
  TRY(task_need_order(c, "min_rows", "max_rows", err));
  TRY(task_need_order(c, "min_cols", "max_cols", err));
  return task_draw_open(a, c, SPLIT_KEY, one, err);
}

static int make(struct arena *a, const struct task_config *c, uint64_t index, struct task_problem *out,
                struct error *err)
{
  return task_draw(a, c, index, SPLIT_KEY, one, out, err);
}

/* ---- checking ---------------------------------------------------------------------------------------------------- */

static int bad_matrix(struct error *err)
{
  FAIL_AT(err, ERROR_INPUT, NULL, 0, "matrix",
          "found no grid in meta; expected rows of equal length (at most %d by %d) of O and X, one * and one # at most",
          GRID_SIDE, GRID_SIDE);
}

static int read_matrix(const json_t *meta, struct field *f, struct error *err)
{
  const json_t *matrix = json_object_get(meta, "matrix");
  size_t rows = json_array_size(matrix), columns = json_array_size(json_array_get(matrix, 0));
  if (!rows || !columns || rows > GRID_SIDE || columns > GRID_SIDE) return bad_matrix(err);
  f->grid.rows = (int)rows;
  f->grid.columns = (int)columns;
  f->start = f->goal = -1;
  for (size_t i = 0; i < rows * columns; i++) {
    const json_t *row = json_array_get(matrix, i / columns);
    const char *cell = json_string_value(json_array_get(row, i % columns));
    if (json_array_size(row) != columns || !cell || !cell[0] || !strchr("*#OX", cell[0])) return bad_matrix(err);
    f->grid.open[i] = cell[0] != 'X';
    int *end = cell[0] == '*' ? &f->start : cell[0] == '#' ? &f->goal : NULL;
    if (end && *end >= 0) return bad_matrix(err);
    if (end) *end = (int)i;
  }
  return 0;
}

struct way {
  bool infeasible, bad; /* bad: a word that is no direction, or directions and "infeasible" */
  int count, end;       /* end: the cell that it leads to, -1: into a blocked cell or out of the grid */
};

/* How much of the text separates words: blanks, commas, quotes, brackets, "->", an arrow (U+2192). 0: it is no such. */
static size_t read_gap(const char *s, size_t n)
{
  if (n >= 3 && !memcmp(s, "\xe2\x86\x92", 3)) return 3;
  return s[0] && strchr(" \t\r\n,;->[]\"'", s[0]) ? 1 : 0;
}

static void take_word(const struct field *f, const char *s, size_t n, struct way *w)
{
  int step = 0;
  while (step < GRID_STEPS && !is_word(s, n, step_names[step])) step++;
  if (step == GRID_STEPS) {
    w->bad = w->infeasible || !is_word(s, n, "infeasible");
    w->infeasible = true;
    return;
  }
  w->count++;
  if (w->end >= 0) w->end = grid_move(&f->grid, w->end, (enum grid_step)step);
}

static struct way read_way(const struct field *f, const char *s, size_t n)
{
  struct way w = {.end = f->start};
  for (size_t at = 0; at < n && !w.bad;) {
    size_t word = 0, gap = read_gap(s + at, n - at);
    while (!gap && at + word < n && is_letter(s[at + word])) word++;
    if (word)
      take_word(f, s + at, word, &w);
    else
      w.bad = !gap;
    at += word + gap;
  }
  w.bad = w.bad || w.infeasible == (w.count > 0);
  return w;
}

static size_t skip_gaps(const char *s, size_t n, size_t at)
{
  for (size_t gap; at < n && (gap = read_gap(s + at, n - at));) at += gap;
  return at;
}

/* Without a grid: whether the known answer has the same words. */
static bool same_words(const char *x, size_t n, const char *y)
{
  size_t size = strlen(y), at = skip_gaps(x, n, 0), to = skip_gaps(y, size, 0);
  while (at < n && to < size) {
    size_t word = 0;
    while (at + word < n && is_letter(x[at + word])) word++;
    if (!word || size - to < word || !same_letters(x + at, y + to, word)) return false;
    at = skip_gaps(x, n, at + word);
    if (to + word < size && is_letter(y[to + word])) return false;
    to = skip_gaps(y, size, to + word);
  }
  return at == n && to == size;
}

static int check(struct arena *a, const json_t *meta, const char *answer, const char *response, size_t n,
                 struct task_verdict *out, struct error *err)
{
  struct field f;
  struct answer_span span;
  int distance[GRID_CELLS];
  const char *why;
  bool grid = json_object_get(meta, "matrix") != NULL;
  if (grid)
    TRY(read_matrix(meta, &f, err));
  else
    TRY(answer_known(a, meta, answer, &answer, err));
  if (!answer_find(response, n, ANSWER_LINE, &span, &why))
    return answer_verdict(a, out, NULL, 0, false, 0, err, "%s", why);
  const char *read = response + span.start;
  if (!grid)
    return answer_verdict(a, out, read, span.length, same_words(read, span.length, answer), 0, err,
                          "there is no grid: the words are compared with the known answer");
  struct way w = read_way(&f, read, span.length);
  if (w.bad)
    return answer_verdict(a, out, NULL, 0, false, 0, err, "the answer (%s) is neither directions nor infeasible",
                          span.rule);
  bool ends = f.start >= 0 && f.goal >= 0;
  if (ends) grid_distances(&f.grid, f.goal, distance);
  int shortest = ends ? distance[f.start] : -1;
  if (w.infeasible || shortest < 0)
    return answer_verdict(a, out, read, span.length, w.infeasible && shortest < 0, 0, err,
                          shortest < 0 ? "no way leads to #" : "a way of %d steps leads to #", shortest);
  if (w.end != f.goal)
    return answer_verdict(a, out, read, span.length, false, 0, err,
                          w.end < 0 ? "the way runs into a blocked cell or out of the grid" : "the way ends beside #");
  return answer_verdict(a, out, read, span.length, w.count == shortest, 0.5 * shortest / w.count, err,
                        "the way has %d steps, the shortest %d", w.count, shortest);
}

const struct task task_shortest_path = {
    .name = "shortest_path",
    .help = "A shortest way through a grid as a list of directions, or that there is none",
    .right =
        "Any way from * to # with as few steps as possible, as the words up, down, left and right (blanks, commas or "
        "arrows between them); the word infeasible where no way exists. Partial credit: a longer way that arrives "
        "earns half of shortest / length.",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .open = open_task,
    .make = make,
    .check = check,
};
