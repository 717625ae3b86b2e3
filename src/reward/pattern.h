/* reward/pattern: regular expressions over UTF-8 text (PCRE2), bounded: a search that would need more than a million
 * steps or 32 MB fails instead of hanging. Read-only once compiled: one pattern serves many threads. Bytes that are no
 * UTF-8 must have been replaced (unicode_put_valid) before a text is searched. */
#ifndef ASSAY_REWARD_PATTERN_H
#define ASSAY_REWARD_PATTERN_H

#include "core/arena.h"

enum { PATTERN_IGNORE_CASE = 1, PATTERN_MULTILINE = 2, PATTERN_DOT_ALL = 4, PATTERN_LITERAL = 8 };
enum { PATTERN_GROUPS = 10 };

struct pattern;
struct pattern_match {
  size_t start[PATTERN_GROUPS], end[PATTERN_GROUPS]; /* bytes; group 0 is the whole. SIZE_MAX: not in the match */
};

/* \w, \s, \d and \b are Unicode's; . leaves out line feeds alone. ERROR_INPUT names the place where the pattern is
 * wrong. Lives in the arena. */
int pattern_compile(struct arena *a, const char *text, size_t n, uint32_t flags, struct pattern **out,
                    struct error *err) MUST_USE;
enum pattern_result { PATTERN_NONE, PATTERN_FOUND, PATTERN_FAILED /* the bound was met */ };
/* The first match that begins at `from` or later. m may be NULL. */
enum pattern_result pattern_search(const struct pattern *p, const char *s, size_t n, size_t from,
                                   struct pattern_match *m);
/* How many matches there are, one behind the other, as Python's findall counts them; -1: the bound was met. */
int64_t pattern_count(const struct pattern *p, const char *s, size_t n);
/* The matches replaced, $1 and so on filled in; the result is in the arena, ended by 0. */
int pattern_replace(struct arena *a, const struct pattern *p, const char *s, size_t n, const char *with, char **out,
                    size_t *out_n, struct error *err) MUST_USE;

#endif
