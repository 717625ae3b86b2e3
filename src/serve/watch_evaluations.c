#include "serve/watch_evaluations.h"

#include "core/cursor.h"
#include "serve/watch_index.h"
#include "serve/watch_line.h"

#include <inttypes.h>
#include <string.h>

/* One answer; it lives in the run's scratch. */
struct answer {
  const json_t *object;
  const char *set, *id, *prompt;
  uint64_t key; /* of set and id together: two sets may name their problems alike */
};

typedef int take_answer_fn(void *arg, const struct answer *a, struct error *err);

static int read_answer(struct arena *scratch, const char *line, size_t n, struct answer *out, struct error *err)
{
  json_t *o;
  struct text name = {0};
  TRY(json_parse(scratch, line, n, NULL, 0, JSON_READ_PLAIN, &o, err));
  if (!json_is_object(o)) FAIL(err, ERROR_INPUT, "found no JSON object; expected an answer");
  out->object = o;
  TRY(json_need_string(o, "problem", &out->id, NULL, err));
  TRY(json_string_or(o, "set", "", &out->set, NULL, err));
  TRY(json_string_or(o, "prompt", "", &out->prompt, NULL, err));
  text_printf(&name, "%s\n%s", out->set, out->id);
  int rc = text_finish(&name, err);
  if (!rc) out->key = watch_key(name.bytes);
  text_free(&name);
  return rc;
}

/* Every answer of the step; *damaged counts lines that are none. */
static int walk(struct watch_run *r, struct arena *a, int64_t step, take_answer_fn *take, void *arg, int64_t *damaged,
                struct error *err)
{
  struct line_reader *reader;
  TRY(watch_run_lines(r, a, "evaluations", step, &reader, err));
  for (;;) {
    char *line;
    size_t n;
    int number;
    struct answer answer;
    struct error failure = {0};
    TRY(line_reader_next(reader, &line, &n, &number, err));
    if (!line) return 0;
    struct arena_mark mark = arena_mark(r->scratch);
    int rc = read_answer(r->scratch, line, n, &answer, &failure);
    *damaged += rc == ERROR_INPUT;
    if (!rc) rc = take(arg, &answer, &failure);
    arena_release(r->scratch, mark);
    if (!rc || rc == ERROR_INPUT) continue;
    *err = failure;
    return rc;
  }
}

static int walk_step(struct watch_run *r, int64_t step, take_answer_fn *take, void *arg, int64_t *damaged,
                     struct error *err)
{
  struct arena *a = arena_create("watch", 0, err);
  if (!a) return err->code;
  arena_reset(r->scratch);
  int rc = walk(r, a, step, take, arg, damaged, err);
  arena_destroy(a);
  return rc;
}

/* 1 right, 0 wrong, -1 the verifier failed. */
static int verdict_of(const struct answer *a)
{
  return json_is_true(json_object_get(a->object, "failed")) ? -1 : json_is_true(json_object_get(a->object, "correct"));
}

/* The first bytes of a text, no character cut. */
static void put_excerpt(struct text *t, const char *s)
{
  size_t n = strlen(s), most = EVALUATION_EXCERPT;
  if (n > most)
    for (n = most; n && ((unsigned char)s[n] & 0xc0) == 0x80;) n--;
  json_put_string(t, s, n);
}

static void put_member(struct text *t, const struct answer *a, const char *name)
{
  const json_t *v = json_object_get(a->object, name);
  if (v)
    json_put_value(t, v);
  else
    text_puts(t, "null");
}

/* ---- the list ---------------------------------------------------------------------------------------------------- */

struct listing {
  struct text lines, problems;
  uint64_t last; /* key of the answer before: those to one problem stand together */
  int64_t count, listed;
};

static void list_problem(struct listing *g, const struct answer *a)
{
  text_printf(&g->problems, "%s\"%016" PRIx64 "\":[", g->problems.size ? "," : "", a->key);
  json_put_string(&g->problems, a->id, strlen(a->id));
  text_puts(&g->problems, ",");
  put_excerpt(&g->problems, a->prompt);
  text_puts(&g->problems, ",");
  json_put_string(&g->problems, a->set, strlen(a->set));
  text_puts(&g->problems, "]");
}

