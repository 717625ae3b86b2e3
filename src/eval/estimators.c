#include "eval/estimators.h"
#include <stdlib.h>
#include <string.h>
#include "core/math.h"
#include "core/rng.h"

double eval_pass_at_k(int64_t n, int64_t c, int64_t k)
{
  ASSAY_BUG_IF(c < 0 || c > n || k < 1 || k > n);
  double none = 1;
  if (c > n - k) return 1;
  /* C(n-c, k) / C(n, k) as a product of the fewer factors. */
  if (c <= k)
    for (int64_t i = 0; i < c; i++) none *= (double)(n - k - i) / (double)(n - i);
  else
    for (int64_t i = 0; i < k; i++) none *= (double)(n - c - i) / (double)(n - i);
  return 1 - none;
}

double eval_all_at_k(int64_t n, int64_t c, int64_t k)
{
  ASSAY_BUG_IF(c < 0 || c > n || k < 1 || k > n);
  double all = 1;
  if (c < k) return 0;
  /* C(c, k) / C(n, k) as a product of the fewer factors. */
  if (n - c <= k)
    for (int64_t i = 0; i < n - c; i++) all *= (double)(n - k - i) / (double)(n - i);
  else
    for (int64_t i = 0; i < k; i++) all *= (double)(c - i) / (double)(n - i);
  return all;
}

double eval_plug_in_at_k(int64_t n, int64_t c, int64_t k)
{
  ASSAY_BUG_IF(c < 0 || c > n || k < 1 || n < 1);
  if (c == n) return 1;
  return -math_expm1((double)k * math_log1p(-(double)c / (double)n));
}

/* The i-th of the ascending rewards is the largest of the k in C(i, k-1) of C(n, k) draws. */
double eval_best_at_k(const double *ascending, size_t n, size_t k)
{
  ASSAY_BUG_IF(k < 1 || k > n);
  double sum = 0, weight = (double)k / (double)n;
  for (size_t i = n; i-- > 0 && i + 1 >= k;) {
    sum += weight * ascending[i];
    if (i) weight *= (double)(i - (k - 1)) / (double)i;
  }
  return sum;
}

double eval_worst_at_k(const double *ascending, size_t n, size_t k)
{
  ASSAY_BUG_IF(k < 1 || k > n);
  double sum = 0, weight = (double)k / (double)n;
  for (size_t i = 0; i + k <= n; i++) {
    sum += weight * ascending[i];
    if (i + 1 < n) weight *= (double)(n - k - i) / (double)(n - 1 - i);
  }
  return sum;
}

struct eval_vote eval_vote_of(const char *const *answers, size_t n)
{
  struct eval_vote v = {0};
  for (size_t i = 0; i < n; i++) {
    size_t votes = 0;
    bool seen = false;
    for (size_t k = 0; k < i && answers[i]; k++) seen = seen || (answers[k] && !strcmp(answers[k], answers[i]));
    if (!answers[i] || seen) continue;
    for (size_t k = i; k < n; k++) votes += answers[k] && !strcmp(answers[k], answers[i]);
    if (votes == v.votes) v.tied = true;
    if (votes <= v.votes) continue;
    v = (struct eval_vote){.winner = answers[i], .votes = votes, .share = (double)votes / (double)n};
  }
  return v;
}

/* ---- majority ---------------------------------------------------------------------------------------------------- */

/* A table for one draw: log factorials, and the logs of p = k / n and 1 - p. Any p in (0, 1) would give the same ratio;
 * this one keeps all terms in range. */
struct draw {
  double *log_factorial; /* [n + 1] */
  double *weights;       /* [k + 1] of the class being added */
  double log_in, log_out;
};

/* C(count, taken) p^taken (1-p)^(count-taken) */
static double weight(const struct draw *d, int64_t count, int64_t taken)
{
  return math_exp(d->log_factorial[count] - d->log_factorial[taken] - d->log_factorial[count - taken] +
                  (double)taken * d->log_in + (double)(count - taken) * d->log_out);
}

/* state[u][t]: weight of the ways in which u samples are drawn from the answers so far and t of these answers tie with
   the right one. A class adds 0..most samples; adding `tie` of them is a tie. In place: u descending reads only what is
   not yet overwritten. */
