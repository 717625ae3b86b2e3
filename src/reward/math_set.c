#include "reward/math_set.h"
#include <string.h>

enum { ENDS = 40 };

/* ---- what is a set ----------------------------------------------------------------------------------------------- */

static bool is_inequality(const struct math_node *n)
{
  if (n->kind != MATH_RELATION) return false;
  for (size_t i = 0; i < n->length; i++)
    if (n->text[i] != MATH_EQUALS && n->text[i] != MATH_ABOUT && n->text[i] != MATH_OTHER) return true;
  return false;
}

static bool is_reals(const struct math_node *n)
{
  return n->kind == MATH_SYMBOL && n->length == 2 && !memcmp(n->text, "\\R", 2);
}

bool math_is_set(const struct math_node *n)
{
  if (n->kind == MATH_UNION || n->kind == MATH_INTERSECTION || n->kind == MATH_DIFFERENCE || is_reals(n)) return true;
  if (n->kind == MATH_TUPLE && n->count == 2)
    return (n->open == '(') != (n->close == ')') || math_has(n, MATH_INFINITY);
  if (n->kind != MATH_LIST) return is_inequality(n);
  for (int i = 0; i < n->count; i++)
    if (!is_inequality(n->child[i])) return false;
  return true;
}

const struct math_node *math_only_letter(const struct math_node *n, bool *several)
{
  if (n->kind == MATH_SYMBOL && !is_reals(n)) return n;
  const struct math_node *found = NULL;
  for (int i = 0; i < n->count; i++) {
    const struct math_node *next = math_only_letter(n->child[i], several);
    if (next && found && !math_same(next, found)) *several = true;
    if (next) found = next;
  }
  return found;
}

struct math_node *math_substitute(struct math *m, struct math_node *n, const struct math_node *letter,
                                  struct math_node *by)
{
  if (math_same(n, letter)) return by;
  if (!n->count) return n;
  struct math_list list = {0};
  for (int i = 0; i < n->count; i++)
    if (!math_push(m, &list, math_substitute(m, n->child[i], letter, by))) return NULL;
  return math_valued(m, n->kind, n->value, list.count, list.item);
}

/* ---- relations as intervals -------------------------------------------------------------------------------------- */

static struct math_node *interval(struct math *m, struct math_node *low, struct math_node *high, bool low_in,
                                  bool high_in)
{
  struct math_node *end = math_leaf(m, MATH_INFINITY, "", 0, 0);
  if (!low) low = math_one(m, MATH_NEGATE, end);
  if (!high) high = end;
  struct math_node *n = low && high ? math_two(m, MATH_TUPLE, low, high) : NULL;
  if (!n) return NULL;
  n->open = low_in ? '[' : '(';
  n->close = high_in ? ']' : ')';
  return n;
}

static struct math_node *without(struct math *m, struct math_node *point)
{
  struct math_node *all = math_leaf(m, MATH_SYMBOL, "\\R", 2, 0), *one = math_one(m, MATH_SET, point);
  return all && one ? math_two(m, MATH_DIFFERENCE, all, one) : NULL;
}

/* x sign c */
static struct math_node *solve_letter(struct math *m, char sign, struct math_node *c)
{
  switch (sign) {
    case MATH_LESS:
    case MATH_AT_MOST:
      return interval(m, NULL, c, false, sign == MATH_AT_MOST);
    case MATH_GREATER:
    case MATH_AT_LEAST:
      return interval(m, c, NULL, sign == MATH_AT_LEAST, false);
    case MATH_EQUALS:
      return math_one(m, MATH_SET, c);
    case MATH_UNEQUAL:
      return without(m, c);
    default:
      return NULL;
  }
}

static char turned(char sign)
{
  switch (sign) {
    case MATH_LESS:
      return MATH_GREATER;
    case MATH_GREATER:
      return MATH_LESS;
    case MATH_AT_MOST:
      return MATH_AT_LEAST;
    case MATH_AT_LEAST:
      return MATH_AT_MOST;
    default:
      return sign;
  }
}

static struct math_node *difference(struct math *m, struct math_node *a, struct math_node *b)
{
  return a && b ? math_two(m, MATH_SUM, a, math_one(m, MATH_NEGATE, b)) : NULL;
}

