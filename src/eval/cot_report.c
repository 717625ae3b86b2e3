#include "eval/cot_report.h"
#include <stdlib.h>
#include <string.h>
#include "core/file.h"
#include "core/math.h"
#include "eval/groups.h"

/* What is known of an attempt's chain. */
struct judged {
  struct call *calls; /* the last first */
  size_t count, file; /* calls; number of the last file with a line about it */
  bool rules[COT_RULES];
};

struct call {
  int verdict;
  struct call *before;
};

struct reading {
  struct arena *arena;
  const struct attempt_list *list;
  const struct attempt **sorted; /* by problem and sample */
  struct judged *judged;         /* [list->count] */
  enum cot_bad bad;
  size_t file; /* number of the file being read, from 1 */
  struct cot_report *out;
};

/* ---- the judge's file -------------------------------------------------------------------------------------------- */

static int by_sample(const void *x, const void *y)
{
  const struct attempt *p = *(const struct attempt *const *)x, *q = *(const struct attempt *const *)y;
  int order = strcmp(p->problem, q->problem);
  return order ? order : (p->sample > q->sample) - (p->sample < q->sample);
}

/* The attempt that a line means. */
static int find_attempt(const struct reading *r, const json_t *line, const struct attempt **out, struct error *err)
{
  struct attempt key = {0};
  const struct attempt *pointer = &key, *const * hit;
  const json_t *seed = json_object_get(line, "seed");
  size_t n = r->list->count, matches = 0;
  TRY(json_need_string(line, "problem", &key.problem, NULL, err));
  TRY(json_need_int(line, "sample", 0, INT64_MAX, &key.sample, NULL, err));
  hit = bsearch(&pointer, r->sorted, n, sizeof *r->sorted, by_sample);
  while (hit && hit > r->sorted && !by_sample(hit - 1, &pointer)) hit--;
  for (; hit && hit < r->sorted + n && !by_sample(hit, &pointer); hit++) {
    if ((*hit)->greedy || (json_is_integer(seed) && (*hit)->seed != json_integer_value(seed))) continue;
    *out = *hit;
    matches++;
  }
  if (matches == 1) return 0;
  FAIL_AT(err, ERROR_INPUT, NULL, 0, "sample",
          "found a verdict about problem \"%s\", sample %lld, of which there are %zu attempts; expected one%s",
          key.problem, (long long)key.sample, matches, matches ? "; say which by its seed" : "");
}

static int read_verdict(const json_t *v)
{
  if (json_is_boolean(v)) return json_is_true(v) ? COT_YES : COT_NO;
  if (json_is_integer(v) && json_integer_value(v) / 2 == 0 && json_integer_value(v) >= 0)
    return json_integer_value(v) ? COT_YES : COT_NO;
  return json_is_string(v) ? cot_read_verdict(json_string_value(v), json_string_length(v)) : COT_BAD;
}

static int add_call(struct reading *r, struct judged *j, int verdict, struct error *err)
{
  struct call *call = ARENA_NEW(r->arena, struct call, 1, "eval", err);
  if (!call) return err->code;
  *call = (struct call){verdict, j->calls};
  j->calls = call;
  j->count++;
  r->out->calls++;
  r->out->bad += verdict == COT_BAD;
  return 0;
}

static int take_line(struct reading *r, const json_t *line, struct error *err)
{
  const json_t *list = json_object_get(line, "verdicts"), *correct = json_object_get(line, "correct");
  const struct attempt *t;
  size_t n = json_array_size(list);
  if (!n && !json_is_boolean(correct))
    FAIL_AT(err, ERROR_INPUT, NULL, 0, "verdicts",
            "found no verdicts; expected {\"problem\", \"sample\", \"verdicts\": [true, false, ...]}, or \"correct\"");
  TRY(find_attempt(r, line, &t, err));
  struct judged *j = &r->judged[t - r->list->items];
  if (j->file == r->file)
    FAIL_AT(err, ERROR_INPUT, NULL, 0, "sample", "found a second line about problem \"%s\", sample %lld; expected one",
            t->problem, (long long)t->sample);
  j->file = r->file;
  for (size_t i = 0; i < n; i++) TRY(add_call(r, j, read_verdict(json_array_get(list, i)), err));
  if (n) return 0;
  return add_call(r, j, json_is_true(json_object_get(line, "failed")) ? COT_BAD : read_verdict(correct), err);
}

