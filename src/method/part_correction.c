#include "method/part_correction.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/math.h"

#define BOUND 20.0

static double log_ratio(const struct correction *c, int32_t i)
{
  return c->old[i] - c->sampler[i];
}

static double bounded(double x)
{
  return math_clamp(x, -BOUND, BOUND);
}

static double span_sum(const struct correction *c, const struct correction_span *s)
{
  double sum = 0;
  for (int32_t i = s->first; i < s->first + s->count; i++) sum += log_ratio(c, i);
  return sum;
}

/* ---- weights ---------------------------------------------------------------------------------------------------- */

double correction_ratio(double logp, double sampler)
{
  const double most = 20;
  return math_is_finite(sampler) ? math_exp(math_clamp(logp - sampler, -most, most)) : 1;
}

double correction_weight(const struct correction_weighting *o, double rho)
{
  if (o->kind == CORRECTION_TRUNCATE) return math_clamp(rho, o->low, o->high);
  return rho >= o->low && rho <= o->high ? rho : 0;
}

static double span_mean(const struct correction_span *s, const double *x)
{
  double sum = 0;
  for (int32_t i = s->first; i < s->first + s->count; i++) sum += x[i];
  return s->count ? sum / s->count : 0;
}

static double mean_weight(const struct correction *c, const struct correction_weighting *o, const double *weight)
{
  double sum = 0, count = 0;
  for (int32_t s = 0; s < c->span_count; s++) {
    const struct correction_span *q = &c->spans[s];
    double per = o->level == CORRECTION_TOKEN ? q->count : q->count > 0;
    sum += per * span_mean(q, weight);
    count += per;
  }
  return count > 0 ? sum / count : 0;
}

double correction_weights(const struct correction *c, const struct correction_weighting *o, double *raw, double *weight)
{
  for (int32_t s = 0; s < c->span_count; s++) {
    const struct correction_span *q = &c->spans[s];
    double whole = math_exp(bounded(span_sum(c, q)));
    for (int32_t i = q->first; i < q->first + q->count; i++) {
      raw[i] = o->level == CORRECTION_SEQUENCE ? whole : math_exp(bounded(log_ratio(c, i)));
      weight[i] = correction_weight(o, raw[i]);
    }
  }
  double by = o->normalise ? mean_weight(c, o, weight) : 1;
  if (by <= 1e-8) return 1;
  for (int32_t i = 0; i < c->count; i++) weight[i] /= by;
  return by;
}

/* ---- rejection -------------------------------------------------------------------------------------------------- */

enum over { OVER_TOKEN, OVER_SUM, OVER_MEAN, OVER_MAX };
static const struct {
  int k;
  enum over over;
  const char *name;
} RULES[CORRECTION_MOST] = {{1, OVER_TOKEN, "token_k1"},   {2, OVER_TOKEN, "token_k2"},   {3, OVER_TOKEN, "token_k3"},
                            {1, OVER_SUM, "seq_sum_k1"},   {2, OVER_SUM, "seq_sum_k2"},   {3, OVER_SUM, "seq_sum_k3"},
                            {1, OVER_MEAN, "seq_mean_k1"}, {2, OVER_MEAN, "seq_mean_k2"}, {3, OVER_MEAN, "seq_mean_k3"},
                            {2, OVER_MAX, "seq_max_k2"},   {3, OVER_MAX, "seq_max_k3"}};
#define RULE_WORDS                                                                                                \
  "token_k1, token_k2, token_k3, seq_sum_k1, seq_sum_k2, seq_sum_k3, seq_mean_k1, seq_mean_k2, seq_mean_k3, seq_" \
  "max_k2, seq_max_k3"

/* Up to a comma or the end. low: 0 without a lower bound. */
static int read_pair(const char *text, double *low, double *high, struct error *err)
{
  char *end;
  *low = 0;
  *high = strtod(text, &end);
  bool two = *end == '_';
  if (two) {
    *low = *high;
    *high = strtod(end + 1, &end);
  }
  if ((*end && *end != ',') || !(*high > 0) || (two && !(*low > 0 && *low <= *high)))
    FAIL(err, ERROR_INPUT, "found the bound \"%.*s\"; expected HIGH, or LOW_HIGH, numbers above 0",
         (int)strcspn(text, ","), text);
  return 0;
}

