/* The real solutions of polynomial equations up to degree 3 with whole coefficients, as decimals of 4 places.
 *
 * What counts as a solution is within 0.0001 of one: rounded up, rounded down, or exact. The set of solutions counts:
 * in any order, a double one once or twice. */
#include <string.h>
#include "core/math.h"
#include "data/number.h"
#include "data/task_answer.h"
#include "data/task_draw.h"

enum { MAX_DEGREE = 3, MAX_LISTED = 16, TRIES = 1000 };
static const double TOLERANCE = 1e-4 + 1e-10; /* of values that are exact to 1e-12 */
static const uint32_t split_key = 0x90110001u;

static const struct setting options[] = {
    {"min_degree", SETTING_INT, 1, MAX_DEGREE, "1", NULL, "smallest degree"},
    {"max_degree", SETTING_INT, 1, MAX_DEGREE, "3", NULL, "largest degree"},
    {"min_value", SETTING_INT, 1, 1000, "1", NULL, "smallest magnitude of a coefficient"},
    {"max_value", SETTING_INT, 1, 1000, "100", NULL, "largest magnitude of a coefficient"},
    TASK_HELD_OUT,
};

struct roots {
  double items[MAX_LISTED];
  size_t count;
};

/* ---- solving ----------------------------------------------------------------------------------------------------- */

static double value_at(const int64_t *c, int degree, double x)
{
  double y = 0;
  for (int i = degree; i >= 0; i--) y = y * x + (double)c[i];
  return y;
}

/* c[2] != 0. Without cancellation: the root of larger magnitude first, the other from the product of both. */
static void solve_quadratic(const int64_t *c, struct roots *out)
{
  int64_t inside = c[1] * c[1] - 4 * c[2] * c[0];
  double a = (double)c[2], b = (double)c[1];
  if (inside < 0) return;
  if (!inside) {
    out->items[out->count++] = -b / (2 * a);
    return;
  }
  double q = -0.5 * (b + (b < 0 ? -1 : 1) * math_sqrt((double)inside));
  out->items[out->count++] = q / a;
  if (c[0]) out->items[out->count++] = (double)c[0] / q;
}

/* The sign changes of the polynomial between low and high; there is at most one. */
static void bisect(const int64_t *c, double low, double high, struct roots *out)
{
  double at_low = value_at(c, 3, low);
  if ((at_low < 0) == (value_at(c, 3, high) < 0)) return;
  for (int i = 0; i < 100; i++) {
    double middle = 0.5 * (low + high), y = value_at(c, 3, middle);
    if ((y < 0) == (at_low < 0))
      low = middle;
    else
      high = middle;
  }
  out->items[out->count++] = 0.5 * (low + high);
}

static void sort(struct roots *r)
{
  for (size_t i = 1; i < r->count; i++)
    for (size_t j = i; j && r->items[j] < r->items[j - 1]; j--) {
      double t = r->items[j];
      r->items[j] = r->items[j - 1];
      r->items[j - 1] = t;
    }
}

/* c[3], c[0] != 0. Between its turning points and Cauchy's bound. false: it nearly touches 0 at a turning point, where
 * doubles do not tell. */
static bool solve_cubic(const int64_t *c, struct roots *out)
{
  const int64_t slope[] = {c[1], 2 * c[2], 3 * c[3]};
  struct roots turns = {.count = 0};
  double largest = 0, from;
  solve_quadratic(slope, &turns);
  if (slope[0] == 0 && slope[1] != 0) turns.items[turns.count++] = 0; /* the quadratic's own root 0 */
  sort(&turns);
  for (int i = 0; i < 3; i++) largest = largest < math_abs((double)c[i]) ? math_abs((double)c[i]) : largest;
  double bound = 1 + largest / math_abs((double)c[3]);
  from = -bound;
  for (size_t i = 0; i < turns.count; i++) {
    if (math_abs(value_at(c, 3, turns.items[i])) < 1e-3) return false;
    bisect(c, from, turns.items[i], out);
    from = turns.items[i];
  }
  bisect(c, from, bound, out);
  return true;
}

/* All real roots, ascending, each once; false where two are too close to tell apart at 4 places. */
static bool solve(const int64_t *c, int degree, struct roots *out)
{
  out->count = 0;
  bool zero = !c[0];
  while (!*c) {
    c++;
    degree--;
  }
  if (zero) out->items[out->count++] = 0;
  if (degree == 1) out->items[out->count++] = -(double)c[0] / (double)c[1];
  if (degree == 2) solve_quadratic(c, out);
  if (degree == 3 && !solve_cubic(c, out)) return false;
  sort(out);
  for (size_t i = 1; i < out->count; i++)
    if (out->items[i] - out->items[i - 1] < 1e-3) return false;
  return true;
}

/* ---- making ------------------------------------------------------------------------------------------------------ */

