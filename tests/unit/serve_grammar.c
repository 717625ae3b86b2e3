/* Constrained answers: which texts a schema's automaton takes, that its masks say the same token by token, and that
 * whatever is drawn under them at random is valid by the checker of json_schema.h. */
#include "check.h"

#include "core/rng.h"
#include "reward/json_schema.h"
#include "serve/grammar.h"

static struct arena *arena;
static struct tokenizer *tokenizer;
static struct grammar_vocab *vocab;
static const int END[] = {0};

static int open_all(void **state)
{
  struct error err = {0};
  (void)state;
  arena = arena_create("test", 0, &err);
  CHECK_OK(tokenizer_open_folder(arena, ASSAY_SOURCE_DIR "/models/tiny", &tokenizer, &err), &err);
  CHECK_OK(grammar_vocab_open(arena, tokenizer, tokenizer_vocab_size(tokenizer), END, 1, &vocab, &err), &err);
  return 0;
}

static int close_all(void **state)
{
  (void)state;
  arena_destroy(arena);
  return 0;
}

static json_t *read_json(const char *text)
{
  json_t *v;
  struct error err = {0};
  CHECK_OK(json_parse(arena, text, strlen(text), NULL, 0, 0, &v, &err), &err);
  return v;
}

static struct grammar *open_grammar(const char *schema)
{
  struct grammar *g;
  struct error err = {0};
  CHECK_OK(grammar_open(arena, vocab, schema ? read_json(schema) : NULL, &g, &err), &err);
  return g;
}

static bool takes(const struct grammar *g, const char *text)
{
  struct grammar_state s;
  grammar_start(g, &s);
  for (; *text; text++)
    if (!grammar_step(g, &s, (uint8_t)*text)) return false;
  return s.complete;
}

#define PERSON                                                                                                   \
  "{\"type\": \"object\", \"properties\": {\"name\": {\"type\": \"string\"}, \"age\": {\"type\": \"integer\"}, " \
  "\"tags\": {\"type\": \"array\", \"items\": {\"enum\": [\"a\", \"bc\"]}, \"maxItems\": 2}}, \"required\": "    \
  "[\"name\"], \"additionalProperties\": false}"

static void texts(void **state)
{
  static const struct {
    const char *schema, *yes[8], *no[8];
  } cases[] = {
      {NULL,
       {"{}", " {\"a\": [1, {\"b\": null}], \"c\": \"x\"}", "{\n  \"a\": true}", "{\"a\":{}}"},
       {"[]", "1", "", "{", "{\"a\"}", "{\"a\": 1,}", "{a: 1}"}},
      {PERSON,
       {"{\"name\": \"x\"}", "{\"name\":\"\",\"age\":-12}", "{\"name\": \"\\u00e4\\n\", \"tags\": [\"a\",\"bc\"]}",
        "{\"name\": \"\xc3\xa4\", \"age\": 0, \"tags\": []}"},
       {"{}", "{\"age\": 1}", "{\"age\": 1, \"name\": \"x\"}", "{\"name\": \"x\", \"age\": 1.5}",
        "{\"name\": \"x\", \"tags\": [\"a\", \"a\", \"a\"]}", "{\"name\": \"\xc3\"}", "{\"name\": \"a\nb\"}"}},
      {"{\"type\": \"number\"}", {"0", "-1.5", "1e5", "12.25e-3"}, {"01", ".5", "1.", "-", "+1", "1e", "0x1"}},
      {"{\"type\": \"string\", \"minLength\": 1, \"maxLength\": 2}",
       {"\"a\"", "\"\xc3\xa4\xe2\x82\xac\"", "\"\\\"\\\\\"", "\"\\ud7ff\""},
       {"\"\"", "\"abc\"", "\"\\ud800\"", "\"\\x\"", "a"}},
      {"{\"type\": [\"boolean\", \"null\"]}", {"true", "false", "null"}, {"tru", "nul", "truefalse"}},
      {"{\"anyOf\": [{\"const\": {\"k\": [1, \"z\"]}}, {\"type\": \"integer\"}]}",
       {"{\"k\":[1,\"z\"]}", "17"},
       {"{\"k\":[1,\"y\"]}", "{}"}},
      {"{\"type\": \"array\", \"items\": {\"type\": \"integer\"}, \"minItems\": 2}",
       {"[1,2]", "[1, 2, 3, 4]"},
       {"[]", "[1]", "[1,]", "[1 2]"}},
      {"{\"$ref\": \"#/$defs/n\", \"$defs\": {\"n\": {\"type\": \"object\", \"properties\": {\"v\": {\"type\": "
       "\"integer\"}, \"next\": {\"anyOf\": [{\"$ref\": \"#/$defs/n\"}, {\"type\": \"null\"}]}}, \"required\": [\"v\", "
       "\"next\"]}}}",
       {"{\"v\": 1, \"next\": null}", "{\"v\":1,\"next\":{\"v\":2,\"next\":{\"v\":3,\"next\":null}}}"},
       {"{\"v\": 1}", "{\"v\": 1, \"next\": 2}"}},
      {"{\"type\": \"object\", \"additionalProperties\": {\"type\": \"integer\"}}",
       {"{}", "{\"x\": 1, \"y\": 2}"},
       {"{\"x\": \"1\"}"}}};
  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    const struct grammar *g = open_grammar(cases[i].schema);
    for (int k = 0; k < 8 && cases[i].yes[k]; k++)
      if (!takes(g, cases[i].yes[k])) fail_msg("schema %zu does not take %s", i, cases[i].yes[k]);
    for (int k = 0; k < 8 && cases[i].no[k]; k++)
      if (takes(g, cases[i].no[k])) fail_msg("schema %zu takes %s", i, cases[i].no[k]);
  }
}

