/* lp_reg: rare tokens are kept alive (Lp-Reg, arXiv 2510.03222; code CarlanLark/Lp-Reg-dev).
 *
 *     q    = the sampling policy without its tail, renormalised                      part_proxy.h
 *     gate = A < 0, log q(y) > -inf, pi(y) among the lowest of the update, and pi(y) < q(y) where need_below is set
 *     L    = max(-A r, -A clip(r, 0, ratio_max)), at gated tokens -A r               no lower clip, no dual clip
 *     loss = agg(L) + beta sum over gated tokens of scale * D
 *     D    = k3: q/p - log(q/p) - 1 at the token;  full: KL(q || p) over the vocabulary
 *
 * Defaults are the released code's; the paper's form is {estimator: full, population: all, need_below: false, clip:
 * plain}. grpo keeps advantage and regularisers; its clip options do nothing here.
 */
#include "core/math.h"
#include "method/method.h"
#include "method/part_aggregate.h"
#include "method/part_proxy.h"

enum filter { MIN_P, FIXED };
enum estimator { K3, FULL };
enum clip { MAX, PLAIN };

#define OPTIONS(X)                                                                                                 \
  X(REAL, beta, 1, 0, 1e6, NULL, "weight of the regulariser; 0: off")                                              \
  X(REAL, rho, 0.01, 0, 1, NULL, "share of tokens that are low")                                                   \
  X(ENUM, population, PROXY_NEGATIVE, 0, 0, PROXY_POPULATIONS, "among which: tokens with A < 0, or all")           \
  X(BOOL, need_below, 1, 0, 1, NULL, "a gated token is less likely than under the proxy")                          \
  X(ENUM, filter, MIN_P, 0, 0, "min_p|fixed", "what the proxy keeps: p >= kappa max p, or p >= tau")               \
  X(REAL, kappa, 0.02, 0, 1, NULL, "min_p: share of the likeliest token's probability")                            \
  X(REAL, tau, 0.02, 1e-12, 1, NULL, "fixed: the probability itself")                                              \
  X(ENUM, estimator, K3, 0, 0, "k3|full", "of the divergence: at the sampled token, or over the whole vocabulary") \
  X(ENUM, clip, MAX, 0, 0, "max|plain", "the policy term: the larger of clipped and not, or the clipped one")      \
  X(REAL, ratio_max, 10, 1, OPTION_INF, NULL, "upper clip of the ratio")                                           \
  X(REAL, log_ratio_max, 20, 0, OPTION_INF, NULL, "clamp of the log-ratio; .inf: none, as in the released code")   \
  X(ENUM, aggregation, AGGREGATE_TOKEN_MEAN, 0, 0, AGGREGATE_WORDS, "how token losses become one number")          \
  X(REAL, constant, 0, 0, 1e9, NULL, "length that aggregation: constant divides by; 0: rollout.max_new_tokens")

struct self {
  OPTIONS(OPTION_FIELD)
};
static const struct method_option options[] = {OPTIONS(OPTION_ROW)};
static const struct metric metrics[] = {
    {"gated", "", "share of the tokens that are kept alive"},
    {"candidates", "", "share of the tokens with A < 0 that are low"},
    {"delta", "", "probability up to which a token is low"},
    {"regulariser", "", "mean of k3 over the gated tokens"},
};

static struct token_stat proxy_stat(const struct self *o)
{
  if (o->filter == FIXED) return (struct token_stat){TOKEN_STAT_FLOOR_LOGP, o->tau};
  return (struct token_stat){TOKEN_STAT_MIN_P_LOGP, o->kappa};
}

static int declare(const void *options_of, struct needs *out, struct error *err)
{
  const struct self *o = options_of;
  (void)err;
  out->flags |= NEED_TOKEN_STAT;
  out->token_stats[out->token_stat_count++] = proxy_stat(o);
  if (o->estimator == K3) return 0;
  out->flags |= NEED_ROW_TERM;
  out->row_sources[out->row_source_count++] = (struct row_source){.policy = "policy"};
  out->row_functions = 4;
  return 0;
}

/* ---- the whole vocabulary --------------------------------------------------------------------------------------- */

struct full_term {
  struct proxy_rule rule;
};

/* KL(q || p), q from the frozen policy of this mini-batch. Its log-probabilities times the temperature are its logits
 * without it, up to a constant. dD/dz = p - q. */
static double full_at(const void *arg, const struct row_input *in, double *gradient)
{
  const struct full_term *t = arg;
  double *plain = in->scratch, *logq = in->scratch + in->vocab;
  for (int32_t v = 0; v < in->vocab; v++) plain[v] = in->other[0][v] * t->rule.temperature;
  struct proxy f = proxy_filter(plain, in->vocab, &t->rule, logq);
  for (int32_t v = 0; v < in->vocab; v++) gradient[v] = f.kept ? math_exp(in->logp[v]) - math_exp(logq[v]) : 0;
  return f.kept ? proxy_full(logq, in->logp, in->vocab) : 0;
}

