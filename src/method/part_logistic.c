#include "method/part_logistic.h"

#include "core/math.h"

double logistic(double x)
{
  if (x >= 0) return 1.0 / (1.0 + math_exp(-x));
  double grown = math_exp(x);
  return grown / (1.0 + grown);
}

double logistic_log(double x)
{
  return x >= 0 ? -math_log1p(math_exp(-x)) : x - math_log1p(math_exp(x));
}
