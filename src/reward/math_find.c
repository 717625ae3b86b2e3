#include "reward/math_find.h"
#include <string.h>
#include "core/json.h"
#include "data/number.h"
#include "reward/verifier.h"

enum { WHOLE = 2000, LINE = 4000, WINDOW = 1 << 17 };

struct span {
  const char *s;
  size_t n;
};

static bool is_space(char c)
{
  return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_letter(char c)
{
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static char lower(char c)
{
  return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

static bool starts(struct span t, size_t at, const char *word)
{
  size_t n = strlen(word);
  if (t.n - at < n) return false;
  for (size_t i = 0; i < n; i++)
    if (lower(t.s[at + i]) != word[i]) return false;
  return true;
}

/* The last place of word (small letters, any case in t), or t.n. */
static size_t find_last(struct span t, const char *word)
{
  return text_find_last(t.s, t.n, word, true);
}

static bool wrapped(const char *s, size_t n, const char *open, const char *close)
{
  size_t a = strlen(open), b = strlen(close);
  if (n < a + b || memcmp(s, open, a) != 0 || memcmp(s + n - b, close, b) != 0) return false;
  for (size_t i = a; i + b < n; i++)
    if (s[i] == open[0] && !(i && s[i - 1] == '\\') && n - i > a && !memcmp(s + i, open, a)) return false;
  return s[n - b - 1] != '\\' || a + b == n;
}

static bool unwrap(const char **s, size_t *n)
{
  static const char *const pairs[][2] = {{"$$", "$$"}, {"$", "$"},   {"\\(", "\\)"}, {"\\[", "\\]"}, {"**", "**"},
                                         {"`", "`"},   {"\"", "\""}, {"<", ">"},     {"*", "*"},     {"__", "__"}};
  for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
    size_t size = strlen(pairs[i][0]);
    if (pairs[i][0][0] == '<' || !wrapped(*s, *n, pairs[i][0], pairs[i][1]) || *n == 2 * size) continue;
    *s += size;
    *n -= 2 * size;
    return true;
  }
  return false;
}

static void trim(const char **s, size_t *n)
{
  while (*n && is_space(**s)) (*s)++, (*n)--;
  while (*n && is_space((*s)[*n - 1])) (*n)--;
}

/* The last character is a full stop or the like, and not the end of 0.333..., p.m. or a command. */
static bool ends_sentence(const char *s, size_t n)
{
  char c = n ? s[n - 1] : 0, before = n > 1 ? s[n - 2] : ' ';
  if (!c || !strchr(".,;:", c) || before == '\\') return false;
  return !(c == '.' && before == '.') && !(n > 3 && s[n - 3] == '.' && before == 'm');
}

void math_strip(const char **s, size_t *n)
{
  for (;;) {
    trim(s, n);
    size_t before = *n;
    while (ends_sentence(*s, *n)) --*n;
    if (*n > 3 && !memcmp(*s + *n - 3, "\xe3\x80\x82", 3)) *n -= 3;
    if (*n > 2 && !memcmp(*s, "**", 2) && (*s)[2] == ' ') *s += 2, *n -= 2;
    trim(s, n);
    if (!unwrap(s, n) && *n == before) return;
  }
}

static void offer(struct math_found *out, struct span t, const char *rule)
{
  math_strip(&t.s, &t.n);
  if (!t.n || out->count == MATH_CANDIDATES) return;
  out->candidate[out->count].text = t.s;
  out->candidate[out->count].length = t.n;
  out->candidate[out->count++].rule = rule;
}

/* ---- boxes ------------------------------------------------------------------------------------------------------- */

/* The end of the group that t.s[open] opens, or t.n. */
static size_t closing(struct span t, size_t open)
{
  int depth = 0;
  for (size_t i = open; i < t.n; i++) {
    if (t.s[i] == '\\') {
      i++;
      continue;
    }
    if (t.s[i] == '{') depth++;
    if (t.s[i] == '}' && --depth == 0) return i;
  }
  return t.n;
}

/* The last box that begins in front of `limit`: where it begins. t.n: none. */
static size_t last_box(struct span t, size_t limit, size_t *open)
{
  static const char *const names[] = {"\\boxed", "\\fbox", "\\framebox"};
  for (size_t i = limit; i-- > 0;) {
    if (t.s[i] != '\\') continue;
    for (size_t k = 0; k < 3; k++) {
      if (!starts(t, i, names[k])) continue;
      size_t at = i + strlen(names[k]);
      while (at < t.n && t.s[at] == ' ') at++;
      if (at < t.n && is_letter(t.s[at]) && at == i + strlen(names[k])) continue;
      *open = at;
      return i;
    }
  }
  return t.n;
}

/* The length of word at s[i], 0 where another stands there. */
static size_t word_at(const char *s, size_t n, size_t i, const char *word)
{
  size_t size = strlen(word);
  return n - i >= size && !memcmp(s + i, word, size) ? size : 0;
}

/* Only "or", "and", a comma and the signs of formulas between two boxes: how they are joined. NULL: they are not. */
static const char *joint(const char *s, size_t n)
{
  static const char *const words[] = {"or", "and", "text", "quad"}, *const joints[] = {" or ", " and ", NULL, NULL};
  const char *word = NULL;
  for (size_t i = 0, step; i < n; i += step) {
    step = 0;
    for (size_t k = 0; k < 4 && !step; k++) {
      step = word_at(s, n, i, words[k]);
      if (step && joints[k]) word = joints[k];
    }
    if (step) continue;
    if (!s[i] || !strchr(" $\n\t{}()[]\\,;", s[i])) return NULL;
    if (s[i] == ',' && !word && !(i && s[i - 1] == '\\')) word = ",";
    step = 1;
  }
  return word;
}

/* The boxes in front that are joined with the one that begins at `start`. */
static int join_boxes(struct math *m, struct span t, size_t start, struct span *inside)
{
  for (int count = 0; count < 16; count++) {
    size_t open, before = last_box(t, start, &open);
    if (before == t.n || t.s[open] != '{') return 0;
    size_t end = closing(t, open);
    const char *word = end < start ? joint(t.s + end + 1, start - end - 1) : NULL;
    if (!word) return 0;
    char *both =
        arena_printf(m->arena, "math", m->err, "%.*s%s%.*s", (int)(end - open - 1 < LINE ? end - open - 1 : LINE),
                     t.s + open + 1, word, (int)(inside->n < LINE ? inside->n : LINE), inside->s);
    if (!both) return m->rc = ERROR_RESOURCE;
    *inside = (struct span){both, strlen(both)};
    start = before;
  }
  return 0;
}

/* "not \boxed{18}" */
static bool is_denied(struct span t, size_t at)
{
  while (at && (is_space(t.s[at - 1]) || t.s[at - 1] == '$' || t.s[at - 1] == '*')) at--;
  return at >= 3 && starts(t, at - 3, "not") && (at == 3 || !is_letter(t.s[at - 4]));
}

static int find_box(struct math *m, struct span t, struct math_found *out, bool *found)
{
  size_t open, start = last_box(t, t.n, &open);
  *found = start < t.n;
  if (!*found) return 0;
  struct span inside = {t.s + open, 0};
  if (open < t.n && t.s[open] == '{') {
    size_t end = closing(t, open);
    if (end == t.n) {
      out->why = "the last \\boxed is not closed";
      return 0;
    }
    inside = (struct span){t.s + open + 1, end - open - 1};
  } else {
    while (open + inside.n < t.n && !is_space(inside.s[inside.n]) && !strchr("$\\.,", inside.s[inside.n])) inside.n++;
  }
  if (is_denied(t, start)) {
    out->why = "the text says what the answer is not";
    return 0;
  }
  TRY(join_boxes(m, t, start, &inside));
  offer(out, inside, "boxed");
  if (!out->count) out->why = "the last \\boxed is empty";
  return 0;
}

/* ---- marks ------------------------------------------------------------------------------------------------------- */

static size_t line_end(struct span t, size_t at)
{
  while (at < t.n && t.s[at] != '\n') at++;
  return at;
}

static bool find_hashes(struct span t, struct math_found *out)
{
  size_t at = find_last(t, "####");
  if (at == t.n) return false;
  at += 4;
  while (at < t.n && is_space(t.s[at])) at++;
  offer(out, (struct span){t.s + at, line_end(t, at) - at}, "####");
  if (!out->count) out->why = "nothing stands behind the last ####";
  return true;
}

static bool find_tag(struct span t, struct math_found *out)
{
  size_t at = find_last(t, "<answer>");
  if (at == t.n) return false;
  struct span rest = {t.s + at + 8, t.n - at - 8};
  size_t end = 0;
  while (end < rest.n && !starts(rest, end, "</answer>")) end++;
  if (end == rest.n) {
    out->why = "the last <answer> is not closed";
    return true;
  }
  offer(out, (struct span){rest.s, end}, "answer tag");
  if (!out->count) out->why = "the last <answer> is empty";
  return true;
}

/* The end of the sentence: a full stop in front of white space or the end, or the end of the line. */
static size_t sentence_end(struct span t, size_t at)
{
  for (size_t i = at; i < t.n; i++) {
    if (t.s[i] == '\n') return i;
    if ((t.s[i] == '.' || t.s[i] == '?' || t.s[i] == ';') && (i + 1 == t.n || is_space(t.s[i + 1]))) {
      bool short_form = i >= 3 && t.s[i - 1] == 'm' && t.s[i - 2] == '.';
      if (!short_form) return i;
    }
  }
  return t.n;
}

/* "is ", "be ", "are " at t.s[i], or "is" in front of a formula, colon or line end: how much that is. 0: none. */
static size_t verb(struct span t, size_t i)
{
  if (!i || !is_space(t.s[i - 1])) return 0;
  if (starts(t, i, "is ") || starts(t, i, "be ")) return 3;
  if (starts(t, i, "are ")) return 4;
  return starts(t, i, "is") && i + 2 < t.n && strchr("\n\t$\\:", t.s[i + 2]) ? 2 + (t.s[i + 2] == ':') : 0;
}

/* Behind "answer": the place behind " is ", ":", "=" within the line; 0: none. */
static size_t behind_mark(struct span t, size_t at)
{
  size_t end = line_end((struct span){t.s, t.n < at + 80 ? t.n : at + 80}, at), size;
  for (size_t i = at; i < end; i++) {
    if (t.s[i] == ':' || t.s[i] == '=') return i + 1;
    if (starts(t, i, "\xef\xbc\x9a")) return i + 3;
    if (t.s[i] == '.' || t.s[i] == '$' || t.s[i] == '\\') return 0;
    if (i > at && (size = verb(t, i)) > 0) return i + size;
  }
  return 0;
}

/* What closes the formula that t.s[at] opens; NULL: none begins here. */
static const char *formula_close(struct span t, size_t at)
{
  if (starts(t, at, "$$")) return "$$";
  if (starts(t, at, "\\(")) return "\\)";
  if (starts(t, at, "\\[")) return "\\]";
  if (t.s[at] != '$' || at + 1 == t.n || is_space(t.s[at + 1])) return NULL;
  return at && t.s[at - 1] == '\\' ? NULL : "$";
}

/* "$18 and $20": money, no formula. */
static bool is_money(struct span t, size_t close)
{
  return is_space(t.s[close - 1]) || (close + 1 < t.n && t.s[close + 1] >= '0' && t.s[close + 1] <= '9');
}

/* The formula that begins at t.s[at], with its signs; 0: none. */
static size_t formula_length(struct span t, size_t at)
{
  const char *close = formula_close(t, at);
  size_t size = close ? strlen(close) : 0;
  bool dollar = close && close[0] == '$';
  for (size_t i = at + size; close && i < t.n && i < at + WHOLE; i++) {
    if (size == 1 && t.s[i] == '\n') return 0;
    if (starts(t, i, close)) return size == 1 && is_money(t, i) ? 0 : i + size - at;
    i += dollar && t.s[i] == '\\';
  }
  return 0;
}

/* A formula and those joined to it: "$1$ and $2$". */
static size_t joined_formulas(struct span t, size_t at)
{
  size_t n = formula_length(t, at);
  for (;;) {
    size_t next = at + n;
    while (next < t.n && next < at + n + 8 && t.s[next] != '$' && t.s[next] != '\\') next++;
    size_t more = n && next < t.n && next > at + n ? formula_length(t, next) : 0;
    if (!more || !joint(t.s + at + n, next - at - n)) return n;
    n = next + more - at;
  }
}

static bool may_precede(char c)
{
  return c && (is_space(c) || strchr("$*:=(\">~", c));
}

/* Behind a number at t.s[at]: a unit of two letters and more, a sign that ends it, \\% or \\). */
static bool may_follow(struct span t, size_t at)
{
  char c = at < t.n ? t.s[at] : ' ', next = at + 1 < t.n ? t.s[at + 1] : ' ';
  if (is_letter(c)) return is_letter(next);
  if (c == '\\') return next && strchr(" %)]", next);
  return c && (is_space(c) || strchr(".,;:)!?%*\"'$<-", c));
}

static void offer_number(struct span t, size_t from, size_t end, struct math_found *out, const char *rule)
{
  struct number_found found;
  const char *why;
  if (end - from > LINE) from = end - LINE;
  if (!number_extract(t.s + from, end - from, &found, &why)) {
    if (!out->count) out->why = why;
    return;
  }
  struct span rest = {t.s, end};
  size_t behind = from + found.start + found.length;
  if (starts(rest, behind, " is wrong") || starts(rest, behind, " is not") || starts(rest, behind, " is incorrect")) {
    if (!out->count) out->why = "the text says what the answer is not";
    return;
  }
  /* Not a part of something larger: 12 of 12x, 3 of the root of 3, an entry of a matrix. */
  size_t at = from + found.start;
  if (!may_precede(at ? t.s[at - 1] : ' ') || !may_follow((struct span){t.s, end}, at + found.length)) return;
  offer(out, (struct span){t.s + at, found.length}, rule);
}

/* "18, since ...", "18 (see above)" */
static void offer_until_comma(struct span t, size_t from, size_t end, struct math_found *out, const char *rule)
{
  for (size_t i = from + 1; i + 2 < end; i++) {
    bool comma = t.s[i] == ',' && t.s[i + 1] == ' ' && is_letter(t.s[i + 2]);
    bool bracket = t.s[i] == '(' && t.s[i - 1] == ' ';
    if (!comma && !bracket) continue;
    offer(out, (struct span){t.s + from, i - from}, rule);
    return;
  }
}

static bool find_marked(struct span t, struct math_found *out)
{
  static const char *const rule = "answer is";
  for (size_t limit = t.n, at; (at = find_last((struct span){t.s, limit}, "answer")) < limit; limit = at) {
    size_t from = behind_mark(t, at + 6);
    if (!from) continue;
    while (from < t.n && (is_space(t.s[from]) || t.s[from] == '*' || t.s[from] == ':')) from++;
    size_t end = sentence_end(t, from), formula = from < t.n ? joined_formulas(t, from) : 0;
    if (formula) offer(out, (struct span){t.s + from, formula}, rule);
    offer(out, (struct span){t.s + from, end - from}, rule);
    offer_until_comma(t, from, end, out, rule);
    offer_number(t, at, end, out, rule);
    if (out->count) return true;
  }
  return false;
}

/* ---- no mark ----------------------------------------------------------------------------------------------------- */

/* A word of two letters and more that is no command. */
static bool has_words(struct span t)
{
  for (size_t i = 0; i + 1 < t.n; i++) {
    if (t.s[i] == '\\') {
      while (i + 1 < t.n && is_letter(t.s[i + 1])) i++;
    } else if (is_letter(t.s[i]) && is_letter(t.s[i + 1])) {
      return true;
    }
  }
  return false;
}

/* The last formula of [from, end), with those that are joined to it ("$1$ or $2$"): its start, or end. */
static size_t last_formula(struct span t, size_t from, size_t end, size_t *length)
{
  size_t found = end, behind = from;
  struct span cut = {t.s, end};
  for (size_t i = from; i < end;) {
    size_t n = (t.s[i] == '$' || t.s[i] == '\\') ? formula_length(cut, i) : 0;
    if (n) {
      bool joined = found < end && i > behind && i - behind < 40 && joint(t.s + behind, i - behind);
      if (!joined) found = i;
      behind = i + n;
      *length = behind - found;
    }
    i += n ? n : 1;
  }
  return found;
}

static bool has_digit(const char *s, size_t n)
{
  for (size_t i = 0; i < n; i++)
    if (s[i] >= '0' && s[i] <= '9') return true;
  return false;
}

/* Behind the last " is ", " are ", " = ", ": " of the last sentence. */
static void offer_tail(struct span t, size_t from, size_t end, struct math_found *out)
{
  static const char *const words[] = {" is ", " are ", " = ", ": ", " equals ", " be "};
  size_t best = 0;
  struct span line = {t.s + from, end - from};
  for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
    size_t at = find_last(line, words[i]);
    if (at < line.n && at + strlen(words[i]) > best) best = at + strlen(words[i]);
  }
  if (best) offer(out, (struct span){line.s + best, line.n - best}, "last line");
}

/* The line [from, end), which has a formula (at `formula`, of this length) or a digit. */
static void offer_line(struct span t, size_t from, size_t end, size_t formula, size_t length, struct math_found *out)
{
  bool later = formula < end && has_digit(t.s + formula + length, end - formula - length);
  size_t stop = end, sentence = from;
  while (stop > from && (is_space(t.s[stop - 1]) || t.s[stop - 1] == '.')) stop--;
  for (size_t i; (i = sentence_end((struct span){t.s, stop}, sentence)) < stop;) sentence = i + 1;
  if (formula == end) offer_tail(t, sentence, stop, out);
  if (formula < end && !later) offer(out, (struct span){t.s + formula, length}, "last formula");
  offer_number(t, later ? formula + length : from, end, out, "last number");
}

static void find_last_line(struct span t, struct math_found *out)
{
  for (size_t end = t.n; end > 0;) {
    size_t from = end, length = 0;
    while (from && t.s[from - 1] != '\n') from--;
    size_t before = from ? from - 1 : 0;
    if (end - from > LINE) from = end - LINE;
    size_t formula = last_formula(t, from, end, &length);
    if (formula < end || has_digit(t.s + from, end - from)) {
      offer_line(t, from, end, formula, length, out);
      return;
    }
    end = before;
  }
}

static void find_unmarked(struct span t, struct math_found *out)
{
  const char *s = t.s;
  size_t n = t.n, length = 0, at = last_formula(t, 0, t.n < LINE ? t.n : 0, &length);
  math_strip(&s, &n);
  /* \[ ... \] alone on its lines */
  bool words = has_words((struct span){s, n}), sentence = at < t.n && length && words;
  if ((n <= WHOLE || !words) && !sentence) offer(out, t, "whole text");
  if (words || (at < t.n && length)) {
    find_last_line(t, out);
    if (!has_digit(s, n)) offer_tail(t, 0, t.n, out);
  }
}

int math_find(struct math *m, const char *s, size_t n, enum math_policy policy, struct math_found *out)
{
  struct span t = {s, n};
  bool boxed;
  *out = (struct math_found){.why = "no answer was found"};
  if (!verdict_skip_thinking(&t.s, &t.n)) {
    out->why = "the reasoning never ended: <think> without </think>";
    return 0;
  }
  if (policy == MATH_POLICY_WHOLE) {
    offer(out, t, "whole text");
    return 0;
  }
  if (t.n > WINDOW) {
    t.s += t.n - WINDOW;
    t.n = WINDOW;
  }
  TRY(find_box(m, t, out, &boxed));
  if (boxed) return 0;
  if (policy == MATH_POLICY_BOXED) {
    out->why = "there is no \\boxed{}";
    return 0;
  }
  if (find_hashes(t, out) || find_tag(t, out) || find_marked(t, out) || policy == MATH_POLICY_MARKED) return 0;
  find_unmarked(t, out);
  return 0;
}
