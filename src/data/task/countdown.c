/* Countdown: reach a target with some numbers and + - * /, each number exactly once. The checker evaluates the
 * expression exactly, so every valid one counts. */
#include "data/task_countdown.h"

static const uint32_t split_key = 0xc0d40001u;

static const struct setting options[] = {
    {"min_numbers", SETTING_INT, 2, COUNTDOWN_NUMBERS, "4", NULL, "fewest numbers"},
    {"max_numbers", SETTING_INT, 2, COUNTDOWN_NUMBERS, "6", NULL, "most numbers"},
    {"min_value", SETTING_INT, 1, COUNTDOWN_MAX_VALUE, "1", NULL, "smallest number"},
    {"max_value", SETTING_INT, 1, COUNTDOWN_MAX_VALUE, "100", NULL, "largest number"},
    {"min_target", SETTING_INT, 1, 1e6, "100", NULL, "smallest target"},
    {"max_target", SETTING_INT, 1, 1e6, "999", NULL, "largest target"},
    {"operators", SETTING_TEXT, 0, 0, "+-*/", NULL, "operators of the solution that is known to exist"},
    TASK_HELD_OUT,
};

static int draw_one(struct arena *a, const struct task_config *c, struct draw *d, struct task_problem *out,
                    struct error *err)
{
  const struct countdown_rules rules = {task_value(c, "operators")->text, false, task_int(c, "min_target"),
                                        task_int(c, "max_target")};
  struct countdown_problem p;
  size_t count = (size_t)task_draw_between(c, d, "min_numbers", "max_numbers");
  TRY(countdown_draw(a, d, &rules, count, task_int(c, "min_value"), task_int(c, "max_value"), &p, err));
  out->answer = p.expression;
  out->question = arena_printf(a, "task", err,
                               "Use the numbers %s to make %lld. Use each number exactly once, with +, -, *, / and "
                               "brackets. Answer with one expression.",
                               p.list, (long long)p.target);
  out->meta = out->question ? arena_printf(a, "task", err, "{\"numbers\": [%s], \"target\": %lld, \"answer\": \"%s\"}",
                                           p.list, (long long)p.target, p.expression)
                            : NULL;
  return out->meta ? 0 : err->code;
}

static int open_countdown(struct arena *a, struct task_config *c, struct error *err)
{
  TRY(task_need_order(c, "min_numbers", "max_numbers", err));
  TRY(task_need_order(c, "min_value", "max_value", err));
  TRY(task_need_order(c, "min_target", "max_target", err));
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
  int64_t numbers[COUNTDOWN_NUMBERS], target;
  size_t count;
  TRY(countdown_numbers(a, meta, answer, numbers, &count, err));
  TRY(json_need_int(meta, "target", INT64_MIN, INT64_MAX, &target, NULL, err));
  return countdown_judge(a, numbers, count, target, response, n, out, err);
}

const struct task task_countdown = {
    .name = "countdown",
    .help = "Reach a target with given numbers and + - * /",
    .right =
        "One expression that uses each number exactly once and has the target as its exact value; \"= TARGET\" may "
        "stand behind it. 0.1 for a valid expression over exactly these numbers with another value.",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .open = open_countdown,
    .make = make,
    .check = check,
};
