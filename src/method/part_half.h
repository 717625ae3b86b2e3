/* method/part_half: a part of each group's rollouts as groups of their own, for credit among themselves alone.
 *
 *     bool *in = ...;                                   [rollout_count]
 *     TRY(half_take(c->scratch, s, in, &half, err));
 *     TRY(c->base->method->advantage(c->base, &half, out, err));    tokens of the others are not touched
 */
#ifndef ASSAY_METHOD_PART_HALF_H
#define ASSAY_METHOD_PART_HALF_H

#include "method/step.h"

/* out: the step with only these rollouts in order, kept, and groups' first and count; all else is the step's own. */
int half_take(struct arena *a, const struct step *s, const bool *in, struct step *out, struct error *err) MUST_USE;

#endif
