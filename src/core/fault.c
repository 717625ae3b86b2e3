#include "core/fault.h"

#ifdef ASSAY_HOSTILE
#include <stdatomic.h>

static atomic_long calls[FAULT_KINDS];
static atomic_long target[FAULT_KINDS]; /* 0: off */

void fault_set(enum fault_kind kind, long countdown)
{
  atomic_store(&target[kind], 0);
  atomic_store(&calls[kind], 0);
  atomic_store(&target[kind], countdown);
}

long fault_calls(enum fault_kind kind)
{
  return atomic_load(&calls[kind]);
}

bool fault_hit(enum fault_kind kind)
{
  long n = atomic_fetch_add(&calls[kind], 1) + 1;
  return n == atomic_load(&target[kind]);
}
#endif
