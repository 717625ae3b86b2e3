#include "data/number.h"
#include <string.h>
#include "core/json.h"
#include "data/natural.h"

/* A place in a text. Reading past the end gives 0. */
struct reader {
  const char *s;
  size_t n, at;
};

static char peek(const struct reader *r, size_t ahead)
{
  return r->at + ahead < r->n ? r->s[r->at + ahead] : 0;
}

static bool is_digit(char c)
{
  return c >= '0' && c <= '9';
}

static bool is_word(char c)
{
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_space(char c)
{
  return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Steps over text if it stands here. */
static bool take(struct reader *r, const char *text)
{
  size_t n = strlen(text);
  if (r->n - r->at < n || memcmp(r->s + r->at, text, n) != 0) return false;
  r->at += n;
  return true;
}

static bool take_any(struct reader *r, const char *const *texts)
{
  for (; *texts; texts++)
    if (take(r, *texts)) return true;
  return false;
}

static void take_blanks(struct reader *r)
{
  while (peek(r, 0) == ' ' || peek(r, 0) == '\t') r->at++;
}

static bool take_currency(struct reader *r)
{
  static const char *const signs[] = {"US$", "\\$", "$", "€", "£", "¥", "₹", NULL};
  return take_any(r, signs);
}

/* 1 for +, -1 for -, 0 for none. */
static int take_sign(struct reader *r)
{
  if (take(r, "-") || take(r, "−")) return -1;
  return take(r, "+") ? 1 : 0;
}

/* Steps over a thousands separator that has exactly three digits behind it. */
static bool take_separator(struct reader *r)
{
  static const char *const signs[] = {",", "{,}", "\\,", "\xc2\xa0", "\xe2\x80\xaf", "\xe2\x80\x89", NULL};
  struct reader ahead = *r;
  if (!take_any(&ahead, signs)) return false;
  if (!is_digit(peek(&ahead, 0)) || !is_digit(peek(&ahead, 1)) || !is_digit(peek(&ahead, 2)) ||
      is_digit(peek(&ahead, 3)))
    return false;
  *r = ahead;
  return true;
}

static size_t take_digits(struct reader *r, struct natural *value)
{
  size_t count = 0;
  for (; is_digit(peek(r, 0)) && count <= NUMBER_MAX_DIGITS; r->at++, count++)
    natural_multiply_add(value, 10, (uint32_t)(peek(r, 0) - '0'));
  return count;
}

/* Digits with separators: at least one, at most NUMBER_MAX_DIGITS. */
static bool take_whole(struct reader *r, struct natural *value, size_t *digits)
{
  natural_set(value, 0);
  size_t count = *digits = take_digits(r, value);
  if (count >= 1 && count <= 3)
    while (*digits <= NUMBER_MAX_DIGITS && take_separator(r)) *digits += take_digits(r, value);
  return *digits >= 1 && *digits <= NUMBER_MAX_DIGITS;
}

/* "e-3", " \times 10^{-5}", "*10^5" behind a mantissa. Nothing there is no failure. */
static bool take_exponent(struct reader *r, int *exponent)
{
  static const char *const times[] = {"\\times", "\\cdot", "×", "·", "*", NULL};
  struct reader ahead = *r;
  bool brace = false;
  *exponent = 0;
  if (peek(&ahead, 0) == 'e' || peek(&ahead, 0) == 'E') {
    ahead.at++;
  } else {
    take_blanks(&ahead);
    if (!take_any(&ahead, times)) return true;
    take_blanks(&ahead);
    if (!take(&ahead, "10^") && !take(&ahead, "10**")) return true;
    brace = take(&ahead, "{");
  }
  int sign = take_sign(&ahead), value = 0;
  if (!is_digit(peek(&ahead, 0))) return true;
  for (; is_digit(peek(&ahead, 0)); ahead.at++)
    if (value <= NUMBER_MAX_EXPONENT) value = 10 * value + (peek(&ahead, 0) - '0');
  if (brace && !take(&ahead, "}")) return true;
  if (value > NUMBER_MAX_EXPONENT) return false;
  *exponent = sign < 0 ? -value : value;
  *r = ahead;
  return true;
}

/* "1,234.50e3" without sign, as top / bottom. */
static bool take_decimal(struct reader *r, struct number *out, bool *whole)
{
  size_t digits = 0, places = 0;
  natural_set(&out->top, 0);
  bool found = take_whole(r, &out->top, &digits);
  if (digits > NUMBER_MAX_DIGITS) return false;
  if (peek(r, 0) == '.' && is_digit(peek(r, 1))) {
    r->at++;
    places = take_digits(r, &out->top);
    if (digits + places > NUMBER_MAX_DIGITS) return false;
    found = true;
    if (peek(r, 0) == '.' && is_digit(peek(r, 1))) return false; /* 1.2.3 */
  }
  size_t before = r->at;
  int exponent;
  if (!found || !take_exponent(r, &exponent)) return false;
  *whole = places == 0 && r->at == before;
  natural_set(&out->bottom, 1);
  natural_shift(&out->bottom, (int)places);
  natural_shift(exponent > 0 ? &out->top : &out->bottom, exponent > 0 ? exponent : -exponent);
  return true;
}

/* One argument of \frac: "{12}" or a single digit. */
static bool take_argument(struct reader *r, struct natural *value)
{
  size_t digits;
  take_blanks(r);
  if (take(r, "{")) {
    take_blanks(r);
    if (!take_whole(r, value, &digits)) return false;
    take_blanks(r);
    return take(r, "}");
  }
  if (!is_digit(peek(r, 0))) return false;
  natural_set(value, (uint64_t)(peek(r, 0) - '0'));
  r->at++;
  return true;
}

static bool take_frac(struct reader *r, struct natural *top, struct natural *bottom)
{
  static const char *const names[] = {"\\frac", "\\dfrac", "\\tfrac", NULL};
  struct reader ahead = *r;
  if (!take_any(&ahead, names) || !take_argument(&ahead, top) || !take_argument(&ahead, bottom) || !bottom->size)
    return false;
  *r = ahead;
  return true;
}

/* Behind the whole number in out: "/4" makes a fraction, " 2/3" and "\frac{2}{3}" a mixed number. False: a date or a
 * division by zero. */
static bool take_fraction(struct reader *r, struct number *out)
{
  struct reader ahead = *r;
  struct natural top, bottom, sum;
  size_t digits;
  if (take(&ahead, "/")) {
    if (!is_digit(peek(&ahead, 0))) return true;
    if (!take_whole(&ahead, &bottom, &digits)) return false;
    if (!bottom.size || (peek(&ahead, 0) == '/' && is_digit(peek(&ahead, 1)))) return false;
    out->bottom = bottom;
    *r = ahead;
    return true;
  }
  take_blanks(&ahead);
  if (!take_frac(&ahead, &top, &bottom)) {
    if (ahead.at != r->at + 1 || !take_whole(&ahead, &top, &digits) || !take(&ahead, "/") ||
        !take_whole(&ahead, &bottom, &digits) || !bottom.size || peek(&ahead, 0) == '/')
      return true;
  }
  natural_multiply(&out->top, &bottom, &sum);
  natural_add(&sum, &top);
  out->top = sum;
  out->bottom = bottom;
  *r = ahead;
  return true;
}

size_t number_read(const char *s, size_t n, size_t at, struct number *out)
{
  struct reader r = {s, n, at};
  memset(out, 0, sizeof *out);
  bool currency = take_currency(&r), whole = false;
  int sign = take_sign(&r);
  if (!currency) take_currency(&r);
  if (!take_frac(&r, &out->top, &out->bottom)) {
    if (!take_decimal(&r, out, &whole)) return 0;
    if (whole && !take_fraction(&r, out)) return 0;
  }
  out->negative = sign < 0 && out->top.size;
  struct reader ahead = r;
  take_blanks(&ahead);
  out->percent = take(&ahead, "\\%") || take(&ahead, "%") || take(&ahead, "percent");
  if (out->percent) r = ahead;
  return r.at - at;
}

/* a * scale_a == b * scale_b, by cross multiplication. */
static bool equal_scaled(const struct number *a, int zeros_a, const struct number *b, int zeros_b)
{
  struct natural left, right;
  if (a->negative != b->negative) return false;
  natural_multiply(&a->top, &b->bottom, &left);
  natural_multiply(&b->top, &a->bottom, &right);
  natural_shift(&left, zeros_a);
  natural_shift(&right, zeros_b);
  return natural_equal(&left, &right);
}

bool number_equal(const struct number *a, const struct number *b)
{
  if (equal_scaled(a, 0, b, 0)) return true;
  if (a->percent == b->percent) return false;
  return a->percent ? equal_scaled(a, 0, b, 2) : equal_scaled(a, 2, b, 0);
}

/* ---- which number is the answer ---------------------------------------------------------------------------------- */

/* A sign at `at` belongs to a number and is not a subtraction. */
static bool sign_counts(const char *s, size_t at)
{
  if (!at) return true;
  char before = s[at - 1];
  if (is_word(before) || is_digit(before) || before == ')' || before == ']' || before == '}' || before == '-')
    return false;
  while (at && is_space(s[at - 1])) at--;
  if (!at) return true;
  before = s[at - 1];
  return !is_digit(before) && before != ')' && before != '%';
}

/* Something at s[i] may begin a number that is not part of a word or of a subtraction. */
static bool may_start(const char *s, size_t n, size_t i)
{
  struct reader r = {s, n, i};
  if (take_sign(&r) != 0) return sign_counts(s, i);
  if (is_digit(s[i])) return !i || !is_word(s[i - 1]);
  if (s[i] == '.') return i + 1 < n && is_digit(s[i + 1]);
  return s[i] == '\\' || s[i] == '$' || (unsigned char)s[i] >= 0x80;
}

/* Behind a run of digits that is no number (a date, a version, a name). */
static size_t skip_digits(const char *s, size_t n, size_t i)
{
  while (i < n && (is_digit(s[i]) || ((s[i] == '.' || s[i] == '/') && i + 1 < n && is_digit(s[i + 1])))) i++;
  return i;
}

/* The next number at or behind *at. On success *at is its start and *length its length. */
static bool next_number(const char *s, size_t n, size_t *at, size_t *length, struct number *out)
{
  for (size_t i = *at; i < n;) {
    if (may_start(s, n, i) && (*length = number_read(s, n, i, out)) > 0) {
      *at = i;
      return true;
    }
    i = is_digit(s[i]) ? skip_digits(s, n, i) : i + 1;
  }
  return false;
}

/* Behind a number: " + 24 = 72" moves *found to what stands behind the last "=". */
static void follow_calculation(const char *s, size_t n, struct number_found *found)
{
  static const char *const signs[] = {"+", "-", "−", "*", "×", "÷", "/", "\\times", "\\cdot", "\\div", "=", NULL};
  struct reader r = {s, n, found->start + found->length};
  for (;;) {
    take_blanks(&r);
    bool equals = peek(&r, 0) == '=';
    if (!take_any(&r, signs)) return;
    take_blanks(&r);
    struct number value;
    size_t length = number_read(s, n, r.at, &value);
    if (!length) return;
    if (equals) *found = (struct number_found){value, r.at, length, found->rule};
    r.at += length;
  }
}

/* "18 or 20": the reader would have to choose. */
static bool is_hedged(const char *s, size_t n, const struct number_found *found)
{
  struct reader r = {s, n, found->start + found->length};
  struct number other;
  take_blanks(&r);
  if (!take(&r, "or ")) return false;
  take_blanks(&r);
  return number_read(s, n, r.at, &other) > 0;
}

static bool hedged_before(const char *s, const struct number_found *found)
{
  size_t at = found->start;
  if (at < 4 || memcmp(s + at - 4, " or ", 4) != 0) return false;
  at -= 4;
  return at && is_digit(s[at - 1]);
}

/* "not 18", "\\neq 18": what it is not, is no answer. */
static bool is_denied(const char *s, const struct number_found *found)
{
  static const char *const words[] = {"not", "\\neq", "\\ne", "≠", "!="};
  size_t at = found->start;
  while (at && (is_space(s[at - 1]) || s[at - 1] == '$')) at--;
  for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
    size_t n = strlen(words[i]);
    if (at >= n && !memcmp(s + at - n, words[i], n) && !(at > n && is_word(s[at - n - 1]))) return true;
  }
  return false;
}

/* The last number in s[from, to). */
static bool last_number(const char *s, size_t from, size_t to, struct number_found *out)
{
  struct number value;
  size_t length;
  bool found = false;
  for (size_t at = from; next_number(s, to, &at, &length, &value); at += length) {
    *out = (struct number_found){value, at, length, NULL};
    found = true;
  }
  return found;
}

/* Where the brace that s[at] opens is closed, or n. */
static size_t closing_brace(const char *s, size_t n, size_t at)
{
  int depth = 0;
  for (; at < n; at++) {
    if (s[at] == '{') depth++;
    if (s[at] == '}' && --depth == 0) return at;
  }
  return n;
}

static bool extract_marked(const char *s, size_t from, size_t n, struct number_found *out)
{
  static const char *const marks[] = {"answer is", "answer:", "answer =", "answer\xef\xbc\x9a"};
  size_t best = 0;
  for (size_t i = 0; i < sizeof marks / sizeof *marks; i++) {
    size_t at = text_find_last(s + from, n - from, marks[i], true);
    if (at < n - from && from + at + strlen(marks[i]) > best) best = from + at + strlen(marks[i]);
  }
  if (!best) return false;
  size_t end = best;
  while (end < n && !(s[end] == '\n' && end + 1 < n && s[end + 1] == '\n' && end > best + 1)) end++;
  size_t at = best, length;
  struct number value;
  if (!next_number(s, end, &at, &length, &value)) return false;
  *out = (struct number_found){value, at, length, "answer is"};
  follow_calculation(s, end, out);
  return true;
}

static bool extract_any(const char *s, size_t n, struct number_found *out, const char **why)
{
  size_t from = 0, think = text_find_last(s, n, "<think>", true), end_think = text_find_last(s, n, "</think>", true);
  *why = "no number was found";
  if (end_think < n) from = end_think + 8;
  if (think < n && (end_think == n || think > end_think)) {
    *why = "the reasoning never ended: <think> without </think>";
    return false;
  }
  size_t box = text_find_last(s + from, n - from, "\\boxed{", true);
  if (box < n - from) {
    size_t open = from + box + 6, close = closing_brace(s, n, open);
    *why = close == n ? "the last \\boxed{ is not closed" : "no number was found in the last \\boxed{}";
    if (close == n || !last_number(s, open + 1, close, out)) return false;
    out->rule = "boxed";
    return true;
  }
  size_t hashes = text_find_last(s + from, n - from, "####", true);
  if (hashes < n - from) {
    size_t at = from + hashes + 4, length;
    struct number value;
    *why = "no number was found behind the last ####";
    if (!next_number(s, n, &at, &length, &value)) return false;
    *out = (struct number_found){value, at, length, "####"};
    return true;
  }
  if (extract_marked(s, from, n, out)) return true;
  if (!last_number(s, from, n, out)) return false;
  out->rule = "last number";
  return true;
}

bool number_extract(const char *s, size_t n, struct number_found *out, const char **why)
{
  if (!extract_any(s, n, out, why)) return false;
  if (is_hedged(s, n, out) || hedged_before(s, out)) {
    *why = "two answers are offered (\"18 or 20\"); one must be given";
    return false;
  }
  if (is_denied(s, out)) {
    *why = "the text says what the answer is not";
    return false;
  }
  return true;
}
