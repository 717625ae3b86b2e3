/* ref: the reference of every operation, plain C over `real`, compiled twice (f32, f64). What a formula or an order
 * means is said in backend.h; here it is spelled out in loops. Work is split over outputs by pool_run, never over a
 * reduction. */
#ifndef ASSAY_COMPUTE_CPU_REF_REF_H
#define ASSAY_COMPUTE_CPU_REF_REF_H

#include "compute/cpu/cpu.h"
#include "core/math.h"

/* Every slot of struct backend_ops. REAL_NAME(slot) is its function, of the slot's very type. */
/* clang-format off */
#define REF_SLOTS(X)                                                                                             \
  X(embed) X(embed_backward) X(embed_join) X(gemm) X(gemm_dx) X(gemm_dw) X(rmsnorm) X(rmsnorm_backward) X(rope)  \
  X(kv_write) X(kv_read) X(attention) X(attention_backward) X(swiglu) X(swiglu_backward) X(geglu)                \
  X(geglu_backward) X(scale) X(mul) X(softcap) X(add) X(copy) X(zero) X(gather) X(scatter) X(head_logits)        \
  X(head_score) X(head_backward) X(head_top) X(head_sample) X(adamw) X(weight_zero_grad) X(sum_squares)          \
  X(find_not_finite)
/* clang-format on */

#define REF_DECLARE(slot) __typeof__(*((struct backend_ops *)0)->slot) REAL_NAME(slot);
REF_SLOTS(REF_DECLARE)

/* Loops of fused multiply-adds get a second version for processors that have the instruction; elsewhere fma is a (slow,
 * equal) call. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__) && \
    !defined(__SANITIZE_THREAD__)
#define REF_HOT __attribute__((target_clones("fma", "default")))
#else
#define REF_HOT
#endif

/* GELU's tanh form: 2 sqrt(2/pi), and that times 0.044715. */
#define GEGLU_A 1.5957691216057308
#define GEGLU_B (0.044715 * GEGLU_A)

#define REAL_INFINITY ((real)__builtin_inf())

#ifdef ASSAY_REAL64
static inline real real_fma(real a, real b, real c)
{
  return math_fma(a, b, c);
}
static inline real real_exp(real x)
{
  return math_exp(x);
}
static inline real real_log(real x)
{
  return math_log(x);
}
static inline real real_sqrt(real x)
{
  return math_sqrt(x);
}
static inline real real_tanh(real x)
{
  return math_tanh(x);
}
#else
static inline real real_fma(real a, real b, real c)
{
  return math_fmaf(a, b, c);
}
static inline real real_exp(real x)
{
  return math_expf(x);
}
static inline real real_log(real x)
{
  return math_logf(x);
}
static inline real real_sqrt(real x)
{
  return math_sqrtf(x);
}
static inline real real_tanh(real x)
{
  return math_tanhf(x);
}
#endif

/* sum16's tree over its lanes. */
static inline real lanes_sum(real lane[16])
{
  for (int step = 8; step; step /= 2)
    for (int i = 0; i < step; i++) lane[i] += lane[i + step];
  return lane[0];
}

/* The scratch of the thread that runs a part of a job. */
static inline void *thread_scratch(const struct device *d, int thread)
{
  return (char *)d->scratch + (size_t)thread * d->scratch_each;
}

static inline size_t size_min(size_t a, size_t b)
{
  return a < b ? a : b;
}

#endif
