/* A JSON schema to nodes. Everything is built from its end: each function takes what follows and returns where its part
 * begins, so that a sequence is a nest of calls read from the inside out. */
#include "core/yaml.h"
#include "serve/grammar_internal.h"

#include <stdlib.h>
#include <string.h>

enum { LEVELS = 64, REFERENCES = 128, ITEMS = 256, CHARACTERS = 512, SPACES = 16, DIGITS = 16 };

struct build {
  struct grammar *g;
  struct arena *a;
  const char *field; /* of the request, that asks for this */
  const json_t *root;
  struct error *err;
  bool failed;
  int level;
  /* parts that are called */
  uint16_t space, character, string, number, integer, any, any_object;
  struct {
    const char *pointer;
    uint16_t part;
  } references[REFERENCES];
  int reference_count;
};

/* ---- nodes
 * ------------------------------------------------------------------------------------------------------------ */

static uint16_t fail(struct build *b, const char *key, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static uint16_t fail(struct build *b, const char *key, const char *fmt, ...)
{
  char message[400];
  va_list args;
  va_start(args, fmt);
  vsnprintf(message, sizeof message, fmt, args);
  va_end(args);
  if (!b->failed) error_fail(b->err, ERROR_INPUT, NULL, 0, b->field, "%s: %s", key, message);
  b->failed = true;
  return 0;
}

static uint16_t node(struct build *b, enum grammar_op op, uint8_t low, uint8_t high, uint16_t next, uint16_t other)
{
  if (b->g->count == GRAMMAR_NODES)
    return fail(b, "schema", "is too large; expected fewer properties or shorter bounds");
  b->g->nodes[b->g->count] = (struct grammar_node){(uint8_t)op, low, high, next, other};
  return (uint16_t)b->g->count++;
}

static uint16_t range(struct build *b, int low, int high, uint16_t next)
{
  return node(b, GRAMMAR_RANGE, (uint8_t)low, (uint8_t)high, next, 0);
}
static uint16_t either(struct build *b, uint16_t one, uint16_t other)
{
  return node(b, GRAMMAR_SPLIT, 0, 0, one, other);
}
static uint16_t call(struct build *b, uint16_t part, uint16_t next)
{
  return node(b, GRAMMAR_CALL, 0, 0, next, part);
}
static uint16_t end_of_part(struct build *b)
{
  return node(b, GRAMMAR_RETURN, 0, 0, 0, 0);
}
static uint16_t literal(struct build *b, const char *s, size_t n, uint16_t next)
{
  while (n-- > 0) next = range(b, (unsigned char)s[n], (unsigned char)s[n], next);
  return next;
}
static uint16_t byte(struct build *b, char c, uint16_t next)
{
  return literal(b, &c, 1, next);
}
static uint16_t space(struct build *b, uint16_t next)
{
  return call(b, b->space, next);
}

/* ---- parts of every JSON
 * ------------------------------------------------------------------------------------------------ */

static uint16_t build_space(struct build *b)
{
  uint16_t done = end_of_part(b), spaces = done;
  for (int i = 0; i < SPACES; i++) spaces = either(b, done, byte(b, ' ', spaces));
  return either(b, done, either(b, byte(b, ' ', done), byte(b, '\n', spaces)));
}

/* One character of a string: UTF-8 without surrogates or overlong forms (Unicode, table 3-7), or an escape. */
static uint16_t build_character(struct build *b)
{
  uint16_t done = end_of_part(b), one = range(b, 0x80, 0xbf, done), two = range(b, 0x80, 0xbf, one);
  uint16_t at = range(b, 0x20, 0x21, done);
  at = either(b, range(b, 0x23, 0x5b, done), at);
  at = either(b, range(b, 0x5d, 0x7f, done), at);
  at = either(b, range(b, 0xc2, 0xdf, one), at);
  at = either(b, range(b, 0xe0, 0xe0, range(b, 0xa0, 0xbf, one)), at);
  at = either(b, range(b, 0xe1, 0xec, two), at);
  at = either(b, range(b, 0xed, 0xed, range(b, 0x80, 0x9f, one)), at);
  at = either(b, range(b, 0xee, 0xef, two), at);
  at = either(b, range(b, 0xf0, 0xf0, range(b, 0x90, 0xbf, two)), at);
  at = either(b, range(b, 0xf1, 0xf3, range(b, 0x80, 0xbf, two)), at);
  at = either(b, range(b, 0xf4, 0xf4, range(b, 0x80, 0x8f, two)), at);
  static const char escapes[] = "\"\\/bfnrt";
  uint16_t escape = byte(b, escapes[0], done);
  for (size_t i = 1; i < sizeof escapes - 1; i++) escape = either(b, byte(b, escapes[i], done), escape);
  uint16_t hex = done, hex3 = 0;
  for (int i = 0; i < 3; i++) {
    hex3 = hex;  // two digits, once three are there
    hex = either(b, range(b, '0', '9', hex3), either(b, range(b, 'a', 'f', hex3), range(b, 'A', 'F', hex3)));
  }
  // \uD800 to \uDFFF are halves of pairs: left out
  uint16_t first = either(b, range(b, '0', '9', hex), either(b, range(b, 'a', 'c', hex), range(b, 'A', 'C', hex)));
  first = either(b, first, either(b, range(b, 'e', 'f', hex), range(b, 'E', 'F', hex)));
  first = either(b, first, either(b, byte(b, 'd', range(b, '0', '7', hex3)), byte(b, 'D', range(b, '0', '7', hex3))));
  return either(b, at, byte(b, '\\', either(b, escape, byte(b, 'u', first))));
}

/* Any number of characters, then `next`. */
static uint16_t characters(struct build *b, uint16_t next)
{
  uint16_t loop = node(b, GRAMMAR_TEXT, 0, 0, 0, next);
  uint16_t again = call(b, b->character, loop);
  if (!b->failed) b->g->nodes[loop].next = again;
  return loop;
}

/* From `least` to `most` times the part. */
static uint16_t repeat(struct build *b, uint16_t part, int least, int most, uint16_t next)
{
  uint16_t at = next;
  for (int i = most; i > 0; i--) {
    at = call(b, part, at);
    if (i > least) at = either(b, at, next);
  }
  return at;
}

static uint16_t digits(struct build *b, int least, int most, uint16_t next)
{
  uint16_t at = next;
  for (int i = most; i > 0; i--) {
    at = range(b, '0', '9', at);
    if (i > least) at = either(b, at, next);
  }
  return at;
}

static uint16_t build_number(struct build *b, bool integer)
{
  uint16_t done = end_of_part(b), behind = done;
  if (!integer) {
    uint16_t power = digits(b, 1, 2, done);
    power = either(b, power, either(b, byte(b, '-', power), byte(b, '+', power)));
    behind = either(b, done, either(b, byte(b, 'e', power), byte(b, 'E', power)));
    behind = either(b, behind, byte(b, '.', digits(b, 1, DIGITS, behind)));
  }
  uint16_t whole = either(b, byte(b, '0', behind), range(b, '1', '9', digits(b, 0, DIGITS - 1, behind)));
  return either(b, whole, byte(b, '-', whole));
}

/* '{' with members of any name and the value `part`. */
static uint16_t object_of(struct build *b, uint16_t part, uint16_t next)
{
  uint16_t end = space(b, byte(b, '}', next));
  uint16_t loop = node(b, GRAMMAR_SPLIT, 0, 0, end, 0);
  uint16_t member = call(b, b->string, byte(b, ':', space(b, call(b, part, loop))));
  uint16_t more = byte(b, ',', space(b, member));
  if (!b->failed) b->g->nodes[loop].other = more;
  return byte(b, '{', either(b, byte(b, '}', next), space(b, member)));
}

static uint16_t list_of(struct build *b, uint16_t part, int least, int most, uint16_t next)
{
  uint16_t end = space(b, byte(b, ']', next)), at;
  if (most < 0) {
    uint16_t loop = node(b, GRAMMAR_SPLIT, 0, 0, end, 0);
    uint16_t again = byte(b, ',', space(b, call(b, part, loop)));
    if (!b->failed) b->g->nodes[loop].other = again;
    at = loop;
    most = least > 1 ? least : 1;
  } else {
    at = end;
  }
  for (int i = most; i > 1; i--) {  // in front of the i-th item
    at = byte(b, ',', space(b, call(b, part, at)));
    if (i > least) at = either(b, at, end);
  }
  at = most ? space(b, call(b, part, at)) : byte(b, ']', next);
  if (most && !least) at = either(b, at, byte(b, ']', next));
  return byte(b, '[', at);
}

static uint16_t scalars(struct build *b, uint16_t next)
{
  uint16_t at = either(b, call(b, b->string, next), call(b, b->number, next));
  at = either(b, at, literal(b, "null", 4, next));
  return either(b, at, either(b, literal(b, "true", 4, next), literal(b, "false", 5, next)));
}

static void build_parts(struct build *b)
{
  b->space = build_space(b);
  b->character = build_character(b);
  b->string = byte(b, '"', characters(b, byte(b, '"', end_of_part(b))));
  b->number = build_number(b, false);
  b->integer = build_number(b, true);
  // any value holds values: its node stands before it is built
  b->any = node(b, GRAMMAR_SPLIT, 0, 0, 0, 0);
  uint16_t done = end_of_part(b), plain = scalars(b, done);
  b->any_object = object_of(b, b->any, done);
  uint16_t nested = either(b, b->any_object, list_of(b, b->any, 0, -1, done));
  if (b->failed) return;
  b->g->nodes[b->any].next = plain;
  b->g->nodes[b->any].other = nested;
}

/* ---- schemas
 * -------------------------------------------------------------------------------------------------------------- */

static uint16_t build_schema(struct build *b, const json_t *schema, uint16_t next);

/* A schema as a part of its own, so that two places can call it. */
static uint16_t build_part(struct build *b, const json_t *schema)
{
  return build_schema(b, schema, end_of_part(b));
}

static int read_bound(struct build *b, const json_t *schema, const char *key, int fallback, int most)
{
  const json_t *v = json_object_get(schema, key);
  if (!v) return fallback;
  int64_t n = json_is_integer(v) ? json_integer_value(v) : -1;
  if (n >= 0 && n <= most) return (int)n;
  fail(b, key, "expected a whole number up to %d", most);
  return 0;
}

static uint16_t build_string(struct build *b, const json_t *schema, uint16_t next)
{
  int least = read_bound(b, schema, "minLength", 0, CHARACTERS),
      most = read_bound(b, schema, "maxLength", -1, CHARACTERS);
  uint16_t quote = byte(b, '"', next);
  if (most >= 0 && most < least) return fail(b, "maxLength", "is below minLength");
  if (most >= 0) return byte(b, '"', repeat(b, b->character, least, most, quote));
  return byte(b, '"', repeat(b, b->character, least, least, characters(b, quote)));
}

static uint16_t build_list(struct build *b, const json_t *schema, uint16_t next)
{
  const json_t *items = json_object_get(schema, "items");
  int least = read_bound(b, schema, "minItems", 0, ITEMS), most = read_bound(b, schema, "maxItems", -1, ITEMS);
  if (most >= 0 && most < least) return fail(b, "maxItems", "is below minItems");
  return list_of(b, items ? build_part(b, items) : b->any, least, most, next);
}

static bool is_required(const json_t *schema, const char *name)
{
  const json_t *list = json_object_get(schema, "required");
  for (size_t i = 0; i < json_array_size(list); i++) {
    const char *s = json_string_value(json_array_get(list, i));
    if (s && !strcmp(s, name)) return true;
  }
  return false;
}

static uint16_t build_member(struct build *b, const char *name, const json_t *schema, uint16_t part, uint16_t next)
{
  struct text t = {0};
  (void)schema;
  json_put_string(&t, name, strlen(name));
  text_puts(&t, ":");
  uint16_t at = text_finish(&t, b->err) ? fail(b, "properties", "no memory")
                                        : literal(b, t.bytes, t.size, space(b, call(b, part, next)));
  text_free(&t);
  return at;
}

/* Properties in their order. Two chains run beside each other: in front of each property one for "a member stands
 * already" (a comma comes first), one for "none yet". */
static uint16_t build_members(struct build *b, const json_t *schema, const json_t *properties, uint16_t next)
{
  uint16_t close_bracket = byte(b, '}', next), after = space(b, close_bracket), first = close_bracket;
  size_t count = json_object_size(properties), i = count;
  const char **names = ARENA_NEW(b->a, const char *, count, "grammar", b->err);
  if (!names) return fail(b, "properties", "no memory");
  const char *name;
  json_t *value;
  i = 0;
  json_object_foreach((json_t *)(uintptr_t)properties, name, value) names[i++] = name;
  while (i-- > 0 && !b->failed) {
    const json_t *of = json_object_get(properties, names[i]);
    uint16_t member = build_member(b, names[i], of, build_part(b, of), after);
    uint16_t with_comma = byte(b, ',', space(b, member)), without = space(b, member);
    bool required = is_required(schema, names[i]);
    first = required ? without : either(b, without, first);
    after = required ? with_comma : either(b, with_comma, after);
  }
  return byte(b, '{', first);
}

static uint16_t build_object(struct build *b, const json_t *schema, uint16_t next)
{
  const json_t *properties = json_object_get(schema, "properties"),
               *others = json_object_get(schema, "additionalProperties"),
               *required = json_object_get(schema, "required");
  for (size_t i = 0; i < json_array_size(required); i++) {
    const char *name = json_string_value(json_array_get(required, i));
    if (!name || !json_object_get(properties, name))
      return fail(b, "required", "names \"%.60s\", which is not among the properties", name ? name : "?");
  }
  if (json_object_size(properties)) return build_members(b, schema, properties, next);
  if (json_is_false(others)) return byte(b, '{', byte(b, '}', next));
  return object_of(b, json_is_object(others) ? build_part(b, others) : b->any, next);
}

static uint16_t build_literal(struct build *b, const json_t *value, uint16_t next)
{
  struct text t = {0};
  json_put_value(&t, value);
  uint16_t at = text_finish(&t, b->err) ? fail(b, "const", "no memory") : literal(b, t.bytes, t.size, next);
  text_free(&t);
  return at;
}

/* One of several texts, and what follows it. */
struct word {
  const char *bytes;
  size_t size;
  uint16_t next;
};

static int by_bytes(const void *a, const void *b)
{
  const struct word *x = a, *y = b;
  int order = memcmp(x->bytes, y->bytes, x->size < y->size ? x->size : y->size);
  return order ? order : (x->size > y->size) - (x->size < y->size);
}

/* Of sorted words from their byte `at` on: what they have in common stands once, so that a byte leads to one place and
 * not to one for each word. */
static uint16_t build_words(struct build *b, const struct word *w, size_t count, size_t at)
{
  const struct word *first = &w[0], *last = &w[count - 1];
  size_t end = at, i = 0, group;
  if (b->level == LEVELS) return fail(b, "enum", "has texts of which each begins another, %d deep", LEVELS);
  while (end < first->size && end < last->size && first->bytes[end] == last->bytes[end]) end++;
  uint16_t found = 0;
  b->level++;
  for (; i < count && w[i].size == end; i++) found = i ? either(b, found, w[i].next) : w[i].next;
  for (; i < count && !b->failed; i += group) {
    for (group = 1; i + group < count && w[i + group].bytes[end] == w[i].bytes[end];) group++;
    uint16_t branch = build_words(b, w + i, group, end);
    found = i ? either(b, branch, found) : branch;
  }
  b->level--;
  return literal(b, first->bytes + at, end - at, found);
}

/* The text of a value, into the arena. */
static struct word make_word(struct build *b, const json_t *value, uint16_t next)
{
  struct text t = {0};
  json_put_value(&t, value);
  const char *copy = text_finish(&t, b->err) ? NULL : arena_strndup(b->a, t.bytes, t.size, "grammar", b->err);
  struct word w = {copy ? copy : "", copy ? t.size : 0, next};
  text_free(&t);
  if (!copy) fail(b, "enum", "no memory");
  return w;
}

static uint16_t build_enum(struct build *b, const json_t *list, uint16_t next)
{
  size_t n = json_array_size(list);
  if (!n) return fail(b, "enum", "expected a list of at least one");
  struct word *words = ARENA_NEW(b->a, struct word, n, "grammar", b->err);
  if (!words) return fail(b, "enum", "no memory");
  for (size_t i = 0; i < n; i++) words[i] = make_word(b, json_array_get(list, i), next);
  qsort(words, n, sizeof *words, by_bytes);
  return b->failed ? 0 : build_words(b, words, n, 0);
}

static uint16_t build_any_of(struct build *b, const json_t *list, uint16_t next)
{
  size_t n = json_array_size(list);
  uint16_t at = 0;
  if (!n) return fail(b, "anyOf", "expected a list of at least one");
  for (size_t i = n; i-- > 0;) {
    uint16_t built = build_schema(b, json_array_get(list, i), next);
    at = i == n - 1 ? built : either(b, built, at);
  }
  return at;
}

static uint16_t build_type(struct build *b, const char *type, const json_t *schema, uint16_t next)
{
  if (!strcmp(type, "object")) return build_object(b, schema, next);
  if (!strcmp(type, "array")) return build_list(b, schema, next);
  if (!strcmp(type, "string")) return build_string(b, schema, next);
  if (!strcmp(type, "number")) return call(b, b->number, next);
  if (!strcmp(type, "integer")) return call(b, b->integer, next);
  if (!strcmp(type, "boolean")) return either(b, literal(b, "true", 4, next), literal(b, "false", 5, next));
  if (!strcmp(type, "null")) return literal(b, "null", 4, next);
  return fail(b, "type", "found \"%.40s\"; expected object, array, string, number, integer, boolean or null", type);
}

static uint16_t build_types(struct build *b, const json_t *schema, uint16_t next)
{
  const json_t *type = json_object_get(schema, "type");
  if (json_is_string(type)) return build_type(b, json_string_value(type), schema, next);
  uint16_t at = 0;
  size_t n = json_array_size(type);
  if (!n) return fail(b, "type", "expected a name or a list of names");
  for (size_t i = n; i-- > 0;) {
    const char *name = json_string_value(json_array_get(type, i));
    uint16_t built = build_type(b, name ? name : "", schema, next);
    at = i == n - 1 ? built : either(b, built, at);
  }
  return at;
}

/* "#", "#/$defs/NAME" and "#/definitions/NAME": the part is built once, when it is first named. */
static uint16_t build_reference(struct build *b, const char *pointer, uint16_t next)
{
  const json_t *to = b->root;
  for (int i = 0; i < b->reference_count; i++)
    if (!strcmp(b->references[i].pointer, pointer)) return call(b, b->references[i].part, next);
  const char *name = !strncmp(pointer, "#/$defs/", 8)          ? pointer + 8
                     : !strncmp(pointer, "#/definitions/", 14) ? pointer + 14
                                                               : NULL;
  if (name) to = json_object_get(json_object_get(b->root, pointer[2] == '$' ? "$defs" : "definitions"), name);
  if (!to || (!name && strcmp(pointer, "#") != 0) || b->reference_count == REFERENCES)
    return fail(b, "$ref", "found \"%.80s\"; expected one of at most %d names in $defs", pointer, REFERENCES);
  uint16_t place = node(b, GRAMMAR_SPLIT, 0, 0, 0, 0);
  b->references[b->reference_count].pointer = pointer;
  b->references[b->reference_count++].part = place;
  uint16_t part = build_part(b, to);
  if (!b->failed) b->g->nodes[place].next = b->g->nodes[place].other = part;
  return call(b, place, next);
}

static bool check_keywords(struct build *b, const json_t *schema)
{
  static const char *const known[] = {"type",        "properties", "required",  "additionalProperties",
                                      "items",       "minItems",   "maxItems",  "minLength",
                                      "maxLength",   "enum",       "const",     "anyOf",
                                      "allOf",       "$ref",       "$defs",     "definitions",
                                      "$schema",     "$id",        "$comment",  "title",
                                      "description", "default",    "examples",  "format",
                                      "deprecated",  "readOnly",   "writeOnly", "strict"};
  const char *key;
  json_t *value;
  json_object_foreach((json_t *)(uintptr_t)schema, key, value)
  {
    bool found = false;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) found = found || !strcmp(key, known[i]);
    if (!found) fail(b, key, "is not supported in constrained answers; leave it out and check the answer yourself");
  }
  return !b->failed;
}

