#include "eval/report.h"
#include <string.h>
#include "core/math.h"
#include "eval/groups.h"

/* ---- at k -------------------------------------------------------------------------------------------------------- */

int eval_choose_ks(const int64_t *asked, size_t asked_count, int64_t least, int64_t ks[EVAL_MAX_K], size_t *count,
                   struct error *err)
{
  *count = 0;
  if (asked_count > EVAL_MAX_K)
    FAIL_AT(err, ERROR_INPUT, NULL, 0, "k", "found %zu values of k; expected at most %d", asked_count, EVAL_MAX_K);
  for (size_t i = 0; i < asked_count; i++) {
    if (asked[i] < 1 || asked[i] > least)
      FAIL_AT(err, ERROR_INPUT, NULL, 0, "k",
              "found k = %lld; expected 1 to %lld, the samples that every problem has; take more --samples",
              (long long)asked[i], (long long)least);
    ks[(*count)++] = asked[i];
  }
  if (asked_count) return 0;
  for (int64_t k = 1; k <= least && *count < EVAL_MAX_K - 1; k *= 2) ks[(*count)++] = k;
  if (ks[*count - 1] != least) ks[(*count)++] = least;
  return 0;
}

/* How the wrong attempts of a problem are spread over answers. */
static int majority_of(struct arena *a, const struct eval_groups *s, const struct eval_group *g, int64_t k, double *out,
                       struct error *err)
{
  int64_t *other = ARENA_NEW(a, int64_t, g->count, "eval", err), silent = 0;
  size_t count = 0;
  const char *last = NULL;
  if (!other) return err->code;
  for (size_t i = g->first + g->right; i < g->first + g->count; i++) {
    const char *answer = s->items[i]->extracted;
    if (!answer)
      silent++;
    else if (last && !strcmp(last, answer))
      other[count - 1]++;
    else
      other[count++] = 1;
    last = answer;
  }
  return eval_majority_at_k(a, (int64_t)g->right, other, count, silent, k, out, err);
}

/* Adds one problem to the row of k. */
static int add_group(struct arena *a, const struct eval_groups *s, const struct eval_group *g, const double *rewards,
                     struct eval_at_k *at, struct error *err)
{
  int64_t n = (int64_t)g->count, c = (int64_t)g->right;
  struct arena_mark mark = arena_mark(a);
  double majority = 0;
  TRY(majority_of(a, s, g, at->k, &majority, err));
  arena_release(a, mark);
  at->pass += eval_pass_at_k(n, c, at->k);
  at->all += eval_all_at_k(n, c, at->k);
  at->majority += majority;
  at->best += eval_best_at_k(rewards, g->count, (size_t)at->k);
  at->worst += eval_worst_at_k(rewards, g->count, (size_t)at->k);
  return 0;
}

static int add_ks(struct arena *a, const struct eval_groups *s, struct eval_report *r, struct error *err)
{
  struct arena_mark mark = arena_mark(a);
  double *rewards = ARENA_NEW(a, double, (size_t)r->samples_most, "eval", err);
  if (!rewards) return err->code;
  for (size_t i = 0; i < s->count; i++) {
    const struct eval_group *g = &s->groups[i];
    for (size_t k = 0; k < g->count; k++) rewards[k] = s->items[g->first + k]->reward;
    eval_sort(rewards, g->count);
    for (size_t k = 0; k < r->k_count; k++) TRY(add_group(a, s, g, rewards, &r->at[k], err));
  }
  arena_release(a, mark);
  double n = (double)s->count;
  for (size_t k = 0; k < r->k_count; k++) {
    struct eval_at_k *at = &r->at[k];
    at->pass /= n, at->all /= n, at->majority /= n, at->best /= n, at->worst /= n;
  }
  return 0;
}

/* Intervals of the accuracy and of pass@k, resampled together. */
static int add_intervals(struct arena *a, const struct eval_groups *s, struct eval_report *r, struct error *err)
{
  struct arena_mark mark = arena_mark(a);
  size_t series = 1 + r->k_count;
  struct eval_interval intervals[1 + EVAL_MAX_K];
  double *values = ARENA_NEW(a, double, s->count *series, "eval", err);
  if (!values) return err->code;
  for (size_t i = 0; i < s->count; i++) {
    const struct eval_group *g = &s->groups[i];
    values[i * series] = (double)g->right / (double)g->count;
    for (size_t k = 0; k < r->k_count; k++)
      values[i * series + 1 + k] = eval_pass_at_k((int64_t)g->count, (int64_t)g->right, r->at[k].k);
  }
  TRY(eval_bootstrap(a, values, s->count, series, intervals, err));
  r->resampled = intervals[0];
  for (size_t k = 0; k < r->k_count; k++) {
    r->at[k].low = intervals[1 + k].low;
    r->at[k].high = intervals[1 + k].high;
  }
  arena_release(a, mark);
  return 0;
}

/* ---- rates ------------------------------------------------------------------------------------------------------- */

/* Of the groups of one domain; of all where domain is NULL. */
static int make_rate(struct arena *a, const struct eval_groups *s, const char *domain, struct eval_rate *out,
                     struct error *err)
{
  struct arena_mark mark = arena_mark(a);
  double *rates = ARENA_NEW(a, double, s->count, "eval", err), sum = 0;
  if (!rates) return err->code;
  *out = (struct eval_rate){.name = domain};
  for (size_t i = 0; i < s->count; i++) {
    const struct eval_group *g = &s->groups[i];
    if (domain && strcmp(domain, g->domain) != 0) continue;
    rates[out->problems] = (double)g->right / (double)g->count;
    sum += rates[out->problems++];
    out->attempts += g->count;
  }
  out->accuracy = sum / (double)out->problems;
  out->trials = eval_effective_trials(rates, out->problems, (int64_t)out->attempts);
  eval_wilson(out->accuracy, out->trials, &out->low, &out->high);
  arena_release(a, mark);
  return 0;
}

