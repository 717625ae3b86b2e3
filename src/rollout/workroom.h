/* rollout/workroom: memory that generation and training take turns in.
 *
 * Activations live for one pass and KV for one run over a step's rollouts or one batch, so a generator and a trainer of
 * the same model may lie in the same memory: nothing is read there that was not written in the same turn. Whoever is
 * made without one makes one of its own.
 */
#ifndef ASSAY_ROLLOUT_WORKROOM_H
#define ASSAY_ROLLOUT_WORKROOM_H

#include "model/decoder.h"
#include "rollout/kv.h"

struct workroom_size {
  size_t reals; /* of activations: decoder_reals */
  int kv_block; /* positions a block */
  int kv_blocks;
};

struct workroom {
  struct workroom_size size;
  struct buffer *activations;
  struct kv_space *kv;
};

/* What holds either. Both have blocks of the same size. */
struct workroom_size workroom_most(struct workroom_size a, struct workroom_size b);
size_t workroom_bytes(const struct model_config *c, const struct workroom_size *size, enum compute_type type);
/* Destroyed with the arena. */
int workroom_create(struct arena *a, const struct model *m, const struct workroom_size *size, struct workroom **out,
                    struct error *err) MUST_USE;
/* *room as it is, checked to be large enough; where it is NULL a new one of that size. */
int workroom_take(struct arena *a, const struct model *m, const struct workroom_size *size, struct workroom **room,
                  struct error *err) MUST_USE;

#endif
