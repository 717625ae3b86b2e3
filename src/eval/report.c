#include "eval/report.h"
#include <stdlib.h>
#include <string.h>

/* Attempts of one problem: items[first .. first + count - 1] of the sorted list. */
struct group {
  size_t first, count, right;
};

struct sorted {
  const struct attempt **items;
  struct group *groups;
  size_t group_count;
};

static int compare(const void *x, const void *y)
{
  const struct attempt *p = *(const struct attempt *const *)x, *q = *(const struct attempt *const *)y;
  int order = strcmp(p->problem, q->problem);
  if (order) return order;
  if (p->correct != q->correct) return p->correct ? -1 : 1;
  if (!p->extracted || !q->extracted) return !p->extracted - !q->extracted;
  return strcmp(p->extracted, q->extracted);
}

/* By problem; within one the right attempts, then those with an answer by answer, then the silent ones. Sums over
   groups run in this order, so that the order of a file moves no bit. */
static int sort_attempts(struct arena *a, const struct attempt_list *list, struct sorted *out, struct error *err)
{
  out->items = ARENA_NEW(a, const struct attempt *, list->count, "eval", err);
  out->groups = out->items ? ARENA_NEW(a, struct group, list->count, "eval", err) : NULL;
  if (!out->groups) return err->code;
  for (size_t i = 0; i < list->count; i++) out->items[i] = &list->items[i];
  qsort(out->items, list->count, sizeof *out->items, compare);
  for (size_t i = 0; i < list->count; i++) {
    if (!i || strcmp(out->items[i - 1]->problem, out->items[i]->problem) != 0)
      out->groups[out->group_count++] = (struct group){.first = i};
    struct group *g = &out->groups[out->group_count - 1];
    g->count++;
    g->right += out->items[i]->correct;
  }
  return 0;
}

/* How the wrong attempts of a problem are spread over answers. */
static int majority_of(struct arena *a, const struct sorted *s, const struct group *g, int64_t k, double *out,
                       struct error *err)
{
  struct arena_mark mark = arena_mark(a);
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
  int rc = eval_majority_at_k(a, (int64_t)g->right, other, count, silent, k, out, err);
  arena_release(a, mark);
  return rc;
}

static int add_k(struct arena *a, const struct sorted *s, int64_t k, struct eval_report *r, struct error *err)
{
  double pass = 0, majority = 0, one = 0;
  for (size_t i = 0; i < s->group_count; i++) {
    const struct group *g = &s->groups[i];
    pass += eval_pass_at_k((int64_t)g->count, (int64_t)g->right, k);
    TRY(majority_of(a, s, g, k, &one, err));
    majority += one;
  }
  r->at[r->k_count].k = k;
  r->at[r->k_count].pass = pass / (double)s->group_count;
  r->at[r->k_count++].majority = majority / (double)s->group_count;
  return 0;
}

static int add_ks(struct arena *a, const struct sorted *s, const int64_t *ks, size_t count, struct eval_report *r,
                  struct error *err)
{
  int64_t least = r->samples_least;
  if (count > EVAL_MAX_K)
    FAIL_AT(err, ERROR_INPUT, NULL, 0, "k", "found %zu values of k; expected at most %d", count, EVAL_MAX_K);
  for (size_t i = 0; i < count; i++) {
    if (ks[i] < 1 || ks[i] > least)
      FAIL_AT(err, ERROR_INPUT, NULL, 0, "k",
              "found k = %lld; expected 1 to %lld, the samples that every problem has; take more --samples",
              (long long)ks[i], (long long)least);
    TRY(add_k(a, s, ks[i], r, err));
  }
  if (count) return 0;
  for (int64_t k = 1; k <= least && r->k_count < EVAL_MAX_K - 1; k *= 2) TRY(add_k(a, s, k, r, err));
  return r->at[r->k_count - 1].k == least ? 0 : add_k(a, s, least, r, err);
}

