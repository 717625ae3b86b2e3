#include "train/update.h"

#include <inttypes.h>
#include <string.h>

static double nan64(void)
{
  return (double)__builtin_nanf("");
}

struct work {
  struct composed *methods;
  struct step *step;
  struct trainer *policy, *reference;
  const struct update_options *options;
  struct update_result *result;
  double *reference_logp; /* [path_count] of the step */
  double **old; /* [updates] log-probabilities scored at the step's start, [path_count of the batch]; or NULL */
};

/* ---- law 1 ---------------------------------------------------------------------------------------------------------
 */

static bool same_bits(float a, float b)
{
  uint32_t x, y;
  memcpy(&x, &a, sizeof x);
  memcpy(&y, &b, sizeof y);
  return x == y;
}

/* Compares what was computed for a rollout's own tokens with the sampler's records. */
static void check_rollout(struct work *w, int32_t rollout, const struct batch *b, const double *logp)
{
  const struct rollout *r = &w->step->rollouts[rollout];
  const struct tree *t = w->step->tree;
  for (int32_t s = r->leaf; s >= 0; s = t->segments[s].parent) {
    if (t->segments[s].kind == SEGMENT_PROMPT || b->target_base[s] < 0) continue;
    for (int32_t i = 0; i < t->segments[s].count; i++) {
      int32_t target = batch_target(b, s, i);
      const struct token_record *record = &t->segments[s].tokens[i];
      if (!b->wanted[target]) continue;
      w->result->mismatch_of++;
      if (same_bits(record->logp, (float)logp[target])) continue;
      char name[128];
      if (!w->result->mismatch++)
        snprintf(w->result->first_mismatch, sizeof w->result->first_mismatch,
                 "%s, token %" PRId32 ": sampled with logp %.9g, computed again as %.9g",
                 step_rollout_name(w->step, rollout, name, sizeof name), i, (double)record->logp, logp[target]);
    }
  }
}

static int64_t own_tokens(const struct step *s, const struct rollout *r)
{
  int64_t n = 0;
  const struct segment *leaf = &s->tree->segments[r->leaf];
  for (int32_t i = 0; i < leaf->count; i++) n += (leaf->tokens[i].flags & TOKEN_OWN) != 0;
  return n;
}

/* Whether a rollout's records can be compared with the weights as they are; counts it by reason where not. */
static bool comparable(struct work *w, const struct step *s, const struct rollout *r)
{
  int64_t version = s->tree->segments[r->leaf].weight_version;
  if (version < 0)
    w->result->skipped_imported += own_tokens(s, r);
  else if (version != w->policy->weight_version)
    w->result->skipped_stale += own_tokens(s, r);
  else if (r->generating != r->training)
    w->result->skipped_context += own_tokens(s, r);
  else
    return true;
  return false;
}

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
    if (which[i]) check_rollout(w, i, b, logp);
  return 0;
}

/* ---- one mini-batch --------------------------------------------------------------------------------------------- */

/* Sequences behind a rollout's path stand in for it: they contain it. */
static int32_t add_paths(const struct tree *t, int32_t leaf, const struct auxiliary *x, bool *placed,
                         struct batch_path *out)
{
  int32_t n = 0;
  for (int32_t i = 0; x && i < x->count; i++) {
    if (placed[i] || t->segments[x->sequences[i].segment].parent != leaf) continue;
    placed[i] = true;
    out[n++].leaf = x->sequences[i].segment;
  }
  if (!n) out[n++].leaf = leaf;
  return n;
}

/* The paths of a mini-batch and of its auxiliary sequences (NULL: none). */
static int minibatch_batch(const struct minibatch *m, const struct auxiliary *x, const struct trainer *t,
                           struct arena *a, struct batch **out, struct error *err)
{
  const struct step *s = m->step;
  int32_t n = x ? x->count : 0;
  bool *placed = ARENA_NEW(a, bool, (size_t)n, "update", err);
  for (int32_t i = 0; i < m->rollout_count; i++) n += s->rollouts[m->rollouts[i]].row_count;
  struct batch_path *paths = ARENA_NEW(a, struct batch_path, (size_t)n, "update", err);
  if (!paths || !placed) return err->code;
  n = 0;
  for (int32_t i = 0; i < m->rollout_count; i++) {
    const struct rollout *r = &s->rollouts[m->rollouts[i]];
    for (int32_t k = 0; k < r->row_count; k++) n += add_paths(s->tree, r->rows[k].leaf, x, placed, paths + n);
  }
  for (int32_t i = 0; x && i < x->count; i++)
    if (!placed[i]) paths[n++].leaf = x->sequences[i].segment;
  return trainer_batch(t, a, s->tree, paths, n, out, err);
}

static int32_t target_of(const struct step *s, const struct batch *b, int32_t path_token)
{
  const struct path_token *p = &s->path[path_token];
  return batch_target(b, p->segment, p->index);
}

