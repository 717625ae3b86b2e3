/* ref/head_steps: the steps that head_score, head_top, head_sample and head_backward share, so that the sampler's
 * log-probability is the trainer's (law 1). Logits come from the gemm in force, over slices of the LM head's weight
 * that begin at a panel. */
#ifndef ASSAY_COMPUTE_CPU_REF_HEAD_STEPS_H
#define ASSAY_COMPUTE_CPU_REF_HEAD_STEPS_H

#include "compute/cpu/ref/ref.h"
#include "compute/logits.h"

/* Softmax statistics of one row: maximum, sum of exp(z - m), sum of exp(z - m) (z - m). */
struct head_state {
  real m, l, u;
};

/* z = logit * (real)(1/T), the only place where a logit meets a temperature */
static inline real head_z(real logit, real inv_temperature)
{
  return logit * inv_temperature;
}

/* One block of at most VOCAB_BLOCK logits. first: the row's first block. */
static inline void head_block(struct head_state *s, bool first, const real *logit, size_t n, real inv_temperature)
{
  real z[VOCAB_BLOCK], sum[16] = {0}, weighted[16] = {0}, m = first ? -REAL_INFINITY : s->m;
  for (size_t i = 0; i < n; i++) {
    z[i] = head_z(logit[i], inv_temperature);
    m = z[i] > m ? z[i] : m;
  }
  m += 0; /* -0 becomes +0, so that the order of comparison does not matter */
  for (size_t i = 0; i < n; i++) {
    real below = z[i] - m, e = real_exp(below);
    sum[i % 16] += e;
    weighted[i % 16] = real_fma(e, below, weighted[i % 16]);
  }
  real l = lanes_sum(sum), u = lanes_sum(weighted), f = first ? 0 : real_exp(s->m - m);
  s->u = first ? u : real_fma(f, real_fma(s->l, s->m - m, s->u), u);
  s->l = real_fma(first ? 0 : s->l, f, l);
  s->m = m;
}

/* Logits at .. at+n-1 of a row (at: a multiple of VOCAB_BLOCK), block by block. */
static inline void head_blocks(struct head_state *s, size_t at, const real *logit, size_t n, real inv_temperature)
{
  for (size_t i = 0; i < n; i += VOCAB_BLOCK)
    head_block(s, at + i == 0, logit + i, size_min(VOCAB_BLOCK, n - i), inv_temperature);
}

/* log p = (z - m) - log(l) */
static inline real head_logp(const struct head_state *s, real z)
{
  return (z - s->m) - real_log(s->l);
}

/* entropy = log(l) - u / l */
static inline real head_entropy(const struct head_state *s)
{
  return real_log(s->l) - s->u / s->l;
}

/* The first pair of head row `row` or of a later one. */
static inline int32_t head_first_pair(const struct head_rows *rows, int32_t row)
{
  int32_t low = 0, high = rows->pair_count;
  while (low < high) {
    int32_t middle = low + (high - low) / 2;
    if (rows->pair_row[middle] < row)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

/* g_t += coef for the pairs first .. end-1 of a row, a target's coefficients summed in f64 in the order of its pairs
   and rounded once. g: the row's vocabulary at .. at+width-1; targets outside of it wait for their chunk. */
static inline void head_add_targets(const struct head_rows *rows, const double *coef, int32_t first, int32_t end,
                                    size_t at, size_t width, real *g)
{
  const int32_t *target = rows->pair_target;
  for (int32_t p = first; p < end; p++) {
    size_t v = (size_t)target[p];
    bool merged = v < at || v >= at + width;
    for (int32_t before = first; before < p && !merged; before++) merged = target[before] == target[p];
    if (merged) continue;
    double sum = 0;
    for (int32_t q = p; q < end; q++)
      if (target[q] == target[p]) sum += coef[q];
    g[v - at] += (real)sum;
  }
}

static inline void head_check(const struct weight *w, const struct head_rows *rows, int32_t chunk)
{
  ASSAY_BUG_IF(chunk < VOCAB_BLOCK || chunk % VOCAB_BLOCK);
  for (int32_t p = 0; p < rows->pair_count; p++) {
    ASSAY_BUG_IF(rows->pair_target[p] < 0 || (size_t)rows->pair_target[p] >= w->n);
    ASSAY_BUG_IF(rows->pair_row[p] < (p ? rows->pair_row[p - 1] : 0) || rows->pair_row[p] >= rows->count);
  }
}

#endif
