/* Scalars by the core schema of YAML 1.2 (section 10.3.2), and the nearest of some names. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/math.h"
#include "core/yaml.h"

static bool is_one_of(const char *s, const char *const *names, size_t count)
{
  for (size_t i = 0; i < count; i++) {
    if (!strcmp(s, names[i])) return true;
  }
  return false;
}

static bool is_plain(const struct yaml_node *n)
{
  return n->kind == YAML_SCALAR && !n->quoted;
}

bool yaml_is_null(const struct yaml_node *n)
{
  static const char *const names[] = {"", "~", "null", "Null", "NULL"};
  return is_plain(n) && is_one_of(n->text, names, 5);
}

bool yaml_as_bool(const struct yaml_node *n, bool *out)
{
  static const char *const yes[] = {"true", "True", "TRUE"}, *const no[] = {"false", "False", "FALSE"};
  if (!is_plain(n)) return false;
  *out = is_one_of(n->text, yes, 3);
  return *out || is_one_of(n->text, no, 3);
}

static size_t digits_at(const char *s, const char *digits)
{
  return strspn(s, digits);
}

/* [-+]? [0-9]+, 0o [0-7]+ or 0x [0-9a-fA-F]+ */
bool yaml_as_int(const struct yaml_node *n, int64_t *out)
{
  if (!is_plain(n)) return false;
  const char *s = n->text, *digits = "0123456789";
  int base = 10;
  if (s[0] == '0' && (s[1] == 'o' || s[1] == 'x')) {
    base = s[1] == 'o' ? 8 : 16;
    digits = base == 8 ? "01234567" : "0123456789abcdefABCDEF";
    s += 2;
  }
  const char *number = s;
  if (base == 10 && (*s == '-' || *s == '+')) s++;
  size_t count = digits_at(s, digits);
  if (count == 0 || s[count] != '\0') return false;
  errno = 0;
  long long value = strtoll(number, NULL, base);
  if (errno == ERANGE) return false;
  *out = value;
  return true;
}

/* [-+]? ( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )? */
static bool looks_real(const char *s)
{
  const char *digits = "0123456789";
  if (*s == '-' || *s == '+') s++;
  size_t whole = digits_at(s, digits), part = 0;
  s += whole;
  if (*s == '.') {
    part = digits_at(++s, digits);
    s += part;
  }
  if (whole + part == 0) return false;
  if (*s == 'e' || *s == 'E') {
    s++;
    if (*s == '-' || *s == '+') s++;
    size_t exponent = digits_at(s, digits);
    if (exponent == 0) return false;
    s += exponent;
  }
  return *s == '\0';
}

bool yaml_as_real(const struct yaml_node *n, double *out)
{
  static const char *const names[] = {".inf", ".Inf", ".INF"};
  if (!is_plain(n)) return false;
  const char *s = n->text;
  bool minus = *s == '-';
  if (is_one_of(s + (minus || *s == '+'), names, 3)) {
    *out = minus ? -__builtin_inf() : __builtin_inf();
    return true;
  }
  if (!looks_real(s)) return false;
  double value = strtod(s, NULL);
  if (!math_is_finite(value)) return false;
  *out = value;
  return true;
}

/* --- Did you mean --- */

enum { LONGEST_NAME = 63 };

static size_t smaller(size_t a, size_t b)
{
  return a < b ? a : b;
}

/* Levenshtein's distance, row by row, in which two letters that changed places are one slip and not two ("optimal
 * string alignment"): gpro is nearer to grpo than to dpo. */
static size_t distance(const char *a, size_t n, const char *b, size_t m)
{
  size_t rows[3][LONGEST_NAME + 1], *before = rows[0], *above = rows[1], *row = rows[2];
  for (size_t j = 0; j <= m; j++) row[j] = j;
  for (size_t i = 1; i <= n; i++) {
    size_t *last = before;
    before = above;
    above = row;
    row = last;
    row[0] = i;
    for (size_t j = 1; j <= m; j++) {
      row[j] = smaller(above[j - 1] + (a[i - 1] != b[j - 1]), smaller(above[j], row[j - 1]) + 1);
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) row[j] = smaller(row[j], before[j - 2] + 1);
    }
  }
  return row[m];
}

const char *name_nearest(const char *name, const char *const *names, size_t count)
{
  const char *best = NULL;
  size_t n = strlen(name), least = n / 3 + 2;
  if (n > LONGEST_NAME) return NULL;
  for (size_t i = 0; i < count; i++) {
    size_t m = strlen(names[i]);
    size_t d = m <= LONGEST_NAME ? distance(name, n, names[i], m) : least;
    if (d < least) {
      least = d;
      best = names[i];
    }
  }
  return best;
}
