#include "reward/math_parse.h"
#include <string.h>
#include "reward/math_parser.h"

struct math_node *math_fail(struct math_parser *p, const char *why)
{
  if (!p->why) p->why = why;
  return NULL;
}

bool math_at(const struct math_parser *p, int c)
{
  return p->token->type == MATH_T_CHAR && p->token->value == c;
}

bool math_take(struct math_parser *p, int c)
{
  if (!math_at(p, c)) return false;
  p->token++;
  return true;
}

const struct math_token *math_ahead(const struct math_parser *p)
{
  return p->token->type == MATH_T_END ? p->token : p->token + 1;
}

static bool is_joint(const struct math_parser *p)
{
  return (p->token->type == MATH_T_ROW && !p->rows) || math_at(p, ',') || math_at(p, ';') ||
         math_word_is(p->token, "and") || math_word_is(p->token, "or");
}

/* ", and", "or": one or more tokens. False: none. */
static bool take_joint(struct math_parser *p, enum math_joint *joint)
{
  bool found = is_joint(p);
  while (is_joint(p)) {
    if (math_word_is(p->token, "or")) *joint = MATH_OR;
    if (math_word_is(p->token, "and") && *joint == MATH_COMMA) *joint = MATH_AND;
    p->token++;
  }
  return found;
}

/* "Area =", "The answer is", "Maximum:": words in front of the value are left out. */
static void skip_label(struct math_parser *p)
{
  const struct math_token *t = p->token;
  while (t->type == MATH_T_WORD && !math_word_is(t, "is") && !math_word_is(t, "are")) t++;
  if (t->type == MATH_T_WORD) {
    p->token = t + 1;
  } else if (t > p->token &&
             ((t->type == MATH_T_SIGN && t->value == MATH_EQUALS) || (t->type == MATH_T_CHAR && t->value == ':'))) {
    p->token = t + 1;
  }
}

static bool ends_item(const struct math_parser *p)
{
  const struct math_token *t = p->token;
  return t->type == MATH_T_END || t->type == MATH_T_ARROW || t->type == MATH_T_FINISH || t->type == MATH_T_ROW ||
         (t->type == MATH_T_CHAR && strchr(")]}CFK>", t->value)) || is_joint(p);
}

static struct math_node *parse_set(struct math_parser *p)
{
  struct math_node *left = math_parse_sum(p);
  while (left && (p->token->type == MATH_T_UNION || p->token->type == MATH_T_INTERSECTION ||
                  p->token->type == MATH_T_DIFFERENCE)) {
    enum math_kind kind = p->token->type == MATH_T_UNION          ? MATH_UNION
                          : p->token->type == MATH_T_INTERSECTION ? MATH_INTERSECTION
                                                                  : MATH_DIFFERENCE;
    p->token++;
    left = math_two(p->m, kind, left, math_parse_sum(p));
  }
  return left;
}

/* a : b : c */
static struct math_node *parse_ratio(struct math_parser *p)
{
  struct math_list terms = {0};
  struct math_node *first = parse_set(p);
  if (!first || p->builder || !math_at(p, ':')) return first;
  math_push(p->m, &terms, first);
  while (math_take(p, ':'))
    if (!math_push(p->m, &terms, parse_set(p))) return NULL;
  return math_new(p->m, MATH_RATIO, terms.count, terms.item);
}

struct math_node *math_parse_item(struct math_parser *p)
{
  enum { MOST = 16 };
  char signs[MOST];
  size_t count = 0;
  struct math_list terms = {0};
  skip_label(p);
  bool about = p->token->type == MATH_T_SIGN && p->token->value == MATH_ABOUT;
  if (about) p->token++;
  if (!math_push(p->m, &terms, parse_ratio(p))) return NULL;
  while (p->token->type == MATH_T_SIGN) {
    if (count == MOST) return math_fail(p, "a chain of more than 16 relations");
    signs[count++] = (char)p->token->value;
    p->token++;
    if (!math_push(p->m, &terms, parse_ratio(p))) return NULL;
  }
  if (!count) return terms.item[0];
  char *text = arena_strndup(p->m->arena, signs, count, "math", p->m->err);
  if (!text) {
    p->m->rc = ERROR_RESOURCE;
    return NULL;
  }
  struct math_node *n = math_new(p->m, MATH_RELATION, terms.count, terms.item);
  if (!n) return NULL;
  n->text = text;
  n->length = count;
  n->hash ^= math_hash(text, count, 7);
  return n;
}

bool math_parse_items(struct math_parser *p, struct math_list *items, enum math_joint *joint)
{
  *joint = MATH_COMMA;
  if (++p->depth > MATH_MAX_DEPTH) return math_fail(p, "brackets are nested too deeply") != NULL;
  do {
    if (items->count && ends_item(p)) break; /* a comma at the end */
    if (!math_push(p->m, items, math_parse_item(p))) return false;
  } while (take_joint(p, joint));
  p->depth--;
  return true;
}

