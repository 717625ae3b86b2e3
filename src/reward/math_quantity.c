#include <string.h>
#include "reward/math_names.h"
#include "reward/math_parser.h"

/* ---- functions --------------------------------------------------------------------------------------------------- */

static int inverse(int f)
{
  static const int pairs[][2] = {{MATH_SIN, MATH_ASIN},   {MATH_COS, MATH_ACOS},   {MATH_TAN, MATH_ATAN},
                                 {MATH_COT, MATH_ACOT},   {MATH_SEC, MATH_ASEC},   {MATH_CSC, MATH_ACSC},
                                 {MATH_SINH, MATH_ASINH}, {MATH_COSH, MATH_ACOSH}, {MATH_TANH, MATH_ATANH}};
  for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
    if (pairs[i][0] == f) return pairs[i][1];
  return -1;
}

/* What a function without brackets takes: numbers, letters, roots and fractions, multiplied. */
static struct math_node *bare_argument(struct math_parser *p)
{
  struct math_list factors = {0};
  bool negative = math_take(p, '-');
  do {
    if (factors.count && p->token->type == MATH_T_NUMBER) break;
    if (!math_push(p->m, &factors, math_parse_factor(p))) return NULL;
  } while (p->token->type == MATH_T_NAME || p->token->type == MATH_T_PI || p->token->type == MATH_T_FRACTION ||
           p->token->type == MATH_T_ROOT || p->token->type == MATH_T_SURD);
  struct math_node *n =
      factors.count == 1 ? factors.item[0] : math_new(p->m, MATH_PRODUCT, factors.count, factors.item);
  /* \cos \pi/3 */
  if (n && math_at(p, '/') && math_has(n, MATH_PI) && math_ahead(p)->type == MATH_T_NUMBER) {
    p->token++;
    n = math_two(p->m, MATH_QUOTIENT, n, math_parse_primary(p));
  }
  return negative ? math_one(p->m, MATH_NEGATE, n) : n;
}

/* The arguments: in brackets, as a group, or bare. */
static bool take_arguments(struct math_parser *p, struct math_list *items)
{
  enum math_joint joint;
  int bars = p->bars;
  if (!math_at(p, '(')) return math_push(p->m, items, bare_argument(p));
  p->token++;
  p->bars = 0;
  if (!math_parse_items(p, items, &joint)) return false;
  p->bars = bars;
  return math_take(p, ')') || math_fail(p, "a bracket is not closed") != NULL;
}

static struct math_node *make_logarithm(struct math *m, int f, struct math_node *a, struct math_node *base)
{
  bool natural = f == MATH_LN || (base && base->kind == MATH_E);
  if (!natural && !base) base = math_integer(m, 10);
  if (!natural) return base ? math_call(m, MATH_LOG, a, base) : NULL;
  /* ln e^x is x for every real x */
  if (a->kind == MATH_E) return math_integer(m, 1);
  if (a->kind == MATH_POWER && a->child[0]->kind == MATH_E) return a->child[1];
  return math_call(m, MATH_LN, a, NULL);
}

static struct math_node *make_call(struct math_parser *p, int f, struct math_node *base, const struct math_list *items)
{
  struct math *m = p->m;
  struct math_node *a = items->item[0];
  bool many = f == MATH_GCD || f == MATH_LCM || f == MATH_MAX || f == MATH_MIN;
  if (many) return math_valued(m, MATH_CALL, f, items->count, items->item);
  if (f == MATH_BINOMIAL && items->count == 2) return math_binomial(m, a, items->item[1]);
  if (items->count != 1 || f == MATH_BINOMIAL) return math_fail(p, "a function with a list of arguments");
  if (f == MATH_EXP) return math_two(m, MATH_POWER, math_leaf(m, MATH_E, "", 0, 0), a);
  if (f == MATH_LN || f == MATH_LOG) return make_logarithm(m, f, a, base);
  return math_call(m, (enum math_function)f, a, NULL);
}

