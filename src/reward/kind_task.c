/* A procedural task judges its own problems: every correct answer counts, by the task's own checker (assay tasks NAME
 * says what right looks like). */
#include "data/task.h"
#include "reward/verifier.h"

static int judge(struct arena *a, const struct verifier_config *c, const struct problem *p, const char *response,
                 size_t n, struct verdict *out, struct error *err)
{
  (void)c;
  const json_t *name = json_object_get(p->fields, "task"), *meta = json_object_get(p->fields, "meta");
  struct task_verdict v = {0};
  *out = (struct verdict){0};
  if (!json_is_string(name) || !json_is_object(meta))
    FAIL_AT(err, ERROR_INPUT, p->source, p->line, "task",
            "found no task and meta; expected both, as assay tasks NAME writes them, for the verifier \"task\"");
  const struct task *t = task_find(json_string_value(name), err);
  int rc = t ? t->check(a, meta, p->answer, response, n, &v, err) : err->code;
  if (rc) return error_place(err, p->source, p->line);
  out->reward = v.reward;
  out->correct = v.correct;
  out->readable = v.readable;
  out->extracted = v.extracted;
  out->reason = v.reason;
  return 0;
}

const struct verifier verifier_task = {
    .name = "task",
    .help = "the checker of the procedural task that made the problem",
    .fields = "task, meta",
    .channels = "",
    .judge = judge,
};
