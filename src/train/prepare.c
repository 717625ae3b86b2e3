#include "train/prepare.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "core/file.h"
#include "core/log.h"
#include "train/recipe.h"

enum { SYNC_EVERY = 256 /* items */ };

struct job {
  const struct prepare_options *options;
  struct arena *arena, *item;
  struct recipe *recipe;
  struct composed *methods;
  struct source **sources; /* [recipe->data_count] */
  char identity[65];
  const char *part; /* OUT.part */
  struct prepare_result *result;
};

/* ---- what the job is --------------------------------------------------------------------------------------------- */

static int nobody_prepares(const struct job *j, struct error *err)
{
  struct text names = {0};
  for (size_t i = 0; i < method_count(); i++)
    if (method_has(method_at(i), STAGE_prepare))
      text_printf(&names, "%s%s", names.size ? ", " : "", method_at(i)->name);
  int rc = error_fail(err, ERROR_INPUT, j->recipe->file, 0, "methods",
                      "no method of this recipe prepares data; expected one that does (%s)",
                      names.bytes ? names.bytes : "this build has none");
  text_free(&names);
  return rc;
}

static int open_recipe(struct job *j, struct error *err)
{
  const struct prepare_options *o = j->options;
  TRY(recipe_read(j->arena, o->recipe, RECIPE_TRAIN, o->overrides, o->override_count, &j->recipe, err));
  if (o->seed >= 0) j->recipe->top.seed = o->seed;
  const struct compose_options c = {.seed = (uint64_t)j->recipe->top.seed, .epochs = 1, .minibatches = 1};
  TRY(compose_open(j->arena, j->recipe->methods, j->recipe->method_count, &c, &j->methods, err));
  return compose_contributors(j->methods, STAGE_prepare, NULL, 0) ? 0 : nobody_prepares(j, err);
}

static int open_sources(struct job *j, struct error *err)
{
  const struct recipe *r = j->recipe;
  j->sources = ARENA_NEW(j->arena, struct source *, r->data_count, "data", err);
  if (!j->sources) return err->code;
  for (size_t i = 0; i < r->data_count; i++) {
    struct source_options o = r->data[i].source;
    TRY(source_open(j->arena, &o, (int)i, (uint64_t)r->top.seed, &j->sources[i], err));
    if (!source_count(j->sources[i]))
      FAIL_AT(err, ERROR_INPUT, r->file, o.line, "data",
              "%s has no end; expected files, or tasks with a number of problems, since all of them are prepared",
              source_name(j->sources[i]));
    j->result->items += (int64_t)source_count(j->sources[i]);
  }
  return 0;
}

static int make_identity(struct job *j, struct error *err)
{
  struct text t = {0};
  struct sha256 s;
  uint8_t digest[32];
  sha256_start(&s);
  int rc = recipe_write(j->recipe, j->methods, &t, err);
  if (!rc) rc = text_finish(&t, err);
  if (!rc) sha256_add(&s, t.bytes, t.size);
  text_free(&t);
  for (size_t i = 0; !rc && i < j->recipe->data_count; i++) {
    struct file_map map = {0};
    if (!j->recipe->data[i].source.path) continue;
    rc = file_map(j->arena, j->recipe->data[i].source.path, &map, err);
    if (!rc && map.size) sha256_add(&s, map.bytes, map.size);
  }
  sha256_finish(&s, digest);
  sha256_hex(digest, j->identity);
  return rc;
}

/* ---- what is done ------------------------------------------------------------------------------------------------ */

static int count_reason(struct job *j, const char *why, struct error *err)
{
  struct prepare_result *r = j->result;
  int i = 0;
  while (i < r->reason_count && strcmp(r->reasons[i].why, why) != 0) i++;
  if (i == PREPARE_REASONS) return 0;
  if (i == r->reason_count) {
    r->reasons[i].why = arena_strdup(j->arena, why, "prepare", err);
    if (!r->reasons[i].why) return err->code;
    r->reason_count++;
  }
  r->reasons[i].count++;
  return 0;
}

static int count_item(struct job *j, const json_t *items, const char *why, struct error *err)
{
  size_t n = json_array_size(items);
  j->result->written += (int64_t)n;
  j->result->left += !n;
  return n ? 0 : count_reason(j, why ? why : "no reason given", err);
}

static int broken(const struct job *j, int64_t line, struct error *err)
{
  FAIL_AT(err, ERROR_INPUT, j->part, (int)line, NULL,
          "found a line that this job did not write; expected item %" PRId64 "; remove the file to begin anew",
          line - 2);
}

/* One line of OUT.part; the first says what it was made from. */
static int take_line(struct job *j, const char *line, size_t size, int64_t number, json_t **object, struct error *err)
{
  TRY(json_parse(j->item, line, size, j->part, (int)number - 1, JSON_READ_UNIQUE, object, err));
  if (number > 1) {
    const json_t *item = json_object_get(*object, "item");
    bool good = json_is_integer(item) && json_integer_value(item) == number - 2 && number - 2 < j->result->items &&
                json_is_array(json_object_get(*object, "items"));
    return good ? 0 : broken(j, number, err);
  }
  const char *identity = json_string_value(json_object_get(*object, "identity"));
  if (identity && !strcmp(identity, j->identity)) return 0;
  FAIL_AT(err, ERROR_INPUT, j->part, 1, "identity",
          "holds items of another recipe or of other data; expected those of %s as it is now; remove the file to begin "
          "anew, or name another --out",
          j->recipe->file);
}

typedef int line_fn(struct job *j, const json_t *object, void *arg, struct error *err);

