#include "reward/math_compare.h"
#include <string.h>
#include "reward/math_names.h"
#include "reward/math_set.h"

enum { MOST_ITEMS = 256, MOST_DEPTH = 12 };

enum math_verdict math_differ(struct math_comparison *c, const char *why)
{
  if (!c->why) c->why = why;
  return MATH_DIFFERENT;
}

/* ---- signs ------------------------------------------------------------------------------------------------------- */

struct choice {
  struct math *m;
  unsigned bits;
  int next;
  bool linked; /* one choice for all signs: there is a -+ */
};

static struct math_node *choose(struct choice *c, struct math_node *n)
{
  if (n->kind == MATH_SIGNS) {
    int bit = c->linked ? 0 : c->next++;
    bool minus = (c->bits >> bit & 1) != (unsigned)(n->value < 0);
    struct math_node *inner = choose(c, n->child[0]);
    return minus ? math_one(c->m, MATH_NEGATE, inner) : inner;
  }
  if (!math_has(n, MATH_SIGNS)) return n;
  struct math_list list = {0};
  for (int i = 0; i < n->count; i++)
    if (!math_push(c->m, &list, choose(c, n->child[i]))) return NULL;
  struct math_node *copy = math_valued(c->m, n->kind, n->value, list.count, list.item);
  if (!copy) return NULL;
  copy->text = n->text;
  copy->length = n->length;
  copy->open = n->open;
  copy->close = n->close;
  copy->unit = n->unit;
  copy->hash ^= n->hash;
  return copy;
}

static int count_signs(const struct math_node *n, bool *linked)
{
  int count = n->kind == MATH_SIGNS;
  if (count && n->value < 0) *linked = true;
  for (int i = 0; i < n->count; i++) count += count_signs(n->child[i], linked);
  return count;
}

bool math_expand_signs(struct math *m, struct math_node *n, struct math_list *out)
{
  bool linked = false;
  int count = count_signs(n, &linked);
  if (linked && count) count = 1;
  if (count > 4) return false;
  for (unsigned bits = 0; bits < 1u << count; bits++) {
    struct choice c = {.m = m, .bits = bits, .linked = linked};
    if (!math_push(m, out, choose(&c, n))) return false;
  }
  return true;
}

/* ---- lists ------------------------------------------------------------------------------------------------------- */

/* The elements of a list or set, +- written out; anything else is a list of one. */
static bool items_of(struct math *m, struct math_node *n, struct math_list *out)
{
  bool many = n->kind == MATH_LIST || n->kind == MATH_SET;
  if (!many)
    return n->kind == MATH_TUPLE || n->kind == MATH_MATRIX ? math_push(m, out, n) : math_expand_signs(m, n, out);
  for (int i = 0; i < n->count; i++)
    if (!items_of(m, n->child[i], out) || out->count > MOST_ITEMS) return false;
  return true;
}

static bool equal(struct math_comparison *c, struct math_node *a, struct math_node *b, bool *undecided)
{
  const char *why = c->why;
  enum math_verdict verdict = math_compare(c, a, b);
  if (verdict == MATH_UNDECIDED) *undecided = true;
  c->why = why;
  return verdict == MATH_EQUAL;
}

/* Every element of a has one of b: each of b is used once, or (sets) as often as one likes. */
static bool covered(struct math_comparison *c, const struct math_list *a, const struct math_list *b, bool once,
                    bool swap, bool *undecided)
{
  bool used[4 * MOST_ITEMS] = {false};
  for (int i = 0; i < a->count; i++) {
    int j = 0;
    for (; j < b->count; j++) {
      if (used[j] && once) continue;
      if (equal(c, swap ? b->item[j] : a->item[i], swap ? a->item[i] : b->item[j], undecided)) break;
    }
    if (j == b->count) return false;
    used[j] = true;
  }
  return true;
}

