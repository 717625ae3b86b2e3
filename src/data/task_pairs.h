/* data/task_pairs: what tasks over two operands share: the operands' range, the split, the enumeration, the text, the
 * checker.
 *
 * The operands a and b run over min..max. A pair and its mirror image (3 + 5, 5 + 3) are on the same side of the split.
 * A side of at most 2^20 pairs in all is listed, and the stream goes through it without repeating; a larger one is
 * drawn at random by index.
 */
#ifndef ASSAY_DATA_TASK_PAIRS_H
#define ASSAY_DATA_TASK_PAIRS_H

#include "data/task.h"

/* What the task's file fixes. */
struct pairs_kind {
  uint32_t split_key; /* the task's own constant: decides the split, for ever */
  const char *sign;   /* "+", "*" */
  int max_digits;     /* of an operand, so that the answer fits an int64 */
  int64_t (*answer)(int64_t a, int64_t b);
};

/* The options of every such task, in this order. */
extern const struct setting pairs_options[];
enum { PAIRS_OPTION_COUNT = 8 };

int pairs_open(struct arena *a, struct task_config *c, const struct pairs_kind *kind, struct error *err) MUST_USE;
int pairs_make(struct arena *a, const struct task_config *c, uint64_t index, struct task_problem *out,
               struct error *err) MUST_USE;
int pairs_check(struct arena *a, const struct pairs_kind *kind, const json_t *meta, const char *response, size_t n,
                struct task_verdict *out, struct error *err) MUST_USE;

#endif
