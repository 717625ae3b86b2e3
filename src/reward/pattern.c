#include "reward/pattern.h"
#include <string.h>
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

enum { MATCH_LIMIT = 1000000, HEAP_LIMIT_KIB = 32 * 1024 };

struct pattern {
  pcre2_code *code;
  pcre2_match_context *limits;
};

static void free_pattern(void *arg)
{
  struct pattern *p = arg;
  pcre2_match_context_free(p->limits);
  pcre2_code_free(p->code);
}

static uint32_t pcre_options(uint32_t flags)
{
  uint32_t options = PCRE2_UTF | PCRE2_NO_UTF_CHECK;
  if (flags & PATTERN_LITERAL) return options | PCRE2_LITERAL | (flags & PATTERN_IGNORE_CASE ? PCRE2_CASELESS : 0);
  options |= PCRE2_UCP;
  if (flags & PATTERN_IGNORE_CASE) options |= PCRE2_CASELESS;
  if (flags & PATTERN_MULTILINE) options |= PCRE2_MULTILINE;
  if (flags & PATTERN_DOT_ALL) options |= PCRE2_DOTALL;
  return options;
}

int pattern_compile(struct arena *a, const char *text, size_t n, uint32_t flags, struct pattern **out,
                    struct error *err)
{
  int code;
  size_t at;
  struct pattern *p = ARENA_NEW(a, struct pattern, 1, "pattern", err);
  pcre2_compile_context *context = pcre2_compile_context_create(NULL);
  if (!p || !context) FAIL(err, ERROR_RESOURCE, "out of memory for a regular expression");
  pcre2_set_newline(context, PCRE2_NEWLINE_LF);
  // the pattern itself is checked as UTF-8
  p->code =
      pcre2_compile((PCRE2_SPTR)text, n, pcre_options(flags) & ~(uint32_t)PCRE2_NO_UTF_CHECK, &code, &at, context);
  pcre2_compile_context_free(context);
  if (!p->code) {
    PCRE2_UCHAR why[160];
    pcre2_get_error_message(code, why, sizeof why);
    FAIL(err, ERROR_INPUT,
         "found the pattern \"%.*s\", which is wrong at character %zu: %s; expected a regular "
         "expression as PCRE2 and Python read it",
         n < 80 ? (int)n : 80, text, at + 1, (const char *)why);
  }
  (void)pcre2_jit_compile(p->code, PCRE2_JIT_COMPLETE);  // where it cannot be, it is interpreted
  p->limits = pcre2_match_context_create(NULL);
  TRY(arena_on_reset(a, free_pattern, p, err));
  if (!p->limits) FAIL(err, ERROR_RESOURCE, "out of memory for a regular expression");
  pcre2_set_match_limit(p->limits, MATCH_LIMIT);
  pcre2_set_heap_limit(p->limits, HEAP_LIMIT_KIB);
  *out = p;
  return 0;
}

static void take_groups(pcre2_match_data *data, int groups, struct pattern_match *m)
{
  const size_t *at = pcre2_get_ovector_pointer(data);
  for (int g = 0; g < PATTERN_GROUPS; g++) {
    bool in = g < groups && at[2 * g] != PCRE2_UNSET;
    m->start[g] = in ? at[2 * g] : SIZE_MAX;
    m->end[g] = in ? at[2 * g + 1] : SIZE_MAX;
  }
}

static enum pattern_result search(const struct pattern *p, const char *s, size_t n, size_t from, uint32_t options,
                                  pcre2_match_data *data, struct pattern_match *m)
{
  int rc = pcre2_match(p->code, (PCRE2_SPTR)s, n, from, options | PCRE2_NO_UTF_CHECK, data, p->limits);
  if (rc == PCRE2_ERROR_JIT_STACKLIMIT)
    rc = pcre2_match(p->code, (PCRE2_SPTR)s, n, from, options | PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, data, p->limits);
  if (rc == PCRE2_ERROR_NOMATCH) return PATTERN_NONE;
  if (rc < 0) return PATTERN_FAILED;
  if (m) take_groups(data, rc ? rc : PATTERN_GROUPS, m);
  return PATTERN_FOUND;
}

enum pattern_result pattern_search(const struct pattern *p, const char *s, size_t n, size_t from,
                                   struct pattern_match *m)
{
  pcre2_match_data *data = pcre2_match_data_create(PATTERN_GROUPS, NULL);
  if (!data) return PATTERN_FAILED;
  enum pattern_result r = search(p, s, n, from, 0, data, m);
  pcre2_match_data_free(data);
  return r;
}

/* Behind an empty match the search goes on where it is, but not for another empty one; failing that one character on.
 */
int64_t pattern_count(const struct pattern *p, const char *s, size_t n)
{
  pcre2_match_data *data = pcre2_match_data_create(PATTERN_GROUPS, NULL);
  int64_t count = 0;
  struct pattern_match m;
  uint32_t options = 0;
  enum pattern_result r = data ? PATTERN_FOUND : PATTERN_FAILED;
  for (size_t at = 0; data && at <= n;) {
    r = search(p, s, n, at, options, data, &m);
    if (r == PATTERN_FAILED) break;
    if (r == PATTERN_FOUND) {
      count++;
      at = m.end[0];
      options = m.end[0] == m.start[0] ? PCRE2_NOTEMPTY_ATSTART | PCRE2_ANCHORED : 0;
    } else if (options) {
      for (at++, options = 0; at < n && ((unsigned char)s[at] & 0xc0) == 0x80;) at++;
    } else {
      break;
    }
  }
  pcre2_match_data_free(data);
  return r == PATTERN_FAILED ? -1 : count;
}

int pattern_replace(struct arena *a, const struct pattern *p, const char *s, size_t n, const char *with, char **out,
                    size_t *out_n, struct error *err)
{
  enum { OPTIONS = PCRE2_SUBSTITUTE_GLOBAL | PCRE2_SUBSTITUTE_OVERFLOW_LENGTH | PCRE2_SUBSTITUTE_UNSET_EMPTY };
  size_t room = n + n / 4 + 64;
  for (int turn = 0; turn < 2; turn++) {
    size_t size = room;
    *out = ARENA_NEW(a, char, room, "pattern", err);
    if (!*out) return err->code;
    int rc = pcre2_substitute(p->code, (PCRE2_SPTR)s, n, 0, OPTIONS | PCRE2_NO_UTF_CHECK, NULL, p->limits,
                              (PCRE2_SPTR)with, PCRE2_ZERO_TERMINATED, (PCRE2_UCHAR *)*out, &size);
    *out_n = size;
    if (rc >= 0) return 0;
    if (rc != PCRE2_ERROR_NOMEMORY) break;
    room = size + 1;
  }
  FAIL(err, ERROR_INPUT, "a regular expression took more than %d steps on a text of %zu bytes", MATCH_LIMIT, n);
}
