/* serve/watch_rollouts: the answers of one step, from rollouts/STEP.jsonl.zst, unpacked as a stream: a list of all of
 * them, and everything about those to one problem, token by token. */
#ifndef ASSAY_SERVE_WATCH_ROLLOUTS_H
#define ASSAY_SERVE_WATCH_ROLLOUTS_H

#include "serve/watch_run.h"

enum {
  ROLLOUTS_LISTED = 4096, /* of a step at most */
  ROLLOUTS_GROUP = 64,    /* of a group at most */
  ROLLOUT_TOKENS = 16384, /* of an answer at most; a prompt: its last so many */
  ROLLOUT_EXCERPT = 160   /* bytes of an answer in the list */
};

/* Of the step that has rollouts and is nearest to `step`: appends {"step","of","damaged","before","behind",
   "problems":{KEY:[id,text]},"lines":[[KEY,group,attempt,rollout,reward,verdict,tokens,finish,text,counts],...]};
   before, behind: its neighbours; verdict 1 right, 0 wrong, -1 failed. ERROR_INPUT: no rollouts, the file is damaged.
 */
int rollouts_put_list(struct watch_run *r, int64_t step, struct text *out, struct error *err) MUST_USE;

/* Appends {"step","problem","id","of":N,"prompt":[PIECE,...],"rollouts":[{"group","attempt","rollout","ids","pieces",
 * "logp","behaviour"?,"entropy","reward","channels","advantage","text","finish","verdict","tokens",...},...]} of the
 * problem with this key. behaviour stands only where logp_behaviour differs from logp. A PIECE is a token's text;
 * {"special": TEXT}; {"bytes": "E2 80"} where it is no whole character; {"id": N} where no text is known. */
int rollouts_put_group(struct watch_run *r, int64_t step, uint64_t key, struct text *out, struct error *err) MUST_USE;

/* All ids of one rollout, prompt included. ERROR_INPUT: there is none like that. */
int rollouts_find(struct watch_run *r, int64_t step, uint64_t key, int64_t attempt, int64_t rollout,
                  struct token_list *ids, int64_t *from, struct error *err) MUST_USE;

/* One token as a PIECE. t may be NULL. */
void rollouts_put_piece(const struct tokenizer *t, int32_t id, struct text *out);

#endif