static uint16_t build_schema(struct build *b, const json_t *schema, uint16_t next)
{
  if (b->failed) return 0;
  if (json_is_true(schema)) return call(b, b->any, next);
  if (!json_is_object(schema)) return fail(b, "schema", "expected an object");
  if (b->level == LEVELS) return fail(b, "schema", "nests more than %d deep", LEVELS);
  if (!check_keywords(b, schema)) return 0;
  const json_t *all = json_object_get(schema, "allOf"), *reference = json_object_get(schema, "$ref");
  uint16_t at;
  b->level++;
  if (json_is_string(reference))
    at = build_reference(b, json_string_value(reference), next);
  else if (json_object_get(schema, "const"))
    at = build_literal(b, json_object_get(schema, "const"), next);
  else if (json_object_get(schema, "enum"))
    at = build_enum(b, json_object_get(schema, "enum"), next);
  else if (json_object_get(schema, "anyOf"))
    at = build_any_of(b, json_object_get(schema, "anyOf"), next);
  else if (all && json_array_size(all) == 1)
    at = build_schema(b, json_array_get(all, 0), next);
  else if (all)
    at = fail(b, "allOf", "expected a list of one");
  else if (json_object_get(schema, "type"))
    at = build_types(b, schema, next);
  else if (json_object_get(schema, "properties"))
    at = build_object(b, schema, next);
  else
    at = call(b, b->any, next);
  b->level--;
  return at;
}

