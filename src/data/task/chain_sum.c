/* Sums and differences of several whole numbers. */
#include "data/task_draw.h"
#include "data/task_number.h"

static const uint32_t split_key = 0xc4a10001u;

static const struct setting options[] = {
    {"min_terms", SETTING_INT, 2, 32, "2", NULL, "fewest numbers"},
    {"max_terms", SETTING_INT, 2, 32, "6", NULL, "most numbers"},
    {"min_digits", SETTING_INT, 1, 15, "1", NULL, "fewest digits of a problem's numbers"},
    {"max_digits", SETTING_INT, 1, 15, "4", NULL, "most digits of a problem's numbers"},
    {"allow_negation", SETTING_BOOL, 0, 0, "false", NULL, "numbers may be negative"},
    TASK_HELD_OUT,
};

static int draw_one(struct arena *a, const struct task_config *c, struct draw *d, struct task_problem *out,
                    struct error *err)
{
  char expression[1024]; /* 32 terms of at most 16 + 3 characters */
  size_t at = 0;
  int64_t terms = task_draw_between(c, d, "min_terms", "max_terms"), low = 1, sum = 0;
  int64_t digits = task_draw_between(c, d, "min_digits", "max_digits");
  bool negation = task_int(c, "allow_negation") != 0;
  for (int64_t i = 1; i < digits; i++) low *= 10;
  int64_t high = 10 * low - 1;
  if (digits == 1) low = 0;
  for (int64_t i = 0; i < terms; i++) {
    bool minus = i && draw_chance(d, 0.5);
    int64_t value = draw_int(d, low, high);
    if (negation && draw_chance(d, 0.5)) value = -value;
    sum += minus ? -value : value;
    at += (size_t)snprintf(expression + at, sizeof expression - at, "%s%lld",
                           i == 0  ? ""
                           : minus ? " - "
                                   : " + ",
                           (long long)value);
  }
  out->question = arena_printf(a, "task", err, "What is %s? Answer with a number.", expression);
  out->answer = out->question ? arena_printf(a, "task", err, "%lld", (long long)sum) : NULL;
  out->meta = out->answer ? arena_printf(a, "task", err, "{\"expression\": \"%s\", \"answer\": \"%s\"}", expression,
                                         out->answer)
                          : NULL;
  return out->meta ? 0 : err->code;
}

static int open_chain(struct arena *a, struct task_config *c, struct error *err)
{
  TRY(task_need_order(c, "min_terms", "max_terms", err));
  TRY(task_need_order(c, "min_digits", "max_digits", err));
  return task_draw_open(a, c, split_key, draw_one, err);
}

static int make(struct arena *a, const struct task_config *c, uint64_t index, struct task_problem *out,
                struct error *err)
{
  return task_draw(a, c, index, split_key, draw_one, out, err);
}

const struct task task_chain_sum = {
    .name = "chain_sum",
    .help = "Sums and differences of several whole numbers",
    .right = "The answer's number is the value, in any spelling (1234, 1,234, 1234.0). No partial credit.",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .open = open_chain,
    .make = make,
    .check = task_number_check,
};
