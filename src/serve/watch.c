#include "serve/watch.h"

#include "serve/watch_evaluations.h"
#include "serve/watch_recipe.h"
#include "serve/watch_rollouts.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { LOG_BYTES = 64 * 1024, PROBLEM_ROWS = 4096 };
static const double POLL_SECONDS = 0.06; /* that one question for the state may read on */

/* ---- opening ----------------------------------------------------------------------------------------------------- */

/* Where Debian's libjs-chart.js and node-chart.js put it. */
static const char *const chart_files[] = {
    "/usr/share/javascript/chart.js/chart.min.js",  "/usr/share/javascript/chart.js/Chart.min.js",
    "/usr/share/javascript/chart.js/chart.umd.js",  "/usr/share/nodejs/chart.js/dist/chart.min.js",
    "/usr/share/nodejs/chart.js/dist/chart.umd.js", "/usr/share/nodejs/chart.js/dist/chart.js"};

/* Not there: the page says so, and shows its tables. */
static int find_chart(struct watch *w, struct error *err)
{
  for (size_t i = 0; i < sizeof chart_files / sizeof chart_files[0]; i++) {
    char *text;
    if (!file_exists(chart_files[i])) continue;
    TRY(file_read(w->arena, chart_files[i], 4 << 20, &text, &w->chart_size, err));
    w->chart = text;
    return 0;
  }
  return 0;
}

int watch_open(struct arena *a, const char *const *paths, int count, struct watch **out, struct error *err)
{
  struct watch *w = ARENA_NEW(a, struct watch, 1, "watch", err);
  if (!w) return err->code;
  w->arena = a;
  if (count > WATCH_RUNS)
    FAIL(err, ERROR_INPUT, "found %d runs; expected at most %d beside each other", count, WATCH_RUNS);
  for (; w->run_count < count; w->run_count++) TRY(watch_run_open(a, paths[w->run_count], &w->runs[w->run_count], err));
  TRY(alternatives_create(a, &w->alternatives, err));
  TRY(find_chart(w, err));
  *out = w;
  return 0;
}

/* ---- parameters -------------------------------------------------------------------------------------------------- */

struct question {
  struct watch *watch;
  watch_query_fn *query;
  const void *arg;
  struct watch_run *run; /* NULL where the path needs none */
  struct text *out;
};

static int read_whole(const struct question *q, const char *name, int64_t high, int64_t *out, struct error *err)
{
  char *end;
  const char *text = q->query(q->arg, name);
  errno = 0;
  long long n = text && *text >= '0' && *text <= '9' ? strtoll(text, &end, 10) : -1;
  if (n < 0 || errno || *end || n > high)
    FAIL_AT(err, ERROR_INPUT, NULL, 0, name, "found %.40s for %s; expected a number from 0 to %" PRId64,
            text ? text : "nothing", name, high);
  *out = n;
  return 0;
}

static int read_key(const struct question *q, uint64_t *out, struct error *err)
{
  char *end;
  const char *text = q->query(q->arg, "problem");
  if (!text || strlen(text) != 16 || strspn(text, "0123456789abcdef") != 16)
    FAIL_AT(err, ERROR_INPUT, NULL, 0, "problem", "found no problem's key; expected 16 digits of /api/problems");
  *out = strtoull(text, &end, 16);
  return 0;
}

static int read_run(struct question *q, struct error *err)
{
  int64_t index;
  TRY(read_whole(q, "run", q->watch->run_count - 1, &index, err));
  q->run = q->watch->runs[index];
  return 0;
}

/* ---- answers ----------------------------------------------------------------------------------------------------- */

/* One run that cannot be read is told beside its name; the others go on. */
static int poll_run(struct watch_run *r, double seconds, bool *more, struct error *err)
{
  struct error failure = {0};
  *more = false;
  int rc = watch_run_poll(r, seconds, more, &failure);
  if (rc && rc != ERROR_INPUT) *err = failure;
  if (rc == ERROR_INPUT && !r->note[0]) error_format(&failure, r->note, sizeof r->note);
  return rc == ERROR_INPUT ? 0 : rc;
}

static int answer_state(struct question *q, struct error *err)
{
  struct watch *w = q->watch;
  bool more = false, one;
  for (int i = 0; i < w->run_count; i++) {
    TRY(poll_run(w->runs[i], POLL_SECONDS / w->run_count, &one, err));
    more = more || one;
  }
  text_printf(q->out, "{\"version\":\"%s\",\"chart\":%s,\"more\":%s,\"runs\":[", ASSAY_VERSION,
              w->chart ? "true" : "false", more ? "true" : "false");
  for (int i = 0; i < w->run_count; i++) {
    if (i) text_puts(q->out, ",");
    TRY(watch_run_put_state(w->runs[i], q->out, err));
  }
  text_puts(q->out, "]}");
  return 0;
}

static int answer_metrics(struct question *q, struct error *err)
{
  int64_t generation = -1, from = 0;
  if (q->query(q->arg, "generation")) {
    TRY(read_whole(q, "generation", INT64_MAX, &generation, err));
    TRY(read_whole(q, "from", SERIES_BUCKETS, &from, err));
  }
  series_put(q->run->series, generation, (int)from, q->out);
  return 0;
}

