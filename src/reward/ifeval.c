/* The 25 constraints, one function each, in the order of the paper's table. */
#include "reward/ifeval.h"
#include <string.h>
#include <utf8proc.h>
#include "core/yaml.h"
#include "reward/language.h"
#include "text/unicode.h"

/* ---- arguments --------------------------------------------------------------------------------------------------- */

static int need_text(const struct constraint *c, const char *key, const char **out, struct error *err)
{
  const json_t *v = json_object_get(c->arguments, key);
  if (!json_is_string(v))
    FAIL_AT(err, ERROR_INPUT, NULL, 0, key, "found no text \"%s\" in kwargs of %s; expected one", key, c->id);
  *out = json_string_value(v);
  return 0;
}

static int need_int(const struct constraint *c, const char *key, int64_t *out, struct error *err)
{
  const json_t *v = json_object_get(c->arguments, key);
  bool whole = json_is_integer(v) || (json_is_real(v) && json_real_value(v) > -1e15 && json_real_value(v) < 1e15);
  if (!whole)
    FAIL_AT(err, ERROR_INPUT, NULL, 0, key, "found no number \"%s\" in kwargs of %s; expected one", key, c->id);
  *out = json_is_integer(v) ? json_integer_value(v) : (int64_t)json_real_value(v);
  return 0;
}

/* "at least" or "less than". */
static int compare(struct constraint *c, const char *relation_key, int64_t found, int64_t wanted, const char *what,
                   bool *holds, struct error *err)
{
  const char *relation;
  TRY(need_text(c, relation_key, &relation, err));
  bool least = !strcmp(relation, "at least");
  if (!least && strcmp(relation, "less than") != 0)
    FAIL_AT(err, ERROR_INPUT, NULL, 0, relation_key, "found %s: \"%s\"; expected \"at least\" or \"less than\"",
            relation_key, relation);
  *holds = least ? found >= wanted : found < wanted;
  if (!*holds)
    c->reason = arena_printf(c->arena, "ifeval", err, "expected %s %lld %s, found %lld", relation, (long long)wanted,
                             what, (long long)found);
  return *holds || c->reason ? 0 : err->code;
}

static int64_t count(const struct constraint *c, enum ifeval_pattern p, struct span t)
{
  int64_t n = pattern_count(c->patterns->at[p], t.s, t.n);
  return n < 0 ? 0 : n;
}

/* A pattern of the problem's own. */
static int search_own(const struct constraint *c, const char *pattern, uint32_t flags, struct span t, int64_t *found,
                      struct error *err)
{
  struct pattern *p;
  TRY(pattern_compile(c->arena, pattern, strlen(pattern), flags, &p, err));
  int64_t n = pattern_count(p, t.s, t.n);
  *found = n < 0 ? 0 : n;
  return 0;
}

static bool is_blank(struct span t)
{
  return span_strip(t).n == 0;
}

/* The text in lower case, in the arena. */
static int lower(const struct constraint *c, struct span t, struct span *out, struct error *err)
{
  size_t n = 0;
  char *s = ARENA_NEW(c->arena, char, 2 * t.n + 1, "ifeval", err);  // a letter grows by at most one byte
  if (!s) return err->code;
  for (size_t i = 0, step; i < t.n; i += step) {
    uint32_t ch = letter_lower(unicode_at(t.s, t.n, i, &step));
    if (ch < 0x80)
      s[n++] = (char)ch;
    else
      n += (size_t)utf8proc_encode_char((utf8proc_int32_t)ch, (utf8proc_uint8_t *)s + n);
  }
  *out = (struct span){s, n};
  return 0;
}

/* The pieces between the places where a separator stands: the next one. False: there is none. */
struct cutter {
  struct span rest;
  const struct pattern *pattern; /* or */
  const char *separator;
  bool ended;
};

