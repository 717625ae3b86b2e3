/* exp, log and their kin in f64. The polynomials are minimax fits (Remez exchange in 300 bits, weights as noted); the
 * arguments are reduced exactly, and the parts that must not lose bits are carried as unevaluated sums high + low. */
#include <string.h>

#include "core/error.h"
#include "core/math.h"

#define INFINITE         __builtin_inf()
#define NOT_A_NUMBER     __builtin_nan("")
#define LN2_HIGH         0x1.62e42fefa39efp-1
#define LN2_LOW          0x1.abc9e3b39803fp-56
#define LN2_SHORT        0x1.62e42fee00000p-1 /* 32 bits: times an exponent it is exact */
#define LN2_REST         0x1.a39ef35793c76p-33
#define ROUND_TO_INTEGER 0x1.8p52

static double from_bits(uint64_t bits)
{
  double x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

static uint64_t to_bits(double x)
{
  uint64_t bits;
  memcpy(&bits, &x, sizeof bits);
  return bits;
}

/* c[0] + c[1] x + ... + c[degree] x^degree */
static double horner(const double *c, int degree, double x)
{
  double y = c[degree];
  for (int i = degree - 1; i >= 0; i--) y = math_fma(y, x, c[i]);
  return y;
}

static double power_of_two(int n) /* -1022 <= n <= 1023 */
{
  return from_bits((uint64_t)(n + 1023) << 52);
}

/* x 2^n for -2100 < n < 2100, rounded once, as the halves before the last are exact. */
static double scale(double x, int n)
{
  if (n > 1023) {
    x *= 0x1p1023;
    n -= 1023;
  } else if (n < -1022) {
    /* x is near 1: one large step leaves it normal, the last one rounds. */
    x *= 0x1p-969;
    n += 969;
  }
  n = n > 1023 ? 1023 : n < -1022 ? -1022 : n;
  return x * power_of_two(n);
}

/* An unevaluated sum, |low| <= half an ulp of high. */
struct pair {
  double high, low;
};

static struct pair two_sum(double a, double b)
{
  double sum = a + b, back = sum - a;
  return (struct pair){sum, (a - (sum - back)) + (b - back)};
}

static struct pair fast_two_sum(double a, double b) /* |a| >= |b| or a = 0 */
{
  double sum = a + b;
  return (struct pair){sum, (a - sum) + b};
}

static struct pair pair_times(struct pair a, struct pair b)
{
  double high = a.high * b.high;
  double low = math_fma(a.high, b.high, -high) + math_fma(a.high, b.low, a.low * b.high);
  return fast_two_sum(high, low);
}

/* --- exp --- */

/* exp(x + tail) = 2^n (1 + high + low), |high| <= 0.35, for |x| < 1100 and a tail below an ulp of x. */
struct exp_parts {
  int n;
  double high, low;
};

static struct exp_parts exp_split(double x, double tail)
{
  /* (exp(r) - 1 - r) / r^2 on |r| <= ln(2)/2, weight r^2: 5.4e-20 */
  static const double c[] = {0x1.0000000000000p-1,  0x1.555555555555cp-3,  0x1.555555555555ep-5,  0x1.111111110eb6dp-7,
                             0x1.6c16c16c134d2p-10, 0x1.a01a01b3d6557p-13, 0x1.a01a01b482911p-16, 0x1.71ddef4ed26d2p-19,
                             0x1.27e4bede04ae1p-22, 0x1.af6d46be1a6b9p-26, 0x1.1f9e61da4a62cp-29};
  double k = math_fma(x, 0x1.71547652b82fep+0, ROUND_TO_INTEGER) - ROUND_TO_INTEGER;
  double high = math_fma(k, -LN2_HIGH, x); /* exact */
  double low = math_fma(k, -LN2_LOW, tail);
  double r = high + low;
  return (struct exp_parts){.n = (int)k, .high = high, .low = math_fma(horner(c, 10, r), r * r, low)};
}

/* base + high + low with one rounding that counts; |base| >= |high|. */
static double join(double base, double high, double low)
{
  double sum = base + high;
  return sum + ((base - sum) + high + low);
}

static double exp_with_tail(double x, double tail)
{
  struct exp_parts e = exp_split(x, tail);
  return scale(join(1.0, e.high, e.low), e.n);
}

double math_exp(double x)
{
  if (x != x) return x;
  if (x > 709.782712893384) return INFINITE;
  if (x < -745.1332191019412) return 0.0;
  return exp_with_tail(x, 0.0);
}

/* exp(x) - 1 = 2^n ((1 - 2^-n) + high + low), for -64 ln 2 < x < 60 ln 2. */
static struct pair expm1_pair(double x)
{
  struct exp_parts e = exp_split(x, 0.0);
  if (e.n == 0) return fast_two_sum(e.high, e.low);
  struct pair sum = two_sum(1.0 - power_of_two(-e.n), e.high);
  sum = fast_two_sum(sum.high, sum.low + e.low);
  return (struct pair){sum.high * power_of_two(e.n), sum.low * power_of_two(e.n)};
}

double math_expm1(double x)
{
  if (x != x || math_abs(x) < 0x1p-54) return x;
  if (x < -40.0) return -1.0;
  return x > 40.0 ? math_exp(x) : expm1_pair(x).high;
}

double math_tanh(double x)
{
  double a = math_abs(x), y = 1.0;
  if (x != x || a < 0x1p-28) return x;
  if (a < 20.0) {
    /* -t / (t + 2) with t = exp(-2a) - 1, the quotient corrected by its remainder */
    struct pair t = expm1_pair(-2.0 * a), d = two_sum(2.0, t.high);
    d.low += t.low;
    double q = t.high / d.high, rest = math_fma(-q, d.high, t.high) + (t.low - q * d.low);
    y = -(q + rest / d.high);
  }
  return x < 0 ? -y : y;
}

/* --- log --- */

/* x = m 2^k with sqrt(1/2) <= m < sqrt(2), for finite x > 0. */
static double split_exponent(double x, int *k)
{
  int bias = 0;
  if (x < 0x1p-1022) {
    x *= 0x1p54;
    bias = 54;
  }
  uint64_t bits = to_bits(x), shifted = bits - 0x3fe6a09e667f3bcdu; /* sqrt(1/2) */
  int e = (int)((int64_t)shifted >> 52);
  *k = e - bias;
  return from_bits(bits - ((uint64_t)e << 52));
}

/* k ln 2 + log(1 + f) + c, where c is small against f. With s = f / (2 + f): log(1 + f) = 2 atanh(s) = f - s (f - R),
   R = s^2 P(s^2). */
static double log_joined(int k, double f, double c)
{
  /* (2 atanh(s)/s - 2) / s^2 on |s| <= 0.1716 in z = s^2, weight z: 2.5e-18 */
  static const double p[] = {0x1.5555555555593p-1, 0x1.999999997fc70p-2, 0x1.24924942048c7p-2, 0x1.c71c51f88e406p-3,
                             0x1.7466428fb7644p-3, 0x1.39a15759a640bp-3, 0x1.2f097e5061ca9p-3};
  double s = f / (2.0 + f), z = s * s, r = z * horner(p, 6, z), half = 0.5 * f * f, e = (double)k;
  return e * LN2_SHORT - ((half - (s * (half + r) + (e * LN2_REST + c))) - f);
}

double math_log(double x)
{
  if (x != x || x == INFINITE) return x;
  if (x == 0.0) return -INFINITE;
  if (x < 0.0) return NOT_A_NUMBER;
  int k;
  double m = split_exponent(x, &k);
  return log_joined(k, m - 1.0, 0.0);
}

double math_log1p(double x)
{
  if (x != x || x == INFINITE || math_abs(x) < 0x1p-54) return x;
  if (x == -1.0) return -INFINITE;
  if (x < -1.0) return NOT_A_NUMBER;
  /* Near 0 there is nothing to reduce: f = x exactly. */
  if (x > -0.29 && x < 0.41) return log_joined(0, x, 0.0);
  int k;
  double u = 1.0 + x, lost = x >= 1.0 ? 1.0 - (u - x) : x - (u - 1.0);
  double m = split_exponent(u, &k);
  return log_joined(k, m - 1.0, lost / u);
}

/* --- pow: log in 106 bits, times y, exp with a tail --- */

/* log(x) to about 2^-65, for finite x > 0. */
static struct pair log_pair(double x)
{
  /* (2 atanh(s)/s - 2 - (2/3) s^2) / s^4 in z = s^2, weight z^2: 1.2e-24 */
  static const double q[] = {0x1.999999999999ap-2, 0x1.249249249247bp-2, 0x1.c71c71c72102fp-3,
                             0x1.745d174242b6ap-3, 0x1.3b13b2d51aec8p-3, 0x1.11109fbc6518ap-3,
                             0x1.e208ec684ee42p-4, 0x1.ab14f50620fb7p-4, 0x1.c206beec89841p-4};
  int k;
  double f = split_exponent(x, &k) - 1.0;
  struct pair d = two_sum(2.0, f);
  double s0 = f / d.high;
  struct pair s = fast_two_sum(s0, (math_fma(-s0, d.high, f) - s0 * d.low) / d.high);
  struct pair z = pair_times(s, s);
  /* c = 2/3 + z Q(z); log m = 2 s + s z c */
  struct pair c = fast_two_sum(0x1.5555555555555p-1, math_fma(z.high, horner(q, 8, z.high), 0x1.5555555555555p-55));
  struct pair t = pair_times(pair_times(s, z), c);
  struct pair m = fast_two_sum(2.0 * s.high, t.high);
  m = fast_two_sum(m.high, m.low + (2.0 * s.low + t.low));
  double e = (double)k;
  struct pair sum = two_sum(e * LN2_SHORT, m.high);
  double rest = e * LN2_REST;
  struct pair with_rest = two_sum(sum.high, rest);
  double low = (math_fma(e, LN2_REST, -rest) + m.low) + sum.low;
  /* LN2_SHORT + LN2_REST is ln 2 to 2^-86. */
  return fast_two_sum(with_rest.high, with_rest.low + low);
}

double math_pow(double x, double y)
{
  if (y == 0.0 || x == 1.0) return 1.0;
  if (x != x || y != y || x < 0.0) return NOT_A_NUMBER;
  if (x == 0.0 || x == INFINITE) return (x == 0.0) == (y < 0.0) ? INFINITE : 0.0;
  struct pair l = log_pair(x);
  double p = y * l.high;
  if (p > 710.0) return INFINITE;
  if (p < -746.0) return 0.0;
  double tail = math_fma(y, l.high, -p) + y * l.low;
  return math_abs(p) < 0x1p-60 ? 1.0 + p : exp_with_tail(p, tail);
}

/* --- sin and cos --- */

/* x = k pi/2 + r.high + r.low, |r| <= pi/4, for |x| <= 2^30; returns k modulo 4. */
static unsigned reduce(double x, struct pair *r)
{
  double k = math_fma(x, 0x1.45f306dc9c883p-1, ROUND_TO_INTEGER) - ROUND_TO_INTEGER;
  double first = math_fma(k, -0x1.921fb54442d18p+0, x); /* exact */
  double second = k * -0x1.1a62633145c07p-54;
  double lost = math_fma(k, -0x1.1a62633145c07p-54, -second);
  struct pair sum = two_sum(first, second);
  double third = math_fma(k, 0x1.f1976b7ed8fbcp-110, lost);
  *r = fast_two_sum(sum.high, sum.low + third);
  return (unsigned)(int)k & 3;
}

static double sin_near_zero(struct pair r)
{
  /* (sin(r)/r - 1) / r^2 in z = r^2, weight z: 3.5e-18 */
  static const double s[] = {-0x1.5555555555549p-3, 0x1.111111110f861p-7,   -0x1.a01a019c0e4b4p-13,
                             0x1.71de3574ba22bp-19, -0x1.ae5e63cd965eap-26, 0x1.5d9246deb1b71p-33};
  double z = r.high * r.high, cube = z * r.high;
  /* sin(h + l) = sin h + l cos h; cos h = 1 - z/2 is enough for the tail. */
  return r.high + math_fma(cube, horner(s, 5, z), r.low * (1.0 - 0.5 * z));
}

static double cos_near_zero(struct pair r)
{
  /* (cos(r) - 1 + r^2/2) / r^4 in z = r^2, weight z^2: 4.7e-20 */
  static const double c[] = {0x1.555555555554cp-5,   -0x1.6c16c16c15163p-10, 0x1.a01a019caef66p-16,
                             -0x1.27e4f807d8050p-22, 0x1.1ee9ea6df0e1fp-29,  -0x1.8fadd1048ca93p-37};
  double z = r.high * r.high, half = 0.5 * z, base = 1.0 - half;
  double lost = (1.0 - base) - half;
  return base + (lost + math_fma(z * z, horner(c, 5, z), -r.high * r.low));
}

static double sin_quadrant(double x, unsigned turn)
{
  ASSAY_BUG_IF(math_abs(x) > 0x1p30);
  struct pair r;
  unsigned quadrant = (reduce(x, &r) + turn) & 3;
  double y = quadrant & 1 ? cos_near_zero(r) : sin_near_zero(r);
  return quadrant & 2 ? -y : y;
}

double math_sin(double x)
{
  if (!math_is_finite(x)) return NOT_A_NUMBER;
  return math_abs(x) < 0x1p-27 ? x : sin_quadrant(x, 0);
}

double math_cos(double x)
{
  if (!math_is_finite(x)) return NOT_A_NUMBER;
  return sin_quadrant(x, 1);
}
