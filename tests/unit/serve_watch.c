/* The window on a run: numbers in bounded memory, problems with their history, lines of rollouts, recipes as rows, a
   folder that grows, is cut back and holds links and damage, questions and their answers, the file that is written. */
#include "check.h"

#include "core/file.h"
#include "serve/watch.h"
#include "serve/watch_index.h"
#include "serve/watch_recipe.h"
#include "serve/watch_rollouts.h"
#include "train/run_folder.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static char root[64];
static struct arena *arena;
static struct error err;
static struct text text;

static int setup(void **state)
{
  (void)state;
  error_clear(&err);
  snprintf(root, sizeof root, "/tmp/assay-watch-XXXXXX");
  arena = arena_create("test", 0, &err);
  return arena && mkdtemp(root) ? 0 : -1;
}

static int teardown(void **state)
{
  (void)state;
  text_free(&text);
  arena_destroy(arena);
  error_clear(&err);
  return file_remove_tree(root, &err);
}

static char *at(const char *name)
{
  char *path = path_join(arena, root, name, &err);
  CHECK(path != NULL);
  return path;
}

static void add_text(const char *name, const char *s)
{
  CHECK_OK(file_append(at(name), s, strlen(s), false, &err), &err);
}

static json_t *parse(const struct text *t)
{
  json_t *root_value;
  CHECK_OK(text_finish(t, &err), &err);
  CHECK_OK(json_parse(arena, t->bytes, t->size, NULL, 0, JSON_READ_UNIQUE, &root_value, &err), &err);
  return root_value;
}

static json_t *get(const json_t *o, const char *name)
{
  json_t *v = json_object_get(o, name);
  CHECK(v != NULL);
  return v;
}

/* ---- numbers ----------------------------------------------------------------------------------------------------- */

static void add_row(struct series *s, int64_t step, const char *more)
{
  char line[256];
  json_t *row;
  struct arena_mark mark = arena_mark(arena);
  int n = snprintf(line, sizeof line, "{\"step\":%lld%s}", (long long)step, more);
  CHECK_OK(json_parse(arena, line, (size_t)n, NULL, 0, 0, &row, &err), &err);
  CHECK_OK(series_add(s, row, &err), &err);
  arena_release(arena, mark);
}

static void test_series_keep_few_steps_as_they_are(void **state)
{
  (void)state;
  struct series *s;
  CHECK_OK(series_create(arena, &s, &err), &err);
  add_row(s, 0, ",\"eval/a/accuracy\":0.25");
  add_row(s, 1, ",\"loss\":0.5,\"time_s\":2,\"mismatch/of\":7,\"kl\":null");
  add_row(s, 2, ",\"loss\":-1.5,\"time_s\":3,\"mismatch\":1,\"mismatch/of\":8");
  series_put(s, -1, 0, &text);
  json_t *o = parse(&text), *series = get(o, "series");
  CHECK_INT((int64_t)json_array_size(get(o, "step")), 3);
  CHECK(json_is_null(json_array_get(get(series, "loss"), 0)));
  CHECK_CLOSE(json_number_value(json_array_get(get(series, "loss"), 2)), -1.5, 0, "one step, not averaged");
  CHECK_CLOSE(json_number_value(json_array_get(get(series, "eval/a/accuracy"), 0)), 0.25, 0, "one step");
  CHECK(!json_object_get(series, "kl") && !json_object_get(o, "low"));
  CHECK_CLOSE(json_number_value(json_array_get(get(o, "elapsed"), 2)), 5, 0, "2 and 3 seconds");
  CHECK_CLOSE(s->mismatch, 1, 0, "a sum of integers");
  CHECK_CLOSE(s->mismatch_of, 15, 0, "a sum of integers");
}

