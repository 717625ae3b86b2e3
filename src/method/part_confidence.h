/* method/part_confidence: how sure the sampling policy was of a text (ProGRPO, arXiv 2602.05281).
 *
 *     low  = the share f of the tokens with the smallest log p, at least one; equal ones: the earlier
 *     c    = exp(max(-30, mean of log p over low)); without tokens 1
 *     term = alpha (c(q) - c(o_i))  in a group with some R > correct_above; else 0
 */
#ifndef ASSAY_METHOD_PART_CONFIDENCE_H
#define ASSAY_METHOD_PART_CONFIDENCE_H

#include "method/part_rank.h"

/* How many of n tokens: 0 for n = 0. */
int32_t confidence_count(double share, int32_t n, enum rank_round rule);
/* logp: [n]. scratch: [n]; afterwards the first confidence_count of its indices, rising, are the tokens that were
 * taken.
 */
double confidence_of(const double *logp, int32_t n, double share, enum rank_round rule, struct ranked *scratch);

struct confidence_rule {
  double alpha, correct_above;
  bool include_all_correct; /* false: a group that is right throughout gets no term */
  bool correct_only;        /* wrong responses get none */
  bool centre;              /* the group's mean of the terms is taken off all of them */
};
/* One group: reward, prompt and answer confidence, term: [n]. */
void confidence_terms(const double *reward, const double *prompt, const double *answer, int32_t n,
                      const struct confidence_rule *rule, double *term);

#endif
