/* entropy_bonus: L -= coef agg(H_t), H the entropy of the policy before each token (arXiv 1602.01783, section 4). With
 * a target the coefficient is moved by `rate` after each step: up while the entropy is below the target, else down to
 * 0.
 */
#include "core/math.h"
#include "method/method.h"
#include "method/part_aggregate.h"

#define OPTIONS(X)                                                                                                  \
  X(REAL, coef, 0.001, -1e3, 1e3, NULL, "weight of the entropy; 0: none; with a target: where it begins")           \
  X(REAL, target, -1, -1, 1e3, NULL, "entropy in nats that the coefficient is moved to; -1: the coefficient stays") \
  X(REAL, rate, 0.0001, 0, 1, NULL, "how much the coefficient moves in a step")                                     \
  X(REAL, most, 1, 0, 1e3, NULL, "largest coefficient that a target leads to")                                      \
  X(ENUM, aggregation, AGGREGATE_TOKEN_MEAN, 0, 0, AGGREGATE_WORDS, "how token entropies become one number")        \
  X(REAL, constant, 0, 0, 1e9, NULL, "length that aggregation: constant divides by; 0: rollout.max_new_tokens")
#define STATE(X) X(double, moved, , "coefficient minus option coef")

struct self {
  OPTIONS(OPTION_FIELD)
  STATE(STATE_FIELD)
};
static const struct method_option options[] = {OPTIONS(OPTION_ROW)};
static const struct state_field state[] = {STATE(STATE_ROW)};
static const struct metric metrics[] = {{"coef", "ratio", "weight of the entropy in this step"}};

static bool is_on(const struct self *o)
{
  return o->coef < 0 || o->coef > 0 || o->target >= 0;
}

static int declare(const void *options_of, struct needs *out, struct error *err)
{
  (void)err;
  if (is_on(options_of)) out->flags |= NEED_ENTROPY | NEED_ALWAYS;
  return 0;
}

static int regularise(struct method_call *c, const struct minibatch *m, struct loss *out, struct error *err)
{
  const struct self *o = c->self;
  double coef = o->coef + o->moved;
  method_report(c, "coef", coef);
  if (!is_on(o)) return 0;
  const double *scale = aggregate_scales(c->scratch, m, (enum aggregation)o->aggregation, o->constant, NULL, err);
  if (!scale) return err->code;
  for (int32_t i = 0; i < m->count; i++) {
    out->entropy_coef[i] = -coef * scale[i];
    out->loss[i] = out->entropy_coef[i] * m->entropy[i];
  }
  return 0;
}

static int observe(struct method_call *c, const struct step *s, struct observation *seen, struct error *err)
{
  struct self *o = c->self;
  (void)s;
  (void)err;
  if (o->target < 0 || math_is_nan(seen->entropy)) return 0;
  double coef = o->coef + o->moved + (seen->entropy < o->target ? o->rate : -o->rate);
  o->moved = math_clamp(coef, 0, o->most) - o->coef;
  return 0;
}

const struct method method_entropy_bonus = {
    .name = "entropy_bonus",
    .title = "Entropy bonus, fixed or towards a target",
    .paper = "arXiv 1602.01783, section 4; target as in TRL's entropy_target",
    .base = "grpo",
    .neutral = "coef=0",
    .needs = NEED_ENTROPY | NEED_ALWAYS,
    METHOD_OPTIONS(options),
    METHOD_STATE(state),
    METHOD_METRICS(metrics),
    .declare = declare,
    .regularise = regularise,
    .observe = observe,
};
