/* prerl_dsrl: reinforcement in pre-train space, and the dual space RL that begins with it (arXiv 2604.14142).
 *
 *     lq_t  = log pi(y_t | s0, y_<t)               the response behind one start token, its prompt taken away
 *     A_pre = R - mean R of the group              the policy loss keeps the base's advantage
 *     L     = coef L_pre                           before disable_step, on wrong responses alone: a warm-up that
 *                                                  unlearns wrong text whatever was asked
 *             L_rl                                 afterwards: the base
 *
 * joint: warmup_only: false, L_rl + coef L_pre before disable_step. The ablations: pretrain_only with disable_step 0
 * (PreRL alone) and negative_rl, positive_rl, which select the responses of L_rl in the same way. part_prerl.h has the
 * formulas. What stands for the start token where a model has no turn token is inferred: the first token of the prompt.
 */
#include "core/math.h"
#include "method/method.h"
#include "method/part_group.h"
#include "method/part_plain.h"
#include "method/part_prerl.h"
#include "method/part_thoughts.h"

#define OPTIONS(X)                                                                                                    \
  X(INT, disable_step, 20, 0, 1e9, NULL, "the step, from 1, with which plain RL begins; 1: at once, 0: never")        \
  X(BOOL, warmup_only, 1, 0, 1, NULL, "no policy loss before it; false: both losses")                                 \
  X(BOOL, pretrain_only, 0, 0, 1, NULL, "with disable_step 0: the loss without prompts all the way")                  \
  X(BOOL, negative_pretrain, 1, 0, 1, NULL, "responses below their group's mean count in L_pre")                      \
  X(BOOL, positive_pretrain, 0, 0, 1, NULL, "responses above it do; with both, those at the mean too")                \
  X(BOOL, negative_rl, 1, 0, 1, NULL, "the same for the policy loss, by the sign of its own advantage")               \
  X(BOOL, positive_rl, 1, 0, 1, NULL, "the same for the policy loss")                                                 \
  X(REAL, coef, 0.01, 0, 1e6, NULL, "weight of L_pre")                                                                \
  X(BOOL, pre_norm_std, 0, 0, 1, NULL, "A_pre is divided by the group's standard deviation")                          \
  X(ENUM, pre_aggregation, AGGREGATE_TOKEN_MEAN, 0, 0, AGGREGATE_WORDS, "how the token losses of L_pre become one")   \
  X(INT, pre_max_length, 0, 0, 1e9, NULL, "tokens of a response that count in L_pre; 0: all")                         \
  X(REAL, pre_clip_low, 0.2, 0, OPTION_INF, NULL, "L_pre: ratios below 1 minus this carry no gradient where A < 0")   \
  X(REAL, pre_clip_high, 0.2, 0, OPTION_INF, NULL, "L_pre: ratios above 1 plus this carry no gradient where A > 0")   \
  X(REAL, pre_clip_dual, 10, 1, OPTION_INF, NULL, "L_pre: ratios above it carry no gradient where A < 0; .inf: off")  \
  X(INT, start_token, -1, -1, 2147483647, NULL, "id of the token that stands for the prompt; -1: the prompt's first") \
  X(BOOL, kl_in_warmup, 0, 0, 1, NULL, "the base's KL and entropy terms hold in the warm-up, too")                    \
  X(BOOL, renew_reference, 1, 0, 1, NULL, "where a reference is kept it becomes the policy when the warm-up ends")    \
  X(STRING, transitions, 0, 0, 0, "alternatively|but|however|another", "words that metric `transitions` counts")      \
  X(STRING, reflections, 0, 0, 0, "wait|check|verify|recheck|hmm", "words that metric `reflections` counts")

struct self {
  OPTIONS(OPTION_FIELD)
};
static const struct method_option options[] = {OPTIONS(OPTION_ROW)};
static const struct metric metrics[] = {
    {"phase", "", "0: warm-up, 1: both losses, 2: the base alone"},
    {"selected", "share", "of the responses with tokens: those that L_pre counts"},
    {"loss", "", "L_pre before coef, of the step's last mini-batch"},
    {"logp_right", "nats", "mean log-probability without the prompt over the tokens of responses above the mean"},
    {"logp_wrong", "nats", "the same below the mean"},
    {"transitions", "", "words a response that turn to another idea"},
    {"reflections", "", "words a response that look back"},
};

static enum prerl_phase phase_at(const struct self *o, int64_t number)
{
  const struct prerl_schedule s = {o->disable_step, o->warmup_only, o->pretrain_only};
  return prerl_phase_of(&s, number + 1);
}

