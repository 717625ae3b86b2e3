/* rorecomp: rollout response recomposition (arXiv 2509.25958): short right answers and long wrong ones are trained at
 * once, the others wait.
 *
 *     P = of the right ones the shortest ceil(alpha n), of the wrong ones the longest ceil(alpha n)     main update
 *     the rest goes into a buffer; when it is full, its oldest entries make one more update, the compensation, with
 *     the log-probabilities and advantages that they were stored with
 *
 * Within a step's update length and advantage are then strongly opposed, so answers get shorter; what waited comes back
 * clipped and keeps training steady. Advantages are those of whole groups. The paper's method section could not be
 * read: scope, alpha, the sizes of the buffer, what p_comp does and the schedule are inferred, and options.
 * part_recompose.h has both rules.
 */
#include <string.h>

#include "core/math.h"
#include "method/method.h"
#include "method/method_replay.h"
#include "method/part_recompose.h"

enum scope { PROMPT, BATCH };
enum schedule { CONSTANT, COSINE };

#define OPTIONS(X)                                                                                                  \
  X(REAL, alpha, 0.5, 0, 1, NULL, "share of the right and of the wrong ones that is trained at once; 1: all")       \
  X(REAL, alpha_end, 0.5, 0, 1, NULL, "with schedule: cosine, alpha at the end of the run")                         \
  X(ENUM, scope, PROMPT, 0, 0, "prompt|batch", "what the shares are taken of: a prompt's group or the whole step")  \
  X(STRING, key, 0, 0, 0, "tokens", "tokens, or the channel that counts (tool calls); then ties go by tokens")      \
  X(REAL, threshold, 0.5, -1e9, 1e9, NULL, "an answer is right where its reward is above this")                     \
  X(BOOL, drop_equal, 0, 0, 1, NULL, "groups of equal rewards enter neither the update nor the buffer")             \
  X(INT, capacity, 0, 0, 1e9, NULL, "entries with which the buffer is full; 0: four steps' remainders")             \
  X(INT, batch, 0, 0, 1e9, NULL, "entries of a compensation, capacity at most; 0: as many as a step has responses") \
  X(REAL, p_comp, 1, 0, 1, NULL, "probability of the compensation when it is due; 0: never")                        \
  X(REAL, p_comp_end, 1, 0, 1, NULL, "with schedule: cosine, p_comp at the end of the run")                         \
  X(ENUM, schedule, CONSTANT, 0, 0, "constant|cosine", "alpha and p_comp over the run")                             \
  X(INT, max_age, 0, 0, 1e9, NULL, "entries older than so many steps are dropped; 0: off")

struct self {
  OPTIONS(OPTION_FIELD)
};
static const struct method_option options[] = {OPTIONS(OPTION_ROW)};
static const struct metric metrics[] = {
    {"priority", "share", "of the step's responses that were trained at once"},
    {"length_right", "tokens", "mean length of the right ones among them"},
    {"length_wrong", "tokens", "mean length of the wrong ones among them"},
    {"buffer", "responses", "that wait at the end of the step"},
    {"compensated", "responses", "that came back in this step"},
    {"age", "steps", "their mean age"},
    {"dropped", "responses", "that left the buffer untrained in this step"},
};

/* Part of the run that is over, by cosine. */
static double scheduled(const struct self *o, const struct step *s, double start, double end)
{
  return o->schedule == COSINE ? recompose_cosine(start, end, s->number, s->total) : start;
}

static bool selects(const struct self *o)
{
  return o->alpha < 1 || o->drop_equal || (o->schedule == COSINE && o->alpha_end < 1);
}

/* What rounding up adds to the priority part of a step. */
static double rounding(const void *options_of, const struct work_shape *s)
{
  const struct self *o = options_of;
  double n = o->scope == BATCH ? s->groups * s->group : s->group;
  double start = recompose_rounding(o->alpha, n);
  return o->schedule == COSINE ? (start + recompose_rounding(o->alpha_end, n)) / 2 : start;
}

