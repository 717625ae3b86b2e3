#include "rollout/conversation.h"

#include <string.h>

#include "text/template.h"

/* ---- tokens of one sequence ------------------------------------------------------------------------------------- */

/* What is being written. */
struct tokens {
  const struct session *session;
  const struct problem *problem;
  struct token_list *ids, *learn;
};

/* Appends ids of text; learn says whether the model is to learn to write them. */
static int add_text(struct tokens *t, const char *text, size_t n, int flags, bool learn, struct error *err)
{
  TRY(tokenizer_encode(t->session->tokenizer, text, n, flags, t->ids, err));
  while (t->learn->count < t->ids->count) TRY(token_list_push(t->learn, learn, err));
  return 0;
}

static int add_end(struct tokens *t, struct error *err)
{
  const struct session *s = t->session;
  int32_t eos = tokenizer_eos(s->tokenizer);
  if (eos < 0 && s->end_id_count) eos = s->end_ids[0];
  if (eos < 0)
    FAIL(err, ERROR_INPUT, "the model names no end token; expected eos_token_id in its config.json or tokenizer");
  TRY(token_list_push(t->ids, eos, err));
  return token_list_push(t->learn, 1, err);
}

/* ---- conversations ---------------------------------------------------------------------------------------------- */

struct conversation {
  struct tokens *tokens;
  const json_t *messages;
  json_t *variables; /* of the template: the run's, and the line's tools */
  size_t from;       /* messages before it are not learnt */
};

static bool is_assistant(const json_t *message)
{
  const char *role = json_string_value(json_object_get(message, "role"));
  return role && !strcmp(role, "assistant");
}

/* OpenAI's files say "weight": 0 of a message that is not to be learnt. */
static int is_learnt(const struct conversation *c, size_t i, bool *out, struct error *err)
{
  const json_t *weight = json_object_get(json_array_get(c->messages, i), "weight");
  double x = weight ? json_number_value(weight) : 1;
  *out = i >= c->from && x > 0;
  if (!weight || (json_is_number(weight) && (x <= 0 ? x >= 0 : x >= 1 && x <= 1))) return 0;
  FAIL_AT(err, ERROR_INPUT, c->tokens->problem->source, c->tokens->problem->line, "weight",
          "found another weight than 0 or 1 in message %zu; expected 1 (learnt) or 0 (only read); a \"weight\" beside "
          "\"messages\" weighs the whole example",
          i + 1);
}

/* The text of the first n messages, and with ask of the opening of an assistant's answer. */
static int render(const struct conversation *c, size_t n, bool ask, struct text *out, struct error *err)
{
  json_t *part = json_array();
  int rc = part ? 0 : -1;
  for (size_t i = 0; !rc && i < n; i++) rc = json_array_append(part, json_array_get(c->messages, i));
  text_clear(out);
  if (rc)
    rc = error_fail(err, ERROR_RESOURCE, NULL, 0, NULL, "no memory for a conversation");
  else
    rc = session_render(c->tokens->session, part, c->variables, ask, out, NULL, err);
  json_decref(part);
  return rc;
}

static int rewrites(const struct conversation *c, size_t i, struct error *err)
{
  FAIL_AT(
      err, ERROR_INPUT, c->tokens->problem->source, c->tokens->problem->line, "messages",
      "the chat template rewrites earlier turns, so the assistant's part of message %zu cannot be told; expected a "
      "template whose text of the first messages begins the text of all, or one with {%% generation %%} around what "
      "the assistant writes; give {prompt, completion}, or that template",
      i + 1);
}