static void write_polynomial(const int64_t *c, int degree, char letter, char text[128])
{
  size_t at = 0;
  for (int i = degree; i >= 0; i--) {
    if (!c[i]) continue;
    long long value = c[i] < 0 ? -c[i] : c[i];
    const char *sign = at ? (c[i] < 0 ? " - " : " + ") : (c[i] < 0 ? "-" : "");
    at += (size_t)snprintf(text + at, 128 - at, "%s", sign);
    if (value != 1 || !i) at += (size_t)snprintf(text + at, 128 - at, "%lld%s", value, i ? "*" : "");
    if (i) at += (size_t)snprintf(text + at, 128 - at, "%c", letter);
    if (i > 1) at += (size_t)snprintf(text + at, 128 - at, "^%d", i);
  }
}

/* "-3.625, 0" */
static void write_roots(const struct roots *r, char text[128])
{
  size_t at = 0;
  snprintf(text, 128, "none");
  for (size_t i = 0; i < r->count; i++) {
    long long units = (long long)math_round(r->items[i] * 1e4), size = units < 0 ? -units : units;
    at += (size_t)snprintf(text + at, 128 - at, "%s%s%lld.%04lld", i ? ", " : "", units < 0 ? "-" : "", size / 10000,
                           size % 10000);
    while (text[at - 1] == '0') text[--at] = 0;
    if (text[at - 1] == '.') text[--at] = 0;
  }
}

static int draw_coefficients(const struct task_config *c, struct draw *d, int64_t *out)
{
  int degree = (int)task_draw_between(c, d, "min_degree", "max_degree");
  for (int i = 0; i <= degree; i++) {
    out[i] = i == degree || draw_chance(d, 0.5) ? task_draw_between(c, d, "min_value", "max_value") : 0;
    if (draw_chance(d, 0.5)) out[i] = -out[i];
  }
  return degree;
}

static int draw_one(struct arena *a, const struct task_config *c, struct draw *d, struct task_problem *out,
                    struct error *err)
{
  static const char letters[] = "abcdefghkmnpqrstuvwxyz"; /* those that look like no digit */
  char text[128], answer[128];
  int64_t k[MAX_DEGREE + 1];
  struct roots roots;
  int degree, tries = 0;
  do degree = draw_coefficients(c, d, k);
  while (!solve(k, degree, &roots) && ++tries < TRIES);
  if (tries == TRIES)
    FAIL_AT(err, ERROR_INPUT, NULL, 0, "max_value",
            "found no polynomial with roots that can be told apart in %d tries; expected some; widen the coefficients",
            TRIES);
  char letter = letters[draw_index(d, sizeof letters - 1)];
  write_roots(&roots, answer);
  write_polynomial(k, degree, '?', text);
  d->canonical = arena_strdup(a, text, "task", err);
  write_polynomial(k, degree, letter, text);
  out->question = d->canonical
                      ? arena_printf(a, "task", err,
                                     "Solve for real %c: %s = 0. Answer with all solutions as decimals rounded to 4 "
                                     "places, with commas between them, or with none.",
                                     letter, text)
                      : NULL;
  out->answer = out->question ? arena_strdup(a, answer, "task", err) : NULL;
  out->meta = out->answer
                  ? arena_printf(a, "task", err, "{\"polynomial\": \"%s\", \"variable\": \"%c\", \"answer\": \"%s\"}",
                                 text, letter, answer)
                  : NULL;
  return out->meta ? 0 : err->code;
}

/* ---- reading a list of solutions --------------------------------------------------------------------------------- */

static double magnitude(const struct natural *x)
{
  double y = 0;
  for (int i = x->size; i-- > 0;) y = y * 1e9 + x->limb[i];
  return y;
}

