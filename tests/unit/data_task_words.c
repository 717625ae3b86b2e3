/* Tasks over words, logic, grids and puzzles: what they make is right by solvers of its own kind, and their checkers
 * take right answers and no others. */
#include <stdlib.h>
#include "check.h"
#include "data/task.h"
#include "data/task_words.h"

static struct arena *arena;
static struct error err;

static int setup(void **state)
{
  (void)state;
  error_clear(&err);
  arena = arena_create("test", 0, &err);
  return arena ? 0 : -1;
}

static int teardown(void **state)
{
  (void)state;
  arena_destroy(arena);
  return 0;
}

static const char *const mine[] = {"caesar_cipher", "knights_knaves",        "last_letter",         "letter_counting",
                                   "maze",          "mini_sudoku",           "number_sorting",      "parity",
                                   "shortest_path", "palindrome_generation", "propositional_logic", "spell_backward",
                                   "word_sorting",  "tower_of_hanoi"};
enum { MINE = sizeof mine / sizeof *mine };

static struct task_config *open_task(const char *name, bool held_out, uint64_t seed)
{
  struct task_config *c = NULL;
  CHECK_OK(task_open(arena, task_find(name, &err), NULL, 0, held_out, seed, &c, &err), &err);
  return c;
}

static struct task_problem make(const struct task_config *c, uint64_t index)
{
  struct task_problem p;
  CHECK_OK(c->task->make(arena, c, index, &p, &err), &err);
  return p;
}

static json_t *parse(const char *text)
{
  json_t *v = NULL;
  CHECK_OK(json_parse(arena, text, strlen(text), "meta", 0, 0, &v, &err), &err);
  return v;
}

static struct task_verdict judge(const struct task *t, const json_t *meta, const char *answer, const char *response)
{
  struct task_verdict v;
  CHECK_OK(t->check(arena, meta, answer, response, strlen(response), &v, &err), &err);
  CHECK(v.reason && v.reward >= 0 && v.reward <= 1 && (v.reward == 1) == v.correct && (v.readable || v.reward == 0));
  return v;
}

/* ---- every task -------------------------------------------------------------------------------------------------- */

static void test_own_answers(void **state)
{
  (void)state;
  static const char *const forms[] = {"%s",
                                      "  %s\n",
                                      "<answer>%s</answer>",
                                      "\\boxed{%s}",
                                      "I think.\nThe answer is %s",
                                      "<think>no, or 99?</think>%s"};
  for (size_t k = 0; k < MINE; k++)
    for (int side = 0; side < 2; side++) {
      const struct task_config *c = open_task(mine[k], side, 5);
      const char *before = "";
      /* Several answers may be right, or two problems may have the same letters. */
      bool several = strstr("palindrome_generation propositional_logic shortest_path tower_of_hanoi", mine[k]);
      for (uint64_t i = 0; i < check_cases(200, 20); i++) {
        struct task_problem p = make(c, i);
        const json_t *meta = parse(p.meta);
        for (size_t f = 0; f < sizeof forms / sizeof *forms; f++) {
          struct text t = {0};
          const char *at = strstr(forms[f], "%s");
          text_add(&t, forms[f], (size_t)(at - forms[f]));
          text_puts(&t, p.answer);
          text_puts(&t, at + 2);
          if (!judge(c->task, meta, NULL, t.bytes).correct) fail_msg("%s: %s\n%s", mine[k], p.question, t.bytes);
          text_free(&t);
        }
        if (strcmp(before, p.answer) && !several && judge(c->task, meta, NULL, before).correct)
          fail_msg("%s: %s\n%s", mine[k], p.question, before);
        CHECK(judge(c->task, meta, NULL, "").reward == 0 && judge(c->task, meta, NULL, "no idea").reward == 0);
        before = p.answer;
      }
    }
}

static void test_deterministic(void **state)
{
  (void)state;
  for (size_t k = 0; k < MINE; k++) {
    const struct task_config *c = open_task(mine[k], false, 7), *again = open_task(mine[k], false, 7),
                             *other = open_task(mine[k], false, 8);
    int differ = 0;
    for (uint64_t i = 0; i < 1000; i++) {
      struct arena_mark mark = arena_mark(arena);
      struct task_problem p = make(c, i), q = make(again, i), r = make(other, i);
      CHECK_STR(p.question, q.question);
      CHECK_STR(p.answer, q.answer);
      CHECK_STR(p.meta, q.meta);
      differ += strcmp(p.question, r.question) != 0;
      arena_release(arena, mark);
    }
    CHECK(differ > 950); /* tower_of_hanoi has 90 problems: 1000 * 89 / 90 differ on average */
    make(c, UINT64_MAX - 1);
  }
}

