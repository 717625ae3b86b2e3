/* method_case: steps made of given numbers, for the tests of methods. */
#ifndef ASSAY_TESTS_UNIT_METHOD_CASE_H
#define ASSAY_TESTS_UNIT_METHOD_CASE_H

#include "check.h"
#include "core/math.h"
#include "method/compose.h"

static struct arena *case_arena;

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
  return compose_open(case_arena, choices, n->count, &o, out, err);
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

/* The step's stages up to its first mini-batch. */
static CHECK_UNUSED struct minibatch *case_minibatch(struct composed *set, struct step *s, struct error *err)
{
  struct minibatch *m = NULL;
  struct update_list list;
  CHECK_OK(compose_updates(set, s, &list, err), err);
  CHECK_OK(compose_minibatch(set, s, &list.items[0], 0, 0, case_arena, &m, err), err);
  return m;
}

#endif