int correction_read_bounds(const char *text, struct correction_weighting *out, struct error *err)
{
  TRY(read_pair(text, &out->low, &out->high, err));
  out->kind = out->low > 0 ? CORRECTION_DROP : CORRECTION_TRUNCATE;
  return 0;
}

const char *correction_rule_name(enum correction_rule rule)
{
  return RULES[rule].name;
}

static int read_rule(const char *word, size_t n, const char *bound, struct correction_rejection *out, struct error *err)
{
  int rule = 0;
  while (rule < CORRECTION_MOST && (strlen(RULES[rule].name) != n || strncmp(RULES[rule].name, word, n) != 0)) rule++;
  if (rule == CORRECTION_MOST)
    FAIL(err, ERROR_INPUT, "found the rule \"%.*s\"; expected one of " RULE_WORDS, (int)n, word);
  *out = (struct correction_rejection){.rule = (enum correction_rule)rule};
  TRY(read_pair(bound, &out->low, &out->high, err));
  if (out->low > 0 && RULES[rule].k != 1)
    FAIL(err, ERROR_INPUT, "found two bounds for the rule %s; only k1 has a lower one; give one number",
         RULES[rule].name);
  if (RULES[rule].k == 1 && out->low <= 0) out->low = 1 / out->high;
  return 0;
}

static const char *behind_comma(const char *at)
{
  at += strcspn(at, ",");
  return *at ? at + 1 : at;
}

int correction_read_rules(const char *rules, const char *bounds, struct correction_rules *out, struct error *err)
{
  bool shared = !strchr(bounds, ',');
  out->count = 0;
  for (const char *at = rules; *at; at = behind_comma(at)) {
    if (out->count == CORRECTION_MOST || !*bounds)
      FAIL(err, ERROR_INPUT, "found rules \"%s\" that have no bound each; expected one bound for all or one for each",
           rules);
    TRY(read_rule(at, strcspn(at, ","), bounds, &out->at[out->count++], err));
    if (!shared) bounds = behind_comma(bounds);
  }
  if (!shared && *bounds)
    FAIL(err, ERROR_INPUT, "found more bounds than rules (\"%s\" is left); expected one for all or one for each",
         bounds);
  return 0;
}

bool correction_rule_is_k1(enum correction_rule rule)
{
  return RULES[rule].k == 1;
}

bool correction_rule_is_token(enum correction_rule rule)
{
  return RULES[rule].over == OVER_TOKEN;
}

static double token_statistic(const struct correction *c, int k, int32_t i)
{
  double x = bounded(log_ratio(c, i));
  return k == 1 ? -x : k == 2 ? 0.5 * x * x : math_expm1(x) - x;
}

static double span_statistic(const struct correction *c, enum correction_rule rule, const struct correction_span *s)
{
  double sum = 0, most = 0;
  for (int32_t i = s->first; i < s->first + s->count; i++) {
    double x = token_statistic(c, RULES[rule].k, i);
    sum += x;
    if (i == s->first || x > most) most = x;
  }
  if (RULES[rule].over == OVER_MAX) return most;
  return RULES[rule].over == OVER_MEAN && s->count ? sum / s->count : sum;
}

/* The bounds on the statistic itself. */
static double upper(const struct correction_rejection *o)
{
  return correction_rule_is_k1(o->rule) ? math_log(o->high) : o->high;
}

static double lower(const struct correction_rejection *o)
{
  return correction_rule_is_k1(o->rule) ? math_log(o->low) : -__builtin_inf();
}

void correction_reject(const struct correction *c, const struct correction_rejection *o, double *statistic, bool *keep)
{
  double low = lower(o), high = upper(o);
  for (int32_t s = 0; s < c->span_count; s++) {
    const struct correction_span *q = &c->spans[s];
    double whole = span_statistic(c, o->rule, q);
    for (int32_t i = q->first; i < q->first + q->count; i++) {
      statistic[i] = correction_rule_is_token(o->rule) ? token_statistic(c, RULES[o->rule].k, i) : whole;
      if (!(statistic[i] >= low && statistic[i] <= high)) keep[i] = false;
    }
  }
}

/* ---- metrics ---------------------------------------------------------------------------------------------------- */

/* Of a list of numbers, each of weight 1. */
struct moments {
  double count, sum, least, most;
  double first, squares; /* of x - first, and their sum in `centred` */
  double centred;
};

