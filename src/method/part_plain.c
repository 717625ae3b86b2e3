#include "method/part_plain.h"

#include "method/part_return.h"

void plain_objective(const struct minibatch *m, const double *scale, struct loss *out)
{
  for (int32_t i = 0; i < m->count; i++) {
    out->coef[i] = -scale[i] * m->weight[i] * m->advantage[i];
    out->loss[i] = out->coef[i] * m->logp[i];
  }
}

int plain_by_group(struct arena *scratch, const struct step *s, plain_rule *rule, const void *arg, double *per_token,
                   struct error *err)
{
  double *reward = ARENA_NEW(scratch, double, 2 * (size_t)s->kept, "advantages", err), *credit = reward + s->kept;
  if (!reward) return err->code;
  for (int32_t g = 0; g < s->group_count; g++) {
    const int32_t *members = s->order + s->groups[g].first;
    int32_t n = s->groups[g].count;
    for (int32_t i = 0; i < n; i++) reward[i] = return_whole(s, members[i]);
    if (n) rule(arg, s, members, reward, n, credit);
    for (int32_t i = 0; i < n; i++) step_spread(s, members[i], credit[i], per_token);
  }
  return 0;
}
