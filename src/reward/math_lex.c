#include "reward/math_lex.h"
#include <string.h>
#include "reward/math_names.h"
#include "reward/math_number.h"

struct lexer {
  struct math *m;
  const char *s;
  size_t n, at;
  size_t text_end; /* inside \text{...} up to here */
  struct math_lex_options o;
  struct math_tokens *out;
  bool space, odd_dollars;
};

static char peek(const struct lexer *l, size_t ahead)
{
  return l->at + ahead < l->n ? l->s[l->at + ahead] : 0;
}

static bool is_letter(char c)
{
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(char c)
{
  return c >= '0' && c <= '9';
}

bool math_text_is(const char *s, size_t n, const char *word)
{
  if (strlen(word) != n) return false;
  for (size_t i = 0; i < n; i++)
    if ((s[i] >= 'A' && s[i] <= 'Z' ? s[i] + 32 : s[i]) != word[i]) return false;
  return true;
}

bool math_word_is(const struct math_token *t, const char *word)
{
  return t->type == MATH_T_WORD && math_text_is(t->text, t->length, word);
}

static struct math_token *add(struct lexer *l, enum math_token_type type, int value, size_t start, size_t length)
{
  if (l->out->count == MATH_MAX_TOKENS) {
    l->out->why = "the answer is too long to be one expression";
    l->at = l->n;
    return &l->out->token[MATH_MAX_TOKENS];
  }
  struct math_token *t = &l->out->token[l->out->count++];
  *t = (struct math_token){.type = type,
                           .value = value,
                           .text = l->s + start,
                           .length = length,
                           .space = l->space,
                           .words = l->at < l->text_end};
  l->space = false;
  return t;
}

static const struct math_token *last(const struct lexer *l)
{
  static const struct math_token none = {.type = MATH_T_END};
  return l->out->count ? &l->out->token[l->out->count - 1] : &none;
}

/* ---- letters ----------------------------------------------------------------------------------------------------- */

/* Something that a unit may stand behind. */
static bool after_value(const struct lexer *l)
{
  const struct math_token *t = last(l);
  return t->type == MATH_T_NUMBER || t->type == MATH_T_PI ||
         (t->type == MATH_T_CHAR && (t->value == '}' || t->value == ')'));
}

/* Also "km/h" and "m s" go on with units. */
static bool after_unit(const struct lexer *l)
{
  const struct math_token *t = last(l);
  if (t->type == MATH_T_CHAR && t->value == '/' && l->out->count > 1) t--;
  return t->type == MATH_T_WORD;
}

static bool is_unit(struct lexer *l, const char *s, size_t n)
{
  struct math_unit unit;
  int how;
  if (!math_unit_find(s, n, &unit, &how)) return false;
  if (how == MATH_UNIT_SURE) return true;
  if (!after_value(l) && !after_unit(l)) return false;
  if (how == MATH_UNIT_LETTER && !after_unit(l)) l->out->has_letter = true;
  return how == MATH_UNIT_SYMBOL || l->o.unit_letters || after_unit(l);
}

static bool in_order(const char *s, size_t n)
{
  for (size_t i = 1; i < n; i++)
    if ((s[i] | 32) <= (s[i - 1] | 32)) return false;
  return true;
}

static bool has_vowel(const char *s, size_t n)
{
  for (size_t i = 0; i < n; i++)
    if (memchr("aeiou", s[i] | 32, 5)) return true;
  return false;
}

static bool is_capital(const char *s, size_t n)
{
  for (size_t i = 0; i < n; i++)
    if (s[i] > 'Z') return false;
  return true;
}

/* Words and not letters that multiply. */
static bool is_word(const char *s, size_t n)
{
  if (n < 2) return false;
  if (math_is_keyword(s, n) || math_number_word(s, n) >= 0) return true;
  if (n < 3 || in_order(s, n) || (n < 5 && is_capital(s, n))) return false;
  return n > 3 || has_vowel(s, n);
}

static void add_letters(struct lexer *l, size_t start, size_t n)
{
  for (size_t i = 0; i < n; i++) add(l, MATH_T_NAME, 0, start + i, 1);
}

/* The name of a function or of pi that a run of letters begins with and at most two letters follow: "sinx", "pir". */
static size_t function_prefix(const char *s, size_t n, int *value, bool *root)
{
  for (size_t size = n; size >= 2 && size + 2 >= n; size--)
    if (!math_plain_function(s, size, value, root)) return size;
  return 0;
}

static bool add_function(struct lexer *l, size_t n)
{
  int value;
  bool root;
  size_t size = function_prefix(l->s + l->at, n, &value, &root);
  if (!size) return false;
  add(l, root ? MATH_T_SURD : MATH_T_FUNCTION, value, l->at, size);
  l->at += size;
  add_letters(l, l->at, n - size);
  l->at += n - size;
  return true;
}

static bool add_constant(struct lexer *l, size_t n)
{
  const char *s = l->s + l->at;
  size_t size = n >= 2 && n <= 4 && !memcmp(s, "pi", 2) && !has_vowel(s + 2, n - 2) ? 2 : 0;
  if (size) {
    add(l, MATH_T_PI, 0, l->at, size);
    add_letters(l, l->at + size, n - size);
  } else if (math_text_is(s, n, "infinity") || math_text_is(s, n, "inf") || (n == 2 && !memcmp(s, "oo", 2))) {
    add(l, MATH_T_INFINITY, 0, l->at, n);
  } else if (math_is_greek(s, n) && n > 2) {
    add(l, MATH_T_NAME, 0, l->at, n);
  } else {
    return false;
  }
  l->at += n;
  return true;
}

static bool is_word_byte(const struct lexer *l, size_t i)
{
  if (i >= l->n) return false;
  char c = l->s[i];
  return is_letter(c) || (unsigned char)c >= 0x80 ||
         ((c == '\'' || c == '-') && i + 1 < l->n && i > l->at && is_letter(l->s[i + 1]) && l->at < l->text_end);
}

/* 1st, 2nd, 3rd, 4th: the number itself. */
static bool is_ordinal(const char *s)
{
  static const char ends[] = "stndrdth";
  for (size_t i = 0; i < 8; i += 2)
    if (s[0] == ends[i] && s[1] == ends[i + 1]) return true;
  return false;
}

/* "p.m." and "a.m.", and the end of an ordinal ("4th"). */
static bool take_short_form(struct lexer *l, const char *s, size_t n)
{
  if (n == 2 && last(l)->type == MATH_T_NUMBER && !l->space && is_ordinal(s)) {
    l->at += 2;
    return true;
  }
  if (n != 1 || (s[0] != 'p' && s[0] != 'a') || l->at + 4 > l->n || memcmp(s + 1, ".m.", 3) != 0) return false;
  struct math_token *t = add(l, MATH_T_WORD, 0, l->at, 1);
  t->text = s[0] == 'p' ? "pm" : "am";
  t->length = 2;
  l->at += 4;
  return true;
}

static bool is_foreign(const char *s, size_t n)
{
  for (size_t i = 0; i < n; i++)
    if ((unsigned char)s[i] >= 0x80) return true;
  return false;
}

static void lex_letters(struct lexer *l)
{
  size_t n = 0;
  while (is_word_byte(l, l->at + n)) n++;
  const char *s = l->s + l->at;
  if (take_short_form(l, s, n)) return;
  bool plain = l->at >= l->text_end && !is_foreign(s, n), unit = plain && is_unit(l, s, n);
  if (plain && !unit && (add_constant(l, n) || add_function(l, n))) return;
  if (!plain || unit || is_word(s, n))
    add(l, MATH_T_WORD, 0, l->at, n);
  else
    add_letters(l, l->at, n);
  l->at += n;
}

/* ---- commands ---------------------------------------------------------------------------------------------------- */

static size_t closing(const struct lexer *l, size_t open)
{
  int depth = 0;
  for (size_t i = open; i < l->n; i++) {
    if (l->s[i] == '\\') {
      i++;
      continue;
    }
    if (l->s[i] == '{') depth++;
    if (l->s[i] == '}' && --depth == 0) return i;
  }
  return l->n;
}

static void skip_spaces(struct lexer *l)
{
  while (peek(l, 0) == ' ' || peek(l, 0) == '\n' || peek(l, 0) == '\t' || peek(l, 0) == '\r') l->at++;
}

/* Behind \text: its argument in braces becomes words. */
static void enter_text(struct lexer *l)
{
  skip_spaces(l);
  if (peek(l, 0) != '{') return;
  size_t end = closing(l, l->at);
  l->at++;
  if (end > l->text_end) l->text_end = end;
  l->space = true;
}

/* \mathrm{m} behind a number is a unit; \mathrm{i} and \mathrm{e} never are. */
static bool is_upright_letter(const struct lexer *l, size_t at, size_t n)
{
  char c = l->s[at];
  return n == 1 && is_letter(c) && (!after_value(l) || c == 'i' || c == 'e');
}

static void trim_blanks(const char *s, size_t *start, size_t *n)
{
  for (; *n && s[*start] == ' '; --*n) ++*start;
  while (*n && s[*start + *n - 1] == ' ') --*n;
}

static void lex_upright(struct lexer *l)
{
  if (peek(l, 0) == '*') l->at++;
  skip_spaces(l);
  if (peek(l, 0) != '{') return;
  size_t end = closing(l, l->at), start = l->at + 1, n = end > start ? end - start : 0;
  int value;
  bool root;
  trim_blanks(l->s, &start, &n);
  if (end == l->n || is_digit(l->s[start])) return;
  bool letter = is_upright_letter(l, start, n), function = n && !math_plain_function(l->s + start, n, &value, &root);
  if (letter)
    add(l, MATH_T_NAME, 0, start, 1);
  else if (function)
    add(l, root ? MATH_T_SURD : MATH_T_FUNCTION, value, start, n);
  else
    enter_text(l);
  if (function || letter) l->at = end + 1;
}

/* \mathbb{R}: all numbers; other letters are names of sets. */
static void lex_blackboard(struct lexer *l, size_t start)
{
  skip_spaces(l);
  size_t from = l->at;
  if (peek(l, 0) == '{') from++;
  size_t end = peek(l, 0) == '{' ? closing(l, l->at) + 1 : l->at + 1;
  if (end > l->n) end = l->n;
  if (from < l->n && l->s[from] == 'R' && !(end < l->n && l->s[end] == '^'))
    add(l, MATH_T_REALS, 0, start, end - start);
  else
    add(l, MATH_T_NAME, 'S', start, end - start);
  l->at = end;
}

static void lex_environment(struct lexer *l, enum math_token_type type)
{
  skip_spaces(l);
  if (peek(l, 0) != '{') return;
  size_t end = closing(l, l->at), start = l->at + 1;
  add(l, type, 0, start, end > start ? end - start : 0);
  l->at = end < l->n ? end + 1 : l->n;
  if (type == MATH_T_BEGIN && math_text_is(l->s + start, end - start, "array") && peek(l, 0) == '{')
    l->at = closing(l, l->at) + (closing(l, l->at) < l->n);
}

static void use_token(struct lexer *l, const struct math_name *name, size_t start)
{
  size_t n = l->at - start;
  if (name->type == MATH_T_REALS)
    lex_blackboard(l, start);
  else if (name->type == MATH_T_BEGIN || name->type == MATH_T_FINISH)
    lex_environment(l, name->type);
  else if (name->type == MATH_T_WORD)
    add(l, MATH_T_WORD, 0, start, n)->text = name->value == 'a' ? "and" : "or",
                                  l->out->token[l->out->count - 1].length = name->value == 'a' ? 3 : 2;
  else
    add(l, name->type, name->value, start, n);
}

/* A command that no table knows: a Greek letter, or (value U) nothing that can be calculated with. */
static void lex_unknown(struct lexer *l, size_t start)
{
  size_t from = start + 1, n = l->at - from;
  bool greek = n && math_is_greek(l->s + from, n), letters = n && is_letter(l->s[from]);
  add(l, letters ? MATH_T_NAME : MATH_T_OTHER, greek ? 0 : 'U', start, l->at - start);
}

/* \left and \right: a point behind them is no bracket, < and > are. */
static void lex_fence(struct lexer *l)
{
  skip_spaces(l);
  if (peek(l, 0) == '.') l->at++;
  if (peek(l, 0) != '<' && peek(l, 0) != '>') return;
  add(l, MATH_T_CHAR, peek(l, 0), l->at, 1);
  l->at++;
}

static void lex_command(struct lexer *l)
{
  size_t start = l->at++, from = l->at;
  while (is_letter(peek(l, 0))) l->at++;
  if (l->at == from && l->at < l->n) l->at++;
  size_t n = l->at - from;
  const struct math_name *name = n ? math_command(l->s + from, n) : NULL;
  if (!name) {
    lex_unknown(l, start);
    return;
  }
  switch (name->use) {
    case MATH_USE_TOKEN:
      use_token(l, name, start);
      break;
    case MATH_USE_TEXT:
      enter_text(l);
      break;
    case MATH_USE_UPRIGHT:
      lex_upright(l);
      break;
    case MATH_USE_SPACE:
      l->space = true;
      break;
    default:
      if (math_text_is(name->name, n, "left") || math_text_is(name->name, n, "right")) lex_fence(l);
  }
}

/* ---- numbers and the rest ---------------------------------------------------------------------------------------- */

static bool lex_based(struct lexer *l)
{
  size_t n = 0, letters = 0;
  for (; is_digit(peek(l, n)) || (peek(l, n) >= 'A' && peek(l, n) <= 'Z'); n++) letters += !is_digit(peek(l, n));
  if (!letters || peek(l, n) != '_') return false;
  add(l, MATH_T_BASED, 0, l->at, n);
  l->at += n;
  return true;
}

static void lex_number(struct lexer *l)
{
  struct math_digits d;
  if (lex_based(l)) return;
  size_t n = math_read_digits(l->m, l->s, l->n, l->at, l->o.split_commas, &d);
  if (!n) {
    add(l, MATH_T_OTHER, 0, l->at++, 1);
    return;
  }
  if (d.grouped) l->out->has_group = true;
  struct math_token *t = add(l, MATH_T_NUMBER, 0, l->at, n);
  t->text = d.digits;
  t->length = d.count;
  t->exponent = d.exponent;
  t->repeat = d.repeat;
  t->whole = d.whole;
  l->at += n;
}

/* "<=", ">=", "!=", "==": two characters that are one sign. */
static bool lex_pair(struct lexer *l)
{
  static const struct {
    const char *text;
    int sign;
  } pairs[] = {{"<=", MATH_AT_MOST}, {"=<", MATH_AT_MOST}, {">=", MATH_AT_LEAST}, {"=>", 0},
               {"!=", MATH_UNEQUAL}, {"==", MATH_EQUALS},  {"<>", MATH_UNEQUAL},  {"->", 0}};
  for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
    if (peek(l, 0) != pairs[i].text[0] || peek(l, 1) != pairs[i].text[1]) continue;
    add(l, pairs[i].sign ? MATH_T_SIGN : MATH_T_ARROW, pairs[i].sign, l->at, 2);
    l->at += 2;
    return true;
  }
  if (peek(l, 0) == '+' && (peek(l, 1) == '-' || (peek(l, 1) == '/' && peek(l, 2) == '-'))) {
    add(l, MATH_T_SIGNS, 1, l->at, 2);
    l->at += peek(l, 1) == '-' ? 2 : 3;
    return true;
  }
  return false;
}

