/* compute/cpu/amx/permit: whether this processor has AMX with bf16 and the kernel lets this process use it. The tiles
 * are 8 KiB of state that Linux saves only for a process that has asked. */
#include "compute/cpu/cpu.h"

#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
  CPUID_TILE = 1 << 24,
  CPUID_BF16 = 1 << 22,        /* leaf 7, edx */
  CPUID_OSXSAVE = 1 << 27,     /* leaf 1, ecx */
  STATE_TILES = 3 << 17,       /* of XCR0: configuration and data */
  REQUEST_PERMISSION = 0x1023, /* ARCH_REQ_XCOMP_PERM */
  PERMISSION_TILES = 18        /* XFEATURE_XTILE_DATA */
};

bool amx_permitted(void)
{
  unsigned a, b, c, d, low, high;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(d & CPUID_TILE) || !(d & CPUID_BF16)) return false;
  if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & CPUID_OSXSAVE)) return false;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  if ((low & STATE_TILES) != STATE_TILES) return false;
  return syscall(SYS_arch_prctl, REQUEST_PERMISSION, PERMISSION_TILES) == 0;
}
