/* delta: discriminative token credit (DelTA, arXiv 2605.21467; code RUCBM/DelTA).
 *
 *     v_t      = (1 - p_t) h_t              gradient of log p by the head's row, h the head's input under the old
 * policy alpha_t  = how much nearer v_t is to the centroid of its own side (good or bad responses) than to the other's
 *     lambda_t = lam_min + (lam_max - lam_min) alpha_t, then over the rollout divided by its mean      part_delta.h
 *     loss     = sum lambda_t L_t / N       or, normaliser minibatch, sum lambda_t L_t / sum lambda_t of the update
 *
 * Since lambda > 0 no clip decision changes. The paper trains with {clip_high: 0.28, clip_dual: 10} of grpo.
 */
#include "method/method.h"
#include "method/part_delta.h"

enum normaliser { ROLLOUT, MINIBATCH };

#define OPTIONS(X)                                                                                   \
  X(INT, refine, 1, 0, 100, NULL, "rounds in which the centroids are made anew from the scores (K)") \
  X(REAL, lam_min, 0.8, 0, 1e3, NULL, "weight of a token that looks like the other side's")          \
  X(REAL, lam_max, 1.2, 0, 1e3, NULL, "weight of a token that looks like its own side's")            \
  X(REAL, eps, 1e-8, 1e-300, 1, NULL, "floor of variances and of centroid weights")                  \
  X(ENUM, normaliser, ROLLOUT, 0, 0, "rollout|minibatch", "weights of mean 1 over the rollout, or divided by their sum")

struct self {
  OPTIONS(OPTION_FIELD)
};
static const struct method_option options[] = {OPTIONS(OPTION_ROW)};
static const struct metric metrics[] = {
    {"gamma_positive", "", "spread of the margins of tokens with A > 0"},
    {"gamma_negative", "", "spread of the margins of tokens with A < 0"},
    {"alpha", "", "mean score of the tokens with A != 0; 0.5: nothing tells the sides apart"},
    {"scale", "", "tokens over the sum of their weights"},
};

/* Else every lambda is 1, whatever the states. */
static bool is_on(const struct self *o)
{
  return o->lam_min < 1 || o->lam_max < 1 || o->lam_min > 1 || o->lam_max > 1;
}

static int declare(const void *options_of, struct needs *out, struct error *err)
{
  (void)err;
  if (!is_on(options_of)) return 0;
  out->flags |= NEED_HIDDEN;
  out->hidden_layers[out->hidden_count++] = LAYER_LAST;
  return 0;
}

static int read_tokens(struct method_call *c, const struct step *s, struct vector_rows *hidden, double *logp,
                       struct error *err)
{
  const float **rows = ARENA_NEW(c->scratch, const float *, (size_t)s->path_count, "delta", err);
  if (!rows) return err->code;
  for (int32_t p = 0; p < s->path_count; p++) {
    rows[p] = scores_hidden(s, LAYER_LAST, p);
    logp[p] = (double)step_record(s, p)->logp;
  }
  *hidden = (struct vector_rows){.f32 = rows, .width = s->scores->of[0].states.width};
  return 0;
}

static void report(struct method_call *c, const struct delta *d, double scale)
{
  double sum = 0, n = 0;
  for (int64_t i = 0; i < d->count; i++) {
    if (!(d->advantage[i] > 0 || d->advantage[i] < 0)) continue;
    sum += d->alpha[i];
    n++;
  }
  method_report(c, "gamma_positive", d->gamma[DELTA_POSITIVE]);
  method_report(c, "gamma_negative", d->gamma[DELTA_NEGATIVE]);
  method_report(c, "scale", scale);
  if (n > 0) method_report(c, "alpha", sum / n);
}

static int weight(struct method_call *c, const struct step *s, struct factors *out, struct error *err)
{
  const struct self *o = c->self;
  if (!s->path_count || !is_on(o)) return 0;
  double *logp = ARENA_NEW(c->scratch, double, (size_t)s->path_count, "delta", err);
  struct vector_rows hidden;
  if (!logp) return err->code;
  TRY(read_tokens(c, s, &hidden, logp, err));
  struct delta d = {.count = s->path_count, .hidden = &hidden, .logp = logp, .advantage = s->advantage, .eps = o->eps};
  TRY(delta_begin(&d, c->scratch, err));
  for (int64_t k = 0; k < o->refine; k++) delta_refine(&d);
  double scale = delta_lambda(&d, o->lam_min, o->lam_max, out->factor);
  out->denominator = o->normaliser == MINIBATCH ? COUNT_FACTOR : COUNT_ALL;
  for (int32_t p = 0; o->normaliser == ROLLOUT && p < s->path_count; p++) out->factor[p] *= scale;
  report(c, &d, scale);
  return 0;
}

const struct method method_delta = {
    .name = "delta",
    .title = "DelTA: discriminative token credit assignment",
    .paper = "arXiv 2605.21467; code RUCBM/DelTA",
    .number = 8,
    .base = "grpo",
    .neutral = "lam_min=1 lam_max=1",
    .needs = NEED_HIDDEN,
    METHOD_OPTIONS(options),
    METHOD_METRICS(metrics),
    .declare = declare,
    .weight = weight,
};
