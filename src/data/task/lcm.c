/* The least common multiple of some numbers. A drawn list has a common factor where one of three draws has. */
#include "data/task_draw.h"
#include "data/task_number.h"

static const uint32_t split_key = 0x1c300001u;

static const struct setting options[] = {
    {"min_numbers", SETTING_INT, 2, 6, "2", NULL, "fewest numbers"},
    {"max_numbers", SETTING_INT, 2, 6, "2", NULL, "most numbers"},
    {"min_value", SETTING_INT, 1, 1000, "1", NULL, "smallest number"},
    {"max_value", SETTING_INT, 1, 1000, "100", NULL, "largest number"},
    TASK_HELD_OUT,
};

/* At most 1000^6 = 10^18: fits. */
static int64_t multiple(const int64_t *numbers, size_t count, bool *shared)
{
  int64_t m = 1;
  *shared = false;
  for (size_t i = 0; i < count; i++) {
    int64_t common = task_divisor(m, numbers[i]);
    *shared |= common > 1;
    m *= numbers[i] / common;
  }
  return m;
}

static int draw_one(struct arena *a, const struct task_config *c, struct draw *d, struct task_problem *out,
                    struct error *err)
{
  int64_t numbers[6], answer = 1;
  size_t count = 0;
  bool shared = false;
  for (int tries = 0; tries < 3 && !shared; tries++) {
    count = (size_t)task_draw_between(c, d, "min_numbers", "max_numbers");
    for (size_t i = 0; i < count; i++) numbers[i] = task_draw_between(c, d, "min_value", "max_value");
    answer = multiple(numbers, count, &shared);
  }
  char *list = task_join(a, numbers, count, ", ", err);
  d->canonical = list ? task_join_sorted(a, numbers, count, err) : NULL;
  out->question = d->canonical ? arena_printf(a, "task", err,
                                              "What is the least common multiple of %s? Answer with a number.", list)
                               : NULL;
  out->answer = out->question ? arena_printf(a, "task", err, "%lld", (long long)answer) : NULL;
  out->meta =
      out->answer ? arena_printf(a, "task", err, "{\"numbers\": [%s], \"answer\": \"%s\"}", list, out->answer) : NULL;
  return out->meta ? 0 : err->code;
}

static int open_lcm(struct arena *a, struct task_config *c, struct error *err)
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

const struct task task_lcm = {
    .name = "lcm",
    .help = "The least common multiple of some numbers",
    .right = "The answer's number is the least common multiple, in any spelling (1,188 or 1188). No partial credit.",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .open = open_lcm,
    .make = make,
    .check = task_number_check,
};
