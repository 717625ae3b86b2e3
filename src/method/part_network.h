/* method/part_network: a small trained network of a method's own (probe, reward model): linear, or one hidden layer.
 *
 *     f(x) = b2 + sum_j w2_j tanh(b1_j + sum_i w1_ji x_i)     hidden > 0
 *     f(x) = b + sum_i w_i x_i                                hidden 0
 *
 * In f64, sums ascending; trained by AdamW on gradients that the method gives per example (dL/df). All of it is one
 * block of parameters with its moments: a method keeps it in a buffer of its own and saves it as its blob (`save`,
 * `load` of struct method). Layout: w1 [hidden, inputs], b1 [hidden], w2 [hidden], b2; linear: w [inputs], b.
 */
#ifndef ASSAY_METHOD_PART_NETWORK_H
#define ASSAY_METHOD_PART_NETWORK_H

#include "core/arena.h"
#include "core/json.h"
#include "core/rng.h"

struct network_options {
  double lr, beta1, beta2, eps, weight_decay; /* AdamW, decoupled decay; biases decay too */
  double clip_norm;                           /* of the gradient; 0: off */
};

struct network {
  int32_t inputs, hidden;
  int32_t count; /* parameters */
  int64_t updates;
  double *w, *gradient, *first, *second; /* [count] */
  double *active;                        /* [hidden] tanh of the last network_at */
};

/* Weights uniform in +-1/sqrt(inputs of the layer) from the stream at `at` (position counts them), biases 0. A linear
 * one begins at 0. */
int network_create(struct arena *a, int32_t inputs, int32_t hidden, uint64_t seed, const struct rng_at *at,
                   struct network **out, struct error *err) MUST_USE;
double network_at(struct network *n, const double *x);
/* gradient += coef * df/dw at x; calls network_at. Returns f(x). */
double network_add(struct network *n, const double *x, double coef);
/* One AdamW step; the gradient is zero afterwards. A gradient that is not finite is ERROR_INPUT: nothing has moved. */
int network_update(struct network *n, const struct network_options *o, struct error *err) MUST_USE;
void network_save(const struct network *n, struct text *out);
/* A blob of another shape is ERROR_INPUT. */
int network_load(struct network *n, const void *bytes, size_t size, struct error *err) MUST_USE;

#endif
