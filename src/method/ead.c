/* ead: exploratory annealed decoding (arXiv 2510.05251; code yangalan123/EAD-RLVR).
 *
 *     tau_t = 1 for t < c, else max(1 + tau_max - exp(t / d_s), tau_min)     d_s = min(d0 + d_inc s, d_cap)
 *     y_t is drawn from mu_t = softmax(z_t / tau_t); pi = softmax(z_t) is trained
 *
 * t counts the response's tokens, s the steps: hot where a response decides what to do, cold where it does it. What the
 * other distribution does to the gradient is left alone (the release), or answered in one of two ways:
 *
 *     tis         loss_t = min(pi_old / mu_t, cap) max(-A r, -A clip(r))     the weight stands behind the clip
 *     behaviour   r = pi / mu_t: the clip acts on it, and a first update is not at r = 1
 *
 * A step's own temperature (rollout.temperature) is multiplied by tau. Evaluations keep theirs. Inferred: d0 of the
 * paper (the release's 500 tokens are taken), cap 2. part_anneal.h has the release's other schedules.
 */
#include <string.h>

#include "core/math.h"
#include "method/method.h"
#include "method/part_anneal.h"

enum correction { NONE, TIS, BEHAVIOUR };
enum { QUARTERS = 4 };
static const double COLDEST = 0.01;

#define OPTIONS(X)                                                                                     \
  X(ENUM, mode, ANNEAL_NEGEXP, 0, 0, ANNEAL_WORDS, "how the temperature moves")                        \
  X(REAL, tau_max, 1.2, 0.01, 100, NULL, "temperature of the hot end; 1 with tau_min 1: the base")     \
  X(REAL, tau_min, 0.1, 0.01, 100, NULL, "temperature of the cold end")                                \
  X(REAL, d0, 500, 1e-3, OPTION_INF, NULL, "decay length in tokens at the first step")                 \
  X(REAL, d_inc, 100, 0, 1e9, NULL, "its growth a step; the paper's text: 5")                          \
  X(REAL, d_cap, 800000, 1e-3, OPTION_INF, NULL, "its end; the paper's text: 40000")                   \
  X(REAL, d_steps, 25, 1e-3, OPTION_INF, NULL, "decay length in steps of the modes that follow steps") \
  X(INT, c, 10, 0, 1e9, NULL, "first tokens of a response that are drawn at temperature 1")            \
  X(ENUM, correction, NONE, 0, 0, "none|tis|behaviour",                                                \
    "what answers the difference of what drew and what is trained")                                    \
  X(REAL, cap, 2, 1e-3, OPTION_INF, NULL, "tis: largest weight of a token; .inf: none")

struct self {
  OPTIONS(OPTION_FIELD)
};
static const struct method_option options[] = {OPTIONS(OPTION_ROW)};
static const struct metric metrics[] = {
    {"tau", "", "mean factor on the temperature over the step's tokens"},
    {"weight", "", "tis: mean weight"},
    {"weight_max", "", "tis: largest weight"},
    {"capped", "share", "tis: of tokens whose weight is at the cap"},
    {"entropy_1", "nats", "at the trained temperature, over tokens in the first quarter of the budget"},
    {"entropy_2", "nats", "in the second quarter"},
    {"entropy_3", "nats", "in the third quarter"},
    {"entropy_4", "nats", "in the last quarter"},
    {"distinct", "answers", "mean number of different answers in a group"},
    {"pass", "share", "of groups with a right rollout: pass@n"},
    {"worst", "share", "of groups whose rollouts are all right: worst@n"},
};

static struct anneal schedule_of(const struct self *o)
{
  return (struct anneal){
      (enum anneal_mode)o->mode, o->tau_max, o->tau_min, o->d0, o->d_inc, o->d_cap, o->d_steps, (double)o->c};
}

/* A schedule that the last step would find below what can be sampled from is refused at the first one: `both` starts at
 * tau_max exp(-s / d_steps). */
static int check_schedule(const struct anneal *a, const struct step *s, struct error *err)
{
  int64_t last = s->total > s->number ? s->total - 1 : s->number;
  double coldest = a->mode == ANNEAL_BOTH ? anneal_temperature(a, (int64_t)a->first, last) : COLDEST;
  if (coldest < COLDEST)
    FAIL(err, ERROR_INPUT,
         "mode both reaches the temperature %g in step %lld; expected %g or more; give a larger d_steps or tau_min, "
         "fewer train.steps, or another mode",
         coldest, (long long)last, COLDEST);
  return 0;
}

static int sample(struct method_call *c, const struct step *s, struct sample_row *out, struct error *err)
{
  const struct anneal a = schedule_of(c->self);
  TRY(check_schedule(&a, s, err));
  out->params->temperature *= (float)anneal_temperature(&a, out->generated, s->number);
  return 0;
}

