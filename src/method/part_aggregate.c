#include "method/part_aggregate.h"

static double sequence_count(const struct minibatch_sequence *q, const double *counted)
{
  if (!counted) return q->count;
  double n = 0;
  for (int32_t i = q->first; i < q->first + q->count; i++) n += counted[i];
  return n;
}

void aggregate_scale(const struct minibatch *m, enum aggregation mode, double constant, const double *counted,
                     double *scale)
{
  /* Denominators first: N over tokens, B over sequences that count. */
  double tokens = 0, sequences = 0;
  for (int32_t s = 0; s < m->sequence_count; s++) {
    double n = sequence_count(&m->sequences[s], counted);
    tokens += n;
    sequences += n > 0;
  }
  for (int32_t s = 0; s < m->sequence_count; s++) {
    const struct minibatch_sequence *q = &m->sequences[s];
    double n = sequence_count(q, counted), by = 0;
    switch (mode) {
      case AGGREGATE_TOKEN_MEAN:
        by = tokens;
        break;
      case AGGREGATE_SEQ_MEAN_TOKEN_MEAN:
        by = sequences * n;
        break;
      case AGGREGATE_SEQ_MEAN_TOKEN_SUM:
        by = sequences;
        break;
      case AGGREGATE_CONSTANT:
        by = sequences * constant;
        break;
    }
    for (int32_t i = q->first; i < q->first + q->count; i++) scale[i] = n > 0 && by > 0 ? 1.0 / by : 0;
  }
}