static int declare(const void *options_of, struct needs *out, struct error *err)
{
  const struct self *o = options_of;
  (void)err;
  if (phase_at(o, 0) == PRERL_RL) return 0; /* from the first step on, and so for ever */
  out->flags |= NEED_SECOND_CONTEXT;
  out->second_policies[0] = "policy";
  out->second_each = out->second_prompt = 1;
  out->second_trained = true;
  if (o->renew_reference) out->flags |= NEED_RESET;
  return 0;
}

/* ---- the prompt-free context ------------------------------------------------------------------------------------- */

static int start_of(struct method_call *c, const struct step *s, int32_t group, int32_t *out, struct error *err)
{
  const struct self *o = c->self;
  int32_t segment = s->contexts[s->groups[group].context].segment, n = tree_path_length(s->tree, segment);
  int32_t *ids = ARENA_NEW(c->scratch, int32_t, (size_t)n + 1, "prerl_dsrl", err);
  *out = (int32_t)o->start_token;
  if (!ids || *out >= 0) return ids ? 0 : err->code;
  if (!n) FAIL(err, ERROR_INPUT, "prerl_dsrl found a prompt of no tokens; set start_token to a token's id");
  tree_path_ids(s->tree, segment, ids);
  *out = ids[0];
  return 0;
}

static int second(struct method_call *c, const struct step *s, struct second *out, struct error *err)
{
  if (phase_at(c->self, s->number) == PRERL_RL) return 0;
  for (int32_t g = 0; g < s->group_count; g++) {
    int32_t id, context;
    if (!s->groups[g].count) continue;
    TRY(start_of(c, s, g, &id, err));
    TRY(second_add_ids(out, g, &id, 1, &context, err));
    for (int32_t i = s->groups[g].first; i < s->groups[g].first + s->groups[g].count; i++)
      out->context[s->order[i]] = context;
  }
  return 0;
}

/* ---- losses ------------------------------------------------------------------------------------------------------ */

static void credit_group(const void *arg, const struct step *s, const int32_t *members, double *reward, int32_t n,
                         double *out)
{
  const struct self *o = arg;
  (void)s;
  (void)members;
  group_normalised(reward, n, true, o->pre_norm_std ? 1e-6 : -1, out);
}

/* A_pre of every path token. */
static double *pre_advantage(struct method_call *c, const struct step *s, struct error *err)
{
  double *a = ARENA_NEW(c->scratch, double, (size_t)s->path_count, "prerl_dsrl", err);
  return a && plain_by_group(c->scratch, s, credit_group, c->self, a, err) ? NULL : a;
}

/* The base's loss on the selected responses, times `factor`: nothing in the warm-up, but a broken number still shows.
 */
static int rl_loss(struct method_call *c, const struct minibatch *m, double factor, struct loss *out, struct error *err)
{
  const struct self *o = c->self;
  struct minibatch part = *m;
  double *counted = ARENA_NEW(c->scratch, double, 2 * (size_t)m->count, "prerl_dsrl", err);
  if (!counted) return err->code;
  part.counted = counted;
  part.weight = counted + m->count;
  for (int32_t i = 0; i < m->count; i++) {
    bool in = prerl_selected(m->advantage[i], o->negative_rl, o->positive_rl);
    part.counted[i] = in ? m->counted[i] : 0;
    part.weight[i] = in ? m->weight[i] : 0;
  }
  TRY(c->base->method->objective(c->base, &part, out, err));
  for (int32_t i = 0; i < m->count; i++) {
    out->loss[i] *= factor;
    out->coef[i] *= factor;
    if (out->entropy_coef) out->entropy_coef[i] *= factor;
    if (!(factor > 0)) out->clipped[i] = 0;
  }
  return 0;
}