static enum math_verdict in_order(struct math_comparison *c, const struct math_list *a, const struct math_list *b,
                                  const char *why)
{
  if (a->count != b->count) return math_differ(c, "the number of entries is another");
  for (int i = 0; i < a->count; i++) {
    enum math_verdict verdict = math_compare(c, a->item[i], b->item[i]);
    if (verdict == MATH_DIFFERENT) return math_differ(c, why);
    if (verdict == MATH_UNDECIDED) return verdict;
  }
  return MATH_EQUAL;
}

static enum math_verdict in_any_order(struct math_comparison *c, const struct math_list *a, const struct math_list *b,
                                      bool sets)
{
  bool undecided = false;
  if (!sets && a->count != b->count) {
    if (a->count == 1) return math_differ(c, "more than one answer is given");
    return math_differ(c, "the number of answers is another");
  }
  bool same = covered(c, a, b, !sets, false, &undecided) && (!sets || covered(c, b, a, false, true, &undecided));
  if (same) return MATH_EQUAL;
  return undecided ? MATH_UNDECIDED : math_differ(c, "not every element is the same");
}

/* Equations of different letters: x = 1, y = 2. */
static bool are_assignments(const struct math_list *l)
{
  struct math_node *name, *other;
  for (int i = 0; i < l->count; i++) {
    if (!math_assigned(l->item[i], &name) || !name || name->kind != MATH_SYMBOL) return false;
    for (int j = 0; j < i; j++)
      if (math_assigned(l->item[j], &other) && math_same(name, other)) return false;
  }
  return l->count > 1;
}

static bool name_before(const struct math_node *a, const struct math_node *b)
{
  struct math_node *x = NULL, *y = NULL;
  (void)math_assigned((struct math_node *)a, &x);
  (void)math_assigned((struct math_node *)b, &y);
  size_t n = x->length < y->length ? x->length : y->length;
  int order = memcmp(x->text, y->text, n);
  return order ? order < 0 : x->length < y->length;
}

/* Their right sides in the order of the letters. */
static void sort_assigned(struct math_list *l)
{
  struct math_node *name;
  for (int i = 1; i < l->count; i++)
    for (int j = i; j > 0 && name_before(l->item[j], l->item[j - 1]); j--) {
      struct math_node *swap = l->item[j];
      l->item[j] = l->item[j - 1];
      l->item[j - 1] = swap;
    }
  for (int i = 0; i < l->count; i++) l->item[i] = math_assigned(l->item[i], &name);
}

static bool ordered(const struct math_comparison *c, bool natural)
{
  return c->rules.order == MATH_ORDER_AUTO ? natural : c->rules.order == MATH_ORDER_TRUE;
}

static enum math_verdict compare_lists(struct math_comparison *c, struct math_node *gold, struct math_node *given)
{
  struct math_list a = {0}, b = {0};
  if (!items_of(c->m, gold, &a) || !items_of(c->m, given, &b)) return MATH_UNDECIDED;
  bool sets = gold->kind == MATH_SET || given->kind == MATH_SET;
  if (a.count == 1 && b.count == 1 && !sets) {
    if (gold->kind == MATH_LIST || given->kind == MATH_LIST) return math_compare(c, a.item[0], b.item[0]);
    return MATH_UNDECIDED;
  }
  if (!sets && are_assignments(&a) != are_assignments(&b)) {
    /* x = 1, y = 2 for 1, 2: the order says which is which */
    sort_assigned(are_assignments(&a) ? &a : &b);
    return in_order(c, &a, &b, "the order or a value is another");
  }
  if (ordered(c, false)) return in_order(c, &a, &b, "the order or a value is another");
  return in_any_order(c, &a, &b, sets);
}

/* ---- tuples and matrices ----------------------------------------------------------------------------------------- */

static struct math_list children(struct math_node *n)
{
  return (struct math_list){.item = n->child, .count = n->count, .room = n->count};
}

/* Brackets matter for two entries, which may be an interval. */
static bool same_brackets(const struct math_node *a, const struct math_node *b)
{
  if (a->open == '<' || b->open == '<' || a->count != 2) return true;
  return a->open == b->open && a->close == b->close;
}

