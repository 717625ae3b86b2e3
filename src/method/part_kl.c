#include "method/part_kl.h"

#include "core/math.h"

static struct kl_value k3(double d, bool clamp)
{
  double x = clamp ? math_clamp(-d, -20, 20) : -d;
  double grown = math_expm1(x); /* exp(-d) - 1 without cancellation */
  struct kl_value k = {.value = grown - x, .coef = -grown};
  if (!clamp) return k;
  if (x != -d) k.coef = 0;
  if (k.value > 10) k = (struct kl_value){.value = 10};
  return k;
}

struct kl_value kl_estimate(enum kl_type type, double logp, double reference, bool clamp)
{
  double d = logp - reference;
  switch (type) {
    case KL_K1:
      return (struct kl_value){.value = d, .coef = 1};
    case KL_K2:
      return (struct kl_value){.value = 0.5 * d * d, .coef = d};
    case KL_K3:
      break;
  }
  return k3(d, clamp);
}
