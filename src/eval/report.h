/* eval/report: from stored attempts to numbers. An attempt is one line of `assay eval --out`; the report of a file of
 * them is the report of the run that wrote it.
 *
 *     struct attempt_list list = {0};
 *     attempts_read(arena, path, &list, err);  eval_report_make(arena, &list, ks, count, &report, err);
 * eval_report_put_text(&text, &report);
 */
#ifndef ASSAY_EVAL_REPORT_H
#define ASSAY_EVAL_REPORT_H

#include "core/json.h"
#include "eval/estimators.h"

struct attempt {
  const char *problem; /* id */
  int64_t sample;      /* ordinal among the problem's */
  double reward;
  bool correct, readable;
  const char *extracted; /* the answer read, or NULL: it does not vote */
  int64_t tokens;        /* generated; -1: unknown */
  const char *finish;    /* "stop", "length", or NULL */
};

struct attempt_list {
  struct attempt *items;
  size_t count, room;
};
int attempt_list_add(struct arena *a, struct attempt_list *l, const struct attempt *attempt,
                     struct error *err) MUST_USE;
/* {problem, sample, reward, correct, readable, extracted, tokens, finish} without the braces, so that a writer adds
 * text and reason. */
void attempt_put_fields(struct text *t, const struct attempt *attempt);
/* Lines of `assay eval --out`, or of a run's rollouts/ (.jsonl, .gz, .zst). problem and correct (or a verdict) are
 * needed, the rest may be missing. */
int attempts_read(struct arena *a, const char *path, struct attempt_list *out, struct error *err) MUST_USE;

enum { EVAL_MAX_K = 32 };
struct eval_report {
  size_t problems, attempts;
  int64_t samples_least, samples_most; /* attempts a problem */
  double accuracy;                     /* mean over problems of the fraction right */
  double low, high;                    /* 95 % interval: eval_wilson of eval_effective_trials */
  double trials;                       /* the latter */
  double reward;                       /* mean over attempts */
  double readable;                     /* fraction of attempts in which an answer was found */
  double tokens_mean;
  int64_t tokens_max, tokens_known; /* attempts whose length is known */
  size_t stop, length;              /* finish reasons */
  size_t k_count;
  struct {
    int64_t k;
    double pass, majority; /* means over problems */
  } at[EVAL_MAX_K];
};
/* ks: which k, ascending; count 0: 1, 2, 4, ... up to the samples that every problem has. A k over that is ERROR_INPUT.
 */
int eval_report_make(struct arena *a, const struct attempt_list *list, const int64_t *ks, size_t count,
                     struct eval_report *out, struct error *err) MUST_USE;
void eval_report_put_json(struct text *t, const struct eval_report *r); /* one object, no newline */
void eval_report_put_text(struct text *t, const struct eval_report *r); /* lines for a person */

#endif
