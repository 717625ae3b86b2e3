/* A penalty on repetition, 0 down to -penalty:
 *
 *     -penalty * (1 - distinct n-grams / all n-grams)          0 where there is no n-gram
 *
 * over words (white space between them, ASCII letters in lower case) or tokens: the n-gram penalty of Yeo et al. 2025,
 * "Demystifying Long Chain-of-Thought Reasoning in LLMs", in the form in which it is one number a response.
 *
 * Worked example: "a b a b a b", n 2: ab ba ab ba ab, 2 of 5 distinct: -0.6.
 */
#include <stdlib.h>
#include <string.h>
#include "reward/channel.h"

static uint64_t mix(uint64_t h, uint64_t x)
{
  h = (h ^ x) * UINT64_C(0x9e3779b97f4a7c15);
  return h ^ (h >> 29);
}

/* One number a word, equal for equal words. */
static size_t hash_words(const char *s, size_t n, uint64_t *to)
{
  size_t count = 0;
  bool inside = false;
  for (size_t i = 0; i < n; i++) {
    bool blank = s[i] == ' ' || (s[i] >= '\t' && s[i] <= '\r');
    if (!blank && !inside) to[count++] = 1;
    inside = !blank;
    if (inside)
      to[count - 1] = mix(to[count - 1], (uint64_t)(unsigned char)(s[i] >= 'A' && s[i] <= 'Z' ? s[i] + 32 : s[i]));
  }
  return count;
}

static int by_value(const void *x, const void *y)
{
  uint64_t a, b;
  memcpy(&a, x, sizeof a);
  memcpy(&b, y, sizeof b);
  return (a > b) - (a < b);
}

static int value(struct arena *a, const struct channel_config *c, const struct channel_input *in, double *out,
                 struct error *err)
{
  bool tokens = !strcmp(channel_value(c, "unit")->text, "tokens");
  size_t n = (size_t)channel_value(c, "n")->integer, count = (size_t)in->tokens;
  uint64_t *units = ARENA_NEW(a, uint64_t, tokens ? count : in->n / 2 + 1, "rewards", err);
  if (!units) return err->code;
  for (size_t i = 0; tokens && i < count; i++) units[i] = (uint64_t)in->ids[i] + 1;
  if (!tokens) count = hash_words(in->response, in->n, units);
  *out = 0;
  if (count < n) return 0;
  size_t grams = count - n + 1, distinct = 1;
  for (size_t i = 0; i < grams; i++) { /* in place: gram i needs units i .. i+n-1 */
    uint64_t h = 2;
    for (size_t k = 0; k < n; k++) h = mix(h, units[i + k]);
    units[i] = h;
  }
  qsort(units, grams, sizeof *units, by_value);
  for (size_t i = 1; i < grams; i++) distinct += units[i] != units[i - 1];
  *out = -channel_value(c, "penalty")->real * (1 - (double)distinct / (double)grams);
  return 0;
}

static const struct setting settings[] = {
    {"n", SETTING_INT, 1, 64, "3", NULL, "length of the n-grams"},
    {"unit", SETTING_TEXT, 0, 0, "words", "words tokens", "what they are made of"},
    {"penalty", SETTING_REAL, 0, 1e6, "1", NULL, "where nothing is new"},
};

const struct channel channel_repetition = {
    .name = "repetition",
    .help = "0 down to -penalty: the share of n-grams that were there before",
    .settings = settings,
    .setting_count = sizeof settings / sizeof *settings,
    .value = value,
};
