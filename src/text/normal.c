#define _GNU_SOURCE           /* memmem */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "text/normal.h"

#include <pcre2.h>
#include <string.h>

#include "text/pretoken.h"

int normal_prepare(struct arena *a, struct normal_step *s, const char *file, struct error *err)
{
  if (s->kind != NORMAL_REPLACE || s->literal) return 0;
  return pretoken_compile(a, s->pattern, false, &s->code, "normalizer", file, err);
}

static void replace_string(const struct normal_step *s, const char *text, size_t n, struct text *out)
{
  size_t size = strlen(s->pattern), content = strlen(s->content), at = 0;
  while (at < n) {
    const char *found = memmem(text + at, n - at, s->pattern, size);
    size_t end = found ? (size_t)(found - text) : n;
    text_add(out, text + at, end - at);
    if (found) text_add(out, s->content, content);
    at = found ? end + size : n;
  }
}

/* An empty match is left alone. */
static int replace_pattern(const struct normal_step *s, const char *text, size_t n, struct text *out, struct error *err)
{
  pcre2_match_data *match = pcre2_match_data_create(1, NULL);
  size_t at = 0, from = 0, content = strlen(s->content);
  int found = match ? 0 : PCRE2_ERROR_NOMEMORY;
  while (found >= 0 && from < n) {
    found = pcre2_match(s->code, (PCRE2_SPTR)text, n, from, PCRE2_NO_UTF_CHECK | PCRE2_NOTEMPTY, match, NULL);
    if (found < 0) break;
    const PCRE2_SIZE *span = pcre2_get_ovector_pointer(match);
    text_add(out, text + at, span[0] - at);
    text_add(out, s->content, content);
    at = from = span[1];
  }
  text_add(out, text + at, n - at);
  pcre2_match_data_free(match);
  if (found == PCRE2_ERROR_NOMEMORY) FAIL(err, ERROR_RESOURCE, "no memory for a regular expression");
  if (found < 0 && found != PCRE2_ERROR_NOMATCH)
    FAIL(err, ERROR_INPUT, "the normaliser's pattern \"%.100s\" takes too long on this text", s->pattern);
  return 0;
}

static void strip(const struct normal_step *s, const char *text, size_t n, struct text *out)
{
  size_t from = 0, step;
  while (s->left && from < n && unicode_is_space(unicode_at(text, n, from, &step))) from += step;
  while (s->right && n > from && unicode_is_space(unicode_before(text + from, n - from, &step))) n -= step;
  text_add(out, text + from, n - from);
}

int normal_run(const struct normal_step *s, const char *text, size_t n, struct text *out, struct error *err)
{
  switch (s->kind) {
    case NORMAL_FORM:
      return unicode_normalize(s->form, text, n, out, err);
    case NORMAL_PREPEND:
      if (n) text_puts(out, s->content);
      text_add(out, text, n);
      return 0;
    case NORMAL_REPLACE:
      if (s->code) return replace_pattern(s, text, n, out, err);
      replace_string(s, text, n, out);
      return 0;
    case NORMAL_STRIP:
      strip(s, text, n, out);
      return 0;
  }
  return 0;
}
