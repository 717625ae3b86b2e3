/* compute/cpu/neon/table: the slots that this instruction set has. */
#include "compute/cpu/cpu.h"
#include "compute/cpu/simd/overlay.h"

void ops_overlay_neon(struct backend_ops *ops)
{
  overlay_gemm_neon(ops);
  overlay_attention_neon(ops);
  overlay_elementwise_neon(ops);
  overlay_head_neon(ops);
}
