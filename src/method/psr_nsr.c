/* psr_nsr: positive and negative sample reinforcement (arXiv 2506.01347): right and wrong answers apart, without a
 * baseline.
 *
 *     psr          A = 1 on right answers; wrong ones leave the step
 *     nsr          A = -1 on wrong answers; right ones leave the step
 *     w_reinforce  A = lambda on right answers, -1 on wrong ones
 *
 * Right: the shaped reward is at least `threshold`. The loss is grpo's clipped surrogate with grpo's options.
 */
#include "method/method.h"

enum mode { PSR, NSR, W_REINFORCE };
#define OPTIONS(X)                                                                                         \
  X(ENUM, mode, W_REINFORCE, 0, 0, "psr|nsr|w_reinforce", "which answers are trained on")                  \
  X(REAL, lambda, 0.1, 0, 1e3, NULL, "advantage of a right answer under w_reinforce; -1 is a wrong one's") \
  X(REAL, threshold, 1, -1e9, 1e9, NULL, "reward from which an answer is right")

struct self {
  OPTIONS(OPTION_FIELD)
};
static const struct method_option options[] = {OPTIONS(OPTION_ROW)};

static int advantage(struct method_call *c, const struct step *s, struct credit *out, struct error *err)
{
  const struct self *o = c->self;
  (void)err;
  for (int32_t i = 0; i < s->kept; i++) {
    int32_t r = s->order[i];
    bool right = s->reward[r] >= o->threshold;
    out->drop[r] = right ? o->mode == NSR : o->mode == PSR;
    step_spread(s, r, !right ? -1 : o->mode == W_REINFORCE ? o->lambda : 1, out->advantage);
  }
  return 0;
}

const struct method method_psr_nsr = {
    .name = "psr_nsr",
    .title = "Positive, negative and weighted sample reinforcement",
    .paper = "arXiv 2506.01347, section 3 and eq. 7",
    .base = "grpo",
    METHOD_OPTIONS(options),
    .advantage = advantage,
};
