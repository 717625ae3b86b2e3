/* compute/cpu/simd/softcap: tanh, and what becomes of a block's scores: their factor and cap, as ref/path.h does it. */
#ifndef ASSAY_COMPUTE_CPU_SIMD_SOFTCAP_INC_H
#define ASSAY_COMPUTE_CPU_SIMD_SOFTCAP_INC_H

#include "compute/cpu/ref/path.h"
#include "core/math_exp.h"

/* math_tanh_steps on every lane. */
INLINE struct f16 f16_tanh(struct f16 x)
{
  const struct f16 z = f16_mul(x, x), one = f16_set(1.0f);
  struct f16 p = f16_fma(f16_set(MATH_TANH_C4), z, f16_set(MATH_TANH_C3));
  p = f16_fma(p, z, f16_set(MATH_TANH_C2));
  p = f16_fma(p, z, f16_set(MATH_TANH_C1));
  p = f16_fma(p, z, f16_set(MATH_TANH_C0));
  const struct f16 small = f16_fma(f16_mul(p, z), x, x),
                   large = f16_sub(one, f16_div(f16_set(2.0f), f16_add(f16_exp(f16_add(x, x)), one)));
  return f16_select(f16_lt(z, f16_set(MATH_TANH_SMALL)), small, large);
}

/* s = s scale, then cap tanh(s / cap) where there is a cap */
INLINE struct f16 f16_score(struct f16 s, const struct score_shape *shape)
{
  s = f16_mul(s, f16_set(shape->scale));
  if (!(shape->cap > 0)) return s;
  return f16_mul(f16_tanh(f16_mul(s, f16_set(shape->inverse))), f16_set(shape->cap));
}

/* The same, and the cap's derivative, which is set only where there is one. */
INLINE struct f16 f16_score_slope(struct f16 s, const struct score_shape *shape, struct f16 *slope)
{
  *slope = f16_set(1.0f);
  s = f16_mul(s, f16_set(shape->scale));
  if (!(shape->cap > 0)) return s;
  const struct f16 t = f16_tanh(f16_mul(s, f16_set(shape->inverse)));
  *slope = f16_fma(f16_neg(t), t, f16_set(1.0f));
  return f16_mul(t, f16_set(shape->cap));
}

/* The gradient of a score, back through cap and factor. */
INLINE struct f16 f16_through_score(struct f16 grad, const struct score_shape *shape, struct f16 slope)
{
  if (shape->cap > 0) grad = f16_mul(grad, slope);
  return f16_mul(grad, f16_set(shape->scale));
}

#endif
