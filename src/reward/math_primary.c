#include <string.h>
#include "reward/math_names.h"
#include "reward/math_parser.h"

static struct math_node *leaf(struct math_parser *p, enum math_kind kind)
{
  p->token++;
  return math_leaf(p->m, kind, "", 0, 0);
}

/* ---- numbers ----------------------------------------------------------------------------------------------------- */

/* The value of a number token: digits, or (digits - those that do not repeat) / (10^k (10^r - 1)). */
static struct math_node *token_value(struct math *m, const struct math_token *t)
{
  if (!t->repeat) return math_decimal(m, t->text, t->length, t->exponent);
  size_t head = t->length - (size_t)t->repeat;
  char *more = ARENA_NEW(m->arena, char, (size_t)t->repeat, "math", m->err);
  if (!more) {
    m->rc = ERROR_RESOURCE;
    return NULL;
  }
  memset(more, '9', (size_t)t->repeat);
  struct math_node *all = math_decimal(m, t->text, t->length, 0), *start = math_decimal(m, t->text, head, 0);
  struct math_node *top = start ? math_two(m, MATH_SUM, all, math_one(m, MATH_NEGATE, start)) : NULL;
  return math_two(m, MATH_QUOTIENT, top, math_decimal(m, more, (size_t)t->repeat, -t->exponent - t->repeat));
}

static bool whole_token(const struct math_token *t)
{
  return t->type == MATH_T_NUMBER && t->whole;
}

/* text of a < text of b, as whole numbers */
static bool is_less(const struct math_token *a, const struct math_token *b)
{
  return a->length != b->length ? a->length < b->length : memcmp(a->text, b->text, a->length) < 0;
}

/* The tokens of a fraction of two whole numbers at t, as \frac{1}{2}, \frac12 or 1/2. Returns how many tokens, 0: none.
 */
static int proper_fraction(struct math_parser *p, const struct math_token *t)
{
  if (whole_token(t) && t->space)
    return t[1].type == MATH_T_CHAR && t[1].value == '/' && whole_token(t + 2) && is_less(t, t + 2) ? 3 : 0;
  if (t->type != MATH_T_FRACTION) return 0;
  struct math_parser ahead = *p;
  ahead.token = t + 1;
  ahead.inner = 0;
  struct math_node *top = math_parse_argument(&ahead), *bottom = top ? math_parse_argument(&ahead) : NULL;
  int64_t a, b;
  if (!bottom || ahead.inner || !math_small(top, &a) || !math_small(bottom, &b) || a <= 0 || a >= b) return 0;
  return (int)(ahead.token - t);
}

/* 4\frac{2}{3}: the sum. */
static struct math_node *mixed(struct math_parser *p, struct math_node *whole)
{
  const struct math_token *end = p->token + proper_fraction(p, p->token);
  struct math_node *part;
  if (end == p->token) return whole;
  if (p->token->type == MATH_T_FRACTION) {
    part = math_parse_primary(p);
  } else {
    part = math_two(p->m, MATH_QUOTIENT, token_value(p->m, p->token), token_value(p->m, p->token + 2));
    p->token = end;
  }
  return math_two(p->m, MATH_SUM, whole, part);
}

/* The base behind _: a number, or a word: _{five}, _{\text{ten}}. 0: none. */
static int64_t take_base(struct math_parser *p)
{
  struct math_parser ahead = *p;
  int64_t base = 0;
  ahead.token++;
  bool brace = math_take(&ahead, '{');
  if (ahead.token->type == MATH_T_WORD) {
    base = math_number_word(ahead.token->text, ahead.token->length);
  } else if (whole_token(ahead.token) && ahead.token->length <= 2) {
    for (size_t i = 0; i < ahead.token->length; i++) base = 10 * base + (ahead.token->text[i] - '0');
  }
  ahead.token++;
  if (base < 2 || base > 36 || (brace && !math_take(&ahead, '}'))) return 0;
  *p = ahead;
  return base;
}

