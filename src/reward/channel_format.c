/* Whether the response has the form that was asked for: 1 or 0.
 *
 *     tags      "think answer" (default): <think> ... </think> <answer> ... </answer>, each tag once and in this order,
 *               nothing but white space between and around them (DeepSeek-R1, 2025, section 2.2.2)
 *     pattern   instead: a regular expression that the whole response must match; . matches line feeds
 *     opened    the prompt ends with the first tag already: the response begins inside it
 *
 * Worked example: "<think>2+2</think>\n<answer>4</answer>" is 1; without </answer>, or with a word behind it, 0.
 */
#include <string.h>
#include "reward/channel.h"
#include "reward/pattern.h"

enum { MOST_TAGS = 16 };

struct state {
  struct pattern *pattern; /* NULL: tags */
  int count;
  const char *open[MOST_TAGS], *close[MOST_TAGS]; /* "<think>", "</think>" */
};

static int take_tags(struct arena *a, const char *tags, struct state *s, struct error *err)
{
  while (*tags) {
    size_t n = strcspn(tags, " ");
    if (n && s->count == MOST_TAGS)
      FAIL(err, ERROR_INPUT, "found more than %d tags; expected a few words, like \"think answer\"", MOST_TAGS);
    if (n) {
      s->open[s->count] = arena_printf(a, "rewards", err, "<%.*s>", (int)n, tags);
      s->close[s->count] = arena_printf(a, "rewards", err, "</%.*s>", (int)n, tags);
      if (!s->open[s->count] || !s->close[s->count]) return err->code;
      s->count++;
    }
    tags += n + (tags[n] == ' ');
  }
  if (s->count) return 0;
  FAIL(err, ERROR_INPUT, "found tags without a word; expected words, like \"think answer\"");
}

static int open(struct arena *a, struct channel_config *c, struct error *err)
{
  const struct setting_value *pattern = channel_value(c, "pattern");
  struct state *s = ARENA_NEW(a, struct state, 1, "rewards", err);
  if (!s) return err->code;
  c->state = s;
  if (!pattern->set) return take_tags(a, channel_value(c, "tags")->text, s, err);
  TRY(pattern_compile(a, pattern->text, strlen(pattern->text), PATTERN_DOT_ALL, &s->pattern, err));
  char *whole = arena_printf(a, "rewards", err, "\\A(?:%s)\\z", pattern->text);
  return whole ? pattern_compile(a, whole, strlen(whole), PATTERN_DOT_ALL, &s->pattern, err) : err->code;
}

static const char *find(const char *s, const char *end, const char *word)
{
  size_t n = strlen(word);
  for (; (size_t)(end - s) >= n; s++) {
    s = memchr(s, word[0], (size_t)(end - s));
    if (!s || (size_t)(end - s) < n) return NULL;
    if (!memcmp(s, word, n)) return s;
  }
  return NULL;
}

static const char *skip_blank(const char *s, const char *end)
{
  while (s < end && (*s == ' ' || (*s >= '\t' && *s <= '\r'))) s++;
  return s;
}

static bool has_tags(const struct state *s, bool opened, const char *at, const char *end)
{
  for (int i = 0; i < s->count; i++) {
    size_t n = strlen(s->open[i]);
    if (!opened || i) {
      at = skip_blank(at, end);
      if ((size_t)(end - at) < n || memcmp(at, s->open[i], n) != 0) return false;
      at += n;
    }
    const char *close = find(at, end, s->close[i]);
    if (!close) return false;
    for (int k = 0; k < s->count; k++)
      if (find(at, close, s->open[k]) || (k != i && find(at, close, s->close[k]))) return false;
    at = close + strlen(s->close[i]);
  }
  return skip_blank(at, end) == end;
}

static int value(struct arena *a, const struct channel_config *c, const struct channel_input *in, double *out,
                 struct error *err)
{
  const struct state *s = c->state;
  (void)a, (void)err;
  bool good = s->pattern ? pattern_search(s->pattern, in->response, in->n, 0, NULL) == PATTERN_FOUND
                         : has_tags(s, channel_value(c, "opened")->integer, in->response, in->response + in->n);
  *out = good ? 1 : 0;
  return 0;
}

static const struct setting settings[] = {
    {"tags", SETTING_TEXT, 0, 0, "think answer", NULL, "tags that follow each other and make up the response"},
    {"pattern", SETTING_TEXT, 0, 0, NULL, NULL, "instead of tags: a regular expression for the whole response"},
    {"opened", SETTING_BOOL, 0, 1, "false", NULL, "the prompt has written the first tag"},
};

const struct channel channel_format = {
    .name = "format",
    .help = "1 where the response has the form: tags in their order, or a regular expression; else 0",
    .settings = settings,
    .setting_count = sizeof settings / sizeof *settings,
    .open = open,
    .value = value,
};
