#include "serve/call.h"

#include "core/cursor.h"
#include "core/log.h"
#include "serve/tools.h"

#include <string.h>

/* ---- a request becomes jobs
 * ------------------------------------------------------------------------------------------ */

static int take_ids(const struct call *c, const json_t *list, struct token_list *out, struct error *err)
{
  for (size_t i = 0; i < json_array_size(list); i++) {
    int64_t id = json_integer_value(json_array_get(list, i));
    if (id < 0 || id >= c->session->config.vocab)
      FAIL_AT(err, ERROR_INPUT, NULL, 0, "prompt", "found the id %lld; expected 0 to %d", (long long)id,
              c->session->config.vocab - 1);
    TRY(token_list_push(out, (int32_t)id, err));
  }
  return 0;
}

static int encode_prompt(struct call *c, int32_t i, struct token_list *ids, struct error *err)
{
  const struct api_request *r = &c->request;
  if (r->kind == API_CHAT) return session_prompt_ids(c->session, NULL, r->messages, r->variables, ids, err);
  if (r->prompts[i].ids) return take_ids(c, r->prompts[i].ids, ids, err);
  return session_prompt_ids(c->session, r->prompts[i].text, NULL, NULL, ids, err);
}

static int64_t answer_length(const struct api_request *r, const struct call_limits *limits, int64_t room)
{
  int64_t wanted = r->max_tokens >= 0 ? r->max_tokens : r->kind == API_COMPLETION ? 16 : limits->max_tokens;
  if (wanted < 1) wanted = 1;  // the prompt's own log-probabilities come with a first token, which is not shown
  return wanted < room ? wanted : room;
}

static int fill_job(struct call *c, int32_t i, const struct token_list *ids, const struct call_limits *limits,
                    struct error *err)
{
  const struct api_request *r = &c->request;
  struct generate_job *j = &c->jobs[i];
  int64_t room = limits->positions - (int64_t)ids->count;
  const char *key = r->kind == API_CHAT ? "messages" : "prompt";
  if (!ids->count) FAIL_AT(err, ERROR_INPUT, NULL, 0, key, "has no token; expected text");
  if (room < 1)
    FAIL_AT(err, ERROR_INPUT, NULL, 0, key,
            "has %zu tokens; prompt and answer may have %d together; shorten it, or start the server with a larger "
            "--context",
            ids->count, limits->positions);
  if (r->drawn > limits->answers)
    FAIL_AT(err, ERROR_INPUT, NULL, 0, r->drawn > r->n ? "best_of" : "n",
            "found %d; expected at most %d, the server's --slots", r->drawn, limits->answers);
  TRY(tree_add_segment(c->tree, -1, SEGMENT_PROMPT, (int32_t)ids->count, &j->segment, err));
  TRY(tree_append_ids(c->tree, j->segment, ids->ids, (int32_t)ids->count, 0, err));
  j->count = r->drawn;
  j->sampling = r->sampling;
  j->max_new_tokens = (int32_t)answer_length(r, limits, room);
  j->stop = r->stop;
  j->stop_count = r->stop_count;
  j->top = r->logprobs ? r->top : 0;
  j->score_prompt = r->echo && r->logprobs;
  j->tree = c->tree;
  j->leaf = c->leaves + (ptrdiff_t)i * r->drawn;
  j->finish = c->finishes + (ptrdiff_t)i * r->drawn;
  c->prompt_tokens += (int64_t)ids->count;
  return 0;
}

/* With echo an answer begins with its prompt. */
static void put_prompt(struct call *c, struct choice *o)
{
  const struct api_prompt *p = &c->request.prompts[o->prompt];
  const struct segment *s = &c->tree->segments[c->jobs[o->prompt].segment];
  struct token_decoder d;
  token_decoder_start(&d, c->session->tokenizer, true);
  for (int32_t i = 0; !p->text && i < s->count; i++) token_decoder_add(&d, s->tokens[i].id, &o->text);
  token_decoder_flush(&d, &o->text);
  if (p->text) text_puts(&o->text, p->text);
  o->start = o->text.size;
}

