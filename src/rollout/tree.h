/* rollout/tree: the unit of work, a token tree: segments, each with a parent, a run of token ids and per-token records.
 *
 * A GRPO group is a root (the prompt) with G leaves. Text never comes back into it: what the model sampled is what it
 * is trained on (law 5). The tree holds no KV; rollout/kv.h gives segments storage while something still reads them.
 *
 *     struct tree *t = ...; int root = tree_add_segment(t, -1, SEGMENT_PROMPT, ...); tree_append(t, root, ids, n, ...);
 * int leaf = tree_add_segment(t, root, SEGMENT_OWN, ...);
 */
#ifndef ASSAY_ROLLOUT_TREE_H
#define ASSAY_ROLLOUT_TREE_H

#include <stdint.h>
#include "core/arena.h"

enum segment_kind { SEGMENT_PROMPT, SEGMENT_OWN, SEGMENT_OBSERVATION, SEGMENT_USER, SEGMENT_FORCED };

enum token_flag {
  TOKEN_OWN = 1,    /* sampled by the policy */
  TOKEN_FORCED = 2, /* put there by a method, not drawn */
  TOKEN_TOOL = 4,   /* observation */
  TOKEN_MASKED = 8, /* carries no loss */
  TOKEN_SCORED = 16 /* its log-probability is wanted in training batches although the policy did not sample it */
};

/* One token's record. logp, logp_behaviour and entropy describe the distribution from which this token came (given what
 * stands before it). NaN where unknown. */
struct token_record {
  int32_t id;
  uint32_t flags;
  float logp;           /* full vocabulary at train.temperature */
  float logp_behaviour; /* after temperature, filters and forcing */
  float entropy;        /* of logp's distribution, nats */
};

struct segment {
  int32_t parent; /* index of the parent segment, -1: a root */
  int32_t depth;  /* segments above */
  int32_t start;  /* absolute position of its first token */
  int32_t count;  /* tokens */
  int32_t room;
  enum segment_kind kind;
  int32_t turn;
  int64_t weight_version;      /* of the weights that wrote the records; -1: none did */
  struct token_record *tokens; /* [count] */
};

struct tree {
  struct arena *arena;      /* of the step */
  struct segment *segments; /* parents before children */
  int32_t count, room;
};

int tree_create(struct arena *a, struct tree **out, struct error *err) MUST_USE;
/* A new empty segment; *index gets its number. parent -1: a root at position 0. */
int tree_add_segment(struct tree *t, int32_t parent, enum segment_kind kind, int32_t expected_tokens, int32_t *index,
                     struct error *err) MUST_USE;
/* Appends records; only a segment without children may grow. */
int tree_append(struct tree *t, int32_t segment, const struct token_record *records, int32_t count,
                struct error *err) MUST_USE;
int tree_append_ids(struct tree *t, int32_t segment, const int32_t *ids, int32_t count, uint32_t flags,
                    struct error *err) MUST_USE;
/* Tokens from the root to the end of `segment`. */
int32_t tree_path_length(const struct tree *t, int32_t segment);
/* Writes the ids of the path, [tree_path_length]. */
void tree_path_ids(const struct tree *t, int32_t segment, int32_t *ids);
/* The record at an absolute position of the path that ends in `segment`. */
struct token_record *tree_at(const struct tree *t, int32_t segment, int32_t position);

#endif
