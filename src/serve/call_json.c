#include "serve/call.h"

#include "core/cursor.h"
#include "serve/tools.h"

#include <inttypes.h>
#include <string.h>

/* ---- log-probabilities
 * -------------------------------------------------------------------------------------------------- */

static size_t count_characters(const char *s, size_t n)
{
  size_t count = 0;
  for (size_t i = 0; i < n; i++) count += ((unsigned char)s[i] & 0xc0) != 0x80;
  return count;
}

static void put_token(struct text *t, const struct call *c, int32_t id)
{
  struct token_text text = tokenizer_text_of_id(c->session->tokenizer, id);
  json_put_string(t, text.bytes, text.size);
}

/* {"token", "logprob", "bytes", "id"}: OpenAI's three, and the id, which tells tokens apart that look the same. */
static void put_chat_token(struct text *t, const struct call *c, int32_t id, float logp)
{
  struct token_text text = tokenizer_text_of_id(c->session->tokenizer, id);
  text_puts(t, "{\"token\": ");
  put_token(t, c, id);
  text_puts(t, ", \"logprob\": ");
  json_put_f32(t, logp);
  text_puts(t, ", \"bytes\": [");
  for (size_t i = 0; i < text.size; i++) text_printf(t, i ? ", %d" : "%d", (unsigned char)text.bytes[i]);
  text_printf(t, "], \"id\": %d", id);
}

static void separate(struct text *t)
{
  if (t->size) text_puts(t, ", ");
}

static void put_chat_entry(struct call *c, struct choice *o, int32_t id, float logp, const int32_t *top_ids,
                           const float *top_logp)
{
  struct text *t = &o->entries[ENTRY_TOKENS];
  separate(t);
  put_chat_token(t, c, id, logp);
  text_puts(t, ", \"top_logprobs\": [");
  for (int32_t k = 0; k < c->request.top; k++) {
    if (k) text_puts(t, ", ");
    put_chat_token(t, c, top_ids[k], top_logp[k]);
    text_puts(t, "}");
  }
  text_puts(t, "]}");
}

void call_put_entry(struct call *c, struct choice *o, int32_t id, const struct token_record *record,
                    const int32_t *top_ids, const float *top_logp)
{
  struct text *e = o->entries;
  struct token_text text = tokenizer_text_of_id(c->session->tokenizer, id);
  if (c->request.kind == API_CHAT) {
    put_chat_entry(c, o, id, record->logp, top_ids, top_logp);
    return;
  }
  for (int i = 0; i < ENTRIES; i++) separate(&e[i]);
  put_token(&e[ENTRY_TOKENS], c, id);
  if (record)
    json_put_f32(&e[ENTRY_LOGP], record->logp);
  else
    text_puts(&e[ENTRY_LOGP], "null");
  text_printf(&e[ENTRY_OFFSETS], "%zu", o->characters);
  text_printf(&e[ENTRY_IDS], "%d", id);
  o->characters += count_characters(text.bytes, text.size);
  text_puts(&e[ENTRY_TOP], record && c->request.top ? "{" : "null");
  for (int32_t k = 0; record && k < c->request.top; k++) {
    if (k) text_puts(&e[ENTRY_TOP], ", ");
    put_token(&e[ENTRY_TOP], c, top_ids[k]);
    text_puts(&e[ENTRY_TOP], ": ");
    json_put_f32(&e[ENTRY_TOP], top_logp[k]);
  }
  if (record && c->request.top) text_puts(&e[ENTRY_TOP], "}");
}

static void put_list(struct text *t, const char *name, const struct text *list)
{
  text_printf(t, "\"%s\": [", name);
  text_add(t, list->bytes ? list->bytes : "", list->size);
  text_puts(t, "]");
  if (list->rc) t->rc = list->rc;
}

static void put_logprobs(const struct call *c, const struct choice *o, struct text *t)
{
  static const char *const names[ENTRIES] = {"tokens", "token_logprobs", "top_logprobs", "text_offset", "token_ids"};
  text_puts(t, ", \"logprobs\": ");
  if (!c->request.logprobs) {
    text_puts(t, "null");
    return;
  }
  text_puts(t, "{");
  if (c->request.kind == API_CHAT) {
    put_list(t, "content", &o->entries[ENTRY_TOKENS]);
    text_puts(t, ", \"refusal\": null}");
    return;
  }
  for (int i = 0; i < ENTRIES; i++) {
    if (i) text_puts(t, ", ");
    put_list(t, names[i], &o->entries[i]);
  }
  text_puts(t, "}");
}

/* ---- answers
 * ---------------------------------------------------------------------------------------------------------------- */