/* Whether the records of a mini-batch were written by the weights as they are. */
static bool records_are_current(const struct work *w, const struct minibatch *m)
{
  const struct step *s = m->step;
  bool same = true;
  for (int32_t i = 0; i < m->rollout_count; i++)
    same = same && s->tree->segments[s->rollouts[m->rollouts[i]].leaf].weight_version == w->policy->weight_version;
  return same;
}

/* The current policy's log-probabilities: the records while the weights are the sampler's, otherwise by a scoring pass.
 */
static int current(struct work *w, struct minibatch *m, const struct batch *b, struct arena *a, struct error *err)
{
  if (records_are_current(w, m)) {
    for (int32_t i = 0; i < m->count; i++) {
      const struct token_record *r = step_record(m->step, m->token[i]);
      m->logp[i] = (double)r->logp;
      if (m->entropy) m->entropy[i] = (double)r->entropy;
    }
    return 0;
  }
  double *logp = ARENA_NEW(a, double, (size_t)b->target_count, "update", err),
         *entropy = ARENA_NEW(a, double, (size_t)b->target_count, "update", err);
  if (!logp || !entropy) return err->code;
  TRY(trainer_score(w->policy, a, b, w->step->temperature, logp, entropy, err));
  for (int32_t i = 0; i < m->count; i++) {
    m->logp[i] = logp[target_of(m->step, b, m->token[i])];
    if (m->entropy) m->entropy[i] = entropy[target_of(m->step, b, m->token[i])];
  }
  return 0;
}

