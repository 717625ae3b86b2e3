/* compute/cpu/simd/f16_neon: sixteen f32 lanes in four 128-bit registers of AArch64. See f16_avx512.inc.h. Minimum and
 * maximum are comparisons with a choice, as x86 has them: where a lane is NaN the second operand comes out. */
#ifndef ASSAY_COMPUTE_CPU_SIMD_F16_NEON_H
#define ASSAY_COMPUTE_CPU_SIMD_F16_NEON_H

#include "core/math_exp.h"

#include <arm_neon.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OVERLAY(name) name##_neon

/* 6 rows of one panel are 24 accumulators of 32 registers. */
enum { TILE_ROWS = 6, TILE_PANELS = 1 };
#define TILE_ROW_LIST(X, form) X(1, form) X(2, form) X(3, form) X(4, form) X(5, form) X(6, form)

struct f16 {
  float32x4_t q[4];
};
struct m16 {
  uint32x4_t q[4]; /* all ones or all zeros per lane */
};

#define INLINE static inline __attribute__((always_inline, unused))

/* Before a loop whose constant bound must become straight code, so that its array lives in registers. */
#ifdef __clang__
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

INLINE struct f16 f16_set(float x)
{
  const float32x4_t v = vdupq_n_f32(x);
  return (struct f16){{v, v, v, v}};
}
INLINE struct f16 f16_zero(void)
{
  return f16_set(0);
}
INLINE struct f16 f16_load(const float *p)
{
  return (struct f16){{vld1q_f32(p), vld1q_f32(p + 4), vld1q_f32(p + 8), vld1q_f32(p + 12)}};
}
INLINE void f16_store(float *p, struct f16 x)
{
  for (size_t i = 0; i < 4; i++) vst1q_f32(p + 4 * i, x.q[i]);
}

INLINE struct m16 m16_first(size_t n)
{
  static const uint32_t lanes[4] = {0, 1, 2, 3};
  const uint32x4_t first = vld1q_u32(lanes), count = vdupq_n_u32(n >= 16 ? 16 : (uint32_t)n);
  return (struct m16){{vcgtq_u32(count, first), vcgtq_u32(count, vaddq_u32(first, vdupq_n_u32(4))),
                       vcgtq_u32(count, vaddq_u32(first, vdupq_n_u32(8))),
                       vcgtq_u32(count, vaddq_u32(first, vdupq_n_u32(12)))}};
}
INLINE struct m16 m16_and(struct m16 a, struct m16 b)
{
  for (size_t i = 0; i < 4; i++) a.q[i] = vandq_u32(a.q[i], b.q[i]);
  return a;
}
INLINE struct m16 m16_range(size_t from, size_t end)
{
  struct m16 below = m16_first(from), in = m16_first(end);
  for (size_t i = 0; i < 4; i++) in.q[i] = vbicq_u32(in.q[i], below.q[i]);
  return in;
}
INLINE unsigned m16_bits(struct m16 a)
{
  static const uint32_t weights[4] = {1, 2, 4, 8};
  const uint32x4_t w = vld1q_u32(weights);
  unsigned bits = 0;
  for (size_t i = 0; i < 4; i++) bits |= vaddvq_u32(vandq_u32(a.q[i], w)) << (4 * i);
  return bits;
}
/* Lanes that are left out are not read and not written: they may lie behind the end of memory. */
INLINE struct f16 f16_load_mask(const float *p, struct m16 m)
{
  struct f16 out = f16_zero();
  const unsigned bits = m16_bits(m);
  if (bits == 0xffff) return f16_load(p);
  float lanes[16] = {0};
  for (size_t i = 0; i < 16; i++)
    if (bits >> i & 1) lanes[i] = p[i];
  for (size_t i = 0; i < 4; i++) out.q[i] = vld1q_f32(lanes + 4 * i);
  return out;
}
INLINE void f16_store_mask(float *p, struct m16 m, struct f16 x)
{
  const unsigned bits = m16_bits(m);
  float lanes[16];
  if (bits == 0xffff) {
    f16_store(p, x);
    return;
  }
  f16_store(lanes, x);
  for (size_t i = 0; i < 16; i++)
    if (bits >> i & 1) p[i] = lanes[i];
}

