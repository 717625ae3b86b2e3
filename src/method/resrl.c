/* resrl: wrong tokens weigh by what no right one shows (ResRL, arXiv 2605.00380; code 1229095296/ResRL).
 *
 *     R'  = f(length) R for R > 0, else R                                       length shaping
 *     d_t = distance of a wrong token's state from the subspace of the right tokens' states of its group
 *     w_t = min_weight .. 1 between the quantiles of d                          part_residual.h
 *     A'  = pos_weight A in a right response (R' > 0), w_t A in a wrong one
 *
 * States are those of the policy that is updated, after the last block but one, and are made anew in every mini-batch.
 * A group without wrong or without right responses, or with fewer than min_tokens right tokens, has w = 1. The paper
 * trains with grpo's own defaults; its code takes the mean of every group apart: grpo with {aggregation:
 * group_token_mean}.
 */
#include <stdlib.h>
#include "method/method.h"

#include "method/part_residual.h"

#define OPTIONS(X)                                                                                           \
  X(INT, rank, 64, 1, 4096, NULL, "directions of the right tokens' subspace, at most")                       \
  X(INT, iterations, 4, 1, 1000, NULL, "rounds of power iteration where 192 rows and columns are exceeded")  \
  X(INT, max_tokens, 4096, 1, 1e6, NULL, "right tokens that the subspace is made of; more: drawn at random") \
  X(INT, min_tokens, 4, 1, 1e6, NULL, "fewer right tokens: the group keeps weight 1")                        \
  X(REAL, q_low, 0.2, 0, 1, NULL, "quantile of the distances that gets min_weight")                          \
  X(REAL, q_high, 0.8, 0, 1, NULL, "quantile from which on the weight is 1")                                 \
  X(REAL, min_weight, 0.1, 0, 1, NULL, "weight of a wrong token that looks right")                           \
  X(REAL, pos_weight, 0.1, 0, 1e3, NULL, "weight of the right responses")                                    \
  X(INT, layer, -2, -1000, 1000, NULL,                                                                       \
    "whose output is the state: 1, 2, ..; -2: the last block but one; -1: the head's input")                 \
  X(BOOL, length_shaping, 1, 0, 1, NULL, "long right responses earn less")                                   \
  X(REAL, length_start, 3500, 0, 1e9, NULL, "tokens up to which the reward is whole")                        \
  X(REAL, length_max, 4096, 0, 1e9, NULL, "tokens from which on it is end_scale of it")                      \
  X(REAL, end_scale, 0.7, 0, 1, NULL, "what is left of the reward of a response of length_max tokens")

struct self {
  OPTIONS(OPTION_FIELD)
};
static const struct method_option options[] = {OPTIONS(OPTION_ROW)};
static const struct metric metrics[] = {
    {"weight", "", "mean weight of the weighed wrong tokens"},
    {"distance", "", "mean distance of the weighed wrong tokens from the subspace"},
    {"groups", "", "groups of the last mini-batch whose wrong tokens were weighed"},
    {"length_factor", "", "mean factor on the rewards above 0"},
};

static bool weighs_wrong(const struct self *o)
{
  return o->min_weight < 1;
}

/* Any number of a mixed group's answers may be right: the mean over them. */
static double arithmetic(const void *options_of, const struct work_shape *s)
{
  const struct self *o = options_of;
  const struct residual_rule rule = {.rank = (int32_t)o->rank, .iterations = (int32_t)o->iterations};
  double sum = 0, kinds = s->group - 1;
  for (double i = 1; i < s->group; i++) {
    double right = i * s->answer < (double)o->max_tokens ? i * s->answer : (double)o->max_tokens;
    sum += residual_work(&rule, right, (s->group - i) * s->answer, s->width);
  }
  return kinds > 0 ? s->groups * sum / kinds : 0;
}

static int declare(const void *options_of, struct needs *out, struct error *err)
{
  const struct self *o = options_of;
  (void)err;
  if (!weighs_wrong(o)) return 0;
  out->flags |= NEED_CURRENT_HIDDEN;
  out->hidden_layers[out->hidden_count++] = (int32_t)o->layer;
  out->own[out->own_count++] = (struct own_work){arithmetic, o};
  return 0;
}

static int shape(struct method_call *c, const struct step *s, struct shaping *out, struct error *err)
{
  const struct self *o = c->self;
  double sum = 0, count = 0;
  TRY(c->base->method->shape(c->base, s, out, err));
  if (!o->length_shaping) return 0;
  for (int32_t i = 0; i < s->kept; i++) {
    int32_t r = s->order[i];
    if (!(out->reward[r] > 0)) continue;
    double f = residual_length_factor(s->rollouts[r].length, o->length_start, o->length_max, o->end_scale);
    out->reward[r] *= f;
    sum += f;
    count++;
  }
  if (count > 0) method_report(c, "length_factor", sum / count);
  return 0;
}

/* The tokens of one group in a mini-batch, by side. */
struct sides {
  int64_t *right, *wrong; /* [count of the mini-batch] */
  int32_t right_count, wrong_count;
  uint32_t *order; /* scratch of the draw */
};