/* Each attempt's calls to what the rules say. */
static int combine(struct reading *r, struct error *err)
{
  struct arena_mark mark = arena_mark(r->arena);
  int *verdicts = ARENA_NEW(r->arena, int, r->out->calls, "eval", err);
  if (!verdicts) return err->code;
  for (size_t i = 0; i < r->list->count; i++) {
    struct judged *j = &r->judged[i];
    size_t n = 0;
    for (const struct call *call = j->calls; call; call = call->before) verdicts[n++] = call->verdict;
    if (n) cot_combine(verdicts, n, r->bad, j->rules);
  }
  arena_release(r->arena, mark);
  return 0;
}

static int read_file(struct reading *r, const char *path, struct error *err)
{
  struct line_reader *reader;
  struct arena *scratch = arena_create("verdicts", 0, err);
  char *line;
  size_t n;
  int number, rc = scratch ? 0 : err->code;
  if (!rc) rc = line_reader_open(scratch, path, &reader, err);
  struct arena_mark mark = scratch && !rc ? arena_mark(scratch) : (struct arena_mark){0};
  while (!rc && !(rc = line_reader_next(reader, &line, &n, &number, err)) && line) {
    json_t *object;
    if (!n) continue;
    rc = json_parse(scratch, line, n, path, number - 1, JSON_READ_PLAIN, &object, err);
    if (!rc && (rc = take_line(r, object, err))) error_place(err, path, number);
    arena_release(scratch, mark);
  }
  arena_destroy(scratch);
  return rc;
}

/* ---- numbers ----------------------------------------------------------------------------------------------------- */

/* One problem's counts: right answers, those with right chains, and what is judged of the wrong ones. */
struct counts {
  size_t right, chains[COT_RULES], wrong, wrong_judged, wrong_right;
};

static struct counts count_group(const struct reading *r, const struct eval_groups *g, const struct eval_group *group)
{
  struct counts c = {.right = group->right, .wrong = group->count - group->right};
  for (size_t i = group->first; i < group->first + group->count; i++) {
    const struct judged *j = &r->judged[g->items[i] - r->list->items];
    if (!j->count) continue;
    if (!g->items[i]->correct) {
      c.wrong_judged++;
      c.wrong_right += j->rules[COT_MAJORITY];
      continue;
    }
    r->out->judged++;
    for (int k = 0; k < COT_RULES; k++) c.chains[k] += j->rules[k];
  }
  return c;
}

static void add_group(struct reading *r, const struct eval_group *group, const struct counts *c,
                      struct cot_counts *sums)
{
  struct cot_report *out = r->out;
  int64_t n = (int64_t)group->count;
  out->right += c->right;
  out->wrong_judged += c->wrong_judged;
  out->answer += (double)c->right / (double)n;
  out->skipped += !c->right;
  for (int k = 0; k < COT_RULES && c->right; k++) out->chain[k] += (double)c->chains[k] / (double)c->right;
  for (size_t i = 0; i < out->k_count; i++) {
    out->at[i].pass += eval_pass_at_k(n, (int64_t)c->right, out->at[i].k);
    for (int k = 0; k < COT_RULES; k++) out->at[i].cot[k] += eval_pass_at_k(n, (int64_t)c->chains[k], out->at[i].k);
  }
  sums->right_right += (double)c->chains[COT_MAJORITY];
  sums->right_wrong += (double)(c->right - c->chains[COT_MAJORITY]);
  if (!c->wrong_judged) return;
  double each = (double)c->wrong / (double)c->wrong_judged;
  sums->wrong_right += each * (double)c->wrong_right;
  sums->wrong_wrong += each * (double)(c->wrong_judged - c->wrong_right);
}

static void divide(struct cot_report *out)
{
  double n = (double)out->problems, some = (double)(out->problems - out->skipped);
  out->answer /= n;
  for (int k = 0; k < COT_RULES; k++) out->chain[k] = some > 0 ? out->chain[k] / some : (double)__builtin_nanf("");
  for (size_t i = 0; i < out->k_count; i++) {
    out->at[i].pass /= n;
    for (int k = 0; k < COT_RULES; k++) out->at[i].cot[k] /= n;
  }
}

