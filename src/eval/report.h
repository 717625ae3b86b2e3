/* eval/report: from stored attempts to numbers. The report of a file of attempts is the report of the run that wrote
 * it.
 *
 *     eval_report_make(arena, &list, ks, count, &report, err);
 * eval_report_put_text(&text, &report);
 */
#ifndef ASSAY_EVAL_REPORT_H
#define ASSAY_EVAL_REPORT_H

#include "eval/attempts.h"
#include "eval/estimators.h"

enum { EVAL_MAX_K = 32 };

/* The mean over problems of the fraction right, and its 95 % interval: eval_wilson of eval_effective_trials. */
struct eval_rate {
  const char *name; /* of a domain, or NULL */
  size_t problems, attempts;
  double accuracy, low, high;
  double trials;
};

struct eval_at_k {
  int64_t k;
  /* Means over problems; all draws are without replacement from the samples there are. */
  double pass;        /* one of k is right */
  double all;         /* all k are right */
  double majority;    /* the right answer wins the vote; NaN: see eval_majority_at_k */
  double best, worst; /* largest and smallest reward of k */
  double low, high;   /* of pass: bootstrap over problems */
};

struct eval_report {
  size_t problems, attempts;
  size_t failed;                       /* attempts left out: their verifier failed */
  int64_t samples_least, samples_most; /* attempts a problem */
  double accuracy, low, high, trials;  /* struct eval_rate of all */
  struct eval_interval resampled;      /* the accuracy's by bootstrap over problems */
  struct eval_rate greedy;             /* of greedy attempts beside sampled ones; problems 0: there are none */
  double reward;                       /* mean over attempts */
  double readable;                     /* fraction of attempts in which an answer was found */
  double tokens_mean;
  int64_t tokens_max, tokens_known; /* attempts whose length is known */
  size_t stop, length;              /* finish reasons */
  double truncated;                 /* length / (stop + length); NaN: unknown */
  double entropy, logp;             /* means over tokens, nats; NaN: unknown */
  double repetition;                /* mean share of repeated 4-grams of words; NaN: unknown */
  size_t k_count;
  struct eval_at_k at[EVAL_MAX_K];
  struct eval_rate *domains; /* by name */
  size_t domain_count;       /* 0: there is one only */
};
/* ks: which k, ascending; count 0: 1, 2, 4, ... up to the samples that every problem has. A k over that is ERROR_INPUT.
 */
int eval_report_make(struct arena *a, const struct attempt_list *list, const int64_t *ks, size_t count,
                     struct eval_report *out, struct error *err) MUST_USE;
void eval_report_put_json(struct text *t, const struct eval_report *r); /* one object, no newline */
void eval_report_put_text(struct text *t, const struct eval_report *r); /* lines for a person */

/* Which k: those asked for, else 1, 2, 4, ... and least itself. */
int eval_choose_ks(const int64_t *asked, size_t asked_count, int64_t least, int64_t ks[EVAL_MAX_K], size_t *count,
                   struct error *err) MUST_USE;

#endif
