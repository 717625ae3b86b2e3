/* method/part_self_test: what self-scores (part_self_score.h) are worth when answers are chosen by them, seen on the
 * rollouts of a training step: how often they tell right from wrong, and votes within each group. */
#ifndef ASSAY_METHOD_PART_SELF_TEST_H
#define ASSAY_METHOD_PART_SELF_TEST_H

#include "method/part_self_score.h"
#include "method/step.h"

struct self_test {
  struct self_verified verified; /* of the answers that the verifier could read */
  double groups;                 /* with an answer to vote for */
  double vote, majority;         /* share of them whose winner is right: weighed by scores, and by heads; else 0 */
};
/* score: [s->kept] in canonical order, 0 without a slot. scratch: released by the caller. */
int self_test(const struct step *s, const double *score, double bar, enum self_vote how, struct arena *scratch,
              struct self_test *out, struct error *err) MUST_USE;

#endif