/* left sign c, where left is s x + t. */
static struct math_node *solve_linear(struct math *m, struct math_node *left, char sign, struct math_node *c,
                                      const struct math_node *x)
{
  if (math_same(left, x)) return solve_letter(m, sign, c);
  struct math_node *nought = math_integer(m, 0), *one = math_integer(m, 1);
  struct math_node *t = math_substitute(m, left, x, nought), *all = math_substitute(m, left, x, one);
  struct math_node *s = difference(m, all, t), *line;
  int side;
  if (!s) return NULL;
  line = math_two(m, MATH_SUM, math_two(m, MATH_PRODUCT, s, (struct math_node *)x), t);
  if (!line || math_identity(m, left, line) != MATH_EQUAL) return NULL;
  if (math_value_order(m, s, nought, &side) != MATH_DIFFERENT) return NULL;
  struct math_node *root = math_two(m, MATH_QUOTIENT, difference(m, c, t), s);
  return root ? solve_letter(m, side < 0 ? turned(sign) : sign, root) : NULL;
}

/* |left| sign c */
static struct math_node *solve_absolute(struct math *m, struct math_node *left, char sign, struct math_node *c,
                                        const struct math_node *x)
{
  struct math_node *above = solve_linear(m, left, sign, c, x);
  struct math_node *below = solve_linear(m, left, turned(sign), math_one(m, MATH_NEGATE, c), x);
  bool inside = sign == MATH_LESS || sign == MATH_AT_MOST || sign == MATH_UNEQUAL;
  return above && below ? math_two(m, inside ? MATH_INTERSECTION : MATH_UNION, above, below) : NULL;
}

static struct math_node *to_set(struct math *m, struct math_node *n);

/* One link of a chain; both sides constant: no condition (the whole line). */
static struct math_node *link_set(struct math *m, struct math_node *a, char sign, struct math_node *b)
{
  bool several = false;
  const struct math_node *x = math_only_letter(a, &several), *y = math_only_letter(b, &several);
  if (several || (sign == MATH_ELEMENT && (!x || !math_same(a, x)))) return NULL;
  if (sign == MATH_ELEMENT) return to_set(m, b);
  if (!x && !y) return math_leaf(m, MATH_SYMBOL, "\\R", 2, 0);
  if (x && y) {
    if (!math_same(x, y)) return NULL;
    return solve_linear(m, difference(m, a, b), sign, math_integer(m, 0), x);
  }
  if (!x) return link_set(m, b, turned(sign), a);
  if (a->kind == MATH_CALL && a->value == MATH_ABS) return solve_absolute(m, a->child[0], sign, b, x);
  return solve_linear(m, a, sign, b, x);
}

static struct math_node *chain_set(struct math *m, struct math_node *n)
{
  bool several = false;
  struct math_list links = {0};
  if (!math_only_letter(n, &several) || several) return NULL;
  for (int i = 0; i + 1 < n->count; i++)
    if (!math_push(m, &links, link_set(m, n->child[i], n->text[i], n->child[i + 1]))) return NULL;
  return links.count == 1 ? links.item[0] : math_new(m, MATH_INTERSECTION, links.count, links.item);
}

/* Only intervals, finite sets, the line and operations on them are left; NULL: it is no set of reals. */
static struct math_node *to_set(struct math *m, struct math_node *n)
{
  struct math_list parts = {0};
  if (n->kind == MATH_RELATION) return chain_set(m, n);
  if (is_reals(n) || n->kind == MATH_SET || (n->kind == MATH_TUPLE && n->count == 2 && n->open != '<')) return n;
  if (n->kind != MATH_UNION && n->kind != MATH_INTERSECTION && n->kind != MATH_DIFFERENCE && n->kind != MATH_LIST)
    return NULL;
  for (int i = 0; i < n->count; i++)
    if (!math_push(m, &parts, to_set(m, n->child[i]))) return NULL;
  enum math_kind kind = n->kind == MATH_LIST && n->value == MATH_OR ? MATH_UNION : n->kind;
  return math_new(m, kind, parts.count, parts.item);
}

/* ---- comparing --------------------------------------------------------------------------------------------------- */

/* The ends in order. Place 2k is before end k, 2k + 1 is end k itself. */
struct ends {
  struct math *m;
  const struct math_node *end[ENDS];
  int count;
};

