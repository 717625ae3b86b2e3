#include "reward/math_number.h"
#include <string.h>

struct scan {
  const char *s;
  size_t n, at;
  char *digits; /* [room] */
  size_t room;  /* 0: digits are only counted; what is read ahead and given back has no room */
  size_t count, places;
  int repeat;
};

static bool is_digit(char c)
{
  return c >= '0' && c <= '9';
}

static char peek(const struct scan *r, size_t ahead)
{
  return r->at + ahead < r->n ? r->s[r->at + ahead] : 0;
}

static bool take(struct scan *r, const char *text)
{
  size_t n = strlen(text);
  if (r->n - r->at < n || memcmp(r->s + r->at, text, n) != 0) return false;
  r->at += n;
  return true;
}

static bool stands(const struct scan *r, const char *text)
{
  struct scan ahead = *r;
  return take(&ahead, text);
}

static size_t take_digits(struct scan *r)
{
  size_t start = r->at;
  while (is_digit(peek(r, 0))) {
    if (r->count < r->room) r->digits[r->count] = peek(r, 0);
    r->count++;
    r->at++;
  }
  return r->at - start;
}

/* A separator in front of exactly three digits: which one (0: none). */
static int take_separator(struct scan *r, bool split_commas)
{
  enum { PLAIN = 5 }; /* the comma alone */
  static const char *const signs[] = {",\\!", "{,}", "\\,", "\\!", " ", ","};
  struct scan ahead = *r;
  int which = 0, count = split_commas ? PLAIN : PLAIN + 1;
  while (which < count && !take(&ahead, signs[which])) which++;
  if (which == count) return 0;
  while (which == 0 && take(&ahead, " ")) continue;
  for (size_t i = 0; i < 3; i++)
    if (!is_digit(peek(&ahead, i))) return 0;
  if (is_digit(peek(&ahead, 3))) return 0;
  r->at = ahead.at;
  return which + 1;
}

/* 3... : the shortest block that stands at the end twice (a single digit: three times). 0: none. */
static int repeated_block(const char *end, size_t places)
{
  for (size_t n = 1; n <= 8; n++) {
    size_t times = n == 1 ? 3 : 2;
    if (places < n * times || memcmp(end - n, end - 2 * n, n) != 0) continue;
    if (n > 1 || end[-3] == end[-1]) return (int)n;
  }
  return 0;
}

static bool take_dots(struct scan *r)
{
  return take(r, "...") || take(r, "\\ldots") || take(r, "\\dots") || take(r, "\\cdots");
}

/* Behind a point: the block that repeats: \overline{3}, \dot{3}, (3), or 3...: digits already read. */
static void take_repeat(struct scan *r)
{
  struct scan ahead = *r;
  bool bar = take(&ahead, "\\overline{") || take(&ahead, "\\bar{") || take(&ahead, "\\dot{");
  if (bar || take(&ahead, "(")) {
    size_t n = take_digits(&ahead);
    if (!n || n > 1000 || !take(&ahead, bar ? "}" : ")")) return;
    ahead.places += n;
    ahead.repeat = (int)n;
    *r = ahead;
  } else if (take_dots(&ahead)) {
    ahead.repeat = repeated_block(r->s + r->at, r->places);
    if (ahead.repeat) *r = ahead;
  }
}

/* "e-5" directly behind. */
static int64_t take_exponent(struct scan *r)
{
  struct scan ahead = *r;
  bool negative = false;
  int64_t value = 0;
  if (peek(&ahead, 0) != 'e' && peek(&ahead, 0) != 'E') return 0;
  ahead.at++;
  if (peek(&ahead, 0) == '-' || peek(&ahead, 0) == '+') negative = ahead.s[ahead.at++] == '-';
  if (!is_digit(peek(&ahead, 0))) return 0;
  for (; is_digit(peek(&ahead, 0)); ahead.at++)
    if (value < 1000000000) value = 10 * value + (peek(&ahead, 0) - '0');
  r->at = ahead.at;
  return negative ? -value : value;
}

static void scan(struct scan *r, bool split_commas, bool *grouped, bool *point)
{
  size_t lead = take_digits(r);
  if (lead >= 1 && lead <= 3 && r->s[r->at - lead] != '0') {
    int first = take_separator(r, split_commas), next = first;
    *grouped = first == 6;
    while (next) {
      take_digits(r);
      struct scan before = *r;
      next = take_separator(r, split_commas);
      if (next && next != first) {
        *r = before;
        next = 0;
      }
    }
  }
  *point = peek(r, 0) == '.' && (is_digit(peek(r, 1)) || peek(r, 1) == '(' || stands(r, ".\\overline{") ||
                                 stands(r, ".\\dot{") || stands(r, ".\\bar{"));
  if (!*point) return;
  r->at++;
  r->places = take_digits(r);
  take_repeat(r);
}

size_t math_read_digits(struct math *m, const char *s, size_t n, size_t at, bool split_commas, struct math_digits *out)
{
  struct scan first = {.s = s, .n = n, .at = at}, second = first;
  bool grouped = false, point = false;
  scan(&first, split_commas, &grouped, &point);
  if (!first.count) return 0; /* no digit: ".(" */
  *out = (struct math_digits){.digits = s + at, .count = first.count, .repeat = first.repeat, .grouped = grouped};
  if (first.at - at != first.count) {
    second.digits = ARENA_NEW(m->arena, char, first.count, "math", m->err);
    if (!second.digits) {
      m->rc = ERROR_RESOURCE;
      return 0;
    }
    second.room = first.count;
    scan(&second, split_commas, &grouped, &point);
    out->digits = second.digits;
  }
  size_t before = first.at;
  out->exponent = take_exponent(&first) - (int64_t)first.places;
  out->whole = !point && first.at == before;
  return first.at - at;
}
