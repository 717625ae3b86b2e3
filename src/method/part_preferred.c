#include "method/part_preferred.h"

static double reward_of(const struct minibatch *m, int32_t sequence)
{
  return m->step->reward[m->sequences[sequence].rollout];
}

/* Members of one group, best first; of equal rewards the first stays first. */
static void sort_members(const struct minibatch *m, int32_t *members, int32_t n)
{
  for (int32_t i = 1; i < n; i++) {
    int32_t held = members[i], at = i;
    double reward = reward_of(m, held);
    for (; at > 0 && reward_of(m, members[at - 1]) < reward; at--) members[at] = members[at - 1];
    members[at] = held;
  }
}

static void pair_group(const struct minibatch *m, int64_t most, int32_t *members, int32_t n, struct preferred *out)
{
  sort_members(m, members, n);
  for (int32_t k = 0; k < n / 2 && k < most; k++) {
    int32_t best = members[k], worst = members[n - 1 - k];
    if (!(reward_of(m, best) > reward_of(m, worst))) return;
    out->better[out->count] = best;
    out->worse[out->count++] = worst;
  }
}

int preferred_pairs(struct arena *a, const struct minibatch *m, int64_t most, struct preferred *out, struct error *err)
{
  size_t n = (size_t)m->sequence_count;
  int32_t *members = ARENA_NEW(a, int32_t, n, "pairs", err);
  *out = (struct preferred){.better = ARENA_NEW(a, int32_t, n, "pairs", err),
                            .worse = ARENA_NEW(a, int32_t, n, "pairs", err)};
  if (!members || !out->better || !out->worse) return err->code;
  for (int32_t first = 0, s = 0; first < m->sequence_count; first = s) {
    int32_t group = m->step->rollouts[m->sequences[first].rollout].group, count = 0;
    for (; s < m->sequence_count && m->step->rollouts[m->sequences[s].rollout].group == group; s++)
      members[count++] = s;
    pair_group(m, most, members, count, out);
  }
  return 0;
}
