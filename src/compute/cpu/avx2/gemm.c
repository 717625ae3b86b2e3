/* compute/cpu/avx2/gemm: see simd/gemm.inc.h. */
#include "compute/cpu/simd/f16_avx2.inc.h"

#include "compute/cpu/simd/gemm.inc.h"
#include "compute/cpu/simd/overlay.h"

void overlay_gemm_avx2(struct backend_ops *ops)
{
  ops->gemm = gemm_run;
  ops->gemm_dx = gemm_dx_run;
  ops->gemm_dw = gemm_dw_run;
}
