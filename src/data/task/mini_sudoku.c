/* Sudoku on 4 by 4 cells. Every puzzle has exactly one solution. */
#include <string.h>
#include "data/task_text.h"

enum { SPLIT_KEY = 0x50d04001, SIDE = 4, CELLS = SIDE * SIDE, TRY_LIMIT = 1000 };

static const struct setting options[] = {
    {"min_empty", SETTING_INT, 1, 12, "8", NULL, "fewest empty cells"},
    {"max_empty", SETTING_INT, 1, 12, "12", NULL, "most empty cells (12 is the most with one solution)"},
    TASK_HELD_OUT,
};

/* Which digits (bit 1 << digit) may stand in a cell beside what its row, column and box have. */
static unsigned allowed(const int8_t grid[CELLS], int cell)
{
  unsigned used = 0;
  int row = cell / SIDE, column = cell % SIDE, box = row / 2 * 8 + column / 2 * 2;
  for (int i = 0; i < SIDE; i++) {
    used |= 1u << grid[row * SIDE + i] | 1u << grid[i * SIDE + column];
    used |= 1u << grid[box + i / 2 * SIDE + i % 2];
  }
  return ~used & 0x1eu;
}

/* How many ways there are to fill in the empty cells, counted up to `most`; the last one found stays in out. */
static int count_solutions(int8_t grid[CELLS], int from, int most, int8_t out[CELLS])
{
  while (from < CELLS && grid[from]) from++;
  if (from == CELLS) {
    memcpy(out, grid, CELLS);
    return 1;
  }
  unsigned digits = allowed(grid, from);
  int found = 0;
  for (int8_t digit = 1; digit <= SIDE && found < most; digit++) {
    if (!(digits >> digit & 1)) continue;
    grid[from] = digit;
    found += count_solutions(grid, from + 1, most - found, out);
  }
  grid[from] = 0;
  return found;
}

static bool is_solution(const int8_t grid[CELLS])
{
  int8_t rest[CELLS];
  for (int cell = 0; cell < CELLS; cell++) {
    memcpy(rest, grid, CELLS);
    rest[cell] = 0;
    if (!(allowed(rest, cell) >> grid[cell] & 1)) return false;
  }
  return true;
}

/* A full grid: the rows, columns and digits of one valid grid in another order, pairs of rows and columns kept. The two
 * kinds of grid that this does not lead into each other are chosen from. */
static void draw_solution(struct draw *d, int8_t grid[CELLS])
{
  static const char kinds[2][CELLS + 1] = {"1234341221434321", "1234341223414123"};
  const char *kind = kinds[draw_index(d, 3) == 0 ? 0 : 1];
  int rows[SIDE], columns[SIDE];
  int8_t digits[SIDE] = {1, 2, 3, 4};
  int *orders[2] = {rows, columns};
  draw_shuffle(d, digits, SIDE, 1);
  for (int k = 0; k < 2; k++) {
    int swap = (int)draw_int(d, 0, 7);
    for (int i = 0; i < SIDE; i++) orders[k][i] = (i ^ (swap & 2)) ^ (i < 2 ? swap & 1 : swap >> 2 & 1);
  }
  bool flip = draw_index(d, 2) == 1;
  for (int i = 0; i < CELLS; i++) {
    int row = rows[i / SIDE], column = columns[i % SIDE];
    grid[i] = digits[kind[flip ? column * SIDE + row : row * SIDE + column] - '1'];
  }
}

/* Takes out cells in random order while one solution remains, until `empty` are out. */
static bool draw_puzzle(struct draw *d, int empty, int8_t solution[CELLS], int8_t puzzle[CELLS])
{
  int8_t order[CELLS], scratch[CELLS];
  draw_solution(d, solution);
  memcpy(puzzle, solution, CELLS);
  for (int8_t i = 0; i < CELLS; i++) order[i] = i;
  draw_shuffle(d, order, CELLS, 1);
  for (int i = 0; i < CELLS && empty; i++) {
    int8_t kept = puzzle[order[i]];
    puzzle[order[i]] = 0;
    if (count_solutions(puzzle, 0, 2, scratch) == 1)
      empty--;
    else
      puzzle[order[i]] = kept;
  }
  return !empty;
}

/* Rows of the grid: "1 _ 3 4" or, as JSON, [[1, 0, 3, 4], ...]. */
static void put_grid(struct text *t, const int8_t grid[CELLS], bool json)
{
  for (int i = 0; i < CELLS; i++) {
    bool first = i % SIDE == 0, last = i % SIDE == SIDE - 1;
    if (json)
      text_printf(t, "%s%d%s", i == 0 ? "[[" : first ? "[" : "", grid[i], i == CELLS - 1 ? "]]" : last ? "], " : ", ");
    else
      text_printf(t, "%c%s", grid[i] ? '0' + grid[i] : '_', i == CELLS - 1 ? "" : last ? "\n" : " ");
  }
}

