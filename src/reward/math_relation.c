#include <string.h>
#include "reward/math_compare.h"
#include "reward/math_names.h"
#include "reward/math_set.h"

/* ---- equations --------------------------------------------------------------------------------------------------- */

static bool is_name(const struct math_node *n);

/* Names put together: AB, x + y, x - y, a/b. */
static bool are_names(const struct math_node *n)
{
  for (int i = 0; i < n->count; i++) {
    const struct math_node *part = n->child[i];
    if (n->kind == MATH_SUM && part->kind == MATH_NEGATE) part = part->child[0];
    if (!is_name(part)) return false;
  }
  return true;
}

/* Something that is named, not calculated: no numbers in it but for indices. x, f(x), the inverse of f, AB, x + y. */
static bool is_name(const struct math_node *n)
{
  switch (n->kind) {
    case MATH_SYMBOL:
    case MATH_WORDS:
      return true;
    case MATH_CALL:
      return n->value == MATH_APPLY || (n->value == MATH_ABS && is_name(n->child[0]));
    case MATH_POWER:
      return n->child[0]->kind == MATH_SYMBOL && math_is_integer(n->child[1], -1);
    case MATH_SUM:
    case MATH_PRODUCT:
    case MATH_QUOTIENT:
    case MATH_TUPLE:
      return are_names(n);
    default:
      return false;
  }
}

/* P(3) parses as a product: a capital letter times something in brackets names a value, as P(3) = 7 does. */
static bool is_named_value(const struct math_node *n)
{
  return n->kind == MATH_PRODUCT && n->count == 2 && n->child[0]->kind == MATH_SYMBOL && n->child[0]->length == 1 &&
         n->child[0]->text[0] >= 'A' && n->child[0]->text[0] <= 'Z' && n->child[1]->kind == MATH_NUMBER;
}

static bool has_letters(const struct math_node *n)
{
  return math_has(n, MATH_SYMBOL);
}

/* The term of a chain that counts: the last that is not behind an "about". */
static int last_exact(const struct math_node *n)
{
  int i = n->count - 1;
  while (i > 0 && n->text[i - 1] == MATH_ABOUT) i--;
  return i;
}

static bool all_equals(const struct math_node *n)
{
  for (size_t i = 0; i < n->length; i++)
    if (n->text[i] != MATH_EQUALS && n->text[i] != MATH_ABOUT) return false;
  return true;
}

struct math_node *math_assigned(struct math_node *n, struct math_node **name)
{
  *name = NULL;
  if (n->kind != MATH_RELATION || !all_equals(n)) return NULL;
  struct math_node *first = n->child[0], *last = n->child[last_exact(n)];
  if (last == first) last = n->text[0] == MATH_ABOUT && is_name(first) ? n->child[n->count - 1] : first;
  *name = first;
  if (is_name(first) || is_named_value(first) || !has_letters(first)) {
    if (has_letters(first) || !is_name(last)) return last;
  }
  /* 5 = x */
  if (is_name(last) && !has_letters(first)) {
    *name = last;
    return first;
  }
  return NULL;
}

static struct math_node *difference(struct math *m, struct math_node *n)
{
  return math_two(m, MATH_SUM, n->child[0], math_one(m, MATH_NEGATE, n->child[n->count - 1]));
}

static bool is_value_pair(const struct math_node *n)
{
  return math_is_value(n->child[0]) && math_is_value(n->child[n->count - 1]);
}

/* Both sides the same, in this order or the other. */
static enum math_verdict same_sides(struct math_comparison *c, struct math_node *gold, struct math_node *given)
{
  struct math_node *a = gold->child[0], *b = gold->child[gold->count - 1];
  struct math_node *x = given->child[0], *y = given->child[given->count - 1];
  if (math_compare(c, a, x) == MATH_EQUAL && math_compare(c, b, y) == MATH_EQUAL) return MATH_EQUAL;
  if (math_compare(c, a, y) == MATH_EQUAL && math_compare(c, b, x) == MATH_EQUAL) return MATH_EQUAL;
  return MATH_UNDECIDED;
}

