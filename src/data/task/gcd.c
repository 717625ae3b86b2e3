/* The greatest common divisor of some numbers. A drawn list has a common divisor above 1 where one of three draws has.
 */
#include "data/task_draw.h"
#include "data/task_number.h"

static const uint32_t split_key = 0x6cd00001u;

static const struct setting options[] = {
    {"min_numbers", SETTING_INT, 2, 16, "2", NULL, "fewest numbers"},
    {"max_numbers", SETTING_INT, 2, 16, "2", NULL, "most numbers"},
    {"min_value", SETTING_INT, 1, 1e12, "1", NULL, "smallest number"},
    {"max_value", SETTING_INT, 1, 1e12, "1000", NULL, "largest number"},
    TASK_HELD_OUT,
};

static int draw_one(struct arena *a, const struct task_config *c, struct draw *d, struct task_problem *out,
                    struct error *err)
{
  int64_t numbers[16], divisor = 1;
  size_t count = 0;
  for (int tries = 0; tries < 3 && divisor == 1; tries++) {
    count = (size_t)task_draw_between(c, d, "min_numbers", "max_numbers");
    divisor = 0;
    for (size_t i = 0; i < count; i++) {
      numbers[i] = task_draw_between(c, d, "min_value", "max_value");
      divisor = task_divisor(divisor, numbers[i]);
    }
  }
  char *list = task_join(a, numbers, count, ", ", err);
  d->canonical = list ? task_join_sorted(a, numbers, count, err) : NULL;
  out->question = d->canonical ? arena_printf(a, "task", err,
                                              "What is the greatest common divisor of %s? Answer with a number.", list)
                               : NULL;
  out->answer = out->question ? arena_printf(a, "task", err, "%lld", (long long)divisor) : NULL;
  out->meta =
      out->answer ? arena_printf(a, "task", err, "{\"numbers\": [%s], \"answer\": \"%s\"}", list, out->answer) : NULL;
  return out->meta ? 0 : err->code;
}

static int open_gcd(struct arena *a, struct task_config *c, struct error *err)
{
  TRY(task_need_order(c, "min_numbers", "max_numbers", err));
  TRY(task_need_order(c, "min_value", "max_value", err));
  return task_draw_open(a, c, split_key, draw_one, err);
}

static int make(struct arena *a, const struct task_config *c, uint64_t index, struct task_problem *out,
                struct error *err)
{
  return task_draw(a, c, index, split_key, draw_one, out, err);
}

const struct task task_gcd = {
    .name = "gcd",
    .help = "The greatest common divisor of some numbers",
    .right = "The answer's number is the greatest common divisor, in any spelling (12, 12.0). No partial credit.",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .open = open_gcd,
    .make = make,
    .check = task_number_check,
};
