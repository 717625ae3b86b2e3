/* Problem files and mixtures: what is read, what is refused and where, and that one integer is enough to go on. */
#include <stdlib.h>
#include <unistd.h>
#include "check.h"
#include "core/file.h"
#include "core/yaml.h"
#include "data/stream.h"

static struct arena *arena;
static struct error err;
static char folder[64];

static int setup(void **state)
{
  (void)state;
  error_clear(&err);
  arena = arena_create("test", 0, &err);
  snprintf(folder, sizeof folder, "/tmp/assay-data-XXXXXX");
  return arena && mkdtemp(folder) ? 0 : -1;
}

static int teardown(void **state)
{
  (void)state;
  arena_destroy(arena);
  return file_remove_tree(folder, &err);
}

static const char *write_file(const char *name, const char *text)
{
  struct file_writer *w;
  error_clear(&err);
  const char *path = path_join(arena, folder, name, &err);
  CHECK_OK(file_writer_open(arena, path, &w, &err), &err);
  CHECK_OK(file_writer_write(w, text, strlen(text), &err), &err);
  CHECK_OK(file_writer_commit(w, &err), &err);
  return path;
}

/* Opens the `data:` value that YAML text describes, %s being a path. */
static int open_list(const char *yaml, const char *path, struct source_list *out)
{
  struct yaml_node *root;
  char *text = arena_printf(arena, "test", &err, "data: ");
  error_clear(&err);
  for (const char *at = yaml; *at; at++)
    text = *at == '@' ? arena_printf(arena, "test", &err, "%s%s", text, path)
                      : arena_printf(arena, "test", &err, "%s%c", text, *at);
  CHECK_OK(yaml_parse_text(arena, text, strlen(text), "recipe.yaml", &root, &err), &err);
  return source_list_open(arena, yaml_get(root, "data"), SPLIT_TRAIN, 1, out, &err);
}

static struct problem one(const char *yaml, const char *path, uint64_t i)
{
  struct source_list list;
  struct problem p = {0};
  CHECK_OK(open_list(yaml, path, &list), &err);
  CHECK_OK(source_problem(list.items[0], arena, i, &p, &err), &err);
  return p;
}

static const char *content(const struct problem *p, size_t i)
{
  return json_string_value(json_object_get(json_array_get(p->messages, i), "content"));
}

static void test_forms(void **state)
{
  (void)state;
  const char *path =
      write_file("a.jsonl",
                 "{\"question\": \"1+1?\", \"answer\": 2}\n\n{\"id\": 17, \"prompt\": \"1+2=\", \"answer\": 3.5}\r\n"
                 "{\"id\": \"x\", \"messages\": [{\"role\": \"user\", \"content\": \"hi\"}], \"answer\": \"145.0\", "
                 "\"hint\": [1]}");
  struct problem p = one("{path: @, verifier: number}", path, 0);
  CHECK_STR(content(&p, 0), "1+1?");
  CHECK_STR(p.answer, "2");
  CHECK_STR(p.id, arena_printf(arena, "test", &err, "%s:1", path));
  CHECK_INT(p.line, 1);
  p = one("{path: @, verifier: number}", path, 1);
  CHECK_STR(p.prompt, "1+2=");
  CHECK_STR(p.answer, "3.5");
  CHECK_STR(p.id, "17");
  CHECK_INT(p.line, 3);
  p = one("@", write_file("b.jsonl", "{\"question\": \"q\", \"verifier\": \"string\"}"), 0);
  CHECK_STR(p.verifier, "string");
  CHECK(!p.answer);
  p = one("{path: @, verifier: number, system: Be brief., suffix: ' Think.'}",
          write_file("c.jsonl", "{\"question\": \"q\"}"), 0);
  CHECK_STR(content(&p, 0), "Be brief.");
  CHECK_STR(content(&p, 1), "q Think.");
  CHECK_STR(json_string_value(json_object_get(p.fields, "question")), "q");
}

/* The layout of SVAMP: other names, a body and a question, a number with a point. */
static void test_fields(void **state)
{
  (void)state;
  const char *path =
      write_file("svamp.jsonl",
                 "{\"Answer\": 145.0, \"Question\": \"How big?\", \"Body\": \"There are 290\", \"ID\": \"chal-1\"}");
  const char *yaml =
      "[{path: @, verifier: number, fields: {question: \"{Body}. {Question}\", answer: Answer, id: ID}, system: Hi}]";
  struct problem p = one(yaml, path, 0);
  CHECK_STR(content(&p, 0), "Hi");
  CHECK_STR(content(&p, 1), "There are 290. How big?");
  CHECK_STR(p.answer, "145.0");
  CHECK_STR(p.id, "chal-1");
  struct source_list list;
  CHECK_ERROR(open_list("{path: @, verifier: number, fields: {question: Boby}}", path, &list), &err, ERROR_INPUT,
              "did you mean \"Body\"");
  CHECK_INT(err.line, 1);
  CHECK_STR(err.file, path);
  /* A file with both: what the recipe maps to is meant. */
  p = one("{path: @, verifier: number, fields: {question: text}}",
          write_file("both.jsonl", "{\"prompt\": \"def f\", \"text\": \"t\"}"), 0);
  CHECK_STR(content(&p, 0), "t");
}