static int compare_texts(const void *x, const void *y)
{
  return strcmp(*(const char *const *)x, *(const char *const *)y);
}

static void test_sides(void **state)
{
  (void)state;
  enum { COUNT = 3000 };
  static const char *train[COUNT], *held[COUNT];
  size_t count = check_cases(COUNT, COUNT / 10);
  for (size_t k = 0; k < MINE; k++) {
    const struct task_config *c = open_task(mine[k], false, 1), *h = open_task(mine[k], true, 2);
    for (uint64_t i = 0; i < count; i++) train[i] = make(c, i).question, held[i] = make(h, i).question;
    qsort(train, count, sizeof *train, compare_texts);
    for (size_t i = 0; i < count; i++)
      if (bsearch(&held[i], train, count, sizeof *train, compare_texts)) fail_msg("%s: %s", mine[k], held[i]);
  }
}

/* 100 kB of what each reader looks for, none of it an answer. */
static void test_hostile(void **state)
{
  (void)state;
  static const char *const pieces[] = {"(",
                                       "\xc2\xac",
                                       "[[[",
                                       ",",
                                       "disk 1 from ",
                                       "1 2 3 4\n",
                                       "up ",
                                       "Ada is ",
                                       "even ",
                                       "a-",
                                       "\\boxed{",
                                       "<answer>",
                                       "answer is ",
                                       "\xff\xfe\177",
                                       "disk ",
                                       "P \xe2\x86\x92 ",
                                       "not ",
                                       "'\"`",
                                       "Move disk 1 from Peg 1 to Peg 2\nMove disk 1 from Peg 2 to Peg 1\n",
                                       "-0."};
  size_t size = check_cases(100000, 10000);
  char *junk = ARENA_NEW(arena, char, size, "test", &err);
  for (size_t k = 0; k < MINE; k++) {
    const struct task_config *c = open_task(mine[k], false, 3);
    struct task_problem p = make(c, 11);
    const json_t *meta = parse(p.meta);
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
      struct task_verdict v;
      size_t n = i == 13 ? 4 : strlen(pieces[i]);
      for (size_t at = 0; at < size; at++) junk[at] = pieces[i][at % n];
      CHECK_OK(c->task->check(arena, meta, NULL, junk, size, &v, &err), &err);
      CHECK(!v.correct || !strcmp(mine[k], "parity")); /* "even even even" says even */
      CHECK(v.reward <= 0.5 || v.correct);
    }
    CHECK_ERROR(c->task->check(arena, parse("{}"), NULL, "1", 1, &(struct task_verdict){0}, &err), &err, ERROR_INPUT,
                "found no");
    error_clear(&err);
  }
}

static void expect_error(const char *name, const char *key, const char *value, const char *says)
{
  struct task_config *c;
  struct setting_given given = {.key = key, .text = value};
  CHECK_ERROR(task_open(arena, task_find(name, &err), &given, 1, false, 1, &c, &err), &err, ERROR_INPUT, says);
  error_clear(&err);
}

static void test_options(void **state)
{
  (void)state;
  expect_error("word_sorting", "min_words", "11", "above max_words");
  expect_error("word_sorting", "min_word_length", "11", "at least 10");
  expect_error("number_sorting", "min_value", "101", "above max_value");
  expect_error("knights_knaves", "n_people", "9", "2 to 8");
  expect_error("maze", "min_dist", "300", "above max_dist");
  expect_error("maze", "max_grid_size", "4", "above max_grid_size");
  expect_error("mini_sudoku", "max_empty", "13", "1 to 12");
  expect_error("tower_of_hanoi", "min_pegs", "5", "above max_pegs");
  expect_error("caesar_cipher", "max_rotation", "26", "1 to 25");
  expect_error("propositional_logic", "min_vars", "1", "2 to 8");
}

static void test_word_list(void **state)
{
  (void)state;
  size_t all = 0;
  for (size_t i = 0; i < TASK_WORD_COUNT; i++) {
    size_t n = strlen(task_words[i]);
    CHECK(n >= 3 && n <= TASK_WORD_LONGEST && strspn(task_words[i], "abcdefghijklmnopqrstuvwxyz") == n);
    CHECK(i == 0 || strcmp(task_words[i - 1], task_words[i]) < 0);
    CHECK(words_has(task_words[i], n));
  }
  for (int64_t n = 3; n <= TASK_WORD_LONGEST; n++) all += words_between(n, n);
  CHECK_INT(all, TASK_WORD_COUNT);
  CHECK(!words_has("tabl", 4) && !words_has("tables", 6) && words_has("tables", 5) && !words_has("zzz", 3));
}

