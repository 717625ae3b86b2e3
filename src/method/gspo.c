/* gspo: group sequence policy optimisation (arXiv 2507.18071): the ratio, and its clip, belong to the whole response.
 *
 *     s_i = exp(mean_t (logp - old))        L_i = max(-A_i s_i, -A_i clip(s_i, 1 - clip_low, 1 + clip_high))
 *     loss = mean_i L_i                     dL_i/dlogp_t = -A_i s_i / n_i where the clip is open
 */
#include "method/method.h"
#include "method/part_aggregate.h"
#include "method/part_sequence.h"

#define OPTIONS(X)                                                                                        \
  X(ENUM, empty, 0, 0, 0, AGGREGATE_EMPTY_WORDS, "responses without tokens in the mean: TRL counts them") \
  X(REAL, clip_low, 3e-4, 0, OPTION_INF, NULL,                                                            \
    "ratios of a response below 1 - clip_low carry no gradient where A < 0")                              \
  X(REAL, clip_high, 4e-4, 0, OPTION_INF, NULL, "ratios above 1 + clip_high carry no gradient where A > 0")

struct self {
  OPTIONS(OPTION_FIELD)
};
static const struct method_option options[] = {OPTIONS(OPTION_ROW)};

static int objective(struct method_call *c, const struct minibatch *m, struct loss *out, struct error *err)
{
  const struct self *o = c->self;
  const struct sequence_options sequence = {.bounds = {.low = o->clip_low, .high = o->clip_high, .dual = OPTION_INF},
                                            .limit = SEQUENCE_LIMIT};
  const double *scale = aggregate_scales_empty(c->scratch, m, AGGREGATE_SEQ_MEAN_TOKEN_MEAN, 0, o->empty, err);
  if (!scale) return err->code;
  sequence_clipped(m, &sequence, scale, out);
  return 0;
}

const struct method method_gspo = {
    .name = "gspo",
    .title = "Group sequence policy optimisation",
    .paper = "arXiv 2507.18071, eq. 5 to 7",
    .base = "grpo",
    METHOD_OPTIONS(options),
    .objective = objective,
};
