/* Running the stages: one function each, called by train/step.c in the order of the line. Each checks what the hook
 * wrote, so that a wrong number has one author. */
#include <inttypes.h>
#include <string.h>

#include "core/math.h"
#include "method/method_set.h"
#include "method/part_clip.h"

/* One value per kept rollout or path token; the first that is not finite is named with its method and rollout. */
int method_bad_number(const struct step *s, const struct member *m, enum method_stage stage, int32_t rollout, double x,
                      struct error *err)
{
  char name[256];
  FAIL(err, ERROR_INPUT, "%s gives %s in stage '%s' for %s; expected a finite number; look at its rewards and options",
       m->call.method->name, math_is_nan(x) ? "NaN" : "an infinite number", method_stage_name(stage),
       step_rollout_name(s, rollout, name, sizeof name));
}

static int negative_factor(const struct member *m, enum method_stage stage, double x, struct error *err)
{
  FAIL(err, ERROR_INPUT, "%s gives a factor of %g in stage '%s'; a factor is >= 0; look at its options",
       m->call.method->name, x, method_stage_name(stage));
}

static int check_tokens(const struct step *s, const struct member *m, enum method_stage stage, const double *x,
                        double low, struct error *err)
{
  for (int32_t p = 0; p < s->path_count; p++) {
    if (!math_is_finite(x[p])) return method_bad_number(s, m, stage, s->path[p].rollout, x[p], err);
    if (x[p] < low) return negative_factor(m, stage, x[p], err);
  }
  return 0;
}

/* ---- second contexts -------------------------------------------------------------------------------------------- */

struct second_core {
  struct step *step;
  const struct second_renderer *renderer;
};

/* The second context of a group that has these tokens, so that answers share it; -1: none. */
static int32_t find_second(const struct step *s, int32_t group, const int32_t *ids, int32_t count)
{
  for (int32_t c = s->context_count - 1; c >= 0; c--) {
    const struct context *x = &s->contexts[c];
    const struct segment *segment = &s->tree->segments[x->segment];
    int32_t k = 0;
    if (x->group != group || strcmp(x->kind, "second") || segment->count != count) continue;
    while (k < count && segment->tokens[k].id == ids[k]) k++;
    if (k == count) return c;
  }
  return -1;
}

int second_add_ids(struct second *out, int32_t group, const int32_t *ids, int32_t count, int32_t *context,
                   struct error *err)
{
  struct step *s = ((struct second_core *)out->core)->step;
  int32_t segment;
  ASSAY_BUG_IF(group < 0 || group >= s->group_count);
  if (count < 1)
    FAIL(err, ERROR_INPUT, "a second context of no tokens; expected one at least, such as the start token");
  if ((*context = find_second(s, group, ids, count)) >= 0) return 0;
  TRY(tree_add_segment(s->tree, -1, SEGMENT_PROMPT, count, &segment, err));
  TRY(tree_append_ids(s->tree, segment, ids, count, 0, err));
  return step_add_context(s, group, "policy", "second", segment, context, err);
}

int second_add_text(struct second *out, int32_t group, const char *text, int32_t *context, struct error *err)
{
  const struct second_core *core = out->core;
  const int32_t *ids;
  int32_t count;
  TRY(core->renderer->render(core->renderer->arg, core->step, group, text, &ids, &count, err));
  *context = -1;
  core->step->second_too_long += !count;
  if (!count) return 0;
  return second_add_ids(out, group, ids, count, context, err);
}

int compose_second(struct composed *set, struct step *s, const struct second_renderer *r, struct error *err)
{
  struct second_core core = {.step = s, .renderer = r};
  struct second out = {.core = &core};
  if (!(set->needs.flags & NEED_SECOND_CONTEXT)) return 0;
  s->second = out.context = ARENA_NEW(s->arena, int32_t, (size_t)s->rollout_count, "second contexts", err);
  if (!out.context) return err->code;
  for (int32_t i = 0; i < s->rollout_count; i++) out.context[i] = -1;
  for (size_t i = 0; i < set->count; i++) {
    const struct member *m = set->table[i];
    if (m->needs.flags & NEED_SECOND_CONTEXT && m->call.method->second) METHOD_RUN(m, second, s, &out, err);
  }
  for (int32_t i = 0; i < s->rollout_count; i++)
    ASSAY_BUG_IF(out.context[i] < -1 || out.context[i] >= s->context_count);
  return 0;
}