/* A token on several paths gets the sum of its coefficients, in double. */
static double *to_targets(const struct minibatch *m, const struct batch *b, const double *coef, struct arena *a,
                          struct error *err)
{
  double *sum = ARENA_NEW(a, double, (size_t)b->target_count, "update", err);
  for (int32_t i = 0; sum && i < m->count; i++) sum[target_of(m->step, b, m->token[i])] += coef[i];
  return sum;
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

/* What backward needs: coefficients per target of the batch. */
struct gradients {
  struct batch *batch;
  double *coef, *entropy_coef, *logp;
};

static int sum_coefficients(const struct minibatch *m, const struct composed_loss *loss, const struct auxiliary *x,
                            struct arena *a, struct gradients *g, struct error *err)
{
  g->coef = to_targets(m, g->batch, loss->coef, a, err);
  g->logp = ARENA_NEW(a, double, (size_t)g->batch->target_count, "update", err);
  g->entropy_coef = g->coef && loss->entropy_coef ? to_targets(m, g->batch, loss->entropy_coef, a, err) : NULL;
  if (!g->coef || !g->logp || (loss->entropy_coef && !g->entropy_coef)) return err->code;
  for (int32_t i = 0; i < x->count; i++) {
    const struct auxiliary_sequence *q = &x->sequences[i];
    for (int32_t k = q->begin; k < q->end; k++) g->coef[batch_target(g->batch, q->segment, k)] += q->coef[k - q->begin];
  }
  return 0;
}

/* Coefficients, gradients, AdamW. check: the weights are the sampler's and nobody has compared these rollouts yet. */
static int train_minibatch(struct work *w, struct minibatch *m, bool check, struct arena *a, struct error *err)
{
  struct auxiliary x = {.arena = a};
  struct composed_loss loss;
  struct gradients g;
  double norm;
  if (compose_has_extra(w->methods, m->update)) TRY(open_extra(w, m, &x, a, err));
  TRY(minibatch_batch(m, &x, w->policy, a, &g.batch, err));
  TRY(current(w, m, g.batch, a, err));
  TRY(compose_weight_current(w->methods, m, a, err));
  TRY(compose_objective(w->methods, m, a, &loss, err));
  if (x.count) TRY(compose_extra(w->methods, m, &x, err));
  loss.loss += x.loss;
  TRY(sum_coefficients(m, &loss, &x, a, &g, err));
  TRY(trainer_backward(w->policy, a, g.batch, w->step->temperature, g.coef, g.entropy_coef, g.logp, NULL, err));
  for (int32_t i = 0; check && i < m->rollout_count; i++)
    if (comparable(w, w->step, &w->step->rollouts[m->rollouts[i]])) check_rollout(w, m->rollouts[i], g.batch, g.logp);
  // weights do not move on gradients that law 1 does not vouch for
  if (w->result->mismatch) return 0;
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

/* Log-probabilities of all path tokens of a batch under t's weights, [path_count]. */
static int score_batch(struct work *w, const struct step *s, struct trainer *t, double **out, struct error *err)
{
  struct arena *a = w->step->arena;
  struct minibatch all = {.step = s, .rollouts = s->order, .rollout_count = s->kept};
  struct batch *b;
  TRY(minibatch_batch(&all, NULL, t, a, &b, err));
  double *logp = ARENA_NEW(a, double, (size_t)b->target_count, "update", err);
  *out = ARENA_NEW(a, double, (size_t)s->path_count, "update", err);
  if (!logp || !*out) return err->code;
  TRY(trainer_score(t, a, b, s->temperature, logp, NULL, err));
  for (int32_t i = 0; i < s->path_count; i++) (*out)[i] = logp[target_of(s, b, i)];
  return 0;
}

/* Before any weight moves: old log-probabilities that are not the records, and what law 1 cannot compare. */
static int open_updates(struct work *w, const struct update_list *list, struct error *err)
{
  w->old = ARENA_NEW(w->step->arena, double *, (size_t)list->count, "update", err);
  if (!w->old) return err->code;
  for (int32_t i = 0; i < list->count; i++) {
    const struct update *u = &list->items[i];
    if (!u->on || !u->batch->kept) continue;
    if (u->old == OLD_SCORED) TRY(score_batch(w, u->batch, w->policy, &w->old[i], err));
    if (u->batch == w->step) continue;
    for (int32_t k = 0; k < u->batch->kept; k++) {
      int32_t r = u->batch->order[k];
      if (u->rollouts && !u->rollouts[r]) continue;
      if (comparable(w, u->batch, &u->batch->rollouts[r]))
        w->result->skipped_stale += own_tokens(u->batch, &u->batch->rollouts[r]);
    }
  }
  return 0;
}

/* What a mini-batch reads beside its records. */
static int read_minibatch(struct work *w, struct minibatch *m, const double *old, struct arena *a, struct error *err)
{
  for (int32_t k = 0; old && k < m->count; k++) m->old[k] = old[m->token[k]];
  if (!m->reference) return 0;
  if (m->step == w->step) {
    for (int32_t k = 0; k < m->count; k++) m->reference[k] = w->reference_logp[m->token[k]];
    return 0;
  }
  struct batch *b;
  TRY(minibatch_batch(m, NULL, w->reference, a, &b, err));
  double *logp = ARENA_NEW(a, double, (size_t)b->target_count, "update", err);
  if (!logp) return err->code;
  TRY(trainer_score(w->reference, a, b, w->step->temperature, logp, NULL, err));
  for (int32_t k = 0; k < m->count; k++) m->reference[k] = logp[target_of(m->step, b, m->token[k])];
  return 0;
}

/* Rollouts that the main update will not see: scored, so that every fresh token is checked once. */
static int check_the_rest(struct work *w, const bool *done, struct error *err)
{
  struct step *s = w->step;
  bool *which = ARENA_NEW(s->arena, bool, (size_t)s->rollout_count, "update", err);
  if (!which) return err->code;
  for (int32_t i = 0; i < s->rollout_count; i++)
    which[i] = s->rollouts[i].leaf >= 0 && !(done && done[i]) && comparable(w, s, &s->rollouts[i]);
  return check_by_scoring(w, which, err);
}

static int run_update(struct work *w, const struct update *u, const double *old, bool once, struct error *err)
{
  struct arena *a = w->step->arena;
  for (int32_t epoch = 0; epoch < u->epochs && !w->result->mismatch; epoch++) {
    for (int32_t i = 0; i < u->minibatches && !w->result->mismatch; i++) {
      struct arena_mark mark = arena_mark(a);
      struct minibatch *m;
      TRY(compose_minibatch(w->methods, u->batch, u, epoch, i, a, &m, err));
      if (m->count) {
        TRY(read_minibatch(w, m, old, a, err));
        TRY(train_minibatch(w, m, once, a, err));
      }
      arena_release(a, mark);
    }
  }
  return 0;
}

static void finish(struct update_result *r)
{
  double n = r->updates ? r->updates : nan64();
  r->loss /= n;
  r->kl /= n;
  r->clip /= n;
  r->entropy /= n;
  r->grad_norm /= n;
  if (!r->updates) r->ratio_min = r->ratio_max = nan64();
}

int update_step(struct composed *methods, struct step *s, struct trainer *policy, struct trainer *reference,
                const struct update_options *o, struct update_result *out, struct error *err)
{
  *out = (struct update_result){0};
  struct work w = {
      .methods = methods, .step = s, .policy = policy, .reference = reference, .options = o, .result = out};
  struct update_list list = {0};
  bool *done = ARENA_NEW(s->arena, bool, (size_t)s->rollout_count, "update", err);
  if (!done) return err->code;
  TRY(compose_updates(methods, s, &list, err));
  if (compose_needs(methods)->flags & NEED_REFERENCE_LOGP) TRY(score_batch(&w, s, reference, &w.reference_logp, err));
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
  for (int32_t i = 0; i < list.count && !out->mismatch; i++)
    if (list.items[i].on) TRY(run_update(&w, &list.items[i], w.old[i], once, err));
  finish(out);
  return 0;
}
