#include "eval/rejudge.h"
#include <stdlib.h>
#include <string.h>
#include "reward/verify_queue.h"

enum { BATCH = 4096 /* attempts between two waits: bounds the verdicts' memory */ };

/* The attempts by problem. */
struct order {
  struct attempt **items;
  size_t count;
};

static int by_problem(const void *x, const void *y)
{
  const struct attempt *p = *(struct attempt *const *)x, *q = *(struct attempt *const *)y;
  int order = attempt_compare_problem(p, q);
  return order ? order : attempt_compare_key(p, q);
}

static int sort_attempts(struct arena *a, struct attempt_list *l, struct order *out, struct error *err)
{
  out->items = ARENA_NEW(a, struct attempt *, l->count, "eval", err);
  if (!out->items) return err->code;
  out->count = l->count;
  for (size_t i = 0; i < l->count; i++) out->items[i] = &l->items[i];
  qsort(out->items, out->count, sizeof *out->items, by_problem);
  return 0;
}

/* ---- problems of attempts that lack them ------------------------------------------------------------------------- */

static int by_id(const void *x, const void *y)
{
  return strcmp((*(struct attempt *const *)x)->problem, (*(struct attempt *const *)y)->problem);
}

/* Gives the problem's line to the attempts with its id. */
static int attach(struct arena *a, const struct order *o, const struct problem *p, struct error *err)
{
  struct attempt key = {.problem = p->id}, *pointer = &key;
  struct attempt **hit = bsearch(&pointer, o->items, o->count, sizeof *o->items, by_id);
  struct text t = {0};
  if (!hit) return 0;
  while (hit > o->items && !strcmp(hit[-1]->problem, p->id)) hit--;
  json_put_value(&t, p->fields);
  int rc = text_finish(&t, err);
  char *fields = rc ? NULL : arena_strndup(a, t.bytes, t.size, "eval", err);
  text_free(&t);
  if (!fields) return err->code;
  for (; hit < o->items + o->count && !strcmp((*hit)->problem, p->id); hit++) {
    (*hit)->fields = fields;
    if (!(*hit)->verifier) (*hit)->verifier = p->verifier;
  }
  return 0;
}

int attempts_attach(struct arena *a, struct attempt_list *l, const struct source *source, struct error *err)
{
  struct order o;
  TRY(sort_attempts(a, l, &o, err));
  qsort(o.items, o.count, sizeof *o.items, by_id);
  if (!source_count(source))
    FAIL_AT(err, ERROR_INPUT, NULL, 0, "--data", "found %s, which has no end; expected a problem file",
            source_name(source));
  for (uint64_t i = 0; i < source_count(source); i++) {
    struct arena_mark mark = arena_mark(a);
    struct problem p;
    TRY(source_problem(source, a, i, &p, err));
    struct attempt key = {.problem = p.id}, *pointer = &key;
    if (!bsearch(&pointer, o.items, o.count, sizeof *o.items, by_id))
      arena_release(a, mark);
    else
      TRY(attach(a, &o, &p, err));
  }
  return 0;
}

/* ---- judging ----------------------------------------------------------------------------------------------------- */

struct judging {
  struct arena *arena; /* of the list */
  struct arena *batch;
  const struct rejudge_options *options;
  struct verifier_set *verifiers;
  struct verify_queue *queue;
  struct order order;
};

/* {"ordered": "true"} as it was stored. */
static int read_settings(struct judging *j, const char *text, struct source_options *out, struct error *err)
{
  json_t *object, *v;
  const char *key;
  if (!text) return 0;
  TRY(json_parse(j->arena, text, strlen(text), "settings", 0, 0, &object, err));
  struct setting_given *s = ARENA_NEW(j->arena, struct setting_given, json_object_size(object), "eval", err);
  if (!s) return err->code;
  out->verifier_settings = s;
  json_object_foreach(object, key, v)
  {
    struct setting_given *given = &s[out->verifier_setting_count++];
    *given = (struct setting_given){.key = key};
    TRY(problem_value_text(j->arena, v, &given->text, err));
  }
  return 0;
}

/* The line of a problem: one of its attempts has it, or an answer. items[from .. to-1] are its attempts. */
static int find_line(struct judging *j, size_t from, size_t to, json_t **out, struct error *err)
{
  const struct attempt *first = j->order.items[from];
  const char *answer = NULL;
  for (size_t i = from; i < to; i++) {
    const struct attempt *t = j->order.items[i];
    if (t->fields) return json_parse(j->arena, t->fields, strlen(t->fields), t->problem, 0, JSON_READ_PLAIN, out, err);
    if (t->answer) answer = t->answer;
  }
  if (!answer)
    FAIL_AT(err, ERROR_INPUT, first->data, 0, "fields",
            "found neither fields nor an answer with the attempts at problem \"%s\"; expected one of them, as assay "
            "eval --out writes; or name the problems with --data",
            first->problem);
  TRY(json_parse(j->arena, "{\"question\": \"\"}", 16, "attempts", 0, 0, out, err));
  if (json_object_set_new(*out, "answer", json_string(answer)) != 0) FAIL(err, ERROR_RESOURCE, "no memory");
  return 0;
}

