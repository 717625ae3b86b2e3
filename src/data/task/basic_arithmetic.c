/* Expressions of whole numbers with + - * / and brackets. Every division comes out even and the value fits 64 bits. */
#include <string.h>
#include "data/task_countdown.h"
#include "data/task_draw.h"
#include "data/task_number.h"

enum { TRIES = 2000, TEXT_ROOM = 2048, MAX_TERMS = 24 };
static const uint32_t split_key = 0xba51c001u;

static const struct setting options[] = {
    {"min_terms", SETTING_INT, 2, MAX_TERMS, "2", NULL, "fewest numbers"},
    {"max_terms", SETTING_INT, 2, MAX_TERMS, "6", NULL, "most numbers"},
    {"min_digits", SETTING_INT, 1, 9, "1", NULL, "fewest digits that a problem's numbers may have"},
    {"max_digits", SETTING_INT, 1, 9, "4", NULL, "most digits that a problem's numbers may have"},
    {"operators", SETTING_TEXT, 0, 0, "+-*/", NULL, "which of + - * / occur"},
    {"allow_parentheses", SETTING_BOOL, 0, 0, "true", NULL, "brackets occur"},
    {"allow_negation", SETTING_BOOL, 0, 0, "true", NULL, "negative numbers and negated brackets occur"},
    TASK_HELD_OUT,
};

struct builder {
  struct draw *d;
  const char *operators;
  size_t operator_count;
  bool brackets, negation;
  int64_t max; /* of a number */
  char text[TEXT_ROOM];
  size_t at;
};

static void put(struct builder *b, const char *s)
{
  b->at += (size_t)snprintf(b->text + b->at, TEXT_ROOM - b->at, "%s", s);
}

static int64_t put_number(struct builder *b, int64_t value)
{
  b->at += (size_t)snprintf(b->text + b->at, TEXT_ROOM - b->at, "%lld", (long long)value);
  return value;
}

/* A number that divides the value: the common divisor with a drawn one, the largest of four. */
static int64_t draw_divisor(struct builder *b, int64_t value)
{
  int64_t best = 1;
  if (!value) return draw_int(b->d, 1, b->max);
  for (int i = 0; i < 4; i++) {
    int64_t common = task_divisor(draw_int(b->d, 1, b->max), value);
    if (common > best) best = common;
  }
  return best;
}

static bool put_chain(struct builder *b, int64_t terms, int64_t *value);

/* A number, or a bracket over at least two of the `left` numbers; *used says how many. */
static bool put_operand(struct builder *b, int64_t left, int64_t all, int64_t *used, int64_t *value)
{
  *used = 1;
  if (!b->brackets || left < 2 || all < 3 || !draw_chance(b->d, 0.3)) {
    *value = put_number(b, draw_int(b->d, b->negation ? -b->max : 0, b->max));
    return true;
  }
  *used = draw_int(b->d, 2, left < all ? left : all - 1);
  bool negated = b->negation && draw_chance(b->d, 0.3);
  put(b, negated ? "-(" : "(");
  if (!put_chain(b, *used, value)) return false;
  put(b, ")");
  if (negated) *value = -*value;
  return true;
}

/* Numbers and brackets in a row: sum + the product so far, as one reads it. false: beyond 64 bits. */
static bool put_chain(struct builder *b, int64_t terms, int64_t *value)
{
  int64_t sum = 0, product, operand, used;
  if (!put_operand(b, terms, terms, &used, &product)) return false;
  for (int64_t left = terms - used; left > 0; left -= used) {
    char op = b->operators[draw_index(b->d, b->operator_count)];
    const char spaced[] = {' ', op, ' ', 0};
    put(b, spaced);
    if (op == '/') {
      used = 1;
      product /= put_number(b, draw_divisor(b, product));
      continue;
    }
    if (!put_operand(b, left, terms, &used, &operand)) return false;
    if (op == '*') {
      if (__builtin_mul_overflow(product, operand, &product)) return false;
      continue;
    }
    if (__builtin_add_overflow(sum, product, &sum)) return false;
    product = op == '-' ? -operand : operand;
  }
  return !__builtin_add_overflow(sum, product, value) && *value != INT64_MIN;
}

static int draw_one(struct arena *a, const struct task_config *c, struct draw *d, struct task_problem *out,
                    struct error *err)
{
  struct builder b = {.d = d,
                      .operators = task_value(c, "operators")->text,
                      .operator_count = strlen(task_value(c, "operators")->text),
                      .brackets = task_int(c, "allow_parentheses") != 0,
                      .negation = task_int(c, "allow_negation") != 0};
  int64_t value = 0;
  bool good = false;
  for (int tries = 0; tries < TRIES && !good; tries++) {
    int64_t terms = task_draw_between(c, d, "min_terms", "max_terms");
    b.max = 1;
    b.at = 0;
    for (int64_t i = task_draw_between(c, d, "min_digits", "max_digits"); i > 0; i--) b.max *= 10;
    b.max--;
    good = put_chain(&b, terms, &value);
  }
  if (!good)
    FAIL_AT(err, ERROR_INPUT, NULL, 0, "max_digits",
            "found no expression whose value fits 64 bits in %d tries; expected some; use fewer terms or digits",
            TRIES);
  out->question = arena_printf(a, "task", err, "Calculate %s. Answer with a number.", b.text);
  out->answer = out->question ? arena_printf(a, "task", err, "%lld", (long long)value) : NULL;
  out->meta = out->answer
                  ? arena_printf(a, "task", err, "{\"expression\": \"%s\", \"answer\": \"%s\"}", b.text, out->answer)
                  : NULL;
  return out->meta ? 0 : err->code;
}

static int open_arithmetic(struct arena *a, struct task_config *c, struct error *err)
{
  TRY(task_need_order(c, "min_terms", "max_terms", err));
  TRY(task_need_order(c, "min_digits", "max_digits", err));
  TRY(countdown_need_operators(task_value(c, "operators")->text, err));
  return task_draw_open(a, c, split_key, draw_one, err);
}

static int make(struct arena *a, const struct task_config *c, uint64_t index, struct task_problem *out,
                struct error *err)
{
  return task_draw(a, c, index, split_key, draw_one, out, err);
}

const struct task task_basic_arithmetic = {
    .name = "basic_arithmetic",
    .help = "Expressions of whole numbers with + - * / and brackets",
    .right =
        "The answer's number is the expression's value, in any spelling (-1043, -1,043, -1043.0). No partial credit.",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .open = open_arithmetic,
    .make = make,
    .check = task_number_check,
};
