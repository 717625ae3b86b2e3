#include "method/part_tempered.h"

#include <stddef.h>

#include "core/math.h"
#include "method/part_divergence.h"
#include "method/part_kl.h"

#define TEMPERED_LOG_RATIO 20.0
#define TEMPERED_VALUE     10.0

double tempered_phi(const struct tempered_exponent *o, double reward)
{
  double width = o->r_hi - o->r_lo;
  double part = width > 0 ? math_clamp((reward - o->r_lo) / width, 0, 1) : reward >= o->r_hi;
  return o->lo + (o->hi - o->lo) * part;
}

void tempered_reference(const double *reference, int32_t v, double phi, bool normalise, double *out)
{
  for (int32_t i = 0; i < v; i++) out[i] = phi > 0 ? phi * reference[i] : 0;
  if (normalise) divergence_log_softmax(out, v, out);
}

/* dD/dz of what depends on the sampled token's log-probability alone. */
static void by_target(double coef, const double *policy, int32_t v, int32_t target, double *gradient)
{
  for (int32_t i = 0; i < v; i++) gradient[i] = -coef * math_exp(policy[i]);
  gradient[target] += coef;
}

double tempered_row(const struct tempered_options *o, double phi, const double *policy, const double *reference,
                    int32_t v, int32_t target, double *gradient, double *ratio, double *work)
{
  if (o->form == TEMPERED_K3) {
    struct kl_value k = kl_estimate(KL_K3, policy[target], reference[target], KL_CLAMP_VERL);
    by_target(k.coef, policy, v, target, gradient);
    if (ratio) *ratio = math_exp(reference[target] - policy[target]);
    return k.value;
  }
  bool full = o->form == TEMPERED_FULL;
  tempered_reference(reference, v, phi, full || o->normalise, work);
  double raw = work[target] - policy[target];
  double log_u = math_clamp(raw, -TEMPERED_LOG_RATIO, TEMPERED_LOG_RATIO), u = math_exp(log_u);
  if (ratio) *ratio = u;
  if (full) {
    const struct divergence_options forward = {.alpha = 0};
    return divergence_row(policy, work, v, &forward, gradient, NULL);
  }
  double f = u * log_u - u + 1, value = math_clamp(f, 0, TEMPERED_VALUE);
  bool moves = log_u >= raw && log_u <= raw && f <= TEMPERED_VALUE;
  by_target(o->form == TEMPERED_SCORE ? -u : moves ? -u * log_u : 0, policy, v, target, gradient);
  return value;
}
