/* method/part_anneal: temperatures that change with the place of a token in its response and with the training step
 * (EAD, arXiv 2510.05251; code yangalan123/EAD-RLVR).
 *
 * t tokens of the response are there, s is the step, d = min(d0 + growth s, most) in tokens, e = exp(-s / steps):
 *
 *     t < first           1
 *     negexp              max(1 + hot - exp(min(t / d, 50)), cold)       the paper's
 *     exp                 cold + (hot - cold) exp(-t / d)                 token_length; growing d: both_v_1_5
 *     step                cold + (hot - cold) e                           global_step
 *     both                cold + (hot e - cold) exp(-t / d)               may fall below cold
 *     steps_variant       min(hot + (cold - hot) e, 1)
 *     steps_variant_rev   max(cold + (hot - cold) e, 0.1)
 *     none                hot
 *
 * The names are the release's. Its d is 20 D in the sampler, where D is what its flags say, hence 500 + 100 s; here d
 * is in tokens everywhere.
 */
#ifndef ASSAY_METHOD_PART_ANNEAL_H
#define ASSAY_METHOD_PART_ANNEAL_H

#include <stdint.h>

enum anneal_mode {
  ANNEAL_NEGEXP,
  ANNEAL_EXP,
  ANNEAL_STEP,
  ANNEAL_BOTH,
  ANNEAL_STEPS_VARIANT,
  ANNEAL_STEPS_VARIANT_REV,
  ANNEAL_NONE
};
#define ANNEAL_WORDS "negexp|exp|step|both|steps_variant|steps_variant_rev|none"

struct anneal {
  enum anneal_mode mode;
  double hot, cold;
  double d0, growth, most; /* tokens, tokens a step, tokens */
  double steps;            /* of the modes that look at s */
  double first;            /* tokens that are drawn at temperature 1 */
};
double anneal_length(const struct anneal *o, int64_t step);
double anneal_temperature(const struct anneal *o, int64_t position, int64_t step);
/* Of negexp, as real positions: where it passes 1, and where it reaches the cold end. */
double anneal_crossing(const struct anneal *o, int64_t step);
double anneal_floor(const struct anneal *o, int64_t step);

/* log softmax(logits / temperature): [n]. */
void anneal_distribution(const double *logits, int32_t n, double temperature, double *logp);

/* min(exp(clamp(logp - behaviour, -20, 20)), cap): what one token drawn at another temperature counts. cap infinite:
 * none. */
double anneal_weight(double logp, double behaviour, double cap);

#endif
