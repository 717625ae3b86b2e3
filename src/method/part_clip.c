#include "method/part_clip.h"

#include "core/math.h"

double clip_ratio(double logp, double old)
{
  return math_exp(math_clamp(logp - old, -CLIP_LOG_RATIO, CLIP_LOG_RATIO));
}

struct clip_value clip_surrogate(double logp, double old, double advantage, const struct clip_bounds *b)
{
  double r = clip_ratio(logp, old);
  struct clip_value v = {.ratio = r};
  double bound = math_clamp(r, 1.0 - b->low, 1.0 + b->high);
  double plain = -advantage * r, limited = -advantage * bound;
  v.loss = plain >= limited ? plain : limited;
  v.clipped = limited > plain;
  if (advantage < 0 && v.loss > -advantage * b->dual) {
    v.loss = -advantage * b->dual;
    v.clipped = true;
  }
  /* Beyond the clamp of the log-ratio r is a constant. */
  bool moves = logp - old >= -CLIP_LOG_RATIO && logp - old <= CLIP_LOG_RATIO;
  v.coef = v.clipped || !moves ? 0 : plain;
  return v;
}
