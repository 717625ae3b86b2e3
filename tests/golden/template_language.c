/* links: text
 * The language of chat templates against jinja2 in transformers' environment.
 *
 * template.jsonl: its first line holds the variables and every further one a template with what jinja2 makes of it, or
 * that it fails. Made by tests/parity/make/template_fuzz.py from template_constructs.txt and from random programs.
 * template_models.jsonl: its first line holds conversations, every further one a template built as published ones are,
 * with what comes of it for each; null: it fails. Made by tests/parity/make/template_models.py. */
#include "check.h"
#include "core/file.h"
#include "text/template.h"

enum { LEAST = 400, MODELS_LEAST = 50 };

/* want: a text, or NULL where jinja2 fails. */
static bool renders_alike(const json_t *source, const json_t *variables, const json_t *want)
{
  struct error err = {0};
  struct arena *a = arena_create("template", 0, &err);
  struct template *t;
  struct text out = {0};
  int rc = template_parse(a, json_string_value(source), json_string_length(source), "template", &t, &err);
  if (!rc) rc = template_render(t, variables, "2025-01-15T14:30:05", &out, NULL, &err);
  bool same = rc == ERROR_INPUT && out.size == 0;
  if (want)
    same = rc == 0 && out.size == json_string_length(want) &&
           (!out.size || !memcmp(out.bytes, json_string_value(want), out.size));
  if (!same)
    print_message("%s\ngot:  %d %s%.*s\nwant: %s\n", json_string_value(source), rc, err.message, (int)out.size,
                  out.bytes ? out.bytes : "", want ? json_string_value(want) : "a failure");
  text_free(&out);
  arena_destroy(a);
  return same;
}

static void test_language(void **state)
{
  (void)state;
  struct error err = {0};
  struct arena *a = arena_create("test", 0, &err);
  struct line_reader *reader;
  char *line;
  size_t size;
  int number, seen = 0, right = 0;
  json_t *variables = NULL, *o;
  const char *path = ASSAY_SOURCE_DIR "/tests/golden/template.jsonl";
  CHECK_OK(line_reader_open(a, path, &reader, &err), &err);
  for (;;) {
    CHECK_OK(line_reader_next(reader, &line, &size, &number, &err), &err);
    if (!line) break;
    CHECK_OK(json_parse(a, line, size, path, number - 1, JSON_READ_LONG, &o, &err), &err);
    if (!variables) {
      variables = json_object_get(o, "variables");
      CHECK(json_is_object(variables));
      continue;
    }
    seen++;
    right += renders_alike(json_object_get(o, "template"), variables, json_object_get(o, "expected"));
  }
  CHECK(seen >= LEAST);
  CHECK_INT(right, seen);
  arena_destroy(a);
}

static void test_models(void **state)
{
  (void)state;
  struct error err = {0};
  struct arena *a = arena_create("test", 0, &err);
  struct line_reader *reader;
  char *line;
  size_t size, i;
  int number, seen = 0, wrong = 0;
  json_t *conversations = NULL, *o, *want;
  const char *path = ASSAY_SOURCE_DIR "/tests/golden/template_models.jsonl";
  CHECK_OK(line_reader_open(a, path, &reader, &err), &err);
  for (;;) {
    CHECK_OK(line_reader_next(reader, &line, &size, &number, &err), &err);
    if (!line) break;
    CHECK_OK(json_parse(a, line, size, path, number - 1, JSON_READ_LONG, &o, &err), &err);
    if (!conversations) {
      conversations = json_object_get(o, "conversations");
      CHECK_INT(json_array_size(conversations), 6);
      continue;
    }
    seen++;
    CHECK_INT(json_array_size(json_object_get(o, "expected")), 6);
    json_array_foreach(json_object_get(o, "expected"), i, want)
    {
      const json_t *text = json_is_null(want) ? NULL : want;
      if (renders_alike(json_object_get(o, "template"), json_array_get(conversations, i), text)) continue;
      print_message("%s, conversation %zu\n", json_string_value(json_object_get(o, "name")), i);
      wrong++;
    }
  }
  CHECK(seen >= MODELS_LEAST);
  CHECK_INT(wrong, 0);
  arena_destroy(a);
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_language), cmocka_unit_test(test_models)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
