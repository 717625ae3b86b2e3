/* train/given: texts that nobody sampled, as rollouts of a step: examples to imitate (`assay sft`), and pairs of which
 * one side is preferred (`assay sft` with methods: [dpo] or [reward_model]).
 *
 *     given_read   one problem -> tokens, and which of them carry loss
 *     given_step   some of these -> groups, contexts and rollouts of a step
 *
 * What is learnt of a conversation is what the template marks ({% generation %}), or else what it adds for an
 * assistant's message behind its opening; a template under which that cannot be told is an error. A message of the
 * assistant with "weight": 0 is read and not learnt. `tools` of a line reach the template.
 *
 * Sequences that begin with the same tokens without loss share them in the token tree: the two of a pair always, those
 * of a whole step with train.share_prefixes. Shared tokens are computed once; the numbers that each sequence gets from
 * its forward are those that it has alone (law 1). A sequence that shares nothing makes the same tree either way.
 */
#ifndef ASSAY_TRAIN_GIVEN_H
#define ASSAY_TRAIN_GIVEN_H

#include "data/problem.h"
#include "method/step.h"

struct run;
struct recipe;

enum given_form {
  GIVEN_EXAMPLES, /* one sequence a problem */
  GIVEN_PAIRS,    /* two: chosen and rejected; every token of the answers carries loss */
  GIVEN_SCORED    /* two: no token carries loss but one behind the last, at which the score is read */
};
enum given_form given_form(const struct recipe *r);
int given_sequences(const struct recipe *r); /* a problem's: 1 or 2 */

struct given_sequence {
  int32_t *ids;   /* [count] */
  uint8_t *learn; /* [count] 1: carries loss; the first never does */
  int32_t count;
};
struct given {
  const struct problem *problem;
  int32_t count;               /* sequences */
  struct given_sequence of[2]; /* chosen first */
};

/* In arena a. */
int given_read(const struct run *r, struct arena *a, const struct problem *p, struct given *out,
               struct error *err) MUST_USE;
int32_t given_longest(const struct given *g);

/* A group each, in order. Rewards: 1, of the rejected 0. share: across groups. */
int given_step(struct step *s, const struct given *items, int32_t count, bool share, struct error *err) MUST_USE;
/* A step of these alone, gathered, for passes that read: no stage has run. */
int given_open_step(const struct run *r, struct arena *a, const struct given *items, int32_t count, struct step **out,
                    struct error *err) MUST_USE;

#endif
