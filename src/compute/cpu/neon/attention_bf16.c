/* compute/cpu/neon/attention_bf16: see simd/attention_bf16.inc.h and simd/attention_backward_bf16.inc.h. */
#include "compute/cpu/simd/words_neon.inc.h"

#include "compute/cpu/simd/attention_backward_bf16.inc.h"
#include "compute/cpu/simd/overlay.h"

void overlay_attention_bf16_neon(struct backend_ops *ops)
{
  ops->attention = attention_run;
  ops->attention_backward = attention_backward_run;
}
