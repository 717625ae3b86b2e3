#include "core/math.h"

#include "core/error.h"
#include "core/math_exp.h"

static double f64_from_bits(uint64_t bits)
{
  double x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

static uint64_t bits_from_f64(double x)
{
  uint64_t bits;
  memcpy(&bits, &x, sizeof bits);
  return bits;
}

float math_tanhf(float x)
{
  return math_tanh_steps(x);
}

float math_expf(float x)
{
  return math_exp_steps(x);
}

float math_logf(float x)
{
  return math_log_steps(x);
}

float math_sqrtf(float x)
{
  return __builtin_sqrtf(x);
}

double math_sqrt(double x)
{
  return __builtin_sqrt(x);
}

double math_floor(double x)
{
  return __builtin_floor(x);
}

double math_round(double x)
{
  double size = math_abs(x);
  if (!(size < 0x1p52)) return x;
  double whole = (size + 0x1p52) - 0x1p52; /* the addition rounds */
  return f64_from_bits(bits_from_f64(whole) | (bits_from_f64(x) & ~(uint64_t)INT64_MAX));
}

double math_fmod(double x, double y)
{
  const uint64_t top = UINT64_C(1) << 52, sign = bits_from_f64(x) & ~(uint64_t)INT64_MAX;
  uint64_t a = bits_from_f64(x) ^ sign, b = bits_from_f64(y) & INT64_MAX;
  if (b > UINT64_C(2047) << 52 || !b || a >= UINT64_C(2047) << 52) return x * 0 / (y * 0);
  if (a < b) return x;
  /* x = m 2^from, y = n 2^to in integers; m 2^(from-to) mod n, eleven bits at a time. */
  int from = a >= top ? (int)(a >> 52) : 1, to = b >= top ? (int)(b >> 52) : 1;
  uint64_t m = a >= top ? (a & (top - 1)) | top : a, n = b >= top ? (b & (top - 1)) | top : b, rest = m % n;
  for (int step; from > to; from -= step) {
    step = from - to < 11 ? from - to : 11;
    rest = (rest << step) % n;
  }
  for (; rest && rest < top && to > 1; to--) rest <<= 1;
  return f64_from_bits(sign | (rest < top ? rest : (rest & (top - 1)) | (uint64_t)to << 52));
}

double math_abs(double x)
{
  return f64_from_bits(bits_from_f64(x) & INT64_MAX);
}

double math_clamp(double x, double low, double high)
{
  return x < low ? low : x > high ? high : x;
}

bool math_is_nan(double x)
{
  return (bits_from_f64(x) & INT64_MAX) > 0x7ff0000000000000u;
}

bool math_is_finite(double x)
{
  return (bits_from_f64(x) & INT64_MAX) < 0x7ff0000000000000u;
}

/* --- bf16 and f16: integers only, so that FTZ and DAZ do not touch them; NaN as vcvtps2ph and vcvtph2ps make it --- */

uint16_t math_bf16_from_f32(float x)
{
  uint32_t bits = math_bits_from_f32(x);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return (uint16_t)(bits >> 16 | 0x40);
  return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1)) >> 16);
}

float math_f32_from_bf16(uint16_t x)
{
  return math_f32_from_bits((uint32_t)x << 16);
}

uint16_t math_f16_from_f32(float x)
{
  uint32_t bits = math_bits_from_f32(x), sign = bits >> 16 & 0x8000, magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return (uint16_t)(sign | 0x7e00 | (magnitude >> 13 & 0x3ff));
  if (magnitude >= 0x477ff000u) return (uint16_t)(sign | 0x7c00); /* 65520 and more round to infinity */
  if (magnitude >= 0x38800000u) {                                 /* 2^-14: normal */
    uint32_t rebased = magnitude - 0x38000000u;
    return (uint16_t)(sign | (rebased + 0xfff + (rebased >> 13 & 1)) >> 13);
  }
  if (magnitude <= 0x33000000u) return (uint16_t)sign; /* 2^-25 and less round to zero */
  /* Denormal: whole multiples of 2^-24. */
  uint32_t shift = 126 - (magnitude >> 23), mantissa = (magnitude & 0x7fffffu) | 0x800000u;
  uint32_t whole = mantissa >> shift, rest = mantissa & ((1u << shift) - 1), half = 1u << (shift - 1);
  whole += rest > half || (rest == half && (whole & 1));
  return (uint16_t)(sign | whole);
}

float math_f32_from_f16(uint16_t x)
{
  uint32_t sign = (uint32_t)(x & 0x8000) << 16, exponent = x >> 10 & 31, mantissa = x & 0x3ff;
  if (exponent == 31) return math_f32_from_bits(sign | 0x7f800000u | (mantissa ? 0x400000u : 0) | mantissa << 13);
  if (exponent > 0) return math_f32_from_bits(sign | (exponent + 112) << 23 | mantissa << 13);
  if (mantissa == 0) return math_f32_from_bits(sign);
  uint32_t shift = (uint32_t)__builtin_clz(mantissa) - 21; /* brings the leading one to bit 10 */
  return math_f32_from_bits(sign | (113 - shift) << 23 | (mantissa << shift & 0x3ff) << 13);
}

int math_check_environment(struct error *err)
{
  /* volatile: computed by the machine now, not by the compiler. Ties to even goes down at 1 + 2^-53 and up at 1 + 3
   * 2^-53. */
  volatile double one = 1.0, half = 0x1p-53, least = 0x1p-1022;
  bool nearest = one + half == 1.0 && one + 3 * half == 1.0 + 0x1p-51 && -one - half == -1.0;
  if (!nearest) {
    FAIL(err, ERROR_LAW,
         "found a rounding mode other than to nearest; expected the default; is a library preloaded that changes it?");
  }
  volatile double denormal = least * 0.5;
  if (denormal == 0.0 || denormal + denormal != least) {
    FAIL(err, ERROR_LAW,
         "found denormal numbers flushed to zero; expected the default; is a library preloaded that was built with "
         "-ffast-math?");
  }
  return 0;
}
