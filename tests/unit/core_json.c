#include <math.h>
#include <stdlib.h>

#include "check.h"
#include "core/fault.h"
#include "core/json.h"
#include "core/rng.h"

static struct arena *arena;

static int set_up(void **state)
{
  (void)state;
  struct error err = {0};
  arena = arena_create("test", 0, &err);
  return arena ? 0 : 1;
}

static int tear_down(void **state)
{
  (void)state;
  arena_destroy(arena);
  return 0;
}

static int parse(const char *text, int flags, json_t **out, struct error *err)
{
  return json_parse(arena, text, strlen(text), "f.json", 10, flags, out, err);
}

static void test_round_trip(void **state)
{
  (void)state;
  static const char *const texts[] = {"null",
                                      "true",
                                      "-12",
                                      "1.5",
                                      "\"a\"",
                                      "[]",
                                      "{}",
                                      "[1,[2,{\"b\":[],\"a\":{}}],\"\\u0000x\\n\"]",
                                      "{\"z\":1,\"a\":-0.0,\"m\":1e+300}"};
  for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
    struct error err = {0};
    json_t *v = NULL;
    CHECK_OK(parse(texts[i], JSON_READ_UNIQUE, &v, &err), &err);
    struct text t = {0};
    json_put_value(&t, v);
    CHECK_OK(text_finish(&t, &err), &err);
    CHECK_STR(t.bytes, texts[i]);
    text_free(&t);
  }
}

static void test_errors_are_sentences_with_a_line(void **state)
{
  (void)state;
  static const struct {
    const char *text, *part;
    int line;
  } rows[] = {{"{\"a\": 1,\n \"b\": }", "unexpected token", 12},
              {"", "expected one JSON value", 11},
              {"[1] x", "end of file", 11},
              {"{\"a\":1,\"a\":2}", "duplicate", 11},
              {"\"\xff\"", "unable to decode byte 0xff", 11},
              {"[1,]", "unexpected token", 11},
              {"\n\n[NaN]", "invalid token", 13},
              {"123456789012345678901234567890", "too big", 11}};
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    struct error err = {0};
    json_t *v = NULL;
    CHECK_ERROR(parse(rows[i].text, JSON_READ_UNIQUE, &v, &err), &err, ERROR_INPUT, rows[i].part);
    CHECK_STR(err.file, "f.json");
    CHECK_INT(err.line, rows[i].line);
  }
  struct error err = {0};
  json_t *v = NULL;
  CHECK_OK(parse("{\"a\":1,\"a\":2}", JSON_READ_PLAIN, &v, &err), &err);
}

static void test_depth_is_bounded(void **state)
{
  (void)state;
  static char deep[2 * 100000 + 1];
  for (int limit = 512; limit <= 100000; limit += 100000 - 512) {
    memset(deep, '[', (size_t)limit);
    memset(deep + limit, ']', (size_t)limit);
    deep[2 * limit] = '\0';
    struct error err = {0};
    json_t *v = NULL;
    int rc = parse(deep, 0, &v, &err);
    if (limit == 512) {
      CHECK_OK(rc, &err);
    } else {
      CHECK_ERROR(rc, &err, ERROR_INPUT, "nested deeper than 512");
    }
  }
  struct error err = {0};
  json_t *v = NULL;
  memset(deep, '[', 1000);
  deep[0] = deep[999] = '"';
  deep[1000] = '\0';
  CHECK_OK(parse(deep, 0, &v, &err), &err); /* brackets in a string are text */
}

