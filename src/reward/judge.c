#include "reward/judge.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/file.h"
#include "core/log.h"
#include "data/source.h"
#include "reward/judge_cache.h"
#include "reward/judge_http.h"
#include "reward/judge_prompt.h"

struct judge {
  struct judge_model model;
  struct judge_http *http;
  struct judge_cache *cache; /* NULL: none */
  double timeout;
  bool thinking;
};

/* A reply of the judge. */
struct reply {
  const json_t *choice;
  const char *text;
  size_t size;
  bool cut; /* by max_tokens */
};

/* ---- opening ----------------------------------------------------------------------------------------------------- */

static int need(const struct verifier_config *c, const char *name, const char **out, struct error *err)
{
  const struct setting_value *v = verifier_value(c, name);
  const char *kind = c->verifier->name;
  if (!v->set || !*v->text)
    FAIL_AT(err, ERROR_INPUT, NULL, 0, name,
            "found no %s for the verifier \"%s\"; expected verifier: {%s: {url: \"http://127.0.0.1:8000/v1\", model: "
            "NAME}}, or assay verify %s url=http://127.0.0.1:8000/v1 model=NAME",
            name, kind, kind, kind);
  *out = v->text;
  return 0;
}

static const char *text_or_none(const struct verifier_config *c, const char *name)
{
  const struct setting_value *v = verifier_value(c, name);
  return v->set && *v->text ? v->text : NULL;
}

int judge_open(struct arena *a, struct verifier_config *c, struct error *err)
{
  struct judge_http_options http = {.key_env = text_or_none(c, "key_env"),
                                    .concurrency = (int)verifier_value(c, "concurrency")->integer,
                                    .retries = (int)verifier_value(c, "retries")->integer,
                                    .backoff = verifier_value(c, "backoff")->real};
  const struct setting_value *timeout = verifier_value(c, "timeout");
  const char *cache = text_or_none(c, "cache");
  struct judge *j = ARENA_NEW(a, struct judge, 1, "judge", err);
  if (!j) return err->code;
  c->state = j;
  j->model = (struct judge_model){.prompt = text_or_none(c, "prompt"),
                                  .temperature = verifier_value(c, "temperature")->real,
                                  .max_tokens = verifier_value(c, "max_tokens")->integer,
                                  .reply_format = verifier_value(c, "reply_format")->text};
  j->timeout = timeout->set ? timeout->real : c->timeout;
  j->thinking = verifier_value(c, "thinking")->integer;
  TRY(need(c, "url", &http.url, err));
  TRY(need(c, "model", &j->model.name, err));
  TRY(judge_http_open(a, &http, &j->http, err));
  return cache ? judge_cache_open(a, cache, &j->cache, err) : 0;
}

/* ---- the question ------------------------------------------------------------------------------------------------ */

static int put_messages(struct arena *a, const json_t *messages, const char **out, struct error *err)
{
  struct text t = {0};
  size_t i;
  const json_t *m;
  json_array_foreach(messages, i, m)
  {
    const char *role = json_string_value(json_object_get(m, "role")), *content;
    int rc = problem_value_text(a, json_object_get(m, "content"), &content, err);
    if (rc) {
      text_free(&t);
      return rc;
    }
    text_printf(&t, "%s%s: %s", i ? "\n\n" : "", role ? role : "user", content ? content : "");
  }
  int rc = text_finish(&t, err);
  *out = rc ? NULL : arena_strndup(a, t.bytes ? t.bytes : "", t.size, "judge", err);
  text_free(&t);
  return rc ? rc : *out ? 0 : err->code;
}

