/* method_case: steps made of given numbers, for the tests of methods. */
#ifndef ASSAY_TESTS_UNIT_METHOD_CASE_H
#define ASSAY_TESTS_UNIT_METHOD_CASE_H

#include "check.h"
#include "core/math.h"
#include "method/compose.h"

static struct arena *case_arena;
static const struct method_host case_host;

/* Methods as a recipe has them: "[{grpo: {clip_low: 0.1}}]". */
static CHECK_UNUSED int case_open(const char *methods, int32_t minibatches, struct composed **out, struct error *err)
{
  struct yaml_node *n;
  error_clear(err);
  TRY(yaml_parse_text(case_arena, methods, strlen(methods), "case.yaml", &n, err));
  struct method_choice choices[8];
  for (size_t i = 0; i < n->count; i++) {
    const struct yaml_node *item = n->items[i];
    bool map = item->kind == YAML_MAP;
    choices[i] =
        (struct method_choice){map ? item->keys[0] : item->text, map ? item->items[0] : NULL, item->file, item->line};
  }
  struct compose_options o = {.seed = 5, .epochs = 1, .minibatches = minibatches};
  TRY(compose_open(case_arena, choices, n->count, &o, out, err));
  compose_set_host(*out, &case_host);
  return 0;
}

struct case_rollout {
  int32_t group;   /* ordinal */
  int32_t ordinal; /* in the group */
  double reward;
  int32_t tokens;
};

/* Token t of rollout (g, o): logp = -0.5 - 0.01 (7 g + 3 o + t), entropy 1. */
static CHECK_UNUSED float case_logp(const struct case_rollout *r, int32_t t)
{
  return -0.5f - 0.01f * (float)(7 * r->group + 3 * r->ordinal + t);
}

static CHECK_UNUSED void case_add(struct step *s, const struct case_rollout *r)
{
  struct error err = {0};
  int32_t index;
  struct group *g = &s->groups[r->group];
  CHECK_OK(step_add_rollout(s, r->group, g->context, 0, r->ordinal, &index, &err), &err);
  CHECK_OK(tree_add_segment(s->tree, s->contexts[g->context].segment, SEGMENT_OWN, r->tokens + 1,
                            &s->rollouts[index].leaf, &err),
           &err);
  for (int32_t t = 0; t < r->tokens; t++) {
    struct token_record record = {.id = t, .flags = TOKEN_OWN, .logp = case_logp(r, t), .entropy = 1};
    CHECK_OK(tree_append(s->tree, s->rollouts[index].leaf, &record, 1, &err), &err);
  }
  struct verdict v = {
      .status = VERDICT_OK, .reward = r->reward, .correct = r->reward >= 1, .readable = true, .reason = "given"};
  int rc = step_set_verdict(s, index, &v, &err);
  if (!math_is_nan(r->reward)) CHECK_OK(rc, &err);
}

/* A gathered step; rollouts are stored in the given order. */
static CHECK_UNUSED struct step *case_step(const struct case_rollout *rollouts, size_t count, const struct problem *p)
{
  struct error err = {0};
  struct step *s = NULL;
  struct step_options o = {.seed = 5, .total = 10, .temperature = 1, .max_new_tokens = 16};
  CHECK_OK(step_create(case_arena, &o, &s, &err), &err);
  int32_t groups = 0;
  for (size_t i = 0; i < count; i++) groups = rollouts[i].group >= groups ? rollouts[i].group + 1 : groups;
  for (int32_t g = 0; g < groups; g++) {
    int32_t group, root, context;
    CHECK_OK(step_add_group(s, p, 0, &group, &err), &err);
    CHECK_OK(tree_add_segment(s->tree, -1, SEGMENT_PROMPT, 2, &root, &err), &err);
    CHECK_OK(tree_append_ids(s->tree, root, (const int32_t[]){1, 2}, 2, 0, &err), &err);
    CHECK_OK(step_add_context(s, group, "policy", "plain", root, &context, &err), &err);
  }
  for (size_t i = 0; i < count; i++) case_add(s, &rollouts[i]);
  CHECK_OK(step_gather(s, &err), &err);
  return s;
}

/* ---- what the core does for those that need something ------------------------------------------------------------ */