static int open_choices(struct call *c, struct error *err)
{
  const struct api_request *r = &c->request;
  size_t words = ((size_t)c->session->config.vocab + 31) / 32;
  for (int32_t i = 0; i < c->choice_count; i++) {
    struct choice *o = &c->choices[i];
    o->prompt = i / r->drawn;
    o->rollout = i % r->drawn;
    token_decoder_start(&o->decoder, c->session->tokenizer, true);
    if (r->echo) put_prompt(c, o);
    TRY(call_open_bias(c, o, err));
    c->jobs[o->prompt].early = !c->grammar && !call_has_penalties(c);
    if (!c->grammar) continue;
    o->state = ARENA_NEW(c->arena, struct grammar_state, 1, "call", err);
    o->allowed = ARENA_NEW(c->arena, uint32_t, words, "call", err);
    if (!o->state || !o->allowed) return err->code;
    grammar_start(c->grammar, o->state);
  }
  return 0;
}

static int open_arrays(struct call *c, struct error *err)
{
  size_t prompts = (size_t)c->request.prompt_count, all = prompts * (size_t)c->request.drawn;
  c->choice_count = c->left = (int32_t)all;
  c->jobs = ARENA_NEW(c->arena, struct generate_job, prompts, "call", err);
  c->leaves = ARENA_NEW(c->arena, int32_t, all, "call", err);
  c->finishes = ARENA_NEW(c->arena, enum finish, all, "call", err);
  c->choices = ARENA_NEW(c->arena, struct choice, all, "call", err);
  if (!c->jobs || !c->leaves || !c->finishes || !c->choices) return err->code;
  memset(c->leaves, 0xff, all * sizeof *c->leaves);
  return tree_create(c->arena, &c->tree, err);
}

static int open_prompt_top(struct call *c, struct error *err)
{
  if (!c->request.echo || !c->request.logprobs || !c->request.top) return 0;
  size_t n = (size_t)c->prompt_tokens * (size_t)c->request.top;
  c->prompt_top_ids = ARENA_NEW(c->arena, int32_t, n, "call", err);
  c->prompt_top_logp = ARENA_NEW(c->arena, float, n, "call", err);
  return c->prompt_top_ids && c->prompt_top_logp ? 0 : err->code;
}

int call_prepare(struct call *c, const struct call_limits *limits, uint64_t seed, uint32_t ordinal, struct error *err)
{
  const struct api_request *r = &c->request;
  struct token_list ids = {0};
  TRY(open_arrays(c, err));
  for (int32_t i = 0; i < r->prompt_count; i++) {
    token_list_clear(&ids);
    int rc = encode_prompt(c, i, &ids, err);
    if (!rc) rc = fill_job(c, i, &ids, limits, err);
    if (rc) {
      token_list_free(&ids);
      return rc;
    }
    // with a seed of its own an answer is that of `assay generate`, whoever else asks
    c->jobs[i].seed = r->seed >= 0 ? (uint64_t)r->seed : seed;
    c->jobs[i].at =
        (struct rng_at){.purpose = RNG_GENERATE, .group = r->seed >= 0 ? 0 : ordinal, .attempt = (uint32_t)i};
  }
  token_list_free(&ids);
  TRY(open_prompt_top(c, err));
  return open_choices(c, err);
}

void call_close(struct call *c)
{
  for (int32_t i = 0; c->choices && i < c->choice_count; i++) {
    text_free(&c->choices[i].text);
    for (int e = 0; e < ENTRIES; e++) text_free(&c->choices[i].entries[e]);
    json_decref(c->choices[i].tool_calls);
  }
}

/* ---- sending
 * ----------------------------------------------------------------------------------------------------------- */