static bool next_piece(struct cutter *k, struct span *out)
{
  struct pattern_match m;
  size_t at = SIZE_MAX, length = 0, n = k->separator ? strlen(k->separator) : 0;
  if (k->ended) return false;
  if (k->pattern && pattern_search(k->pattern, k->rest.s, k->rest.n, 0, &m) == PATTERN_FOUND) {
    at = m.start[0];
    length = m.end[0] - m.start[0];
  }
  for (size_t i = 0; k->separator && at == SIZE_MAX && i + n <= k->rest.n; i++)
    if (!memcmp(k->rest.s + i, k->separator, n)) {
      at = i;
      length = n;
    }
  k->ended = at == SIZE_MAX;
  *out = (struct span){k->rest.s, k->ended ? k->rest.n : at};
  if (!k->ended) k->rest = (struct span){k->rest.s + at + length, k->rest.n - at - length};
  return true;
}

/* ---- keywords ---------------------------------------------------------------------------------------------------- */

static int existence(struct constraint *c, struct span t, bool *holds, struct error *err)
{
  const json_t *list = json_object_get(c->arguments, "keywords"), *word;
  size_t i;
  if (!json_is_array(list))
    FAIL_AT(err, ERROR_INPUT, NULL, 0, "keywords", "found no list \"keywords\" in kwargs of %s; expected one", c->id);
  *holds = true;
  json_array_foreach(list, i, word)
  {
    int64_t found;
    if (!json_is_string(word)) FAIL(err, ERROR_INPUT, "found a keyword that is no text; expected texts");
    TRY(search_own(c, json_string_value(word), PATTERN_IGNORE_CASE, t, &found, err));
    if (found) continue;
    *holds = false;
    c->reason = arena_printf(c->arena, "ifeval", err, "the keyword \"%s\" is missing", json_string_value(word));
    return c->reason ? 0 : err->code;
  }
  return 0;
}

static int frequency(struct constraint *c, struct span t, bool *holds, struct error *err)
{
  const char *keyword, *what;
  int64_t wanted, found;
  TRY(need_text(c, "keyword", &keyword, err));
  TRY(need_int(c, "frequency", &wanted, err));
  TRY(search_own(c, keyword, PATTERN_IGNORE_CASE, t, &found, err));
  what = arena_printf(c->arena, "ifeval", err, "times \"%s\"", keyword);
  return what ? compare(c, "relation", found, wanted, what, holds, err) : err->code;
}

static int forbidden(struct constraint *c, struct span t, bool *holds, struct error *err)
{
  const json_t *list = json_object_get(c->arguments, "forbidden_words"), *word;
  size_t i;
  if (!json_is_array(list))
    FAIL_AT(err, ERROR_INPUT, NULL, 0, "forbidden_words", "found no list \"forbidden_words\" in kwargs of %s", c->id);
  *holds = true;
  json_array_foreach(list, i, word)
  {
    int64_t found;
    const char *text = json_string_value(word), *pattern;
    if (!text) FAIL(err, ERROR_INPUT, "found a forbidden word that is no text; expected texts");
    pattern = arena_printf(c->arena, "ifeval", err, "\\b%s\\b", text);
    if (!pattern) return err->code;
    TRY(search_own(c, pattern, PATTERN_IGNORE_CASE, t, &found, err));
    if (!found) continue;
    *holds = false;
    c->reason = arena_printf(c->arena, "ifeval", err, "the forbidden word \"%s\" stands in it", text);
    return c->reason ? 0 : err->code;
  }
  return 0;
}

static int letter_frequency(struct constraint *c, struct span t, bool *holds, struct error *err)
{
  const char *letter, *what;
  int64_t wanted, found = 0;
  TRY(need_text(c, "letter", &letter, err));
  TRY(need_int(c, "let_frequency", &wanted, err));
  size_t step = 0;
  struct span l = span_strip((struct span){letter, strlen(letter)});
  uint32_t ch = l.n ? letter_lower(unicode_at(l.s, l.n, 0, &step)) : 0;
  if (!l.n || step != l.n)
    FAIL_AT(err, ERROR_INPUT, NULL, 0, "letter", "found letter: \"%s\"; expected one character", letter);
  for (size_t i = 0; i < t.n; i += step) found += letter_lower(unicode_at(t.s, t.n, i, &step)) == ch;
  what = arena_printf(c->arena, "ifeval", err, "times the letter \"%s\"", letter);
  return what ? compare(c, "let_relation", found, wanted, what, holds, err) : err->code;
}

