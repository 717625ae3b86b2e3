/* gmpo: geometric-mean policy optimisation (arXiv 2507.20673): each token's log-ratio is clipped on the side that the
 * advantage pushes to, then their mean makes the ratio of the response.
 *
 *     l_t = min(d_t, clip_high) where A > 0, max(d_t, -clip_low) where A < 0      d_t = logp - old
 *     loss = mean_i -A_i exp(mean_t l_t)
 */
#include "method/method.h"
#include "method/part_aggregate.h"
#include "method/part_sequence.h"

#define OPTIONS(X)                                                                                      \
  X(REAL, clip_low, 0.4, 0, OPTION_INF, NULL, "log-ratios below -clip_low are held there where A < 0")  \
  X(REAL, clip_high, 0.4, 0, OPTION_INF, NULL, "log-ratios above clip_high are held there where A > 0") \
  X(ENUM, empty, 0, 0, 0, AGGREGATE_EMPTY_WORDS, "responses without tokens in the mean: verl and TRL count them")

struct self {
  OPTIONS(OPTION_FIELD)
};
static const struct method_option options[] = {OPTIONS(OPTION_ROW)};

static int objective(struct method_call *c, const struct minibatch *m, struct loss *out, struct error *err)
{
  const struct self *o = c->self;
  double sequences = o->empty ? m->rollout_count : aggregate_count(m, m->counted).sequences;
  (void)err;
  const struct geometric_options geometric = {
      .low = o->clip_low, .high = o->clip_high, .limit = SEQUENCE_LIMIT, .sequences = sequences};
  sequence_geometric(m, &geometric, out);
  return 0;
}

const struct method method_gmpo = {
    .name = "gmpo",
    .title = "Geometric-mean policy optimisation",
    .paper = "arXiv 2507.20673, eq. 4",
    .base = "grpo",
    METHOD_OPTIONS(options),
    .objective = objective,
};
