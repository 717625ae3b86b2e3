#include "train/update.h"

#include <string.h>

#include "train/row_terms.h"
#include "train/score.h"
#include "train/token_pass.h"

static double nan64(void)
{
  return (double)__builtin_nanf("");
}

struct work {
  struct composed *methods;
  struct step *step;
  struct policies *policies;
  struct trainer *policy;
  const struct needs *needs;
  const struct update_options *options;
  struct update_result *result;
  double **old; /* [updates] log-probabilities scored at the step's start, [path_count of the batch]; or NULL */
};

/* Scores the rollouts marked in `which` and checks them. */
static int check_by_scoring(struct work *w, const bool *which, struct error *err)
{
  struct step *s = w->step;
  struct arena *a = s->arena;
  struct batch_path *paths = ARENA_NEW(a, struct batch_path, (size_t)s->rollout_count, "update", err);
  struct batch *b;
  int32_t n = 0;
  if (!paths) return err->code;
  for (int32_t i = 0; i < s->rollout_count; i++)
    if (which[i]) paths[n++].leaf = s->rollouts[i].leaf;
  if (!n) return 0;
  TRY(trainer_batch(w->policy, a, s->tree, paths, n, &b, err));
  double *logp = ARENA_NEW(a, double, (size_t)b->target_count, "update", err);
  if (!logp) return err->code;
  TRY(trainer_score(w->policy, a, b, s->temperature, logp, NULL, err));
  for (int32_t i = 0; i < s->rollout_count; i++)
    if (which[i]) records_compare(s, i, b, logp, &w->policies->law);
  return 0;
}

static bool comparable(struct work *w, int32_t rollout)
{
  return records_comparable(w->step, rollout, w->policy->weight_version, &w->policies->law);
}

static bool checked_before(const struct step *s, int32_t rollout)
{
  return s->scores && s->scores->checked && s->scores->checked[rollout];
}

/* ---- the current policy ----------------------------------------------------------------------------------------- */

/* Whether the records of a mini-batch were written by the weights as they are. */
static bool records_are_current(const struct work *w, const struct minibatch *m)
{
  const struct step *s = m->step;
  bool same = true;
  for (int32_t i = 0; i < m->rollout_count; i++)
    same = same && s->tree->segments[s->rollouts[m->rollouts[i]].leaf].weight_version == w->policy->weight_version;
  return same;
}

static struct token_pass pass_of(const struct work *w, const struct minibatch *m)
{
  return (struct token_pass){.trainer = w->policy,
                             .step = m->step,
                             .rollouts = m->rollouts,
                             .rollout_count = m->rollout_count,
                             .token = m->token,
                             .count = m->count,
                             .trained = true};
}

/* The states of some tokens among those that a step's pass read. */
static int pick_states(const struct minibatch *m, const struct policy_scores *from, struct arena *a,
                       struct term_source *out, struct error *err)
{
  int32_t *before = ARENA_NEW(a, int32_t, (size_t)m->count, "update", err);
  if (!before) return err->code;
  for (int32_t i = 0; i < m->count; i++) before[i] = from->before[m->token[i]];
  out->states = &from->states;
  out->before = before;
  return 0;
}

static int take_records(struct minibatch *m, struct term_source *own, struct arena *a, struct error *err)
{
  for (int32_t i = 0; i < m->count; i++) {
    const struct token_record *r = step_record(m->step, m->token[i]);
    m->logp[i] = (double)r->logp;
    if (m->entropy) m->entropy[i] = (double)r->entropy;
  }
  const struct policy_scores *scores = scores_find(m->step, "policy", false);
  return scores && scores->before ? pick_states(m, scores, a, own, err) : 0;
}

