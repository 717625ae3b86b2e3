/* method/part_subproblems: what a run does with a problem's field "subproblems", an array of {statement, ground_truth}
 * of which the last is the problem itself: it is made before the run, shown to the policy, and judged block by block.
 */
#ifndef ASSAY_METHOD_PART_SUBPROBLEMS_H
#define ASSAY_METHOD_PART_SUBPROBLEMS_H

#include "method/method.h"
#include "method/part_curriculum.h"

/* For the stage prepare: the field `generated` (text, or an object) of the problem becomes its subproblems, or the
 * problem is left out (curriculum_read). A problem without the field or without an answer is ERROR_INPUT. */
int subproblems_prepare(struct arena *scratch, const char *generated, int32_t k, struct preparation *out,
                        struct error *err) MUST_USE;

/* A context of the group by part_prompt.h: {subproblems} "Problem1: ...", a line each; {tags} "<p1></p1> ..."; {k}. A
 * problem without exactly k subproblems is ERROR_INPUT. */
int subproblems_context(struct method_call *c, struct step *s, int32_t group, const char *kind, const char *pattern,
                        int32_t k, int32_t *out, struct error *err) MUST_USE;

/* The channel of subproblem j (0 ..): "subproblem_1". */
const char *subproblem_channel(int32_t j);

struct subproblem_judge {
  int32_t k;
  bool boxed; /* a block's last \\boxed{...} is judged, and a block without one is wrong; else the whole block */
  const char *verifier; /* NULL: the problem's own */
};
/* Asks for a verdict on each block that can be judged; none where the tags are wrong. */
int subproblems_ask(const struct subproblem_judge *o, struct asking *a, const struct step *s, int32_t rollout,
                    struct error *err) MUST_USE;
/* From the answers: raw [k]. *next: the first answer that is this rollout's; moved on. */
void subproblems_take(const struct subproblem_judge *o, const struct asking *a, const struct step *s, int32_t rollout,
                      int32_t *next, double *raw);

#endif
