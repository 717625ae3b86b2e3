/* method/part_rows: a batch given in a document of `assay calc`: rows of tokens, of which some carry loss.
 *
 * Matrices are [row][token] with garbage where response_mask is 0. Formulas see what they see in a run: the tokens that
 * count, one after the other, and the sequences that they form (struct minibatch).
 */
#ifndef ASSAY_METHOD_PART_ROWS_H
#define ASSAY_METHOD_PART_ROWS_H

#include "method/calc.h"
#include "method/part_aggregate.h"
#include "method/part_clip.h"

struct calc_rows {
  struct calc_grid mask;
  int32_t rows, width; /* of the matrices */
  int32_t count;       /* tokens with mask 1 */
  int32_t *first;      /* [rows + 1] a row's tokens: first[i] .. first[i + 1] - 1 */
  int32_t *row, *at;   /* [count] where a token stands */
  double *reward;      /* [rows]; 0 where the document has none */
  int32_t group_count;
  int32_t *group;         /* [rows] groups in order of first appearance; all 0 where the document has none */
  const char **group_key; /* [group_count] as text */
  int32_t *member;        /* [rows] rows by group, in row order */
  int32_t *group_first;   /* [group_count + 1] into member */
  double *old, *logp;     /* [count]; NULL where the document has logits instead */
  struct step step;       /* groups of the rollouts alone */
  struct minibatch batch; /* of all rows */
};

/* From inputs response_mask, rewards, group, old_log_prob, log_prob. In the case's arena. */
int calc_rows_open(struct calc_case *c, struct calc_rows *out, struct error *err) MUST_USE;
/* Another matrix of the inputs at the tokens that count: [count]. */
int calc_rows_tokens(struct calc_case *c, const struct calc_rows *b, const char *key, double **out,
                     struct error *err) MUST_USE;
/* A list of numbers for every cell, [row][token][depth], at the tokens that count: [count][depth]. */
int calc_rows_vectors(struct calc_case *c, const struct calc_rows *b, const char *key, double **out, int32_t *depth,
                      struct error *err) MUST_USE;
/* Token values as a matrix with 0 where nothing counts. x NULL: all 0. */
json_t *calc_rows_matrix(const struct calc_rows *b, const double *x);
json_t *calc_rows_vectors_matrix(const struct calc_rows *b, const double *x, int32_t depth);

/* GRPO's advantage per row (part_group.h). */
int calc_rows_advantage(struct calc_case *c, const struct calc_rows *b, const double *reward, bool unbiased, double eps,
                        double *advantage, struct error *err) MUST_USE;
/* A value per row on all of its tokens. */
void calc_rows_spread(const struct calc_rows *b, const double *per_row, double *per_token);

/* The clipped loss with a factor per token and what a token counts in the denominator (NULL: 1), and its derivative
 * coef [count]. The names of aggregations are those of the frameworks: "token-mean". */
struct calc_loss {
  const double *advantage, *weight, *counted;
  struct clip_bounds bounds;
  const char *aggregation;
};
int calc_rows_loss(struct calc_case *c, struct calc_rows *b, const struct calc_loss *l, double *loss, double *coef,
                   struct error *err) MUST_USE;
int calc_rows_aggregation(const struct calc_case *c, const char *word, enum aggregation *out,
                          struct error *err) MUST_USE;
/* The scale of each token in such a mean. */
int calc_rows_scale(struct calc_case *c, struct calc_rows *b, const char *aggregation, const double *counted,
                    double *scale, struct error *err) MUST_USE;
/* Adds coef * k3 (part_kl.h) over all tokens to coef; returns the mean through *kl. */
int calc_rows_kl(struct calc_case *c, struct calc_rows *b, const char *aggregation, double weight, double *kl,
                 double *coef, struct error *err) MUST_USE;

#endif
