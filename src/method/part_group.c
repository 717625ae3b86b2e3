#include "method/part_group.h"

#include "core/math.h"

struct group_statistics group_statistics(const double *reward, int32_t n, bool unbiased)
{
  struct group_statistics g = {0};
  if (n == 0) return g;
  g.first = reward[0];
  double sum = 0;
  for (int32_t i = 0; i < n; i++) sum += reward[i] - g.first;
  g.centre = sum / n;
  double squares = 0;
  for (int32_t i = 0; i < n; i++) {
    double x = reward[i] - g.first - g.centre;
    squares += x * x;
  }
  int32_t by = unbiased ? n - 1 : n;
  g.std = by > 0 ? math_sqrt(squares / by) : 0;
  return g;
}

void group_normalised(const double *reward, int32_t n, bool unbiased, double eps, double *advantage)
{
  if (n == 1) {
    advantage[0] = eps < 0 ? reward[0] : reward[0] / (1.0 + eps);
    return;
  }
  struct group_statistics g = group_statistics(reward, n, unbiased);
  for (int32_t i = 0; i < n; i++) {
    double x = reward[i] - g.first - g.centre;
    advantage[i] = eps < 0 || x == 0 ? x : x / (g.std + eps);
  }
}

void group_leave_one_out(const double *reward, int32_t n, double *advantage)
{
  if (n == 1) {
    advantage[0] = reward[0];
    return;
  }
  for (int32_t i = 0; i < n; i++) {
    /* The baseline is made of the others alone, relative to the first of them. */
    double base = reward[i == 0], others = 0;
    for (int32_t j = 0; j < n; j++) {
      if (j != i) others += reward[j] - base;
    }
    advantage[i] = reward[i] - base - others / (n - 1);
  }
}