static void test_typed_access(void **state)
{
  (void)state;
  struct error err = {0};
  json_t *o = NULL;
  CHECK_OK(parse("{\"i\":5,\"r\":2.5,\"w\":1e3,\"s\":\"x\",\"t\":true,\"n\":null,\"l\":[]}", 0, &o, &err), &err);
  int64_t i = 0;
  double r = 0;
  bool b = false;
  const char *s = NULL;
  CHECK_OK(json_need_int(o, "i", 0, 5, &i, "f", &err), &err);
  CHECK_INT(i, 5);
  CHECK_OK(json_need_int(o, "w", 0, 5000, &i, "f", &err), &err);
  CHECK_INT(i, 1000);
  CHECK_OK(json_int_or(o, "n", 0, 5, 77, &i, "f", &err), &err);
  CHECK_INT(i, 77);
  CHECK_OK(json_real_or(o, "r", 0, 3, 0, &r, "f", &err), &err);
  CHECK_CLOSE(r, 2.5, 0, "exact");
  CHECK_OK(json_real_or(o, "i", 0, 9, 0, &r, "f", &err), &err);
  CHECK_CLOSE(r, 5, 0, "exact");
  CHECK_OK(json_bool_or(o, "t", false, &b, "f", &err), &err);
  CHECK(b);
  CHECK_OK(json_need_string(o, "s", &s, "f", &err), &err);
  CHECK_STR(s, "x");
  CHECK_OK(json_string_or(o, "none", "fallback", &s, "f", &err), &err);
  CHECK_STR(s, "fallback");
  CHECK_ERROR(json_need_int(o, "i", 6, 9, &i, "f", &err), &err, ERROR_INPUT, "\"i\": found 5; expected 6 to 9");
  CHECK_STR(err.key, "i");
  CHECK_STR(err.file, "f");
  error_clear(&err);
  CHECK_ERROR(json_need_int(o, "r", 0, 9, &i, "f", &err), &err, ERROR_INPUT, "found a number; expected a whole number");
  error_clear(&err);
  CHECK_ERROR(json_need_string(o, "none", &s, "f", &err), &err, ERROR_INPUT, "found nothing; expected a string");
  error_clear(&err);
  CHECK_ERROR(json_string_or(o, "l", "", &s, "f", &err), &err, ERROR_INPUT, "found a list");
  error_clear(&err);
  CHECK_ERROR(json_real_or(o, "r", 0, 2, 0, &r, "f", &err), &err, ERROR_INPUT, "expected 0 to 2");
  error_clear(&err);
  CHECK_ERROR(json_bool_or(o, "i", false, &b, "f", &err), &err, ERROR_INPUT, "expected true or false");
}

static const char *shown_f32(struct text *t, float x)
{
  text_clear(t);
  json_put_f32(t, x);
  return t->bytes;
}

static const char *shown_f64(struct text *t, double x)
{
  text_clear(t);
  json_put_f64(t, x);
  return t->bytes;
}

static void test_numbers(void **state)
{
  (void)state;
  struct text t = {0};
  CHECK_STR(shown_f64(&t, 0.1), "0.1");
  CHECK_STR(shown_f64(&t, 1), "1.0");
  CHECK_STR(shown_f64(&t, -0.0), "-0.0");
  CHECK_STR(shown_f64(&t, 100), "100.0");
  CHECK_STR(shown_f64(&t, 12345.678), "12345.678");
  CHECK_STR(shown_f64(&t, 1e-4), "0.0001");
  CHECK_STR(shown_f64(&t, 1e-5), "1e-05");
  CHECK_STR(shown_f64(&t, 1e15), "1000000000000000.0");
  CHECK_STR(shown_f64(&t, 1e16), "1e+16");
  CHECK_STR(shown_f64(&t, 1.5e300), "1.5e+300");
  CHECK_STR(shown_f64(&t, 5e-324), "5e-324");
  CHECK_STR(shown_f64(&t, 0.1 + 0.2), "0.30000000000000004");
  CHECK_STR(shown_f64(&t, HUGE_VAL), "null");
  CHECK_STR(shown_f64(&t, (double)NAN), "null");
  CHECK_STR(shown_f32(&t, 0.1f), "0.1");
  CHECK_STR(shown_f32(&t, 1e-45f), "1e-45");
  CHECK_STR(shown_f32(&t, 16777216.0f), "16777216.0");
  CHECK_STR(shown_f32(&t, 3.4028235e38f), "3.4028235e+38");
  CHECK_STR(shown_f32(&t, -HUGE_VALF), "null");
  struct rng_at at = {.purpose = RNG_TEST};
  for (uint32_t i = 0; i < 20000; i++) {
    uint32_t block[4];
    at.position = i;
    rng_block(1, &at, block);
    float f;
    double d;
    memcpy(&f, block, sizeof f);
    memcpy(&d, block + 2, sizeof d);
    if (isfinite(f)) {
      float back = strtof(shown_f32(&t, f), NULL);
      CHECK_BITS(&back, &f, sizeof f);
    }
    if (isfinite(d)) {
      double back = strtod(shown_f64(&t, d), NULL);
      CHECK_BITS(&back, &d, sizeof d);
    }
  }
  text_free(&t);
}

