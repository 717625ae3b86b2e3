/* Estimators against rational arithmetic: eval/passk.json of the fixtures. */
#include <stdlib.h>
#include "check.h"
#include "core/file.h"
#include "core/json.h"
#include "eval/estimators.h"

static struct arena *arena;
static struct error err;
static json_t *fixture;
static const char *const why = "f64 against exact rationals rounded once; sums of up to some thousand terms";

static double value(const json_t *o, const char *key)
{
  return json_number_value(json_object_get(json_object_get(o, key), "value"));
}

static int64_t whole(const json_t *o, const char *key)
{
  return json_integer_value(json_object_get(o, key));
}

static void test_pass(void **state)
{
  (void)state;
  const json_t *rows = json_object_get(fixture, "pass_at_k");
  CHECK(json_array_size(rows) > 10);
  for (size_t i = 0; i < json_array_size(rows); i++) {
    const json_t *r = json_array_get(rows, i);
    CHECK_CLOSE(eval_pass_at_k(whole(r, "n"), whole(r, "c"), whole(r, "k")), value(r, "pass_at_k"), 1e-13, why);
  }
}

static void test_curves(void **state)
{
  (void)state;
  const json_t *rows = json_object_get(fixture, "curves");
  CHECK(json_array_size(rows) > 0);
  for (size_t i = 0; i < json_array_size(rows); i++) {
    const json_t *r = json_array_get(rows, i), *curve = json_object_get(r, "curve"), *n = json_object_get(r, "n"),
                 *c = json_object_get(r, "c");
    for (size_t j = 0; j < json_array_size(curve); j++) {
      const json_t *at = json_array_get(curve, j);
      double mean = 0;
      for (size_t p = 0; p < json_array_size(n); p++)
        mean += eval_pass_at_k(json_integer_value(json_array_get(n, p)), json_integer_value(json_array_get(c, p)),
                               whole(at, "k"));
      CHECK_CLOSE(mean / (double)json_array_size(n), value(at, "mean"), 1e-13, why);
    }
  }
}

static void test_majority(void **state)
{
  (void)state;
  const json_t *rows = json_object_get(fixture, "maj_at_k");
  CHECK(json_array_size(rows) > 0);
  for (size_t i = 0; i < json_array_size(rows); i++) {
    const json_t *r = json_array_get(rows, i);
    const char *right = json_string_value(json_object_get(r, "right")), *key;
    int64_t other[64], wins = 0;
    size_t count = 0;
    json_t *v;
    json_object_foreach(json_object_get(r, "counts"), key, v)
    {
      if (!strcmp(key, right))
        wins = json_integer_value(v);
      else
        other[count++] = json_integer_value(v);
    }
    json_object_foreach(json_object_get(r, "maj_at_k"), key, v)
    {
      double got;
      CHECK_OK(eval_majority_at_k(arena, wins, other, count, 0, strtoll(key, NULL, 10), &got, &err), &err);
      CHECK_CLOSE(got, json_number_value(json_object_get(v, "value")), 1e-12, why);
    }
  }
}

static void test_wilson(void **state)
{
  (void)state;
  const json_t *rows = json_object_get(json_object_get(fixture, "bootstrap"), "wilson_95");
  CHECK(json_array_size(rows) > 0);
  for (size_t i = 0; i < json_array_size(rows); i++) {
    const json_t *r = json_array_get(rows, i);
    double low, high, n = (double)whole(r, "n");
    eval_wilson((double)whole(r, "c") / n, n, &low, &high);
    CHECK_CLOSE(low, json_number_value(json_object_get(r, "low")), 1e-14, why);
    CHECK_CLOSE(high, json_number_value(json_object_get(r, "high")), 1e-14, why);
  }
}

int main(void)
{
  const char *folder = getenv("ASSAY_FIXTURES");
  arena = arena_create("test", 0, &err);
  char *path =
      arena_printf(arena, "test", &err, "%s/eval/passk.json", folder ? folder : ASSAY_SOURCE_DIR "/../shared/fixtures");
  if (!file_exists(path)) {
    printf("skipped: %s is absent\n", path);
    arena_destroy(arena);
    return 77;
  }
  if (json_parse_file(arena, path, &fixture, &err)) return 1;
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_pass), cmocka_unit_test(test_curves),
                                     cmocka_unit_test(test_majority), cmocka_unit_test(test_wilson)};
  int rc = cmocka_run_group_tests(tests, NULL, NULL);
  arena_destroy(arena);
  return rc;
}
