#include "text/template_lex.h"

#include "core/cursor.h"
#include "text/unicode.h"

#include <stdlib.h>
#include <string.h>

struct lexer {
  struct arena *a;
  const char *file;
  struct error *err;
  char *s; /* the source with \n line ends, without the last one */
  size_t n, at;
  int line;
  bool line_starts; /* nothing but taken-away white space stands before `at` in its line */
  struct token *tokens;
  size_t count, room;
  char open[TEMPLATE_NESTING]; /* brackets that wait for their partners */
  size_t open_count;
};

static int push(struct lexer *l, struct token t)
{
  if (l->count == l->room) {
    size_t room = l->room ? l->room * 2 : 256;
    struct token *grown = ARENA_NEW(l->a, struct token, room, "template", l->err);
    if (!grown) return ERROR_RESOURCE;
    if (l->count) memcpy(grown, l->tokens, l->count * sizeof *grown);
    l->tokens = grown;
    l->room = room;
  }
  l->tokens[l->count++] = t;
  return 0;
}

static int push_kind(struct lexer *l, enum token_kind kind, const char *text)
{
  return push(l, (struct token){.kind = kind, .line = l->line, .text = text});
}

static bool has(const struct lexer *l, size_t at, const char *s)
{
  size_t n = strlen(s);
  return at <= l->n && l->n - at >= n && !memcmp(l->s + at, s, n);
}

/* Moves to `to`, counting lines. */
static void advance(struct lexer *l, size_t to)
{
  for (; l->at < to; l->at++) l->line += l->s[l->at] == '\n';
}

/* Python's white space: Unicode's and the four separators. */
static size_t space_at(const struct lexer *l, size_t at)
{
  if (at >= l->n) return 0;
  size_t step;
  uint32_t c = unicode_at(l->s, l->n, at, &step);
  return unicode_is_space(c) || (c >= 0x1c && c <= 0x1f) ? step : 0;
}

static size_t skip_spaces(const struct lexer *l, size_t at)
{
  for (size_t step; (step = space_at(l, at));) at += step;
  return at;
}

static size_t trim_right(const struct lexer *l, size_t from, size_t to)
{
  while (to > from) {
    size_t step;
    uint32_t c = unicode_before(l->s + from, to - from, &step);
    if (!unicode_is_space(c) && (c < 0x1c || c > 0x1f)) break;
    to -= step;
  }
  return to;
}

/* lstrip_blocks: white space between the start of the line and a tag goes. */
static size_t trim_line(const struct lexer *l, size_t from, size_t to)
{
  size_t start = to;
  while (start > from && l->s[start - 1] != '\n') start--;
  if (start == from && !l->line_starts) return to;
  return start < to && skip_spaces(l, start) >= to ? start : to;
}

static int push_text(struct lexer *l, size_t from, size_t to)
{
  if (from == to) return 0;
  return push(l, (struct token){.kind = LEX_TEXT, .line = l->line, .value = value_string(l->s + from, to - from)});
}

/* The end of a tag or comment at `at` ("%}" or "#}", with a sign or without): where the text goes on; 0: no end here.
 */
static size_t end_of(const struct lexer *l, size_t at, const char *end)
{
  if (has(l, at, "-") && has(l, at + 1, end)) return skip_spaces(l, at + 3);
  if (has(l, at, "+") && has(l, at + 1, end)) return at + 3;
  if (!has(l, at, end)) return 0;
  at += 2;
  return has(l, at, "\n") ? at + 1 : at;
}

static bool is_digit(char c)
{
  return c >= '0' && c <= '9';
}

