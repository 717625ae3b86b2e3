/* compute/cpu/simd/f16_avx2: sixteen f32 lanes in two 256-bit registers. See f16_avx512.inc.h. */
#ifndef ASSAY_COMPUTE_CPU_SIMD_F16_AVX2_H
#define ASSAY_COMPUTE_CPU_SIMD_F16_AVX2_H

#include "core/math_exp.h"

#include <immintrin.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OVERLAY(name) name##_avx2

/* 6 rows of one panel are 12 accumulators of 16 registers. */
enum { TILE_ROWS = 6, TILE_PANELS = 1 };
#define TILE_ROW_LIST(X, form) X(1, form) X(2, form) X(3, form) X(4, form) X(5, form) X(6, form)

struct f16 {
  __m256 lo, hi;
};
struct m16 {
  __m256 lo, hi; /* all ones or all zeros per lane */
};

#define INLINE static inline __attribute__((always_inline, unused))

/* Before a loop whose constant bound must become straight code, so that its array lives in registers. */
#ifdef __clang__
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

INLINE struct f16 f16_zero(void)
{
  return (struct f16){_mm256_setzero_ps(), _mm256_setzero_ps()};
}
INLINE struct f16 f16_set(float x)
{
  __m256 v = _mm256_set1_ps(x);
  return (struct f16){v, v};
}
INLINE struct f16 f16_load(const float *p)
{
  return (struct f16){_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)};
}
INLINE void f16_store(float *p, struct f16 x)
{
  _mm256_storeu_ps(p, x.lo);
  _mm256_storeu_ps(p + 8, x.hi);
}

INLINE struct m16 m16_first(size_t n)
{
  const __m256i count = _mm256_set1_epi32(n >= 16 ? 16 : (int)n);
  const __m256i low = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7), high = _mm256_setr_epi32(8, 9, 10, 11, 12, 13, 14, 15);
  return (struct m16){_mm256_castsi256_ps(_mm256_cmpgt_epi32(count, low)),
                      _mm256_castsi256_ps(_mm256_cmpgt_epi32(count, high))};
}
INLINE struct m16 m16_and(struct m16 a, struct m16 b)
{
  return (struct m16){_mm256_and_ps(a.lo, b.lo), _mm256_and_ps(a.hi, b.hi)};
}
INLINE struct m16 m16_range(size_t from, size_t end)
{
  const struct m16 below = m16_first(from), in = m16_first(end);
  return (struct m16){_mm256_andnot_ps(below.lo, in.lo), _mm256_andnot_ps(below.hi, in.hi)};
}
INLINE unsigned m16_bits(struct m16 a)
{
  return (unsigned)_mm256_movemask_ps(a.lo) | ((unsigned)_mm256_movemask_ps(a.hi) << 8);
}
INLINE struct f16 f16_load_mask(const float *p, struct m16 m)
{
  return (struct f16){_mm256_maskload_ps(p, _mm256_castps_si256(m.lo)),
                      _mm256_maskload_ps(p + 8, _mm256_castps_si256(m.hi))};
}
INLINE void f16_store_mask(float *p, struct m16 m, struct f16 x)
{
  _mm256_maskstore_ps(p, _mm256_castps_si256(m.lo), x.lo);
  _mm256_maskstore_ps(p + 8, _mm256_castps_si256(m.hi), x.hi);
}

/* ---- codes of weights in blocks: sixteen whole numbers ---- */

struct c16 {
  __m256i lo, hi;
};
INLINE struct c16 c16_load(const uint8_t *p)
{
  return (struct c16){_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)p)),
                      _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)(p + 8)))};
}
INLINE struct c16 c16_load_signed(const uint8_t *p)
{
  return (struct c16){_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)p)),
                      _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)(p + 8)))};
}
/* (a >> n) & mask */
INLINE struct c16 c16_bits(struct c16 a, unsigned n, int mask)
{
  const __m128i count = _mm_cvtsi32_si128((int)n);
  const __m256i keep = _mm256_set1_epi32(mask);
  return (struct c16){_mm256_and_si256(_mm256_srl_epi32(a.lo, count), keep),
                      _mm256_and_si256(_mm256_srl_epi32(a.hi, count), keep)};
}
/* low | high << 4 */
INLINE struct c16 c16_join(struct c16 low, struct c16 high)
{
  return (struct c16){_mm256_or_si256(low.lo, _mm256_slli_epi32(high.lo, 4)),
                      _mm256_or_si256(low.hi, _mm256_slli_epi32(high.hi, 4))};
}
INLINE struct f16 f16_codes(struct c16 a, int zero)
{
  const __m256i z = _mm256_set1_epi32(zero);
  return (struct f16){_mm256_cvtepi32_ps(zero ? _mm256_sub_epi32(a.lo, z) : a.lo),
                      _mm256_cvtepi32_ps(zero ? _mm256_sub_epi32(a.hi, z) : a.hi)};
}
/* The low and the high four bits of bytes, less zero. */
INLINE void f16_nibbles(struct c16 a, int zero, struct f16 *low, struct f16 *high)
{
  const __m256i mask = _mm256_set1_epi32(15);
  *low = f16_codes((struct c16){_mm256_and_si256(a.lo, mask), _mm256_and_si256(a.hi, mask)}, zero);
  *high = f16_codes((struct c16){_mm256_srli_epi32(a.lo, 4), _mm256_srli_epi32(a.hi, 4)}, zero);
}
/* Sixteen numbers of 16 bits. */
INLINE struct f16 f16_halves(const uint8_t *p)
{
  return (struct f16){_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)p)),
                      _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)(p + 16)))};
}