static void send_event(struct call *c, struct text *t)
{
  if (!c->started) http_stream_start(c->exchange, 200, "text/event-stream; charset=utf-8");
  c->started = true;
  if (t->rc || !http_stream_write(c->exchange, t->bytes ? t->bytes : "", t->size)) c->broken = true;
  text_free(t);
}

void call_fail(struct call *c, int status, const char *type, const char *message)
{
  if (!c->broken && c->started) {
    struct text t = {0};
    text_puts(&t, "data: {\"error\": {\"message\": ");
    json_put_string(&t, message, strlen(message));
    text_printf(&t, ", \"type\": \"%s\", \"param\": null, \"code\": null}}\n\n", type);
    send_event(c, &t);
    http_stream_end(c->exchange);
  } else if (!c->broken) {
    http_answer_error(c->exchange, status, type, NULL, NULL, "%s", message);
  }
  c->broken = true;
}

/* Bytes at the end of text[from..n) with which `word` could begin. */
static size_t partial(const char *text, size_t n, const char *word)
{
  size_t length = strlen(word), longest = length - 1 < n ? length - 1 : n;
  for (size_t k = longest; k > 0; k--)
    if (!memcmp(text + n - k, word, k)) return k;
  return 0;
}

/* How far the text may be sent: not into what may become a stop string or a tool call. */
static size_t sendable(const struct call *c, const struct choice *o)
{
  const char *text = o->text.size ? o->text.bytes + o->start : "";
  size_t n = o->text.size - o->start, sent = o->sent > o->start ? o->sent - o->start : 0;
  if (o->over) return o->text.size;
  // a stop string that is there begins behind what was sent
  n = sent + generate_find_stop(text + sent, n - sent, c->request.stop, c->request.stop_count);
  size_t held = 0;
  for (size_t i = 0; i < c->request.stop_count; i++) {
    size_t k = partial(text, n, c->request.stop[i]);
    if (k > held) held = k;
  }
  if (c->request.tools) {
    size_t begin = tools_begin(text, n);
    if (n - begin > held) held = n - begin;
  }
  return o->start + n - held;
}

static void stream_choice(struct call *c, struct choice *o, bool last)
{
  struct text t = {0};
  size_t to = sendable(c, o);
  if (o->tool_calls) to = tools_begin(o->text.bytes + o->start, o->text.size - o->start) + o->start;
  if (to < o->sent) to = o->sent;
  if (c->broken || (to == o->sent && !last && o->role_sent)) return;
  call_put_event(c, o, o->sent, to, last, &t);
  o->sent = to;
  o->role_sent = true;
  for (int e = 0; e < ENTRIES; e++) text_clear(&o->entries[e]);
  send_event(c, &t);
}

static void finish_call(struct call *c)
{
  struct text t = {0};
  if (c->broken) return;
  if (!c->request.stream) {
    call_put_answer(c, &t);
    http_answer(c->exchange, 200, "application/json", &t);
    return;
  }
  if (c->request.include_usage) call_put_usage_event(c, &t);
  text_puts(&t, "data: [DONE]\n\n");
  send_event(c, &t);
  http_stream_end(c->exchange);
}

/* ---- tokens
 * ------------------------------------------------------------------------------------------------------------ */

struct choice *call_choice(struct call *c, int32_t job, int32_t rollout)
{
  return &c->choices[job * c->request.drawn + rollout];
}

/* Where a prompt's alternatives are kept: prompts one behind the other. */
static size_t top_place(const struct call *c, int32_t job, int32_t position)
{
  size_t before = 0;
  for (int32_t i = 0; i < job; i++) before += (size_t)c->tree->segments[c->jobs[i].segment].count;
  return (before + (size_t)position) * (size_t)c->request.top;
}

