#include "method/part_half.h"

int half_take(struct arena *a, const struct step *s, const bool *in, struct step *out, struct error *err)
{
  *out = *s;
  out->order = ARENA_NEW(a, int32_t, (size_t)s->kept + 1, "half", err);
  out->groups = ARENA_NEW(a, struct group, (size_t)s->group_count + 1, "half", err);
  if (!out->order || !out->groups) return err->code;
  out->kept = 0;
  for (int32_t g = 0; g < s->group_count; g++) {
    out->groups[g] = s->groups[g];
    out->groups[g].first = out->kept;
    for (int32_t i = 0; i < s->groups[g].count; i++) {
      int32_t r = s->order[s->groups[g].first + i];
      if (in[r]) out->order[out->kept++] = r;
    }
    out->groups[g].count = out->kept - out->groups[g].first;
  }
  return 0;
}