static void test_series_stay_small_and_keep_spikes(void **state)
{
  (void)state;
  struct series *s;
  enum { ROWS = 100000, SPIKE = 77777 };
  CHECK_OK(series_create(arena, &s, &err), &err);
  for (int i = 1; i <= ROWS; i++) add_row(s, i, i == SPIKE ? ",\"grad_norm\":1000" : ",\"grad_norm\":1");
  CHECK(s->bucket_count <= SERIES_BUCKETS && s->bucket_count > SERIES_BUCKETS / 4);
  CHECK_INT(s->buckets[0].first, 1);
  CHECK_INT(s->buckets[s->bucket_count - 1].last, ROWS);
  double sum = 0, high = 0;
  int64_t rows = 0;
  for (int i = 0; i < s->bucket_count; i++) {
    const struct series_cell *c = &s->columns[0].cells[i];
    CHECK_INT((int64_t)c->count, s->buckets[i].rows);
    CHECK_CLOSE((double)c->low, 1, 0, "the least is never averaged");
    if (i) CHECK_INT(s->buckets[i].first, s->buckets[i - 1].last + 1);
    if ((double)c->high > high) high = (double)c->high;
    sum += c->mean * c->count;
    rows += s->buckets[i].rows;
  }
  CHECK_INT(rows, ROWS);
  CHECK_CLOSE(high, 1000, 0, "the greatest is never averaged");
  CHECK_CLOSE(sum, ROWS + 999, 1e-6, "means are joined by weight: f64 rounding of 1e5 ones");
  // no more than the buckets are handed out, and a caller of another generation begins anew
  series_put(s, s->generation, s->bucket_count - 1, &text);
  CHECK_INT((int64_t)json_array_size(get(parse(&text), "step")), 1);
  text_clear(&text);
  series_put(s, s->generation - 1, 5, &text);
  json_t *o = parse(&text);
  CHECK_INT(json_integer_value(get(o, "from")), 0);
  CHECK_INT((int64_t)json_array_size(get(get(o, "high"), "grad_norm")), s->bucket_count);
}

static void test_series_bound_their_names(void **state)
{
  (void)state;
  struct series *s;
  char more[64];
  json_t *row;
  CHECK_OK(series_create(arena, &s, &err), &err);
  for (int i = 0; i < SERIES_MOST + 50; i++) {
    snprintf(more, sizeof more, ",\"m%d\":1", i);
    add_row(s, i, more);
  }
  CHECK_INT(s->column_count, SERIES_MOST);
  CHECK_OK(json_parse(arena, "{\"loss\":1}", 10, NULL, 0, 0, &row, &err), &err);
  CHECK_ERROR(series_add(s, row, &err), &err, ERROR_INPUT, "without a step");
}

/* ---- problems ---------------------------------------------------------------------------------------------------- */

static void test_problems_count_visits(void **state)
{
  (void)state;
  struct problems *p;
  struct problem_history *h;
  CHECK_OK(problems_create(arena, 0, &p, &err), &err);
  for (int step = 1; step <= 3; step++)
    for (int i = 0; i < 4; i++) {
      CHECK_OK(problems_find(p, "a:1", &h, &err), &err);
      CHECK_OK(problem_add(h, step, i < step, &err), &err);
    }
  CHECK_INT(h->visit_count, 3);
  CHECK_INT(h->visits[1].right, 2);
  CHECK_INT(h->visits[1].of, 4);
  CHECK_INT(h->right, 6);
  for (int step = 4; step < 1000; step++) CHECK_OK(problem_add(h, step, true, &err), &err);
  CHECK(h->visit_count <= PROBLEM_VISITS);
  int64_t of = 0, right = 0;
  for (int i = 0; i < h->visit_count; i++) {
    of += h->visits[i].of;
    right += h->visits[i].right;
  }
  CHECK_INT(of, 12 + 996);
  CHECK_INT(right, 6 + 996);
  CHECK_INT(h->visits[h->visit_count - 1].last, 999);
  CHECK(problems_get(p, watch_key("a:1")) == h && !problems_get(p, watch_key("a:2")));
}

static void test_problems_forget_the_oldest(void **state)
{
  (void)state;
  struct problems *p;
  struct problem_history *h;
  char id[32];
  enum { MOST = 64, ALL = 1000 };
  CHECK_OK(problems_create(arena, MOST, &p, &err), &err);
  for (int i = 0; i < ALL; i++) {
    snprintf(id, sizeof id, "p%d", i);
    CHECK_OK(problems_find(p, id, &h, &err), &err);
    CHECK_OK(problem_set_text(h, id, strlen(id), &err), &err);
    CHECK_OK(problem_add(h, i, false, &err), &err);
    CHECK(p->count <= MOST);
  }
  CHECK_INT((int64_t)p->count + p->forgotten, ALL);
  for (int i = ALL - MOST / 2; i < ALL; i++) {
    snprintf(id, sizeof id, "p%d", i);
    CHECK(problems_get(p, watch_key(id)) != NULL);
  }
  CHECK(!problems_get(p, watch_key("p0")));
  CHECK_OK(problems_put(p, "P99", 5, &text, &err), &err);
  json_t *o = parse(&text);
  CHECK_INT(json_integer_value(get(o, "matched")), 10);
  CHECK_INT((int64_t)json_array_size(get(o, "rows")), 5);
  CHECK_STR(json_string_value(json_array_get(json_array_get(get(o, "rows"), 0), 1)), "p999");
}

