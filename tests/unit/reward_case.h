/* One response judged by one kind with settings, for tests of verifiers. */
#ifndef ASSAY_TESTS_UNIT_REWARD_CASE_H
#define ASSAY_TESTS_UNIT_REWARD_CASE_H

#include "check.h"
#include "core/log.h"
#include "data/source.h"
#include "reward/verify_queue.h"

static struct arena *arena;
static struct error err;

static CHECK_UNUSED int case_setup(void **state)
{
  (void)state;
  error_clear(&err);
  arena = arena_create("test", 0, &err);
  return arena ? 0 : -1;
}

static CHECK_UNUSED int case_teardown(void **state)
{
  (void)state;
  arena_destroy(arena);
  return 0;
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, case_setup, case_teardown)

/* settings: "key=value;key=value" or "". */
static CHECK_UNUSED int case_open(const char *kind, const char *settings, double timeout, struct verifier_config **out)
{
  struct setting_given given[16];
  size_t count = 0;
  char *copy = arena_strdup(arena, settings, "test", &err);
  for (char *at = copy; *at;) {
    char *end = strchr(at, ';'), *equals = strchr(at, '=');
    CHECK(equals != NULL && count < 16);
    *equals = 0;
    if (end) *end = 0;
    given[count++] = (struct setting_given){.key = at, .text = equals + 1};
    at = end ? end + 1 : equals + 1 + strlen(equals + 1);
  }
  const struct verifier *v = verifier_find(kind, &err);
  CHECK(v != NULL);
  return verifier_open(arena, v, given, count, timeout, out, &err);
}

/* line: the problem's fields as JSON; its `answer` is the problem's. */
static CHECK_UNUSED struct problem case_problem(const char *line)
{
  json_t *fields;
  struct problem p = {.id = "p", .source = "f.jsonl", .line = 3};
  CHECK_OK(json_parse(arena, line, strlen(line), "test", 0, 0, &fields, &err), &err);
  p.fields = fields;
  CHECK_OK(problem_value_text(arena, json_object_get(fields, "answer"), &p.answer, &err), &err);
  return p;
}

static CHECK_UNUSED int case_judge_n(const char *kind, const char *settings, const char *line, const char *response,
                                     size_t n, struct verdict *v)
{
  struct verifier_config *c;
  struct problem p = case_problem(line);
  TRY(case_open(kind, settings, 5, &c));
  TRY(verifier_check(arena, c, &p, &err));
  return verify_now(arena, c, &p, response, n, v, &err);
}

static CHECK_UNUSED int case_judge(const char *kind, const char *settings, const char *line, const char *response,
                                   struct verdict *v)
{
  return case_judge_n(kind, settings, line, response, strlen(response), v);
}

/* A row of a table; extracted NULL: nothing was read; "*": whatever. */
struct verdict_case {
  const char *settings, *line, *response;
  double reward;
  const char *extracted;
};

static CHECK_UNUSED void case_check(const char *kind, const struct verdict_case *rows, size_t count)
{
  for (size_t i = 0; i < count; i++) {
    struct verdict v;
    error_clear(&err);
    int rc = case_judge(kind, rows[i].settings, rows[i].line, rows[i].response, &v);
    if (rc) fail_msg("%s row %zu \"%s\": %s", kind, i, rows[i].response, err.message);
    double off = v.reward - rows[i].reward;
    bool named = rows[i].extracted && !strcmp(rows[i].extracted, "*");
    bool same =
        named || (!v.extracted == !rows[i].extracted && (!v.extracted || !strcmp(v.extracted, rows[i].extracted)));
    if (!(off < 1e-9 && off > -1e-9) || !same || v.status != VERDICT_OK || !*v.reason)
      fail_msg("%s row %zu \"%s\" (%s, %s): reward %g, extracted %s, %s", kind, i, rows[i].response, rows[i].settings,
               rows[i].line, v.reward, v.extracted ? v.extracted : "nothing", v.reason);
    if (v.correct != (v.reward >= 1)) fail_msg("%s row %zu: correct does not follow the reward", kind, i);
  }
}

#define CASE_CHECK(kind, rows) case_check(kind, rows, sizeof(rows) / sizeof *(rows))

/* The error of a problem or of settings. */
static CHECK_UNUSED void case_refused(const char *kind, const char *settings, const char *line, const char *words)
{
  struct verdict v;
  error_clear(&err);
  CHECK_ERROR(case_judge(kind, settings, line, "x", &v), &err, ERROR_INPUT, words);
}

#endif
