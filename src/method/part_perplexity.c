#include "method/part_perplexity.h"

#include "core/math.h"
#include "method/part_logistic.h"

struct perplexity_group perplexity_weights(const double *log_ppl, int32_t n, double iqr, struct ranked *scratch,
                                           bool *keep, double *weight)
{
  double first = log_ppl[0], sum = 0, squares = 0;
  for (int32_t i = 0; i < n; i++) weight[i] = log_ppl[i] - first;
  rank_values(weight, n, false, scratch);
  double q1 = rank_quantile(scratch, n, 0.25), q3 = rank_quantile(scratch, n, 0.75), reach = iqr * (q3 - q1);
  int32_t kept = 0;
  for (int32_t i = 0; i < n; i++) {
    keep[i] = q1 - reach <= weight[i] && weight[i] <= q3 + reach;
    kept += keep[i];
  }
  for (int32_t i = 0; i < n; i++) sum += keep[i] || !kept ? weight[i] : 0;
  double by = kept ? kept : n, mean = sum / by;
  for (int32_t i = 0; i < n; i++)
    if (keep[i] || !kept) squares += (weight[i] - mean) * (weight[i] - mean);
  double sd = math_sqrt(squares / by);
  if (!(sd > 1e-6)) sd = 1;
  for (int32_t i = 0; i < n; i++) weight[i] = (weight[i] - mean) / sd;
  return (struct perplexity_group){first + q1, first + q3, first + mean, sd};
}

double perplexity_factor(const struct perplexity_options *o, double weight)
{
  if (o->rule == PERPLEXITY_LOW) return math_clamp(1 - o->alpha * weight, o->low, o->high);
  if (o->rule == PERPLEXITY_HIGH) return math_clamp(1 + o->alpha * weight, o->low, o->high);
  return 1;
}

static double sign_of(double x)
{
  return x > 0 ? 1 : x < 0 ? -1 : 0;
}

double perplexity_shaped(const struct perplexity_options *o, double weight, double advantage)
{
  if (o->rule != PERPLEXITY_ADDITIVE) return advantage * perplexity_factor(o, weight);
  return advantage - o->alpha * math_clamp(weight, -2, 2) * sign_of(advantage);
}

double position_bonus(const struct position_options *o, double rho, double advantage)
{
  double bonus = o->gamma * logistic(o->k * (rho - 0.5)), most = o->cap * (advantage < 0 ? -advantage : advantage);
  return bonus < most ? bonus : most;
}

double position_shaped(const struct position_options *o, double rho, double advantage)
{
  return advantage + sign_of(advantage) * position_bonus(o, rho, advantage);
}

double plateau_fall(const double *entropy, int64_t steps, int64_t window)
{
  double now = 0, before = 0;
  if (window < 1 || steps < 2 * window) return __builtin_nan("");
  for (int64_t i = steps - window; i < steps; i++) now += entropy[i];
  for (int64_t i = steps - 2 * window; i < steps - window; i++) before += entropy[i];
  return (before / (double)window - now / (double)window) / (double)window;
}
