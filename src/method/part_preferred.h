/* method/part_preferred: pairs of the rollouts of a mini-batch: the best of a group against its worst, the second best
 * against the second worst, while rewards differ. Of equal rewards the earlier rollout stands first. */
#ifndef ASSAY_METHOD_PART_PREFERRED_H
#define ASSAY_METHOD_PART_PREFERRED_H

#include "method/step.h"

struct preferred {
  int32_t *better, *worse; /* [count] sequences of the mini-batch */
  int32_t count;
};

/* most: pairs of a group at most. In arena a. */
int preferred_pairs(struct arena *a, const struct minibatch *m, int64_t most, struct preferred *out,
                    struct error *err) MUST_USE;

#endif
