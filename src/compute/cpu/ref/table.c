/* ref/table: every slot filled. */
#include "compute/cpu/ref/ref.h"

void REAL_NAME(ops_fill)(struct backend_ops *ops)
{
#define REF_FILL(slot) ops->slot = REAL_NAME(slot);
  REF_SLOTS(REF_FILL)
#undef REF_FILL
}