/* ---- calls of tools
 * ------------------------------------------------------------------------------------------------------- */

/* An object by the tool's schema, whose references begin at it. */
static uint16_t build_arguments(struct build *b, const json_t *schema, uint16_t next)
{
  if (!json_object_size(schema)) return call(b, b->any_object, next);
  b->root = schema;
  b->reference_count = 0;
  bool untyped = !json_object_get(schema, "type") && !json_object_get(schema, "$ref") &&
                 !json_object_get(schema, "anyOf") && !json_object_get(schema, "allOf");
  if (untyped) return check_keywords(b, schema) ? build_object(b, schema, next) : 0;
  return build_schema(b, schema, next);
}

static uint16_t build_calls(struct build *b, const json_t *tools, const char *only, uint16_t next)
{
  uint16_t end = space(b, byte(b, '}', next));
  size_t count = 0;
  struct word *words = ARENA_NEW(b->a, struct word, json_array_size(tools), "grammar", b->err);
  if (!words) return fail(b, "tools", "no memory");
  for (size_t i = 0; i < json_array_size(tools) && !b->failed; i++) {
    const json_t *function = json_object_get(json_array_get(tools, i), "function"),
                 *name = json_object_get(function, "name");
    if (!json_is_string(name)) return fail(b, "tools", "found tools[%zu] without a function's name", i);
    if (only && strcmp(only, json_string_value(name)) != 0) continue;
    uint16_t arguments = space(b, build_arguments(b, json_object_get(function, "parameters"), end));
    words[count++] = make_word(b, name, byte(b, ',', space(b, literal(b, "\"arguments\":", 12, arguments))));
  }
  if (b->failed || !count) return fail(b, "tools", "found none to call");
  qsort(words, count, sizeof *words, by_bytes);
  return byte(b, '{', space(b, literal(b, "\"name\":", 7, space(b, build_words(b, words, count, 0)))));
}

