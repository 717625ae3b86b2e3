/* Accuracy and capability (arXiv 2505.14216): declared in eval/boundary.h. */
#include <string.h>
#include "core/error.h"
#include "core/json.h"
#include "core/math.h"
#include "eval/boundary.h"

static double power(double x, int64_t n)
{
  double y = 1;
  for (; n > 0; n /= 2, x *= x)
    if (n % 2) y *= x;
  return y;
}

double capability_of(const double *p, size_t n, int64_t k)
{
  double sum = 0;
  for (size_t i = 0; i < n; i++) sum += 1 - power(1 - p[i], k);
  return sum / (double)n;
}

double capability_bound(int64_t k, double confidence)
{
  return -math_expm1(math_log(1 - confidence) / (double)k);
}

double capability_informative(double p, int64_t g)
{
  return 1 - power(p, g) - power(1 - p, g);
}

static const struct {
  size_t count;
  int64_t edges[CAPABILITY_MOST_BINS];
} bin_tables[] = {[CAPABILITY_MAIN] = {6, {0, 4, 16, 64, 128, 256}},
                  [CAPABILITY_APPENDIX] = {8, {0, 4, 16, 32, 64, 128, 192, 256}},
                  [CAPABILITY_LENGTH] = {4, {64, 128, 192, 256}}};

size_t capability_bin_count(enum capability_bins bins)
{
  return bin_tables[bins].count;
}

size_t capability_bin(enum capability_bins bins, int64_t x, int64_t k)
{
  ASSAY_BUG_IF(x < 0 || x > k);
  size_t i = 0;
  while (256 * x > bin_tables[bins].edges[i] * k) i++;
  return i;
}

double capability_answer_entropy(const int64_t *counts, size_t n)
{
  double total = 0, sum = 0;
  for (size_t i = 0; i < n; i++) total += (double)counts[i];
  for (size_t i = 0; i < n; i++)
    if (counts[i] > 0) sum += (double)counts[i] / total * math_log((double)counts[i] / total);
  return total > 0 ? 0 - sum : (double)__builtin_nanf("");
}

/* ---- reflection phrases ------------------------------------------------------------------------------------------ */

static const char *const keywords[] = {"actually",
                                       "aha",
                                       "alternatively",
                                       "correction:",
                                       "another approach",
                                       "checking our work",
                                       "different method",
                                       "double-check",
                                       "hmm",
                                       "however",
                                       "i made a mistake",
                                       "i need to reconsider",
                                       "i realize",
                                       "let me recalculate",
                                       "let me think",
                                       "let's check",
                                       "let's reconsider",
                                       "looking back",
                                       "make sure",
                                       "ok",
                                       "on second thought",
                                       "retracing",
                                       "to be sure",
                                       "to confirm",
                                       "verify",
                                       "wait",
                                       "we could also"};

size_t capability_keyword_count(void)
{
  return sizeof keywords / sizeof *keywords;
}

const char *capability_keyword(size_t i)
{
  return keywords[i];
}

/* Bytes of the text that a phrase takes at s, 0: it does not stand there. U+2019 counts as an apostrophe. */
static size_t phrase_at(const char *s, size_t n, const char *phrase)
{
  size_t at = 0;
  for (; *phrase; phrase++) {
    char c = at < n ? s[at] : 0;
    size_t step = 1;
    if (*phrase == '\'' && n - at >= 3 && !memcmp(s + at, "\xe2\x80\x99", 3)) {
      c = '\'';
      step = 3;
    }
    if ((c >= 'A' && c <= 'Z' ? (char)(c | 32) : c) != *phrase) return 0;
    at += step;
  }
  return at;
}

static bool is_word_byte(char c)
{
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

static int64_t count_phrase(const char *s, size_t n, const char *phrase)
{
  bool closed = phrase[strlen(phrase) - 1] == ':';
  int64_t count = 0;
  for (size_t i = 0, length; i < n; i += length ? length : 1) {
    length = i && is_word_byte(s[i - 1]) ? 0 : phrase_at(s + i, n - i, phrase);
    if (length && !closed && i + length < n && is_word_byte(s[i + length])) length = 0;
    count += length > 0;
  }
  return count;
}

void capability_keywords(const char *text, size_t n, int64_t *found)
{
  for (size_t k = 0; k < capability_keyword_count(); k++) found[k] = count_phrase(text, n, keywords[k]);
}

/* ---- the release's box ------------------------------------------------------------------------------------------- */

bool capability_last_box(const char *text, size_t n, struct capability_span *out)
{
  size_t at = text_find_last(text, n, "\\boxed ", false), depth = 0;
  if (at < n) {
    const char *end = memchr(text + at, '$', n - at);
    *out = (struct capability_span){at, (end ? (size_t)(end - text) : n) - at};
    return true;
  }
  at = text_find_last(text, n, "\\boxed", false);
  if (at == n) at = text_find_last(text, n, "\\fbox", false);
  for (size_t i = at; i < n; i++) {
    if (text[i] == '{') depth++;
    if (text[i] != '}') continue;
    if (!depth) return false;  // closes what was never opened
    if (--depth) continue;
    *out = (struct capability_span){at, i + 1 - at};
    return true;
  }
  return false;
}
