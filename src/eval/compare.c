#include "eval/compare.h"
#include <stdlib.h>
#include <string.h>
#include "eval/groups.h"

struct comparing {
  struct arena *arena;
  struct eval_groups before, after;
  struct {
    size_t before, after;
  } * pairs; /* groups of each pair */
  struct eval_comparison *out;
};

/* ---- pairs ------------------------------------------------------------------------------------------------------- */

struct named {
  const char *problem, *data; /* data "" where ids tell the problems apart by themselves */
  size_t group;
};

static int by_name(const void *x, const void *y)
{
  const struct named *p = x, *q = y;
  int order = strcmp(p->problem, q->problem);
  return order ? order : strcmp(p->data, q->data);
}

static int sort_names(struct arena *a, const struct eval_groups *g, bool with_data, struct named **out,
                      struct error *err)
{
  *out = ARENA_NEW(a, struct named, g->count, "eval", err);
  if (!*out) return err->code;
  for (size_t i = 0; i < g->count; i++) {
    const struct eval_group *group = &g->groups[i];
    (*out)[i] = (struct named){group->problem, with_data && group->data ? group->data : "", i};
  }
  qsort(*out, g->count, sizeof **out, by_name);
  return 0;
}

static bool has_twice(const struct named *names, size_t n)
{
  for (size_t i = 1; i < n; i++)
    if (!strcmp(names[i - 1].problem, names[i].problem)) return true;
  return false;
}

/* By id; where a run has an id in two data sets, by data and id. */
static int sort_both(struct comparing *c, struct named **before, struct named **after, struct error *err)
{
  TRY(sort_names(c->arena, &c->before, false, before, err));
  TRY(sort_names(c->arena, &c->after, false, after, err));
  if (!has_twice(*before, c->before.count) && !has_twice(*after, c->after.count)) return 0;
  TRY(sort_names(c->arena, &c->before, true, before, err));
  return sort_names(c->arena, &c->after, true, after, err);
}

static int make_pairs(struct comparing *c, struct error *err)
{
  struct named *before, *after;
  struct eval_comparison *out = c->out;
  size_t i = 0, k = 0, n = c->before.count < c->after.count ? c->before.count : c->after.count;
  TRY(sort_both(c, &before, &after, err));
  c->pairs = arena_push(c->arena, n, sizeof *c->pairs, "eval", err);
  out->pairs = c->pairs ? ARENA_NEW(c->arena, struct eval_pair, n, "eval", err) : NULL;
  if (!out->pairs) return err->code;
  while (i < c->before.count && k < c->after.count) {
    int order = by_name(&before[i], &after[k]);
    if (!order) {
      const struct eval_group *b = &c->before.groups[before[i].group], *t = &c->after.groups[after[k].group];
      c->pairs[out->problems].before = before[i].group;
      c->pairs[out->problems].after = after[k].group;
      out->pairs[out->problems++] = (struct eval_pair){b->problem, b->count, b->right, t->count, t->right};
    }
    i += order <= 0;
    k += order >= 0;
  }
  out->only_before = c->before.count - out->problems;
  out->only_after = c->after.count - out->problems;
  if (!out->problems)
    FAIL(err, ERROR_INPUT,
         "found no problem in both runs: \"%s\" before, \"%s\" after; expected the same problem ids in both",
         c->before.count ? before[0].problem : "", c->after.count ? after[0].problem : "");
  return 0;
}

/* ---- numbers ----------------------------------------------------------------------------------------------------- */

static double pass(size_t n, size_t right, int64_t k)
{
  return eval_pass_at_k((int64_t)n, (int64_t)right, k);
}

static void put_pair(double *to, double before, double after)
{
  to[0] = before;
  to[1] = after;
  to[2] = after - before;
}

