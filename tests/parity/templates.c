/* links: text
 * fixtures/templates: 13 real chat templates on many conversations, and the language one feature at a time, against
 * jinja2 in transformers' environment. Where rendering fails there, it must fail here, and a template's own exception
 * must come through. */
#include <stdlib.h>

#include "check.h"
#include "core/file.h"
#include "text/template.h"

static struct arena *arena;

static int setup(void **state)
{
  (void)state;
  struct error err = {0};
  arena = arena_create("test", 0, &err);
  return arena ? 0 : -1;
}

static int teardown(void **state)
{
  (void)state;
  arena_destroy(arena);
  return 0;
}

static const char *fixture(const char *name)
{
  struct error err = {0};
  const char *folder = getenv("ASSAY_FIXTURES");
  const char *all = path_join(arena, folder ? folder : ASSAY_SOURCE_DIR "/../shared/fixtures", "templates", &err);
  return path_join(arena, all, name, &err);
}

/* Renders; true if the outcome is the line's. */
static bool matches(const char *source, size_t n, const json_t *variables, const json_t *line)
{
  struct error err = {0};
  struct arena *a = arena_create("template", 0, &err);
  struct template *t;
  struct text out = {0};
  bool raised = false;
  int rc = template_parse(a, source, n, "template", &t, &err);
  if (!rc) rc = template_render(t, variables, "2025-01-15T14:30:05", &out, &raised, &err);
  const json_t *want = json_object_get(line, "expected");
  bool same;
  if (want) {
    same = rc == 0 && out.size == json_string_length(want) &&
           (!out.size || !memcmp(out.bytes, json_string_value(want), out.size));
  } else {
    const json_t *error = json_object_get(line, "error");
    const size_t size = raised ? json_string_length(error) : 0; /* what was raised, whole; else nothing */
    same = rc == ERROR_INPUT && raised == json_is_true(json_object_get(line, "raised")) && out.size == size &&
           (!size || !memcmp(out.bytes, json_string_value(error), size));
  }
  if (!same) {
    printf("rc %d, raised %d, line %d: %s\ngot:  %.*s\nwant: %s\n", rc, raised, err.line, err.message, (int)out.size,
           out.bytes ? out.bytes : "",
           want ? json_string_value(want) : json_string_value(json_object_get(line, "error")));
  }
  text_free(&out);
  arena_destroy(a);
  return same;
}

static void each_line(const char *name, int count, bool (*check)(const json_t *))
{
  struct error err = {0};
  struct line_reader *reader;
  char *line;
  size_t size;
  int number, seen = 0, right = 0;
  const char *path = fixture(name);
  CHECK_OK(line_reader_open(arena, path, &reader, &err), &err);
  for (;; seen++) {
    CHECK_OK(line_reader_next(reader, &line, &size, &number, &err), &err);
    if (!line) break;
    json_t *o;
    CHECK_OK(json_parse(arena, line, size, path, number - 1, JSON_READ_PLAIN, &o, &err), &err);
    bool ok = check(o);
    if (!ok) printf("%s:%d\n", path, number);
    right += ok;
  }
  printf("%s: %d of %d\n", name, right, seen);
  CHECK_INT(seen, count);
  CHECK_INT(right, count);
}

static json_t *language_variables;

static bool check_language(const json_t *o)
{
  const json_t *source = json_object_get(o, "template");
  return matches(json_string_value(source), json_string_length(source), language_variables, o);
}

static void test_language(void **state)
{
  (void)state;
  struct error err = {0};
  CHECK_OK(json_parse_file(arena, fixture("jinja-variables.json"), &language_variables, &err), &err);
  CHECK_INT(
      json_object_set_new(language_variables, "messages", json_pack("[{s:s,s:s}]", "role", "user", "content", "hi")),
      0);
  CHECK_INT(json_object_set_new(language_variables, "add_generation_prompt", json_false()), 0);
  each_line("jinja.jsonl", 181, check_language);
}

static bool check_case(const json_t *o)
{
  struct error err = {0};
  char *source;
  size_t n;
  const char *name = json_string_value(json_object_get(o, "template"));
  const char *path = fixture(arena_printf(arena, "test", &err, "%s.jinja", name));
  CHECK_OK(file_read(arena, path, 1 << 20, &source, &n, &err), &err);
  json_t *variables = json_deep_copy(json_object_get(o, "variables"));
  json_object_set(variables, "messages", json_object_get(o, "messages"));
  json_object_set(variables, "add_generation_prompt", json_object_get(o, "add_generation_prompt"));
  bool ok = matches(source, n, variables, o);
  if (!ok) printf("%s: %s\n", name, json_string_value(json_object_get(o, "name")));
  json_decref(variables);
  return ok;
}

static void test_cases(void **state)
{
  (void)state;
  each_line("cases.jsonl", 1586, check_case);
}

int main(void)
{
  const char *folder = getenv("ASSAY_FIXTURES");
  if (!file_is_folder(folder ? folder : ASSAY_SOURCE_DIR "/../shared/fixtures")) {
    printf("parity_templates: skipped, ASSAY_FIXTURES names no folder and ../shared/fixtures is absent\n");
    return 77;
  }
  const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(test_language, setup, teardown),
                                     cmocka_unit_test_setup_teardown(test_cases, setup, teardown)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
