/* train/score_rows: functions of whole rows that methods may ask for: token statistics (scores.h has the table) and
 * probabilities of a group's own tokens.
 */
#ifndef ASSAY_TRAIN_SCORE_ROWS_H
#define ASSAY_TRAIN_SCORE_ROWS_H

#include "method/method.h"
#include "train/token_pass.h"

struct score_rows {
  const struct step *step;
  const struct token_items *items;
  size_t vocab;
  double temperature;
  struct trainer_rows rows; /* what the pass gets */
};

/* One statistic of a row: logp [vocab] at the step's temperature, y the token. */
double token_stat_of(const struct token_stat *stat, const double *logp, size_t vocab, int32_t y, double temperature);
/* Room in step->scores for what needs ask, and the function that fills it. */
int score_rows_open(struct score_rows *r, const struct needs *n, struct step *s, const struct token_items *items,
                    size_t vocab, struct error *err) MUST_USE;

#endif
