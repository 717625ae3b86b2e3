/* compute/cpu/simd/words_avx512: sixteen words of two bf16 each in one 512-bit register, beside f16_avx512.inc.h. The
 * same names as words_avx2.inc.h.
 */
#ifndef ASSAY_COMPUTE_CPU_SIMD_WORDS_AVX512_H
#define ASSAY_COMPUTE_CPU_SIMD_WORDS_AVX512_H

#include "compute/cpu/simd/f16_avx512.inc.h"

/* 6 rows of 2 panels, an even and an odd sum each, are 24 accumulators of 32 registers. */
enum { WORD_ROWS = 6, WORD_PANELS = 2 };
#define WORD_ROW_LIST(X, form) X(1, form) X(2, form) X(3, form) X(4, form) X(5, form) X(6, form)
/* Few rows: more panels, or the multiply-adds wait for each other. */
enum { WORD_WIDE_1 = 8, WORD_WIDE_2 = 4, WORD_WIDE_3 = 4 };

struct w16 {
  __m512i v;
};

INLINE struct w16 w16_zero(void)
{
  return (struct w16){_mm512_setzero_si512()};
}
INLINE struct w16 w16_load(const uint32_t *p)
{
  return (struct w16){_mm512_loadu_si512(p)};
}
INLINE void w16_store(uint32_t *p, struct w16 x)
{
  _mm512_storeu_si512(p, x.v);
}
/* The even and the odd number of every word. */
INLINE struct f16 w16_even(struct w16 x)
{
  return (struct f16){_mm512_castsi512_ps(_mm512_slli_epi32(x.v, 16))};
}
INLINE struct f16 w16_odd(struct w16 x)
{
  return (struct f16){_mm512_castsi512_ps(_mm512_and_si512(x.v, _mm512_set1_epi32((int)0xffff0000u)))};
}

/* bf16_round of bf16/bf16.h on every lane. */
INLINE struct f16 f16_round(struct f16 x)
{
  const __m512i bits = _mm512_castps_si512(x.v), high = _mm512_set1_epi32((int)0xffff0000u);
  const __m512i last = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
  __m512i y = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), last);
  y = _mm512_mask_or_epi32(y, _mm512_cmp_ps_mask(x.v, x.v, _CMP_UNORD_Q), bits, _mm512_set1_epi32(0x400000));
  y = _mm512_mask_and_epi32(y, _mm512_testn_epi32_mask(bits, _mm512_set1_epi32(0x7f800000)), bits,
                            _mm512_set1_epi32(INT32_MIN));
  return (struct f16){_mm512_castsi512_ps(_mm512_and_si512(y, high))};
}
/* Words of two vectors that are rounded. */
INLINE struct w16 w16_join(struct f16 even, struct f16 odd)
{
  return (struct w16){_mm512_or_si512(_mm512_srli_epi32(_mm512_castps_si512(even.v), 16), _mm512_castps_si512(odd.v))};
}
/* Words of the even, or odd, numbers of a and those of b. */
INLINE struct w16 w16_evens(struct w16 a, struct w16 b)
{
  return (struct w16){_mm512_or_si512(_mm512_and_si512(a.v, _mm512_set1_epi32(0xffff)), _mm512_slli_epi32(b.v, 16))};
}
INLINE struct w16 w16_odds(struct w16 a, struct w16 b)
{
  return (struct w16){
      _mm512_or_si512(_mm512_srli_epi32(a.v, 16), _mm512_and_si512(b.v, _mm512_set1_epi32((int)0xffff0000u)))};
}
/* a0 b0 a1 b1 ..: 32 words. */
INLINE void w16_store_mixed(uint32_t *low, uint32_t *high, struct w16 a, struct w16 b)
{
  const __m512i pick = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
  _mm512_storeu_si512(low, _mm512_permutex2var_epi32(a.v, pick, b.v));
  _mm512_storeu_si512(high, _mm512_permutex2var_epi32(a.v, _mm512_add_epi32(pick, _mm512_set1_epi32(8)), b.v));
}

#endif
