/* compute/cpu/amx/gemm: the products of compute type bf16 with AMX: gemm_tiles.inc.h under simd/gemm_bf16.inc.h. */
#include "compute/cpu/simd/words_avx512.inc.h"

#include "compute/cpu/ref/ref.h"

#include "compute/cpu/amx/gemm_tiles.inc.h"

#include "compute/cpu/simd/gemm_bf16.inc.h"

void ops_overlay_bf16_amx(struct backend_ops *ops)
{
  ops->gemm = gemm_run;
  ops->gemm_dx = gemm_dx_run;
  ops->gemm_dw = gemm_dw_run;
}
