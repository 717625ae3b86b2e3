/* A fraction in its lowest terms. */
#include <string.h>
#include "data/task_answer.h"
#include "data/task_draw.h"
#include "data/task_expression.h"
#include "data/task_number.h"

static const uint32_t split_key = 0xf4ac0001u;

static const struct setting options[] = {
    {"min_value", SETTING_INT, 1, 1000000, "1", NULL, "smallest top and bottom of the simplified fraction"},
    {"max_value", SETTING_INT, 2, 1000000, "1000", NULL, "largest top and bottom of the simplified fraction"},
    {"min_factor", SETTING_INT, 2, 1000000, "2", NULL, "smallest factor to be cancelled"},
    {"max_factor", SETTING_INT, 2, 1000000, "100", NULL, "largest factor to be cancelled"},
    {"style", SETTING_TEXT, 0, 0, "mixed", "mixed plain latex_inline latex_frac latex_dfrac",
     "how fractions are written: plain a/b, latex_inline $a/b$, latex_frac $\\frac{a}{b}$, ..., or any of them"},
    TASK_HELD_OUT,
};

struct fraction {
  int64_t top, bottom;
};

enum { STYLES = 4 };
static const char *const style_names[STYLES] = {"plain", "latex_inline", "latex_frac", "latex_dfrac"};

static char *write_fraction(struct arena *a, size_t style, struct fraction f, struct error *err)
{
  long long top = f.top, bottom = f.bottom;
  switch (style) {
    case 0:
      return arena_printf(a, "task", err, "%lld/%lld", top, bottom);
    case 1:
      return arena_printf(a, "task", err, "$%lld/%lld$", top, bottom);
    case 2:
      return arena_printf(a, "task", err, "$\\frac{%lld}{%lld}$", top, bottom);
    default:
      return arena_printf(a, "task", err, "$\\dfrac{%lld}{%lld}$", top, bottom);
  }
}

