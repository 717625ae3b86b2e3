#include "method/part_confidence.h"

#include <stdlib.h>

#include "core/math.h"

static const double LOWEST = -30;

int32_t confidence_count(double share, int32_t n, enum rank_round rule)
{
  int32_t k = rank_count(share, n, rule);
  return k > 0 ? k : n > 0;
}

static int by_index(const void *a, const void *b)
{
  const struct ranked *x = a, *y = b;
  return (x->index > y->index) - (x->index < y->index);
}

double confidence_of(const double *logp, int32_t n, double share, enum rank_round rule, struct ranked *scratch)
{
  int32_t k = confidence_count(share, n, rule);
  if (!k) return 1;
  rank_values(logp, n, false, scratch);
  qsort(scratch, (size_t)k, sizeof *scratch, by_index);
  double sum = 0;
  for (int32_t i = 0; i < k; i++) sum += scratch[i].value;
  double mean = sum / k;
  return math_exp(mean > LOWEST ? mean : LOWEST);
}

void confidence_terms(const double *reward, const double *prompt, const double *answer, int32_t n,
                      const struct confidence_rule *rule, double *term)
{
  int32_t right = 0;
  double sum = 0;
  for (int32_t i = 0; i < n; i++) {
    right += reward[i] > rule->correct_above;
    term[i] = 0;
  }
  if (!right || (right == n && !rule->include_all_correct)) return;
  for (int32_t i = 0; i < n; i++) {
    if (reward[i] > rule->correct_above || !rule->correct_only) term[i] = rule->alpha * (prompt[i] - answer[i]);
    sum += term[i];
  }
  for (int32_t i = 0; rule->centre && i < n; i++) term[i] -= sum / n;
}