/* ---- lines ------------------------------------------------------------------------------------------------------- */

static const char odd_line[] =
    "{\"step\":3,\"problem\":\"x,\\\"ids\\\":[1],\\\"reward\\\":9\",\"group\":2,\"attempt\":1,\"rollout\":5,\"ids\":["
    "10,"
    "11,12,13,14],\"from\":2,\"logp\":[-0.5,-1,-2],\"logp_behaviour\":[-0.5,-1,-2.5],\"entropy\":[1,2,null],"
    "\"reward\":0.5,\"channels\":{\"a\":1,\"reward\":0.5},\"advantage\":[0.25,0.5,-1],\"text\":\"a ,\\\"advantage\\\":["
    "7] b\",\"finish\":\"stop\",\"verdict\":{\"reward\":0.5,\"correct\":true,\"extracted\":null,\"reason\":\"r\"}}";

static void check_odd(const struct watch_line *l)
{
  CHECK_STR(l->problem, "x,\"ids\":[1],\"reward\":9");
  CHECK_INT(l->group, 2);
  CHECK_INT(l->attempt, 1);
  CHECK_INT(l->rollout, 5);
  CHECK_INT(l->from, 2);
  CHECK_INT(l->tokens, 3);
  CHECK_INT(l->verdict, 1);
  CHECK_CLOSE(l->reward, 0.5, 0, "read, not computed");
  CHECK_STR(l->text, "a ,\"advantage\":[7] b");
  CHECK_STR(l->finish, "stop");
  CHECK(l->counts);
  int32_t ids[8];
  CHECK_INT((int64_t)watch_line_prompt(l, ids, 8), 2);
  CHECK_INT(ids[1], 11);
  CHECK_INT((int64_t)watch_line_prompt(l, ids, 1), 1);
  CHECK_INT(ids[0], 11);
}

static void test_line_skimmed_and_read_say_the_same(void **state)
{
  (void)state;
  struct watch_line l;
  CHECK_OK(watch_line_skim(arena, odd_line, strlen(odd_line), &l, &err), &err);
  CHECK(!json_object_get(l.object, "logp") && !json_object_get(l.object, "advantage"));
  check_odd(&l);
  CHECK_OK(watch_line_read(arena, odd_line, strlen(odd_line), &l, &err), &err);
  CHECK(json_array_size(json_object_get(l.object, "logp")) == 3);
  check_odd(&l);
  // another form, with blanks and another order, is read whole
  const char *blank =
      "{\"problem\": \"q\", \"reward\": 1, \"from\": 1, \"ids\": [1, 2], \"verdict\": {\"failed\": true}}";
  CHECK_OK(watch_line_skim(arena, blank, strlen(blank), &l, &err), &err);
  CHECK_INT(l.verdict, -1);
  CHECK_INT(l.tokens, 1);
  CHECK_ERROR(watch_line_skim(arena, "[1]", 3, &l, &err), &err, ERROR_INPUT, "no JSON object");
  error_clear(&err);
  CHECK_ERROR(watch_line_skim(arena, odd_line, strlen(odd_line) - 2, &l, &err), &err, ERROR_INPUT, "JSON");
}

/* ---- recipes ----------------------------------------------------------------------------------------------------- */

static const char recipe[] =
    "# The resolved recipe\n"
    "model: \"a  # b\"  # recipes/x.yaml:3\n"
    "seed: 1  # command line\n"
    "data:\n"
    "  - {\"task\": \"addition\"}  # recipes/x.yaml:4\n"
    "  - {\"path\": \"f\"}  # recipes/x.yaml:5\n"
    "methods:\n"
    "  - grpo:\n"
    "      clip_low: 0.2  # default\n"
    "  - rft\n"
    "rollout:\n"
    "  problems: 4  # default\n"
    "train:\n"
    "  steps: 12  # x:9\n";

