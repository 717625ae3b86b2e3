/* compute/cpu/neon/elementwise: see simd/elementwise.inc.h and simd/norm.inc.h. */
#include "compute/cpu/simd/f16_neon.inc.h"

#include "compute/cpu/simd/elementwise.inc.h"
#include "compute/cpu/simd/norm.inc.h"
#include "compute/cpu/simd/overlay.h"

void overlay_elementwise_neon(struct backend_ops *ops)
{
  ops->add = add_run;
  ops->mul = mul_run;
  ops->scale = scale_run;
  ops->softcap = softcap_run;
  ops->geglu = geglu_run;
  ops->geglu_backward = geglu_backward_run;
  ops->swiglu = swiglu_run;
  ops->swiglu_backward = swiglu_backward_run;
  ops->rope = rope_run;
  ops->adamw = adamw_run;
  ops->sum_squares = sum_squares_run;
  ops->find_not_finite = find_not_finite_run;
  ops->rmsnorm = rmsnorm_run;
  ops->rmsnorm_backward = rmsnorm_backward_run;
}
