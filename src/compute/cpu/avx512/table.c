/* compute/cpu/avx512/table: the slots that this instruction set has. */
#include "compute/cpu/cpu.h"
#include "compute/cpu/simd/overlay.h"

void ops_overlay_avx512(struct backend_ops *ops)
{
  overlay_gemm_avx512(ops);
  overlay_attention_avx512(ops);
  overlay_elementwise_avx512(ops);
  overlay_head_avx512(ops);
}
