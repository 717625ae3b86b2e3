/* A step of supervised training: examples become rollouts that nobody sampled. The rest of the step is the same. */
#include "train/run.h"

#include <string.h>

/* Appends ids of text; loss says whether the model is to learn to write them. */
static int add_text(const struct run *r, const char *text, size_t n, int flags, bool learn, struct token_list *ids,
                    struct token_list *loss, struct error *err)
{
  TRY(tokenizer_encode(r->session.tokenizer, text, n, flags, ids, err));
  while (loss->count < ids->count) TRY(token_list_push(loss, learn, err));
  return 0;
}

static int add_end(const struct run *r, struct token_list *ids, struct token_list *loss, struct error *err)
{
  int32_t eos = tokenizer_eos(r->session.tokenizer);
  if (eos < 0 && r->session.end_id_count) eos = r->session.end_ids[0];
  if (eos < 0)
    FAIL(err, ERROR_INPUT, "the model names no end token; expected eos_token_id in its config.json or tokenizer");
  TRY(token_list_push(ids, eos, err));
  return token_list_push(loss, 1, err);
}

static json_t *first_messages(const json_t *messages, size_t n)
{
  json_t *out = json_array();
  for (size_t i = 0; out && i < n; i++)
    if (json_array_append(out, json_array_get(messages, i))) return NULL;
  return out;
}

/* The text of the first n messages, and with ask of the opening of an assistant's answer. */
static int render(const struct run *r, const json_t *messages, size_t n, bool ask, struct text *out, struct error *err)
{
  json_t *part = first_messages(messages, n);
  if (!part) FAIL(err, ERROR_RESOURCE, "no memory for a conversation");
  text_clear(out);
  int rc = session_render(&r->session, part, r->template_variables, ask, out, NULL, err);
  json_decref(part);
  return rc;
}

/* What the template adds for each assistant message behind its opening is learnt; everything else is read. */
static int conversation(const struct run *r, const struct problem *p, struct token_list *ids, struct token_list *loss,
                        struct error *err)
{
  const json_t *messages = json_object_get(p->fields, "messages");
  struct text before = {0}, after = {0};
  size_t done = 0, n = json_array_size(messages);
  int rc = 0;
  bool any = false;
  for (size_t i = 0; !rc && i < n; i++) {
    const char *role = json_string_value(json_object_get(json_array_get(messages, i), "role"));
    if (!role || strcmp(role, "assistant")) continue;
    any = true;
    rc = render(r, messages, i, true, &before, err);
    if (!rc) rc = render(r, messages, i + 1, false, &after, err);
    if (!rc && (after.size < before.size || before.size < done || memcmp(before.bytes, after.bytes, before.size)))
      rc = error_fail(err, ERROR_INPUT, p->source, p->line, "messages",
                      "the chat template rewrites earlier turns, so the assistant's part of message %zu cannot be "
                      "told; give {prompt, completion}",
                      i + 1);
    if (!rc) rc = add_text(r, before.bytes + done, before.size - done, TOKENIZER_SPECIAL, false, ids, loss, err);
    if (!rc)
      rc = add_text(r, after.bytes + before.size, after.size - before.size, TOKENIZER_SPECIAL, true, ids, loss, err);
    done = after.size;
  }
  text_free(&before);
  text_free(&after);
  if (!rc && !any)
    rc = error_fail(err, ERROR_INPUT, p->source, p->line, "messages",
                    "found no message of the assistant; expected one to learn from");
  return rc;
}

int sft_tokens(const struct run *r, const struct problem *p, struct token_list *ids, struct token_list *loss,
               struct error *err)
{
  const json_t *completion = json_object_get(p->fields, "completion");
  if (!completion && json_object_get(p->fields, "messages")) return conversation(r, p, ids, loss, err);
  const char *answer = completion ? json_string_value(completion) : p->answer;
  if (!answer)
    FAIL_AT(err, ERROR_INPUT, p->source, p->line, "completion",
            "found neither messages nor a completion; expected {messages} or {prompt, completion}");
  TRY(session_problem_ids(&r->session, p, r->template_variables, ids, err));
  while (loss->count < ids->count) TRY(token_list_push(loss, 0, err));
  TRY(add_text(r, answer, completion ? json_string_length(completion) : strlen(answer), 0, true, ids, loss, err));
  return add_end(r, ids, loss, err);
}

/* An example: its first token is the prompt (a row must stand before every target), the rest the answer. */
static int add_example(struct run *r, struct step *s, const struct problem *p, struct error *err)
{
  struct token_list ids = {0}, loss = {0};
  int32_t group, prompt, leaf, context, rollout;
  int rc = sft_tokens(r, p, &ids, &loss, err);
  if (!rc) rc = step_add_group(s, p, 1, &group, err);
  if (!rc) rc = tree_add_segment(s->tree, -1, SEGMENT_PROMPT, 1, &prompt, err);
  if (!rc) rc = tree_append_ids(s->tree, prompt, ids.ids, 1, 0, err);
  if (!rc) rc = tree_add_segment(s->tree, prompt, SEGMENT_OWN, (int32_t)ids.count - 1, &leaf, err);
  for (size_t i = 1; !rc && i < ids.count; i++)
    rc = tree_append_ids(s->tree, leaf, &ids.ids[i], 1, loss.ids[i] ? TOKEN_OWN : 0, err);
  token_list_free(&ids);
  token_list_free(&loss);
  if (rc) return error_context(err, "problem %s", p->id);
  TRY(step_add_context(s, group, "policy", "plain", prompt, &context, err));
  TRY(step_add_rollout(s, group, context, 0, 0, &rollout, err));
  s->rollouts[rollout].leaf = leaf;
  s->rollouts[rollout].finish = FINISH_STOP;
  struct verdict v = {
      .status = VERDICT_OK, .reward = 1, .correct = true, .readable = true, .reason = "an example to learn from"};
  return step_set_verdict(s, rollout, &v, err);
}

int sft_collect(struct run *r, struct step *s, struct error *err)
{
  for (int64_t i = 0; i < r->recipe->train.batch; i++) {
    struct problem *p = ARENA_NEW(s->arena, struct problem, 1, "problems", err);
    if (!p) return err->code;
    TRY(stream_next(r->stream, s->arena, p, err));
    TRY(add_example(r, s, p, err));
  }
  return 0;
}
