#include "serve/request.h"

#include "core/yaml.h"

#include <string.h>

/* ---- which fields there are ----------------------------------------------------------------------------------------
 */

enum rule { TAKEN, PASSED /* changes no answer */, NEUTRAL /* null, empty, false or this number */ };
enum { CHAT = 1, COMPLETION = 2, BOTH = 3 };

static const struct {
  const char *name;
  int kinds;
  enum rule rule;
  double neutral;
} fields[] = {{"model", BOTH, TAKEN, 0},
              {"messages", CHAT, TAKEN, 0},
              {"prompt", COMPLETION, TAKEN, 0},
              {"n", BOTH, TAKEN, 0},
              {"best_of", COMPLETION, TAKEN, 0},
              {"max_tokens", BOTH, TAKEN, 0},
              {"max_completion_tokens", CHAT, TAKEN, 0},
              {"temperature", BOTH, TAKEN, 0},
              {"top_p", BOTH, TAKEN, 0},
              {"top_k", BOTH, TAKEN, 0},
              {"min_p", BOTH, TAKEN, 0},
              {"frequency_penalty", BOTH, TAKEN, 0},
              {"presence_penalty", BOTH, TAKEN, 0},
              {"logit_bias", BOTH, TAKEN, 0},
              {"seed", BOTH, TAKEN, 0},
              {"stop", BOTH, TAKEN, 0},
              {"stream", BOTH, TAKEN, 0},
              {"stream_options", BOTH, TAKEN, 0},
              {"logprobs", BOTH, TAKEN, 0},
              {"top_logprobs", CHAT, TAKEN, 0},
              {"echo", COMPLETION, TAKEN, 0},
              {"tools", CHAT, TAKEN, 0},
              {"tool_choice", CHAT, TAKEN, 0},
              {"response_format", BOTH, TAKEN, 0},
              {"chat_template_kwargs", CHAT, TAKEN, 0},
              {"user", BOTH, PASSED, 0},
              {"metadata", BOTH, PASSED, 0},
              {"store", BOTH, PASSED, 0},
              {"service_tier", BOTH, PASSED, 0},
              {"safety_identifier", BOTH, PASSED, 0},
              {"prompt_cache_key", BOTH, PASSED, 0},
              {"prompt_cache_retention", BOTH, PASSED, 0},
              {"parallel_tool_calls", CHAT, PASSED, 0},
              {"repetition_penalty", BOTH, NEUTRAL, 1},
              {"suffix", COMPLETION, NEUTRAL, 0}};
enum { FIELDS = sizeof fields / sizeof *fields };

static bool is_neutral(const json_t *v, double neutral)
{
  if (json_is_number(v)) return json_number_value(v) <= neutral && json_number_value(v) >= neutral;
  return json_is_null(v) || json_is_false(v) || (json_is_object(v) && !json_object_size(v)) ||
         (json_is_array(v) && !json_array_size(v)) || (json_is_string(v) && !json_string_length(v));
}

static int check_field(enum api_kind kind, const char *name, const json_t *value, struct error *err)
{
  const char *names[FIELDS];
  size_t count = 0;
  for (size_t i = 0; i < FIELDS; i++) {
    if (!(fields[i].kinds & (kind == API_CHAT ? CHAT : COMPLETION))) continue;
    names[count++] = fields[i].name;
    if (strcmp(name, fields[i].name) != 0) continue;
    if (fields[i].rule != NEUTRAL || is_neutral(value, fields[i].neutral)) return 0;
    FAIL_AT(err, ERROR_INPUT, NULL, 0, name, "is not supported; expected it left out, or at its neutral value %g",
            fields[i].neutral);
  }
  const char *nearest = name_nearest(name, names, count);
  FAIL_AT(err, ERROR_INPUT, NULL, 0, name, "is no field of this request%s%s%s", nearest ? "; did you mean " : "",
          nearest ? nearest : "", nearest ? "?" : "");
}

static int check_fields(enum api_kind kind, json_t *o, struct error *err)
{
  const char *name;
  json_t *value;
  json_object_foreach(o, name, value) TRY(check_field(kind, name, value, err));
  return 0;
}

/* ---- messages -------------------------------------------------------------------------------------------------------
 */

