/* compute/cpu/neon/head: see simd/head.inc.h and simd/sample.inc.h. */
#include "compute/cpu/simd/f16_neon.inc.h"

#include "compute/cpu/simd/head.inc.h"
#include "compute/cpu/simd/overlay.h"
#include "compute/cpu/simd/sample.inc.h"

void overlay_head_neon(struct backend_ops *ops)
{
  ops->head_score = head_score_run;
  ops->head_backward = head_backward_run;
  ops->head_sample = head_sample_run;
}