static void lex_dollar(struct lexer *l)
{
  if (l->odd_dollars && (is_digit(peek(l, 0)) || peek(l, 0) == '.')) add(l, MATH_T_CURRENCY, 0, l->at - 1, 1);
  l->space = true;
}

static void lex_character(struct lexer *l)
{
  char c = peek(l, 0);
  size_t at = l->at;
  if (lex_pair(l)) return;
  l->at++;
  bool twice = c == peek(l, 0), brace = c == '{' || c == '}';
  if (c == '$') {
    lex_dollar(l);
  } else if (strchr("=<>", c)) {
    add(l, MATH_T_SIGN, c, at, 1);
  } else if (c == '*' && twice) {
    l->at++;
    add(l, MATH_T_CHAR, '^', at, 2);
  } else if (c == '.' && twice) {
    while (peek(l, 0) == '.') l->at++;
    add(l, MATH_T_DOTS, 0, at, l->at - at);
  } else if (c == '~' || (brace && l->text_end && at <= l->text_end)) {
    l->space = true;
  } else {
    add(l, MATH_T_CHAR, c, at, 1);
  }
}

static void lex_one(struct lexer *l)
{
  char c = peek(l, 0);
  if (c == ' ' || c == '\t' || c == '\n' || c == '\r') {
    l->space = true;
    l->at++;
  } else if (c == '\\') {
    lex_command(l);
  } else if (is_digit(c) || (c == '.' && (is_digit(peek(l, 1)) || (peek(l, 1) == '\\' && peek(l, 2) == 'o')))) {
    lex_number(l);
  } else if (is_letter(c) || (unsigned char)c >= 0x80) {
    lex_letters(l);
  } else if (c) {
    lex_character(l);
  } else {
    add(l, MATH_T_OTHER, 0, l->at++, 1);
  }
}

int math_lex(struct math *m, const char *s, size_t n, struct math_lex_options o, struct math_tokens *out)
{
  struct lexer l = {.m = m, .s = s, .n = n, .o = o, .out = out};
  size_t room = n < MATH_MAX_TOKENS ? n : MATH_MAX_TOKENS, dollars = 0;
  *out = (struct math_tokens){0};
  out->token = ARENA_NEW(m->arena, struct math_token, room + 1, "math", m->err);
  if (!out->token) return m->rc = ERROR_RESOURCE;
  for (size_t i = 0; i < n; i++) dollars += s[i] == '$' && !(i && s[i - 1] == '\\');
  l.odd_dollars = dollars % 2 == 1;
  while (l.at < n && !m->rc) lex_one(&l);
  out->token[out->count] = (struct math_token){.type = MATH_T_END, .text = s + n};
  return m->rc;
}
