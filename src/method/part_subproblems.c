#include "method/part_subproblems.h"

#include <string.h>

#include "data/source.h"
#include "method/part_prompt.h"

static const char *const CHANNELS[CURRICULUM_MOST] = {
    "subproblem_1",  "subproblem_2",  "subproblem_3",  "subproblem_4",  "subproblem_5",  "subproblem_6",
    "subproblem_7",  "subproblem_8",  "subproblem_9",  "subproblem_10", "subproblem_11", "subproblem_12",
    "subproblem_13", "subproblem_14", "subproblem_15", "subproblem_16"};

const char *subproblem_channel(int32_t j)
{
  return CHANNELS[j];
}

/* ---- before a run ------------------------------------------------------------------------------------------------ */

int subproblems_prepare(struct arena *scratch, const char *generated, int32_t k, struct preparation *out,
                        struct error *err)
{
  const struct problem *p = out->problem;
  const json_t *given = json_object_get(p->fields, generated);
  const char *text;
  json_t *list = NULL, *item;
  if (!given || !p->answer)
    FAIL_AT(err, ERROR_INPUT, p->source, p->line, generated,
            "problem %s has no %s; expected an answer, and in the field \"%s\" what the external model wrote: "
            "{\"question_1\": {\"statement\", \"ground_truth\"}, ...}",
            p->id, p->answer ? "such field" : "answer", generated);
  TRY(problem_value_text(scratch, given, &text, err));
  text = text ? text : "";
  enum curriculum_verdict v = curriculum_read(scratch, text, strlen(text), k, p->answer, &list);
  json_array_clear(out->items);
  if (v != CURRICULUM_ACCEPTED) {
    out->why = curriculum_verdict_words(v);
    return 0;
  }
  item = json_copy((json_t *)(uintptr_t)p->fields);
  int rc = json_object_set_new(item, "subproblems", list) || json_array_append_new(out->items, item);
  if (rc) FAIL(err, ERROR_RESOURCE, "no memory for subproblems");
  json_object_del(item, generated);
  return 0;
}

/* ---- what the policy reads --------------------------------------------------------------------------------------- */

int subproblems_context(struct method_call *c, struct step *s, int32_t group, const char *kind, const char *pattern,
                        int32_t k, int32_t *out, struct error *err)
{
  const struct problem *p = s->groups[group].problem;
  const json_t *list = json_object_get(p->fields, "subproblems"), *item;
  struct text all = {0}, tags = {0};
  char number[16];
  size_t i;
  if (json_array_size(list) != (size_t)k)
    FAIL_AT(err, ERROR_INPUT, p->source, p->line, "subproblems",
            "problem %s has %zu subproblems; expected %d of {statement, ground_truth} (%s's option k)", p->id,
            json_array_size(list), (int)k, c->method->name);
  json_array_foreach(list, i, item)
  {
    const char *statement = json_string_value(json_object_get(item, "statement"));
    text_printf(&all, "Problem%zu: %s\n", i + 1, statement ? statement : "");
    text_printf(&tags, "%s<p%zu></p%zu>", i ? " " : "", i + 1, i + 1);
  }
  snprintf(number, sizeof number, "%d", (int)k);
  int rc = text_finish(&all, err);
  if (!rc) rc = text_finish(&tags, err);
  const struct prompt_part parts[] = {{"subproblems", all.bytes}, {"tags", tags.bytes}, {"k", number}};
  const struct prompt_form form = {kind, pattern, parts, sizeof parts / sizeof *parts};
  if (!rc) rc = prompt_add(c, s, group, &form, out, err);
  text_free(&all);
  text_free(&tags);
  return rc;
}

/* ---- what a block earns ------------------------------------------------------------------------------------------ */

/* The bytes of block j that are judged; a box with its word and braces, as the kinds read it. */
static bool judged_part(const struct subproblem_judge *o, const char *text, const struct curriculum_block *b,
                        size_t *from, size_t *to)
{
  static const char WORD[] = "\\boxed{";
  *from = b->begin;
  *to = b->end;
  if (!o->boxed) return true;
  if (!curriculum_boxed(text, b->begin, b->end, from, to)) return false;
  *from -= sizeof WORD - 1;
  ++*to;
  return true;
}

int subproblems_ask(const struct subproblem_judge *o, struct asking *a, const struct step *s, int32_t rollout,
                    struct error *err)
{
  const struct rollout *r = &s->rollouts[rollout];
  struct curriculum_block b[CURRICULUM_MOST];
  bool valid = curriculum_blocks(r->text, r->text_size, o->k, b);
  for (int32_t j = 0; valid && j < o->k; j++) {
    struct request *q;
    size_t from, to;
    if (!judged_part(o, r->text, &b[j], &from, &to)) continue;
    TRY(ask(a, REQUEST_JUDGE, CHANNELS[j], &q, err));
    q->rollout = rollout;
    q->verifier = o->verifier;
    q->text = r->text + from;
    q->text_size = to - from;
    TRY(curriculum_problem(a->arena, s->groups[r->group].problem, j, &q->problem, err));
  }
  return 0;
}

void subproblems_take(const struct subproblem_judge *o, const struct asking *a, const struct step *s, int32_t rollout,
                      int32_t *next, double *raw)
{
  const struct rollout *r = &s->rollouts[rollout];
  struct curriculum_block b[CURRICULUM_MOST];
  bool valid = curriculum_blocks(r->text, r->text_size, o->k, b);
  for (int32_t j = 0; j < o->k; j++) {
    size_t from, to;
    raw[j] = 0;
    if (!valid || !judged_part(o, r->text, &b[j], &from, &to)) continue;
    const struct verdict *v = a->answers[(*next)++].verdict;
    raw[j] = v->status == VERDICT_OK && v->correct;
  }
}