static int declare(const void *options_of, struct needs *out, struct error *err)
{
  const struct self *o = options_of;
  if (o->capacity && o->batch > o->capacity)
    FAIL(err, ERROR_INPUT,
         "rorecomp takes %lld entries at once from a buffer of %lld; expected capacity or fewer; change batch or "
         "capacity",
         (long long)o->batch, (long long)o->capacity);
  if (!selects(o)) return 0;
  double least = o->schedule == COSINE && o->alpha_end < o->alpha ? o->alpha_end : o->alpha;
  out->flags |= NEED_REPLAY;
  out->replay_rollouts = o->capacity;
  out->replay_steps = (1 - least) * (o->capacity ? 1 : 5); /* the new ones stand beside a full buffer */
  double left = 1 - (o->schedule == COSINE ? (o->alpha + o->alpha_end) / 2 : o->alpha);
  double comes = o->schedule == COSINE ? (o->p_comp + o->p_comp_end) / 2 : o->p_comp;
  out->more_updates = (struct update_need){
      .left_out = left, .again = left * comes, .entries = (double)o->batch, .rounding = rounding, .options = o};
  return 0;
}

/* ---- selection --------------------------------------------------------------------------------------------------- */

/* The step's responses in canonical order. */
static int view_step(struct method_call *c, const struct step *s, struct recompose_batch *b, struct error *err)
{
  const struct self *o = c->self;
  size_t n = (size_t)s->kept + 1;
  double *reward = ARENA_NEW(c->scratch, double, 3 * n, "rorecomp", err), *length = reward + n, *measure = length + n;
  int32_t *group = ARENA_NEW(c->scratch, int32_t, n, "rorecomp", err);
  bool counts = strcmp(o->key, "tokens") != 0;
  int channel = counts ? step_find_channel(s, o->key) : -1;
  if (!reward || !group) return err->code;
  if (counts && channel < 0 && s->kept)
    FAIL(err, ERROR_INPUT, "rorecomp sorts by the channel \"%s\", which nobody sets; set key to tokens or to a channel",
         o->key);
  for (int32_t i = 0; i < s->kept; i++) {
    int32_t r = s->order[i];
    group[i] = s->rollouts[r].group;
    reward[i] = s->reward[r];
    length[i] = s->rollouts[r].path_count;
    if (counts) (void)step_get_channel(s, r, channel, &measure[i]); /* absent: 0 */
  }
  *b = (struct recompose_batch){s->kept, s->group_count, group, reward, length, counts ? measure : NULL};
  return 0;
}

static void report_selection(struct method_call *c, const struct recompose_batch *b, const struct recomposed *r)
{
  const struct self *o = c->self;
  double sum[2] = {0}, count[2] = {0};
  for (int32_t i = 0; i < r->priority_count; i++) {
    bool right = b->reward[r->priority[i]] > o->threshold;
    sum[right] += b->length[r->priority[i]];
    count[right]++;
  }
  method_report(c, "priority", b->count ? (double)r->priority_count / b->count : 0);
  if (count[1] > 0) method_report(c, "length_right", sum[1] / count[1]);
  if (count[0] > 0) method_report(c, "length_wrong", sum[0] / count[0]);
}

/* What the main update is made on, unless that is everything that has tokens. */
static int restrict_main(const struct step *s, const struct recomposed *r, struct update *u, struct error *err)
{
  bool all = true;
  for (int32_t i = 0; i < s->kept; i++)
    all = all && (r->part[i] == RECOMPOSE_PRIORITY || !s->rollouts[s->order[i]].path_count);
  if (all) return 0;
  bool *which = ARENA_NEW(s->arena, bool, (size_t)s->rollout_count, "rorecomp", err);
  if (!which) return err->code;
  for (int32_t i = 0; i < s->kept; i++) {
    int32_t k = s->order[i];
    which[k] = r->part[i] == RECOMPOSE_PRIORITY && (!u->rollouts || u->rollouts[k]);
  }
  u->rollouts = which;
  return 0;
}

/* ---- the buffer -------------------------------------------------------------------------------------------------- */

/* The oldest n entries, marked. */
static int oldest(struct method_call *c, int64_t n, bool **out, struct error *err)
{
  *out = ARENA_NEW(c->scratch, bool, (size_t)replay_count(c->replay) + 1, "rorecomp", err);
  for (int64_t i = 0; *out && i < n; i++) (*out)[i] = true;
  return *out ? 0 : err->code;
}