/* ---- solvers of another kind ------------------------------------------------------------------------------------- */

static const char *member(const json_t *meta, const char *key)
{
  return json_string_value(json_object_get(meta, key));
}

static void test_counts(void **state)
{
  (void)state;
  const struct task_config *letters = open_task("letter_counting", false, 1), *bits = open_task("parity", false, 1);
  for (uint64_t i = 0; i < 300; i++) {
    struct task_problem p = make(letters, i), q = make(bits, i);
    const json_t *meta = parse(p.meta);
    int found = 0;
    for (const char *s = member(meta, "span"); *s; s++) found += *s == member(meta, "target_letter")[0];
    CHECK_INT(atoi(p.answer), found);
    CHECK(found > 0 && strstr(p.question, member(meta, "span")));
    bool odd = false;
    for (const char *s = strstr(q.question, ": ") + 2; *s != '?'; s++) odd ^= *s == '1';
    CHECK_STR(q.answer, odd ? "odd" : "even");
  }
}

static void test_words(void **state)
{
  (void)state;
  const struct task_config *spell = open_task("spell_backward", false, 1), *last = open_task("last_letter", false, 1);
  for (uint64_t i = 0; i < 300; i++) {
    struct task_problem p = make(spell, i), q = make(last, i);
    const char *word = member(parse(p.meta), "word"), *words = strstr(q.question, "together: ") + 10;
    size_t n = strlen(word), k = 0;
    CHECK_INT(strlen(p.answer), n);
    for (size_t j = 0; j < n; j++) CHECK(p.answer[j] == word[n - 1 - j]);
    for (const char *s = words;; s++) {
      if (*s != ' ' && *s != '.') continue;
      CHECK(q.answer[k++] == s[-1]);
      if (*s == '.') break;
    }
    CHECK_INT(strlen(q.answer), k);
  }
}

static void test_sorted(void **state)
{
  (void)state;
  const struct task_config *numbers = open_task("number_sorting", false, 1),
                           *words = open_task("word_sorting", false, 1);
  for (uint64_t i = 0; i < 300; i++) {
    const json_t *x = parse(make(numbers, i).meta), *y = parse(make(words, i).meta);
    const json_t *sorted = json_object_get(x, "sorted_numbers"), *w = json_object_get(y, "sorted_words");
    bool down = !strcmp(member(x, "direction"), "descending"), back = !strcmp(member(y, "direction"), "descending");
    CHECK_INT(json_array_size(sorted), json_array_size(json_object_get(x, "original_numbers")));
    for (size_t k = 1; k < json_array_size(sorted); k++) {
      double a = strtod(json_string_value(json_array_get(sorted, k - 1)), NULL);
      double b = strtod(json_string_value(json_array_get(sorted, k)), NULL);
      CHECK(down ? a >= b : a <= b);
    }
    for (size_t k = 1; k < json_array_size(w); k++) {
      int order = strcmp(json_string_value(json_array_get(w, k - 1)), json_string_value(json_array_get(w, k)));
      CHECK(back ? order > 0 : order < 0);
    }
  }
}

/* Exactly one of the 25 distances gives words alone, and it gives the answer. */
static void test_cipher(void **state)
{
  (void)state;
  const struct task_config *c = open_task("caesar_cipher", false, 1);
  for (uint64_t i = 0; i < 300; i++) {
    struct task_problem p = make(c, i);
    const char *cipher = member(parse(p.meta), "cipher_text");
    int readings = 0;
    for (int by = 1; by < 26; by++) {
      char text[2048], lower[2048];
      size_t n = strlen(cipher), start = 0;
      bool words = true;
      CHECK(n < sizeof text);
      for (size_t k = 0; k <= n; k++) {
        bool letter = cipher[k] >= 'A' && cipher[k] <= 'Z';
        text[k] = (char)(letter ? 'A' + (cipher[k] - 'A' + by) % 26 : cipher[k]);
        lower[k] = (char)(letter ? text[k] + 32 : text[k]);
        if (letter) continue;
        words = words && words_has(lower + start, k - start);
        start = k + 1;
      }
      readings += words;
      if (words) CHECK_STR(text, p.answer);
    }
    CHECK_INT(readings, 1);
  }
}

