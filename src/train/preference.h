/* train/preference: log-probabilities of given sequences under the reference, computed once before the first step and
 * kept: 4 bytes a token with loss, and no second model beside the policy while it trains.
 *
 * They are kept where the reference never moves and nothing but these numbers is asked of it (DPO); otherwise a
 * reference scores in every step as it does for rollouts. Either way the bits are the same (law 1). RUN/reference.bin
 * holds them for a resume: "ASSAYREF", SHA-256 of what was scored and by what, a count u64, f32 little-endian.
 */
#ifndef ASSAY_TRAIN_PREFERENCE_H
#define ASSAY_TRAIN_PREFERENCE_H

#include "method/step.h"
#include "train/recipe.h"

struct run;
struct kept_reference;

bool preference_keeps(const struct recipe *r, const struct needs *n);
/* After data and evaluation are open, before memory is planned: who is to be scored, and room for it. Without such
 * needs r->kept stays NULL. */
int preference_open(struct run *r, struct error *err) MUST_USE;
/* Before the policy's weights are loaded: reads what a run to resume has kept, or loads the reference, scores and lets
 * it go. */
int preference_score(struct run *r, bool resume, struct error *err) MUST_USE;
/* After run_open made the folder. */
int preference_save(const struct run *r, struct error *err) MUST_USE;
/* step->reference of a gathered step of given sequences; evaluation: of eval.data's. */
int preference_fill(const struct run *r, struct step *s, bool evaluation, struct error *err) MUST_USE;

#endif
