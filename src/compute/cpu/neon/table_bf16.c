/* compute/cpu/neon/table_bf16: the slots that this instruction set has for compute type bf16. */
#include "compute/cpu/cpu.h"
#include "compute/cpu/simd/overlay.h"

void ops_overlay_bf16_neon(struct backend_ops *ops)
{
  overlay_gemm_bf16_neon(ops);
  overlay_attention_bf16_neon(ops);
}