/* Rows in every order of 1 2 3 4 that fits the given cells; columns and corners are looked at when all four stand. */
static int count_grids(const int *given, int *grid, int row)
{
  int found = 0;
  if (row == 4) {
    for (int k = 0; k < 4; k++) {
      int column = 0, corner = 0;
      for (int i = 0; i < 4; i++) {
        column |= 1 << grid[4 * i + k];
        corner |= 1 << grid[k / 2 * 8 + k % 2 * 2 + i / 2 * 4 + i % 2];
      }
      if (column != 30 || corner != 30) return 0;
    }
    return 1;
  }
  for (int order = 0; order < 256; order++) {
    int used = 0;
    bool fits = true;
    for (int i = 0; i < 4; i++) {
      int digit = 1 + (order >> 2 * i & 3), cell = 4 * row + i;
      grid[cell] = digit;
      used |= 1 << digit;
      fits = fits && (!given[cell] || given[cell] == digit);
    }
    if (fits && used == 30) found += count_grids(given, grid, row + 1);
  }
  return found;
}

static void test_sudoku(void **state)
{
  (void)state;
  const struct task_config *c = open_task("mini_sudoku", false, 1);
  for (uint64_t i = 0; i < 60; i++) {
    const json_t *meta = parse(make(c, i).meta), *puzzle = json_object_get(meta, "puzzle");
    int given[16], grid[16], empty = 0;
    for (size_t k = 0; k < 16; k++) {
      given[k] = (int)json_integer_value(json_array_get(json_array_get(puzzle, k / 4), k % 4));
      empty += !given[k];
    }
    CHECK(empty >= 8 && empty <= 12);
    CHECK_INT(count_grids(given, grid, 0), 1);
  }
}

/* A fully bracketed formula under an assignment (bit v: variable 'P' + v). */
static bool value_of(const char **s, unsigned assignment)
{
  if (!strncmp(*s, "\xc2\xac", 2)) {
    *s += 2;
    return !value_of(s, assignment);
  }
  if (**s != '(') return assignment >> (*(*s)++ - 'P') & 1;
  ++*s;
  bool x = value_of(s, assignment);
  const char *sign = *s + 1;
  *s += 5;
  bool y = value_of(s, assignment);
  ++*s;
  if (!strncmp(sign, "\xe2\x88\xa7", 3)) return x && y;
  if (!strncmp(sign, "\xe2\x88\xa8", 3)) return x || y;
  if (!strncmp(sign, "\xe2\x86\x92", 3)) return !x || y;
  CHECK(!strncmp(sign, "\xe2\x86\x94", 3));
  return x == y;
}

static bool holds(const char *formula, unsigned assignment)
{
  const char *s = formula;
  bool value = value_of(&s, assignment);
  CHECK(!*s);
  return value;
}

static void test_conclusions(void **state)
{
  (void)state;
  const struct task_config *c = open_task("propositional_logic", false, 1);
  for (uint64_t i = 0; i < 500; i++) {
    struct task_problem p = make(c, i);
    const json_t *meta = parse(p.meta), *premises = json_object_get(meta, "premises");
    size_t count = json_array_size(premises), variables = json_array_size(json_object_get(meta, "variables"));
    bool alone[16] = {false}, possible = false, empty = true;
    memset(alone, 1, sizeof alone);
    for (unsigned a = 0; a < 1u << variables; a++) {
      bool all = true, right = holds(p.answer, a);
      for (size_t k = 0; k < count; k++) {
        bool one = holds(json_string_value(json_array_get(premises, k)), a);
        all = all && one;
        if (one && !right) alone[k] = false;
      }
      CHECK(!all || right);
      possible = possible || all;
      empty = empty && right;
    }
    CHECK(possible && !empty);
    for (size_t k = 0; k < count; k++) CHECK(!alone[k]);
  }
}

/* A statement of depth 2 about two people, with truth[i] for names[i]. */
static bool statement(const char *s, size_t n, const char *const names[2], const bool truth[2], const char *truthful)
{
  static const char *const joints[] = {" if and only if ", " then ", " and ", " or "};
  for (int j = 0; j < 4; j++) {
    size_t size = strlen(joints[j]);
    for (size_t at = 0; at + size < n; at++) {
      if (strncmp(s + at, joints[j], size)) continue;
      size_t from = j == 1 ? 3 : 0; /* behind "if " */
      bool x = statement(s + from, at - from, names, truth, truthful);
      bool y = statement(s + at + size, n - at - size, names, truth, truthful);
      return j == 0 ? x == y : j == 1 ? !x || y : j == 2 ? x && y : x || y;
    }
  }
  int who = strncmp(s, names[0], strlen(names[0])) ? 1 : 0;
  bool says = !strncmp(s + n - strlen(truthful), truthful, strlen(truthful));
  return truth[who] == says;
}

