/* rft: rejection sampling fine-tuning (arXiv 2308.01825): the right answers that the policy found are its next
 * completions to learn from.
 *
 *     kept: shaped reward >= threshold; with `distinct` only the first of equal responses; at most `most` a group
 *     loss = agg(-logp) over the tokens of the kept responses
 *
 * No baseline, no ratio, no clip.
 */
#include "method/method.h"
#include "method/part_aggregate.h"

#define OPTIONS(X)                                                                                         \
  X(REAL, threshold, 1, -1e9, 1e9, NULL, "reward from which a response is kept")                           \
  X(BOOL, distinct, 1, 0, 1, NULL, "of responses of a group with the same tokens the first alone is kept") \
  X(INT, most, 0, 0, 1e6, NULL, "responses kept of a group, the first ones; 0: all")                       \
  X(ENUM, aggregation, AGGREGATE_TOKEN_MEAN, 0, 0, AGGREGATE_WORDS, "how token losses become one number")  \
  X(REAL, constant, 0, 0, 1e9, NULL, "length that aggregation: constant divides by; 0: rollout.max_new_tokens")

struct self {
  OPTIONS(OPTION_FIELD)
};
static const struct method_option options[] = {OPTIONS(OPTION_ROW)};

static const struct metric metrics[] = {{"kept", "responses", "responses that were trained on"}};

static bool same_tokens(const struct step *s, int32_t a, int32_t b)
{
  const struct rollout *x = &s->rollouts[a], *y = &s->rollouts[b];
  if (x->path_count != y->path_count) return false;
  for (int32_t i = 0; i < x->path_count; i++)
    if (step_record(s, x->path + i)->id != step_record(s, y->path + i)->id) return false;
  return true;
}

static bool seen_before(const struct step *s, const int32_t *kept, int32_t count, int32_t rollout)
{
  for (int32_t i = 0; i < count; i++)
    if (same_tokens(s, kept[i], rollout)) return true;
  return false;
}

/* 1 on responses that are kept, 0 on the others, which keep their place in the step. */
static int weight(struct method_call *c, const struct step *s, struct factors *out, struct error *err)
{
  const struct self *o = c->self;
  int32_t *kept = ARENA_NEW(c->scratch, int32_t, (size_t)s->kept, "rft", err), total = 0;
  if (!kept) return err->code;
  for (int32_t g = 0; g < s->group_count; g++) {
    int32_t n = 0;
    for (int32_t i = s->groups[g].first; i < s->groups[g].first + s->groups[g].count; i++) {
      int32_t r = s->order[i];
      bool full = o->most > 0 && n >= o->most;
      bool keep = s->reward[r] >= o->threshold && !full && !(o->distinct && seen_before(s, kept, n, r));
      if (keep) kept[n++] = r;
      step_spread(s, r, keep, out->factor);
    }
    total += n;
  }
  out->denominator = COUNT_KEPT;
  method_report(c, "kept", total);
  return 0;
}

static int advantage(struct method_call *c, const struct step *s, struct credit *out, struct error *err)
{
  (void)c;
  (void)err;
  for (int32_t i = 0; i < s->kept; i++) step_spread(s, s->order[i], 1, out->advantage);
  return 0;
}

static int objective(struct method_call *c, const struct minibatch *m, struct loss *out, struct error *err)
{
  const struct self *o = c->self;
  const double *scale = aggregate_scales(c->scratch, m, (enum aggregation)o->aggregation, o->constant, m->counted, err);
  if (!scale) return err->code;
  for (int32_t i = 0; i < m->count; i++) {
    out->coef[i] = -scale[i] * m->weight[i] * m->advantage[i];
    out->loss[i] = out->coef[i] * m->logp[i];
  }
  return 0;
}

const struct method method_rft = {
    .name = "rft",
    .title = "Rejection sampling fine-tuning",
    .paper = "arXiv 2308.01825, section 3",
    .base = "grpo",
    METHOD_OPTIONS(options),
    METHOD_METRICS(metrics),
    .advantage = advantage,
    .weight = weight,
    .objective = objective,
};