/* C(n, k); for a small k as n (n - 1) ... / k!, which algebra can deal with. */
struct math_node *math_binomial(struct math *m, struct math_node *n, struct math_node *k)
{
  int64_t count, of, factorial = 1;
  struct math_list factors = {0};
  if (!n || !k) return NULL;
  if (math_small(n, &of) || !math_small(k, &count) || count < 1 || count > 12) return math_call(m, MATH_BINOMIAL, n, k);
  for (int64_t i = 0; i < count; i++) {
    struct math_node *less = math_integer(m, -i);
    if (!less || !math_push(m, &factors, math_two(m, MATH_SUM, n, less))) return NULL;
    factorial *= i + 1;
  }
  struct math_node *top = math_new(m, MATH_PRODUCT, factors.count, factors.item);
  return math_two(m, MATH_QUOTIENT, top, math_integer(m, factorial));
}

struct math_node *math_parse_call(struct math_parser *p)
{
  int f = p->token++->value;
  struct math_node *power = NULL, *base = NULL;
  struct math_list items = {0};
  if (f == MATH_MOD) return math_fail(p, "a modulus without a number");
  for (int i = 0; i < 2; i++) {
    if (math_take(p, '_') && !(base = math_parse_argument(p))) return NULL;
    if (math_take(p, '^') && !(power = math_parse_argument(p))) {
      if (!math_take(p, '-')) return NULL;
      power = math_one(p->m, MATH_NEGATE, math_parse_argument(p));
    }
  }
  int64_t exponent;
  if (power && math_small(power, &exponent) && exponent == -1 && inverse(f) >= 0) {
    f = inverse(f);
    power = NULL;
  }
  if (!take_arguments(p, &items)) return NULL;
  struct math_node *n = make_call(p, f, base, &items);
  return power && n ? math_two(p->m, MATH_POWER, n, power) : n;
}

/* ---- words ------------------------------------------------------------------------------------------------------- */

/* What goes on with a number in words: a hyphen between words, "and" behind a hundred. */
static bool is_link(const struct math_token *t, int64_t group)
{
  if (t->type == MATH_T_END || t[1].type != MATH_T_WORD) return false;
  if (t->type == MATH_T_CHAR && t->value == '-') return true;
  return math_word_is(t, "and") && group && group % 100 == 0;
}

/* Adds a word's value to the number that is being read: total is what is complete up to a thousand. */
static void add_word(const struct math_token *t, int64_t value, int64_t *total, int64_t *group)
{
  bool scale = value == 100 || math_word_is(t, "dozen");
  if (value >= 1000) {
    *total += (*group ? *group : 1) * value;
    *group = 0;
  } else if (scale) {
    *group = (*group ? *group : 1) * value;
  } else {
    *group += value;
  }
}

/* "twenty-one", "three hundred and five", "two thirds", "half". */
struct math_node *math_parse_words(struct math_parser *p)
{
  int64_t total = 0, group = 0, value;
  bool any = false;
  for (;; p->token++) {
    const struct math_token *t = p->token;
    if (any && is_link(t, group)) continue;
    value = t->type == MATH_T_WORD ? math_number_word(t->text, t->length) : -1;
    if (value < 0 || total > 1000000000000000 || group > 100000) break;
    add_word(t, value, &total, &group);
    any = true;
  }
  int part = p->token->type == MATH_T_WORD ? math_part_word(p->token->text, p->token->length) : 0;
  if (!any && !part) return math_fail(p, "words that are no number");
  struct math_node *n = math_integer(p->m, any ? total + group : 1);
  if (!part) return n;
  p->token++;
  return math_two(p->m, MATH_QUOTIENT, n, math_integer(p->m, part));
}

/* ---- units ------------------------------------------------------------------------------------------------------- */

static struct math_node *with_unit(struct math *m, struct math_node *value, const struct math_unit *unit)
{
  struct math_unit *kept = ARENA_NEW(m->arena, struct math_unit, 1, "math", m->err);
  struct math_node *n = math_one(m, MATH_QUANTITY, value);
  if (!kept) m->rc = ERROR_RESOURCE;
  if (!kept || !n) return NULL;
  *kept = *unit;
  n->unit = kept;
  return n;
}

struct math_node *math_quantity(struct math *m, struct math_node *value, const char *noun)
{
  struct math_unit unit = {.top = 1, .bottom = 1, .noun = noun, .length = strlen(noun)};
  return with_unit(m, value, &unit);
}

