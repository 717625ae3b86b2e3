/* compute/cpu/neon/attention: see simd/attention.inc.h and simd/attention_backward.inc.h. */
#include "compute/cpu/simd/f16_neon.inc.h"

#include "compute/cpu/simd/attention.inc.h"
#include "compute/cpu/simd/attention_backward.inc.h"
#include "compute/cpu/simd/overlay.h"

void overlay_attention_neon(struct backend_ops *ops)
{
  ops->attention = attention_run;
  ops->attention_backward = attention_backward_run;
}
