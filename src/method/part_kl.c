#include "method/part_kl.h"

#include "core/math.h"

static struct kl_value k3(double d, enum kl_clamp clamp)
{
  double x = clamp == KL_CLAMP_VERL ? math_clamp(-d, -20, 20) : -d;
  double grown = math_expm1(x); /* exp(-d) - 1 without cancellation */
  struct kl_value k = {.value = grown - x, .coef = -grown};
  if (x != -d) k.coef = 0;
  if (clamp == KL_CLAMP_VERL && k.value > 10) k = (struct kl_value){.value = 10};
  return k;
}

static struct kl_value plain(enum kl_type type, double d, enum kl_clamp clamp)
{
  switch (type) {
    case KL_K2:
      return (struct kl_value){.value = 0.5 * d * d, .coef = d};
    case KL_K3:
    case KL_K3_PLUS:
      return k3(d, clamp);
    case KL_ABS:
    case KL_ABS_PLUS:
      return (struct kl_value){.value = math_abs(d), .coef = (double)(d > 0) - (double)(d < 0)};
    case KL_K1:
    case KL_K1_PLUS:
      break;
  }
  return (struct kl_value){.value = d, .coef = 1};
}

struct kl_value kl_estimate(enum kl_type type, double logp, double reference, enum kl_clamp clamp)
{
  double d = logp - reference;
  struct kl_value k = plain(type, d, clamp);
  if (clamp == KL_CLAMP_OPENRLHF && math_abs(k.value) > 10)
    k = (struct kl_value){.value = math_clamp(k.value, -10, 10)};
  if (type == KL_K1_PLUS || type == KL_ABS_PLUS || type == KL_K3_PLUS) k.coef = d;
  return k;
}

double kl_controlled(double coef, double kl, double target, double tokens, double horizon)
{
  return coef * (1.0 + math_clamp(kl / target - 1.0, -0.2, 0.2) * tokens / horizon);
}
