/* rollout_correction: rollouts that another distribution drew than the one that is trained.
 *
 * Assay's own sampler is the policy to the bit, but not after top-p, top-k or min-p, which leave tokens out, and not
 * for rollouts that were made elsewhere. With log rho = logp - logp_behaviour of a token's record:
 *
 *     weights     none; or of a token or a whole response: rho held under a bound (TIS), or 0 outside two (IcePop)
 *     reject      tokens or responses that a rule finds too far off leave loss and denominators
 *
 * part_correction.h has the formulas, sources and rules. A weight of 0 stays in the denominators, a rejected token does
 * not. A token whose sampling probability is not known has rho = 1. Weights multiply the policy loss, not KL or
 * entropy.
 */
#include "core/math.h"
#include "method/method.h"
#include "method/part_correction.h"

enum level { NONE, TOKEN, SEQUENCE };

#define OPTIONS(X)                                                                                          \
  X(ENUM, level, TOKEN, 0, 0, "none|token|sequence",                                                        \
    "weights per token, per response (the product of its tokens'), or none")                                \
  X(STRING, bounds, 0, 0, 0, "2.0", "HIGH: rho is at most this (TIS); LOW_HIGH: rho is 0 outside (IcePop)") \
  X(BOOL, normalise, 0, 0, 1, NULL, "weights of the step to a mean of 1")                                   \
  X(STRING, reject, 0, 0, 0, NULL, "rules by commas, such as seq_mean_k3,token_k1; unset: none")            \
  X(STRING, reject_bounds, 0, 0, 0, NULL, "a bound for all, or one for each by commas; k1: LOW_HIGH of the ratio")

struct self {
  OPTIONS(OPTION_FIELD)
};
static const struct method_option options[] = {OPTIONS(OPTION_ROW)};
static const struct metric metrics[] = {{"weight", "1", "mean weight before `normalise`"},
                                        {"effective", "share", "effective sample size of the weights"},
                                        {"outside", "share", "tokens whose rho is outside the bounds"},
                                        {"rejected", "share", "tokens that a rule took out"},
                                        {"kl", "nats", "mean of -log rho: the KL from sampler to policy"},
                                        {"k3", "nats", "mean of rho - 1 - log rho"},
                                        {"chi2", "1", "mean of rho^2, less 1"}};

static int read_options(const struct self *o, struct correction_weighting *w, struct correction_rules *r,
                        struct error *err)
{
  *w = (struct correction_weighting){.level = o->level == SEQUENCE ? CORRECTION_SEQUENCE : CORRECTION_TOKEN,
                                     .normalise = o->normalise};
  r->count = 0;
  TRY(correction_read_bounds(o->bounds ? o->bounds : "", w, err));
  return o->reject ? correction_read_rules(o->reject, o->reject_bounds ? o->reject_bounds : "", r, err) : 0;
}

static int declare(const void *options_of, struct needs *out, struct error *err)
{
  struct correction_weighting w;
  struct correction_rules r;
  (void)out;
  int rc = read_options(options_of, &w, &r, err);
  return rc ? error_context(err, "rollout_correction") : 0;
}

/* All path tokens of the step, a rollout a sequence. */
static int gather(struct arena *a, const struct step *s, struct correction *out, struct error *err)
{
  struct correction_span *spans = ARENA_NEW(a, struct correction_span, (size_t)s->kept, "correction", err);
  double *old = ARENA_NEW(a, double, (size_t)s->path_count, "correction", err);
  double *sampler = ARENA_NEW(a, double, (size_t)s->path_count, "correction", err);
  if (!spans || !old || !sampler) return err->code;
  for (int32_t i = 0; i < s->kept; i++) {
    const struct rollout *r = &s->rollouts[s->order[i]];
    spans[i] = (struct correction_span){r->path, r->path_count};
  }
  for (int32_t p = 0; p < s->path_count; p++) {
    const struct token_record *t = step_record(s, p);
    old[p] = (double)t->logp;
    sampler[p] = math_is_finite((double)t->logp_behaviour) ? (double)t->logp_behaviour : old[p];
  }
  *out = (struct correction){s->path_count, s->kept, spans, old, sampler};
  return 0;
}

