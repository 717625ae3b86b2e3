/* Bodies of requests: what is taken, what is passed over, and how the rest is refused. */
#include "check.h"

#include "serve/request.h"
#include "serve/tools.h"

static struct arena *arena;

static int open_arena(void **state)
{
  struct error err = {0};
  (void)state;
  arena = arena_create("test", 0, &err);
  return arena ? 0 : -1;
}

static int close_arena(void **state)
{
  (void)state;
  arena_destroy(arena);
  return 0;
}

static struct api_request parse(enum api_kind kind, const char *body)
{
  struct api_request r;
  struct error err = {0};
  CHECK_OK(api_request_parse(arena, kind, body, strlen(body), &r, &err), &err);
  return r;
}

static void refused(enum api_kind kind, const char *body, const char *key, const char *part)
{
  struct api_request r;
  struct error err = {0};
  CHECK_ERROR(api_request_parse(arena, kind, body, strlen(body), &r, &err), &err, ERROR_INPUT, part);
  CHECK_STR(err.key, key);
}

static void chats(void **state)
{
  (void)state;
  struct api_request r = parse(API_CHAT, "{\"messages\": [{\"role\": \"user\", \"content\": \"hi\"}]}");
  CHECK_INT(r.n, 1);
  CHECK_INT(r.max_tokens, -1);
  CHECK_INT(r.seed, -1);
  CHECK(!r.stream && !r.logprobs && !r.tools && r.format == FORMAT_TEXT);
  CHECK(r.sampling.temperature > 0.999 && r.sampling.temperature < 1.001);
  r = parse(
      API_CHAT,
      "{\"model\": \"m\", \"messages\": [{\"role\": \"developer\", \"content\": [{\"type\": \"text\", \"text\": "
      "\"a\"}, "
      "{\"type\": \"text\", \"text\": \"b\"}]}, {\"role\": \"assistant\", \"content\": null, \"tool_calls\": [{\"id\": "
      "\"1\", \"type\": \"function\", \"function\": {\"name\": \"f\", \"arguments\": \"{\\\"x\\\": 1}\"}}]}], \"n\": "
      "3, "
      "\"max_completion_tokens\": 7, \"max_tokens\": 5, \"temperature\": 0, \"top_p\": 0.5, \"top_k\": -1, \"seed\": "
      "12, "
      "\"stop\": [\"x\", \"yy\"], \"stream\": true, \"stream_options\": {\"include_usage\": true}, \"logprobs\": true, "
      "\"top_logprobs\": 4, \"user\": \"u\", \"frequency_penalty\": -2, \"presence_penalty\": 0.5, \"logit_bias\": "
      "null, \"tools\": [{\"type\": "
      "\"function\"}], \"chat_template_kwargs\": {\"enable_thinking\": false}}");
  CHECK_STR(json_string_value(json_object_get(json_array_get(r.messages, 0), "role")), "system");
  CHECK_STR(json_string_value(json_object_get(json_array_get(r.messages, 0), "content")), "ab");
  const json_t *said = json_array_get(r.messages, 1);
  CHECK_STR(json_string_value(json_object_get(said, "content")), "");
  const json_t *function = json_object_get(json_array_get(json_object_get(said, "tool_calls"), 0), "function");
  CHECK_INT(json_integer_value(json_object_get(json_object_get(function, "arguments"), "x")), 1);
  CHECK_INT(r.n, 3);
  CHECK_INT(r.max_tokens, 7);
  CHECK_INT(r.sampling.top_k, 0);
  CHECK_INT(r.seed, 12);
  CHECK_INT((int64_t)r.stop_count, 2);
  CHECK_STR(r.stop[1], "yy");
  CHECK(r.stream && r.include_usage && r.logprobs && r.tools);
  CHECK_INT(r.top, 4);
  CHECK(r.frequency < -1.99 && r.presence > 0.49 && r.presence < 0.51);
  CHECK(!r.bias && !r.bias_count);
  CHECK(json_is_false(json_object_get(r.variables, "enable_thinking")));
  CHECK(json_object_get(r.variables, "tools") == r.tools);
  r = parse(API_CHAT,
            "{\"messages\": [{\"role\": \"user\", \"content\": \"\"}], \"tools\": [{}], \"tool_choice\": \"none\"}");
  CHECK(!r.tools && !r.variables && !r.must_call);
#define TWO_TOOLS ", \"tools\": [{\"function\": {\"name\": \"f\"}}, {\"function\": {\"name\": \"g\"}}]"
  r = parse(API_CHAT,
            "{\"messages\": [{\"role\": \"user\", \"content\": \"\"}]" TWO_TOOLS ", \"tool_choice\": \"required\"}");
  CHECK(r.must_call && !r.tool && r.tools);
  r = parse(API_CHAT, "{\"messages\": [{\"role\": \"user\", \"content\": \"\"}]" TWO_TOOLS
                      ", \"tool_choice\": {\"type\": \"function\", \"function\": {\"name\": \"g\"}}}");
  CHECK(r.must_call);
  CHECK_STR(r.tool, "g");
}

