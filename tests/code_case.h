/* Shared by the tests of `code`: a verifier with settings, verdicts for problems written as JSON, and what to do on a
 * machine whose kernel allows no sandbox. */
#ifndef ASSAY_TESTS_CODE_CASE_H
#define ASSAY_TESTS_CODE_CASE_H

#include "check.h"
#include "reward/verify_queue.h"

static struct arena *arena;
static struct error err;

/* NULL: there is no sandbox here, and a line says so. */
static CHECK_UNUSED struct verifier_config *open_code(const char *const *settings, double timeout)
{
  struct setting_given given[16];
  struct verifier_config *c;
  size_t count = 0;
  if (check_emulated()) {
    print_message("skipped: the filter names system calls of the emulated processor, and this kernel has another's\n");
    return NULL;
  }
  for (; settings && settings[2 * count]; count++)
    given[count] = (struct setting_given){.key = settings[2 * count], .text = settings[2 * count + 1]};
  int rc = verifier_open(arena, verifier_find("code", &err), given, count, timeout, &c, &err);
  if (rc == ERROR_RESOURCE) {
    print_message("skipped: %s\n", err.message);
    error_clear(&err);
    return NULL;
  }
  CHECK_OK(rc, &err);
  return c;
}

static CHECK_UNUSED struct problem make_problem(const char *json)
{
  json_t *fields;
  CHECK_OK(json_parse(arena, json, strlen(json), "test", 0, 0, &fields, &err), &err);
  return (struct problem){.id = "p", .source = "f.jsonl", .line = 3, .fields = fields};
}

static CHECK_UNUSED int judge_problem(const struct verifier_config *c, const struct problem *p, const char *response,
                                      struct verdict *v)
{
  return verify_now(arena, c, p, response, strlen(response), v, &err);
}

#endif