static void test_recipe_rows(void **state)
{
  (void)state;
  char value[32];
  recipe_rows_put(recipe, strlen(recipe), &text);
  const json_t *rows = get(parse(&text), "rows");
  static const char *const want[][3] = {{"model", "\"a  # b\"", "recipes/x.yaml:3"},
                                        {"seed", "1", "command line"},
                                        {"data.0", "{\"task\": \"addition\"}", "recipes/x.yaml:4"},
                                        {"data.1", "{\"path\": \"f\"}", "recipes/x.yaml:5"},
                                        {"methods.0.grpo.clip_low", "0.2", "default"},
                                        {"methods.1", "rft", ""},
                                        {"rollout.problems", "4", "default"},
                                        {"train.steps", "12", "x:9"}};
  CHECK_INT((int64_t)json_array_size(rows), 8);
  for (size_t i = 0; i < 8; i++)
    for (size_t k = 0; k < 3; k++) CHECK_STR(json_string_value(json_array_get(json_array_get(rows, i), k)), want[i][k]);
  recipe_rows_value(recipe, strlen(recipe), "model", value, sizeof value);
  CHECK_STR(value, "a  # b");
  recipe_rows_value(recipe, strlen(recipe), "nothing", value, sizeof value);
  CHECK_STR(value, "");
}

/* ---- a folder ---------------------------------------------------------------------------------------------------- */

static void poll(struct watch_run *r)
{
  for (bool more = true; more;) CHECK_OK(watch_run_poll(r, 1, &more, &err), &err);
}

static const char *rollout_line(int64_t step, const char *problem, int rollout, bool right)
{
  return arena_printf(
      arena, "test", &err,
      "{\"step\":%lld,\"problem\":\"%s\",\"group\":0,\"attempt\":0,\"rollout\":%d,\"ids\":[57,58,44,58,"
      "58,62,50,56,0],\"from\":6,\"logp\":[-0.5,-1,-2],\"logp_behaviour\":[-0.5,-1,-2],\"entropy\":[1,2,"
      "0.5],\"reward\":%d.0,\"channels\":{\"reward\":%d.0},\"advantage\":-0.5,\"text\":\"<b>17\",\"finish\":"
      "\"stop\",\"verdict\":{\"reward\":%d.0,\"correct\":%s,\"extracted\":\"17\",\"reason\":\"why\"}}\n",
      (long long)step, problem, rollout, right, right, right, right ? "true" : "false");
}

static void write_rollouts(const char *run, int64_t step, const char *problem, int right, int of)
{
  struct run_folder folder = {.path = at(run), .arena = arena, .lock = -1};
  struct text lines = {0};
  for (int i = 0; i < of; i++) text_puts(&lines, rollout_line(step, problem, i, i < right));
  CHECK_OK(run_folder_write_rollouts(&folder, step, lines.bytes, lines.size, &err), &err);
  text_free(&lines);
}

static const char *make_run(const char *name)
{
  char path[64];
  CHECK_OK(file_make_folder(at(name), &err), &err);
  snprintf(path, sizeof path, "%s/recipe.yaml", name);
  add_text(path, "model: \"" ASSAY_SOURCE_DIR
                 "/models/tiny\"  # r.yaml:1\nrollout:\n  problems: 1  # r.yaml:2\ntrain:\n"
                 "  steps: 9  # default\n");
  snprintf(path, sizeof path, "%s/metrics.jsonl", name);
  add_text(path, "{\"step\":0,\"solved\":0.1}\n{\"step\":1,\"solved\":0.2}\n");
  return at(name);
}

static void test_run_grows_and_is_cut_back(void **state)
{
  (void)state;
  struct watch_run *r;
  const char *path = make_run("run");
  CHECK_OK(watch_run_open(arena, path, &r, &err), &err);
  CHECK_STR(r->name, "run");
  bool more;
  CHECK_OK(watch_run_poll(r, 0, &more, &err), &err); /* no time at all: nothing is read, and it is said */
  CHECK(more && r->series->rows == 0);
  poll(r);
  CHECK_INT(r->series->rows, 2);
  CHECK_INT(r->step_goal, 9);
  add_text("run/metrics.jsonl", "{\"step\":2,\"sol");
  poll(r);
  CHECK_INT(r->series->rows, 2);
  add_text("run/metrics.jsonl", "ved\":0.3}\n");
  poll(r);
  CHECK_INT(r->series->last_step, 2);
  int64_t generation = r->series->generation;
  // resumed from step 1: cut back, and then longer than it was
  CHECK_OK(file_truncate(at("run/metrics.jsonl"), 48, &err), &err);
  add_text("run/metrics.jsonl", "{\"step\":2,\"solved\":0.7}\n{\"step\":3,\"solved\":0.8}\n");
  poll(r);
  CHECK(r->series->generation > generation);
  CHECK_INT(r->series->rows, 4);
  CHECK_CLOSE(r->series->columns[0].cells[2].mean, 0.7, 1e-12, "read, not computed");
  // a line that is none is passed over and said
  add_text("run/metrics.jsonl", "{nonsense\n{\"step\":4,\"solved\":0.9}\n");
  poll(r);
  CHECK_INT(r->series->last_step, 4);
  CHECK_INT(r->damaged, 1);
  CHECK(strstr(r->note, "metrics.jsonl") != NULL);
}

