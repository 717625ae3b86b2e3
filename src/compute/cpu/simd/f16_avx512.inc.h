/* compute/cpu/simd/f16_avx512: sixteen f32 lanes in one 512-bit register. The same names as f16_avx2.inc.h; the kernels
 * of this folder (*.inc.h) are written once over them. Every function is one instruction or the scalar reference's
 * steps in the reference's order.
 */
#ifndef ASSAY_COMPUTE_CPU_SIMD_F16_AVX512_H
#define ASSAY_COMPUTE_CPU_SIMD_F16_AVX512_H

#include "core/math_exp.h"

#include <immintrin.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OVERLAY(name) name##_avx512

/* Registers set the tile: 12 rows of 2 panels are 24 accumulators of 32. */
enum { TILE_ROWS = 12, TILE_PANELS = 2 };
#define TILE_ROW_LIST(X, form) \
  X(1, form)                   \
  X(2, form)                   \
  X(3, form) X(4, form) X(5, form) X(6, form) X(7, form) X(8, form) X(9, form) X(10, form) X(11, form) X(12, form)

struct f16 {
  __m512 v;
};
struct m16 {
  __mmask16 m;
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
  return (struct f16){_mm512_setzero_ps()};
}
INLINE struct f16 f16_set(float x)
{
  return (struct f16){_mm512_set1_ps(x)};
}
INLINE struct f16 f16_load(const float *p)
{
  return (struct f16){_mm512_loadu_ps(p)};
}
INLINE void f16_store(float *p, struct f16 x)
{
  _mm512_storeu_ps(p, x.v);
}

/* The first n lanes (0 <= n <= 16); n >= 16 is all. */
INLINE struct m16 m16_first(size_t n)
{
  return (struct m16){(__mmask16)(n >= 16 ? 0xffffu : (1u << n) - 1u)};
}
INLINE struct m16 m16_and(struct m16 a, struct m16 b)
{
  return (struct m16){_kand_mask16(a.m, b.m)};
}
/* Lanes from .. end - 1. */
INLINE struct m16 m16_range(size_t from, size_t end)
{
  return (struct m16){_kandn_mask16(m16_first(from).m, m16_first(end).m)};
}
INLINE unsigned m16_bits(struct m16 a)
{
  return (unsigned)a.m;
}
/* Lanes off the mask are not touched in memory and read as +0. */
INLINE struct f16 f16_load_mask(const float *p, struct m16 m)
{
  return (struct f16){_mm512_maskz_loadu_ps(m.m, p)};
}
INLINE void f16_store_mask(float *p, struct m16 m, struct f16 x)
{
  _mm512_mask_storeu_ps(p, m.m, x.v);
}

INLINE struct f16 f16_add(struct f16 a, struct f16 b)
{
  return (struct f16){_mm512_add_ps(a.v, b.v)};
}
INLINE struct f16 f16_sub(struct f16 a, struct f16 b)
{
  return (struct f16){_mm512_sub_ps(a.v, b.v)};
}
INLINE struct f16 f16_mul(struct f16 a, struct f16 b)
{
  return (struct f16){_mm512_mul_ps(a.v, b.v)};
}
INLINE struct f16 f16_div(struct f16 a, struct f16 b)
{
  return (struct f16){_mm512_div_ps(a.v, b.v)};
}
INLINE struct f16 f16_sqrt(struct f16 a)
{
  return (struct f16){_mm512_sqrt_ps(a.v)};
}
INLINE struct f16 f16_fma(struct f16 a, struct f16 b, struct f16 c)
{
  return (struct f16){_mm512_fmadd_ps(a.v, b.v, c.v)};
}
INLINE struct f16 f16_neg(struct f16 a)
{
  return (struct f16){_mm512_castsi512_ps(_mm512_xor_si512(_mm512_castps_si512(a.v), _mm512_set1_epi32(INT32_MIN)))};
}
/* a > b ? a : b, as maxps does it: b where either is NaN. */
INLINE struct f16 f16_max(struct f16 a, struct f16 b)
{
  return (struct f16){_mm512_max_ps(a.v, b.v)};
}
INLINE struct f16 f16_min(struct f16 a, struct f16 b)
{
  return (struct f16){_mm512_min_ps(a.v, b.v)};
}
INLINE struct m16 f16_lt(struct f16 a, struct f16 b)
{
  return (struct m16){_mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ)};
}
INLINE struct m16 f16_gt(struct f16 a, struct f16 b)
{
  return (struct m16){_mm512_cmp_ps_mask(a.v, b.v, _CMP_GT_OQ)};
}
INLINE struct m16 f16_equal(struct f16 a, struct f16 b)
{
  return (struct m16){_mm512_cmp_ps_mask(a.v, b.v, _CMP_EQ_OQ)};
}
INLINE struct m16 f16_is_nan(struct f16 a)
{
  return (struct m16){_mm512_cmp_ps_mask(a.v, a.v, _CMP_UNORD_Q)};
}
/* m ? a : b */
INLINE struct f16 f16_select(struct m16 m, struct f16 a, struct f16 b)
{
  return (struct f16){_mm512_mask_blend_ps(m.m, b.v, a.v)};
}

