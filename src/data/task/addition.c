/* Sums of two whole numbers. The answer is the number; any spelling of it counts (data/number), and the last number of
 * a text is taken. */
#include "data/task_pairs.h"

static int64_t answer(int64_t a, int64_t b)
{
  return a + b;
}

static const struct pairs_kind kind = {.split_key = 0xadd17105u, .sign = "+", .max_digits = 18, .answer = answer};

static int open_pairs(struct arena *a, struct task_config *c, struct error *err)
{
  return pairs_open(a, c, &kind, err);
}

static int check(struct arena *a, const json_t *meta, const char *answer_text, const char *response, size_t n,
                 struct task_verdict *out, struct error *err)
{
  (void)answer_text;
  return pairs_check(a, &kind, meta, response, n, out, err);
}

const struct task task_addition = {
    .name = "addition",
    .help = "Sums of two whole numbers",
    .right =
        "The answer's last number (or the one in \\boxed{}, behind #### or \"answer is\") is the sum: 1234, 1,234 and "
        "1234.0 are the same.",
    .options = pairs_options,
    .option_count = PAIRS_OPTION_COUNT,
    .open = open_pairs,
    .make = pairs_make,
    .check = check,
};