/* A list of text parts becomes one string. */
static int join_parts(json_t *message, json_t *parts, struct error *err)
{
  struct text t = {0};
  int rc = 0;
  for (size_t i = 0; i < json_array_size(parts) && !rc; i++) {
    const json_t *part = json_array_get(parts, i), *text = json_object_get(part, "text");
    const char *type = json_string_value(json_object_get(part, "type"));
    if (!type || strcmp(type, "text") != 0 || !json_is_string(text))
      rc = error_fail(err, ERROR_INPUT, NULL, 0, "messages", "found a part of type %.40s; expected {type: text, text}",
                      type ? type : "(none)");
    else
      text_add(&t, json_string_value(text), json_string_length(text));
  }
  if (!rc) rc = text_finish(&t, err);
  if (!rc && json_object_set_new(message, "content", json_stringn(t.size ? t.bytes : "", t.size)))
    rc = error_fail(err, ERROR_RESOURCE, NULL, 0, NULL, "no memory for a message");
  text_free(&t);
  return rc;
}

/* Templates read arguments as objects; clients send them as text. */
static int open_arguments(struct arena *a, json_t *message, struct error *err)
{
  json_t *calls = json_object_get(message, "tool_calls");
  for (size_t i = 0; i < json_array_size(calls); i++) {
    json_t *function = json_object_get(json_array_get(calls, i), "function");
    const json_t *arguments = json_object_get(function, "arguments");
    json_t *read;
    struct error ignored = {0};
    if (!json_is_string(arguments)) continue;
    if (json_parse(a, json_string_value(arguments), json_string_length(arguments), NULL, 0, JSON_READ_LONG, &read,
                   &ignored))
      continue;  // what is no JSON stays text
    if (json_object_set(function, "arguments", read)) FAIL(err, ERROR_RESOURCE, "no memory for a message");
  }
  return 0;
}

static int take_message(struct arena *a, json_t *m, size_t i, struct error *err)
{
  const char *role = json_string_value(json_object_get(m, "role"));
  json_t *content = json_object_get(m, "content");
  if (!role)
    FAIL_AT(err, ERROR_INPUT, NULL, 0, "messages", "found messages[%zu] without a role; expected {role, content}", i);
  if (!strcmp(role, "developer") && json_object_set_new(m, "role", json_string("system")))
    FAIL(err, ERROR_RESOURCE, "no memory for a message");
  if (json_is_array(content)) return join_parts(m, content, err);
  if (!json_is_string(content)) {
    bool may_lack = json_array_size(json_object_get(m, "tool_calls")) && (!content || json_is_null(content));
    if (!may_lack)
      FAIL_AT(err, ERROR_INPUT, NULL, 0, "messages", "found messages[%zu] without text; expected content: \"...\"", i);
    if (json_object_set_new(m, "content", json_string(""))) FAIL(err, ERROR_RESOURCE, "no memory for a message");
  }
  return open_arguments(a, m, err);
}

static int take_messages(struct arena *a, const json_t *o, struct api_request *r, struct error *err)
{
  r->messages = json_object_get(o, "messages");
  if (!json_is_array(r->messages) || !json_array_size(r->messages))
    FAIL_AT(err, ERROR_INPUT, NULL, 0, "messages", "found no messages; expected a list of {role, content}");
  for (size_t i = 0; i < json_array_size(r->messages); i++)
    TRY(take_message(a, json_array_get(r->messages, i), i, err));
  r->prompt_count = 1;
  return 0;
}

static void drop_json(void *json)
{
  json_decref(json);
}

static bool has_tool(const json_t *tools, const char *name)
{
  for (size_t i = 0; i < json_array_size(tools); i++) {
    const char *s = json_string_value(json_object_get(json_object_get(json_array_get(tools, i), "function"), "name"));
    if (s && !strcmp(s, name)) return true;
  }
  return false;
}