/* ---- codes of weights in blocks: sixteen whole numbers ---- */

struct c16 {
  __m512i v;
};
INLINE struct c16 c16_load(const uint8_t *p)
{
  return (struct c16){_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)p))};
}
INLINE struct c16 c16_load_signed(const uint8_t *p)
{
  return (struct c16){_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(const void *)p))};
}
/* (a >> n) & mask */
INLINE struct c16 c16_bits(struct c16 a, unsigned n, int mask)
{
  return (struct c16){_mm512_and_si512(_mm512_srl_epi32(a.v, _mm_cvtsi32_si128((int)n)), _mm512_set1_epi32(mask))};
}
/* low | high << 4 */
INLINE struct c16 c16_join(struct c16 low, struct c16 high)
{
  return (struct c16){_mm512_or_si512(low.v, _mm512_slli_epi32(high.v, 4))};
}
INLINE struct f16 f16_codes(struct c16 a, int zero)
{
  return (struct f16){_mm512_cvtepi32_ps(zero ? _mm512_sub_epi32(a.v, _mm512_set1_epi32(zero)) : a.v)};
}
/* The low and the high four bits of bytes, less zero: looked up. */
INLINE void f16_nibbles(struct c16 a, int zero, struct f16 *low, struct f16 *high)
{
  const __m512i first = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  const __m512 table = _mm512_cvtepi32_ps(_mm512_sub_epi32(first, _mm512_set1_epi32(zero)));
  low->v = _mm512_permutexvar_ps(a.v, table);
  high->v = _mm512_permutexvar_ps(_mm512_srli_epi32(a.v, 4), table);
}
/* Sixteen numbers of 16 bits. */
INLINE struct f16 f16_halves(const uint8_t *p)
{
  return (struct f16){_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)p))};
}

/* sum16's tree: l[i] += l[i + 8], then 4, 2, 1. */
INLINE float f16_sum(struct f16 a)
{
  __m256 x = _mm256_add_ps(_mm512_castps512_ps256(a.v), _mm512_extractf32x8_ps(a.v, 1));
  __m128 y = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
  y = _mm_add_ps(y, _mm_movehl_ps(y, y));
  y = _mm_add_ss(y, _mm_movehdup_ps(y));
  return _mm_cvtss_f32(y);
}

/* The largest lane; NaN lanes lose to any other. Of +0 and -0 either may come back. */
INLINE float f16_largest(struct f16 a)
{
  __m256 x = _mm256_max_ps(_mm512_castps512_ps256(a.v), _mm512_extractf32x8_ps(a.v, 1));
  __m128 y = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
  y = _mm_max_ps(y, _mm_movehl_ps(y, y));
  y = _mm_max_ss(y, _mm_movehdup_ps(y));
  return _mm_cvtss_f32(y);
}

/* math_exp_steps on every lane. Step 5 is one scalef: exact wherever the two multiplications are. */
INLINE struct f16 f16_exp(struct f16 a)
{
  const __m512 x = a.v, low = _mm512_set1_ps(MATH_EXP_LOW), high = _mm512_set1_ps(MATH_EXP_HIGH);
  __m512 c = _mm512_max_ps(low, _mm512_min_ps(high, x));
  __m512 k = _mm512_sub_ps(_mm512_fmadd_ps(c, _mm512_set1_ps(MATH_LOG2E), _mm512_set1_ps(MATH_ROUND)),
                           _mm512_set1_ps(MATH_ROUND));
  __m512 r = _mm512_fmadd_ps(k, _mm512_set1_ps(-MATH_LN2_HIGH), c);
  r = _mm512_fmadd_ps(k, _mm512_set1_ps(-MATH_LN2_LOW), r);
  __m512 p = _mm512_fmadd_ps(_mm512_set1_ps(MATH_EXP_C4), r, _mm512_set1_ps(MATH_EXP_C3));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(MATH_EXP_C2));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(MATH_EXP_C1));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(MATH_EXP_C0));
  __m512 y = _mm512_add_ps(_mm512_fmadd_ps(p, _mm512_mul_ps(r, r), r), _mm512_set1_ps(1.0f));
  y = _mm512_scalef_ps(y, k);
  y = _mm512_mask_mov_ps(y, _mm512_cmp_ps_mask(x, low, _CMP_LT_OQ), _mm512_setzero_ps());
  return (struct f16){_mm512_mask_mov_ps(y, _mm512_cmp_ps_mask(x, high, _CMP_GT_OQ), _mm512_set1_ps(__builtin_inff()))};
}