static void put_head(const struct call *c, bool event, struct text *t)
{
  const char *object = c->request.kind == API_COMPLETION ? "text_completion"
                       : event                           ? "chat.completion.chunk"
                                                         : "chat.completion";
  text_printf(t, "{\"id\": \"%s\", \"object\": \"%s\", \"created\": %" PRId64 ", \"model\": ", c->id, object,
              c->created);
  json_put_string(t, c->model, strlen(c->model));
}

static void put_usage(const struct call *c, struct text *t)
{
  int64_t kept = 0;
  for (int32_t i = 0; i < c->request.prompt_count; i++) kept += c->jobs[i].kept;
  text_printf(t,
              "\"usage\": {\"prompt_tokens\": %" PRId64 ", \"completion_tokens\": %" PRId64
              ", \"total_tokens\": %" PRId64 ", \"prompt_tokens_details\": {\"cached_tokens\": %" PRId64 "}}",
              c->prompt_tokens, c->generated, c->prompt_tokens + c->generated, kept);
}

static void put_reason(const char *reason, struct text *t)
{
  text_printf(t, reason ? ", \"finish_reason\": \"%s\"}" : ", \"finish_reason\": null}", reason);
}

static const char *text_from(const struct choice *o, size_t at)
{
  return o->text.size ? o->text.bytes + at : "";
}

static void put_message(const struct choice *o, struct text *t)
{
  size_t n = o->text.size - o->start;
  text_puts(t, ", \"message\": {\"role\": \"assistant\", \"content\": ");
  if (o->tool_calls) n = tools_begin(text_from(o, o->start), n);
  if (o->tool_calls && !n)
    text_puts(t, "null");
  else
    json_put_string(t, text_from(o, o->start), n);
  if (o->tool_calls) {
    text_puts(t, ", \"tool_calls\": ");
    json_put_value(t, o->tool_calls);
  }
  text_puts(t, "}");
}

/* The k-th answer to a prompt; of more than are wanted the likeliest that is not given yet, the first among equals. */
static const struct choice *pick(struct call *c, int32_t prompt, int32_t k)
{
  struct choice *of = call_choice(c, prompt, 0), *best = NULL;
  if (c->request.drawn == c->request.n) return of + k;
  for (int32_t i = 0; i < c->request.drawn; i++)
    if (!of[i].answered && (!best || of[i].score > best->score)) best = &of[i];
  best->answered = true;
  return best;
}

void call_put_answer(struct call *c, struct text *t)
{
  put_head(c, false, t);
  text_puts(t, ", \"choices\": [");
  for (int32_t i = 0; i < c->request.prompt_count * c->request.n; i++) {
    const struct choice *o = pick(c, i / c->request.n, i % c->request.n);
    text_printf(t, i ? ", {\"index\": %d" : "{\"index\": %d", i);
    if (c->request.kind == API_CHAT) {
      put_message(o, t);
    } else {
      text_puts(t, ", \"text\": ");
      json_put_string(t, text_from(o, 0), o->text.size);
    }
    put_logprobs(c, o, t);
    put_reason(o->reason, t);
    if (o->text.rc) t->rc = o->text.rc;
  }
  text_puts(t, "], ");
  put_usage(c, t);
  text_puts(t, "}\n");
}

/* ---- events
 * -------------------------------------------------------------------------------------------------------------------
 */

static void put_delta(const struct choice *o, size_t from, size_t to, bool last, struct text *t)
{
  const char *between = "";
  text_puts(t, ", \"delta\": {");
  if (!o->role_sent) {
    text_puts(t, "\"role\": \"assistant\"");
    between = ", ";
  }
  if (to > from || !o->role_sent) {
    text_printf(t, "%s\"content\": ", between);
    json_put_string(t, text_from(o, from), to - from);
    between = ", ";
  }
  if (last && o->tool_calls) {
    text_printf(t, "%s\"tool_calls\": ", between);
    json_put_value(t, o->tool_calls);
  }
  text_puts(t, "}");
}

void call_put_event(struct call *c, struct choice *o, size_t from, size_t to, bool last, struct text *t)
{
  text_puts(t, "data: ");
  put_head(c, true, t);
  text_printf(t, ", \"choices\": [{\"index\": %d", o->prompt * c->request.n + o->rollout);
  if (c->request.kind == API_CHAT) {
    put_delta(o, from, to, last, t);
  } else {
    text_puts(t, ", \"text\": ");
    json_put_string(t, text_from(o, from), to - from);
  }
  put_logprobs(c, o, t);
  put_reason(last ? o->reason : NULL, t);
  text_puts(t, c->request.include_usage ? "], \"usage\": null}\n\n" : "]}\n\n");
}

void call_put_usage_event(struct call *c, struct text *t)
{
  text_puts(t, "data: ");
  put_head(c, true, t);
  text_puts(t, ", \"choices\": [], ");
  put_usage(c, t);
  text_puts(t, "}\n\n");
}
