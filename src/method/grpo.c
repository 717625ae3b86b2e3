/* grpo: group relative policy optimisation.
 *
 *     A_i  = (R_i - mean R) / (std R + eps)             arXiv 2402.03300, section 4.1.2
 *     L_t  = max(-A r, -A clip(r, 1 - low, 1 + high))   r = exp(logp - old); arXiv 1707.06347, eq. 7
 *     loss = agg(L_t) + kl_coef agg(KL_t) - entropy_coef agg(H_t)
 *
 * Where two frameworks mean different numbers by this name, an option selects whose: verl and OpenRLHF divide by the
 * n-1 std with eps 1e-6 and 1e-9, TRL with 1e-4, RLOO takes the mean of the others and no std (arXiv 2402.14740),
 * Dr.GRPO the mean of all and no std (arXiv 2503.20783). scale_rewards: batch divides by the std of all rollouts of the
 * step (LitePPO, arXiv 2508.08221; TRL). R is the scalar and what `shape` put on the tokens (kl_reward).
 */
#include "method/method.h"
#include "method/part_aggregate.h"
#include "method/part_clip.h"
#include "method/part_group.h"
#include "method/part_kl.h"
#include "method/part_plain.h"
#include "method/part_return.h"

enum dialect { VERL, TRL, OPENRLHF, RLOO, DR_GRPO };
enum scaling { SCALE_GROUP, SCALE_BATCH, SCALE_NONE };
enum divisor { SAMPLE, POPULATION };

#define OPTIONS(X)                                                                                              \
  X(ENUM, dialect, VERL, 0, 0, "verl|trl|openrlhf|rloo|dr_grpo",                                                \
    "whose advantage: std n-1 with eps 1e-6, 1e-4, 1e-9; leave-one-out; no std")                                \
  X(ENUM, scale_rewards, SCALE_GROUP, 0, 0, "group|batch|none",                                                 \
    "the standard deviation that divides: the group's, that of all rollouts of the step, or none")              \
  X(ENUM, std, SAMPLE, 0, 0, "sample|population", "its variance over n - 1, or over n")                         \
  X(ENUM, aggregation, AGGREGATE_TOKEN_MEAN, 0, 0, AGGREGATE_WORDS, "how token losses become one number")       \
  X(REAL, constant, 0, 0, 1e9, NULL, "length that aggregation: constant divides by; 0: rollout.max_new_tokens") \
  X(REAL, clip_low, 0.2, 0, OPTION_INF, NULL, "ratios below 1 - clip_low carry no gradient where A < 0")        \
  X(REAL, clip_high, 0.2, 0, OPTION_INF, NULL, "ratios above 1 + clip_high carry no gradient where A > 0")      \
  X(REAL, clip_dual, 3, 1, OPTION_INF, NULL, "ratios above it carry no gradient where A < 0; .inf: off")        \
  X(REAL, kl_coef, 0, 0, 1e6, NULL, "weight of the KL to the reference in the loss; 0: no reference is kept")   \
  X(ENUM, kl_type, KL_K3, 0, 0, KL_WORDS, "its estimator")                                                      \
  X(BOOL, kl_clamp, 1, 0, 1, NULL, "k3 as in verl: exponent within 20, value within 10")                        \
  X(REAL, entropy_coef, 0, -1e3, 1e3, NULL, "weight of the entropy bonus")

struct self {
  OPTIONS(OPTION_FIELD)
};
static const struct method_option options[] = {OPTIONS(OPTION_ROW)};

static int declare(const void *options_of, struct needs *out, struct error *err)
{
  const struct self *o = options_of;
  (void)err;
  if (o->kl_coef > 0) out->flags |= NEED_REFERENCE_LOGP | NEED_ALWAYS;
  if (o->entropy_coef < 0 || o->entropy_coef > 0) out->flags |= NEED_ENTROPY | NEED_ALWAYS;
  return 0;
}

/* R = sum of weight * channel over reward.combine. A rollout without a channel (its verifier failed) gets nothing for
 * it. */
static int shape(struct method_call *c, const struct step *s, struct shaping *out, struct error *err)
{
  (void)c;
  for (int32_t t = 0; t < s->combine_count; t++) {
    const struct combine_term *term = &s->combine[t];
    int channel = step_find_channel(s, term->channel);
    if (channel < 0 || s->channel_metric_only[channel]) {
      FAIL(err, ERROR_INPUT,
           "reward.combine names the channel \"%s\", which %s; name \"reward\" or a channel of the verifier",
           term->channel, channel < 0 ? "no verdict has" : "is for metrics alone");
    }
    for (int32_t i = 0; i < s->kept; i++) {
      double value;
      if (step_get_channel(s, s->order[i], channel, &value)) out->reward[s->order[i]] += term->weight * value;
    }
  }
  return 0;
}