static int drop_oldest(struct method_call *c, int64_t n, struct error *err)
{
  bool *which;
  if (!n) return 0;
  TRY(oldest(c, n, &which, err));
  replay_remove(c->replay, which);
  return 0;
}

static int compensate(struct method_call *c, const struct step *s, int64_t n, struct update_list *out,
                      struct error *err)
{
  struct update *u;
  struct step *batch;
  bool *which;
  double age = 0;
  if (!n) return 0;
  for (int32_t i = 0; i < n; i++) age += (double)(s->number - replay_at(c->replay, i)->step);
  TRY(oldest(c, n, &which, err));
  TRY(replay_take(c->replay, out, which, &batch, err));
  replay_remove(c->replay, which);
  bool regularised = out->items[0].regularised;
  TRY(updates_add(out, "compensation", &u, err));
  u->batch = batch;
  u->rollouts = NULL;
  u->epochs = u->minibatches = 1;
  u->regularised = regularised; /* the base's KL is computed afresh */
  method_report(c, "age", age / (double)n);
  return 0;
}

static int64_t *origins(struct method_call *c, struct error *err)
{
  int32_t n = replay_count(c->replay);
  int64_t *origin = ARENA_NEW(c->scratch, int64_t, (size_t)n + 1, "rorecomp", err);
  for (int32_t i = 0; origin && i < n; i++) origin[i] = replay_at(c->replay, i)->step;
  return origin;
}

/* Pushes the rest and does what the buffer's rule says. */
static int turn_buffer(struct method_call *c, const struct step *s, const struct recomposed *r, double alpha,
                       struct update_list *out, struct error *err)
{
  const struct self *o = c->self;
  const struct rng_at at = method_rng(c, s->number, 0, 0, 0, 0);
  struct recompose_buffer_rule rule = {o->capacity, o->batch, scheduled(o, s, o->p_comp, o->p_comp_end), o->max_age};
  int64_t pushed = 0, *origin = origins(c, err), remainder = s->kept - (int64_t)(alpha * s->kept);
  if (!origin) return err->code;
  if (!rule.capacity) rule.capacity = remainder ? 4 * remainder : 1;
  if (!rule.batch) rule.batch = s->kept ? s->kept : 1;
  if (rule.batch > rule.capacity) rule.batch = rule.capacity;
  for (int32_t i = 0; i < s->kept; i++) pushed += r->part[i] == RECOMPOSE_REST;
  struct recompose_turn t =
      recompose_turn(&rule, origin, replay_count(c->replay), pushed, s->number, rng_uniform(c->seed, &at));
  TRY(drop_oldest(c, t.aged, err));
  for (int32_t i = 0; i < s->kept; i++)
    if (r->part[i] == RECOMPOSE_REST) TRY(replay_push(c->replay, s, s->order[i], err));
  TRY(compensate(c, s, t.popped, out, err));
  TRY(drop_oldest(c, t.over, err));
  method_report(c, "buffer", replay_count(c->replay));
  method_report(c, "compensated", (double)t.popped);
  method_report(c, "dropped", (double)(t.aged + t.over));
  return 0;
}

static int updates(struct method_call *c, const struct step *s, struct update_list *out, struct error *err)
{
  const struct self *o = c->self;
  struct recompose_batch b;
  struct recomposed r;
  double alpha = scheduled(o, s, o->alpha, o->alpha_end);
  const struct recompose_rule rule = {alpha, o->scope == BATCH, o->drop_equal, o->threshold};
  if (!selects(o)) return 0;
  TRY(view_step(c, s, &b, err));
  TRY(recompose(c->scratch, &rule, &b, &r, err));
  report_selection(c, &b, &r);
  TRY(restrict_main(s, &r, &out->items[0], err));
  return turn_buffer(c, s, &r, alpha, out, err);
}

const struct method method_rorecomp = {
    .name = "rorecomp",
    .title = "RoRecomp: short right and long wrong answers first",
    .paper = "arXiv 2509.25958",
    .number = 57,
    .base = "grpo",
    .neutral = "alpha=1",
    .needs = NEED_REPLAY,
    METHOD_OPTIONS(options),
    METHOD_METRICS(metrics),
    .declare = declare,
    .updates = updates,
};