static enum math_verdict compare_equations(struct math_comparison *c, struct math_node *gold, struct math_node *given)
{
  struct math_node *name, *other;
  struct math_node *a = math_assigned(gold, &name), *b = math_assigned(given, &other);
  if (a && b && math_same(name, other)) return math_compare(c, a, b);
  if (!is_value_pair(gold) || !is_value_pair(given)) return same_sides(c, gold, given);
  struct math_node *x = difference(c->m, gold), *y = difference(c->m, given);
  int sign;
  if (!x || !y) return MATH_UNDECIDED;
  enum math_verdict verdict = math_proportional(c->m, x, y, true, &sign);
  if (verdict == MATH_UNDECIDED && (verdict = same_sides(c, gold, given)) == MATH_UNDECIDED)
    verdict = math_value_proportional(c->m, x, y);
  return verdict == MATH_DIFFERENT ? math_differ(c, "the equations do not say the same") : verdict;
}

/* ---- inequalities of several letters ----------------------------------------------------------------------------- */

static bool is_greater(char sign)
{
  return sign == MATH_GREATER || sign == MATH_AT_LEAST;
}

static bool is_strict(char sign)
{
  return sign == MATH_GREATER || sign == MATH_LESS;
}

static enum math_verdict compare_inequalities(struct math_comparison *c, struct math_node *gold,
                                              struct math_node *given)
{
  char a = gold->text[0], b = given->text[0];
  int sign;
  struct math_node *x = difference(c->m, gold), *y = difference(c->m, given);
  if (is_strict(a) != is_strict(b)) return math_differ(c, "a strict inequality is no other one");
  if (!x || !y || !is_value_pair(gold) || !is_value_pair(given)) return MATH_UNDECIDED;
  if (math_proportional(c->m, x, y, false, &sign) != MATH_EQUAL) return math_differ(c, "the inequalities differ");
  return (sign > 0) == (is_greater(a) == is_greater(b)) ? MATH_EQUAL : math_differ(c, "the inequality is turned round");
}

static bool is_inequality(const struct math_node *n)
{
  return n->count == 2 && strchr("<>lg", n->text[0]);
}

static enum math_verdict compare_terms(struct math_comparison *c, struct math_node *gold, struct math_node *given)
{
  if (gold->length != given->length || memcmp(gold->text, given->text, gold->length) != 0)
    return math_differ(c, "the relation is another");
  for (int i = 0; i < gold->count; i++)
    if (math_compare(c, gold->child[i], given->child[i]) != MATH_EQUAL) return math_differ(c, "a side differs");
  return MATH_EQUAL;
}

enum math_verdict math_compare_relations(struct math_comparison *c, struct math_node *gold, struct math_node *given)
{
  if (all_equals(gold) && all_equals(given)) return compare_equations(c, gold, given);
  if (is_inequality(gold) && is_inequality(given)) return compare_inequalities(c, gold, given);
  return compare_terms(c, gold, given);
}

/* ---- values with units ------------------------------------------------------------------------------------------- */

static const struct math_unit degree = {.top = 1, .bottom = 1, .noun = "", .power = {[MATH_ANGLE] = 1}};

static bool is_plain(const struct math_unit *u)
{
  static const int8_t none[MATH_BASES] = {0};
  return !u->length && !memcmp(u->power, none, sizeof none);
}

/* Factor and unit of a in units of b: value * a / b. */
static struct math_node *converted(struct math *m, struct math_node *value, const struct math_unit *a,
                                   const struct math_unit *b)
{
  struct math_node *factor =
      math_two(m, MATH_QUOTIENT, math_two(m, MATH_PRODUCT, math_integer(m, a->top), math_integer(m, b->bottom)),
               math_two(m, MATH_PRODUCT, math_integer(m, a->bottom), math_integer(m, b->top)));
  if (!factor) return NULL;
  value = a->top == b->top && a->bottom == b->bottom ? value : math_two(m, MATH_PRODUCT, value, factor);
  if (a->pi == b->pi) return value;
  struct math_node *pi = math_leaf(m, MATH_PI, "", 0, 0), *e = math_integer(m, a->pi - b->pi);
  return pi && e ? math_two(m, MATH_PRODUCT, value, math_two(m, MATH_POWER, pi, e)) : NULL;
}

