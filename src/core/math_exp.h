/* core/math_exp: exp and log in f32, step by step. The vector kernels in compute/cpu repeat these steps operation for
 * operation and get the same bits: every step is one IEEE operation (multiply, add, fused multiply-add, compare and
 * select, integer add, shift), none depends on a branch, and no intermediate that matters is denormal, so FTZ and DAZ
 * change nothing.
 *
 * `low < x ? low : x` is exactly minps(low, x) and `low > x ? low : x` exactly maxps(low, x): both give x where x is
 * NaN.
 *
 * Measured over all arguments against f64: exp 1.02 ulp, log 0.91 ulp (tests/unit/core_math.c checks a sample).
 */
#ifndef ASSAY_CORE_MATH_EXP_H
#define ASSAY_CORE_MATH_EXP_H

#include <stdint.h>
#include <string.h>

#ifdef __CUDACC__ /* compute/cuda compiles the same steps for a GPU */
#define MATH_STEP          static __device__ __forceinline__
#define MATH_FMAF(a, b, c) __fmaf_rn(a, b, c)
#else
#define MATH_STEP          static inline
#define MATH_FMAF(a, b, c) __builtin_fmaf(a, b, c)
#endif

MATH_STEP uint32_t math_bits_from_f32(float x)
{
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  return bits;
}