#define F16_BINARY(name, instruction)                                      \
  INLINE struct f16 name(struct f16 a, struct f16 b)                       \
  {                                                                        \
    return (struct f16){instruction(a.lo, b.lo), instruction(a.hi, b.hi)}; \
  }
F16_BINARY(f16_add, _mm256_add_ps)
F16_BINARY(f16_sub, _mm256_sub_ps)
F16_BINARY(f16_mul, _mm256_mul_ps)
F16_BINARY(f16_div, _mm256_div_ps)
F16_BINARY(f16_max, _mm256_max_ps)
F16_BINARY(f16_min, _mm256_min_ps)
#undef F16_BINARY

INLINE struct f16 f16_sqrt(struct f16 a)
{
  return (struct f16){_mm256_sqrt_ps(a.lo), _mm256_sqrt_ps(a.hi)};
}
INLINE struct f16 f16_fma(struct f16 a, struct f16 b, struct f16 c)
{
  return (struct f16){_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)};
}
INLINE struct f16 f16_neg(struct f16 a)
{
  const __m256 sign = _mm256_set1_ps(-0.0f);
  return (struct f16){_mm256_xor_ps(a.lo, sign), _mm256_xor_ps(a.hi, sign)};
}
INLINE struct m16 f16_lt(struct f16 a, struct f16 b)
{
  return (struct m16){_mm256_cmp_ps(a.lo, b.lo, _CMP_LT_OQ), _mm256_cmp_ps(a.hi, b.hi, _CMP_LT_OQ)};
}
INLINE struct m16 f16_gt(struct f16 a, struct f16 b)
{
  return (struct m16){_mm256_cmp_ps(a.lo, b.lo, _CMP_GT_OQ), _mm256_cmp_ps(a.hi, b.hi, _CMP_GT_OQ)};
}
INLINE struct m16 f16_equal(struct f16 a, struct f16 b)
{
  return (struct m16){_mm256_cmp_ps(a.lo, b.lo, _CMP_EQ_OQ), _mm256_cmp_ps(a.hi, b.hi, _CMP_EQ_OQ)};
}
INLINE struct m16 f16_is_nan(struct f16 a)
{
  return (struct m16){_mm256_cmp_ps(a.lo, a.lo, _CMP_UNORD_Q), _mm256_cmp_ps(a.hi, a.hi, _CMP_UNORD_Q)};
}
INLINE struct f16 f16_select(struct m16 m, struct f16 a, struct f16 b)
{
  return (struct f16){_mm256_blendv_ps(b.lo, a.lo, m.lo), _mm256_blendv_ps(b.hi, a.hi, m.hi)};
}

INLINE float f16_sum(struct f16 a)
{
  __m256 x = _mm256_add_ps(a.lo, a.hi);
  __m128 y = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
  y = _mm_add_ps(y, _mm_movehl_ps(y, y));
  y = _mm_add_ss(y, _mm_movehdup_ps(y));
  return _mm_cvtss_f32(y);
}

INLINE float f16_largest(struct f16 a)
{
  __m256 x = _mm256_max_ps(a.lo, a.hi);
  __m128 y = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
  y = _mm_max_ps(y, _mm_movehl_ps(y, y));
  y = _mm_max_ss(y, _mm_movehdup_ps(y));
  return _mm_cvtss_f32(y);
}

/* math_exp_steps on eight lanes. */
INLINE __m256 f16_exp8(__m256 x)
{
  const __m256 low = _mm256_set1_ps(MATH_EXP_LOW), high = _mm256_set1_ps(MATH_EXP_HIGH),
               round = _mm256_set1_ps(MATH_ROUND);
  const __m256i bias = _mm256_set1_epi32(127);
  __m256 c = _mm256_max_ps(low, _mm256_min_ps(high, x));
  __m256 t = _mm256_fmadd_ps(c, _mm256_set1_ps(MATH_LOG2E), round);
  __m256 k = _mm256_sub_ps(t, round);
  __m256i n = _mm256_sub_epi32(_mm256_castps_si256(t), _mm256_set1_epi32(0x4b400000));
  __m256 r = _mm256_fmadd_ps(k, _mm256_set1_ps(-MATH_LN2_HIGH), c);
  r = _mm256_fmadd_ps(k, _mm256_set1_ps(-MATH_LN2_LOW), r);
  __m256 p = _mm256_fmadd_ps(_mm256_set1_ps(MATH_EXP_C4), r, _mm256_set1_ps(MATH_EXP_C3));
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(MATH_EXP_C2));
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(MATH_EXP_C1));
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(MATH_EXP_C0));
  __m256 y = _mm256_add_ps(_mm256_fmadd_ps(p, _mm256_mul_ps(r, r), r), _mm256_set1_ps(1.0f));
  __m256i half = _mm256_srai_epi32(n, 1);
  y = _mm256_mul_ps(y, _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(half, bias), 23)));
  y = _mm256_mul_ps(y, _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(_mm256_sub_epi32(n, half), bias), 23)));
  y = _mm256_blendv_ps(y, _mm256_setzero_ps(), _mm256_cmp_ps(x, low, _CMP_LT_OQ));
  return _mm256_blendv_ps(y, _mm256_set1_ps(__builtin_inff()), _mm256_cmp_ps(x, high, _CMP_GT_OQ));
}
INLINE struct f16 f16_exp(struct f16 a)
{
  return (struct f16){f16_exp8(a.lo), f16_exp8(a.hi)};
}

