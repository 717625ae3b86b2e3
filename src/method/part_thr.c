#include "method/part_thr.h"

#include <string.h>

#include "core/math.h"

/* g of a token on V*. */
static void error_vector(const struct thr_group *g, int32_t t, double *out)
{
  vector_row(&g->probability, g->token[t], out);
  for (int32_t v = 0; v < g->probability.width; v++) out[v] = -out[v];
  out[g->column[t]] += 1;
}

static int32_t tokens_of(const struct thr_group *g, int32_t response)
{
  return g->first[response + 1] - g->first[response];
}

static bool is_mixed(const struct thr_group *g, int32_t *right)
{
  bool usable = false;
  *right = 0;
  for (int32_t i = 0; i < g->responses; i++) {
    *right += g->right[i];
    usable = usable || (g->right[i] && tokens_of(g, i));
  }
  return usable && *right < g->responses;
}

/* Adds one response's share to M. It is summed apart (own: [V*, d]), so that opposite responses cancel exactly. */
static void add_response(const struct thr_group *g, int32_t response, double by, double *error, double *h, double *own,
                         double *matrix)
{
  int32_t d = g->hidden.width, columns = g->probability.width;
  int64_t cells = (int64_t)columns * d;
  memset(own, 0, (size_t)cells * sizeof *own);
  for (int32_t t = g->first[response]; t < g->first[response + 1]; t++) {
    error_vector(g, t, error);
    vector_row(&g->hidden, g->token[t], h);
    for (int32_t v = 0; v < columns; v++) {
      double *row = own + (int64_t)v * d;
      for (int32_t k = 0; k < d; k++) row[k] += error[v] * h[k];
    }
  }
  for (int64_t i = 0; i < cells; i++) matrix[i] += own[i] / by;
}

static double score_of(const struct thr_group *g, int32_t t, const double *matrix, double *error, double *h)
{
  int32_t d = g->hidden.width;
  double score = 0;
  error_vector(g, t, error);
  vector_row(&g->hidden, g->token[t], h);
  for (int32_t v = 0; v < g->probability.width; v++) {
    const double *row = matrix + (int64_t)v * d;
    double along = 0;
    for (int32_t k = 0; k < d; k++) along += row[k] * h[k];
    score += error[v] * along;
  }
  return score;
}

static double threshold_of(const struct thr_group *g, const double *score, double beta)
{
  double least = __builtin_inf();
  for (int32_t i = 0; i < g->responses; i++) {
    if (!g->right[i] || !tokens_of(g, i)) continue;
    double sum = 0;
    for (int32_t t = g->first[i]; t < g->first[i + 1]; t++) sum += score[t];
    if (sum / tokens_of(g, i) < least) least = sum / tokens_of(g, i);
  }
  return beta * least;
}

static double factor_of(const struct thr_rule *rule, const struct thr_result *r, bool right, double score)
{
  if (rule->nthr)
    return !right && score > r->tau ? (double)(float)r->eta : 1; /* f32, as the released tensors hold it */
  if (rule->mask && !(math_abs(score) > r->tau)) return 0;
  return score > 0 ? 1 + rule->p : score < 0 ? 1 - rule->p : 1;
}

static void set_scores(const struct thr_group *g, const struct thr_rule *rule, struct thr_result *r, double *error,
                       double *h)
{
  int64_t cells = (int64_t)g->probability.width * g->hidden.width;
  for (int32_t i = 0; i < g->responses; i++) {
    if (g->right[i] && tokens_of(g, i))
      add_response(g, i, rule->nthr ? 1 : tokens_of(g, i), error, h, r->matrix + cells, r->matrix);
  }
  for (int32_t i = 0; i < g->responses; i++) {
    double sign = g->right[i] || rule->nthr ? 1 : -1;
    for (int32_t t = g->first[i]; t < g->first[i + 1]; t++) r->score[t] = sign * score_of(g, t, r->matrix, error, h);
  }
}

static void set_factors(const struct thr_group *g, const struct thr_rule *rule, struct thr_result *r)
{
  r->kept = 0;
  for (int32_t i = 0; i < g->responses; i++) {
    for (int32_t t = g->first[i]; t < g->first[i + 1]; t++) {
      r->factor[t] = factor_of(rule, r, g->right[i], r->score[t]);
      r->kept += r->factor[t] > 0 || rule->nthr;
    }
  }
}

int thr_weigh(const struct thr_group *g, const struct thr_rule *rule, struct arena *a, struct thr_result *out,
              struct error *err)
{
  int32_t n = g->first[g->responses], right;
  size_t d = (size_t)g->hidden.width, columns = (size_t)g->probability.width;
  *out = (struct thr_result){.tau = __builtin_nan(""), .kept = n};
  out->score = ARENA_NEW(a, double, (size_t)n + 1, "thr", err);
  out->factor = ARENA_NEW(a, double, (size_t)n + 1, "thr", err);
  if (!out->score || !out->factor) return err->code;
  for (int32_t t = 0; t < n; t++) out->factor[t] = 1;
  out->weighed = is_mixed(g, &right);
  if (!out->weighed) return 0;
  out->matrix = ARENA_NEW(a, double, 2 * columns * d + 1, "thr", err);
  double *error = ARENA_NEW(a, double, columns + d + 1, "thr", err);
  if (!out->matrix || !error) return err->code;
  set_scores(g, rule, out, error, error + columns);
  out->tau = threshold_of(g, out->score, rule->beta);
  out->eta = 2 * math_abs(0.5 - (double)right / g->responses);
  set_factors(g, rule, out);
  return 0;
}
