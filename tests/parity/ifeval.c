/* Verdicts of the official IFEval checkers on a model's responses (ASSAY_FIXTURES/ifeval): each one is met. Left aside
 * are constraints on a "letter" that is no letter: there the official checker counts one drawn at random. */
#include <stdlib.h>
#include <string.h>
#include "check.h"
#include "core/file.h"
#include "core/json.h"
#include "reward/verify_queue.h"

static struct arena *arena;
static struct verifier_config *ifeval;
static int compared, random_letters;

static bool is_random(const json_t *kwargs)
{
  const char *letter = json_string_value(json_object_get(kwargs, "letter"));
  return letter && !(strlen(letter) == 1 && (letter[0] | 32) >= 'a' && (letter[0] | 32) <= 'z');
}

static void check_row(const json_t *row)
{
  struct error err = {0};
  struct verdict v;
  json_t *more;
  struct problem p = {.id = "p", .source = "fixture", .line = 1, .fields = row};
  const char *response = json_string_value(json_object_get(row, "response"));
  CHECK(response != NULL);
  CHECK_OK(verify_now(arena, ifeval, &p, response, json_string_length(json_object_get(row, "response")), &v, &err),
           &err);
  char *text = arena_printf(arena, "test", &err, "{%s}", v.more);
  CHECK_OK(json_parse(arena, text, strlen(text), "verdict", 0, 0, &more, &err), &err);
  const json_t *kwargs = json_object_get(row, "kwargs");
  for (size_t i = 0; i < json_array_size(kwargs); i++) {
    if (is_random(json_array_get(kwargs, i))) {
      random_letters++;
      continue;
    }
    for (int m = 0; m < 2; m++) {
      const char *mode = m ? "loose" : "strict";
      bool want = json_is_true(json_array_get(json_object_get(row, mode), i));
      bool got = json_is_true(json_array_get(json_object_get(more, mode), i));
      if (want != got)
        print_message("%s %s: %s\n", json_string_value(json_array_get(json_object_get(row, "instruction_id_list"), i)),
                      mode, v.reason);
      CHECK_INT(got, want);
    }
    compared++;
  }
}

static void test_verdicts(void **state)
{
  (void)state;
  char path[1024];
  struct error err = {0};
  const char *folder = getenv("ASSAY_FIXTURES");
  snprintf(path, sizeof path, "%s/ifeval/verdicts.jsonl.gz", folder ? folder : ASSAY_SOURCE_DIR "/../shared/fixtures");
  struct line_reader *lines;
  arena = arena_create("test", 0, &err);
  if (!file_exists(path)) {
    print_message("skipped: %s is not there\n", path);
    arena_destroy(arena);
    return;
  }
  CHECK_OK(verifier_open(arena, verifier_find("ifeval", &err), NULL, 0, 0, &ifeval, &err), &err);
  CHECK_OK(line_reader_open(arena, path, &lines, &err), &err);
  for (;;) {
    char *line;
    size_t n;
    int number;
    json_t *row;
    CHECK_OK(line_reader_next(lines, &line, &n, &number, &err), &err);
    if (!line) break;
    CHECK_OK(json_parse(arena, line, n, path, 0, 0, &row, &err), &err);
    check_row(row);
  }
  print_message("%d verdicts agree, %d are about a letter drawn at random\n", compared, random_letters);
  CHECK(compared > 500 && random_letters < compared / 50);
  arena_destroy(arena);
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_verdicts)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
