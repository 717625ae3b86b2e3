#include "text/template_run.h"

#include <stdio.h>
#include <string.h>

int jinja_fail(struct jinja *r, const char *fmt, ...)
{
  char why[1024];
  va_list args;
  va_start(args, fmt);
  vsnprintf(why, sizeof why, fmt, args);
  va_end(args);
  if (!r->rc) r->rc = error_fail(r->err, ERROR_INPUT, r->t->file, r->line, NULL, "%s", why);
  return r->rc;
}

int jinja_step(struct jinja *r, size_t n)
{
  r->steps += n + 1;
  if (r->steps > TEMPLATE_STEPS && !r->rc)
    return jinja_fail(r, "the template takes more than %d steps; does it end?", TEMPLATE_STEPS);
  return r->rc;
}

int jinja_enter(struct jinja *r)
{
  if (r->depth >= TEMPLATE_DEPTH) return jinja_fail(r, "maximum recursion depth exceeded (%d levels)", TEMPLATE_DEPTH);
  r->depth++;
  return r->rc;
}

void jinja_leave(struct jinja *r)
{
  r->depth--;
}

void *jinja_alloc(struct jinja *r, size_t count, size_t size)
{
  uint64_t bytes;
  if (r->rc) return NULL;
  if (__builtin_mul_overflow(count, size, &bytes) || bytes > TEMPLATE_MEMORY - r->bytes) {
    jinja_fail(r, "the template takes more than %d MiB of memory", TEMPLATE_MEMORY >> 20);
    return NULL;
  }
  r->bytes += bytes;
  void *p = arena_push(r->arena, count, size, "template run", r->err);
  if (!p) r->rc = ERROR_RESOURCE;
  return p;
}

int jinja_set(struct jinja *r, const char *name, struct value v)
{
  for (struct variable *x = r->scope->first; x; x = x->next) {
    if (strcmp(x->name, name)) continue;
    x->value = v;
    return 0;
  }
  struct variable *x = r->free_variables;
  if (x)
    r->free_variables = x->next;
  else if (!(x = jinja_alloc(r, 1, sizeof *x)))
    return r->rc;
  *x = (struct variable){name, v, r->scope->first};
  r->scope->first = x;
  return 0;
}

static struct scope *scope_new(struct jinja *r, struct scope *parent)
{
  struct scope *s = jinja_alloc(r, 1, sizeof *s);
  if (s) s->parent = parent;
  return s;
}

static int assign_member(struct jinja *r, const struct node *target, struct value v)
{
  for (struct scope *s = r->scope; s; s = s->parent)
    for (struct variable *x = s->first; x; x = x->next) {
      if (strcmp(x->name, target->name)) continue;
      if (x->value.kind != VALUE_NAMESPACE) return jinja_fail(r, "cannot assign attribute on non-namespace object");
      const char *name = target->b->name;
      if (name[0] == '_')
        return jinja_fail(r, "names in a namespace must not start with an underscore; found '%.60s'", name);
      return value_dict_set(r, x->value.as.dict, value_text(name), v);
    }
  return jinja_fail(r, "'%.100s' is undefined", target->name);
}

int jinja_assign(struct jinja *r, const struct node *target, struct value v)
{
  if (target->kind == NODE_NAME) return jinja_set(r, target->name, v);
  if (target->kind == NODE_MEMBER) return assign_member(r, target, v);
  struct value_list items;
  TRY(value_iterate(r, &v, &items));
  if (items.count != target->items.count)
    return jinja_fail(r, "found %zu values to unpack; expected %zu", items.count, target->items.count);
  for (size_t i = 0; i < items.count; i++) TRY(jinja_assign(r, target->items.items[i], items.items[i]));
  return 0;
}

static int run_in_scope(struct jinja *r, const struct node_list *body, struct scope *parent)
{
  struct scope *outer = r->scope;
  r->scope = scope_new(r, parent);
  int rc = r->scope ? jinja_body(r, body) : r->rc;
  r->scope = outer;
  return rc;
}

