/* method/part_delta: which tokens tell good responses from bad ones (DelTA, arXiv 2605.21467; code RUCBM/DelTA).
 *
 *     v       = (1 - p) h                           the gradient of log p by the head's row of the sampled token
 *     mu+     = sum a+ v / max(sum a+, eps)         a+ = max(A, 0), mu- with a- = max(-A, 0), over the whole rollout
 *     m       = |v - mu-|^2 - |v - mu+|^2           A > 0; its negative for A < 0
 *     gamma   = sqrt(max(mean m^2 - (mean m)^2, eps))          per side
 *     alpha   = sigmoid(m / gamma)
 *     refine:   mu with weights a alpha; gamma from the margins before; m and alpha anew
 *     lambda  = lam_min + (lam_max - lam_min) alpha            A = 0: lam_min
 *
 * The difference of the two distances is summed as (mu+ - mu-) . (2 v - mu+ - mu-).
 */
#ifndef ASSAY_METHOD_PART_DELTA_H
#define ASSAY_METHOD_PART_DELTA_H

#include "core/arena.h"
#include "method/part_vectors.h"

enum delta_side { DELTA_POSITIVE, DELTA_NEGATIVE, DELTA_SIDES };

struct delta {
  int64_t count; /* tokens */
  const struct vector_rows *hidden;
  const double *logp, *advantage; /* [count] under the old policy */
  double eps;
  double *mu[DELTA_SIDES]; /* [width] */
  double gamma[DELTA_SIDES];
  double *margin, *alpha; /* [count]; 0 where A = 0 */
  double *v;              /* [width] scratch */
};
/* Sets the inputs' centroids, temperatures, margins and scores. */
int delta_begin(struct delta *d, struct arena *a, struct error *err) MUST_USE;
void delta_refine(struct delta *d);
/* The proxy of a token, [width]. */
void delta_proxy(const struct delta *d, int64_t i, double *v);
/* lambda: [count] before the renormalisation. Returns count / sum lambda. */
double delta_lambda(const struct delta *d, double low, double high, double *lambda);

#endif
