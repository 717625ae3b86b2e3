/* dapo: decoupled clip and dynamic sampling (arXiv 2503.14476): the four changes to GRPO that kept long runs learning.
 *
 *     clip-higher       L_t = max(-A r, -A clip(r, 1 - 0.2, 1 + 0.28)), dual clip 10      eq. 10
 *     token mean        loss = sum_t L_t / tokens of the mini-batch                       eq. 12
 *     dynamic sampling  groups whose metric is the same for all rollouts leave the step; as many new problems are asked
 *                       as groups are missing, wave by wave while rollout.max_attempts allows (eq. 11); surplus groups
 *                       leave, the last ones first
 *     overlong          penalty: R_i += -factor (n_i - (budget - cache)) / cache where that is negative      eq. 13
 *                       filter: no token of a cut-off response is trained on or counted
 *
 * budget: rollout.max_new_tokens. When the waves end with too few groups the step trains on those that it has; with
 * none it keeps the groups without a difference, whose advantages are 0.
 */
#include "method/method.h"
#include "method/part_aggregate.h"
#include "method/part_clip.h"

enum metric_kind { BY_REWARD, BY_CORRECT };
enum overlong { OVERLONG_NONE, OVERLONG_PENALTY, OVERLONG_FILTER };
#define OPTIONS(X)                                                                                                \
  X(BOOL, dynamic, 1, 0, 1, NULL, "groups without a difference are replaced by new problems")                     \
  X(ENUM, metric, BY_REWARD, 0, 0, "reward|correct", "what must differ in a group")                               \
  X(REAL, surplus, 1, 1, 100, NULL, "new groups asked for per missing one, rounded up")                           \
  X(ENUM, overlong, OVERLONG_PENALTY, 0, 0, "none|penalty|filter", "what happens to responses near the budget")   \
  X(INT, cache, 0, 0, 1e9, NULL, "tokens before the budget in which the penalty grows; 0: a fifth of the budget") \
  X(REAL, factor, 1, 0, 1e6, NULL, "penalty of a response as long as the budget")                                 \
  X(REAL, clip_low, 0.2, 0, OPTION_INF, NULL, "ratios below 1 - clip_low carry no gradient where A < 0")          \
  X(REAL, clip_high, 0.28, 0, OPTION_INF, NULL, "ratios above 1 + clip_high carry no gradient where A > 0")       \
  X(REAL, clip_dual, 10, 1, OPTION_INF, NULL, "ratios above it carry no gradient where A < 0; .inf: off")
#define STATE(X) X(int32_t, wanted, , "groups of the step's first wave")

struct self {
  OPTIONS(OPTION_FIELD)
  STATE(STATE_FIELD)
};
static const struct method_option options[] = {OPTIONS(OPTION_ROW)};
static const struct state_field state[] = {STATE(STATE_ROW)};
static const struct metric metrics[] = {{"groups", "groups", "groups with a difference in the last wave"},
                                        {"waves", "waves", "waves of rollouts in the step"},
                                        {"overlong", "responses", "responses that were penalised or filtered"}};

/* ---- dynamic sampling -------------------------------------------------------------------------------------------- */

/* False: the verifier failed. */
static bool metric_of(const struct self *o, const struct step *s, int32_t r, double *out)
{
  if (s->rollouts[r].status != ROLLOUT_OK) return false;
  *out = s->rollouts[r].verdict.correct;
  return o->metric == BY_CORRECT || step_get_channel(s, r, 0, out);
}

/* Eq. 11: 0 < number of right ones < G, said of any metric: some two of its values differ. */
static bool differs(const struct self *o, const struct step *s, const struct group *g)
{
  bool any = false;
  double first = 0, x;
  for (int32_t i = g->first; i < g->first + g->count; i++) {
    if (!metric_of(o, s, s->order[i], &x)) continue;
    if (any && (x < first || x > first)) return true;
    if (!any) first = x;
    any = true;
  }
  return false;
}

/* Groups with a difference stay, the first ones, until there are as many as wanted. Returns how many. */
static int32_t keep_different(const struct self *o, const struct step *s, struct revision *out)
{
  int32_t kept = 0;
  for (int32_t g = 0; g < s->group_count; g++) {
    const struct group *group = &s->groups[g];
    if (kept < o->wanted && differs(o, s, group)) {
      kept++;
    } else if (group->count) {
      revise_drop_group(out, g);
    }
  }
  return kept;
}

