/* bf16/table: the slots that compute type bf16 has of its own. */
#include "compute/cpu/bf16/bf16.h"

void ops_fill_bf16(struct backend_ops *ops)
{
#define BF16_FILL(slot) ops->slot = slot##_bf16;
  BF16_SLOTS(BF16_FILL)
#undef BF16_FILL
}
