#include "reward/math_value.h"
#include <string.h>
#include "reward/math_approx.h"

enum {
  FIRST_BITS = 64,
  MOST_BITS = 24000, /* of working precision */
  SURE_BITS = 1400,  /* 420 digits */
  FUNCTION_BITS = 256,
  POINTS = 6,
  TRIES = 12
};

bool math_is_value(const struct math_node *n)
{
  if (n->kind > MATH_QUANTITY || n->kind == MATH_INFINITY || n->kind == MATH_SIGNS) return false;
  for (int i = 0; i < n->count; i++)
    if (!math_is_value(n->child[i])) return false;
  return true;
}

bool math_is_constant(const struct math_node *n)
{
  return !math_has(n, MATH_SYMBOL);
}

/* ---- one point --------------------------------------------------------------------------------------------------- */

enum at { AT_UNDEFINED, AT_DIFFERENT, AT_EQUAL, AT_UNDECIDED };

struct pair {
  struct math *m;
  const struct math_node *a, *b;
  bool complex;   /* values that are not real count */
  bool algebraic; /* out: decided by the separation bound */
};

/* |n| at the point, from above; very large where it cannot be said. */
static double size_at(struct math *m, const struct math_node *n, const struct math_point *p)
{
  double size = 1e30;
  acb_t x;
  mag_t above;
  acb_init(x);
  mag_init(above);
  if (math_evaluate(m, n, p, FIRST_BITS, x)) {
    acb_get_mag(above, x);
    if (mag_cmp_2exp_si(above, 60) < 0) size = mag_get_d(above);
  }
  acb_clear(x);
  mag_clear(above);
  return size;
}

/* How small a difference may be by intent, in bits: the digits written, times the exponents above them. */
static double written(struct math *m, const struct math_node *n, const struct math_point *p)
{
  double bits = 2;
  if (n->kind == MATH_NUMBER) {
    double e = (double)(n->value < 0 ? -n->value : n->value);
    bits = 3.3220 * ((double)n->length + e);
  }
  if (n->kind == MATH_POWER) return (1 + size_at(m, n->child[1], p)) * written(m, n->child[0], p);
  if (n->kind == MATH_CALL && n->value >= MATH_FACTORIAL && n->value <= MATH_BINOMIAL) {
    double size = size_at(m, n, p);
    return size < 1e18 ? 60 : MOST_BITS;
  }
  for (int i = 0; i < n->count; i++) bits += written(m, n->child[i], p);
  return bits;
}

/* The bits to which both must agree to be equal; 0: more than is calculated. */
static slong needed_bits(struct pair *q, const struct math_point *p, bool constant)
{
  double bits;
  q->algebraic = math_separation(q->m, q->a, q->b, p, &bits);
  if (!q->algebraic) {
    if (p->constants) return 0;
    bits = (constant ? SURE_BITS : FUNCTION_BITS) + 4 * (written(q->m, q->a, p) + written(q->m, q->b, p));
  }
  return bits > MOST_BITS ? 0 : (slong)bits + 1;
}

/* |x| < 2^-bits, for values that are not algebraic relative to the size of y. */
static bool vanishes(const acb_t x, const acb_t y, slong bits, bool relative)
{
  mag_t size, limit;
  mag_init(size);
  mag_init(limit);
  acb_get_mag(size, x);
  acb_get_mag(limit, y);
  if (!relative || mag_cmp_2exp_si(limit, 0) < 0) mag_one(limit);
  mag_mul_2exp_si(limit, limit, -bits);
  bool yes = mag_cmp(size, limit) < 0;
  mag_clear(size);
  mag_clear(limit);
  return yes;
}

static enum at decide(struct pair *q, const struct math_point *p, bool constant, acb_t x, acb_t y, acb_t d)
{
  slong need = -1;
  for (slong prec = FIRST_BITS; prec <= 3 * MOST_BITS;) {
    if (!math_evaluate(q->m, q->a, p, prec, x) || !math_evaluate(q->m, q->b, p, prec, y))
      return prec == FIRST_BITS ? AT_UNDEFINED : AT_UNDECIDED;
    acb_sub(d, x, y, prec);
    if (!acb_contains_zero(d)) return AT_DIFFERENT;
    if (need < 0) need = needed_bits(q, p, constant);
    if (need > 0 && vanishes(d, y, need, !q->algebraic)) return AT_EQUAL;
    /* Too much is asked for: some more bits may still show a difference. */
    if (need == 0 && prec >= 2048) return AT_UNDECIDED;
    prec = need > 0 && prec < need + 64 ? need + 64 : 2 * prec;
  }
  return AT_UNDECIDED;
}

static enum at at_point(struct pair *q, const struct math_point *p, bool constant)
{
  acb_t x, y, d;
  acb_init(x);
  acb_init(y);
  acb_init(d);
  enum at at = decide(q, p, constant, x, y, d);
  acb_clear(x);
  acb_clear(y);
  acb_clear(d);
  return at;
}

