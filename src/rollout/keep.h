/* rollout/keep: the KV of rollouts that have ended, for prompts that begin with the same tokens: the next turn of a
 * conversation, or a system prompt that many share. Which rows were computed and which were found moves no bit (law 1).
 * What is kept is a cache: it gives way whenever its blocks are wanted.
 */
#ifndef ASSAY_ROLLOUT_KEEP_H
#define ASSAY_ROLLOUT_KEEP_H

#include "rollout/kv.h"

struct kept {
  int32_t count;  /* tokens whose K and V are there; 0: free */
  int32_t *ids;   /* [max_path] */
  uint64_t moved; /* larger: used later */
  struct kv_path path;
};

struct keep {
  struct kv_space *kv;
  int room; /* paths; 0: nothing is ever kept */
  struct kept *kept;
  uint64_t moves;
};

int keep_open(struct arena *a, struct kv_space *kv, int room, int max_path, struct keep *out,
              struct error *err) MUST_USE;
/* Moves the path, whose `count` positions hold these ids, in the place of one that it goes on from, a free one, or the
 * one unused for longest; *path is empty then. What is shorter than a block is released. */
void keep_take(struct keep *k, struct kv_path *path, const int32_t *ids, int32_t count);
/* The path that begins with most whole blocks of ids, the last id left out, for somebody has to read it; *shared: in
 * positions. NULL: none. */
const struct kv_path *keep_find(struct keep *k, const int32_t *ids, int32_t count, int32_t *shared);
bool keep_forget_oldest(struct keep *k); /* false: nothing was left */
int keep_blocks(const struct keep *k);   /* held; those shared with others count too */

#endif