/* Pairs (even, odd) from 2 n numbers, n lanes of each; the others read as +0. */
INLINE void f16_load_pairs(const float *p, size_t n, struct f16 *even, struct f16 *odd)
{
  const __m512i pick = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
  __m512 a = f16_load_mask(p, m16_first(2 * n)).v, b = f16_load_mask(p + 16, m16_first(n > 8 ? 2 * n - 16 : 0)).v;
  even->v = _mm512_permutex2var_ps(a, pick, b);
  odd->v = _mm512_permutex2var_ps(a, _mm512_add_epi32(pick, _mm512_set1_epi32(1)), b);
}

/* Sixteen f64 lanes: acc = x x + acc, for sums of squares. */
struct d16 {
  __m512d lo, hi;
};
INLINE struct d16 d16_zero(void)
{
  return (struct d16){_mm512_setzero_pd(), _mm512_setzero_pd()};
}
INLINE struct d16 d16_add_square(struct d16 acc, struct f16 a)
{
  __m512d lo = _mm512_cvtps_pd(_mm512_castps512_ps256(a.v)), hi = _mm512_cvtps_pd(_mm512_extractf32x8_ps(a.v, 1));
  return (struct d16){_mm512_fmadd_pd(lo, lo, acc.lo), _mm512_fmadd_pd(hi, hi, acc.hi)};
}
INLINE void d16_store(double *p, struct d16 x)
{
  _mm512_storeu_pd(p, x.lo);
  _mm512_storeu_pd(p + 8, x.hi);
}

/* to[16][16] (rows to_stride apart) = transpose of from[16][16]. */
INLINE void f16_transpose(const float *from, size_t from_stride, float *to, size_t to_stride)
{
  __m512 r[16], s[16];
  for (size_t i = 0; i < 16; i++) r[i] = _mm512_loadu_ps(from + i * from_stride);
  /* Pairs, then fours, within 128 bits: s[4q + c] holds column 4l + c of rows 4q .. 4q+3 in its 128-bit lane l. */
  for (size_t q = 0; q < 16; q += 4) {
    __m512d a = _mm512_castps_pd(_mm512_unpacklo_ps(r[q], r[q + 1])),
            b = _mm512_castps_pd(_mm512_unpackhi_ps(r[q], r[q + 1]));
    __m512d c = _mm512_castps_pd(_mm512_unpacklo_ps(r[q + 2], r[q + 3])),
            d = _mm512_castps_pd(_mm512_unpackhi_ps(r[q + 2], r[q + 3]));
    s[q] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, c));
    s[q + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, c));
    s[q + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(b, d));
    s[q + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(b, d));
  }
  /* Then the 128-bit lanes as a 4 x 4 transpose. */
  for (size_t c = 0; c < 4; c++) {
    __m512 a = _mm512_shuffle_f32x4(s[c], s[c + 4], 0x88), b = _mm512_shuffle_f32x4(s[c + 8], s[c + 12], 0x88);
    __m512 e = _mm512_shuffle_f32x4(s[c], s[c + 4], 0xdd), f = _mm512_shuffle_f32x4(s[c + 8], s[c + 12], 0xdd);
    _mm512_storeu_ps(to + c * to_stride, _mm512_shuffle_f32x4(a, b, 0x88));
    _mm512_storeu_ps(to + (c + 4) * to_stride, _mm512_shuffle_f32x4(e, f, 0x88));
    _mm512_storeu_ps(to + (c + 8) * to_stride, _mm512_shuffle_f32x4(a, b, 0xdd));
    _mm512_storeu_ps(to + (c + 12) * to_stride, _mm512_shuffle_f32x4(e, f, 0xdd));
  }
}

#endif