/* ---- many points ------------------------------------------------------------------------------------------------- */

static enum math_verdict at_points(struct pair *q, bool constants)
{
  static const int signs[4] = {0, 1, 2, 2};
  int equal = 0;
  for (int i = 0; i < TRIES && equal < POINTS; i++) {
    struct math_point p = {.seed = (uint64_t)i + 1,
                           .scale = i / 2 % 5,
                           .signs = signs[i % 4],
                           .constants = constants,
                           .real = !q->complex};
    enum at at = at_point(q, &p, false);
    if (at == AT_DIFFERENT) {
      double bits;
      q->algebraic = constants && math_separation(q->m, q->a, q->b, &p, &bits);
      return MATH_DIFFERENT;
    }
    if (at == AT_UNDECIDED) return MATH_UNDECIDED;
    equal += at == AT_EQUAL;
  }
  return equal >= 2 ? MATH_EQUAL : MATH_UNDECIDED;
}

static enum math_verdict by_points(struct math *m, const struct math_node *a, const struct math_node *b)
{
  struct pair q = {.m = m, .a = a, .b = b, .complex = math_has(a, MATH_I) || math_has(b, MATH_I)};
  enum math_verdict verdict = at_points(&q, false);
  if (verdict != MATH_UNDECIDED || q.complex) return verdict;
  q.complex = true;
  return at_points(&q, false);
}

static bool within_tolerance(struct math *m, const struct math_node *a, const struct math_node *b)
{
  const struct math_point nowhere = {0};
  acb_t x, y;
  arb_t size;
  acb_init(x);
  acb_init(y);
  arb_init(size);
  bool ok = math_evaluate(m, a, &nowhere, 128, x) && math_evaluate(m, b, &nowhere, 128, y);
  if (ok) {
    acb_sub(x, x, y, 128);
    acb_abs(size, y, 128);
    arf_t limit;
    arf_init(limit);
    arf_set_d(limit, m->tolerance);
    arb_mul_arf(size, size, limit, 128);
    arf_clear(limit);
    acb_abs(acb_realref(y), x, 128);
    ok = arb_le(acb_realref(y), size);
  }
  acb_clear(x);
  acb_clear(y);
  arb_clear(size);
  return ok;
}

/* Different at the first look. */
static bool apart(struct math *m, const struct math_node *a, const struct math_node *b)
{
  const struct math_point nowhere = {0};
  acb_t x, y;
  acb_init(x);
  acb_init(y);
  bool yes = math_evaluate(m, a, &nowhere, FIRST_BITS, x) && math_evaluate(m, b, &nowhere, FIRST_BITS, y) &&
             !acb_overlaps(x, y);
  acb_clear(x);
  acb_clear(y);
  return yes;
}

static enum math_verdict constants_equal(struct math *m, const struct math_node *a, const struct math_node *b)
{
  static const struct math_point nowhere = {0};
  struct pair q = {.m = m, .a = a, .b = b, .complex = true};
  bool free_letters = math_has(a, MATH_PI) || math_has(a, MATH_E) || math_has(b, MATH_PI) || math_has(b, MATH_E);
  if (free_letters && !apart(m, a, b)) {
    if (math_identity(m, a, b) == MATH_EQUAL) return MATH_EQUAL;
    enum math_verdict verdict = at_points(&q, true);
    /* pi is no zero of an algebraic function but of 0 */
    if (verdict == MATH_EQUAL || (verdict == MATH_DIFFERENT && q.algebraic)) return verdict;
  }
  enum at at = at_point(&q, &nowhere, true);
  return at == AT_EQUAL ? MATH_EQUAL : at == AT_DIFFERENT ? MATH_DIFFERENT : MATH_UNDECIDED;
}

/* ---- cheap ways -------------------------------------------------------------------------------------------------- */

static enum math_verdict as_rationals(struct math *m, const struct math_node *a, const struct math_node *b)
{
  enum math_verdict verdict = MATH_UNDECIDED;
  fmpq_t x, y;
  fmpq_init(x);
  fmpq_init(y);
  if (math_rational(m, a, x) && math_rational(m, b, y)) verdict = fmpq_equal(x, y) ? MATH_EQUAL : MATH_DIFFERENT;
  fmpq_clear(x);
  fmpq_clear(y);
  return verdict;
}

static bool greater_than_one(struct math *m, const struct math_node *n)
{
  fmpq_t x;
  fmpq_init(x);
  bool yes = math_rational(m, n, x) && fmpq_cmp_si(x, 1) > 0;
  fmpq_clear(x);
  return yes;
}

bool math_at_least_one(struct math *m, const struct math_node *n)
{
  fmpq_t x;
  fmpq_init(x);
  bool yes = math_rational(m, n, x) && fmpz_cmpabs(fmpq_numref(x), fmpq_denref(x)) >= 0;
  fmpq_clear(x);
  return yes;
}

