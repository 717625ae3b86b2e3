/* train/replay: a finished step's rollouts are made again, by the code that made them, and compared with its record.
 *
 * Rollouts of step S come from the weights that S - 1 steps left behind: those of the newest checkpoint with at most so
 * many steps, trained forward in memory where it has fewer; without one, of the model that the run started from. Data
 * position, random numbers, history and methods' state come with them, so the same problems meet the same numbers.
 * Nothing is written, and a run that is still going is not disturbed.
 */
#ifndef ASSAY_TRAIN_REPLAY_H
#define ASSAY_TRAIN_REPLAY_H

#include <stdint.h>
#include "core/arena.h"

struct replay_options {
  const char *run;              /* folder */
  const char *const *overrides; /* key=value, for keys that --resume may have changed since */
  size_t override_count;
  int64_t step;        /* as records count: 1 is the first */
  const char *problem; /* NULL: all of the step */
  int64_t rollout;     /* -1: all of the problem */
  int threads;         /* 0: the recipe's */
  int64_t memory;      /* 0: the recipe's */
  bool (*stop)(void);
};

/* One recorded rollout beside the one made now. Values are JSON. */
struct replayed {
  const char *problem, *text; /* text: what the model writes now */
  int64_t group, attempt, rollout, tokens;
  const char *probe; /* purpose of a method's probe; "": an attempt */
  const char *field; /* the first that differs; NULL: identical */
  int64_t token;     /* the response's token that it belongs to, from 0; -1: none */
  const char *recorded, *now;
};

struct replay_result {
  int64_t start;  /* steps finished where the replay set out; 0: the start model */
  double seconds; /* expected, by metrics.jsonl; NaN: unknown */
  struct replayed *rollouts;
  size_t count, differing;
};

/* Everything lives in the arena. ERROR_INPUT: no such run, step, problem or rollout (says which there are);
   ERROR_RESOURCE: nothing is left from which the step can be reached (says which steps can). The estimate goes to the
   log before the work begins. A difference is a result, not an error. */
int replay_run(struct arena *a, const struct replay_options *o, struct replay_result *out, struct error *err) MUST_USE;

#endif
