/* What stands behind "is". */
#include "text/template_run.h"

#include "core/math.h"

#include <string.h>

struct test_call {
  struct jinja *r;
  const struct value *v;
  const struct arguments *args;
  const char *name;
};

static bool is_callable(const struct value *v)
{
  return (v->kind >= VALUE_FUNCTION && v->kind <= VALUE_JOINER) || v->kind == VALUE_UNDEFINED; /* as in Jinja */
}

static bool is_sequence(const struct value *v)
{
  return v->kind == VALUE_STRING || v->kind == VALUE_LIST || v->kind == VALUE_TUPLE || v->kind == VALUE_DICT ||
         v->kind == VALUE_RANGE || v->kind == VALUE_UNDEFINED;
}

/* Tests that look at the kind of a value. */
static int test_kind(struct test_call *c, bool *out)
{
  const struct value *v = c->v;
  const struct {
    const char *name;
    bool truth;
  } kinds[] = {{"defined", v->kind != VALUE_UNDEFINED},
               {"undefined", v->kind == VALUE_UNDEFINED},
               {"none", v->kind == VALUE_NONE},
               {"boolean", v->kind == VALUE_BOOL},
               {"true", v->kind == VALUE_BOOL && v->as.truth},
               {"false", v->kind == VALUE_BOOL && !v->as.truth},
               {"integer", v->kind == VALUE_INT},
               {"float", v->kind == VALUE_FLOAT},
               {"number", value_is_number(v)},
               {"string", v->kind == VALUE_STRING},
               {"mapping", v->kind == VALUE_DICT},
               {"sequence", is_sequence(v)},
               {"iterable", is_sequence(v) || v->kind == VALUE_VIEW || v->kind == VALUE_ITERATOR},
               {"callable", is_callable(v)},
               {"escaped", v->markup}};
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
    if (!strcmp(kinds[i].name, c->name)) *out = kinds[i].truth;
  return 0;
}

static int test_number(struct test_call *c, bool *out)
{
  struct value two = value_int(2), rest;
  const struct value *by = &two;
  if (!strcmp(c->name, "divisibleby") && !(by = jinja_argument(c->args, 0, "num")))
    return jinja_fail(c->r, "the test divisibleby lacks its number");
  TRY(jinja_eval_binary(c->r, "%", c->v, by, &rest));
  if (!value_is_number(&rest))
    return jinja_fail(c->r, "the test %s needs a number; found '%s'", c->name, value_type(c->v));
  *out = value_as_real(&rest) == (!strcmp(c->name, "odd") ? 1 : 0);
  return 0;
}

static int test_case(struct test_call *c, bool *out)
{
  struct value text;
  TRY(value_to_string(c->r, c->v, &text));
  *out = string_is_case(&text, c->name[0] == 'u');
  return 0;
}

static int test_compare(struct test_call *c, bool *out)
{
  static const char *const names[][2] = {{"eq", "=="},      {"==", "=="}, {"equalto", "=="}, {"ne", "!="},
                                         {"!=", "!="},      {"gt", ">"},  {">", ">"},        {"greaterthan", ">"},
                                         {"ge", ">="},      {">=", ">="}, {"lt", "<"},       {"<", "<"},
                                         {"lessthan", "<"}, {"le", "<="}, {"<=", "<="},      {"in", "in"}};
  const struct value *other = jinja_argument(c->args, 0, NULL);
  if (!other) return jinja_fail(c->r, "the test %s lacks what to compare with", c->name);
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (!strcmp(names[i][0], c->name)) return jinja_eval_compare(c->r, names[i][1], c->v, other, out);
  return 0;
}

static int test_same(struct test_call *c, bool *out)
{
  const struct value *other = jinja_argument(c->args, 0, "other");
  if (!other) return jinja_fail(c->r, "the test sameas lacks what to compare with");
  *out = false;
  if (c->v->kind != other->kind) return 0;
  bool whole = c->v->kind <= VALUE_STRING || c->v->kind == VALUE_SELF;
  *out = whole ? value_equal(c->r, c->v, other) : c->v->as.dict == other->as.dict;
  return c->r->rc;
}

static int test_known(struct test_call *c, bool *out)
{
  char name[64] = "";
  if (c->v->kind == VALUE_STRING && c->v->as.string.size < sizeof name)
    memcpy(name, c->v->as.string.bytes, c->v->as.string.size);
  *out = c->name[0] == 'f' ? jinja_filter_exists(name) : jinja_test_exists(name);
  return 0;
}

static const struct {
  const char *name;
  int (*run)(struct test_call *, bool *);
} tests[] = {
    {"defined", test_kind},     {"undefined", test_kind},     {"none", test_kind},       {"boolean", test_kind},
    {"true", test_kind},        {"false", test_kind},         {"integer", test_kind},    {"float", test_kind},
    {"number", test_kind},      {"string", test_kind},        {"mapping", test_kind},    {"sequence", test_kind},
    {"iterable", test_kind},    {"callable", test_kind},      {"escaped", test_kind},    {"odd", test_number},
    {"even", test_number},      {"divisibleby", test_number}, {"lower", test_case},      {"upper", test_case},
    {"eq", test_compare},       {"==", test_compare},         {"equalto", test_compare}, {"ne", test_compare},
    {"!=", test_compare},       {"gt", test_compare},         {">", test_compare},       {"greaterthan", test_compare},
    {"ge", test_compare},       {">=", test_compare},         {"lt", test_compare},      {"<", test_compare},
    {"lessthan", test_compare}, {"le", test_compare},         {"<=", test_compare},      {"in", test_compare},
    {"sameas", test_same},      {"filter", test_known},       {"test", test_known}};

bool jinja_test_exists(const char *name)
{
  for (size_t i = 0; i < sizeof tests / sizeof *tests; i++)
    if (!strcmp(tests[i].name, name)) return true;
  return false;
}

int jinja_call_test(struct jinja *r, const char *name, const struct value *v, const struct arguments *args, bool *out)
{
  struct test_call c = {r, v, args, name};
  *out = false;
  for (size_t i = 0; i < sizeof tests / sizeof *tests; i++)
    if (!strcmp(tests[i].name, name)) return tests[i].run(&c, out);
  return jinja_fail(r, "found the test \"%.60s\", which is unknown here", name);
}
