/* compute/cpu/avx512/gemm: see simd/gemm.inc.h. */
#include "compute/cpu/simd/f16_avx512.inc.h"

#include "compute/cpu/simd/gemm.inc.h"
#include "compute/cpu/simd/overlay.h"

void overlay_gemm_avx512(struct backend_ops *ops)
{
  ops->gemm = gemm_run;
  ops->gemm_dx = gemm_dx_run;
  ops->gemm_dw = gemm_dw_run;
}
