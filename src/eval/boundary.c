#include "eval/boundary.h"
#include "core/math.h"
#include "eval/estimators.h"

static const double AHEAD = 1e-12;

double boundary_mean_pass(const int64_t *right, size_t problems, int64_t n, int64_t k)
{
  double sum = 0;
  for (size_t i = 0; i < problems; i++) sum += eval_pass_at_k(n, right[i], k);
  return sum / (double)problems;
}

bool boundary_base_ahead(const int64_t *base, const int64_t *trained, size_t problems, int64_t n, int64_t k)
{
  return boundary_mean_pass(base, problems, n, k) - boundary_mean_pass(trained, problems, n, k) > AHEAD;
}

int64_t boundary_crossing(const int64_t *base, const int64_t *trained, size_t problems, int64_t n)
{
  int64_t k = n;
  while (k >= 1 && boundary_base_ahead(base, trained, problems, n, k)) k--;
  return k < n ? k + 1 : 0;
}

struct boundary_coverage boundary_cover(const int64_t *base, const int64_t *trained, size_t problems)
{
  struct boundary_coverage c = {0};
  for (size_t i = 0; i < problems; i++) {
    c.base += base[i] > 0;
    c.trained += trained[i] > 0;
    c.both += base[i] > 0 && trained[i] > 0;
    c.neither += base[i] <= 0 && trained[i] <= 0;
  }
  c.subset_ratio = (double)c.both / (double)c.trained;
  return c;
}

int boundary_bin(int64_t right, int64_t n)
{
  return right == 0 ? 0 : right == n ? BOUNDARY_BINS - 1 : (int)((10 * right + n - 1) / n);
}

bool boundary_keeps(int64_t right, int64_t n, int64_t top, int64_t bottom)
{
  return right == 0 || right * bottom >= top * n;
}

double boundary_perplexity(const double *logp, const double *mask, size_t n)
{
  double sum = 0, count = 0;
  for (size_t i = 0; i < n; i++) {
    if (mask && mask[i] == 0) continue;
    sum += logp[i];
    count++;
  }
  return math_exp(-(sum / count));
}

struct boundary_portion boundary_lower_portion(const double *a, size_t n, double *b, size_t m)
{
  struct boundary_portion p = {0};
  double below = 0, wins = 0;
  eval_sort(b, m);
  p.median = eval_quantile(b, m, 0.5);
  for (size_t i = 0; i < n; i++) {
    below += a[i] < p.median;
    p.above += a[i] > b[m - 1];
    for (size_t k = 0; k < m; k++) wins += a[i] < b[k] ? 1 : a[i] == b[k] ? 0.5 : 0;
  }
  p.below = below / (double)n;
  p.lower = wins / ((double)n * (double)m);
  return p;
}

double boundary_entropy(const double *z, size_t rows, size_t v, double temperature, double *per_row)
{
  double total = 0;
  for (size_t r = 0; r < rows; r++) {
    const double *x = z + r * v;
    double most = x[0] / temperature, sum = 0, weighted = 0;
    for (size_t i = 1; i < v; i++) most = x[i] / temperature > most ? x[i] / temperature : most;
    for (size_t i = 0; i < v; i++) {
      double d = x[i] / temperature - most, e = math_exp(d);
      sum += e;
      weighted += e * d;
    }
    double entropy = math_log(sum) - weighted / sum;
    if (per_row) per_row[r] = entropy;
    total += entropy;
  }
  return total / (double)rows;
}

struct boundary_match boundary_match_entropy(const double *z, size_t rows, size_t v, const struct boundary_search *s)
{
  double low = s->low, high = s->high;
  double least = boundary_entropy(z, rows, v, low, NULL), most = boundary_entropy(z, rows, v, high, NULL);
  struct boundary_match m = {least > s->target ? low : high, least > s->target ? least : most, false};
  double rounding = 1e-12 * (1 + math_abs(s->target)); /* a target that was computed as an end's entropy is inside */
  bool inside = least <= s->target + rounding && most >= s->target - rounding;
  for (int64_t steps = 0; inside;) {
    m.temperature = (low + high) / 2;
    m.entropy = boundary_entropy(z, rows, v, m.temperature, NULL);
    if (s->step) s->step(s->arg, m.temperature, m.entropy, low, high);
    if (math_abs(m.entropy - s->target) <= s->tolerance || ++steps >= s->max_steps) break;
    *(m.entropy < s->target ? &low : &high) = m.temperature;
  }
  m.reached = math_abs(m.entropy - s->target) <= s->tolerance;
  return m;
}