/* A single row or column, or a tuple. */
static bool is_vector(const struct math_node *n)
{
  return n->kind == MATH_TUPLE || (n->kind == MATH_MATRIX && (n->value == 1 || n->value == n->count));
}

static enum math_verdict compare_rows(struct math_comparison *c, struct math_node *gold, struct math_node *given)
{
  struct math_list a = children(gold), b = children(given);
  if (gold->kind == MATH_MATRIX && given->kind == MATH_MATRIX && (gold->value != given->value))
    return math_differ(c, "the matrix has another shape");
  if (!is_vector(gold) != !is_vector(given)) return math_differ(c, "the shape is another");
  if (gold->kind == MATH_TUPLE && given->kind == MATH_TUPLE && !same_brackets(gold, given))
    return math_differ(c, "open and closed brackets are not the same");
  if (!ordered(c, true)) return in_any_order(c, &a, &b, false);
  return in_order(c, &a, &b, "the order or an entry is another");
}

static struct math_node *entrywise(struct math *m, struct math_node *matrix, struct math_node *factor,
                                   enum math_kind kind)
{
  struct math_list list = {0};
  for (int i = 0; i < matrix->count; i++) {
    struct math_node *entry = matrix->child[i];
    entry = kind == MATH_NEGATE    ? math_one(m, kind, entry)
            : kind == MATH_PRODUCT ? math_two(m, kind, factor, entry)
                                   : math_two(m, kind, entry, factor);
    if (!math_push(m, &list, entry)) return NULL;
  }
  struct math_node *n = math_valued(m, matrix->kind, matrix->value, list.count, list.item);
  if (!n) return NULL;
  n->open = matrix->open;
  n->close = matrix->close;
  return n;
}

static bool is_array(const struct math_node *n)
{
  return n->kind == MATH_MATRIX || (n->kind == MATH_TUPLE && n->count > 1);
}

static struct math_node *transposed(struct math *m, struct math_node *n)
{
  struct math_list list = {0};
  if (n->kind == MATH_TUPLE) return n;
  int columns = (int)n->value, rows = n->count / columns;
  for (int j = 0; j < columns; j++)
    for (int i = 0; i < rows; i++) math_push(m, &list, n->child[i * columns + j]);
  return math_valued(m, MATH_MATRIX, rows, list.count, list.item);
}

/* "18 dollars and 90 cents": quantities of one kind, each unit smaller than the one before, are one sum. */
static struct math_node *added_up(struct math *m, struct math_node *n)
{
  const struct math_unit *unit, *before = NULL;
  for (int i = 0; i < n->count; i++) {
    if (!math_split_unit(m, n->child[i], &unit) || !unit || unit->length) return n;
    if (before && !(math_unit_same_dimension(before, unit) && before->top * unit->bottom > unit->top * before->bottom))
      return n;
    before = unit;
  }
  return math_new(m, MATH_SUM, n->count, n->child);
}

static struct math_node *carried_out(struct math *m, struct math_node *n);

static bool is_capital(const struct math_node *n)
{
  return n->kind == MATH_SYMBOL && n->length == 1 && n->text[0] >= 'A' && n->text[0] <= 'Z';
}

/* The one matrix of a product times its other factors. */
static struct math_node *scaled(struct math *m, struct math_node *n)
{
  struct math_node *array = NULL, *rest = NULL;
  for (int i = 0; i < n->count; i++) {
    struct math_node *next = carried_out(m, n->child[i]);
    if (!next || (is_array(next) && array)) return n;
    if (is_array(next))
      array = next;
    else
      rest = rest ? math_two(m, MATH_PRODUCT, rest, next) : next;
  }
  /* A(1, 2): a point and its name */
  if (array && rest && array->kind == MATH_TUPLE && is_capital(rest)) return array;
  return array && rest ? entrywise(m, array, rest, MATH_PRODUCT) : n;
}

static bool is_transposition(const struct math_node *n)
{
  const struct math_node *e = n->child[1];
  return is_array(n->child[0]) && e->kind == MATH_SYMBOL && e->length == 1 && e->text[0] == 'T';
}

