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

void group_divided(const double *reward, int32_t n, double by, double *advantage)
{
  struct group_statistics g = group_statistics(reward, n, true);
  for (int32_t i = 0; i < n; i++) {
    double x = n == 1 ? reward[i] : reward[i] - g.first - g.centre;
    advantage[i] = x == 0 ? 0 : x / by;
  }
}

void group_length_weighted(const double *reward, const double *length, int32_t n, double *advantage)
{
  double sum = 0, tokens = 0;
  for (int32_t i = 0; i < n; i++) {
    sum += length[i] * (reward[i] - reward[0]);
    tokens += length[i];
  }
  double centre = tokens > 0 ? sum / tokens : group_statistics(reward, n, true).centre;
  for (int32_t i = 0; i < n; i++) advantage[i] = n == 1 ? reward[i] : reward[i] - reward[0] - centre;
}

void group_best(const double *reward, int32_t n, double eps, double *advantage)
{
  int32_t best = 0;
  for (int32_t i = 0; i < n; i++) {
    advantage[i] = 0;
    if (reward[i] > reward[best]) best = i;
  }
  if (n < 2) return;
  int32_t second = best == 0;
  for (int32_t i = 0; i < n; i++) {
    if (i != best && reward[i] > reward[second]) second = i;
  }
  double ahead = reward[best] - reward[second];
  advantage[best] = eps < 0 || ahead == 0 ? ahead : ahead / (group_statistics(reward, n, true).std + eps);
}

/* C(a, k) / C(b, k) for a <= b: the share of sets of k that miss b - a of b. */
static double share_of_sets(int64_t a, int64_t b, int64_t k)
{
  double share = 1;
  if (k > a) return 0;
  for (int64_t i = 0; i < k; i++) share *= (double)(a - i) / (double)(b - i);
  return share;
}

struct group_sets group_sets(int64_t n, int64_t wrong, int64_t k)
{
  struct group_sets a = {0};
  double failed = k > n ? 0 : share_of_sets(wrong, n, k), mean = 1 - failed;
  if (k > n || wrong <= 0 || wrong >= n || failed <= 0) return a;
  double s = math_sqrt(mean * failed);
  a.right = failed / s;
  a.wrong = (failed - share_of_sets(wrong - 1, n - 1, k - 1)) / s;
  return a;
}