static void test_run_counts_problems(void **state)
{
  (void)state;
  struct watch_run *r;
  CHECK_OK(watch_run_open(arena, make_run("run"), &r, &err), &err);
  write_rollouts("run", 1, "add:1", 1, 4);
  write_rollouts("run", 2, "add:2", 2, 4);
  poll(r);
  CHECK_INT((int64_t)r->problems->count, 2);
  const struct problem_history *h = problems_get(r->problems, watch_key("add:1"));
  CHECK(h && h->right == 1 && h->of == 4);
  CHECK(h->text && strlen(h->text) == 6); /* six tokens of one letter: the tokenizer came from the recipe's model */
  write_rollouts("run", 3, "add:1", 4, 4);
  poll(r);
  h = problems_get(r->problems, watch_key("add:1"));
  CHECK_INT(h->right, 5);
  CHECK_INT(h->visit_count, 2);
  // cut back to step 1: what was counted of later steps is gone
  CHECK_OK(file_remove_tree(at("run/rollouts/000002.jsonl.zst"), &err), &err);
  CHECK_OK(file_remove_tree(at("run/rollouts/000003.jsonl.zst"), &err), &err);
  write_rollouts("run", 2, "add:3", 0, 4);
  poll(r);
  CHECK_INT((int64_t)r->problems->count, 2);
  CHECK(!problems_get(r->problems, watch_key("add:2")) && problems_get(r->problems, watch_key("add:3")));
  // a damaged file is passed over and said
  add_text("run/rollouts/000004.jsonl.zst", "no zstd at all");
  write_rollouts("run", 5, "add:5", 0, 4);
  poll(r);
  CHECK_INT(r->damaged, 1);
  CHECK(problems_get(r->problems, watch_key("add:5")) != NULL);
}

static void test_run_reads_nothing_outside(void **state)
{
  (void)state;
  struct watch_run *r;
  char *bytes;
  size_t n;
  CHECK_OK(watch_run_open(arena, make_run("run"), &r, &err), &err);
  add_text("secret", "{\"step\":7,\"solved\":1}\n");
  CHECK(symlink("../secret", at("run/log.txt")) == 0);
  CHECK_ERROR(watch_run_read(r, arena, "log.txt", 100, &bytes, &n, &err), &err, ERROR_INPUT, "links are not followed");
  error_clear(&err);
  CHECK(unlink(at("run/metrics.jsonl")) == 0 && symlink("../secret", at("run/metrics.jsonl")) == 0);
  bool more;
  CHECK_ERROR(watch_run_poll(r, 1, &more, &err), &err, ERROR_INPUT, "links are not followed");
  error_clear(&err);
  CHECK(unlink(at("run/metrics.jsonl")) == 0);
  CHECK_OK(file_make_folder(at("other"), &err), &err);
  write_rollouts("other", 1, "x", 0, 1);
  CHECK(symlink("../other/rollouts", at("run/rollouts")) == 0);
  poll(r);
  CHECK_INT((int64_t)r->rollouts.count, 0);
  CHECK_ERROR(rollouts_put_list(r, 1, &text, &err), &err, ERROR_INPUT, "no link");
  error_clear(&err);
  // a pipe must not make the reader wait
  CHECK(mkfifo(at("run/metrics.jsonl"), 0600) == 0);
  CHECK_ERROR(watch_run_poll(r, 1, &more, &err), &err, ERROR_INPUT, "no regular file");
  error_clear(&err);
  CHECK_ERROR(watch_run_open(arena, at("other"), &r, &err), &err, ERROR_INPUT, "holds no run");
}

static void test_run_knows_its_writer(void **state)
{
  (void)state;
  struct watch_run *r;
  CHECK_OK(watch_run_open(arena, make_run("run"), &r, &err), &err);
  CHECK(!watch_run_is_written(r));
  add_text("run/.lock", "");
  CHECK(!watch_run_is_written(r));
  int fd = open(at("run/.lock"), O_RDWR);
  CHECK(fd >= 0 && flock(fd, LOCK_EX) == 0);
  CHECK(watch_run_is_written(r));
  close(fd);
  CHECK(!watch_run_is_written(r));
}