static int digit_value(char c)
{
  if (is_digit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return 99;
}

/* Exactly `digits` hexadecimal digits. */
static bool read_hex(const struct lexer *l, size_t *at, size_t end, size_t digits, uint32_t *code)
{
  if (end - *at < digits) return false;
  *code = 0;
  for (size_t i = 0; i < digits; i++) {
    int v = digit_value(l->s[(*at)++]);
    if (v > 15) return false;
    *code = *code << 4 | (uint32_t)v;
  }
  return true;
}

/* What follows a backslash: 1 with its *code; 2: a line continued; 0: nothing special, *at unmoved; -1: digits lack. */
static int escape_value(const struct lexer *l, size_t *at, size_t end, uint32_t *code)
{
  static const char plain[] = "n\nt\tr\rb\bf\fv\va\a\\\\''\"\"";
  char c = l->s[(*at)++];
  for (const char *p = plain; *p; p += 2)
    if (c == p[0]) return *code = (uint8_t)p[1], 1;
  size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
  if (digits) return read_hex(l, at, end, digits, code) ? 1 : -1;
  if (c >= '0' && c <= '7') {
    *code = (uint32_t)(c - '0');
    for (int i = 0; i < 2 && *at < end && l->s[*at] >= '0' && l->s[*at] <= '7'; i++)
      *code = *code * 8 + (uint32_t)(l->s[(*at)++] - '0');
    return 1;
  }
  if (c == '\n') return 2; /* a line continued */
  (*at)--;
  return 0;
}

/* The second half of a pair of surrogates, written \u like the first. */
static void join_surrogate(const struct lexer *l, size_t *from, size_t end, uint32_t *code)
{
  uint32_t low = 0;
  if (*code < 0xd800 || *code >= 0xdc00 || end - *from < 6 || l->s[*from] != '\\' || l->s[*from + 1] != 'u') return;
  size_t next = *from + 2;
  if (!read_hex(l, &next, end, 4, &low) || low < 0xdc00 || low >= 0xe000) return;
  *code = 0x10000 + ((*code - 0xd800) << 10) + (low - 0xdc00);
  *from = next;
}

/* The value of a string literal without its quotes: Python's escapes. */
static int unescape(struct lexer *l, size_t from, size_t end, struct value *out)
{
  char *text = arena_push(l->a, 2 * (end - from) + 4, 1, "template", l->err);
  if (!text) return ERROR_RESOURCE;
  size_t n = 0;
  while (from < end) {
    if (l->s[from] != '\\' || from + 1 == end) {
      text[n++] = l->s[from++];
      continue;
    }
    uint32_t code = 0;
    from++;
    int kind = escape_value(l, &from, end, &code);
    if (kind < 0)
      FAIL_AT(l->err, ERROR_INPUT, l->file, l->line, NULL, "a \\x, \\u or \\U in a string lacks its digits");
    if (kind == 0) text[n++] = '\\'; /* an unknown escape stays as it is; its character follows */
    if (kind != 1) continue;
    join_surrogate(l, &from, end, &code);
    if (code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) code = 0xfffd;
    n += utf8_encode(code, (uint8_t *)text + n);
  }
  *out = value_string(text, n);
  return 0;
}

static int lex_string(struct lexer *l)
{
  char quote = l->s[l->at];
  size_t end = l->at + 1;
  while (end < l->n && l->s[end] != quote) end += l->s[end] == '\\' ? 2 : 1;
  if (end >= l->n) FAIL_AT(l->err, ERROR_INPUT, l->file, l->line, NULL, "a string that starts here is not closed");
  struct token t = {.kind = LEX_STRING, .line = l->line, .text = "a string"};
  TRY(unescape(l, l->at + 1, end, &t.value));
  TRY(push(l, t));
  advance(l, end + 1);
  return 0;
}

/* Digits with single underscores between them. */
static size_t digits_end(const struct lexer *l, size_t at)
{
  while (at < l->n && (is_digit(l->s[at]) || (l->s[at] == '_' && at + 1 < l->n && is_digit(l->s[at + 1])))) at++;
  return at;
}

static int lex_integer(struct lexer *l, size_t end, int base, size_t from)
{
  wide n = 0;
  for (size_t i = from; i < end; i++) {
    if (l->s[i] == '_') continue;
    if (__builtin_mul_overflow(n, (wide)base, &n) || __builtin_add_overflow(n, (wide)digit_value(l->s[i]), &n))
      FAIL_AT(l->err, ERROR_INPUT, l->file, l->line, NULL, "an integer is too large");
  }
  TRY(push(l, (struct token){.kind = LEX_INT, .line = l->line, .text = "an integer", .value = value_int(n)}));
  l->at = end;
  return 0;
}

/* 0x, 0o or 0b at `at`: their base, and in *end where the digits end; 10: none of them. */
static int prefixed_base(const struct lexer *l, size_t at, size_t *end)
{
  char kind = at + 1 < l->n && l->s[at] == '0' ? (char)(l->s[at + 1] | 0x20) : 0;
  int base = kind == 'x' ? 16 : kind == 'o' ? 8 : kind == 'b' ? 2 : 10;
  *end = at + 2;
  while (*end < l->n && (l->s[*end] == '_' || digit_value(l->s[*end]) < base)) ++*end;
  return *end > at + 2 ? base : 10;
}

/* The end of a decimal number whose whole part ends at `whole`. */
static size_t real_end(const struct lexer *l, size_t whole)
{
  const char *s = l->s;
  size_t end = whole;
  if (end + 1 < l->n && s[end] == '.' && is_digit(s[end + 1])) end = digits_end(l, end + 1);
  if (end >= l->n || (s[end] | 0x20) != 'e') return end;
  size_t exponent = end + 1;
  if (exponent < l->n && (s[exponent] == '+' || s[exponent] == '-')) exponent++;
  return exponent < l->n && is_digit(s[exponent]) ? digits_end(l, exponent) : end;
}

static int lex_number(struct lexer *l)
{
  const char *s = l->s;
  size_t at = l->at, end;
  int base = prefixed_base(l, at, &end);
  if (base != 10) return lex_integer(l, end, base, at + 2);
  size_t whole = digits_end(l, at);
  end = at > 0 && s[at - 1] == '.' ? whole : real_end(l, whole); /* x.0.1 is twice an index */
  if (end == whole) return lex_integer(l, end, 10, at);
  char text[400];
  size_t n = 0;
  for (size_t i = at; i < end && n + 1 < sizeof text; i++)
    if (s[i] != '_') text[n++] = s[i];
  text[n] = 0;
  TRY(push(l, (struct token){
                  .kind = LEX_FLOAT, .line = l->line, .text = "a float", .value = value_float(strtod(text, NULL))}));
  l->at = end;
  return 0;
}

static int lex_name(struct lexer *l)
{
  size_t end = l->at, step;
  while (end < l->n && unicode_is_word(unicode_at(l->s, l->n, end, &step))) end += step;
  char *name = arena_strndup(l->a, l->s + l->at, end - l->at, "template", l->err);
  if (!name) return ERROR_RESOURCE;
  TRY(push(l, (struct token){.kind = LEX_NAME, .line = l->line, .text = name}));
  l->at = end;
  return 0;
}

static int lex_operator(struct lexer *l)
{
  static const char *const operators[] = {"//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[",
                                          "]",  "(",  ")",  "{",  "}",  ">",  "<", "=", ".", ":", "|", ",", ";"};
  for (size_t i = 0; i < sizeof operators / sizeof *operators; i++) {
    if (!has(l, l->at, operators[i])) continue;
    char c = operators[i][0];
    if (strchr("([{", c)) {
      if (l->open_count == TEMPLATE_NESTING)
        FAIL_AT(l->err, ERROR_INPUT, l->file, l->line, NULL, "brackets are nested deeper than %d", TEMPLATE_NESTING);
      l->open[l->open_count++] = c == '(' ? ')' : c == '[' ? ']' : '}';
    } else if (strchr(")]}", c) && (!l->open_count || l->open[--l->open_count] != c)) {
      FAIL_AT(l->err, ERROR_INPUT, l->file, l->line, NULL, "unexpected '%c'", c);
    }
    TRY(push_kind(l, LEX_OPERATOR, operators[i]));
    l->at += strlen(operators[i]);
    return 0;
  }
  FAIL_AT(l->err, ERROR_INPUT, l->file, l->line, NULL, "unexpected character '%.1s'", l->s + l->at);
}

/* Where the text goes on behind the end of {{ or {% at the place where we are; 0: no end here. */
static size_t code_end(const struct lexer *l, bool print)
{
  if (l->open_count) return 0;
  if (!print) return end_of(l, l->at, "%}");
  if (has(l, l->at, "-}}")) return skip_spaces(l, l->at + 3);
  return has(l, l->at, "}}") ? l->at + 2 : 0;
}

static int lex_token(struct lexer *l)
{
  char c = l->s[l->at];
  size_t step;
  if (c == '\'' || c == '"') return lex_string(l);
  if (is_digit(c)) return lex_number(l);
  return unicode_is_word(unicode_at(l->s, l->n, l->at, &step)) ? lex_name(l) : lex_operator(l);
}

/* What stands between {{ and }} or {% and %}. */
static int lex_code(struct lexer *l, bool print)
{
  for (;;) {
    size_t to = skip_spaces(l, l->at);
    advance(l, to);
    if (l->at >= l->n) {
      if (l->open_count)
        FAIL_AT(l->err, ERROR_INPUT, l->file, l->line, NULL, "the template ends where a '%c' is expected",
                l->open[l->open_count - 1]);
      FAIL_AT(l->err, ERROR_INPUT, l->file, l->line, NULL, "the template ends inside {%c; expected %s",
              print ? '{' : '%', print ? "}}" : "%}");
    }
    size_t end = code_end(l, print);
    if (end) {
      TRY(push_kind(l, print ? LEX_PRINT_END : LEX_TAG_END,
                    print ? "end of print statement" : "end of statement block"));
      l->line_starts = !print && l->s[end - 1] == '\n';
      advance(l, end);
      return 0;
    }
    TRY(lex_token(l));
  }
}

/* "{% raw %}" at `at`: where its text starts; 0: something else. */
static size_t raw_begin(const struct lexer *l, size_t at)
{
  at += 2;
  if (has(l, at, "-") || has(l, at, "+")) at++;
  at = skip_spaces(l, at);
  if (!has(l, at, "raw")) return 0;
  at = skip_spaces(l, at + 3);
  if (has(l, at, "-%}")) return skip_spaces(l, at + 3);
  return has(l, at, "%}") ? at + 2 : 0;
}

static int lex_raw(struct lexer *l, size_t from)
{
  l->line_starts = l->s[from - 1] == '\n';
  advance(l, from);
  for (size_t at = from; at + 1 < l->n; at++) {
    if (!has(l, at, "{%")) continue;
    size_t word = at + 2;
    char sign = has(l, word, "-") ? '-' : has(l, word, "+") ? '+' : 0;
    word = skip_spaces(l, word + (sign != 0));
    size_t end = has(l, word, "endraw") ? end_of(l, skip_spaces(l, word + 6), "%}") : 0;
    if (!end) continue;
    size_t stop = sign == '-' ? trim_right(l, from, at) : sign == '+' ? at : trim_line(l, from, at);
    TRY(push_text(l, from, stop));
    l->line_starts = l->s[end - 1] == '\n';
    advance(l, end);
    return 0;
  }
  FAIL_AT(l->err, ERROR_INPUT, l->file, l->line, NULL, "a {%% raw %%} is not closed by {%% endraw %%}");
}

static int lex_comment(struct lexer *l)
{
  for (size_t at = l->at + 2; at < l->n; at++) {
    size_t end = end_of(l, at, "#}");
    if (!end) continue;
    l->line_starts = l->s[end - 1] == '\n';
    advance(l, end);
    return 0;
  }
  FAIL_AT(l->err, ERROR_INPUT, l->file, l->line, NULL, "a comment {# is not closed by #}");
}

/* The next {{, {% or {#, or the end. */
static size_t next_tag(const struct lexer *l)
{
  size_t at = l->at;
  while (at + 1 < l->n && !(l->s[at] == '{' && (l->s[at + 1] == '{' || l->s[at + 1] == '%' || l->s[at + 1] == '#')))
    at++;
  return at + 1 < l->n ? at : l->n;
}

/* Text up to the next {{, {% or {#, and what follows it. */
static int lex_piece(struct lexer *l)
{
  size_t from = l->at, at = next_tag(l);
  if (at >= l->n) {
    TRY(push_text(l, from, l->n));
    l->at = l->n;
    return 0;
  }
  char kind = l->s[at + 1], sign = at + 2 < l->n ? l->s[at + 2] : 0;
  size_t to = at;
  if (sign == '-')
    to = trim_right(l, from, at);
  else if (sign != '+' && kind != '{')
    to = trim_line(l, from, at);
  TRY(push_text(l, from, to));
  advance(l, at);
  l->line_starts = false;
  if (kind == '#') return lex_comment(l);
  size_t raw = kind == '%' ? raw_begin(l, at) : 0;
  if (raw) return lex_raw(l, raw);
  TRY(push_kind(l, kind == '{' ? LEX_PRINT_BEGIN : LEX_TAG_BEGIN,
                kind == '{' ? "begin of print statement" : "begin of statement block"));
  l->at += sign == '-' || sign == '+' ? 3 : 2;
  l->open_count = 0;
  return lex_code(l, kind == '{');
}

/* \r\n and \r become \n, and one newline at the end goes. */
static int read_source(struct lexer *l, const char *source, size_t n)
{
  size_t good = utf8_valid_prefix(source, n);
  if (good != n)
    FAIL_AT(l->err, ERROR_INPUT, l->file, 0, NULL, "byte %zu of the template is not UTF-8; expected UTF-8", good);
  l->s = arena_push(l->a, n + 1, 1, "template", l->err);
  if (!l->s) return ERROR_RESOURCE;
  for (size_t i = 0; i < n; i++) {
    if (source[i] == '\r' && i + 1 < n && source[i + 1] == '\n') continue;
    l->s[l->n++] = source[i] == '\r' ? '\n' : source[i];
  }
  if (l->n && l->s[l->n - 1] == '\n') l->n--;
  l->s[l->n] = 0;
  return 0;
}

int template_lex(struct arena *a, const char *source, size_t n, const char *file, struct token **tokens, size_t *count,
                 struct error *err)
{
  struct lexer l = {.a = a, .file = file, .err = err, .line = 1, .line_starts = true};
  TRY(read_source(&l, source, n));
  while (l.at < l.n) TRY(lex_piece(&l));
  TRY(push_kind(&l, LEX_END, "end of template"));
  *tokens = l.tokens;
  *count = l.count;
  return 0;
}
