/* method/part_probe: a linear guess of a number from a state, fitted anew on a buffer of rows (arXiv 2605.07579,
 * POISE).
 *
 *     row       = [prompt state, dim; response state, dim; further numbers]
 *     x         = either state projected on its first principal components (0: as it is), all standardised by the rows'
 *                 mean and population standard deviation; a deviation <= 1e-10 max(1, |mean|) counts as 1
 *     ridge     w = (X'X + alpha I)^-1 X'(t - mean t), or X'(XX' + alpha I)^-1 (t - mean t) where rows are fewer than
 *               features; the guess is mean t + w x
 *     logistic  sigmoid(b + w x), mean cross entropy + alpha / (2 rows) |w|^2, targets kept 1e-6 off 0 and 1; Newton
 *
 * Components: min(asked, rows - 1, dim), falling variance, the entry of largest size positive. All in f64, sums
 * ascending.
 */
#ifndef ASSAY_METHOD_PART_PROBE_H
#define ASSAY_METHOD_PART_PROBE_H

#include "core/arena.h"

enum probe_model { PROBE_RIDGE, PROBE_LOGISTIC };
#define PROBE_MODEL_WORDS "ridge|logistic"

struct probe_options {
  enum probe_model model;
  double alpha[2]; /* two ridges: the mean of both */
  int32_t alphas;
  int32_t components[2]; /* asked of the prompt's and of the response's state; 0: the state as it is */
  double low, high;      /* bounds of the guess */
};

struct probe {
  int32_t dim, inputs;    /* of a row: 2 dim + further ones */
  int32_t features;       /* after projection */
  int32_t rank[2];        /* components in use */
  double *centre[2];      /* [dim] mean of the states that the components were found on */
  double *components[2];  /* [rank][dim] */
  double *variance[2];    /* [rank] over rows - 1 */
  double *mean, *std, *w; /* [features] */
  double intercept;
};

/* Room for every fit under these options. */
int probe_open(struct arena *a, int32_t dim, int32_t inputs, const struct probe_options *o, struct probe *out,
               struct error *err) MUST_USE;
/* z: [rows][inputs], rows >= 1. A system that cannot be solved is ERROR_INPUT (alpha too small). */
int probe_fit(struct probe *p, const struct probe_options *o, const double *z, const double *target, int32_t rows,
              struct arena *scratch, struct error *err) MUST_USE;
/* Multiply-adds of a fit, for the planner. */
double probe_work(const struct probe_options *o, double rows, double dim, double inputs);
/* The guess for a row; raw: before the bounds. work: [inputs]. */
double probe_at(const struct probe *p, const struct probe_options *o, const double *z, double *raw, double *work);

#endif
