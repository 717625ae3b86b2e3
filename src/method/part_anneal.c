#include "method/part_anneal.h"

#include "core/math.h"
#include "method/part_clip.h"

static double smaller(double a, double b)
{
  return a < b ? a : b;
}

static double larger(double a, double b)
{
  return a > b ? a : b;
}

double anneal_length(const struct anneal *o, int64_t step)
{
  return smaller(o->d0 + o->growth * (double)step, o->most);
}

/* What is left of the first step's heat. */
static double left(const struct anneal *o, int64_t step)
{
  return math_exp(-(double)step / o->steps);
}

double anneal_temperature(const struct anneal *o, int64_t position, int64_t step)
{
  double t = (double)position, d = anneal_length(o, step);
  if (t < o->first) return 1;
  switch (o->mode) {
    case ANNEAL_NEGEXP:
      return larger(1 + o->hot - math_exp(smaller(t / d, 50)), o->cold);
    case ANNEAL_EXP:
      return o->cold + (o->hot - o->cold) * math_exp(-t / d);
    case ANNEAL_STEP:
      return o->cold + (o->hot - o->cold) * left(o, step);
    case ANNEAL_BOTH:
      return o->cold + (o->hot * left(o, step) - o->cold) * math_exp(-t / d);
    case ANNEAL_STEPS_VARIANT:
      return smaller(o->hot + (o->cold - o->hot) * left(o, step), 1);
    case ANNEAL_STEPS_VARIANT_REV:
      return larger(o->cold + (o->hot - o->cold) * left(o, step), 0.1);
    case ANNEAL_NONE:
      break;
  }
  return o->hot;
}

double anneal_crossing(const struct anneal *o, int64_t step)
{
  return anneal_length(o, step) * math_log(o->hot);
}

double anneal_floor(const struct anneal *o, int64_t step)
{
  return anneal_length(o, step) * math_log(1 + o->hot - o->cold);
}

void anneal_distribution(const double *logits, int32_t n, double temperature, double *logp)
{
  double most = logits[0], sum = 0;
  for (int32_t v = 1; v < n; v++) most = larger(most, logits[v]);
  for (int32_t v = 0; v < n; v++) {
    logp[v] = (logits[v] - most) / temperature;
    sum += math_exp(logp[v]);
  }
  double whole = math_log(sum);
  for (int32_t v = 0; v < n; v++) logp[v] -= whole;
}

double anneal_weight(double logp, double behaviour, double cap)
{
  return smaller(math_exp(math_clamp(logp - behaviour, -CLIP_LOG_RATIO, CLIP_LOG_RATIO)), cap);
}
