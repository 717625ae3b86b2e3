#include "reward/math_text.h"
#include <string.h>
#include <utf8proc.h>
#include "reward/math_names.h"
#include "text/unicode.h"

static bool is_letter(char c)
{
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(char c)
{
  return c >= '0' && c <= '9';
}

static bool is_blank(char c)
{
  return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

/* The length of a command at s[i], 0 for none; *style: it changes how things look. */
static size_t command(const char *s, size_t n, size_t i, bool *style)
{
  if (s[i] != '\\') return 0;
  size_t k = i + 1;
  while (k < n && is_letter(s[k])) k++;
  if (k == i + 1 && k < n) k++;
  const struct math_name *name = k > i + 1 ? math_command(s + i + 1, k - i - 1) : NULL;
  *style = name && name->use != MATH_USE_TOKEN;
  return k - i;
}

/* A sign of calculation: also the minus of -i and the ! of n!, not those of north-east and "Yes!". */
static bool is_operator(const char *s, size_t n, size_t i)
{
  bool before = i && is_letter(s[i - 1]);
  if (s[i] == '-') return !before || i + 1 == n || !is_letter(s[i + 1]);
  if (s[i] == '!') return !(before && i > 1 && is_letter(s[i - 2]));
  return s[i] && strchr("^_=+<>|/&", s[i]);
}

bool math_is_words(const char *s, size_t n)
{
  bool style, any = false;
  for (size_t i = 0, step; i < n; i += step) {
    step = command(s, n, i, &style);
    if (step && !style) return false;
    if (!step && is_operator(s, n, i)) return false;
    any = any || (!step && (is_letter(s[i]) || (unsigned char)s[i] >= 0x80));
    if (!step) step = 1;
  }
  return any;
}

static bool is_article(const char *s, size_t n)
{
  return (n == 1 && s[0] == 'a') || (n == 2 && !memcmp(s, "an", 2)) || (n == 3 && !memcmp(s, "the", 3));
}

/* Drops an article that is the last word of to[0, n). */
static size_t drop_article(const char *to, size_t n)
{
  size_t start = n;
  while (start && to[start - 1] != ' ') start--;
  return is_article(to + start, n - start) ? start : n;
}

static size_t put_letter(char *to, uint32_t c)
{
  utf8proc_ssize_t n = utf8proc_encode_char(utf8proc_tolower((utf8proc_int32_t)c), (utf8proc_uint8_t *)to);
  return n > 0 ? (size_t)n : 0;
}

/* A blank, unless nothing stands in front of it; an article there is dropped. */
static size_t put_gap(char *to, size_t k)
{
  if (k && to[k - 1] != ' ') k = drop_article(to, k);
  if (k && to[k - 1] != ' ') to[k++] = ' ';
  return k;
}

/* White space, a hyphen (no minus), a command of style. */
static bool is_gap(const char *s, size_t n, size_t i)
{
  bool style = false;
  if (s[i] == '-') return !(i + 1 < n && is_digit(s[i + 1]));
  return s[i] == '~' || is_blank(s[i]) || (command(s, n, i, &style) && style);
}

static bool is_dropped(const char *s, size_t n, size_t i)
{
  bool point = s[i] == '.' && i && i + 1 < n && is_digit(s[i - 1]) && is_digit(s[i + 1]);
  return !point && strchr("(){}[]$\"'*`,;:!?.", s[i]);
}

const char *math_plain_words(struct math *m, const char *s, size_t n)
{
  char *to = ARENA_NEW(m->arena, char, 4 * n + 1, "math", m->err);
  size_t k = 0;
  bool style;
  if (!to) {
    m->rc = ERROR_RESOURCE;
    return NULL;
  }
  for (size_t i = 0, step; i < n; i += step ? step : 1) {
    step = command(s, n, i, &style);
    if (is_gap(s, n, i)) {
      k = put_gap(to, k);
    } else if (step) {
      memcpy(to + k, s + i, step);
      k += step;
    } else if (!is_dropped(s, n, i)) {
      k += put_letter(to + k, unicode_at(s, n, i, &step));
    }
  }
  while (k && to[k - 1] == ' ') k--;
  to[k] = 0;
  return to;
}

/* Another choice, or "or", in s[i, n). */
static bool offers_more(const char *s, size_t n, size_t i, char choice)
{
  for (; i + 2 < n; i++) {
    if (s[i] == '(' && is_letter(s[i + 1]) && s[i + 2] == ')' && (s[i + 1] | 32) != choice) return true;
    if (s[i] == ' ' && s[i + 1] == 'o' && s[i + 2] == 'r') return true;
  }
  return false;
}

/* Past blanks, braces and commands. */
static size_t skip_style(const char *s, size_t n)
{
  bool style;
  size_t i = 0;
  while (i < n && (s[i] == ' ' || s[i] == '{' || s[i] == '\\')) i += s[i] == '\\' ? command(s, n, i, &style) : 1;
  return i;
}

/* The first letter, standing alone in brackets or in front of ) . : and nothing else like it behind. 0: none. */
static char leading_choice(const char *s, size_t n)
{
  size_t i = skip_style(s, n);
  bool bracket = i < n && s[i] == '(';
  if (bracket) i++;
  if (i + 1 >= n || !is_letter(s[i]) || !strchr(bracket ? ")" : ").:", s[i + 1])) return 0;
  char found = (char)(s[i] | 32);
  return offers_more(s, n, i + 2, found) ? 0 : found;
}

bool math_is_choice(struct math *m, const char *s, size_t n)
{
  const char *plain = n < 40 ? math_plain_words(m, s, n) : NULL;
  return plain && plain[0] >= 'a' && plain[0] <= 'h' && !plain[1] && memchr(s, plain[0] - 32, n);
}

/* "yes, it is" for "yes" */
static bool begins_with_verdict(const char *plain, const char *given, size_t n)
{
  static const char *const words[] = {"yes", "no", "true", "false"};
  size_t size = strlen(plain), i = 0;
  bool style;
  bool known = false;
  for (size_t k = 0; k < 4; k++) known = known || !strcmp(plain, words[k]);
  while (i < n && (given[i] == ' ' || given[i] == '{' || command(given, n, i, &style)))
    i += given[i] == '\\' ? command(given, n, i, &style) : 1;
  if (!known || n - i <= size || !strchr(",.;!", given[i + size])) return false;
  for (size_t k = 0; k < size; k++)
    if ((given[i + k] | 32) != plain[k]) return false;
  return true;
}

bool math_same_words(struct math *m, const char *gold, size_t gold_n, const char *given, size_t given_n)
{
  const char *a = math_plain_words(m, gold, gold_n), *b = given_n < 4000 ? math_plain_words(m, given, given_n) : NULL;
  if (!a || !b || !*a) return false;
  if (!strcmp(a, b)) return true;
  if (is_letter(a[0]) && !a[1]) return leading_choice(given, given_n) == a[0];
  return begins_with_verdict(a, given, given_n);
}

static bool is_word(char c)
{
  return is_letter(c) || is_digit(c);
}

/* The length of what does not matter at s[i]; a blank between letters or digits does: 1 7 is not 17. */
static size_t idle(const char *s, size_t n, size_t i)
{
  static const char *const words[] = {"\\left", "\\right", "\\,", "\\!", "\\;", "\\:", "\\ ", "~"};
  if (is_blank(s[i])) return !(i && i + 1 < n && is_word(s[i - 1]) && is_word(s[i + 1]));
  for (size_t k = 0; k < sizeof words / sizeof *words; k++) {
    size_t size = strlen(words[k]);
    bool there = n - i >= size && !memcmp(s + i, words[k], size);
    if (there && !(size > 2 && i + size < n && is_letter(s[i + size]))) return size;
  }
  return 0;
}

/* Steps over what does not matter for the spelling. */
static size_t skip(const char *s, size_t n, size_t i)
{
  for (size_t step; i < n && (step = idle(s, n, i)) > 0;) i += step;
  return i;
}

bool math_same_spelling(const char *a, size_t an, const char *b, size_t bn)
{
  size_t i = skip(a, an, 0), j = skip(b, bn, 0);
  while (i < an && j < bn && a[i] == b[j]) {
    i = skip(a, an, i + 1);
    j = skip(b, bn, j + 1);
  }
  return i == an && j == bn;
}

bool math_braces_match(const char *s, size_t n)
{
  long depth = 0;
  for (size_t i = 0; i < n; i++) {
    if (s[i] == '\\') {
      i++;
      continue;
    }
    depth += (s[i] == '{') - (s[i] == '}');
    if (depth < 0) return false;
  }
  return depth == 0;
}