static void add(struct moments *m, double x)
{
  if (m->count == 0) m->first = m->least = m->most = x;
  m->count++;
  m->sum += x;
  m->centred += x - m->first;
  m->squares += (x - m->first) * (x - m->first);
  if (x < m->least) m->least = x;
  if (x > m->most) m->most = x;
}

static double mean_of(const struct moments *m)
{
  return m->count > 0 ? m->sum / m->count : 0;
}

static double std_of(const struct moments *m, double by)
{
  double variance = by > 0 ? (m->squares - m->centred * m->centred / m->count) / by : 0;
  return variance > 0 ? math_sqrt(variance) : 0;
}

static double larger(double a, double b)
{
  return a > b ? a : b;
}

static void measure_tokens(const struct correction *c, const struct correction_weighting *o, double low,
                           const double *raw, const double *weight, correction_put *put, void *arg)
{
  struct moments all = {0}, sums = {0};
  double high = 0, under = 0;
  for (int32_t i = 0; i < c->count; i++) {
    add(&all, weight[i]);
    high += raw[i] > o->high;
    under += raw[i] < low;
  }
  double of = c->count;
  if (o->level == CORRECTION_SEQUENCE) {
    high = under = 0;
    for (int32_t s = 0; s < c->span_count; s++) {
      double sum = span_sum(c, &c->spans[s]);
      add(&sums, sum);
      high += sum > math_log(o->high);
      under += sum < math_log(low);
    }
    of = c->span_count;
    put(arg, "rollout_is_max", math_exp(sums.most < BOUND ? sums.most : BOUND));
    put(arg, "rollout_is_min", math_exp(sums.least));
  }
  put(arg, "rollout_is_mean", mean_of(&all));
  put(arg, "rollout_is_ratio_fraction_high", high / of);
  put(arg, "rollout_is_ratio_fraction_low", under / of);
  if (o->level == CORRECTION_SEQUENCE) return;
  put(arg, "rollout_is_max", all.most);
  put(arg, "rollout_is_min", all.least);
}

static void measure_sequences(const struct correction *c, const struct correction_weighting *o, double low,
                              const double *raw, const double *weight, correction_put *put, void *arg)
{
  struct moments means = {0};
  double high = 0, under = 0;
  for (int32_t s = 0; s < c->span_count; s++) {
    double before = span_mean(&c->spans[s], raw);
    add(&means, span_mean(&c->spans[s], weight));
    high += before > o->high;
    under += before < low;
  }
  put(arg, "rollout_is_seq_mean", mean_of(&means));
  put(arg, "rollout_is_seq_std", std_of(&means, means.count - 1));
  put(arg, "rollout_is_seq_max", means.most);
  put(arg, "rollout_is_seq_min", means.least);
  put(arg, "rollout_is_seq_max_deviation", larger(math_abs(means.most - 1), math_abs(means.least - 1)));
  put(arg, "rollout_is_seq_fraction_high", high / c->span_count);
  put(arg, "rollout_is_seq_fraction_low", under / c->span_count);
}

void correction_measure_weights(const struct correction *c, const struct correction_weighting *o, const double *raw,
                                const double *weight, correction_put *put, void *arg)
{
  struct moments near = {0}, squares = {0};
  double low = o->low > 0 ? o->low : 1 / o->high, outside = 0;
  if (!c->count) return;
  measure_tokens(c, o, low, raw, weight, put, arg);
  for (int32_t i = 0; i < c->count; i++) {
    add(&near, math_clamp(weight[i], 0, o->high));
    outside += raw[i] < o->low || raw[i] > o->high;
  }
  for (int32_t i = 0; i < c->count; i++) {
    double share = math_clamp(weight[i], 0, o->high) / (mean_of(&near) + 1e-8);
    add(&squares, share * share);
  }
  put(arg, "rollout_is_std", std_of(&near, near.count));
  put(arg, "rollout_is_eff_sample_size", squares.sum > 0 ? 1 / mean_of(&squares) : 0);
  measure_sequences(c, o, low, raw, weight, put, arg);
  if (o->kind == CORRECTION_DROP) put(arg, "rollout_is_oob_ratio", outside / c->count);
}

