/* A step of supervised training: examples and pairs become rollouts that nobody sampled. The rest of the step is the
 * same. */
#include "train/given.h"
#include "train/preference.h"
#include "train/run.h"

int sft_collect(struct run *r, struct step *s, struct error *err)
{
  int32_t count = (int32_t)r->recipe->train.batch;
  struct given *items = ARENA_NEW(s->arena, struct given, (size_t)count, "examples", err);
  struct problem *problems = ARENA_NEW(s->arena, struct problem, (size_t)count, "problems", err);
  if (!items || !problems) return err->code;
  for (int32_t i = 0; i < count; i++) {
    TRY(stream_next(r->stream, s->arena, &problems[i], err));
    TRY(given_read(r, s->arena, &problems[i], &items[i], err));
  }
  return given_step(s, items, count, r->recipe->train.share_prefixes, err);
}

int sft_reference(const struct run *r, struct step *s, struct error *err)
{
  return preference_fill(r, s, false, err);
}