int compose_shape(struct composed *set, struct step *s, struct error *err)
{
  const struct member *m = set->owner[STAGE_shape];
  struct shaping out = {.reward = s->reward};
  out.dense = ARENA_NEW(s->arena, double, (size_t)s->path_count, "step rewards", err);
  if (!out.dense) return err->code;
  memset(s->reward, 0, (size_t)s->rollout_count * sizeof *s->reward);
  METHOD_RUN(m, shape, s, &out, err);
  s->dense = out.uses_dense ? out.dense : NULL;
  for (int32_t i = 0; i < s->kept; i++) {
    double x = s->reward[s->order[i]];
    if (!math_is_finite(x)) return method_bad_number(s, m, STAGE_shape, s->order[i], x, err);
  }
  return check_tokens(s, m, STAGE_shape, out.dense, -__builtin_inf(), err);
}

/* Rollouts that the advantage drops leave every denominator: the step is gathered anew, and what was written for the
 * others moves along. */
static int drop_rollouts(struct step *s, const bool *drop, struct error *err)
{
  int32_t *first = ARENA_NEW(s->arena, int32_t, (size_t)s->rollout_count, "step drops", err);
  if (!first) return err->code;
  bool any = false;
  for (int32_t r = 0; r < s->rollout_count; r++) {
    first[r] = s->rollouts[r].path;
    any = any || (drop[r] && s->rollouts[r].kept);
    if (drop[r]) s->rollouts[r].kept = false;
  }
  if (!any) return 0;
  const double *advantage = s->advantage, *reward = s->reward, *dense = s->dense;
  TRY(step_gather(s, err));
  scores_move(s, first);
  if (dense && !(s->dense = ARENA_NEW(s->arena, double, (size_t)s->path_count, "step rewards", err))) return err->code;
  for (int32_t i = 0; i < s->kept; i++) {
    const struct rollout *r = &s->rollouts[s->order[i]];
    size_t bytes = (size_t)r->path_count * sizeof(double);
    s->reward[s->order[i]] = reward[s->order[i]];
    memcpy(s->advantage + r->path, advantage + first[s->order[i]], bytes);
    if (dense) memcpy(s->dense + r->path, dense + first[s->order[i]], bytes);
  }
  return 0;
}

int compose_advantage(struct composed *set, struct step *s, struct error *err)
{
  const struct member *m = set->owner[STAGE_advantage];
  struct credit out = {.advantage = s->advantage};
  if (set->needs.flags & NEED_VALUE &&
      !(out.value_target = s->value_target = ARENA_NEW(s->arena, double, (size_t)s->path_count, "step values", err)))
    return err->code;
  out.drop = ARENA_NEW(s->arena, bool, (size_t)s->rollout_count, "step drops", err);
  if (!out.drop) return err->code;
  memset(s->advantage, 0, (size_t)s->path_count * sizeof *s->advantage);
  METHOD_RUN(m, advantage, s, &out, err);
  TRY(check_tokens(s, m, STAGE_advantage, s->advantage, -__builtin_inf(), err));
  if (out.value_target) TRY(check_tokens(s, m, STAGE_advantage, out.value_target, -__builtin_inf(), err));
  return drop_rollouts(s, out.drop, err);
}

static double counted_by(enum denominator d, double factor)
{
  switch (d) {
    case COUNT_ALL:
      return 1.0;
    case COUNT_KEPT:
      return factor > 0 ? 1.0 : 0.0;
    case COUNT_FACTOR:
      return factor;
  }
  return 1.0;
}

