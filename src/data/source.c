#include "data/source.h"
#include <stdlib.h>
#include <string.h>
#include "core/file.h"

struct source {
  struct source_options options;
  const char *name;
  int index;
  struct problem *problems; /* files: [count] */
  size_t count, room;
  struct task_config *task;
};

uint64_t source_count(const struct source *s)
{
  return s->task ? s->task->count : s->count;
}

double source_weight(const struct source *s)
{
  return s->options.weight;
}

const char *source_name(const struct source *s)
{
  return s->name;
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

static bool is_blank(const char *line, size_t n)
{
  for (size_t i = 0; i < n; i++)
    if (line[i] != ' ' && line[i] != '\t' && line[i] != '\r') return false;
  return true;
}

/* Which side of a file's split a problem is on: by a hash of what the model reads, so that it does not move when lines
 * do. */
static int on_side(const struct source_options *o, const struct problem *p, bool *keep, struct error *err)
{
  struct sha256 h;
  uint8_t digest[32];
  struct text t = {0};
  *keep = true;
  if (o->split == SPLIT_ALL) return 0;
  if (p->prompt)
    text_puts(&t, p->prompt);
  else
    json_put_value(&t, p->messages);
  int rc = text_finish(&t, err);
  sha256_start(&h);
  if (!rc) sha256_add(&h, t.bytes, t.size);
  sha256_finish(&h, digest);
  text_free(&t);
  double at = ((double)digest[0] * 16777216 + (double)digest[1] * 65536 + (double)digest[2] * 256 + (double)digest[3]) /
              4294967296.0;
  *keep = (at < o->held_out) == (o->split == SPLIT_HELD_OUT);
  return rc;
}

static int add_problem(struct arena *a, struct source *s, const struct problem *p, struct error *err)
{
  if (s->count == s->room) {
    size_t room = s->room ? 2 * s->room : 64;
    struct problem *grown = ARENA_NEW(a, struct problem, room, "problems", err);
    if (!grown) return err->code;
    if (s->count) memcpy(grown, s->problems, s->count * sizeof *grown);
    s->problems = grown;
    s->room = room;
  }
  s->problems[s->count++] = *p;
  return 0;
}

static int compare_ids(const void *x, const void *y)
{
  const struct problem *p = *(const struct problem *const *)x, *q = *(const struct problem *const *)y;
  int order = strcmp(p->id, q->id);
  return order ? order : (p->line > q->line) - (p->line < q->line);
}

/* History, replay and evaluation know a problem by its id. */
static int check_ids(struct arena *a, const struct source *s, struct error *err)
{
  const struct problem **order = ARENA_NEW(a, const struct problem *, s->count, "problems", err);
  if (!order) return err->code;
  for (size_t i = 0; i < s->count; i++) order[i] = &s->problems[i];
  qsort(order, s->count, sizeof *order, compare_ids);
  for (size_t i = 1; i < s->count; i++)
    if (!strcmp(order[i - 1]->id, order[i]->id))
      FAIL_AT(err, ERROR_INPUT, s->name, order[i]->line, "id",
              "found id \"%s\" again (first in line %d); expected an id once, or none", order[i]->id,
              order[i - 1]->line);
  return 0;
}

static int read_file(struct arena *a, struct source *s, struct error *err)
{
  const struct source_options *o = &s->options;
  struct line_reader *reader;
  char *line;
  size_t n, lines = 0;
  int number;
  TRY(line_reader_open(a, o->path, &reader, err));
  for (;;) {
    TRY(line_reader_next(reader, &line, &n, &number, err));
    if (!line) break;
    if (is_blank(line, n)) continue;
    json_t *object;
    struct problem p;
    bool keep;
    lines++;
    TRY(json_parse(a, line, n, o->path, number - 1, JSON_READ_UNIQUE, &object, err));
    TRY(problem_from_object(a, object, o, o->path, number, &p, err));
    if (!p.verifier)
      FAIL_AT(err, ERROR_INPUT, o->path, number, "verifier",
              "found no verifier for this problem; expected `verifier: KIND` in the recipe's data entry, or --verifier "
              "KIND (assay verify --kinds lists them)");
    p.source_index = s->index;
    TRY(on_side(o, &p, &keep, err));
    if (keep) TRY(add_problem(a, s, &p, err));
  }
  if (!lines)
    FAIL_AT(err, ERROR_INPUT, o->path, 0, NULL,
            "found no problem in the file; expected one JSON object a line: {\"question\": ..., \"answer\": ...}");
  if (!s->count)
    FAIL_AT(err, ERROR_INPUT, o->path, 0, "split", "found no %s problem among %zu; change held_out (now %g)",
            o->split == SPLIT_TRAIN ? "train" : "held-out", lines, o->held_out);
  return check_ids(a, s, err);
}

/* ---- tasks ------------------------------------------------------------------------------------------------------- */

static int put_task_problem(const struct source *s, uint64_t i, const struct task_problem *p, struct text *t,
                            struct error *err)
{
  const struct task_config *c = s->task;
  text_puts(t, "{\"id\": \"");
  text_puts(t, c->task->name);
  if (c->count) /* a listed problem is the same under every seed */
    text_printf(t, ":%s%llu\", ", c->held_out ? "held-out:" : "", (unsigned long long)i);
  else
    text_printf(t, ":%s%llu:%llu\", ", c->held_out ? "held-out:" : "", (unsigned long long)c->seed,
                (unsigned long long)i);
  if (p->prompt) {
    text_puts(t, "\"prompt\": ");
    json_put_string(t, p->prompt, strlen(p->prompt));
    text_puts(t, ", ");
  }
  text_puts(t, "\"question\": ");
  json_put_string(t, p->question, strlen(p->question));
  text_puts(t, ", \"answer\": ");
  json_put_string(t, p->answer, strlen(p->answer));
  text_puts(t, ", \"task\": ");
  json_put_string(t, c->task->name, strlen(c->task->name));
  text_puts(t, ", \"meta\": ");
  text_puts(t, p->meta);
  text_puts(t, "}");
  return text_finish(t, err);
}

static int task_problem(const struct source *s, struct arena *a, uint64_t i, struct problem *out, struct error *err)
{
  struct task_problem made = {0};
  struct text t = {0};
  json_t *object = NULL;
  TRY(s->task->task->make(a, s->task, i, &made, err));
  int rc = put_task_problem(s, i, &made, &t, err);
  if (!rc) rc = json_parse(a, t.bytes, t.size, s->name, 0, JSON_READ_UNIQUE, &object, err);
  text_free(&t);
  if (rc) return rc;
  TRY(problem_from_object(a, object, &s->options, s->name, (int)(i & 0x7fffffff), out, err));
  out->source_index = s->index;
  return 0;
}

static int open_task(struct arena *a, struct source *s, uint64_t seed, struct error *err)
{
  const struct source_options *o = &s->options;
  const struct task *t = task_find(o->task, err);
  int rc =
      t ? task_open(a, t, o->settings, o->setting_count, o->split == SPLIT_HELD_OUT, seed, &s->task, err) : err->code;
  if (rc) return o->file ? error_place(err, o->file, o->line) : rc;
  if (!s->options.verifier) s->options.verifier = "task";
  s->name = arena_printf(a, "problems", err, "task:%s", o->task);
  return s->name ? 0 : err->code;
}

/* ---- both -------------------------------------------------------------------------------------------------------- */

int source_open(struct arena *a, const struct source_options *o, int index, uint64_t seed, struct source **out,
                struct error *err)
{
  struct source *s = ARENA_NEW(a, struct source, 1, "problems", err);
  if (!s) return err->code;
  s->options = *o;
  s->index = index;
  s->name = o->path;
  TRY(o->task ? open_task(a, s, seed, err) : read_file(a, s, err));
  *out = s;
  return 0;
}

int source_problem(const struct source *s, struct arena *a, uint64_t i, struct problem *out, struct error *err)
{
  ASSAY_BUG_IF(source_count(s) && i >= source_count(s));
  if (s->task) return task_problem(s, a, i, out, err);
  *out = s->problems[i];
  return 0;
}

int source_list_open(struct arena *a, const struct yaml_node *data, enum source_split split, uint64_t seed,
                     struct source_list *out, struct error *err)
{
  size_t count = data->kind == YAML_LIST ? data->count : 1;
  if (!count)
    FAIL_AT(err, ERROR_INPUT, data->file, data->line, "data",
            "found an empty list; expected [{path: FILE, verifier: KIND}]");
  out->count = 0;
  out->items = ARENA_NEW(a, struct source *, count, "problems", err);
  if (!out->items) return err->code;
  for (; out->count < count; out->count++) {
    struct source_options o;
    const struct yaml_node *entry = data->kind == YAML_LIST ? data->items[out->count] : data;
    TRY(source_options_from_yaml(a, entry, split, &o, err));
    TRY(source_open(a, &o, (int)out->count, seed, &out->items[out->count], err));
  }
  return 0;
}
