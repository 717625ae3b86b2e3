/* method/part_subspace: the directions in which a set of vectors varies most, and what lies outside them.
 *
 *     mu = mean of the rows, V = top-k right singular vectors of X - mu, k = min(rank, rows - 1, width)
 *     distance(x) = |u - V V' u|^2 / width, u = x - mu
 *
 * Up to SUBSPACE_EXACT rows or columns the decomposition is complete (cyclic Jacobi on the smaller Gram matrix); beyond
 * that it is block power iteration with Rayleigh-Ritz, `iterations` times, from a start that depends on X alone. Only
 * the projector matters: signs and rotations inside the subspace are free.
 */
#ifndef ASSAY_METHOD_PART_SUBSPACE_H
#define ASSAY_METHOD_PART_SUBSPACE_H

#include "core/arena.h"

enum { SUBSPACE_EXACT = 192 };

struct subspace {
  int32_t width, rank;
  double *mean;   /* [width] */
  double *basis;  /* [rank][width] orthonormal; a row of zeros where X varies in fewer directions */
  double *energy; /* [energy_count] squared singular values, falling */
  int32_t energy_count;
};
/* x: [rows][width], becomes X - mu; rows >= 1. */
int subspace_fit(double *x, int32_t rows, int32_t width, int32_t rank, int32_t iterations, struct arena *a,
                 struct subspace *out, struct error *err) MUST_USE;
/* Multiply-adds of a fit, for the planner. */
double subspace_work(double rows, double width, double rank, double iterations);
/* x: [width], overwritten. */
double subspace_distance(const struct subspace *s, double *x);

/* Layer norm without gain: (x - mean) / sqrt(var + 1e-5), var over n. */
void subspace_layer_norm(double *x, int32_t width);

#endif
