/* tests/source: random inputs of the tests of operations: sizes around the edges of blocks, and numbers now and then
 * wild. Include check.h first. */
#ifndef ASSAY_TESTS_SOURCE_H
#define ASSAY_TESTS_SOURCE_H

#include <stddef.h>
#include <stdint.h>

struct source {
  uint64_t state;
  int wild; /* 1: denormals, zeros of both signs, huge and tiny numbers now and then; 2: also infinities and NaN; 3: all
               near 2^-126; 0: none of them */
};

static CHECK_UNUSED uint64_t source_next(struct source *s) /* splitmix64 */
{
  uint64_t z = (s->state += 0x9e3779b97f4a7c15u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

static CHECK_UNUSED size_t source_below(struct source *s, size_t n)
{
  return (size_t)(source_next(s) % n);
}

/* Often 1, 2, around 16 and 32; sometimes up to `most`. */
static CHECK_UNUSED size_t source_size(struct source *s, size_t most)
{
  static const size_t edges[] = {1, 2, 3, 7, 15, 16, 17, 31, 32, 33, 48, 63, 64, 65};
  size_t n = source_below(s, 3) ? edges[source_below(s, sizeof edges / sizeof edges[0])] : 1 + source_below(s, most);
  return n < most ? n : most;
}

static CHECK_UNUSED float source_real(struct source *s)
{
  static const float strange[] = {0.0f,    -0.0f,           1e-40f,  -1e-40f, 3e38f, -3e38f, 1e-30f,
                                  -1e-30f, 1.17549435e-38f, -1e-37f, 1e30f,   88.7f, -87.3f, -104.0f};
  uint64_t bits = source_next(s);
  float x = (float)(bits >> 40) * 0x1p-22f - 2.0f;
  if (s->wild == 3) return x * 0x1p-125f;
  if (!s->wild || bits % 97) return x;
  bits /= 97;
  if (s->wild == 2 && bits % 40 == 0) return __builtin_nanf("");
  if (s->wild == 2 && bits % 40 == 1) return __builtin_inff();
  if (s->wild == 2 && bits % 40 == 2) return -__builtin_inff();
  return strange[bits % (sizeof strange / sizeof strange[0])];
}

static CHECK_UNUSED void source_fill(struct source *s, float *x, size_t n)
{
  for (size_t i = 0; i < n; i++) x[i] = source_real(s);
}

#endif
