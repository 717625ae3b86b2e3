/* passk_training: a group is rewarded as sets of k of which one must be right, not rollout by rollout.
 *
 * analytic (arXiv 2508.10751), n rollouts of which w are wrong (reward below `right_from`):
 *
 *     m = 1 - C(w, k) / C(n, k)   s = sqrt(m (1 - m))
 *     right  A = (1 - m) / s      wrong  A = (1 - m - C(w - 1, k - 1) / C(n - 1, k - 1)) / s
 *
 * best (arXiv 2503.19595, verl's grpo_passk): the best rollout alone gets (largest - second largest) / (std + 1e-6).
 *
 * Where every set of k is worth the same (all right, all wrong, k > w, a group of one) the advantage is 0. The loss is
 * grpo's.
 */
#include "method/part_group.h"
#include "method/part_plain.h"

enum estimator { ANALYTIC, BEST };

#define OPTIONS(X)                                                                                          \
  X(ENUM, estimator, ANALYTIC, 0, 0, "analytic|best", "sets of k in closed form, or the best of the group") \
  X(INT, k, 4, 1, 1000000, NULL, "analytic: rollouts in a set; 1: every rollout for itself")                \
  X(REAL, right_from, 0.5, -1e9, 1e9, NULL, "analytic: a reward of this or more is right")                  \
  X(BOOL, scale, 1, 0, 1, NULL, "best: divide by the standard deviation of the group")

struct self {
  OPTIONS(OPTION_FIELD)
};
static const struct method_option options[] = {OPTIONS(OPTION_ROW)};

static void credit_group(const void *arg, const struct step *s, const int32_t *members, double *reward, int32_t n,
                         double *out)
{
  const struct self *o = arg;
  int32_t wrong = 0;
  (void)s;
  (void)members;
  if (o->estimator == BEST) {
    group_best(reward, n, o->scale ? 1e-6 : -1, out);
    return;
  }
  for (int32_t i = 0; i < n; i++) wrong += reward[i] < o->right_from;
  struct group_sets a = group_sets(n, wrong, o->k);
  for (int32_t i = 0; i < n; i++) out[i] = reward[i] < o->right_from ? a.wrong : a.right;
}

static int advantage(struct method_call *c, const struct step *s, struct credit *out, struct error *err)
{
  return plain_by_group(c->scratch, s, credit_group, c->self, out->advantage, err);
}

const struct method method_passk_training = {
    .name = "passk_training",
    .title = "Training on pass@k",
    .paper = "arXiv 2508.10751; arXiv 2503.19595",
    .base = "grpo",
    METHOD_OPTIONS(options),
    .advantage = advantage,
};
