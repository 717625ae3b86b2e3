/* reward_model: a scalar on the last token, trained on pairs of which one answer is preferred (Bradley and Terry 1952;
 * arXiv 2203.02155, eq. 1).
 *
 *     r = w . h        h: the LM head's input at the sequence's last token
 *     L = mean over the pairs of -log s(r_c - r_r - m) + centre (r_c + r_r)^2
 *
 * m: how much better the chosen answer is, where the problem says so (margins: arXiv 2307.09288, eq. 2); centre holds
 * the scores around 0, which the pairs alone leave open (arXiv 2312.09244, eq. 2). `assay sft` puts one token behind
 * each answer, whose value is that of the state at the answer's last token: the score. Its probability has no gradient.
 */
#include "core/json.h"
#include "method/method.h"
#include "method/part_logistic.h"
#include "method/part_preferred.h"

#define OPTIONS(X)                                                                                        \
  X(STRING, margin, 0, 0, 0, "margin", "field of a problem: by how much the chosen is better; absent: 0") \
  X(REAL, centre, 0, 0, 1e6, NULL, "how strongly the two scores of a pair are held around 0; 0: off")     \
  X(REAL, head_lr, 1e-3, 0, 1e3, NULL, "learning rate of the head; train.lr is the decoder's")            \
  X(REAL, head_beta1, 0.9, 0, 0.999999, NULL, "AdamW of the head")                                        \
  X(REAL, head_beta2, 0.999, 0, 0.999999, NULL, "AdamW of the head")                                      \
  X(REAL, head_eps, 1e-8, 1e-30, 1, NULL, "AdamW of the head")                                            \
  X(REAL, head_weight_decay, 0, 0, 1e3, NULL, "AdamW of the head")                                        \
  X(REAL, head_clip_norm, 1, 0, OPTION_INF, NULL, "norm of its gradient at most; 0: off")                 \
  X(BOOL, backprop, 1, 0, 1, NULL, "the gradient reaches the decoder; false: only the head learns")       \
  X(INT, pairs, 1, 1, 1e6, NULL, "pairs made of a group at most")

struct self {
  OPTIONS(OPTION_FIELD)
};
static const struct method_option options[] = {OPTIONS(OPTION_ROW)};

static const struct metric metrics[] = {{"pairs", "pairs", "pairs of the mini-batch"},
                                        {"accuracy", "share", "pairs whose chosen answer has the larger score"},
                                        {"margin", "score", "mean difference of a pair's scores"},
                                        {"chosen", "score", "mean score of the chosen"},
                                        {"rejected", "score", "mean score of the rejected"}};

static int declare(const void *options_of, struct needs *out, struct error *err)
{
  const struct self *o = options_of;
  (void)err;
  out->flags |= NEED_VALUE | NEED_ALWAYS;
  out->value = (struct value_need){.lr = o->head_lr,
                                   .beta1 = o->head_beta1,
                                   .beta2 = o->head_beta2,
                                   .eps = o->head_eps,
                                   .weight_decay = o->head_weight_decay,
                                   .clip_norm = o->head_clip_norm,
                                   .backprop = o->backprop,
                                   .unbiased = true};
  return 0;
}

/* By how much the problem says that the chosen answer is better. */
static int margin_of(const struct self *o, const struct problem *p, double *out, struct error *err)
{
  const json_t *v = o->margin && p ? json_object_get(p->fields, o->margin) : NULL;
  *out = v ? json_number_value(v) : 0;
  if (!v || (json_is_number(v) && *out >= -1e9 && *out <= 1e9)) return 0;
  FAIL_AT(err, ERROR_INPUT, p->source, p->line, o->margin,
          "the field %s of problem %s is no margin; expected a number; remove it, or set the method's option margin",
          o->margin, p->id);
}

/* The token whose value is the score of a sequence. */
static int32_t last_of(const struct minibatch *m, int32_t sequence)
{
  return m->sequences[sequence].first + m->sequences[sequence].count - 1;
}

static int objective(struct method_call *c, const struct minibatch *m, struct loss *out, struct error *err)
{
  const struct self *o = c->self;
  struct preferred p;
  double right = 0, chosen = 0, rejected = 0;
  TRY(preferred_pairs(c->scratch, m, o->pairs, &p, err));
  double of = p.count ? p.count : 1;
  for (int32_t k = 0; k < p.count; k++) {
    int32_t better = last_of(m, p.better[k]), worse = last_of(m, p.worse[k]);
    double rc = m->value[better], rr = m->value[worse], margin;
    TRY(margin_of(o, m->step->groups[m->step->rollouts[m->sequences[p.better[k]].rollout].group].problem, &margin,
                  err));
    double x = rc - rr - margin, pull = 2 * o->centre * (rc + rr) / of, push = -logistic(-x) / of;
    out->loss[better] = (o->centre * (rc + rr) * (rc + rr) - logistic_log(x)) / of;
    out->value_coef[better] = pull + push;
    out->value_coef[worse] = pull - push;
    right += rc > rr;
    chosen += rc;
    rejected += rr;
  }
  method_report(c, "pairs", p.count);
  method_report(c, "accuracy", right / of);
  method_report(c, "margin", (chosen - rejected) / of);
  method_report(c, "chosen", chosen / of);
  method_report(c, "rejected", rejected / of);
  return 0;
}

const struct method method_reward_model = {
    .name = "reward_model",
    .title = "A reward model from pairs (Bradley-Terry)",
    .paper = "arXiv 2203.02155, eq. 1; margins of arXiv 2307.09288, eq. 2; centring of arXiv 2312.09244, eq. 2",
    .base = "grpo",
    .needs = NEED_VALUE | NEED_ALWAYS,
    METHOD_OPTIONS(options),
    METHOD_METRICS(metrics),
    .declare = declare,
    .objective = objective,
};
