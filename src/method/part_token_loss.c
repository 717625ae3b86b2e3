#include "method/part_token_loss.h"

#include "core/math.h"
#include "method/part_logistic.h"

struct clip_value token_weighted(double logp, double old, double advantage, double floor, double cap)
{
  double r = clip_ratio(logp, old), w = math_clamp(r, floor, cap);
  return (struct clip_value){
      .loss = -w * advantage * logp, .coef = -w * advantage, .ratio = r, .clipped = w < r || w > r};
}

double token_binary_kl(double logp, double old)
{
  double p = math_exp(logp), q = math_exp(old);
  return q * (old - logp) + (1.0 - q) * math_log((1.0 - q + 1e-8) / (1.0 - p + 1e-8));
}

/* Comparisons with NaN leave a token inside, so that its loss shows the NaN. */
static bool trusted(double logp, double old, double advantage, const struct trust_bounds *b)
{
  double p = math_exp(logp), q = math_exp(old);
  if (b->by == TRUST_TV) return advantage > 0 ? !(p - q > b->high) : !(q - p > b->low);
  double kl = token_binary_kl(logp, old);
  return advantage > 0 ? !(kl > b->high) || p <= q : !(kl > b->low) || p >= q;
}

struct clip_value token_bounded(double logp, double old, double advantage, const struct trust_bounds *b)
{
  double r = clip_ratio(logp, old), w = r < b->cap ? r : b->cap;
  struct clip_value v = {.ratio = r, .clipped = !trusted(logp, old, advantage, b)};
  if (v.clipped) return v;
  v.loss = -w * advantage * logp;
  v.coef = -w * advantage;
  return v;
}

struct clip_value token_soft(double ratio, bool moves, double advantage, const struct soft_temperatures *tau)
{
  double t = advantage > 0 ? tau->positive : tau->negative;
  double gate = logistic(t * (ratio - 1.0)), rest = logistic(-t * (ratio - 1.0));
  return (struct clip_value){
      .loss = -advantage * gate * 4.0 / t, .coef = moves ? -advantage * 4.0 * gate * rest * ratio : 0, .ratio = ratio};
}

struct clip_value token_drawn(double logp, double old, double advantage, double beta)
{
  double d = logp - old;
  return (struct clip_value){
      .loss = -(logp * advantage - 0.5 * beta * d * d), .coef = -advantage + beta * d, .ratio = clip_ratio(logp, old)};
}
