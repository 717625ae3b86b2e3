/* train/token_pass: a forward or backward pass over the paths of some rollouts, seen by path token.
 *
 *     struct token_pass p = {.trainer = t, .step = s, .rollouts = ..., .token = ..., .trained = true};
 *     TRY(token_pass_open(&p, arena, err));            the batch, and the target of each token
 *     TRY(token_pass_read(&p, arena, &want, err));     a scoring pass
 */
#ifndef ASSAY_TRAIN_TOKEN_PASS_H
#define ASSAY_TRAIN_TOKEN_PASS_H

#include "method/method.h"
#include "train/trainer.h"

struct token_pass {
  struct trainer *trainer;
  const struct step *step;
  const int32_t *rollouts; /* [rollout_count] in canonical order */
  int32_t rollout_count;
  const int32_t *token; /* [count] path tokens of these; NULL: 0, 1, 2, ... */
  int32_t count;
  bool trained, second, slots;   /* which paths: training rows, copies in second contexts, slots */
  const struct auxiliary *extra; /* sequences that stand beside these, or NULL */
  bool last;                     /* states at the last tokens too */
  bool prompts;                  /* log-probabilities of prompts' tokens too */
  /* made by token_pass_open: */
  struct batch *batch;
  int32_t *target;        /* [count] in the trained context; -1: not in this pass */
  int32_t *second_target; /* [count] */
  int32_t *slot_target;   /* [rollout_count] */
};

int token_pass_open(struct token_pass *p, struct arena *a, struct error *err) MUST_USE;

/* The token before that at index i of a segment, as a target number; -1: it is the first of its path. */
int32_t token_pass_before(const struct batch *b, int32_t segment, int32_t i);

/* Which path token's target leads where, the other way round: first[t] .. first[t+1]-1 are places in items. */
struct token_items {
  int32_t *first; /* [target_count + 1] */
  int32_t *items; /* [count] indices of the pass's tokens, by target and ascending */
};
int token_pass_items(const struct token_pass *p, const int32_t *target, struct arena *a, struct token_items *out,
                     struct error *err) MUST_USE;

/* What to read; NULL: not. */
struct token_want {
  double *logp, *entropy; /* [count] */
  double *second_logp, *second_entropy;
  double *slot_logp;   /* [rollout_count] NaN where there is none */
  double *target_logp; /* [target_count] of the batch, as the trainer gives it */
  int32_t layer_count; /* states of the trained paths, or of the second ones where `of_second` says so */
  const int32_t *layers;
  bool of_second;
  struct states *states;
  int32_t *before;               /* [count] */
  int32_t *last;                 /* [step's rollout_count]; only with pass->last */
  int32_t prompt_states;         /* last tokens of each context */
  struct prompt_scores *prompts; /* [step's context_count]; row, from and rows are set */
  const struct trainer_rows *rows;
};
int token_pass_read(const struct token_pass *p, struct arena *a, double temperature, const struct token_want *want,
                    struct error *err) MUST_USE;

#endif