int compose_weight(struct composed *set, struct step *s, struct error *err)
{
  size_t n = (size_t)s->path_count;
  for (size_t i = 0; i < set->count; i++) {
    const struct member *m = set->table[i];
    if (!member_has(m, STAGE_weight)) continue;
    struct factors out = {.factor = ARENA_NEW(s->arena, double, n, "step weights", err)};
    if (!out.factor) return err->code;
    for (size_t p = 0; p < n; p++) out.factor[p] = 1.0;
    METHOD_RUN(m, weight, s, &out, err);
    TRY(check_tokens(s, m, STAGE_weight, out.factor, 0, err));
    for (size_t p = 0; p < n; p++) {
      s->weight[p] *= out.factor[p];
      s->counted[p] *= counted_by(out.denominator, out.factor[p]);
    }
  }
  s->tokens = 0;
  s->sequences = 0;
  for (int32_t i = 0; i < s->kept; i++) {
    const struct rollout *r = &s->rollouts[s->order[i]];
    double own = 0;
    for (int32_t p = r->path; p < r->path + r->path_count; p++) own += s->counted[p];
    s->tokens += own;
    s->sequences += own > 0;
  }
  return 0;
}

int compose_weight_current(struct composed *set, struct minibatch *m, struct arena *a, struct error *err)
{
  size_t n = (size_t)m->count;
  for (size_t i = 0; i < set->count; i++) {
    const struct member *who = set->table[i];
    if (!member_has(who, STAGE_weight_current)) continue;
    struct factors out = {.factor = ARENA_NEW(a, double, n, "mini-batch weights", err)};
    if (!out.factor) return err->code;
    for (size_t k = 0; k < n; k++) out.factor[k] = 1.0;
    METHOD_RUN(who, weight_current, m, &out, err);
    for (int32_t k = 0; k < m->count; k++) {
      double f = out.factor[k];
      if (!math_is_finite(f)) {
        int32_t rollout = m->step->path[m->token[k]].rollout;
        return method_bad_number(m->step, who, STAGE_weight_current, rollout, f, err);
      }
      if (f < 0) return negative_factor(who, STAGE_weight_current, f, err);
      m->weight[k] *= f;
      m->counted[k] *= counted_by(out.denominator, f);
    }
  }
  return 0;
}

/* ---- mini-batches --------------------------------------------------------------------------------------------------
 */

static bool takes_part(const struct update *u, int32_t rollout)
{
  return !u->rollouts || u->rollouts[rollout];
}

/* The rollouts of a mini-batch: those that take part, of the groups that have any, from group number begin to before
 * end of these, in canonical order. */
static int choose_rollouts(const struct step *s, const struct update *u, struct minibatch *m, struct arena *a,
                           struct error *err)
{
  int64_t groups = 0, seen = -1;
  int32_t at = -1;
  int32_t *chosen = ARENA_NEW(a, int32_t, (size_t)s->kept, "mini-batch", err);
  if (!chosen) return err->code;
  for (int pass = 0; pass < 2; pass++, at = -1) {
    for (int32_t i = 0; i < s->kept; i++) {
      int32_t r = s->order[i];
      if (!takes_part(u, r)) continue;
      bool first = s->rollouts[r].group != at;
      at = s->rollouts[r].group;
      if (pass == 0) {
        groups += first;
        continue;
      }
      seen += first;
      if (seen >= groups * m->index / m->of && seen < groups * (m->index + 1) / m->of) chosen[m->rollout_count++] = r;
    }
  }
  m->rollouts = chosen;
  return 0;
}

static double *not_known(struct arena *a, int32_t n, struct error *err)
{
  double *x = ARENA_NEW(a, double, (size_t)n, "mini-batch", err);
  for (int32_t i = 0; x && i < n; i++) x[i] = __builtin_nan("");
  return x;
}