/* The place of a domain among those known, by name. */
static size_t domain_place(const struct eval_report *r, const char *name)
{
  size_t i = 0;
  while (i < r->domain_count && strcmp(r->domains[i].name, name) < 0) i++;
  return i;
}

static int add_domains(struct arena *a, const struct eval_groups *s, struct eval_report *r, struct error *err)
{
  if (!s->groups[0].domain) return 0;
  r->domains = ARENA_NEW(a, struct eval_rate, s->count, "eval", err);
  if (!r->domains) return err->code;
  for (size_t i = 0; i < s->count; i++) {
    size_t at = domain_place(r, s->groups[i].domain);
    if (at < r->domain_count && !strcmp(r->domains[at].name, s->groups[i].domain)) continue;
    memmove(&r->domains[at + 1], &r->domains[at], (r->domain_count++ - at) * sizeof *r->domains);
    r->domains[at].name = s->groups[i].domain;
  }
  for (size_t i = 0; i < r->domain_count; i++) TRY(make_rate(a, s, r->domains[i].name, &r->domains[i], err));
  return 0;
}

/* ---- what the answers look like ---------------------------------------------------------------------------------- */

/* Sums over the attempts, until they are divided. */
struct looks {
  double tokens, recorded, repetitions;
};

static int add_look(struct arena *a, const struct attempt *t, struct eval_report *r, struct looks *sum,
                    struct error *err)
{
  double repetition;
  r->reward += t->reward;
  r->readable += t->readable;
  if (t->finish) r->stop += !strcmp(t->finish, "stop"), r->length += !strcmp(t->finish, "length");
  TRY(attempt_repetition(a, t, &repetition, err));
  if (!math_is_nan(repetition)) r->repetition += repetition, sum->repetitions++;
  if (t->tokens < 0) return 0;
  sum->tokens += (double)t->tokens;
  r->tokens_known++;
  if (t->tokens > r->tokens_max) r->tokens_max = t->tokens;
  if (!t->recorded) return 0;
  r->entropy += t->entropy * (double)t->tokens;
  r->logp += t->logp;
  sum->recorded += (double)t->tokens;
  return 0;
}

static int add_looks(struct arena *a, const struct eval_groups *s, struct eval_report *r, struct error *err)
{
  struct looks sum = {0};
  const double nan = __builtin_nan("");
  for (size_t i = 0; i < s->item_count; i++) TRY(add_look(a, s->items[i], r, &sum, err));
  r->reward /= (double)s->item_count;
  r->readable /= (double)s->item_count;
  r->tokens_mean = r->tokens_known ? sum.tokens / (double)r->tokens_known : 0;
  r->truncated = r->stop + r->length ? (double)r->length / (double)(r->stop + r->length) : nan;
  r->entropy = sum.recorded > 0 ? r->entropy / sum.recorded : nan;
  r->logp = sum.recorded > 0 ? r->logp / sum.recorded : nan;
  r->repetition = sum.repetitions > 0 ? r->repetition / sum.repetitions : nan;
  return 0;
}

/* ---- the whole --------------------------------------------------------------------------------------------------- */

static int add_all(struct arena *a, const struct eval_groups *s, struct eval_report *out, struct error *err)
{
  struct eval_rate all;
  out->problems = s->count;
  out->attempts = s->item_count;
  out->samples_least = INT64_MAX;
  for (size_t i = 0; i < s->count; i++) {
    int64_t n = (int64_t)s->groups[i].count;
    if (n < out->samples_least) out->samples_least = n;
    if (n > out->samples_most) out->samples_most = n;
  }
  TRY(make_rate(a, s, NULL, &all, err));
  out->accuracy = all.accuracy;
  out->low = all.low;
  out->high = all.high;
  out->trials = all.trials;
  return 0;
}

int eval_report_make(struct arena *a, const struct attempt_list *list, const int64_t *ks, size_t count,
                     struct eval_report *out, struct error *err)
{
  struct eval_groups sampled, greedy;
  int64_t chosen[EVAL_MAX_K];
  *out = (struct eval_report){0};
  if (!list->count) FAIL(err, ERROR_INPUT, "found no attempts; expected at least one");
  for (size_t i = 0; i < list->count; i++) out->failed += list->items[i].failed;
  TRY(eval_groups_make(a, list, EVAL_SAMPLED, &sampled, err));
  if (!sampled.count)
    FAIL(err, ERROR_RESOURCE, "found %zu attempts, none with a verdict: the verifier failed every time", list->count);
  TRY(add_all(a, &sampled, out, err));
  TRY(eval_choose_ks(ks, count, out->samples_least, chosen, &out->k_count, err));
  for (size_t i = 0; i < out->k_count; i++) out->at[i].k = chosen[i];
  TRY(add_ks(a, &sampled, out, err));
  TRY(add_intervals(a, &sampled, out, err));
  TRY(add_domains(a, &sampled, out, err));
  TRY(eval_groups_make(a, list, EVAL_GREEDY, &greedy, err));
  if (greedy.count) TRY(make_rate(a, &greedy, NULL, &out->greedy, err));
  return add_looks(a, &sampled, out, err);
}
