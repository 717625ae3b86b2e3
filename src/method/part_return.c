#include "method/part_return.h"

#include "core/math.h"

static bool own(const double *mask, int64_t t)
{
  return !mask || mask[t] != 0;
}

void return_rewards(const struct step *s, int32_t rollout, double *rho)
{
  const struct rollout *r = &s->rollouts[rollout];
  for (int32_t t = 0; t < r->path_count; t++) rho[t] = s->dense ? s->dense[r->path + t] : 0;
  if (r->path_count) rho[r->path_count - 1] += s->reward[rollout];
}

double return_whole(const struct step *s, int32_t rollout)
{
  const struct rollout *r = &s->rollouts[rollout];
  double sum = 0;
  for (int32_t t = 0; s->dense && t < r->path_count; t++) sum += s->dense[r->path + t];
  return sum + s->reward[rollout];
}

void return_discounted(const double *reward, const double *mask, int32_t n, double gamma, enum return_hole hole,
                       double *out)
{
  double after = 0;
  for (int32_t t = n - 1; t >= 0; t--) {
    bool counts = own(mask, t);
    double here = gamma * after + (counts || hole == RETURN_RESTART ? reward[t] : 0);
    out[t] = counts || hole == RETURN_RESTART ? here : 0;
    if (counts || hole == RETURN_WALK) after = here;
    if (!counts && hole == RETURN_RESTART) after = 0;
  }
}

void return_gae(const double *reward, const double *value, const double *mask, int32_t n, double gamma, double lambda,
                enum return_hole hole, double *advantage, double *returns)
{
  double next = 0, after = 0;
  for (int32_t t = n - 1; t >= 0; t--) {
    bool counts = own(mask, t);
    if (counts || hole == RETURN_WALK) {
      double v = counts ? value[t] : 0, rho = counts ? reward[t] : 0;
      after = rho + gamma * next - v + gamma * lambda * after;
      next = v;
    }
    advantage[t] = after;
    returns[t] = after + (counts || hole != RETURN_WALK ? value[t] : 0);
  }
}

struct whitening whitening_measure(const double *x, const double *mask, int64_t n, enum whitening_kind kind)
{
  struct whitening w = {.factor = 1};
  int64_t count = 0;
  double sum = 0, squares = 0;
  if (kind == WHITEN_NONE) return w;
  for (int64_t i = 0; i < n; i++) {
    if (!own(mask, i)) continue;
    if (count++ == 0) w.first = x[i];
    sum += x[i] - w.first;
  }
  if (!count) return w;
  w.centre = sum / (double)count;
  for (int64_t i = 0; i < n; i++) {
    double d = own(mask, i) ? x[i] - w.first - w.centre : 0;
    squares += d * d;
  }
  int64_t by = kind == WHITEN_OPENRLHF ? count : count - 1;
  double variance = by > 0 ? squares / (double)by : 0;
  if (kind == WHITEN_VERL) w.factor = 1 / math_sqrt(variance + 1e-8);
  if (kind == WHITEN_OPENRLHF) w.factor = 1 / math_sqrt(variance > 1e-8 ? variance : 1e-8);
  if (kind == WHITEN_TRL) w.factor = 1 / (math_sqrt(variance) + 1e-4);
  return w;
}

double whitened(const struct whitening *w, double x)
{
  return (x - w->first - w->centre) * w->factor;
}

void whiten(double *x, int64_t n, enum whitening_kind kind)
{
  struct whitening w = whitening_measure(x, NULL, n, kind);
  for (int64_t i = 0; i < n; i++) x[i] = whitened(&w, x[i]);
}

struct value_loss value_loss(double value, double old, double returns, double clip)
{
  double near = math_clamp(value, old - clip, old + clip);
  double plain = value - returns, limited = near - returns;
  struct value_loss l = {.loss = 0.5 * plain * plain, .coef = plain};
  if (limited * limited > plain * plain)
    l = (struct value_loss){.loss = 0.5 * limited * limited, .coef = near == value ? limited : 0, .clipped = true};
  return l;
}

void resample_weights(const double *reward, int32_t n, enum resample_kind kind, double power, double *weight)
{
  double low = n ? reward[0] : 0, high = low;
  for (int32_t i = 0; i < n; i++) {
    low = reward[i] < low ? reward[i] : low;
    high = reward[i] > high ? reward[i] : high;
  }
  for (int32_t i = 0; i < n; i++) {
    bool top = reward[i] == high;
    if (kind == RESAMPLE_POW) weight[i] = math_pow(math_abs(reward[i]), power);
    if (kind == RESAMPLE_MAX_MIN) weight[i] = top || reward[i] == low ? 1 : 0;
    if (kind == RESAMPLE_MAX_RANDOM) weight[i] = top ? 0.4 : 0.1;
    weight[i] += 1e-8;
  }
}
