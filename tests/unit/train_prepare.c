/* links: train. The stage `prepare` as a job, by two test methods in a chain: items become several or none, a job that
   is stopped anywhere gives the bytes of one that was not, and what it cannot take up is refused. */
#include "check.h"

#include "core/file.h"
#include "core/log.h"
#include "method/method.h"
#include "train/prepare.h"

#include <stdlib.h>

/* ---- the methods ------------------------------------------------------------------------------------------------- */

/* Each problem twice, the second time with another id; none of those without an answer. */
static int twice(struct method_call *c, struct preparation *out, struct error *err)
{
  const char *answer = out->problem->answer;
  (void)c;
  if (!answer) FAIL_AT(err, ERROR_INPUT, out->problem->source, out->problem->line, "answer", "found no answer");
  if (!strcmp(answer, "none")) {
    out->why = "no answer";
    json_array_clear(out->items);
    return 0;
  }
  json_t *copy = json_copy(json_array_get(out->items, 0));
  char id[64];
  snprintf(id, sizeof id, "%s-again", out->problem->id);
  json_object_set_new(copy, "id", json_string(id));
  return json_array_append_new(out->items, copy);
}

/* What the method before made has a mark; a second one of each answer 9 is left out. */
static int mark(struct method_call *c, struct preparation *out, struct error *err)
{
  json_t *copy = json_copy(json_array_get(out->items, 0));
  (void)c;
  (void)err;
  json_object_set_new(copy, "mark", json_string(out->problem->id));
  json_array_clear(out->items);
  if (!strcmp(out->problem->answer, "9")) {
    out->why = "nine";
    json_decref(copy);
    return 0;
  }
  return json_array_append_new(out->items, copy);
}

extern const struct method method_grpo;
static const struct method method_marks = {.name = "marks", .prepare = mark};
static const struct method method_twice = {.name = "twice", .prepare = twice};
#define METHODS &method_grpo, &method_marks, &method_twice
#include "own_methods.h"

/* ---- jobs -------------------------------------------------------------------------------------------------------- */

static char folder[64];
static int stop_after;

static bool stop_now(void)
{
  return stop_after-- <= 0;
}

static const char *in_folder(const char *name)
{
  static char paths[4][160];
  static int next;
  char *path = paths[next++ % 4];
  snprintf(path, sizeof paths[0], "%s/%s", folder, name);
  return path;
}

static void write_file(const char *name, const char *text)
{
  FILE *f = fopen(in_folder(name), "wb");
  CHECK(f && fwrite(text, 1, strlen(text), f) == strlen(text) && !fclose(f));
}

static void write_recipe(const char *methods, const char *data)
{
  char text[512];
  snprintf(text, sizeof text, "model: nowhere\ndata: %s\nmethods: %s\n", data, methods);
  write_file("recipe.yaml", text);
}

static int job(const char *out, bool (*stop)(void), struct prepare_result *r, struct error *err)
{
  static char recipe[160], file[160];
  struct arena *a = arena_create("job", 0, err);
  snprintf(recipe, sizeof recipe, "%s", in_folder("recipe.yaml"));
  snprintf(file, sizeof file, "%s", in_folder(out));
  error_clear(err);
  struct prepare_options o = {.recipe = recipe, .out = file, .seed = -1, .stop = stop};
  int rc = prepare_run(a, &o, r, err);
  for (int i = 0; i < r->reason_count; i++) CHECK(strlen(r->reasons[i].why) > 0);
  arena_destroy(a);
  return rc;
}

static void read_out(const char *name, char *text, size_t size)
{
  FILE *f = fopen(in_folder(name), "rb");
  CHECK(f != NULL);
  text[fread(text, 1, size - 1, f)] = '\0';
  CHECK(!fclose(f));
}

static const char DATA[] =
    "{\"id\": \"a\", \"prompt\": \"A\", \"answer\": \"1\", \"extra\": [1, 2]}\n"
    "{\"id\": \"b\", \"prompt\": \"B\", \"answer\": \"none\"}\n\n"
    "{\"id\": \"c\", \"prompt\": \"C\", \"answer\": 9}\n"
    "{\"id\": \"d\", \"question\": \"D \\u00fc\", \"answer\": \"4\"}\n";
static const char WANT[] =
    "{\"id\":\"a\",\"prompt\":\"A\",\"answer\":\"1\",\"extra\":[1,2],\"mark\":\"a\"}\n"
    "{\"id\":\"a-again\",\"prompt\":\"A\",\"answer\":\"1\",\"extra\":[1,2],\"mark\":\"a-again\"}\n"
    "{\"id\":\"d\",\"question\":\"D \xc3\xbc\",\"answer\":\"4\",\"mark\":\"d\"}\n"
    "{\"id\":\"d-again\",\"question\":\"D \xc3\xbc\",\"answer\":\"4\",\"mark\":\"d-again\"}\n";