/* ---- language, length -------------------------------------------------------------------------------------------- */

static int response_language(struct constraint *c, struct span t, bool *holds, struct error *err)
{
  const char *wanted, *found = language_detect(t.s, t.n);
  TRY(need_text(c, "language", &wanted, err));
  *holds = !found || !strcmp(found, wanted);  // a text without letters passes, as with the official detector
  if (!*holds) c->reason = arena_printf(c->arena, "ifeval", err, "expected the language %s, found %s", wanted, found);
  return *holds || c->reason ? 0 : err->code;
}

static int number_sentences(struct constraint *c, struct span t, bool *holds, struct error *err)
{
  int64_t wanted;
  TRY(need_int(c, "num_sentences", &wanted, err));
  return compare(c, "relation", ifeval_sentences(t), wanted, "sentences", holds, err);
}

static int number_words(struct constraint *c, struct span t, bool *holds, struct error *err)
{
  int64_t wanted;
  TRY(need_int(c, "num_words", &wanted, err));
  return compare(c, "relation", count(c, IFEVAL_WORD, t), wanted, "words", holds, err);
}

static int exactly(struct constraint *c, int64_t found, int64_t wanted, const char *what, bool *holds,
                   struct error *err)
{
  *holds = found == wanted;
  if (!*holds)
    c->reason = arena_printf(c->arena, "ifeval", err, "expected %lld %s, found %lld", (long long)wanted, what,
                             (long long)found);
  return *holds || c->reason ? 0 : err->code;
}

static int at_least(struct constraint *c, int64_t found, int64_t wanted, const char *what, bool *holds,
                    struct error *err)
{
  *holds = found >= wanted;
  if (!*holds)
    c->reason = arena_printf(c->arena, "ifeval", err, "expected at least %lld %s, found %lld", (long long)wanted, what,
                             (long long)found);
  return *holds || c->reason ? 0 : err->code;
}

static int fail_with(struct constraint *c, bool *holds, const char *reason)
{
  *holds = false;
  c->reason = reason;
  return 0;
}

/* Pieces that hold something; *inner: a blank one stands between others. */
static int64_t count_pieces(struct cutter k, bool *inner)
{
  int64_t n = 0, index = 0;
  *inner = false;
  for (struct span piece; next_piece(&k, &piece); index++) {
    if (!is_blank(piece))
      n++;
    else if (index && !k.ended)
      *inner = true;
  }
  return n;
}

static int number_paragraphs(struct constraint *c, struct span t, bool *holds, struct error *err)
{
  int64_t wanted;
  bool inner;
  TRY(need_int(c, "num_paragraphs", &wanted, err));
  int64_t found = count_pieces((struct cutter){.rest = t, .pattern = c->patterns->at[IFEVAL_RULE]}, &inner);
  if (inner) return fail_with(c, holds, "a paragraph between two *** is empty");
  return exactly(c, found, wanted, "paragraphs between ***", holds, err);
}

/* The first word of a paragraph: lower case, without quotes in front, cut at punctuation. */
static int first_word(const struct constraint *c, struct span p, struct span *out, struct error *err)
{
  size_t end = 0, step;
  p = span_strip(p);
  while (end < p.n && !unicode_is_space(unicode_at(p.s, p.n, end, &step))) end += step;
  p.n = end;
  while (p.n && p.s[0] == '\'') p.s++, p.n--;
  while (p.n && p.s[0] == '"') p.s++, p.n--;
  for (end = 0; end < p.n && !strchr(".,?!'\"", p.s[end]);) end++;
  p.n = end;
  return lower(c, p, out, err);
}

