/* model/merge: several checkpoints of one shape made into one, number by number.
 *
 * x_t is model t's number, x_0 the base's, w_t model t's weight, tau_t = (f32)(x_t - x_0) its task vector (the
 * difference in f64, rounded once). Sums run over the models in order, in f64; what comes out is rounded once to f32.
 *
 *   average   sum_t w_t x_t / sum_t w_t
 *   task      x_0 + scale sum_t w_t tau_t                                      (Ilharco et al. 2022, task arithmetic)
 *   ties      tau_t is 0 where |tau_t| is not among the `density` largest of the whole task vector (ties with the last
 *             of them stay); g = sign of sum_t w_t tau_t; tau = sum_t w_t tau_t / sum_t w_t over the models whose tau_t
 *             has the sign g; x_0 + scale tau                                  (Yadav et al. 2023, algorithm 1)
 *   dare      tau_t is 0 with probability 1 - density, else tau_t / density; then as task   (Yu et al. 2023, eq. 3-5)
 *   dare_ties as dare; then as ties, from the sign on
 *
 * Which numbers DARE drops follows from the seed, the model's place in the list, the tensor's in the decoder's list and
 * the number's in the tensor (RNG_MERGE), and from nothing else.
 */
#ifndef ASSAY_MODEL_MERGE_H
#define ASSAY_MODEL_MERGE_H

#include <stddef.h>
#include <stdint.h>

enum merge_method { MERGE_AVERAGE, MERGE_TASK, MERGE_TIES, MERGE_DARE, MERGE_DARE_TIES };

struct merge_rule {
  enum merge_method method;
  size_t models;
  const double *weights;   /* [models] */
  double scale, density;   /* density: the fraction that stays, above 0, at most 1 */
  const float *thresholds; /* [models] ties: the least |tau| that stays */
  uint64_t seed;
};

/* The first of numbers that stand next to each other in one tensor. */
struct merge_place {
  uint32_t tensor;
  uint64_t element;
};

/* n numbers of each model, models[t][i], and of the base (NULL for average) to out, which may be one of them. */
void merge_numbers(const struct merge_rule *r, const struct merge_place *at, size_t n, const float *const *models,
                   const float *base, float *out);

/* The threshold of one task vector, in two passes over it: its magnitudes' upper halves are counted, then the lower
   halves of those that share the upper half of the one looked for. */
enum { MERGE_BINS = 1 << 16 };
struct merge_select {
  uint64_t *bins; /* [MERGE_BINS], the caller's, zero at first */
  uint64_t total; /* numbers seen in the first pass */
  uint64_t left;  /* second pass: how many of the bin looked for stay */
  uint32_t upper; /* the bin looked for */
  int pass;
};
void merge_select_add(struct merge_select *s, size_t n, const float *model, const float *base);
/* Between the passes: which bin, for a density. */
void merge_select_turn(struct merge_select *s, double density);
/* After the second. */
float merge_select_threshold(const struct merge_select *s);

#endif
