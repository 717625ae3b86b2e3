#include "method/part_prerl.h"

#include "core/math.h"

enum prerl_phase prerl_phase_of(const struct prerl_schedule *s, int64_t step)
{
  if (s->disable_step && step >= s->disable_step) return PRERL_RL;
  if (s->pretrain_only || (s->disable_step && s->warmup_only)) return PRERL_WARMUP;
  return s->disable_step ? PRERL_JOINT : PRERL_RL;
}

bool prerl_selected(double advantage, bool negative, bool positive)
{
  return (negative && positive) || (negative && advantage < 0) || (positive && advantage > 0);
}

double prerl_loss(const struct minibatch *m, const struct prerl_rule *r, const struct prerl_tokens *t,
                  const struct prerl_result *out)
{
  double sum = 0;
  for (int32_t i = 0; i < m->count; i++) {
    bool inside = !r->max_length || t->place[i] < r->max_length;
    out->counted[i] = inside && !math_is_nan(t->lq[i]) && prerl_selected(t->advantage[i], r->negative, r->positive);
  }
  aggregate_scale(m, r->aggregation, r->constant, out->counted, out->scale);
  for (int32_t i = 0; i < m->count; i++) {
    out->loss[i] = out->coef[i] = 0;
    if (!(out->counted[i] > 0)) continue;
    struct clip_value v = clip_surrogate(t->lq[i], t->old[i], t->advantage[i], &r->bounds);
    out->loss[i] = out->scale[i] * v.loss;
    out->coef[i] = out->scale[i] * v.coef;
    sum += out->loss[i];
  }
  return sum;
}
