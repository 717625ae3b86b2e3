#include "method/part_canon.h"

#include "core/math.h"
#include "method/part_group.h"

void canon_split(const double *metric, int32_t n, struct ranked *scratch, bool *high)
{
  rank_values(metric, n, false, scratch);
  for (int32_t i = 0; i < n; i++) high[scratch[i].index] = i >= n / 2;
}

/* R_1 + mean of R - R_1, so that equal rewards leave exactly nothing. */
static double mean_of(const double *reward, const bool *high, int32_t n, bool side)
{
  double sum = 0;
  int32_t count = 0;
  for (int32_t i = 0; i < n; i++) {
    if (high[i] != side) continue;
    sum += reward[i] - reward[0];
    count++;
  }
  return count ? reward[0] + sum / count : 0;
}

static double inter_of(double reward, bool high, const struct canon_means *m, const struct canon_mix *x)
{
  if (x->length) return high ? x->alpha * reward - m->low + x->beta : reward - x->alpha * m->high - x->beta;
  return high ? reward - x->alpha * m->low + x->beta : x->alpha * reward - m->high - x->beta;
}

struct canon_means canon_advantage(const double *reward, const bool *high, int32_t n, const struct canon_mix *mix,
                                   double *inter, double *intra, double *advantage)
{
  struct canon_means m = {0};
  if (n > 1) m = (struct canon_means){.low = mean_of(reward, high, n, false), .high = mean_of(reward, high, n, true)};
  for (int32_t i = 0; i < n; i++) {
    inter[i] = inter_of(reward[i], high[i], &m, mix);
    intra[i] = reward[i] - (high[i] ? m.high : m.low);
    advantage[i] = mix->mu * inter[i] + (1 - mix->mu) * intra[i];
  }
  bool plain = mix->mu == 0.5 && mix->alpha == 1 && mix->beta == 0 && n % 2 == 0;
  if (plain) group_normalised(reward, n, true, -1, advantage);
  return m;
}

static double cosine(int64_t step, double hi, double lo, const struct canon_shape *s)
{
  if (step < s->warmup) return hi * (double)(step + 1) / (double)s->warmup;
  int64_t cycle = (s->total - s->warmup) / s->cycles;
  double turn = (double)((step - s->warmup) % cycle) / (double)cycle;
  return lo + 0.5 * (hi - lo) * (1 + math_cos(3.14159265358979323846 * turn));
}

double canon_kappa(enum canon_schedule schedule, int64_t step, double accuracy, const struct canon_shape *shape)
{
  switch (schedule) {
    case CANON_ACCURACY_INTRA_FIRST:
      return 1 - accuracy;
    case CANON_ACCURACY_INTER_FIRST:
      return accuracy;
    case CANON_COSINE_INTRA_FIRST:
      return cosine(step, 0.6, 0, shape);
    case CANON_COSINE_INTER_FIRST:
      return 1 - cosine(step, 1, 0.4, shape);
    case CANON_FIXED:
      break;
  }
  return 0;
}