struct math_node *math_parse_number(struct math_parser *p)
{
  struct math_token rest = *p->token++, *t = &rest;
  struct math *m = p->m;
  /* Digits in front are used up: the 8 of \log_28. */
  rest.text += p->inner;
  rest.length -= p->inner;
  p->inner = 0;
  if (math_at(p, '_') && (t->type == MATH_T_BASED || t->whole)) {
    int64_t base = take_base(p);
    return base ? math_leaf(m, MATH_BASED, t->text, t->length, base) : math_fail(p, "an index that is no base");
  }
  if (t->type == MATH_T_BASED) return math_fail(p, "digits and letters side by side");
  struct math_node *n = token_value(m, t);
  if (n && t->whole) n = mixed(p, n);
  /* 1 million */
  while (n && p->token->type == MATH_T_WORD) {
    int64_t scale = math_number_word(p->token->text, p->token->length);
    if (scale < 100 && !math_word_is(p->token, "dozen")) break;
    n = math_two(m, MATH_PRODUCT, n, math_integer(m, scale));
    p->token++;
  }
  return n;
}

/* ---- names ------------------------------------------------------------------------------------------------------- */

/* Where the index of a name ends: "x_1", "a_{n+1}", "f'". */
static const struct math_token *name_end(const struct math_token *t)
{
  t++;
  if (t->type == MATH_T_CHAR && t->value == '_') {
    t++;
    if (t->type == MATH_T_CHAR && t->value == '{') {
      int depth = 0;
      for (; t->type != MATH_T_END; t++) {
        if (t->type == MATH_T_CHAR && t->value == '{') depth++;
        if (t->type == MATH_T_CHAR && t->value == '}' && --depth == 0) break;
      }
    }
    if (t->type != MATH_T_END) t++;
  }
  while (t->type == MATH_T_CHAR && t->value == '\'') t++;
  return t;
}

/* The tokens up to end as one text without spaces and braces. */
static struct math_node *name_of(struct math_parser *p, const struct math_token *end)
{
  size_t n = 0;
  for (const struct math_token *t = p->token; t < end; t++) n += t->length;
  char *text = ARENA_NEW(p->m->arena, char, n, "math", p->m->err);
  if (!text) {
    p->m->rc = ERROR_RESOURCE;
    return NULL;
  }
  n = 0;
  for (; p->token < end; p->token++) {
    const struct math_token *t = p->token;
    if (t->type == MATH_T_CHAR && (t->value == '{' || t->value == '}')) continue;
    memcpy(text + n, t->text, t->length);
    n += t->length;
  }
  return math_leaf(p->m, MATH_SYMBOL, text, n, 0);
}

static struct math_node *parse_apply(struct math_parser *p, struct math_node *name)
{
  struct math_list items = {0};
  enum math_joint joint;
  p->token++;
  if (!math_push(p->m, &items, name) || !math_parse_items(p, &items, &joint)) return NULL;
  if (!math_take(p, ')')) return math_fail(p, "a bracket is not closed");
  return math_valued(p->m, MATH_CALL, MATH_APPLY, items.count, items.item);
}

/* C(6, 2) is a binomial coefficient. */
static struct math_node *parse_choice(struct math_parser *p)
{
  struct math_parser ahead = *p;
  struct math_list items = {0};
  enum math_joint joint;
  ahead.token += 2;
  if (!math_parse_items(&ahead, &items, &joint) || items.count != 2 || !math_take(&ahead, ')')) return NULL;
  *p = ahead;
  return math_binomial(p->m, items.item[0], items.item[1]);
}

/* i, e and C(n, k). NULL with p where it was: none of them. */
static struct math_node *parse_letter(struct math_parser *p)
{
  const struct math_token *t = p->token, *next = t + 1;
  bool bracket = next->type == MATH_T_CHAR && next->value == '(' && !next->space;
  switch (t->text[0]) {
    case 'i':
      return leaf(p, MATH_I);
    case 'e':
      return leaf(p, MATH_E);
    case 'C':
      return bracket ? parse_choice(p) : NULL;
    default:
      return NULL;
  }
}

