/* compute/cpu/avx2/table: the slots that this instruction set has. */
#include "compute/cpu/cpu.h"
#include "compute/cpu/simd/overlay.h"

void ops_overlay_avx2(struct backend_ops *ops)
{
  overlay_gemm_avx2(ops);
  overlay_attention_avx2(ops);
  overlay_elementwise_avx2(ops);
  overlay_head_avx2(ops);
}