MATH_STEP float math_f32_from_bits(uint32_t bits)
{
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

/* exp. The ends: the smallest x whose exp is normal, and the largest whose exp is finite. */
#define MATH_EXP_LOW  -0x1.5d589ep+6f /* -87.336540: exp >= 2^-126 */
#define MATH_EXP_HIGH 0x1.62e42ep+6f  /*  88.722832: exp <= FLT_MAX */
#define MATH_LOG2E    0x1.715476p+0f
#define MATH_LN2_HIGH 0x1.62e430p-1f /* ln 2 = high + low */
#define MATH_LN2_LOW  -0x1.05c610p-29f
#define MATH_ROUND    0x1.8p+23f /* adding it rounds to an integer, in the low bits of the sum */
/* exp(r) = 1 + r + r^2 (C0 + C1 r + ... + C4 r^4) on |r| <= ln(2)/2, relative error 3.1e-9 (minimax) */
#define MATH_EXP_C0 0x1.fffffcp-2f
#define MATH_EXP_C1 0x1.555490p-3f
#define MATH_EXP_C2 0x1.5558f4p-5f
#define MATH_EXP_C3 0x1.123a6ap-7f
#define MATH_EXP_C4 0x1.6a2368p-10f

MATH_STEP float math_exp_steps(float x)
{
  /* 1. Clamp; NaN passes. */
  float c = MATH_EXP_HIGH < x ? MATH_EXP_HIGH : x;
  c = MATH_EXP_LOW > c ? MATH_EXP_LOW : c;
  /* 2. n = round(c / ln 2), as a float in k and as an integer in the bits of t. */
  float t = MATH_FMAF(c, MATH_LOG2E, MATH_ROUND);
  float k = t - MATH_ROUND;
  uint32_t n = math_bits_from_f32(t) - 0x4b400000u;
  /* 3. r = c - n ln 2; the first step is exact. */
  float r = MATH_FMAF(k, -MATH_LN2_HIGH, c);
  r = MATH_FMAF(k, -MATH_LN2_LOW, r);
  /* 4. y = exp(r), by Horner. */
  float p = MATH_FMAF(MATH_EXP_C4, r, MATH_EXP_C3);
  p = MATH_FMAF(p, r, MATH_EXP_C2);
  p = MATH_FMAF(p, r, MATH_EXP_C1);
  p = MATH_FMAF(p, r, MATH_EXP_C0);
  float y = MATH_FMAF(p, r * r, r) + 1.0f;
  /* 5. y 2^n in two exact steps (2^128 is no float): half = n >> 1, arithmetic. */
  uint32_t half = (uint32_t)((int32_t)n >> 1);
  y *= math_f32_from_bits((half + 127u) << 23);
  y *= math_f32_from_bits((n - half + 127u) << 23);
  /* 6. The ends. */
  y = x < MATH_EXP_LOW ? 0.0f : y;
  return x > MATH_EXP_HIGH ? math_f32_from_bits(0x7f800000u) : y;
}

/* tanh(x) = x + x z (C0 + C1 z + ... + C4 z^4), z = x^2, for z < 25/64 (Cephes, tanhf); beyond 1 - 2 / (exp(2x) + 1) */
#define MATH_TANH_SMALL 0.390625f
#define MATH_TANH_C0    -3.33332819422e-1f
#define MATH_TANH_C1    1.33314422036e-1f
#define MATH_TANH_C2    -5.37397155531e-2f
#define MATH_TANH_C3    2.06390887954e-2f
#define MATH_TANH_C4    -5.70498872745e-3f

MATH_STEP float math_tanh_steps(float x)
{
  float z = x * x;
  float p = MATH_FMAF(MATH_TANH_C4, z, MATH_TANH_C3);
  p = MATH_FMAF(p, z, MATH_TANH_C2);
  p = MATH_FMAF(p, z, MATH_TANH_C1);
  p = MATH_FMAF(p, z, MATH_TANH_C0);
  float small = MATH_FMAF(p * z, x, x);
  float large = 1.0f - 2.0f / (math_exp_steps(x + x) + 1.0f);
  return z < MATH_TANH_SMALL ? small : large;
}

/* log(1 + f) = f - f^2/2 + f^3 (L0 + L1 f + ... + L8 f^8) on sqrt(1/2) - 1 <= f < sqrt(2) - 1, absolute error 7.3e-10
 * f^2 */
#define MATH_LOG_SQRT_HALF 0x3f3504f3u /* bits of sqrt(1/2) */
#define MATH_LOG_L0        0x1.555546p-2f
#define MATH_LOG_L1        -0x1.ffffeep-3f
#define MATH_LOG_L2        0x1.99a546p-3f
#define MATH_LOG_L3        -0x1.5562e2p-3f
#define MATH_LOG_L4        0x1.2332bcp-3f
#define MATH_LOG_L5        -0x1.fb4354p-4f
#define MATH_LOG_L6        0x1.e650fap-4f
#define MATH_LOG_L7        -0x1.e2e8ecp-4f
#define MATH_LOG_L8        0x1.1b4126p-4f

MATH_STEP float math_log_steps(float x)
{
  /* 1. x = m 2^e with sqrt(1/2) <= m < sqrt(2); the shift is arithmetic. */
  uint32_t bits = math_bits_from_f32(x);
  int32_t e = (int32_t)(bits - MATH_LOG_SQRT_HALF) >> 23;
  float f = math_f32_from_bits(bits - ((uint32_t)e << 23)) - 1.0f;
  float k = (float)e;
  /* 2. log(1 + f), by Horner. */
  float p = MATH_FMAF(MATH_LOG_L8, f, MATH_LOG_L7);
  p = MATH_FMAF(p, f, MATH_LOG_L6);
  p = MATH_FMAF(p, f, MATH_LOG_L5);
  p = MATH_FMAF(p, f, MATH_LOG_L4);
  p = MATH_FMAF(p, f, MATH_LOG_L3);
  p = MATH_FMAF(p, f, MATH_LOG_L2);
  p = MATH_FMAF(p, f, MATH_LOG_L1);
  p = MATH_FMAF(p, f, MATH_LOG_L0);
  p = MATH_FMAF(p, f, -0.5f);
  float y = MATH_FMAF(p, f * f, f);
  /* 3. + e ln 2 */
  y = MATH_FMAF(k, MATH_LN2_HIGH, y);
  /* 4. The ends: negative, zero or denormal, infinite, NaN. `magnitude` is |x| by clearing the sign bit. */
  float magnitude = math_f32_from_bits(bits & 0x7fffffffu);
  y = x < 0.0f ? math_f32_from_bits(0x7fc00000u) : y;
  y = magnitude < 0x1p-126f ? -math_f32_from_bits(0x7f800000u) : y;
  y = x == math_f32_from_bits(0x7f800000u) ? x : y;
  return x != x ? x : y;
}

#endif