/* ---- questions --------------------------------------------------------------------------------------------------- */

static const char *query(const void *arg, const char *name)
{
  const char *const *pairs = arg;
  for (; *pairs; pairs += 2)
    if (!strcmp(*pairs, name)) return pairs[1];
  return NULL;
}

static json_t *ask(struct watch *w, const char *path, int status, const char *const *pairs)
{
  struct watch_reply reply;
  CHECK_OK(watch_answer(w, path, query, pairs, &reply, &err), &err);
  CHECK_INT(reply.status, status);
  json_t *o = parse(&reply.body);
  text_free(&reply.body);
  return o;
}
#define ASK(w, path, status, ...) ask((w), (path), (status), (const char *const[]){__VA_ARGS__, NULL})

static struct watch *open_one(void)
{
  struct watch *w;
  const char *path = make_run("run");
  write_rollouts("run", 1, "add:1", 1, 3);
  write_rollouts("run", 4, "add:2", 2, 3);
  CHECK_OK(watch_open(arena, &path, 1, &w, &err), &err);
  while (json_is_true(get(ASK(w, "/api/state", 200, NULL), "more"))) {}
  return w;
}

static void test_answers(void **state)
{
  (void)state;
  struct watch *w = open_one();
  const json_t *s = json_array_get(get(ASK(w, "/api/state", 200, NULL), "runs"), 0);
  CHECK_INT(json_integer_value(get(s, "step")), 1);
  CHECK_INT(json_integer_value(get(s, "rollouts")), 2);
  CHECK_INT(json_integer_value(get(s, "problems")), 2);
  CHECK(json_is_false(get(s, "running")) && json_is_false(get(s, "sft")));
  const json_t *list = ASK(w, "/api/rollouts", 200, "run", "0", "step", "3"); /* 4 is nearest */
  CHECK_INT(json_integer_value(get(list, "step")), 4);
  CHECK_INT(json_integer_value(get(list, "before")), 1);
  CHECK(json_is_null(get(list, "behind")));
  CHECK_INT((int64_t)json_array_size(get(list, "lines")), 3);
  const char *key = json_string_value(json_array_get(json_array_get(get(list, "lines"), 0), 0));
  const json_t *group = ASK(w, "/api/group", 200, "run", "0", "step", "4", "problem", key);
  const json_t *first = json_array_get(get(group, "rollouts"), 0);
  CHECK_STR(json_string_value(get(group, "id")), "add:2");
  CHECK_INT((int64_t)json_array_size(get(group, "prompt")), 6);
  CHECK_INT((int64_t)json_array_size(get(first, "pieces")), 3);
  CHECK(json_is_object(json_array_get(get(first, "pieces"), 2))); /* the end token is special */
  CHECK_CLOSE(json_number_value(json_array_get(get(first, "logp"), 1)), -1, 0, "read, not computed");
  CHECK(!json_object_get(first, "behaviour"));
  CHECK_STR(json_string_value(get(get(first, "verdict"), "reason")), "why");
  CHECK_INT((int64_t)json_array_size(get(ASK(w, "/api/recipe", 200, "run", "0"), "rows")), 3);
  CHECK_STR(json_string_value(get(ASK(w, "/api/log", 200, "run", "0"), "text")), "");
  CHECK(json_is_array(get(ASK(w, "/api/problem", 200, "run", "0", "problem", key), "row")));
}

static void write_evaluation(int64_t step, const char *lines)
{
  struct run_folder folder = {.path = at("run"), .arena = arena, .lock = -1};
  struct file_writer *w;
  CHECK_OK(run_folder_open_lines(&folder, arena, "evaluations", step, &w, &err), &err);
  CHECK_OK(run_folder_add_lines(arena, w, lines, strlen(lines), &err), &err);
  CHECK_OK(file_writer_commit(w, &err), &err);
}

/* One problem of two sets with the same id, one answer that failed, one line that is damaged. */
static const char evaluated[] =
    "{\"problem\": \"7\", \"sample\": 0, \"reward\": 1.0, \"correct\": true, \"readable\": true, \"extracted\": "
    "\"46\", \"tokens\": 3, \"finish\": \"stop\", \"reason\": \"equal\", \"set\": \"a\", \"prompt\": \"12+34=\", "
    "\"text\": \"<b>46\"}\n"
    "{\"problem\": \"7\", \"sample\": 1, \"reward\": 0.0, \"correct\": false, \"readable\": false, \"extracted\": "
    "null, \"tokens\": 9, \"finish\": \"length\", \"set\": \"a\", \"prompt\": \"12+34=\", \"text\": \"\"}\n"
    "no answer\n"
    "{\"problem\": \"7\", \"sample\": 0, \"reward\": 0.0, \"correct\": false, \"failed\": true, \"tokens\": 1, "
    "\"finish\": \"stop\", \"set\": \"b\", \"prompt\": \"1+1=\", \"text\": \"2\"}\n";

