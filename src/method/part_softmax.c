#include "method/part_softmax.h"

#include "core/math.h"

void softmax_log(const double *logits, int32_t n, double temperature, double *logp)
{
  double most = logits[0], sum = 0;
  for (int32_t i = 1; i < n; i++) most = logits[i] > most ? logits[i] : most;
  for (int32_t i = 0; i < n; i++) sum += math_exp((logits[i] - most) / temperature);
  double log_sum = math_log(sum);
  for (int32_t i = 0; i < n; i++) logp[i] = (logits[i] - most) / temperature - log_sum;
}

double softmax_entropy(const double *logp, int32_t n)
{
  double h = 0;
  for (int32_t i = 0; i < n; i++) {
    double p = math_exp(logp[i]);
    if (p > 0) h -= p * logp[i];
  }
  return h > 0 ? h : 0;
}