static void completions(void **state)
{
  (void)state;
  struct api_request r =
      parse(API_COMPLETION, "{\"prompt\": \"a\", \"echo\": true, \"max_tokens\": 0, \"logprobs\": 0}");
  CHECK_INT(r.prompt_count, 1);
  CHECK_STR(r.prompts[0].text, "a");
  CHECK(r.logprobs && r.echo);
  CHECK_INT(r.top, 0);
  r = parse(API_COMPLETION, "{\"prompt\": [1, 2], \"logprobs\": null}");
  CHECK_INT(r.prompt_count, 1);
  CHECK_INT((int64_t)json_array_size(r.prompts[0].ids), 2);
  CHECK(!r.logprobs);
  r = parse(API_COMPLETION, "{\"prompt\": [[1], \"b\", [2, 3]]}");
  CHECK_INT(r.prompt_count, 3);
  CHECK_STR(r.prompts[1].text, "b");
  CHECK_INT((int64_t)json_array_size(r.prompts[2].ids), 2);
  CHECK_INT(r.drawn, 1);
  r = parse(API_COMPLETION, "{\"prompt\": \"a\", \"n\": 3}");
  CHECK_INT(r.drawn, 3);
  r = parse(API_COMPLETION, "{\"prompt\": \"a\", \"n\": 2, \"best_of\": 5}");
  CHECK_INT(r.n, 2);
  CHECK_INT(r.drawn, 5);
}

static void biases(void **state)
{
  (void)state;
  struct api_request r =
      parse(API_COMPLETION, "{\"prompt\": \"a\", \"logit_bias\": {\"0\": -100, \"2147483647\": 1.5}}");
  CHECK_INT(r.bias_count, 2);
  CHECK_INT(r.bias[0].id, 0);
  CHECK_INT(r.bias[1].id, INT32_MAX);
  CHECK(r.bias[0].add < -99.9f && r.bias[1].add > 1.4f);
}

static void refusals(void **state)
{
#define CHAT(rest) "{\"messages\": [{\"role\": \"user\", \"content\": \"x\"}]" rest "}"
  (void)state;
  refused(API_CHAT, "", "", "JSON");
  refused(API_CHAT, "[]", "", "no JSON object");
  refused(API_CHAT, "{\"messages\": [", "", "JSON");
  refused(API_CHAT, "{}", "messages", "found no messages");
  refused(API_CHAT, "{\"messages\": [{}]}", "messages", "without a role");
  refused(API_CHAT, "{\"messages\": [{\"role\": \"user\"}]}", "messages", "without text");
  refused(API_CHAT, "{\"messages\": [{\"role\": \"user\", \"content\": [{\"type\": \"image_url\"}]}]}", "messages",
          "type image_url");
  refused(API_CHAT, CHAT(", \"temprature\": 1"), "temprature", "did you mean temperature?");
  refused(API_CHAT, CHAT(", \"prompt\": \"x\""), "prompt", "is no field");
  refused(API_CHAT, CHAT(", \"repetition_penalty\": 1.1"), "repetition_penalty", "neutral value 1");
  refused(API_CHAT, CHAT(", \"frequency_penalty\": 2.5"), "frequency_penalty", "found");
  refused(API_CHAT, CHAT(", \"presence_penalty\": \"high\""), "presence_penalty", "found");
  refused(API_CHAT, CHAT(", \"logit_bias\": [5]"), "logit_bias", "object");
  refused(API_CHAT, CHAT(", \"logit_bias\": {\"5\": 101}"), "logit_bias", "-100 to 100");
  refused(API_CHAT, CHAT(", \"logit_bias\": {\"5\": \"1\"}"), "logit_bias", "-100 to 100");
  refused(API_CHAT, CHAT(", \"logit_bias\": {\"\": 1}"), "logit_bias", "token id");
  refused(API_CHAT, CHAT(", \"logit_bias\": {\"05\": 1}"), "logit_bias", "token id");
  refused(API_CHAT, CHAT(", \"logit_bias\": {\"-5\": 1}"), "logit_bias", "token id");
  refused(API_CHAT, CHAT(", \"logit_bias\": {\"2147483648\": 1}"), "logit_bias", "token id");
  refused(API_CHAT, CHAT(", \"temperature\": -1"), "temperature", "found");
  refused(API_CHAT, CHAT(", \"temperature\": \"hot\""), "temperature", "found");
  refused(API_CHAT, CHAT(", \"n\": 0"), "n", "found");
  refused(API_CHAT, CHAT(", \"max_tokens\": 0"), "max_tokens", "found");
  refused(API_CHAT, CHAT(", \"stop\": \"\""), "stop", "1 to 1000 bytes");
  refused(API_CHAT, CHAT(", \"stop\": [1]"), "stop", "1 to 1000 bytes");
  refused(API_CHAT, CHAT(", \"top_logprobs\": 2"), "top_logprobs", "without logprobs");
  refused(API_CHAT, CHAT(", \"logprobs\": true, \"top_logprobs\": 21"), "top_logprobs", "found");
  refused(API_CHAT, CHAT(", \"tool_choice\": \"required\""), "tool_choice", "without tools");
  refused(API_CHAT, CHAT(", \"tool_choice\": \"always\""), "tool_choice", "\"required\"");
  refused(API_CHAT, CHAT(TWO_TOOLS ", \"tool_choice\": {\"function\": {\"name\": \"h\"}}"), "tool_choice",
          "name of one of the tools");
  refused(API_CHAT, CHAT(", \"stream_options\": 1"), "stream_options", "object");
  refused(API_CHAT, CHAT(", \"response_format\": {\"type\": \"xml\"}"), "response_format", "json_schema");
  refused(API_CHAT, CHAT(", \"response_format\": {\"type\": \"json_object\"}, \"tools\": [{}]"), "response_format",
          "one of the two");
  refused(API_COMPLETION, "{\"prompt\": 1}", "prompt", "neither text nor token ids");
  refused(API_COMPLETION, "{\"prompt\": []}", "prompt", "neither text nor token ids");
  refused(API_COMPLETION, "{\"prompt\": \"a\", \"max_tokens\": 0}", "max_tokens", "without echo");
  refused(API_COMPLETION, "{\"prompt\": \"a\", \"n\": 2, \"best_of\": 1}", "best_of", "at least n, which is 2");
  refused(API_COMPLETION, "{\"prompt\": \"a\", \"best_of\": 2, \"stream\": true}", "best_of", "cannot be streamed");
  refused(API_COMPLETION, "{\"prompt\": \"a\", \"suffix\": \"b\"}", "suffix", "neutral value");
  refused(API_CHAT, CHAT(", \"best_of\": 2"), "best_of", "no field");
}

