#include "core/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/fault.h"
#include "core/file.h"

enum { DEPTH_LIMIT = 512 };

/* jansson's lexer drops a character when its buffer cannot grow, and goes on. So every failed allocation is noted, and
   what was parsed meanwhile is thrown away. */
static _Thread_local bool memory_lacked;

static void *noting_malloc(size_t n)
{
  void *p = fault_hit(FAULT_ALLOC) ? NULL : malloc(n);
  memory_lacked = memory_lacked || !p;
  return p;
}

__attribute__((constructor)) static void hook_jansson(void)
{
  json_set_alloc_funcs(noting_malloc, free);
}

/* Depth of nesting, by brackets outside strings, and the line where it first passes the limit. */
static bool too_deep(const char *bytes, size_t n, int *line)
{
  int depth = 0;
  bool quoted = false;
  *line = 1;
  for (size_t i = 0; i < n; i++) {
    char c = bytes[i];
    if (c == '\n') *line += 1;
    if (quoted) {
      if (c == '\\') i++;
      if (c == '"') quoted = false;
      continue;
    }
    if (c == '"') quoted = true;
    if (c == ']' || c == '}') depth--;
    if ((c == '[' || c == '{') && ++depth > DEPTH_LIMIT) return true;
  }
  return false;
}

static void release(void *value)
{
  json_decref(value);
}

/* A string, a number or one character. */
static size_t piece_length(const char *s, size_t n)
{
  size_t i = 1;
  if (*s == '"') {
    while (i < n && s[i] != '"') i += s[i] == '\\' ? 2 : 1;
    return i < n ? i + 1 : n;
  }
  while (strchr("+-.0123456789eE", *s) && i < n && s[i] && strchr("+-.0123456789eE", s[i])) i++;
  return i;
}

/* Integers of 19 digits and more get an exponent, which makes them reals: jansson refuses what int64 does not hold, and
 * model folders are full of "model_max_length": 1000000000000000019884624838656. */
static char *soften_integers(struct arena *a, const char *bytes, size_t n, size_t *size, struct error *err)
{
  char *out = arena_push(a, n + n / 8 + 4, 1, "json", err);
  *size = 0;
  for (size_t i = 0, length; out && i < n; i += length) {
    length = piece_length(bytes + i, n - i);
    bool number = strchr("-0123456789", bytes[i]), real = false;
    for (size_t k = i; number && k < i + length; k++) real = real || strchr(".eE", bytes[k]);
    memcpy(out + *size, bytes + i, length);
    *size += length;
    if (!number || real || length < 19) continue;
    out[(*size)++] = 'e';
    out[(*size)++] = '0';
  }
  return out;
}

static json_t *load(struct arena *a, const char *bytes, size_t n, size_t options, bool long_integers, json_error_t *why,
                    struct error *err)
{
  json_t *value = json_loadb(n > 0 ? bytes : "", n, options, why);
  if (value || !long_integers || json_error_code(why) != json_error_numeric_overflow) return value;
  size_t size;
  const char *soft = soften_integers(a, bytes, n, &size, err);
  memory_lacked = !soft;
  return soft ? json_loadb(soft, size, options, why) : NULL;
}

int json_parse(struct arena *a, const char *bytes, size_t n, const char *file, int line_base, int flags, json_t **out,
               struct error *err)
{
  int line;
  if (too_deep(bytes, n, &line)) {
    FAIL_AT(err, ERROR_INPUT, file, line_base + line, NULL,
            "found JSON nested deeper than %d; expected less; flatten it", DEPTH_LIMIT);
  }
  json_error_t why;
  size_t options = JSON_DECODE_ANY | JSON_ALLOW_NUL | (flags & JSON_READ_UNIQUE ? JSON_REJECT_DUPLICATES : 0);
  memory_lacked = false;
  json_t *value = load(a, bytes, n, options, flags & JSON_READ_LONG, &why, err);
  if (memory_lacked) {
    json_decref(value);
    FAIL_AT(err, ERROR_RESOURCE, file, 0, NULL, "no memory to read %zu bytes of JSON; free memory", n);
  }
  if (!value) {
    FAIL_AT(err, ERROR_INPUT, file, line_base + (why.line > 0 ? why.line : 1), NULL,
            "%s (column %d); expected one JSON value; correct the JSON", why.text, why.column);
  }
  int rc = arena_on_reset(a, release, value, err);
  if (rc) {
    json_decref(value);
    return rc;
  }
  *out = value;
  return 0;
}