int jinja_capture(struct jinja *r, const struct node_list *body, struct scope *parent, struct value *out)
{
  struct jinja_text text = {.r = r}, *outer = r->out;
  r->out = &text;
  int rc = run_in_scope(r, body, parent);
  r->out = outer;
  if (rc > 0) return rc;
  return jinja_take(&text, out);
}

/* The items that pass the loop's own "if". */
static int filter_items(struct jinja *r, const struct node *n, struct value_list *items)
{
  struct value_grow kept = {0};
  struct scope *outer = r->scope;
  int rc = 0;
  for (size_t i = 0; i < items->count && !rc; i++) {
    struct value test;
    r->scope = scope_new(r, outer);
    rc = r->scope ? jinja_assign(r, n->a, items->items[i]) : r->rc;
    if (!rc) rc = jinja_eval(r, n->c, &test);
    if (!rc && value_truth(&test)) rc = value_grow_add(r, &kept, items->items[i]);
  }
  r->scope = outer;
  *items = (struct value_list){kept.items, kept.count};
  return rc;
}

/* A scope for the next turn of a loop: the last turn's with its variables taken out, unless a macro keeps it. */
static struct scope *scope_again(struct jinja *r, struct scope *last, size_t macros, struct scope *parent)
{
  if (!last || macros != r->macros) return scope_new(r, parent);
  for (struct variable *x = last->first, *next; x; x = next) {
    next = x->next;
    x->next = r->free_variables;
    r->free_variables = x;
  }
  last->first = NULL;
  return last;
}

static int run_turn(struct jinja *r, struct loop *loop)
{
  const struct node *n = loop->node;
  TRY(jinja_step(r, 1));
  TRY(jinja_assign(r, n->a, loop->items.items[loop->index]));
  TRY(jinja_set(r, "loop", (struct value){.kind = VALUE_LOOP, .as.loop = loop}));
  return jinja_body(r, &n->body);
}

int jinja_loop(struct jinja *r, const struct node *n, const struct value *over, size_t depth, struct scope *scope)
{
  struct loop *loop = jinja_alloc(r, 1, sizeof *loop);
  if (!loop) return r->rc;
  *loop = (struct loop){.node = n, .scope = scope, .depth = depth};
  TRY(value_iterate(r, over, &loop->items));
  struct scope *outer = r->scope, *turn = NULL;
  size_t macros = r->macros;
  bool whole = false; /* a turn came to its end: without one the loop's else runs, even after break or continue */
  int rc = 0;
  r->scope = scope;
  if (n->c) rc = filter_items(r, n, &loop->items);
  for (; !rc && loop->index < loop->items.count; loop->index++) {
    turn = scope_again(r, turn, macros, scope);
    macros = r->macros;
    r->scope = turn;
    rc = turn ? run_turn(r, loop) : r->rc;
    whole = whole || !rc;
    if (rc == EXEC_CONTINUE) rc = 0;
  }
  r->scope = outer;
  if (rc == EXEC_BREAK) rc = 0;
  if (!rc && !whole && n->other.count) rc = run_in_scope(r, &n->other, scope);
  return rc;
}

static int run_for(struct jinja *r, const struct node *n)
{
  struct value over;
  TRY(jinja_eval(r, n->b, &over));
  return jinja_loop(r, n, &over, 1, r->scope);
}

static int run_set_block(struct jinja *r, const struct node *n)
{
  struct value v;
  TRY(jinja_capture(r, &n->body, r->scope, &v));
  if (n->b) {
    r->block = v;
    TRY(jinja_eval(r, n->b, &v));
  }
  return jinja_assign(r, n->a, v);
}