static void given(void)
{
  char data[192];
  snprintf(data, sizeof data, "[{path: %s, verifier: number}]", in_folder("data.jsonl"));
  write_file("data.jsonl", DATA);
  write_recipe("[grpo, twice, marks]", data);
}

static void test_chain(void **state)
{
  (void)state;
  struct prepare_result r;
  struct error err = {0};
  char text[2048];
  given();
  CHECK_OK(job("whole.jsonl", NULL, &r, &err), &err);
  CHECK_INT(r.items, 4);
  CHECK_INT(r.left, 2);
  CHECK_INT(r.written, 4);
  CHECK_INT(r.resumed, 0);
  CHECK_INT(r.reason_count, 2);
  read_out("whole.jsonl", text, sizeof text);
  CHECK_STR(text, WANT);
  CHECK(!file_exists(in_folder("whole.jsonl.part")));
}

/* Stopped after each item, and cut in the middle of a line. */
static void test_stops(void **state)
{
  (void)state;
  struct prepare_result r;
  struct error err = {0};
  char text[2048];
  given();
  for (int turn = 0; turn < 3; turn++) {
    stop_after = 1;
    CHECK_ERROR(job("parts.jsonl", stop_now, &r, &err), &err, ERROR_STOPPED, "the same call goes on");
    CHECK_INT(r.resumed, turn);
    CHECK(!file_exists(in_folder("parts.jsonl")));
  }
  read_out("parts.jsonl.part", text, sizeof text);
  text[strlen(text) - 5] = '\0';
  write_file("parts.jsonl.part", text);
  CHECK_OK(job("parts.jsonl", NULL, &r, &err), &err);
  CHECK_INT(r.resumed, 2);
  CHECK_INT(r.left, 2);
  CHECK_INT(r.reason_count, 2);
  CHECK_INT(r.reasons[0].count, 1);
  read_out("parts.jsonl", text, sizeof text);
  CHECK_STR(text, WANT);
  CHECK(!file_exists(in_folder("parts.jsonl.part")));
}

static void test_refusals(void **state)
{
  (void)state;
  struct prepare_result r;
  struct error err = {0};
  char text[2048], data[192];
  given();
  stop_after = 1;
  CHECK_ERROR(job("other.jsonl", stop_now, &r, &err), &err, ERROR_STOPPED, "after 1 of 4 items");
  /* other data, another recipe */
  write_file("data.jsonl", "{\"id\": \"a\", \"prompt\": \"A\", \"answer\": \"2\"}\n");
  CHECK_ERROR(job("other.jsonl", NULL, &r, &err), &err, ERROR_INPUT, "of another recipe or of other data");
  given();
  snprintf(data, sizeof data, "[{path: %s, verifier: number}]", in_folder("data.jsonl"));
  write_recipe("[grpo, marks, twice]", data);
  CHECK_ERROR(job("other.jsonl", NULL, &r, &err), &err, ERROR_INPUT, "of another recipe or of other data");
  /* a line that the job did not write */
  given();
  read_out("other.jsonl.part", text, sizeof text);
  snprintf(text + strlen(text), sizeof text - strlen(text), "{\"item\": 7, \"items\": []}\n");
  write_file("other.jsonl.part", text);
  CHECK_ERROR(job("other.jsonl", NULL, &r, &err), &err, ERROR_INPUT, "did not write; expected item 1");
  write_recipe("[grpo]", data);
  CHECK_ERROR(job("x", NULL, &r, &err), &err, ERROR_INPUT, "expected one that does (marks, twice)");
  write_recipe("[grpo, twice]", "[{task: countdown}]");
  CHECK_ERROR(job("x", NULL, &r, &err), &err, ERROR_INPUT, "task:countdown has no end");
  /* nothing left; a problem that a method cannot work on is named with its line, and the rest can be done later */
  write_recipe("[grpo, twice]", data);
  write_file("data.jsonl", "{\"id\": \"b\", \"prompt\": \"B\", \"answer\": \"none\"}\n");
  CHECK_ERROR(job("none.jsonl", NULL, &r, &err), &err, ERROR_INPUT, "none of 1 items is left, first for: no answer");
  CHECK(!file_exists(in_folder("none.jsonl")));
  write_file("data.jsonl",
             "{\"id\": \"a\", \"prompt\": \"A\", \"answer\": \"2\"}\n{\"id\": \"e\", \"prompt\": \"E\"}\n");
  CHECK_ERROR(job("lacks.jsonl", NULL, &r, &err), &err, ERROR_INPUT, "found no answer");
  CHECK_INT(err.line, 2);
}

static int make_folder(void **state)
{
  (void)state;
  snprintf(folder, sizeof folder, "/tmp/assay-prepare-XXXXXX");
  log_set_quiet(true);
  return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
  (void)state;
  struct error err = {0};
  return file_remove_tree(folder, &err);
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_chain), cmocka_unit_test(test_stops),
                                     cmocka_unit_test(test_refusals)};
  return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