static int nth_paragraph(struct constraint *c, struct span t, bool *holds, struct error *err)
{
  int64_t wanted, nth, index = 0, found = 0;
  const char *text;
  struct span paragraph = {"", 0}, word, want;
  TRY(need_int(c, "num_paragraphs", &wanted, err));
  TRY(need_int(c, "nth_paragraph", &nth, err));
  TRY(need_text(c, "first_word", &text, err));
  struct cutter k = {.rest = t, .separator = "\n\n"};
  for (struct span piece; next_piece(&k, &piece);) {
    found += !is_blank(piece);
    if (++index == nth) paragraph = piece;
  }
  if (nth > found || is_blank(paragraph)) return fail_with(c, holds, "the paragraph that it is about is not there");
  TRY(first_word(c, paragraph, &word, err));
  TRY(lower(c, (struct span){text, strlen(text)}, &want, err));
  if (word.n != want.n || memcmp(word.s, want.s, word.n) != 0) {
    c->reason = arena_printf(c->arena, "ifeval", err, "paragraph %lld begins with \"%.*s\", expected \"%s\"",
                             (long long)nth, word.n < 40 ? (int)word.n : 40, word.s, text);
    *holds = false;
    return c->reason ? 0 : err->code;
  }
  return exactly(c, found, wanted, "paragraphs", holds, err);
}

/* ---- content and format ------------------------------------------------------------------------------------------ */

static int placeholders(struct constraint *c, struct span t, bool *holds, struct error *err)
{
  int64_t wanted;
  TRY(need_int(c, "num_placeholders", &wanted, err));
  return at_least(c, count(c, IFEVAL_BRACKETS, t), wanted, "placeholders in [brackets]", holds, err);
}

static int postscript(struct constraint *c, struct span t, bool *holds, struct error *err)
{
  const char *marker;
  struct span text, low;
  int64_t found;
  TRY(need_text(c, "postscript_marker", &marker, err));
  TRY(lower(c, t, &text, err));
  if (!strcmp(marker, "P.P.S")) {
    found = count(c, IFEVAL_PPS, text);
  } else if (!strcmp(marker, "P.S.")) {
    found = count(c, IFEVAL_PS, text);
  } else {
    TRY(lower(c, (struct span){marker, strlen(marker)}, &low, err));
    const char *pattern = arena_printf(c->arena, "ifeval", err, "\\s*%.*s.*$", (int)low.n, low.s);
    if (!pattern) return err->code;
    TRY(search_own(c, pattern, PATTERN_MULTILINE, text, &found, err));
  }
  return at_least(c, found, 1, "postscript", holds, err);
}

static int bullets(struct constraint *c, struct span t, bool *holds, struct error *err)
{
  int64_t wanted;
  TRY(need_int(c, "num_bullets", &wanted, err));
  return exactly(c, count(c, IFEVAL_STARS, t) + count(c, IFEVAL_DASHES, t), wanted, "bullet points", holds, err);
}

static int constrained(struct constraint *c, struct span t, bool *holds, struct error *err)
{
  (void)err;
  static const char *const answers[] = {"My answer is yes.", "My answer is no.", "My answer is maybe."};
  struct cutter k;
  struct span piece;
  for (size_t i = 0; i < 3; i++) {
    k = (struct cutter){.rest = t, .separator = answers[i]};
    if (next_piece(&k, &piece) && !k.ended) return (*holds = true), 0;
  }
  return fail_with(c, holds, "none of the three answers that were allowed stands in it");
}

/* Matches that hold something beside the marks at their ends. */
static int64_t count_marked(const struct constraint *c, enum ifeval_pattern p, struct span t, const char *open,
                            const char *close, size_t most)
{
  struct pattern_match m;
  int64_t n = 0;
  for (size_t at = 0; pattern_search(c->patterns->at[p], t.s, t.n, at, &m) == PATTERN_FOUND; at = m.end[0]) {
    struct span inside = {t.s + m.start[0], m.end[0] - m.start[0]};
    for (size_t k = 0; k < most && inside.n && *open == inside.s[0]; k++) inside.s++, inside.n--;
    for (size_t k = 0; k < most && inside.n && *close == inside.s[inside.n - 1]; k++) inside.n--;
    n += !is_blank(inside);
  }
  return n;
}

static int highlights(struct constraint *c, struct span t, bool *holds, struct error *err)
{
  int64_t wanted;
  TRY(need_int(c, "num_highlights", &wanted, err));
  int64_t found = count_marked(c, IFEVAL_HIGHLIGHT, t, "*", "*", SIZE_MAX) +
                  count_marked(c, IFEVAL_DOUBLE_HIGHLIGHT, t, "*", "*", 2);
  return at_least(c, found, wanted, "highlighted sections", holds, err);
}

