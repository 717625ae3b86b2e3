/* method/part_correction: a sampler that is not the policy which is trained: other software, older weights, or filters
 * (top-p, top-k) that the policy does not have.
 *
 * For a token with log rho = log pi_old - log pi_sampler (clamped to +-20), or a sequence with the sum of its own:
 *
 *     TRUNCATE   w = clamp(rho, low, high)                 TIS: low 0 (verl), 0.5 (OpenRLHF)
 *     DROP       w = rho inside [low, high], else 0        IcePop; the token stays in the denominators
 *
 * and, the other way of being careful, rules that take tokens or whole sequences out of the mask:
 *
 *     k1 = -log rho    k2 = (log rho)^2 / 2    k3 = rho - 1 - log rho
 *
 * per token, or their sum, mean or largest over a sequence; kept where low <= it <= high (k2, k3: high alone). For k1
 * the bounds are given as ratios sampler over trainer: log low <= k1 <= log high.
 *
 * Sources: TIS, F. Yao et al., "Your efficient RL framework secretly brings you off-policy RL training" (2025); IcePop,
 * arXiv 2510.18855; the rules and metrics of verl's rollout_corr_helper.
 */
#ifndef ASSAY_METHOD_PART_CORRECTION_H
#define ASSAY_METHOD_PART_CORRECTION_H

#include <stdint.h>
#include "core/error.h"

/* Tokens of all sequences, one sequence after the other. */
struct correction_span {
  int32_t first, count;
};
struct correction {
  int32_t count, span_count;
  const struct correction_span *spans;
  const double *old, *sampler; /* [count] log-probabilities */
};

enum correction_level { CORRECTION_TOKEN, CORRECTION_SEQUENCE };
enum correction_kind { CORRECTION_TRUNCATE, CORRECTION_DROP };
struct correction_weighting {
  enum correction_level level;
  enum correction_kind kind;
  double low, high;
  bool normalise; /* to a mean of 1 over tokens, or over sequences */
};
/* raw: rho before the bounds. Returns what the weights were divided by: 1 without `normalise`, or where their mean is
 * 0. A sequence without tokens has no weight. */
double correction_weights(const struct correction *c, const struct correction_weighting *o, double *raw,
                          double *weight);

/* rho of a token, its logarithm held within 20; 1 where the sampler's log-probability is no number. */
double correction_ratio(double logp, double sampler);
/* w of one rho. */
double correction_weight(const struct correction_weighting *o, double rho);

enum correction_rule {
  RULE_TOKEN_K1,
  RULE_TOKEN_K2,
  RULE_TOKEN_K3,
  RULE_SEQ_SUM_K1,
  RULE_SEQ_SUM_K2,
  RULE_SEQ_SUM_K3,
  RULE_SEQ_MEAN_K1,
  RULE_SEQ_MEAN_K2,
  RULE_SEQ_MEAN_K3,
  RULE_SEQ_MAX_K2,
  RULE_SEQ_MAX_K3
};
struct correction_rejection {
  enum correction_rule rule;
  double low, high; /* low: k1 alone */
};
/* "token_k1,seq_max_k2" with "0.9_1.1,0.05": a bound for each rule, or one for all. LOW_HIGH for k1 alone, HIGH for it
 * means 1/HIGH .. HIGH. ERROR_INPUT says what is wrong. */
enum { CORRECTION_MOST = 11 };
struct correction_rules {
  struct correction_rejection at[CORRECTION_MOST];
  int count;
};
int correction_read_rules(const char *rules, const char *bounds, struct correction_rules *out,
                          struct error *err) MUST_USE;
/* "2.0" truncates, "0.9_1.1" drops. */
int correction_read_bounds(const char *text, struct correction_weighting *out, struct error *err) MUST_USE;
const char *correction_rule_name(enum correction_rule rule);
bool correction_rule_is_k1(enum correction_rule rule);
bool correction_rule_is_token(enum correction_rule rule);
/* statistic: [count], a sequence's on all of its tokens. keep: [count], set to false where the rule takes one out, else
 * left. */
void correction_reject(const struct correction *c, const struct correction_rejection *o, double *statistic, bool *keep);

/* Numbers by name, in verl's order and with its names. */
typedef void correction_put(void *arg, const char *name, double value);
void correction_measure_weights(const struct correction *c, const struct correction_weighting *o, const double *raw,
                                const double *weight, correction_put *put, void *arg);
/* keep: by this rule alone. */
void correction_measure_rejection(const struct correction *c, const struct correction_rejection *o,
                                  const double *statistic, const bool *keep, correction_put *put, void *arg);
/* How far apart the two are: perplexities, KL, chi^2. */
void correction_measure(const struct correction *c, correction_put *put, void *arg);

#endif
