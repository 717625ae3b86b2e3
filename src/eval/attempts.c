#include <string.h>
#include "core/file.h"
#include "eval/report.h"

int attempt_list_add(struct arena *a, struct attempt_list *l, const struct attempt *attempt, struct error *err)
{
  if (l->count == l->room) {
    size_t room = l->room ? 2 * l->room : 256;
    struct attempt *grown = ARENA_NEW(a, struct attempt, room, "eval", err);
    if (!grown) return err->code;
    if (l->count) memcpy(grown, l->items, l->count * sizeof *grown);
    l->items = grown;
    l->room = room;
  }
  l->items[l->count++] = *attempt;
  return 0;
}

static void put_text(struct text *t, const char *s)
{
  if (s)
    json_put_string(t, s, strlen(s));
  else
    text_puts(t, "null");
}

void attempt_put_fields(struct text *t, const struct attempt *p)
{
  text_puts(t, "\"problem\": ");
  put_text(t, p->problem);
  text_printf(t, ", \"sample\": %lld, \"reward\": ", (long long)p->sample);
  json_put_f64(t, p->reward);
  text_printf(t, ", \"correct\": %s, \"readable\": %s, \"extracted\": ", p->correct ? "true" : "false",
              p->readable ? "true" : "false");
  put_text(t, p->extracted);
  text_printf(t, ", \"tokens\": %lld, \"finish\": ", (long long)p->tokens);
  put_text(t, p->finish);
}

/* A member of the line, or of its verdict (a run's rollouts). */
static const json_t *find(const json_t *line, const char *key)
{
  const json_t *v = json_object_get(line, key);
  return v ? v : json_object_get(json_object_get(line, "verdict"), key);
}

static int copy_string(struct arena *a, const json_t *v, const char **out, struct error *err)
{
  *out = NULL;
  if (!json_is_string(v)) return 0;
  *out = arena_strdup(a, json_string_value(v), "eval", err);
  return *out ? 0 : err->code;
}

static const char *finish_of(const json_t *line)
{
  const char *finish = json_string_value(json_object_get(line, "finish"));
  if (!finish) return NULL;
  return !strcmp(finish, "stop") ? "stop" : !strcmp(finish, "length") ? "length" : NULL;
}

/* Tokens as told, or counted from a rollout's ids. */
static int read_tokens(const json_t *line, int64_t *out, struct error *err)
{
  const json_t *ids = json_object_get(line, "ids");
  int64_t from;
  TRY(json_int_or(line, "from", 0, INT64_MAX, 0, &from, NULL, err));
  return json_int_or(line, "tokens", -1, INT64_MAX, json_is_array(ids) ? (int64_t)json_array_size(ids) - from : -1, out,
                     NULL, err);
}

static int read_attempt(struct arena *a, const json_t *line, struct attempt *out, struct error *err)
{
  const json_t *correct = find(line, "correct"), *readable = find(line, "readable");
  const char *problem;
  if (!json_is_object(line))
    FAIL(err, ERROR_INPUT, "found JSON that is no object; expected an attempt as assay eval --out writes it");
  TRY(json_need_string(line, "problem", &problem, NULL, err));
  TRY(copy_string(a, json_object_get(line, "problem"), &out->problem, err));
  if (!json_is_boolean(correct))
    FAIL_AT(err, ERROR_INPUT, NULL, 0, "correct",
            "found no \"correct\"; expected true or false, as assay eval --out writes it");
  out->correct = json_is_true(correct);
  TRY(copy_string(a, find(line, "extracted"), &out->extracted, err));
  out->readable = json_is_boolean(readable) ? json_is_true(readable) : out->extracted || out->correct;
  TRY(json_real_or(line, "reward", -1e300, 1e300, out->correct ? 1 : 0, &out->reward, NULL, err));
  TRY(json_int_or(line, json_object_get(line, "sample") ? "sample" : "rollout", 0, INT64_MAX, 0, &out->sample, NULL,
                  err));
  out->finish = finish_of(line);
  return read_tokens(line, &out->tokens, err);
}

int attempts_read(struct arena *a, const char *path, struct attempt_list *out, struct error *err)
{
  struct line_reader *reader;
  struct arena *scratch = arena_create("attempts", 0, err);
  char *line;
  size_t n;
  int number, rc = scratch ? 0 : err->code;
  if (!rc) rc = line_reader_open(scratch, path, &reader, err);
  struct arena_mark mark = scratch && !rc ? arena_mark(scratch) : (struct arena_mark){0};
  while (!rc && !(rc = line_reader_next(reader, &line, &n, &number, err)) && line) {
    json_t *object;
    struct attempt attempt;
    if (!n) continue;
    rc = json_parse(scratch, line, n, path, number - 1, JSON_READ_PLAIN, &object, err);
    if (!rc && (rc = read_attempt(a, object, &attempt, err))) error_place(err, path, number);
    if (!rc) rc = attempt_list_add(a, out, &attempt, err);
    arena_release(scratch, mark);
  }
  arena_destroy(scratch);
  if (!rc && !out->count)
    FAIL_AT(err, ERROR_INPUT, path, 0, NULL, "found no attempts in the file; expected one JSON object a line");
  return rc;
}
