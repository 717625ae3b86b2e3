/* eval/compare: two runs on the same problems, as `assay eval --from BEFORE --against AFTER` prints them: what changed,
 * whether chance would do as much, and what happened to the edge of what can be solved at all (eval/boundary.h).
 */
#ifndef ASSAY_EVAL_COMPARE_H
#define ASSAY_EVAL_COMPARE_H

#include "eval/boundary.h"
#include "eval/report.h"

/* One problem in both runs: attempts and right ones. */
struct eval_pair {
  const char *problem;
  size_t before, before_right, after, after_right;
};

struct eval_comparison {
  size_t problems;                    /* in both */
  size_t only_before, only_after;     /* left out */
  struct eval_interval before, after; /* accuracy: mean over problems, bootstrap over problems */
  struct eval_interval difference;    /* after - before, paired by problem */
  size_t gained, lost;                /* problems with more than half of their attempts right after, not before; the
                                       * other way round */
  double p;                           /* eval_mcnemar of these */
  size_t k_count;
  struct {
    int64_t k;
    struct eval_interval before, after, difference; /* of pass@k */
  } at[EVAL_MAX_K];
  /* The audit takes the first n attempts at each problem, n the fewest that any has. */
  int64_t n;
  int64_t crossing; /* from this k on the start is ahead; 0: nowhere */
  struct boundary_coverage coverage;
  size_t before_bins[BOUNDARY_BINS], after_bins[BOUNDARY_BINS]; /* problems by accuracy */
  size_t moves[CAPABILITY_MOST_BINS][CAPABILITY_MOST_BINS];     /* [before][after], of capability_bin's main bins */
  size_t move_bins;
  struct eval_pair *pairs; /* [problems], by change, most gained first, then by id */
};

/* Problems are paired by id, or by data and id where a run has an id in two data sets. ks as in eval_report_make. No
 * problem in common is ERROR_INPUT. */
int eval_compare(struct arena *a, const struct attempt_list *before, const struct attempt_list *after,
                 const int64_t *ks, size_t count, struct eval_comparison *out, struct error *err) MUST_USE;
void eval_comparison_put_json(struct text *t, const struct eval_comparison *c); /* one object, no newline */
/* Lines for a person. most: ids of gained and of lost problems that are listed. */
void eval_comparison_put_text(struct text *t, const struct eval_comparison *c, size_t most);

#endif