/* Sequences and tokens of the rollouts, one after the other. */
static int gather_tokens(const struct step *s, struct minibatch *m, struct arena *a, struct error *err)
{
  for (int32_t i = 0; i < m->rollout_count; i++) m->count += s->rollouts[m->rollouts[i]].path_count;
  size_t n = (size_t)m->count;
  int32_t *token = ARENA_NEW(a, int32_t, n, "mini-batch", err);
  struct minibatch_sequence *sequences =
      ARENA_NEW(a, struct minibatch_sequence, (size_t)m->rollout_count, "mini-batch", err);
  double *advantage = ARENA_NEW(a, double, n, "mini-batch", err), *weight = ARENA_NEW(a, double, n, "mini-batch", err);
  double *counted = ARENA_NEW(a, double, n, "mini-batch", err);
  m->old = ARENA_NEW(a, double, n, "mini-batch", err);
  m->logp = ARENA_NEW(a, double, n, "mini-batch", err);
  if (!token || !sequences || !advantage || !weight || !counted || !m->old || !m->logp) return err->code;
  int32_t at = 0;
  for (int32_t i = 0; i < m->rollout_count; i++) {
    const struct rollout *r = &s->rollouts[m->rollouts[i]];
    if (!r->path_count) continue;
    sequences[m->sequence_count++] = (struct minibatch_sequence){m->rollouts[i], at, r->path_count};
    for (int32_t p = r->path; p < r->path + r->path_count; p++, at++) {
      token[at] = p;
      advantage[at] = s->advantage[p];
      weight[at] = s->weight[p];
      counted[at] = s->counted[p];
      m->logp[at] = m->old[at] = (double)step_record(s, p)->logp;
    }
  }
  m->token = token;
  m->sequences = sequences;
  m->advantage = advantage;
  m->weight = weight;
  m->counted = counted;
  return 0;
}

static double *gather_one(const struct minibatch *m, const double *from, struct arena *a, struct error *err)
{
  double *x = ARENA_NEW(a, double, (size_t)m->count, "mini-batch", err);
  for (int32_t i = 0; x && i < m->count; i++) x[i] = from ? from[m->token[i]] : __builtin_nan("");
  return x;
}

/* Whether somebody reads the policy's own log-probabilities in second contexts. */
static bool reads_second(const struct needs *n)
{
  for (const char *const *name = n->second_policies; *name; name++)
    if (!strcmp(*name, "policy")) return n->flags & NEED_SECOND_CONTEXT;
  return false;
}

/* What needs put beside the tokens: the step's numbers, and the current ones as far as they are the step's. */
static int gather_scores(const struct composed *set, const struct step *s, struct minibatch *m, struct arena *a,
                         struct error *err)
{
  uint32_t needs = set->needs.flags;
  if (needs & NEED_VALUE) {
    m->value = gather_one(m, s->value, a, err);
    m->value_old = gather_one(m, s->value, a, err);
    m->value_target = gather_one(m, s->value_target, a, err);
    if (!m->value || !m->value_old || !m->value_target) return err->code;
  }
  if (reads_second(&set->needs)) {
    const double *old = s->scores ? scores_second_logp(s, "policy") : NULL;
    m->second_logp = gather_one(m, old, a, err);
    m->second_old = gather_one(m, old, a, err);
    if (!m->second_logp || !m->second_old) return err->code;
  }
  if (needs & NEED_SLOT) {
    double *slot = ARENA_NEW(a, double, (size_t)m->rollout_count, "mini-batch", err);
    if (!slot) return err->code;
    for (int32_t i = 0; i < m->rollout_count; i++)
      slot[i] = s->slot_logp ? s->slot_logp[m->rollouts[i]] : __builtin_nan("");
    m->slot_logp = slot;
  }
  return 0;
}

int compose_minibatch(struct composed *set, const struct step *s, const struct update *u, int32_t epoch, int32_t index,
                      struct arena *a, struct minibatch **out, struct error *err)
{
  ASSAY_BUG_IF(index < 0 || index >= u->minibatches);
  struct minibatch *m = ARENA_NEW(a, struct minibatch, 1, "mini-batch", err);
  if (!m) return err->code;
  *m = (struct minibatch){.step = s, .update = u, .epoch = epoch, .index = index, .of = u->minibatches};
  TRY(choose_rollouts(s, u, m, a, err));
  TRY(gather_tokens(s, m, a, err));
  if (set->needs.flags & NEED_ENTROPY && !(m->entropy = not_known(a, m->count, err))) return err->code;
  if (set->needs.flags & NEED_REFERENCE_LOGP && !(m->reference = not_known(a, m->count, err))) return err->code;
  TRY(gather_scores(set, s, m, a, err));
  *out = m;
  return 0;
}

