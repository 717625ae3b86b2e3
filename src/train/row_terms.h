/* train/row_terms: the methods' terms on whole rows (method.h, struct row_term) during a mini-batch's backward pass. */
#ifndef ASSAY_TRAIN_ROW_TERMS_H
#define ASSAY_TRAIN_ROW_TERMS_H

#include "train/policies.h"
#include "train/token_pass.h"

/* Where the states of a source stand: those of a policy's scores. */
struct term_source {
  const struct states *states;
  const int32_t *before; /* [count of the mini-batch] row of states, -1: none */
  struct row_reader *reader;
};

struct row_terms {
  const struct minibatch *m;
  const struct composed_loss *loss;
  const struct token_items *items;
  int32_t source_count;
  struct term_source sources[NEEDS_NAMED]; /* of needs.row_sources */
  const int32_t *map;                      /* [row_count][NEEDS_NAMED] which source a term's k-th one is */
  size_t vocab;
  double temperature;
  double **value;           /* [row_count][count] D of each token; 0 where its scale is */
  struct trainer_rows rows; /* what the backward pass gets */
};

/* target: the pass's, -1 for tokens that no term wants. The sources are set by the caller. */
int row_terms_open(struct row_terms *t, struct arena *a, const struct needs *n, const struct minibatch *m,
                   const struct composed_loss *loss, const struct token_pass *pass, struct error *err) MUST_USE;
/* After the pass: adds the terms to loss and kl. A term that is not finite is an error that names its method. */
int row_terms_finish(const struct row_terms *t, struct composed_loss *loss, struct error *err) MUST_USE;

#endif