/* Two numbers as written: the same digits at the same place. */
static bool both_numbers(const struct math_node *a, const struct math_node *b)
{
  return a->kind == MATH_NUMBER && b->kind == MATH_NUMBER;
}

/* Powers of one constant base > 1: their exponents decide. */
static bool same_base(struct math *m, const struct math_node *a, const struct math_node *b)
{
  return a->kind == MATH_POWER && b->kind == MATH_POWER && math_is_constant(a) && math_is_constant(b) &&
         greater_than_one(m, a->child[0]) && math_value_equal(m, a->child[0], b->child[0]) == MATH_EQUAL;
}

enum math_verdict math_value_equal(struct math *m, const struct math_node *a, const struct math_node *b)
{
  if (math_same(a, b)) return MATH_EQUAL;
  if (!math_is_value(a) || !math_is_value(b)) return MATH_DIFFERENT;
  bool constant = math_is_constant(a) && math_is_constant(b);
  if (constant && m->tolerance > 0 && within_tolerance(m, a, b)) return MATH_EQUAL;
  if (both_numbers(a, b)) return MATH_DIFFERENT;
  enum math_verdict verdict = as_rationals(m, a, b);
  if (verdict != MATH_UNDECIDED) return verdict;
  if (same_base(m, a, b)) return math_value_equal(m, a->child[1], b->child[1]);
  if (constant) return constants_equal(m, a, b);
  verdict = math_identity(m, a, b);
  return verdict != MATH_UNDECIDED ? verdict : by_points(m, a, b);
}

/* ---- order and proportion ---------------------------------------------------------------------------------------- */

/* 1, -1 for an infinity, 0 for anything else. */
static int infinite(const struct math_node *n)
{
  if (n->kind == MATH_NEGATE) return -infinite(n->child[0]);
  return n->kind == MATH_INFINITY;
}

static enum math_verdict order_by_balls(struct math *m, const struct math_node *a, const struct math_node *b, int *sign)
{
  const struct math_point nowhere = {0};
  enum math_verdict verdict = MATH_UNDECIDED;
  acb_t x, y;
  acb_init(x);
  acb_init(y);
  for (slong prec = FIRST_BITS; prec <= 4096 && verdict == MATH_UNDECIDED; prec *= 4) {
    if (!math_evaluate(m, a, &nowhere, prec, x) || !math_evaluate(m, b, &nowhere, prec, y) || !acb_is_real(x) ||
        !acb_is_real(y))
      break;
    arb_sub(acb_realref(x), acb_realref(x), acb_realref(y), prec);
    if (arb_contains_zero(acb_realref(x))) continue;
    *sign = arb_is_positive(acb_realref(x)) ? 1 : -1;
    verdict = MATH_DIFFERENT;
  }
  acb_clear(x);
  acb_clear(y);
  return verdict;
}

enum math_verdict math_value_order(struct math *m, const struct math_node *a, const struct math_node *b, int *sign)
{
  int x = infinite(a), y = infinite(b);
  *sign = 0;
  if (x || y) {
    *sign = x > y ? 1 : x < y ? -1 : 0;
    return x == y ? MATH_EQUAL : MATH_DIFFERENT;
  }
  if (!math_is_value(a) || !math_is_value(b) || !math_is_constant(a) || !math_is_constant(b)) return MATH_UNDECIDED;
  enum math_verdict verdict = math_value_equal(m, a, b);
  return verdict == MATH_DIFFERENT ? order_by_balls(m, a, b, sign) : verdict;
}

/* n with other letters: x becomes x' */
static struct math_node *renamed(struct math *m, const struct math_node *n)
{
  struct math_node *child[MATH_MAX_BRANCHES];
  struct math_list list = {.item = child, .room = MATH_MAX_BRANCHES};
  for (int i = 0; i < n->count; i++)
    if (!math_push(m, &list, renamed(m, n->child[i]))) return NULL;
  struct math_node *copy = math_valued(m, n->kind, n->value, n->count, list.item);
  if (!copy) return NULL;
  struct math_node *same = math_leaf(m, n->kind, n->text, n->length, n->value);
  if (!same) return NULL;
  copy->text = n->text;
  copy->length = n->length;
  copy->hash ^= same->hash;
  if (n->kind == MATH_SYMBOL) {
    copy->value = n->value + 1;
    copy->hash = same->hash * 0x9e3779b97f4a7c15u;
  }
  return copy;
}

/* a / b does not depend on the letters: a(x) b(x') = a(x') b(x) */
enum math_verdict math_value_proportional(struct math *m, struct math_node *a, struct math_node *b)
{
  struct math_node *left = renamed(m, b), *right = renamed(m, a);
  if (left) left = math_two(m, MATH_PRODUCT, a, left);
  if (right) right = math_two(m, MATH_PRODUCT, right, b);
  if (!left || !right) return MATH_UNDECIDED;
  return math_value_equal(m, left, right);
}
