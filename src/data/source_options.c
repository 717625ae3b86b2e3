#include <string.h>
#include "data/source.h"

/* The keys of an entry. A task's own keys stand beside them and come last. */
static const char *const keys[] = {"path",     "task",   "weight", "verifier", "split",
                                   "held_out", "fields", "system", "suffix"};
enum { KEY_COUNT = sizeof keys / sizeof *keys };

static int need_text(const struct yaml_node *n, const char *key, const char **out, struct error *err)
{
  if (n->kind != YAML_SCALAR || yaml_is_null(n))
    FAIL_AT(err, ERROR_INPUT, n->file, n->line, key, "found no text for %s; expected %s: TEXT", key, key);
  *out = n->text;
  return 0;
}

static int set_split(const char *text, const char *file, int line, enum source_split *out, struct error *err)
{
  if (!strcmp(text, "all"))
    *out = SPLIT_ALL;
  else if (!strcmp(text, "train"))
    *out = SPLIT_TRAIN;
  else if (!strcmp(text, "held_out") || !strcmp(text, "held-out"))
    *out = SPLIT_HELD_OUT;
  else
    FAIL_AT(err, ERROR_INPUT, file, line, "split", "found split: %s; expected train, held_out or all", text);
  return 0;
}

static int set_fields(struct arena *a, const struct yaml_node *n, struct source_options *out, struct error *err)
{
  if (n->kind != YAML_MAP || !n->count)
    FAIL_AT(err, ERROR_INPUT, n->file, n->line, "fields",
            "found fields that are no map; expected fields: {question: Body, answer: Answer}");
  struct source_field *f = ARENA_NEW(a, struct source_field, n->count, "problems", err);
  if (!f) return err->code;
  for (size_t i = 0; i < n->count; i++) {
    f[i].to = n->keys[i];
    TRY(need_text(n->items[i], n->keys[i], &f[i].from, err));
  }
  out->fields = f;
  out->field_count = n->count;
  return 0;
}

static int set_real(const struct yaml_node *n, const char *key, double low, double high, double *out, struct error *err)
{
  if (n->kind != YAML_SCALAR || !yaml_as_real(n, out) || !(*out > low && *out <= high))
    FAIL_AT(err, ERROR_INPUT, n->file, n->line, key, "found %s: %s; expected a number above %g, at most %g", key,
            n->kind == YAML_SCALAR ? n->text : "a list or map", low, high);
  return 0;
}

/* `verifier: KIND` or `verifier: {KIND: {setting: value}}`. */
static int set_verifier(struct arena *a, const struct yaml_node *n, struct source_options *out, struct error *err)
{
  if (n->kind == YAML_SCALAR) return need_text(n, "verifier", &out->verifier, err);
  if (n->kind != YAML_MAP || n->count != 1 || n->items[0]->kind != YAML_MAP)
    FAIL_AT(err, ERROR_INPUT, n->file, n->line, "verifier",
            "found a verifier that is neither a kind nor one kind with its settings; expected verifier: math or "
            "verifier: {math: {ordered: true}}");
  const struct yaml_node *map = n->items[0];
  struct setting_given *s = ARENA_NEW(a, struct setting_given, map->count, "problems", err);
  if (!s) return err->code;
  for (size_t i = 0; i < map->count; i++) {
    s[i] = (struct setting_given){.key = map->keys[i], .file = map->items[i]->file, .line = map->key_lines[i]};
    TRY(need_text(map->items[i], map->keys[i], &s[i].text, err));
  }
  out->verifier = n->keys[0];
  out->verifier_settings = s;
  out->verifier_setting_count = map->count;
  return 0;
}

static int set_key(struct arena *a, const char *key, const struct yaml_node *n, struct source_options *out,
                   struct error *err)
{
  const char *text;
  if (!strcmp(key, "fields")) return set_fields(a, n, out, err);
  if (!strcmp(key, "weight")) return set_real(n, key, 0, 1e9, &out->weight, err);
  if (!strcmp(key, "held_out")) return set_real(n, key, 0, 1, &out->held_out, err);
  if (!strcmp(key, "verifier")) return set_verifier(a, n, out, err);
  TRY(need_text(n, key, &text, err));
  if (!strcmp(key, "split")) return set_split(text, n->file, n->line, &out->split, err);
  if (!strcmp(key, "path")) out->path = text;
  if (!strcmp(key, "task")) out->task = text;
  if (!strcmp(key, "system")) out->system = text;
  if (!strcmp(key, "suffix")) out->suffix = text;
  return 0;
}

static bool is_key(const char *key)
{
  for (size_t i = 0; i < KEY_COUNT; i++)
    if (!strcmp(keys[i], key)) return true;
  return false;
}

