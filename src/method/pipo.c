/* pipo: policy improvement reinforcement (PIPO in the framework PIRL, arXiv 2604.00860; code JacckMa/pipo_verl).
 *
 * A fresh batch says whether the last update helped: xi, the difference of its mean reward to the last K, in standard
 * deviations. Before the ordinary update one more is made on the batch before: with its advantages, normalised anew
 * within each prompt, times xi, where rewards rose; weakly reversed (slope lam) where they fell. part_improvement.h has
 * the formulas; the ordinary update is any method's, against log-probabilities from before the replay.
 *
 * form: the paper has PPO's minimum, the released losses of GRPO, RLOO and REINFORCE++ cap the ratio alone (code), that
 * of GSPO has a sequence's ratio. dialect released: its main trainer counts mu itself into the window, twice. gate:
 * what the release does to PPO with a critic: the fresh advantages are multiplied by xi; use it with replay: false
 * (inferred).
 */
#include "core/math.h"
#include "method/method.h"
#include "method/method_replay.h"
#include "method/part_aggregate.h"
#include "method/part_improvement.h"
#include "method/part_return.h"
#include "method/part_sequence.h"

enum form { PPO, CODE, GSPO };
enum dialect { PAPER, RELEASED };
enum deviation { SAMPLE, POPULATION };
enum { WINDOW_MOST = 128 };
static const double EPS = 1e-6, SD_FLOOR = 1e-6;

#define OPTIONS(X)                                                                                                     \
  X(BOOL, replay, 1, 0, 1, NULL, "the update on the batch before; with gate false too: the base alone")                \
  X(BOOL, gate, 0, 0, 1, NULL, "multiplies the fresh advantages by xi: for PPO, with replay: false")                   \
  X(REAL, gate_low, -2, -1e6, 0, NULL, "least factor of the gate")                                                     \
  X(REAL, gate_high, 2, 0, 1e6, NULL, "largest factor of the gate")                                                    \
  X(INT, window, 8, 1, WINDOW_MOST, NULL, "K: mean rewards that a fresh one is compared with")                         \
  X(INT, min_steps, 8, 1, 1e9, NULL, "steps before the first signal; dialect released: values in the window")          \
  X(REAL, lam, 0.1, 0, 1, NULL, "slope where rewards fell; 0: only reinforce, 1: symmetric")                           \
  X(INT, every, 1, 1, 1e9, NULL, "one step of so many may replay")                                                     \
  X(REAL, threshold, 0, 0, OPTION_INF, NULL, "no replay where |xi| is at or below this; 0: off")                       \
  X(BOOL, normalise, 1, 0, 1, NULL, "xi in standard deviations; false: the difference itself")                         \
  X(ENUM, std, SAMPLE, 0, 0, "sample|population", "of the window: over K - 1, or over K as in the release")            \
  X(ENUM, dialect, PAPER, 0, 0, "paper|released", "the window: the K values before, or the main trainer's")            \
  X(ENUM, form, PPO, 0, 0, "ppo|code|gspo", "the replayed loss")                                                       \
  X(REAL, clip_low, 0.2, 0, OPTION_INF, NULL, "of the replay; with form: gspo the release has 3e-4")                   \
  X(REAL, clip_high, 0.2, 0, OPTION_INF, NULL, "of the replay; with form: gspo the release has 4e-4")                  \
  X(REAL, difference_clamp, 5, 0, OPTION_INF, NULL, "the difference of mean rewards is held within it")                \
  X(REAL, coefficient_clamp, 10, 0, OPTION_INF, NULL, "attribution times xi is held within it")                        \
  X(ENUM, aggregation, AGGREGATE_TOKEN_MEAN, 0, 0, AGGREGATE_WORDS, "of the replay; gspo: always seq_mean_token_mean") \
  X(REAL, constant, 0, 0, 1e9, NULL, "length that aggregation: constant divides by; 0: rollout.max_new_tokens")
#define STATE(X)                                                         \
  X(double, history, [WINDOW_MOST], "mean rewards so far, oldest first") \
  X(int64_t, count, , "how many of them there are")                      \
  X(int64_t, seen, , "steps so far")