static void add_class(const struct draw *d, double *state, int64_t k, int64_t ties, int64_t count, int64_t most,
                      int64_t tie)
{
  if (most > k) most = k;
  for (int64_t j = 0; j <= most; j++) d->weights[j] = weight(d, count, j);
  for (int64_t u = k; u >= 0; u--)
    for (int64_t t = ties; t >= 0; t--) {
      double sum = 0;
      for (int64_t j = 0; j <= most && j <= u; j++) {
        int64_t from = t - (j == tie);
        if (from >= 0) sum += state[(u - j) * (ties + 1) + from] * d->weights[j];
      }
      state[u * (ties + 1) + t] = sum;
    }
}

/* Weight of the draws in which the right answer occurs m times and wins, ties shared. */
static double wins_with(const struct draw *d, double *state, int64_t right, const int64_t *other, size_t count,
                        int64_t silent, int64_t k, int64_t m)
{
  int64_t ties = k / m;
  for (int64_t i = 0; i < (k + 1) * (ties + 1); i++) state[i] = 0;
  state[m * (ties + 1)] = weight(d, right, m);
  for (size_t i = 0; i < count; i++) add_class(d, state, k, ties, other[i], other[i] < m ? other[i] : m, m);
  if (silent) add_class(d, state, k, ties, silent, silent, -1);
  double sum = 0;
  for (int64_t t = 0; t <= ties; t++) sum += state[k * (ties + 1) + t] / (double)(t + 1);
  return sum;
}

/* All samples are drawn: the right answer wins or it does not. */
static double whole_vote(int64_t right, const int64_t *other, size_t count)
{
  int64_t tied = 1;
  for (size_t i = 0; i < count; i++) {
    if (other[i] > right) return 0;
    tied += other[i] == right;
  }
  return right ? 1 / (double)tied : 0;
}

int eval_majority_at_k(struct arena *a, int64_t right, const int64_t *other, size_t count, int64_t silent, int64_t k,
                       double *out, struct error *err)
{
  int64_t n = right + silent;
  for (size_t i = 0; i < count; i++) n += other[i];
  ASSAY_BUG_IF(k < 1 || k > n);
  *out = __builtin_nan("");
  if (k == n) *out = whole_vote(right, other, count);
  if (k == n || k > EVAL_MAJORITY_LIMIT) return 0;
  struct arena_mark mark = arena_mark(a);
  double p = (double)k / (double)n, sum = 0;
  struct draw d = {.log_in = math_log(p), .log_out = math_log1p(-p)};
  d.log_factorial = ARENA_NEW(a, double, (size_t)n + 1, "eval", err);
  d.weights = d.log_factorial ? ARENA_NEW(a, double, (size_t)k + 1, "eval", err) : NULL;
  double *state = d.weights ? ARENA_NEW(a, double, (size_t)((k + 1) * (k + 1)), "eval", err) : NULL;
  if (!state) return err->code;
  for (int64_t i = 1; i <= n; i++) d.log_factorial[i] = d.log_factorial[i - 1] + math_log((double)i);
  for (int64_t m = 1; m <= right && m <= k; m++) sum += wins_with(&d, state, right, other, count, silent, k, m);
  *out = math_clamp(sum / weight(&d, n, k), 0, 1);
  arena_release(a, mark);
  return 0;
}

/* ---- intervals --------------------------------------------------------------------------------------------------- */

void eval_wilson(double p, double n, double *low, double *high)
{
  const double z = 1.959963984540054; /* 97.5 % of a normal distribution lies below */
  *low = 0;
  *high = 1;
  if (!(n > 0)) return;
  double scale = 1 + z * z / n, middle = (p + z * z / (2 * n)) / scale;
  double half = z * math_sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / scale;
  // rounding must not put p itself outside, as at 0 and 1
  *low = math_clamp(middle - half, 0, p);
  *high = math_clamp(middle + half, p, 1);
}

double eval_effective_trials(const double *rates, size_t problems, int64_t attempts)
{
  double mean = 0, squares = 0, least = (double)problems;
  for (size_t i = 0; i < problems; i++) mean += rates[i];
  mean /= problems ? (double)problems : 1;
  for (size_t i = 0; i < problems; i++) squares += (rates[i] - mean) * (rates[i] - mean);
  if (problems < 2 || squares <= 0) return least;
  double variance = squares / ((double)problems * ((double)problems - 1));
  return math_clamp(mean * (1 - mean) / variance, least, (double)attempts);
}

