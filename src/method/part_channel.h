/* method/part_channel: rewards from a verifier that errs (arXiv 2510.00915).
 *
 *     rho0 = P(r = 1 | wrong), rho1 = P(r = 0 | right), c = max(1 - rho0 - rho1, floor)
 *
 *     backward  x = (r - rho0) / c             its expectation is the true reward
 *     forward   x = r - (1 - rho1)             E[x | right] = 0, E[x | wrong] = -(1 - rho0 - rho1)
 *     noise     x = r                          the control that is not corrected
 *
 *     A = (x - b) / scale                      b: mean of the others (group_leave_one_out), or 0
 *
 * scale is a constant, never the group's own standard deviation: x is affine in r, so that GRPO of x is GRPO of r.
 */
#ifndef ASSAY_METHOD_PART_CHANNEL_H
#define ASSAY_METHOD_PART_CHANNEL_H

#include <stdbool.h>
#include <stdint.h>

enum channel_mode { CHANNEL_NONE, CHANNEL_BACKWARD, CHANNEL_FORWARD, CHANNEL_NOISE };
#define CHANNEL_WORDS "none|pgbc|pgfc|noise"
struct error_rates {
  double rho0, rho1, floor;
};
double channel_clear(const struct error_rates *o); /* c */
double channel_corrected(const struct error_rates *o, enum channel_mode mode, double reward);

enum channel_scale { CHANNEL_SCALE_ONE, CHANNEL_SCALE_CLEAR, CHANNEL_SCALE_KEPT };
/* 1, c, or max(1 - rho1, floor). */
double channel_scale(const struct error_rates *o, enum channel_scale scale);

enum channel_baseline { CHANNEL_BASELINE_AUTO, CHANNEL_BASELINE_LOO, CHANNEL_BASELINE_NONE };
/* auto: leave-one-out for backward alone. */
bool channel_leaves_one_out(enum channel_mode mode, enum channel_baseline baseline);
/* Of one group: rewards [n] to x [n] and A [n]; x and A may not overlap. b = x - A scale. */
void channel_credit(const struct error_rates *o, enum channel_mode mode, bool leave_one_out, double scale,
                    const double *reward, int32_t n, double *x, double *advantage);

/* A verdict through the channel: u uniform in [0, 1) is the coin; u < rho turns it over. */
bool channel_flips(bool right, double rho0, double rho1, double u);

/* Appeals: of the responses that the rule rejects, those with u < q are judged again. flips: how many were right.
 *
 *     FN = flips / q      p = (FN + a) / (FN + positives + a + b)      rho1 <- decay rho1 + (1 - decay) p
 *
 * skip_empty: a step in which both counts are 0 leaves rho1 alone, instead of pulling it to a / (a + b). */
struct appeal_options {
  double q, prior_a, prior_b, decay;
  bool skip_empty;
};
struct appeal {
  double false_negatives, step, rho1;
};
struct appeal channel_appeal(const struct appeal_options *o, double rho1, double flips, double positives);

/* How far two credits of the same tokens are apart. A cosine with a vector of zeros is 0. */
struct audit {
  double mean_abs, max_abs, cosine;
};
struct audit channel_audit(const double *a, const double *b, int64_t n);

#endif
