/* rloo: the mean of the other rollouts as the baseline (arXiv 2402.14740).
 *
 *     A_i = R_i - mean_{j != i} R_j = (G R_i - sum_j R_j) / (G - 1)
 *
 * The loss is grpo's, one ratio a token, or as in TRL one ratio a response: s = exp(sum_t (logp_t - old_t)),
 * L_i = max(-A s, -A clip(s, 1 - clip_low, 1 + clip_high)), the mean over responses. A group of one keeps its reward
 * (verl's loop), or gets 0 (verl's vectorised form, TRL). KL in the reward is kl_reward's.
 */
#include "core/math.h"
#include "method/part_aggregate.h"
#include "method/part_group.h"
#include "method/part_plain.h"
#include "method/part_return.h"
#include "method/part_sequence.h"

enum dialect { VERL, VERL_VECTORIZED, TRL };

#define OPTIONS(X)                                                                                                   \
  X(ENUM, dialect, VERL, 0, 0, "verl|verl_vectorized|trl", "whose: a group of one keeps R; gets 0; 0, and its loss") \
  X(BOOL, normalise, 0, 0, 1, NULL, "advantages of the step to mean 0 and standard deviation 1, + 1e-4 (TRL)")       \
  X(REAL, reward_clip, OPTION_INF, 0, OPTION_INF, NULL, "rewards are held within +- this before")                    \
  X(REAL, clip_low, 0.2, 0, OPTION_INF, NULL, "dialect: trl: clip of the response's ratio below 1")                  \
  X(REAL, clip_high, 0.2, 0, OPTION_INF, NULL, "dialect: trl: above 1")

struct self {
  OPTIONS(OPTION_FIELD)
};
static const struct method_option options[] = {OPTIONS(OPTION_ROW)};

static void credit_group(const void *arg, const struct step *s, const int32_t *members, double *reward, int32_t n,
                         double *out)
{
  const struct self *o = arg;
  (void)s;
  (void)members;
  for (int32_t i = 0; i < n; i++) reward[i] = math_clamp(reward[i], -o->reward_clip, o->reward_clip);
  group_leave_one_out(reward, n, out);
  if (n == 1 && o->dialect != VERL) out[0] = 0;
}

/* One number a rollout: its first token's stands for all. */
static int normalise(struct method_call *c, const struct step *s, double *advantage, struct error *err)
{
  double *one = ARENA_NEW(c->scratch, double, (size_t)s->kept, "rloo", err);
  if (!one) return err->code;
  int32_t n = 0;
  for (int32_t i = 0; i < s->kept; i++) {
    const struct rollout *r = &s->rollouts[s->order[i]];
    if (r->path_count) one[n++] = advantage[r->path];
  }
  struct whitening w = whitening_measure(one, NULL, n, WHITEN_TRL);
  for (int32_t p = 0; p < s->path_count; p++) advantage[p] = whitened(&w, advantage[p]);
  return 0;
}

static int advantage(struct method_call *c, const struct step *s, struct credit *out, struct error *err)
{
  const struct self *o = c->self;
  TRY(plain_by_group(c->scratch, s, credit_group, o, out->advantage, err));
  return o->normalise ? normalise(c, s, out->advantage, err) : 0;
}

static int objective(struct method_call *c, const struct minibatch *m, struct loss *out, struct error *err)
{
  const struct self *o = c->self;
  const struct sequence_options by_response = {
      .bounds = {.low = o->clip_low, .high = o->clip_high, .dual = OPTION_INF}, .limit = OPTION_INF, .sum = true};
  if (o->dialect != TRL) return c->base->method->objective(c->base, m, out, err);
  double *scale = ARENA_NEW(c->scratch, double, (size_t)m->count, "rloo", err);
  if (!scale) return err->code;
  aggregate_scale(m, AGGREGATE_SEQ_MEAN_TOKEN_MEAN, 1, m->counted, scale);
  sequence_clipped(m, &by_response, scale, out);
  return 0;
}

const struct method method_rloo = {
    .name = "rloo",
    .title = "REINFORCE with the other rollouts as baseline",
    .paper = "arXiv 2402.14740; dialects of verl and TRL",
    .base = "grpo",
    METHOD_OPTIONS(options),
    .advantage = advantage,
    .objective = objective,
};
