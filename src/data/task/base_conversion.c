/* A whole number in another base; digits above 9 are letters. */
#include <string.h>
#include "data/task_answer.h"
#include "data/task_draw.h"

static const uint32_t split_key = 0xba5e0001u;

static const struct setting options[] = {
    {"min_base", SETTING_INT, 2, 36, "2", NULL, "smallest base"},
    {"max_base", SETTING_INT, 2, 36, "16", NULL, "largest base"},
    {"min_value", SETTING_INT, 0, 1e15, "0", NULL, "smallest number"},
    {"max_value", SETTING_INT, 0, 1e15, "1000", NULL, "largest number"},
    TASK_HELD_OUT,
};

static const char *base_name(int64_t base, char *buf, size_t size)
{
  if (base == 2) return "binary";
  if (base == 16) return "hexadecimal";
  snprintf(buf, size, "base-%lld", (long long)base);
  return buf;
}

static void write_digits(int64_t value, int64_t base, char out[64])
{
  char reversed[64];
  size_t n = 0;
  do reversed[n++] = "0123456789abcdefghijklmnopqrstuvwxyz"[value % base];
  while (value /= base);
  for (size_t i = 0; i < n; i++) out[i] = reversed[n - 1 - i];
  out[n] = 0;
}

static int draw_one(struct arena *a, const struct task_config *c, struct draw *d, struct task_problem *out,
                    struct error *err)
{
  char from_digits[64], to_digits[64], from_name[16], to_name[16];
  int64_t value = task_draw_between(c, d, "min_value", "max_value");
  int64_t from = task_draw_between(c, d, "min_base", "max_base");
  int64_t to = draw_int(d, task_int(c, "min_base"), task_int(c, "max_base") - 1);
  if (to >= from) to++;
  write_digits(value, from, from_digits);
  write_digits(value, to, to_digits);
  out->question = arena_printf(
      a, "task", err, "Convert the %s number %s to %s. Digits above 9 are lower-case letters. Answer with the digits.",
      base_name(from, from_name, sizeof from_name), from_digits, base_name(to, to_name, sizeof to_name));
  out->answer = out->question ? arena_strdup(a, to_digits, "task", err) : NULL;
  out->meta = out->answer ? arena_printf(a, "task", err,
                                         "{\"decimal_value\": %lld, \"source_base\": %lld, \"target_base\": %lld, "
                                         "\"answer\": \"%s\"}",
                                         (long long)value, (long long)from, (long long)to, to_digits)
                          : NULL;
  return out->meta ? 0 : err->code;
}

/* ---- judging ----------------------------------------------------------------------------------------------------- */