INLINE void f16_load_pairs(const float *p, size_t n, struct f16 *even, struct f16 *odd)
{
  struct f16 a = f16_load_mask(p, m16_first(2 * n)), b = f16_load_mask(p + 16, m16_first(n > 8 ? 2 * n - 16 : 0));
  const __m256i order = _mm256_setr_epi32(0, 1, 4, 5, 2, 3, 6, 7);
  even->lo = _mm256_permutevar8x32_ps(_mm256_shuffle_ps(a.lo, a.hi, 0x88), order);
  even->hi = _mm256_permutevar8x32_ps(_mm256_shuffle_ps(b.lo, b.hi, 0x88), order);
  odd->lo = _mm256_permutevar8x32_ps(_mm256_shuffle_ps(a.lo, a.hi, 0xdd), order);
  odd->hi = _mm256_permutevar8x32_ps(_mm256_shuffle_ps(b.lo, b.hi, 0xdd), order);
}

struct d16 {
  __m256d quarter[4];
};
INLINE struct d16 d16_zero(void)
{
  __m256d z = _mm256_setzero_pd();
  return (struct d16){{z, z, z, z}};
}
INLINE struct d16 d16_add_square(struct d16 acc, struct f16 a)
{
  __m256d x0 = _mm256_cvtps_pd(_mm256_castps256_ps128(a.lo)), x1 = _mm256_cvtps_pd(_mm256_extractf128_ps(a.lo, 1));
  __m256d x2 = _mm256_cvtps_pd(_mm256_castps256_ps128(a.hi)), x3 = _mm256_cvtps_pd(_mm256_extractf128_ps(a.hi, 1));
  return (struct d16){{_mm256_fmadd_pd(x0, x0, acc.quarter[0]), _mm256_fmadd_pd(x1, x1, acc.quarter[1]),
                       _mm256_fmadd_pd(x2, x2, acc.quarter[2]), _mm256_fmadd_pd(x3, x3, acc.quarter[3])}};
}
INLINE void d16_store(double *p, struct d16 x)
{
  for (size_t i = 0; i < 4; i++) _mm256_storeu_pd(p + 4 * i, x.quarter[i]);
}

/* One 8 x 8 quarter of the transpose. */
INLINE void f16_transpose8(const float *from, size_t from_stride, float *to, size_t to_stride)
{
  __m256 r[8], s[8];
  for (size_t i = 0; i < 8; i++) r[i] = _mm256_loadu_ps(from + i * from_stride);
  for (size_t q = 0; q < 8; q += 4) {
    __m256 a = _mm256_unpacklo_ps(r[q], r[q + 1]), b = _mm256_unpackhi_ps(r[q], r[q + 1]);
    __m256 c = _mm256_unpacklo_ps(r[q + 2], r[q + 3]), d = _mm256_unpackhi_ps(r[q + 2], r[q + 3]);
    s[q] = _mm256_shuffle_ps(a, c, 0x44);
    s[q + 1] = _mm256_shuffle_ps(a, c, 0xee);
    s[q + 2] = _mm256_shuffle_ps(b, d, 0x44);
    s[q + 3] = _mm256_shuffle_ps(b, d, 0xee);
  }
  for (size_t c = 0; c < 4; c++) {
    _mm256_storeu_ps(to + c * to_stride, _mm256_permute2f128_ps(s[c], s[c + 4], 0x20));
    _mm256_storeu_ps(to + (c + 4) * to_stride, _mm256_permute2f128_ps(s[c], s[c + 4], 0x31));
  }
}

INLINE void f16_transpose(const float *from, size_t from_stride, float *to, size_t to_stride)
{
  f16_transpose8(from, from_stride, to, to_stride);
  f16_transpose8(from + 8, from_stride, to + 8 * to_stride, to_stride);
  f16_transpose8(from + 8 * from_stride, from_stride, to + 8, to_stride);
  f16_transpose8(from + 8 * from_stride + 8, from_stride, to + 8 * to_stride + 8, to_stride);
}

#endif
