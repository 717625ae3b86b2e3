/* full_kl: the exact KL between the policy and a reference, summed over the whole vocabulary at each token.
 *
 *     reverse   L += coef agg(sum_v p_v (log p_v - log q_v))        dKL/dz_v = p_v (log p_v - log q_v - KL)
 *     forward   L += coef agg(sum_v q_v (log q_v - log p_v))        dKL/dz_v = p_v - q_v
 *
 * p the policy, q the reference, z the policy's logits over the temperature. It has none of the noise of the estimators
 * that look at the sampled token (grpo's kl_type), whose means over tokens drawn from p it is.
 */
#include "method/method.h"
#include "method/part_aggregate.h"
#include "method/part_divergence.h"

#define OPTIONS(X)                                                                                                \
  X(REAL, coef, 0.001, 0, 1e6, NULL, "weight of the KL; 0: no reference is kept")                                 \
  X(ENUM, direction, 0, 0, 0, "reverse|forward", "KL(policy || reference) or KL(reference || policy)")            \
  X(ENUM, aggregation, AGGREGATE_TOKEN_MEAN, 0, 0, AGGREGATE_WORDS, "how the KL of the tokens become one number") \
  X(REAL, constant, 0, 0, 1e9, NULL, "length that aggregation: constant divides by; 0: rollout.max_new_tokens")

struct self {
  OPTIONS(OPTION_FIELD)
};
static const struct method_option options[] = {OPTIONS(OPTION_ROW)};

static int declare(const void *options_of, struct needs *out, struct error *err)
{
  const struct self *o = options_of;
  (void)err;
  if (!(o->coef > 0)) return 0;
  out->flags |= NEED_ROW_TERM | NEED_ALWAYS;
  out->row_sources[out->row_source_count++] = (struct row_source){"reference", false};
  out->row_functions = 2;
  return 0;
}

static double kl_at(const void *arg, const struct row_input *in, double *gradient)
{
  return divergence_row(in->logp, in->other[0], in->vocab, arg, gradient, in->scratch);
}

static int regularise(struct method_call *c, const struct minibatch *m, struct loss *out, struct error *err)
{
  const struct self *o = c->self;
  if (!(o->coef > 0)) return 0;
  struct divergence_options *kl = ARENA_NEW(out->arena, struct divergence_options, 1, "full_kl", err);
  double *scale = aggregate_scales(out->arena, m, (enum aggregation)o->aggregation, o->constant, NULL, err);
  if (!kl || !scale) return err->code;
  *kl = (struct divergence_options){.alpha = o->direction ? 0 : 1};
  for (int32_t i = 0; i < m->count; i++) scale[i] *= o->coef;
  out->row = (struct row_term){.scale = scale, .at = kl_at, .arg = kl, .is_kl = true};
  return 0;
}

const struct method method_full_kl = {
    .name = "full_kl",
    .title = "Exact KL to a reference, either way",
    .paper = "S. Kullback and R. Leibler, On information and sufficiency (1951); methods sheet 00, section 10",
    .base = "grpo",
    .neutral = "coef=0",
    .needs = NEED_ROW_TERM | NEED_ALWAYS,
    METHOD_OPTIONS(options),
    .declare = declare,
    .regularise = regularise,
};
