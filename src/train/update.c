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
  double *reference_logp; /* [path_count] */
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
static bool comparable(struct work *w, const struct rollout *r)
{
  const struct step *s = w->step;
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

static int minibatch_batch(struct work *w, const struct minibatch *m, const struct trainer *t, struct arena *a,
                           struct batch **out, struct error *err)
{
  struct step *s = w->step;
  int32_t n = 0;
  for (int32_t i = 0; i < m->rollout_count; i++) n += s->rollouts[m->rollouts[i]].row_count;
  struct batch_path *paths = ARENA_NEW(a, struct batch_path, (size_t)n, "update", err);
  if (!paths) return err->code;
  n = 0;
  for (int32_t i = 0; i < m->rollout_count; i++) {
    const struct rollout *r = &s->rollouts[m->rollouts[i]];
    for (int32_t k = 0; k < r->row_count; k++) paths[n++].leaf = r->rows[k].leaf;
  }
  return trainer_batch(t, a, s->tree, paths, n, out, err);
}

static int32_t target_of(const struct work *w, const struct batch *b, int32_t path_token)
{
  const struct path_token *p = &w->step->path[path_token];
  return batch_target(b, p->segment, p->index);
}

/* Whether the records of a mini-batch were written by the weights as they are. */
static bool records_are_current(const struct work *w, const struct minibatch *m)
{
  bool same = true;
  for (int32_t i = 0; i < m->rollout_count; i++)
    same = same &&
           w->step->tree->segments[w->step->rollouts[m->rollouts[i]].leaf].weight_version == w->policy->weight_version;
  return same;
}

/* The current policy's log-probabilities: the records while the weights are the sampler's, otherwise by a scoring pass.
 */
static int current(struct work *w, struct minibatch *m, const struct batch *b, struct arena *a, struct error *err)
{
  if (records_are_current(w, m)) {
    for (int32_t i = 0; i < m->count; i++) {
      const struct token_record *r = step_record(w->step, m->token[i]);
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
    m->logp[i] = logp[target_of(w, b, m->token[i])];
    if (m->entropy) m->entropy[i] = entropy[target_of(w, b, m->token[i])];
  }
  return 0;
}

/* A token on several paths gets the sum of its coefficients, in double. */
static double *to_targets(const struct work *w, const struct minibatch *m, const struct batch *b, const double *coef,
                          struct arena *a, struct error *err)
{
  double *sum = ARENA_NEW(a, double, (size_t)b->target_count, "update", err);
  for (int32_t i = 0; sum && i < m->count; i++) sum[target_of(w, b, m->token[i])] += coef[i];
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

/* Coefficients, gradients, AdamW. checked: the weights are the sampler's and nobody has compared these rollouts yet. */
static int train_minibatch(struct work *w, struct minibatch *m, bool check, struct arena *a, struct error *err)
{
  struct batch *b;
  struct composed_loss loss;
  double norm;
  TRY(minibatch_batch(w, m, w->policy, a, &b, err));
  TRY(current(w, m, b, a, err));
  TRY(compose_objective(w->methods, m, a, &loss, err));
  double *coef = to_targets(w, m, b, loss.coef, a, err),
         *logp = ARENA_NEW(a, double, (size_t)b->target_count, "update", err);
  double *entropy_coef = coef && loss.entropy_coef ? to_targets(w, m, b, loss.entropy_coef, a, err) : NULL;
  if (!coef || !logp || (loss.entropy_coef && !entropy_coef)) return err->code;
  TRY(trainer_backward(w->policy, a, b, w->step->temperature, coef, entropy_coef, logp, NULL, err));
  for (int32_t i = 0; check && i < m->rollout_count; i++)
    if (comparable(w, &w->step->rollouts[m->rollouts[i]])) check_rollout(w, m->rollouts[i], b, logp);
  // weights do not move on gradients that law 1 does not vouch for
  if (w->result->mismatch) return 0;
  TRY(trainer_update(w->policy, &w->options->optimiser, w->options->lr, &norm, err));
  add_up(w->result, &loss, m, norm);
  return 0;
}

/* ---- the step --------------------------------------------------------------------------------------------------- */

static bool moves_once(const struct update_list *list)
{
  int moves = 0;
  for (int32_t i = 0; i < list->count; i++)
    if (list->items[i].on) moves += list->items[i].epochs * list->items[i].minibatches;
  return moves <= 1;
}

/* The reference's log-probabilities of all path tokens, once a step. */
static int score_reference(struct work *w, struct error *err)
{
  struct step *s = w->step;
  struct arena *a = s->arena;
  struct minibatch all = {.step = s, .rollouts = s->order, .rollout_count = s->kept};
  struct batch *b;
  TRY(minibatch_batch(w, &all, w->reference, a, &b, err));
  double *logp = ARENA_NEW(a, double, (size_t)b->target_count, "update", err);
  w->reference_logp = ARENA_NEW(a, double, (size_t)s->path_count, "update", err);
  if (!logp || !w->reference_logp) return err->code;
  TRY(trainer_score(w->reference, a, b, s->temperature, logp, NULL, err));
  for (int32_t i = 0; i < s->path_count; i++) w->reference_logp[i] = logp[target_of(w, b, i)];
  return 0;
}

/* Rollouts that the main update will not see: scored, so that every fresh token is checked once. */
static int check_the_rest(struct work *w, const bool *done, struct error *err)
{
  struct step *s = w->step;
  bool *which = ARENA_NEW(s->arena, bool, (size_t)s->rollout_count, "update", err);
  if (!which) return err->code;
  for (int32_t i = 0; i < s->rollout_count; i++)
    which[i] = s->rollouts[i].leaf >= 0 && !(done && done[i]) && comparable(w, &s->rollouts[i]);
  return check_by_scoring(w, which, err);
}

static int run_update(struct work *w, const struct update *u, bool once, bool *done, struct error *err)
{
  struct arena *a = w->step->arena;
  for (int32_t epoch = 0; epoch < u->epochs && !w->result->mismatch; epoch++) {
    for (int32_t i = 0; i < u->minibatches && !w->result->mismatch; i++) {
      struct arena_mark mark = arena_mark(a);
      struct minibatch *m;
      TRY(compose_minibatch(w->methods, w->step, u, epoch, i, a, &m, err));
      if (m->count) {
        for (int32_t k = 0; m->reference && k < m->count; k++) m->reference[k] = w->reference_logp[m->token[k]];
        TRY(train_minibatch(w, m, once, a, err));
        for (int32_t k = 0; k < m->rollout_count; k++) done[m->rollouts[k]] = true;
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
  if (compose_needs(methods)->flags & NEED_REFERENCE_LOGP) TRY(score_reference(&w, err));
  bool once = moves_once(&list);
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
    if (list.items[i].on) TRY(run_update(&w, &list.items[i], once, done, err));
  finish(out);
  return 0;
}
