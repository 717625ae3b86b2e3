/* Worked numbers of published tables that are computed by method/calc, with the functions that runs use: the rows of
 * tests/golden/<method>.tsv whose kind is "calc":
 *
 *     calc   function   {"case": name, "args": {...}, "inputs": {...}}   {output: value, ...}
 *
 * case may be left out, inputs are the named set itself. Only the outputs named are compared; "grads" among them holds
 * gradients, "raises": true a refusal. The papers give six digits. */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "core/file.h"
#include "method/calc.h"

static const double DIGITS = 1e-6;
static struct arena *arena;

static void check_value(const json_t *got, const json_t *want, const char *where)
{
  struct error err = {0};
  if (json_is_array(want) || json_is_object(want)) {
    const char *key;
    json_t *value;
    if (json_is_array(want)) CHECK_INT(json_array_size(got), json_array_size(want));
    for (size_t i = 0; i < json_array_size(want); i++)
      check_value(json_array_get(got, i), json_array_get(want, i), where);
    json_object_foreach((json_t *)(uintptr_t)want, key, value)
    {
      const char *inner = arena_printf(arena, "golden", &err, "%s/%s", where, key);
      if (!json_object_get(got, key)) fail_msg("%s: absent", inner);
      check_value(json_object_get(got, key), value, inner);
    }
  } else if (json_is_number(want)) {
    if (!json_is_number(got)) fail_msg("%s: found no number", where);
    double x = json_number_value(want), size = x < 0 ? -x : x;
    CHECK_CLOSE(json_number_value(got), x, DIGITS * (size > 1 ? size : 1), where);
  } else if (!json_equal(got, want)) {
    fail_msg("%s: found another value than %s", where, json_dumps(want, JSON_ENCODE_ANY));
  }
}

static json_t *parse(const char *text, const char *where)
{
  json_error_t at;
  json_t *v = json_loads(text, 0, &at);
  if (!v) fail_msg("%s: no JSON (%s): %s", where, at.text, text);
  return v;
}

static void calc_row(const char *function, const char *given, const char *expected, const char *where)
{
  struct error err = {0};
  json_t *row = parse(given, where), *want = parse(expected, where), *out = NULL;
  json_t *inputs = json_object_get(row, "inputs");
  const json_t *name = json_object_get(row, "case");
  json_t *item = json_pack("{s:s}", "case", name ? json_string_value(name) : "golden"),
         *args = json_object_get(row, "args");
  json_object_set_new(item, "args", args ? json_incref(args) : json_object());
  json_object_set_new(item, "inputs", inputs ? json_string("main") : json_null());
  json_t *document = json_pack("{s:s, s:o, s:[o]}", "function", function, "inputs", json_object(), "cases", item);
  if (inputs) json_object_set(json_object_get(document, "inputs"), "main", inputs);
  CHECK_OK(calc_run(arena, document, where, NULL, NULL, &out, &err), &err);
  const json_t *done = json_array_get(json_object_get(out, "cases"), 0), *raises = json_object_get(done, "raises");
  if (!json_object_get(want, "raises") && raises) fail_msg("%s: refused: %s", where, json_string_value(raises));
  if (json_object_get(want, "raises")) {
    CHECK(json_is_string(raises));
    json_object_del(want, "raises");
  }
  if (json_object_get(want, "grads")) {
    check_value(json_object_get(done, "grads"), json_object_get(want, "grads"), where);
    json_object_del(want, "grads");
  }
  check_value(json_object_get(done, "outputs"), want, where);
  json_decref(row);
  json_decref(want);
  json_decref(document);
}

static int read_table(const char *path)
{
  struct error err = {0};
  struct line_reader *reader;
  char *line;
  size_t size;
  int number, rows = 0;
  CHECK_OK(line_reader_open(arena, path, &reader, &err), &err);
  for (;;) {
    CHECK_OK(line_reader_next(reader, &line, &size, &number, &err), &err);
    if (!line) return rows;
    if (strncmp(line, "calc\t", 5)) continue;
    char *function = arena_strndup(arena, line + 5, size - 5, "golden", &err),
         *given = function ? strchr(function, '\t') : NULL;
    char *expected = given ? strchr(given + 1, '\t') : NULL;
    CHECK(expected != NULL);
    *given++ = '\0';
    *expected++ = '\0';
    calc_row(function, given, expected, arena_printf(arena, "golden", &err, "%s:%d", path_base(path), number));
    rows++;
  }
}

static void test_tables(void **state)
{
  (void)state;
  struct error err = {0};
  DIR *folder = opendir(ASSAY_SOURCE_DIR "/tests/golden");
  int rows = 0;
  CHECK(folder != NULL);
  for (const struct dirent *e; (e = readdir(folder));) {
    size_t n = strlen(e->d_name);
    if (n < 4 || strcmp(e->d_name + n - 4, ".tsv")) continue;
    rows += read_table(arena_printf(arena, "golden", &err, ASSAY_SOURCE_DIR "/tests/golden/%s", e->d_name));
  }
  closedir(folder);
  CHECK(rows >= 2);
}

int main(void)
{
  struct error err = {0};
  arena = arena_create("test", 0, &err);
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_tables)};
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  arena_destroy(arena);
  return failed;
}