static void test_evaluations(void **state)
{
  (void)state;
  struct watch *w = open_one();
  ASK(w, "/api/evaluations", 400, "run", "0", "step", "0");
  write_evaluation(0, evaluated);
  write_evaluation(20, evaluated);
  const json_t *s = json_array_get(get(ASK(w, "/api/state", 200, NULL), "runs"), 0);
  CHECK_INT(json_integer_value(get(s, "evaluations")), 2);
  CHECK_INT(json_integer_value(get(s, "last_evaluation")), 20);
  const json_t *list = ASK(w, "/api/evaluations", 200, "run", "0", "step", "13"), *lines = get(list, "lines");
  CHECK_INT(json_integer_value(get(list, "step")), 20);
  CHECK_INT(json_integer_value(get(list, "of")), 3);
  CHECK_INT(json_integer_value(get(list, "damaged")), 1);
  CHECK_INT((int64_t)json_array_size(get(list, "steps")), 2);
  CHECK_INT((int64_t)json_object_size(get(list, "problems")), 2);
  CHECK_INT((int64_t)json_array_size(lines), 3);
  static const int verdicts[] = {1, 0, -1};
  for (size_t i = 0; i < 3; i++)
    CHECK_INT(json_integer_value(json_array_get(json_array_get(lines, i), 5)), verdicts[i]);
  const char *key = json_string_value(json_array_get(json_array_get(lines, 0), 0));
  const json_t *one = ASK(w, "/api/evaluation", 200, "run", "0", "step", "20", "problem", key);
  const json_t *first = json_array_get(get(one, "answers"), 0);
  CHECK_INT((int64_t)json_array_size(get(one, "answers")), 2);
  CHECK_STR(json_string_value(get(one, "prompt")), "12+34=");
  CHECK_STR(json_string_value(get(one, "set")), "a");
  CHECK_STR(json_string_value(get(first, "text")), "<b>46");
  CHECK_STR(json_string_value(get(first, "reason")), "equal");
  CHECK(json_is_null(get(json_array_get(get(one, "answers"), 1), "extracted")));
  ASK(w, "/api/evaluation", 400, "run", "0", "step", "20", "problem", "0123456789abcdef");
  ASK(w, "/api/evaluation", 400, "run", "0", "step", "1", "problem", key);
}

static void test_a_run_that_cannot_be_read_is_told(void **state)
{
  (void)state;
  struct watch *w = open_one();
  CHECK(unlink(at("run/metrics.jsonl")) == 0 && symlink("recipe.yaml", at("run/metrics.jsonl")) == 0);
  const json_t *s = json_array_get(get(ASK(w, "/api/state", 200, NULL), "runs"), 0);
  CHECK(strstr(json_string_value(get(s, "note")), "links are not followed") != NULL);
}

static void test_wrong_questions(void **state)
{
  (void)state;
  struct watch *w = open_one();
  ASK(w, "/api/nothing", 404, NULL);
  ASK(w, "/api/../../etc/passwd", 404, NULL);
  ASK(w, "/api/metrics", 400, NULL);
  ASK(w, "/api/metrics", 400, "run", "1");
  ASK(w, "/api/metrics", 400, "run", "-1");
  ASK(w, "/api/metrics", 400, "run", "0x0");
  ASK(w, "/api/metrics", 400, "run", "0", "generation", "99999999999999999999");
  ASK(w, "/api/rollouts", 400, "run", "0", "step", "1e3");
  ASK(w, "/api/rollouts", 400, "run", "0", "step", "../1");
  ASK(w, "/api/group", 400, "run", "0", "step", "1", "problem", "zz");
  ASK(w, "/api/group", 400, "run", "0", "step", "2", "problem", "0123456789abcdef");
  ASK(w, "/api/alternatives", 400, "run", "0", "step", "1", "problem", "0123456789abcdef", "attempt", "0", "rollout",
      "0");
}

