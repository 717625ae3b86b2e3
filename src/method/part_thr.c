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

/* What the loops below work on: tokens side by side, so that the matrix is walked once for many of them. Each number is
 * still one sum in the order of tokens, of columns or of the width. */
enum { LANES = 8 };
struct thr_room {
  double *error; /* [tokens of the longest response][columns] */
  double *h;     /* [tokens of the longest response][d]; for scores [d][LANES] */
  double *own;   /* [d] */
};

static int open_room(const struct thr_group *g, struct arena *a, struct thr_room *out, struct error *err)
{
  int32_t most = LANES;
  for (int32_t i = 0; i < g->responses; i++) most = tokens_of(g, i) > most ? tokens_of(g, i) : most;
  size_t n = (size_t)most, d = (size_t)g->hidden.width, columns = (size_t)g->probability.width;
  out->error = ARENA_NEW(a, double, n *columns + 1, "thr", err);
  out->h = ARENA_NEW(a, double, n *d + 1, "thr", err);
  out->own = ARENA_NEW(a, double, d + 1, "thr", err);
  return out->error && out->h && out->own ? 0 : err->code;
}

/* Adds one response's share to M. It is summed apart, so that opposite responses cancel exactly. */
static void add_response(const struct thr_group *g, int32_t response, double by, const struct thr_room *r,
                         double *matrix)
{
  int32_t d = g->hidden.width, columns = g->probability.width, n = tokens_of(g, response);
  for (int32_t t = 0; t < n; t++) {
    error_vector(g, g->first[response] + t, r->error + (int64_t)t * columns);
    vector_row(&g->hidden, g->token[g->first[response] + t], r->h + (int64_t)t * d);
  }
  for (int32_t v = 0; v < columns; v++) {
    double *row = matrix + (int64_t)v * d;
    memset(r->own, 0, (size_t)d * sizeof *r->own);
    for (int32_t t = 0; t < n; t++) {
      const double *h = r->h + (int64_t)t * d;
      double error = r->error[(int64_t)t * columns + v];
      for (int32_t k = 0; k < d; k++) r->own[k] += error * h[k];
    }
    for (int32_t k = 0; k < d; k++) row[k] += r->own[k] / by;
  }
}

/* g' M h of the tokens t .. t + n - 1, n <= LANES. */
static void score_tokens(const struct thr_group *g, int32_t t, int32_t n, const double *matrix,
                         const struct thr_room *r, double *score)
{
  int32_t d = g->hidden.width, columns = g->probability.width;
  double sum[LANES] = {0};
  memset(r->h, 0, LANES * (size_t)d * sizeof *r->h);
  memset(r->error, 0, LANES * (size_t)columns * sizeof *r->error);
  for (int32_t l = 0; l < n; l++) {
    error_vector(g, t + l, r->error + (int64_t)l * columns);
    vector_row(&g->hidden, g->token[t + l], r->own);
    for (int32_t k = 0; k < d; k++) r->h[(int64_t)k * LANES + l] = r->own[k];
  }
  for (int32_t v = 0; v < columns; v++) {
    const double *row = matrix + (int64_t)v * d;
    double along[LANES] = {0};
    for (int32_t k = 0; k < d; k++)
      for (int32_t l = 0; l < LANES; l++) along[l] += row[k] * r->h[(int64_t)k * LANES + l];
    for (int32_t l = 0; l < LANES; l++) sum[l] += r->error[(int64_t)l * columns + v] * along[l];
  }
  memcpy(score + t, sum, (size_t)n * sizeof *score);
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

static void set_scores(const struct thr_group *g, const struct thr_rule *rule, const struct thr_room *room,
                       struct thr_result *r)
{
  for (int32_t i = 0; i < g->responses; i++)
    if (g->right[i] && tokens_of(g, i)) add_response(g, i, rule->nthr ? 1 : tokens_of(g, i), room, r->matrix);
  int32_t count = g->first[g->responses];
  for (int32_t t = 0; t < count; t += LANES)
    score_tokens(g, t, count - t < LANES ? count - t : LANES, r->matrix, room, r->score);
  for (int32_t i = 0; i < g->responses; i++)
    for (int32_t t = g->first[i]; t < g->first[i + 1]; t++)
      if (!g->right[i] && !rule->nthr) r->score[t] = -r->score[t];
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
  struct thr_room room;
  out->matrix = ARENA_NEW(a, double, columns *d + 1, "thr", err);
  if (!out->matrix) return err->code;
  TRY(open_room(g, a, &room, err));
  set_scores(g, rule, &room, out);
  out->tau = threshold_of(g, out->score, rule->beta);
  out->eta = 2 * math_abs(0.5 - (double)right / g->responses);
  set_factors(g, rule, out);
  return 0;
}
