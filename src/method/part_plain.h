/* method/part_plain: the policy gradient itself (REINFORCE): L = -A logp, dL/dlogp = -A. No ratio, no clip: right for
 * weights that have not moved since the sampling. */
#ifndef ASSAY_METHOD_PART_PLAIN_H
#define ASSAY_METHOD_PART_PLAIN_H

#include "method/method.h"

/* scale: [m->count], part_aggregate.h. Writes loss and coef. */
void plain_objective(const struct minibatch *m, const double *scale, struct loss *out);

/* One number for each rollout of a group, n of them: rewards in, advantages out; both [n] in canonical order; reward
 * may be changed. */
typedef void plain_rule(const void *arg, const struct step *s, const int32_t *members, double *reward, int32_t n,
                        double *advantage);
/* Calls the rule on every group that has members, with the whole rewards (part_return.h), and writes its numbers on all
 * tokens. scratch: an arena for the call. */
int plain_by_group(struct arena *scratch, const struct step *s, plain_rule *rule, const void *arg, double *per_token,
                   struct error *err) MUST_USE;

#endif
