/* method/method_replay: scored rollouts of earlier steps, for methods that declare NEED_REPLAY. Each such method has
 * one (call->replay); it is saved in checkpoints.
 *
 * An entry is a whole rollout: prompt, tokens with the sampler's records, verdict, shaped reward, and advantage, weight
 * and counted of each path token as they were when it was pushed (in the stage `updates`, where all are known). Entries
 * stand in the order of pushing.
 *
 *     replay_push(c->replay, s, rollout, err);                    what is to come back
 *     replay_take(c->replay, out, which, &batch, err);            entries as the batch of an update
 *     replay_remove(c->replay, which);                            taken entries go where the method says so
 *
 * The records are another policy's by then: law 1 counts them as mismatch/skipped/stale, and the update's ratio is
 * against them (OLD_RECORD).
 */
#ifndef ASSAY_METHOD_METHOD_REPLAY_H
#define ASSAY_METHOD_METHOD_REPLAY_H

#include "method/step.h"

struct update_list;
struct replay_buffer;

struct replay_entry {
  int64_t step;        /* in which it was made */
  const char *problem; /* id */
  int32_t group;       /* ordinal in that step: entries of equal step and group were compared with each other */
  int32_t attempt, ordinal;
  int32_t tokens; /* own tokens */
  int32_t prompt; /* tokens in front of them */
  double reward;  /* shaped */
  bool correct;
  enum finish finish;
};

int replay_create(struct arena *a, struct replay_buffer **out, struct error *err) MUST_USE;
/* A rollout of one training row whose path is one context and one own segment. Others are ERROR_INPUT. */
int replay_push(struct replay_buffer *b, const struct step *s, int32_t rollout, struct error *err) MUST_USE;
int32_t replay_count(const struct replay_buffer *b);
const struct replay_entry *replay_at(const struct replay_buffer *b, int32_t i); /* 0: the oldest */
int64_t replay_tokens(const struct replay_buffer *b);                           /* prompts and answers of all entries */
/* The entries marked in which [replay_count] as a step of their own, gathered, in the arena of the list's step: groups
 * in the order of first entries. They stay in the buffer. */
int replay_take(const struct replay_buffer *b, const struct update_list *l, const bool *which, struct step **out,
                struct error *err) MUST_USE;
void replay_remove(struct replay_buffer *b, const bool *which);
/* Equal buffers give equal bytes. */
void replay_save(const struct replay_buffer *b, struct text *out);
/* In place of what is there. */
int replay_load(struct replay_buffer *b, const void *bytes, size_t size, struct error *err) MUST_USE;

#endif
