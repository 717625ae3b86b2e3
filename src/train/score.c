#include "train/score.h"

#include <inttypes.h>
#include <string.h>

#include "train/score_rows.h"
#include "train/token_pass.h"

enum {
  POLICY_PASS = NEED_HIDDEN | NEED_CURRENT_HIDDEN | NEED_LAST_STATE | NEED_PROMPT_LOGP | NEED_TOKEN_STAT |
                NEED_GROUP_P | NEED_VALUE | NEED_SLOT
};

struct scoring {
  struct composed *methods;
  struct step *step;
  struct policies *policies;
  const struct needs *needs;
  bool own; /* the step's own rollouts */
};

/* ---- what is asked ---------------------------------------------------------------------------------------------- */

static void add_layer(int32_t *layers, int32_t *count, int32_t layer)
{
  int32_t at = 0;
  while (at < *count && layers[at] != LAYER_LAST && (layer == LAYER_LAST || layers[at] < layer)) at++;
  if (at < *count && layers[at] == layer) return;
  memmove(layers + at + 1, layers + at, (size_t)(*count - at) * sizeof *layers);
  layers[at] = layer;
  ++*count;
}

int score_layers(const struct needs *n, int32_t blocks, bool with_last, int32_t *layers, int32_t *count,
                 struct error *err)
{
  *count = 0;
  for (int32_t i = 0; i < n->hidden_count; i++) {
    int32_t layer;
    if (!scores_resolve_layer(blocks, n->hidden_layers[i], &layer))
      FAIL(err, ERROR_INPUT,
           "a method asks for the hidden states of layer %" PRId32 "; the model has %" PRId32
           " layers: expected 0 (the embedding) to %" PRId32 ", or -1 (the LM head's input) to %" PRId32
           "; change the method's option",
           n->hidden_layers[i], blocks, blocks, -blocks - 1);
    add_layer(layers, count, layer);
  }
  if (with_last) add_layer(layers, count, LAYER_LAST);
  return 0;
}

bool score_has_source(const struct needs *n, const char *policy, bool second)
{
  for (int32_t i = 0; n->flags & NEED_ROW_TERM && i < n->row_source_count; i++)
    if (n->row_sources[i].second == second && !strcmp(n->row_sources[i].policy, policy)) return true;
  return false;
}

static bool scored_second(const struct needs *n, const char *policy)
{
  if (!(n->flags & NEED_SECOND_CONTEXT)) return false;
  for (const char *const *name = n->second_policies; *name; name++)
    if (!strcmp(*name, policy)) return true;
  return score_has_source(n, policy, true);
}

/* Whether a policy scores the trained contexts. */
static bool scored(const struct needs *n, const char *policy)
{
  if (!strcmp(policy, "policy")) return n->flags & POLICY_PASS || score_has_source(n, policy, false);
  if (!strcmp(policy, "reference")) return n->flags & NEED_REFERENCE_LOGP || score_has_source(n, policy, false);
  if (score_has_source(n, policy, false)) return true;
  return !scored_second(n, policy); /* somebody named it for something */
}

bool score_wants(const struct needs *n, const char *policy)
{
  return scored(n, policy) || scored_second(n, policy);
}

uint32_t score_askers(const struct needs *n, const char *policy, bool second)
{
  uint32_t flags = score_has_source(n, policy, second) ? NEED_ROW_TERM : 0;
  if (!(second ? scored_second : scored)(n, policy)) return 0;
  if (second) return flags | (n->flags & NEED_SECOND_CONTEXT);
  if (!strcmp(policy, "policy")) return flags | (n->flags & POLICY_PASS);
  if (!strcmp(policy, "reference")) return flags | (n->flags & NEED_REFERENCE_LOGP);
  return flags | (n->flags & (!strcmp(policy, "ema") ? NEED_EMA : NEED_POLICY));
}

int score_policies(const struct needs *n, const char **out)
{
  int count = 0;
  out[count++] = "policy";
  out[count++] = "reference";
  if (n->flags & NEED_EMA) out[count++] = "ema";
  for (int32_t i = 0; i < n->policy_count; i++) out[count++] = n->policies[i].name;
  return count;
}

int score_passes(const struct needs *n)
{
  const char *named[3 + NEEDS_NAMED];
  int count = score_policies(n, named), passes = 0;
  for (int i = 0; i < count; i++) passes += scored(n, named[i]) + scored_second(n, named[i]);
  return passes;
}