static void test_knights(void **state)
{
  (void)state;
  const struct task_config *c = open_task("knights_knaves", false, 1);
  for (uint64_t i = 0; i < 500; i++) {
    struct task_problem p = make(c, i);
    const json_t *meta = parse(p.meta), *list = json_object_get(meta, "names"), *s = json_object_get(meta, "solution");
    const char *names[2] = {json_string_value(json_array_get(list, 0)), json_string_value(json_array_get(list, 1))};
    const char *truthful = member(json_object_get(meta, "knight_knave_terms"), "knight");
    int solutions = 0;
    for (int a = 0; a < 4; a++) {
      const bool truth[2] = {a & 1, a >> 1};
      const char *at = p.question;
      bool fits = true;
      for (int k = 0; k < 2; k++) {
        at = strstr(at, "says: \"") + 7;
        fits = fits && truth[k] == statement(at, strcspn(at, "."), names, truth, truthful);
      }
      solutions += fits;
      if (fits) CHECK(json_is_true(json_array_get(s, 0)) == truth[0] && json_is_true(json_array_get(s, 1)) == truth[1]);
    }
    CHECK_INT(solutions, 1);
  }
}

/* Fewest steps between two signs by relaxing every cell until nothing changes; -1: none. cell(row, column) as text. */
static int relax(const char *cells, int rows, int columns, char wall, char from, char to)
{
  int best[64 * 64], end = -1;
  bool changed = true;
  for (int i = 0; i < rows * columns; i++) {
    best[i] = cells[i] == from ? 0 : 100000;
    if (cells[i] == to) end = i;
  }
  while (changed) {
    changed = false;
    for (int i = 0; i < rows * columns; i++)
      for (int k = 0; k < rows * columns; k++) {
        int far = abs(i / columns - k / columns) + abs(i % columns - k % columns);
        if (far != 1 || cells[i] == wall || cells[k] == wall || best[k] + 1 >= best[i]) continue;
        best[i] = best[k] + 1;
        changed = true;
      }
  }
  return end < 0 || best[end] >= 100000 ? -1 : best[end];
}

static void test_grids(void **state)
{
  (void)state;
  const struct task_config *maze = open_task("maze", false, 1), *path = open_task("shortest_path", false, 1);
  for (uint64_t i = 0; i < 100; i++) {
    struct task_problem p = make(maze, i), q = make(path, i);
    const json_t *meta = parse(p.meta), *grid = json_object_get(meta, "grid"), *matrix;
    struct text t = {0};
    int rows = (int)json_array_size(grid), steps = 0;
    for (int r = 0; r < rows; r++) text_puts(&t, json_string_value(json_array_get(grid, (size_t)r)));
    int shortest =
        relax(t.bytes, rows, rows, member(meta, "wall")[0], member(meta, "start")[0], member(meta, "goal")[0]);
    CHECK_INT(atoi(p.answer), shortest);
    CHECK(shortest >= 5 && shortest <= 10);
    text_clear(&t);
    matrix = json_object_get(parse(q.meta), "matrix");
    int height = (int)json_array_size(matrix), width = (int)json_array_size(json_array_get(matrix, 0));
    for (int k = 0; k < height * width; k++)
      text_puts(&t,
                json_string_value(json_array_get(json_array_get(matrix, (size_t)(k / width)), (size_t)(k % width))));
    for (const char *s = q.answer; *s; s++) steps += *s == ' ';
    shortest = relax(t.bytes, height, width, 'X', '*', '#');
    CHECK_INT(!strcmp(q.answer, "infeasible") ? -1 : steps + 1, shortest);
    text_free(&t);
  }
}

/* Fewest moves of n disks over all states (base `pegs` numbers: a digit a disk), by breadth. */
static int hanoi(int disks, int pegs)
{
  static int distance[1 << 16], queue[1 << 16];
  int states = 1, head = 0, tail = 0;
  for (int i = 0; i < disks; i++) states *= pegs;
  for (int i = 0; i < states; i++) distance[i] = -1;
  distance[0] = 0;
  queue[tail++] = 0;
  for (; head < tail; head++) {
    bool covered[8] = {false};
    for (int disk = 0, power = 1; disk < disks; disk++, power *= pegs) {
      int on = queue[head] / power % pegs;
      for (int to = 0; to < pegs && !covered[on]; to++) {
        int next = queue[head] + (to - on) * power;
        if (covered[to] || distance[next] >= 0) continue;
        distance[next] = distance[queue[head]] + 1;
        queue[tail++] = next;
      }
      covered[on] = true;
    }
  }
  return distance[states - 1]; /* all on the last peg */
}