INLINE float32x4_t neon_max(float32x4_t a, float32x4_t b)
{
  return vbslq_f32(vcgtq_f32(a, b), a, b);
}
INLINE float32x4_t neon_min(float32x4_t a, float32x4_t b)
{
  return vbslq_f32(vcltq_f32(a, b), a, b);
}

/* ---- codes of weights in blocks: sixteen whole numbers ---- */

struct c16 {
  int32x4_t q[4];
};
INLINE struct c16 c16_load(const uint8_t *p)
{
  const uint8x16_t b = vld1q_u8(p);
  const uint16x8_t low = vmovl_u8(vget_low_u8(b)), high = vmovl_u8(vget_high_u8(b));
  return (struct c16){
      {vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(low))), vreinterpretq_s32_u32(vmovl_u16(vget_high_u16(low))),
       vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(high))), vreinterpretq_s32_u32(vmovl_u16(vget_high_u16(high)))}};
}
INLINE struct c16 c16_load_signed(const uint8_t *p)
{
  const int8x16_t b = vreinterpretq_s8_u8(vld1q_u8(p));
  const int16x8_t low = vmovl_s8(vget_low_s8(b)), high = vmovl_s8(vget_high_s8(b));
  return (struct c16){{vmovl_s16(vget_low_s16(low)), vmovl_s16(vget_high_s16(low)), vmovl_s16(vget_low_s16(high)),
                       vmovl_s16(vget_high_s16(high))}};
}
/* (a >> n) & mask */
INLINE struct c16 c16_bits(struct c16 a, unsigned n, int mask)
{
  for (size_t i = 0; i < 4; i++) a.q[i] = vandq_s32(vshlq_s32(a.q[i], vdupq_n_s32(-(int)n)), vdupq_n_s32(mask));
  return a;
}
/* low | high << 4 */
INLINE struct c16 c16_join(struct c16 low, struct c16 high)
{
  for (size_t i = 0; i < 4; i++) low.q[i] = vorrq_s32(low.q[i], vshlq_n_s32(high.q[i], 4));
  return low;
}
INLINE struct f16 f16_codes(struct c16 a, int zero)
{
  struct f16 x;
  for (size_t i = 0; i < 4; i++) x.q[i] = vcvtq_f32_s32(vsubq_s32(a.q[i], vdupq_n_s32(zero)));
  return x;
}
/* The low and the high four bits of bytes, less zero. */
INLINE void f16_nibbles(struct c16 a, int zero, struct f16 *low, struct f16 *high)
{
  *low = f16_codes(c16_bits(a, 0, 15), zero);
  *high = f16_codes(c16_bits(a, 4, 15), zero);
}
/* Sixteen numbers of 16 bits. */
INLINE struct f16 f16_halves(const uint8_t *p)
{
  struct f16 x;
  for (size_t i = 0; i < 4; i++) x.q[i] = vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(p + 8 * i)));
  return x;
}

#define F16_BINARY(name, instruction)                                    \
  INLINE struct f16 name(struct f16 a, struct f16 b)                     \
  {                                                                      \
    for (size_t i = 0; i < 4; i++) a.q[i] = instruction(a.q[i], b.q[i]); \
    return a;                                                            \
  }
F16_BINARY(f16_add, vaddq_f32)
F16_BINARY(f16_sub, vsubq_f32)
F16_BINARY(f16_mul, vmulq_f32)
F16_BINARY(f16_div, vdivq_f32)
F16_BINARY(f16_max, neon_max)
F16_BINARY(f16_min, neon_min)
#undef F16_BINARY