static void test_bad_files(void **state)
{
  (void)state;
  struct source_list list;
  const char *seven =
      write_file("seven.jsonl",
                 "{\"question\":\"1\"}\n{\"question\":\"2\"}\n{\"question\":\"3\"}\n{\"question\":\"4\"}\n"
                 "{\"question\":\"5\"}\n{\"question\":\"6\"}\n{\"question\":\"7\"\n{\"question\":\"8\"}\n");
  CHECK(open_list("{path: @, verifier: number}", seven, &list) == ERROR_INPUT);
  CHECK_INT(err.line, 7);
  CHECK_STR(err.file, seven);
  CHECK_ERROR(open_list("{path: @, verifier: number}", write_file("empty.jsonl", ""), &list), &err, ERROR_INPUT,
              "no problem in the file");
  CHECK_ERROR(open_list("{path: @, verifier: number}", write_file("blank.jsonl", "\n \n"), &list), &err, ERROR_INPUT,
              "no problem in the file");
  CHECK_ERROR(open_list("{path: @, verifier: number}", write_file("list.jsonl", "[1]"), &list), &err, ERROR_INPUT,
              "no object");
  CHECK_ERROR(open_list("@", write_file("none.jsonl", "{\"question\": \"q\"}"), &list), &err, ERROR_INPUT,
              "no verifier");
  CHECK_ERROR(open_list("{path: @, verifier: number}", write_file("q.jsonl", "{\"qestion\": \"q\"}"), &list), &err,
              ERROR_INPUT, "did you mean \"qestion\"");
  CHECK_ERROR(open_list("{path: @, verifier: number}", write_file("t.jsonl", "{\"question\": 5}"), &list), &err,
              ERROR_INPUT, "no text");
  CHECK_ERROR(open_list("{path: @, verifier: number}", write_file("m.jsonl", "{\"messages\": []}"), &list), &err,
              ERROR_INPUT, "messages");
  CHECK_ERROR(
      open_list("{path: @, verifier: number}",
                write_file("d.jsonl", "{\"id\": 1, \"question\": \"a\"}\n{\"id\": \"1\", \"question\": \"b\"}"), &list),
      &err, ERROR_INPUT, "first in line 1");
  CHECK_INT(err.line, 2);
  CHECK_ERROR(open_list("{path: @, verifier: number, system: s}", write_file("p.jsonl", "{\"prompt\": \"a\"}"), &list),
              &err, ERROR_INPUT, "system");
  CHECK(open_list("{path: @, verifier: number}", "/nonexistent.jsonl", &list) != 0);
}

static void test_bad_entries(void **state)
{
  (void)state;
  struct source_list list;
  const char *path = write_file("a.jsonl", "{\"question\": \"q\"}");
  CHECK_ERROR(open_list("{path: @, verifer: number}", path, &list), &err, ERROR_INPUT, "did you mean \"verifier\"");
  CHECK_STR(err.file, "recipe.yaml");
  CHECK_INT(err.line, 1);
  CHECK_ERROR(open_list("{verifier: number}", path, &list), &err, ERROR_INPUT, "neither path nor task");
  CHECK_ERROR(open_list("{path: @, task: addition}", path, &list), &err, ERROR_INPUT, "both path and task");
  CHECK_ERROR(open_list("{path: @, weight: 0, verifier: number}", path, &list), &err, ERROR_INPUT, "above 0");
  CHECK_ERROR(open_list("[]", path, &list), &err, ERROR_INPUT, "empty list");
  CHECK_ERROR(open_list("{task: addition, digits: 2, diggits: 3}", path, &list), &err, ERROR_INPUT,
              "did you mean \"digits\"");
  CHECK_ERROR(open_list("{task: subtraction}", path, &list), &err, ERROR_INPUT, "addition, base_conversion");
  CHECK_ERROR(open_list("{path: @, fields: question}", path, &list), &err, ERROR_INPUT, "no map");
}

static const char *many_lines(const char *name, int n, const char *prefix)
{
  struct text t = {0};
  for (int i = 0; i < n; i++) text_printf(&t, "{\"id\": \"%s%d\", \"question\": \"%s %d\"}\n", prefix, i, prefix, i);
  const char *path = write_file(name, t.bytes);
  text_free(&t);
  return path;
}