/* "square", "cubic" in front of a unit; "squared", "cubed", ^2 behind it. */
static int take_power_word(struct math_parser *p, const char *two, const char *three)
{
  if (math_word_is(p->token, two) || (two[2] == 'u' && two[6] == 0 && math_word_is(p->token, "sq")))
    return p->token++, 2;
  if (math_word_is(p->token, three)) return p->token++, 3;
  return 1;
}

static int take_power(struct math_parser *p)
{
  int64_t value;
  int power = take_power_word(p, "squared", "cubed");
  if (power != 1 || !math_at(p, '^')) return power;
  struct math_parser ahead = *p;
  ahead.token++;
  bool negative = math_take(&ahead, '-');
  struct math_node *n = math_parse_primary(&ahead);
  if (!n || !math_small(n, &value) || value < -6 || value > 6) return 1;
  *p = ahead;
  return negative ? -(int)value : (int)value;
}

static bool ends_unit(const struct math_parser *p)
{
  return p->token->type != MATH_T_WORD || math_word_is(p->token, "and") || math_word_is(p->token, "or") ||
         math_word_is(p->token, "not") || math_word_is(p->token, "is");
}

/* The next unit of a product, or a word of a noun. */
static bool take_unit(struct math_parser *p, int sign, struct math_unit *unit)
{
  struct math_unit one;
  int how, before = take_power_word(p, "square", "cubic");
  if (ends_unit(p)) return false;
  const struct math_token *t = p->token++;
  if (!math_unit_find(t->text, t->length, &one, &how)) {
    /* Words of a noun are kept as one text. */
    if (unit->length && t->text > unit->noun && (size_t)(t->text - unit->noun) < 200)
      unit->length = (size_t)(t->text - unit->noun) + t->length;
    else if (!unit->length && !math_is_keyword(t->text, t->length))
      unit->noun = t->text, unit->length = t->length;
    return true;
  }
  int power = take_power(p);
  return math_unit_times(unit, &one, sign * before * power);
}

static bool is_degree(const struct math_unit *u)
{
  return u->power[MATH_ANGLE] == 1 && !u->pi && !u->length && u->top == 1 && u->bottom == 1 && !u->power[MATH_LENGTH] &&
         !u->power[MATH_TIME];
}

/* "/", "per", "*" or "." in front of a further unit: its sign in *sign. False: none. */
static bool take_joint(struct math_parser *p, bool first, int *sign)
{
  bool per = math_at(p, '/') || math_word_is(p->token, "per");
  bool times = !first && (math_at(p, '*') || math_at(p, '.'));
  if ((!per && !times) || math_ahead(p)->type != MATH_T_WORD) return false;
  *sign = per ? -1 : 1;
  p->token++;
  return true;
}

struct math_node *math_parse_unit(struct math_parser *p, struct math_node *value)
{
  struct math_unit unit = {.top = 1, .bottom = 1, .noun = ""};
  const struct math_token *start = p->token;
  if (!value) return NULL;
  for (int words = 0; words < 8; words++) {
    int sign = 1;
    if (!take_joint(p, !words, &sign) && (ends_unit(p) || math_word_is(p->token, "per"))) break;
    if (!take_unit(p, sign, &unit)) break;
  }
  if (p->token == start) return value;
  return is_degree(&unit) ? math_one(p->m, MATH_DEGREE, value) : with_unit(p->m, value, &unit);
}

struct math_node *math_parse_currency(struct math_parser *p)
{
  const struct math_token *t = p->token++;
  struct math_unit unit = {.top = 1, .bottom = 1, .noun = ""};
  bool negative = math_take(p, '-');
  struct math_node *value = math_parse_factor(p);
  if (!value) return NULL;
  if (t->text[t->length - 1] == '$') {
    unit.power[MATH_MONEY] = 1;
  } else {
    unit.noun = t->text[1] == 'e' ? "euro" : t->text[1] == 'y' ? "yen" : t->text[1] == 'r' ? "rupee" : "pound sterling";
    unit.length = strlen(unit.noun);
  }
  struct math_node *n = with_unit(p->m, value, &unit);
  return negative ? math_one(p->m, MATH_NEGATE, n) : n;
}
