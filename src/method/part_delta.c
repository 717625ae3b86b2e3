#include "method/part_delta.h"

#include <string.h>

#include "core/math.h"

static bool on_side(double advantage, enum delta_side side)
{
  return side == DELTA_POSITIVE ? advantage > 0 : advantage < 0;
}

void delta_proxy(const struct delta *d, int64_t i, double *v)
{
  double keep = 1 - math_exp(d->logp[i]);
  vector_row(d->hidden, i, v);
  for (int32_t k = 0; k < d->hidden->width; k++) v[k] *= keep;
}

/* first: with weights |A|; else |A| alpha. Both sides in one pass over the tokens. */
static void set_centroids(struct delta *d, bool first)
{
  int32_t width = d->hidden->width;
  double sum[DELTA_SIDES] = {0};
  for (int s = 0; s < DELTA_SIDES; s++) memset(d->mu[s], 0, (size_t)width * sizeof(double));
  for (int64_t i = 0; i < d->count; i++) {
    enum delta_side s = d->advantage[i] > 0 ? DELTA_POSITIVE : DELTA_NEGATIVE;
    double w = math_abs(d->advantage[i]) * (first ? 1 : d->alpha[i]);
    if (!(w > 0)) continue;
    sum[s] += w;
    delta_proxy(d, i, d->v);
    for (int32_t k = 0; k < width; k++) d->mu[s][k] += w * d->v[k];
  }
  for (int s = 0; s < DELTA_SIDES; s++) {
    double by = sum[s] > d->eps ? sum[s] : d->eps;
    for (int32_t k = 0; k < width; k++) d->mu[s][k] /= by;
  }
}

static void set_margins(struct delta *d)
{
  const double *plus = d->mu[DELTA_POSITIVE], *minus = d->mu[DELTA_NEGATIVE];
  for (int64_t i = 0; i < d->count; i++) {
    double m = 0;
    if (d->advantage[i] > 0 || d->advantage[i] < 0) {
      delta_proxy(d, i, d->v);
      for (int32_t k = 0; k < d->hidden->width; k++) m += (plus[k] - minus[k]) * (2 * d->v[k] - plus[k] - minus[k]);
    }
    d->margin[i] = d->advantage[i] < 0 ? -m : m;
  }
}

static void set_temperatures(struct delta *d)
{
  for (int s = 0; s < DELTA_SIDES; s++) {
    double n = 0, sum = 0, squares = 0;
    for (int64_t i = 0; i < d->count; i++) {
      if (!on_side(d->advantage[i], (enum delta_side)s)) continue;
      n++;
      sum += d->margin[i];
      squares += d->margin[i] * d->margin[i];
    }
    double mean = n > 0 ? sum / n : 0, variance = n > 0 ? squares / n - mean * mean : 0;
    d->gamma[s] = math_sqrt(variance > d->eps ? variance : d->eps);
  }
}

static void set_scores(struct delta *d)
{
  for (int64_t i = 0; i < d->count; i++) {
    double a = d->advantage[i], gamma = d->gamma[a > 0 ? DELTA_POSITIVE : DELTA_NEGATIVE];
    d->alpha[i] = a > 0 || a < 0 ? 1 / (1 + math_exp(-d->margin[i] / gamma)) : 0;
  }
}

int delta_begin(struct delta *d, struct arena *a, struct error *err)
{
  size_t width = (size_t)d->hidden->width, n = (size_t)d->count;
  d->margin = ARENA_NEW(a, double, n + 1, "delta", err);
  d->alpha = ARENA_NEW(a, double, n + 1, "delta", err);
  d->v = ARENA_NEW(a, double, 3 * width + 1, "delta", err);
  if (!d->margin || !d->alpha || !d->v) return err->code;
  d->mu[DELTA_POSITIVE] = d->v + width;
  d->mu[DELTA_NEGATIVE] = d->v + 2 * width;
  set_centroids(d, true);
  set_margins(d);
  set_temperatures(d);
  set_scores(d);
  return 0;
}

void delta_refine(struct delta *d)
{
  set_centroids(d, false);
  set_temperatures(d); /* of the margins that were used just now */
  set_margins(d);
  set_scores(d);
}

double delta_lambda(const struct delta *d, double low, double high, double *lambda)
{
  double sum = 0;
  for (int64_t i = 0; i < d->count; i++) {
    bool none = !(d->advantage[i] > 0 || d->advantage[i] < 0);
    lambda[i] = none ? low : low + (high - low) * d->alpha[i];
    sum += lambda[i];
  }
  return (double)d->count / (sum > 1e-8 ? sum : 1e-8);
}
