/* compute/words: numbers in bf16 (backend.h: COMPUTE TYPE BF16), for processors and GPUs alike. A word holds two
 * neighbouring terms of a sum, the even one in its low half.
 */
#ifndef ASSAY_COMPUTE_WORDS_H
#define ASSAY_COMPUTE_WORDS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __CUDACC__
#define WORDS_STEP static __host__ __device__ __forceinline__
#else
#define WORDS_STEP static inline
#endif

enum { PANEL = 16, TERM_BLOCK = 32 /* of a sum in bf16 */ };

/* To the nearest, ties to even; denormals to zeros of their sign; NaN to a quiet one. */
WORDS_STEP uint32_t bf16_from(float x)
{
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  const uint32_t size = bits & 0x7fffffffu;
  if (size > 0x7f800000u) return bits >> 16 | 0x40;
  if (size < 0x00800000u) return bits >> 16 & 0x8000;
  return (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}

WORDS_STEP float word_even(uint32_t word)
{
  float x;
  word <<= 16;
  memcpy(&x, &word, sizeof x);
  return x;
}
WORDS_STEP float word_odd(uint32_t word)
{
  float x;
  word &= 0xffff0000u;
  memcpy(&x, &word, sizeof x);
  return x;
}
WORDS_STEP float word_half(uint32_t word, size_t term)
{
  return term % 2 ? word_odd(word) : word_even(word);
}
WORDS_STEP uint32_t word_of(float even, float odd)
{
  return bf16_from(even) | bf16_from(odd) << 16;
}
WORDS_STEP void word_set(uint32_t *word, size_t term, float x)
{
  *word = term % 2 ? (*word & 0xffff) | bf16_from(x) << 16 : (*word & 0xffff0000u) | bf16_from(x);
}
WORDS_STEP float bf16_round(float x)
{
  return word_even(bf16_from(x));
}

/* Up to whole blocks of terms. */
WORDS_STEP size_t block_round(size_t n)
{
  return (n + TERM_BLOCK - 1) / TERM_BLOCK * TERM_BLOCK;
}

/* Word of element (n, k) in the copy of a matrix with `columns` columns (device.h: Layouts). */
WORDS_STEP size_t words_at(size_t columns, size_t n, size_t k)
{
  return ((n / PANEL) * (block_round(columns) / 2) + k / 2) * PANEL + n % PANEL;
}

#endif