/* Factors and signs of a matrix or tuple, transposition, sums of quantities are carried out. */
static struct math_node *carried_out(struct math *m, struct math_node *n)
{
  struct math_node *inner;
  switch (n->kind) {
    case MATH_LIST:
      return n->value == MATH_OR ? n : added_up(m, n);
    case MATH_NEGATE:
    case MATH_QUOTIENT:
      inner = carried_out(m, n->child[0]);
      return inner && is_array(inner) ? entrywise(m, inner, n->count > 1 ? n->child[1] : NULL, n->kind) : n;
    case MATH_POWER:
      return is_transposition(n) ? transposed(m, n->child[0]) : n;
    case MATH_PRODUCT:
      return scaled(m, n);
    default:
      return n;
  }
}

/* ---- everything -------------------------------------------------------------------------------------------------- */

static bool may_be_set(const struct math_node *n)
{
  return math_is_set(n) || (n->kind == MATH_TUPLE && n->count == 2) || n->kind == MATH_SET;
}

/* x < 5 is not y < 5, though both are written as (-oo, 5). */
static bool other_letter(const struct math_node *a, const struct math_node *b)
{
  bool several = false;
  const struct math_node *x = math_only_letter(a, &several), *y = math_only_letter(b, &several);
  return a->kind == MATH_RELATION && b->kind == MATH_RELATION && !several && x && y && !math_same(x, y);
}

static enum math_verdict compare_sets(struct math_comparison *c, struct math_node *gold, struct math_node *given)
{
  if (other_letter(gold, given)) return math_differ(c, "it is about another letter");
  if (c->rules.strict && (gold->kind == MATH_RELATION) != (given->kind == MATH_RELATION) &&
      !math_has(gold, MATH_RELATION) != !math_has(given, MATH_RELATION))
    return math_differ(c, "an interval is no inequality (strict)");
  enum math_verdict verdict = math_sets_equal(c->m, gold, given);
  return verdict == MATH_DIFFERENT ? math_differ(c, "the sets are not the same") : verdict;
}

/* x \in {1, 2}, x = {1, 2} and the like: the right side. A label in front of a value is left out. */
static struct math_node *stripped(struct math_comparison *c, struct math_node *n)
{
  struct math_node *name;
  if (n->kind != MATH_RELATION) return n;
  if (n->count == 2 && n->text[0] == MATH_ELEMENT && n->child[0]->kind == MATH_SYMBOL) return n->child[1];
  struct math_node *value = c->rules.strict ? NULL : math_assigned(n, &name);
  return value ? value : n;
}

static bool is_many(const struct math_node *n)
{
  return n->kind == MATH_LIST || n->kind == MATH_SET || math_has(n, MATH_SIGNS);
}

/* What a value is said to be about counts too, where the answer is that decimal. */
static struct math_node *about(struct math_node *n)
{
  return n->kind == MATH_RELATION && n->text[n->length - 1] == MATH_ABOUT ? n->child[n->count - 1] : NULL;
}

static enum math_verdict compare_relation_with(struct math_comparison *c, struct math_node *gold,
                                               struct math_node *given)
{
  bool both = gold->kind == MATH_RELATION && given->kind == MATH_RELATION;
  if (both) return math_compare_relations(c, gold, given);
  struct math_node *a = stripped(c, gold), *b = stripped(c, given);
  if (a == gold && b == given) return math_differ(c, "one is an equation, the other is none");
  enum math_verdict verdict = math_compare(c, a, b);
  struct math_node *x = about(gold), *y = about(given);
  return verdict == MATH_DIFFERENT && (x || y) ? math_compare(c, x ? x : a, y ? y : b) : verdict;
}

static bool is_row(const struct math_node *n)
{
  return n->kind == MATH_TUPLE || n->kind == MATH_MATRIX;
}

/* [1, 2, 3] for {1, 2, 3}; two entries may be an interval. Or for a list of tuples. */
static enum math_verdict compare_square_list(struct math_comparison *c, struct math_node *gold, struct math_node *given)
{
  struct math_list a = children(gold), b = children(given);
  const struct math_node *tuple = is_row(gold) ? gold : given;
  if (tuple->kind != MATH_TUPLE || tuple->open != '[' || tuple->count == 2 || is_array(tuple->child[0]))
    return math_differ(c, "a tuple is no set");
  return in_any_order(c, &a, &b, gold->kind == MATH_SET || given->kind == MATH_SET);
}

