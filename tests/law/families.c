/* links: model. The laws of forward.c for the other half of the variants: two programs, each within its time. */
#define VARIANT_FIRST 7
#define VARIANT_END   VARIANTS
#include "forward.c"