static char lower(char c)
{
  return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

static bool is_digit(char c)
{
  c = lower(c);
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z');
}

static bool ends(const char *s, size_t n, const char *with)
{
  size_t size = strlen(with);
  if (n < size) return false;
  for (size_t i = 0; i < size; i++)
    if (lower(s[n - size + i]) != with[i]) return false;
  return true;
}

/* s[0..n) without the characters of `set` at its end. */
static size_t without(const char *s, size_t n, const char *set)
{
  while (n && strchr(set, s[n - 1])) n--;
  return n;
}

/* n without subscript digits (U+2080..U+2089). */
static size_t without_subscript(const char *s, size_t n)
{
  while (n >= 3 && !memcmp(s + n - 3, "\xe2\x82", 2) && (unsigned char)s[n - 1] >= 0x80 &&
         (unsigned char)s[n - 1] < 0x8a)
    n -= 3;
  return n;
}

/* The length of s[0..n) without what names its base: "92 in base 15", "92_{15}", "92 (base-15)", "92₁₅". */
static size_t without_base(const char *s, size_t n)
{
  static const char *const names[] = {" in binary", " in hexadecimal", " in hex", " in octal", " in decimal"};
  size_t end = without(s, n, "})"), digits = without(s, end, "0123456789");
  size_t word = without(s, digits, " -");
  if (digits < end && ends(s, word, "base")) {
    word = without(s, word - 4, " (");
    return ends(s, word, " in") ? word - 3 : word;
  }
  if (digits < end && ends(s, digits, "_")) return digits - 1;
  if (digits < end && ends(s, digits, "_{")) return digits - 2;
  n = without_subscript(s, n);
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (ends(s, n, names[i])) return n - strlen(names[i]);
  return n;
}

/* 0x, 0b, 0o in front of digits of that base: its length. */
static size_t prefix_length(const char *s, size_t n, int64_t base)
{
  char prefix = base == 2 ? 'b' : base == 8 ? 'o' : base == 16 ? 'x' : 0;
  return prefix && n > 2 && s[0] == '0' && lower(s[1]) == prefix ? 2 : 0;
}

/* The last word of the span: its digits, without 0x, 0b, 0o and zeros in front, in *start and *length. */
static bool read_digits(const char *s, const struct answer_span *span, int64_t base, size_t *start, size_t *length)
{
  size_t end = span->start + without_base(s + span->start, span->length);
  while (end > span->start && !is_digit(s[end - 1])) end--;
  size_t at = end;
  while (at > span->start && is_digit(s[at - 1])) at--;
  if (at == end || (at > span->start && (s[at - 1] == '-' || s[at - 1] == '.'))) return false;
  at += prefix_length(s + at, end - at, base);
  while (end - at > 1 && s[at] == '0') at++;
  *start = at;
  *length = end - at;
  return true;
}

static bool same_digits(const char *s, size_t n, const char *known)
{
  while (known[0] == '0' && known[1]) known++;
  if (strlen(known) != n) return false;
  for (size_t i = 0; i < n; i++)
    if (lower(s[i]) != lower(known[i])) return false;
  return true;
}

static int check(struct arena *a, const json_t *meta, const char *answer, const char *response, size_t n,
                 struct task_verdict *out, struct error *err)
{
  const char *known, *why;
  struct answer_span span;
  size_t start, length;
  int64_t base;
  TRY(answer_known(a, meta, answer, &known, err));
  TRY(json_int_or(meta, "target_base", 2, 36, 0, &base, NULL, err));
  if (!answer_find(response, n, ANSWER_LINE, &span, &why))
    return answer_verdict(a, out, NULL, 0, false, 0, err, "%s", why);
  if (!read_digits(response, &span, base, &start, &length))
    return answer_verdict(a, out, NULL, 0, false, 0, err, "no digits were found");
  bool correct = same_digits(response + start, length, known);
  return answer_verdict(a, out, response + start, length, correct, 0, err, "%.*s (%s) is %s %.64s",
                        (int)(length < 64 ? length : 64), response + start, span.rule, correct ? "right:" : "not",
                        known);
}

static int open_conversion(struct arena *a, struct task_config *c, struct error *err)
{
  TRY(task_need_order(c, "min_base", "max_base", err));
  TRY(task_need_order(c, "min_value", "max_value", err));
  if (task_int(c, "min_base") == task_int(c, "max_base"))
    FAIL_AT(err, ERROR_INPUT, NULL, 0, "max_base", "found one base, %lld; expected two at least",
            (long long)task_int(c, "max_base"));
  return task_draw_open(a, c, split_key, draw_one, err);
}

static int make(struct arena *a, const struct task_config *c, uint64_t index, struct task_problem *out,
                struct error *err)
{
  return task_draw(a, c, index, split_key, draw_one, out, err);
}

const struct task task_base_conversion = {
    .name = "base_conversion",
    .help = "A whole number in another base",
    .right =
        "The last word of the answer has the digits, in either case; a prefix (0x, 0b, 0o), zeros in front and the "
        "base's name behind (92 in base 15, 92_{15}) do not matter. No partial credit.",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .open = open_conversion,
    .make = make,
    .check = check,
};