static int revise(struct method_call *c, const struct step *s, struct revision *out, struct error *err)
{
  struct self *o = c->self;
  if (!o->dynamic || !s->group_count) return 0;
  if (s->wave == 0) o->wanted = s->group_count;
  int32_t good = 0;
  for (int32_t g = 0; g < s->group_count; g++) good += differs(o, s, &s->groups[g]);
  method_report(c, "groups", good);
  method_report(c, "waves", s->wave + 1);
  if (good == 0 && out->last) return 0;
  double missing = (o->wanted - keep_different(o, s, out)) * o->surplus;
  if (out->last) return 0;
  for (int32_t k = 0; k < missing; k++) TRY(revise_draw(out, NULL, s->groups[0].wanted, err));
  return 0;
}

/* ---- overlong responses ------------------------------------------------------------------------------------------ */

/* -R_length of eq. 13, how far a response reaches into the cache before the budget: 0 where |y| <= L_max - L_cache,
 * then
 * (|y| - (L_max - L_cache)) / L_cache, 1 at L_max, where a response is cut off. */
static double reach(const struct self *o, const struct step *s, int32_t length)
{
  double budget = s->max_new_tokens, cache = o->cache > 0 ? (double)o->cache : budget / 5;
  if (cache > budget) cache = budget;
  double over = length - (budget - cache);
  return over > 0 && cache > 0 ? over / cache : 0;
}

static int shape(struct method_call *c, const struct step *s, struct shaping *out, struct error *err)
{
  const struct self *o = c->self;
  int32_t hit = 0;
  TRY(c->base->method->shape(c->base, s, out, err));
  if (o->overlong != OVERLONG_PENALTY) return 0;
  for (int32_t i = 0; i < s->kept; i++) {
    int32_t r = s->order[i];
    double part = reach(o, s, s->rollouts[r].length);
    out->reward[r] -= o->factor * part;
    hit += part > 0;
  }
  method_report(c, "overlong", hit);
  return 0;
}

static int weight(struct method_call *c, const struct step *s, struct factors *out, struct error *err)
{
  const struct self *o = c->self;
  int32_t hit = 0;
  (void)err;
  if (o->overlong != OVERLONG_FILTER) return 0;
  for (int32_t i = 0; i < s->kept; i++) {
    if (s->rollouts[s->order[i]].finish != FINISH_LENGTH) continue;
    step_spread(s, s->order[i], 0, out->factor);
    hit++;
  }
  out->denominator = COUNT_KEPT;
  method_report(c, "overlong", hit);
  return 0;
}

static int objective(struct method_call *c, const struct minibatch *m, struct loss *out, struct error *err)
{
  const struct self *o = c->self;
  const struct clip_bounds bounds = {.low = o->clip_low, .high = o->clip_high, .dual = o->clip_dual};
  /* eq. 12: each token 1 / sum_i |o_i|, all tokens of the mini-batch alike */
  const double *scale = aggregate_scales(c->scratch, m, AGGREGATE_TOKEN_MEAN, 0, m->counted, err);
  if (!scale) return err->code;
  for (int32_t i = 0; i < m->count; i++) {
    /* eq. 10: L = max(-A r, -A clip(r, 1 - low, 1 + high)), r = exp(logp - old) */
    struct clip_value v = clip_surrogate(m->logp[i], m->old[i], m->advantage[i], &bounds);
    out->loss[i] = scale[i] * m->weight[i] * v.loss;
    out->coef[i] = scale[i] * m->weight[i] * v.coef;
    out->clipped[i] = v.clipped;
  }
  return 0;
}

const struct method method_dapo = {
    .name = "dapo",
    .title = "DAPO: clip-higher, dynamic sampling, overlong shaping, token mean",
    .paper = "arXiv 2503.14476, section 3",
    .base = "grpo",
    METHOD_OPTIONS(options),
    METHOD_STATE(state),
    METHOD_METRICS(metrics),
    .revise = revise,
    .shape = shape,
    .weight = weight,
    .objective = objective,
};
