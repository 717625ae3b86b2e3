/* train/batch: from token trees to the rows of a training batch, in the one order that nothing moves (DESIGN.md, law
 * 3).
 *
 * Paths (rollouts) are given in canonical order: group ordinal, attempt, rollout. What they share is computed once:
 *
 *   - node: a piece of a segment of at most BATCH_UNIT_ROWS rows; its parent is the piece before it. A row is a token
 *     that has a successor.
 *   - order: post-order. A node's rows follow those of all its descendants, children in order of their first path.
 *   - unit: consecutive nodes, at most BATCH_UNIT_ROWS rows: a constant that memory does not move.
 *   - row block: in bf16 weight gradients are chains over blocks of 32 rows (those of the LM head over blocks of 32 of
 *     its rows), so a unit starts on a row block: rows that are no token fill the one before it (padding). In f32 a
 *     block is one row and there is no padding.
 *   - micro-batch: consecutive units, as many as the memory knob allows: one forward and one backward pass. Ancestors
 *     that stand in a later micro-batch are forwarded beforehand, without activations, so that their K and V are there
 *     (counted as recomputed rows when their turn comes).
 *
 * A target is a token whose log-probability is wanted: it belongs to the row before it. Targets are numbered over the
 * whole batch.
 */
#ifndef ASSAY_TRAIN_BATCH_H
#define ASSAY_TRAIN_BATCH_H

#include "rollout/tree.h"

enum { BATCH_UNIT_ROWS = 512, BATCH_ROW_BLOCK_BF16 = 32 };

struct batch_path {
  int32_t leaf; /* segment in which the path ends */
  bool last;    /* its last token is a row too, though nothing follows it */
};

struct batch_node {
  int32_t segment;
  int32_t offset;   /* first token of the segment that belongs to the node */
  int32_t count;    /* rows, >= 1 */
  int32_t position; /* absolute position of the first */
  int32_t parent;   /* node, -1: a root */
  int32_t depth;    /* nodes above */
  int32_t unit;
  int32_t first_child_micro; /* micro-batch of its first descendant, or its own: when its K and V must be there */
  int32_t micro;             /* micro-batch of its own backward */
};

struct batch_micro {
  int32_t node, node_count;   /* in post-order */
  int32_t rows;               /* padding included */
  int32_t ahead, ahead_count; /* index into ahead[]: ancestors to forward first, parents before children */
};

struct batch {
  const struct tree *tree;
  int32_t node_count;
  struct batch_node *nodes;            /* post-order */
  int32_t *last_node;                  /* [segments] node of the segment's last piece, -1: no rows */
  int32_t *first_child, *next_sibling; /* [segments] of used segments, in order of their first path; -1: none */
  int32_t unit_count;
  int32_t *padding; /* [unit_count] rows that are no token, behind the unit's own */
  int32_t micro_count;
  struct batch_micro *micros;
  int32_t *ahead;       /* node numbers */
  int32_t rows;         /* distinct rows: sum over nodes */
  int32_t rows_padding; /* sum over units */
  int32_t rows_ahead;   /* rows forwarded twice because their turn comes later */
  int32_t target_count;
  int32_t *target_base; /* [segments] target number of the segment's first token; token i is target_base + i. -1:
                           segment unused */
  uint8_t *wanted;      /* [targets] its log-probability is wanted */
  int32_t *embed_slot;  /* [vocab], -1: token not in the batch */
  int32_t *embed_ids;   /* [embed_count] distinct tokens in order of their first row */
  int32_t embed_count;
  /* what the schedule needs at its worst */
  int32_t peak_rows;                       /* rows of nodes whose K, V, dK, dV are alive at once */
  int32_t peak_blocks;                     /* KV blocks of `kv_block` positions */
  int32_t max_micro_rows, max_micro_pairs; /* rows with padding */
};

struct batch_options {
  int32_t vocab;      /* size of embed_slot */
  int32_t micro_rows; /* memory knob: at least one unit is taken */
  int32_t row_block;  /* rows of a row block: divides BATCH_UNIT_ROWS; 1: no padding */
  int32_t kv_block;   /* for peak_blocks */
  bool want_all;      /* every token behind the first is wanted, prompts' too */
};

/* paths: leaves in canonical order; a leaf may be empty. Every token of the paths with flag TOKEN_OWN and without
   TOKEN_MASKED, or with TOKEN_SCORED, is wanted. The batch lives in the arena; it copies nothing of the tree. */
int batch_build(struct arena *a, const struct tree *t, const struct batch_path *paths, int32_t path_count,
                const struct batch_options *o, struct batch **out, struct error *err) MUST_USE;

/* Target number of the token at index i of a segment that is in the batch. */
static inline int32_t batch_target(const struct batch *b, int32_t segment, int32_t i)
{
  return b->target_base[segment] + i;
}

#endif