/* Whole lines of OUT.part from the second on; *whole: bytes that they and the first take. */
static int each_line(struct job *j, line_fn *f, void *arg, size_t *whole, struct error *err)
{
  struct file_map map = {0};
  int64_t number = 0;
  *whole = 0;
  TRY(file_map(j->arena, j->part, &map, err));
  while (*whole < map.size) {
    const char *line = (const char *)map.bytes + *whole, *end = memchr(line, '\n', map.size - *whole);
    json_t *object;
    if (!end) break; /* cut short by a kill */
    int rc = take_line(j, line, (size_t)(end - line), ++number, &object, err);
    if (!rc && number > 1) rc = f(j, object, arg, err);
    arena_reset(j->item);
    TRY(rc);
    *whole += (size_t)(end - line) + 1;
  }
  return 0;
}

static int take_done(struct job *j, const json_t *object, void *arg, struct error *err)
{
  (void)arg;
  j->result->resumed++;
  return count_item(j, json_object_get(object, "items"), json_string_value(json_object_get(object, "why")), err);
}

/* Begins OUT.part, or takes up what is there. */
static int open_part(struct job *j, struct error *err)
{
  size_t whole = 0;
  if (file_exists(j->part)) {
    TRY(each_line(j, take_done, NULL, &whole, err));
    TRY(file_truncate(j->part, whole, err));
    if (j->result->resumed)
      log_info("%s: %" PRId64 " of %" PRId64 " items are done", j->part, j->result->resumed, j->result->items);
  }
  if (whole) return 0;
  const char *first = arena_printf(j->arena, "prepare", err, "{\"prepare\": 1, \"identity\": \"%s\"}\n", j->identity);
  return first ? file_append(j->part, first, strlen(first), true, err) : err->code;
}

/* ---- doing it ---------------------------------------------------------------------------------------------------- */

static int prepare_item(struct job *j, const struct source *s, uint64_t index, int64_t number, struct error *err)
{
  struct problem p;
  struct text t = {0};
  json_t *items;
  const char *why;
  TRY(source_problem(s, j->item, index, &p, err));
  TRY(compose_prepare(j->methods, &p, &items, &why, err));
  text_printf(&t, "{\"item\": %" PRId64 ", \"items\": ", number);
  json_put_value(&t, items);
  text_puts(&t, ", \"why\": ");
  if (why)
    json_put_string(&t, why, strlen(why));
  else
    text_puts(&t, "null");
  text_puts(&t, "}\n");
  int rc = text_finish(&t, err);
  if (!rc) rc = file_append(j->part, t.bytes, t.size, (number + 1) % SYNC_EVERY == 0, err);
  if (!rc) rc = count_item(j, items, why, err);
  json_decref(items);
  text_free(&t);
  return rc;
}

static int prepare_items(struct job *j, struct error *err)
{
  int64_t number = 0;
  for (size_t i = 0; i < j->recipe->data_count; i++) {
    for (uint64_t k = 0; k < source_count(j->sources[i]); k++, number++) {
      if (number < j->result->resumed) continue;
      if (j->options->stop && j->options->stop())
        FAIL(err, ERROR_STOPPED, "stopped by a signal after %" PRId64 " of %" PRId64 " items; the same call goes on",
             number, j->result->items);
      int rc = prepare_item(j, j->sources[i], k, number, err);
      arena_reset(j->item);
      TRY(rc);
      log_progress("prepare", (double)number + 1, (double)j->result->items, "items");
    }
  }
  return 0;
}

static int write_items(struct job *j, const json_t *object, void *arg, struct error *err)
{
  struct text t = {0};
  json_t *item;
  size_t i;
  (void)j;
  json_array_foreach(json_object_get(object, "items"), i, item)
  {
    json_put_value(&t, item);
    text_puts(&t, "\n");
  }
  int rc = text_finish(&t, err);
  if (!rc && t.size) rc = file_writer_write(arg, t.bytes, t.size, err);
  text_free(&t);
  return rc;
}

static int finish(struct job *j, struct error *err)
{
  struct file_writer *w;
  size_t whole;
  if (!j->result->written)
    FAIL_AT(err, ERROR_INPUT, j->recipe->file, 0, "data",
            "none of %" PRId64 " items is left%s%s; expected one at least; look at what %s says of them",
            j->result->items, j->result->reason_count ? ", first for: " : "",
            j->result->reason_count ? j->result->reasons[0].why : "", j->part);
  TRY(file_writer_open(j->arena, j->options->out, &w, err));
  TRY(each_line(j, write_items, w, &whole, err));
  TRY(file_writer_commit(w, err));
  if (unlink(j->part)) FAIL_AT(err, ERROR_RESOURCE, j->part, 0, NULL, "cannot be removed; remove it by hand");
  return 0;
}

int prepare_run(struct arena *a, const struct prepare_options *o, struct prepare_result *out, struct error *err)
{
  struct job j = {.options = o, .arena = a, .result = out};
  *out = (struct prepare_result){0};
  TRY(open_recipe(&j, err));
  TRY(open_sources(&j, err));
  TRY(make_identity(&j, err));
  j.part = arena_printf(a, "prepare", err, "%s.part", o->out);
  j.item = j.part ? arena_create("item", 0, err) : NULL;
  if (!j.item) return err->code;
  int rc = open_part(&j, err);
  if (!rc) rc = prepare_items(&j, err);
  log_progress_end();
  if (!rc) rc = finish(&j, err);
  arena_destroy(j.item);
  return rc;
}
