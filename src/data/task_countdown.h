/* data/task_countdown: numbers to be combined into a target by + - * /, each exactly once: what the tasks countdown and
 * puzzle24 share. Values are exact fractions. */
#ifndef ASSAY_DATA_TASK_COUNTDOWN_H
#define ASSAY_DATA_TASK_COUNTDOWN_H

#include "data/task_draw.h"

enum {
  COUNTDOWN_NUMBERS = 8,
  COUNTDOWN_MAX_VALUE = 9999, /* so that no combination of 8 leaves 128 bits */
  COUNTDOWN_TRIES = 20000
};

struct countdown_rules {
  const char *operators; /* a non-empty choice of "+-*" "/" */
  bool fractions;        /* values on the way may be fractions and negative; else they are whole and positive */
  int64_t min_target, max_target;
};

struct countdown_problem {
  int64_t numbers[COUNTDOWN_NUMBERS];
  size_t count;
  int64_t target;
  char *list;             /* "8, 5, 10, 6" */
  const char *expression; /* one solution: "10*(8 - 5) - 6" */
};

/* Draws count numbers of low..high on the wanted side (the numbers alone decide it, in any order) that reach a target
 * of the rules, with one way to do it. ERROR_INPUT after COUNTDOWN_TRIES vain draws. Sets the draw's canonical text. */
int countdown_draw(struct arena *a, struct draw *d, const struct countdown_rules *rules, size_t count, int64_t low,
                   int64_t high, struct countdown_problem *out, struct error *err) MUST_USE;

/* ERROR_INPUT unless the text holds only + - * / and at least one. */
int countdown_need_operators(const char *operators, struct error *err) MUST_USE;

/* Judges a response: its answer (data/task_answer) must be one expression over exactly these numbers, each as often as
 * it is given, with this value; "= TARGET" may stand behind it. Partial credit: 0.1 for a well-formed expression that
 * uses each number exactly once and has another value; nothing else. numbers NULL: any `count` numbers will do. */
int countdown_judge(struct arena *a, const int64_t *numbers, size_t count, int64_t target, const char *response,
                    size_t n, struct task_verdict *out, struct error *err) MUST_USE;

/* meta's `numbers` (a list of 1 to COUNTDOWN_NUMBERS whole numbers), or where it has none those of the answer's
 * expression. */
int countdown_numbers(struct arena *a, const json_t *meta, const char *answer, int64_t numbers[COUNTDOWN_NUMBERS],
                      size_t *count, struct error *err) MUST_USE;

#endif
