#include "reward/math_approx.h"

enum { ROOTS = 32, MOST_UNITY = 5040 };
static const double digit_bits = 3.3220; /* > log2(10) */

/* Base-2 logarithms of the bounds of a quotient U / L. */
struct bound {
  double u, l;
};

struct field {
  struct math *m;
  const struct math_point *point;
  uint64_t root[ROOTS]; /* the different roots, by structure */
  int count;
  double degree;
  long unity; /* order of the roots of unity */
};

static bool measure(struct field *f, const struct math_node *n, struct bound *b);

static double larger(double a, double b)
{
  return a > b ? a : b;
}

static void add(struct bound *a, struct bound b)
{
  *a = (struct bound){larger(a->u + b.l, a->l + b.u) + 1, a->l + b.l};
}

static bool add_unity(struct field *f, long order)
{
  long a = f->unity, b = order;
  while (b) {
    long rest = a % b;
    a = b;
    b = rest;
  }
  if (order > MOST_UNITY || f->unity / a * order > MOST_UNITY) return false;
  f->unity = f->unity / a * order;
  return true;
}

/* The k-th root of what b bounds. `name` tells roots apart. */
static bool take_root(struct field *f, struct bound *b, uint64_t name, int64_t k)
{
  if (k < 2 || k > 64) return k == 1;
  name = (name ^ (uint64_t)k) * 0x9e3779b97f4a7c15u;
  int i = 0;
  while (i < f->count && f->root[i] != name) i++;
  if (i == ROOTS) return false;
  if (i == f->count) {
    f->root[f->count++] = name;
    f->degree *= (double)k;
  }
  double size = (double)k;
  if (b->u >= b->l)
    b->u = (b->u + (size - 1) * b->l) / size;
  else
    b->l = ((size - 1) * b->u + b->l) / size;
  return f->degree < 1e9;
}

static bool rational(struct field *f, const struct math_node *n, struct bound *b)
{
  fmpq_t x;
  fmpq_init(x);
  bool ok = math_rational(f->m, n, x);
  *b = (struct bound){(double)fmpz_bits(fmpq_numref(x)), (double)fmpz_bits(fmpq_denref(x))};
  fmpq_clear(x);
  return ok;
}

static void letter(struct field *f, const struct math_node *n, struct bound *b)
{
  fmpq_t x;
  fmpq_init(x);
  math_letter(n, f->point, x);
  *b = (struct bound){(double)fmpz_bits(fmpq_numref(x)), (double)fmpz_bits(fmpq_denref(x))};
  fmpq_clear(x);
}

/* e^(i r pi) is a root of unity. */
static bool turn(struct field *f, const struct math_node *exponent, struct bound *b)
{
  struct math_node *one = math_integer(f->m, 1), *i = math_leaf(f->m, MATH_I, "", 0, 0);
  if (!one || !i || exponent->kind == MATH_SUM || f->point->constants) return false;
  fmpq_t r;
  fmpq_init(r);
  const struct math_node *real = math_replace_once(f->m, exponent, i, one);
  bool ok = real && math_pi_multiple(f->m, real, r) && fmpz_cmp_ui(fmpq_denref(r), MOST_UNITY) < 0 &&
            add_unity(f, 2 * (long)fmpz_get_si(fmpq_denref(r)));
  fmpq_clear(r);
  *b = (struct bound){0, 0};
  return ok;
}

/* base^(p/q) */
static bool power(struct field *f, const struct math_node *n, struct bound *b)
{
  fmpq_t e;
  if (n->child[0]->kind == MATH_E && math_has(n->child[1], MATH_I)) return turn(f, n->child[1], b);
  fmpq_init(e);
  bool ok = math_rational(f->m, n->child[1], e) && fmpz_bits(fmpq_numref(e)) <= 12 && fmpz_bits(fmpq_denref(e)) <= 6 &&
            measure(f, n->child[0], b);
  if (ok) {
    slong p = fmpz_get_si(fmpq_numref(e)), q = fmpz_get_si(fmpq_denref(e));
    ok = take_root(f, b, n->child[0]->hash, q);
    double size = (double)(p < 0 ? -p : p);
    *b = p < 0 ? (struct bound){b->l * size, b->u * size} : (struct bound){b->u * size, b->l * size};
  }
  fmpq_clear(e);
  return ok;
}