static void test_strings(void **state)
{
  (void)state;
  struct text t = {0};
  json_put_string(&t, "a\"\\/\b\f\n\r\t\x01\x00\x7f\xc3\xa9\xff\xe2\x82z", 18);
  CHECK_STR(t.bytes, "\"a\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\\u0000\x7f\xc3\xa9\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdz\"");
  text_clear(&t);
  json_put_string(&t, "", 0);
  text_puts(&t, "|");
  text_printf(&t, "%d%s", 7, "x");
  text_add(&t, "yz", 1);
  CHECK_STR(t.bytes, "\"\"|7xy");
  CHECK_INT(t.size, 6);
  text_free(&t);
  CHECK(t.bytes == NULL && t.size == 0);
}

static void test_each_allocation_may_fail(void **state)
{
  (void)state;
#ifdef ASSAY_HOSTILE
  long failures = 0;
  for (long n = 1; n < 10000; n++) {
    struct error err = {0};
    json_t *v = NULL;
    struct arena *own = arena_create("own", 0, &err);
    struct text t = {0};
    fault_set(FAULT_ALLOC, n);
    /* Strings that outgrow the lexer's first buffer: what jansson then drops must not pass as read. */
    const char *source =
        "{\"a\":[1,2.5,{\"b\":\"text\"}],\"a key of more than sixteen bytes\":\"a value of more than "
        "sixteen bytes, and even more than thirty-two\"}";
    int rc = json_parse(own, source, strlen(source), "f", 0, 0, &v, &err);
    if (!rc) {
      for (int i = 0; i < 20; i++) json_put_value(&t, v);
      rc = text_finish(&t, &err);
    }
    bool passed_over = rc == 0 && fault_calls(FAULT_ALLOC) >= n;
    bool whole = rc == 0 && t.size == 20 * strlen(source);
    fault_set(FAULT_ALLOC, 0);
    text_free(&t);
    arena_destroy(own);
    CHECK(!passed_over);
    if (rc == 0) {
      CHECK(whole);
      break;
    }
    CHECK_ERROR(rc, &err, ERROR_RESOURCE, "no memory");
    failures++;
  }
  CHECK(failures > 8 && failures < 9999);
#endif
}

/* What int64 does not hold is a real; digits in strings, fractions and exponents stay as they are. */
static void test_long_integers(void **state)
{
  (void)state;
  struct error err = {0};
  static const char text[] =
      "{\"model_max_length\": 1000000000000000019884624838656, \"s\": \"\\\"10000000000000000000000\", "
      "\"f\": 0.10000000000000000000055, \"n\": -99999999999999999999, \"i\": 9223372036854775807}";
  json_t *v;
  CHECK_OK(json_parse(arena, text, strlen(text), "x.json", 0, JSON_READ_LONG, &v, &err), &err);
  CHECK(json_real_value(json_object_get(v, "model_max_length")) == 1e30);
  CHECK_STR(json_string_value(json_object_get(v, "s")), "\"10000000000000000000000");
  CHECK(json_real_value(json_object_get(v, "f")) == 0.1);
  CHECK(json_real_value(json_object_get(v, "n")) == -1e20);
  CHECK(json_number_value(json_object_get(v, "i")) == 9223372036854775807.0);
  static const char bad[] = "{\"n\": 1000000000000000019884624838656x}";
  CHECK_ERROR(json_parse(arena, bad, strlen(bad), "x.json", 0, JSON_READ_LONG, &v, &err), &err, ERROR_INPUT,
              "column 40");
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_long_integers),
                                     cmocka_unit_test(test_round_trip),
                                     cmocka_unit_test(test_errors_are_sentences_with_a_line),
                                     cmocka_unit_test(test_depth_is_bounded),
                                     cmocka_unit_test(test_typed_access),
                                     cmocka_unit_test(test_numbers),
                                     cmocka_unit_test(test_strings),
                                     cmocka_unit_test(test_each_allocation_may_fail)};
  return cmocka_run_group_tests(tests, set_up, tear_down);
}