INLINE struct f16 f16_sqrt(struct f16 a)
{
  for (size_t i = 0; i < 4; i++) a.q[i] = vsqrtq_f32(a.q[i]);
  return a;
}
INLINE struct f16 f16_fma(struct f16 a, struct f16 b, struct f16 c)
{
  for (size_t i = 0; i < 4; i++) c.q[i] = vfmaq_f32(c.q[i], a.q[i], b.q[i]);
  return c;
}
INLINE struct f16 f16_neg(struct f16 a)
{
  for (size_t i = 0; i < 4; i++) a.q[i] = vnegq_f32(a.q[i]);
  return a;
}

#define F16_COMPARE(name, instruction)                                     \
  INLINE struct m16 name(struct f16 a, struct f16 b)                       \
  {                                                                        \
    struct m16 out;                                                        \
    for (size_t i = 0; i < 4; i++) out.q[i] = instruction(a.q[i], b.q[i]); \
    return out;                                                            \
  }
F16_COMPARE(f16_lt, vcltq_f32)
F16_COMPARE(f16_gt, vcgtq_f32)
F16_COMPARE(f16_equal, vceqq_f32)
#undef F16_COMPARE

INLINE struct m16 f16_is_nan(struct f16 a)
{
  struct m16 out;
  for (size_t i = 0; i < 4; i++) out.q[i] = vmvnq_u32(vceqq_f32(a.q[i], a.q[i]));
  return out;
}
INLINE struct f16 f16_select(struct m16 m, struct f16 a, struct f16 b)
{
  for (size_t i = 0; i < 4; i++) a.q[i] = vbslq_f32(m.q[i], a.q[i], b.q[i]);
  return a;
}

/* Lane i with lane i + 8, then i + 4, i + 2, i + 1. */
INLINE float f16_sum(struct f16 a)
{
  const float32x4_t x = vaddq_f32(vaddq_f32(a.q[0], a.q[2]), vaddq_f32(a.q[1], a.q[3]));
  const float32x2_t y = vadd_f32(vget_low_f32(x), vget_high_f32(x));
  return vget_lane_f32(y, 0) + vget_lane_f32(y, 1);
}

INLINE float f16_largest(struct f16 a)
{
  const float32x4_t x = neon_max(neon_max(a.q[0], a.q[2]), neon_max(a.q[1], a.q[3]));
  const float32x4_t y = neon_max(x, vextq_f32(x, x, 2)), z = neon_max(y, vextq_f32(y, y, 1));
  return vgetq_lane_f32(z, 0);
}

/* math_exp_steps on four lanes. */
INLINE float32x4_t f16_exp4(float32x4_t x)
{
  const float32x4_t low = vdupq_n_f32(MATH_EXP_LOW), high = vdupq_n_f32(MATH_EXP_HIGH), round = vdupq_n_f32(MATH_ROUND);
  const int32x4_t bias = vdupq_n_s32(127);
  const float32x4_t c = neon_max(low, neon_min(high, x));
  const float32x4_t t = vfmaq_f32(round, c, vdupq_n_f32(MATH_LOG2E));
  const float32x4_t k = vsubq_f32(t, round);
  const int32x4_t n = vsubq_s32(vreinterpretq_s32_f32(t), vdupq_n_s32(0x4b400000));
  float32x4_t r = vfmaq_f32(c, k, vdupq_n_f32(-MATH_LN2_HIGH));
  r = vfmaq_f32(r, k, vdupq_n_f32(-MATH_LN2_LOW));
  float32x4_t p = vfmaq_f32(vdupq_n_f32(MATH_EXP_C3), vdupq_n_f32(MATH_EXP_C4), r);
  p = vfmaq_f32(vdupq_n_f32(MATH_EXP_C2), p, r);
  p = vfmaq_f32(vdupq_n_f32(MATH_EXP_C1), p, r);
  p = vfmaq_f32(vdupq_n_f32(MATH_EXP_C0), p, r);
  float32x4_t y = vaddq_f32(vfmaq_f32(r, p, vmulq_f32(r, r)), vdupq_n_f32(1.0f));
  const int32x4_t half = vshrq_n_s32(n, 1);
  y = vmulq_f32(y, vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(half, bias), 23)));
  y = vmulq_f32(y, vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(vsubq_s32(n, half), bias), 23)));
  y = vbslq_f32(vcltq_f32(x, low), vdupq_n_f32(0), y);
  return vbslq_f32(vcgtq_f32(x, high), vdupq_n_f32(__builtin_inff()), y);
}
INLINE struct f16 f16_exp(struct f16 a)
{
  for (size_t i = 0; i < 4; i++) a.q[i] = f16_exp4(a.q[i]);
  return a;
}

