#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/cursor.h"
#include "core/json.h"
#include "core/math.h"

void text_free(struct text *t)
{
  memory_free(t->bytes);
  *t = (struct text){0};
}

void text_clear(struct text *t)
{
  t->size = 0;
  t->rc = 0;
  if (t->bytes) t->bytes[0] = '\0';
}

/* Room for n more bytes and a NUL. */
static bool reserve(struct text *t, size_t n)
{
  if (t->rc) return false;
  if (n < t->room - t->size) return true;
  size_t room = t->room < 128 ? 256 : t->room * 2;
  while (n <= SIZE_MAX / 4 && room - t->size <= n) room *= 2;
  char *bytes = n <= SIZE_MAX / 4 ? memory_resize(t->bytes, room, 1, "text", NULL) : NULL;
  if (!bytes) {
    t->rc = ERROR_RESOURCE;
    return false;
  }
  t->bytes = bytes;
  t->room = room;
  return true;
}

void text_add(struct text *t, const void *bytes, size_t n)
{
  if (!reserve(t, n)) return;
  if (n > 0) memcpy(t->bytes + t->size, bytes, n);
  t->size += n;
  t->bytes[t->size] = '\0';
}

void text_puts(struct text *t, const char *s)
{
  text_add(t, s, strlen(s));
}

void text_printf(struct text *t, const char *fmt, ...)
{
  va_list args;
  va_start(args, fmt);
  int n = vsnprintf(NULL, 0, fmt, args);
  va_end(args);
  ASSAY_BUG_IF(n < 0);
  if (!reserve(t, (size_t)n)) return;
  va_start(args, fmt);
  vsnprintf(t->bytes + t->size, (size_t)n + 1, fmt, args);
  va_end(args);
  t->size += (size_t)n;
}

int text_finish(const struct text *t, struct error *err)
{
  if (t->rc) FAIL(err, ERROR_RESOURCE, "no memory for a text of more than %zu bytes; free memory", t->size);
  return 0;
}

void json_put_string(struct text *t, const char *s, size_t n)
{
  text_add(t, "\"", 1);
  for (size_t i = 0; i < n;) {
    uint32_t code;
    size_t length = utf8_decode((const uint8_t *)s + i, n - i, &code);
    const char *plain = "\"\\\b\f\n\r\t", *letters = "\"\\bfnrt";
    const char *special = length == 1 && code != 0 ? strchr(plain, (int)code) : NULL;
    if (length == 0) {
      text_add(t, "\xef\xbf\xbd", 3);
    } else if (special) {
      const char escape[2] = {'\\', letters[special - plain]};
      text_add(t, escape, 2);
    } else if (code < 0x20) {
      text_printf(t, "\\u%04x", (unsigned)code);
    } else {
      text_add(t, s + i, length);
    }
    i += length > 0 ? length : 1;
  }
  text_add(t, "\"", 1);
}

/* A finite number as digits d1 d2 ... dn (no zero at the end, but for 0 itself) and the exponent of d1. */
struct decimal {
  bool minus;
  char digits[32];
  int n, exponent;
};

/* Takes "%.*e" apart; passes over the point, whatever the locale calls it. */
static struct decimal decimal_of(const char *scientific)
{
  struct decimal d = {.minus = *scientific == '-'};
  const char *s = scientific + d.minus;
  for (; *s && *s != 'e'; s++) {
    if (*s >= '0' && *s <= '9') d.digits[d.n++] = *s;
  }
  d.exponent = (int)strtol(s + 1, NULL, 10);
  while (d.n > 1 && d.digits[d.n - 1] == '0') d.n--;
  return d;
}

/* 0.001, 12.5, 3.0 or 1e-06: fixed from 1e-4 to 1e16, as Python does. */
static void put_decimal(struct text *t, struct decimal d)
{
  if (d.minus) text_add(t, "-", 1);
  if (d.exponent < -4 || d.exponent >= 16) {
    text_add(t, d.digits, 1);
    if (d.n > 1) text_add(t, ".", 1);
    text_add(t, d.digits + 1, (size_t)d.n - 1);
    text_printf(t, "e%+03d", d.exponent);
    return;
  }
  /* Digit i stands at 10^(exponent - i); the point is followed by at least one. */
  for (int i = d.exponent < 0 ? d.exponent : 0; i < d.n || i <= d.exponent + 1; i++) {
    if (i == d.exponent + 1) text_add(t, ".", 1);
    text_add(t, i >= 0 && i < d.n ? d.digits + i : "0", 1);
  }
}

void json_put_f32(struct text *t, float x)
{
  if (!math_is_finite((double)x)) {
    text_puts(t, "null");
    return;
  }
  char form[40];
  /* Normal values need 6 to 9 digits; denormal ones hold fewer. */
  for (int digits = math_abs((double)x) < 0x1p-126 ? 1 : 6; digits <= 9; digits++) {
    snprintf(form, sizeof form, "%.*e", digits - 1, (double)x);
    if (strtof(form, NULL) == x) break;
  }
  put_decimal(t, decimal_of(form));
}

void json_put_f64(struct text *t, double x)
{
  if (!math_is_finite(x)) {
    text_puts(t, "null");
    return;
  }
  char form[48];
  for (int digits = math_abs(x) < 0x1p-1022 ? 1 : 15; digits <= 17; digits++) {
    snprintf(form, sizeof form, "%.*e", digits - 1, x);
    if (strtod(form, NULL) == x) break;
  }
  put_decimal(t, decimal_of(form));
}

void json_put_int(struct text *t, int64_t x)
{
  text_printf(t, "%lld", (long long)x);
}

static void put_object(struct text *t, const json_t *o)
{
  const char *between = "{";
  json_t *object = (json_t *)(uintptr_t)o; /* jansson's iterator wants it without const and does not write */
  for (void *at = json_object_iter(object); at; at = json_object_iter_next(object, at)) {
    const char *key = json_object_iter_key(at);
    text_puts(t, between);
    json_put_string(t, key, json_object_iter_key_len(at));
    text_add(t, ":", 1);
    json_put_value(t, json_object_iter_value(at));
    between = ",";
  }
  text_puts(t, *between == '{' ? "{}" : "}");
}

void json_put_value(struct text *t, const json_t *v)
{
  switch (json_typeof(v)) {
    case JSON_OBJECT:
      put_object(t, v);
      break;
    case JSON_ARRAY:
      text_add(t, "[", 1);
      for (size_t i = 0; i < json_array_size(v); i++) {
        if (i > 0) text_add(t, ",", 1);
        json_put_value(t, json_array_get(v, i));
      }
      text_add(t, "]", 1);
      break;
    case JSON_STRING:
      json_put_string(t, json_string_value(v), json_string_length(v));
      break;
    case JSON_INTEGER:
      json_put_int(t, json_integer_value(v));
      break;
    case JSON_REAL:
      json_put_f64(t, json_real_value(v));
      break;
    case JSON_TRUE:
      text_puts(t, "true");
      break;
    case JSON_FALSE:
      text_puts(t, "false");
      break;
    case JSON_NULL:
      text_puts(t, "null");
      break;
  }
}

size_t text_find_last(const char *s, size_t n, const char *word, bool fold)
{
  size_t size = strlen(word);
  for (size_t i = n >= size ? n - size + 1 : 0; i-- > 0;) {
    size_t k = 0;
    while (k < size &&
           (s[i + k] == word[k] || (fold && s[i + k] >= 'A' && s[i + k] <= 'Z' && s[i + k] + 32 == word[k])))
      k++;
    if (k == size) return i;
  }
  return n;
}
