/* dr_grpo: "GRPO done right" (arXiv 2503.20783): no division by the group's standard deviation, none by the response's
 * length.
 *
 *     A_i  = R_i - mean R
 *     loss = (1 / B) sum_i (1 / constant) sum_t L_t        L_t: the clipped surrogate; constant: rollout.max_new_tokens
 */
#include "method/method.h"
#include "method/part_aggregate.h"
#include "method/part_clip.h"
#include "method/part_group.h"

#define OPTIONS(X)                                                                                          \
  X(REAL, constant, 0, 0, 1e9, NULL, "length that every response is divided by; 0: rollout.max_new_tokens") \
  X(ENUM, empty, 0, 0, 0, AGGREGATE_EMPTY_WORDS, "responses without tokens in the mean: TRL counts them")   \
  X(REAL, clip_low, 0.2, 0, OPTION_INF, NULL, "ratios below 1 - clip_low carry no gradient where A < 0")    \
  X(REAL, clip_high, 0.2, 0, OPTION_INF, NULL, "ratios above 1 + clip_high carry no gradient where A > 0")  \
  X(REAL, clip_dual, OPTION_INF, 1, OPTION_INF, NULL, "ratios above it carry no gradient where A < 0")

struct self {
  OPTIONS(OPTION_FIELD)
};
static const struct method_option options[] = {OPTIONS(OPTION_ROW)};

static int advantage(struct method_call *c, const struct step *s, struct credit *out, struct error *err)
{
  double *x = ARENA_NEW(c->scratch, double, 2 * (size_t)s->kept, "dr_grpo", err), *credit = x + s->kept;
  if (!x) return err->code;
  for (int32_t g = 0; g < s->group_count; g++) {
    const int32_t *members = s->order + s->groups[g].first;
    int32_t n = s->groups[g].count;
    for (int32_t i = 0; i < n; i++) x[i] = s->reward[members[i]];
    if (n) group_normalised(x, n, true, -1, credit);
    for (int32_t i = 0; i < n; i++) step_spread(s, members[i], credit[i], out->advantage);
  }
  return 0;
}

static int objective(struct method_call *c, const struct minibatch *m, struct loss *out, struct error *err)
{
  const struct self *o = c->self;
  const struct clip_bounds bounds = {.low = o->clip_low, .high = o->clip_high, .dual = o->clip_dual};
  const double *scale = aggregate_scales_empty(c->scratch, m, AGGREGATE_CONSTANT, o->constant, o->empty, err);
  if (!scale) return err->code;
  for (int32_t i = 0; i < m->count; i++) {
    struct clip_value v = clip_surrogate(m->logp[i], m->old[i], m->advantage[i], &bounds);
    out->loss[i] = scale[i] * m->weight[i] * v.loss;
    out->coef[i] = scale[i] * m->weight[i] * v.coef;
    out->clipped[i] = v.clipped;
  }
  return 0;
}

const struct method method_dr_grpo = {
    .name = "dr_grpo",
    .title = "Dr.GRPO: centred rewards and one constant length",
    .paper = "arXiv 2503.20783, section 3",
    .base = "grpo",
    METHOD_OPTIONS(options),
    .advantage = advantage,
    .objective = objective,
};
