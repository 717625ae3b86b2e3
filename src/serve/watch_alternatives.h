/* serve/watch_alternatives: what else could have stood in a token's place. Rollouts do not record it, so it is computed
 * when it is asked for: one forward over the answer with the run's own checkpoint, on one thread. The checkpoint is the
 * last one at or before the weights that sampled (those after step - 1), else the first there is; only where it is the
 * very one are these the probabilities that were drawn from, and the answer says which it is. */
#ifndef ASSAY_SERVE_WATCH_ALTERNATIVES_H
#define ASSAY_SERVE_WATCH_ALTERNATIVES_H

#include "serve/watch_run.h"

enum { ALTERNATIVES = 6, ALTERNATIVES_TOKENS = 4096, ALTERNATIVES_MIB = 1024 };

/* Keeps the last checkpoint loaded. */
struct alternatives;
int alternatives_create(struct arena *a, struct alternatives **out, struct error *err) MUST_USE;

/* Appends {"from": "checkpoint 000140, ...", "exact": false, "tokens": [[[PIECE, id, logp], ...], ...]}, likeliest
   first, at the recipe's rollout.temperature. ERROR_INPUT: no checkpoint, more than ALTERNATIVES_TOKENS, weights of
   more than ALTERNATIVES_MIB, no such rollout. */
int alternatives_put(struct alternatives *x, struct watch_run *r, int64_t step, uint64_t key, int64_t attempt,
                     int64_t rollout, struct text *out, struct error *err) MUST_USE;

#endif
