/* The recipe's data as a stream of problems. */
#include "train/given.h"
#include "train/run.h"

#include "core/log.h"

#include <string.h>

/* Who judges a file's problems, and by what, is known before the first of them is answered: answers that are missing or
 * cannot be read are found here. */
static int check_verifiers(struct run *r, const struct source *s, struct error *err)
{
  struct problem p;
  for (uint64_t i = 0; i < source_count(s); i++) {
    TRY(source_problem(s, r->arena, i, &p, err));
    const struct verifier_config *v;
    int rc = verifier_set_find(r->verifiers, &p, &v, err);
    if (!rc) rc = verifier_check(r->step_arena, v, &p, err);
    arena_reset(r->step_arena);
    if (rc) return error_place(err, p.source, p.line);
  }
  return 0;
}

int run_open_sources(struct run *r, const struct recipe_data *data, size_t count, struct source_list *out,
                     struct error *err)
{
  out->items = ARENA_NEW(r->arena, struct source *, count, "data", err);
  out->count = count;
  if (!out->items) return err->code;
  for (size_t i = 0; i < count; i++) {
    struct source_options o = data[i].source;
    if (r->recipe->kind == RECIPE_SFT && !o.verifier && o.path) o.verifier = "string";  // nothing is judged
    TRY(source_open(r->arena, &o, (int)i, (uint64_t)r->recipe->top.seed, &out->items[i], err));
    if (r->recipe->kind == RECIPE_TRAIN && o.path) TRY(check_verifiers(r, out->items[i], err));
  }
  return 0;
}

int64_t run_prompt_room(const struct run *r)
{
  return r->session.config.max_positions - (r->recipe->kind == RECIPE_SFT ? 0 : r->recipe->rollout.max_new_tokens);
}

int64_t run_example_room(const struct run *r)
{
  int64_t most = r->recipe->train.max_tokens, room = run_prompt_room(r);
  return most < room ? most : room;
}

/* "solution:string": the field of a problem that a method reads, and its type. */
static bool field_is(const json_t *v, const char *type)
{
  if (!strcmp(type, "string")) return json_is_string(v);
  if (!strcmp(type, "number")) return json_is_number(v);
  if (!strcmp(type, "array")) return json_is_array(v);
  if (!strcmp(type, "object")) return json_is_object(v);
  ASSAY_BUG_IF(strcmp(type, "any") != 0);
  return v != NULL;
}

int run_check_fields(const struct run *r, const struct problem *p, struct error *err)
{
  const struct needs *needs = compose_needs(r->methods);
  for (const char *const *f = needs->fields; needs->flags & NEED_FIELDS && *f; f++) {
    char name[64];
    size_t n = strcspn(*f, ":");
    ASSAY_BUG_IF(n >= sizeof name);
    memcpy(name, *f, n);
    name[n] = '\0';
    const json_t *v = json_object_get(p->fields, name);
    if (field_is(v, (*f)[n] ? *f + n + 1 : "any")) continue;
    FAIL_AT(err, ERROR_INPUT, p->source, p->line, NULL,
            "problem %s %s the field \"%s\"%s%s, which a method of this recipe reads (assay methods --resolve says "
            "which); add it, or leave the method out",
            p->id, v ? "has another type for" : "lacks", name, (*f)[n] ? ", of type " : "", (*f)[n] ? *f + n + 1 : "");
  }
  return 0;
}

static int short_example(struct run *r, const struct problem *p, bool *keep, struct error *err)
{
  struct arena_mark mark = arena_mark(r->step_arena);
  struct given g;
  TRY(given_read(r, r->step_arena, p, &g, err));
  *keep = given_longest(&g) <= run_example_room(r);
  arena_release(r->step_arena, mark);
  return run_check_fields(r, p, err);
}

/* A problem is used if what the model reads, and for sft writes, is not too long. */
static int short_enough(void *arg, const struct problem *p, bool *keep, struct error *err)
{
  struct run *r = arg;
  struct token_list ids = {0};
  if (r->recipe->kind == RECIPE_SFT) return short_example(r, p, keep, err);
  int rc = session_problem_ids(&r->session, p, r->template_variables, &ids, err);
  if (!rc) rc = run_check_fields(r, p, err);
  if (!rc && ids.count == 0)
    rc = error_fail(err, ERROR_INPUT, p->source, p->line, NULL, "the prompt of problem %s has no token; expected text",
                    p->id);
  *keep = !rc && (int64_t)ids.count <= r->recipe->rollout.max_prompt_tokens && (int64_t)ids.count <= run_prompt_room(r);
  token_list_free(&ids);
  return rc;
}

int run_open_stream(struct run *r, struct error *err)
{
  struct stream_filter filter = {short_enough, r};
  TRY(run_open_sources(r, r->recipe->data, r->recipe->data_count, &r->sources, err));
  if (stream_open(r->arena, &r->sources, (uint64_t)r->recipe->top.seed, &filter, &r->stream, err)) {
    if (r->recipe->kind == RECIPE_SFT || r->recipe->rollout.max_prompt_tokens <= run_prompt_room(r)) return err->code;
    return error_context(err, "taking data for a model of %d positions with rollout.max_new_tokens %lld",
                         r->session.config.max_positions, (long long)r->recipe->rollout.max_new_tokens);
  }
  if (stream_left_out(r->stream))
    log_info("left out %llu of %llu problems: longer than %s", (unsigned long long)stream_left_out(r->stream),
             (unsigned long long)(stream_left_out(r->stream) + stream_size(r->stream)),
             r->recipe->kind == RECIPE_SFT ? "train.max_tokens" : "rollout.max_prompt_tokens");
  return 0;
}