/* What the template adds for an assistant's message behind its opening, told by rendering what stands before it. */
static int by_prefixes(const struct conversation *c, struct text *before, struct text *after, struct error *err)
{
  struct tokens *t = c->tokens;
  size_t done = 0, n = json_array_size(c->messages);
  for (size_t i = 0; i < n; i++) {
    bool learn;
    TRY(is_learnt(c, i, &learn, err));
    if (!is_assistant(json_array_get(c->messages, i))) continue;
    TRY(render(c, i, true, before, err));
    TRY(render(c, i + 1, false, after, err));
    if (after->size < before->size || before->size < done || memcmp(before->bytes, after->bytes, before->size))
      return rewrites(c, i, err);
    TRY(add_text(t, before->bytes + done, before->size - done, TOKENIZER_SPECIAL, false, err));
    TRY(add_text(t, after->bytes + before->size, after->size - before->size, TOKENIZER_SPECIAL, learn, err));
    done = after->size;
  }
  return 0;
}

/* Which spans belong to messages that are learnt: one a message of the assistant, or else none of them says anything.
 */
static int learnt_span(const struct conversation *c, size_t span, size_t spans, bool *learn, struct error *err)
{
  size_t n = json_array_size(c->messages), assistants = 0;
  *learn = true;
  for (size_t i = 0; i < n; i++) {
    bool learnt;
    TRY(is_learnt(c, i, &learnt, err));
    if (!is_assistant(json_array_get(c->messages, i))) continue;
    if (assistants++ == span) *learn = learnt;
  }
  if (assistants == spans || !c->from) return 0;
  FAIL_AT(err, ERROR_INPUT, c->tokens->problem->source, c->tokens->problem->line, "messages",
          "the chat template marks %zu generations for %zu messages of the assistant; expected one each, so that the "
          "answer can be told from the prompt",
          spans, assistants);
}

/* What the template marks. */
static int by_marks(const struct conversation *c, struct text *all, struct error *err)
{
  struct tokens *t = c->tokens;
  struct template_spans spans;
  struct arena *a = arena_create("spans", 0, err);
  size_t done = 0;
  if (!a) return err->code;
  int rc = session_render_spans(t->session, a, c->messages, c->variables, all, &spans, err);
  for (size_t i = 0; !rc && i < spans.count; i++) {
    const struct template_span *s = &spans.items[i];
    bool learn;
    rc = learnt_span(c, i, spans.count, &learn, err);
    if (!rc) rc = add_text(t, all->bytes + done, s->begin - done, TOKENIZER_SPECIAL, false, err);
    if (!rc) rc = add_text(t, all->bytes + s->begin, s->end - s->begin, TOKENIZER_SPECIAL, learn, err);
    done = s->end;
  }
  arena_destroy(a);
  return rc;
}

static json_t *variables_of(const struct problem *p, const json_t *variables)
{
  const json_t *tools = json_object_get(p->fields, "tools");
  json_t *all = variables ? json_copy((json_t *)variables) : json_object();
  if (!all || !tools || !json_object_set(all, "tools", (json_t *)tools)) return all;
  json_decref(all);
  return NULL;
}

int conversation_tokens(const struct session *s, const struct problem *p, const json_t *variables,
                        const json_t *messages, size_t from, struct token_list *ids, struct token_list *learn,
                        struct error *err)
{
  struct tokens t = {.session = s, .problem = p, .ids = ids, .learn = learn};
  struct conversation c = {.tokens = &t, .messages = messages, .variables = variables_of(p, variables), .from = from};
  struct text one = {0}, two = {0};
  int rc;
  if (!c.variables) FAIL(err, ERROR_RESOURCE, "no memory for a template's variables");
  if (session_marks_generation(s, c.variables))
    rc = by_marks(&c, &one, err);
  else
    rc = by_prefixes(&c, &one, &two, err);
  text_free(&one);
  text_free(&two);
  json_decref(c.variables);
  return rc ? error_place(err, p->source, p->line) : 0;
}

int conversation_answer(const struct session *s, const struct problem *p, const json_t *variables, const char *text,
                        size_t n, struct token_list *ids, struct token_list *learn, struct error *err)
{
  struct tokens t = {.session = s, .problem = p, .ids = ids, .learn = learn};
  TRY(session_problem_ids(s, p, variables, ids, err));
  while (learn->count < ids->count) TRY(token_list_push(learn, 0, err));
  TRY(add_text(&t, text, n, 0, true, err));
  return add_end(&t, err);
}