static int add_full(const struct self *o, const struct minibatch *m, const bool *gate, const double *scale,
                    struct loss *out, struct error *err)
{
  struct full_term *term = ARENA_NEW(out->arena, struct full_term, 1, "lp_reg", err);
  double *by = ARENA_NEW(out->arena, double, (size_t)m->count, "lp_reg", err);
  if (!term || !by) return err->code;
  term->rule = (struct proxy_rule){
      .kappa = o->kappa, .fixed = o->filter == FIXED ? o->tau : 0, .temperature = m->step->temperature};
  for (int32_t i = 0; i < m->count; i++) by[i] = gate[i] ? o->beta * scale[i] * m->weight[i] : 0;
  out->row = (struct row_term){.scale = by, .at = full_at, .arg = term};
  return 0;
}

/* ---- the loss ---------------------------------------------------------------------------------------------------- */

static struct proxy_gate open_gate(const struct self *o, const struct minibatch *m, double *logq,
                                   struct ranked *scratch, bool *gate)
{
  const struct token_stat stat = proxy_stat(o);
  const double *of_step = scores_stat(m->step, stat.kind, stat.parameter);
  const struct proxy_gate_rule rule = {
      .rho = o->rho, .population = (enum proxy_population)o->population, .need_below = o->need_below};
  for (int32_t i = 0; i < m->count; i++) logq[i] = of_step[m->token[i]];
  struct proxy_gate g = proxy_gate_tokens(m->logp, logq, m->advantage, m->count, &rule, scratch, gate);
  for (int32_t i = 0; !(o->beta > 0) && i < m->count; i++) gate[i] = false;
  return g;
}

static void report(struct method_call *c, const struct minibatch *m, const struct proxy_gate *g, double k3)
{
  double negative = 0;
  for (int32_t i = 0; i < m->count; i++) negative += m->advantage[i] < 0;
  if (m->count) method_report(c, "gated", (double)g->gated / m->count);
  if (negative > 0) method_report(c, "candidates", g->candidates / negative);
  if (math_is_finite(g->delta)) method_report(c, "delta", g->delta);
  if (g->gated) method_report(c, "regulariser", k3 / g->gated);
}

static int objective(struct method_call *c, const struct minibatch *m, struct loss *out, struct error *err)
{
  const struct self *o = c->self;
  size_t n = (size_t)m->count;
  double *scale = ARENA_NEW(c->scratch, double, 2 * n + 1, "lp_reg", err), *logq = scale + n, sum = 0;
  struct ranked *scratch = ARENA_NEW(c->scratch, struct ranked, n + 1, "lp_reg", err);
  bool *gate = ARENA_NEW(c->scratch, bool, n + 1, "lp_reg", err);
  if (!scale || !scratch || !gate) return err->code;
  double constant = o->constant > 0 ? o->constant : (double)m->step->max_new_tokens;
  const struct proxy_loss_rule rule = {.most = o->ratio_max, .plain = o->clip == PLAIN, .log_ratio = o->log_ratio_max};
  aggregate_scale(m, (enum aggregation)o->aggregation, constant, m->counted, scale);
  struct proxy_gate g = open_gate(o, m, logq, scratch, gate);
  for (int32_t i = 0; i < m->count; i++) {
    struct proxy_value v = proxy_policy(m->logp[i], m->old[i], m->advantage[i], gate[i], &rule);
    struct proxy_value k = gate[i] ? proxy_k3(m->logp[i], logq[i]) : (struct proxy_value){0};
    double by = scale[i] * m->weight[i], beta = o->estimator == K3 ? o->beta : 0;
    out->loss[i] = by * (v.loss + beta * k.loss);
    out->coef[i] = by * (v.coef + beta * k.coef);
    out->clipped[i] = v.clipped;
    sum += k.loss;
  }
  report(c, m, &g, sum);
  return o->estimator == FULL && o->beta > 0 ? add_full(o, m, gate, scale, out, err) : 0;
}

const struct method method_lp_reg = {
    .name = "lp_reg",
    .title = "Lp-Reg: low-probability tokens sustain exploration",
    .paper = "arXiv 2510.03222; code CarlanLark/Lp-Reg-dev",
    .number = 28,
    .base = "grpo",
    .needs = NEED_TOKEN_STAT | NEED_ROW_TERM,
    METHOD_OPTIONS(options),
    METHOD_METRICS(metrics),
    .declare = declare,
    .objective = objective,
};
