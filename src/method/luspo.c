/* luspo: length-unbiased sequence policy optimisation (arXiv 2602.05261): GSPO whose loss is multiplied by the length
 * of the response, so that long right answers are not held back.
 *
 *     s_i = exp(mean_t (logp - old))
 *     loss = mean_i n_i max(-A_i s_i, -A_i clip(s_i, 1 - clip_low, 1 + clip_high))
 */
#include "method/part_sequence.h"

struct self {
  SEQUENCE_OPTIONS(OPTION_FIELD)
};
static const struct method_option options[] = {SEQUENCE_OPTIONS(OPTION_ROW)};

static int objective(struct method_call *c, const struct minibatch *m, struct loss *out, struct error *err)
{
  const struct self *o = c->self;
  const struct sequence_choice choice = {o->empty, o->clip_low, o->clip_high, AGGREGATE_SEQ_MEAN_TOKEN_SUM};
  return sequence_objective(c, m, &choice, out, err);
}

const struct method method_luspo = {
    .name = "luspo",
    .title = "Length-unbiased sequence policy optimisation",
    .paper = "arXiv 2602.05261; TRL's loss_type luspo",
    .base = "grpo",
    METHOD_OPTIONS(options),
    .objective = objective,
};
