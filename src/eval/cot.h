/* eval/cot: CoT-Pass@K (Wen et al. 2025, arXiv 2506.14245): an answer counts only if it is right and a judge finds its
 * chain of thought right. A judge is asked several times about each right answer; wrong answers cannot count and are
 * not judged. Three ways to read its verdicts give a band: any (above), majority (the line), all (below).
 */
#ifndef ASSAY_EVAL_COT_H
#define ASSAY_EVAL_COT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { COT_NO = 0, COT_YES = 1, COT_BAD = -1 /* unparsable or cut off */ };
enum cot_bad { COT_SPLIT /* a no for all, absent for the others */, COT_ABSTAIN /* absent */, COT_AS_NO };
enum cot_rule { COT_ANY, COT_MAJORITY, COT_ALL, COT_RULES };
extern const char *const cot_rule_names[COT_RULES]; /* "any", "majority", "all" */

/* What a judge's output says: the last \boxed{yes} or \boxed{no} behind its last </think>, any case, white space
 * stripped; anything else, an unclosed box and an unfinished thought are COT_BAD. */
int cot_read_verdict(const char *text, size_t n);

/* The calls for one answer, each rule's result. No usable verdict: false under all rules. */
void cot_combine(const int *verdicts, size_t n, enum cot_bad bad, bool out[COT_RULES]);

/* Share of wrong verdicts after combining n calls whose single error rates are false_yes and false_no. */
struct cot_errors {
  double false_yes[COT_RULES], false_no[COT_RULES];
};
struct cot_errors cot_error_rates(double false_yes, double false_no, int64_t n);

/* Theorem 1: chains are right with probability p, reach the right answer with alpha (right chain) or beta (wrong
 * chain), rewards are the answers': mean, variance and expected advantage of right and of wrong chains. group 0: the
 * limit of large groups; else groups of that size with the population's std + eps (equal rewards give 0). alarm: wrong
 * chains are made more likely, alpha <= beta. informative: probability of a group with both rewards. */
struct cot_theorem {
  double mean, variance, right, wrong, informative;
  bool alarm;
};
struct cot_theorem cot_expect(double p, double alpha, double beta, int64_t group, double eps);

/* Estimates of alpha and beta. Right answers are all judged; of W wrong ones w are, each standing for W / w. */
struct cot_counts {
  double right_right, right_wrong; /* answer right; chain right, wrong */
  double wrong_right, wrong_wrong; /* answer wrong */
};
void cot_estimate(const struct cot_counts *c, double *alpha, double *beta); /* NaN where nothing was judged */

#endif