static int read_current(struct work *w, struct minibatch *m, struct term_source *own, struct arena *a,
                        struct error *err)
{
  struct token_pass pass = pass_of(w, m);
  struct states *states = ARENA_NEW(a, struct states, 1, "update", err);
  int32_t *before = ARENA_NEW(a, int32_t, (size_t)m->count, "update", err);
  int32_t *layers = ARENA_NEW(a, int32_t, NEEDS_NAMED + 1, "update", err);
  if (!states || !before || !layers) return err->code;
  pass.second = m->second_logp != NULL;
  pass.slots = m->slot_logp != NULL;
  struct token_want want = {.logp = m->logp,
                            .entropy = m->entropy,
                            .second_logp = m->second_logp,
                            .slot_logp = m->slot_logp,
                            .layers = layers,
                            .states = states,
                            .before = before};
  bool with_last = w->needs->flags & NEED_VALUE || score_has_source(w->needs, "policy", false);
  if (w->needs->flags & NEED_CURRENT_HIDDEN || with_last) {
    struct needs hidden = *w->needs;
    if (!(hidden.flags & NEED_CURRENT_HIDDEN)) hidden.hidden_count = 0;
    TRY(score_layers(&hidden, w->policy->model->config.layers, with_last, layers, &want.layer_count, err));
  }
  TRY(token_pass_open(&pass, a, err));
  TRY(token_pass_read(&pass, a, w->step->temperature, &want, err));
  own->states = states;
  own->before = before;
  return 0;
}

/* Log-probabilities, states and values under the weights as they are: the step's own numbers while these are the
 * sampler's, otherwise by a scoring pass. */
static int current(struct work *w, struct minibatch *m, struct term_source *own, struct arena *a, struct error *err)
{
  bool same = records_are_current(w, m);
  TRY(same ? take_records(m, own, a, err) : read_current(w, m, own, a, err));
  m->hidden = own->states;
  m->before = own->before;
  for (int32_t i = 0; m->value && i < m->count; i++)
    m->value[i] = value_at(w->policies->value, states_row(own->states, LAYER_LAST, own->before[i]));
  return 0;
}

/* The policy's own rows in second contexts, as they are now. */
static int current_second(struct work *w, const struct minibatch *m, struct term_source *out, struct arena *a,
                          struct error *err)
{
  if (records_are_current(w, m)) return pick_states(m, scores_find(m->step, "policy", true), a, out, err);
  struct token_pass pass = pass_of(w, m);
  struct states *states = ARENA_NEW(a, struct states, 1, "update", err);
  int32_t *before = ARENA_NEW(a, int32_t, (size_t)m->count, "update", err);
  int32_t *last = ARENA_NEW(a, int32_t, 1, "update", err);
  if (!states || !before || !last) return err->code;
  *last = LAYER_LAST;
  pass.trained = false;
  pass.second = true;
  struct token_want want = {.layer_count = 1, .layers = last, .of_second = true, .states = states, .before = before};
  TRY(token_pass_open(&pass, a, err));
  TRY(token_pass_read(&pass, a, w->step->temperature, &want, err));
  out->states = states;
  out->before = before;
  return 0;
}

static int find_sources(struct work *w, const struct minibatch *m, const struct term_source *own, struct arena *a,
                        struct row_terms *terms, struct error *err)
{
  terms->source_count = w->needs->row_source_count;
  for (int32_t i = 0; i < terms->source_count; i++) {
    const struct row_source *source = &w->needs->row_sources[i];
    bool policy = !strcmp(source->policy, "policy");
    terms->sources[i] = *own;
    if (policy && source->second) TRY(current_second(w, m, &terms->sources[i], a, err));
    if (!policy) TRY(pick_states(m, scores_find(m->step, source->policy, source->second), a, &terms->sources[i], err));
    terms->sources[i].reader = w->policies->readers[i];
  }
  return 0;
}

/* Auxiliary sequences with their current log-probabilities: the records while the weights are those that scored them.
 */
static int open_extra(struct work *w, const struct minibatch *m, struct auxiliary *x, struct arena *a,
                      struct error *err)
{
  const struct tree *t = m->step->tree;
  bool current = true;
  TRY(compose_extra(w->methods, m, x, err));
  x->scored = true;
  if (!x->count) return 0;
  struct batch_path *paths = ARENA_NEW(a, struct batch_path, (size_t)x->count, "update", err);
  if (!paths) return err->code;
  for (int32_t i = 0; i < x->count; i++) {
    paths[i].leaf = x->sequences[i].segment;
    current = current && t->segments[paths[i].leaf].weight_version == w->policy->weight_version;
  }
  struct batch *b;
  TRY(trainer_batch(w->policy, a, t, paths, x->count, &b, err));
  double *logp = ARENA_NEW(a, double, (size_t)b->target_count, "update", err);
  if (!logp) return err->code;
  if (!current) TRY(trainer_score(w->policy, a, b, w->step->temperature, logp, NULL, err));
  for (int32_t i = 0; i < x->count; i++) {
    const struct auxiliary_sequence *q = &x->sequences[i];
    for (int32_t k = q->begin; k < q->end; k++)
      q->logp[k - q->begin] =
          current ? (double)t->segments[q->segment].tokens[k].logp : logp[batch_target(b, q->segment, k)];
  }
  return 0;
}

