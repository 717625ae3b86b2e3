#include "method/part_forking.h"

static int32_t top_count(double rho, int32_t n)
{
  int32_t k = rank_count(rho, n, RANK_FLOOR);
  return k > 0 ? k : 1;
}

struct forking forking_mask(const double *entropy, int32_t n, double rho, enum forking_threshold how, bool bottom,
                            struct ranked *scratch, double *keep)
{
  struct forking f = {.threshold = __builtin_nan("")};
  if (!n) return f;
  for (int32_t i = 0; i < n; i++) keep[i] = bottom;
  rank_values(entropy, n, how == FORKING_TOPK, scratch);
  if (how == FORKING_TOPK) {
    int32_t k = top_count(rho, n);
    f.threshold = scratch[k - 1].value;
    for (int32_t i = 0; i < k; i++) keep[scratch[i].index] = !bottom;
  } else {
    f.threshold = rank_quantile(scratch, n, 1 - rho);
    for (int32_t i = 0; i < n; i++) keep[i] = (entropy[i] >= f.threshold) != bottom;
  }
  for (int32_t i = 0; i < n; i++) f.kept += keep[i] > 0;
  return f;
}

double forking_temperature(double entropy, double threshold, double high, double low)
{
  return entropy > threshold ? high : low;
}

double forking_overlap(const double *before, const double *after, int32_t n, double rho, struct ranked *scratch)
{
  struct ranked *other = scratch + n;
  int32_t k = top_count(rho, n), both = 0;
  rank_values(before, n, true, scratch);
  rank_values(after, n, true, other);
  for (int32_t i = 0; i < k; i++)
    for (int32_t j = 0; j < k; j++) both += scratch[i].index == other[j].index;
  return (double)both / k;
}

double forking_bin_change(const double *before, const double *after, const struct ranked *ranks, int32_t n, int32_t b,
                          int32_t bins)
{
  int32_t first = (int32_t)((int64_t)b * n / bins), end = (int32_t)((int64_t)(b + 1) * n / bins);
  double sum = 0;
  for (int32_t i = first; i < end; i++) sum += after[ranks[i].index] - before[ranks[i].index];
  return end > first ? sum / (end - first) : __builtin_nan("");
}
