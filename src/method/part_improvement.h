/* method/part_improvement: an update on the batch before, steered by whether rewards rose since (PIPO, arXiv
 * 2604.00860; code JacckMa/pipo_verl).
 *
 *     mu     mean reward of the fresh batch
 *     xi     clip(mu - mean, -5, 5) / sd           mean and sd of the K values before; sd below the floor, or K = 1: 1
 *     a_i    n Abar_i / (sum over the group |Abar| + eps)        Abar_i: token mean of the stored advantage
 *     C_i    slope clip(a_i xi, -10, 10)                         slope 1 for xi >= 0, else lam
 *     ppo    L = max(-C r, -C clip(r))             code   L = -min(r, clip(r)) C             r against the stored
 * record
 *
 * Statistics are taken of differences to the window's first value: a constant history has sd 0 exactly.
 */
#ifndef ASSAY_METHOD_PART_IMPROVEMENT_H
#define ASSAY_METHOD_PART_IMPROVEMENT_H

#include <stdint.h>

#include "method/part_clip.h"

struct improvement_rule {
  int64_t window, min_steps, every; /* K; iterations before the first signal; period */
  bool released;                    /* mu is in the window, sd over n, and the count is the window's */
  bool population;                  /* sd over n, not n - 1 */
  bool normalise;                   /* false: xi is the difference itself */
  double lam, threshold;            /* slope below 0; |xi| at or below the threshold: no update, 0: off */
  double clamp, floor;              /* of the difference; of sd */
};
struct improvement {
  bool ready;      /* there is a history; else mean and sd are NaN, xi and slope 0 */
  double mean, sd; /* of the window */
  double xi, slope;
  bool active; /* the update is made */
};
/* history: [count] values so far, oldest first; seen: iterations so far; step: from 1. */
struct improvement improvement_signal(const struct improvement_rule *r, const double *history, int64_t count,
                                      int64_t seen, double mu, int64_t step);

/* Of one group: mean [n], out [n]. A group without advantage gets 0. */
void improvement_attribution(const double *mean, int32_t n, double eps, double *out);
double improvement_coefficient(double attribution, double xi, double slope, double clamp);

/* released: the form "code". log_bound: the log-ratio is held within it, a constant beyond; 0: not. bounds without a
 * dual clip. */
struct clip_value improvement_loss(bool released, double log_ratio, double log_bound, double coefficient,
                                   const struct clip_bounds *bounds);

#endif
