/* core/fault: the n-th call fails. Compiled in for the hostile build (ASSAY_HOSTILE), a constant false elsewhere.
 * A test sets the countdown, runs, and expects an orderly error; then n + 1, until the run passes. */
#ifndef ASSAY_CORE_FAULT_H
#define ASSAY_CORE_FAULT_H

#include <stdbool.h>

enum fault_kind { FAULT_ALLOC, FAULT_WRITE, FAULT_DEVICE, FAULT_KINDS };

#ifdef ASSAY_HOSTILE
void fault_set(enum fault_kind kind, long countdown); /* the countdown-th call from now fails; 0 turns it off */
long fault_calls(enum fault_kind kind);               /* calls since fault_set */
bool fault_hit(enum fault_kind kind);                 /* called at each allocation, write, device call */
#else
static inline bool fault_hit(enum fault_kind kind)
{
  (void)kind;
  return false;
}
#endif

#endif