/* Probes of two tokens, half right; every token asked about has -0.5; every second verdict is right. */
static CHECK_UNUSED int case_answer(void *arg, struct step *s, const struct method_call *who, const struct request *q,
                                    int32_t count, struct answer *answers, struct error *err)
{
  const struct verdict half = {.status = VERDICT_OK, .reward = 0.5, .readable = true, .reason = "given"};
  static const struct verdict right = {
      .status = VERDICT_OK, .reward = 1, .correct = true, .readable = true, .reason = "given"};
  (void)arg;
  (void)who;
  for (int32_t i = 0; i < count; i++) {
    answers[i].segment = -1;
    answers[i].verdict = &right;
    if (q[i].kind == REQUEST_SCORE) {
      float *logp = ARENA_NEW(s->arena, float, (size_t)q[i].id_count, "case", err);
      for (int32_t k = 0; k < q[i].id_count; k++) logp[k] = -0.5f;
      answers[i].logp = logp;
      TRY(tree_add_segment(s->tree, q[i].segment, SEGMENT_FORCED, q[i].id_count, &answers[i].segment, err));
      TRY(tree_append_ids(s->tree, answers[i].segment, q[i].ids, q[i].id_count, TOKEN_FORCED, err));
    }
    if (q[i].kind != REQUEST_GENERATE) continue;
    int32_t *probes = ARENA_NEW(s->arena, int32_t, (size_t)q[i].count, "case", err);
    for (int32_t k = 0; k < q[i].count; k++) {
      const struct group *g = &s->groups[q[i].group];
      int32_t context = q[i].context >= 0 ? q[i].context : g->context;
      TRY(step_add_rollout(s, q[i].group, context, 0, 1000 + 100 * i + k, &probes[k], err));
      struct rollout *r = &s->rollouts[probes[k]];
      r->kept = false;
      r->probe = q[i].purpose;
      TRY(tree_add_segment(s->tree, s->contexts[context].segment, SEGMENT_OWN, 2, &r->leaf, err));
      TRY(tree_append_ids(s->tree, r->leaf, (const int32_t[]){3, 4}, 2, TOKEN_OWN, err));
      TRY(step_set_verdict(s, probes[k], &half, err));
    }
    answers[i].rollouts = probes;
  }
  return 0;
}

/* Every prompt is as long as a group's plain one. */
static CHECK_UNUSED int case_prompt_ids(void *arg, const struct context_source *from, struct token_list *out,
                                        struct error *err)
{
  (void)arg;
  (void)from;
  for (int32_t i = 1; i <= 2; i++) TRY(token_list_push(out, i, err));
  return 0;
}
static const struct method_host case_host = {.prompt_ids = case_prompt_ids, .answer = case_answer};

/* A number of path token p that no storage order moves. */
static CHECK_UNUSED double case_number(int32_t p, int32_t salt)
{
  return 0.1 * ((p * 7 + salt * 3) % 11) - 0.5;
}

static CHECK_UNUSED double *case_numbers(const struct step *s, double from, double by, int32_t salt)
{
  struct error err = {0};
  double *x = ARENA_NEW(case_arena, double, (size_t)s->path_count + 1, "case", &err);
  for (int32_t p = 0; p < s->path_count; p++) x[p] = from + by * case_number(p, salt);
  return x;
}

/* Log-probabilities a little beside the record, under the policies that somebody named. */
static CHECK_UNUSED void case_policy(struct step *s, const char *name, int32_t salt)
{
  struct policy_scores *to = &s->scores->of[s->scores->count++];
  *to = (struct policy_scores){
      .policy = name, .logp = case_numbers(s, 0, 0.2, salt), .entropy = case_numbers(s, 1, 0.5, salt)};
  for (int32_t p = 0; p < s->path_count; p++) to->logp[p] += (double)step_record(s, p)->logp;
}

enum { CASE_BLOCKS = 1000, CASE_WIDTH = 5 }; /* deep enough for every bound of an option */

/* States of `count` tokens, a row each. numbers: [count] path tokens that they belong to. */
static CHECK_UNUSED void case_states(const struct needs *n, const int32_t *numbers, int32_t count, struct states *out,
                                     int32_t **before)
{
  struct error err = {0};
  int32_t *layers = ARENA_NEW(case_arena, int32_t, NEEDS_NAMED, "case", &err);
  for (int32_t i = 0; i < n->hidden_count; i++)
    CHECK(scores_resolve_layer(CASE_BLOCKS, n->hidden_layers[i], &layers[i]));
  size_t cells = (size_t)n->hidden_count * (size_t)count * CASE_WIDTH;
  *out = (struct states){.width = CASE_WIDTH, .layer_count = n->hidden_count, .row_count = count, .layers = layers};
  out->rows = ARENA_NEW(case_arena, float, cells + 1, "case", &err);
  *before = ARENA_NEW(case_arena, int32_t, (size_t)count + 1, "case", &err);
  for (int32_t i = 0; i < count; i++) {
    (*before)[i] = i;
    for (int32_t k = 0; k < n->hidden_count * CASE_WIDTH; k++) {
      int32_t row = k / CASE_WIDTH * count + i;
      out->rows[row * CASE_WIDTH + k % CASE_WIDTH] = (float)case_number(numbers[i] * (1 + k % 3) + k, k);
    }
  }
}

