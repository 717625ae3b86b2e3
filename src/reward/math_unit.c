#include <string.h>
#include "reward/math_names.h"

struct row {
  const char *names; /* separated by blanks: in full, symbols */
  int64_t top, bottom;
  int base, power;
};

/* Units of other bases than these are nouns. Liquid measures are volumes. */
static const struct row rows[] = {
    {"meter metre m", 1, 1, MATH_LENGTH, 1},
    {"centimeter centimetre cm", 1, 100, MATH_LENGTH, 1},
    {"millimeter millimetre mm", 1, 1000, MATH_LENGTH, 1},
    {"kilometer kilometre km", 1000, 1, MATH_LENGTH, 1},
    {"inch in", 254, 10000, MATH_LENGTH, 1},
    {"foot feet ft", 3048, 10000, MATH_LENGTH, 1},
    {"yard yd", 9144, 10000, MATH_LENGTH, 1},
    {"mile mi", 1609344, 1000, MATH_LENGTH, 1},
    {"gram g", 1, 1, MATH_MASS, 1},
    {"kilogram kg", 1000, 1, MATH_MASS, 1},
    {"milligram mg", 1, 1000, MATH_MASS, 1},
    {"pound lb", 45359237, 100000, MATH_MASS, 1},
    {"ounce oz", 45359237, 1600000, MATH_MASS, 1},
    {"second sec s", 1, 1, MATH_TIME, 1},
    {"minute min", 60, 1, MATH_TIME, 1},
    {"hour hr h", 3600, 1, MATH_TIME, 1},
    {"day d", 86400, 1, MATH_TIME, 1},
    {"week wk", 604800, 1, MATH_TIME, 1},
    {"millisecond ms", 1, 1000, MATH_TIME, 1},
    {"degree deg", 1, 1, MATH_ANGLE, 1},
    {"radian rad", 180, 1, MATH_ANGLE, 1},
    {"dollar usd", 1, 1, MATH_MONEY, 1},
    {"cent", 1, 100, MATH_MONEY, 1},
    {"liter litre l", 1, 1000, MATH_LENGTH, 3},
    {"milliliter millilitre ml", 1, 1000000, MATH_LENGTH, 3},
    {"hertz hz", 1, 1, MATH_TIME, -1},
    {"kelvin", 1, 1, MATH_WARMTH, 1},
};

static const struct {
  const char *name, *noun;
} nouns[] = {{"mph", NULL},
             {"kph", NULL},
             {"kmh", NULL},
             {"euro", "euro"},
             {"eur", "euro"},
             {"yen", "yen"},
             {"gbp", "pound sterling"},
             {"rupee", "rupee"},
             {"year", "year"},
             {"yr", "year"},
             {"month", "month"},
             {"ton", "ton"},
             {"tonne", "tonne"},
             {"gallon", "gallon"},
             {"gal", "gallon"},
             {"quart", "quart"},
             {"pint", "pint"},
             {"cup", "cup"},
             {"unit", "unit"},
             {"newton", "newton"},
             {"joule", "joule"},
             {"watt", "watt"},
             {"volt", "volt"},
             {"ampere", "ampere"},
             {"ohm", "ohm"},
             {"pascal", "pascal"},
             {"mole", "mole"},
             {"mol", "mole"},
             {"byte", "byte"},
             {"acre", "acre"},
             {"hectare", "hectare"},
             {"celsius", "celsius"},
             {"fahrenheit", "fahrenheit"},
             {"point", "point"},
             {"pt", "point"},
             {"am", "am"},
             {"pm", "pm"},
             {"people", "people"}};

static bool named(const char *s, size_t n, const char *name, size_t size)
{
  if (n < size || n > size + 2) return false;
  for (size_t i = 0; i < size; i++)
    if ((s[i] | 32) != name[i]) return false;
  if (n == size) return true;
  /* the plural, of words that are more than a letter */
  if (size < 2 || (size == 2 && memcmp(name, "lb", 2) != 0 && memcmp(name, "hr", 2) != 0)) return false;
  return n == size + 1 ? (s[size] | 32) == 's' : (s[size] | 32) == 'e' && (s[size + 1] | 32) == 's';
}

static void per_hour(const char *s, struct math_unit *out)
{
  out->top = s[0] == 'm' ? 1609344 : 1000;
  out->bottom = s[0] == 'm' ? 3600000 : 3600;
  out->power[MATH_LENGTH] = 1;
  out->power[MATH_TIME] = -1;
}