static int answer_problems(struct question *q, struct error *err)
{
  const char *query = q->query(q->arg, "q");
  return problems_put(q->run->problems, query ? query : "", PROBLEM_ROWS, q->out, err);
}

static int answer_problem(struct question *q, struct error *err)
{
  uint64_t key;
  TRY(read_key(q, &key, err));
  const struct problem_history *h = problems_get(q->run->problems, key);
  text_puts(q->out, "{\"row\":");
  if (h)
    problem_put(h, q->out);
  else
    text_puts(q->out, "null");
  text_puts(q->out, "}");
  return 0;
}

static int answer_rollouts(struct question *q, struct error *err)
{
  int64_t step;
  TRY(read_whole(q, "step", INT32_MAX, &step, err));
  return rollouts_put_list(q->run, step, q->out, err);
}

static int answer_group(struct question *q, struct error *err)
{
  int64_t step;
  uint64_t key;
  TRY(read_whole(q, "step", INT32_MAX, &step, err));
  TRY(read_key(q, &key, err));
  return rollouts_put_group(q->run, step, key, q->out, err);
}

static int answer_evaluations(struct question *q, struct error *err)
{
  int64_t step;
  TRY(read_whole(q, "step", INT32_MAX, &step, err));
  return evaluations_put_list(q->run, step, q->out, err);
}

static int answer_evaluation(struct question *q, struct error *err)
{
  int64_t step;
  uint64_t key;
  TRY(read_whole(q, "step", INT32_MAX, &step, err));
  TRY(read_key(q, &key, err));
  return evaluations_put_problem(q->run, step, key, q->out, err);
}

static int answer_alternatives(struct question *q, struct error *err)
{
  int64_t step, attempt, rollout;
  uint64_t key;
  TRY(read_whole(q, "step", INT32_MAX, &step, err));
  TRY(read_key(q, &key, err));
  TRY(read_whole(q, "attempt", INT32_MAX, &attempt, err));
  TRY(read_whole(q, "rollout", INT32_MAX, &rollout, err));
  return alternatives_put(q->watch->alternatives, q->run, step, key, attempt, rollout, q->out, err);
}

static int answer_recipe(struct question *q, struct error *err)
{
  char *text;
  size_t n;
  arena_reset(q->run->scratch);
  TRY(watch_run_read(q->run, q->run->scratch, "recipe.yaml", 1 << 20, &text, &n, err));
  recipe_rows_put(text ? text : "", n, q->out);
  return 0;
}

static int answer_log(struct question *q, struct error *err)
{
  char *text;
  size_t n;
  arena_reset(q->run->scratch);
  TRY(watch_run_read(q->run, q->run->scratch, "log.txt", LOG_BYTES, &text, &n, err));
  const char *from = text && n == LOG_BYTES ? memchr(text, '\n', n) : NULL; /* the first line is cut */
  size_t skip = from ? (size_t)(from - text) + 1 : 0;
  text_puts(q->out, "{\"text\":");
  json_put_string(q->out, text ? text + skip : "", n - skip);
  text_puts(q->out, "}");
  return 0;
}

static const struct {
  const char *path;
  bool of_run;
  int (*answer)(struct question *q, struct error *err);
} questions[] = {{"/api/state", false, answer_state},
                 {"/api/metrics", true, answer_metrics},
                 {"/api/problems", true, answer_problems},
                 {"/api/problem", true, answer_problem},
                 {"/api/rollouts", true, answer_rollouts},
                 {"/api/group", true, answer_group},
                 {"/api/evaluations", true, answer_evaluations},
                 {"/api/evaluation", true, answer_evaluation},
                 {"/api/alternatives", true, answer_alternatives},
                 {"/api/recipe", true, answer_recipe},
                 {"/api/log", true, answer_log}};

static int answer_question(struct watch *w, const char *path, watch_query_fn *query, const void *arg,
                           struct watch_reply *out, struct error *err)
{
  struct question q = {.watch = w, .query = query, .arg = arg, .out = &out->body};
  for (size_t i = 0; i < sizeof questions / sizeof questions[0]; i++) {
    if (strcmp(questions[i].path, path) != 0) continue;
    if (questions[i].of_run) TRY(read_run(&q, err));
    return questions[i].answer(&q, err);
  }
  out->status = 404;
  FAIL(err, ERROR_INPUT, "found no such page; expected / or one of /api/");
}

static void put_failure(struct watch_reply *out, const struct error *failure)
{
  text_clear(&out->body);
  text_puts(&out->body, "{\"error\":{\"message\":");
  json_put_string(&out->body, failure->message, strlen(failure->message));
  text_puts(&out->body, "}}");
}

int watch_answer(struct watch *w, const char *path, watch_query_fn *query, const void *arg, struct watch_reply *out,
                 struct error *err)
{
  struct error failure = {0};
  *out = (struct watch_reply){.status = 200, .type = "application/json"};
  int rc = answer_question(w, path, query, arg, out, &failure);
  if (rc == ERROR_INPUT) {
    if (out->status == 200) out->status = 400;
    put_failure(out, &failure);
  } else if (rc) {
    *err = failure;
    return rc;
  }
  return text_finish(&out->body, err);
}
