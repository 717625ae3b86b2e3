/* dpo: preference losses on pairs (arXiv 2305.18290) that are made from the groups: the best response of a group
 * against its worst, the second best against the second worst, while the rewards differ; or given (`assay sft`): then a
 * group is a pair.
 *
 *     c, r = sum_t (logp - reference) of the chosen and of the rejected response
 *     loss = mean over the pairs of the mini-batch of f(beta (c - r));  sigmoid: f(x) = -log(1 / (1 + exp(-x)))
 *
 * part_pair.h has the other 14 losses. A group of equal rewards makes no pair; a mini-batch without pairs has loss 0.
 */
#include "method/method.h"
#include "method/part_pair.h"
#include "method/part_preferred.h"

#define OPTIONS(X)                                                                                           \
  X(ENUM, loss, PAIR_SIGMOID, 0, 0, PAIR_WORDS, "which loss of a pair")                                      \
  X(ENUM, score, PAIR_REVERSE_KL, 0, 0, PAIR_SCORE_WORDS, "divergence whose derivative scores a log-ratio")  \
  X(REAL, beta, 0.1, 1e-4, 1e3, NULL, "how strongly the reference holds")                                    \
  X(REAL, smoothing, 0, 0, 0.49, NULL, "share of pairs whose label is taken to be wrong; exo_pair: above 0") \
  X(REAL, tau, 0.05, 1e-3, 1e3, NULL, "temperature of discopop")                                             \
  X(BOOL, per_token, 1, 0, 1, NULL, "ipo: scores divided by the lengths (TRL), or not (OpenRLHF)")           \
  X(INT, pairs, 1, 1, 1e6, NULL, "pairs made of a group at most")

struct self {
  OPTIONS(OPTION_FIELD)
};
static const struct method_option options[] = {OPTIONS(OPTION_ROW)};

static const struct metric metrics[] = {{"pairs", "pairs", "pairs of the mini-batch"},
                                        {"accuracy", "share", "pairs whose chosen response has the larger log-ratio"},
                                        {"margin", "nats", "mean of beta times the difference of the log-ratios"},
                                        {"chosen", "nats", "mean reward of the chosen: beta times its log-ratio"},
                                        {"rejected", "nats", "mean reward of the rejected"}};

static int declare(const void *options_of, struct needs *out, struct error *err)
{
  const struct self *o = options_of;
  if (o->loss == PAIR_EXO && !(o->smoothing > 0))
    FAIL(err, ERROR_INPUT, "dpo: loss exo_pair divides by smoothing, which is 0; give smoothing a value above 0");
  out->flags |= NEED_REFERENCE_LOGP | NEED_ALWAYS;
  return 0;
}

static struct pair_side side(const struct minibatch *m, int32_t sequence)
{
  const struct minibatch_sequence *q = &m->sequences[sequence];
  struct pair_side out = {.tokens = q->count};
  for (int32_t i = q->first; i < q->first + q->count; i++) {
    out.logp += m->logp[i];
    out.reference += m->reference[i];
  }
  return out;
}

/* Every pair's share of the loss stands at the first token of its chosen response. */
static void put(const struct minibatch *m, const struct preferred *p, double loss, const double *by_better,
                const double *by_worse, struct loss *out)
{
  for (int32_t k = 0; k < p->count; k++) {
    const struct minibatch_sequence *q = &m->sequences[p->better[k]], *w = &m->sequences[p->worse[k]];
    out->loss[q->first] = loss / p->count;
    for (int32_t i = q->first; i < q->first + q->count; i++) out->coef[i] = by_better[k];
    for (int32_t i = w->first; i < w->first + w->count; i++) out->coef[i] = by_worse[k];
  }
}

static void report(struct method_call *c, const struct pair *pairs, int32_t n)
{
  const struct self *o = c->self;
  double right = 0, chosen = 0, rejected = 0;
  for (int32_t k = 0; k < n; k++) {
    double better = pairs[k].chosen.logp - pairs[k].chosen.reference;
    double worse = pairs[k].rejected.logp - pairs[k].rejected.reference;
    right += better > worse;
    chosen += o->beta * better;
    rejected += o->beta * worse;
  }
  double of = n ? n : 1;
  method_report(c, "pairs", n);
  method_report(c, "accuracy", right / of);
  method_report(c, "margin", (chosen - rejected) / of);
  method_report(c, "chosen", chosen / of);
  method_report(c, "rejected", rejected / of);
}

static int objective(struct method_call *c, const struct minibatch *m, struct loss *out, struct error *err)
{
  const struct self *o = c->self;
  const struct pair_options pair = {(enum pair_loss)o->loss, (enum pair_score)o->score, o->beta,
                                    o->loss == PAIR_SFT ? 0 : o->smoothing, o->tau};
  struct preferred p;
  double loss;
  TRY(preferred_pairs(c->scratch, m, o->pairs, &p, err));
  struct pair *pairs = ARENA_NEW(c->scratch, struct pair, (size_t)p.count, "dpo", err);
  double *by = ARENA_NEW(c->scratch, double, 2 * (size_t)p.count, "dpo", err);
  if (!pairs || !by) return err->code;
  for (int32_t k = 0; k < p.count; k++) pairs[k] = (struct pair){side(m, p.better[k]), side(m, p.worse[k])};
  TRY(pair_losses(c->scratch, &pair, pairs, (size_t)p.count, o->per_token, &loss, by, by + p.count, err));
  put(m, &p, loss, by, by + p.count, out);
  report(c, pairs, p.count);
  return 0;
}

const struct method method_dpo = {
    .name = "dpo",
    .title = "Preference losses on pairs made from groups",
    .paper = "arXiv 2305.18290, eq. 7; TRL's 15 losses of a pair",
    .base = "grpo",
    .needs = NEED_REFERENCE_LOGP | NEED_ALWAYS,
    METHOD_OPTIONS(options),
    METHOD_METRICS(metrics),
    .declare = declare,
    .objective = objective,
};