void score_describe(const struct needs *n, int64_t updates, struct text *out)
{
  const char *named[3 + NEEDS_NAMED];
  int count = score_policies(n, named);
  text_printf(out, "extra forwards a step: %d over the own tokens", score_passes(n));
  const char *between = " (";
  for (int i = 0; i < count; i++)
    for (int second = 0; second < 2; second++) {
      if (!(second ? scored_second : scored)(n, named[i])) continue;
      text_printf(out, "%s%s%s", between, named[i], second ? " in second contexts" : "");
      between = ", ";
    }
  text_printf(out, "%s, %" PRId64 " over later mini-batches (current log-probabilities)\n", score_passes(n) ? ")" : "",
              updates - 1);
  if (n->probes) text_printf(out, "extra answers a step: up to %" PRId32 " a problem, not trained\n", n->probes);
  if (n->more_updates.again > 0)
    text_printf(out, "extra training a step: %.3g of a step's rollouts once more\n", n->more_updates.again);
  if (n->more_updates.left_out > 0)
    text_printf(out, "left out of a step's update: %.3g of its rollouts\n", n->more_updates.left_out);
}

/* ---- second contexts and slots: segments of the tree ------------------------------------------------------------ */

/* A copy of what follows the trained context of a rollout, behind its second one. */
static int copy_path(struct step *s, int32_t rollout, struct error *err)
{
  const struct rollout *r = &s->rollouts[rollout];
  struct scores *c = s->scores;
  char name[128];
  if (r->row_count != 1)
    FAIL(err, ERROR_INPUT,
         "%s is trained in %" PRId32
         " pieces and wanted in a second context; expected one piece; "
         "leave one of the methods out",
         step_rollout_name(s, rollout, name, sizeof name), r->row_count);
  int32_t leaf = r->rows[0].leaf, prompt = s->contexts[r->rows[0].context].segment;
  int32_t from = tree_path_length(s->tree, prompt), to = tree_path_length(s->tree, leaf);
  TRY(tree_add_segment(s->tree, s->contexts[s->second[rollout]].segment, SEGMENT_OWN, to - from, &c->copy[rollout],
                       err));
  s->tree->segments[c->copy[rollout]].weight_version = -1;
  c->own[rollout] = from;
  for (int32_t p = from; p < to; p++) {
    struct token_record record = *tree_at(s->tree, leaf, p);
    record.logp = record.logp_behaviour = record.entropy = __builtin_nanf("");
    TRY(tree_append(s->tree, c->copy[rollout], &record, 1, err));
  }
  return 0;
}

/* The longest path that the trainers were made for. */
static bool fits(const struct scoring *w, int32_t length)
{
  return length <= w->policies->policy->options.max_path;
}

static int add_copies(struct scoring *w, struct error *err)
{
  struct step *s = w->step;
  struct scores *c = s->scores;
  if (!s->second) return 0;
  c->copy = ARENA_NEW(s->arena, int32_t, (size_t)s->rollout_count, "second contexts", err);
  c->own = ARENA_NEW(s->arena, int32_t, (size_t)s->rollout_count, "second contexts", err);
  if (!c->copy || !c->own) return err->code;
  for (int32_t r = 0; r < s->rollout_count; r++) {
    c->copy[r] = -1;
    if (s->second[r] < 0 || !s->rollouts[r].kept) continue;
    int32_t length = tree_path_length(s->tree, s->contexts[s->second[r]].segment) + s->rollouts[r].length;
    if (fits(w, length)) {
      TRY(copy_path(s, r, err));
    } else {
      s->second[r] = -1; /* too long: as if there were none */
      s->second_too_long++;
    }
  }
  return 0;
}

/* One token behind each rollout that ended by itself and has room for it. */
static int add_slots(struct scoring *w, struct error *err)
{
  struct step *s = w->step;
  int32_t id = w->needs->slot_token, vocab = w->policies->policy->model->config.vocab;
  if (!(w->needs->flags & NEED_SLOT)) return 0;
  if (id < 0 || id >= vocab)
    FAIL(err, ERROR_INPUT,
         "a method wants token %" PRId32 " scored behind each answer; expected 0 to %" PRId32
         ", the model's vocabulary; change its option",
         id, vocab - 1);
  if (!(s->scores->slot = ARENA_NEW(s->arena, int32_t, (size_t)s->rollout_count, "slots", err))) return err->code;
  for (int32_t r = 0; r < s->rollout_count; r++) {
    const struct rollout *o = &s->rollouts[r];
    s->scores->slot[r] = -1;
    bool room = o->kept && o->finish == FINISH_STOP && o->length < s->max_new_tokens;
    if (!room || !fits(w, tree_path_length(s->tree, o->rows[o->row_count - 1].leaf) + 1)) continue;
    TRY(tree_add_segment(s->tree, o->rows[o->row_count - 1].leaf, SEGMENT_FORCED, 1, &s->scores->slot[r], err));
    TRY(tree_append_ids(s->tree, s->scores->slot[r], &id, 1, TOKEN_SCORED, err));
  }
  return 0;
}

