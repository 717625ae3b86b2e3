/* Linear equations in one unknown, whose solution is a whole number. */
#include <string.h>
#include "data/task_draw.h"
#include "data/task_number.h"

enum { MAX_TERMS = 12, TEXT_ROOM = 512 };
static const uint32_t split_key = 0x51e90001u;

static const struct setting options[] = {
    {"min_terms", SETTING_INT, 1, MAX_TERMS, "2", NULL, "fewest terms on the left"},
    {"max_terms", SETTING_INT, 1, MAX_TERMS, "4", NULL, "most terms on the left"},
    {"min_value", SETTING_INT, 1, 1000000, "1", NULL, "smallest coefficient, constant and solution"},
    {"max_value", SETTING_INT, 1, 1000000, "100", NULL, "largest coefficient, constant and solution"},
    TASK_HELD_OUT,
};

/* The left side: SLOPE * x + CONSTANT as terms in a row. */
struct side {
  int64_t values[MAX_TERMS]; /* with their signs */
  bool unknown[MAX_TERMS];
  size_t count;
  int64_t slope, constant;
};

static void draw_side(const struct task_config *c, struct draw *d, struct side *s)
{
  do {
    s->slope = s->constant = 0;
    s->count = (size_t)task_draw_between(c, d, "min_terms", "max_terms");
    size_t first = draw_index(d, s->count);
    for (size_t i = 0; i < s->count; i++) {
      s->unknown[i] = i == first || draw_chance(d, 0.3);
      s->values[i] = task_draw_between(c, d, "min_value", "max_value");
      if (i && draw_chance(d, 0.5)) s->values[i] = -s->values[i];
      if (s->unknown[i])
        s->slope += s->values[i];
      else
        s->constant += s->values[i];
    }
  } while (!s->slope);
}

static void write_side(const struct side *s, char letter, char text[TEXT_ROOM])
{
  size_t at = 0;
  for (size_t i = 0; i < s->count; i++) {
    bool minus = s->values[i] < 0;
    long long value = minus ? -s->values[i] : s->values[i];
    at += (size_t)snprintf(text + at, TEXT_ROOM - at, "%s", i == 0 ? "" : minus ? " - " : " + ");
    if (!s->unknown[i])
      at += (size_t)snprintf(text + at, TEXT_ROOM - at, "%lld", value);
    else if (value == 1)
      at += (size_t)snprintf(text + at, TEXT_ROOM - at, "%c", letter);
    else
      at += (size_t)snprintf(text + at, TEXT_ROOM - at, "%lld*%c", value, letter);
  }
}

static int draw_one(struct arena *a, const struct task_config *c, struct draw *d, struct task_problem *out,
                    struct error *err)
{
  static const char letters[] = "abcdefghkmnpqrstuvwxyz"; /* those that look like no digit */
  char text[TEXT_ROOM];
  struct side s;
  draw_side(c, d, &s);
  int64_t solution = task_draw_between(c, d, "min_value", "max_value"), right = s.slope * solution + s.constant;
  char letter = letters[draw_index(d, sizeof letters - 1)];
  write_side(&s, '?', text);
  d->canonical = arena_printf(a, "task", err, "%s = %lld", text, (long long)right);
  write_side(&s, letter, text);
  out->question = d->canonical ? arena_printf(a, "task", err, "Solve for %c: %s = %lld. Answer with a number.", letter,
                                              text, (long long)right)
                               : NULL;
  out->answer = out->question ? arena_printf(a, "task", err, "%lld", (long long)solution) : NULL;
  out->meta = out->answer ? arena_printf(a, "task", err,
                                         "{\"equation\": \"%s = %lld\", \"variable\": \"%c\", \"answer\": \"%s\"}",
                                         text, (long long)right, letter, out->answer)
                          : NULL;
  return out->meta ? 0 : err->code;
}

static int open_equations(struct arena *a, struct task_config *c, struct error *err)
{
  TRY(task_need_order(c, "min_terms", "max_terms", err));
  TRY(task_need_order(c, "min_value", "max_value", err));
  return task_draw_open(a, c, split_key, draw_one, err);
}

static int make(struct arena *a, const struct task_config *c, uint64_t index, struct task_problem *out,
                struct error *err)
{
  return task_draw(a, c, index, split_key, draw_one, out, err);
}

const struct task task_simple_equations = {
    .name = "simple_equations",
    .help = "Linear equations in one unknown",
    .right = "The answer's number is the solution, in any spelling (\"x = 13\", \"13\", \"26/2\"). No partial credit.",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .open = open_equations,
    .make = make,
    .check = task_number_check,
};
