/* brorl: hundreds of rollouts a problem (arXiv 2510.01180), over the recipe of its predecessor ProRL v2.
 *
 *     groups   those that teach nothing are replaced by new problems, up to `refill` times as many as asked for
 *     credit   x_i = R_i - mean of its group;  A_i = (x_i - mean x) / std x over the step
 *     loss     clip 0.2 / 0.27, times min(pi_old / mu, 5); + kl_coef k2 to the reference; token means
 *     rate     lr sqrt(B / base_batch), B rollouts a step: mini-batches grow, their number stays
 *
 * The paper prints neither clip nor KL nor the sampler's bound; both public ProRL v2 recipes agree on the defaults
 * here. They whiten over tokens (norm_over: token). Inferred: refill 3, and that the reference is never reset.
 */
#include "method/method.h"
#include "method/part_aggregate.h"
#include "method/part_broad.h"
#include "method/part_clip.h"
#include "method/part_correction.h"
#include "method/part_kl.h"
#include "method/part_return.h"

enum over { RESPONSE, TOKEN, GROUP };
enum divisor { POPULATION, SAMPLE };
enum sampler { TIS, ICEPOP, NONE };

#define OPTIONS(X)                                                                                                     \
  X(ENUM, filter, BROAD_COUNT, 0, 0, BROAD_FILTER_WORDS, "which groups are kept")                                      \
  X(REAL, refill, 3, 1, 1e3, NULL, "problems drawn for a step, at most, per problem asked for; 1: none is replaced")   \
  X(ENUM, norm_over, RESPONSE, 0, 0, "response|token|group", "what std is taken over; group: GRPO's own")              \
  X(ENUM, std, POPULATION, 0, 0, "population|sample", "variance over n, or over n - 1")                                \
  X(ENUM, guard, BROAD_FLOOR, 0, 0, BROAD_GUARD_WORDS, "where 1e-8 stands: least variance, added to it, added to std") \
  X(REAL, clip_low, 0.2, 0, OPTION_INF, NULL, "ratios below 1 - clip_low carry no gradient where A < 0")               \
  X(REAL, clip_high, 0.27, 0, OPTION_INF, NULL, "ratios above 1 + clip_high carry no gradient where A > 0")            \
  X(REAL, clip_dual, OPTION_INF, 1, OPTION_INF, NULL, "ratios above it carry no gradient where A < 0; .inf: off")      \
  X(ENUM, sampler, TIS, 0, 0, "tis|icepop|none", "pi_old / mu of a token: held within bounds, 0 outside, or not used") \
  X(REAL, sampler_low, 0, 0, 1, NULL, "lower bound; ProRL v2's newer form: icepop with 0.5")                           \
  X(REAL, sampler_high, 5, 1, OPTION_INF, NULL, "upper bound")                                                         \
  X(REAL, kl_coef, 1e-4, 0, 1e6, NULL, "weight of k2 to the reference; 0: no reference is kept")                       \
  X(REAL, truncated, 1, 0, 1, NULL, "factor on the reward of a response that was cut off; 0: stop properly")           \
  X(INT, base_batch, 8192, 0, 1e9, NULL, "rollouts a step that train.lr is meant for; 0: the rate is not scaled")      \
  X(INT, reset_every, 0, 0, 1e9, NULL, "steps after which the reference becomes the policy; 0: never")
#define STATE(X)                                            \
  X(int64_t, wanted, , "problems of the step's first wave") \
  X(int64_t, drawn, , "problems drawn for the step")        \
  X(int64_t, rollouts, , "rollouts that the step asks for")

struct self {
  OPTIONS(OPTION_FIELD)
  STATE(STATE_FIELD)
};
static const struct method_option options[] = {OPTIONS(OPTION_ROW)};
static const struct state_field state[] = {STATE(STATE_ROW)};
static const struct metric metrics[] = {
    {"drawn", "problems", "drawn for the step"},
    {"pass_rate", "share", "of these, kept by the filter"},
    {"batch_mean", "", "of the centred rewards"},
    {"batch_std", "", "what they are divided by"},
    {"weight", "", "mean weight of a token by the sampler"},
    {"lr_factor", "", "on the learning rate"},
    {"q_pos", "", "mean reward of an evaluation: the probability of being right"},
};

static int declare(const void *options_of, struct needs *out, struct error *err)
{
  const struct self *o = options_of;
  (void)err;
  if (o->kl_coef > 0) out->flags |= NEED_REFERENCE_LOGP | NEED_ALWAYS;
  if (o->reset_every > 0) out->flags |= NEED_RESET;
  return 0;
}