static struct math_node *parse_name(struct math_parser *p)
{
  const struct math_token *t = p->token, *end = name_end(t);
  if (t->value == 'U') return math_fail(p, "a command that is not known here");
  if (t->length == 1 && end == t + 1) {
    struct math_node *n = parse_letter(p);
    if (n || p->m->rc) return n;
  }
  struct math_node *name = name_of(p, end);
  bool function = t->length == 1 && (t->text[0] == 'f' || t->text[0] == 'g');
  return name && function && math_at(p, '(') ? parse_apply(p, name) : name;
}

/* \overline{AB}, \vec{v}: a name of its own; over a sum, the conjugate. */
static struct math_node *parse_accent(struct math_parser *p)
{
  const struct math_token *t = p->token;
  struct math_parser ahead = *p;
  ahead.token++;
  struct math_node *n = math_parse_argument(&ahead);
  if (!n) return math_fail(p, ahead.why);
  bool bar = t->length >= 4 && (!memcmp(t->text, "\\bar", 4) || !memcmp(t->text, "\\ove", 4));
  if (bar && math_has(n, MATH_I)) {
    *p = ahead;
    return math_call(p->m, MATH_CONJUGATE, n, NULL);
  }
  return name_of(p, ahead.token);
}

/* ---- roots, fractions, brackets ---------------------------------------------------------------------------------- */

/* One digit of the number that stands here. */
static struct math_node *take_digit(struct math_parser *p)
{
  const struct math_token *t = p->token;
  struct math_node *n = math_decimal(p->m, t->text + p->inner, 1, 0);
  if (++p->inner == t->length) {
    p->inner = 0;
    p->token++;
  }
  return n;
}

struct math_node *math_parse_argument(struct math_parser *p)
{
  const struct math_token *t = p->token;
  if (math_at(p, '{')) return math_parse_primary(p);
  if (t->type == MATH_T_NUMBER && t->whole && t->length > 1) return take_digit(p);
  if (t->type == MATH_T_NUMBER || t->type == MATH_T_PI || t->type == MATH_T_NAME || t->type == MATH_T_ROOT ||
      t->type == MATH_T_SURD || t->type == MATH_T_FRACTION || t->type == MATH_T_FUNCTION ||
      t->type == MATH_T_INFINITY || t->type == MATH_T_WORD || math_at(p, '('))
    return math_parse_primary(p);
  return math_fail(p, "an argument is missing");
}

static struct math_node *parse_two(struct math_parser *p, bool fraction)
{
  p->token++;
  struct math_node *a = math_parse_argument(p), *b = a ? math_parse_argument(p) : NULL;
  if (p->inner) return math_fail(p, "digits behind a fraction without braces");
  if (!b) return NULL;
  return fraction ? math_two(p->m, MATH_QUOTIENT, a, b) : math_binomial(p->m, a, b);
}

static struct math_node *parse_root(struct math_parser *p)
{
  struct math_node *index = NULL, *under;
  p->token++;
  if (math_take(p, '[')) {
    index = math_parse_sum(p);
    if (!index) return NULL;
    if (!math_take(p, ']')) return math_fail(p, "the index of a root is not closed");
  }
  under = math_parse_primary(p);
  if (!index) index = math_integer(p->m, 2);
  return under ? math_call(p->m, MATH_ROOT, under, index) : NULL;
}

static struct math_node *parse_surd(struct math_parser *p)
{
  int index = p->token++->value;
  struct math_node *under = math_parse_primary(p);
  return under ? math_call(p->m, MATH_ROOT, under, math_integer(p->m, index)) : NULL;
}

