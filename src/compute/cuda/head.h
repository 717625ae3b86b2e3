/* cuda/head: the steps that the LM head's operations share, so that the sampler's log-probability is the trainer's
 * (law 1). A warp walks a row's logits in blocks of 32, a lane a logit. */
#ifndef ASSAY_COMPUTE_CUDA_HEAD_H
#define ASSAY_COMPUTE_CUDA_HEAD_H

#include "compute/cuda/cuda.h"

/* Softmax statistics of one row: maximum, sum of exp(z - m), sum of exp(z - m) (z - m). */
struct head_state {
  real m, l, u;
};

/* z = logit * (real)(1/T), the only place where a logit meets a temperature */
HERE real head_z(real logit, real inv_temperature)
{
  return logit * inv_temperature;
}

/* The largest z of a block of n logits and of m. */
HERE real head_block_max(const real *logit, size_t n, real inv_temperature, real m)
{
  const int lane = thread_here() % WARP;
  return lanes_max((size_t)lane < n ? head_z(logit[lane], inv_temperature) : -REAL_INFINITY, m);
}

/* A block's sums of exp(z - m) and of exp(z - m) (z - m). */
HERE void head_block_sums(const real *logit, size_t n, real inv_temperature, real m, real *l, real *u)
{
  const int lane = thread_here() % WARP;
  const bool there = (size_t)lane < n;
  const real z = there ? head_z(logit[lane], inv_temperature) : 0;
  const real below = z - m, e = there ? real_exp(below) : 0;
  const real e_above = lane_from(e, (lane + 16) % WARP), below_above = lane_from(below, (lane + 16) % WARP);
  real sum = there ? 0 + e : 0, weighted = there ? real_fma(e, below, 0) : 0;
  if ((size_t)lane + 16 < n) {
    sum = sum + e_above;
    weighted = real_fma(e_above, below_above, weighted);
  }
  *l = lane_from(half_sum(sum), 0);
  *u = lane_from(half_sum(weighted), 0);
}

/* What moves the sums from the maximum before to the new one. */
HERE real head_factor(bool first, real before, real m)
{
  return first ? 0 : real_exp(before - m);
}

/* A block's maximum and sums into the row's state; f: head_factor. */
HERE void head_join(struct head_state *s, bool first, real m, real f, real l, real u)
{
  s->u = first ? u : real_fma(f, real_fma(s->l, s->m - m, s->u), u);
  s->l = real_fma(first ? 0 : s->l, f, l);
  s->m = m;
}

/* One block of n logits; first: the row's first. All lanes hold the same state. */
HERE void head_block(struct head_state *s, bool first, const real *logit, size_t n, real inv_temperature)
{
  const real m = head_block_max(logit, n, inv_temperature, first ? -REAL_INFINITY : s->m);
  real l, u;
  head_block_sums(logit, n, inv_temperature, m, &l, &u);
  head_join(s, first, m, head_factor(first, s->m, m), l, u);
}

/* Logits at .. at+n-1 of a row (at: a multiple of VOCAB_BLOCK), block by block. */
HERE void head_blocks(struct head_state *s, size_t at, const real *logit, size_t n, real inv_temperature)
{
  for (size_t i = 0; i < n; i += VOCAB_BLOCK)
    head_block(s, at + i == 0, logit + i, n - i < VOCAB_BLOCK ? n - i : VOCAB_BLOCK, inv_temperature);
}

/* log p = (z - m) - log(l) */
HERE real head_logp(const struct head_state *s, real z)
{
  return (z - s->m) - real_log(s->l);
}

/* entropy = log(l) - u / l */
HERE real head_entropy(const struct head_state *s)
{
  return real_log(s->l) - real_divide(s->u, s->l);
}

#endif