static void tools(void **state)
{
  static const struct {
    const char *text, *name, *arguments;
    size_t begin;
  } cases[] = {{"Sure.\n<tool_call>\n{\"name\": \"f\", \"arguments\": {\"x\": 1}}\n</tool_call>", "f", "{\"x\":1}", 6},
               {"[TOOL_CALLS][{\"name\": \"f\", \"arguments\": {}}]", "f", "{}", 0},
               {"{\"name\": \"f\", \"parameters\": {\"a\": \"b\"}}", "f", "{\"a\":\"b\"}", 0},
               {"<|python_tag|>{\"name\": \"f\", \"parameters\": {}}", "f", "{}", 0},
               {"plain words", NULL, NULL, 11},
               {"{\"not\": \"a call\"}", NULL, NULL, 0},
               {"<tool_call>{\"name\": ", NULL, NULL, 0},
               {"a <tool", NULL, NULL, 2},
               {"", NULL, NULL, 0}};
  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    size_t n = strlen(cases[i].text);
    CHECK_INT((int64_t)tools_begin(cases[i].text, n), (int64_t)cases[i].begin);
    json_t *calls = tools_read(cases[i].text, n, "chatcmpl-7", 0);
    CHECK(!calls == !cases[i].name);
    if (!calls) continue;
    const json_t *f = json_object_get(json_array_get(calls, 0), "function");
    CHECK_STR(json_string_value(json_object_get(f, "name")), cases[i].name);
    CHECK_STR(json_string_value(json_object_get(f, "arguments")), cases[i].arguments);
    CHECK_STR(json_string_value(json_object_get(json_array_get(calls, 0), "id")), "call_7_0_0");
    json_decref(calls);
  }
  static const char two[] =
      "<tool_call>{\"name\": \"f\"}</tool_call>\n<tool_call>{\"name\": \"g\", \"arguments\": {}}</tool_call>";
  json_t *calls = tools_read(two, sizeof two - 1, "chatcmpl-7", 1);
  CHECK_INT((int64_t)json_array_size(calls), 2);
  CHECK_STR(json_string_value(json_object_get(json_array_get(calls, 1), "id")), "call_7_1_1");
  json_decref(calls);
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(chats), cmocka_unit_test(completions), cmocka_unit_test(refusals),
                                     cmocka_unit_test(biases), cmocka_unit_test(tools)};
  return cmocka_run_group_tests(tests, open_arena, close_arena);
}
