/* A regular expression (PCRE2) over the response. The pattern is the setting `pattern`, or the line's; where neither is
 * given, the answer is the pattern.
 *
 *     match: search   somewhere in the response (default)      match: full   the whole response, white space at both
 *                                                              ends left aside
 *     group: N        right iff group N of the last match (match: full: of the match) is the answer's text, white space
 *                     at both ends left aside; without it a match is enough. 0 is the whole match.
 *
 * Worked example: pattern "Answer: (\d+)", group 1, answer "42", response "... Answer: 41? No. Answer: 42": right.
 * A search that takes more than a million steps or 32 MB fails; that is no verdict on the response.
 */
#include <string.h>
#include "core/cursor.h"
#include "data/source.h"
#include "reward/pattern.h"
#include "reward/verifier.h"
#include "text/unicode.h"

enum { MOST_MATCHES = 100000 };

struct state {
  struct pattern *pattern; /* of the setting; NULL: each problem has its own */
};

struct span {
  const char *s;
  size_t n;
};

static struct span trim(struct span t)
{
  while (t.n && (t.s[0] == ' ' || (t.s[0] >= '\t' && t.s[0] <= '\r'))) t.s++, t.n--;
  while (t.n && (t.s[t.n - 1] == ' ' || (t.s[t.n - 1] >= '\t' && t.s[t.n - 1] <= '\r'))) t.n--;
  return t;
}

static bool is_full(const struct verifier_config *c)
{
  return !strcmp(verifier_value(c, "match")->text, "full");
}

/* Compiled alone first, so that what `full` puts around it cannot change what it means. */
static int compile(struct arena *a, const struct verifier_config *c, const char *text, struct pattern **out,
                   struct error *err)
{
  uint32_t flags = (verifier_value(c, "ignore_case")->integer ? PATTERN_IGNORE_CASE : 0) |
                   (verifier_value(c, "multiline")->integer ? PATTERN_MULTILINE : 0) |
                   (verifier_value(c, "dot_all")->integer ? PATTERN_DOT_ALL : 0);
  TRY(pattern_compile(a, text, strlen(text), flags, out, err));
  if (!is_full(c)) return 0;
  char *whole = arena_printf(a, "pattern", err, "\\A(?:%s)\\z", text);
  return whole ? pattern_compile(a, whole, strlen(whole), flags, out, err) : err->code;
}

static int open(struct arena *a, struct verifier_config *c, struct error *err)
{
  const struct setting_value *pattern = verifier_value(c, "pattern");
  struct state *s = ARENA_NEW(a, struct state, 1, "verifier", err);
  if (!s) return err->code;
  c->state = s;
  return pattern->set ? compile(a, c, pattern->text, &s->pattern, err) : 0;
}

/* The pattern for this problem, and whether the answer was used up for it. */
static int find_pattern(struct arena *a, const struct verifier_config *c, const struct problem *p, struct pattern **out,
                        bool *is_answer, struct error *err)
{
  const struct state *s = c->state;
  const json_t *field = json_object_get(p->fields, "pattern");
  const char *text;
  *out = s->pattern;
  *is_answer = false;
  TRY(problem_value_text(a, field, &text, err));
  if (!text && *out) return 0;
  if (!text) {
    text = p->answer;
    *is_answer = true;
  }
  if (!text)
    FAIL_AT(err, ERROR_INPUT, p->source, p->line, "pattern",
            "found no pattern; expected the setting pattern, a field pattern, or a pattern as the answer");
  if (compile(a, c, text, out, err)) return error_place(err, p->source, p->line);
  return 0;
}

/* The response as UTF-8, without white space at its ends where the whole is matched. */
static int make_text(struct arena *a, const struct verifier_config *c, struct span *t, struct error *err)
{
  if (is_full(c)) *t = trim(*t);
  if (utf8_valid_prefix(t->s, t->n) == t->n) return 0;
  struct text valid = {0};
  unicode_put_valid(&valid, t->s, t->n);
  int rc = text_finish(&valid, err);
  *t = (struct span){rc ? "" : arena_strndup(a, valid.bytes, valid.size, "verdict", err), valid.size};
  text_free(&valid);
  return rc ? rc : t->s ? 0 : err->code;
}

