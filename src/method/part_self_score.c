#include "method/part_self_score.h"

#include <string.h>

#include "core/math.h"
#include "method/part_group.h"

double self_score(const struct self_score *o, double logp, double reference)
{
  return o->beta * (logp - (o->c < 0 ? o->c : reference));
}

struct self_phase self_phase(int64_t step, int64_t loss_after, int64_t mix_after)
{
  return (struct self_phase){.loss = step > loss_after, .mix = step > loss_after + mix_after};
}

struct self_classes self_classes(const bool *valid, const bool *right, int32_t n, bool balanced)
{
  struct self_classes c = {0};
  for (int32_t i = 0; i < n; i++) {
    c.right += valid[i] && right[i];
    c.wrong += valid[i] && !right[i];
  }
  double all = c.right + c.wrong;
  c.weight_right = !balanced ? 1 : c.right > 0 ? all / (2 * c.right) : 0;
  c.weight_wrong = !balanced ? 1 : c.wrong > 0 ? all / (2 * c.wrong) : 0;
  return c;
}

struct self_square self_square(const struct self_classes *classes, double score, bool right)
{
  double weight = right ? classes->weight_right : classes->weight_wrong, off = score - right;
  return (struct self_square){weight * off * off, 2 * weight * off};
}

struct self_group self_advantage(const double *s, int32_t n, double tau_f, double *credit)
{
  struct self_group g = {.mean = 0, .sd = 1};
  double first = 0, centre = 0;
  if (n > 1) {
    struct group_statistics of = group_statistics(s, n, true);
    first = of.first;
    centre = of.centre;
    g.sd = of.std;
    g.mean = first + centre;
  }
  g.used = g.sd > tau_f;
  for (int32_t i = 0; g.used && i < n; i++) credit[i] = (s[i] - first - centre) / g.sd;
  return g;
}

struct self_verified self_verify(const bool *right, const double *score, int32_t n, double bar)
{
  double count[2] = {0}, hit[2] = {0};
  for (int32_t i = 0; i < n; i++) {
    count[right[i]]++;
    hit[right[i]] += (score[i] > bar) == right[i];
  }
  struct self_verified v = {.right = count[1] > 0 ? hit[1] / count[1] : 0,
                            .wrong = count[0] > 0 ? hit[0] / count[0] : 0};
  v.f1 = v.right + v.wrong > 0 ? 2 * v.right * v.wrong / (v.right + v.wrong) : 0;
  return v;
}

int32_t self_vote(const char *const *answer, const double *score, int32_t n, enum self_vote how, int32_t *first,
                  double *sum, int32_t *winner)
{
  int32_t count = 0;
  for (int32_t i = 0; i < n; i++) {
    if (!answer[i]) continue;
    int32_t k = 0;
    while (k < count && strcmp(answer[first[k]], answer[i])) k++;
    if (k == count) {
      first[count] = i;
      sum[count++] = 0;
    }
    sum[k] += how == SELF_VOTE_RAW ? score[i] : how == SELF_VOTE_CLIP ? math_clamp(score[i], 0, 1) : 1;
  }
  *winner = -1;
  for (int32_t k = 0; k < count; k++)
    if (*winner < 0 || sum[k] > sum[*winner]) *winner = k;
  return count;
}
