/* core/math: the only file that rounds. Polynomials of our own, so that the same bits come out of every libc, compiler
 * and instruction set. The vector kernels in compute/cpu repeat the f32 routines operation for operation; compute tests
 * compare by memcmp.
 *
 * Measured bounds are stated per function and checked by tests/unit/core. All f32 routines assume round-to-nearest and
 * treat denormal inputs as 0 and flush denormal results, as the compute mode (pool.h) does; their results are the same
 * with and without FTZ/DAZ.
 */
#ifndef ASSAY_CORE_MATH_H
#define ASSAY_CORE_MATH_H

#include <stdbool.h>
#include <stdint.h>

static inline float math_fmaf(float a, float b, float c)
{
  return __builtin_fmaf(a, b, c);
}
static inline double math_fma(double a, double b, double c)
{
  return __builtin_fma(a, b, c);
}

/* exp(x): above 88.72283 +inf, below -87.33654 +0, NaN: NaN. The exact steps of the f32 two are in math_exp.h, so that
   a vector unit can repeat them. Bounds as measured: expf 1.02 ulp, logf 0.91 (all arguments); f64 on millions of
   random arguments against long double: exp 0.75, log 0.83, log1p 0.81, expm1 1.1, pow 0.75, sin and cos 0.78,
   tanh 1.5. */
float math_expf(float x);
float math_tanhf(float x);
double math_exp(double x);
float math_logf(float x); /* zero and denormals: -inf; below: NaN */
double math_log(double x);
double math_log1p(double x);
double math_expm1(double x);
double math_pow(double x, double y); /* x >= 0; below NaN */
double math_sin(double x);           /* |x| <= 2^30, a broken invariant beyond */
double math_cos(double x);
double math_tanh(double x);
double math_sqrt(double x); /* IEEE exact */
float math_sqrtf(float x);
double math_floor(double x);
double math_round(double x);          /* to the nearest integer, ties to even */
double math_fmod(double x, double y); /* exact, with the sign of x; NaN where y is 0 or x is infinite */
double math_abs(double x);
double math_clamp(double x, double low, double high);
bool math_is_nan(double x); /* by bits: right in every build */
bool math_is_finite(double x);

uint16_t math_bf16_from_f32(float x); /* round to nearest even; NaN stays NaN (quiet) */
float math_f32_from_bf16(uint16_t x);
uint16_t math_f16_from_f32(float x);
float math_f32_from_f16(uint16_t x);

/* 0 if the process rounds to nearest, has no FTZ/DAZ outside compute operations and keeps one denormal alive. */
struct error;
int math_check_environment(struct error *err);

#endif