INLINE void f16_load_pairs(const float *p, size_t n, struct f16 *even, struct f16 *odd)
{
  const struct f16 a = f16_load_mask(p, m16_first(2 * n));
  const struct f16 b = f16_load_mask(p + 16, m16_first(n > 8 ? 2 * n - 16 : 0));
  for (size_t i = 0; i < 2; i++) {
    even->q[i] = vuzp1q_f32(a.q[2 * i], a.q[2 * i + 1]);
    odd->q[i] = vuzp2q_f32(a.q[2 * i], a.q[2 * i + 1]);
    even->q[2 + i] = vuzp1q_f32(b.q[2 * i], b.q[2 * i + 1]);
    odd->q[2 + i] = vuzp2q_f32(b.q[2 * i], b.q[2 * i + 1]);
  }
}

struct d16 {
  float64x2_t pair[8];
};
INLINE struct d16 d16_zero(void)
{
  struct d16 out;
  for (size_t i = 0; i < 8; i++) out.pair[i] = vdupq_n_f64(0);
  return out;
}
INLINE struct d16 d16_add_square(struct d16 acc, struct f16 a)
{
  for (size_t i = 0; i < 4; i++) {
    const float64x2_t low = vcvt_f64_f32(vget_low_f32(a.q[i])), high = vcvt_high_f64_f32(a.q[i]);
    acc.pair[2 * i] = vfmaq_f64(acc.pair[2 * i], low, low);
    acc.pair[2 * i + 1] = vfmaq_f64(acc.pair[2 * i + 1], high, high);
  }
  return acc;
}
INLINE void d16_store(double *p, struct d16 x)
{
  for (size_t i = 0; i < 8; i++) vst1q_f64(p + 2 * i, x.pair[i]);
}

/* One 4 x 4 part of the transpose. */
INLINE void f16_transpose4(const float *from, size_t from_stride, float *to, size_t to_stride)
{
  const float32x4_t r0 = vld1q_f32(from), r1 = vld1q_f32(from + from_stride), r2 = vld1q_f32(from + 2 * from_stride),
                    r3 = vld1q_f32(from + 3 * from_stride);
  const float64x2_t a = vreinterpretq_f64_f32(vtrn1q_f32(r0, r1)), b = vreinterpretq_f64_f32(vtrn2q_f32(r0, r1));
  const float64x2_t c = vreinterpretq_f64_f32(vtrn1q_f32(r2, r3)), d = vreinterpretq_f64_f32(vtrn2q_f32(r2, r3));
  vst1q_f32(to, vreinterpretq_f32_f64(vtrn1q_f64(a, c)));
  vst1q_f32(to + to_stride, vreinterpretq_f32_f64(vtrn1q_f64(b, d)));
  vst1q_f32(to + 2 * to_stride, vreinterpretq_f32_f64(vtrn2q_f64(a, c)));
  vst1q_f32(to + 3 * to_stride, vreinterpretq_f32_f64(vtrn2q_f64(b, d)));
}

INLINE void f16_transpose(const float *from, size_t from_stride, float *to, size_t to_stride)
{
  for (size_t i = 0; i < 16; i += 4)
    for (size_t j = 0; j < 16; j += 4)
      f16_transpose4(from + i * from_stride + j, from_stride, to + j * to_stride + i, to_stride);
}

#endif
