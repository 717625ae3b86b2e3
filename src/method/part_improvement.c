#include "method/part_improvement.h"

#include "core/math.h"

/* Value i of the history with mu behind it. */
static double value_at(const double *history, int64_t count, double mu, int64_t i)
{
  return i < count ? history[i] : mu;
}

static double deviation(const struct improvement_rule *r, double squares, int64_t n)
{
  if (r->window == 1 || n == 1) return 1;
  double sd = math_sqrt(squares / (double)(r->released || r->population ? n : n - 1));
  return sd >= r->floor ? sd : 1;
}

struct improvement improvement_signal(const struct improvement_rule *r, const double *history, int64_t count,
                                      int64_t seen, double mu, int64_t step)
{
  struct improvement out = {.mean = __builtin_nan(""), .sd = __builtin_nan("")};
  int64_t all = count + r->released, n = all < r->window ? all : r->window;
  double sum = 0, squares = 0;
  if ((r->released ? n : seen) < r->min_steps || n < 1) return out;
  double first = value_at(history, count, mu, all - n);
  for (int64_t i = all - n; i < all; i++) sum += value_at(history, count, mu, i) - first;
  double mean = sum / (double)n;
  for (int64_t i = all - n; i < all; i++) {
    double d = value_at(history, count, mu, i) - first - mean;
    squares += d * d;
  }
  out.ready = true;
  out.mean = first + mean;
  out.sd = deviation(r, squares, n);
  out.xi = math_clamp(mu - first - mean, -r->clamp, r->clamp);
  if (r->normalise) out.xi /= out.sd;
  out.slope = out.xi < 0 ? r->lam : 1;
  bool tie = r->threshold > 0 && math_abs(out.xi) <= r->threshold;
  out.active = step % r->every == 0 && !tie && out.slope > 0;
  return out;
}

void improvement_attribution(const double *mean, int32_t n, double eps, double *out)
{
  double size = 0;
  for (int32_t i = 0; i < n; i++) size += math_abs(mean[i]);
  for (int32_t i = 0; i < n; i++) out[i] = n * mean[i] / (size + eps);
}

double improvement_coefficient(double attribution, double xi, double slope, double clamp)
{
  return slope * math_clamp(attribution * xi, -clamp, clamp);
}

struct clip_value improvement_loss(bool released, double log_ratio, double log_bound, double coefficient,
                                   const struct clip_bounds *bounds)
{
  bool moves = !(log_bound > 0) || (-log_bound <= log_ratio && log_ratio <= log_bound);
  double ratio = math_exp(log_bound > 0 ? math_clamp(log_ratio, -log_bound, log_bound) : log_ratio);
  if (!released) return clip_given(ratio, moves, coefficient, bounds);
  /* min(r, clip(r)) is r up to 1 + high */
  struct clip_value v = {.ratio = ratio, .clipped = ratio > 1 + bounds->high};
  v.loss = -(v.clipped ? 1 + bounds->high : ratio) * coefficient;
  v.coef = v.clipped || !moves ? 0 : -ratio * coefficient;
  return v;
}
