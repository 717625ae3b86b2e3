#include "reward/json_schema.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "core/math.h"
#include "reward/pattern.h"

enum { MOST_STEPS = 1000000, PATH = 160 };

static const char *const types[] = {"null", "boolean", "integer", "number", "string", "array", "object"};
enum { TYPES = sizeof types / sizeof *types };

/* ---- values ------------------------------------------------------------------------------------------------------ */

static bool is_whole(const json_t *v)
{
  return json_is_integer(v) || (json_is_real(v) && math_floor(json_real_value(v)) == json_real_value(v));
}

bool json_same(const json_t *x, const json_t *y)
{
  if (json_is_number(x) && json_is_number(y)) {
    if (json_is_integer(x) && json_is_integer(y)) return json_integer_value(x) == json_integer_value(y);
    double p = json_number_value(x), q = json_number_value(y);
    return p <= q && p >= q;
  }
  if (json_typeof(x) != json_typeof(y)) return false;
  if (json_is_array(x)) {
    if (json_array_size(x) != json_array_size(y)) return false;
    for (size_t i = 0; i < json_array_size(x); i++)
      if (!json_same(json_array_get(x, i), json_array_get(y, i))) return false;
    return true;
  }
  if (json_is_object(x)) {
    const char *key;
    json_t *v;
    if (json_object_size(x) != json_object_size(y)) return false;
    json_object_foreach((json_t *)x, key, v)
    {
      const json_t *other = json_object_get(y, key);
      if (!other || !json_same(v, other)) return false;
    }
    return true;
  }
  return json_equal(x, y) == 1;
}

static bool has_type(const json_t *v, const char *type)
{
  if (!strcmp(type, "integer")) return json_is_number(v) && is_whole(v);
  if (!strcmp(type, "number")) return json_is_number(v);
  if (!strcmp(type, "string")) return json_is_string(v);
  if (!strcmp(type, "array")) return json_is_array(v);
  if (!strcmp(type, "object")) return json_is_object(v);
  return !strcmp(type, "null") ? json_is_null(v) : json_is_boolean(v);
}

static const char *type_name(const json_t *v)
{
  for (size_t i = 0; i < TYPES; i++)
    if (has_type(v, types[i])) return types[i];
  return "nothing";
}

/* ---- the schema itself ------------------------------------------------------------------------------------------- */

static int check(struct arena *a, const json_t *schema, const char *path, int depth, struct error *err);

static int wrong(const char *path, const char *key, const char *expected, struct error *err)
{
  FAIL_AT(err, ERROR_INPUT, NULL, 0, "schema", "found the schema's %s at %s in a form that is none; expected %s", key,
          path, expected);
}

static int check_each(struct arena *a, const json_t *v, const char *key, const char *path, int depth, bool map,
                      struct error *err)
{
  char at[PATH];
  const char *name;
  json_t *item;
  if (map ? !json_is_object(v) : !json_is_array(v) || !json_array_size(v))
    return wrong(path, key, map ? "an object of schemas" : "a list of schemas", err);
  for (size_t i = 0; !map && i < json_array_size(v); i++) {
    snprintf(at, sizeof at, "%.100s.%s[%zu]", path, key, i);
    TRY(check(a, json_array_get(v, i), at, depth + 1, err));
  }
  if (map) json_object_foreach((json_t *)v, name, item)
    {
      snprintf(at, sizeof at, "%.100s.%.40s", path, name);
      TRY(check(a, item, at, depth + 1, err));
    }
  return 0;
}

static bool are_types(const json_t *v)
{
  bool good = json_is_string(v) || json_array_size(v) > 0;
  for (size_t i = 0; good && i < (json_is_array(v) ? json_array_size(v) : 1); i++) {
    const char *name = json_string_value(json_is_array(v) ? json_array_get(v, i) : v);
    size_t k = 0;
    while (name && k < TYPES && strcmp(types[k], name)) k++;
    good = name && k < TYPES;
  }
  return good;
}

static bool are_names(const json_t *v)
{
  bool good = json_is_array(v);
  for (size_t i = 0; good && i < json_array_size(v); i++) good = json_is_string(json_array_get(v, i));
  return good;
}