static struct math_node *split_sum(struct math *m, struct math_node *n, const struct math_unit **unit)
{
  struct math_list terms = {0};
  const struct math_unit *first = NULL, *next;
  for (int i = 0; i < n->count; i++) {
    struct math_node *value = math_split_unit(m, n->child[i], &next);
    if (!next || (first && (!math_unit_same_dimension(first, next) || !math_unit_same_noun(first, next)))) return n;
    if (first) value = converted(m, value, next, first);
    if (!first) first = next;
    if (!math_push(m, &terms, value)) return n;
  }
  *unit = first;
  return math_new(m, MATH_SUM, terms.count, terms.item);
}

static struct math_node *split_product(struct math *m, struct math_node *n, const struct math_unit **unit)
{
  struct math_list factors = {0};
  const struct math_unit *found = NULL, *next;
  for (int i = 0; i < n->count; i++) {
    struct math_node *value = math_split_unit(m, n->child[i], &next);
    if (next && (found || (n->kind == MATH_QUOTIENT && i))) return n;
    /* 45 degrees times pi / (180 degrees): what is left is a number. */
    if (!next && (math_has(value, MATH_DEGREE) || math_has(value, MATH_QUANTITY))) return n;
    if (next) found = next;
    if (!math_push(m, &factors, value)) return n;
  }
  *unit = found;
  return found ? math_new(m, n->kind, factors.count, factors.item) : n;
}

struct math_node *math_split_unit(struct math *m, struct math_node *n, const struct math_unit **unit)
{
  *unit = NULL;
  switch (n->kind) {
    case MATH_QUANTITY: {
      const struct math_unit *inner;
      struct math_node *value = math_split_unit(m, n->child[0], &inner);
      *unit = inner && is_plain(n->unit) ? inner : n->unit;
      if (is_plain(*unit)) *unit = NULL;
      return value;
    }
    case MATH_DEGREE:
      *unit = &degree;
      return n->child[0];
    case MATH_NEGATE: {
      struct math_node *value = math_split_unit(m, n->child[0], unit);
      return *unit ? math_one(m, MATH_NEGATE, value) : n;
    }
    case MATH_SUM:
      return split_sum(m, n, unit);
    case MATH_PRODUCT:
    case MATH_QUOTIENT:
      return split_product(m, n, unit);
    default:
      return n;
  }
}

static enum math_verdict values(struct math_comparison *c, struct math_node *a, struct math_node *b)
{
  enum math_verdict verdict = math_value_equal(c->m, a, b);
  return verdict == MATH_DIFFERENT ? math_differ(c, NULL) : verdict;
}

/* Whole digits without noughts in front; of a number with those at its end. */
struct digits {
  const char *text;
  size_t length, noughts;
};

static struct digits digits_of(const struct math_node *n)
{
  struct digits d = {n->text, n->length, n->kind == MATH_NUMBER ? (size_t)n->value : 0};
  while (d.length && *d.text == '0') d.text++, d.length--;
  return d;
}

static bool same_digits(struct digits based, struct digits other)
{
  if (based.length != other.length + other.noughts || memcmp(based.text, other.text, other.length) != 0) return false;
  for (size_t i = other.length; i < based.length; i++)
    if (based.text[i] != '0') return false;
  return true;
}

/* 52_8 with 52_8, or with 52, whose base was left out. */
static enum math_verdict compare_based(struct math_comparison *c, const struct math_node *gold,
                                       const struct math_node *given)
{
  const struct math_node *based = gold->kind == MATH_BASED ? gold : given, *other = based == gold ? given : gold;
  bool both = other->kind == MATH_BASED, whole = other->kind == MATH_NUMBER && other->value >= 0;
  if (both && other->value != based->value) return math_differ(c, "the base is another");
  if (!both && c->rules.strict) return math_differ(c, "the base is missing (strict)");
  if (!both && !whole) return math_differ(c, "one is written in a base");
  return same_digits(digits_of(based), digits_of(other)) ? MATH_EQUAL : math_differ(c, "the digits differ");
}