/* ---- the loss --------------------------------------------------------------------------------------------------- */

static int make_loss(const struct composed *set, const struct minibatch *m, struct arena *a, struct loss *out,
                     struct error *err)
{
  size_t n = (size_t)m->count;
  *out = (struct loss){.loss = ARENA_NEW(a, double, n, "loss", err), .coef = ARENA_NEW(a, double, n, "loss", err)};
  out->clipped = ARENA_NEW(a, uint8_t, n, "loss", err);
  out->kl = ARENA_NEW(a, double, n, "loss", err);
  if (!out->loss || !out->coef || !out->clipped || !out->kl) return err->code;
  if (set->needs.flags & NEED_ENTROPY && !(out->entropy_coef = ARENA_NEW(a, double, n, "loss", err))) return err->code;
  if (set->needs.flags & NEED_VALUE && !(out->value_coef = ARENA_NEW(a, double, n, "loss", err))) return err->code;
  if (set->needs.flags & NEED_SECOND_CONTEXT && !(out->second_coef = ARENA_NEW(a, double, n, "loss", err)))
    return err->code;
  if (set->needs.flags & NEED_SLOT && !(out->slot_coef = ARENA_NEW(a, double, (size_t)m->rollout_count, "loss", err)))
    return err->code;
  out->arena = a;
  return 0;
}

static int check_loss(const struct minibatch *m, const struct member *who, enum method_stage stage,
                      const struct loss *l, struct error *err)
{
  for (int32_t i = 0; i < m->count; i++) {
    double x = math_is_finite(l->loss[i]) ? l->coef[i] : l->loss[i];
    if (math_is_finite(x) && l->entropy_coef) x = l->entropy_coef[i];
    if (math_is_finite(x) && l->value_coef) x = l->value_coef[i];
    if (math_is_finite(x) && l->second_coef) x = l->second_coef[i];
    if (math_is_finite(x) && l->row.scale) x = l->row.scale[i];
    if (!math_is_finite(x)) return method_bad_number(m->step, who, stage, m->step->path[m->token[i]].rollout, x, err);
  }
  for (int32_t i = 0; l->slot_coef && i < m->rollout_count; i++)
    if (!math_is_finite(l->slot_coef[i]))
      return method_bad_number(m->step, who, stage, m->rollouts[i], l->slot_coef[i], err);
  return 0;
}

/* Adds a part to the whole; returns its loss. */
static double add_loss(const struct minibatch *m, const struct member *who, const struct loss *part, double factor,
                       struct composed_loss *out)
{
  double sum = 0;
  if (part->row.scale)
    out->rows[out->row_count++] = (struct composed_row){.call = &who->call,
                                                        .term = part->row,
                                                        .factor = factor,
                                                        .sources = who->needs.row_sources,
                                                        .source_count = who->needs.row_source_count};
  for (int32_t i = 0; out->slot_coef && i < m->rollout_count; i++) out->slot_coef[i] += factor * part->slot_coef[i];
  for (int32_t i = 0; i < m->count; i++) {
    sum += factor * part->loss[i];
    out->coef[i] += factor * part->coef[i];
    if (out->entropy_coef) out->entropy_coef[i] += factor * part->entropy_coef[i];
    if (out->value_coef) out->value_coef[i] += factor * part->value_coef[i];
    if (out->second_coef) out->second_coef[i] += factor * part->second_coef[i];
  }
  return sum;
}

static double mean(const double *x, int32_t n)
{
  double sum = 0;
  for (int32_t i = 0; x && i < n; i++) sum += x[i];
  return x && n ? sum / n : __builtin_nan("");
}