/* ---- one mini-batch --------------------------------------------------------------------------------------------- */

static bool any(const double *x, int32_t n)
{
  for (int32_t i = 0; x && i < n; i++)
    if (x[i] < 0 || x[i] > 0) return true;
  return false;
}

/* A token on several paths gets the sum of its coefficients, in double. */
static void add_targets(const int32_t *target, int32_t count, const double *coef, double *sum)
{
  for (int32_t i = 0; coef && i < count; i++)
    if (target[i] >= 0) sum[target[i]] += coef[i];
}

static void add_up(struct update_result *r, const struct composed_loss *l, const struct minibatch *m, double norm)
{
  r->updates++;
  r->tokens_trained += m->count;
  r->loss += l->loss;
  r->kl += l->kl;
  r->clip += l->clip;
  r->entropy += l->entropy;
  r->grad_norm += norm;
  if (r->updates == 1 || l->ratio_min < r->ratio_min) r->ratio_min = l->ratio_min;
  if (r->updates == 1 || l->ratio_max > r->ratio_max) r->ratio_max = l->ratio_max;
}

static void add_extra(const struct auxiliary *x, const struct batch *b, double *coef)
{
  for (int32_t i = 0; i < x->count; i++) {
    const struct auxiliary_sequence *q = &x->sequences[i];
    for (int32_t k = q->begin; k < q->end; k++) coef[batch_target(b, q->segment, k)] += q->coef[k - q->begin];
  }
}

/* Coefficients by target: of log-probabilities in both contexts and slots, of entropies, of values. */
static int make_gradient(struct work *w, const struct minibatch *m, const struct composed_loss *loss,
                         const struct auxiliary *x, const struct token_pass *pass, struct arena *a,
                         struct trainer_gradient *out, struct error *err)
{
  size_t n = (size_t)pass->batch->target_count;
  double *coef = ARENA_NEW(a, double, n, "update", err), *entropy = ARENA_NEW(a, double, n, "update", err);
  double *state = ARENA_NEW(a, double, n, "update", err);
  if (!coef || !entropy || !state) return err->code;
  add_targets(pass->target, m->count, loss->coef, coef);
  add_targets(pass->second_target, m->count, loss->second_coef, coef);
  add_targets(pass->slot_target, m->rollout_count, loss->slot_coef, coef);
  add_extra(x, pass->batch, coef);
  add_targets(pass->target, m->count, loss->entropy_coef, entropy);
  add_targets(pass->target, m->count, loss->value_coef, state);
  out->coef = coef;
  out->entropy_coef = loss->entropy_coef ? entropy : NULL;
  out->state_coef = state;
  if (loss->value_coef && w->needs->value.backprop) out->direction = w->policies->value->net->w;
  return 0;
}

static int backward(struct work *w, struct minibatch *m, struct composed_loss *loss, const struct auxiliary *x,
                    const struct term_source *own, bool check, struct arena *a, struct error *err)
{
  struct token_pass pass = pass_of(w, m);
  struct trainer_gradient in = {0};
  struct row_terms terms = {0};
  pass.second = any(loss->second_coef, m->count);
  pass.slots = any(loss->slot_coef, m->rollout_count);
  pass.extra = x;
  TRY(token_pass_open(&pass, a, err));
  TRY(make_gradient(w, m, loss, x, &pass, a, &in, err));
  if (loss->row_count) {
    TRY(find_sources(w, m, own, a, &terms, err));
    TRY(row_terms_open(&terms, a, w->needs, m, loss, &pass, err));
    in.rows = &terms.rows;
  }
  double *logp = ARENA_NEW(a, double, (size_t)pass.batch->target_count, "update", err);
  if (!logp) return err->code;
  TRY(trainer_differentiate(w->policy, a, pass.batch, w->step->temperature, &in, logp, NULL, err));
  if (loss->row_count) TRY(row_terms_finish(&terms, loss, err));
  for (int32_t i = 0; i < m->count; i++)
    if (pass.target[i] >= 0) m->logp[i] = logp[pass.target[i]];
  for (int32_t i = 0; check && i < m->rollout_count; i++)
    if (!checked_before(w->step, m->rollouts[i]) && comparable(w, m->rollouts[i]))
      records_compare(w->step, m->rollouts[i], pass.batch, logp, &w->policies->law);
  return 0;
}

