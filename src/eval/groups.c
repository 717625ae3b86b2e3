#include "eval/groups.h"
#include <stdlib.h>
#include <string.h>

static int compare(const void *x, const void *y)
{
  const struct attempt *p = *(const struct attempt *const *)x, *q = *(const struct attempt *const *)y;
  int order = attempt_compare_problem(p, q);
  if (order) return order;
  if (p->correct != q->correct) return p->correct ? -1 : 1;
  if (!p->extracted || !q->extracted) {
    if (!p->extracted != !q->extracted) return !p->extracted - !q->extracted;
  } else if ((order = strcmp(p->extracted, q->extracted)) != 0) {
    return order;
  }
  return attempt_compare_key(p, q);
}

static void select_attempts(const struct attempt_list *list, enum eval_which which, struct eval_groups *out)
{
  bool sampled = false;
  for (size_t i = 0; i < list->count; i++) sampled = sampled || !list->items[i].greedy;
  for (size_t i = 0; i < list->count; i++) {
    const struct attempt *t = &list->items[i];
    enum eval_which is = t->greedy && sampled ? EVAL_GREEDY : EVAL_SAMPLED;
    if (is == which && !t->failed) out->items[out->item_count++] = t;
  }
}

/* The first by name that one of the group's attempts has. */
static const char *find_domain(const struct eval_groups *g, const struct eval_group *group)
{
  const char *first = NULL;
  for (size_t k = group->first; k < group->first + group->count; k++) {
    const char *domain = g->items[k]->domain;
    if (domain && (!first || strcmp(domain, first) < 0)) first = domain;
  }
  return first;
}

static const char *data_of(const struct eval_group *group)
{
  return group->data ? group->data : "(unnamed)";
}

/* Where no attempt has a domain, several data tell the groups apart. */
static void set_domains(struct eval_groups *g)
{
  bool any = false, several = false;
  for (size_t i = 0; i < g->count; i++) {
    g->groups[i].domain = find_domain(g, &g->groups[i]);
    any = any || g->groups[i].domain;
    several = several || strcmp(data_of(&g->groups[0]), data_of(&g->groups[i])) != 0;
  }
  for (size_t i = 0; i < g->count; i++) {
    struct eval_group *group = &g->groups[i];
    if (!group->domain) group->domain = any ? "(none)" : several ? data_of(group) : NULL;
  }
}

int eval_groups_make(struct arena *a, const struct attempt_list *list, enum eval_which which, struct eval_groups *out,
                     struct error *err)
{
  *out = (struct eval_groups){0};
  out->items = ARENA_NEW(a, const struct attempt *, list->count, "eval", err);
  out->groups = out->items ? ARENA_NEW(a, struct eval_group, list->count, "eval", err) : NULL;
  if (!out->groups) return err->code;
  select_attempts(list, which, out);
  qsort(out->items, out->item_count, sizeof *out->items, compare);
  for (size_t i = 0; i < out->item_count; i++) {
    const struct attempt *t = out->items[i];
    if (!i || attempt_compare_problem(out->items[i - 1], t) != 0)
      out->groups[out->count++] = (struct eval_group){.first = i, .problem = t->problem, .data = t->data};
    struct eval_group *g = &out->groups[out->count - 1];
    g->count++;
    g->right += t->correct;
  }
  set_domains(out);
  return 0;
}

static int by_key(const void *x, const void *y)
{
  return attempt_compare_key(*(const struct attempt *const *)x, *(const struct attempt *const *)y);
}

int eval_group_first(struct arena *a, const struct eval_groups *g, size_t group, size_t n, size_t *right,
                     struct error *err)
{
  const struct eval_group *of = &g->groups[group];
  struct arena_mark mark = arena_mark(a);
  const struct attempt **items = ARENA_NEW(a, const struct attempt *, of->count, "eval", err);
  if (!items) return err->code;
  memcpy(items, g->items + of->first, of->count * sizeof *items);
  qsort(items, of->count, sizeof *items, by_key);
  *right = 0;
  for (size_t i = 0; i < n; i++) *right += items[i]->correct;
  arena_release(a, mark);
  return 0;
}