static int check_pattern(struct arena *a, const json_t *v, const char *path, struct error *err)
{
  struct pattern *unused;
  if (!json_is_string(v)) return wrong(path, "pattern", "a regular expression", err);
  return pattern_compile(a, json_string_value(v), json_string_length(v), 0, &unused, err);
}

enum form { SCHEMA, SCHEMAS, SCHEMA_MAP, TYPE_NAMES, NAMES, LIST, ANY, NUMBER, COUNT, PATTERN, NOTE };
static const struct {
  const char *name;
  enum form form;
} keywords[] = {
    {"type", TYPE_NAMES},
    {"properties", SCHEMA_MAP},
    {"required", NAMES},
    {"items", SCHEMA},
    {"enum", LIST},
    {"const", ANY},
    {"additionalProperties", SCHEMA},
    {"anyOf", SCHEMAS},
    {"allOf", SCHEMAS},
    {"oneOf", SCHEMAS},
    {"not", SCHEMA},
    {"minimum", NUMBER},
    {"maximum", NUMBER},
    {"exclusiveMinimum", NUMBER},
    {"exclusiveMaximum", NUMBER},
    {"minLength", COUNT},
    {"maxLength", COUNT},
    {"minItems", COUNT},
    {"maxItems", COUNT},
    {"pattern", PATTERN},
    {"$schema", NOTE},
    {"$id", NOTE},
    {"$comment", NOTE},
    {"title", NOTE},
    {"description", NOTE},
    {"default", NOTE},
    {"examples", NOTE},
    {"format", NOTE},
};
enum { KEYWORDS = sizeof keywords / sizeof *keywords };

static int check_keyword(struct arena *a, const char *key, const json_t *v, const char *path, int depth,
                         struct error *err)
{
  char at[PATH];
  size_t k = 0;
  while (k < KEYWORDS && strcmp(keywords[k].name, key)) k++;
  if (k == KEYWORDS)
    FAIL_AT(err, ERROR_INPUT, NULL, 0, "schema",
            "found the schema keyword \"%.60s\" at %s; expected: type, properties, required, additionalProperties, "
            "items, enum, const, minimum, maximum, exclusiveMinimum, exclusiveMaximum, minLength, maxLength, minItems, "
            "maxItems, pattern, anyOf, allOf, oneOf, not",
            key, path);
  snprintf(at, sizeof at, "%.100s.%s", path, key);
  switch (keywords[k].form) {
    case SCHEMA:
      return check(a, v, at, depth + 1, err);
    case SCHEMAS:
    case SCHEMA_MAP:
      return check_each(a, v, key, path, depth, keywords[k].form == SCHEMA_MAP, err);
    case TYPE_NAMES:
      return are_types(v)
                 ? 0
                 : wrong(path, key, "a name or names of: null boolean integer number string array object", err);
    case NAMES:
      return are_names(v) ? 0 : wrong(path, key, "a list of names", err);
    case LIST:
      return json_is_array(v) ? 0 : wrong(path, key, "a list", err);
    case NUMBER:
      return json_is_number(v) ? 0 : wrong(path, key, "a number", err);
    case COUNT:
      return json_is_number(v) && is_whole(v) && json_number_value(v) >= 0
                 ? 0
                 : wrong(path, key, "a whole number from 0", err);
    case PATTERN:
      return check_pattern(a, v, path, err);
    case ANY:
    case NOTE:
      break;
  }
  return 0;
}

static int check(struct arena *a, const json_t *schema, const char *path, int depth, struct error *err)
{
  const char *key;
  json_t *v;
  if (json_is_boolean(schema)) return 0;
  if (!json_is_object(schema) || depth > 64)
    FAIL_AT(err, ERROR_INPUT, NULL, 0, "schema", "found at %s a schema that is %s; expected an object, true or false",
            path, depth > 64 ? "nested more than 64 deep" : type_name(schema));
  json_object_foreach((json_t *)schema, key, v) TRY(check_keyword(a, key, v, path, depth, err));
  return 0;
}

int json_schema_check(struct arena *a, const json_t *schema, struct error *err)
{
  return check(a, schema, "$", 0, err);
}