/* ---- resampling -------------------------------------------------------------------------------------------------- */

void eval_resample_means(const double *values, size_t series, const uint32_t *index, size_t count, double *means)
{
  for (size_t s = 0; s < series; s++) means[s] = 0;
  for (size_t i = 0; i < count; i++)
    for (size_t s = 0; s < series; s++) means[s] += values[index[i] * series + s];
  for (size_t s = 0; s < series; s++) means[s] /= (double)count;
}

/* Problems of one resample: the upper half of a 64-bit product, uneven by less than n / 2^32. */
static void draw_problems(uint32_t resample, uint32_t *index, size_t n)
{
  uint32_t words[4] = {0};
  struct rng_at at = {.purpose = RNG_EVAL, .step = UINT32_MAX, .group = resample};
  for (size_t i = 0; i < n; i++) {
    at.position = (uint32_t)(i / 4);
    if (i % 4 == 0) rng_block(1, &at, words);
    index[i] = (uint32_t)(((uint64_t)words[i % 4] * n) >> 32);
  }
}

static struct eval_interval interval_of(double *means, double mean)
{
  struct eval_interval v = {.mean = mean};
  double sum = 0, squares = 0;
  for (size_t i = 0; i < EVAL_RESAMPLES; i++) sum += means[i];
  for (size_t i = 0; i < EVAL_RESAMPLES; i++)
    squares += (means[i] - sum / EVAL_RESAMPLES) * (means[i] - sum / EVAL_RESAMPLES);
  v.std = math_sqrt(squares / (EVAL_RESAMPLES - 1));
  eval_sort(means, EVAL_RESAMPLES);
  v.low = eval_quantile(means, EVAL_RESAMPLES, 0.025);
  v.high = eval_quantile(means, EVAL_RESAMPLES, 0.975);
  return v;
}

int eval_bootstrap(struct arena *a, const double *values, size_t problems, size_t series, struct eval_interval *out,
                   struct error *err)
{
  ASSAY_BUG_IF(!problems || problems > UINT32_MAX);
  struct arena_mark mark = arena_mark(a);
  uint32_t *index = ARENA_NEW(a, uint32_t, problems, "eval", err);
  double *one = index ? ARENA_NEW(a, double, series, "eval", err) : NULL;
  double *means = one ? ARENA_NEW(a, double, series *EVAL_RESAMPLES, "eval", err) : NULL;
  if (!means) return err->code;
  for (uint32_t r = 0; r < EVAL_RESAMPLES; r++) {
    draw_problems(r, index, problems);
    eval_resample_means(values, series, index, problems, one);
    for (size_t s = 0; s < series; s++) means[s * EVAL_RESAMPLES + r] = one[s];
  }
  for (size_t i = 0; i < problems; i++) index[i] = (uint32_t)i;
  eval_resample_means(values, series, index, problems, one);
  for (size_t s = 0; s < series; s++) out[s] = interval_of(means + s * EVAL_RESAMPLES, one[s]);
  arena_release(a, mark);
  return 0;
}

double eval_mcnemar(size_t gained, size_t lost)
{
  size_t n = gained + lost, least = gained < lost ? gained : lost;
  /* Terms C(n, i) / 2^n from the largest that counts downwards, its log by sums of logs. */
  double log_term = -(double)n * math_log(2), sum = 0, term = 1;
  for (size_t i = 1; i <= least; i++) log_term += math_log((double)(n - i + 1) / (double)i);
  for (size_t i = least + 1; i-- > 0;) {
    sum += term;
    term *= (double)i / (double)(n - i + 1);
  }
  double p = 2 * math_exp(log_term) * sum;
  return p < 1 ? p : 1;
}

static int ascending(const void *a, const void *b)
{
  double x = *(const double *)a, y = *(const double *)b;
  return math_is_nan(x) || math_is_nan(y) ? math_is_nan(x) - math_is_nan(y) : (x > y) - (x < y);
}

void eval_sort(double *x, size_t n)
{
  qsort(x, n, sizeof *x, ascending);
}

double eval_quantile(const double *sorted, size_t n, double q)
{
  double at = q * (double)(n - 1), low = math_floor(at);
  size_t i = (size_t)low;
  return i + 1 < n ? sorted[i] + (at - low) * (sorted[i + 1] - sorted[i]) : sorted[n - 1];
}
