/* cuda/rope: rotary embedding, halves form: a thread a pair. The backward is the rotation by the negative angle. */
#include "compute/cuda/cuda.h"

struct rope_args {
  const int32_t *position;
  const real *table; /* [positions, R/2, 2] */
  real *x;
  size_t m, heads, head_dim, half;
  bool inverse;
};

/* a' = a c - b s, b' = b c + a s for the pairs (i, i + R/2) of one head. */
KERNEL(rope_pairs, struct rope_args)
{
  size_t index = index_here(), pair = index % a.half, head = index / a.half;
  if (head >= a.m * a.heads) return;
  const real *angle = a.table + ((size_t)a.position[head / a.heads] * a.half + pair) * 2;
  real *x = a.x + head * a.head_dim + pair;
  real c = angle[0], s = a.inverse ? -angle[1] : angle[1], first = x[0], second = x[a.half];
  x[0] = real_fma(first, c, -(second * s));
  x[a.half] = real_fma(second, c, first * s);
}

void CUDA_NAME(rope)(struct device *d, int32_t m, const int32_t *position, int heads, int head_dim, int rotary,
                     struct view table, bool inverse, struct view x)
{
  if (m <= 0) return;
  ASSAY_BUG_IF(heads < 1 || rotary < 2 || rotary % 2 || rotary > head_dim);
  struct rope_args a = {CUDA_UPLOAD(d, position, (size_t)m), view_reals(table), view_reals(x), (size_t)m,
                        (size_t)heads, (size_t)head_dim, (size_t)rotary / 2, inverse};
  if (a.position) LAUNCH(d, rope_pairs, blocks_for(a.m * a.heads * a.half), 1, TEAM, a);
}
