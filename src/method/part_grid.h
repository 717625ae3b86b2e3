/* method/part_grid: rectangles of numbers from a document of `assay calc` as a mini-batch, so that the losses that runs
 * use can be given another framework's tensors.
 *
 * Rows are responses, columns positions; entries where the mask is 0 (prompts, padding, tool output) are no tokens and
 * their numbers are never read. Rows without tokens stay rows: how they count is the framework's affair.
 */
#ifndef ASSAY_METHOD_PART_GRID_H
#define ASSAY_METHOD_PART_GRID_H

#include "method/calc.h"
#include "method/method.h"
#include "method/part_aggregate.h"

/* Members of the inputs by name; NULL: not read; "?name": may be absent. A list instead of a rectangle is one number a
 * row. */
struct grid_names {
  const char *logp, *old, *advantage, *mask;
  const char *mask_too; /* multiplied into mask */
  const char *weight, *reference, *entropy, *sampler;
};

struct grid {
  struct minibatch batch; /* weight 1 where none is given; counted 1; reference and entropy NULL where not given */
  double *sampler;        /* [count] or NULL */
  struct calc_grid mask;
  size_t rows, width; /* of it */
  int32_t filled;     /* rows with tokens */
  int32_t *row, *col; /* [count] */
  double *scale;      /* [count] for the caller */
  struct loss loss;   /* zeroed; entropy_coef too */
};

int grid_open(const struct calc_case *c, const struct grid_names *names, struct grid *out, struct error *err) MUST_USE;
/* x: [count] as a rectangle with 0 elsewhere. */
json_t *grid_rectangle(const struct grid *g, const double *x);
double grid_mean(const struct grid *g, const double *x); /* over the tokens; 0 without */
double grid_total(const struct grid *g, const double *x);

#endif
