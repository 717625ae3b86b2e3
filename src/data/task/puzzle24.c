/* The 24 puzzle: make 24 of four numbers with + - * /, each exactly once. Fractions on the way are allowed: 8 / (3 - 8
 * / 3). Every problem can be solved. */
#include "data/task_countdown.h"

enum { COUNT = 4, TARGET = 24 };
static const uint32_t split_key = 0x24240001u;

static const struct setting options[] = {
    {"min_value", SETTING_INT, 1, 99, "1", NULL, "smallest number"},
    {"max_value", SETTING_INT, 1, 99, "10", NULL, "largest number"},
    {"operators", SETTING_TEXT, 0, 0, "+-*/", NULL, "operators of the solution that is known to exist"},
    TASK_HELD_OUT,
};

static int draw_one(struct arena *a, const struct task_config *c, struct draw *d, struct task_problem *out,
                    struct error *err)
{
  const struct countdown_rules rules = {task_value(c, "operators")->text, true, TARGET, TARGET};
  struct countdown_problem p;
  TRY(countdown_draw(a, d, &rules, COUNT, task_int(c, "min_value"), task_int(c, "max_value"), &p, err));
  out->answer = p.expression;
  out->question = arena_printf(a, "task", err,
                               "Make 24 of the numbers %s. Use each number exactly once, with +, -, *, / and brackets. "
                               "Answer with one expression.",
                               p.list);
  out->meta = out->question
                  ? arena_printf(a, "task", err, "{\"numbers\": [%s], \"answer\": \"%s\"}", p.list, p.expression)
                  : NULL;
  return out->meta ? 0 : err->code;
}

static int open_puzzle(struct arena *a, struct task_config *c, struct error *err)
{
  TRY(task_need_order(c, "min_value", "max_value", err));
  TRY(countdown_need_operators(task_value(c, "operators")->text, err));
  return task_draw_open(a, c, split_key, draw_one, err);
}

static int make(struct arena *a, const struct task_config *c, uint64_t index, struct task_problem *out,
                struct error *err)
{
  return task_draw(a, c, index, split_key, draw_one, out, err);
}

static int check(struct arena *a, const json_t *meta, const char *answer, const char *response, size_t n,
                 struct task_verdict *out, struct error *err)
{
  int64_t numbers[COUNTDOWN_NUMBERS];
  size_t count;
  TRY(countdown_numbers(a, meta, answer, numbers, &count, err));
  // a problem of another collection may not say which numbers it gave: then any that make 24 are taken, as there
  bool given = json_object_get(meta, "numbers") != NULL;
  return countdown_judge(a, given ? numbers : NULL, count, TARGET, response, n, out, err);
}

const struct task task_puzzle24 = {
    .name = "puzzle24",
    .help = "Make 24 of four numbers with + - * /",
    .right =
        "One expression that uses each of the four numbers exactly once and is exactly 24; \"= 24\" may stand behind "
        "it. 0.1 for a valid expression over exactly these numbers with another value.",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .open = open_puzzle,
    .make = make,
    .check = check,
};
