/* ace: asymmetric confidence-aware error penalty (arXiv 2602.21420).
 *
 *     c_i  = mean_t (logp_t - reference_t)                 the reference is the model that training began with
 *     A'_i = A_i (1 + alpha gate(c_i)) where A_i < 0       softplus: 1 + 0.693 alpha at first, 1 + alpha c far above
 *
 * A wrong answer that training has made likelier than it was is pushed down harder than one that the policy tries for
 * the first time; right answers stay. Which policy enters c in a step's later mini-batches is not said by the paper:
 * `policy: old`, the sampler's record, keeps the factor fixed; `current` takes it anew, as a constant, each mini-batch.
 */
#include "method/method.h"
#include "method/part_confident_error.h"

enum shift_policy { OLD, CURRENT };
enum shift_length { MEAN, SUM };
enum shift_from { INITIAL, AVERAGE };

#define OPTIONS(X)                                                                                                    \
  X(REAL, alpha, 1, 0, 1e3, NULL, "strength; 0: the base")                                                            \
  X(ENUM, gate, ERROR_GATE_SOFTPLUS, 0, 0, ERROR_GATE_WORDS, "from the shift of confidence to the extra penalty")     \
  X(ENUM, length, MEAN, 0, 0, "mean|sum", "the shift is the mean over a response's tokens, or their sum")             \
  X(ENUM, policy, OLD, 0, 0, "old|current", "whose log-probabilities: the sampler's record, or the mini-batch's own") \
  X(ENUM, from, INITIAL, 0, 0, "initial|average",                                                                     \
    "what they are compared with: the reference, or an average of the weights")                                       \
  X(REAL, ema_rate, 0.01, 1e-6, 1, NULL, "from: average: share of the new weights after each step")

struct self {
  OPTIONS(OPTION_FIELD)
};
static const struct method_option options[] = {OPTIONS(OPTION_ROW)};
static const struct metric metrics[] = {
    {"overconfident", "share", "of responses with A < 0: likelier than under the reference"},
    {"overconfident_shift", "nats", "their mean shift; 0 without any"},
    {"factor", "", "mean factor on responses with A < 0"},
};

static int declare(const void *options_of, struct needs *out, struct error *err)
{
  const struct self *o = options_of;
  (void)err;
  if (!(o->alpha > 0)) return 0;
  out->flags |= o->from == AVERAGE ? NEED_EMA : NEED_REFERENCE_LOGP;
  out->ema_rate = o->from == AVERAGE ? o->ema_rate : 0;
  return 0;
}

/* [path_count] What a response's log-probabilities are compared with. */
static const double *compared(const struct self *o, const struct step *s)
{
  return o->from == AVERAGE ? scores_logp(s, "ema") : s->reference;
}

static double shift_of(const struct self *o, const double *logp, const double *reference, int32_t n)
{
  double sum = 0;
  for (int32_t t = 0; t < n; t++) sum += logp[t] - reference[t];
  return o->length == SUM || !n ? sum : sum / n;
}

struct tally {
  double wrong, sure, shift, factor;
};

static double factor_of(const struct self *o, double shift, double advantage, struct tally *t)
{
  double factor = error_factor((enum error_gate)o->gate, o->alpha, shift, advantage);
  if (advantage < 0) {
    t->wrong++;
    t->sure += shift > 0;
    t->shift += shift > 0 ? shift : 0;
    t->factor += factor;
  }
  return factor;
}

static void report(struct method_call *c, const struct tally *t)
{
  method_report(c, "overconfident", t->wrong > 0 ? t->sure / t->wrong : 0);
  method_report(c, "overconfident_shift", t->sure > 0 ? t->shift / t->sure : 0);
  method_report(c, "factor", t->wrong > 0 ? t->factor / t->wrong : 1);
}

/* On the base's credit, from the sampler's record. */
static int advantage(struct method_call *c, const struct step *s, struct credit *out, struct error *err)
{
  const struct self *o = c->self;
  struct tally t = {0};
  TRY(c->base->method->advantage(c->base, s, out, err));
  double *logp = ARENA_NEW(c->scratch, double, (size_t)s->path_count, "ace", err);
  if (!logp) return err->code;
  for (int32_t i = 0; o->alpha > 0 && o->policy == OLD && i < s->kept; i++) {
    const struct rollout *r = &s->rollouts[s->order[i]];
    if (!r->path_count) continue;
    double *a = out->advantage + r->path;
    for (int32_t p = 0; p < r->path_count; p++) logp[p] = (double)step_record(s, r->path + p)->logp;
    double shift = shift_of(o, logp, compared(o, s) + r->path, r->path_count);
    double factor = factor_of(o, shift, a[0], &t);
    for (int32_t p = 0; p < r->path_count; p++) a[p] *= factor;
  }
  if (o->policy == OLD) report(c, &t);
  return 0;
}

/* The same from what the mini-batch's weights say: a factor on tokens that changes no denominator. */
static int weight_current(struct method_call *c, const struct minibatch *m, struct factors *out, struct error *err)
{
  const struct self *o = c->self;
  struct tally t = {0};
  (void)err;
  if (o->policy == OLD || !(o->alpha > 0)) return 0;
  for (int32_t i = 0; i < m->sequence_count; i++) {
    const struct minibatch_sequence *q = &m->sequences[i];
    const double *reference = compared(o, m->step) + m->token[q->first]; /* a response's tokens stand together */
    double shift = shift_of(o, m->logp + q->first, reference, q->count);
    double factor = factor_of(o, shift, m->advantage[q->first], &t);
    for (int32_t k = q->first; k < q->first + q->count; k++) out->factor[k] = factor;
  }
  report(c, &t);
  return 0;
}

const struct method method_ace = {
    .name = "ace",
    .title = "Asymmetric confidence-aware error penalty",
    .paper = "arXiv 2602.21420, confidence shift and penalty",
    .number = 42,
    .base = "grpo",
    .neutral = "alpha=0",
    .needs = NEED_REFERENCE_LOGP | NEED_EMA,
    METHOD_OPTIONS(options),
    METHOD_METRICS(metrics),
    .declare = declare,
    .advantage = advantage,
    .weight_current = weight_current,
};
