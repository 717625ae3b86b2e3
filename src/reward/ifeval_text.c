/* Words and sentences as IFEval counts them. */
#include <string.h>
#include <utf8proc.h>
#include "reward/ifeval.h"
#include "text/unicode.h"

int ifeval_compile(struct arena *a, struct ifeval_patterns *out, struct error *err)
{
#define IFEVAL_ROW(name, flags, text) {text, flags},
  static const struct {
    const char *text;
    uint32_t flags;
  } patterns[] = {IFEVAL_PATTERNS(IFEVAL_ROW)};
#undef IFEVAL_ROW
  for (size_t i = 0; i < IFEVAL_PATTERN_COUNT; i++)
    TRY(pattern_compile(a, patterns[i].text, strlen(patterns[i].text), patterns[i].flags, &out->at[i], err));
  return 0;
}

struct span span_strip(struct span t)
{
  size_t step;
  while (t.n && unicode_is_space(unicode_at(t.s, t.n, 0, &step))) {
    t.s += step;
    t.n -= step;
  }
  while (t.n && unicode_is_space(unicode_before(t.s, t.n, &step))) t.n -= step;
  return t;
}

uint32_t letter_lower(uint32_t c)
{
  if (c < 0x80) return c >= 'A' && c <= 'Z' ? c | 32 : c;
  return (uint32_t)utf8proc_tolower((utf8proc_int32_t)c);
}

enum letter_case letter_case_of(uint32_t c)
{
  if (c < 0x80) return c >= 'a' && c <= 'z' ? LETTER_LOWER : c >= 'A' && c <= 'Z' ? LETTER_UPPER : LETTER_NONE;
  utf8proc_category_t k = utf8proc_category((utf8proc_int32_t)c);
  return k == UTF8PROC_CATEGORY_LL   ? LETTER_LOWER
         : k == UTF8PROC_CATEGORY_LU ? LETTER_UPPER
         : k == UTF8PROC_CATEGORY_LT ? LETTER_TITLE
                                     : LETTER_NONE;
}

/* ---- sentences --------------------------------------------------------------------------------------------------- */

/* Lower case, without the full stop at the end. */
static const char abbreviations[] =
    " mr mrs ms dr prof rev fr sen rep gov gen col capt lt sgt maj cmdr adm hon st jr sr vs etc inc corp co ltd bros "
    "dept univ assn ave blvd rd mt ft e.g i.e eg ie cf al u.s u.k u.n u.s.a d.c a.m p.m no nos vol p pp ed eds fig "
    "jan feb mar apr jun jul aug sep sept oct nov dec mon tue wed thu fri sat sun ph.d m.d b.a m.a b.s m.s lbs oz "
    "approx est ";
/* Words that begin a sentence where they stand in capitals behind an abbreviation. */
static const char starters[] =
    " the this that these those it he she they we i you in on at for but and however if when while although a an there "
    "here what why how as after before since our my his her its their so yet also ";

/* Is the word, in lower case and cut to its letters, in a list of words between spaces? */
static bool in_list(const char *list, const char *s, size_t n)
{
  char word[32] = " ";
  if (!n || n > sizeof word - 3) return false;
  for (size_t i = 0; i < n; i++) word[1 + i] = s[i] >= 'A' && s[i] <= 'Z' ? (char)(s[i] | 32) : s[i];
  memcpy(word + 1 + n, " ", 2);
  return strstr(list, word) != NULL;
}

static bool is_digit(char c)
{
  return c >= '0' && c <= '9';
}

/* A word without quotes and brackets around it. */
static struct span bare(struct span w)
{
  while (w.n && strchr("\"'([{*_`", w.s[0])) w.s++, w.n--;
  while (w.n && strchr("\"')]}*_`", w.s[w.n - 1])) w.n--;
  return w;
}

static bool begins_lower(struct span w)
{
  size_t step;
  uint32_t c = w.n ? unicode_at(w.s, w.n, 0, &step) : 0;
  return letter_case_of(c) == LETTER_LOWER;
}

static bool begins_upper(struct span w)
{
  size_t step;
  uint32_t c = w.n ? unicode_at(w.s, w.n, 0, &step) : 0;
  return letter_case_of(c) == LETTER_UPPER;
}

static size_t letters_of(struct span w)
{
  size_t n = w.n;
  while (n && strchr(".,;:!?", w.s[n - 1])) n--;
  return n;
}

static bool is_number(const char *s, size_t n)
{
  for (size_t i = 0; i < n; i++)
    if (!is_digit(s[i]) && !strchr(".,-", s[i])) return false;
  return n > 0;
}

