/* gspo_token: GSPO with its gradient at each token (arXiv 2507.18071, eq. 13 to 16), so that methods which weigh or
 * credit tokens differently can be added.
 *
 *     s_it = sg[s_i] exp(logp - sg[logp]),  s_i = exp(mean_t (logp - old))
 *     loss = mean_i mean_t max(-A_it s_it, -A_it clip(s_it, 1 - clip_low, 1 + clip_high))
 *     dL_it/dlogp_t = -A_it s_i where the clip is open: with one advantage a response the gradient of gspo
 */
#include "method/method.h"
#include "method/part_aggregate.h"
#include "method/part_sequence.h"

#define OPTIONS(X)                                                           \
  X(REAL, clip_low, 3e-4, 0, OPTION_INF, NULL,                               \
    "ratios of a response below 1 - clip_low carry no gradient where A < 0") \
  X(REAL, clip_high, 4e-4, 0, OPTION_INF, NULL, "ratios above 1 + clip_high carry no gradient where A > 0")

struct self {
  OPTIONS(OPTION_FIELD)
};
static const struct method_option options[] = {OPTIONS(OPTION_ROW)};

static int objective(struct method_call *c, const struct minibatch *m, struct loss *out, struct error *err)
{
  const struct self *o = c->self;
  const struct sequence_options sequence = {
      .bounds = {.low = o->clip_low, .high = o->clip_high, .dual = OPTION_INF}, .limit = SEQUENCE_LIMIT, .own = true};
  const double *scale = aggregate_scales(c->scratch, m, AGGREGATE_SEQ_MEAN_TOKEN_MEAN, 0, m->counted, err);
  if (!scale) return err->code;
  sequence_clipped(m, &sequence, scale, out);
  return 0;
}

const struct method method_gspo_token = {
    .name = "gspo_token",
    .title = "GSPO with a gradient of its own for each token",
    .paper = "arXiv 2507.18071, eq. 13 to 16",
    .base = "grpo",
    METHOD_OPTIONS(options),
    .objective = objective,
};
