#include "reward/math_exact.h"
#include <string.h>

static bool fits(struct math *m, const fmpq_t x)
{
  flint_bitcnt_t bits = fmpz_bits(fmpq_numref(x)) + fmpz_bits(fmpq_denref(x));
  return bits <= MATH_MAX_BITS && math_step(m, 1 + (int64_t)(bits / 256));
}

static bool read_integer(const char *digits, size_t n, fmpz_t out)
{
  char text[MATH_MAX_DIGITS + 1];
  if (n > 12000) return false; /* 12000 digits are 40000 bits */
  if (n <= 18) {
    ulong value = 0;
    for (size_t i = 0; i < n; i++) value = 10 * value + (ulong)(digits[i] - '0');
    fmpz_set_ui(out, value);
    return true;
  }
  memcpy(text, digits, n);
  text[n] = 0;
  return fmpz_set_str(out, text, 10) == 0;
}

static bool read_number(const struct math_node *n, fmpq_t out)
{
  int64_t e = n->value < 0 ? -n->value : n->value;
  if (e > 12000 || !read_integer(n->text, n->length, fmpq_numref(out))) return false;
  fmpz_one(fmpq_denref(out));
  if (!e) return true;
  fmpz_t scale;
  fmpz_init(scale);
  fmpz_ui_pow_ui(scale, 10, (ulong)e);
  if (n->value > 0)
    fmpz_mul(fmpq_numref(out), fmpq_numref(out), scale);
  else
    fmpq_div_fmpz(out, out, scale);
  fmpz_clear(scale);
  return true;
}

/* out = out (op) the value of n */
static bool accumulate(struct math *m, enum math_kind kind, const struct math_node *n, fmpq_t out)
{
  fmpq_t x;
  fmpq_init(x);
  bool ok = math_rational(m, n, x) && !(kind == MATH_QUOTIENT && fmpq_is_zero(x));
  if (ok && kind == MATH_SUM) fmpq_add(out, out, x);
  if (ok && kind == MATH_PRODUCT) fmpq_mul(out, out, x);
  if (ok && kind == MATH_QUOTIENT) fmpq_div(out, out, x);
  fmpq_clear(x);
  return ok && fits(m, out);
}

static bool fold(struct math *m, const struct math_node *n, fmpq_t out)
{
  if (!math_rational(m, n->child[0], out)) return false;
  for (int i = 1; i < n->count; i++)
    if (!accumulate(m, n->kind, n->child[i], out)) return false;
  return true;
}

/* ---- powers, roots, logarithms ----------------------------------------------------------------------------------- */

/* The k-th root of x where it is rational. */
static bool exact_root(fmpq_t out, const fmpq_t x, ulong k)
{
  if (k < 1 || k > 1000 || (fmpq_sgn(x) < 0 && k % 2 == 0)) return false;
  return fmpz_root(fmpq_numref(out), fmpq_numref(x), (slong)k) && fmpz_root(fmpq_denref(out), fmpq_denref(x), (slong)k);
}

static bool whole_power(struct math *m, fmpq_t out, const fmpq_t base, const fmpz_t exponent)
{
  flint_bitcnt_t bits = fmpz_bits(fmpq_numref(base)) + fmpz_bits(fmpq_denref(base));
  bool unit = fmpz_is_pm1(fmpq_numref(base)) && fmpz_is_one(fmpq_denref(base));
  if (fmpq_is_zero(base)) {
    if (fmpz_sgn(exponent) <= 0) return false;
    fmpq_zero(out);
    return true;
  }
  if (unit) {
    fmpq_set_si(out, fmpz_sgn(fmpq_numref(base)) < 0 && fmpz_is_odd(exponent) ? -1 : 1, 1);
    return true;
  }
  if (fmpz_cmpabs(exponent, fmpq_numref(base)) == 0 && !fmpz_fits_si(exponent)) return false;
  if (!fmpz_fits_si(exponent)) return false;
  slong e = fmpz_get_si(exponent), size = e < 0 ? -e : e;
  if (e == WORD_MIN || size > MATH_MAX_BITS || bits * (ulong)size > 2 * MATH_MAX_BITS) return false;
  fmpq_pow_si(out, base, e);
  return fits(m, out);
}

static bool power(struct math *m, const struct math_node *n, fmpq_t out)
{
  fmpq_t base, e;
  fmpq_init(base);
  fmpq_init(e);
  bool ok = math_rational(m, n->child[0], base) && math_rational(m, n->child[1], e);
  if (ok && !fmpz_is_one(fmpq_denref(e))) {
    /* The principal value of a root of a negative number is not real. */
    ok = fmpq_sgn(base) >= 0 && fmpz_abs_fits_ui(fmpq_denref(e)) && exact_root(base, base, fmpz_get_ui(fmpq_denref(e)));
    fmpz_one(fmpq_denref(e));
  }
  ok = ok && whole_power(m, out, base, fmpq_numref(e));
  fmpq_clear(base);
  fmpq_clear(e);
  return ok;
}