/* "none": the tools are not even shown to the model. "required", or a name: the answer is a call. */
static int take_choice(const json_t *o, const json_t *tools, struct api_request *r, bool *none, struct error *err)
{
  const json_t *choice = json_object_get(o, "tool_choice");
  const char *word = json_string_value(choice);
  *none = word && !strcmp(word, "none");
  if (!choice || json_is_null(choice) || *none || (word && !strcmp(word, "auto"))) return 0;
  r->tool = json_string_value(json_object_get(json_object_get(choice, "function"), "name"));
  r->must_call = true;
  if (!r->tool && !(word && !strcmp(word, "required")))
    FAIL_AT(err, ERROR_INPUT, NULL, 0, "tool_choice",
            "is not supported with this value; expected \"auto\", \"none\", \"required\" or {type: function, function: "
            "{name}}");
  if (!json_array_size(tools))
    FAIL_AT(err, ERROR_INPUT, NULL, 0, "tool_choice", "asks for a call without tools; expected tools beside it");
  if (r->tool && !has_tool(tools, r->tool))
    FAIL_AT(err, ERROR_INPUT, NULL, 0, "tool_choice", "found \"%.60s\"; expected the name of one of the tools",
            r->tool);
  return 0;
}

/* The member if it is there and not null; it must be an array or an object then. */
static int take_member(const json_t *o, const char *key, bool list, json_t **out, struct error *err)
{
  json_t *v = json_object_get(o, key);
  *out = NULL;
  if (!v || json_is_null(v)) return 0;
  if (list ? !json_is_array(v) : !json_is_object(v))
    FAIL_AT(err, ERROR_INPUT, NULL, 0, key, "found no %s; expected one", list ? "list" : "object");
  *out = v;
  return 0;
}

static int take_tools(struct arena *a, const json_t *o, struct api_request *r, struct error *err)
{
  bool none;
  json_t *tools, *kwargs;
  TRY(take_member(o, "tools", true, &tools, err));
  TRY(take_choice(o, tools, r, &none, err));
  TRY(take_member(o, "chat_template_kwargs", false, &kwargs, err));
  if (json_array_size(tools) && !none) r->tools = tools;
  if (!r->tools && !kwargs) return 0;
  r->variables = kwargs ? json_copy(kwargs) : json_object();
  if (!r->variables) FAIL(err, ERROR_RESOURCE, "no memory for a request");
  int rc = arena_on_reset(a, drop_json, r->variables, err);
  if (rc) json_decref(r->variables);
  if (!rc && r->tools && json_object_set(r->variables, "tools", r->tools)) FAIL(err, ERROR_RESOURCE, "no memory");
  return rc;
}

/* ---- prompts --------------------------------------------------------------------------------------------------------
 */

static int take_prompt(const json_t *p, struct api_prompt *out, struct error *err)
{
  if (json_is_string(p)) {
    out->text = json_string_value(p);
    return 0;
  }
  bool ids = json_array_size(p) > 0;
  for (size_t i = 0; i < json_array_size(p) && ids; i++) ids = json_is_integer(json_array_get(p, i));
  if (!ids)
    FAIL_AT(err, ERROR_INPUT, NULL, 0, "prompt",
            "found a prompt that is neither text nor token ids; expected one or a list of them");
  out->ids = p;
  return 0;
}

static int take_prompts(struct arena *a, const json_t *o, struct api_request *r, struct error *err)
{
  const json_t *p = json_object_get(o, "prompt"), *first = json_array_get(p, 0);
  size_t several = json_is_string(first) || json_is_array(first) ? json_array_size(p) : 0;
  if (several > API_PROMPTS)
    FAIL_AT(err, ERROR_INPUT, NULL, 0, "prompt", "found %zu prompts; expected at most %d", several, API_PROMPTS);
  r->prompt_count = several ? (int32_t)several : 1;
  r->prompts = ARENA_NEW(a, struct api_prompt, (size_t)r->prompt_count, "request", err);
  if (!r->prompts) return err->code;
  if (!several) return take_prompt(p, r->prompts, err);
  for (size_t i = 0; i < several; i++) TRY(take_prompt(json_array_get(p, i), &r->prompts[i], err));
  return 0;
}

/* ---- the rest
 * --------------------------------------------------------------------------------------------------------- */

