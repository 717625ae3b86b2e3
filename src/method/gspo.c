/* gspo: group sequence policy optimisation (arXiv 2507.18071): the ratio, and its clip, belong to the whole response.
 *
 *     s_i = exp(mean_t (logp - old))        L_i = max(-A_i s_i, -A_i clip(s_i, 1 - clip_low, 1 + clip_high))
 *     loss = mean_i L_i                     dL_i/dlogp_t = -A_i s_i / n_i where the clip is open
 */
#include "method/part_sequence.h"

struct self {
  SEQUENCE_OPTIONS(OPTION_FIELD)
};
static const struct method_option options[] = {SEQUENCE_OPTIONS(OPTION_ROW)};

static int objective(struct method_call *c, const struct minibatch *m, struct loss *out, struct error *err)
{
  const struct self *o = c->self;
  const struct sequence_choice choice = {o->empty, o->clip_low, o->clip_high, AGGREGATE_SEQ_MEAN_TOKEN_MEAN};
  return sequence_objective(c, m, &choice, out, err);
}

const struct method method_gspo = {
    .name = "gspo",
    .title = "Group sequence policy optimisation",
    .paper = "arXiv 2507.18071, eq. 5 to 7",
    .base = "grpo",
    METHOD_OPTIONS(options),
    .objective = objective,
};
