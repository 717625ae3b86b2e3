#include "reward/judge_read.h"

#include <string.h>

#include "core/math.h"

/* Bytes that may be looked at to find objects' ends: text in which braces open and never close costs no more. */
enum { LOOKED = 8 << 20, DEEPEST = 256 };

static bool is_blank(char c)
{
  return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* ---- repairs ----------------------------------------------------------------------------------------------------- */

/* The next byte at or behind i that is no blank; 0 at the end. */
static char next_byte(const char *s, size_t n, size_t i)
{
  while (i < n && is_blank(s[i])) i++;
  return i < n ? s[i] : 0;
}

static char last_byte(const char *s, size_t i)
{
  while (i && is_blank(s[i - 1])) i--;
  return i ? s[i - 1] : 0;
}

static bool is_one_of(char c, const char *set)
{
  return c && strchr(set, c);
}

/* Whether single quotes can only be those of strings. */
static bool quoted_singly(const char *s, size_t n)
{
  bool inside = false, any = false;
  if (memchr(s, '"', n)) return false;
  for (size_t i = 0; i < n; i++) {
    if (s[i] != '\'') continue;
    bool good = inside ? is_one_of(next_byte(s, n, i + 1), "}],:") : is_one_of(last_byte(s, i), "{[,:");
    if (!good) return false;
    inside = !inside;
    any = true;
  }
  return any && !inside;
}

/* One byte of a string; returns how many bytes of s were taken. */
static size_t repair_inside(const char *s, size_t n, size_t i, struct text *out)
{
  unsigned char c = (unsigned char)s[i];
  if (c == '\\' && i + 1 < n && is_one_of(s[i + 1], "\"\\/bfnrtu")) {
    text_add(out, s + i, 2);
    return 2;
  }
  if (c == '\\')
    text_puts(out, "\\\\");
  else if (c == '\n')
    text_puts(out, "\\n");
  else if (c == '\t')
    text_puts(out, "\\t");
  else
    text_add(out, c < ' ' ? " " : s + i, 1);
  return 1;
}

static void repair(const char *s, size_t n, struct text *out)
{
  char quote = quoted_singly(s, n) ? '\'' : '"';
  bool inside = false;
  for (size_t i = 0; i < n;) {
    if (s[i] == quote) {
      inside = !inside;
      text_puts(out, "\"");
      i++;
    } else if (inside)
      i += repair_inside(s, n, i, out);
    else {
      bool trailing = s[i] == ',' && is_one_of(next_byte(s, n, i + 1), "}]");
      if (!trailing) text_add(out, s + i, 1);
      i++;
    }
  }
}

/* ---- finding ----------------------------------------------------------------------------------------------------- */

/* The end of the object that begins at s[i], braces in strings not counted; i: it has none. */
static size_t object_end(const char *s, size_t n, size_t i, size_t *budget)
{
  bool inside = false;
  size_t depth = 0;
  for (size_t at = i; at < n && *budget; at++, --*budget) {
    if (inside && s[at] == '\\')
      at++;
    else if (s[at] == '"')
      inside = !inside;
    else if (!inside && s[at] == '{' && ++depth > DEEPEST)
      return i;
    else if (!inside && s[at] == '}' && !--depth)
      return at + 1;
  }
  return i;
}

static int parse(struct arena *a, const char *s, size_t n, json_t **out, struct error *err)
{
  struct error why = {0};
  int rc = json_parse(a, s, n, "judge", 0, JSON_READ_UNIQUE, out, &why);
  if (rc) *out = NULL;
  if (rc == ERROR_RESOURCE) FAIL(err, ERROR_RESOURCE, "%s", why.message);
  return 0;
}

static int parse_or_repair(struct arena *a, const char *s, size_t n, json_t **out, struct error *err)
{
  struct text t = {0};
  TRY(parse(a, s, n, out, err));
  if (*out) return 0;
  repair(s, n, &t);
  int rc = text_finish(&t, err);
  if (!rc) rc = parse(a, t.bytes, t.size, out, err);
  text_free(&t);
  return rc;
}

/* Where the thoughts end that a text begins with. Only there: a judge that quotes "</think>" from a response must not
 * lose what it wrote in front of that. */
static size_t thinking_end(const char *s, size_t n)
{
  static const char open[] = "<think>", close[] = "</think>";
  size_t i = 0;
  while (i < n && is_blank(s[i])) i++;
  if (n - i < sizeof open - 1 || memcmp(s + i, open, sizeof open - 1) != 0) return 0;
  while (n - i >= sizeof close - 1 && memcmp(s + i, close, sizeof close - 1) != 0) i++;
  return n - i >= sizeof close - 1 ? i + sizeof close - 1 : n;
}

int judge_find(struct arena *a, const char *s, size_t n, const char *key, struct judge_found *out, struct error *err)
{
  size_t budget = LOOKED, count = 0;
  *out = (struct judge_found){0};
  for (size_t i = thinking_end(s, n); i < n && budget;) {
    const char *brace = memchr(s + i, '{', n - i);
    json_t *o = NULL;
    if (!brace) break;
    i = (size_t)(brace - s);
    size_t end = object_end(s, n, i, &budget);
    if (end > i) TRY(parse_or_repair(a, brace, end - i, &o, err));
    if (json_object_get(o, key)) {
      *out = (struct judge_found){.verdict = o, .begin = i, .end = end};
      count++;
    }
    i = o ? end : i + 1;
  }
  if (count != 1) {
    const char *why = count ? "it holds more than one JSON object with \"%s\"" : "it holds no JSON object with \"%s\"";
    *out = (struct judge_found){.why = arena_printf(a, "judge", err, why, key)};
    return out->why ? 0 : err->code;
  }
  return 0;
}

/* ---- the expected score ------------------------------------------------------------------------------------------ */

/* Behind the string that begins at s[i]. */
static size_t string_end(const char *s, size_t i, size_t end)
{
  for (i++; i < end && s[i] != '"'; i++) i += s[i] == '\\';
  return i < end ? i + 1 : end;
}

/* Where the value of "score" begins in the object at s[begin..end), at its own level; end: nowhere. */
static size_t score_place(const char *s, size_t begin, size_t end)
{
  static const char key[] = "\"score\"";
  int depth = 0;
  for (size_t i = begin; i < end;) {
    if (is_one_of(s[i], "{[")) depth++;
    if (is_one_of(s[i], "}]")) depth--;
    size_t from = i;
    i = s[i] == '"' ? string_end(s, i, end) : i + 1;
    bool is_key = depth == 1 && i - from == sizeof key - 1 && !memcmp(s + from, key, sizeof key - 1);
    if (!is_key || next_byte(s, end, i) != ':') continue;
    while (s[i] != ':') i++;
    while (++i < end && is_blank(s[i])) {}
    return i;
  }
  return end;
}

/* The digit inside the scale that a token is, but for blanks around; -1: it is none. */
static int token_digit(const char *token, int low, int high)
{
  while (is_blank(*token)) token++;
  if (*token < '0' || *token > '9') return -1;
  int digit = *token++ - '0';
  while (is_blank(*token)) token++;
  return !*token && digit >= low && digit <= high ? digit : -1;
}

/* The text of all tokens. */
static int put_tokens(const json_t *tokens, struct text *out, struct error *err)
{
  size_t i;
  const json_t *token;
  json_array_foreach(tokens, i, token)
  {
    const char *piece = json_string_value(json_object_get(token, "token"));
    text_puts(out, piece ? piece : "");
  }
  return text_finish(out, err);
}

/* The place of text's last occurrence; n: it does not occur. */
static size_t last_occurrence(const char *s, size_t n, const char *text, size_t size)
{
  for (size_t i = n >= size ? n - size + 1 : 0; i-- > 0;)
    if (s[i] == *text && !memcmp(s + i, text, size)) return i;
  return n;
}

/* The token that holds the byte `place` of all tokens' text. */
static const json_t *token_at(const json_t *tokens, size_t place)
{
  size_t i, at = 0;
  const json_t *token;
  json_array_foreach(tokens, i, token)
  {
    const char *piece = json_string_value(json_object_get(token, "token"));
    size_t size = piece ? strlen(piece) : 0;
    if (place < at + size) return token;
    at += size;
  }
  return NULL;
}

static double probability(const json_t *entry)
{
  double p = json_number_value(json_object_get(entry, "logprob"));
  return json_is_number(json_object_get(entry, "logprob")) ? math_exp(p < 0 ? p : 0) : 0;
}

/* E over the tokens that could have stood where `token` stands. */
static bool expectation(const json_t *token, int low, int high, double *out)
{
  const json_t *top = json_object_get(token, "top_logprobs"), *entry;
  const char *chosen = json_string_value(json_object_get(token, "token"));
  double mass = 0, sum = 0;
  bool listed = false;
  size_t i;
  if (!chosen || token_digit(chosen, low, high) < 0) return false;
  json_array_foreach(top, i, entry)
  {
    const char *piece = json_string_value(json_object_get(entry, "token"));
    int digit = piece ? token_digit(piece, low, high) : -1;
    listed = listed || (piece && !strcmp(piece, chosen));
    if (digit < 0) continue;
    mass += probability(entry);
    sum += probability(entry) * digit;
  }
  if (!listed || !(mass > 0)) return false;
  *out = math_clamp(sum / mass, low, high);
  return true;
}

bool judge_expected(const json_t *choice, const char *text, size_t n, const struct judge_found *found, int low,
                    int high, double *out, struct error *err)
{
  const json_t *tokens = json_object_get(json_object_get(choice, "logprobs"), "content");
  size_t place = score_place(text, found->begin, found->end);
  struct text all = {0};
  if (low < 0 || high > 9 || !json_array_size(tokens)) return false;
  if (place + 1 >= found->end || text[place] < '0' || text[place] > '9') return false;
  if (!is_blank(text[place + 1]) && !is_one_of(text[place + 1], ",}")) return false;
  bool good = !put_tokens(tokens, &all, err);
  size_t begin = good ? last_occurrence(all.bytes, all.size, text, n) : 0;
  good = good && begin < all.size && expectation(token_at(tokens, begin + place), low, high, out);
  text_free(&all);
  return good;
}
