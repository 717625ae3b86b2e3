/* eval/groups: attempts put together by problem, the ground of every report. Attempts whose verifier failed are left
 * out. Where a list holds sampled and greedy attempts these are apart: a greedy one is not a sample. */
#ifndef ASSAY_EVAL_GROUPS_H
#define ASSAY_EVAL_GROUPS_H

#include "eval/attempts.h"

enum eval_which { EVAL_SAMPLED /* all, where none is sampled */, EVAL_GREEDY /* none, where none is sampled */ };

/* Attempts of one problem: items[first .. first + count - 1]. */
struct eval_group {
  size_t first, count, right;
  const char *problem, *data;
  const char *domain; /* NULL: there is one domain only */
};

/* By data and problem; within one the right attempts, then those with an answer by answer, then the silent ones, so
   that sums over them do not depend on the order of a file. */
struct eval_groups {
  const struct attempt **items;
  size_t item_count;
  struct eval_group *groups;
  size_t count;
};
int eval_groups_make(struct arena *a, const struct attempt_list *list, enum eval_which which, struct eval_groups *out,
                     struct error *err) MUST_USE;
/* Right ones among the first n attempts of a group by seed, step, group, attempt and sample. n <= count. */
int eval_group_first(struct arena *a, const struct eval_groups *g, size_t group, size_t n, size_t *right,
                     struct error *err) MUST_USE;

#endif
