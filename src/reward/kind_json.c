/* A JSON value in the response: its form by a schema (reward/json_schema.h says which part of JSON Schema), its content
 * by equality with the answer's fields. At least one of the two is given.
 *
 * Where the value stands: behind </think>; in the last block ```json, else in the last block of any name; else it is
 * the whole response; else from the first { or [ to the last } or ].
 *
 *     schema   the setting (JSON, or the name of a file), or the line's field (an object, or JSON as text)
 *     answer   an object: each of its fields must be equal in the response, which may have more unless `exact`; any
 *              other value must be equal itself
 *     reward   1 if the form is right and all fields are equal; channels valid (0 or 1) and fields (share that is
 * equal)
 */
#include <string.h>
#include "core/file.h"
#include "reward/json_schema.h"
#include "reward/verifier.h"

struct state {
  const json_t *schema; /* of the setting, checked; or NULL */
};

static bool begins_json(const char *text)
{
  while (*text == ' ' || *text == '\n' || *text == '\t') text++;
  return *text == '{' || !strncmp(text, "true", 4) || !strncmp(text, "false", 5);
}

static int open(struct arena *a, struct verifier_config *c, struct error *err)
{
  const struct setting_value *given = verifier_value(c, "schema");
  struct state *s = ARENA_NEW(a, struct state, 1, "verifier", err);
  json_t *schema;
  if (!s) return err->code;
  c->state = s;
  if (!given->set) return 0;
  if (begins_json(given->text))
    TRY(json_parse(a, given->text, strlen(given->text), "schema", 0, JSON_READ_UNIQUE, &schema, err));
  else
    TRY(json_parse_file(a, given->text, &schema, err));
  s->schema = schema;
  return json_schema_check(a, schema, err);
}

static int find_schema(struct arena *a, const struct verifier_config *c, const struct problem *p, const json_t **out,
                       struct error *err)
{
  const json_t *field = json_object_get(p->fields, "schema");
  json_t *parsed;
  *out = ((const struct state *)c->state)->schema;
  if (!field || json_is_null(field)) return 0;
  *out = field;
  if (json_is_string(field)) {
    TRY(json_parse(a, json_string_value(field), json_string_length(field), p->source, p->line - 1, JSON_READ_UNIQUE,
                   &parsed, err));
    *out = parsed;
  }
  return json_schema_check(a, *out, err) ? error_place(err, p->source, p->line) : 0;
}

/* The answer as a value: JSON as it stands on the line, or as text; a text that is no JSON is itself. */
static const json_t *find_answer(struct arena *a, const struct problem *p)
{
  const json_t *answer = json_object_get(p->fields, "answer");
  struct error unused = {0};
  json_t *parsed;
  if (!answer || json_is_null(answer)) answer = NULL;
  if (answer && !json_is_string(answer)) return answer;
  const char *text = answer ? json_string_value(answer) : p->answer;
  if (text && !json_parse(a, text, strlen(text), "answer", 0, 0, &parsed, &unused)) return parsed;
  return answer;
}

static bool parse(struct arena *a, const char *s, size_t n, json_t **out, struct error *err)
{
  error_clear(err);
  return json_parse(a, s, n, "response", 0, JSON_READ_UNIQUE, out, err) == 0;
}

/* The response's value; err holds why the likeliest place has none. */
static bool find_value(struct arena *a, const char *s, size_t n, json_t **out, struct error *err)
{
  static const char *const names[] = {"json", "jsonc", NULL};
  const char *block;
  size_t size, first = 0, last = n;
  if (verdict_last_block(s, n, names, &block, &size)) return parse(a, block, size, out, err);
  if (parse(a, s, n, out, err)) return true;
  while (first < n && s[first] != '{' && s[first] != '[') first++;
  while (last > first && s[last - 1] != '}' && s[last - 1] != ']') last--;
  return last > first && parse(a, s + first, last - first, out, err);
}