int judge_question(struct arena *a, const struct verifier_config *c, const struct problem *p, const char **out,
                   struct error *err)
{
  const json_t *messages = json_object_get(p->fields, "messages");
  TRY(problem_value_text(a, json_object_get(p->fields, "question"), out, err));
  if (!*out) *out = p->prompt;
  if (!*out) TRY(problem_value_text(a, json_object_get(p->fields, "prompt"), out, err));
  if (!messages) messages = p->messages;
  if (!*out && json_array_size(messages)) TRY(put_messages(a, messages, out, err));
  if (!*out || !**out)
    FAIL_AT(err, ERROR_INPUT, p->source, p->line, "question",
            "found no question; expected {\"question\": TEXT, ...} for the verifier \"%s\"", c->verifier->name);
  return 0;
}

/* ---- one reply --------------------------------------------------------------------------------------------------- */

static int fail(struct arena *a, struct judge_answer *out, struct error *err, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
static int fail(struct arena *a, struct judge_answer *out, struct error *err, const char *fmt, ...)
{
  char failure[700];
  va_list args;
  va_start(args, fmt);
  vsnprintf(failure, sizeof failure, fmt, args);
  va_end(args);
  out->failure = arena_strdup(a, failure, "judge", err);
  return out->failure ? 0 : err->code;
}

/* The reply in a server's answer; out->failure is set where the answer is not of the form. */
static int read_body(struct arena *a, const struct judge_http_answer *body, struct reply *reply,
                     struct judge_answer *out, struct error *err)
{
  struct error why = {0};
  json_t *o = NULL;
  int rc = json_parse(a, body->body, body->size, "judge", 0, 0, &o, &why);
  if (rc == ERROR_RESOURCE) FAIL(err, ERROR_RESOURCE, "%s", why.message);
  if (rc)
    return fail(a, out, err,
                "the judge's server answered with what is no JSON: \"%s\"; is the url that of an "
                "OpenAI-compatible server?",
                verdict_shown(a, body->body, body->size, 120, err));
  reply->choice = json_array_get(json_object_get(o, "choices"), 0);
  const json_t *content = json_object_get(json_object_get(reply->choice, "message"), "content");
  const char *finish = json_string_value(json_object_get(reply->choice, "finish_reason"));
  reply->cut = finish && !strcmp(finish, "length");
  if (!json_is_string(content) && !json_is_null(content))
    return fail(a, out, err, "the judge's server answered without choices[0].message.content: \"%s\"",
                verdict_shown(a, body->body, body->size, 120, err));
  reply->text = json_is_string(content) ? json_string_value(content) : "";
  reply->size = json_is_string(content) ? json_string_length(content) : 0;
  return 0;
}

/* The verdict in a reply, or why there is none. */
static int read_reply(struct arena *a, const struct judge_ask *ask, const struct reply *reply, struct judge_answer *out,
                      const char **why, struct error *err)
{
  struct judge_found found;
  TRY(judge_find(a, reply->text, reply->size, ask->key, &found, err));
  *why = found.verdict ? ask->accept(a, found.verdict, ask->arg, err) : found.why;
  if (!found.verdict && reply->cut) *why = "it was cut off by max_tokens";
  if (err->code) return err->code;
  if (*why) return 0;
  out->verdict = found.verdict;
  out->has_expected = ask->logprobs && judge_expected(reply->choice, reply->text, reply->size, &found, ask->low,
                                                      ask->high, &out->expected, err);
  return err->code;
}

/* ---- the cache --------------------------------------------------------------------------------------------------- */

static int look_up(struct arena *a, const struct judge *j, const uint8_t key[32], const struct judge_ask *ask,
                   struct judge_answer *out, struct error *err)
{
  struct judge_cached cached;
  bool found = false;
  json_t *verdict;
  if (j->cache) TRY(judge_cache_find(j->cache, key, &found, &cached, err));
  if (!found) return 0;
  TRY(json_parse(a, cached.verdict, strlen(cached.verdict), "cache", 0, 0, &verdict, err));
  const char *why = ask->accept(a, verdict, ask->arg, err);
  if (why || err->code) return err->code;
  *out = (struct judge_answer){.verdict = verdict, .has_expected = cached.has_expected, .expected = cached.expected};
  return 0;
}

/* Keeps a verdict; where another was first, that one counts. */
static int keep(struct arena *a, const struct judge *j, const uint8_t key[32], const struct judge_ask *ask,
                struct judge_answer *out, struct error *err)
{
  struct text t = {0};
  if (!j->cache) return 0;
  json_put_value(&t, out->verdict);
  struct judge_cached cached = {.has_expected = out->has_expected, .expected = out->expected};
  int rc = text_finish(&t, err);
  cached.verdict = t.bytes;
  if (!rc) rc = judge_cache_add(j->cache, key, &cached, err);
  text_free(&t);
  return rc ? rc : look_up(a, j, key, ask, out, err);
}

/* ---- asking ------------------------------------------------------------------------------------------------------ */

/* One question to the server and what came of it. *why: what is wrong with the reply; NULL: nothing, or there is none.
 */
static int ask_once(struct arena *a, const struct judge *j, int place, const struct text *request, double deadline,
                    const struct judge_ask *ask, struct reply *reply, const char **why, struct judge_answer *out,
                    struct error *err)
{
  struct judge_http_answer body;
  *why = NULL;
  TRY(text_finish(request, err));
  TRY(judge_http_post(j->http, place, request->bytes, request->size, deadline, &body, err));
  out->timeout = body.timeout;
  if (*body.failure) return fail(a, out, err, "%s", body.failure);
  TRY(read_body(a, &body, reply, out, err));
  return out->failure ? 0 : read_reply(a, ask, reply, out, why, err);
}

static int ask_twice(struct arena *a, const struct judge *j, const struct text *prompt, struct text *request,
                     const struct judge_ask *ask, struct judge_answer *out, struct error *err)
{
  struct reply reply = {0};
  const char *why;
  int place = judge_http_take(j->http);
  double deadline = clock_seconds() + j->timeout;
  int rc = ask_once(a, j, place, request, deadline, ask, &reply, &why, out, err);
  if (!rc && why) {
    text_clear(request);
    judge_request_put(&j->model, ask, prompt, reply.text, reply.size, why, request);
    rc = ask_once(a, j, place, request, deadline, ask, &reply, &why, out, err);
  }
  judge_http_give(j->http, place);
  return rc || !why ? rc : fail(a, out, err, "the judge's reply is unreadable, also when asked again: %s", why);
}

int judge_ask(struct arena *a, const struct verifier_config *c, const struct problem *p, const char *response, size_t n,
              const struct judge_ask *ask, struct judge_answer *out, struct error *err)
{
  const struct judge *j = c->state;
  const char *question;
  struct text prompt = {0}, request = {0};
  struct sha256 h;
  uint8_t key[32];
  *out = (struct judge_answer){0};
  TRY(judge_question(a, c, p, &question, err));
  const struct judge_part parts[] = {
      {"QUESTION", question, strlen(question)},
      {p->answer ? "REFERENCE ANSWER" : NULL, p->answer, p->answer ? strlen(p->answer) : 0},
      {ask->extra ? ask->extra_name : NULL, ask->extra, ask->extra ? strlen(ask->extra) : 0},
      {"RESPONSE", response, n}};
  int rc = judge_prompt_put(parts, sizeof parts / sizeof *parts, ask->form, &prompt, err);
  judge_request_put(&j->model, ask, &prompt, NULL, 0, NULL, &request);
  if (!rc) rc = text_finish(&request, err);
  if (!rc) {
    sha256_start(&h);
    sha256_add(&h, request.bytes, request.size);
    sha256_finish(&h, key);
    rc = look_up(a, j, key, ask, out, err);
  }
  if (!rc && !out->verdict) {
    rc = ask_twice(a, j, &prompt, &request, ask, out, err);
    if (!rc && out->verdict) rc = keep(a, j, key, ask, out, err);
  }
  text_free(&prompt);
  text_free(&request);
  return rc;
}
