/* eval/cot_report: CoT-Pass@K of stored attempts from a judge's verdicts about their chains of thought (eval/cot.h).
 *
 * A line of a judge's file: {problem, sample, seed?, verdicts: [...]}, a verdict true or false, 1 or 0, null (none), or
 * the judge's own words, of which cot_read_verdict reads the last \boxed{yes} or \boxed{no}. Without verdicts the
 * line's `correct` is one (null where it is `failed`): attempts that assay eval --from judged again by a `judge` are
 * such a file. Several files add up: three calls may be three files.
 */
#ifndef ASSAY_EVAL_COT_REPORT_H
#define ASSAY_EVAL_COT_REPORT_H

#include "eval/cot.h"
#include "eval/report.h"

struct cot_report {
  size_t problems, skipped; /* skipped: no right answer, so the share of right chains is undefined */
  size_t right, judged;     /* right answers, and those with verdicts; the others do not count */
  size_t wrong_judged;      /* wrong answers that were judged too: they say what alpha and beta are */
  size_t calls, bad;        /* verdicts, and unusable ones */
  double answer;            /* mean over problems of P(answer right) */
  double chain[COT_RULES];  /* mean over problems not skipped of P(chain right | answer right); NaN: all skipped */
  double alpha, beta;       /* P(answer right | chain right), P(answer right | chain wrong), by majority; NaN: no
                             * wrong answer was judged */
  size_t k_count;
  struct {
    int64_t k;
    double pass, cot[COT_RULES]; /* means over problems */
  } at[EVAL_MAX_K];
};

/* A verdict about an attempt that the list lacks, or a second line of a file about one, is ERROR_INPUT at FILE:LINE. ks
 * as in eval_report_make. */
int cot_report_make(struct arena *a, const struct attempt_list *list, const char *const *paths, size_t path_count,
                    enum cot_bad bad, const int64_t *ks, size_t count, struct cot_report *out,
                    struct error *err) MUST_USE;
void cot_report_put_json(struct text *t, const struct cot_report *r);
void cot_report_put_text(struct text *t, const struct cot_report *r);

#endif
