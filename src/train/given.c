#include "train/given.h"

#include <string.h>

#include "data/preference.h"
#include "rollout/conversation.h"
#include "train/run.h"

enum given_form given_form(const struct recipe *r)
{
  for (size_t i = 0; r->kind == RECIPE_SFT && i < r->method_count; i++) {
    if (!strcmp(r->methods[i].name, "reward_model")) return GIVEN_SCORED;
    if (!strcmp(r->methods[i].name, "dpo")) return GIVEN_PAIRS;
  }
  return GIVEN_EXAMPLES;
}

int given_sequences(const struct recipe *r)
{
  return given_form(r) == GIVEN_EXAMPLES ? 1 : 2;
}

int32_t given_longest(const struct given *g)
{
  int32_t most = 0;
  for (int32_t i = 0; i < g->count; i++)
    if (g->of[i].count > most) most = g->of[i].count;
  return most;
}

/* ---- one problem ------------------------------------------------------------------------------------------------ */

/* What is being written. */
struct tokens {
  const struct run *run;
  const struct problem *problem;
  struct token_list ids, learn;
};

static int add_answer(struct tokens *t, const json_t *text, struct error *err)
{
  return conversation_answer(&t->run->session, t->problem, t->run->template_variables, json_string_value(text),
                             json_string_length(text), &t->ids, &t->learn, err);
}

static int add_conversation(struct tokens *t, const json_t *messages, size_t from, struct error *err)
{
  return conversation_tokens(&t->run->session, t->problem, t->run->template_variables, messages, from, &t->ids,
                             &t->learn, err);
}

static int add_example(struct tokens *t, struct error *err)
{
  const struct problem *p = t->problem;
  const json_t *completion = json_object_get(p->fields, "completion");
  if (preference_is(p->fields) && !completion)
    FAIL_AT(err, ERROR_INPUT, p->source, p->line, "chosen",
            "found chosen and rejected, from which the method sft does not learn; write methods: [dpo] or methods: "
            "[reward_model] for pairs, or fields: {completion: chosen} to imitate the chosen side");
  if (!completion && json_object_get(p->fields, "messages"))
    return add_conversation(t, p->messages ? p->messages : json_object_get(p->fields, "messages"), 0, err);
  if (completion && !json_is_string(completion))
    FAIL_AT(err, ERROR_INPUT, p->source, p->line, "completion",
            "found a completion that is no text; expected a string; a conversation goes into messages");
  if (completion) return add_answer(t, completion, err);
  if (!p->answer)
    FAIL_AT(err, ERROR_INPUT, p->source, p->line, "completion",
            "found neither messages nor a completion; expected {messages} or {prompt, completion}");
  return conversation_answer(&t->run->session, p, t->run->template_variables, p->answer, strlen(p->answer), &t->ids,
                             &t->learn, err);
}

static int add_side(struct tokens *t, enum preference_side side, struct error *err)
{
  const struct problem *p = t->problem;
  const json_t *text;
  json_t *messages;
  size_t from;
  if (!preference_is(p->fields))
    FAIL_AT(err, ERROR_INPUT, p->source, p->line, "chosen",
            "found no pair to learn from; expected {prompt, chosen, rejected}; examples to imitate are for a recipe "
            "without methods");
  TRY(preference_read(p, side, &text, &messages, &from, err));
  if (text) return add_answer(t, text, err);
  int rc = add_conversation(t, messages, from, err);
  json_decref(messages);
  return rc;
}

/* A reward model learns nothing but a number behind the last token: what it is read at is one more. */
static int only_behind(struct tokens *t, struct error *err)
{
  if (!t->ids.count) return 0;
  for (size_t i = 0; i < t->learn.count; i++) t->learn.ids[i] = 0;
  TRY(token_list_push(&t->ids, t->ids.ids[t->ids.count - 1], err));
  return token_list_push(&t->learn, 1, err);
}

static int keep(const struct tokens *t, struct arena *a, struct given_sequence *out, struct error *err)
{
  const struct problem *p = t->problem;
  size_t n = t->ids.count;
  bool any = false;
  for (size_t i = 1; i < n; i++) any = any || t->learn.ids[i];
  if (!any)
    FAIL_AT(err, ERROR_INPUT, p->source, p->line, "messages",
            "found no token to learn from; expected a message of the assistant, or a completion, behind a prompt");
  if (n > INT32_MAX) FAIL_AT(err, ERROR_INPUT, p->source, p->line, NULL, "found %zu tokens; expected fewer", n);
  out->count = (int32_t)n;
  out->ids = ARENA_NEW(a, int32_t, n, "examples", err);
  out->learn = ARENA_NEW(a, uint8_t, n, "examples", err);
  if (!out->ids || !out->learn) return err->code;
  memcpy(out->ids, t->ids.ids, n * sizeof *out->ids);
  for (size_t i = 0; i < n; i++) out->learn[i] = i > 0 && t->learn.ids[i];
  return 0;
}

/* Answers that are the same leave nothing to prefer. */
static int check_pair(const struct given *g, struct error *err)
{
  const struct given_sequence *c = &g->of[0], *r = &g->of[1];
  if (g->count < 2 || c->count != r->count || memcmp(c->ids, r->ids, (size_t)c->count * sizeof *c->ids)) return 0;
  FAIL_AT(err, ERROR_INPUT, g->problem->source, g->problem->line, "rejected",
          "found the same tokens in chosen and rejected; expected answers that differ; remove the line");
}

int given_read(const struct run *r, struct arena *a, const struct problem *p, struct given *out, struct error *err)
{
  enum given_form form = given_form(r->recipe);
  *out = (struct given){.problem = p, .count = given_sequences(r->recipe)};
  int rc = 0;
  for (int32_t i = 0; !rc && i < out->count; i++) {
    struct tokens t = {.run = r, .problem = p};
    rc = form == GIVEN_EXAMPLES ? add_example(&t, err) : add_side(&t, i ? PREFERENCE_REJECTED : PREFERENCE_CHOSEN, err);
    if (!rc && form == GIVEN_SCORED) rc = only_behind(&t, err);
    if (!rc) rc = keep(&t, a, &out->of[i], err);
    token_list_free(&t.ids);
    token_list_free(&t.learn);
  }
  if (!rc) rc = check_pair(out, err);
  return rc ? error_context(err, "problem %s", p->id) : 0;
}