static double truncation(const struct self *o, const struct rollout *r)
{
  return r->finish == FINISH_LENGTH ? o->truncated : 1;
}

/* By the rewards that verifiers gave; rollouts whose verifier failed do not count. room: [kept of the group] */
static bool keeps(const struct self *o, const struct step *s, const struct group *g, double *room)
{
  int32_t n = 0;
  if (o->filter == BROAD_NONE) return g->count > 0;
  for (int32_t i = g->first; i < g->first + g->count; i++)
    if (step_get_channel(s, s->order[i], 0, &room[n])) room[n++] *= truncation(o, &s->rollouts[s->order[i]]);
  return broad_keeps((enum broad_filter)o->filter, room, n);
}

/* Where nothing is kept and nothing can be drawn, the groups stay until `advantage` drops them. */
static int revise(struct method_call *c, const struct step *s, struct revision *out, struct error *err)
{
  struct self *o = c->self;
  double *room = ARENA_NEW(c->scratch, double, (size_t)s->kept + 1, "brorl", err);
  if (!room) return err->code;
  if (!s->group_count) return 0;
  if (s->wave == 0) {
    o->wanted = o->drawn = s->group_count;
    o->rollouts = 0;
    for (int32_t g = 0; g < s->group_count; g++) o->rollouts += s->groups[g].wanted;
  }
  int64_t kept = 0;
  for (int32_t g = 0; g < s->group_count; g++) kept += keeps(o, s, &s->groups[g], room);
  int64_t ask = out->last ? 0 : broad_missing(o->wanted, kept, o->drawn, o->refill);
  method_report(c, "drawn", (double)o->drawn);
  method_report(c, "pass_rate", (double)kept / (double)o->drawn);
  if (!kept && !ask) return 0;
  for (int32_t g = 0; g < s->group_count; g++)
    if (s->groups[g].count && !keeps(o, s, &s->groups[g], room)) revise_drop_group(out, g);
  for (int64_t k = 0; k < ask; k++) TRY(revise_draw(out, NULL, s->groups[0].wanted, err));
  o->drawn += ask;
  return 0;
}

static int shape(struct method_call *c, const struct step *s, struct shaping *out, struct error *err)
{
  TRY(c->base->method->shape(c->base, s, out, err));
  for (int32_t i = 0; i < s->kept; i++) out->reward[s->order[i]] *= truncation(c->self, &s->rollouts[s->order[i]]);
  return 0;
}

/* ---- credit ------------------------------------------------------------------------------------------------------ */

/* x_i = R_i - mean of its group, weight_i: in the step's mean and std. [kept], both 0 where a group is not kept. */
static void centre(const struct self *o, const struct step *s, double *room, double *x, double *weight, bool *drop)
{
  for (int32_t g = 0; g < s->group_count; g++) {
    const struct group *of = &s->groups[g];
    bool stays = keeps(o, s, of, room);
    for (int32_t i = of->first; i < of->first + of->count; i++) drop[s->order[i]] = !stays;
    if (!stays) continue;
    for (int32_t i = 0; i < of->count; i++) room[i] = return_whole(s, s->order[of->first + i]);
    broad_centre(room, of->count, x + of->first);
    for (int32_t i = of->first; i < of->first + of->count; i++)
      weight[i] = o->norm_over == TOKEN ? s->rollouts[s->order[i]].path_count : 1;
  }
}

static int advantage(struct method_call *c, const struct step *s, struct credit *out, struct error *err)
{
  const struct self *o = c->self;
  size_t n = (size_t)s->kept + 1;
  double *room = ARENA_NEW(c->scratch, double, 3 * n, "brorl", err);
  if (!room) return err->code;
  double *x = room + n, *weight = x + n;
  centre(o, s, room, x, weight, out->drop);
  if (o->norm_over == GROUP) return c->base->method->advantage(c->base, s, out, err);
  struct broad_batch b = broad_measure(x, weight, s->kept, o->std == SAMPLE, (enum broad_guard)o->guard);
  for (int32_t i = 0; i < s->kept; i++)
    if (!out->drop[s->order[i]]) step_spread(s, s->order[i], (x[i] - b.mean) / b.std, out->advantage);
  method_report(c, "batch_mean", b.mean);
  method_report(c, "batch_std", b.std);
  return 0;
}

