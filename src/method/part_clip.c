#include "method/part_clip.h"

#include "core/math.h"

double clip_ratio(double logp, double old)
{
  return math_exp(math_clamp(logp - old, -CLIP_LOG_RATIO, CLIP_LOG_RATIO));
}

struct clip_value clip_given(double ratio, bool moves, double advantage, const struct clip_bounds *b)
{
  struct clip_value v = {.ratio = ratio};
  bool capped = b->cap > 0 && ratio > b->cap;
  double bound = math_clamp(ratio, 1.0 - b->low, 1.0 + b->high);
  double plain = -advantage * (capped ? b->cap : ratio), limited = -advantage * bound;
  bool inside = bound >= ratio && bound <= ratio;
  v.loss = plain >= limited ? plain : limited;
  v.clipped = plain > limited ? capped : limited > plain ? !inside : capped && !inside;
  if (advantage < 0 && v.loss > -advantage * b->dual) {
    v.loss = -advantage * b->dual;
    v.clipped = true;
  }
  v.coef = v.clipped || !moves ? 0 : -advantage * ratio;
  return v;
}

struct clip_value clip_surrogate(double logp, double old, double advantage, const struct clip_bounds *b)
{
  /* Beyond the clamp of the log-ratio r is a constant. */
  bool moves = logp - old >= -CLIP_LOG_RATIO && logp - old <= CLIP_LOG_RATIO;
  return clip_given(clip_ratio(logp, old), moves, advantage, b);
}
