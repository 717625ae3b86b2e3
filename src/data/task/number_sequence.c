/* The next number of a sequence. Its rule is a few steps from one term to the next (add, multiply, double, halve,
 * square, add the term before), as in reasoning-gym. */
#include <string.h>
#include "data/task_draw.h"
#include "data/task_number.h"

enum { MAX_TERMS = 32, MAX_STEPS = 8, TRIES = 2000 };
static const uint32_t split_key = 0x5e910001u;

static const struct setting options[] = {
    {"min_terms", SETTING_INT, 4, MAX_TERMS, "4", NULL, "fewest visible terms"},
    {"max_terms", SETTING_INT, 4, MAX_TERMS, "8", NULL, "most visible terms"},
    {"max_complexity", SETTING_INT, 1, MAX_STEPS - 1, "3", NULL, "most steps of a rule, less one"},
    {"max_value", SETTING_INT, 20, 1e9, "1000", NULL, "largest magnitude of a term"},
    TASK_HELD_OUT,
};

enum step_kind { STEP_ADD, STEP_MULTIPLY, STEP_DOUBLE, STEP_HALVE, STEP_SQUARE, STEP_ADD_PREVIOUS, STEP_KINDS };

struct step {
  enum step_kind kind;
  int64_t by;
};

struct rule {
  struct step steps[MAX_STEPS];
  size_t count;
};

static struct rule draw_rule(struct draw *d, int64_t complexity)
{
  struct rule r = {.count = (size_t)draw_int(d, 1, complexity + 1)};
  for (size_t i = 0; i < r.count; i++) {
    r.steps[i].kind = (enum step_kind)draw_index(d, STEP_KINDS);
    r.steps[i].by = draw_int(d, -10, 9);
    if (r.steps[i].by >= 0) r.steps[i].by++; /* never 0 */
  }
  return r;
}

/* x is at most 10^9 in magnitude on the way in; false where it is larger on the way out. Halving rounds down. */
static bool apply(const struct step *s, int64_t previous, int64_t *x, int64_t limit)
{
  switch (s->kind) {
    case STEP_ADD:
      *x += s->by;
      break;
    case STEP_MULTIPLY:
      *x *= s->by;
      break;
    case STEP_DOUBLE:
      *x *= 2;
      break;
    case STEP_HALVE:
      *x = (*x - (*x & 1)) / 2;
      break;
    case STEP_SQUARE:
      *x *= *x;
      break;
    default:
      *x += previous;
      break;
  }
  return *x <= limit && *x >= -limit;
}

/* terms[0..count] by the rule from terms[0]. */
static bool follow(const struct rule *r, int64_t *terms, size_t count, int64_t limit)
{
  for (size_t i = 0; i < count; i++) {
    int64_t x = terms[i];
    for (size_t k = 0; k < r->count; k++)
      if (!apply(&r->steps[k], i ? terms[i - 1] : 0, &x, limit)) return false;
    terms[i + 1] = x;
  }
  return true;
}

/* True unless all terms are the same, or the visible ones follow a plainer rule (a constant difference, each the sum of
 * the two before) that the hidden last one does not: then there would be two good answers. */
static bool is_fair(const int64_t *terms, size_t count)
{
  bool constant = true, difference = true, sum = true;
  for (size_t i = 1; i <= count; i++) {
    bool fits_constant = terms[i] == terms[0], fits_difference = terms[i] - terms[i - 1] == terms[1] - terms[0];
    bool fits_sum = i < 2 || terms[i] == terms[i - 1] + terms[i - 2];
    if (i == count) {
      if (constant || (difference && !fits_difference) || (sum && !fits_sum)) return false;
      break;
    }
    constant &= fits_constant;
    difference &= fits_difference;
    sum &= fits_sum;
  }
  return true;
}

static const char *write_rule(struct arena *a, const struct rule *r, struct error *err)
{
  static const char *const names[] = {"add", "multiply by", "double", "halve", "square", "add previous"};
  char text[256] = "";
  size_t at = 0;
  for (size_t i = 0; i < r->count; i++) {
    const struct step *s = &r->steps[i];
    at += (size_t)snprintf(text + at, sizeof text - at, "%s%s", i ? " then " : "", names[s->kind]);
    if (s->kind <= STEP_MULTIPLY) at += (size_t)snprintf(text + at, sizeof text - at, " %lld", (long long)s->by);
  }
  return arena_strdup(a, text, "task", err);
}

static int draw_one(struct arena *a, const struct task_config *c, struct draw *d, struct task_problem *out,
                    struct error *err)
{
  int64_t terms[MAX_TERMS + 1];
  struct rule rule;
  size_t count = 0;
  int tries = 0;
  for (; tries < TRIES; tries++) {
    rule = draw_rule(d, draw_int(d, 1, task_int(c, "max_complexity")));
    count = (size_t)task_draw_between(c, d, "min_terms", "max_terms");
    terms[0] = draw_int(d, -10, 10);
    if (follow(&rule, terms, count, task_int(c, "max_value")) && is_fair(terms, count)) break;
  }
  if (tries == TRIES)
    FAIL_AT(
        err, ERROR_INPUT, NULL, 0, "max_value",
        "found no sequence of %lld terms below max_value in %d tries; expected some; use fewer terms or a larger one",
        (long long)task_int(c, "min_terms"), TRIES);
  char *shown = task_join(a, terms, count, ", ", err);
  const char *steps = shown ? write_rule(a, &rule, err) : NULL;
  out->question =
      steps ? arena_printf(a, "task", err, "What is the next number of the sequence %s? Answer with a number.", shown)
            : NULL;
  out->answer = out->question ? arena_printf(a, "task", err, "%lld", (long long)terms[count]) : NULL;
  out->meta = out->answer
                  ? arena_printf(a, "task", err, "{\"sequence\": [%s, %s], \"rule\": \"%s\", \"answer\": \"%s\"}",
                                 shown, out->answer, steps, out->answer)
                  : NULL;
  return out->meta ? 0 : err->code;
}

static int open_sequence(struct arena *a, struct task_config *c, struct error *err)
{
  TRY(task_need_order(c, "min_terms", "max_terms", err));
  return task_draw_open(a, c, split_key, draw_one, err);
}

static int make(struct arena *a, const struct task_config *c, uint64_t index, struct task_problem *out,
                struct error *err)
{
  return task_draw(a, c, index, split_key, draw_one, out, err);
}

const struct task task_number_sequence = {
    .name = "number_sequence",
    .help = "The next number of a sequence",
    .right = "The answer's number is the sequence's next term, in any spelling. No partial credit.",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .open = open_sequence,
    .make = make,
    .check = task_number_check,
};