static void measure_statistic(const struct correction *c, const struct correction_rejection *o, const double *statistic,
                              const struct moments *sequences, const double *sequence_outside, correction_put *put,
                              void *arg)
{
  struct moments all = {0}, near = {0};
  double low = lower(o), high = upper(o), above = 0, below = 0;
  for (int32_t i = 0; i < c->count; i++) {
    add(&all, statistic[i]);
    add(&near, math_clamp(statistic[i], math_is_finite(low) ? low : 0, high));
    above += statistic[i] > high;
    below += statistic[i] < low;
  }
  bool token = correction_rule_is_token(o->rule);
  put(arg, "mean", mean_of(&all));
  put(arg, "max", token ? all.most : sequences->most);
  put(arg, "min", token ? all.least : sequences->least);
  put(arg, "fraction_high", token ? above / c->count : sequence_outside[1] / sequences->count);
  put(arg, "fraction_low", token ? below / c->count : sequence_outside[0] / sequences->count);
  put(arg, "std", std_of(&near, near.count));
}

void correction_measure_rejection(const struct correction *c, const struct correction_rejection *o,
                                  const double *statistic, const bool *keep, correction_put *put, void *arg)
{
  struct moments sequences = {0};
  double low = lower(o), high = upper(o), outside[2] = {0}, gone = 0, cut = 0;
  if (!c->count) return;
  for (int32_t s = 0; s < c->span_count; s++) {
    const struct correction_span *q = &c->spans[s];
    bool whole = true;
    if (!q->count) continue;
    double x = correction_rule_is_token(o->rule) ? span_mean(q, statistic) : statistic[q->first];
    add(&sequences, x);
    outside[0] += x < low;
    outside[1] += x > high;
    for (int32_t i = q->first; i < q->first + q->count; i++) {
      gone += !keep[i];
      whole = whole && keep[i];
    }
    cut += !whole;
  }
  measure_statistic(c, o, statistic, &sequences, outside, put, arg);
  put(arg, "seq_mean", mean_of(&sequences));
  put(arg, "seq_std", std_of(&sequences, sequences.count - 1));
  put(arg, "seq_max", sequences.most);
  put(arg, "seq_min", sequences.least);
  put(arg, "seq_max_deviation", larger(math_abs(sequences.most), math_abs(sequences.least)));
  put(arg, "seq_fraction_high", outside[1] / sequences.count);
  if (correction_rule_is_k1(o->rule)) put(arg, "seq_fraction_low", outside[0] / sequences.count);
  put(arg, "masked_fraction", gone / c->count);
  put(arg, "seq_masked_fraction", cut / sequences.count);
}

static void measure_perplexity(const struct correction *c, correction_put *put, void *arg)
{
  struct moments trained = {0}, trained_log = {0}, sampled = {0}, sampled_log = {0}, apart = {0}, far = {0},
                 ratio = {0};
  for (int32_t s = 0; s < c->span_count; s++) {
    double a = span_mean(&c->spans[s], c->old), b = span_mean(&c->spans[s], c->sampler);
    add(&trained, math_exp(-a));
    add(&trained_log, -a);
    add(&sampled, math_exp(-b));
    add(&sampled_log, -b);
    add(&apart, b - a);
    add(&far, math_abs(b - a));
    add(&ratio, math_exp(b - a));
  }
  put(arg, "training_ppl", mean_of(&trained));
  put(arg, "training_log_ppl", mean_of(&trained_log));
  put(arg, "rollout_ppl", mean_of(&sampled));
  put(arg, "rollout_log_ppl", mean_of(&sampled_log));
  put(arg, "log_ppl_diff", mean_of(&apart));
  put(arg, "log_ppl_abs_diff", mean_of(&far));
  put(arg, "log_ppl_diff_max", apart.most);
  put(arg, "log_ppl_diff_min", apart.least);
  put(arg, "ppl_ratio", mean_of(&ratio));
}

void correction_measure(const struct correction *c, correction_put *put, void *arg)
{
  struct moments k1 = {0}, k3 = {0}, token = {0}, sequence = {0};
  if (!c->count) return;
  for (int32_t i = 0; i < c->count; i++) {
    double d = log_ratio(c, i);
    add(&k1, -d);
    add(&k3, math_expm1(bounded(d)) - d);
    add(&token, math_exp(2 * bounded(d)));
  }
  for (int32_t s = 0; s < c->span_count; s++) add(&sequence, math_exp(2 * bounded(span_sum(c, &c->spans[s]))));
  measure_perplexity(c, put, arg);
  put(arg, "kl", mean_of(&k1));
  put(arg, "k3_kl", mean_of(&k3));
  put(arg, "chi2_token", mean_of(&token) - 1);
  put(arg, "chi2_seq", mean_of(&sequence) - 1);
}
