#include "reward/math_approx.h"

void math_letter(const struct math_node *n, const struct math_point *p, fmpq_t out)
{
  uint64_t h = (n->hash ^ p->seed * 0x9e3779b97f4a7c15u) * 0xbf58476d1ce4e5b9u;
  h ^= h >> 31;
  h *= 0x94d049bb133111ebu;
  h ^= h >> 29;
  slong k = (slong)(307 + h % 2765) | 1;
  if (p->signs == 1 || (p->signs == 2 && (h >> 40 & 1))) k = -k;
  fmpq_set_si(out, k * (1 << p->scale), 1024);
}

static bool is_finite(const acb_t x)
{
  return arb_is_finite(acb_realref(x)) && arb_is_finite(acb_imagref(x));
}

/* |x| <= 2^e for sure */
static bool at_most(const acb_t x, slong e)
{
  mag_t size;
  mag_init(size);
  acb_get_mag(size, x);
  bool ok = mag_cmp_2exp_si(size, e) <= 0;
  mag_clear(size);
  return ok;
}

static bool set_rational(struct math *m, const struct math_node *n, slong prec, acb_t out)
{
  fmpq_t x;
  fmpq_init(x);
  bool ok = math_rational(m, n, x);
  if (ok) acb_set_fmpq(out, x, prec);
  fmpq_clear(x);
  return ok;
}

static void set_letter(const struct math_node *n, const struct math_point *p, slong prec, acb_t out)
{
  fmpq_t x;
  fmpq_init(x);
  math_letter(n, p, x);
  acb_set_fmpq(out, x, prec);
  fmpq_clear(x);
}

static bool fold(struct math *m, const struct math_node *n, const struct math_point *p, slong prec, acb_t out)
{
  acb_t x;
  acb_init(x);
  bool ok = math_evaluate(m, n->child[0], p, prec, out);
  for (int i = 1; ok && i < n->count; i++) {
    ok = math_evaluate(m, n->child[i], p, prec, x);
    if (!ok) break;
    if (n->kind == MATH_SUM) acb_add(out, out, x, prec);
    if (n->kind == MATH_PRODUCT) acb_mul(out, out, x, prec);
    if (n->kind == MATH_QUOTIENT) acb_div(out, out, x, prec);
  }
  acb_clear(x);
  return ok;
}

/* out = e^x */
static bool exponential(acb_t out, const acb_t x, slong prec)
{
  if (!at_most(x, 30)) return false;
  acb_exp(out, x, prec);
  return true;
}

/* base^e by its principal value. */
static bool raise_to(struct math *m, const struct math_node *exponent, acb_t out, const acb_t base, const acb_t e,
                     slong prec)
{
  int64_t whole;
  if (math_small(exponent, &whole) && whole >= -1000000000 && whole <= 1000000000) {
    if (acb_is_zero(base) && whole <= 0) return false;
    acb_pow_si(out, base, (slong)whole, prec);
    return true;
  }
  if (acb_is_zero(base)) {
    acb_zero(out);
    return arb_is_positive(acb_realref(e));
  }
  if (!math_step(m, 8)) return false;
  acb_log(out, base, prec);
  if (!is_finite(out)) return false;
  acb_mul(out, out, e, prec);
  return exponential(out, out, prec);
}

static bool power(struct math *m, const struct math_node *n, const struct math_point *p, slong prec, acb_t out)
{
  acb_t base, e;
  acb_init(base);
  acb_init(e);
  bool natural = n->child[0]->kind == MATH_E && !p->constants;
  bool ok = math_evaluate(m, n->child[1], p, prec, e) && (natural || math_evaluate(m, n->child[0], p, prec, base));
  ok = ok && (natural ? exponential(out, e, prec) : raise_to(m, n->child[1], out, base, e, prec));
  acb_clear(base);
  acb_clear(e);
  return ok;
}

/* The real root of a real number where there is one, the principal value otherwise. */
static bool root(struct math *m, const struct math_node *n, acb_t x, slong prec, acb_t out)
{
  int64_t k;
  if (!math_small(n->child[1], &k) || k < 1 || k > 1000) return false;
  if (!math_step(m, 1 + k / 8)) return false;
  bool turn = k % 2 && acb_is_real(x) && arb_is_negative(acb_realref(x));
  if (turn) acb_neg(x, x);
  acb_root_ui(out, x, (ulong)k, prec);
  if (turn) acb_neg(out, out);
  return true;
}

