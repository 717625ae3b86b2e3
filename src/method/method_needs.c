/* Needs of several methods put together: lists are merged, what can be only one thing must be the same. */
#include <string.h>

#include "method/method.h"

static void add_layer(struct needs *to, int32_t layer)
{
  for (int32_t i = 0; i < to->hidden_count; i++)
    if (to->hidden_layers[i] == layer) return;
  ASSAY_BUG_IF(to->hidden_count == NEEDS_NAMED);
  to->hidden_layers[to->hidden_count++] = layer;
}

static bool same_number(double a, double b)
{
  return !(a < b) && !(b < a);
}

static void add_stat(struct needs *to, const struct token_stat *stat)
{
  for (int32_t i = 0; i < to->token_stat_count; i++)
    if (to->token_stats[i].kind == stat->kind && same_number(to->token_stats[i].parameter, stat->parameter)) return;
  ASSAY_BUG_IF(to->token_stat_count == NEEDS_NAMED);
  to->token_stats[to->token_stat_count++] = *stat;
}

static void add_source(struct needs *to, const struct row_source *source)
{
  for (int32_t i = 0; i < to->row_source_count; i++)
    if (!strcmp(to->row_sources[i].policy, source->policy) && to->row_sources[i].second == source->second) return;
  ASSAY_BUG_IF(to->row_source_count == NEEDS_NAMED);
  to->row_sources[to->row_source_count++] = *source;
}

static void add_names(const char **list, const char *const *names)
{
  for (; *names; names++) {
    int at = 0;
    while (list[at] && strcmp(list[at], *names)) at++;
    ASSAY_BUG_IF(at == NEEDS_NAMED);
    list[at] = *names;
  }
}

static int add_policy(struct needs *to, const struct policy_need *p, const char *who, struct error *err)
{
  if (!p->path)
    FAIL(err, ERROR_INPUT, "method %s needs the policy \"%s\" and no model is named; expected a folder or a GGUF file",
         who, p->name);
  for (int32_t i = 0; i < to->policy_count; i++) {
    if (strcmp(to->policies[i].name, p->name)) continue;
    if (!strcmp(to->policies[i].path, p->path)) return 0;
    FAIL(err, ERROR_INPUT, "method %s names %s as the policy \"%s\", another method %s; expected one model a name", who,
         p->path, p->name, to->policies[i].path);
  }
  ASSAY_BUG_IF(to->policy_count == NEEDS_NAMED);
  to->policies[to->policy_count++] = *p;
  return 0;
}

static int only_one(const char *what, const char *who, struct error *err)
{
  FAIL(err, ERROR_INPUT, "method %s asks for another %s than the method before it; expected the same; change an option",
       who, what);
}

static bool same_value(const struct value_need *a, const struct value_need *b)
{
  return same_number(a->lr, b->lr) && same_number(a->beta1, b->beta1) && same_number(a->beta2, b->beta2) &&
         same_number(a->eps, b->eps) && same_number(a->weight_decay, b->weight_decay) &&
         same_number(a->clip_norm, b->clip_norm) && a->backprop == b->backprop;
}

static int add_single(struct needs *to, const struct needs *n, const char *who, struct error *err)
{
  uint32_t both = to->flags & n->flags;
  if (both & NEED_EMA && !same_number(to->ema_rate, n->ema_rate)) return only_one("moving average", who, err);
  if (both & NEED_VALUE && !same_value(&to->value, &n->value)) return only_one("value head", who, err);
  if (both & NEED_SLOT && to->slot_token != n->slot_token) return only_one("slot token", who, err);
  if (both & NEED_SECOND_CONTEXT) return only_one("second context", who, err);
  if (n->flags & NEED_EMA) to->ema_rate = n->ema_rate;
  if (n->flags & NEED_VALUE) to->value = n->value;
  if (n->flags & NEED_SLOT) to->slot_token = n->slot_token;
  if (n->flags & NEED_SECOND_CONTEXT) {
    to->second_each = n->second_each;
    to->second_prompt = n->second_prompt;
    to->second_trained = n->second_trained;
  }
  return 0;
}

static void add_updates(struct update_need *to, const struct update_need *n)
{
  to->left_out += n->left_out;
  to->again += n->again;
  to->entries = to->entries > n->entries ? to->entries : n->entries;
  to->first = to->first || n->first;
  if (!n->rounding) return;
  to->rounding = n->rounding;
  to->options = n->options;
}

int needs_add(struct needs *to, const struct needs *n, const char *who, struct error *err)
{
  TRY(add_single(to, n, who, err));
  for (int32_t i = 0; i < n->policy_count; i++) TRY(add_policy(to, &n->policies[i], who, err));
  for (int32_t i = 0; i < n->hidden_count; i++) add_layer(to, n->hidden_layers[i]);
  for (int32_t i = 0; i < n->token_stat_count; i++) add_stat(to, &n->token_stats[i]);
  for (int32_t i = 0; i < n->row_source_count; i++) add_source(to, &n->row_sources[i]);
  if (n->prompt_states > to->prompt_states) to->prompt_states = n->prompt_states;
  add_names(to->second_policies, n->second_policies);
  add_names(to->fields, n->fields);
  to->probes += n->probes;
  to->replay_tokens += n->replay_tokens;
  to->replay_rollouts += n->replay_rollouts;
  to->replay_steps += n->replay_steps;
  add_updates(&to->more_updates, &n->more_updates);
  to->slot_trained = to->slot_trained || n->slot_trained;
  for (int32_t i = 0; i < n->own_count; i++) {
    ASSAY_BUG_IF(to->own_count == NEEDS_NAMED);
    to->own[to->own_count++] = n->own[i];
  }
  to->row_functions += n->row_functions;
  to->flags |= n->flags;
  return 0;
}
