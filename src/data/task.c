#include "data/task.h"
#include <string.h>
#include "core/yaml.h"

#define X(name) extern const struct task task_##name;
#include "task_table.h"
#undef X

static const struct task *const tasks[] = {
#define X(name) &task_##name,
#include "task_table.h"
#undef X
};

size_t task_count(void)
{
  return sizeof tasks / sizeof *tasks;
}

const struct task *task_at(size_t i)
{
  ASSAY_BUG_IF(i >= task_count());
  return tasks[i];
}

/* "a, b, c" of names for a message. */
static const char *list_names(const char *const *names, size_t count, char *buf, size_t size)
{
  size_t at = 0;
  buf[0] = 0;
  for (size_t i = 0; i < count && at < size; i++) {
    int n = snprintf(buf + at, size - at, "%s%s", i ? ", " : "", names[i]);
    at += n > 0 ? (size_t)n : 0;
  }
  return buf;
}

const struct task *task_find(const char *name, struct error *err)
{
  const char *names[sizeof tasks / sizeof *tasks];
  char list[512];
  for (size_t i = 0; i < task_count(); i++) {
    if (!strcmp(tasks[i]->name, name)) return tasks[i];
    names[i] = tasks[i]->name;
  }
  const char *nearest = name_nearest(name, names, task_count());
  error_fail(err, ERROR_INPUT, NULL, 0, name, "found task \"%s\"; expected one of: %s%s%s%s", name,
             list_names(names, task_count(), list, sizeof list), nearest ? "; did you mean \"" : "",
             nearest ? nearest : "", nearest ? "\"?" : "");
  return NULL;
}

static bool is_choice(const char *choices, const char *text)
{
  size_t n = strlen(text);
  for (const char *at = choices; *at;) {
    size_t length = strcspn(at, " ");
    if (length == n && !memcmp(at, text, n)) return true;
    at += length + (at[length] == ' ');
  }
  return false;
}

static int set_value(const struct task *t, const struct task_option *o, const struct task_setting *s,
                     struct task_value *v, struct error *err)
{
  struct yaml_node node = {.kind = YAML_SCALAR, .text = s->text};
  double real = 0;
  bool flag = false, good = true;
  v->set = true;
  v->text = s->text;
  switch (o->type) {
    case TASK_INT:
      good = yaml_as_int(&node, &v->integer);
      break;
    case TASK_REAL:
      good = yaml_as_real(&node, &v->real);
      break;
    case TASK_BOOL:
      good = yaml_as_bool(&node, &flag);
      break;
    case TASK_TEXT:
      good = !o->choices || is_choice(o->choices, s->text);
      break;
  }
  if (o->type == TASK_BOOL) v->integer = flag;
  if (o->type == TASK_TEXT && !good)
    FAIL_AT(err, ERROR_INPUT, s->file, s->line, s->key, "found %s: \"%s\"; expected one of: %s", s->key, s->text,
            o->choices);
  if (!good)
    FAIL_AT(err, ERROR_INPUT, s->file, s->line, s->key, "found %s: \"%s\"; expected %s; see assay tasks %s", s->key,
            s->text,
            o->type == TASK_INT    ? "a whole number"
            : o->type == TASK_REAL ? "a number"
                                   : "true or false",
            t->name);
  if (o->type == TASK_INT) real = (double)v->integer;
  if (o->type == TASK_REAL) real = v->real;
  if ((o->type == TASK_INT || o->type == TASK_REAL) && !(real >= o->low && real <= o->high))
    FAIL_AT(err, ERROR_INPUT, s->file, s->line, s->key, "found %s: %s; expected %.15g to %.15g", s->key, s->text,
            o->low, o->high);
  return 0;
}

static int apply_setting(const struct task *t, const struct task_setting *s, struct task_value *values,
                         struct error *err)
{
  const char *names[32];
  char list[512];
  size_t count = 0;
  for (size_t i = 0; i < t->option_count; i++) {
    if (!strcmp(t->options[i].name, s->key)) return set_value(t, &t->options[i], s, &values[i], err);
    if (count < 32) names[count++] = t->options[i].name;
  }
  const char *nearest = name_nearest(s->key, names, count);
  FAIL_AT(err, ERROR_INPUT, s->file, s->line, s->key, "found key \"%s\"; expected a key of task %s: %s%s%s%s", s->key,
          t->name, list_names(names, count, list, sizeof list), nearest ? "; did you mean \"" : "",
          nearest ? nearest : "", nearest ? "\"?" : "");
}

int task_open(struct arena *a, const struct task *t, const struct task_setting *settings, size_t count, bool held_out,
              uint64_t seed, struct task_config **out, struct error *err)
{
  struct task_config *c = ARENA_NEW(a, struct task_config, 1, "task", err);
  if (!c) return err->code;
  c->values = ARENA_NEW(a, struct task_value, t->option_count, "task", err);
  if (!c->values) return err->code;
  c->task = t;
  c->held_out = held_out;
  c->seed = seed;
  for (size_t i = 0; i < t->option_count; i++) {
    struct task_setting s = {t->options[i].name, t->options[i].fallback, NULL, 0};
    if (s.text) TRY(set_value(t, &t->options[i], &s, &c->values[i], err));
  }
  for (size_t i = 0; i < count; i++) TRY(apply_setting(t, &settings[i], c->values, err));
  TRY(t->open(a, c, err));
  *out = c;
  return 0;
}

const struct task_value *task_value(const struct task_config *c, const char *name)
{
  for (size_t i = 0; i < c->task->option_count; i++)
    if (!strcmp(c->task->options[i].name, name)) return &c->values[i];
  error_bug(__FILE__, __LINE__, name);
}
