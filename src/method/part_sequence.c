#include "method/part_sequence.h"

#include "core/math.h"

double sequence_log_ratio(const struct minibatch *m, const struct minibatch_sequence *q)
{
  double sum = 0;
  for (int32_t i = q->first; i < q->first + q->count; i++) sum += m->logp[i] - m->old[i];
  return sum;
}

double sequence_mean_log_ratio(const struct minibatch *m, const struct minibatch_sequence *q)
{
  return q->count ? sequence_log_ratio(m, q) / q->count : 0;
}

static void clip_sequence(const struct minibatch *m, const struct minibatch_sequence *q,
                          const struct sequence_options *o, const double *scale, struct loss *out)
{
  double log = o->sum ? sequence_log_ratio(m, q) : sequence_mean_log_ratio(m, q), shared = 0;
  double ratio = math_exp(log > o->limit ? o->limit : log);
  int32_t end = q->first + q->count;
  for (int32_t i = q->first; i < end; i++) {
    struct clip_value v = clip_given(ratio, !(log > o->limit), m->advantage[i], &o->bounds);
    out->loss[i] += scale[i] * m->weight[i] * v.loss;
    out->clipped[i] = v.clipped;
    if (o->own)
      out->coef[i] += scale[i] * m->weight[i] * v.coef;
    else
      shared += scale[i] * m->weight[i] * v.coef;
  }
  for (int32_t i = q->first; i < end && !o->own; i++) out->coef[i] += o->sum ? shared : shared / q->count;
}

void sequence_clipped(const struct minibatch *m, const struct sequence_options *o, const double *scale,
                      struct loss *out)
{
  for (int32_t s = 0; s < m->sequence_count; s++) clip_sequence(m, &m->sequences[s], o, scale, out);
}

int sequence_objective(struct method_call *c, const struct minibatch *m, const struct sequence_choice *o,
                       struct loss *out, struct error *err)
{
  const struct sequence_options sequence = {.bounds = {.low = o->clip_low, .high = o->clip_high, .dual = OPTION_INF},
                                            .limit = SEQUENCE_LIMIT};
  const double *scale = aggregate_scales_empty(c->scratch, m, o->aggregation, 0, o->empty, err);
  if (!scale) return err->code;
  sequence_clipped(m, &sequence, scale, out);
  return 0;
}

/* A log-ratio held back on the side that the advantage pushes to; open: its gradient passes. Without an advantage a
 * token has no side, and none of this. */
static double hold(double d, double advantage, const struct geometric_options *o, bool *open)
{
  *open = advantage > 0 ? !(d > o->high) : advantage < 0 && !(d < -o->low);
  if (!(advantage > 0) && !(advantage < 0)) return 0;
  if (advantage > 0) return *open ? d : o->high;
  return *open ? d : -o->low;
}

static void geometric_sequence(const struct minibatch *m, const struct minibatch_sequence *q,
                               const struct geometric_options *o, struct loss *out)
{
  double sum = 0, advantage = 0, weight = 0, used = 0;
  bool open;
  for (int32_t i = q->first; i < q->first + q->count; i++) {
    advantage += m->advantage[i] / q->count;
    /* + 1e-10 as in verl: a weight of 0 stays a number */
    weight += m->weight[i] == 1 ? 0 : math_log(m->weight[i] + 1e-10) / q->count;
    if (o->use && !(o->use[i] > 0)) continue;
    sum += hold(m->logp[i] - m->old[i], m->advantage[i], o, &open);
    used++;
  }
  if (!q->count || !(o->sequences > 0)) return;
  double log = used > 0 ? sum / used : 0;
  double loss = -advantage * math_exp(log > o->limit ? o->limit : log) * math_exp(weight) / o->sequences;
  out->loss[q->first] += loss;
  for (int32_t i = q->first; i < q->first + q->count; i++) {
    hold(m->logp[i] - m->old[i], m->advantage[i], o, &open);
    out->clipped[i] = !open && m->advantage[i] != 0;
    if (open && !(log > o->limit) && (!o->use || o->use[i] > 0)) out->coef[i] += loss / used;
  }
}

void sequence_geometric(const struct minibatch *m, const struct geometric_options *o, struct loss *out)
{
  for (int32_t s = 0; s < m->sequence_count; s++) geometric_sequence(m, &m->sequences[s], o, out);
}

double sequence_gamma(const struct minibatch *m, const struct minibatch_sequence *q, double log_weight,
                      double advantage, const struct gamma_options *o)
{
  const double least = math_log(1e-8);
  double log = log_weight, k = advantage >= 0 ? o->k_positive : o->k_negative;
  double lambda = advantage >= 0 ? o->lambda_positive : o->lambda_negative;
  if (lambda < 1e-4) lambda = 1e-4;
  for (int32_t i = q->first; i < q->first + q->count; i++)
    log += math_clamp(m->logp[i] - m->old[i], -CLIP_LOG_RATIO, CLIP_LOG_RATIO);
  log = math_clamp(log, least, 20);
  return math_exp(lambda + k * log - lambda * math_exp(log));
}