int json_parse_file(struct arena *a, const char *path, json_t **out, struct error *err)
{
  struct file_map map;
  TRY(file_map(a, path, &map, err));
  return json_parse(a, (const char *)map.bytes, map.size, path, 0, JSON_READ_LONG, out, err);
}

/* --- Typed access --- */

static const char *type_name(const json_t *v)
{
  switch (json_typeof(v)) {
    case JSON_OBJECT:
      return "an object";
    case JSON_ARRAY:
      return "a list";
    case JSON_STRING:
      return "a string";
    case JSON_INTEGER:
      return "a whole number";
    case JSON_REAL:
      return "a number";
    case JSON_TRUE:
    case JSON_FALSE:
      return "a boolean";
    case JSON_NULL:
      return "null";
  }
  return "something else";
}

/* NULL where the member is absent or null. */
static const json_t *member(const json_t *o, const char *key)
{
  const json_t *v = json_object_get(o, key);
  return v && !json_is_null(v) ? v : NULL;
}

static int fail_type(const char *where, const char *key, const json_t *v, const char *expected, struct error *err)
{
  FAIL_AT(err, ERROR_INPUT, where, 0, key, "\"%s\": found %s; expected %s; correct the file", key,
          v ? type_name(v) : "nothing", expected);
}

int json_need_string(const json_t *o, const char *key, const char **out, const char *where, struct error *err)
{
  const json_t *v = member(o, key);
  if (!json_is_string(v)) return fail_type(where, key, v, "a string", err);
  *out = json_string_value(v);
  return 0;
}

int json_string_or(const json_t *o, const char *key, const char *fallback, const char **out, const char *where,
                   struct error *err)
{
  *out = fallback;
  return member(o, key) ? json_need_string(o, key, out, where, err) : 0;
}

int json_need_int(const json_t *o, const char *key, int64_t low, int64_t high, int64_t *out, const char *where,
                  struct error *err)
{
  const json_t *v = member(o, key);
  int64_t value;
  if (json_is_integer(v)) {
    value = json_integer_value(v);
  } else {
    double real = json_is_real(v) ? json_real_value(v) : 0.5;
    bool whole = real >= -0x1p53 && real <= 0x1p53 && (double)(int64_t)real == real;
    if (!whole) return fail_type(where, key, v, "a whole number", err);
    value = (int64_t)real;
  }
  if (value < low || value > high) {
    FAIL_AT(err, ERROR_INPUT, where, 0, key, "\"%s\": found %lld; expected %lld to %lld; correct the file", key,
            (long long)value, (long long)low, (long long)high);
  }
  *out = value;
  return 0;
}

int json_int_or(const json_t *o, const char *key, int64_t low, int64_t high, int64_t fallback, int64_t *out,
                const char *where, struct error *err)
{
  *out = fallback;
  return member(o, key) ? json_need_int(o, key, low, high, out, where, err) : 0;
}

int json_real_or(const json_t *o, const char *key, double low, double high, double fallback, double *out,
                 const char *where, struct error *err)
{
  const json_t *v = member(o, key);
  *out = fallback;
  if (!v) return 0;
  if (!json_is_number(v)) return fail_type(where, key, v, "a number", err);
  double value = json_number_value(v);
  if (!(value >= low && value <= high)) {
    FAIL_AT(err, ERROR_INPUT, where, 0, key, "\"%s\": found %g; expected %g to %g; correct the file", key, value, low,
            high);
  }
  *out = value;
  return 0;
}

int json_bool_or(const json_t *o, const char *key, bool fallback, bool *out, const char *where, struct error *err)
{
  const json_t *v = member(o, key);
  *out = fallback;
  if (!v) return 0;
  if (!json_is_boolean(v)) return fail_type(where, key, v, "true or false", err);
  *out = json_is_true(v);
  return 0;
}
