/* reinforce: the policy gradient with a baseline that does not look at the action.
 *
 *     G_t = sum_{k >= t} gamma^(k - t) rho_k        rho: the reward on the last token, and what `shape` put on tokens
 *     A_t = G_t - b                                 L = agg(-A_t logp_t)
 *
 * R. Williams, "Simple statistical gradient-following algorithms for connectionist reinforcement learning" (1992),
 * section 5. b: nothing; a constant; the mean reward of earlier steps, older ones counting less by `memory` each step;
 * the mean of the group, of which a group of one has none. There is no ratio: after the first update of a step the
 * gradient is that of a policy which did not sample.
 */
#include "method/part_aggregate.h"
#include "method/part_group.h"
#include "method/part_plain.h"
#include "method/part_return.h"

enum baseline { NONE, CONSTANT, RUNNING, GROUP };

#define OPTIONS(X)                                                                                                    \
  X(ENUM, baseline, GROUP, 0, 0, "none|constant|running|group", "what is taken off the return")                       \
  X(REAL, value, 0, -1e9, 1e9, NULL, "baseline: constant is this")                                                    \
  X(REAL, memory, 0.9, 0, 1, NULL, "baseline: running keeps this share of the weight of earlier steps; 1: all of it") \
  X(REAL, gamma, 1, 0, 1, NULL, "discount of a token")                                                                \
  X(ENUM, aggregation, AGGREGATE_TOKEN_MEAN, 0, 0, AGGREGATE_WORDS, "how token losses become one number")             \
  X(REAL, constant, 0, 0, 1e9, NULL, "length that aggregation: constant divides by; 0: rollout.max_new_tokens")
#define STATE(X)                                                    \
  X(double, sum, , "rewards of the steps before, by their weights") \
  X(double, weight, , "those weights")

struct self {
  OPTIONS(OPTION_FIELD)
  STATE(STATE_FIELD)
};
static const struct method_option options[] = {OPTIONS(OPTION_ROW)};
static const struct state_field state[] = {STATE(STATE_ROW)};
static const struct metric metrics[] = {{"baseline", "reward", "what was taken off; the mean over groups"}};

/* In two parts, so that equal rewards leave exactly nothing. */
struct level {
  double first, centre;
};

static int find_level(struct method_call *c, const struct step *s, int32_t group, struct level *out, struct error *err)
{
  const struct self *o = c->self;
  const struct group *g = &s->groups[group];
  *out = (struct level){0};
  if (o->baseline == CONSTANT) out->first = o->value;
  if (o->baseline == RUNNING && o->weight > 0) out->first = o->sum / o->weight;
  if (o->baseline != GROUP || g->count < 2) return 0;
  double *reward = ARENA_NEW(c->scratch, double, (size_t)g->count, "reinforce", err);
  if (!reward) return err->code;
  for (int32_t i = 0; i < g->count; i++) reward[i] = return_whole(s, s->order[g->first + i]);
  struct group_statistics all = group_statistics(reward, g->count, true);
  *out = (struct level){all.first, all.centre};
  return 0;
}

static int advantage(struct method_call *c, const struct step *s, struct credit *out, struct error *err)
{
  const struct self *o = c->self;
  double *rho = ARENA_NEW(c->scratch, double, (size_t)s->path_count, "reinforce", err), sum = 0;
  int32_t groups = 0;
  if (!rho) return err->code;
  for (int32_t g = 0; g < s->group_count; g++) {
    struct level b;
    TRY(find_level(c, s, g, &b, err));
    for (int32_t i = s->groups[g].first; i < s->groups[g].first + s->groups[g].count; i++) {
      const struct rollout *r = &s->rollouts[s->order[i]];
      double *a = out->advantage + r->path;
      return_rewards(s, s->order[i], rho);
      return_discounted(rho, NULL, r->path_count, o->gamma, RETURN_SKIP, a);
      for (int32_t t = 0; t < r->path_count; t++) a[t] = a[t] - b.first - b.centre;
    }
    sum += s->groups[g].count ? b.first + b.centre : 0;
    groups += s->groups[g].count > 0;
  }
  method_report(c, "baseline", groups ? sum / groups : 0);
  return 0;
}

static int objective(struct method_call *c, const struct minibatch *m, struct loss *out, struct error *err)
{
  const struct self *o = c->self;
  double *scale = ARENA_NEW(c->scratch, double, (size_t)m->count, "reinforce", err);
  double constant = o->constant > 0 ? o->constant : (double)m->step->max_new_tokens;
  if (!scale) return err->code;
  aggregate_scale(m, (enum aggregation)o->aggregation, constant, m->counted, scale);
  plain_objective(m, scale, out);
  return 0;
}

/* The mean reward of the step becomes part of the running one. */
static int observe(struct method_call *c, const struct step *s, struct observation *seen, struct error *err)
{
  struct self *o = c->self;
  double sum = 0;
  (void)seen;
  (void)err;
  if (!s->kept) return 0;
  for (int32_t i = 0; i < s->kept; i++) sum += return_whole(s, s->order[i]);
  o->sum = o->memory * o->sum + sum / s->kept;
  o->weight = o->memory * o->weight + 1;
  return 0;
}

const struct method method_reinforce = {
    .name = "reinforce",
    .title = "REINFORCE",
    .paper = "R. Williams 1992, section 5",
    .base = "grpo",
    METHOD_OPTIONS(options),
    METHOD_STATE(state),
    METHOD_METRICS(metrics),
    .advantage = advantage,
    .objective = objective,
    .observe = observe,
};