/* What an advantage is made by: eps of the dialect, < 0: no division; std of the batch, or < 0: the group's own. */
struct rule {
  bool leave_one_out, unbiased;
  double eps, std;
};

static void credit_group(const void *arg, const struct step *s, const int32_t *members, double *reward, int32_t n,
                         double *out)
{
  const struct rule *r = arg;
  (void)s;
  (void)members;
  if (r->leave_one_out)
    group_leave_one_out(reward, n, out);
  else if (r->std >= 0)
    group_divided(reward, n, r->std + r->eps, out);
  else
    group_normalised(reward, n, r->unbiased, r->eps, out);
}

/* One number a rollout, from the rewards of its group, on all of its tokens. */
static int advantage(struct method_call *c, const struct step *s, struct credit *out, struct error *err)
{
  static const double EPS[] = {[VERL] = 1e-6, [TRL] = 1e-4, [OPENRLHF] = 1e-9, [RLOO] = -1, [DR_GRPO] = -1};
  const struct self *o = c->self;
  struct rule rule = {.leave_one_out = o->dialect == RLOO,
                      .unbiased = o->std == SAMPLE,
                      .eps = o->scale_rewards == SCALE_NONE ? -1 : EPS[o->dialect],
                      .std = -1};
  if (o->scale_rewards == SCALE_BATCH && rule.eps >= 0) {
    double *all = ARENA_NEW(c->scratch, double, (size_t)s->kept, "grpo", err);
    if (!all) return err->code;
    for (int32_t i = 0; i < s->kept; i++) all[i] = return_whole(s, s->order[i]);
    rule.std = group_statistics(all, s->kept, rule.unbiased).std;
  }
  return plain_by_group(c->scratch, s, credit_group, &rule, out->advantage, err);
}

static double *scales(struct method_call *c, const struct minibatch *m, const double *counted, struct error *err)
{
  const struct self *o = c->self;
  return aggregate_scales(c->scratch, m, (enum aggregation)o->aggregation, o->constant, counted, err);
}

static int objective(struct method_call *c, const struct minibatch *m, struct loss *out, struct error *err)
{
  const struct self *o = c->self;
  const struct clip_bounds bounds = {.low = o->clip_low, .high = o->clip_high, .dual = o->clip_dual};
  const double *scale = scales(c, m, m->counted, err);
  if (!scale) return err->code;
  for (int32_t i = 0; i < m->count; i++) {
    struct clip_value v = clip_surrogate(m->logp[i], m->old[i], m->advantage[i], &bounds);
    out->loss[i] = scale[i] * m->weight[i] * v.loss;
    out->coef[i] = scale[i] * m->weight[i] * v.coef;
    out->clipped[i] = v.clipped;
  }
  return 0;
}

/* kl_coef agg(KL) - entropy_coef agg(H), over all tokens: weights concern the policy loss alone. */
static int regularise(struct method_call *c, const struct minibatch *m, struct loss *out, struct error *err)
{
  const struct self *o = c->self;
  const double *scale = scales(c, m, NULL, err);
  if (!scale) return err->code;
  out->uses_kl = o->kl_coef > 0;
  for (int32_t i = 0; i < m->count; i++) {
    if (out->uses_kl) {
      struct kl_value k = kl_estimate((enum kl_type)o->kl_type, m->logp[i], m->reference[i], o->kl_clamp);
      out->kl[i] = k.value;
      out->loss[i] += o->kl_coef * scale[i] * k.value;
      out->coef[i] += o->kl_coef * scale[i] * k.coef;
    }
    if (out->entropy_coef && (o->entropy_coef < 0 || o->entropy_coef > 0)) {
      out->loss[i] -= o->entropy_coef * scale[i] * m->entropy[i];
      out->entropy_coef[i] -= o->entropy_coef * scale[i];
    }
  }
  return 0;
}

const struct method method_grpo = {
    .name = "grpo",
    .title = "Group relative policy optimisation",
    .paper = "arXiv 2402.03300; dialects of verl, TRL and OpenRLHF; RLOO arXiv 2402.14740; Dr.GRPO arXiv 2503.20783",
    .needs = NEED_REFERENCE_LOGP | NEED_ENTROPY | NEED_ALWAYS,
    METHOD_OPTIONS(options),
    .declare = declare,
    .shape = shape,
    .advantage = advantage,
    .objective = objective,
    .regularise = regularise,
};
