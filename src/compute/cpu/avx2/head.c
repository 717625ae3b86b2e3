/* compute/cpu/avx2/head: see simd/head.inc.h and simd/sample.inc.h. */
#include "compute/cpu/simd/f16_avx2.inc.h"

#include "compute/cpu/simd/head.inc.h"
#include "compute/cpu/simd/overlay.h"
#include "compute/cpu/simd/sample.inc.h"

void overlay_head_avx2(struct backend_ops *ops)
{
  ops->head_score = head_score_run;
  ops->head_backward = head_backward_run;
  ops->head_sample = head_sample_run;
}