static void test_tokens_as_pieces(void **state)
{
  (void)state;
  struct tokenizer *t;
  CHECK_OK(tokenizer_open(arena, ASSAY_SOURCE_DIR "/models/tiny", &t, &err), &err);
  struct text out = {0};
  text_puts(&out, "[");
  rollouts_put_piece(t, tokenizer_eos(t), &out);
  text_puts(&out, ",");
  rollouts_put_piece(t, 1 << 30, &out);
  text_puts(&out, ",");
  rollouts_put_piece(NULL, 5, &out);
  text_puts(&out, ",");
  rollouts_put_piece(t, tokenizer_id_of_text(t, "7", 1), &out);
  text_puts(&out, "]");
  const json_t *o = parse(&out);
  CHECK(json_is_string(get(json_array_get(o, 0), "special")));
  CHECK_INT(json_integer_value(get(json_array_get(o, 1), "id")), 1 << 30);
  CHECK_INT(json_integer_value(get(json_array_get(o, 2), "id")), 5);
  CHECK_STR(json_string_value(json_array_get(o, 3)), "7");
  text_free(&out);
}

/* ---- the file ---------------------------------------------------------------------------------------------------- */

static void test_export_holds_everything_as_data(void **state)
{
  (void)state;
  struct watch *w = open_one();
  char *html;
  size_t n;
  write_evaluation(20, evaluated);
  CHECK_OK(watch_export(w, at("out.html"), 1 << 20, &err), &err);
  CHECK_OK(file_read(arena, at("out.html"), 16 << 20, &html, &n, &err), &err);
  CHECK(strstr(html, "script-src 'sha256-") || strstr(html, "script-src  'sha256-"));
  CHECK(!strstr(html, "@HEAD@") && !strstr(html, "@SCRIPTS@") && !strstr(html, "src=\""));
  static const char open[] = "<script type=\"application/json\" id=\"data\">";
  char *data = strstr(html, open);
  CHECK(data != NULL);
  data += sizeof open - 1;
  char *end = strchr(data, '<'); /* the first one ends the data: what rollouts hold of it is escaped */
  CHECK(end && !strncmp(end, "</script>", 9));
  json_t *o;
  CHECK_OK(json_parse(arena, data, (size_t)(end - data), "out.html", 0, JSON_READ_UNIQUE, &o, &err), &err);
  const json_t *list = get(o, "rollouts?run=0&step=4");
  CHECK_STR(json_string_value(json_array_get(json_array_get(get(list, "lines"), 0), 8)), "<b>17");
  list = get(o, "evaluations?run=0&step=20");
  int entries = 0;
  const char *key;
  json_t *value;
  json_object_foreach(o, key, value) entries += !strncmp(key, "evaluation?run=0&step=20&problem=", 33);
  CHECK_INT(entries, (int64_t)json_object_size(get(list, "problems")));
  get(o, "metrics?run=0");
  get(o, "recipe?run=0");
  get(o, "state");
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_series_keep_few_steps_as_they_are, setup, teardown),
      cmocka_unit_test_setup_teardown(test_series_stay_small_and_keep_spikes, setup, teardown),
      cmocka_unit_test_setup_teardown(test_series_bound_their_names, setup, teardown),
      cmocka_unit_test_setup_teardown(test_problems_count_visits, setup, teardown),
      cmocka_unit_test_setup_teardown(test_problems_forget_the_oldest, setup, teardown),
      cmocka_unit_test_setup_teardown(test_line_skimmed_and_read_say_the_same, setup, teardown),
      cmocka_unit_test_setup_teardown(test_recipe_rows, setup, teardown),
      cmocka_unit_test_setup_teardown(test_run_grows_and_is_cut_back, setup, teardown),
      cmocka_unit_test_setup_teardown(test_run_counts_problems, setup, teardown),
      cmocka_unit_test_setup_teardown(test_run_reads_nothing_outside, setup, teardown),
      cmocka_unit_test_setup_teardown(test_run_knows_its_writer, setup, teardown),
      cmocka_unit_test_setup_teardown(test_answers, setup, teardown),
      cmocka_unit_test_setup_teardown(test_evaluations, setup, teardown),
      cmocka_unit_test_setup_teardown(test_a_run_that_cannot_be_read_is_told, setup, teardown),
      cmocka_unit_test_setup_teardown(test_wrong_questions, setup, teardown),
      cmocka_unit_test_setup_teardown(test_tokens_as_pieces, setup, teardown),
      cmocka_unit_test_setup_teardown(test_export_holds_everything_as_data, setup, teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