/* States of the path tokens, then those at the last tokens of rollouts, then those of prompts. */
static CHECK_UNUSED void case_hidden(const struct needs *n, struct step *s)
{
  struct error err = {0};
  int32_t count = s->path_count, prompt = n->prompt_states;
  size_t most = (size_t)(s->path_count + s->rollout_count) + 1;
  for (int32_t i = 0; i < s->context_count; i++) most += (size_t)tree_path_length(s->tree, s->contexts[i].segment);
  int32_t *numbers = ARENA_NEW(case_arena, int32_t, most, "case", &err);
  for (int32_t p = 0; p < s->path_count; p++) numbers[p] = p;
  s->scores->last = ARENA_NEW(case_arena, int32_t, (size_t)s->rollout_count + 1, "case", &err);
  for (int32_t r = 0; r < s->rollout_count; r++) {
    s->scores->last[r] = count;
    numbers[count++] = 40 + s->rollouts[r].path + s->rollouts[r].path_count;
  }
  for (int32_t i = 0; i < s->context_count; i++) {
    struct prompt_scores *to = &s->scores->prompts[i];
    int32_t length = tree_path_length(s->tree, s->contexts[i].segment);
    to->rows = length < prompt ? length : prompt;
    to->from = length - to->rows;
    to->row = ARENA_NEW(case_arena, int32_t, (size_t)to->rows + 1, "case", &err);
    for (int32_t k = 0; k < to->rows; k++) {
      to->row[k] = count;
      numbers[count++] = 90 + 5 * s->groups[s->contexts[i].group].ordinal + k;
    }
  }
  case_states(n, numbers, count, &s->scores->of[0].states, &s->scores->of[0].before);
}

/* The ids that a group's rollouts own, and probabilities of them: 1 of k + 2 shares for the k-th. */
static CHECK_UNUSED void case_group_p(struct step *s)
{
  struct error err = {0};
  s->scores->groups = ARENA_NEW(case_arena, struct group_ids, (size_t)s->group_count, "case", &err);
  s->scores->group_p = ARENA_NEW(case_arena, float *, (size_t)s->path_count + 1, "case", &err);
  for (int32_t g = 0; g < s->group_count; g++) {
    struct group_ids *of = &s->scores->groups[g];
    for (int32_t p = 0; p < s->path_count; p++)
      if (s->rollouts[s->path[p].rollout].group == g && step_record(s, p)->id >= of->count)
        of->count = step_record(s, p)->id + 1;
    of->ids = ARENA_NEW(case_arena, int32_t, (size_t)of->count + 1, "case", &err);
    for (int32_t k = 0; k < of->count; k++) of->ids[k] = k;
    for (int32_t p = 0; p < s->path_count; p++) {
      if (s->rollouts[s->path[p].rollout].group != g) continue;
      s->scores->group_p[p] = ARENA_NEW(case_arena, float, (size_t)of->count + 1, "case", &err);
      for (int32_t k = 0; k < of->count; k++) s->scores->group_p[p][k] = 1.0f / (float)((k + p) % of->count + 2);
    }
  }
}

static CHECK_UNUSED void case_prompts(struct step *s)
{
  struct error err = {0};
  for (int32_t i = 0; i < s->context_count; i++) {
    s->scores->prompts[i].logp = ARENA_NEW(case_arena, double, 1, "case", &err);
    s->scores->prompts[i].logp[0] = -0.4 - 0.1 * i;
    s->scores->prompts[i].logp_count = 1;
  }
}

/* Slots behind all rollouts but those of four tokens. */
static CHECK_UNUSED void case_slots(struct step *s)
{
  struct error err = {0};
  s->slot_logp = ARENA_NEW(case_arena, double, (size_t)s->rollout_count + 1, "case", &err);
  for (int32_t r = 0; r < s->rollout_count; r++) {
    const struct rollout *of = &s->rollouts[r];
    int32_t salt = 3 * s->groups[of->group].ordinal + of->ordinal;
    s->slot_logp[r] = of->path_count == 4 ? __builtin_nan("") : -21 + 3.0 * ((salt * 5) % 4);
  }
}