static bool root(struct math *m, const struct math_node *n, fmpq_t out)
{
  int64_t k;
  return math_small(n->child[1], &k) && k >= 2 && math_rational(m, n->child[0], out) && exact_root(out, out, (ulong)k);
}

/* The whole number that the ball q log(a) / log(b) holds, if it is one. */
static bool near_ratio(fmpz_t out, const fmpq_t a, const fmpq_t b, ulong q)
{
  arb_t x, y;
  arb_init(x);
  arb_init(y);
  arb_set_fmpq(x, a, 64);
  arb_set_fmpq(y, b, 64);
  arb_log(x, x, 64);
  arb_log(y, y, 64);
  arb_mul_ui(x, x, q, 64);
  arb_div(x, x, y, 64);
  bool one = arb_is_finite(x) && arb_get_unique_fmpz(out, x);
  arb_clear(x);
  arb_clear(y);
  return one;
}

/* log_b a = p / q in small numbers: b^p = a^q. */
static bool logarithm(struct math *m, const struct math_node *n, fmpq_t out)
{
  fmpq_t a, b, left, right;
  fmpz_t p, e;
  bool found = false;
  fmpq_init(a), fmpq_init(b), fmpq_init(left), fmpq_init(right);
  fmpz_init(p), fmpz_init(e);
  bool ok = math_rational(m, n->child[0], a) && math_rational(m, n->child[1], b) && fmpq_sgn(a) > 0 &&
            fmpq_sgn(b) > 0 && !fmpq_is_one(b);
  for (ulong q = 1; ok && !found && q <= 12 && math_step(m, 4); q++) {
    fmpz_set_ui(e, q);
    if (!near_ratio(p, a, b, q) || !whole_power(m, left, b, p) || !whole_power(m, right, a, e)) continue;
    found = fmpq_equal(left, right);
    fmpq_set_fmpz_frac(out, p, e);
  }
  fmpq_clear(a), fmpq_clear(b), fmpq_clear(left), fmpq_clear(right);
  fmpz_clear(p), fmpz_clear(e);
  return found;
}

/* ---- functions of whole numbers ---------------------------------------------------------------------------------- */

static bool small_whole(struct math *m, const struct math_node *n, ulong most, ulong *out)
{
  fmpq_t x;
  fmpq_init(x);
  bool ok = math_rational(m, n, x) && fmpz_is_one(fmpq_denref(x)) && fmpq_sgn(x) >= 0 &&
            fmpz_cmp_ui(fmpq_numref(x), most) <= 0;
  if (ok) *out = fmpz_get_ui(fmpq_numref(x));
  fmpq_clear(x);
  return ok;
}

static bool factorial(struct math *m, const struct math_node *n, fmpq_t out)
{
  ulong of;
  if (!small_whole(m, n->child[0], MATH_MAX_FACTORIAL, &of)) return false;
  fmpq_one(out);
  if (n->value == MATH_FACTORIAL) {
    fmpz_fac_ui(fmpq_numref(out), of);
  } else {
    for (; of > 1; of -= 2) fmpz_mul_ui(fmpq_numref(out), fmpq_numref(out), of);
  }
  return fits(m, out);
}

static bool binomial(struct math *m, const struct math_node *n, fmpq_t out)
{
  ulong of, k;
  if (!small_whole(m, n->child[0], 1000000000, &of) || !small_whole(m, n->child[1], 1000000000, &k)) return false;
  fmpq_zero(out);
  if (k > of) return true;
  if (k > of - k) k = of - k;
  if (k > 1000) return false;
  fmpz_bin_uiui(fmpq_numref(out), of, k);
  return fits(m, out);
}

static void combine(int f, fmpz_t a, const fmpz_t b)
{
  if (f == MATH_GCD) fmpz_gcd(a, a, b);
  if (f == MATH_LCM) fmpz_lcm(a, a, b);
  if (f == MATH_MAX && fmpz_cmp(a, b) < 0) fmpz_set(a, b);
  if (f == MATH_MIN && fmpz_cmp(a, b) > 0) fmpz_set(a, b);
  if (f == MATH_MOD) fmpz_mod(a, a, b);
}

static bool of_integers(struct math *m, const struct math_node *n, fmpq_t out)
{
  fmpq_t x;
  fmpq_init(x);
  bool ok = math_rational(m, n->child[0], out) && fmpz_is_one(fmpq_denref(out));
  for (int i = 1; ok && i < n->count; i++) {
    ok = math_rational(m, n->child[i], x) && fmpz_is_one(fmpq_denref(x)) && !(n->value == MATH_MOD && fmpq_sgn(x) <= 0);
    if (ok) combine((int)n->value, fmpq_numref(out), fmpq_numref(x));
    ok = ok && fits(m, out);
  }
  fmpq_clear(x);
  return ok;
}