struct self {
  OPTIONS(OPTION_FIELD)
  STATE(STATE_FIELD)
};
static const struct method_option options[] = {OPTIONS(OPTION_ROW)};
static const struct state_field state[] = {STATE(STATE_ROW)};
static const struct metric metrics[] = {
    {"mean_reward", "", "mu, of the fresh batch"},
    {"anchor", "", "mean of the window; absent until it is full enough"},
    {"xi", "", "the improvement signal; 0 until then"},
    {"replayed", "responses", "of the batch before that were trained again"},
    {"coefficient", "", "mean |C| over them"},
    {"gate", "", "what the fresh advantages were multiplied by"},
};

static int declare(const void *options_of, struct needs *out, struct error *err)
{
  const struct self *o = options_of;
  (void)err;
  if (!o->replay) return 0;
  out->flags |= NEED_REPLAY;
  out->replay_steps = 1;
  out->more_updates = (struct update_need){.again = 1.0 / (double)o->every, .first = true};
  return 0;
}

/* ---- the signal -------------------------------------------------------------------------------------------------- */

/* mu, of differences to the first reward: equal rewards give exactly that one. */
static double mean_reward(const struct step *s)
{
  if (!s->kept) return 0;
  double first = return_whole(s, s->order[0]), sum = 0;
  for (int32_t i = 0; i < s->kept; i++) sum += return_whole(s, s->order[i]) - first;
  return first + sum / s->kept;
}

/* xi = clip(mu - mean, -5, 5) / sd over the K mean rewards before, and the slope phi: 1 where xi >= 0, else lam. */
static struct improvement signal_of(const struct self *o, const struct step *s, double mu)
{
  const struct improvement_rule rule = {.window = o->window,
                                        .min_steps = o->min_steps,
                                        .every = o->every,
                                        .released = o->dialect == RELEASED,
                                        .population = o->std == POPULATION,
                                        .normalise = o->normalise,
                                        .lam = o->lam,
                                        .threshold = o->threshold,
                                        .clamp = o->difference_clamp,
                                        .floor = SD_FLOOR};
  return improvement_signal(&rule, o->history, o->count, o->seen, mu, s->number + 1);
}

/* At the end of the history, whose oldest value leaves when it is full. */
static void append(struct self *o, double mu)
{
  if (o->count == WINDOW_MOST) {
    for (int i = 1; i < WINDOW_MOST; i++) o->history[i - 1] = o->history[i];
    o->count--;
  }
  o->history[o->count++] = mu;
}

static void remember(struct self *o, double mu)
{
  append(o, mu);
  if (o->dialect == RELEASED) append(o, mu); /* its trainer does so before and after the update */
  o->seen++;
}

/* ---- the replay -------------------------------------------------------------------------------------------------- */

static int replayed_loss(struct method_call *c, const struct minibatch *m, struct loss *out, struct error *err)
{
  const struct self *o = c->self;
  const struct clip_bounds bounds = {.low = o->clip_low, .high = o->clip_high, .dual = __builtin_inf()};
  enum aggregation mode = o->form == GSPO ? AGGREGATE_SEQ_MEAN_TOKEN_MEAN : (enum aggregation)o->aggregation;
  const double *scale = aggregate_scales(c->scratch, m, mode, o->constant, m->counted, err);
  if (!scale) return err->code;
  if (o->form == GSPO) {
    const struct sequence_options q = {.bounds = bounds, .limit = SEQUENCE_LIMIT, .own = true};
    sequence_clipped(m, &q, scale, out);
    return 0;
  }
  for (int32_t i = 0; i < m->count; i++) {
    /* ppo: max(-C r, -C clip(r)), code: -min(r, clip(r)) C; r = pi / pi of the step before */
    struct clip_value v =
        improvement_loss(o->form == CODE, m->logp[i] - m->old[i], CLIP_LOG_RATIO, m->advantage[i], &bounds);
    out->loss[i] = scale[i] * m->weight[i] * v.loss;
    out->coef[i] = scale[i] * m->weight[i] * v.coef;
    out->clipped[i] = v.clipped;
  }
  return 0;
}

