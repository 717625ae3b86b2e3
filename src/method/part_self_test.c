#include "method/part_self_test.h"

static const struct verdict *verdict_at(const struct step *s, int32_t i)
{
  return &s->rollouts[s->order[i]].verdict;
}

static int verify(const struct step *s, const double *score, double bar, struct arena *scratch,
                  struct self_verified *out, struct error *err)
{
  double *read = ARENA_NEW(scratch, double, (size_t)s->kept + 1, "self test", err);
  bool *right = ARENA_NEW(scratch, bool, (size_t)s->kept + 1, "self test", err);
  int32_t n = 0;
  if (!read || !right) return err->code;
  for (int32_t i = 0; i < s->kept; i++) {
    if (!verdict_at(s, i)->readable) continue;
    read[n] = score[i];
    right[n++] = verdict_at(s, i)->correct;
  }
  *out = self_verify(right, read, n, bar);
  return 0;
}

int self_test(const struct step *s, const double *score, double bar, enum self_vote how, struct arena *scratch,
              struct self_test *out, struct error *err)
{
  size_t room = (size_t)s->kept + 1;
  const char **answer = ARENA_NEW(scratch, const char *, room, "self test", err);
  int32_t *first = ARENA_NEW(scratch, int32_t, room, "self test", err);
  double *sum = ARENA_NEW(scratch, double, room, "self test", err), won[2] = {0};
  *out = (struct self_test){0};
  if (!answer || !first || !sum) return err->code;
  TRY(verify(s, score, bar, scratch, &out->verified, err));
  for (int32_t g = 0; g < s->group_count; g++) {
    int32_t from = s->groups[g].first, n = s->groups[g].count, winner;
    const enum self_vote by[2] = {how, SELF_VOTE_COUNT};
    for (int32_t i = 0; i < n; i++) answer[i] = verdict_at(s, from + i)->extracted;
    for (int k = 0; k < 2; k++) {
      if (!self_vote(answer, score + from, n, by[k], first, sum, &winner)) break;
      won[k] += verdict_at(s, from + first[winner])->correct;
      out->groups += k;
    }
  }
  out->vote = out->groups > 0 ? won[0] / out->groups : 0;
  out->majority = out->groups > 0 ? won[1] / out->groups : 0;
  return 0;
}
