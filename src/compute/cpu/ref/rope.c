/* ref/rope: rotary embedding, halves form. The backward is the rotation by the negative angle. */
#include "compute/cpu/ref/ref.h"

struct rope_job {
  const int32_t *position;
  const real *table; /* [positions, R/2, 2] */
  real *x;
  size_t heads, head_dim, rotary;
  bool inverse;
};

/* a' = a c - b s, b' = b c + a s for the pairs (i, i + R/2) of one head. */
static void rope_part(void *arg, int thread, size_t begin, size_t end)
{
  const struct rope_job *job = arg;
  size_t half = job->rotary / 2;
  (void)thread;
  for (size_t item = begin; item < end; item++) {
    const real *angle = job->table + (size_t)job->position[item / job->heads] * half * 2;
    real *x = job->x + item * job->head_dim;
    for (size_t i = 0; i < half; i++) {
      real c = angle[2 * i], s = job->inverse ? -angle[2 * i + 1] : angle[2 * i + 1], a = x[i], b = x[i + half];
      x[i] = real_fma(a, c, -(b * s));
      x[i + half] = real_fma(b, c, a * s);
    }
  }
}

void REAL_NAME(rope)(struct device *d, int32_t m, const int32_t *position, int heads, int head_dim, int rotary,
                     struct view table, bool inverse, struct view x)
{
  if (m <= 0) return;
  ASSAY_BUG_IF(heads < 1 || rotary < 2 || rotary % 2 || rotary > head_dim);
  struct rope_job job = {position,         view_reals(table), view_reals(x), (size_t)heads,
                         (size_t)head_dim, (size_t)rotary,    inverse};
  pool_run(d->pool, (size_t)m * job.heads, rope_part, &job);
}