void call_top(struct call *c, int32_t job, int32_t rollout, int32_t position, int32_t k, const int32_t *ids,
              const float *logp)
{
  bool of_prompt = rollout < 0;
  if (of_prompt && !c->prompt_top_ids) return;
  size_t at = of_prompt ? top_place(c, job, position) : 0;
  struct choice *o = of_prompt ? NULL : call_choice(c, job, rollout);
  memcpy(of_prompt ? c->prompt_top_ids + at : o->top_ids, ids, (size_t)k * sizeof *ids);
  memcpy(of_prompt ? c->prompt_top_logp + at : o->top_logp, logp, (size_t)k * sizeof *logp);
}

static void put_prompt_entries(struct call *c, struct choice *o)
{
  const struct segment *s = &c->tree->segments[c->jobs[o->prompt].segment];
  o->characters = 0;
  for (int32_t i = 0; i < s->count; i++) {
    size_t at = c->prompt_top_ids ? top_place(c, o->prompt, i) : 0;
    call_put_entry(c, o, s->tokens[i].id, i ? &s->tokens[i] : NULL, c->prompt_top_ids ? c->prompt_top_ids + at : NULL,
                   c->prompt_top_logp ? c->prompt_top_logp + at : NULL);
  }
}

void call_token(struct call *c, int32_t job, int32_t rollout, const struct token_record *record)
{
  struct choice *o = call_choice(c, job, rollout);
  bool ends = session_is_end(c->session, record->id);
  if (o->over) return;
  if (!(c->first > 0)) c->first = clock_seconds();
  if (!o->tokens++ && c->jobs[job].score_prompt) put_prompt_entries(c, o);
  if (c->request.max_tokens == 0) return;
  c->generated++;
  if (o->state) grammar_take(c->grammar, o->state, record->id);
  if (o->bias) call_move_bias(c, o, record->id);
  if (!ends && c->request.logprobs) call_put_entry(c, o, record->id, record, o->top_ids, o->top_logp);
  if (!ends) token_decoder_add(&o->decoder, record->id, &o->text);
  if (c->request.stream) stream_choice(c, o, false);
}

/* Looks for tool calls in what was said, special tokens and all. */
static void find_tools(struct call *c, struct choice *o)
{
  const struct segment *s = &c->tree->segments[c->jobs[o->prompt].leaf[o->rollout]];
  struct token_decoder d;
  struct text raw = {0};
  token_decoder_start(&d, c->session->tokenizer, false);
  for (int32_t i = 0; i < s->count; i++)
    if (!session_is_end(c->session, s->tokens[i].id)) token_decoder_add(&d, s->tokens[i].id, &raw);
  token_decoder_flush(&d, &raw);
  if (!raw.rc && raw.size)
    o->tool_calls = tools_read(raw.bytes, raw.size, c->id, o->prompt * c->request.n + o->rollout);
  text_free(&raw);
}

/* How likely the model finds the answer, a token: what best_of goes by. */
static double mean_logp(const struct call *c, const struct choice *o)
{
  const struct segment *s = &c->tree->segments[c->jobs[o->prompt].leaf[o->rollout]];
  double sum = 0;
  for (int32_t i = 0; i < s->count; i++) sum += (double)s->tokens[i].logp;
  return s->count ? sum / s->count : 0;
}

void call_finished(struct call *c, int32_t job, int32_t rollout)
{
  struct choice *o = call_choice(c, job, rollout);
  if (o->over) return;
  token_decoder_flush(&o->decoder, &o->text);
  if (c->jobs[job].finish[rollout] == FINISH_STOP && c->request.stop_count && o->text.size > o->start)
    o->text.size = o->start + generate_find_stop(o->text.bytes + o->start, o->text.size - o->start, c->request.stop,
                                                 c->request.stop_count);
  o->over = true;
  o->reason = c->jobs[job].finish[rollout] == FINISH_LENGTH ? "length" : "stop";
  o->score = mean_logp(c, o);
  if (c->request.tools) find_tools(c, o);
  if (o->tool_calls) o->reason = "tool_calls";
  if (c->request.stream) stream_choice(c, o, true);
  if (!--c->left) finish_call(c);
}