static int sections(struct constraint *c, struct span t, bool *holds, struct error *err)
{
  const char *mark, *pattern;
  int64_t wanted, found;
  TRY(need_text(c, "section_spliter", &mark, err));
  TRY(need_int(c, "num_sections", &wanted, err));
  pattern = arena_printf(c->arena, "ifeval", err, "\\s?%s\\s?\\d+\\s?", mark);
  if (!pattern) return err->code;
  TRY(search_own(c, pattern, 0, t, &found, err));
  return at_least(c, found, wanted, "numbered sections", holds, err);
}

static int title(struct constraint *c, struct span t, bool *holds, struct error *err)
{
  return at_least(c, count_marked(c, IFEVAL_TITLE, t, "<", ">", SIZE_MAX), 1, "title in <<double angular brackets>>",
                  holds, err);
}

/* JSON as Python's json reads it: NaN, Infinity and -Infinity are numbers; a name may stand twice. */
struct json_reader {
  struct span t;
  int depth;
};

static void skip_space(struct json_reader *r)
{
  while (r->t.n && strchr(" \t\n\r", r->t.s[0]) && r->t.s[0]) r->t.s++, r->t.n--;
}

static bool take(struct json_reader *r, const char *word)
{
  size_t n = strlen(word);
  if (r->t.n < n || memcmp(r->t.s, word, n) != 0) return false;
  r->t.s += n;
  r->t.n -= n;
  return true;
}

static bool take_string(struct json_reader *r)
{
  if (!take(r, "\"")) return false;
  while (r->t.n && r->t.s[0] != '"') {
    unsigned char ch = (unsigned char)r->t.s[0];
    size_t step = 1;
    if (ch < 0x20) return false;
    if (ch == '\\') {
      if (r->t.n < 2 || !strchr("\"\\/bfnrtu", r->t.s[1]) || !r->t.s[1]) return false;
      step = r->t.s[1] == 'u' ? 6 : 2;
      if (r->t.n < step) return false;
      for (size_t i = 2; i < step; i++)
        if (!strchr("0123456789abcdefABCDEF", r->t.s[i]) || !r->t.s[i]) return false;
    }
    r->t.s += step;
    r->t.n -= step;
  }
  return take(r, "\"");
}

static size_t take_digits(struct json_reader *r)
{
  size_t n = 0;
  while (r->t.n && r->t.s[0] >= '0' && r->t.s[0] <= '9') r->t.s++, r->t.n--, n++;
  return n;
}

static bool take_number(struct json_reader *r)
{
  take(r, "-");
  if (!take(r, "0") && !take_digits(r)) return false;
  struct json_reader whole = *r;
  if (take(r, ".") && !take_digits(r)) return (*r = whole), true;
  whole = *r;
  if (take(r, "e") || take(r, "E")) {
    if (!take(r, "+")) take(r, "-");
    if (!take_digits(r)) *r = whole;
  }
  return true;
}

static bool take_value(struct json_reader *r);

static bool take_members(struct json_reader *r, const char *close, bool named)
{
  skip_space(r);
  if (take(r, close)) return true;
  for (;;) {
    skip_space(r);
    if (named && !take_string(r)) return false;
    if (named) skip_space(r);
    if (named && !take(r, ":")) return false;
    if (!take_value(r)) return false;
    skip_space(r);
    if (take(r, close)) return true;
    if (!take(r, ",")) return false;
  }
}

static bool take_value(struct json_reader *r)
{
  static const char *const words[] = {"true", "false", "null", "NaN", "Infinity", "-Infinity"};
  enum { DEEPEST = 900 };
  skip_space(r);
  for (size_t i = 0; i < sizeof words / sizeof *words; i++)
    if (take(r, words[i])) return true;
  if (r->t.n && r->t.s[0] == '"') return take_string(r);
  if (r->t.n && (r->t.s[0] == '{' || r->t.s[0] == '[')) {
    bool named = r->t.s[0] == '{';
    if (++r->depth > DEEPEST) return false;
    take(r, named ? "{" : "[");
    bool good = take_members(r, named ? "}" : "]", named);
    r->depth--;
    return good;
  }
  return take_number(r);
}