static int take_stop(struct arena *a, const json_t *o, struct api_request *r, struct error *err)
{
  const json_t *stop = json_object_get(o, "stop");
  if (!stop || json_is_null(stop)) return 0;
  size_t n = json_is_array(stop) ? json_array_size(stop) : 1;
  if (n > API_STOPS) FAIL_AT(err, ERROR_INPUT, NULL, 0, "stop", "found %zu texts; expected at most %d", n, API_STOPS);
  r->stop = ARENA_NEW(a, const char *, n, "request", err);
  if (!r->stop) return err->code;
  for (size_t i = 0; i < n; i++) {
    const json_t *s = json_is_array(stop) ? json_array_get(stop, i) : stop;
    size_t length = json_string_length(s);
    if (!length || length > API_STOP_BYTES || strlen(json_string_value(s)) != length)
      FAIL_AT(err, ERROR_INPUT, NULL, 0, "stop",
              "found a stop that is no text of 1 to %d bytes; expected a string or a list of them", API_STOP_BYTES);
    r->stop[i] = json_string_value(s);
  }
  r->stop_count = n;
  return 0;
}

/* The id that a key of logit_bias says, or -1. One spelling each, so that no id comes twice. */
static int32_t read_id(const char *key)
{
  int64_t id = 0;
  for (const char *p = key; *p; p++) {
    if (*p < '0' || *p > '9' || id > INT32_MAX / 10) return -1;
    id = id * 10 + (*p - '0');
  }
  return !*key || (*key == '0' && key[1]) || id > INT32_MAX ? -1 : (int32_t)id;
}

static int take_bias(struct arena *a, const json_t *o, struct api_request *r, struct error *err)
{
  json_t *map, *value;
  const char *key;
  TRY(take_member(o, "logit_bias", false, &map, err));
  if (!json_object_size(map)) return 0;
  r->bias = ARENA_NEW(a, struct sample_bias, json_object_size(map), "request", err);
  if (!r->bias) return err->code;
  json_object_foreach(map, key, value)
  {
    int32_t id = read_id(key);
    double add = json_number_value(value);
    if (id < 0 || !json_is_number(value) || !(add >= -API_BIAS && add <= API_BIAS))
      FAIL_AT(err, ERROR_INPUT, NULL, 0, "logit_bias",
              "found the entry \"%.40s\"; expected a token id as text and a number of -%d to %d", key, API_BIAS,
              API_BIAS);
    r->bias[r->bias_count++] = (struct sample_bias){.id = id, .add = (float)add};
  }
  return 0;
}

static int take_numbers(const json_t *o, struct api_request *r, struct error *err)
{
  int64_t n, top_k, more;
  TRY(json_int_or(o, "n", 1, 128, 1, &n, NULL, err));
  TRY(json_int_or(o, "max_tokens", r->kind == API_COMPLETION ? 0 : 1, INT32_MAX, -1, &r->max_tokens, NULL, err));
  TRY(json_int_or(o, "max_completion_tokens", 1, INT32_MAX, -1, &more, NULL, err));
  if (more >= 0) r->max_tokens = more;
  TRY(json_real_or(o, "temperature", 0, 100, 1, &r->sampling.temperature, NULL, err));
  TRY(json_real_or(o, "top_p", 0, 1, 1, &r->sampling.top_p, NULL, err));
  TRY(json_real_or(o, "min_p", 0, 1, 0, &r->sampling.min_p, NULL, err));
  TRY(json_int_or(o, "top_k", -1, INT32_MAX, 0, &top_k, NULL, err));
  TRY(json_int_or(o, "seed", INT64_MIN, INT64_MAX, -1, &r->seed, NULL, err));
  TRY(json_real_or(o, "presence_penalty", -API_PENALTY, API_PENALTY, 0, &r->presence, NULL, err));
  TRY(json_real_or(o, "frequency_penalty", -API_PENALTY, API_PENALTY, 0, &r->frequency, NULL, err));
  r->n = (int32_t)n;
  r->sampling.top_k = top_k < 0 ? 0 : (int32_t)top_k;
  r->seed &= INT64_MAX;
  if (!json_is_integer(json_object_get(o, "seed"))) r->seed = -1;
  return 0;
}