static int train_value(struct work *w, const struct minibatch *m, const struct composed_loss *loss,
                       const struct term_source *own, struct error *err)
{
  struct value_head *v = w->policies->value;
  if (!loss->value_coef) return 0;
  for (int32_t i = 0; i < m->count; i++)
    value_add_gradient(v, states_row(own->states, LAYER_LAST, own->before[i]), loss->value_coef[i]);
  return value_update(v, err);
}

/* Coefficients, gradients, AdamW. check: the weights are the sampler's and nobody has compared these rollouts yet. */
static int train_minibatch(struct work *w, struct minibatch *m, bool check, struct arena *a, struct error *err)
{
  struct auxiliary x = {.arena = a};
  struct composed_loss loss;
  struct term_source own = {0};
  double norm;
  if (compose_has_extra(w->methods, m->update)) TRY(open_extra(w, m, &x, a, err));
  bool fixed = compose_coefficients_fixed(w->methods, m->update) && !records_are_current(w, m);
  if (fixed)
    memset(m->logp, 0, (size_t)m->count * sizeof *m->logp);  // the backward's own forward will tell
  else
    TRY(current(w, m, &own, a, err));
  TRY(compose_weight_current(w->methods, m, a, err));
  TRY(compose_objective(w->methods, m, a, &loss, err));
  if (x.count) TRY(compose_extra(w->methods, m, &x, err));
  loss.loss += x.loss;
  TRY(backward(w, m, &loss, &x, &own, check, a, err));
  if (fixed) TRY(compose_objective(w->methods, m, a, &loss, err));
  // weights do not move on gradients that law 1 does not vouch for
  if (w->policies->law.mismatch) return 0;
  if (w->options->before_move) TRY(w->options->before_move(w->options->arg, err));
  TRY(train_value(w, m, &loss, &own, err));
  TRY(trainer_update(w->policy, &w->options->optimiser, w->options->lr * m->update->lr, &norm, err));
  add_up(w->result, &loss, m, norm);
  return 0;
}

/* ---- the step --------------------------------------------------------------------------------------------------- */

/* The step's only move is on its own rollouts. */
static bool moves_once(const struct update_list *list)
{
  int moves = 0;
  bool own = true;
  for (int32_t i = 0; i < list->count; i++) {
    if (!list->items[i].on) continue;
    moves += list->items[i].epochs * list->items[i].minibatches;
    own = own && list->items[i].batch == list->step;
  }
  return moves <= 1 && own;
}

/* Log-probabilities of all path tokens of a batch under the weights as they are, [path_count]. */
static int score_batch(struct work *w, const struct step *s, double **out, struct error *err)
{
  struct arena *a = w->step->arena;
  struct token_pass pass = {.trainer = w->policy,
                            .step = s,
                            .rollouts = s->order,
                            .rollout_count = s->kept,
                            .count = s->path_count,
                            .trained = true};
  struct token_want want = {.logp = *out = ARENA_NEW(a, double, (size_t)s->path_count, "update", err)};
  if (!*out) return err->code;
  TRY(token_pass_open(&pass, a, err));
  return token_pass_read(&pass, a, s->temperature, &want, err);
}

/* Before any weight moves: old log-probabilities that are not the records, what needs ask beside earlier rollouts, and
 * what law 1 cannot compare. */
static int open_updates(struct work *w, const struct update_list *list, struct error *err)
{
  w->old = ARENA_NEW(w->step->arena, double *, (size_t)list->count, "update", err);
  if (!w->old) return err->code;
  for (int32_t i = 0; i < list->count; i++) {
    const struct update *u = &list->items[i];
    if (!u->on || !u->batch->kept) continue;
    if (u->old == OLD_SCORED) TRY(score_batch(w, u->batch, &w->old[i], err));
    if (u->batch == w->step) continue;
    if (!u->batch->scores) TRY(score_step(w->methods, (struct step *)u->batch, w->policies, NULL, err));
    for (int32_t k = 0; k < u->batch->kept; k++) {
      int32_t r = u->batch->order[k];
      if (u->rollouts && !u->rollouts[r]) continue;
      if (records_comparable(u->batch, r, w->policy->weight_version, &w->policies->law))
        w->policies->law.skipped_stale += u->batch->rollouts[r].length;
    }
  }
  return 0;
}