static int unknown_key(const struct yaml_node *entry, size_t i, struct error *err)
{
  const char *nearest = name_nearest(entry->keys[i], keys, KEY_COUNT);
  FAIL_AT(err, ERROR_INPUT, entry->file, entry->key_lines[i], entry->keys[i],
          "found key \"%s\"; expected path, task, weight, verifier, split, held_out, fields, system or suffix%s%s%s",
          entry->keys[i], nearest ? "; did you mean \"" : "", nearest ? nearest : "", nearest ? "\"?" : "");
}

/* Keys that are the task's own: checked by task_open. held_out is the task's too. */
static int take_settings(struct arena *a, const struct yaml_node *entry, struct source_options *out, struct error *err)
{
  struct setting_given *s = ARENA_NEW(a, struct setting_given, entry->count, "problems", err);
  if (!s) return err->code;
  out->settings = s;
  for (size_t i = 0; i < entry->count; i++) {
    const char *key = entry->keys[i];
    if (is_key(key) && strcmp(key, "held_out") != 0) continue;
    s[out->setting_count] =
        (struct setting_given){.key = key, .file = entry->items[i]->file, .line = entry->key_lines[i]};
    TRY(need_text(entry->items[i], key, &s[out->setting_count++].text, err));
  }
  return 0;
}

static void set_defaults(struct source_options *out, const char *file, int line)
{
  *out = (struct source_options){.weight = 1, .held_out = 0.1, .split = SPLIT_ALL, .file = file, .line = line};
}

static int finish(struct source_options *out, enum source_split split, bool split_given, struct error *err)
{
  if (!out->path == !out->task)
    FAIL_AT(err, ERROR_INPUT, out->file, out->line, "data", "found an entry with %s; expected path: FILE or task: NAME",
            out->path ? "both path and task" : "neither path nor task");
  if (out->task && !split_given) out->split = split == SPLIT_HELD_OUT ? SPLIT_HELD_OUT : SPLIT_TRAIN;
  if (out->task && out->split == SPLIT_ALL)
    FAIL_AT(err, ERROR_INPUT, out->file, out->line, "split",
            "found split: all with a task; expected train or held_out");
  return 0;
}

int source_options_from_yaml(struct arena *a, const struct yaml_node *entry, enum source_split split,
                             struct source_options *out, struct error *err)
{
  if (entry->kind == YAML_SCALAR && !yaml_is_null(entry)) {
    int rc = source_options_from_text(a, entry->text, split, out, err);
    out->file = entry->file;
    out->line = entry->line;
    return rc ? error_place(err, entry->file, entry->line) : 0;
  }
  if (entry->kind != YAML_MAP)
    FAIL_AT(err, ERROR_INPUT, entry->file, entry->line, "data",
            "found an entry that is no map; expected {path: FILE, verifier: KIND} or {task: NAME}");
  set_defaults(out, entry->file, entry->line);
  const struct yaml_node *task = yaml_get(entry, "task");
  for (size_t i = 0; i < entry->count; i++) {
    if (!is_key(entry->keys[i])) {
      if (!task) return unknown_key(entry, i, err);
      continue;
    }
    TRY(set_key(a, entry->keys[i], entry->items[i], out, err));
  }
  if (task) TRY(take_settings(a, entry, out, err));
  return finish(out, split, yaml_get(entry, "split") != NULL, err);
}

/* "NAME,key=value,key=value" */
static int task_from_text(struct arena *a, const char *text, struct source_options *out, bool *split_given,
                          struct error *err)
{
  size_t commas = 0;
  for (const char *at = text; *at; at++) commas += *at == ',';
  struct setting_given *s = ARENA_NEW(a, struct setting_given, commas + 1, "problems", err);
  char *copy = s ? arena_strdup(a, text, "problems", err) : NULL;
  if (!copy) return err->code;
  out->task = copy;
  out->settings = s;
  for (char *at = strchr(copy, ','); at;) {
    *at++ = 0;
    char *next = strchr(at, ','), *equals = strchr(at, '=');
    if (!equals || (next && equals > next))
      FAIL_AT(err, ERROR_INPUT, NULL, 0, "data", "found \"%s\" behind a task's name; expected task:NAME,key=value,...",
              at);
    *equals = 0;
    if (next) *next = 0;
    *split_given = *split_given || !strcmp(at, "split");
    if (!strcmp(at, "split"))
      TRY(set_split(equals + 1, NULL, 0, &out->split, err));
    else
      s[out->setting_count++] = (struct setting_given){.key = at, .text = equals + 1};
    if (next) *next = ',';
    at = next;
  }
  return 0;
}

int source_options_from_text(struct arena *a, const char *text, enum source_split split, struct source_options *out,
                             struct error *err)
{
  bool split_given = false;
  set_defaults(out, NULL, 0);
  if (!strncmp(text, "task:", 5))
    TRY(task_from_text(a, text + 5, out, &split_given, err));
  else if (!(out->path = arena_strdup(a, text, "problems", err)))
    return err->code;
  return finish(out, split, split_given, err);
}