static struct math_node *parse_between(struct math_parser *p, int close, enum math_function f)
{
  p->token++;
  bool bar = close == '|';
  p->bars = bar ? p->bars + 1 : 0;
  struct math_node *n = math_parse_sum(p);
  if (bar) p->bars--;
  if (!n) return NULL;
  return math_take(p, close) ? math_call(p->m, f, n, NULL) : math_fail(p, "a bracket is not closed");
}

/* {n \choose k} and a group, which may hold a list: {1, 2} is a set. */
static struct math_node *parse_group(struct math_parser *p)
{
  struct math_list items = {0};
  enum math_joint joint;
  int bars = p->bars;
  p->token++;
  p->bars = 0;
  if (math_at(p, '}')) return math_fail(p, "a group is empty");
  if (!math_parse_items(p, &items, &joint)) return NULL;
  p->bars = bars;
  if (p->token->type == MATH_T_CHOOSE && items.count == 1) {
    p->token++;
    struct math_node *below = math_parse_sum(p);
    if (!below || !math_take(p, '}')) return math_fail(p, "a group is not closed");
    return math_binomial(p->m, items.item[0], below);
  }
  if (!math_take(p, '}')) return math_fail(p, "a group is not closed");
  return items.count == 1 ? items.item[0] : math_new(p->m, MATH_SET, items.count, items.item);
}

static struct math_node *parse_signed(struct math_parser *p)
{
  int sign = p->token++->value;
  struct math_node *n = math_parse_factor(p);
  return n ? math_valued(p->m, MATH_SIGNS, sign, 1, &n) : NULL;
}

static struct math_node *parse_character(struct math_parser *p)
{
  switch (p->token->value) {
    case '{':
      return parse_group(p);
    case '(':
    case '[':
    case ']':
    case 'O':
    case '<':
      return math_parse_bracket(p);
    case '|':
      return parse_between(p, '|', MATH_ABS);
    case 'f':
      return parse_between(p, 'F', MATH_FLOOR);
    case 'k':
      return parse_between(p, 'K', MATH_CEIL);
    default:
      return math_fail(p, "a sign stands where a value should");
  }
}

static struct math_node *parse_constant(struct math_parser *p)
{
  switch (p->token->type) {
    case MATH_T_PI:
      return leaf(p, MATH_PI);
    case MATH_T_INFINITY:
      return leaf(p, MATH_INFINITY);
    case MATH_T_EMPTY:
      return leaf(p, MATH_SET);
    case MATH_T_REALS:
      p->token++;
      return math_leaf(p->m, MATH_SYMBOL, "\\R", 2, 0);
    default:
      return math_fail(p, p->token->type == MATH_T_END ? "the expression breaks off" : "it is no expression");
  }
}

static struct math_node *primary(struct math_parser *p)
{
  switch (p->token->type) {
    case MATH_T_NUMBER:
    case MATH_T_BASED:
      return math_parse_number(p);
    case MATH_T_NAME:
      return parse_name(p);
    case MATH_T_CHAR:
      return parse_character(p);
    case MATH_T_FRACTION:
      return parse_two(p, true);
    case MATH_T_BINOMIAL:
      return parse_two(p, false);
    case MATH_T_ROOT:
      return parse_root(p);
    case MATH_T_SURD:
      return parse_surd(p);
    case MATH_T_FUNCTION:
      return math_parse_call(p);
    case MATH_T_WORD:
      return math_parse_words(p);
    case MATH_T_CURRENCY:
      return math_parse_currency(p);
    case MATH_T_BEGIN:
      return math_parse_environment(p);
    case MATH_T_ACCENT:
      return parse_accent(p);
    case MATH_T_SIGNS:
      return parse_signed(p);
    default:
      return parse_constant(p);
  }
}

struct math_node *math_parse_primary(struct math_parser *p)
{
  if (p->m->rc) return NULL;
  if (!math_step(p->m, 1)) return math_fail(p, "the answer takes too many steps to read");
  if (++p->depth > MATH_MAX_DEPTH) return math_fail(p, "brackets are nested too deeply");
  struct math_node *n = primary(p);
  p->depth--;
  return n;
}