/* ---- the whole
 * ------------------------------------------------------------------------------------------------------------ */

static struct build *begin(struct arena *a, const char *field, struct grammar *g, struct error *err)
{
  struct build *b = ARENA_NEW(a, struct build, 1, "grammar", err);
  g->nodes = b ? ARENA_NEW(a, struct grammar_node, GRAMMAR_NODES, "grammar", err) : NULL;
  if (!g->nodes) return NULL;
  *b = (struct build){.g = g, .a = a, .field = field, .err = err};
  build_parts(b);
  return b;
}

int grammar_build(struct arena *a, const json_t *schema, struct grammar *g, struct error *err)
{
  struct build *b = begin(a, "response_format", g, err);
  if (!b) return err->code;
  b->root = schema;
  uint16_t accept = node(b, GRAMMAR_ACCEPT, 0, 0, 0, 0);
  g->start = space(b, schema ? build_schema(b, schema, accept) : object_of(b, b->any, accept));
  return b->failed ? err->code : 0;
}

int grammar_build_calls(struct arena *a, const json_t *tools, const char *only, struct grammar *g, struct error *err)
{
  struct build *b = begin(a, "tool_choice", g, err);
  if (!b) return err->code;
  g->start = space(b, build_calls(b, tools, only, node(b, GRAMMAR_ACCEPT, 0, 0, 0, 0)));
  return b->failed ? err->code : 0;
}