static bool round_to(struct math *m, const struct math_node *n, fmpq_t out)
{
  if (!math_rational(m, n->child[0], out)) return false;
  if (n->value == MATH_ABS) fmpq_abs(out, out);
  if (n->value == MATH_FLOOR) fmpz_fdiv_q(fmpq_numref(out), fmpq_numref(out), fmpq_denref(out));
  if (n->value == MATH_CEIL) fmpz_cdiv_q(fmpq_numref(out), fmpq_numref(out), fmpq_denref(out));
  if (n->value != MATH_ABS) fmpz_one(fmpq_denref(out));
  return true;
}

static bool call(struct math *m, const struct math_node *n, fmpq_t out)
{
  switch (n->value) {
    case MATH_ROOT:
      return root(m, n, out);
    case MATH_LOG:
      return logarithm(m, n, out);
    case MATH_FACTORIAL:
    case MATH_DOUBLE_FACTORIAL:
      return factorial(m, n, out);
    case MATH_BINOMIAL:
      return binomial(m, n, out);
    case MATH_GCD:
    case MATH_LCM:
    case MATH_MAX:
    case MATH_MIN:
    case MATH_MOD:
      return of_integers(m, n, out);
    case MATH_ABS:
    case MATH_FLOOR:
    case MATH_CEIL:
      return round_to(m, n, out);
    default:
      return false;
  }
}

bool math_rational(struct math *m, const struct math_node *n, fmpq_t out)
{
  if (!math_step(m, 1)) return false;
  switch (n->kind) {
    case MATH_NUMBER:
      return read_number(n, out) && fits(m, out);
    case MATH_SUM:
    case MATH_PRODUCT:
    case MATH_QUOTIENT:
      return fold(m, n, out);
    case MATH_POWER:
      return power(m, n, out);
    case MATH_NEGATE:
      if (!math_rational(m, n->child[0], out)) return false;
      fmpq_neg(out, out);
      return true;
    case MATH_PERCENT:
      if (!math_rational(m, n->child[0], out)) return false;
      fmpq_div_2exp(out, out, 2);
      fmpz_mul_ui(fmpq_denref(out), fmpq_denref(out), 25);
      fmpq_canonicalise(out);
      return true;
    case MATH_QUANTITY:
      return math_rational(m, n->child[0], out);
    case MATH_CALL:
      return call(m, n, out);
    default:
      return false;
  }
}

/* ---- multiples of pi --------------------------------------------------------------------------------------------- */

static bool pi_sum(struct math *m, const struct math_node *n, fmpq_t out)
{
  fmpq_t x;
  fmpq_init(x);
  fmpq_zero(out);
  bool ok = true;
  for (int i = 0; ok && i < n->count; i++) {
    ok = math_pi_multiple(m, n->child[i], x);
    if (ok) fmpq_add(out, out, x);
    ok = ok && fits(m, out);
  }
  fmpq_clear(x);
  return ok;
}

/* Factor i of a product or quotient: rational, or (*found) the one that is a multiple of pi, which stands on top. */
static bool pi_factor(struct math *m, const struct math_node *n, int i, fmpq_t x, int *found)
{
  bool below = n->kind == MATH_QUOTIENT && i > 0;
  if (math_rational(m, n->child[i], x)) return !(below && fmpq_is_zero(x));
  return !below && ++*found == 1 && math_pi_multiple(m, n->child[i], x);
}

/* One factor is a multiple of pi, the others are rational. */
static bool pi_product(struct math *m, const struct math_node *n, fmpq_t out)
{
  int found = 0;
  bool ok = true;
  fmpq_t x;
  fmpq_init(x);
  fmpq_one(out);
  for (int i = 0; ok && i < n->count; i++) {
    ok = pi_factor(m, n, i, x, &found);
    if (ok && n->kind == MATH_QUOTIENT && i)
      fmpq_div(out, out, x);
    else if (ok)
      fmpq_mul(out, out, x);
    ok = ok && fits(m, out);
  }
  fmpq_clear(x);
  return ok && (found == 1 || fmpq_is_zero(out));
}

bool math_pi_multiple(struct math *m, const struct math_node *n, fmpq_t out)
{
  if (!math_step(m, 1)) return false;
  switch (n->kind) {
    case MATH_PI:
      fmpq_one(out);
      return true;
    case MATH_NUMBER:
      fmpq_zero(out);
      return n->length == 0;
    case MATH_NEGATE:
      if (!math_pi_multiple(m, n->child[0], out)) return false;
      fmpq_neg(out, out);
      return true;
    case MATH_DEGREE: {
      if (!math_rational(m, n->child[0], out)) return false;
      fmpz_t whole;
      fmpz_init_set_ui(whole, 180);
      fmpq_div_fmpz(out, out, whole);
      fmpz_clear(whole);
      return true;
    }
    case MATH_SUM:
      return pi_sum(m, n, out);
    case MATH_PRODUCT:
    case MATH_QUOTIENT:
      return pi_product(m, n, out);
    default:
      return false;
  }
}
