/* The stage that comes before a run: items of data in, items out. Called by train/prepare.c, item by item. */
#include "data/source.h"
#include "method/method_set.h"

/* A method's hook on one item; what it leaves is added to `to`. */
static int prepare_item(struct member *m, const struct problem *p, json_t *item, json_t *to, const char **why,
                        struct error *err)
{
  struct preparation out = {.problem = p, .items = json_pack("[O]", item)};
  if (!out.items) FAIL(err, ERROR_RESOURCE, "no memory for prepared items");
  struct method_call call = m->call;
  int rc = call.method->prepare(&call, &out, err);
  if (rc) error_context(err, "%s, stage 'prepare', problem %s", call.method->name, p->id);
  if (!rc && json_array_extend(to, out.items)) rc = error_fail(err, ERROR_RESOURCE, NULL, 0, NULL, "no memory");
  if (!*why) *why = out.why;
  json_decref(out.items);
  return rc;
}

static int prepare_all(struct member *m, const struct problem *p, json_t *from, json_t *to, const char **why,
                       struct error *err)
{
  json_t *item;
  size_t i;
  json_array_foreach(from, i, item)
  {
    struct arena_mark mark = arena_mark(m->call.scratch);
    struct problem made = *p;
    int rc = item == p->fields ? 0 : problem_from_object(m->call.scratch, item, NULL, p->source, p->line, &made, err);
    if (!rc) rc = prepare_item(m, &made, item, to, why, err);
    arena_release(m->call.scratch, mark);
    TRY(rc);
  }
  return 0;
}

int compose_prepare(struct composed *set, const struct problem *p, json_t **items, const char **why, struct error *err)
{
  json_t *from = json_pack("[O]", p->fields);
  int rc = from ? 0 : error_fail(err, ERROR_RESOURCE, NULL, 0, NULL, "no memory for prepared items");
  *why = NULL;
  for (size_t i = 0; !rc && i < set->count; i++) {
    struct member *m = &set->members[i];
    if (!member_has(m, STAGE_prepare)) continue;
    json_t *to = json_array();
    rc = prepare_all(m, p, from, to, why, err);
    json_decref(from);
    from = to;
  }
  if (rc)
    json_decref(from);
  else
    *items = from;
  return rc;
}