/* The last match. */
static enum pattern_result last_match(const struct pattern *p, struct span t, bool only_first, struct pattern_match *m)
{
  struct pattern_match next;
  enum pattern_result r = pattern_search(p, t.s, t.n, 0, m);
  for (int i = 0; r == PATTERN_FOUND && !only_first; i++) {
    size_t from = m->end[0] > m->start[0] ? m->end[0] : m->end[0] + 1;
    while (from < t.n && ((unsigned char)t.s[from] & 0xc0) == 0x80) from++;
    if (from > t.n || i == MOST_MATCHES) break;
    enum pattern_result more = pattern_search(p, t.s, t.n, from, &next);
    if (more == PATTERN_FAILED) return more;
    if (more == PATTERN_NONE) break;
    *m = next;
  }
  return r;
}

static int judge_group(struct arena *a, const struct problem *p, struct span t, const struct pattern_match *m,
                       int64_t group, struct verdict *out, struct error *err)
{
  if (!p->answer)
    FAIL_AT(err, ERROR_INPUT, p->source, p->line, "answer",
            "found no answer; expected the text that group %d is to have", (int)group);
  out->readable = m->start[group] != SIZE_MAX;
  out->reason = "the group is not in the match";
  if (!out->readable) return 0;
  struct span got = trim((struct span){t.s + m->start[group], m->end[group] - m->start[group]});
  struct span want = trim((struct span){p->answer, strlen(p->answer)});
  out->correct = got.n == want.n && !memcmp(got.s, want.s, got.n);
  out->extracted = arena_strndup(a, got.s, got.n, "verdict", err);
  out->reason = arena_printf(a, "verdict", err, "group %d is \"%s\"; the answer is \"%s\"", (int)group,
                             verdict_shown(a, got.s, got.n, 80, err), verdict_shown(a, want.s, want.n, 80, err));
  return out->extracted && out->reason ? 0 : err->code;
}

static int judge(struct arena *a, const struct verifier_config *c, const struct problem *p, const char *response,
                 size_t n, struct verdict *out, struct error *err)
{
  const struct setting_value *group = verifier_value(c, "group");
  struct pattern *pattern;
  struct pattern_match m;
  struct span t = {response, n};
  bool is_answer;
  *out = (struct verdict){0};
  TRY(find_pattern(a, c, p, &pattern, &is_answer, err));
  TRY(make_text(a, c, &t, err));
  if (group->set && is_answer)
    FAIL_AT(err, ERROR_INPUT, p->source, p->line, "group",
            "found group %d and no pattern but the answer; expected a pattern, to compare its group with the answer",
            (int)group->integer);
  enum pattern_result r = last_match(pattern, t, !group->set || is_full(c), &m);
  if (r == PATTERN_FAILED) out->status = VERDICT_FAILED;
  out->reason = r == PATTERN_FAILED ? "the search takes more steps than are allowed" : "the pattern does not match";
  if (r != PATTERN_FOUND) return 0;
  if (group->set) {
    TRY(judge_group(a, p, t, &m, group->integer, out, err));
  } else {
    size_t size = m.end[0] - m.start[0];
    out->readable = out->correct = true;
    out->extracted = arena_strndup(a, t.s + m.start[0], size <= VERDICT_TEXT ? size : VERDICT_TEXT + 1, "verdict", err);
    out->reason = is_full(c) ? "the whole response matches the pattern" : "the pattern matches";
    if (!out->extracted) return err->code;
  }
  out->reward = out->correct ? 1 : 0;
  return 0;
}

static const struct setting settings[] = {
    {"pattern", SETTING_TEXT, 0, 0, NULL, NULL, "the regular expression; without it the line's, or the answer"},
    {"match", SETTING_TEXT, 0, 0, "search", "search full", "somewhere in the response, or all of it"},
    {"group", SETTING_INT, 0, PATTERN_GROUPS - 1, NULL, NULL, "group that is to be the answer's text; 0: the match"},
    {"ignore_case", SETTING_BOOL, 0, 1, "false", NULL, "upper and lower case are one"},
    {"multiline", SETTING_BOOL, 0, 1, "false", NULL, "^ and $ also stand for the ends of lines"},
    {"dot_all", SETTING_BOOL, 0, 1, "false", NULL, ". also stands for a line feed"},
};

const struct verifier verifier_regex = {
    .name = "regex",
    .help = "the response matches a regular expression, or one of its groups is the answer",
    .fields = "answer | pattern?",
    .channels = "",
    .settings = settings,
    .setting_count = sizeof settings / sizeof *settings,
    .open = open,
    .judge = judge,
};
