#include "data/task_answer.h"
#include <stdio.h>
#include <string.h>
#include "core/json.h"

/* A part of the response: s[at..end). */
struct part {
  const char *s;
  size_t at, end;
};

static bool is_blank(char c)
{
  return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\v' || c == '\f';
}

static bool is_letter(char c)
{
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static char lower(char c)
{
  return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

static bool at_word(const struct part *p, size_t at, const char *word)
{
  for (; *word; word++, at++)
    if (at >= p->end || lower(p->s[at]) != *word) return false;
  return true;
}

/* Where the last `word` (lower case) of the part begins, or SIZE_MAX. */
static size_t find_last(const struct part *p, const char *word)
{
  size_t n = p->end - p->at, at = text_find_last(p->s + p->at, n, word, true);
  return at < n ? p->at + at : SIZE_MAX;
}

/* ---- stripping --------------------------------------------------------------------------------------------------- */

/* What may surround an answer; a pair counts only where both ends are there. */
static const struct {
  const char *open, *close;
} pairs[] = {
    {"$$", "$$"},
    {"$", "$"},
    {"**", "**"},
    {"*", "*"},
    {"\"", "\""},
    {"'", "'"},
    {"`", "`"},
    {"\xe2\x80\x9c", "\xe2\x80\x9d"},
    {"\\(", "\\)"},
    {"\\[", "\\]"},
    {"\xe2\x80\x98", "\xe2\x80\x99"},
};

static bool begins(const struct part *p, const char *with)
{
  size_t n = strlen(with);
  return p->end - p->at >= n && !memcmp(p->s + p->at, with, n);
}

static bool ends(const struct part *p, const char *with)
{
  size_t n = strlen(with);
  return p->end - p->at >= n && !memcmp(p->s + p->end - n, with, n);
}

/* "a" and "b" are two quoted words, not one. */
static bool holds(const struct part *p, const char *mark)
{
  size_t n = strlen(mark);
  for (size_t at = p->at; at + n <= p->end; at++)
    if (!memcmp(p->s + at, mark, n)) return true;
  return false;
}

static bool strip_pair(struct part *p)
{
  for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
    size_t open = strlen(pairs[i].open), close = strlen(pairs[i].close);
    if (p->end - p->at < open + close || !begins(p, pairs[i].open) || !ends(p, pairs[i].close)) continue;
    struct part inside = {p->s, p->at + open, p->end - close};
    if (holds(&inside, pairs[i].open) || holds(&inside, pairs[i].close)) continue;
    *p = inside;
    return true;
  }
  return false;
}

static bool strip_fence(struct part *p)
{
  if (p->end - p->at < 6 || !begins(p, "```") || !ends(p, "```")) return false;
  p->at += 3;
  p->end -= 3;
  size_t line = p->at;
  while (line < p->end && p->s[line] != '\n') line++;
  if (line < p->end) p->at = line; /* the language stands on the first line */
  return true;
}

/* Where the brace at s[open] closes, or end. A backslash takes the next character with it. */
static size_t closing_brace(const char *s, size_t open, size_t end)
{
  size_t depth = 0;
  for (size_t at = open; at < end; at++) {
    if (s[at] == '\\') {
      at++;
    } else if (s[at] == '{') {
      depth++;
    } else if (s[at] == '}' && --depth == 0) {
      return at;
    }
  }
  return end;
}

static bool strip_macro(struct part *p)
{
  static const char *const macros[] = {"\\text{", "\\mathrm{", "\\mathbf{", "\\textbf{"};
  if (!begins(p, "\\") || !ends(p, "}")) return false;
  for (size_t i = 0; i < sizeof macros / sizeof *macros; i++) {
    size_t n = strlen(macros[i]);
    if (!begins(p, macros[i]) || closing_brace(p->s, p->at + n - 1, p->end) != p->end - 1) continue;
    p->at += n;
    p->end--;
    return true;
  }
  return false;
}

/* Bold that was opened before the answer's mark ("**Answer:** 5", "**The answer is 5**") has only one end here. */
static bool strip_loose(struct part *p)
{
  bool front = begins(p, "** ") || begins(p, "**\n"), back = ends(p, "**");
  if (front) p->at += 2;
  if (back && p->end - p->at >= 2) p->end -= 2;
  return front || back;
}

static void strip(struct part *p)
{
  bool stop = false, stripped = true;
  for (int layer = 0; stripped && layer < 16; layer++) { /* each may read all of it */
    while (p->at < p->end && is_blank(p->s[p->at])) p->at++;
    while (p->at < p->end && is_blank(p->s[p->end - 1])) p->end--;
    stripped = strip_fence(p) || strip_pair(p) || strip_macro(p) || strip_loose(p);
    if (!stripped && !stop && p->end - p->at > 1 && p->s[p->end - 1] == '.') {
      p->end--;
      stripped = stop = true;
    }
  }
}

void answer_strip(const char *s, size_t *start, size_t *length)
{
  struct part p = {s, *start, *start + *length};
  strip(&p);
  *start = p.at;
  *length = p.end - p.at;
}

/* ---- rules ------------------------------------------------------------------------------------------------------- */

static bool take_tag(struct part *p, const char **rule, const char **why)
{
  size_t open = find_last(p, "<answer>");
  if (open == SIZE_MAX) return true;
  struct part inside = {p->s, open + strlen("<answer>"), p->end};
  for (size_t at = inside.at; at < p->end; at++) {
    if (p->s[at] != '<' || !at_word(&inside, at, "</answer>")) continue;
    *p = (struct part){p->s, inside.at, at};
    *rule = "<answer>";
    return true;
  }
  *why = "the last <answer> is not closed";
  return false;
}

static bool take_box(struct part *p, const char **rule, const char **why)
{
  size_t box = find_last(p, "\\boxed{");
  if (box == SIZE_MAX) return true;
  size_t open = box + strlen("\\boxed"), close = closing_brace(p->s, open, p->end);
  if (close == p->end) {
    *why = "the last \\boxed{ is not closed";
    return false;
  }
  *p = (struct part){p->s, open + 1, close};
  *rule = "\\boxed{}";
  return true;
}

/* The first line of the part with something on it. */
static void take_line(struct part *p)
{
  while (p->at < p->end && is_blank(p->s[p->at])) p->at++;
  size_t line = p->at;
  while (line < p->end && p->s[line] != '\n') line++;
  p->end = line;
}

/* Where what follows "answer" at `at` makes a mark of it, the place behind the mark; else SIZE_MAX. */
static size_t behind_mark(const struct part *p, size_t at)
{
  at += strlen("answer");
  while (at < p->end && (p->s[at] == ' ' || p->s[at] == '*')) at++;
  bool is = at_word(p, at, "is") && (at + 2 >= p->end || !is_letter(p->s[at + 2]));
  if (is) at += 2;
  while (is && at < p->end && p->s[at] == ' ') at++;
  if (at < p->end && (p->s[at] == ':' || p->s[at] == '=')) return at + 1;
  if (at_word(p, at, "\xef\xbc\x9a")) return at + 3;
  return is ? at : SIZE_MAX;
}

static bool take_mark(struct part *p)
{
  for (size_t at = p->end; at-- > p->at;) {
    if (lower(p->s[at]) != 'a' || !at_word(p, at, "answer")) continue;
    size_t behind = behind_mark(p, at);
    if (behind == SIZE_MAX) continue;
    p->at = behind;
    return true;
  }
  return false;
}

/* "5. I added both": up to the full stop. */
static void cut_sentence(struct part *p)
{
  for (size_t at = p->at; at + 2 < p->end; at++)
    if (p->s[at] == '.' && is_blank(p->s[at + 1]) && is_letter(p->s[at + 2])) {
      p->end = at;
      return;
    }
}

/* The last line with more than blanks and backticks (a fence's end) on it. */
static void take_last_line(struct part *p)
{
  while (p->at < p->end && (is_blank(p->s[p->end - 1]) || p->s[p->end - 1] == '`')) p->end--;
  size_t line = p->end;
  while (line > p->at && p->s[line - 1] != '\n') line--;
  while (p->end > line && p->s[p->end - 1] == '\n') p->end--;
  p->at = line;
}

static const char *take_loose(struct part *p, enum answer_mode mode)
{
  size_t hashes = find_last(p, "####");
  if (hashes != SIZE_MAX) {
    p->at = hashes + 4;
    if (mode == ANSWER_LINE) take_line(p);
    return "####";
  }
  if (take_mark(p)) {
    if (mode == ANSWER_LINE) take_line(p), cut_sentence(p);
    return "answer is";
  }
  if (mode == ANSWER_TEXT) return "whole text";
  take_last_line(p);
  return "last line";
}

static bool find(struct part *p, enum answer_mode mode, const char **rule, const char **why)
{
  size_t think = find_last(p, "<think>"), end = find_last(p, "</think>");
  if (think != SIZE_MAX && (end == SIZE_MAX || think > end)) {
    *why = "the reasoning never ended: <think> without </think>";
    return false;
  }
  if (end != SIZE_MAX) p->at = end + strlen("</think>");
  if (!take_tag(p, rule, why) || !take_box(p, rule, why)) return false;
  if (!*rule) *rule = take_loose(p, mode);
  strip(p);
  *why = "no answer was found";
  return p->at < p->end;
}

bool answer_find(const char *response, size_t n, enum answer_mode mode, struct answer_span *out, const char **why)
{
  struct part p = {response, 0, n};
  const char *rule = NULL, *reason = NULL;
  bool found = find(&p, mode, &rule, &reason);
  if (why) *why = found ? NULL : reason;
  if (found) *out = (struct answer_span){p.at, p.end - p.at, rule};
  return found;
}

/* ---- what checkers share ----------------------------------------------------------------------------------------- */

int answer_known(struct arena *a, const json_t *meta, const char *answer, const char **out, struct error *err)
{
  const json_t *kept = json_object_get(meta, "answer");
  if (answer) {
    *out = answer;
  } else if (json_is_string(kept)) {
    *out = json_string_value(kept);
  } else if (json_is_integer(kept)) {
    *out = arena_printf(a, "task", err, "%lld", (long long)json_integer_value(kept));
    if (!*out) return err->code;
  } else {
    FAIL_AT(err, ERROR_INPUT, NULL, 0, "answer", "found no answer, in the problem or in its meta; expected one");
  }
  return 0;
}

int answer_verdict(struct arena *a, struct task_verdict *out, const char *read, size_t n, bool correct, double partial,
                   struct error *err, const char *fmt, ...)
{
  char reason[512];
  va_list args;
  va_start(args, fmt);
  vsnprintf(reason, sizeof reason, fmt, args);
  va_end(args);
  *out = (struct task_verdict){.reward = correct ? 1 : partial, .correct = correct, .readable = read != NULL};
  out->extracted = read ? arena_strndup(a, read, n, "verdict", err) : NULL;
  out->reason = arena_strdup(a, reason, "verdict", err);
  return out->reason && (!read || out->extracted) ? 0 : err->code;
}