/* A tuple and a list: the brackets were left out, or square ones hold a list. */
static enum math_verdict compare_tuple_with_list(struct math_comparison *c, struct math_node *gold,
                                                 struct math_node *given)
{
  struct math_list a = {0}, b;
  struct math_node *tuple = is_row(gold) ? gold : given, *list = tuple == gold ? given : gold;
  if (c->rules.strict) return math_differ(c, "a tuple is no list (strict)");
  if (list->kind == MATH_SET) return compare_square_list(c, gold, given);
  if (!items_of(c->m, list, &a)) return MATH_UNDECIDED;
  if (a.count > 1 && is_array(a.item[0])) return compare_square_list(c, gold, given);
  bool named = are_assignments(&a);
  if (named) sort_assigned(&a);
  b = children(tuple);
  if (tuple == given && tuple->open == '[' && !named) return in_any_order(c, &a, &b, false);
  return tuple == gold ? in_order(c, &b, &a, "the order or an entry is another")
                       : in_order(c, &a, &b, "the order or an entry is another");
}

static bool is_list(const struct math_node *n)
{
  return n->kind == MATH_LIST || n->kind == MATH_SET;
}

/* Lists, sets and +-, or equations that say what they are: x = 1 +- 2. */
static enum math_verdict compare_many(struct math_comparison *c, struct math_node *gold, struct math_node *given)
{
  struct math_node *a = gold->kind == MATH_RELATION ? stripped(c, gold) : gold;
  struct math_node *b = given->kind == MATH_RELATION ? stripped(c, given) : given;
  return a != gold || b != given ? math_compare(c, a, b) : compare_lists(c, gold, given);
}

/* Neither is a set of reals. */
static enum math_verdict compare_others(struct math_comparison *c, struct math_node *gold, struct math_node *given)
{
  bool relations = gold->kind == MATH_RELATION && given->kind == MATH_RELATION;
  if (relations && !math_has(gold, MATH_SIGNS) && !math_has(given, MATH_SIGNS))
    return math_compare_relations(c, gold, given);
  if (is_many(gold) || is_many(given)) {
    enum math_verdict verdict = compare_many(c, gold, given);
    /* one that only stands on both sides of a relation with signs */
    if (verdict != MATH_UNDECIDED || !relations) return verdict;
  }
  if (gold->kind == MATH_RELATION || given->kind == MATH_RELATION) return compare_relation_with(c, gold, given);
  if (is_row(gold) || is_row(given)) return math_differ(c, "one is a tuple, the other is none");
  return math_compare_values(c, gold, given);
}

static enum math_verdict compare_kinds(struct math_comparison *c, struct math_node *gold, struct math_node *given)
{
  bool sets = (math_is_set(gold) && may_be_set(given)) || (math_is_set(given) && may_be_set(gold));
  enum math_verdict verdict;
  if (sets && (verdict = compare_sets(c, gold, given)) != MATH_UNDECIDED) return verdict;
  if ((is_row(gold) && is_list(given)) || (is_row(given) && is_list(gold)))
    return compare_tuple_with_list(c, gold, given);
  return is_row(gold) && is_row(given) ? compare_rows(c, gold, given) : compare_others(c, gold, given);
}

enum math_verdict math_compare(struct math_comparison *c, struct math_node *gold, struct math_node *given)
{
  if (math_same(gold, given)) return MATH_EQUAL;
  if (!math_step(c->m, 1) || c->depth >= MOST_DEPTH) return MATH_UNDECIDED;
  c->depth++;
  struct math_node *a = carried_out(c->m, gold), *b = carried_out(c->m, given);
  enum math_verdict verdict = a && b ? compare_kinds(c, a, b) : MATH_UNDECIDED;
  c->depth--;
  return verdict;
}