int cot_report_make(struct arena *a, const struct attempt_list *list, const char *const *paths, size_t path_count,
                    enum cot_bad bad, const int64_t *ks, size_t count, struct cot_report *out, struct error *err)
{
  struct reading r = {.arena = a, .list = list, .bad = bad, .out = out};
  struct eval_groups groups;
  struct cot_counts sums = {0};
  int64_t chosen[EVAL_MAX_K], least = INT64_MAX;
  *out = (struct cot_report){.alpha = __builtin_nan(""), .beta = __builtin_nan("")};
  TRY(eval_groups_make(a, list, EVAL_SAMPLED, &groups, err));
  if (!groups.count) FAIL(err, ERROR_INPUT, "found no attempts with a verdict; expected at least one");
  for (size_t i = 0; i < groups.count; i++)
    if ((int64_t)groups.groups[i].count < least) least = (int64_t)groups.groups[i].count;
  TRY(eval_choose_ks(ks, count, least, chosen, &out->k_count, err));
  for (size_t i = 0; i < out->k_count; i++) out->at[i].k = chosen[i];
  r.sorted = ARENA_NEW(a, const struct attempt *, list->count, "eval", err);
  r.judged = r.sorted ? ARENA_NEW(a, struct judged, list->count, "eval", err) : NULL;
  if (!r.judged) return err->code;
  for (size_t i = 0; i < list->count; i++) r.sorted[i] = &list->items[i];
  qsort(r.sorted, list->count, sizeof *r.sorted, by_sample);
  for (r.file = 1; r.file <= path_count; r.file++) TRY(read_file(&r, paths[r.file - 1], err));
  TRY(combine(&r, err));
  out->problems = groups.count;
  for (size_t i = 0; i < groups.count; i++) {
    struct counts c = count_group(&r, &groups, &groups.groups[i]);
    add_group(&r, &groups.groups[i], &c, &sums);
  }
  divide(out);
  if (out->wrong_judged) cot_estimate(&sums, &out->alpha, &out->beta);
  return 0;
}

/* ---- printing ---------------------------------------------------------------------------------------------------- */

void cot_report_put_json(struct text *t, const struct cot_report *r)
{
  text_printf(t,
              "{\"problems\": %zu, \"skipped\": %zu, \"right\": %zu, \"judged\": %zu, \"wrong_judged\": %zu, "
              "\"calls\": %zu, \"bad\": %zu, \"p_answer\": ",
              r->problems, r->skipped, r->right, r->judged, r->wrong_judged, r->calls, r->bad);
  json_put_f64(t, r->answer);
  for (int k = 0; k < COT_RULES; k++) {
    text_printf(t, "%s\"%s\": ", k ? ", " : ", \"p_chain\": {", cot_rule_names[k]);
    json_put_f64(t, r->chain[k]);
  }
  text_puts(t, "}, \"alpha\": ");
  json_put_f64(t, r->alpha);
  text_puts(t, ", \"beta\": ");
  json_put_f64(t, r->beta);
  for (int k = -1; k < COT_RULES; k++) {
    text_printf(t, ", \"%s%s\": {", k < 0 ? "pass@k" : "cot_pass@k_", k < 0 ? "" : cot_rule_names[k]);
    for (size_t i = 0; i < r->k_count; i++) {
      text_printf(t, "%s\"%lld\": ", i ? ", " : "", (long long)r->at[i].k);
      json_put_f64(t, k < 0 ? r->at[i].pass : r->at[i].cot[k]);
    }
    text_puts(t, "}");
  }
  text_puts(t, "}");
}

void cot_report_put_text(struct text *t, const struct cot_report *r)
{
  text_printf(t, "chains     %zu of %zu right answers were judged (%zu verdicts, %zu unusable)\n", r->judged, r->right,
              r->calls, r->bad);
  if (!math_is_nan(r->chain[COT_MAJORITY]))
    text_printf(t,
                "           of a right answer the chain is right in %.1f %% (all: %.1f, any: %.1f); %zu problems "
                "have no right answer\n",
                100 * r->chain[COT_MAJORITY], 100 * r->chain[COT_ALL], 100 * r->chain[COT_ANY], r->skipped);
  text_puts(t, "     k    pass  CoT-pass  (all to any)\n");
  for (size_t i = 0; i < r->k_count; i++)
    text_printf(t, "%6lld %5.1f %%   %5.1f %%  (%.1f to %.1f)\n", (long long)r->at[i].k, 100 * r->at[i].pass,
                100 * r->at[i].cot[COT_MAJORITY], 100 * r->at[i].cot[COT_ALL], 100 * r->at[i].cot[COT_ANY]);
  if (!math_is_nan(r->alpha))
    text_printf(t, "chances    of a right answer: %.3f behind a right chain, %.3f behind a wrong one%s\n", r->alpha,
                r->beta, r->alpha <= r->beta ? ": rewards for answers alone teach wrong chains" : "");
}