/* ---- passes ----------------------------------------------------------------------------------------------------- */

static struct token_pass pass_of(const struct scoring *w, struct trainer *t)
{
  const struct step *s = w->step;
  return (struct token_pass){
      .trainer = t, .step = s, .rollouts = s->order, .rollout_count = s->kept, .count = s->path_count};
}

static int new_scores(struct scoring *w, const char *policy, bool second, struct policy_scores **out, struct error *err)
{
  struct step *s = w->step;
  size_t n = (size_t)s->path_count;
  *out = &s->scores->of[s->scores->count++];
  **out = (struct policy_scores){.policy = policy, .second = second};
  (*out)->logp = ARENA_NEW(s->arena, double, n, "scores", err);
  (*out)->entropy = ARENA_NEW(s->arena, double, n, "scores", err);
  (*out)->before = ARENA_NEW(s->arena, int32_t, n, "scores", err);
  return (*out)->logp && (*out)->entropy && (*out)->before ? 0 : err->code;
}

static int keep_layers(struct scoring *w, const int32_t *layers, int32_t count, struct token_want *want,
                       struct error *err)
{
  int32_t *kept = ARENA_NEW(w->step->arena, int32_t, (size_t)count, "scores", err);
  if (!kept) return err->code;
  memcpy(kept, layers, (size_t)count * sizeof *kept);
  want->layers = kept;
  want->layer_count = count;
  return 0;
}

/* Law 1, for the rollouts of the policy's pass. */
static int check_records(struct scoring *w, const struct token_pass *pass, const double *logp, struct error *err)
{
  struct step *s = w->step;
  if (!(s->scores->checked = ARENA_NEW(s->arena, bool, (size_t)s->rollout_count, "scores", err))) return err->code;
  for (int32_t i = 0; i < s->kept; i++) {
    int32_t r = s->order[i];
    s->scores->checked[r] = true;
    if (records_comparable(s, r, w->policies->policy->weight_version, &w->policies->law))
      records_compare(s, r, pass->batch, logp, &w->policies->law);
  }
  return 0;
}

static int take_prompts(struct scoring *w, const struct token_pass *pass, const double *logp, struct error *err)
{
  struct step *s = w->step;
  for (int32_t c = 0; c < s->context_count; c++) {
    struct prompt_scores *out = &s->scores->prompts[c];
    int32_t segment = s->contexts[c].segment, length = tree_path_length(s->tree, segment);
    if (pass->batch->target_base[segment] < 0) continue;
    out->logp_count = length - 1;
    if (!(out->logp = ARENA_NEW(s->arena, double, (size_t)length, "prompt scores", err))) return err->code;
    for (int32_t at = segment, p = length; at >= 0; at = s->tree->segments[at].parent)
      for (int32_t i = s->tree->segments[at].count - 1; i >= 0; i--)
        if (--p > 0) out->logp[p - 1] = logp[batch_target(pass->batch, at, i)];
  }
  return 0;
}

static int take_values(struct scoring *w, const struct policy_scores *own, struct error *err)
{
  struct step *s = w->step;
  if (!w->policies->value) return 0;
  if (!(s->value = ARENA_NEW(s->arena, double, (size_t)s->path_count, "values", err))) return err->code;
  for (int32_t i = 0; i < s->path_count; i++)
    s->value[i] = value_at(w->policies->value, states_row(&own->states, LAYER_LAST, own->before[i]));
  return 0;
}

static int take_slots(struct scoring *w, const double *logp, struct error *err)
{
  struct step *s = w->step;
  if (!logp) return 0;
  if (!(s->slot_logp = ARENA_NEW(s->arena, double, (size_t)s->rollout_count, "slots", err))) return err->code;
  for (int32_t r = 0; r < s->rollout_count; r++) s->slot_logp[r] = (double)__builtin_nanf("");
  for (int32_t i = 0; i < s->kept; i++) s->slot_logp[s->order[i]] = logp[i];
  return 0;
}

