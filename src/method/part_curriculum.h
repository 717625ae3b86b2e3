/* method/part_curriculum: a problem as a chain of subproblems that are answered in one response, and judged one by one
 * (SCRL, arXiv 2605.22074).
 *
 *     <p1> ... \boxed{a_1} </p1> <p2> ... \boxed{a_2} </p2> ... <pK> ... \boxed{a_K} </pK>
 *
 * A tag is `<p` or `</p`, digits, `>`. The tags of a response are right if they are <p1> </p1> ... <pK> </pK>, each
 * once and in this order; text beside the blocks is allowed.
 *
 *     raw_j   1 where block j's answer is right, else 0; all 0 where the tags are wrong
 *     k       the largest j with raw_1 = ... = raw_j = 1
 *     R_j     raw_j for j <= k, else 0: nothing is earned behind the first failure
 */
#ifndef ASSAY_METHOD_PART_CURRICULUM_H
#define ASSAY_METHOD_PART_CURRICULUM_H

#include "core/json.h"
#include "method/part_span.h"

enum { CURRICULUM_MOST = 16 }; /* subproblems */

/* Bytes begin .. end - 1 stand strictly between the tags; tag_end is the byte behind the closing one. */
struct curriculum_block {
  size_t begin, end, tag_end;
};
/* blocks: [k] results. False: the tags are wrong. */
bool curriculum_blocks(const char *text, size_t size, int32_t k, struct curriculum_block *blocks);

/* The content of the last \boxed{...} among bytes begin .. end - 1: bytes *from .. *to - 1. False where there is none,
 * or the last one's braces do not balance; an earlier one is not taken. */
bool curriculum_boxed(const char *text, size_t begin, size_t end, size_t *from, size_t *to);

/* The tokens of a block: those whose bytes all lie in it. closing_tag: those up to the end of its closing tag, too. */
struct span curriculum_tokens(const struct rollout *r, const struct curriculum_block *b, bool closing_tag);

/* Writes from[p] to to[p] for the tokens p of block j (0 ..) of every kept rollout whose tags are right; returns how
 * many. from, to: [path_count]. */
int32_t curriculum_spread(const struct step *s, int32_t k, int32_t j, bool closing_tag, const double *from, double *to);

/* k of a response with these raw rewards. */
int32_t curriculum_progress(const double *raw, int32_t k);

/* The chance that n answers of which each is right with probability p are neither all right nor all wrong:
 * 1 - p^n - (1 - p)^n. */
double curriculum_informative(int64_t n, double p);

/* What an external model wrote when it was asked for subproblems: {"question_1": {"statement", "ground_truth"}, ...},
 * exactly question_1 .. question_k in this order, texts that are not blank, and the last one's ground truth the known
 * answer (blanks at the ends aside). */
enum curriculum_verdict {
  CURRICULUM_ACCEPTED,
  CURRICULUM_NOT_JSON,
  CURRICULUM_KEYS,
  CURRICULUM_EMPTY_FIELD,
  CURRICULUM_LAST_ANSWER,
  CURRICULUM_VERDICTS
};
const char *curriculum_verdict_words(enum curriculum_verdict v);
/* *list: an array of {statement, ground_truth} where it is accepted, in arena a; may be NULL. */
enum curriculum_verdict curriculum_read(struct arena *a, const char *text, size_t size, int32_t k, const char *answer,
                                        json_t **list);

/* The problem of subproblem j (0 ..): like p, but for its answer, which is the ground truth of entry j of p's field
 * "subproblems". In arena a. */
int curriculum_problem(struct arena *a, const struct problem *p, int32_t j, const struct problem **out,
                       struct error *err) MUST_USE;

#endif