static bool find_noun(const char *s, size_t n, struct math_unit *out, int *how)
{
  for (size_t i = 0; i < sizeof nouns / sizeof *nouns; i++) {
    if (!named(s, n, nouns[i].name, strlen(nouns[i].name))) continue;
    *how = n > 3 ? MATH_UNIT_SURE : MATH_UNIT_SYMBOL;
    if (!nouns[i].noun) {
      per_hour(nouns[i].name, out);
    } else {
      out->noun = nouns[i].noun;
      out->length = strlen(nouns[i].noun);
    }
    return true;
  }
  return false;
}

bool math_unit_find(const char *s, size_t n, struct math_unit *out, int *how)
{
  *out = (struct math_unit){.top = 1, .bottom = 1, .noun = ""};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    const char *name = rows[i].names;
    for (size_t size; *name; name += size + (name[size] == ' ')) {
      size = strcspn(name, " ");
      /* A capital letter alone is another unit (L is a litre). */
      if (!named(s, n, name, size) || (n == 1 && s[0] < 'a' && s[0] != 'L')) continue;
      out->top = rows[i].top;
      out->bottom = rows[i].bottom;
      out->power[rows[i].base] = (int8_t)rows[i].power;
      out->pi = !strncmp(rows[i].names, "radian", 6) ? -1 : 0;
      *how = n == 1 ? MATH_UNIT_LETTER : n <= 3 ? MATH_UNIT_SYMBOL : MATH_UNIT_SURE;
      return true;
    }
  }
  return find_noun(s, n, out, how);
}

static bool times(int64_t *a, int64_t b)
{
  return !__builtin_mul_overflow(*a, b, a) && *a < ((int64_t)1 << 60);
}

static int64_t common(int64_t a, int64_t b)
{
  while (b) {
    int64_t rest = a % b;
    a = b;
    b = rest;
  }
  return a;
}

bool math_unit_times(struct math_unit *a, const struct math_unit *b, int power)
{
  int64_t top = power < 0 ? b->bottom : b->top, bottom = power < 0 ? b->top : b->bottom;
  int size = power < 0 ? -power : power;
  if (size > 6) return false;
  for (int i = 0; i < size; i++) {
    if (!times(&a->top, top) || !times(&a->bottom, bottom)) return false;
    int64_t shared = common(a->top, a->bottom);
    a->top /= shared;
    a->bottom /= shared;
  }
  for (int i = 0; i < MATH_BASES; i++) a->power[i] = (int8_t)(a->power[i] + power * b->power[i]);
  a->pi += power * b->pi;
  if (b->length && !a->length) {
    a->noun = b->noun;
    a->length = b->length;
  }
  return true;
}

bool math_unit_same_dimension(const struct math_unit *a, const struct math_unit *b)
{
  return !memcmp(a->power, b->power, sizeof a->power);
}

/* The next word of a noun phrase, its plural s left out. */
static bool next_word(const char **s, const char *end, const char **word, size_t *n)
{
  while (*s < end && !((**s | 32) >= 'a' && (**s | 32) <= 'z')) (*s)++;
  *word = *s;
  while (*s < end && (**s | 32) >= 'a' && (**s | 32) <= 'z') (*s)++;
  *n = (size_t)(*s - *word);
  if (*n > 3 && ((*word)[*n - 1] | 32) == 's') (*n)--;
  if (*n > 3 && ((*word)[*n - 1] | 32) == 'e') (*n)--;
  return *n > 0;
}

static bool has_word(const struct math_unit *u, const char *word, size_t n)
{
  const char *s = u->noun, *end = s + u->length, *other;
  size_t size;
  while (next_word(&s, end, &other, &size)) {
    size_t i = 0;
    while (size == n && i < n && (other[i] | 32) == (word[i] | 32)) i++;
    if (size == n && i == n) return true;
  }
  return false;
}

/* "red apples" and "apples" are one thing; "apples" and "oranges" are two. */
bool math_unit_same_noun(const struct math_unit *a, const struct math_unit *b)
{
  const char *s = a->noun, *word;
  size_t n;
  if (!a->length || !b->length) return true;
  while (next_word(&s, a->noun + a->length, &word, &n))
    if (has_word(b, word, n)) return true;
  return false;
}
