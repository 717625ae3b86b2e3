#include "method/part_aggregate.h"

static double sequence_count(const struct minibatch_sequence *q, const double *counted)
{
  if (!counted) return q->count;
  double n = 0;
  for (int32_t i = q->first; i < q->first + q->count; i++) n += counted[i];
  return n;
}

struct aggregate_counts aggregate_count(const struct minibatch *m, const double *counted)
{
  struct aggregate_counts all = {0};
  for (int32_t s = 0; s < m->sequence_count; s++) {
    double n = sequence_count(&m->sequences[s], counted);
    all.tokens += n;
    all.sequences += n > 0;
  }
  return all;
}

static double divisor(enum aggregation mode, double constant, const struct aggregate_counts *all, double own)
{
  switch (mode) {
    case AGGREGATE_TOKEN_MEAN:
      return all->tokens;
    case AGGREGATE_SEQ_MEAN_TOKEN_MEAN:
      return all->sequences * own;
    case AGGREGATE_SEQ_MEAN_TOKEN_SUM:
      return all->sequences;
    case AGGREGATE_CONSTANT:
      return all->sequences * constant;
    case AGGREGATE_TOKEN_SUM:
    case AGGREGATE_GROUP_TOKEN_MEAN:
      break;
  }
  return 1;
}

static int32_t group_of(const struct minibatch *m, int32_t sequence)
{
  return m->step->rollouts[m->sequences[sequence].rollout].group;
}

/* 1 / (P N_g), groups in any order. */
static void scale_by_group(const struct minibatch *m, const double *counted, double *scale)
{
  double groups = 0;
  for (int pass = 0; pass < 2; pass++) {
    for (int32_t s = 0; s < m->sequence_count; s++) {
      double tokens = 0;
      bool first = true;
      for (int32_t o = 0; o < m->sequence_count; o++) {
        if (group_of(m, o) != group_of(m, s)) continue;
        first = first && o >= s;
        tokens += sequence_count(&m->sequences[o], counted);
      }
      const struct minibatch_sequence *q = &m->sequences[s];
      if (!pass) groups += first && tokens > 0;
      for (int32_t i = q->first; pass && i < q->first + q->count; i++)
        scale[i] = tokens > 0 ? 1.0 / (groups * tokens) : 0;
    }
  }
}

void aggregate_scale_by(const struct minibatch *m, enum aggregation mode, double constant, const double *counted,
                        const struct aggregate_counts *all, double *scale)
{
  if (mode == AGGREGATE_GROUP_TOKEN_MEAN) {
    scale_by_group(m, counted, scale);
    return;
  }
  for (int32_t s = 0; s < m->sequence_count; s++) {
    const struct minibatch_sequence *q = &m->sequences[s];
    double n = sequence_count(q, counted), by = divisor(mode, constant, all, n);
    for (int32_t i = q->first; i < q->first + q->count; i++) scale[i] = n > 0 && by > 0 ? 1.0 / by : 0;
  }
}

void aggregate_scale(const struct minibatch *m, enum aggregation mode, double constant, const double *counted,
                     double *scale)
{
  const struct aggregate_counts all = aggregate_count(m, counted);
  aggregate_scale_by(m, mode, constant, counted, &all, scale);
}

double *aggregate_scales(struct arena *a, const struct minibatch *m, enum aggregation mode, double constant,
                         const double *counted, struct error *err)
{
  double *scale = ARENA_NEW(a, double, (size_t)m->count, "loss", err);
  if (scale) aggregate_scale(m, mode, constant > 0 ? constant : (double)m->step->max_new_tokens, counted, scale);
  return scale;
}

double *aggregate_scales_empty(struct arena *a, const struct minibatch *m, enum aggregation mode, double constant,
                               bool empty, struct error *err)
{
  double *scale = ARENA_NEW(a, double, (size_t)m->count, "loss", err);
  struct aggregate_counts all = aggregate_count(m, m->counted);
  if (empty) all.sequences = m->rollout_count;
  if (!(constant > 0)) constant = (double)m->step->max_new_tokens;
  if (scale) aggregate_scale_by(m, mode, constant, m->counted, &all, scale);
  return scale;
}
