#include "data/task.h"
#include <stdio.h>
#include <string.h>

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

const struct task *task_find(const char *name, struct error *err)
{
  const char *names[sizeof tasks / sizeof *tasks];
  for (size_t i = 0; i < task_count(); i++) {
    if (!strcmp(tasks[i]->name, name)) return tasks[i];
    names[i] = tasks[i]->name;
  }
  (void)!names_unknown("task", name, names, task_count(), NULL, 0, err);
  return NULL;
}

int task_open(struct arena *a, const struct task *t, const struct setting_given *settings, size_t count, bool held_out,
              uint64_t seed, struct task_config **out, struct error *err)
{
  char owner[64];
  struct task_config *c = ARENA_NEW(a, struct task_config, 1, "task", err);
  if (!c) return err->code;
  c->task = t;
  c->held_out = held_out;
  c->seed = seed;
  snprintf(owner, sizeof owner, "task %s", t->name);
  TRY(settings_read(a, owner, t->options, t->option_count, settings, count, &c->values, err));
  TRY(t->open(a, c, err));
  *out = c;
  return 0;
}

const struct setting_value *task_value(const struct task_config *c, const char *name)
{
  return settings_value(c->task->options, c->task->option_count, c->values, name);
}
