/* train/score: what methods need beside a step's tokens, computed before `shape`: one scoring pass for each policy and
 * kind of context that somebody asked for (method/scores.h).
 *
 * The policy's pass in the trained contexts checks law 1 on the way: the update does not look at those rollouts again.
 */
#ifndef ASSAY_TRAIN_SCORE_H
#define ASSAY_TRAIN_SCORE_H

#include "train/policies.h"

/* After step_gather. Fills step->scores, reference, value, slot_logp, second; p->law says what law 1 saw. r NULL: a
 * batch of earlier rollouts: no second contexts, and law 1 is not concerned. */
int score_step(struct composed *methods, struct step *s, struct policies *p, const struct second_renderer *r,
               struct error *err) MUST_USE;

/* The layers that somebody needs the states of, resolved, ascending, LAYER_LAST behind them. [NEEDS_NAMED + 1]. A layer
 * that the model lacks is ERROR_INPUT. */
int score_layers(const struct needs *n, int32_t blocks, bool with_last, int32_t *layers, int32_t *count,
                 struct error *err) MUST_USE;
/* Whether a term on whole rows looks at a policy in this kind of context. */
bool score_has_source(const struct needs *n, const char *policy, bool second);
/* Whether a policy scores anything at all. */
bool score_wants(const struct needs *n, const char *policy);
/* Scoring passes in a step that needs bring. */
int score_passes(const struct needs *n);
/* NEED_* for which a policy scores the trained contexts, or the second ones; 0: nobody asks. */
uint32_t score_askers(const struct needs *n, const char *policy, bool second);
/* Policies that may score: names in *out. [3 + NEEDS_NAMED] */
int score_policies(const struct needs *n, const char **out);
/* A line "extra forwards a step: ..." with who is scored where, and one each for extra answers and extra updates, if
 * there are. updates: epochs * mini-batches of the main update. */
void score_describe(const struct needs *n, int64_t updates, struct text *out);

#endif
