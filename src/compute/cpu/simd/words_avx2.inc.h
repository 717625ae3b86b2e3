/* compute/cpu/simd/words_avx2: sixteen words of two bf16 each in two 256-bit registers. See words_avx512.inc.h. */
#ifndef ASSAY_COMPUTE_CPU_SIMD_WORDS_AVX2_H
#define ASSAY_COMPUTE_CPU_SIMD_WORDS_AVX2_H

#include "compute/cpu/simd/f16_avx2.inc.h"

/* 3 rows of one panel, an even and an odd sum each, are 12 accumulators of 16 registers. */
enum { WORD_ROWS = 3, WORD_PANELS = 1 };
#define WORD_ROW_LIST(X, form) X(1, form) X(2, form) X(3, form)
enum { WORD_WIDE_1 = 2, WORD_WIDE_2 = 1, WORD_WIDE_3 = 1 };

struct w16 {
  __m256i lo, hi;
};

INLINE struct w16 w16_zero(void)
{
  return (struct w16){_mm256_setzero_si256(), _mm256_setzero_si256()};
}
INLINE struct w16 w16_load(const uint32_t *p)
{
  return (struct w16){_mm256_loadu_si256((const __m256i *)(const void *)p),
                      _mm256_loadu_si256((const __m256i *)(const void *)(p + 8))};
}
INLINE void w16_store(uint32_t *p, struct w16 x)
{
  _mm256_storeu_si256((__m256i *)(void *)p, x.lo);
  _mm256_storeu_si256((__m256i *)(void *)(p + 8), x.hi);
}
INLINE struct f16 w16_even(struct w16 x)
{
  return (struct f16){_mm256_castsi256_ps(_mm256_slli_epi32(x.lo, 16)),
                      _mm256_castsi256_ps(_mm256_slli_epi32(x.hi, 16))};
}
INLINE __m256i words_high(__m256i x)
{
  return _mm256_and_si256(x, _mm256_set1_epi32((int)0xffff0000u));
}
INLINE __m256i words_low(__m256i x)
{
  return _mm256_and_si256(x, _mm256_set1_epi32(0xffff));
}
INLINE struct f16 w16_odd(struct w16 x)
{
  return (struct f16){_mm256_castsi256_ps(words_high(x.lo)), _mm256_castsi256_ps(words_high(x.hi))};
}

INLINE __m256 words_round(__m256 x)
{
  const __m256i bits = _mm256_castps_si256(x), size = _mm256_and_si256(bits, _mm256_set1_epi32(0x7fffffff));
  const __m256i last = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
  __m256i y = _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), last);
  y = _mm256_blendv_epi8(y, _mm256_or_si256(bits, _mm256_set1_epi32(0x400000)),
                         _mm256_cmpgt_epi32(size, _mm256_set1_epi32(0x7f800000)));
  y = _mm256_blendv_epi8(y, _mm256_and_si256(bits, _mm256_set1_epi32(INT32_MIN)),
                         _mm256_cmpgt_epi32(_mm256_set1_epi32(0x00800000), size));
  return _mm256_castsi256_ps(words_high(y));
}
INLINE struct f16 f16_round(struct f16 x)
{
  return (struct f16){words_round(x.lo), words_round(x.hi)};
}
INLINE struct w16 w16_join(struct f16 even, struct f16 odd)
{
  return (struct w16){
      _mm256_or_si256(_mm256_srli_epi32(_mm256_castps_si256(even.lo), 16), _mm256_castps_si256(odd.lo)),
      _mm256_or_si256(_mm256_srli_epi32(_mm256_castps_si256(even.hi), 16), _mm256_castps_si256(odd.hi))};
}
INLINE struct w16 w16_evens(struct w16 a, struct w16 b)
{
  return (struct w16){_mm256_or_si256(words_low(a.lo), _mm256_slli_epi32(b.lo, 16)),
                      _mm256_or_si256(words_low(a.hi), _mm256_slli_epi32(b.hi, 16))};
}
INLINE struct w16 w16_odds(struct w16 a, struct w16 b)
{
  return (struct w16){_mm256_or_si256(_mm256_srli_epi32(a.lo, 16), words_high(b.lo)),
                      _mm256_or_si256(_mm256_srli_epi32(a.hi, 16), words_high(b.hi))};
}
INLINE void words_store_mixed(uint32_t *p, __m256i a, __m256i b)
{
  const __m256i low = _mm256_unpacklo_epi32(a, b), high = _mm256_unpackhi_epi32(a, b);
  _mm256_storeu_si256((__m256i *)(void *)p, _mm256_permute2x128_si256(low, high, 0x20));
  _mm256_storeu_si256((__m256i *)(void *)(p + 8), _mm256_permute2x128_si256(low, high, 0x31));
}
INLINE void w16_store_mixed(uint32_t *low, uint32_t *high, struct w16 a, struct w16 b)
{
  words_store_mixed(low, a.lo, b.lo);
  words_store_mixed(high, a.hi, b.hi);
}

#endif