static bool is_letter(char c)
{
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* "x", "x1", "x_1", "x_{12}", "and", "solutions:": a word that is no number. */
static bool is_word(const char *s, size_t n)
{
  size_t at = 0;
  while (at < n && is_letter(s[at])) at++;
  if (!at) return false;
  if (at == 1)
    while (at < n && (s[at] == '_' || s[at] == '{' || s[at] == '}' || (s[at] >= '0' && s[at] <= '9'))) at++;
  return at == n || (at + 1 == n && s[at] == ':');
}

struct list {
  struct roots roots;
  bool no, nothing; /* "no" and what there is none of; "none" */
  const char *why;
};

static bool add_root(struct list *l, double value)
{
  l->why = "more solutions are listed than any of these equations has";
  if (l->roots.count == MAX_LISTED) return false;
  l->roots.items[l->roots.count++] = value;
  return true;
}

static bool starts(const char *s, size_t n, const char *with)
{
  size_t size = strlen(with);
  return n >= size && !memcmp(s, with, size);
}

/* How long what opens a token is: brackets, dollar signs, the backslash of \{. */
static size_t opening(const char *s, size_t n)
{
  size_t at = 0;
  while (at < n && strchr("([{$\\", s[at]) && !starts(s + at, n - at, "\\frac") && !starts(s + at, n - at, "\\pm"))
    at++;
  return at;
}

/* A number, with ± in front where both signs are meant, and brackets around. */
static bool add_number(struct list *l, const char *s, size_t n)
{
  struct number value;
  size_t at = opening(s, n), sign = at;
  if (starts(s + at, n - at, "\xc2\xb1")) at += 2;
  if (starts(s + at, n - at, "\\pm")) at += 3;
  bool both = at > sign;
  size_t length = number_read(s, n, at, &value);
  l->why = "something that is neither a number nor a comma stands in the list";
  if (!length || value.percent) return false;
  for (at += length; at < n; at++)
    if (!strchr(")]}$.\\", s[at])) return false;
  double size = magnitude(&value.top) / magnitude(&value.bottom);
  return add_root(l, value.negative ? -size : size) && (!both || add_root(l, value.negative ? size : -size));
}

static bool is_one_of(const char *s, size_t n, const char *const *words, size_t count)
{
  for (size_t i = 0; i < count; i++) {
    size_t k = 0;
    while (k < n && words[i][k] && (is_letter(s[k]) ? (s[k] | 32) : s[k]) == words[i][k]) k++;
    if (k == n && !words[i][k]) return true;
  }
  return false;
}

static bool add_token(struct list *l, const char *s, size_t n)
{
  static const char *const nothing[] = {"none", "{}", "[]", "\xe2\x88\x85", "\\emptyset"}, *const no[] = {"no"},
                           *const what[] = {"solution", "solutions", "root", "roots"};
  if (is_one_of(s, n, no, 1)) l->no = true;
  if (is_one_of(s, n, nothing, 5) || (l->no && is_one_of(s, n, what, 4))) {
    l->nothing = true;
    return true;
  }
  return is_word(s, n) || add_number(l, s, n);
}

static bool is_between(char c)
{
  return c == ',' || c == ';' || c == '=' || c == ' ' || (c >= '\t' && c <= '\r');
}

/* Numbers with commas, white space, "and", "x =" between them; or that there are none. */
static bool read_list(const char *s, size_t n, struct list *out)
{
  *out = (struct list){.why = "no solution was found"};
  for (size_t at = 0; at < n;) {
    if (is_between(s[at])) {
      at++;
      continue;
    }
    if (n - at >= 3 && !memcmp(s + at, "\xe2\x89\x88", 3)) { /* about equal */
      at += 3;
      continue;
    }
    size_t start = at;
    while (at < n && !is_between(s[at]) && !(n - at >= 3 && !memcmp(s + at, "\xe2\x89\x88", 3))) at++;
    if (!add_token(out, s + start, at - start)) return false;
  }
  if (out->nothing && out->roots.count) out->why = "it says both that there are solutions and that there are none";
  return out->nothing != (out->roots.count > 0);
}

/* ---- judging ----------------------------------------------------------------------------------------------------- */

/* Each of a is one of b. */
static bool all_among(const struct roots *a, const struct roots *b)
{
  for (size_t i = 0; i < a->count; i++) {
    bool found = false;
    for (size_t j = 0; j < b->count; j++) found |= math_abs(a->items[i] - b->items[j]) <= TOLERANCE;
    if (!found) return false;
  }
  return true;
}

static int check(struct arena *a, const json_t *meta, const char *answer, const char *response, size_t n,
                 struct task_verdict *out, struct error *err)
{
  const char *known, *why;
  struct answer_span span;
  struct list want = {.nothing = true}, got;
  TRY(answer_known(a, meta, answer, &known, err));
  if (*known && strcmp(known, "\"\"") != 0 && !read_list(known, strlen(known), &want))
    FAIL_AT(err, ERROR_INPUT, NULL, 0, "answer",
            "found the answer \"%.60s\"; expected numbers with commas between them", known);
  if (!answer_find(response, n, ANSWER_LINE, &span, &why))
    return answer_verdict(a, out, NULL, 0, false, 0, err, "%s", why);
  const char *text = response + span.start;
  int shown = (int)(span.length < 100 ? span.length : 100);
  if (!read_list(text, span.length, &got))
    return answer_verdict(a, out, NULL, 0, false, 0, err, "%.*s (%s): %s", shown, text, span.rule, got.why);
  bool correct = all_among(&got.roots, &want.roots) && all_among(&want.roots, &got.roots);
  return answer_verdict(a, out, text, span.length, correct, 0, err, "%.*s (%s) is %s %.64s", shown, text, span.rule,
                        correct ? "right:" : "not", *known ? known : "none");
}

static int open_polynomials(struct arena *a, struct task_config *c, struct error *err)
{
  TRY(task_need_order(c, "min_degree", "max_degree", err));
  TRY(task_need_order(c, "min_value", "max_value", err));
  return task_draw_open(a, c, split_key, draw_one, err);
}

static int make(struct arena *a, const struct task_config *c, uint64_t index, struct task_problem *out,
                struct error *err)
{
  return task_draw(a, c, index, split_key, draw_one, out, err);
}

const struct task task_polynomial_equations = {
    .name = "polynomial_equations",
    .help = "The real solutions of polynomial equations",
    .right =
        "All real solutions, in any order, as decimals within 0.0001 or fractions, with commas between them "
        "(\"-3.625, 0\", \"x = -29/8, x = 0\"); \"none\" where there are none. No partial credit.",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .open = open_polynomials,
    .make = make,
    .check = check,
};
