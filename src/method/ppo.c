/* ppo: proximal policy optimisation with a critic (arXiv 1707.06347; the advantage is arXiv 1506.02438, eq. 16).
 *
 *     d_t   = rho_t + gamma V_{t+1} - V_t      V behind the last token is 0
 *     A_t   = d_t + gamma lambda A_{t+1}       then whitened over all tokens of the step
 *     ret_t = A_t + V_t                        before the whitening: what the critic learns
 *     L     = agg(clip loss)                   grpo's
 *           + 0.5 agg(max((v - ret)^2, (clamp(v, V - value_clip, V + value_clip) - ret)^2))
 *
 * The critic is a linear head on the state that predicts the token, with an AdamW of its own, trained in the same step.
 * rho has the reward on the last token, and what kl_reward puts on tokens.
 */
#include "core/math.h"
#include "method/part_aggregate.h"
#include "method/part_plain.h"
#include "method/part_return.h"

#define OPTIONS(X)                                                                                                     \
  X(REAL, gamma, 1, 0, 1, NULL, "discount of a token")                                                                 \
  X(REAL, lambda, 1, 0, 1, NULL, "between the critic's word on the next token (0) and the whole return (1)")           \
  X(ENUM, whiten, 0, 0, 0, "verl|openrlhf|centre|none", "how the tokens of the step become each other's scale")        \
  X(REAL, value_clip, 0.5, 0, OPTION_INF, NULL, "how far a value may move from the step's before it is not pulled")    \
  X(ENUM, value_aggregation, AGGREGATE_TOKEN_MEAN, 0, 0, AGGREGATE_WORDS, "how the critic's losses become one number") \
  X(REAL, value_lr, 1e-5, 0, 1e3, NULL, "learning rate of the head")                                                   \
  X(REAL, value_beta1, 0.9, 0, 0.999999, NULL, "AdamW of the head")                                                    \
  X(REAL, value_beta2, 0.999, 0, 0.999999, NULL, "AdamW of the head")                                                  \
  X(REAL, value_eps, 1e-8, 1e-30, 1, NULL, "AdamW of the head")                                                        \
  X(REAL, value_weight_decay, 0.01, 0, 1e3, NULL, "AdamW of the head")                                                 \
  X(REAL, value_clip_norm, 1, 0, OPTION_INF, NULL, "norm of its gradient at most; 0: off")                             \
  X(BOOL, value_backprop, 0, 0, 1, NULL, "its gradient reaches the policy's weights, too")

struct self {
  OPTIONS(OPTION_FIELD)
};
static const struct method_option options[] = {OPTIONS(OPTION_ROW)};
static const struct metric metrics[] = {{"value_loss", "1", "the critic's loss in the last mini-batch"},
                                        {"value_clip", "share", "its tokens whose value was held"},
                                        {"value", "reward", "mean value of the step's tokens"},
                                        {"explained", "1", "1 - var(return - value) / var(return)"}};

static int declare(const void *options_of, struct needs *out, struct error *err)
{
  const struct self *o = options_of;
  (void)err;
  out->flags |= NEED_VALUE | NEED_ALWAYS;
  out->value = (struct value_need){.lr = o->value_lr,
                                   .beta1 = o->value_beta1,
                                   .beta2 = o->value_beta2,
                                   .eps = o->value_eps,
                                   .weight_decay = o->value_weight_decay,
                                   .clip_norm = o->value_clip_norm,
                                   .backprop = o->value_backprop};
  return 0;
}

static double variance(const double *x, int32_t n)
{
  double mean = 0, squares = 0;
  for (int32_t i = 0; i < n; i++) mean += (x[i] - x[0]) / n;
  for (int32_t i = 0; i < n; i++) squares += (x[i] - x[0] - mean) * (x[i] - x[0] - mean);
  return n ? squares / n : 0;
}

static void report_critic(struct method_call *c, const struct step *s, const struct credit *out)
{
  double sum = 0, all = variance(out->value_target, s->path_count);
  for (int32_t p = 0; p < s->path_count; p++) sum += s->value[p];
  method_report(c, "value", s->path_count ? sum / s->path_count : 0);
  /* The advantage is still return - value. */
  method_report(c, "explained", all > 0 ? 1 - variance(out->advantage, s->path_count) / all : 0);
}

static int advantage(struct method_call *c, const struct step *s, struct credit *out, struct error *err)
{
  static const enum whitening_kind KINDS[] = {WHITEN_VERL, WHITEN_OPENRLHF, WHITEN_CENTRE, WHITEN_NONE};
  const struct self *o = c->self;
  double *rho = ARENA_NEW(c->scratch, double, (size_t)s->path_count, "ppo", err);
  if (!rho) return err->code;
  for (int32_t i = 0; i < s->kept; i++) {
    const struct rollout *r = &s->rollouts[s->order[i]];
    return_rewards(s, s->order[i], rho);
    return_gae(rho, s->value + r->path, NULL, r->path_count, o->gamma, o->lambda, RETURN_SKIP, out->advantage + r->path,
               out->value_target + r->path);
  }
  report_critic(c, s, out);
  whiten(out->advantage, s->path_count, KINDS[o->whiten]);
  return 0;
}

/* The critic's loss. */
static int regularise(struct method_call *c, const struct minibatch *m, struct loss *out, struct error *err)
{
  const struct self *o = c->self;
  double *scale = ARENA_NEW(c->scratch, double, (size_t)m->count, "ppo", err), sum = 0, held = 0;
  if (!scale) return err->code;
  aggregate_scale(m, (enum aggregation)o->value_aggregation, (double)m->step->max_new_tokens, NULL, scale);
  for (int32_t i = 0; i < m->count; i++) {
    struct value_loss v = value_loss(m->value[i], m->value_old[i], m->value_target[i], o->value_clip);
    out->loss[i] = scale[i] * v.loss;
    out->value_coef[i] = scale[i] * v.coef;
    sum += out->loss[i];
    held += v.clipped;
  }
  method_report(c, "value_loss", sum);
  method_report(c, "value_clip", m->count ? held / m->count : 0);
  return 0;
}

const struct method method_ppo = {
    .name = "ppo",
    .title = "Proximal policy optimisation with a critic",
    .paper = "arXiv 1707.06347, eq. 7 and 9; arXiv 1506.02438, eq. 16; value clip of its published code",
    .base = "grpo",
    .needs = NEED_VALUE | NEED_ALWAYS,
    METHOD_OPTIONS(options),
    METHOD_METRICS(metrics),
    .declare = declare,
    .advantage = advantage,
    .regularise = regularise,
};
