#include "method/part_broad.h"

#include "core/math.h"
#include "method/part_group.h"

static const double MARGIN = 1e-6, LEAST = 1e-8;

bool broad_keeps(enum broad_filter filter, const double *reward, int32_t n)
{
  int32_t positive = 0;
  double low = n ? reward[0] : 0, high = low, sum = 0;
  for (int32_t i = 0; i < n; i++) {
    positive += reward[i] > 0;
    low = reward[i] < low ? reward[i] : low;
    high = reward[i] > high ? reward[i] : high;
    sum += reward[i];
  }
  switch (filter) {
    case BROAD_COUNT:
      return positive > 0 && positive < n;
    case BROAD_MEAN_RANGE:
      return n && sum / n > MARGIN && sum / n < 1 - MARGIN;
    case BROAD_SPREAD:
      return high > low;
    case BROAD_NONE:
      break;
  }
  return n > 0;
}

void broad_centre(const double *reward, int32_t n, double *centred)
{
  struct group_statistics g = group_statistics(reward, n, false);
  for (int32_t i = 0; i < n; i++) centred[i] = reward[i] - g.first - g.centre;
}

struct broad_batch broad_measure(const double *x, const double *weight, int32_t n, bool unbiased,
                                 enum broad_guard guard)
{
  double sum = 0, all = 0, squares = 0;
  for (int32_t i = 0; i < n; i++) {
    sum += weight[i] * x[i];
    all += weight[i];
  }
  if (!(all > 0)) return (struct broad_batch){0, 1};
  double mean = sum / all, by = unbiased ? all - 1 : all;
  for (int32_t i = 0; i < n; i++) squares += weight[i] * (x[i] - mean) * (x[i] - mean);
  double var = squares / (unbiased && by < 1 ? 1 : by);
  if (guard == BROAD_ADD) return (struct broad_batch){mean, math_sqrt(var) + LEAST};
  if (guard == BROAD_INSIDE) return (struct broad_batch){mean, math_sqrt(var + LEAST)};
  return (struct broad_batch){mean, math_sqrt(var > LEAST ? var : LEAST)};
}

int64_t broad_missing(int64_t wanted, int64_t kept, int64_t drawn, double cap)
{
  int64_t missing = wanted - kept, left = (int64_t)math_floor(cap * (double)wanted) - drawn;
  if (left < missing) missing = left;
  return missing > 0 ? missing : 0;
}

double broad_survival(double p, double n)
{
  return 1 - math_pow(p, n) - math_pow(1 - p, n);
}

double broad_rate(double rollouts, double base)
{
  return math_sqrt(rollouts / base);
}