static int list_answer(void *arg, const struct answer *a, struct error *err)
{
  static const char *const behind[] = {"tokens", "finish", "extracted"};
  struct listing *g = arg;
  (void)err;
  if (++g->count > EVALUATION_LISTED) return 0;
  if (!g->listed || a->key != g->last) list_problem(g, a);
  g->last = a->key;
  text_printf(&g->lines, "%s[\"%016" PRIx64 "\",0,0,", g->listed++ ? "," : "", a->key);
  put_member(&g->lines, a, "sample");
  text_puts(&g->lines, ",");
  put_member(&g->lines, a, "reward");
  text_printf(&g->lines, ",%d", verdict_of(a));
  for (size_t i = 0; i < sizeof behind / sizeof behind[0]; i++) {
    text_puts(&g->lines, ",");
    put_member(&g->lines, a, behind[i]);
  }
  text_puts(&g->lines, ",true]");
  return 0;
}

static void put_list(const struct watch_run *r, const struct listing *g, int64_t step, int64_t damaged,
                     struct text *out)
{
  text_printf(out, "{\"step\":%" PRId64 ",\"of\":%" PRId64 ",\"damaged\":%" PRId64 ",\"steps\":[", step, g->count,
              damaged);
  for (size_t i = 0; i < r->evaluations.count; i++)
    text_printf(out, i ? ",%" PRId64 : "%" PRId64, r->evaluations.items[i]);
  text_puts(out, "],\"problems\":{");
  text_add(out, g->problems.bytes ? g->problems.bytes : "", g->problems.size);
  text_puts(out, "},\"lines\":[");
  text_add(out, g->lines.bytes ? g->lines.bytes : "", g->lines.size);
  text_puts(out, "]}");
}

int evaluations_put_list(struct watch_run *r, int64_t step, struct text *out, struct error *err)
{
  struct listing g = {0};
  int64_t damaged = 0;
  step = watch_steps_nearest(&r->evaluations, step);
  int rc = walk_step(r, step, list_answer, &g, &damaged, err);
  if (!rc) rc = text_finish(&g.lines, err);
  if (!rc) rc = text_finish(&g.problems, err);
  if (!rc) put_list(r, &g, step, damaged, out);
  text_free(&g.lines);
  text_free(&g.problems);
  return rc;
}

/* ---- one problem ------------------------------------------------------------------------------------------------- */

struct grouping {
  struct text *out;
  uint64_t key;
  int64_t step, count;
};

static void put_answer(struct text *t, const struct answer *a)
{
  static const char *const fields[] = {"sample", "reward", "readable", "extracted",
                                       "reason", "tokens", "finish",   "text"};
  text_printf(t, "{\"verdict\":%d", verdict_of(a));
  for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
    text_printf(t, ",\"%s\":", fields[i]);
    put_member(t, a, fields[i]);
  }
  text_puts(t, "}");
}

static int group_answer(void *arg, const struct answer *a, struct error *err)
{
  struct grouping *g = arg;
  (void)err;
  if (a->key != g->key || ++g->count > EVALUATION_GROUP) return 0;
  if (g->count == 1) {
    text_printf(g->out, "{\"step\":%" PRId64 ",\"problem\":\"%016" PRIx64 "\",\"set\":", g->step, g->key);
    json_put_string(g->out, a->set, strlen(a->set));
    text_puts(g->out, ",\"id\":");
    json_put_string(g->out, a->id, strlen(a->id));
    text_puts(g->out, ",\"prompt\":");
    json_put_string(g->out, a->prompt, strlen(a->prompt));
    text_puts(g->out, ",\"answers\":[");
  } else {
    text_puts(g->out, ",");
  }
  put_answer(g->out, a);
  return 0;
}

int evaluations_put_problem(struct watch_run *r, int64_t step, uint64_t key, struct text *out, struct error *err)
{
  struct grouping g = {.out = out, .key = key, .step = step};
  int64_t damaged = 0;
  TRY(walk_step(r, step, group_answer, &g, &damaged, err));
  if (!g.count) FAIL(err, ERROR_INPUT, "the evaluation of step %" PRId64 " has no answers to this problem", step);
  text_printf(out, "],\"of\":%" PRId64 "}", g.count);
  return 0;
}