/* Abar_i: the token mean of the stored advantage. */
static double mean_advantage(const struct step *batch, int32_t rollout)
{
  const struct rollout *r = &batch->rollouts[rollout];
  double mean = 0;
  for (int32_t p = r->path; p < r->path + r->path_count; p++) mean += batch->advantage[p] / r->path_count;
  return mean;
}

/* The stored advantages become C_i = slope clip(a_i xi, -10, 10), a_i = n Abar_i / (sum_j |Abar_j| + eps) over the
 * group. */
static int set_coefficients(struct method_call *c, struct step *batch, const struct improvement *signal,
                            struct error *err)
{
  const struct self *o = c->self;
  double *mean = ARENA_NEW(c->scratch, double, 2 * (size_t)batch->kept + 2, "pipo", err), sum = 0;
  if (!mean) return err->code;
  double *a = mean + batch->kept + 1;
  for (int32_t g = 0; g < batch->group_count; g++) {
    const int32_t *member = batch->order + batch->groups[g].first;
    int32_t n = batch->groups[g].count;
    for (int32_t i = 0; i < n; i++) mean[i] = mean_advantage(batch, member[i]);
    improvement_attribution(mean, n, EPS, a);
    for (int32_t i = 0; i < n; i++) {
      double coefficient = improvement_coefficient(a[i], signal->xi, signal->slope, o->coefficient_clamp);
      step_spread(batch, member[i], coefficient, batch->advantage);
      sum += math_abs(coefficient);
    }
  }
  method_report(c, "coefficient", batch->kept ? sum / batch->kept : 0);
  return 0;
}

static int replay_before(struct method_call *c, const struct improvement *signal, struct update_list *out,
                         struct error *err)
{
  int32_t n = replay_count(c->replay);
  struct update *u;
  struct step *batch;
  bool *which = ARENA_NEW(c->scratch, bool, (size_t)n + 1, "pipo", err);
  if (!which) return err->code;
  for (int32_t i = 0; i < n; i++) which[i] = true;
  if (n && signal->active) {
    bool regularised = out->items[0].regularised;
    TRY(replay_take(c->replay, out, which, &batch, err));
    TRY(set_coefficients(c, batch, signal, err));
    TRY(updates_add(out, "improvement", &u, err));
    u->batch = batch;
    u->first = true;
    u->regularised = regularised; /* the base's KL, not multiplied by the slope */
    u->loss = replayed_loss;
    u->objective = out->call;
  }
  method_report(c, "replayed", signal->active ? n : 0);
  replay_remove(c->replay, which);
  return 0;
}

static int updates(struct method_call *c, const struct step *s, struct update_list *out, struct error *err)
{
  struct self *o = c->self;
  double mu = mean_reward(s);
  if ((!o->replay && !o->gate) || !s->kept) return 0;
  struct improvement signal = signal_of(o, s, mu);
  method_report(c, "mean_reward", mu);
  method_report(c, "xi", signal.xi);
  if (signal.ready) method_report(c, "anchor", signal.mean);
  if (o->replay) {
    TRY(replay_before(c, &signal, out, err));
    for (int32_t i = 0; i < s->kept; i++) TRY(replay_push(c->replay, s, s->order[i], err));
  }
  if (o->gate) {
    double gate = signal.ready ? math_clamp(signal.xi, o->gate_low, o->gate_high) : 1;
    for (int32_t p = 0; p < s->path_count; p++) out->step->advantage[p] *= gate;
    method_report(c, "gate", gate);
  }
  remember(o, mu);
  return 0;
}

const struct method method_pipo = {
    .name = "pipo",
    .title = "PIPO: the batch before again, by whether rewards rose",
    .paper = "arXiv 2604.00860, equations 7 to 11; code JacckMa/pipo_verl",
    .number = 53,
    .base = "grpo",
    .neutral = "replay=false",
    .needs = NEED_REPLAY,
    METHOD_OPTIONS(options),
    METHOD_STATE(state),
    METHOD_METRICS(metrics),
    .declare = declare,
    .updates = updates,
};
