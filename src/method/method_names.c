/* Names, rules and words of stages and needs: METHOD_STAGES and METHOD_NEEDS as tables. */
#include "method/method.h"

bool method_has(const struct method *m, enum method_stage stage)
{
  switch (stage) {
#define X(name, rule, what) \
  case STAGE_##name:        \
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
  const char *what;
} STAGES[] = {
#define X(name, rule, what) {#name, RULE_##rule, what},
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