static int add_intervals(struct comparing *c, struct error *err)
{
  struct eval_comparison *out = c->out;
  struct arena_mark mark = arena_mark(c->arena);
  size_t series = 3 * (1 + out->k_count);
  struct eval_interval intervals[3 * (1 + EVAL_MAX_K)];
  double *values = ARENA_NEW(c->arena, double, out->problems *series, "eval", err);
  if (!values) return err->code;
  for (size_t i = 0; i < out->problems; i++) {
    const struct eval_pair *p = &out->pairs[i];
    put_pair(values + i * series, (double)p->before_right / (double)p->before,
             (double)p->after_right / (double)p->after);
    for (size_t k = 0; k < out->k_count; k++)
      put_pair(values + i * series + 3 * (1 + k), pass(p->before, p->before_right, out->at[k].k),
               pass(p->after, p->after_right, out->at[k].k));
  }
  TRY(eval_bootstrap(c->arena, values, out->problems, series, intervals, err));
  out->before = intervals[0];
  out->after = intervals[1];
  out->difference = intervals[2];
  for (size_t k = 0; k < out->k_count; k++) {
    out->at[k].before = intervals[3 * (1 + k)];
    out->at[k].after = intervals[3 * (1 + k) + 1];
    out->at[k].difference = intervals[3 * (1 + k) + 2];
  }
  arena_release(c->arena, mark);
  return 0;
}

static void add_changes(struct eval_comparison *out)
{
  for (size_t i = 0; i < out->problems; i++) {
    const struct eval_pair *p = &out->pairs[i];
    bool before = 2 * p->before_right > p->before, after = 2 * p->after_right > p->after;
    out->gained += after && !before;
    out->lost += before && !after;
  }
  out->p = eval_mcnemar(out->gained, out->lost);
}

/* The audit of the boundary, with the same number of attempts everywhere. */
static int add_boundary(struct comparing *c, struct error *err)
{
  struct eval_comparison *out = c->out;
  struct arena_mark mark = arena_mark(c->arena);
  int64_t *before = ARENA_NEW(c->arena, int64_t, out->problems, "eval", err);
  int64_t *after = before ? ARENA_NEW(c->arena, int64_t, out->problems, "eval", err) : NULL;
  if (!after) return err->code;
  for (size_t i = 0; i < out->problems; i++) {
    size_t right;
    TRY(eval_group_first(c->arena, &c->before, c->pairs[i].before, (size_t)out->n, &right, err));
    before[i] = (int64_t)right;
    TRY(eval_group_first(c->arena, &c->after, c->pairs[i].after, (size_t)out->n, &right, err));
    after[i] = (int64_t)right;
    out->before_bins[boundary_bin(before[i], out->n)]++;
    out->after_bins[boundary_bin(after[i], out->n)]++;
    out->moves[capability_bin(CAPABILITY_MAIN, before[i], out->n)][capability_bin(CAPABILITY_MAIN, after[i], out->n)]++;
  }
  out->move_bins = capability_bin_count(CAPABILITY_MAIN);
  out->crossing = boundary_crossing(before, after, out->problems, out->n);
  out->coverage = boundary_cover(before, after, out->problems);
  arena_release(c->arena, mark);
  return 0;
}

static int by_change(const void *x, const void *y)
{
  const struct eval_pair *p = x, *q = y;
  double left = (double)p->after_right / (double)p->after - (double)p->before_right / (double)p->before;
  double right = (double)q->after_right / (double)q->after - (double)q->before_right / (double)q->before;
  if (left != right) return left > right ? -1 : 1;
  return strcmp(p->problem, q->problem);
}

int eval_compare(struct arena *a, const struct attempt_list *before, const struct attempt_list *after,
                 const int64_t *ks, size_t count, struct eval_comparison *out, struct error *err)
{
  struct comparing c = {.arena = a, .out = out};
  int64_t chosen[EVAL_MAX_K];
  *out = (struct eval_comparison){.n = INT64_MAX};
  TRY(eval_groups_make(a, before, EVAL_SAMPLED, &c.before, err));
  TRY(eval_groups_make(a, after, EVAL_SAMPLED, &c.after, err));
  TRY(make_pairs(&c, err));
  for (size_t i = 0; i < out->problems; i++) {
    const struct eval_pair *p = &out->pairs[i];
    size_t least = p->before < p->after ? p->before : p->after;
    if ((int64_t)least < out->n) out->n = (int64_t)least;
  }
  TRY(eval_choose_ks(ks, count, out->n, chosen, &out->k_count, err));
  for (size_t i = 0; i < out->k_count; i++) out->at[i].k = chosen[i];
  TRY(add_intervals(&c, err));
  add_changes(out);
  TRY(add_boundary(&c, err));
  qsort(out->pairs, out->problems, sizeof *out->pairs, by_change);
  return 0;
}