/* Of more texts than a state has threads each can be said, whatever they have in common. */
static void many_words(void **state)
{
  enum { WORDS = 300 };
  char word[WORDS][24];
  struct text t = {0};
  (void)state;
  for (int i = 0; i < WORDS; i++) {
    snprintf(word[i], sizeof word[i], "\"%sw%d\"", i % 3 ? "get_" : "", i);
    text_printf(&t, "%s%s", i ? ", " : "{\"enum\": [", word[i]);
  }
  text_puts(&t, ", \"a\", \"ab\", \"ab\", 12, [1], null]}");
  const struct grammar *g = open_grammar(t.bytes);
  for (int i = 0; i < WORDS; i++) CHECK(takes(g, word[i]));
  static const char *const yes[] = {"\"a\"", "\"ab\"", "12", "[1]", "null"};
  static const char *const no[] = {"\"w300\"", "\"get_\"", "\"abc\"", "1", "\"\"", "nul"};
  for (size_t i = 0; i < sizeof yes / sizeof *yes; i++) CHECK(takes(g, yes[i]));
  for (size_t i = 0; i < sizeof no / sizeof *no; i++) CHECK(!takes(g, no[i]));
  text_free(&t);
}

#define TOOLS                                                                                                          \
  "[{\"type\": \"function\", \"function\": {\"name\": \"get_weather\", \"parameters\": {\"type\": \"object\", "        \
  "\"properties\": {\"city\": {\"$ref\": \"#/$defs/s\"}}, \"required\": [\"city\"], \"$defs\": {\"s\": {\"type\": "    \
  "\"string\"}}}}}, {\"type\": \"function\", \"function\": {\"name\": \"get_time\", \"parameters\": {\"properties\": " \
  "{\"zone\": {\"$ref\": \"#/$defs/s\"}}, \"$defs\": {\"s\": {\"type\": \"integer\"}}}}}, {\"function\": {\"name\": "  \
  "\"stop\"}}]"

