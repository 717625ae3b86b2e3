/* reinforce_pp: REINFORCE++ (arXiv 2501.03262): no group and no critic; all tokens of the step are each other's scale.
 *
 *     rho_t = R on the last token - beta k1_t     the second part is kl_reward's
 *     G_t   = sum_{k >= t} gamma^(k - t) rho_k
 *     A_t   = (G_t - mean) / std                  over all tokens of the step
 *
 * `whiten` says whose: verl 1 / sqrt(var + 1e-8) over n - 1; openrlhf 1 / sqrt(max(var, 1e-8)) over n; centre takes the
 * mean off alone; none does nothing. The loss is grpo's.
 */
#include "method/part_plain.h"
#include "method/part_return.h"

#define OPTIONS(X)                                     \
  X(REAL, gamma, 1, 0, 1, NULL, "discount of a token") \
  X(ENUM, whiten, 0, 0, 0, "verl|openrlhf|centre|none", "how the tokens of the step become each other's scale")

struct self {
  OPTIONS(OPTION_FIELD)
};
static const struct method_option options[] = {OPTIONS(OPTION_ROW)};

static int advantage(struct method_call *c, const struct step *s, struct credit *out, struct error *err)
{
  static const enum whitening_kind KINDS[] = {WHITEN_VERL, WHITEN_OPENRLHF, WHITEN_CENTRE, WHITEN_NONE};
  const struct self *o = c->self;
  double *rho = ARENA_NEW(c->scratch, double, (size_t)s->path_count, "reinforce_pp", err);
  if (!rho) return err->code;
  for (int32_t i = 0; i < s->kept; i++) {
    const struct rollout *r = &s->rollouts[s->order[i]];
    return_rewards(s, s->order[i], rho);
    return_discounted(rho, NULL, r->path_count, o->gamma, RETURN_SKIP, out->advantage + r->path);
  }
  whiten(out->advantage, s->path_count, KINDS[o->whiten]);
  return 0;
}

const struct method method_reinforce_pp = {
    .name = "reinforce_pp",
    .title = "REINFORCE++",
    .paper = "arXiv 2501.03262; dialects of verl and OpenRLHF",
    .base = "grpo",
    METHOD_OPTIONS(options),
    .advantage = advantage,
};