static void reciprocal_of(void (*f)(acb_t, const acb_t, slong), acb_t out, const acb_t x, slong prec)
{
  f(out, x, prec);
  acb_inv(out, out, prec);
}

static void of_reciprocal(void (*f)(acb_t, const acb_t, slong), acb_t out, const acb_t x, slong prec)
{
  acb_inv(out, x, prec);
  if (is_finite(out)) f(out, out, prec);
}

static bool elementary(int f, const acb_t x, slong prec, acb_t out)
{
  static void (*const plain[])(acb_t, const acb_t, slong) = {
      [MATH_LN] = acb_log,      [MATH_SIN] = acb_sin,     [MATH_COS] = acb_cos,     [MATH_TAN] = acb_tan,
      [MATH_COT] = acb_cot,     [MATH_ASIN] = acb_asin,   [MATH_ACOS] = acb_acos,   [MATH_ATAN] = acb_atan,
      [MATH_SINH] = acb_sinh,   [MATH_COSH] = acb_cosh,   [MATH_TANH] = acb_tanh,   [MATH_COTH] = acb_coth,
      [MATH_ASINH] = acb_asinh, [MATH_ACOSH] = acb_acosh, [MATH_ATANH] = acb_atanh, [MATH_APPLY] = NULL};
  if (!at_most(x, f >= MATH_SINH && f <= MATH_COTH ? 20 : 60)) return false;
  if (f == MATH_SEC)
    reciprocal_of(acb_cos, out, x, prec);
  else if (f == MATH_CSC)
    reciprocal_of(acb_sin, out, x, prec);
  else if (f == MATH_ACOT)
    of_reciprocal(acb_atan, out, x, prec);
  else if (f == MATH_ASEC)
    of_reciprocal(acb_acos, out, x, prec);
  else if (f == MATH_ACSC)
    of_reciprocal(acb_asin, out, x, prec);
  else if (plain[f])
    plain[f](out, x, prec);
  else
    return false;
  return true;
}

/* n! = Gamma(n + 1) */
static bool factorial(struct math *m, acb_t out, const acb_t x, slong prec)
{
  if (!at_most(x, 10) || !math_step(m, prec)) return false;
  acb_add_ui(out, x, 1, prec);
  acb_gamma(out, out, prec);
  return is_finite(out);
}

static bool binomial(struct math *m, acb_t out, const acb_t n, const acb_t k, slong prec)
{
  acb_t a, b;
  acb_init(a);
  acb_init(b);
  acb_sub(b, n, k, prec);
  bool ok = factorial(m, a, k, prec) && factorial(m, b, b, prec) && factorial(m, out, n, prec);
  if (ok) {
    acb_mul(a, a, b, prec);
    acb_div(out, out, a, prec);
  }
  acb_clear(a);
  acb_clear(b);
  return ok;
}

static bool part(int f, const acb_t x, slong prec, acb_t out)
{
  acb_t y;
  acb_init(y);
  bool ok = true;
  switch (f) {
    case MATH_ABS:
      acb_abs(acb_realref(y), x, prec);
      break;
    case MATH_RE:
      arb_set(acb_realref(y), acb_realref(x));
      break;
    case MATH_IM:
      arb_set(acb_realref(y), acb_imagref(x));
      break;
    case MATH_CONJUGATE:
      acb_conj(y, x);
      break;
    case MATH_FLOOR:
      arb_floor(acb_realref(y), acb_realref(x), prec);
      ok = acb_is_real(x);
      break;
    default:
      arb_ceil(acb_realref(y), acb_realref(x), prec);
      ok = acb_is_real(x);
  }
  acb_swap(out, y);
  acb_clear(y);
  return ok;
}

