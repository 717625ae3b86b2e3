#include "method/part_entropy.h"

#include "core/math.h"
#include "eval/estimators.h"

double entropy_quantile_f32(double *x, size_t n, double q)
{
  if (!n) return __builtin_inf();
  for (size_t i = 0; i < n; i++) x[i] = (double)(float)x[i];
  eval_sort(x, n);
  double rank = (double)(float)q * (double)(n - 1); /* q alone is rounded: torch keeps the rank in f64 */
  size_t below = (size_t)math_floor(rank), above = below + 1 < n ? below + 1 : below;
  float part = (float)(rank - (double)below), low = (float)x[below], high = (float)x[above];
  return (double)(part < 0.5f ? low + part * (high - low) : high - (high - low) * (1.0f - part));
}
