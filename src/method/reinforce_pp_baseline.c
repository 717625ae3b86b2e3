/* reinforce_pp_baseline: REINFORCE++ with the group's mean taken off first (arXiv 2501.03262).
 *
 *     d_i = R_i - mean R of the group, on every token      A = whiten(d) over all tokens of the step
 *
 * The whitening moves groups whose rewards are equal, too: their tokens get what the mean of all tokens takes off. That
 * is the formula; `centre` or `none` as whitening leave less of it. A group of one keeps its reward (verl). A KL
 * penalty belongs into the loss here (grpo's kl_coef, kl_type k2).
 */
#include "method/part_group.h"
#include "method/part_plain.h"
#include "method/part_return.h"

#define OPTIONS(X) \
  X(ENUM, whiten, 0, 0, 0, "verl|openrlhf|centre|none", "how the tokens of the step become each other's scale")

struct self {
  OPTIONS(OPTION_FIELD)
};
static const struct method_option options[] = {OPTIONS(OPTION_ROW)};

static void credit_group(const void *arg, const struct step *s, const int32_t *members, double *reward, int32_t n,
                         double *out)
{
  (void)arg;
  (void)s;
  (void)members;
  group_normalised(reward, n, true, -1, out);
}

static int advantage(struct method_call *c, const struct step *s, struct credit *out, struct error *err)
{
  static const enum whitening_kind KINDS[] = {WHITEN_VERL, WHITEN_OPENRLHF, WHITEN_CENTRE, WHITEN_NONE};
  const struct self *o = c->self;
  TRY(plain_by_group(c->scratch, s, credit_group, NULL, out->advantage, err));
  whiten(out->advantage, s->path_count, KINDS[o->whiten]);
  return 0;
}

const struct method method_reinforce_pp_baseline = {
    .name = "reinforce_pp_baseline",
    .title = "REINFORCE++ with the group's mean as baseline",
    .paper = "arXiv 2501.03262; dialects of verl and OpenRLHF",
    .base = "grpo",
    METHOD_OPTIONS(options),
    .advantage = advantage,
};