/* best_of draws that many and answers with the n best, which are known at the end alone. */
static int take_best_of(const json_t *o, struct api_request *r, struct error *err)
{
  int64_t drawn;
  TRY(json_int_or(o, "best_of", 1, 128, r->n, &drawn, NULL, err));
  if (drawn < r->n)
    FAIL_AT(err, ERROR_INPUT, NULL, 0, "best_of", "found %d; expected at least n, which is %d", (int)drawn, (int)r->n);
  if (drawn > r->n && r->stream)
    FAIL_AT(err, ERROR_INPUT, NULL, 0, "best_of",
            "cannot be streamed: the best is known at the end; expected one of the two");
  r->drawn = (int32_t)drawn;
  return 0;
}

/* A chat says logprobs: true and top_logprobs; a completion logprobs: how many. */
static int take_logprobs(const json_t *o, struct api_request *r, struct error *err)
{
  int64_t top = 0;
  if (r->kind == API_CHAT) {
    TRY(json_bool_or(o, "logprobs", false, &r->logprobs, NULL, err));
    TRY(json_int_or(o, "top_logprobs", 0, API_TOP, 0, &top, NULL, err));
    if (top && !r->logprobs)
      FAIL_AT(err, ERROR_INPUT, NULL, 0, "top_logprobs",
              "found top_logprobs without logprobs; expected logprobs: true beside it");
  } else if (!json_is_false(json_object_get(o, "logprobs"))) {
    TRY(json_int_or(o, "logprobs", 0, API_TOP, -1, &top, NULL, err));
    r->logprobs = top >= 0;
    if (top < 0) top = 0;
  }
  r->top = (int32_t)top;
  return 0;
}

static int take_format(const json_t *o, struct api_request *r, struct error *err)
{
  const json_t *format = json_object_get(o, "response_format");
  const char *type = json_string_value(json_object_get(format, "type"));
  if (!format || json_is_null(format) || (type && !strcmp(type, "text"))) return 0;
  if (type && !strcmp(type, "json_object")) {
    r->format = FORMAT_OBJECT;
    return 0;
  }
  r->schema = json_object_get(json_object_get(format, "json_schema"), "schema");
  if (!type || strcmp(type, "json_schema") != 0 || !r->schema)
    FAIL_AT(err, ERROR_INPUT, NULL, 0, "response_format",
            "found a format that is not known; expected {type: text}, {type: json_object} or {type: json_schema, "
            "json_schema: {name, schema}}");
  r->format = FORMAT_SCHEMA;
  return 0;
}

static int take_rest(struct arena *a, const json_t *o, struct api_request *r, struct error *err)
{
  json_t *options;
  TRY(take_member(o, "stream_options", false, &options, err));
  TRY(json_string_or(o, "model", NULL, &r->model, NULL, err));
  TRY(json_bool_or(o, "stream", false, &r->stream, NULL, err));
  TRY(json_bool_or(options, "include_usage", false, &r->include_usage, NULL, err));
  TRY(json_bool_or(o, "echo", false, &r->echo, NULL, err));
  TRY(take_numbers(o, r, err));
  TRY(take_best_of(o, r, err));
  TRY(take_bias(a, o, r, err));
  TRY(take_logprobs(o, r, err));
  TRY(take_stop(a, o, r, err));
  TRY(take_format(o, r, err));
  if (r->max_tokens == 0 && !r->echo)
    FAIL_AT(err, ERROR_INPUT, NULL, 0, "max_tokens",
            "found 0 without echo: there is nothing to answer; expected at least 1");
  if (r->tools && r->format != FORMAT_TEXT)
    FAIL_AT(err, ERROR_INPUT, NULL, 0, "response_format",
            "cannot be kept to where tools may be called; expected one of the two");
  return 0;
}

int api_request_parse(struct arena *a, enum api_kind kind, const char *body, size_t n, struct api_request *out,
                      struct error *err)
{
  json_t *o;
  *out = (struct api_request){.kind = kind};
  TRY(json_parse(a, body, n, NULL, 0, JSON_READ_LONG, &o, err));
  if (!json_is_object(o)) FAIL(err, ERROR_INPUT, "the body is no JSON object; expected {\"model\": ..., ...}");
  TRY(check_fields(kind, o, err));
  if (kind == API_CHAT) {
    TRY(take_messages(a, o, out, err));
    TRY(take_tools(a, o, out, err));
  } else {
    TRY(take_prompts(a, o, out, err));
  }
  return take_rest(a, o, out, err);
}
