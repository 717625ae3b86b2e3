#include "method/part_signed_clip.h"

#include "core/math.h"

double signed_weight(double ratio, double advantage, const struct signed_bounds *b)
{
  if (advantage > 0) return math_clamp(ratio, 1 - b->positive_low, 1 + b->positive_high);
  if (advantage < 0) return math_clamp(ratio, 1 - b->negative_low, 1 + b->negative_high);
  return ratio;
}

struct clip_value signed_clip(double logp, double old, double advantage, const struct signed_bounds *b)
{
  struct clip_value v = {.ratio = clip_ratio(logp, old)};
  double w = signed_weight(v.ratio, advantage, b);
  v.clipped = w < v.ratio || w > v.ratio;
  v.coef = -w * advantage;
  v.loss = v.coef * logp;
  return v;
}

void signed_count(double ratio, double advantage, const struct signed_bounds *b, struct signed_regimes *out)
{
  if (advantage > 0) {
    out->positive_above += ratio > 1;
    out->positive_below += ratio < 1;
    out->positive_capped += ratio > 1 + b->positive_high;
    out->positive_lifted += ratio < 1 - b->positive_low;
  } else if (advantage < 0) {
    out->negative_above += ratio > 1;
    out->negative_below += ratio < 1;
    out->negative_capped += ratio > 1 + b->negative_high;
    out->negative_lifted += ratio < 1 - b->negative_low;
  }
}