/* 3:30 p.m. is not 3:30 a.m. */
static bool same_units(struct math *m, const struct math_node *a, const struct math_node *b)
{
  const struct math_unit *u, *v;
  for (int i = 0; i < a->count; i++) {
    (void)math_split_unit(m, a->child[i], &u);
    (void)math_split_unit(m, b->child[i], &v);
    if (u && v && (!math_unit_same_dimension(u, v) || !math_unit_same_noun(u, v))) return false;
  }
  return true;
}

/* a : b : c against another, or 2 : 3 against 2/3 */
static enum math_verdict compare_ratios(struct math_comparison *c, struct math_node *gold, struct math_node *given)
{
  struct math *m = c->m;
  struct math_node *r = gold->kind == MATH_RATIO ? gold : given, *other = r == gold ? given : gold;
  if (other->kind != MATH_RATIO)
    return r->count == 2 ? values(c, math_two(m, MATH_QUOTIENT, r->child[0], r->child[1]), other)
                         : math_differ(c, "one is a ratio");
  if (r->count != other->count) return math_differ(c, "the ratios have different lengths");
  if (!same_units(m, r, other)) return math_differ(c, "the unit is another");
  for (int i = 1; i < r->count; i++) {
    struct math_node *left = math_two(m, MATH_PRODUCT, r->child[0], other->child[i]);
    struct math_node *right = math_two(m, MATH_PRODUCT, r->child[i], other->child[0]);
    enum math_verdict verdict = left && right ? values(c, left, right) : MATH_UNDECIDED;
    if (verdict != MATH_EQUAL) return verdict;
  }
  return MATH_EQUAL;
}

static enum math_verdict plain_values(struct math_comparison *c, struct math_node *a, struct math_node *b)
{
  if (a->kind == MATH_BASED || b->kind == MATH_BASED) return compare_based(c, a, b);
  if (a->kind == MATH_RATIO || b->kind == MATH_RATIO) return compare_ratios(c, a, b);
  enum math_verdict verdict = values(c, a, b);
  /* A percent sign may be left out, as a unit may; below 1 it could be meant either way. */
  bool percent = (a->kind == MATH_PERCENT) != (b->kind == MATH_PERCENT);
  if (verdict != MATH_DIFFERENT || !percent || c->rules.strict) return verdict;
  a = a->kind == MATH_PERCENT ? a->child[0] : a;
  b = b->kind == MATH_PERCENT ? b->child[0] : b;
  return math_at_least_one(c->m, a) ? values(c, a, b) : verdict;
}

/* Both have a unit. */
static enum math_verdict compare_quantities(struct math_comparison *c, struct math_node *a, const struct math_unit *u,
                                            struct math_node *b, const struct math_unit *v)
{
  bool same = u->top == v->top && u->bottom == v->bottom && u->pi == v->pi, nouns = !u->length == !v->length;
  if (!nouns || !math_unit_same_dimension(u, v) || !math_unit_same_noun(u, v))
    return math_differ(c, "the unit is another");
  if (same) return plain_values(c, a, b);
  if (c->rules.units == MATH_UNITS_SAME) return math_differ(c, "the unit is another");
  b = converted(c->m, b, v, u);
  enum math_verdict verdict = b ? plain_values(c, a, b) : MATH_UNDECIDED;
  return verdict == MATH_DIFFERENT ? math_differ(c, "the unit is another") : verdict;
}

enum math_verdict math_compare_values(struct math_comparison *c, struct math_node *gold, struct math_node *given)
{
  const struct math_unit *u, *v;
  struct math_node *a = math_split_unit(c->m, gold, &u), *b = math_split_unit(c->m, given, &v);
  if (!a || !b) return MATH_UNDECIDED;
  if (u && v && c->rules.units != MATH_UNITS_IGNORE) return compare_quantities(c, a, u, b, v);
  bool missing = !u != !v && c->rules.units != MATH_UNITS_IGNORE;
  return missing && c->rules.strict ? math_differ(c, "a unit is missing (strict)") : plain_values(c, a, b);
}