/* ---- sums and products ------------------------------------------------------------------------------------------- */

bool math_starts_factor(const struct math_parser *p)
{
  const struct math_token *t = p->token;
  switch (t->type) {
    case MATH_T_NUMBER:
    case MATH_T_NAME:
    case MATH_T_FRACTION:
    case MATH_T_ROOT:
    case MATH_T_SURD:
    case MATH_T_BINOMIAL:
    case MATH_T_BEGIN:
    case MATH_T_PI:
    case MATH_T_INFINITY:
    case MATH_T_ACCENT:
    case MATH_T_BASED:
      return true;
    case MATH_T_FUNCTION:
      return t->value != MATH_MOD;
    case MATH_T_CHAR:
      return strchr("({Ofk<", t->value) || (t->value == '|' && !p->bars && !p->builder);
    default:
      return false;
  }
}

/* What may stand in front of a number without a sign between them. */
static bool number_may_follow(const struct math_token *before)
{
  return before->type == MATH_T_CHAR && strchr(")}", before->value);
}

static struct math_node *make_product(struct math *m, const struct math_list *factors)
{
  return factors->count == 1 ? factors->item[0] : math_new(m, MATH_PRODUCT, factors->count, factors->item);
}

static struct math_node *signed_factor(struct math_parser *p)
{
  bool negative = false;
  while (math_at(p, '-') || math_at(p, '+')) negative ^= p->token++->value == '-';
  struct math_node *n = math_parse_factor(p);
  return negative ? math_one(p->m, MATH_NEGATE, n) : n;
}

/* Takes one more factor into the product. False: there is none, or (*bad) a failure. */
static bool take_factor(struct math_parser *p, struct math_list *factors, bool *bad)
{
  struct math *m = p->m;
  struct math_node *next;
  *bad = true;
  if (math_take(p, '*')) return math_push(m, factors, signed_factor(p));
  if (math_take(p, '/')) {
    next = signed_factor(p);
    struct math_node *left = next ? math_two(m, MATH_QUOTIENT, make_product(m, factors), next) : NULL;
    factors->count = 0;
    return math_push(m, factors, left);
  }
  if (p->token->type == MATH_T_FUNCTION && p->token->value == MATH_MOD) {
    p->token++;
    next = math_parse_factor(p);
    struct math_node *left = next ? math_call(m, MATH_MOD, make_product(m, factors), next) : NULL;
    factors->count = 0;
    return math_push(m, factors, left);
  }
  if (math_starts_factor(p)) {
    if (p->token->type == MATH_T_NUMBER && !number_may_follow(p->token - 1)) {
      *bad = factors->item[factors->count - 1]->kind != MATH_QUANTITY;
      return *bad && math_fail(p, "two numbers stand side by side");
    }
    return math_push(m, factors, math_parse_factor(p));
  }
  *bad = false;
  return false;
}

static struct math_node *parse_term(struct math_parser *p)
{
  struct math_list factors = {0};
  bool bad;
  if (!math_push(p->m, &factors, math_parse_factor(p))) return NULL;
  for (;;) {
    if (math_word_is(p->token, "choose") && p->token++) {
      struct math_node *below = math_parse_factor(p), *above = make_product(p->m, &factors);
      factors.count = 0;
      if (!below || !math_push(p->m, &factors, math_binomial(p->m, above, below))) return NULL;
    } else if (p->token->type == MATH_T_WORD) {
      const struct math_token *before = p->token;
      struct math_node *with = math_parse_unit(p, make_product(p->m, &factors));
      if (!with) return NULL;
      factors.count = 0;
      math_push(p->m, &factors, with);
      if (p->token == before) break;
    }
    if (!take_factor(p, &factors, &bad)) {
      if (bad) return NULL;
      break;
    }
  }
  return make_product(p->m, &factors);
}

/* A sign in front of a term: 1, -1, or 0 where there is none; *both: +- or -+. */
static int take_sign(struct math_parser *p, bool *both)
{
  *both = p->token->type == MATH_T_SIGNS;
  if (*both) return p->token++->value;
  if (math_take(p, '+')) return 1;
  return math_take(p, '-') ? -1 : 0;
}

/* The signs in front of a term multiplied: "- -5", "+ -x". 0: none. */
static int take_signs(struct math_parser *p, int *both)
{
  int sign = 0, next;
  bool plus_minus;
  for (*both = 0; (next = take_sign(p, &plus_minus)) != 0; sign = sign ? sign : 1) {
    if (plus_minus)
      *both = next;
    else
      sign = (sign ? sign : 1) * next;
    if (plus_minus && !sign) sign = 1;
  }
  return sign;
}