static struct stream *open_stream(const char *path, uint64_t seed, const struct stream_filter *filter)
{
  struct source_list list;
  struct stream *s = NULL;
  CHECK_OK(open_list("[{path: @, weight: 3, verifier: number}, {task: addition, digits: 1}, {task: addition, digits: "
                     "6, weight: 2}]",
                     path, &list),
           &err);
  CHECK_OK(stream_open(arena, &list, seed, filter, &s, &err), &err);
  return s;
}

/* Proportions hold in any window, an epoch has every problem once, the next epoch is another shuffle, seek gives what a
 * straight run gave. */
static void test_stream(void **state)
{
  (void)state;
  enum { N = 240 };
  const char *path = many_lines("a.jsonl", 20, "a"), *ids[N];
  struct stream *s = open_stream(path, 1, NULL);
  int seen[3] = {0}, first[20] = {0}, same = 0;
  for (int i = 0; i < N; i++) {
    struct problem p;
    CHECK_INT(stream_position(s), i);
    CHECK_OK(stream_next(s, arena, &p, &err), &err);
    ids[i] = p.id;
    seen[p.source_index]++;
    if (p.source_index == 0 && seen[0] <= 20) first[atoi(p.id + 1)]++;
    for (int k = 0; k < 3; k++)
      CHECK_CLOSE(seen[k],
                  (i + 1) * (k == 0   ? 0.5
                             : k == 1 ? 1.0 / 6
                                      : 1.0 / 3),
                  1.5, "a lag of more than one problem is drawn next");
  }
  for (int k = 0; k < 20; k++) CHECK_INT(first[k], 1);
  struct stream *again = open_stream(path, 1, NULL), *other = open_stream(path, 2, NULL);
  for (int start = N - 1; start >= 0; start -= 37) {
    struct problem p, q;
    stream_seek(again, (uint64_t)start);
    stream_seek(other, (uint64_t)start);
    CHECK_OK(stream_next(again, arena, &p, &err), &err);
    CHECK_OK(stream_next(other, arena, &q, &err), &err);
    CHECK_STR(p.id, ids[start]);
    same += !strcmp(q.id, ids[start]);
  }
  CHECK(same < 5);
}

static int keep_even(void *arg, const struct problem *p, bool *keep, struct error *e)
{
  (void)e;
  ++*(int *)arg;
  *keep = p->source_index != 0 || (p->id[strlen(p->id) - 1] - '0') % 2 == 0;
  return 0;
}

static int keep_none(void *arg, const struct problem *p, bool *keep, struct error *e)
{
  (void)arg, (void)p, (void)e;
  *keep = false;
  return 0;
}

static void test_filter(void **state)
{
  (void)state;
  int asked = 0;
  struct stream *s = open_stream(many_lines("a.jsonl", 20, "a"), 1, &(struct stream_filter){keep_even, &asked});
  CHECK_INT(stream_left_out(s), 10);
  for (int i = 0; i < 100; i++) {
    struct problem p;
    CHECK_OK(stream_next(s, arena, &p, &err), &err);
    if (p.source_index == 0) CHECK(atoi(p.id + 1) % 2 == 0);
  }
  struct source_list list;
  CHECK_OK(open_list("{path: @, verifier: number}", many_lines("b.jsonl", 3, "b"), &list), &err);
  CHECK_ERROR(stream_open(arena, &list, 1, &(struct stream_filter){keep_none, NULL}, &s, &err), &err, ERROR_INPUT,
              "none of the 3 problems");
}

/* A split of a file: two sides without overlap that together are the file. */
static void test_split(void **state)
{
  (void)state;
  const char *path = many_lines("a.jsonl", 200, "a");
  struct source_list train, held;
  CHECK_OK(open_list("{path: @, verifier: number, split: train, held_out: 0.3}", path, &train), &err);
  CHECK_OK(open_list("{path: @, verifier: number, split: held_out, held_out: 0.3}", path, &held), &err);
  char seen[200] = {0};
  for (int side = 0; side < 2; side++) {
    struct source *s = side ? held.items[0] : train.items[0];
    for (uint64_t i = 0; i < source_count(s); i++) {
      struct problem p;
      CHECK_OK(source_problem(s, arena, i, &p, &err), &err);
      CHECK_INT(seen[atoi(p.id + 1)]++, 0);
    }
  }
  CHECK_INT(source_count(train.items[0]) + source_count(held.items[0]), 200);
  CHECK_CLOSE((double)source_count(held.items[0]), 60, 26, "200 coins of 0.3: standard deviation 6.5; four of them");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
  const struct CMUnitTest tests[] = {
      TEST(test_forms),  TEST(test_fields), TEST(test_bad_files), TEST(test_bad_entries),
      TEST(test_stream), TEST(test_filter), TEST(test_split),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