/* A call of one tool or of any, each with arguments by its own schema and its own definitions. */
static void calls(void **state)
{
  static const struct {
    const char *only, *yes[4], *no[6];
  } cases[] = {
      {NULL,
       {"{\"name\": \"get_weather\", \"arguments\": {\"city\": \"x\"}}", "{\"name\":\"get_time\",\"arguments\":{}}",
        "{\"name\": \"get_time\", \"arguments\": {\"zone\": 3}}", "{\"name\": \"stop\", \"arguments\": {\"a\": [1]}}"},
       {"{\"name\": \"get_weather\", \"arguments\": {}}", "{\"name\": \"get_time\", \"arguments\": {\"zone\": \"x\"}}",
        "{\"name\": \"get_\", \"arguments\": {}}", "{\"name\": \"stop\"}", "{\"name\": \"stop\", \"arguments\": 1}",
        "[]"}},
      {"get_time",
       {"{\"name\": \"get_time\", \"arguments\": {\"zone\": 3}}"},
       {"{\"name\": \"stop\", \"arguments\": {}}", "{\"name\": \"get_weather\", \"arguments\": {\"city\": \"x\"}}"}}};
  struct error err = {0};
  struct grammar *g;
  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    CHECK_OK(grammar_open_calls(arena, vocab, read_json(TOOLS), cases[i].only, &g, &err), &err);
    for (int k = 0; k < 4 && cases[i].yes[k]; k++)
      if (!takes(g, cases[i].yes[k])) fail_msg("%zu does not take %s", i, cases[i].yes[k]);
    for (int k = 0; k < 6 && cases[i].no[k]; k++)
      if (takes(g, cases[i].no[k])) fail_msg("%zu takes %s", i, cases[i].no[k]);
  }
  CHECK_ERROR(grammar_open_calls(arena, vocab, read_json("[{}]"), NULL, &g, &err), &err, ERROR_INPUT,
              "tools[0] without a function's name");
  CHECK_STR(err.key, "tool_choice");
  error_clear(&err);
  CHECK_ERROR(grammar_open_calls(arena, vocab,
                                 read_json("[{\"function\": {\"name\": \"f\", \"parameters\": "
                                           "{\"properties\": {\"x\": {\"pattern\": \"a\"}}}}}]"),
                                 NULL, &g, &err),
              &err, ERROR_INPUT, "pattern: is not supported");
}

static bool bit(const uint32_t *mask, int32_t id)
{
  return mask[id >> 5] >> (id & 31) & 1;
}

/* A token is allowed just when all of its bytes can be taken one by one. */
static void check_mask(struct grammar *g, const struct grammar_state *s)
{
  uint32_t mask[64];
  bool any = grammar_mask(g, s, mask), found = s->complete;
  for (int32_t id = 1; id < (int32_t)tokenizer_vocab_size(tokenizer); id++) {
    struct grammar_state t = *s;
    struct token_text text = tokenizer_text_of_id(tokenizer, id);
    bool fits = text.size > 0;
    for (size_t i = 0; i < text.size && fits; i++) fits = grammar_step(g, &t, (uint8_t)text.bytes[i]);
    found = found || fits;
    CHECK(bit(mask, id) == fits);
  }
  CHECK(any == found);
  CHECK(bit(mask, 0) == (s->complete || !any));
}

/* Draws tokens at random until the answer may end and does. */
static void draw(struct grammar *g, uint32_t run, struct text *out)
{
  struct grammar_state s;
  grammar_start(g, &s);
  for (uint32_t i = 0; i < 3000; i++) {
    uint32_t mask[64];
    int32_t ids[512], count = 0;
    if (i < 40) check_mask(g, &s);
    CHECK(grammar_mask(g, &s, mask));
    for (int32_t id = 1; id < (int32_t)tokenizer_vocab_size(tokenizer); id++) {
      struct token_text text = tokenizer_text_of_id(tokenizer, id);
      // closing characters are liked more, or random texts would hardly end
      int weight = text.size == 1 && strchr("\"]}0", text.bytes[0]) ? (int)i / 8 + 1 : 1;
      for (int w = 0; bit(mask, id) && w < weight && count < 512; w++) ids[count++] = id;
    }
    const struct rng_at at = {.purpose = RNG_TEST, .step = run, .position = i};
    if (bit(mask, 0) && (!count || rng_below(3, &at, 4) == 0)) return;
    CHECK(count > 0);
    int32_t id = ids[rng_below(2, &at, (uint32_t)count)];
    struct token_text text = tokenizer_text_of_id(tokenizer, id);
    text_add(out, text.bytes, text.size);
    grammar_take(g, &s, id);
  }
  fail_msg("no end after 3000 tokens");
}

