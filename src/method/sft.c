/* sft: supervised fine-tuning. L = agg(-logp) on the tokens of the completion (methods sheet 00, section 13).
 *
 * A given text is an attempt that is worth 1: REINFORCE with reward and advantage 1. No ratio, no clip; the record's
 * log-probabilities are not read. An example of weight w counts as w of them: factor w on its tokens, in the loss and
 * in the denominators.
 */
#include "method/method.h"
#include "method/part_aggregate.h"

#define OPTIONS(X)                                                                                        \
  X(ENUM, aggregation, AGGREGATE_TOKEN_MEAN, 0, 0, AGGREGATE_WORDS, "how token losses become one number") \
  X(REAL, constant, 1024, 1, 1e9, NULL, "length that aggregation: constant divides by")                   \
  X(STRING, weight, 0, 0, 0, "weight", "field of a problem that weighs it; a line without it: 1; null: none")

struct self {
  OPTIONS(OPTION_FIELD)
};
static const struct method_option options[] = {OPTIONS(OPTION_ROW)};

static int shape(struct method_call *c, const struct step *s, struct shaping *out, struct error *err)
{
  (void)c;
  (void)err;
  for (int32_t i = 0; i < s->kept; i++) out->reward[s->order[i]] = 1.0;
  return 0;
}

static int advantage(struct method_call *c, const struct step *s, struct credit *out, struct error *err)
{
  (void)c;
  (void)err;
  for (int32_t i = 0; i < s->kept; i++) step_spread(s, s->order[i], s->reward[s->order[i]], out->advantage);
  return 0;
}

/* A problem's weight: 1 where its line has none. */
static int weight_of(const struct self *o, const struct problem *p, double *out, struct error *err)
{
  const json_t *v = o->weight && p ? json_object_get(p->fields, o->weight) : NULL;
  *out = v ? json_number_value(v) : 1;
  if (!v || (json_is_number(v) && *out >= 0 && *out <= 1e9)) return 0;
  FAIL_AT(
      err, ERROR_INPUT, p->source, p->line, o->weight,
      "the field %s of problem %s is no weight; expected a number from 0 to 1e9; remove it, or set the method's option "
      "weight",
      o->weight, p->id);
}

static int weight(struct method_call *c, const struct step *s, struct factors *out, struct error *err)
{
  const struct self *o = c->self;
  out->denominator = COUNT_FACTOR;
  for (int32_t i = 0; i < s->kept; i++) {
    double w;
    TRY(weight_of(o, s->groups[s->rollouts[s->order[i]].group].problem, &w, err));
    step_spread(s, s->order[i], w, out->factor);
  }
  return 0;
}

static int objective(struct method_call *c, const struct minibatch *m, struct loss *out, struct error *err)
{
  const struct self *o = c->self;
  double *scale = ARENA_NEW(c->scratch, double, (size_t)m->count, "sft", err);
  if (!scale) return err->code;
  aggregate_scale(m, (enum aggregation)o->aggregation, o->constant, m->counted, scale);
  for (int32_t i = 0; i < m->count; i++) {
    double coef = -m->advantage[i] * m->weight[i] * scale[i];
    out->loss[i] = coef * m->logp[i];
    out->coef[i] = coef;
  }
  return 0;
}

const struct method method_sft = {
    .name = "sft",
    .title = "Supervised fine-tuning",
    .paper = "negative log-likelihood of given completions",
    METHOD_OPTIONS(options),
    .shape = shape,
    .advantage = advantage,
    .weight = weight,
    .objective = objective,
    .fixed_coefficients = true,
};
