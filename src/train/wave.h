/* train/wave: rollouts that are made and judged together: the step's attempts, further ones that methods asked for, and
 * their probes. For the files of this folder.
 *
 *     collect.c   which rollouts a step has: problems, waves, the recipe's budget
 *     wave.c      a wave is generated
 *     verdicts.c  and judged meanwhile
 *     answer.c    what methods ask for
 */
#ifndef ASSAY_TRAIN_WAVE_H
#define ASSAY_TRAIN_WAVE_H

#include "train/run.h"

struct wave {
  struct step *step;
  const int32_t *rollouts; /* [count] indices in the step; those of one context stand together */
  int32_t count;
  const struct request *request; /* of probes: sampling, length, purpose; NULL: attempts, as the recipe says */
  const char *method;            /* of probes: who asked */
  /* set by wave_start_verdicts */
  const struct verifier_config **verifiers; /* [count] */
  struct verdict *verdicts;                 /* [count] */
};

/* Makes the rollouts (leaf, finish, text) and their verdicts, channels and history. */
int wave_run(struct run *r, struct wave *w, struct error *err) MUST_USE;

int wave_start_verdicts(struct run *r, struct wave *w, struct error *err) MUST_USE;
/* The wave's rollout number `at` is complete: its text goes to its verifier. */
int wave_finish_rollout(struct run *r, struct wave *w, int32_t at, struct error *err) MUST_USE;
int wave_take_verdicts(struct run *r, struct wave *w, struct error *err) MUST_USE;

/* The next problem of the data, with the fields that methods need; in the step's arena. */
int collect_draw(struct run *r, struct step *s, const struct problem **out, struct error *err) MUST_USE;

/* Adds to a metric that may not be there yet. */
static inline void metrics_add(struct metrics *m, const char *name, double x)
{
  double before = metrics_get(m, name);
  metrics_set(m, name, before <= 0 || before > 0 ? before + x : x);
}
static inline void metrics_add_int(struct metrics *m, const char *name, int64_t x)
{
  double before = metrics_get(m, name);
  metrics_set_int(m, name, before > 0 ? (int64_t)before + x : x);
}

#endif