static int json_format(struct constraint *c, struct span t, bool *holds, struct error *err)
{
  (void)err;
  struct json_reader r = {.t = span_strip(t)};
  static const char *const fences[] = {"```json", "```Json", "```JSON", "```"};
  for (size_t i = 0; i < 4; i++) take(&r, fences[i]);
  if (r.t.n >= 3 && !memcmp(r.t.s + r.t.n - 3, "```", 3)) r.t.n -= 3;
  r.t = span_strip(r.t);
  bool good = take_value(&r);
  skip_space(&r);
  *holds = good && !r.t.n;
  return *holds ? 0 : fail_with(c, holds, "the whole response is not JSON");
}

/* ---- combination, beginning and end ------------------------------------------------------------------------------ */

static int two_responses(struct constraint *c, struct span t, bool *holds, struct error *err)
{
  (void)err;
  bool inner;
  struct cutter k = {.rest = t, .separator = "******"};
  struct span piece, texts[2] = {{"", 0}, {"", 0}};
  int64_t n = count_pieces(k, &inner);
  if (inner) return fail_with(c, holds, "a response between two ****** is empty");
  if (n != 2) return fail_with(c, holds, "expected two responses separated by ******");
  for (int i = 0; i < 2 && next_piece(&k, &piece);)
    if (!is_blank(piece)) texts[i++] = span_strip(piece);
  *holds = texts[0].n != texts[1].n || memcmp(texts[0].s, texts[1].s, texts[0].n) != 0;
  return *holds ? 0 : fail_with(c, holds, "the two responses are the same");
}

/* Does the text, stripped and in lower case, begin (or end) with the other one? */
static int has_edge(const struct constraint *c, struct span t, const char *edge, bool at_end, bool *holds,
                    struct error *err)
{
  struct span text, want;
  TRY(lower(c, span_strip(t), &text, err));
  TRY(lower(c, span_strip((struct span){edge, strlen(edge)}), &want, err));
  *holds = text.n >= want.n && !memcmp(text.s + (at_end ? text.n - want.n : 0), want.s, want.n);
  return 0;
}

static int repeat_prompt(struct constraint *c, struct span t, bool *holds, struct error *err)
{
  const char *prompt;
  TRY(need_text(c, "prompt_to_repeat", &prompt, err));
  TRY(has_edge(c, t, prompt, false, holds, err));
  return *holds ? 0 : fail_with(c, holds, "it does not begin with the request word for word");
}

static int end_checker(struct constraint *c, struct span t, bool *holds, struct error *err)
{
  const char *phrase;
  TRY(need_text(c, "end_phrase", &phrase, err));
  t = span_strip(t);
  while (t.n && t.s[0] == '"') t.s++, t.n--;
  while (t.n && t.s[t.n - 1] == '"') t.n--;
  struct span text, want;
  TRY(lower(c, t, &text, err));
  TRY(lower(c, span_strip((struct span){phrase, strlen(phrase)}), &want, err));
  *holds = text.n >= want.n && !memcmp(text.s + text.n - want.n, want.s, want.n);
  return *holds ? 0 : fail_with(c, holds, "it does not end with the phrase that was asked for");
}

static int quotation(struct constraint *c, struct span t, bool *holds, struct error *err)
{
  (void)err;
  t = span_strip(t);
  *holds = t.n > 1 && t.s[0] == '"' && t.s[t.n - 1] == '"';
  return *holds ? 0 : fail_with(c, holds, "it is not wrapped in double quotation marks");
}

/* ---- case and punctuation ---------------------------------------------------------------------------------------- */

static int capital_words(struct constraint *c, struct span t, bool *holds, struct error *err)
{
  int64_t wanted, found;
  TRY(need_int(c, "capital_frequency", &wanted, err));
  TRY(ifeval_capital_words(c->arena, c->patterns, t, &found, err));
  return compare(c, "capital_relation", found, wanted, "words in capitals", holds, err);
}