/* ---- a value against it ------------------------------------------------------------------------------------------ */

struct testing {
  struct arena *a;
  struct error *err;
  int steps;
  bool failed;
  const char *reason; /* the first; NULL where nobody asks */
  char path[PATH];
};

static bool test(struct testing *t, const json_t *schema, const json_t *v, bool silent);

/* Writes the first reason: PATH: found VALUE; expected ... */
static bool invalid(struct testing *t, const json_t *v, bool silent, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
static bool invalid(struct testing *t, const json_t *v, bool silent, const char *fmt, ...)
{
  char expected[200];
  struct text found = {0};
  va_list args;
  if (silent || t->reason) return false;
  va_start(args, fmt);
  vsnprintf(expected, sizeof expected, fmt, args);
  va_end(args);
  if (json_is_array(v) || json_is_object(v) || json_string_length(v) > 60)
    text_printf(&found, "a%s %s", json_is_string(v) ? " long" : "n", type_name(v));
  else
    json_put_value(&found, v);
  t->reason = arena_printf(t->a, "verdict", t->err, "at %s: found %s; expected %s", t->path,
                           found.bytes ? found.bytes : "a value", expected);
  text_free(&found);
  return false;
}

static size_t characters(const json_t *v)
{
  const char *s = json_string_value(v);
  size_t n = 0;
  for (size_t i = 0; i < json_string_length(v); i++) n += ((unsigned char)s[i] & 0xc0) != 0x80;
  return n;
}

static bool bound_holds(const char *key, double x, double bound)
{
  if (!strcmp(key, "exclusiveMinimum")) return x > bound;
  if (!strcmp(key, "exclusiveMaximum")) return x < bound;
  return !strncmp(key, "min", 3) ? x >= bound : x <= bound;
}

static bool test_bounds(struct testing *t, const json_t *schema, const json_t *v, bool silent)
{
  static const char *const keys[3][4] = {{"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"},
                                         {"minLength", "maxLength"},
                                         {"minItems", "maxItems"}};
  int row = json_is_number(v) ? 0 : json_is_string(v) ? 1 : json_is_array(v) ? 2 : -1;
  if (row < 0) return true;
  double x = row == 0 ? json_number_value(v) : row == 1 ? (double)characters(v) : (double)json_array_size(v);
  for (int k = 0; k < 4 && keys[row][k]; k++) {
    const json_t *bound = json_object_get(schema, keys[row][k]);
    if (bound && !bound_holds(keys[row][k], x, json_number_value(bound)))
      return invalid(t, v, silent, "%s %.15g", keys[row][k], json_number_value(bound));
  }
  return true;
}

static bool test_pattern(struct testing *t, const json_t *schema, const json_t *v, bool silent)
{
  const json_t *text = json_object_get(schema, "pattern");
  struct pattern *pattern;
  if (!text || !json_is_string(v)) return true;
  struct error unused = {0};
  if (pattern_compile(t->a, json_string_value(text), json_string_length(text), 0, &pattern, &unused)) return false;
  enum pattern_result r = pattern_search(pattern, json_string_value(v), json_string_length(v), 0, NULL);
  t->failed = t->failed || r == PATTERN_FAILED;
  return r == PATTERN_FOUND || invalid(t, v, silent, "a text like %.100s", json_string_value(text));
}

/* Runs the schema on a part, with its step added to the path. */
static bool test_part(struct testing *t, const json_t *schema, const json_t *v, bool silent, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));
static bool test_part(struct testing *t, const json_t *schema, const json_t *v, bool silent, const char *fmt, ...)
{
  size_t n = strlen(t->path);
  va_list args;
  va_start(args, fmt);
  vsnprintf(t->path + n, sizeof t->path - n, fmt, args);
  va_end(args);
  bool good = test(t, schema, v, silent);
  t->path[n] = 0;
  return good;
}

