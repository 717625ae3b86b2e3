#include "data/task_expression.h"
#include <string.h>

/* ---- fractions --------------------------------------------------------------------------------------------------- */

static int128 common_factor(int128 a, int128 b)
{
  if (a < 0) a = -a;
  if (b < 0) b = -b;
  while (b && (a >> 63 || b >> 63)) {
    int128 r = a % b;
    a = b;
    b = r;
  }
  uint64_t x = (uint64_t)a, y = (uint64_t)b;
  if (!b) return a;
  while (y) {
    uint64_t r = x % y;
    x = y;
    y = r;
  }
  return (int128)x;
}

static bool set(struct rational *out, int128 top, int128 bottom)
{
  const int128 least = (int128)1 << 126;
  if (bottom == 0 || top >= least || top <= -least || bottom >= least || bottom <= -least) return false;
  int128 common = common_factor(top, bottom);
  if (bottom < 0) common = -common;
  *out = (struct rational){top / common, bottom / common};
  return true;
}

struct rational rational_whole(int64_t value)
{
  return (struct rational){value, 1};
}

bool rational_equal(const struct rational *x, const struct rational *y)
{
  return x->top == y->top && x->bottom == y->bottom;
}

static bool is_small(const struct rational *x)
{
  const int128 small = (int128)1 << 62;
  return x->bottom == 1 && x->top < small && x->top > -small;
}

static int128 apply_whole(char op, int128 x, int128 y)
{
  return op == '*' ? x * y : op == '+' ? x + y : x - y;
}

bool rational_apply(char op, const struct rational *x, const struct rational *y, struct rational *out)
{
  int128 a, b, bottom, top;
  if (op != '/' && is_small(x) && is_small(y)) { /* whole numbers: no common factor to look for */
    *out = (struct rational){apply_whole(op, x->top, y->top), 1};
    return true;
  }
  if (op == '*' || op == '/') {
    const struct rational right = op == '*' ? *y : (struct rational){y->bottom, y->top};
    return !__builtin_mul_overflow(x->top, right.top, &top) &&
           !__builtin_mul_overflow(x->bottom, right.bottom, &bottom) && set(out, top, bottom);
  }
  if (__builtin_mul_overflow(x->top, y->bottom, &a) || __builtin_mul_overflow(y->top, x->bottom, &b) ||
      __builtin_mul_overflow(x->bottom, y->bottom, &bottom))
    return false;
  bool over = op == '+' ? __builtin_add_overflow(a, b, &top) : __builtin_sub_overflow(a, b, &top);
  return !over && set(out, top, bottom);
}

/* The significant digits of a magnitude: 0.d0 d1 d2 ... * 10^point. */
struct decimal {
  char digits[48];
  int count, point;
};

/* One digit more than asked for, if there are so many. */
static bool divide(const struct rational *x, int digits, struct decimal *d)
{
  int128 top = x->top < 0 ? -x->top : x->top, rest = top % x->bottom, whole = top / x->bottom;
  char reversed[48];
  if (x->bottom >= ((int128)1 << 126) / 16) return false;
  for (; whole; whole /= 10) reversed[d->point++] = (char)(whole % 10);
  if (d->point > digits) return false;
  for (int i = 0; i < d->point; i++) d->digits[d->count++] = reversed[d->point - 1 - i];
  for (; rest && d->count <= digits; rest %= x->bottom) {
    char next = (char)(rest * 10 / x->bottom);
    rest *= 10;
    if (d->count || next)
      d->digits[d->count++] = next;
    else if (--d->point < -24)
      return false;
  }
  return true;
}

/* Half up, and without zeros at the end behind the point. */
static void round_digits(struct decimal *d, int digits)
{
  if (d->count > digits && d->digits[--d->count] >= 5) {
    int i = d->count - 1;
    while (i >= 0 && d->digits[i] == 9) d->digits[i--] = 0;
    if (i < 0) { /* 9.99 becomes 10 */
      d->digits[0] = 1;
      d->point++;
    } else {
      d->digits[i]++;
    }
  }
  while (d->count && d->count > d->point && !d->digits[d->count - 1]) d->count--;
}