/* Rollouts that the main update will not see: scored, so that every fresh token is checked once. */
static int check_the_rest(struct work *w, const bool *done, struct error *err)
{
  struct step *s = w->step;
  bool *which = ARENA_NEW(s->arena, bool, (size_t)s->rollout_count, "update", err);
  if (!which) return err->code;
  for (int32_t i = 0; i < s->rollout_count; i++)
    which[i] = s->rollouts[i].leaf >= 0 && !(done && done[i]) && !checked_before(s, i) && comparable(w, i);
  return check_by_scoring(w, which, err);
}

static int run_update(struct work *w, const struct update *u, const double *old, bool once, struct error *err)
{
  struct arena *a = w->step->arena;
  for (int32_t epoch = 0; epoch < u->epochs && !w->policies->law.mismatch; epoch++) {
    for (int32_t i = 0; i < u->minibatches && !w->policies->law.mismatch; i++) {
      struct arena_mark mark = arena_mark(a);
      struct minibatch *m;
      TRY(compose_minibatch(w->methods, u->batch, u, epoch, i, a, &m, err));
      for (int32_t k = 0; old && k < m->count; k++) m->old[k] = old[m->token[k]];
      for (int32_t k = 0; m->reference && k < m->count; k++) m->reference[k] = u->batch->reference[m->token[k]];
      if (m->count) TRY(train_minibatch(w, m, once, a, err));
      arena_release(a, mark);
    }
  }
  return 0;
}

static void finish(struct work *w)
{
  struct update_result *r = w->result;
  const struct record_check *law = &w->policies->law;
  double n = r->updates ? r->updates : nan64();
  r->loss /= n;
  r->kl /= n;
  r->clip /= n;
  r->entropy /= n;
  r->grad_norm /= n;
  if (!r->updates) r->ratio_min = r->ratio_max = nan64();
  r->mismatch = law->mismatch;
  r->mismatch_of = law->mismatch_of;
  r->skipped_stale = law->skipped_stale;
  r->skipped_context = law->skipped_context;
  r->skipped_imported = law->skipped_imported;
  memcpy(r->first_mismatch, law->first_mismatch, sizeof r->first_mismatch);
}

int update_step(struct composed *methods, struct step *s, struct policies *p, const struct update_options *o,
                struct update_result *out, struct error *err)
{
  *out = (struct update_result){0};
  struct work w = {.methods = methods,
                   .step = s,
                   .policies = p,
                   .policy = p->policy,
                   .needs = compose_needs(methods),
                   .options = o,
                   .result = out};
  struct update_list list = {0};
  bool *done = ARENA_NEW(s->arena, bool, (size_t)s->rollout_count, "update", err);
  if (!done) return err->code;
  TRY(compose_updates(methods, s, &list, err));
  bool once = moves_once(&list);
  TRY(open_updates(&w, &list, err));
  // once: what the main update leaves out is scored before it moves the weights; the update itself checks the rest
  if (once) {
    struct update *main_update = NULL;
    for (int32_t i = 0; i < list.count; i++)
      if (list.items[i].on) main_update = &list.items[i];
    if (main_update) {
      struct minibatch *m;
      TRY(compose_minibatch(methods, s, main_update, 0, 0, s->arena, &m, err));
      for (int32_t k = 0; m->count && k < m->rollout_count; k++) done[m->rollouts[k]] = true;
    }
    TRY(check_the_rest(&w, done, err));
  } else {
    TRY(check_the_rest(&w, NULL, err));
  }
  for (int32_t k = 0; k < 2 * list.count && !p->law.mismatch; k++) {
    const struct update *u = &list.items[k % list.count];
    if (u->on && u->first == (k < list.count)) TRY(run_update(&w, u, w.old[k % list.count], once, err));
  }
  finish(&w);
  return 0;
}
