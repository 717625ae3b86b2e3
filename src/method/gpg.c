/* gpg: group policy gradient (arXiv 2504.02546): the plain gradient, made as large as if all groups taught.
 *
 *     A_i = alpha (R_i - mean R of the group) / f_norm        alpha = rollouts / rollouts with a reward other than 0
 *     L   = agg(-A logp)
 *
 * verl's form: alpha counts rewards. No ratio, no clip, no reference. No reward at all: alpha is the number of
 * rollouts, times advantages that are all 0. A group of one keeps its reward.
 */
#include "method/part_aggregate.h"
#include "method/part_group.h"
#include "method/part_plain.h"
#include "method/part_return.h"

#define OPTIONS(X)                                                                                        \
  X(REAL, f_norm, 1, 1e-6, 1e6, NULL, "what advantages are divided by")                                   \
  X(ENUM, aggregation, AGGREGATE_TOKEN_MEAN, 0, 0, AGGREGATE_WORDS, "how token losses become one number") \
  X(REAL, constant, 0, 0, 1e9, NULL, "length that aggregation: constant divides by; 0: rollout.max_new_tokens")

struct self {
  OPTIONS(OPTION_FIELD)
};
static const struct method_option options[] = {OPTIONS(OPTION_ROW)};
static const struct metric metrics[] = {{"alpha", "1", "rollouts over those with a reward other than 0"}};

static void credit_group(const void *arg, const struct step *s, const int32_t *members, double *reward, int32_t n,
                         double *out)
{
  (void)s;
  (void)members;
  group_divided(reward, n, *(const double *)arg, out);
}

static int advantage(struct method_call *c, const struct step *s, struct credit *out, struct error *err)
{
  const struct self *o = c->self;
  double right = 0;
  for (int32_t i = 0; i < s->kept; i++) {
    double r = return_whole(s, s->order[i]);
    right += r < 0 || r > 0;
  }
  double alpha = s->kept / (right > 0 ? right : 1), by = o->f_norm / (alpha > 0 ? alpha : 1);
  method_report(c, "alpha", alpha);
  return plain_by_group(c->scratch, s, credit_group, &by, out->advantage, err);
}

static int objective(struct method_call *c, const struct minibatch *m, struct loss *out, struct error *err)
{
  const struct self *o = c->self;
  double *scale = ARENA_NEW(c->scratch, double, (size_t)m->count, "gpg", err);
  double constant = o->constant > 0 ? o->constant : (double)m->step->max_new_tokens;
  if (!scale) return err->code;
  aggregate_scale(m, (enum aggregation)o->aggregation, constant, m->counted, scale);
  plain_objective(m, scale, out);
  return 0;
}

const struct method method_gpg = {
    .name = "gpg",
    .title = "Group policy gradient",
    .paper = "arXiv 2504.02546; verl's form",
    .base = "grpo",
    METHOD_OPTIONS(options),
    METHOD_METRICS(metrics),
    .advantage = advantage,
    .objective = objective,
};