/* Means over tokens of what says how far apart the two are. */
static void report_distance(struct method_call *c, const struct correction *t)
{
  double kl = 0, k3 = 0, chi2 = 0;
  for (int32_t i = 0; i < t->count; i++) {
    double d = math_clamp(t->old[i] - t->sampler[i], -20, 20);
    kl -= d;
    k3 += math_expm1(d) - d;
    chi2 += math_expm1(2 * d);
  }
  double by = t->count ? t->count : 1;
  method_report(c, "kl", kl / by);
  method_report(c, "k3", k3 / by);
  method_report(c, "chi2", chi2 / by);
}

static void report_weights(struct method_call *c, const struct correction *t, const struct correction_weighting *w,
                           const double *raw, const double *weight)
{
  double sum = 0, squares = 0, outside = 0;
  for (int32_t i = 0; i < t->count; i++) {
    sum += weight[i];
    squares += weight[i] * weight[i];
    outside += raw[i] < w->low || raw[i] > w->high;
  }
  double by = t->count ? t->count : 1;
  method_report(c, "weight", sum / by);
  method_report(c, "effective", squares > 0 ? sum * sum / (by * squares) : 0);
  method_report(c, "outside", outside / by);
}

/* The mask of the rules: what they take out leaves the denominators. */
static int weight(struct method_call *c, const struct step *s, struct factors *out, struct error *err)
{
  struct correction t;
  struct correction_weighting w;
  struct correction_rules rules;
  size_t n = (size_t)s->path_count;
  TRY(read_options(c->self, &w, &rules, err));
  TRY(gather(c->scratch, s, &t, err));
  double *raw = ARENA_NEW(c->scratch, double, n, "correction", err),
         *x = ARENA_NEW(c->scratch, double, n, "correction", err);
  bool *keep = ARENA_NEW(c->scratch, bool, n, "correction", err);
  if (!raw || !x || !keep) return err->code;
  report_distance(c, &t);
  w.normalise = false;
  correction_weights(&t, &w, raw, x);
  report_weights(c, &t, &w, raw, x);
  for (size_t i = 0; i < n; i++) keep[i] = true;
  for (int i = 0; i < rules.count; i++) correction_reject(&t, &rules.at[i], x, keep);
  double gone = 0;
  for (size_t i = 0; i < n; i++) {
    out->factor[i] = keep[i];
    gone += !keep[i];
  }
  out->denominator = COUNT_KEPT;
  method_report(c, "rejected", n ? gone / (double)n : 0);
  return 0;
}

/* The weights themselves: what they make 0 still counts. */
static int weight_current(struct method_call *c, const struct minibatch *m, struct factors *out, struct error *err)
{
  const struct self *o = c->self;
  struct correction t;
  struct correction_weighting w;
  struct correction_rules rules;
  size_t n = (size_t)m->step->path_count;
  if (o->level == NONE) return 0;
  TRY(read_options(o, &w, &rules, err));
  TRY(gather(c->scratch, m->step, &t, err));
  double *raw = ARENA_NEW(c->scratch, double, n, "correction", err),
         *x = ARENA_NEW(c->scratch, double, n, "correction", err);
  if (!raw || !x) return err->code;
  correction_weights(&t, &w, raw, x);
  for (int32_t i = 0; i < m->count; i++) out->factor[i] = x[m->token[i]];
  out->denominator = COUNT_ALL;
  return 0;
}

const struct method method_rollout_correction = {
    .name = "rollout_correction",
    .title = "Weights and rejection for another sampler",
    .paper = "TIS: F. Yao et al. 2025; IcePop: arXiv 2510.18855; rules of verl's rollout_corr_helper",
    .base = "grpo",
    METHOD_OPTIONS(options),
    METHOD_METRICS(metrics),
    .declare = declare,
    .weight = weight,
    .weight_current = weight_current,
};
