/* compute/cpu/simd/words_neon: sixteen words of two bf16 each in four 128-bit registers. See words_avx512.inc.h. */
#ifndef ASSAY_COMPUTE_CPU_SIMD_WORDS_NEON_H
#define ASSAY_COMPUTE_CPU_SIMD_WORDS_NEON_H

#include "compute/cpu/simd/f16_neon.inc.h"

/* 3 rows of one panel, an even and an odd sum each, are 24 accumulators of 32 registers. */
enum { WORD_ROWS = 3, WORD_PANELS = 1 };
#define WORD_ROW_LIST(X, form) X(1, form) X(2, form) X(3, form)
enum { WORD_WIDE_1 = 2, WORD_WIDE_2 = 1, WORD_WIDE_3 = 1 };

struct w16 {
  uint32x4_t q[4];
};

INLINE struct w16 w16_zero(void)
{
  const uint32x4_t v = vdupq_n_u32(0);
  return (struct w16){{v, v, v, v}};
}
INLINE struct w16 w16_load(const uint32_t *p)
{
  return (struct w16){{vld1q_u32(p), vld1q_u32(p + 4), vld1q_u32(p + 8), vld1q_u32(p + 12)}};
}
INLINE void w16_store(uint32_t *p, struct w16 x)
{
  for (size_t i = 0; i < 4; i++) vst1q_u32(p + 4 * i, x.q[i]);
}
INLINE uint32x4_t words_high(uint32x4_t x)
{
  return vandq_u32(x, vdupq_n_u32(0xffff0000u));
}
INLINE uint32x4_t words_low(uint32x4_t x)
{
  return vandq_u32(x, vdupq_n_u32(0xffff));
}
INLINE struct f16 w16_even(struct w16 x)
{
  struct f16 out;
  for (size_t i = 0; i < 4; i++) out.q[i] = vreinterpretq_f32_u32(vshlq_n_u32(x.q[i], 16));
  return out;
}
INLINE struct f16 w16_odd(struct w16 x)
{
  struct f16 out;
  for (size_t i = 0; i < 4; i++) out.q[i] = vreinterpretq_f32_u32(words_high(x.q[i]));
  return out;
}

/* To nearest even on the upper half; a NaN stays one, a denormal becomes zero. */
INLINE float32x4_t words_round(float32x4_t x)
{
  const uint32x4_t bits = vreinterpretq_u32_f32(x), size = vandq_u32(bits, vdupq_n_u32(0x7fffffff));
  const uint32x4_t last = vandq_u32(vshrq_n_u32(bits, 16), vdupq_n_u32(1));
  uint32x4_t y = vaddq_u32(vaddq_u32(bits, vdupq_n_u32(0x7fff)), last);
  y = vbslq_u32(vcgtq_u32(size, vdupq_n_u32(0x7f800000)), vorrq_u32(bits, vdupq_n_u32(0x400000)), y);
  y = vbslq_u32(vcltq_u32(size, vdupq_n_u32(0x00800000)), vandq_u32(bits, vdupq_n_u32(0x80000000u)), y);
  return vreinterpretq_f32_u32(words_high(y));
}
INLINE struct f16 f16_round(struct f16 x)
{
  for (size_t i = 0; i < 4; i++) x.q[i] = words_round(x.q[i]);
  return x;
}
INLINE struct w16 w16_join(struct f16 even, struct f16 odd)
{
  struct w16 out;
  for (size_t i = 0; i < 4; i++)
    out.q[i] = vorrq_u32(vshrq_n_u32(vreinterpretq_u32_f32(even.q[i]), 16), vreinterpretq_u32_f32(odd.q[i]));
  return out;
}
INLINE struct w16 w16_evens(struct w16 a, struct w16 b)
{
  for (size_t i = 0; i < 4; i++) a.q[i] = vorrq_u32(words_low(a.q[i]), vshlq_n_u32(b.q[i], 16));
  return a;
}
INLINE struct w16 w16_odds(struct w16 a, struct w16 b)
{
  for (size_t i = 0; i < 4; i++) a.q[i] = vorrq_u32(vshrq_n_u32(a.q[i], 16), words_high(b.q[i]));
  return a;
}
/* Eight lanes of a and of b, one after the other. */
INLINE void words_store_mixed(uint32_t *p, const uint32x4_t *a, const uint32x4_t *b)
{
  for (size_t i = 0; i < 2; i++) {
    vst1q_u32(p + 8 * i, vzip1q_u32(a[i], b[i]));
    vst1q_u32(p + 8 * i + 4, vzip2q_u32(a[i], b[i]));
  }
}
INLINE void w16_store_mixed(uint32_t *low, uint32_t *high, struct w16 a, struct w16 b)
{
  words_store_mixed(low, a.q, b.q);
  words_store_mixed(high, a.q + 2, b.q + 2);
}

#endif