static int make_problem(struct judging *j, size_t from, size_t to, struct problem *out, struct error *err)
{
  const struct attempt *first = j->order.items[from];
  const struct rejudge_options *given = j->options;
  struct source_options o = {.verifier = given->verifier ? given->verifier : first->verifier,
                             .verifier_settings = given->settings,
                             .verifier_setting_count = given->setting_count};
  json_t *line;
  TRY(find_line(j, from, to, &line, err));
  if (!given->verifier) TRY(read_settings(j, first->settings, &o, err));
  if (!json_object_get(line, "prompt") && !json_object_get(line, "question") && !json_object_get(line, "messages") &&
      json_object_set_new(line, "question", json_string("")) != 0)
    FAIL(err, ERROR_RESOURCE, "no memory");
  TRY(problem_from_object(j->arena, line, &o, first->data ? first->data : "attempts", 0, out, err));
  out->id = first->problem;
  return 0;
}

static int take_verdict(struct judging *j, struct attempt *t, const struct problem *p, const struct verdict *v,
                        size_t *changed, struct error *err)
{
  bool correct = v->status == VERDICT_OK && v->correct;
  *changed += correct != (t->correct && !t->failed);
  t->failed = v->status != VERDICT_OK;
  t->correct = v->correct;
  t->readable = v->readable;
  t->reward = v->reward;
  t->verifier = p->verifier;
  t->extracted = v->extracted ? arena_strdup(j->arena, v->extracted, "eval", err) : NULL;
  t->reason = arena_strdup(j->arena, v->reason, "eval", err);
  if (j->options->verifier) t->settings = NULL;
  return t->reason && (!v->extracted || t->extracted) ? 0 : err->code;
}

/* Attempts from .. to-1, whole problems. */
static int judge_batch(struct judging *j, size_t from, size_t to, size_t *changed, struct error *err)
{
  struct verdict *verdicts = ARENA_NEW(j->batch, struct verdict, to - from, "eval", err);
  struct problem *problems = verdicts ? ARENA_NEW(j->batch, struct problem, to - from, "eval", err) : NULL;
  if (!problems) return err->code;
  verify_queue_start(j->queue, verdicts, to - from);
  int rc = 0;
  for (size_t i = from, end; i < to && !rc; i = end) {
    const struct verifier_config *verifier = NULL;
    for (end = i + 1; end < to && !attempt_compare_problem(j->order.items[i], j->order.items[end]);) end++;
    rc = make_problem(j, i, end, &problems[i - from], err);
    if (!rc) rc = verifier_set_find(j->verifiers, &problems[i - from], &verifier, err);
    for (size_t k = i; k < end && !rc; k++) {
      const struct attempt *t = j->order.items[k];
      problems[k - from] = problems[i - from];
      if (t->text)
        verify_queue_submit(j->queue, verifier, &problems[i - from], t->text, t->text_size, k - from);
      else
        rc =
            error_fail(err, ERROR_INPUT, t->data, 0, "text",
                       "found an attempt at problem \"%s\" without its text; expected text, as assay eval --out writes",
                       t->problem);
    }
  }
  struct error waited = {0};
  int wait_rc = verify_queue_wait(j->queue, &waited);
  if (!rc && wait_rc) *err = waited;
  TRY(rc ? rc : wait_rc);
  for (size_t i = from; i < to; i++)
    TRY(take_verdict(j, j->order.items[i], &problems[i - from], &verdicts[i - from], changed, err));
  return 0;
}

int attempts_rejudge(struct arena *a, struct attempt_list *l, const struct rejudge_options *o, size_t *changed,
                     struct error *err)
{
  struct judging j = {.arena = a, .options = o};
  *changed = 0;
  TRY(sort_attempts(a, l, &j.order, err));
  TRY(verifier_set_create(a, 0, &j.verifiers, err));
  TRY(verify_queue_create(a, &(struct verify_queue_options){.workers = o->workers}, &j.queue, err));
  if (!(j.batch = arena_create("rejudge", 0, err))) return err->code;
  int rc = 0;
  for (size_t from = 0, to; from < l->count && !rc; from = to) {
    to = from + BATCH < l->count ? from + BATCH : l->count;
    while (to < l->count && !attempt_compare_problem(j.order.items[to - 1], j.order.items[to])) to++;
    rc = judge_batch(&j, from, to, changed, err);
    if (!rc && o->stopped && o->stopped()) rc = error_fail(err, ERROR_STOPPED, NULL, 0, NULL, "stopped by a signal");
    arena_reset(j.batch);
  }
  arena_destroy(j.batch);
  return rc;
}
