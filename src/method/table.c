/* The registry: one entry a file of this folder (generated/method_table.h), in the order of names. */
#include <string.h>

#include "method/method.h"

#define X(name) extern const struct method method_##name;
#include "method_table.h"
#undef X

static const struct method *const TABLE[] = {
#define X(name) &method_##name,
#include "method_table.h"
#undef X
};

size_t method_count(void)
{
  return sizeof TABLE / sizeof TABLE[0];
}

const struct method *method_at(size_t i)
{
  return TABLE[i];
}

const struct method *method_find(const char *name)
{
  for (size_t i = 0; i < method_count(); i++) {
    if (!strcmp(TABLE[i]->name, name)) return TABLE[i];
  }
  return NULL;
}

bool method_has(const struct method *m, enum method_stage stage)
{
  switch (stage) {
#define X(name, rule, run, what) \
  case STAGE_##name:             \
    return m->name != NULL;
    METHOD_STAGES(X)
#undef X
    case STAGE_COUNT:
      break;
  }
  return false;
}

static const struct {
  const char *name;
  enum method_rule rule;
  bool run;
  const char *what;
} STAGES[] = {
#define X(name, rule, run, what) {#name, RULE_##rule, run, what},
    METHOD_STAGES(X)
#undef X
};

const char *method_stage_name(enum method_stage stage)
{
  return STAGES[stage].name;
}

enum method_rule method_stage_rule(enum method_stage stage)
{
  return STAGES[stage].rule;
}

bool method_stage_run(enum method_stage stage)
{
  return STAGES[stage].run;
}

const char *method_stage_what(enum method_stage stage)
{
  return STAGES[stage].what;
}

const char *method_rule_name(enum method_rule rule)
{
  static const char *const NAMES[] = {"chain", "add", "owner", "product", "sum", "all"};
  return NAMES[rule];
}

static const struct method_need NEEDS[] = {
#define X(NAME, bit, run, word, what) {NEED_##NAME, word, what, run},
    METHOD_NEEDS(X)
#undef X
};

size_t method_need_count(void)
{
  return sizeof NEEDS / sizeof NEEDS[0];
}

const struct method_need *method_need_at(size_t i)
{
  return &NEEDS[i];
}
