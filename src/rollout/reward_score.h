/* rollout/reward_score: a reward model's number for an answer, in process: score.weight on the final state of the last
 * token, as transformers' *ForSequenceClassification and `assay sft` with methods: [reward_model] define it.
 *
 * Each sequence is one path of the same forward as everything else, alone: its score has the same bits whatever was
 * scored before it, with any number of threads (law 1). One call at a time; who shares a scorer locks it.
 */
#ifndef ASSAY_ROLLOUT_REWARD_SCORE_H
#define ASSAY_ROLLOUT_REWARD_SCORE_H

#include "rollout/session.h"

struct reward_scorer;

struct reward_scorer_options {
  const char *model; /* a folder with num_labels 1, a run's, or one of its checkpoints */
  int threads;       /* 0: the cores this process may use */
  enum compute_type type;
  int max_tokens; /* longest sequence, at most what the model allows; 0: that */
};

int reward_scorer_open(struct arena *a, const struct reward_scorer_options *o, struct reward_scorer **out,
                       struct error *err) MUST_USE;
int reward_scorer_longest(const struct reward_scorer *s);
/* The tokens of a problem and an answer: a conversation through the model's own template, else the prompt, the text and
 * the end token. */
int reward_score_ids(const struct reward_scorer *s, const struct problem *p, const char *answer, size_t n,
                     struct token_list *ids, struct error *err) MUST_USE;
/* count: 1 to reward_scorer_longest */
int reward_score(struct reward_scorer *s, const int32_t *ids, size_t count, double *out, struct error *err) MUST_USE;

#endif