bool rational_decimal(const struct rational *x, int digits, char *buf, size_t size)
{
  struct decimal d = {.count = 0};
  if (size < 64 || !divide(x, digits, &d)) return false;
  round_digits(&d, digits);
  size_t at = 0;
  if (x->top < 0 && d.count) buf[at++] = '-';
  if (d.point <= 0) buf[at++] = '0';
  for (int i = 0; i < d.point; i++) buf[at++] = (char)('0' + (i < d.count ? d.digits[i] : 0));
  if (d.count > d.point && d.count) buf[at++] = '.';
  for (int i = d.count ? d.point : 0; i < 0; i++) buf[at++] = '0';
  for (int i = d.point > 0 ? d.point : 0; i < d.count; i++) buf[at++] = (char)('0' + d.digits[i]);
  buf[at] = 0;
  return true;
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

struct reader {
  const char *s;
  size_t n, at;
  int depth;
  struct expression *out;
  const char *why; /* the first thing wrong */
};

static bool fail(struct reader *r, const char *why)
{
  if (!r->why) r->why = why;
  return false;
}

static bool take(struct reader *r, const char *word)
{
  size_t size = strlen(word);
  if (r->n - r->at < size || memcmp(r->s + r->at, word, size) != 0) return false;
  r->at += size;
  return true;
}

static void skip(struct reader *r)
{
  static const char *const empty[] = {"\\left", "\\right", "\\,", "\\;", "\\ ", "$", "\xc2\xa0"};
  for (size_t i = 0; i < sizeof empty / sizeof *empty;) {
    while (r->at < r->n && (r->s[r->at] == ' ' || (r->s[r->at] >= '\t' && r->s[r->at] <= '\r'))) r->at++;
    i = take(r, empty[i]) ? 0 : i + 1;
  }
}

/* One of the operators + - * / at the reader's place, or 0. */
static char take_operator(struct reader *r)
{
  static const struct {
    const char *text;
    char op;
  } signs[] = {{"+", '+'},
               {"-", '-'},
               {"*", '*'},
               {"/", '/'},
               {"x", '*'},
               {"X", '*'},
               {"\xc3\x97", '*'},
               {"\xc2\xb7", '*'},
               {"\\times", '*'},
               {"\\cdot", '*'},
               {"\\div", '/'},
               {"\xc3\xb7", '/'},
               {"\xe2\x88\x92", '-'},
               {"\xe2\x8b\x85", '*'},
               {"\xe2\x88\x95", '/'}};
  skip(r);
  for (size_t i = 0; i < sizeof signs / sizeof *signs; i++)
    if (take(r, signs[i].text)) return signs[i].op;
  return 0;
}

static bool read_number(struct reader *r, struct rational *out)
{
  int128 top = 0, bottom = 1;
  int digits = 0;
  bool point = false;
  for (; r->at < r->n; r->at++) {
    char c = r->s[r->at];
    if (c == '.' && !point && r->at + 1 < r->n && r->s[r->at + 1] >= '0' && r->s[r->at + 1] <= '9') {
      point = true;
      continue;
    }
    if (c < '0' || c > '9') break;
    if (digits++ >= 30) return fail(r, "a number is too long");
    top = top * 10 + (c - '0');
    if (point) bottom *= 10;
  }
  if (!digits) return fail(r, "it is no expression: a number or a bracket is missing");
  if (r->out->count == EXPRESSION_NUMBERS) return fail(r, "it has too many numbers");
  set(out, top, bottom);
  r->out->numbers[r->out->count++] = *out;
  return true;
}

static bool read_sum(struct reader *r, struct rational *out);

static bool read_group(struct reader *r, char close, struct rational *out)
{
  const char end[2] = {close, 0};
  if (++r->depth > EXPRESSION_DEPTH) return fail(r, "its brackets are too deep");
  if (!read_sum(r, out)) return false;
  r->depth--;
  skip(r);
  return take(r, end) || fail(r, "a bracket is not closed");
}

static bool read_fraction(struct reader *r, struct rational *out)
{
  struct rational bottom;
  if (!take(r, "{")) return fail(r, "\\frac has no {");
  if (!read_group(r, '}', out)) return false;
  skip(r);
  if (!take(r, "{")) return fail(r, "\\frac has one part only");
  if (!read_group(r, '}', &bottom)) return false;
  return rational_apply('/', out, &bottom, out) ||
         fail(r, "it has no value: a division by zero, or too large a number");
}

static bool read_factor(struct reader *r, struct rational *out)
{
  bool negative = false;
  for (;;) { /* signs */
    skip(r);
    if (take(r, "-") || take(r, "\xe2\x88\x92"))
      negative = !negative;
    else if (!take(r, "+"))
      break;
  }
  bool good;
  if (take(r, "("))
    good = read_group(r, ')', out);
  else if (take(r, "["))
    good = read_group(r, ']', out);
  else if (take(r, "{"))
    good = read_group(r, '}', out);
  else if (take(r, "\\frac") || take(r, "\\dfrac") || take(r, "\\tfrac"))
    good = read_fraction(r, out);
  else
    good = read_number(r, out);
  if (good && negative) out->top = -out->top;
  return good;
}

static bool apply(struct reader *r, char op, struct rational *x, const struct rational *y)
{
  return rational_apply(op, x, y, x) || fail(r, "it has no value: a division by zero, or too large a number");
}

/* Both levels of precedence in one loop: total + the product so far. */
static bool read_sum(struct reader *r, struct rational *out)
{
  struct rational total = rational_whole(0), product, factor;
  if (!read_factor(r, &product)) return false;
  for (;;) {
    size_t before = r->at;
    char op = take_operator(r);
    if (!op) {
      r->at = before;
      if (!apply(r, '+', &total, &product)) return false;
      *out = total;
      return true;
    }
    if (!read_factor(r, &factor)) return false;
    if (op == '*' || op == '/') {
      if (!apply(r, op, &product, &factor)) return false;
      continue;
    }
    if (!apply(r, '+', &total, &product)) return false;
    product = factor;
    if (op == '-') product.top = -product.top;
  }
}

bool expression_read(const char *s, size_t n, struct expression *out, const char **why)
{
  struct reader r = {.s = s, .n = n, .out = out};
  out->count = 0;
  bool good = read_sum(&r, &out->value);
  skip(&r);
  if (good && r.at < n) good = fail(&r, "it is no expression: something else stands behind it");
  if (!good && why) *why = r.why;
  return good;
}
