/* core/json: jansson with this project's rules: every read is bounded in depth and size, duplicate keys are errors
 * where asked, U+0000 is allowed in strings, errors are sentences with file and line; numbers are written as the
 * shortest decimal that reads back to the same bits, -inf, inf and NaN as null. */
#ifndef ASSAY_CORE_JSON_H
#define ASSAY_CORE_JSON_H

#include <jansson.h>
#include "core/arena.h"

enum {
  JSON_READ_PLAIN = 0,
  JSON_READ_UNIQUE = 1, /* refuse duplicate keys */
  JSON_READ_LONG = 2    /* integers that int64 does not hold are reals; else an error: an answer must keep its digits */
};

/* Parses bytes; *out is a new reference, released when the arena resets (do not json_decref it). line_base is added to
   jansson's line for the message (use line - 1 for one line of a JSON Lines file). Depth is limited to 512. */
int json_parse(struct arena *a, const char *bytes, size_t n, const char *file, int line_base, int flags, json_t **out,
               struct error *err) MUST_USE;
/* With JSON_READ_LONG: settings of models, schemas. */
int json_parse_file(struct arena *a, const char *path, json_t **out, struct error *err) MUST_USE;

/* Typed access with a sentence on failure. `where` is FILE, key is the member. *_or give the default where the member
 * is absent or null. */
int json_need_string(const json_t *o, const char *key, const char **out, const char *where, struct error *err) MUST_USE;
int json_need_int(const json_t *o, const char *key, int64_t low, int64_t high, int64_t *out, const char *where,
                  struct error *err) MUST_USE;
int json_int_or(const json_t *o, const char *key, int64_t low, int64_t high, int64_t fallback, int64_t *out,
                const char *where, struct error *err) MUST_USE;
int json_real_or(const json_t *o, const char *key, double low, double high, double fallback, double *out,
                 const char *where, struct error *err) MUST_USE;
int json_bool_or(const json_t *o, const char *key, bool fallback, bool *out, const char *where,
                 struct error *err) MUST_USE;
int json_string_or(const json_t *o, const char *key, const char *fallback, const char **out, const char *where,
                   struct error *err) MUST_USE;

/* A growing text buffer for output lines. Errors are sticky and come out of text_finish. */
struct text {
  char *bytes; /* NUL-terminated once non-empty */
  size_t size, room;
  int rc;
};
void text_free(struct text *t);
void text_clear(struct text *t);
void text_add(struct text *t, const void *bytes, size_t n);
void text_puts(struct text *t, const char *s);
/* The last place of `word` in s[0..n), or n. fold: letters of any case; the word is in small ones. ASCII. */
size_t text_find_last(const char *s, size_t n, const char *word, bool fold);
void text_printf(struct text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int text_finish(const struct text *t, struct error *err) MUST_USE; /* ERROR_RESOURCE if memory was lacking */

/* JSON pieces appended to a text. Strings that are not UTF-8 get U+FFFD per bad byte. */
void json_put_string(struct text *t, const char *s, size_t n);
void json_put_f32(struct text *t, float x); /* shortest decimal that reads back to the same f32 */
void json_put_f64(struct text *t, double x);
void json_put_int(struct text *t, int64_t x);
void json_put_value(struct text *t, const json_t *v); /* any jansson value, compact, keys in insertion order */

#endif
