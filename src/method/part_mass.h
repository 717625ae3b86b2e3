/* method/part_mass: where one update moves probability (arXiv 2510.01180, theorem 1 and its simulator).
 *
 * V actions, p = softmax(z), P the right ones; of these and of the wrong ones some were sampled. R = right on sampled
 * right actions, wrong on sampled wrong ones (right >= 0 >= wrong), 0 elsewhere; S = sum R p.
 *
 *     dz_j = (rate / n) p_j (R_j - S)                    a step on the surrogate -(1/n) sum R p
 *     dQ   = (rate / n) [ (right - S) (1 - Q) A2 + (S - wrong) Q B2 + S (Q U-2 - (1 - Q) U+2) ]     to first order
 *
 * with Q = sum_P p, and the sums of p^2 over sampled right (A2), sampled wrong (B2), other right (U+2) and other wrong
 * (U-2) actions. The first two terms are never negative; the third is what more samples make small:
 * E[p^2 1(not sampled)] = p^2 (1 - p)^N.
 */
#ifndef ASSAY_METHOD_PART_MASS_H
#define ASSAY_METHOD_PART_MASS_H

#include <stdbool.h>
#include <stdint.h>

struct mass_rewards {
  double right, wrong, rate, n;
};
struct mass {
  double s, q, a2, b2, u_right2, u_wrong2;
  double terms[3];
  double predicted, exact; /* change of Q: to first order, and of the softmax after the step */
};
/* right, sampled: [n] flags. p, dz: [n] results. */
struct mass mass_balance(const double *z, const bool *right, const bool *sampled, int32_t n,
                         const struct mass_rewards *o, double *p, double *dz);
double mass_unsampled(double p, double n);

/* One step of the simulator: draws of actions with reward 1 where right, -1 elsewhere, less their mean r; the surrogate
 * -(1/N) sum r p_a, whose gradient goes through p; AdamW. */
struct mass_adam {
  double rate, beta1, beta2, eps, decay;
};
struct mass_state {
  int32_t n;
  int64_t step;           /* taken so far */
  double *z;              /* [n] logits */
  double *first, *second; /* [n] moments */
  double *p, *gradient;   /* [n] of the step that was taken: probabilities before it */
};
struct mass_draws {
  double baseline, surrogate;
};
/* draws: [count] actions, count >= 1. */
struct mass_draws mass_step(struct mass_state *s, const bool *right, const int32_t *draws, int32_t count,
                            const struct mass_adam *o);
void mass_softmax(const double *z, int32_t n, double *p);

/* Against the probabilities of the beginning: Q, the share of right actions that rose, and the largest fall among them
 * (0: none fell). */
struct mass_progress {
  double q, improved, drop;
};
struct mass_progress mass_compare(const double *before, const double *now, const bool *right, int32_t n);

#endif