static int pre_loss(struct method_call *c, const struct minibatch *m, struct loss *out, struct error *err)
{
  const struct self *o = c->self;
  size_t n = (size_t)m->count;
  const struct prerl_rule rule = {
      .negative = o->negative_pretrain,
      .positive = o->positive_pretrain,
      .bounds = {.low = o->pre_clip_low, .high = o->pre_clip_high, .dual = o->pre_clip_dual},
      .aggregation = (enum aggregation)o->pre_aggregation,
      .constant = m->step->max_new_tokens,
      .max_length = (int32_t)o->pre_max_length};
  const double *all = pre_advantage(c, m->step, err);
  double *room = ARENA_NEW(c->scratch, double, 5 * n, "prerl_dsrl", err), *advantage = room + 4 * n;
  int32_t *place = ARENA_NEW(c->scratch, int32_t, n, "prerl_dsrl", err);
  if (!all || !room || !place) return err->code;
  for (int32_t i = 0; i < m->count; i++) {
    advantage[i] = all[m->token[i]];
    place[i] = step_response_index(m->step, m->token[i]);
  }
  const struct prerl_tokens tokens = {advantage, m->second_logp, m->second_old, place};
  const struct prerl_result result = {room, room + n, room + 2 * n, room + 3 * n};
  method_report(c, "loss", prerl_loss(m, &rule, &tokens, &result));
  for (int32_t i = 0; i < m->count; i++) {
    out->loss[i] += o->coef * result.loss[i];
    out->second_coef[i] += o->coef * result.coef[i];
  }
  return 0;
}

static int objective(struct method_call *c, const struct minibatch *m, struct loss *out, struct error *err)
{
  enum prerl_phase phase = phase_at(c->self, m->step->number);
  TRY(rl_loss(c, m, phase == PRERL_WARMUP ? 0 : 1, out, err));
  return phase == PRERL_RL ? 0 : pre_loss(c, m, out, err);
}

/* ---- the step ---------------------------------------------------------------------------------------------------- */

static int report_context(struct method_call *c, const struct step *s, struct error *err)
{
  const struct self *o = c->self;
  const double *a = pre_advantage(c, s, err), *lq = scores_second_logp(s, "policy");
  double sum[2] = {0}, count[2] = {0}, responses = 0, selected = 0;
  if (!a) return err->code;
  for (int32_t i = 0; i < s->kept; i++) {
    const struct rollout *r = &s->rollouts[s->order[i]];
    responses += r->path_count > 0;
    selected += r->path_count && prerl_selected(a[r->path], o->negative_pretrain, o->positive_pretrain);
  }
  for (int32_t p = 0; p < s->path_count; p++) {
    if ((!(a[p] < 0) && !(a[p] > 0)) || math_is_nan(lq[p])) continue;
    sum[a[p] > 0] += lq[p];
    count[a[p] > 0]++;
  }
  method_report(c, "selected", responses > 0 ? selected / responses : 0);
  if (count[1] > 0) method_report(c, "logp_right", sum[1] / count[1]);
  if (count[0] > 0) method_report(c, "logp_wrong", sum[0] / count[0]);
  return 0;
}

/* The warm-up has no KL and no entropy bonus: the release leaves the reference out of it. */
static int updates(struct method_call *c, const struct step *s, struct update_list *out, struct error *err)
{
  const struct self *o = c->self;
  enum prerl_phase phase = phase_at(o, s->number);
  if (phase == PRERL_WARMUP) out->items[0].regularised = o->kl_in_warmup;
  method_report(c, "phase", phase);
  return phase == PRERL_RL ? 0 : report_context(c, s, err);
}

static int observe(struct method_call *c, const struct step *s, struct observation *out, struct error *err)
{
  const struct self *o = c->self;
  double words[2] = {0}, texts = 0;
  (void)err;
  for (int32_t i = 0; i < s->kept; i++) {
    const struct rollout *r = &s->rollouts[s->order[i]];
    if (!r->text) continue;
    texts++;
    words[0] += (double)thoughts_count(r->text, r->text_size, o->transitions);
    words[1] += (double)thoughts_count(r->text, r->text_size, o->reflections);
  }
  if (texts > 0) method_report(c, "transitions", words[0] / texts);
  if (texts > 0) method_report(c, "reflections", words[1] / texts);
  bool ends = phase_at(o, s->number) != PRERL_RL && phase_at(o, s->number + 1) == PRERL_RL;
  if (ends && o->renew_reference) out->reset_reference = true;
  return 0;
}

const struct method method_prerl_dsrl = {
    .name = "prerl_dsrl",
    .title = "PreRL and DSRL: reinforcement without the prompt, then with it",
    .paper = "arXiv 2604.14142; code Trae1ounG/Pretrain_Space_RLVR",
    .number = 63,
    .base = "grpo",
    .neutral = "disable_step=1",
    .needs = NEED_SECOND_CONTEXT | NEED_RESET,
    METHOD_OPTIONS(options),
    METHOD_METRICS(metrics),
    .declare = declare,
    .second = second,
    .updates = updates,
    .objective = objective,
    .observe = observe,
};