/* sin, cos, ... of a rational multiple of pi: (z + 1/z) / 2 and the like for roots of unity z. */
static bool circular(struct field *f, const struct math_node *n, struct bound *b)
{
  fmpq_t r;
  fmpq_init(r);
  bool ok =
      !f->point->constants && math_pi_multiple(f->m, n->child[0], r) && fmpz_cmp_ui(fmpq_denref(r), MOST_UNITY) < 0;
  ok = ok && add_unity(f, 2 * (long)fmpz_get_si(fmpq_denref(r))) && add_unity(f, 4);
  fmpq_clear(r);
  bool quotient = n->value == MATH_TAN || n->value == MATH_COT;
  *b = quotient ? (struct bound){2, 2} : (struct bound){1, 1};
  return ok;
}

/* |x| = root of x times its conjugate, whose field may be another one of the same degree. */
static bool absolute(struct field *f, const struct math_node *n, struct bound *b)
{
  if (!measure(f, n->child[0], b)) return false;
  if (math_has(n->child[0], MATH_I) || math_has(n->child[0], MATH_CALL) || math_has(n->child[0], MATH_POWER))
    f->degree *= 2 * f->degree * (double)f->unity;
  return f->degree < 1e9;
}

static bool call(struct field *f, const struct math_node *n, struct bound *b)
{
  int64_t k;
  switch (n->value) {
    case MATH_ROOT:
      return math_small(n->child[1], &k) && measure(f, n->child[0], b) && take_root(f, b, n->child[0]->hash, k);
    case MATH_ABS:
      return absolute(f, n, b);
    case MATH_SIN:
    case MATH_COS:
    case MATH_TAN:
    case MATH_COT:
    case MATH_SEC:
    case MATH_CSC:
      return circular(f, n, b);
    case MATH_APPLY:
      letter(f, n, b);
      return true;
    default:
      return rational(f, n, b);
  }
}

static bool fold(struct field *f, const struct math_node *n, struct bound *b)
{
  struct bound x;
  if (!measure(f, n->child[0], b)) return false;
  for (int i = 1; i < n->count; i++) {
    if (!measure(f, n->child[i], &x)) return false;
    if (n->kind == MATH_SUM)
      add(b, x);
    else if (n->kind == MATH_PRODUCT)
      *b = (struct bound){b->u + x.u, b->l + x.l};
    else
      *b = (struct bound){b->u + x.l, b->l + x.u};
  }
  return true;
}

static bool measure(struct field *f, const struct math_node *n, struct bound *b)
{
  if (!math_step(f->m, 1)) return false;
  switch (n->kind) {
    case MATH_NUMBER:
      *b = (struct bound){digit_bits * ((double)n->length + (n->value > 0 ? (double)n->value : 0)),
                          n->value < 0 ? -digit_bits * (double)n->value : 0};
      return true;
    case MATH_PI:
    case MATH_E:
      if (!f->point->constants) return false;
      letter(f, n, b);
      return true;
    case MATH_SYMBOL:
      letter(f, n, b);
      return true;
    case MATH_I:
      *b = (struct bound){0, 0};
      return add_unity(f, 4);
    case MATH_SUM:
    case MATH_PRODUCT:
    case MATH_QUOTIENT:
      return fold(f, n, b);
    case MATH_NEGATE:
    case MATH_QUANTITY:
      return measure(f, n->child[0], b);
    case MATH_PERCENT:
      if (!measure(f, n->child[0], b)) return false;
      b->l += 2 * digit_bits;
      return true;
    case MATH_POWER:
      return power(f, n, b);
    case MATH_CALL:
      return call(f, n, b);
    default:
      return false;
  }
}

bool math_separation(struct math *m, const struct math_node *a, const struct math_node *b, const struct math_point *p,
                     double *bits)
{
  struct field f = {.m = m, .point = p, .degree = 1, .unity = 1};
  struct bound x, y;
  if (!measure(&f, a, &x) || !measure(&f, b, &y)) return false;
  add(&x, y);
  *bits = x.l + (f.degree * (double)f.unity - 1) * x.u + 2;
  return true;
}