/* Room for what the policy's pass reads. */
static int open_policy(struct scoring *w, const struct token_pass *pass, struct token_want *want, struct error *err)
{
  struct step *s = w->step;
  const struct needs *n = w->needs;
  int32_t layers[NEEDS_NAMED + 1], count;
  bool with_last = n->flags & NEED_VALUE || score_has_source(n, "policy", false);
  want->prompt_states = n->prompt_states;
  want->prompts = s->scores->prompts;
  want->target_logp = ARENA_NEW(s->arena, double, (size_t)pass->batch->target_count, "scores", err);
  if (!want->target_logp) return err->code;
  if (pass->slots && !(want->slot_logp = ARENA_NEW(s->arena, double, (size_t)s->kept, "slots", err))) return err->code;
  if (pass->last) {
    want->last = s->scores->last = ARENA_NEW(s->arena, int32_t, (size_t)s->rollout_count, "scores", err);
    if (!want->last) return err->code;
  }
  TRY(score_layers(n, s->scores->blocks, with_last, layers, &count, err));
  return keep_layers(w, layers, count, want, err);
}

/* The sampler's weights in the trained contexts: everything that is asked of them in one pass. */
static int score_policy(struct scoring *w, struct error *err)
{
  struct step *s = w->step;
  const struct needs *n = w->needs;
  struct policy_scores *own;
  struct token_pass pass = pass_of(w, w->policies->policy);
  struct token_items items;
  struct score_rows rows;
  pass.trained = true;
  pass.slots = n->flags & NEED_SLOT;
  pass.last = n->flags & NEED_LAST_STATE;
  pass.prompts = n->flags & NEED_PROMPT_LOGP;
  TRY(new_scores(w, "policy", false, &own, err));
  TRY(token_pass_open(&pass, s->arena, err));
  struct token_want want = {.logp = own->logp, .entropy = own->entropy, .states = &own->states, .before = own->before};
  TRY(open_policy(w, &pass, &want, err));
  if (n->flags & (NEED_TOKEN_STAT | NEED_GROUP_P)) {
    TRY(token_pass_items(&pass, pass.target, s->arena, &items, err));
    TRY(score_rows_open(&rows, n, s, &items, (size_t)w->policies->policy->model->config.vocab, err));
    want.rows = &rows.rows;
  }
  TRY(token_pass_read(&pass, s->arena, s->temperature, &want, err));
  if (w->own) TRY(check_records(w, &pass, want.target_logp, err));
  if (pass.prompts) TRY(take_prompts(w, &pass, want.target_logp, err));
  TRY(take_slots(w, want.slot_logp, err));
  return take_values(w, own, err);
}

/* Another policy, or second contexts: log-probabilities, and the last states where a term looks at whole rows. */
static int score_other(struct scoring *w, const struct named_policy *who, bool second, struct error *err)
{
  struct step *s = w->step;
  struct policy_scores *own;
  struct token_pass pass = pass_of(w, who->scorer);
  int32_t last = LAYER_LAST;
  pass.trained = !second;
  pass.second = second;
  TRY(new_scores(w, who->name, second, &own, err));
  TRY(token_pass_open(&pass, s->arena, err));
  struct token_want want = {.of_second = second, .states = &own->states, .before = own->before};
  if (second) {
    want.second_logp = own->logp;
    want.second_entropy = own->entropy;
  } else {
    want.logp = own->logp;
    want.entropy = own->entropy;
  }
  if (score_has_source(w->needs, who->name, second)) TRY(keep_layers(w, &last, 1, &want, err));
  return token_pass_read(&pass, s->arena, s->temperature, &want, err);
}

int score_step(struct composed *methods, struct step *s, struct policies *p, const struct second_renderer *r,
               struct error *err)
{
  struct scoring w = {.methods = methods, .step = s, .policies = p, .needs = compose_needs(methods), .own = r != NULL};
  if (r) p->law = (struct record_check){0};
  if (r) TRY(compose_second(methods, s, r, err));
  if (!score_passes(w.needs)) return 0;
  struct scores *c = s->scores = ARENA_NEW(s->arena, struct scores, 1, "scores", err);
  if (!c) return err->code;
  c->blocks = p->policy->model->config.layers;
  c->prompt_count = s->context_count;
  c->of = ARENA_NEW(s->arena, struct policy_scores, 2 * (size_t)p->count, "scores", err);
  c->prompts = ARENA_NEW(s->arena, struct prompt_scores, (size_t)s->context_count, "scores", err);
  if (!c->of || !c->prompts) return err->code;
  TRY(add_copies(&w, err));
  TRY(add_slots(&w, err));
  if (scored(w.needs, "policy")) TRY(score_policy(&w, err));
  for (int32_t i = 1; i < p->count; i++)
    if (scored(w.needs, p->of[i].name)) TRY(score_other(&w, &p->of[i], false, err));
  for (int32_t i = 0; i < p->count; i++)
    if (scored_second(w.needs, p->of[i].name)) TRY(score_other(&w, &p->of[i], true, err));
  const struct policy_scores *reference = scores_find(s, "reference", false);
  s->reference = reference ? reference->logp : NULL;
  return 0;
}