/* Share of the answer's fields that are equal; the first that is not goes to *reason. */
static double equal_share(struct arena *a, const json_t *answer, const json_t *value, bool exact, const char **reason,
                          struct error *err)
{
  const char *key;
  json_t *want;
  size_t equal = 0, count = json_object_size(answer);
  if (!json_is_object(answer) || !json_is_object(value) || !count) {
    bool same = json_same(answer, value);
    if (!same) *reason = "the value is not the answer";
    return same ? 1 : 0;
  }
  json_object_foreach((json_t *)answer, key, want)
  {
    const json_t *got = json_object_get(value, key);
    bool same = got && json_same(want, got);
    equal += same;
    if (!same && !*reason)
      *reason = arena_printf(a, "verdict", err, "the field \"%.100s\" is %s", key,
                             got ? "not the answer's" : "not in the response");
  }
  json_object_foreach((json_t *)value, key, want)
  {
    if (!exact || json_object_get(answer, key)) continue;
    count++;
    if (!*reason) *reason = arena_printf(a, "verdict", err, "the field \"%.100s\" is not in the answer", key);
  }
  return (double)equal / (double)count;
}

static int put_extracted(struct arena *a, const json_t *value, struct verdict *out, struct error *err)
{
  struct text t = {0};
  json_put_value(&t, value);
  int rc = text_finish(&t, err);
  size_t n = t.size <= VERDICT_TEXT ? t.size : VERDICT_TEXT + 1;
  if (!rc) out->extracted = arena_strndup(a, t.bytes, n, "verdict", err);
  text_free(&t);
  return rc ? rc : out->extracted ? 0 : err->code;
}

static int judge(struct arena *a, const struct verifier_config *c, const struct problem *p, const char *response,
                 size_t n, struct verdict *out, struct error *err)
{
  const json_t *schema, *answer = find_answer(a, p);
  json_t *value;
  struct error why = {0};
  *out = (struct verdict){.reason = "the response ends inside <think>", .channel_count = 2};
  out->channels[0].name = "valid";
  out->channels[1].name = "fields";
  TRY(find_schema(a, c, p, &schema, err));
  if (!schema && !answer)
    FAIL_AT(err, ERROR_INPUT, p->source, p->line, "schema",
            "found neither schema nor answer; expected one of them for the verifier \"json\"");
  if (!verdict_skip_thinking(&response, &n)) return 0;
  if (!find_value(a, response, n, &value, &why)) {
    out->reason = arena_printf(a, "verdict", err, "no JSON in the response: %.200s", why.message);
    return out->reason ? 0 : err->code;
  }
  out->readable = true;
  TRY(put_extracted(a, value, out, err));
  const char *reason = NULL;
  enum json_schema_result form = schema ? json_schema_test(a, schema, value, &out->reason, err) : JSON_SCHEMA_VALID;
  double share = answer ? equal_share(a, answer, value, verifier_value(c, "exact")->integer, &reason, err) : 1;
  if (form == JSON_SCHEMA_FAILED) out->status = VERDICT_FAILED;
  if (form == JSON_SCHEMA_VALID)
    out->reason = reason ? reason : answer ? "form and content are right" : "the form is right";
  out->channels[0].value = form == JSON_SCHEMA_VALID ? 1 : 0;
  out->channels[1].value = share;
  out->correct = form == JSON_SCHEMA_VALID && share >= 1;
  out->reward = out->correct ? 1 : 0;
  return 0;
}

static const struct setting settings[] = {
    {"schema", SETTING_TEXT, 0, 0, NULL, NULL, "JSON Schema as JSON, or a file of it; a line's own stands before it"},
    {"exact", SETTING_BOOL, 0, 1, "false", NULL, "no field but the answer's"},
};

const struct verifier verifier_json = {
    .name = "json",
    .help = "a JSON value in the response fits a schema, and its fields are the answer's",
    .fields = "answer | schema?",
    .channels = "valid fields",
    .settings = settings,
    .setting_count = sizeof settings / sizeof *settings,
    .open = open,
    .judge = judge,
};