static void random_answers_are_valid(void **state)
{
  static const char *const schemas[] = {
      PERSON,
      "{\"type\": \"object\", \"properties\": {\"x\": {\"type\": \"number\"}, \"y\": {\"type\": [\"string\", "
      "\"null\"], \"maxLength\": 4}, \"z\": {\"type\": \"array\", \"items\": {\"type\": \"boolean\"}, \"minItems\": "
      "1}}, \"required\": [\"z\"]}",
      "{\"anyOf\": [{\"type\": \"integer\"}, {\"enum\": [\"one\", [2], null]}]}", "{\"type\": \"object\"}"};
  (void)state;
  for (size_t i = 0; i < sizeof schemas / sizeof *schemas; i++) {
    const json_t *schema = read_json(schemas[i]);
    for (uint32_t run = 0; run < 12; run++) {
      struct grammar *g = open_grammar(schemas[i]);
      struct text out = {0};
      struct error err = {0};
      const char *reason = "";
      json_t *value;
      json_error_t error;
      draw(g, run, &out);
      value = json_loadb(out.bytes, out.size, JSON_DECODE_ANY, &error);
      if (!value) fail_msg("schema %zu, run %u: no JSON: %.300s: %s", i, run, out.bytes, error.text);
      if (json_schema_test(arena, schema, value, &reason, &err) != JSON_SCHEMA_VALID)
        fail_msg("schema %zu, run %u: %s: %.300s", i, run, reason, out.bytes);
      json_decref(value);
      text_free(&out);
    }
  }
}

static void refusals(void **state)
{
  static const char *const cases[][2] = {
      {"{\"type\": \"string\", \"pattern\": \"a+\"}", "pattern: is not supported"},
      {"{\"type\": \"integer\", \"minimum\": 1}", "minimum: is not supported"},
      {"{\"type\": \"thing\"}", "type: found \"thing\""},
      {"{\"type\": \"array\", \"maxItems\": 100000}", "maxItems: expected"},
      {"{\"type\": \"array\", \"minItems\": 3, \"maxItems\": 2}", "below minItems"},
      {"{\"enum\": []}", "enum: expected"},
      {"{\"$ref\": \"#/$defs/none\"}", "$ref: found"},
      {"{\"$ref\": \"http://x/y\"}", "$ref: found"},
      {"{\"oneOf\": [{}]}", "oneOf: is not supported"},
      {"{\"type\": \"object\", \"properties\": {\"a\": {}}, \"required\": [\"b\"]}", "not among the properties"},
      {"[]", "schema: expected an object"}};
  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct grammar *g;
    struct error err = {0};
    CHECK_ERROR(grammar_open(arena, vocab, read_json(cases[i][0]), &g, &err), &err, ERROR_INPUT, cases[i][1]);
    CHECK_STR(err.key, "response_format");
  }
  // one that only refers to itself ends, and says nothing
  struct grammar *g = open_grammar("{\"anyOf\": [{\"$ref\": \"#\"}, {\"$ref\": \"#\"}]}");
  struct grammar_state s;
  uint32_t mask[64];
  grammar_start(g, &s);
  grammar_mask(g, &s, mask);
  CHECK(!takes(g, "1"));
  // depth is bounded: brackets close where no more may open
  g = open_grammar(NULL);
  grammar_start(g, &s);
  int depth = 0;
  CHECK(grammar_step(g, &s, '{'));
  for (const char *c = "\"a\":"; *c; c++) CHECK(grammar_step(g, &s, (uint8_t)*c));
  while (grammar_step(g, &s, '[')) depth++;
  CHECK(depth > 10 && depth < 40);
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(texts), cmocka_unit_test(many_words), cmocka_unit_test(calls),
                                     cmocka_unit_test(random_answers_are_valid), cmocka_unit_test(refusals)};
  return cmocka_run_group_tests(tests, open_all, close_all);
}
