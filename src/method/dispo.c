/* dispo: importance weights with four bounds (arXiv 2602.00983).
 *
 *     w = clip(r, 1 - ep_low, 1 + ep_high) where A > 0, clip(r, 1 - en_low, 1 + en_high) where A < 0
 *     L = -sg[w] A logp
 *
 * A token always keeps a gradient: the upper bounds say how much a step may make of what the sampler found unlikely,
 * the lower ones how little of what has become unlikely since. ep_low = en_low = 1 and one cap are CISPO; with w = 1,
 * that is in a step's first mini-batch, the gradient is GRPO's. filter_groups takes groups of equal rewards out of the
 * denominators (dynamic sampling is dapo's).
 */
#include "method/method.h"
#include "method/part_aggregate.h"
#include "method/part_signed_clip.h"

#define OPTIONS(X)                                                                                              \
  X(REAL, ep_low, 0.2, 0, OPTION_INF, NULL, "A > 0: weights are at least 1 - ep_low")                           \
  X(REAL, ep_high, 10, 0, OPTION_INF, NULL, "A > 0: weights are at most 1 + ep_high")                           \
  X(REAL, en_low, 1, 0, OPTION_INF, NULL, "A < 0: weights are at least 1 - en_low; 1: no floor")                \
  X(REAL, en_high, 100, 0, OPTION_INF, NULL, "A < 0: weights are at most 1 + en_high")                          \
  X(ENUM, aggregation, AGGREGATE_TOKEN_MEAN, 0, 0, AGGREGATE_WORDS, "how token losses become one number")       \
  X(REAL, constant, 0, 0, 1e9, NULL, "length that aggregation: constant divides by; 0: rollout.max_new_tokens") \
  X(BOOL, filter_groups, 0, 0, 1, NULL, "groups whose advantages are all zero leave the denominators")

struct self {
  OPTIONS(OPTION_FIELD)
};
static const struct method_option options[] = {OPTIONS(OPTION_ROW)};
static const struct metric metrics[] = {
    {"correct_above", "share", "of tokens: A > 0 and ratio above 1"},
    {"correct_below", "share", "of tokens: A > 0 and ratio below 1"},
    {"incorrect_above", "share", "of tokens: A < 0 and ratio above 1"},
    {"incorrect_below", "share", "of tokens: A < 0 and ratio below 1"},
    {"correct_capped", "share", "of tokens: brought down to 1 + ep_high"},
    {"correct_lifted", "share", "of tokens: brought up to 1 - ep_low"},
    {"incorrect_capped", "share", "of tokens: brought down to 1 + en_high"},
    {"incorrect_lifted", "share", "of tokens: brought up to 1 - en_low"},
};

static bool group_is_flat(const struct step *s, const struct group *g, const double *advantage)
{
  for (int32_t i = g->first; i < g->first + g->count; i++) {
    const struct rollout *r = &s->rollouts[s->order[i]];
    for (int32_t p = r->path; p < r->path + r->path_count; p++)
      if (advantage[p] < 0 || advantage[p] > 0) return false;
  }
  return true;
}

/* The base's credit; what carries none may be left out of the batch. */
static int advantage(struct method_call *c, const struct step *s, struct credit *out, struct error *err)
{
  const struct self *o = c->self;
  TRY(c->base->method->advantage(c->base, s, out, err));
  for (int32_t g = 0; o->filter_groups && g < s->group_count; g++) {
    const struct group *group = &s->groups[g];
    if (!group_is_flat(s, group, out->advantage)) continue;
    for (int32_t i = group->first; i < group->first + group->count; i++) out->drop[s->order[i]] = true;
  }
  return 0;
}

static void report(struct method_call *c, const struct signed_regimes *n, double tokens)
{
  method_report(c, "correct_above", n->positive_above / tokens);
  method_report(c, "correct_below", n->positive_below / tokens);
  method_report(c, "incorrect_above", n->negative_above / tokens);
  method_report(c, "incorrect_below", n->negative_below / tokens);
  method_report(c, "correct_capped", n->positive_capped / tokens);
  method_report(c, "correct_lifted", n->positive_lifted / tokens);
  method_report(c, "incorrect_capped", n->negative_capped / tokens);
  method_report(c, "incorrect_lifted", n->negative_lifted / tokens);
}

static int objective(struct method_call *c, const struct minibatch *m, struct loss *out, struct error *err)
{
  const struct self *o = c->self;
  const struct signed_bounds bounds = {o->ep_low, o->ep_high, o->en_low, o->en_high};
  struct signed_regimes seen = {0};
  double *scale = ARENA_NEW(c->scratch, double, (size_t)m->count, "dispo", err);
  if (!scale) return err->code;
  double constant = o->constant > 0 ? o->constant : (double)m->step->max_new_tokens;
  aggregate_scale(m, (enum aggregation)o->aggregation, constant, m->counted, scale);
  for (int32_t i = 0; i < m->count; i++) {
    struct clip_value v = signed_clip(m->logp[i], m->old[i], m->advantage[i], &bounds);
    out->loss[i] = scale[i] * m->weight[i] * v.loss;
    out->coef[i] = scale[i] * m->weight[i] * v.coef;
    out->clipped[i] = v.clipped;
    signed_count(v.ratio, m->advantage[i], &bounds, &seen);
  }
  if (m->count) report(c, &seen, m->count);
  return 0;
}

const struct method method_dispo = {
    .name = "dispo",
    .title = "Decoupled clipping of importance weights",
    .paper = "arXiv 2602.00983, objective and piecewise clip",
    .number = 51,
    .base = "grpo",
    METHOD_OPTIONS(options),
    METHOD_METRICS(metrics),
    .advantage = advantage,
    .objective = objective,
};