static int define_macro(struct jinja *r, const struct node *n, struct value *out)
{
  struct macro *m = jinja_alloc(r, 1, sizeof *m);
  if (!m) return r->rc;
  *m = (struct macro){n, r->scope};
  r->macros++;
  *out = (struct value){.kind = VALUE_MACRO, .as.macro = m};
  return 0;
}

/* {% call f(...) %}: f gets one more argument, the macro "caller". */
static int run_call_block(struct jinja *r, const struct node *n)
{
  struct value f, caller, result;
  struct arguments args;
  TRY(define_macro(r, n->b, &caller));
  TRY(jinja_eval(r, n->a->a, &f));
  TRY(jinja_eval_arguments(r, n->a, &args));
  const char **names = jinja_alloc(r, args.named + 1, sizeof *names);
  struct value *values = jinja_alloc(r, args.named + 1, sizeof *values);
  if (!names || !values) return r->rc;
  for (size_t i = 0; i < args.named; i++) {
    names[i] = args.names[i];
    values[i] = args.values[i];
  }
  names[args.named] = "caller";
  values[args.named++] = caller;
  args.names = names;
  args.values = values;
  TRY(jinja_call_value(r, &f, &args, &result));
  return value_put_str(r->out, &result);
}

static int run_with(struct jinja *r, const struct node *n)
{
  struct scope *outer = r->scope, *inner = scope_new(r, outer);
  if (!inner) return r->rc;
  for (size_t i = 0; i < n->items.count; i++) {
    struct value v;
    TRY(jinja_eval(r, n->values.items[i], &v));
    r->scope = inner;
    int rc = jinja_assign(r, n->items.items[i], v);
    r->scope = outer;
    TRY(rc);
  }
  return run_in_scope(r, &n->body, inner);
}

static int note_span(struct jinja *r, size_t begin)
{
  struct template_spans *s = r->spans;
  if (r->out != r->rendering)
    return jinja_fail(r,
                      "found a generation tag inside of a macro, a filter or a captured text; expected it where the "
                      "template prints itself, so that what it marks has a place");
  while (s->count && s->items[s->count - 1].begin >= begin) s->count--;  // those within this one
  if (s->count == s->room) {
    size_t room = s->room ? 2 * s->room : 16;
    struct template_span *grown = ARENA_NEW(r->spans_arena, struct template_span, room, "template", r->err);
    if (!grown) return r->rc = ERROR_RESOURCE;
    if (s->count) memcpy(grown, s->items, s->count * sizeof *grown);
    s->items = grown;
    s->room = room;
  }
  s->items[s->count++] = (struct template_span){begin, r->out->size};
  return r->rc;
}

static int run_scope(struct jinja *r, const struct node *n)
{
  size_t begin = r->out->size;
  int rc = run_in_scope(r, &n->body, r->scope);
  if (rc <= 0 && n->flag && r->spans) TRY(note_span(r, begin));  // a break ends it, too
  return rc;
}

static int run_print(struct jinja *r, const struct node *n)
{
  struct value v;
  TRY(jinja_eval(r, n, &v));
  return value_put_str(r->out, &v);
}

/* What the filters of a filter block give is joined as it is, so it must be text. */
static int run_filter_block(struct jinja *r, const struct node *n)
{
  struct value v;
  TRY(jinja_capture(r, &n->body, r->scope, &r->block));
  TRY(jinja_eval(r, n->a, &v));
  if (v.kind != VALUE_STRING) return jinja_fail(r, "a filter block gives '%s'; expected str", value_type(&v));
  return value_put_str(r->out, &v);
}