static void measure(const struct minibatch *m, const struct loss *policy, struct composed_loss *out)
{
  int32_t clipped = 0, weighed = 0; /* tokens that a weight took out have no gradient to lose */
  out->ratio_min = out->ratio_max = m->count ? clip_ratio(m->logp[0], m->old[0]) : 1.0;
  for (int32_t i = 0; i < m->count; i++) {
    double r = clip_ratio(m->logp[i], m->old[i]);
    if (r < out->ratio_min) out->ratio_min = r;
    if (r > out->ratio_max) out->ratio_max = r;
    weighed += m->weight[i] > 0;
    clipped += policy->clipped[i] && m->weight[i] > 0;
  }
  out->clip = weighed ? (double)clipped / weighed : 0;
  out->entropy = mean(m->entropy, m->count);
}

/* The member that a call is of. */
static const struct member *member_of(const struct composed *set, const struct method_call *c)
{
  for (size_t i = 0; c && i < set->count; i++)
    if (set->members[i].call.method == c->method) return &set->members[i];
  ASSAY_BUG_IF(true); /* an update's loss names its method in `objective` */
  return NULL;
}

static int own_loss(const struct member *who, const struct minibatch *m, struct loss *out, struct error *err)
{
  struct arena_mark mark = arena_mark(who->call.scratch);
  struct method_call call = who->call;
  int rc = m->update->loss(&call, m, out, err);
  arena_release(who->call.scratch, mark);
  return rc ? error_context(err, "%s, update '%s'", call.method->name, m->update->name) : 0;
}

bool compose_coefficients_fixed(const struct composed *set, const struct update *u)
{
  if ((u && u->loss) || set->needs.flags || !set->owner[STAGE_objective]->call.method->fixed_coefficients) return false;
  for (size_t i = 0; i < set->count; i++) {
    const struct member *who = &set->members[i];
    if (member_has(who, STAGE_regularise) || member_has(who, STAGE_weight_current) || member_has(who, STAGE_extra))
      return false;
  }
  return true;
}

int compose_objective(struct composed *set, const struct minibatch *m, struct arena *a, struct composed_loss *out,
                      struct error *err)
{
  struct loss sums;
  *out = (struct composed_loss){.kl = __builtin_nan("")};
  TRY(make_loss(set, m, a, &sums, err));
  out->coef = sums.coef;
  out->entropy_coef = sums.entropy_coef;
  out->value_coef = sums.value_coef;
  out->second_coef = sums.second_coef;
  out->slot_coef = sums.slot_coef;
  out->rows = ARENA_NEW(a, struct composed_row, set->count + 1, "loss", err);
  if (!out->rows) return err->code;
  /* The policy loss, by its owner or by the update's own. */
  const struct member *owner = set->owner[STAGE_objective];
  struct loss policy;
  TRY(make_loss(set, m, a, &policy, err));
  if (m->update->loss) {
    owner = member_of(set, m->update->objective);
    TRY(own_loss(owner, m, &policy, err));
  } else {
    METHOD_RUN(owner, objective, m, &policy, err);
  }
  TRY(check_loss(m, owner, STAGE_objective, &policy, err));
  out->policy_loss = add_loss(m, owner, &policy, m->update->factor, out);
  /* What else is in the loss, in table order. */
  for (size_t i = 0; m->update->regularised && i < set->count; i++) {
    const struct member *who = set->table[i];
    if (!member_has(who, STAGE_regularise)) continue;
    struct loss part;
    TRY(make_loss(set, m, a, &part, err));
    METHOD_RUN(who, regularise, m, &part, err);
    TRY(check_loss(m, who, STAGE_regularise, &part, err));
    out->regulariser_loss += add_loss(m, who, &part, 1.0, out);
    if (part.uses_kl) out->kl = mean(part.kl, m->count);
  }
  out->loss = out->policy_loss + out->regulariser_loss;
  measure(m, &policy, out);
  return 0;
}

int compose_observe(struct composed *set, const struct step *s, struct observation *seen, struct error *err)
{
  for (size_t i = 0; i < set->count; i++) {
    const struct member *m = set->table[i];
    if (member_has(m, STAGE_observe)) METHOD_RUN(m, observe, s, seen, err);
  }
  ASSAY_BUG_IF((seen->reset_reference || seen->reset_optimiser) && !(set->needs.flags & NEED_RESET));
  return 0;
}
