/* compute/cpu/neon/gemm: see simd/gemm.inc.h. */
#include "compute/cpu/simd/f16_neon.inc.h"

#include "compute/cpu/simd/gemm.inc.h"
#include "compute/cpu/simd/overlay.h"

void overlay_gemm_neon(struct backend_ops *ops)
{
  ops->gemm = gemm_run;
  ops->gemm_dx = gemm_dx_run;
  ops->gemm_dw = gemm_dw_run;
}
