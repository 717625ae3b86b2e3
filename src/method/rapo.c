/* rapo: rewards-aware policy optimisation (arXiv 2510.03865).
 *
 *     loss = grpo + alpha agg(D_t) - beta agg(H_t)      D_t: part_tempered.h
 *
 * Forward KL asks the policy to cover what the reference covers and lets it put mass elsewhere; where a rollout's
 * reward is low its reference is flattened, so that failed problems are drawn towards uniform exploration. Both terms
 * concern every token, groups of equal rewards among them: an all-wrong group is what the method is for. Neither is
 * multiplied by the ratio or the advantage.
 *
 * The paper gives the objective, ref^phi / Z and f(u); phi's shape and ends, alpha, beta, the bounds and the reading by
 * tokens are inferred.
 */
#include "method/method.h"
#include "method/part_aggregate.h"
#include "method/part_tempered.h"

#define OPTIONS(X)                                                                                                   \
  X(REAL, alpha, 0.01, 0, 1e6, NULL, "weight of the divergence from the flattened reference; 0: none is kept")       \
  X(REAL, beta, 0.001, 0, 1e3, NULL, "weight of the entropy")                                                        \
  X(ENUM, form, TEMPERED_FULL, 0, 0, TEMPERED_FORM_WORDS,                                                            \
    "the divergence: exact over the vocabulary, f(u) of the sampled token, f with the KL's derivative, or plain k3") \
  X(REAL, phi_lo, 0.5, 0, 1, NULL, "exponent on the reference at reward r_lo and below; 0: uniform")                 \
  X(REAL, phi_hi, 1, 0, 1, NULL, "exponent at reward r_hi and above; 1: the reference as it is")                     \
  X(REAL, r_lo, 0, -1e9, 1e9, NULL, "reward from which the exponent rises")                                          \
  X(REAL, r_hi, 1, -1e9, 1e9, NULL, "reward at which it has risen; not above r_lo: it rises there at once")          \
  X(BOOL, normalise, 1, 0, 1, NULL, "sampled, score: ref^phi over its sum; false: without (f is no KL then)")        \
  X(ENUM, aggregation, AGGREGATE_SEQ_MEAN_TOKEN_MEAN, 0, 0, AGGREGATE_WORDS, "how either term becomes one number")   \
  X(REAL, constant, 0, 0, 1e9, NULL, "length that aggregation: constant divides by; 0: rollout.max_new_tokens")

struct self {
  OPTIONS(OPTION_FIELD)
};
static const struct method_option options[] = {OPTIONS(OPTION_ROW)};
static const struct metric metrics[] = {{"phi", "", "mean exponent on the reference over the step's rollouts"}};

static int declare(const void *options_of, struct needs *out, struct error *err)
{
  const struct self *o = options_of;
  (void)err;
  if (o->beta > 0) out->flags |= NEED_ENTROPY | NEED_ALWAYS;
  if (!(o->alpha > 0)) return 0;
  out->flags |= NEED_ROW_TERM | NEED_ALWAYS;
  out->row_sources[out->row_source_count++] = (struct row_source){"reference", false};
  out->row_functions = o->form == TEMPERED_FULL ? 3 : o->normalise && o->form != TEMPERED_K3 ? 2 : 1;
  return 0;
}

/* What the rows of a mini-batch share. */
struct term {
  struct tempered_options options;
  double *phi; /* [count] */
};

static double apart(const void *arg, const struct row_input *in, double *gradient)
{
  const struct term *t = arg;
  return tempered_row(&t->options, t->phi[in->token], in->logp, in->other[0], in->vocab, in->target, gradient, NULL,
                      in->scratch);
}

static double phi_of(const struct self *o, const struct step *s, int32_t rollout)
{
  const struct tempered_exponent e = {o->phi_lo, o->phi_hi, o->r_lo, o->r_hi};
  return tempered_phi(&e, s->reward[rollout]);
}

static void report(struct method_call *c, const struct self *o, const struct step *s)
{
  double sum = 0;
  for (int32_t i = 0; i < s->kept; i++) sum += phi_of(o, s, s->order[i]);
  method_report(c, "phi", s->kept ? sum / s->kept : o->phi_hi);
}

static int diverge(const struct self *o, const struct minibatch *m, double *scale, struct loss *out, struct error *err)
{
  const struct step *s = m->step;
  struct term *t = ARENA_NEW(out->arena, struct term, 1, "rapo", err);
  double *phi = ARENA_NEW(out->arena, double, (size_t)m->count + 1, "rapo", err);
  if (!t || !phi) return err->code;
  for (int32_t i = 0; i < m->count; i++) {
    phi[i] = phi_of(o, s, s->path[m->token[i]].rollout);
    scale[i] *= o->alpha;
  }
  *t = (struct term){{(enum tempered_form)o->form, o->normalise}, phi};
  out->row = (struct row_term){.scale = scale, .at = apart, .arg = t, .is_kl = true};
  return 0;
}

static int regularise(struct method_call *c, const struct minibatch *m, struct loss *out, struct error *err)
{
  const struct self *o = c->self;
  report(c, o, m->step);
  double *scale = aggregate_scales(out->arena, m, (enum aggregation)o->aggregation, o->constant, NULL, err);
  if (!scale) return err->code;
  for (int32_t i = 0; o->beta > 0 && i < m->count; i++) {
    out->entropy_coef[i] = -o->beta * scale[i];
    out->loss[i] = out->entropy_coef[i] * m->entropy[i];
  }
  return o->alpha > 0 ? diverge(o, m, scale, out, err) : 0;
}

const struct method method_rapo = {
    .name = "rapo",
    .title = "Rewards-aware policy optimisation",
    .paper = "arXiv 2510.03865, objective and reweighted reference",
    .number = 52,
    .base = "grpo",
    .neutral = "alpha=0 beta=0",
    .needs = NEED_ROW_TERM | NEED_ENTROPY | NEED_ALWAYS,
    METHOD_OPTIONS(options),
    METHOD_METRICS(metrics),
    .declare = declare,
    .regularise = regularise,
};