static bool of_two(struct math *m, const struct math_node *n, const struct math_point *p, acb_t x, slong prec,
                   acb_t out)
{
  acb_t y;
  acb_init(y);
  bool ok = math_evaluate(m, n->child[1], p, prec, y);
  if (ok && n->value == MATH_BINOMIAL) {
    ok = binomial(m, out, x, y, prec);
  } else if (ok) {
    acb_log(out, x, prec);
    acb_log(y, y, prec);
    ok = is_finite(out) && is_finite(y);
    if (ok) acb_div(out, out, y, prec);
  }
  acb_clear(y);
  return ok;
}

/* The function of n at x, the value of its first argument. */
static bool apply(struct math *m, const struct math_node *n, const struct math_point *p, acb_t x, slong prec, acb_t out)
{
  switch (n->value) {
    case MATH_ROOT:
      return root(m, n, x, prec, out);
    case MATH_LOG:
    case MATH_BINOMIAL:
      return of_two(m, n, p, x, prec, out);
    case MATH_FACTORIAL:
      return factorial(m, out, x, prec);
    case MATH_ABS:
    case MATH_FLOOR:
    case MATH_CEIL:
    case MATH_RE:
    case MATH_IM:
    case MATH_CONJUGATE:
      return part((int)n->value, x, prec, out);
    default:
      return elementary((int)n->value, x, prec, out);
  }
}

static bool call(struct math *m, const struct math_node *n, const struct math_point *p, slong prec, acb_t out)
{
  acb_t x;
  switch (n->value) {
    case MATH_APPLY:
      set_letter(n, p, prec, out);
      return true;
    case MATH_GCD:
    case MATH_LCM:
    case MATH_MOD:
    case MATH_MAX:
    case MATH_MIN:
    case MATH_DOUBLE_FACTORIAL:
      return set_rational(m, n, prec, out);
    default:
      break;
  }
  acb_init(x);
  bool ok = math_step(m, 4 + prec / 64) && math_evaluate(m, n->child[0], p, prec, x) && apply(m, n, p, x, prec, out);
  acb_clear(x);
  return ok;
}

static bool scaled(struct math *m, const struct math_node *n, const struct math_point *p, slong prec, acb_t out)
{
  arb_t pi;
  if (!math_evaluate(m, n->child[0], p, prec, out)) return false;
  if (n->kind == MATH_NEGATE) acb_neg(out, out);
  if (n->kind == MATH_PERCENT) acb_div_ui(out, out, 100, prec);
  if (n->kind == MATH_DEGREE) {
    arb_init(pi);
    arb_const_pi(pi, prec);
    acb_mul_arb(out, out, pi, prec);
    acb_div_ui(out, out, 180, prec);
    arb_clear(pi);
  }
  return true;
}

static bool leaf(struct math *m, const struct math_node *n, const struct math_point *p, slong prec, acb_t out)
{
  acb_zero(out);
  switch (n->kind) {
    case MATH_NUMBER:
      return set_rational(m, n, prec, out);
    case MATH_I:
      acb_onei(out);
      return true;
    case MATH_PI:
      if (!p->constants) {
        arb_const_pi(acb_realref(out), prec);
        return true;
      }
      break;
    case MATH_E:
      if (!p->constants) {
        arb_const_e(acb_realref(out), prec);
        return true;
      }
      break;
    case MATH_SYMBOL:
      break;
    default:
      return false;
  }
  set_letter(n, p, prec, out);
  return true;
}

bool math_evaluate(struct math *m, const struct math_node *n, const struct math_point *p, slong prec, acb_t out)
{
  bool ok;
  if (!math_step(m, 1 + prec / 256)) return false;
  switch (n->kind) {
    case MATH_SUM:
    case MATH_PRODUCT:
    case MATH_QUOTIENT:
      ok = fold(m, n, p, prec, out);
      break;
    case MATH_POWER:
      ok = power(m, n, p, prec, out);
      break;
    case MATH_NEGATE:
    case MATH_PERCENT:
    case MATH_DEGREE:
    case MATH_QUANTITY:
      ok = scaled(m, n, p, prec, out);
      break;
    case MATH_CALL:
      ok = call(m, n, p, prec, out);
      break;
    default:
      ok = leaf(m, n, p, prec, out);
  }
  return ok && is_finite(out) && !(p->real && !arb_contains_zero(acb_imagref(out)));
}
