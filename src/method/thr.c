/* thr: token hidden rewards (THR, arXiv 2510.03669), with NTHR (arXiv 2505.18830) as an option.
 *
 *     THR_t  = what the update of token t does to the likelihood of the right responses of its group     part_thr.h
 *     keep_t = |THR_t| > tau, tau the weakest mean influence of a right response
 *     A'_t   = keep_t (1 + sign(THR_t) p) A_t          p > 0 exploits, p < 0 explores
 *
 * States and probabilities are the sampling policy's. Groups that are all right or all wrong are left alone. The paper
 * trains with {kl_coef: 1e-4} of grpo and no dual clip.
 */
#include "core/math.h"
#include "method/method.h"
#include "method/part_thr.h"

enum variant { THR, NTHR };
enum denominator_of { ALL, KEPT };

#define OPTIONS(X)                                                                                                    \
  X(ENUM, variant, THR, 0, 0, "thr|nthr", "all tokens, or only those of wrong responses that push right ones (NTHR)") \
  X(REAL, p, 0.1, -1, 1, NULL, "tilt: above 0 exploits, below explores, 0: the mask alone")                           \
  X(REAL, beta, 1, -1e6, 1e6, NULL, "scale of the threshold")                                                         \
  X(BOOL, mask, 1, 0, 1, NULL, "drop tokens at or below the threshold; false: tilt alone")                            \
  X(ENUM, denominator, ALL, 0, 0, "all|kept", "what the loss is divided by: all tokens, or the kept ones")            \
  X(REAL, right_above, 0.5, -1e9, 1e9, NULL, "a response is right where its reward is above this")

struct self {
  OPTIONS(OPTION_FIELD)
};
static const struct method_option options[] = {OPTIONS(OPTION_ROW)};
static const struct metric metrics[] = {
    {"kept", "", "share of the tokens that keep a gradient"},
    {"positive", "", "share of the weighed tokens whose update helps the right responses"},
    {"tau", "", "mean threshold of the weighed groups"},
    {"weighed", "", "groups with right and wrong responses"},
};

/* Else every factor is 1, whatever the scores. */
static bool is_on(const struct self *o)
{
  return o->variant == NTHR || o->mask || o->p < 0 || o->p > 0;
}

static int declare(const void *options_of, struct needs *out, struct error *err)
{
  (void)err;
  if (!is_on(options_of)) return 0;
  out->flags |= NEED_HIDDEN | NEED_GROUP_P;
  out->hidden_layers[out->hidden_count++] = LAYER_LAST;
  return 0;
}

static int32_t column_of(const int32_t *ids, int32_t count, int32_t id)
{
  int32_t low = 0, high = count - 1;
  while (low < high) {
    int32_t mid = low + (high - low) / 2;
    if (ids[mid] < id)
      low = mid + 1;
    else
      high = mid;
  }
  ASSAY_BUG_IF(low >= count || ids[low] != id); /* group ids hold every own token */
  return low;
}

/* A group's tokens stand together in canonical order. */
struct group_view {
  struct thr_group group;
  int32_t path; /* its first path token */
};

static int open_group(struct method_call *c, const struct step *s, int32_t g, struct group_view *v, struct error *err)
{
  const struct self *o = c->self;
  const int32_t *members = s->order + s->groups[g].first;
  int32_t n = s->groups[g].count, tokens = 0, ids;
  const int32_t *id = scores_group_ids(s, g, &ids);
  for (int32_t i = 0; i < n; i++) tokens += s->rollouts[members[i]].path_count;
  size_t room = (size_t)tokens + 1;
  bool *right = ARENA_NEW(c->scratch, bool, (size_t)n, "thr", err);
  int32_t *first = ARENA_NEW(c->scratch, int32_t, (size_t)n + 1, "thr", err);
  int64_t *token = ARENA_NEW(c->scratch, int64_t, room, "thr", err);
  int32_t *column = ARENA_NEW(c->scratch, int32_t, room, "thr", err);
  const float **hidden = ARENA_NEW(c->scratch, const float *, 2 * room, "thr", err);
  if (!right || !first || !token || !column || !hidden) return err->code;
  const float **probability = hidden + room;
  v->path = s->rollouts[members[0]].path;
  for (int32_t i = 0, at = 0; i < n; i++) {
    const struct rollout *r = &s->rollouts[members[i]];
    right[i] = s->reward[members[i]] > o->right_above;
    first[i + 1] = first[i] + r->path_count;
    for (int32_t p = r->path; p < r->path + r->path_count; p++, at++) {
      token[at] = at;
      column[at] = column_of(id, ids, step_record(s, p)->id);
      hidden[at] = scores_hidden(s, LAYER_LAST, p);
      probability[at] = scores_group_p(s, p);
    }
  }
  v->group = (struct thr_group){.responses = n, .right = right, .first = first, .token = token, .column = column};
  v->group.hidden = (struct vector_rows){.f32 = hidden, .width = s->scores->of[0].states.width};
  v->group.probability = (struct vector_rows){.f32 = probability, .width = ids};
  return 0;
}

struct sums {
  double kept, positive, tokens, tau, groups;
};

static int weigh_group(struct method_call *c, const struct step *s, int32_t g, double *factor, struct sums *sums,
                       struct error *err)
{
  const struct self *o = c->self;
  const struct thr_rule rule = {.p = o->p, .beta = o->beta, .nthr = o->variant == NTHR, .mask = o->mask};
  struct group_view v;
  struct thr_result r;
  TRY(open_group(c, s, g, &v, err));
  TRY(thr_weigh(&v.group, &rule, c->scratch, &r, err));
  sums->kept += (double)r.kept;
  if (!r.weighed) return 0;
  int32_t n = v.group.first[v.group.responses];
  for (int32_t i = 0; i < n; i++) {
    factor[v.path + i] = r.factor[i];
    sums->positive += r.score[i] > 0;
  }
  sums->tokens += n;
  sums->tau += r.tau;
  sums->groups++;
  return 0;
}

static int weight(struct method_call *c, const struct step *s, struct factors *out, struct error *err)
{
  const struct self *o = c->self;
  struct sums sums = {0};
  if (!is_on(o)) return 0;
  out->denominator = o->denominator == KEPT && o->variant == THR ? COUNT_KEPT : COUNT_ALL;
  for (int32_t g = 0; g < s->group_count; g++)
    if (s->groups[g].count) TRY(weigh_group(c, s, g, out->factor, &sums, err));
  method_report(c, "weighed", sums.groups);
  if (s->path_count) method_report(c, "kept", sums.kept / s->path_count);
  if (sums.tokens > 0) method_report(c, "positive", sums.positive / sums.tokens);
  if (sums.groups > 0) method_report(c, "tau", sums.tau / sums.groups);
  return 0;
}

const struct method method_thr = {
    .name = "thr",
    .title = "THR: token hidden rewards",
    .paper = "arXiv 2510.03669; NTHR arXiv 2505.18830",
    .number = 47,
    .base = "grpo",
    .neutral = "p=0 mask=false",
    .needs = NEED_HIDDEN | NEED_GROUP_P,
    METHOD_OPTIONS(options),
    METHOD_METRICS(metrics),
    .declare = declare,
    .weight = weight,
};