static bool test_object(struct testing *t, const json_t *schema, const json_t *v, bool silent)
{
  const json_t *properties = json_object_get(schema, "properties"), *required = json_object_get(schema, "required"),
               *others = json_object_get(schema, "additionalProperties");
  const char *key;
  json_t *item;
  for (size_t i = 0; i < json_array_size(required); i++) {
    const char *name = json_string_value(json_array_get(required, i));
    if (!json_object_get(v, name)) return invalid(t, v, silent, "the member \"%.80s\"", name);
  }
  json_object_foreach((json_t *)v, key, item)
  {
    const json_t *known = json_object_get(properties, key);
    if (known && !test_part(t, known, item, silent, ".%.60s", key)) return false;
    if (known || !others) continue;
    if (json_is_false(others)) return invalid(t, v, silent, "no member \"%.80s\"", key);
    if (!test_part(t, others, item, silent, ".%.60s", key)) return false;
  }
  return true;
}

static bool test_items(struct testing *t, const json_t *schema, const json_t *v, bool silent)
{
  const json_t *items = json_object_get(schema, "items");
  for (size_t i = 0; items && i < json_array_size(v); i++)
    if (!test_part(t, items, json_array_get(v, i), silent, "[%zu]", i)) return false;
  return true;
}

static bool test_value(struct testing *t, const json_t *schema, const json_t *v, bool silent)
{
  const json_t *type = json_object_get(schema, "type"), *list = json_object_get(schema, "enum"),
               *one = json_object_get(schema, "const");
  bool found = !type;
  for (size_t i = 0; !found && i < (json_is_array(type) ? json_array_size(type) : 1); i++)
    found = has_type(v, json_string_value(json_is_array(type) ? json_array_get(type, i) : type));
  if (!found && json_is_array(type)) return invalid(t, v, silent, "another type");
  if (!found) return invalid(t, v, silent, "type %s", json_string_value(type));
  if (one && !json_same(one, v)) return invalid(t, v, silent, "the schema's const");
  found = !list;
  for (size_t i = 0; !found && i < json_array_size(list); i++) found = json_same(json_array_get(list, i), v);
  return found || invalid(t, v, silent, "one of the schema's enum");
}

static bool test_logic(struct testing *t, const json_t *schema, const json_t *v, bool silent)
{
  const json_t *all = json_object_get(schema, "allOf"), *any = json_object_get(schema, "anyOf"),
               *one = json_object_get(schema, "oneOf"), *no = json_object_get(schema, "not");
  size_t fits = 0;
  for (size_t i = 0; i < json_array_size(all); i++)
    if (!test(t, json_array_get(all, i), v, silent)) return false;
  for (size_t i = 0; i < json_array_size(any) && !fits; i++) fits += test(t, json_array_get(any, i), v, true);
  if (any && !fits) return invalid(t, v, silent, "what anyOf has a schema for");
  fits = 0;
  for (size_t i = 0; i < json_array_size(one); i++) fits += test(t, json_array_get(one, i), v, true);
  if (one && fits != 1) return invalid(t, v, silent, "one schema of oneOf to fit, not %zu", fits);
  return !no || !test(t, no, v, true) || invalid(t, v, silent, "what `not` does not fit");
}

static bool test(struct testing *t, const json_t *schema, const json_t *v, bool silent)
{
  if (++t->steps > MOST_STEPS) t->failed = true;
  if (t->failed) return false;
  if (json_is_boolean(schema)) return json_is_true(schema) || invalid(t, v, silent, "nothing here");
  return test_value(t, schema, v, silent) && test_bounds(t, schema, v, silent) && test_pattern(t, schema, v, silent) &&
         (!json_is_object(v) || test_object(t, schema, v, silent)) &&
         (!json_is_array(v) || test_items(t, schema, v, silent)) && test_logic(t, schema, v, silent);
}

enum json_schema_result json_schema_test(struct arena *a, const json_t *schema, const json_t *value,
                                         const char **reason, struct error *err)
{
  struct testing t = {.a = a, .err = err, .path = "$"};
  bool good = test(&t, schema, value, false);
  *reason = t.failed ? "the schema takes more steps than are allowed" : t.reason ? t.reason : "the schema does not fit";
  return t.failed ? JSON_SCHEMA_FAILED : good ? JSON_SCHEMA_VALID : JSON_SCHEMA_INVALID;
}