static int draw_one(struct arena *a, const struct task_config *c, struct draw *d, struct task_problem *out,
                    struct error *err)
{
  struct fraction low, given;
  int tries = 0;
  do { /* a proper fraction in lowest terms */
    low.top = task_draw_between(c, d, "min_value", "max_value");
    low.bottom = task_draw_between(c, d, "min_value", "max_value");
    if (low.top > low.bottom) low = (struct fraction){low.bottom, low.top};
  } while ((low.bottom == low.top || task_divisor(low.top, low.bottom) != 1) && ++tries < 1000);
  if (tries == 1000)
    FAIL_AT(err, ERROR_INPUT, NULL, 0, "max_value",
            "found no fraction in lowest terms in 1000 tries; expected some; widen min_value to max_value");
  int64_t factor = task_draw_between(c, d, "min_factor", "max_factor");
  given = (struct fraction){low.top * factor, low.bottom * factor};
  size_t style = draw_index(d, STYLES);
  for (size_t i = 0; i < STYLES; i++)
    if (!strcmp(task_value(c, "style")->text, style_names[i])) style = i;
  d->canonical = write_fraction(a, 0, given, err);
  char *question = d->canonical ? write_fraction(a, style, given, err) : NULL;
  out->question = question
                      ? arena_printf(a, "task", err,
                                     "Simplify the fraction %s to its lowest terms. Answer with a fraction.", question)
                      : NULL;
  out->answer = out->question ? write_fraction(a, style, low, err) : NULL;
  out->meta = out->answer ? arena_printf(a, "task", err,
                                         "{\"numerator\": %lld, \"denominator\": %lld, \"simplified_numerator\": %lld, "
                                         "\"simplified_denominator\": %lld}",
                                         (long long)given.top, (long long)given.bottom, (long long)low.top,
                                         (long long)low.bottom)
                          : NULL;
  return out->meta ? 0 : err->code;
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

struct reader {
  const char *s;
  size_t n, at;
};

/* word in lower case; letters match in any case. */
static bool take(struct reader *r, const char *word)
{
  size_t size = strlen(word);
  if (r->n - r->at < size) return false;
  for (size_t i = 0; i < size; i++) {
    char c = r->s[r->at + i];
    if ((c >= 'A' && c <= 'Z' ? (char)(c + 32) : c) != word[i]) return false;
  }
  r->at += size;
  return true;
}

static void skip(struct reader *r)
{
  while (take(r, " ") || take(r, "\\,")) continue;
}

static bool take_number(struct reader *r, int64_t *out)
{
  size_t start = r->at;
  for (*out = 0; r->at < r->n; r->at++) {
    char c = r->s[r->at];
    bool comma = c == ',' && r->at > start && r->n - r->at > 3 && r->s[r->at + 1] >= '0' && r->s[r->at + 1] <= '9';
    if (comma) continue;
    if (c < '0' || c > '9') break;
    if (r->at - start >= 20 || *out > (int64_t)1e16) return false;
    *out = *out * 10 + (c - '0');
  }
  return r->at > start;
}

/* "a/b", "\frac{a}{b}" (dfrac, tfrac), or "a" for a/1, at the reader's place. */
static bool take_fraction(struct reader *r, struct fraction *out)
{
  struct reader from = *r;
  if (take(r, "\\frac") || take(r, "\\dfrac") || take(r, "\\tfrac")) {
    skip(r);
    bool good = take(r, "{") && (skip(r), take_number(r, &out->top)) && (skip(r), take(r, "}")) &&
                (skip(r), take(r, "{")) && (skip(r), take_number(r, &out->bottom)) && (skip(r), take(r, "}"));
    if (!good) *r = from;
    return good;
  }
  if (!take_number(r, &out->top)) return false;
  out->bottom = 1;
  struct reader behind = *r;
  skip(r);
  if (take(r, "/") || take(r, "\xe2\x81\x84")) {
    skip(r);
    if (take_number(r, &out->bottom)) return true;
  }
  *r = behind;
  return true;
}

/* A fraction may begin here: not inside a number, and without a sign. */
static bool may_begin(const char *s, size_t at)
{
  char before = at ? s[at - 1] : ' ';
  if (s[at] != '\\' && (s[at] < '0' || s[at] > '9')) return false;
  return !(before >= '0' && before <= '9') && before != '.' && before != '-';
}

/* The fraction that stands in the text; where there are several they must be the same ("138/583 = 138/583"), but behind
 * an equal sign or " is " a new one begins ("276/1166 = 138/583"). */
static bool read_fraction(const char *s, size_t n, struct fraction *out, const char **why)
{
  struct reader r = {s, n, 0};
  bool found = false;
  *out = (struct fraction){0, 1};
  *why = "no fraction was found";
  while (r.at < n) {
    struct fraction next;
    if (s[r.at] == '=' || (n - r.at > 3 && !memcmp(s + r.at, " is ", 4))) found = false;
    if (!may_begin(s, r.at) || !take_fraction(&r, &next)) {
      r.at++;
      continue;
    }
    *why = "several different fractions are offered; one must be given";
    if (found && (next.top != out->top || next.bottom != out->bottom)) return false;
    *out = next;
    found = true;
  }
  return found;
}

/* ---- judging ----------------------------------------------------------------------------------------------------- */

static int judge(struct arena *a, struct fraction given, struct fraction low, const char *text, size_t n,
                 struct fraction f, struct task_verdict *out, struct error *err)
{
  bool correct = f.top == low.top && f.bottom == low.bottom;
  bool same = f.bottom && (int128)f.top * low.bottom == (int128)low.top * f.bottom;
  double partial = same && f.bottom < given.bottom ? 0.5 : 0;
  return answer_verdict(a, out, text, n, correct, partial, err, "%lld/%lld is %s %lld/%lld", (long long)f.top,
                        (long long)f.bottom,
                        correct ? "right:"
                        : same  ? "equal to, but not"
                                : "not",
                        (long long)low.top, (long long)low.bottom);
}

static int check(struct arena *a, const json_t *meta, const char *answer, const char *response, size_t n,
                 struct task_verdict *out, struct error *err)
{
  struct fraction given, low, f;
  struct answer_span span;
  const char *why;
  const int64_t most = (int64_t)1e15;
  (void)answer;
  TRY(json_need_int(meta, "numerator", 0, most, &given.top, NULL, err));
  TRY(json_need_int(meta, "denominator", 1, most, &given.bottom, NULL, err));
  TRY(json_need_int(meta, "simplified_numerator", 0, most, &low.top, NULL, err));
  TRY(json_need_int(meta, "simplified_denominator", 1, most, &low.bottom, NULL, err));
  if (!answer_find(response, n, ANSWER_LINE, &span, &why) ||
      !read_fraction(response + span.start, span.length, &f, &why))
    return answer_verdict(a, out, NULL, 0, false, 0, err, "%s", why);
  return judge(a, given, low, response + span.start, span.length, f, out, err);
}

static int open_fraction(struct arena *a, struct task_config *c, struct error *err)
{
  TRY(task_need_order(c, "min_value", "max_value", err));
  TRY(task_need_order(c, "min_factor", "max_factor", err));
  return task_draw_open(a, c, split_key, draw_one, err);
}

static int make(struct arena *a, const struct task_config *c, uint64_t index, struct task_problem *out,
                struct error *err)
{
  return task_draw(a, c, index, split_key, draw_one, out, err);
}

const struct task task_fraction_simplification = {
    .name = "fraction_simplification",
    .help = "A fraction in its lowest terms",
    .right =
        "The fraction in lowest terms, as a/b, $a/b$ or \\frac{a}{b}. An equal fraction that is simpler than the one "
        "given, but not in lowest terms, earns 0.5.",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .open = open_fraction,
    .make = make,
    .check = check,
};
