/* compute/rows: what every forward and backward takes: a list of rows, each a token at a position on a path.
 *
 * There is one layout. A decode step is as many runs of one row as there are live rollouts, a prefill a few runs of
 * many rows, a training micro-batch the post-order list of tree nodes. An operation never sees "batch" and "sequence".
 *
 *   run      consecutive tokens of one segment: rows row .. row+count-1 stand at positions position ..
 *            position+count-1 of one path.
 *   table    a path's K and V live in storage blocks of `kv block` positions; entry b of the table is the block that
 *            holds positions b*block .. (b+1)*block-1 of that path. Paths share the blocks of a common prefix.
 *   copy     a segment that begins inside a block has a block of its own and a copy of its parent's part of it. The
 *            copies are made layer by layer by kv_write, after the rows of that layer have been written and in list
 *            order, so parent and child may stand in the same rows.
 *   span     training only: where dK and dV of a path's positions are accumulated: `count` positions from `position`
 *            on are slots slot .. of the gradient arrays. The spans of a run cover positions 0 .. last without a gap,
 *            ascending.
 *
 * Plain host arrays, owned by the caller, unchanged and alive until the pass that uses them is over (while the device
 * is told to hold arrays: device_hold).
 */
#ifndef ASSAY_COMPUTE_ROWS_H
#define ASSAY_COMPUTE_ROWS_H

#include <stdint.h>

struct rows_run {
  int32_t row, count;       /* rows row .. row + count - 1, count >= 1 */
  int32_t position;         /* absolute position of the first */
  int32_t table;            /* index into blocks[] of the path's first block */
  int32_t span, span_count; /* index into spans[]; count 0 where no gradient is wanted */
};

struct rows_copy {
  int32_t from, to; /* storage blocks */
  int32_t count;    /* the first `count` positions of the block */
};

struct rows_span {
  int32_t position, count, slot;
};

struct rows {
  int32_t count;           /* M */
  const int32_t *token;    /* [M] token ids; or ~i: the token of row i of the draw started last, i < drawn */
  int32_t drawn;           /* rows of that draw; 0: the host knows all tokens */
  const int32_t *position; /* [M] absolute positions: those of the runs, row by row */
  int32_t run_count;
  const struct rows_run *runs; /* in row order, covering 0 .. M-1 */
  const int32_t *blocks;       /* the tables, one behind the other */
  int32_t copy_count;
  const struct rows_copy *copies;
  const struct rows_span *spans;
};

/* What the LM head computes. A row of the final hidden states may be followed by several tokens (the last token of a
   prompt by the first token of each rollout): one row, several pairs. Pairs are sorted by head row. */
struct head_rows {
  int32_t count; /* H distinct rows that need the head */
  /* [H] index into the pass's rows, ascending; without pairs (sampling) a row may stand several times */
  const int32_t *row;
  int32_t pair_count;         /* P */
  const int32_t *pair_row;    /* [P] index 0..H-1, ascending */
  const int32_t *pair_target; /* [P] token id whose log-probability is wanted */
};

#endif