static int one(struct arena *a, const struct task_config *c, struct draw *d, struct task_problem *out,
               struct error *err)
{
  int8_t solution[CELLS], puzzle[CELLS];
  int empty = (int)task_draw_between(c, d, "min_empty", "max_empty"), tries = 0;
  struct text question = {0}, answer = {0}, meta = {0};
  while (!draw_puzzle(d, empty, solution, puzzle)) ASSAY_BUG_IF(++tries == TRY_LIMIT); /* one in four succeeds */
  text_puts(&question,
            "Fill in this Sudoku of 4 by 4 cells, so that every row, every column and every 2 by 2 corner has "
            "1, 2, 3 and 4 once:\n\n");
  put_grid(&question, puzzle, false);
  text_puts(&question, "\n\nAnswer with the whole grid in the same form: four lines of four numbers.");
  put_grid(&answer, solution, false);
  text_puts(&meta, "{\"puzzle\": ");
  put_grid(&meta, puzzle, true);
  text_puts(&meta, ", \"solution\": ");
  put_grid(&meta, solution, true);
  text_puts(&meta, "}");
  out->question = text_keep(a, &question, err);
  out->answer = text_keep(a, &answer, err);
  out->meta = text_keep(a, &meta, err);
  return out->question && out->answer && out->meta ? 0 : err->code;
}

static int open_task(struct arena *a, struct task_config *c, struct error *err)
{
  TRY(task_need_order(c, "min_empty", "max_empty", err));
  return task_draw_open(a, c, SPLIT_KEY, one, err);
}

static int make(struct arena *a, const struct task_config *c, uint64_t index, struct task_problem *out,
                struct error *err)
{
  return task_draw(a, c, index, SPLIT_KEY, one, out, err);
}

/* ---- checking ---------------------------------------------------------------------------------------------------- */

/* Meta's grid: digits from `least` to 4. *found false where it is absent. */
static int read_meta(const json_t *meta, const char *key, int least, int8_t out[CELLS], bool *found, struct error *err)
{
  const json_t *rows = json_object_get(meta, key);
  *found = rows != NULL;
  for (size_t i = 0; i < CELLS && rows; i++) {
    const json_t *row = json_array_get(rows, i / SIDE), *cell = json_array_get(row, i % SIDE);
    json_int_t digit = json_integer_value(cell);
    if (json_array_size(rows) != SIDE || json_array_size(row) != SIDE || !json_is_integer(cell) || digit < least ||
        digit > SIDE)
      FAIL_AT(err, ERROR_INPUT, NULL, 0, key, "found no grid in meta; expected four lists of four digits, %d to 4",
              least);
    out[i] = (int8_t)digit;
  }
  return 0;
}

/* One line of an answer: how many digits it has (the first 16 in out), -1 where it is text, or has another digit. */
static int read_line(const char *s, size_t n, int8_t out[CELLS])
{
  int count = 0;
  for (size_t i = 0; i < n; i++) {
    if (is_letter(s[i]) || s[i] == '0' || (s[i] > '4' && s[i] <= '9')) return -1;
    if (s[i] < '1' || s[i] > '4') continue;
    if (count == CELLS) return -1;
    out[count++] = (int8_t)(s[i] - '0');
  }
  return count;
}

/* The last grid of a text: four lines of four digits, or all 16 in one line. Lines with letters and lines without
 * digits are passed over; other signs between digits do not count. */
static bool read_grid(const char *s, size_t n, int8_t out[CELLS])
{
  int8_t line[CELLS], lines = 0;
  for (size_t end = n; lines < SIDE;) {
    size_t at = end;
    while (at > 0 && s[at - 1] != '\n') at--;
    int count = read_line(s + at, end - at, line);
    if (count == CELLS && lines == 0) {
      memcpy(out, line, CELLS);
      return true;
    }
    if (count > 0 && count != SIDE) return false;
    if (count == SIDE) memcpy(out + (SIDE - ++lines) * SIDE, line, SIDE);
    if (at == 0) break;
    end = at - 1;
  }
  return lines == SIDE;
}

static int check(struct arena *a, const json_t *meta, const char *answer, const char *response, size_t n,
                 struct task_verdict *out, struct error *err)
{
  int8_t puzzle[CELLS] = {0}, solution[CELLS], got[CELLS];
  bool has_puzzle, has_solution;
  int empty = 0, right = 0, given = 0;
  struct answer_span span;
  const char *why;
  TRY(read_meta(meta, "puzzle", 0, puzzle, &has_puzzle, err));
  TRY(read_meta(meta, "solution", 1, solution, &has_solution, err));
  if (!has_solution && answer) has_solution = read_grid(answer, strlen(answer), solution);
  if (!has_solution) FAIL_AT(err, ERROR_INPUT, NULL, 0, "solution", "found no solution in meta; expected four lists");
  if (!answer_find(response, n, ANSWER_TEXT, &span, &why))
    return answer_verdict(a, out, NULL, 0, false, 0, err, "%s", why);
  const char *read = response + span.start;
  if (!read_grid(read, span.length, got))
    return answer_verdict(a, out, NULL, 0, false, 0, err, "the answer (%s) is no grid of 4 by 4", span.rule);
  for (int i = 0; i < CELLS; i++) {
    empty += !puzzle[i];
    given += puzzle[i] && puzzle[i] == got[i];
    right += !puzzle[i] && got[i] == solution[i];
  }
  bool kept = given == CELLS - empty, solved = has_puzzle ? kept && is_solution(got) : right == CELLS;
  return answer_verdict(a, out, read, span.length, solved, has_puzzle && kept && empty ? 0.5 * right / empty : 0, err,
                        kept ? "%d of %d empty cells are right" : "a given cell was changed", right, empty);
}

const struct task task_mini_sudoku = {
    .name = "mini_sudoku",
    .help = "Sudoku on 4 by 4 cells with exactly one solution",
    .right =
        "The filled grid: four lines of four digits (signs between them do not count), the last such grid of the text. "
        "Partial credit, where the given cells are kept: half the share of empty cells that are right.",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .open = open_task,
    .make = make,
    .check = check,
};