/* ---- what the step shows ----------------------------------------------------------------------------------------- */

static void report_tokens(struct method_call *c, const struct step *s)
{
  static const char *const NAMES[QUARTERS] = {"entropy_1", "entropy_2", "entropy_3", "entropy_4"};
  const struct anneal a = schedule_of(c->self);
  double tau = 0, entropy[QUARTERS] = {0}, count[QUARTERS] = {0};
  for (int32_t p = 0; p < s->path_count; p++) {
    int32_t at = step_response_index(s, p);
    int64_t quarter = s->max_new_tokens > 0 ? (int64_t)at * QUARTERS / s->max_new_tokens : 0;
    if (quarter >= QUARTERS) quarter = QUARTERS - 1;
    tau += anneal_temperature(&a, at, s->number);
    entropy[quarter] += (double)step_record(s, p)->entropy;
    count[quarter]++;
  }
  if (s->path_count) method_report(c, "tau", tau / s->path_count);
  for (int q = 0; q < QUARTERS; q++)
    if (count[q] > 0) method_report(c, NAMES[q], entropy[q] / count[q]);
}

/* Whether no earlier rollout of the group was read as the same answer. */
static bool is_new(const struct step *s, const struct group *g, int32_t i)
{
  const char *answer = s->rollouts[s->order[i]].verdict.extracted;
  if (!answer) return false;
  for (int32_t k = g->first; k < i; k++) {
    const char *other = s->rollouts[s->order[k]].verdict.extracted;
    if (other && !strcmp(other, answer)) return false;
  }
  return true;
}

static void report_groups(struct method_call *c, const struct step *s)
{
  double groups = 0, distinct = 0, pass = 0, worst = 0;
  for (int32_t g = 0; g < s->group_count; g++) {
    const struct group *of = &s->groups[g];
    int32_t right = 0;
    if (!of->count) continue;
    for (int32_t i = of->first; i < of->first + of->count; i++) {
      right += s->rollouts[s->order[i]].verdict.correct;
      distinct += is_new(s, of, i);
    }
    groups++;
    pass += right > 0;
    worst += right == of->count;
  }
  if (!(groups > 0)) return;
  method_report(c, "distinct", distinct / groups);
  method_report(c, "pass", pass / groups);
  method_report(c, "worst", worst / groups);
}

/* ---- corrections ------------------------------------------------------------------------------------------------- */

/* Of the record; a token whose sampling probability is not known has the policy's own. */
static double behaviour_logp(const struct token_record *t)
{
  return math_is_finite((double)t->logp_behaviour) ? (double)t->logp_behaviour : (double)t->logp;
}

static int weight(struct method_call *c, const struct step *s, struct factors *out, struct error *err)
{
  const struct self *o = c->self;
  double sum = 0, most = 0, capped = 0, n = s->path_count ? s->path_count : 1;
  (void)err;
  report_tokens(c, s);
  report_groups(c, s);
  if (o->correction != TIS) return 0;
  for (int32_t p = 0; p < s->path_count; p++) {
    const struct token_record *t = step_record(s, p);
    double w = anneal_weight((double)t->logp, behaviour_logp(t), o->cap);
    out->factor[p] = w;
    sum += w;
    most = w > most ? w : most;
    capped += w >= o->cap;
  }
  out->denominator = COUNT_ALL;
  method_report(c, "weight", sum / n);
  method_report(c, "weight_max", most);
  method_report(c, "capped", capped / n);
  return 0;
}

/* The base's loss with the sampling distribution as the old policy. */
static int behaviour_loss(struct method_call *c, const struct minibatch *m, struct loss *out, struct error *err)
{
  struct minibatch drawn = *m;
  drawn.old = ARENA_NEW(c->scratch, double, (size_t)m->count, "ead", err);
  if (!drawn.old) return err->code;
  for (int32_t i = 0; i < m->count; i++) drawn.old[i] = behaviour_logp(step_record(m->step, m->token[i]));
  return c->base->method->objective(c->base, &drawn, out, err);
}

static int updates(struct method_call *c, const struct step *s, struct update_list *out, struct error *err)
{
  const struct self *o = c->self;
  (void)s;
  (void)err;
  if (o->correction != BEHAVIOUR || out->items[0].loss) return 0;
  out->items[0].loss = behaviour_loss;
  out->items[0].objective = out->call;
  return 0;
}

const struct method method_ead = {
    .name = "ead",
    .title = "Exploratory annealed decoding: hot first tokens, cold last ones",
    .paper = "arXiv 2510.05251; yangalan123/EAD-RLVR",
    .number = 40,
    .base = "grpo",
    .neutral = "tau_max=1 tau_min=1",
    METHOD_OPTIONS(options),
    METHOD_METRICS(metrics),
    .sample = sample,
    .weight = weight,
    .updates = updates,
};
