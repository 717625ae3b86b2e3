/* method/part_token_baseline: the baseline of least variance for every token (verl's optimal token baseline).
 *
 * Rollouts i of one problem; token t of a rollout has a return G_it and an energy w_it = |d log pi / d logits|^2 =
 * 1 - 2 pi_t + sum_v pi_v^2, times the square of its importance weight where there is one. With W_it = sum_{j <= t}
 * w_ij,
 *
 *     B_t = sum_i W_it G_it / (sum_i W_it + 1e-8)        over the rollouts that have a token at t
 *     A_it = G_it - B_t
 *
 * The longest rollout is alone behind the second longest, where its baseline would be its own return: there B = 0, so
 * that A = G (`tail`). A rollout that is alone in its group has B = 0. Sums are of G - G_1: equal returns give exactly
 * 0.
 */
#ifndef ASSAY_METHOD_PART_TOKEN_BASELINE_H
#define ASSAY_METHOD_PART_TOKEN_BASELINE_H

#include <stdbool.h>
#include <stdint.h>

/* slot: ascending; tokens of equal slot are compared: the place among the own tokens, or in the response. */
struct token_baseline_row {
  int32_t count;
  const int32_t *slot;   /* [count] */
  const double *returns; /* [count] */
  const double *energy;  /* [count] w */
  double *advantage;     /* [count] result */
  double path;           /* W so far; scratch */
  int32_t at;            /* next token; scratch */
};
void token_baseline(struct token_baseline_row *rows, int32_t n, bool tail);

/* w of one token. */
double token_baseline_energy(double logp, double sum_pi_squared, double importance);

#endif