/* What the scoring passes before `shape` leave: log-probabilities, states, statistics in (0, 1), values. */
static CHECK_UNUSED void case_score(const struct composed *set, struct step *s)
{
  const struct needs *n = compose_needs(set);
  struct error err = {0};
  s->scores = ARENA_NEW(case_arena, struct scores, 1, "case", &err);
  s->scores->of = ARENA_NEW(case_arena, struct policy_scores, 16, "case", &err);
  case_policy(s, "policy", 0);
  s->scores->of[0].logp = case_numbers(s, 0, 0, 0);
  for (int32_t p = 0; p < s->path_count; p++) s->scores->of[0].logp[p] = (double)step_record(s, p)->logp;
  if (n->flags & NEED_REFERENCE_LOGP) {
    case_policy(s, "reference", 1);
    s->reference = s->scores->of[s->scores->count - 1].logp;
  }
  if (n->flags & NEED_EMA) case_policy(s, "ema", 2);
  for (int32_t i = 0; i < n->policy_count; i++) case_policy(s, n->policies[i].name, 3 + i);
  for (int32_t i = 0; n->second_policies[i]; i++) {
    case_policy(s, n->second_policies[i], 7 + i);
    s->scores->of[s->scores->count - 1].second = true;
  }
  if (n->flags & NEED_SECOND_CONTEXT) { /* every rollout has one: its own */
    s->second = ARENA_NEW(case_arena, int32_t, (size_t)s->rollout_count, "case", &err);
    for (int32_t r = 0; r < s->rollout_count; r++) s->second[r] = s->rollouts[r].training;
  }
  s->scores->stats = n->token_stats;
  s->scores->stat_count = n->token_stat_count;
  s->scores->stat = ARENA_NEW(case_arena, double *, NEEDS_NAMED, "case", &err);
  for (int32_t i = 0; i < n->token_stat_count; i++) s->scores->stat[i] = case_numbers(s, 0.5, 0.5, i);
  if (n->flags & NEED_VALUE) s->value = case_numbers(s, 0.3, 0.4, 5);
  s->scores->blocks = CASE_BLOCKS;
  s->scores->prompts = ARENA_NEW(case_arena, struct prompt_scores, (size_t)s->context_count, "case", &err);
  s->scores->prompt_count = s->context_count;
  if (n->flags & NEED_HIDDEN) case_hidden(n, s);
  if (n->flags & NEED_GROUP_P) case_group_p(s);
  if (n->flags & NEED_PROMPT_LOGP) case_prompts(s);
  if (n->flags & NEED_SLOT) case_slots(s);
}

/* What the trainer adds to a mini-batch: states under the current weights. */
static CHECK_UNUSED void case_current(const struct composed *set, struct minibatch *m)
{
  const struct needs *n = compose_needs(set);
  struct error err = {0};
  if (!(n->flags & NEED_CURRENT_HIDDEN)) return;
  struct states *states = ARENA_NEW(case_arena, struct states, 1, "case", &err);
  int32_t *before;
  case_states(n, m->token, m->count, states, &before);
  m->hidden = states;
  m->before = before;
}

/* The step's stages up to its first mini-batch. */
static CHECK_UNUSED struct minibatch *case_minibatch(struct composed *set, struct step *s, struct error *err)
{
  struct minibatch *m = NULL;
  struct update_list list;
  CHECK_OK(compose_updates(set, s, &list, err), err);
  CHECK_OK(compose_minibatch(set, s, &list.items[0], 0, 0, case_arena, &m, err), err);
  return m;
}

/* What data and a tokenizer would give. */
static CHECK_UNUSED struct problem CASE_DRAWN = {.id = "drawn", .prompt = "1+1=", .answer = "2"};

static CHECK_UNUSED int case_draw(void *arg, const struct problem **out, struct error *err)
{
  (void)arg;
  (void)err;
  *out = &CASE_DRAWN;
  return 0;
}

static CHECK_UNUSED struct problem_history case_no_history(void *arg, const struct problem *p)
{
  (void)arg;
  (void)p;
  return (struct problem_history){.last_step = -1};
}

static CHECK_UNUSED int case_render(void *arg, const struct step *s, int32_t group, const char *text,
                                    const int32_t **ids, int32_t *count, struct error *err)
{
  static const int32_t SOME[] = {1, 2, 3};
  (void)arg;
  (void)s;
  (void)group;
  (void)text;
  (void)err;
  *ids = SOME;
  *count = 3;
  return 0;
}

#endif
