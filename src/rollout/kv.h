/* rollout/kv: who holds which storage block of the KV pool.
 *
 * A path's positions lie in blocks of `block` positions; its table names them. Paths share the full blocks of a common
 * prefix by reference count; a fork in the middle of a block gets a block of its own and a copy of its parent's part
 * (struct rows_copy, made layer by layer inside the next pass). Host bookkeeping only: the numbers live in compute's
 * struct kv. Tables are sized when a path is opened, so that the token loop never allocates.
 */
#ifndef ASSAY_ROLLOUT_KV_H
#define ASSAY_ROLLOUT_KV_H

#include "compute/backend.h"
#include "core/arena.h"

struct kv_space {
  struct kv *kv;
  int block;  /* positions per block */
  int blocks; /* in all */
  int free_count;
  int peak;            /* most blocks in use at once so far */
  int32_t *free;       /* [blocks] stack; the lowest number is handed out first */
  int32_t *references; /* [blocks] */
};

struct kv_path {
  int32_t *table;      /* [room] */
  int32_t count, room; /* blocks held, room for */
  int32_t positions;   /* positions that have storage */
};

/* The pool on the device is created here and destroyed with the arena. */
int kv_space_create(struct arena *a, struct device *d, const struct kv_shape *shape, struct kv_space **out,
                    struct error *err) MUST_USE;
/* An empty path with room for max_positions. */
int kv_path_open(struct arena *a, const struct kv_space *s, int32_t max_positions, struct kv_path *out,
                 struct error *err) MUST_USE;
/* Blocks that `positions` need. */
int32_t kv_blocks_for(const struct kv_space *s, int32_t positions);
/* Storage for positions 0 .. positions-1. ERROR_RESOURCE where the pool is empty (callers reserve before: a bug there).
 */
int kv_path_extend(struct kv_space *s, struct kv_path *p, int32_t positions, struct error *err) MUST_USE;
/* child (empty, opened) becomes parent's first `at` positions. Returns true in *copied, with *copy filled, where a
 * partial block must be copied. */
int kv_path_fork(struct kv_space *s, const struct kv_path *parent, int32_t at, struct kv_path *child,
                 struct rows_copy *copy, bool *copied, struct error *err) MUST_USE;
/* Gives back the blocks that only positions behind the first `positions` have. */
void kv_path_shorten(struct kv_space *s, struct kv_path *p, int32_t positions);
/* Gives the blocks back; the path is empty then and may be used again. */
void kv_path_release(struct kv_space *s, struct kv_path *p);

#endif
