/* method/part_clip: the clipped surrogate of PPO (arXiv 1707.06347, eq. 7), with two sides (DAPO, arXiv 2503.14476, eq.
 * 10), dual clip (arXiv 1912.09729, eq. 5) and TRL's bound on the ratio itself (`delta`).
 *
 *     r = exp(clamp(logp - old, -20, 20))
 *     L = max(-A min(r, cap), -A clip(r, 1 - low, 1 + high));   A < 0 and dual > 0: L = min(L, -A dual)
 *     dL/dlogp = -A r where the branch that was chosen moves with r, else 0; at exact ties the gradient stays
 */
#ifndef ASSAY_METHOD_PART_CLIP_H
#define ASSAY_METHOD_PART_CLIP_H

#include <stdbool.h>

#define CLIP_LOG_RATIO 20.0

struct clip_bounds {
  double low, high; /* distances from 1; infinite: no clip */
  double dual;      /* bound on r where A < 0; infinite: off */
  double cap;       /* bound on r in the unclipped branch, whatever the sign of A; 0: none */
};
struct clip_value {
  double loss, coef; /* coef: dloss/dlogp */
  double ratio;
  bool clipped; /* the clip took the gradient away */
};
double clip_ratio(double logp, double old);
struct clip_value clip_surrogate(double logp, double old, double advantage, const struct clip_bounds *b);

/* The same for a ratio that comes from elsewhere (a sequence's); coef: dloss/dlog r. moves: r is no constant. */
struct clip_value clip_given(double ratio, bool moves, double advantage, const struct clip_bounds *b);

#endif
