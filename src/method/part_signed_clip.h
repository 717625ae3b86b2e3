/* method/part_signed_clip: an importance weight that is clipped by bounds of its own where the token is rewarded and
 * where it is punished (DISPO, arXiv 2602.00983).
 *
 *     r = exp(clamp(logp - old, -20, 20))
 *     w = clip(r, 1 - low, 1 + high) with the bounds of A's sign;   A = 0: w = r
 *     L = -sg[w] A logp,   dL/dlogp = -w A
 *
 * The weight is a constant: no clip takes the gradient away. A low of 1 or more is no floor, an infinite high no cap.
 */
#ifndef ASSAY_METHOD_PART_SIGNED_CLIP_H
#define ASSAY_METHOD_PART_SIGNED_CLIP_H

#include "method/part_clip.h"

struct signed_bounds {
  double positive_low, positive_high; /* A > 0 */
  double negative_low, negative_high; /* A < 0 */
};

double signed_weight(double ratio, double advantage, const struct signed_bounds *b);
/* clipped: the weight is not r. */
struct clip_value signed_clip(double logp, double old, double advantage, const struct signed_bounds *b);

/* Where tokens lie: by the sign of A and on which side of 1 their ratio is (r = 1 and A = 0: nowhere), and how many
 * weights each bound has moved. Counts. */
struct signed_regimes {
  double positive_above, positive_below, negative_above, negative_below;
  double positive_capped, positive_lifted, negative_capped, negative_lifted;
};
void signed_count(double ratio, double advantage, const struct signed_bounds *b, struct signed_regimes *out);

#endif