static bool insert_end(struct ends *e, const struct math_node *n)
{
  int at = e->count, sign = 0;
  if (e->count == ENDS) return false;
  for (; at > 0; at--) {
    enum math_verdict order = math_value_order(e->m, e->end[at - 1], n, &sign);
    if (order == MATH_UNDECIDED) return false;
    if (order == MATH_EQUAL) return true;
    if (sign < 0) break;
  }
  for (int i = e->count++; i > at; i--) e->end[i] = e->end[i - 1];
  e->end[at] = n;
  return true;
}

static bool collect(struct ends *e, const struct math_node *n)
{
  for (int i = 0; i < n->count; i++) {
    bool leaf = n->kind == MATH_TUPLE || n->kind == MATH_SET;
    if (leaf ? !insert_end(e, n->child[i]) : !collect(e, n->child[i])) return false;
  }
  return true;
}

/* The place of an end that was collected. */
static int place(struct ends *e, const struct math_node *n)
{
  int sign;
  for (int i = 0; i < e->count; i++)
    if (e->end[i] == n || math_value_order(e->m, e->end[i], n, &sign) == MATH_EQUAL) return 2 * i + 1;
  return -1;
}

static bool in_interval(struct ends *e, const struct math_node *n, int at)
{
  int low = place(e, n->child[0]), high = place(e, n->child[1]);
  return (at > low || (at == low && n->open == '[')) && (at < high || (at == high && n->close == ']'));
}

static bool contains(struct ends *e, const struct math_node *n, int at);

static bool all_contain(struct ends *e, const struct math_node *n, int at)
{
  for (int i = 0; i < n->count; i++)
    if (!contains(e, n->child[i], at)) return false;
  return true;
}

static bool any_contains(struct ends *e, const struct math_node *n, int at)
{
  for (int i = 0; i < n->count; i++)
    if (contains(e, n->child[i], at)) return true;
  return false;
}

/* "x > 2, x < 5" is where both hold; where they never do ("x < 2, x > 3"), either is meant. */
static bool list_contains(struct ends *e, const struct math_node *n, int at)
{
  for (int i = 0; i <= 2 * e->count; i++)
    if (all_contain(e, n, i)) return all_contain(e, n, at);
  return any_contains(e, n, at);
}

static bool contains(struct ends *e, const struct math_node *n, int at)
{
  switch (n->kind) {
    case MATH_TUPLE:
      return in_interval(e, n, at);
    case MATH_SET:
      for (int i = 0; i < n->count; i++)
        if (place(e, n->child[i]) == at) return true;
      return false;
    case MATH_UNION:
      return any_contains(e, n, at);
    case MATH_INTERSECTION:
      return all_contain(e, n, at);
    case MATH_DIFFERENCE:
      return contains(e, n->child[0], at) && !contains(e, n->child[1], at);
    case MATH_LIST:
      return list_contains(e, n, at);
    default:
      return true; /* the line */
  }
}

/* Every interval has its ends in order. */
static bool in_order(struct ends *e, const struct math_node *n)
{
  if (n->kind == MATH_TUPLE && place(e, n->child[0]) > place(e, n->child[1])) return false;
  if (n->kind == MATH_TUPLE || n->kind == MATH_SET) return true;
  for (int i = 0; i < n->count; i++)
    if (!in_order(e, n->child[i])) return false;
  return true;
}

/* Numbers stand there: not at an infinity, nor beyond one. */
static bool is_real_place(const struct ends *e, int at)
{
  int end = at % 2 ? at / 2 : at == 0 ? 0 : at == 2 * e->count ? e->count - 1 : -1;
  return end < 0 || !e->count || !math_has(e->end[end], MATH_INFINITY);
}

enum math_verdict math_sets_equal(struct math *m, struct math_node *a, struct math_node *b)
{
  struct ends e = {.m = m};
  struct math_node *x = to_set(m, a), *y = x ? to_set(m, b) : NULL;
  if (!y || !collect(&e, x) || !collect(&e, y)) return MATH_UNDECIDED;
  if (in_order(&e, x) != in_order(&e, y)) return MATH_DIFFERENT;
  if (!in_order(&e, x)) return MATH_UNDECIDED;
  for (int at = 0; at <= 2 * e.count; at++)
    if (is_real_place(&e, at) && contains(&e, x, at) != contains(&e, y, at)) return MATH_DIFFERENT;
  return MATH_EQUAL;
}