static void add_token(struct sides *x, bool right, int64_t token)
{
  if (right)
    x->right[x->right_count++] = token;
  else
    x->wrong[x->wrong_count++] = token;
}

static int compare_tokens(const void *a, const void *b)
{
  int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return (x > y) - (x < y);
}

/* Too many right tokens: as many as wanted, drawn without replacement, in their old order. */
static void draw_right(struct method_call *c, const struct minibatch *m, int32_t group, int32_t most, struct sides *x)
{
  if (x->right_count <= most) return;
  struct rng_at at = method_rng(c, m->step->number, m->step->groups[group].ordinal, m->epoch, 0, 0);
  rng_shuffle(c->seed, &at, x->order, (size_t)x->right_count);
  /* order is a permutation: the drawn tokens go to the end of `right`'s room and come back. */
  int64_t *drawn = x->right + x->right_count;
  for (int32_t i = 0; i < most; i++) drawn[i] = x->right[x->order[i]];
  for (int32_t i = 0; i < most; i++) x->right[i] = drawn[i];
  x->right_count = most;
  qsort(x->right, (size_t)most, sizeof *x->right, compare_tokens);
}

struct sums {
  double weight, distance, tokens, groups;
};

static int weigh_group(struct method_call *c, const struct minibatch *m, int32_t group,
                       const struct vector_rows *hidden, struct sides *x, double *factor, struct sums *sums,
                       struct error *err)
{
  const struct self *o = c->self;
  if (!weighs_wrong(o) || x->right_count < o->min_tokens || !x->wrong_count) return 0;
  draw_right(c, m, group, (int32_t)o->max_tokens, x);
  const struct residual_rule rule = {.rank = (int32_t)o->rank,
                                     .iterations = (int32_t)o->iterations,
                                     .q_low = o->q_low,
                                     .q_high = o->q_high,
                                     .min_weight = o->min_weight};
  const struct residual_group g = {hidden, x->right, x->wrong, x->right_count, x->wrong_count};
  struct residual r;
  TRY(residual_weigh(&g, &rule, c->scratch, &r, err));
  for (int32_t i = 0; i < x->wrong_count; i++) {
    factor[x->wrong[i]] = r.weight[i];
    sums->weight += r.weight[i];
    sums->distance += r.distance[i];
  }
  sums->tokens += x->wrong_count;
  sums->groups++;
  return 0;
}

static int open_sides(struct method_call *c, const struct minibatch *m, struct sides *x, struct vector_rows *hidden,
                      struct error *err)
{
  const struct self *o = c->self;
  size_t n = (size_t)m->count + 1;
  x->right = ARENA_NEW(c->scratch, int64_t, 3 * n, "resrl", err);
  x->order = ARENA_NEW(c->scratch, uint32_t, n, "resrl", err);
  const float **rows = ARENA_NEW(c->scratch, const float *, n, "resrl", err);
  if (!x->right || !x->order || !rows) return err->code;
  x->wrong = x->right + 2 * n;
  if (!weighs_wrong(o)) return 0;
  for (int32_t i = 0; i < m->count; i++) rows[i] = minibatch_hidden(m, (int32_t)o->layer, i);
  *hidden = (struct vector_rows){.f32 = rows, .width = m->hidden->width};
  return 0;
}

static int weight_current(struct method_call *c, const struct minibatch *m, struct factors *out, struct error *err)
{
  const struct self *o = c->self;
  struct vector_rows hidden = {0};
  struct sides x = {0};
  struct sums sums = {0};
  if (!m->count) return 0;
  TRY(open_sides(c, m, &x, &hidden, err));
  /* Groups are whole and follow each other. */
  for (int32_t q = 0; q < m->sequence_count; q++) {
    const struct minibatch_sequence *own = &m->sequences[q];
    int32_t group = m->step->rollouts[own->rollout].group;
    bool right = m->step->reward[own->rollout] > 0;
    for (int32_t i = own->first; i < own->first + own->count; i++) {
      if (right) out->factor[i] = o->pos_weight;
      add_token(&x, right, i);
    }
    if (q + 1 < m->sequence_count && m->step->rollouts[m->sequences[q + 1].rollout].group == group) continue;
    TRY(weigh_group(c, m, group, &hidden, &x, out->factor, &sums, err));
    x.right_count = x.wrong_count = 0;
  }
  method_report(c, "groups", sums.groups);
  if (sums.tokens > 0) method_report(c, "weight", sums.weight / sums.tokens);
  if (sums.tokens > 0) method_report(c, "distance", sums.distance / sums.tokens);
  return 0;
}

const struct method method_resrl = {
    .name = "resrl",
    .title = "ResRL: projection residuals of negative samples",
    .paper = "arXiv 2605.00380; code 1229095296/ResRL",
    .number = 41,
    .base = "grpo",
    .neutral = "min_weight=1 pos_weight=1 length_shaping=false",
    .needs = NEED_CURRENT_HIDDEN,
    METHOD_OPTIONS(options),
    METHOD_METRICS(metrics),
    .declare = declare,
    .shape = shape,
    .weight_current = weight_current,
};