/* Does a sentence end behind this word, given the word behind it? */
static bool ends_sentence(struct span word, struct span next)
{
  struct span w = bare(word), after = bare(next);
  if (!w.n || !strchr(".?!", w.s[w.n - 1])) return false;
  if (w.s[w.n - 1] != '.') return true;
  size_t stem = w.n - 1;
  bool starter = in_list(starters, after.s, letters_of(after));
  if (stem && w.s[stem - 1] == '.') return begins_upper(after);  // dots
  if (in_list(abbreviations, w.s, stem)) return begins_upper(after) && starter;
  if (stem == 1 && (w.s[0] | 32) >= 'a' && (w.s[0] | 32) <= 'z') return !begins_lower(after) && starter;  // an initial
  return !is_number(w.s, stem) || !begins_lower(after);
}

static struct span next_word(struct span t, size_t *at)
{
  size_t step;
  while (*at < t.n && unicode_is_space(unicode_at(t.s, t.n, *at, &step))) *at += step;
  size_t begin = *at;
  while (*at < t.n && !unicode_is_space(unicode_at(t.s, t.n, *at, &step))) *at += step;
  return (struct span){t.s + begin, *at - begin};
}

int64_t ifeval_sentences(struct span t)
{
  size_t at = 0;
  int64_t count = 0;
  struct span word = next_word(t, &at);
  if (!word.n) return 0;
  for (struct span next; (next = next_word(t, &at)).n; word = next) count += ends_sentence(word, next);
  return count + 1;
}

/* ---- capital words ----------------------------------------------------------------------------------------------- */

/* Python's str.isupper: a letter in upper case, and none in lower. */
static bool is_upper(const char *s, size_t n)
{
  bool upper = false;
  for (size_t i = 0, step; i < n; i += step) {
    enum letter_case c = letter_case_of(unicode_at(s, n, i, &step));
    if (c == LETTER_LOWER || c == LETTER_TITLE) return false;
    upper |= c == LETTER_UPPER;
  }
  return upper;
}

static bool has_any(struct span t, const char *bytes)
{
  for (; *bytes; bytes++)
    if (memchr(t.s, *bytes, t.n)) return true;
  return false;
}

/* The sentence with a space at each cut. */
static int cut_sentence(struct arena *a, const struct ifeval_patterns *p, struct span t, struct span *out,
                        struct error *err)
{
  static const struct {
    enum ifeval_pattern pattern;
    const char *with;
    const char *needs; /* nothing to cut without one of these bytes; NULL: always look */
  } cuts[] = {{IFEVAL_CUT_OPEN, " $1 ", "`\xc2\xe2"},
              {IFEVAL_CUT_QUOTE_FIRST, " `` ", "\""},
              {IFEVAL_CUT_QUOTE_OPEN, "$1 `` ", "\"'"},
              {IFEVAL_CUT_APOSTROPHE, "$1 $2", "'"},
              {IFEVAL_CUT_PERIOD, "$1 $2 $3 ", "."},
              {IFEVAL_CUT_COMMA, " $1 $2", ":,"},
              {IFEVAL_CUT_COMMA_LAST, " $1 ", ":,"},
              {IFEVAL_CUT_DOTS, " $1 ", "."},
              {IFEVAL_CUT_SIGNS, " $1 ", ";@#$%&?!*][(){}<>-"},
              {IFEVAL_CUT_SINGLE, "$1 ' ", "'"},
              {IFEVAL_CUT_CLOSE, " $1 ", "\"'\xc2\xe2"},
              {IFEVAL_CUT_SHORT, "$1 $2 ", "'"},
              {IFEVAL_CUT_LONG, "$1 $2 ", "'"},
              {IFEVAL_CUT_JOINED, " $1 $2", NULL}};
  for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++) {
    char *text;
    if (cuts[i].pattern == IFEVAL_CUT_CLOSE) {  // the two last pairs see a space at either end
      char *padded = arena_printf(a, "ifeval", err, " %.*s ", (int)t.n, t.s);
      if (!padded) return err->code;
      t = (struct span){padded, t.n + 2};
    }
    if (cuts[i].needs && !has_any(t, cuts[i].needs)) continue;
    TRY(pattern_replace(a, p->at[cuts[i].pattern], t.s, t.n, cuts[i].with, &text, &t.n, err));
    t.s = text;
  }
  *out = t;
  return 0;
}

static int count_sentence(struct arena *a, const struct ifeval_patterns *p, struct span t, int64_t *count,
                          struct error *err)
{
  size_t at = 0;
  TRY(cut_sentence(a, p, t, &t, err));
  for (struct span w; (w = next_word(t, &at)).n;) *count += is_upper(w.s, w.n);
  return 0;
}

int ifeval_capital_words(struct arena *a, const struct ifeval_patterns *patterns, struct span t, int64_t *out,
                         struct error *err)
{
  size_t at = 0, begin = 0;
  *out = 0;
  struct span word = next_word(t, &at);
  while (word.n) {
    size_t end = at;
    struct span next = next_word(t, &at);
    if (!next.n || ends_sentence(word, next)) {
      TRY(count_sentence(a, patterns, (struct span){t.s + begin, end - begin}, out, err));
      begin = end;
    }
    word = next;
  }
  return 0;
}
