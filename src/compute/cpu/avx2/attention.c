/* compute/cpu/avx2/attention: see simd/attention.inc.h and simd/attention_backward.inc.h. */
#include "compute/cpu/simd/f16_avx2.inc.h"

#include "compute/cpu/simd/attention.inc.h"
#include "compute/cpu/simd/attention_backward.inc.h"
#include "compute/cpu/simd/overlay.h"

void overlay_attention_avx2(struct backend_ops *ops)
{
  ops->attention = attention_run;
  ops->attention_backward = attention_backward_run;
}