static int run_statement(struct jinja *r, const struct node *n)
{
  struct value v;
  switch (n->kind) {
    case NODE_TEXT:
      jinja_add(r->out, n->value.as.string.bytes, n->value.as.string.size);
      return r->rc;
    case NODE_PRINT:
      return run_print(r, n->a);
    case NODE_IF:
      TRY(jinja_eval(r, n->a, &v));
      return jinja_body(r, value_truth(&v) ? &n->body : &n->other);
    case NODE_FOR:
      return run_for(r, n);
    case NODE_SET:
      TRY(jinja_eval(r, n->b, &v));
      return jinja_assign(r, n->a, v);
    case NODE_SET_BLOCK:
      return run_set_block(r, n);
    case NODE_MACRO:
      TRY(define_macro(r, n, &v));
      return jinja_set(r, n->name, v);
    case NODE_CALL_BLOCK:
      return run_call_block(r, n);
    case NODE_FILTER_BLOCK:
      return run_filter_block(r, n);
    case NODE_WITH:
      return run_with(r, n);
    case NODE_SCOPE:
      return run_scope(r, n);
    case NODE_NAMED:
      return run_in_scope(r, &n->body, n->flag ? r->scope : r->top);
    case NODE_BREAK:
      return EXEC_BREAK;
    case NODE_CONTINUE:
      return EXEC_CONTINUE;
    default:
      return jinja_fail(r, "found the tag \"%s\"; a chat template cannot load other files", n->name);
  }
}

int jinja_body(struct jinja *r, const struct node_list *body)
{
  TRY(jinja_enter(r));
  int rc = 0;
  for (size_t i = 0; i < body->count && !rc; i++) {
    r->line = body->items[i]->line;
    rc = jinja_step(r, 0);
    if (!rc) rc = run_statement(r, body->items[i]);
  }
  jinja_leave(r);
  return rc;
}

static int load_variables(struct jinja *r, const json_t *variables)
{
  struct value all;
  if (!variables) return 0;
  TRY(value_from_json(r, variables, 0, &all));
  if (all.kind != VALUE_DICT) return jinja_fail(r, "the variables are no JSON object");
  for (size_t i = 0; i < all.as.dict->count; i++) {
    struct value key = all.as.dict->keys[i];
    char *name = jinja_alloc(r, key.as.string.size + 1, 1);
    if (!name) return r->rc;
    memcpy(name, key.as.string.bytes, key.as.string.size);
    TRY(jinja_set(r, name, all.as.dict->values[i]));
  }
  return 0;
}

static int render(const struct template *t, const json_t *variables, const char *now, struct text *out, bool *raised,
                  struct arena *spans_arena, struct template_spans *spans, struct error *err)
{
  if (raised) *raised = false;
  struct arena *arena = arena_create("template", 0, err);
  if (!arena) return ERROR_RESOURCE;
  struct jinja r = {.t = t, .arena = arena, .err = err, .now = now, .spans = spans};
  struct scope globals = {0}, top = {.parent = &globals};
  struct jinja_text text = {.r = &r};
  r.rendering = r.out = &text;
  r.spans_arena = spans_arena;
  r.scope = &globals;
  int rc = load_variables(&r, variables);
  r.scope = r.top = &top;
  if (!rc) rc = jinja_body(&r, &t->body);
  if (rc < 0) rc = jinja_fail(&r, "break or continue outside of a loop");
  if (!rc) rc = r.rc;
  if (!rc) {
    text_add(out, text.bytes, text.size);
    rc = text_finish(out, err);
  }
  if (raised) *raised = r.raised;
  if (raised && r.raised) text_add(out, r.raised_text.as.string.bytes, r.raised_text.as.string.size);
  arena_destroy(arena);
  return rc;
}

int template_render(const struct template *t, const json_t *variables, const char *now, struct text *out, bool *raised,
                    struct error *err)
{
  return render(t, variables, now, out, raised, NULL, NULL, err);
}

bool template_has_generation(const struct template *t)
{
  return t->generation;
}

int template_render_spans(const struct template *t, struct arena *a, const json_t *variables, const char *now,
                          struct text *out, struct template_spans *spans, struct error *err)
{
  *spans = (struct template_spans){0};
  return render(t, variables, now, out, NULL, a, spans, err);
}
