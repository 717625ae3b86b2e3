/* ppl_position: two rules on credit from one study of entropy (arXiv 2508.02260): GRPO+PPL and GRPO+POSITION.
 *
 *     ppl       A_i clip(1 - alpha w_i, ppl_low, ppl_high)         w_i: how much more surprising than its group
 *     position  A_t + sign(A_t) min(gamma logistic(k (t/n - 1/2)), cap |A_t|)
 *
 * The first trusts responses that the policy finds likely, the second moves credit to the end of a response. The
 * paper's runs have one of them each, over DAPO. The released loss computes the first factor and does not use it; the
 * paper's formula is followed here. The second belongs to the plateau: from `after` to `before` (the release: 200,
 * 300), or from the first step at which the entropy's mean over `window` steps falls by less than `plateau` a step
 * (inferred).
 */
#include "method/method.h"
#include "method/part_perplexity.h"

enum order { PPL_FIRST, POSITION_FIRST };
enum { WINDOW_MOST = 64 };

#define OPTIONS(X)                                                                                                     \
  X(ENUM, ppl, PERPLEXITY_LOW, 0, 0, PERPLEXITY_WORDS, "which responses are preferred; additive: an older form")       \
  X(REAL, alpha, 0.01, 0, 1e3, NULL, "strength of ppl; 0: off")                                                        \
  X(REAL, ppl_low, 0.8, 0, 1, NULL, "least factor of ppl")                                                             \
  X(REAL, ppl_high, 1.2, 1, OPTION_INF, NULL, "largest factor of ppl")                                                 \
  X(REAL, iqr, 1.5, 0, OPTION_INF, NULL, "responses further outside the quartiles than this stay out of mean and std") \
  X(BOOL, position, 0, 0, 1, NULL, "the rule on places")                                                               \
  X(REAL, gamma, 0.1, 0, 1e3, NULL, "size of its bonus; 0: off")                                                       \
  X(REAL, k, 15, 0, 1e3, NULL, "its steepness around the middle")                                                      \
  X(REAL, cap, 0.5, 0, 1e3, NULL, "the bonus is at most cap |A|")                                                      \
  X(ENUM, order, PPL_FIRST, 0, 0, "ppl_position|position_ppl", "where both run")                                       \
  X(INT, after, 0, 0, 1e9, NULL, "the rule on places holds in steps after this one")                                   \
  X(INT, before, 1000000000, 1, 1e9, NULL, "and before this one")                                                      \
  X(REAL, plateau, 0, -OPTION_INF, OPTION_INF, NULL, "and once the entropy falls by less than this a step; 0: always") \
  X(INT, window, 10, 1, 32, NULL, "steps that the entropy is averaged over")
#define STATE(X)                                                                       \
  X(double, entropy, [WINDOW_MOST], "mean entropy of the last steps, the newest last") \
  X(int64_t, steps, , "how many were seen")                                            \
  X(bool, flat, , "the plateau has begun")

struct self {
  OPTIONS(OPTION_FIELD)
  STATE(STATE_FIELD)
};
static const struct method_option options[] = {OPTIONS(OPTION_ROW)};
static const struct state_field state[] = {STATE(STATE_ROW)};
static const struct metric metrics[] = {
    {"factor_low", "", "least factor of ppl in the step"},
    {"factor_high", "", "largest factor of ppl in the step"},
    {"outliers", "share", "of responses that stayed out of their group's statistics"},
    {"active", "", "1 where the rule on places holds"},
    {"entropy_correct", "nats", "mean over the tokens of responses with A > 0"},
    {"entropy_wrong", "nats", "mean over the tokens of responses with A < 0"},
};

struct tally {
  double low, high, outliers, responses;
};

static bool is_active(const struct self *o, int64_t step)
{
  bool everywhere = !(o->plateau < 0 || o->plateau > 0);
  return o->position && o->after < step && step < o->before && (o->flat || everywhere);
}

/* ---- the two rules, on the n tokens of a response ---------------------------------------------------------------- */

/* A_t clip(1 - alpha w, ppl_low, ppl_high): every token of a response by one factor. */
static void shape_by_perplexity(const struct self *o, double weight, double *a, int32_t n)
{
  const struct perplexity_options p = {(enum perplexity_rule)o->ppl, o->alpha, o->ppl_low, o->ppl_high};
  for (int32_t t = 0; t < n; t++) a[t] = perplexity_shaped(&p, weight, a[t]);
}

/* A_t + sign(A_t) min(gamma logistic(k (rho - 1/2)), cap |A_t|), rho = t / n. */
static void shape_by_position(const struct self *o, double *a, int32_t n)
{
  const struct position_options p = {o->gamma, o->k, o->cap};
  for (int32_t t = 0; t < n; t++) {
    double rho = (double)t / n;
    a[t] = position_shaped(&p, rho, a[t]);
  }
}

/* Which rules act in this step. */
struct rules {
  bool ppl, position;
};

static void shape_response(const struct self *o, struct rules on, double weight, double *a, int32_t n)
{
  if (on.ppl && o->order == PPL_FIRST) shape_by_perplexity(o, weight, a, n);
  if (on.position) shape_by_position(o, a, n);
  if (on.ppl && o->order == POSITION_FIRST) shape_by_perplexity(o, weight, a, n);
}

/* ---- a group ----------------------------------------------------------------------------------------------------- */

/* l = -mean_t old_t */
static double log_perplexity(const struct step *s, const struct rollout *r)
{
  double sum = 0;
  for (int32_t p = r->path; p < r->path + r->path_count; p++) sum -= (double)step_record(s, p)->logp;
  return sum / r->path_count;
}

