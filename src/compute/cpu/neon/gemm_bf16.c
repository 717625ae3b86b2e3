/* compute/cpu/neon/gemm_bf16: see simd/gemm_bf16.inc.h. */
#include "compute/cpu/simd/words_neon.inc.h"

#include "compute/cpu/simd/gemm_words.inc.h"

#include "compute/cpu/simd/gemm_bf16.inc.h"
#include "compute/cpu/simd/overlay.h"

void overlay_gemm_bf16_neon(struct backend_ops *ops)
{
  ops->gemm = gemm_run;
  ops->gemm_dx = gemm_dx_run;
  ops->gemm_dw = gemm_dw_run;
}
