/* Expressions of decimal numbers with + - * / and brackets, evaluated exactly and rounded once, at the end. */
#include <string.h>
#include "data/task_draw.h"
#include "data/task_expression.h"
#include "data/task_number.h"

enum { TRIES = 1000, TEXT_ROOM = 512, MAX_TERMS = 8, PRECISION = 12, SLACK = 3 };
static const uint32_t split_key = 0xdec10001u;

static const struct setting options[] = {
    {"min_num_decimal_places", SETTING_INT, 0, 6, "3", NULL, "fewest decimals of a number"},
    {"max_num_decimal_places", SETTING_INT, 0, 6, "3", NULL, "most decimals of a number"},
    {"min_terms", SETTING_INT, 2, MAX_TERMS, "2", NULL, "fewest numbers"},
    {"max_terms", SETTING_INT, 2, MAX_TERMS, "6", NULL, "most numbers"},
    {"precision", SETTING_INT, 4, 20, "12", NULL, "significant digits asked for"},
    TASK_HELD_OUT,
};

struct builder {
  struct draw *d;
  const struct task_config *c;
  char text[TEXT_ROOM];
  size_t at;
};

static void put(struct builder *b, const char *s)
{
  b->at += (size_t)snprintf(b->text + b->at, TEXT_ROOM - b->at, "%s", s);
}

/* Up to 10, with its decimals written out. */
static void put_number(struct builder *b)
{
  int places = (int)task_draw_between(b->c, b->d, "min_num_decimal_places", "max_num_decimal_places");
  int64_t unit = 1;
  for (int i = 0; i < places; i++) unit *= 10;
  int64_t value = draw_int(b->d, 1, 10 * unit);
  b->at += (size_t)snprintf(b->text + b->at, TEXT_ROOM - b->at, "%lld", (long long)(value / unit));
  if (places)
    b->at += (size_t)snprintf(b->text + b->at, TEXT_ROOM - b->at, ".%0*lld", places, (long long)(value % unit));
}

/* A group of numbers divided in two at random, in brackets half of the time. */
static void put_group(struct builder *b, int64_t terms)
{
  static const char *const operators[] = {"+", "-", "*", "/"};
  if (terms == 1) {
    put_number(b);
    return;
  }
  int64_t left = draw_int(b->d, 1, terms - 1);
  bool brackets = draw_chance(b->d, 0.5);
  if (brackets) put(b, "(");
  put_group(b, left);
  put(b, operators[draw_index(b->d, 4)]);
  put_group(b, terms - left);
  if (brackets) put(b, ")");
}

static int draw_one(struct arena *a, const struct task_config *c, struct draw *d, struct task_problem *out,
                    struct error *err)
{
  struct builder b = {.d = d, .c = c};
  char value[64];
  int precision = (int)task_int(c, "precision"), tries = 0;
  for (;; tries++) {
    struct expression e;
    if (tries == TRIES)
      FAIL_AT(err, ERROR_INPUT, NULL, 0, "max_terms",
              "found no expression whose exact value fits 128 bits in %d tries; expected some; use fewer terms or "
              "decimals",
              TRIES);
    b.at = 0;
    put_group(&b, task_draw_between(c, d, "min_terms", "max_terms"));
    if (expression_read(b.text, b.at, &e, NULL) && rational_decimal(&e.value, precision, value, sizeof value)) break;
  }
  out->question = arena_printf(a, "task", err,
                               "Calculate %s to at most %d significant digits, rounding half up. Answer with a number.",
                               b.text, precision);
  out->answer = out->question ? arena_strdup(a, value, "task", err) : NULL;
  out->meta = out->answer
                  ? arena_printf(a, "task", err, "{\"expression\": \"%s\", \"precision\": %d, \"answer\": \"%s\"}",
                                 b.text, precision, value)
                  : NULL;
  return out->meta ? 0 : err->code;
}

static int open_decimal(struct arena *a, struct task_config *c, struct error *err)
{
  TRY(task_need_order(c, "min_terms", "max_terms", err));
  TRY(task_need_order(c, "min_num_decimal_places", "max_num_decimal_places", err));
  return task_draw_open(a, c, split_key, draw_one, err);
}

static int make(struct arena *a, const struct task_config *c, uint64_t index, struct task_problem *out,
                struct error *err)
{
  return task_draw(a, c, index, split_key, draw_one, out, err);
}

/* The last digits depend on when one rounds: three of them are left free. */
static int check(struct arena *a, const json_t *meta, const char *answer, const char *response, size_t n,
                 struct task_verdict *out, struct error *err)
{
  int64_t precision;
  TRY(json_int_or(meta, "precision", SLACK + 1, 21, PRECISION, &precision, NULL, err));
  return task_number_check_close(a, meta, answer, (int)precision - SLACK, response, n, out, err);
}

const struct task task_decimal_arithmetic = {
    .name = "decimal_arithmetic",
    .help = "Expressions of decimal numbers with + - * / and brackets",
    .right =
        "The answer's number is the value, to all but the last three of the digits asked for (of 12: within one "
        "part in 10^9), in any spelling. No partial credit.",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .open = open_decimal,
    .make = make,
    .check = check,
};