/* A letter of the one case, and none of the other. */
static bool all_in_case(struct span t, enum letter_case wanted, enum letter_case other)
{
  bool any = false;
  for (size_t i = 0, step; i < t.n; i += step) {
    enum letter_case k = letter_case_of(unicode_at(t.s, t.n, i, &step));
    if (k == other || k == LETTER_TITLE) return false;
    any |= k == wanted;
  }
  return any;
}

static int in_english(struct constraint *c, struct span t, bool *holds)
{
  const char *language = language_detect(t.s, t.n);
  *holds = !language || !strcmp(language, "en");
  return *holds ? 0 : fail_with(c, holds, "it is not in English");
}

static int english_capital(struct constraint *c, struct span t, bool *holds, struct error *err)
{
  (void)err;
  if (!all_in_case(t, LETTER_UPPER, LETTER_LOWER)) return fail_with(c, holds, "it is not in capital letters alone");
  return in_english(c, t, holds);
}

static int english_lowercase(struct constraint *c, struct span t, bool *holds, struct error *err)
{
  (void)err;
  if (!all_in_case(t, LETTER_LOWER, LETTER_UPPER)) return fail_with(c, holds, "it is not in lower case alone");
  return in_english(c, t, holds);
}

static int no_comma(struct constraint *c, struct span t, bool *holds, struct error *err)
{
  (void)err;
  *holds = !t.n || !memchr(t.s, ',', t.n);
  return *holds ? 0 : fail_with(c, holds, "a comma stands in it");
}

/* ---- the table --------------------------------------------------------------------------------------------------- */

static const struct {
  const char *id;
  int (*check)(struct constraint *c, struct span t, bool *holds, struct error *err);
} constraints[] = {
    {"keywords:existence", existence},
    {"keywords:frequency", frequency},
    {"keywords:forbidden_words", forbidden},
    {"keywords:letter_frequency", letter_frequency},
    {"language:response_language", response_language},
    {"length_constraints:number_sentences", number_sentences},
    {"length_constraints:number_paragraphs", number_paragraphs},
    {"length_constraints:number_words", number_words},
    {"length_constraints:nth_paragraph_first_word", nth_paragraph},
    {"detectable_content:number_placeholders", placeholders},
    {"detectable_content:postscript", postscript},
    {"detectable_format:number_bullet_lists", bullets},
    {"detectable_format:constrained_response", constrained},
    {"detectable_format:number_highlighted_sections", highlights},
    {"detectable_format:multiple_sections", sections},
    {"detectable_format:json_format", json_format},
    {"detectable_format:title", title},
    {"combination:two_responses", two_responses},
    {"combination:repeat_prompt", repeat_prompt},
    {"startend:end_checker", end_checker},
    {"startend:quotation", quotation},
    {"change_case:capital_word_frequency", capital_words},
    {"change_case:english_capital", english_capital},
    {"change_case:english_lowercase", english_lowercase},
    {"punctuation:no_comma", no_comma},
};
enum { CONSTRAINTS = sizeof constraints / sizeof *constraints };

size_t constraint_count(void)
{
  return CONSTRAINTS;
}

const char *constraint_at(size_t i)
{
  ASSAY_BUG_IF(i >= CONSTRAINTS);
  return constraints[i].id;
}

int constraint_check(struct constraint *c, struct span t, bool *holds, struct error *err)
{
  const char *names[CONSTRAINTS];
  *holds = false;
  c->reason = NULL;
  for (size_t i = 0; i < CONSTRAINTS; i++) {
    if (!strcmp(constraints[i].id, c->id)) return constraints[i].check(c, t, holds, err);
    names[i] = constraints[i].id;
  }
  const char *nearest = name_nearest(c->id, names, CONSTRAINTS);
  FAIL_AT(err, ERROR_INPUT, NULL, 0, "instruction_id_list",
          "found the constraint \"%s\"; expected one of IFEval's %d, like \"%s\"", c->id, CONSTRAINTS,
          nearest ? nearest : names[0]);
}