/* rho = pi_old / mu. tis: min(rho, 5); icepop: rho within the bounds, 0 outside. */
static int weight(struct method_call *c, const struct step *s, struct factors *out, struct error *err)
{
  const struct self *o = c->self;
  const struct correction_weighting w = {CORRECTION_TOKEN, o->sampler == ICEPOP ? CORRECTION_DROP : CORRECTION_TRUNCATE,
                                         o->sampler_low, o->sampler_high, false};
  double sum = 0;
  (void)err;
  if (o->sampler == NONE) return 0;
  for (int32_t p = 0; p < s->path_count; p++) {
    const struct token_record *t = step_record(s, p);
    out->factor[p] = correction_weight(&w, correction_ratio((double)t->logp, (double)t->logp_behaviour));
    sum += out->factor[p];
  }
  out->denominator = COUNT_ALL;
  method_report(c, "weight", s->path_count ? sum / s->path_count : 0);
  return 0;
}

static int updates(struct method_call *c, const struct step *s, struct update_list *out, struct error *err)
{
  const struct self *o = c->self;
  (void)err;
  if (!o->base_batch) return 0;
  double factor = broad_rate((double)(o->rollouts ? o->rollouts : s->rollout_count), (double)o->base_batch);
  out->items[0].lr *= factor;
  method_report(c, "lr_factor", factor);
  return 0;
}

static int objective(struct method_call *c, const struct minibatch *m, struct loss *out, struct error *err)
{
  const struct self *o = c->self;
  const struct clip_bounds bounds = {.low = o->clip_low, .high = o->clip_high, .dual = o->clip_dual};
  const double *scale = aggregate_scales(c->scratch, m, AGGREGATE_TOKEN_MEAN, 0, m->counted, err);
  if (!scale) return err->code;
  for (int32_t i = 0; i < m->count; i++) {
    struct clip_value v = clip_surrogate(m->logp[i], m->old[i], m->advantage[i], &bounds); /* max(-A r, -A clip(r)) */
    out->loss[i] = scale[i] * m->weight[i] * v.loss;
    out->coef[i] = scale[i] * m->weight[i] * v.coef;
    out->clipped[i] = v.clipped;
  }
  return 0;
}

static int regularise(struct method_call *c, const struct minibatch *m, struct loss *out, struct error *err)
{
  const struct self *o = c->self;
  if (!(o->kl_coef > 0)) return 0;
  const double *scale = aggregate_scales(c->scratch, m, AGGREGATE_TOKEN_MEAN, 0, NULL, err);
  if (!scale) return err->code;
  out->uses_kl = true;
  for (int32_t i = 0; i < m->count; i++) {
    struct kl_value k = kl_estimate(KL_K2, m->logp[i], m->reference[i], KL_CLAMP_NONE); /* (log pi - log ref)^2 / 2 */
    out->kl[i] = k.value;
    out->loss[i] += o->kl_coef * scale[i] * k.value;
    out->coef[i] += o->kl_coef * scale[i] * k.coef;
  }
  return 0;
}

static int evaluate(struct method_call *c, struct evaluation *out, struct error *err)
{
  double sum = 0;
  (void)err;
  for (int32_t i = 0; i < out->count; i++) sum += out->records[i].verdict->reward;
  if (out->count) method_report(c, "q_pos", sum / out->count);
  return 0;
}

static int observe(struct method_call *c, const struct step *s, struct observation *out, struct error *err)
{
  const struct self *o = c->self;
  (void)err;
  if (o->reset_every > 0 && (s->number + 1) % o->reset_every == 0) out->reset_reference = true;
  return 0;
}

const struct method method_brorl = {
    .name = "brorl",
    .title = "BroRL: many rollouts of few problems, whitened over the step",
    .paper = "arXiv 2510.01180; ProRL v2 recipes of OpenRLHF and NeMo RL",
    .number = 34,
    .base = "grpo",
    .neutral = "filter=none norm_over=group clip_high=0.2 clip_dual=3 sampler=none kl_coef=0 base_batch=0",
    .needs = NEED_REFERENCE_LOGP | NEED_ALWAYS | NEED_RESET,
    METHOD_OPTIONS(options),
    METHOD_STATE(state),
    METHOD_METRICS(metrics),
    .declare = declare,
    .revise = revise,
    .shape = shape,
    .advantage = advantage,
    .weight = weight,
    .updates = updates,
    .objective = objective,
    .regularise = regularise,
    .evaluate = evaluate,
    .observe = observe,
};