struct group_room {
  double *log_ppl, *weight; /* [rollouts of the step] */
  bool *keep;
  int32_t *member;
  struct ranked *ranked;
};

static int make_room(struct method_call *c, const struct step *s, struct group_room *out, struct error *err)
{
  size_t n = (size_t)s->kept + 1;
  out->log_ppl = ARENA_NEW(c->scratch, double, 2 * n, "ppl_position", err);
  out->keep = ARENA_NEW(c->scratch, bool, n, "ppl_position", err);
  out->member = ARENA_NEW(c->scratch, int32_t, n, "ppl_position", err);
  out->ranked = ARENA_NEW(c->scratch, struct ranked, n, "ppl_position", err);
  if (!out->log_ppl || !out->keep || !out->member || !out->ranked) return err->code;
  out->weight = out->log_ppl + n;
  return 0;
}

/* Responses with tokens; the others have no perplexity. */
static int32_t group_members(const struct step *s, int32_t g, struct group_room *room)
{
  int32_t n = 0;
  for (int32_t i = s->groups[g].first; i < s->groups[g].first + s->groups[g].count; i++) {
    const struct rollout *r = &s->rollouts[s->order[i]];
    if (!r->path_count) continue;
    room->log_ppl[n] = log_perplexity(s, r);
    room->member[n++] = s->order[i];
  }
  return n;
}

static void count_response(const struct self *o, double weight, bool keep, struct tally *t)
{
  const struct perplexity_options p = {(enum perplexity_rule)o->ppl, o->alpha, o->ppl_low, o->ppl_high};
  double factor = perplexity_factor(&p, weight);
  t->low = factor < t->low ? factor : t->low;
  t->high = factor > t->high ? factor : t->high;
  t->outliers += !keep;
  t->responses++;
}

static void shape_group(const struct self *o, const struct step *s, struct rules on, struct group_room *room, int32_t n,
                        struct credit *out, struct tally *t)
{
  /* w_i = (l_i - mean) / sd, both over those within the quartiles and iqr of their distance */
  if (on.ppl) perplexity_weights(room->log_ppl, n, o->iqr, room->ranked, room->keep, room->weight);
  for (int32_t i = 0; i < n; i++) {
    const struct rollout *r = &s->rollouts[room->member[i]];
    shape_response(o, on, room->weight[i], out->advantage + r->path, r->path_count);
    if (!on.ppl) continue;
    count_response(o, room->weight[i], room->keep[i], t);
    if (o->ppl == PERPLEXITY_ADDITIVE && !room->keep[i]) out->drop[room->member[i]] = true;
  }
}

/* Of right and of wrong responses apart: in the rising stage it is the wrong ones that lose entropy. */
static void report_entropy(struct method_call *c, const struct step *s, const double *advantage)
{
  double sum[2] = {0}, count[2] = {0};
  for (int32_t p = 0; p < s->path_count; p++) {
    if (!(advantage[p] < 0) && !(advantage[p] > 0)) continue;
    sum[advantage[p] > 0] += (double)step_record(s, p)->entropy;
    count[advantage[p] > 0]++;
  }
  if (count[1] > 0) method_report(c, "entropy_correct", sum[1] / count[1]);
  if (count[0] > 0) method_report(c, "entropy_wrong", sum[0] / count[0]);
}

static int advantage(struct method_call *c, const struct step *s, struct credit *out, struct error *err)
{
  const struct self *o = c->self;
  struct group_room room;
  struct tally t = {.low = 1, .high = 1};
  const struct rules on = {.ppl = o->ppl != PERPLEXITY_OFF && o->alpha > 0,
                           .position = is_active(o, s->number) && o->gamma > 0};
  TRY(c->base->method->advantage(c->base, s, out, err));
  TRY(make_room(c, s, &room, err));
  report_entropy(c, s, out->advantage);
  for (int32_t g = 0; g < s->group_count; g++) {
    int32_t n = on.ppl || on.position ? group_members(s, g, &room) : 0;
    if (n) shape_group(o, s, on, &room, n, out, &t);
  }
  method_report(c, "factor_low", t.low);
  method_report(c, "factor_high", t.high);
  method_report(c, "outliers", t.responses > 0 ? t.outliers / t.responses : 0);
  method_report(c, "active", on.position);
  return 0;
}

/* The plateau, once found, lasts. */
static int observe(struct method_call *c, const struct step *s, struct observation *out, struct error *err)
{
  struct self *o = c->self;
  double sum = 0;
  (void)out;
  (void)err;
  if (!s->path_count) return 0;
  for (int32_t p = 0; p < s->path_count; p++) sum += (double)step_record(s, p)->entropy;
  for (int i = 1; i < WINDOW_MOST; i++) o->entropy[i - 1] = o->entropy[i];
  o->entropy[WINDOW_MOST - 1] = sum / s->path_count;
  o->steps++;
  if (o->steps >= 2 * o->window && plateau_fall(o->entropy, WINDOW_MOST, o->window) < o->plateau) o->flat = true;
  return 0;
}

const struct method method_ppl_position = {
    .name = "ppl_position",
    .title = "Credit by perplexity within the group and by place in the response",
    .paper = "arXiv 2508.02260 and 2508.07534, GRPO+PPL and GRPO+POSITION",
    .number = 58,
    .base = "grpo",
    .neutral = "alpha=0",
    METHOD_OPTIONS(options),
    METHOD_STATE(state),
    METHOD_METRICS(metrics),
    .advantage = advantage,
    .observe = observe,
};
