/* method/part_table_policy: the smallest policy that shows what sharing parameters does: prompts q, actions a, logits
 * theta[q][a] + s[a], where s is shared by all prompts. The experiments of several papers use it; `assay calc` runs it
 * on given draws. */
#ifndef ASSAY_METHOD_PART_TABLE_POLICY_H
#define ASSAY_METHOD_PART_TABLE_POLICY_H

#include "method/calc.h"

struct table_policy {
  size_t prompts, actions;
  double *theta, *shared;             /* [prompts, actions], [actions] */
  double *gradient, *shared_gradient; /* of the step */
  size_t *right;                      /* [prompts] the right action */
  double step, shared_step;
  double *ks; /* [k_count] for which 1 - (1 - p)^k is reported */
  size_t k_count;
};

/* From inputs theta, s, right and args step_theta, step_s, ks. In the case's arena. */
int table_policy_open(struct calc_case *c, struct table_policy *out, struct error *err) MUST_USE;
void table_policy_row(const struct table_policy *t, size_t q, double *p);          /* p: [actions], softmax */
size_t table_policy_draw(const struct table_policy *t, const double *p, double u); /* first a with u < p_0 + .. + p_a */
void table_policy_begin(struct table_policy *t);                                   /* gradients to zero */
void table_policy_step(struct table_policy *t, double count);                      /* ascent on gradient / count */
/* p (of the right actions), s and cap (mean of 1 - (1 - p)^k) into row. */
int table_policy_put(const struct calc_case *c, const struct table_policy *t, json_t *row, struct error *err) MUST_USE;

#endif