static void add_lengths(const struct sorted *s, size_t count, struct eval_report *r)
{
  double tokens = 0, reward = 0, readable = 0;
  for (size_t i = 0; i < count; i++) {
    const struct attempt *t = s->items[i];
    reward += t->reward;
    readable += t->readable;
    if (t->finish) r->stop += !strcmp(t->finish, "stop"), r->length += !strcmp(t->finish, "length");
    if (t->tokens < 0) continue;
    tokens += (double)t->tokens;
    r->tokens_known++;
    if (t->tokens > r->tokens_max) r->tokens_max = t->tokens;
  }
  r->reward = reward / (double)count;
  r->readable = readable / (double)count;
  r->tokens_mean = r->tokens_known ? tokens / (double)r->tokens_known : 0;
}

int eval_report_make(struct arena *a, const struct attempt_list *list, const int64_t *ks, size_t count,
                     struct eval_report *out, struct error *err)
{
  struct sorted s = {0};
  *out = (struct eval_report){.attempts = list->count};
  if (!list->count) FAIL(err, ERROR_INPUT, "found no attempts; expected at least one");
  TRY(sort_attempts(a, list, &s, err));
  double *rates = ARENA_NEW(a, double, s.group_count, "eval", err);
  if (!rates) return err->code;
  out->problems = s.group_count;
  out->samples_least = INT64_MAX;
  for (size_t i = 0; i < s.group_count; i++) {
    int64_t n = (int64_t)s.groups[i].count;
    rates[i] = (double)s.groups[i].right / (double)n;
    out->accuracy += rates[i];
    if (n < out->samples_least) out->samples_least = n;
    if (n > out->samples_most) out->samples_most = n;
  }
  out->accuracy /= (double)s.group_count;
  out->trials = eval_effective_trials(rates, s.group_count, (int64_t)list->count);
  eval_wilson(out->accuracy, out->trials, &out->low, &out->high);
  add_lengths(&s, list->count, out);
  return add_ks(a, &s, ks, count, out, err);
}

/* ---- printing ---------------------------------------------------------------------------------------------------- */

static void put_ks(struct text *t, const struct eval_report *r, bool majority)
{
  for (size_t i = 0; i < r->k_count; i++) {
    text_printf(t, "%s\"%lld\": ", i ? ", " : "", (long long)r->at[i].k);
    json_put_f64(t, majority ? r->at[i].majority : r->at[i].pass);
  }
}

void eval_report_put_json(struct text *t, const struct eval_report *r)
{
  text_printf(t, "{\"problems\": %zu, \"attempts\": %zu, \"accuracy\": ", r->problems, r->attempts);
  json_put_f64(t, r->accuracy);
  text_puts(t, ", \"low\": ");
  json_put_f64(t, r->low);
  text_puts(t, ", \"high\": ");
  json_put_f64(t, r->high);
  text_puts(t, ", \"pass@k\": {");
  put_ks(t, r, false);
  text_puts(t, "}, \"majority@k\": {");
  put_ks(t, r, true);
  text_puts(t, "}, \"reward\": ");
  json_put_f64(t, r->reward);
  text_puts(t, ", \"readable\": ");
  json_put_f64(t, r->readable);
  text_puts(t, ", \"length\": {\"mean\": ");
  json_put_f64(t, r->tokens_mean);
  text_printf(t, ", \"max\": %lld}, \"finish\": {\"stop\": %zu, \"length\": %zu}}", (long long)r->tokens_max, r->stop,
              r->length);
}

void eval_report_put_text(struct text *t, const struct eval_report *r)
{
  text_printf(t, "problems   %zu, attempts %zu\n", r->problems, r->attempts);
  text_printf(t, "accuracy   %.1f %%  (95 %% interval %.1f to %.1f)\n", 100 * r->accuracy, 100 * r->low, 100 * r->high);
  for (size_t i = 0; i < r->k_count; i++)
    text_printf(t, "at %-6lld  pass %.1f %%, majority %.1f %%\n", (long long)r->at[i].k, 100 * r->at[i].pass,
                100 * r->at[i].majority);
  text_printf(t, "reward     %.4f mean; an answer was read in %.1f %%\n", r->reward, 100 * r->readable);
  if (r->tokens_known)
    text_printf(t, "length     %.1f tokens mean, %lld at most\n", r->tokens_mean, (long long)r->tokens_max);
  if (r->stop + r->length) text_printf(t, "finish     stop %zu, length %zu\n", r->stop, r->length);
}