static struct math_node *signed_term(struct math_parser *p, int sign, int both)
{
  struct math_node *n = parse_term(p);
  if (n && both) n = math_valued(p->m, MATH_SIGNS, both, 1, &n);
  return n && sign < 0 ? math_one(p->m, MATH_NEGATE, n) : n;
}

struct math_node *math_parse_sum(struct math_parser *p)
{
  struct math_list terms = {0};
  int both, sign = take_signs(p, &both);
  if (++p->depth > MATH_MAX_DEPTH) return math_fail(p, "brackets are nested too deeply");
  if (!math_push(p->m, &terms, signed_term(p, sign, both))) return NULL;
  for (;;) {
    /* 5 feet 3 inches */
    bool joined = p->token->type == MATH_T_NUMBER && math_has(terms.item[terms.count - 1], MATH_QUANTITY);
    sign = joined ? 1 : take_signs(p, &both);
    if (!sign) break;
    if (!math_push(p->m, &terms, signed_term(p, sign, joined ? 0 : both))) return NULL;
  }
  p->depth--;
  return terms.count == 1 ? terms.item[0] : math_new(p->m, MATH_SUM, terms.count, terms.item);
}

/* ---- powers ------------------------------------------------------------------------------------------------------ */

/* What stands behind ^: a group, or one number, name or bracket, with a sign if need be. */
static struct math_node *parse_exponent(struct math_parser *p)
{
  bool negative = false;
  if (++p->depth > MATH_MAX_DEPTH) return math_fail(p, "powers are nested too deeply");
  while (math_at(p, '-') || math_at(p, '+')) negative ^= p->token++->value == '-';
  struct math_node *n = math_at(p, '*') ? (p->token++, math_leaf(p->m, MATH_SYMBOL, "*", 1, 0)) : math_parse_primary(p);
  if (n && math_take(p, '^')) n = math_two(p->m, MATH_POWER, n, parse_exponent(p));
  p->depth--;
  return negative ? math_one(p->m, MATH_NEGATE, n) : n;
}

/* "^\circ", "^{\circ}", "^\circ C", or the sign alone. */
static bool take_degree(struct math_parser *p)
{
  const struct math_token *t = p->token;
  if (t->type == MATH_T_CHAR && t->value == '^') t++;
  bool brace = t->type == MATH_T_CHAR && t->value == '{';
  if (brace) t++;
  if (t->type != MATH_T_DEGREE) return false;
  t++;
  if (brace && !(t->type == MATH_T_CHAR && t->value == '}')) return false;
  p->token = t + brace;
  return true;
}

static struct math_node *add_degree(struct math_parser *p, struct math_node *n)
{
  const struct math_token *t = p->token;
  bool letter = (t->type == MATH_T_NAME || t->type == MATH_T_WORD) && t->length == 1 && t->value != 'U';
  if (!letter || (t->text[0] != 'C' && t->text[0] != 'F')) return math_one(p->m, MATH_DEGREE, n);
  p->token++;
  return math_quantity(p->m, n, t->text[0] == 'C' ? "celsius" : "fahrenheit");
}

struct math_node *math_parse_factor(struct math_parser *p)
{
  struct math_node *n = math_parse_primary(p);
  while (n) {
    if (take_degree(p)) {
      n = add_degree(p, n);
    } else if (math_take(p, '^')) {
      n = math_two(p->m, MATH_POWER, n, parse_exponent(p));
    } else if (math_take(p, '!')) {
      n = math_call(p->m, math_take(p, '!') ? MATH_DOUBLE_FACTORIAL : MATH_FACTORIAL, n, NULL);
    } else if (math_take(p, '%')) {
      n = math_one(p->m, MATH_PERCENT, n);
    } else if (math_word_is(p->token, "percent")) {
      p->token++;
      n = math_one(p->m, MATH_PERCENT, n);
    } else {
      break;
    }
  }
  return n;
}

/* ---- the answer -------------------------------------------------------------------------------------------------- */

struct math_node *math_parse(struct math *m, const struct math_tokens *tokens, const char **why)
{
  struct math_parser p = {.m = m, .token = tokens->token};
  struct math_list items;
  enum math_joint joint;
  *why = tokens->why;
  if (*why) return NULL;
  if (!tokens->count) {
    *why = "the answer is empty";
    return NULL;
  }
  do {
    items = (struct math_list){0};
    if (!math_parse_items(&p, &items, &joint)) {
      *why = p.why ? p.why : "it is no expression";
      return NULL;
    }
  } while (p.token->type == MATH_T_ARROW && p.token++->type);
  if (p.token->type != MATH_T_END) {
    *why = "something stands behind the expression";
    return NULL;
  }
  return items.count == 1 ? items.item[0] : math_valued(m, MATH_LIST, joint, items.count, items.item);
}