static void test_towers(void **state)
{
  (void)state;
  int shortest[9][5] = {{0}};
  for (int disks = 3; disks <= 7; disks++)
    for (int pegs = 3; pegs <= 4; pegs++) shortest[disks][pegs] = hanoi(disks, pegs);
  const struct task_config *c = open_task("tower_of_hanoi", false, 1);
  for (uint64_t i = 0; i < 300; i++) {
    struct task_problem p = make(c, i);
    const json_t *meta = parse(p.meta);
    int lines = 1, want = shortest[json_integer_value(json_object_get(meta, "num_disks"))]
                                  [json_integer_value(json_object_get(meta, "num_pegs"))];
    for (const char *s = p.answer; *s; s++) lines += *s == '\n';
    CHECK_INT(json_integer_value(json_object_get(meta, "solution_length")), want);
    CHECK_INT(lines, want);
  }
}

/* ---- what counts as an answer ------------------------------------------------------------------------------------ */

static const struct {
  const char *task, *meta, *answer, *response;
  double reward;
  bool readable;
} cases[] = {
    {"spell_backward", "{\"word\": \"sun\"}", NULL, "NUS", 1, true},
    {"spell_backward", "{\"word\": \"sun\"}", NULL, "n-u-s", 1, true},
    {"spell_backward", "{\"word\": \"sun\"}", NULL, "nus sun", 0, false},
    {"spell_backward", "{\"word\": \"sun\"}", NULL, "sun", 0.5 / 3, true},
    {"spell_backward", "{\"word\": \"sun\"}", NULL, "nuss", 0, true},
    {"spell_backward", "{}", "nus", "nus.", 1, true},
    {"last_letter", "{\"words\": \"green old tea\"}", NULL, "n, d, a", 1, true},
    {"last_letter", "{\"words\": \"green old tea\"}", NULL, "nd a", 0, false},
    {"letter_counting", "{}", "3", "three times: 3.0", 1, true},
    {"letter_counting", "{}", "3", "3 or 4", 0, false},
    {"parity", "{\"bits\": \"0110\"}", NULL, "It is **Even**.", 1, true},
    {"parity", "{\"bits\": \"0110\"}", NULL, "even or odd", 0, false},
    {"parity", "{\"bits\": \"0110\"}", NULL, "not odd", 0, false},
    {"parity", "{\"bits\": \"0110\"}", NULL, "odd", 0, true},
    {"word_sorting", "{\"sorted_words\": [\"Zoo\", \"ape\", \"bee\"]}", NULL, "['Zoo', 'ape', \"bee\"]", 1, true},
    {"word_sorting", "{\"sorted_words\": [\"Zoo\", \"ape\", \"bee\"]}", NULL, "Zoo ape bee", 1, true},
    {"word_sorting", "{\"sorted_words\": [\"Zoo\", \"ape\", \"bee\"]}", NULL, "zoo, ape, bee", 0, true},
    {"word_sorting", "{\"sorted_words\": [\"Zoo\", \"ape\", \"bee\"]}", NULL, "Zoo, bee, ape", 0.5 / 3, true},
    {"word_sorting", "{\"sorted_words\": [\"Zoo\", \"ape\", \"bee\"]}", NULL, "Zoo, ape, bee, Zoo, ape, bee", 0, true},
    {"number_sorting", "{}", "['-2.5', '0.0', '10']", "[-2.50, -0, 10.0]", 1, true},
    {"number_sorting", "{}", "['-2.5', '0.0', '10']",
     "\xe2\x88\x92"
     "2.5, 0, 10",
     1, true},
    {"number_sorting", "{}", "['-2.5', '0.0', '10']", "[-2.5, 0, 10.01]", 0, true},
    {"number_sorting", "{}", "['-2.5', '0.0', '10']", "[0, -2.5, 10]", 0.5 / 3, true},
    {"number_sorting", "{}", "['-2.5', '0.0', '10']", "[-2.5, 0, ten]", 0, false},
    {"caesar_cipher", "{}", "THE OLD SEA", "the  old sea", 1, true},
    {"caesar_cipher", "{}", "THE OLD SEA", "THE OLD TEA", 1.0 / 3, true},
    {"caesar_cipher", "{}", "THE OLD SEA", "THE OLD SEA THE OLD SEA", 0, true},
    {"palindrome_generation", "{\"letters\": [\"a\", \"b\", \"b\", \"a\", \"c\"]}", NULL, "bacab", 1, true},
    {"palindrome_generation", "{\"letters\": [\"a\", \"b\", \"b\", \"a\", \"c\"]}", NULL, "ABCBA", 1, true},
    {"palindrome_generation", "{\"letters\": [\"a\", \"b\", \"b\", \"a\", \"c\"]}", NULL, "bcaab", 0.25, true},
    {"palindrome_generation", "{\"letters\": [\"a\", \"b\", \"b\", \"a\", \"c\"]}", NULL, "abba", 0, true},
    {"propositional_logic", "{\"premises\": [\"P\", \"(P -> Q)\"], \"variables\": [\"P\", \"Q\"]}", NULL, "q", 1, true},
    {"propositional_logic", "{\"premises\": [\"P\", \"(P -> Q)\"], \"variables\": [\"P\", \"Q\"]}", NULL, "P & Q", 1,
     true},
    {"propositional_logic", "{\"premises\": [\"P\", \"(P -> Q)\"], \"variables\": [\"P\", \"Q\"]}", NULL, "P \\land (Q",
     1, true},
    {"propositional_logic", "{\"premises\": [\"P\", \"(P -> Q)\"], \"variables\": [\"P\", \"Q\"]}", NULL,
     "not P implies Q", 1, true},
    {"propositional_logic", "{\"premises\": [\"P\", \"(P -> Q)\"], \"variables\": [\"P\", \"Q\"]}", NULL, "P", 1, true},
    {"propositional_logic", "{\"premises\": [\"P\", \"(P -> Q)\"], \"variables\": [\"P\", \"Q\"], \"combine\": true}",
     NULL, "P v Q", 0, true},
    {"propositional_logic", "{\"premises\": [\"P\", \"(P -> Q)\"], \"variables\": [\"P\", \"Q\"]}", NULL, "P | ~P", 0,
     true},
    {"propositional_logic", "{\"premises\": [\"P\", \"(P -> Q)\"], \"variables\": [\"P\", \"Q\"]}", NULL, "~Q", 0,
     true},
    {"propositional_logic", "{\"premises\": [\"P\", \"(P -> Q)\"], \"variables\": [\"P\", \"Q\"]}", NULL, "P Q", 0,
     false},
    {"propositional_logic", "{\"premises\": [\"P\", \"(P -> Q)\"], \"variables\": [\"P\", \"Q\"]}", NULL, "P & R", 0,
     false},
    {"knights_knaves", "{}", "Ada is a hero, and Leo is a villain.", "Leo: villain. Ada: hero", 1, true},
    {"knights_knaves", "{}", "Ada is a hero, and Leo is a villain.", "Leo is not a knight\nAda is a knight", 1, true},
    {"knights_knaves", "{}", "Ada is a hero, and Leo is a villain.", "Ada is a hero or a villain, Leo is a villain", 0,
     false},
    {"knights_knaves", "{}", "Ada is a hero, and Leo is a villain.", "Ada is a hero/villain, Leo is a villain", 0,
     false},
    {"knights_knaves", "{}", "Ada is a hero, and Leo is a villain.", "Ada and Leo are heroes", 0, true},
    {"knights_knaves", "{}", "Ada is a hero, and Leo is a villain.", "Ada is a hero", 0, false},
    {"shortest_path", "{\"matrix\": [[\"*\", \"O\"], [\"O\", \"#\"]]}", NULL, "Down, Right", 1, true},
    {"shortest_path", "{\"matrix\": [[\"*\", \"O\"], [\"O\", \"#\"]]}", NULL, "right -> down", 1, true},
    {"shortest_path", "{\"matrix\": [[\"*\", \"O\"], [\"O\", \"#\"]]}", NULL, "right left right down", 0.25, true},
    {"shortest_path", "{\"matrix\": [[\"*\", \"O\"], [\"O\", \"#\"]]}", NULL, "up right down down", 0, true},
    {"shortest_path", "{\"matrix\": [[\"*\", \"O\"], [\"O\", \"#\"]]}", NULL, "infeasible", 0, true},
    {"shortest_path", "{\"matrix\": [[\"*\", \"O\"], [\"O\", \"#\"]]}", NULL, "go right down", 0, false},
    {"shortest_path", "{\"matrix\": [[\"*\", \"X\"], [\"X\", \"#\"]]}", NULL, "Infeasible.", 1, true},
    {"shortest_path", "{\"matrix\": [[\"*\", \"X\"], [\"X\", \"#\"]]}", NULL, "infeasible down", 0, false},
    {"shortest_path", "{}", "up left", "up, left", 1, true},
    {"shortest_path", "{}", "up left", "up lefty", 0, true},
    {"mini_sudoku", "{\"solution\": [[1, 2, 3, 4], [3, 4, 1, 2], [2, 1, 4, 3], [4, 3, 2, 1]]}", NULL,
     "The 4x4 grid:\n| 1 2 | 3 4 |\n|-----|\n1,2,3\n", 0, false},
    {"mini_sudoku", "{\"solution\": [[1, 2, 3, 4], [3, 4, 1, 2], [2, 1, 4, 3], [4, 3, 2, 1]]}", NULL,
     "The 4x4 grid:\n| 1 2 | 3 4 |\n| 3 4 | 1 2 |\n|-----|\n| 2 1 | 4 3 |\n| 4 3 | 2 1 |\nDone in 1 go.", 1, true},
    {"mini_sudoku", "{\"solution\": [[1, 2, 3, 4], [3, 4, 1, 2], [2, 1, 4, 3], [4, 3, 2, 1]]}", NULL,
     "[[1,2,3,4],[3,4,1,2],[2,1,4,3],[4,3,2,1]]", 1, true},
    {"mini_sudoku",
     "{\"puzzle\": [[1, 0, 3, 4], [3, 4, 1, 2], [2, 1, 4, 3], [4, 3, 2, 0]], \"solution\": [[1, 2, 3, 4], "
     "[3, 4, 1, 2], [2, 1, 4, 3], [4, 3, 2, 1]]}",
     NULL, "1234\n3412\n2143\n4322", 0.25, true},
    {"mini_sudoku",
     "{\"puzzle\": [[1, 0, 3, 4], [3, 4, 1, 2], [2, 1, 4, 3], [4, 3, 2, 0]], \"solution\": [[1, 2, 3, 4], "
     "[3, 4, 1, 2], [2, 1, 4, 3], [4, 3, 2, 1]]}",
     NULL, "2234\n3412\n2143\n4321", 0, true},
    {"tower_of_hanoi", "{\"num_disks\": 2, \"num_pegs\": 3, \"start_peg\": 1, \"target_peg\": 3}", NULL,
     "1. Move disk 1 from peg 1 to peg 2\n2. MOVE DISK 2 FROM PEG 1 TO PEG 3, then disk 1 from 2 to 3", 1, true},
    {"tower_of_hanoi", "{\"num_disks\": 2, \"num_pegs\": 3, \"start_peg\": 1, \"target_peg\": 3}", NULL,
     "Move disk 1 from Peg 1 to Peg 2\nMove disk 2 from Peg 1 to Peg 3", 0.25, true},
    {"tower_of_hanoi", "{\"num_disks\": 2, \"num_pegs\": 3, \"start_peg\": 1, \"target_peg\": 3}", NULL,
     "Move disk 2 from Peg 1 to Peg 3", 0, true},
    {"tower_of_hanoi", "{\"num_disks\": 2, \"num_pegs\": 3, \"start_peg\": 1, \"target_peg\": 3}", NULL,
     "Move disk 1 from Peg 1 to Peg 2\nMove disk 2 from Peg 1 to Peg 3\nMove disk 1 from Peg 2 to Peg", 0, true},
};

static void test_cases(void **state)
{
  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct task_verdict v =
        judge(task_find(cases[i].task, &err), parse(cases[i].meta), cases[i].answer, cases[i].response);
    double off = v.reward - cases[i].reward;
    if (!(off < 1e-12 && off > -1e-12) || v.readable != cases[i].readable)
      fail_msg("%s, \"%s\": %g, %s", cases[i].task, cases[i].response, v.reward, v.reason);
  }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
  const struct CMUnitTest tests[] = {
      TEST(test_own_answers), TEST(test_deterministic), TEST(test_sides),  TEST(test_hostile),
      TEST(test_options),     TEST(test_word_list),     TEST(test_counts), TEST(test_words),
      TEST(test_sorted),      TEST(test_cipher),        TEST(test_sudoku), TEST(test_knights),
      TEST(test_conclusions), TEST(test_grids),         TEST(test_towers), TEST(test_cases),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
