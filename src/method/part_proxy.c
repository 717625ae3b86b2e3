#include "method/part_proxy.h"

#include "core/math.h"
#include "method/part_softmax.h"

struct proxy proxy_filter(const double *old, int32_t n, const struct proxy_rule *rule, double *logq)
{
  struct proxy out = {0};
  double lowest = old[0], most = 0;
  softmax_log(old, n, 1, logq);
  for (int32_t v = 0; v < n; v++) {
    double p = math_exp(logq[v]);
    lowest = old[v] < lowest ? old[v] : lowest;
    most = p > most ? p : most;
  }
  out.tau = rule->fixed > 0 ? rule->fixed : rule->kappa * most;
  for (int32_t v = 0; v < n; v++) {
    double p = math_exp(logq[v]);
    bool kept = p >= out.tau;
    out.kept += kept;
    out.mass += kept ? p : 0;
    logq[v] = kept ? old[v] : rule->soft ? lowest : -__builtin_inf();
  }
  /* Nothing reaches a fixed threshold: no token has a proxy. */
  if (out.kept || rule->soft) softmax_log(logq, n, rule->temperature, logq);
  return out;
}

/* Ranks the population. Returns how many stand in scratch. */
static int32_t rank_population(const double *logp, const double *advantage, int32_t n, bool negative,
                               struct ranked *scratch)
{
  int32_t count = 0;
  for (int32_t i = 0; i < n; i++)
    if (!negative || advantage[i] < 0) scratch[count++] = (struct ranked){negative ? logp[i] : math_exp(logp[i]), i};
  rank_sort(scratch, count, false);
  return count;
}

struct proxy_gate proxy_gate_tokens(const double *logp, const double *logq, const double *advantage, int32_t n,
                                    const struct proxy_gate_rule *rule, struct ranked *scratch, bool *gate)
{
  struct proxy_gate g = {.delta = __builtin_nan("")};
  bool negative = rule->population == PROXY_NEGATIVE;
  int32_t count = rank_population(logp, advantage, n, negative, scratch), low = 0;
  for (int32_t i = 0; i < n; i++) gate[i] = false;
  if (negative) {
    low = rank_count(rule->rho, count, RANK_FLOOR);
    if (low <= 1) return g;
    g.delta = math_exp(scratch[low - 1].value);
  } else if (count) {
    g.delta = rank_quantile(scratch, count, rule->rho);
    while (low < count && scratch[low].value < g.delta) low++;
  }
  for (int32_t k = 0; k < low; k++) {
    int32_t i = scratch[k].index;
    if (!(advantage[i] < 0)) continue;
    g.candidates++;
    gate[i] = logq[i] > -__builtin_inf() && (!rule->need_below || logp[i] < logq[i]);
    g.gated += gate[i];
  }
  return g;
}

struct proxy_value proxy_policy(double logp, double old, double advantage, bool gated, const struct proxy_loss_rule *r)
{
  double d = logp - old, ratio = math_exp(math_clamp(d, -r->log_ratio, r->log_ratio));
  double plain = -advantage * ratio, limited = -advantage * math_clamp(ratio, 0, r->most);
  bool moves = math_abs(d) <= r->log_ratio, inside = ratio <= r->most;
  if (!r->plain && (gated || plain >= limited)) return (struct proxy_value){plain, moves ? plain : 0, false};
  return (struct proxy_value){limited, moves && inside ? plain : 0, !inside};
}

struct proxy_value proxy_k3(double logp, double logq)
{
  double d = logq - logp, grown = math_expm1(d), value = grown - d;
  if (value > 10) return (struct proxy_value){.loss = 10, .clipped = true};
  return (struct proxy_value){.loss = value, .coef = -grown};
}

double proxy_full(const double *logq, const double *logp, int32_t n)
{
  double sum = 0;
  for (int32_t v = 0; v < n; v++) {
    double q = math_exp(logq[v]);
    if (q > 0) sum += q * (logq[v] - logp[v]);
  }
  return sum;
}
