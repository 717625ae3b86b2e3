/* Expressions, as Python evaluates them. */
#include "text/template_run.h"

#include "core/math.h"
#include "text/unicode.h"

#include <limits.h>
#include <string.h>

const struct value *jinja_argument(const struct arguments *args, size_t position, const char *name)
{
  if (position < args->count) return &args->items[position];
  for (size_t i = 0; name && i < args->named; i++)
    if (!strcmp(args->names[i], name)) return &args->values[i];
  return NULL;
}

bool jinja_argument_truth(const struct arguments *args, size_t position, const char *name, bool fallback)
{
  const struct value *v = jinja_argument(args, position, name);
  return v ? value_truth(v) : fallback;
}

int jinja_argument_integer(struct jinja *r, const struct arguments *args, size_t position, const char *name,
                           long fallback, long *out)
{
  const struct value *v = jinja_argument(args, position, name);
  *out = fallback;
  if (!v || v->kind == VALUE_NONE) return 0;
  if (!value_is_integer(v))
    return jinja_fail(r, "argument %zu (%s) is a '%s'; expected an integer", position + 1, name ? name : "?",
                      value_type(v));
  wide n = value_as_integer(v);
  *out = n > LONG_MAX ? LONG_MAX : n < LONG_MIN ? LONG_MIN : (long)n;
  return 0;
}

int jinja_argument_string(struct jinja *r, const struct arguments *args, size_t position, const char *name,
                          struct value fallback, struct value *out)
{
  const struct value *v = jinja_argument(args, position, name);
  *out = v ? *v : fallback;
  if (v && v->kind != VALUE_STRING)
    return jinja_fail(r, "argument %zu (%s) is a '%s'; expected a string", position + 1, name ? name : "?",
                      value_type(v));
  return 0;
}

int jinja_eval_arguments(struct jinja *r, const struct node *call, struct arguments *out)
{
  struct value_list more = {NULL, 0};
  struct value star2 = value_none(), star;
  if (call->star) {
    TRY(jinja_eval(r, call->star, &star));
    TRY(value_iterate(r, &star, &more));
  }
  if (call->star2) {
    TRY(jinja_eval(r, call->star2, &star2));
    if (star2.kind != VALUE_DICT)
      return jinja_fail(r, "argument after ** must be a mapping, not %s", value_type(&star2));
  }
  size_t extra = star2.kind == VALUE_DICT ? star2.as.dict->count : 0;
  *out = (struct arguments){.count = call->items.count + more.count, .named = call->values.count + extra};
  out->items = jinja_alloc(r, out->count, sizeof *out->items);
  out->values = jinja_alloc(r, out->named, sizeof *out->values);
  out->names = jinja_alloc(r, out->named, sizeof *out->names);
  if (!out->items || !out->values || !out->names) return r->rc;
  for (size_t i = 0; i < call->items.count; i++) TRY(jinja_eval(r, call->items.items[i], &out->items[i]));
  if (more.count) memcpy(out->items + call->items.count, more.items, more.count * sizeof *more.items);
  for (size_t i = 0; i < call->values.count; i++) {
    out->names[i] = call->names[i];
    TRY(jinja_eval(r, call->values.items[i], &out->values[i]));
  }
  for (size_t i = 0; i < extra; i++) {
    const struct value *key = &star2.as.dict->keys[i];
    if (key->kind != VALUE_STRING) return jinja_fail(r, "keywords must be strings");
    char *name = jinja_alloc(r, key->as.string.size + 1, 1);
    if (!name) return r->rc;
    memcpy(name, key->as.string.bytes, key->as.string.size);
    out->names[call->values.count + i] = name;
    out->values[call->values.count + i] = star2.as.dict->values[i];
  }
  return 0;
}

/* Attributes and items. */

static void loop_attribute(const struct loop *l, const char *name, struct value *out)
{
  size_t i = l->index, n = l->items.count;
  const struct {
    const char *name;
    wide value;
  } numbers[] = {{"index", (wide)i + 1},           {"index0", (wide)i}, {"revindex", (wide)(n - i)},
                 {"revindex0", (wide)(n - i) - 1}, {"length", (wide)n}, {"depth", (wide)l->depth},
                 {"depth0", (wide)l->depth - 1}};
  for (size_t k = 0; k < sizeof numbers / sizeof *numbers; k++) {
    if (strcmp(name, numbers[k].name)) continue;
    *out = value_int(numbers[k].value);
    return;
  }
  if (!strcmp(name, "first"))
    *out = value_bool(i == 0);
  else if (!strcmp(name, "last"))
    *out = value_bool(i + 1 == n);
  else if (!strcmp(name, "previtem"))
    *out = i > 0 ? l->items.items[i - 1] : value_undefined("there is no previous item");
  else if (!strcmp(name, "nextitem"))
    *out = i + 1 < n ? l->items.items[i + 1] : value_undefined("there is no next item");
}

/* groupby's pairs have names. */
static void pair_attribute(const struct value_list *pair, const char *name, struct value *out)
{
  if (pair->count == 2 && !strcmp(name, "grouper")) *out = pair->items[0];
  if (pair->count == 2 && !strcmp(name, "list")) *out = pair->items[1];
}

static void range_attribute(const struct value_range *range, const char *name, struct value *out)
{
  if (!strcmp(name, "start")) *out = value_int(range->start);
  if (!strcmp(name, "step")) *out = value_int(range->step);
  if (!strcmp(name, "stop")) *out = value_int(range->stop);
}

/* What is no method: *out stays undefined where there is none. */
static void plain_attribute(const struct value *v, const char *name, struct value *out)
{
  if (v->kind == VALUE_LOOP) loop_attribute(v->as.loop, name, out);
  if (v->kind == VALUE_MACRO && !strcmp(name, "name")) *out = value_text(v->as.macro->node->name);
  if (v->kind == VALUE_NAMESPACE) {
    const struct value *have = value_dict_text(v->as.dict, name, strlen(name));
    if (have) *out = *have;
  }
  if (v->kind == VALUE_CYCLER && !strcmp(name, "current")) *out = v->as.iterator->list.items[v->as.iterator->at];
  if (value_is_integer(v) && (!strcmp(name, "real") || !strcmp(name, "numerator")))
    *out = value_int(value_as_integer(v));
  if (v->kind == VALUE_FLOAT && !strcmp(name, "real")) *out = *v;
  if (v->kind == VALUE_TUPLE) pair_attribute(v->as.list, name, out);
  if (v->kind == VALUE_RANGE) range_attribute(v->as.range, name, out);
}

static int names_of(struct jinja *r, const struct node_list *names, struct value *out)
{
  struct value_list *list = NULL;
  TRY(value_list_new(r, VALUE_TUPLE, names->count, out, &list));
  for (size_t i = 0; i < names->count; i++) list->items[i] = value_text(names->items[i]->name);
  return 0;
}

static int macro_attribute(struct jinja *r, const struct node *n, const char *name, struct value *out)
{
  if (!strcmp(name, "arguments")) return names_of(r, &n->items, out);
  const struct {
    const char *name;
    bool truth;
  } uses[] = {{"caller", n->uses_caller}, {"catch_kwargs", n->uses_kwargs}, {"catch_varargs", n->uses_varargs}};
  for (size_t i = 0; i < sizeof uses / sizeof *uses; i++)
    if (!strcmp(name, uses[i].name)) *out = value_bool(uses[i].truth);
  return 0;
}

/* self.name: the named block, called like a macro. It sees what the template itself has set. */
static int block_attribute(struct jinja *r, const char *name, struct value *out)
{
  for (size_t i = 0; i < r->t->blocks.count; i++) {
    if (strcmp(r->t->blocks.items[i]->name, name)) continue;
    struct macro *m = jinja_alloc(r, 1, sizeof *m);
    if (!m) return r->rc;
    *m = (struct macro){r->t->blocks.items[i], r->top};
    *out = (struct value){.kind = VALUE_MACRO, .as.macro = m};
  }
  return 0;
}

/* v.name by itself, without looking at items; *out stays undefined where there is none. */
static int own_attribute(struct jinja *r, const struct value *v, const char *name, struct value *out)
{
  plain_attribute(v, name, out);
  if (v->kind == VALUE_MACRO) TRY(macro_attribute(r, v->as.macro->node, name, out));
  if (v->kind == VALUE_SELF) TRY(block_attribute(r, name, out));
  if (out->kind != VALUE_UNDEFINED || !jinja_method_exists(v, name)) return 0;
  struct value_method *m = jinja_alloc(r, 1, sizeof *m);
  struct value *self = jinja_alloc(r, 1, sizeof *self);
  if (!m || !self) return r->rc;
  *self = *v;
  *m = (struct value_method){self, name};
  *out = (struct value){.kind = VALUE_METHOD, .as.method = m};
  return 0;
}

/* What the sandbox hides: underscores, and what would change a dict, before an item of that name is looked for. */
static bool is_hidden(const struct value *v, const char *name)
{
  static const char *const changing[] = {"clear", "pop", "popitem", "setdefault", "update"};
  for (size_t i = 0; v->kind == VALUE_DICT && i < sizeof changing / sizeof *changing; i++)
    if (!strcmp(name, changing[i])) return true;
  return !strncmp(name, "__", 2);
}

int jinja_eval_attribute(struct jinja *r, const struct value *v, const char *name, struct value *out)
{
  if (v->kind == VALUE_UNDEFINED) return jinja_fail_undefined(r, v);
  *out = value_undefined(name);
  if (is_hidden(v, name)) return 0; /* using one is using something undefined */
  TRY(own_attribute(r, v, name, out));
  if (out->kind != VALUE_UNDEFINED || v->kind != VALUE_DICT) return 0;
  const struct value *have = value_dict_text(v->as.dict, name, strlen(name));
  TRY(jinja_step(r, v->as.dict->count / 8));
  if (have) *out = *have;
  return 0;
}

static int item_at(struct jinja *r, const struct value *v, wide index, struct value *out)
{
  size_t n;
  TRY(value_length(r, v, &n));
  if (index < 0) index += (wide)n;
  if (index < 0 || index >= (wide)n) return 0;
  size_t i = (size_t)index;
  if (v->kind == VALUE_STRING)
    *out = string_part(v, i, 1);
  else if (v->kind == VALUE_RANGE)
    *out = value_int(v->as.range->start + index * v->as.range->step);
  else
    *out = v->as.list->items[i];
  return 0;
}

int jinja_eval_item(struct jinja *r, const struct value *v, const struct value *key, struct value *out)
{
  if (v->kind == VALUE_UNDEFINED) return jinja_fail_undefined(r, v);
  *out = value_undefined("item");
  if (v->kind == VALUE_DICT) {
    TRY(jinja_step(r, v->as.dict->count / 8));
    const struct value *have = value_dict_get(r, v->as.dict, key);
    if (have) *out = *have;
  } else if (value_is_integer(key) && (jinja_is_sequence(v) || v->kind == VALUE_RANGE)) {
    return item_at(r, v, value_as_integer(key), out);
  }
  if (r->rc || out->kind != VALUE_UNDEFINED || key->kind != VALUE_STRING) return r->rc;
  char *name = jinja_alloc(r, key->as.string.size + 1, 1);
  if (!name) return r->rc;
  memcpy(name, key->as.string.bytes, key->as.string.size);
  out->as.hint = name;
  return strncmp(name, "__", 2) ? own_attribute(r, v, name, out) : 0;
}

static int path_step(struct jinja *r, const struct value *v, const struct value *key, const struct value *fallback,
                     struct value *out)
{
  TRY(jinja_eval_item(r, v, key, out));
  if (fallback && out->kind == VALUE_UNDEFINED) *out = *fallback;
  return 0;
}

int jinja_eval_path(struct jinja *r, const struct value *v, const struct value *path, const struct value *fallback,
                    struct value *out)
{
  *out = *v;
  if (path->kind != VALUE_STRING) return path_step(r, v, path, fallback, out);
  const char *s = path->as.string.bytes, *end = s + path->as.string.size;
  for (;;) {
    const char *dot = s < end ? memchr(s, '.', (size_t)(end - s)) : NULL, *stop = dot ? dot : end;
    struct value key = value_string(s, (size_t)(stop - s)), from = *out;
    wide n = 0;
    bool digits = stop > s && stop - s < 18;
    for (const char *p = s; p < stop; p++) {
      digits = digits && *p >= '0' && *p <= '9';
      if (digits) n = n * 10 + (*p - '0');
    }
    if (digits) key = value_int(n);
    TRY(path_step(r, &from, &key, fallback, out));
    if (!dot) return 0;
    s = dot + 1;
  }
}

/* One end of a slice of n items, clamped; the last one possible where none is given. */
static wide slice_bound(const struct value *given, bool is_start, bool back, wide n)
{
  wide low = back ? -1 : 0, high = back ? n - 1 : n;
  if (given->kind == VALUE_NONE) return is_start == back ? high : low;
  wide bound = value_as_integer(given);
  if (bound < -n) return low;
  if (bound < 0) bound += n;
  return bound > high ? high : bound;
}

/* Python's slice: bounds are clamped, a negative step walks back. */
static int slice_bounds(struct jinja *r, const struct value parts[3], size_t size, wide *start, wide *stop, wide *step,
                        size_t *count)
{
  wide n = (wide)size;
  for (int i = 0; i < 3; i++)
    if (parts[i].kind != VALUE_NONE && !value_is_integer(&parts[i]))
      return parts[i].kind == VALUE_UNDEFINED ? jinja_fail_undefined(r, &parts[i])
                                              : jinja_fail(r, "slice indices must be integers or None");
  *step = parts[2].kind == VALUE_NONE ? 1 : value_as_integer(&parts[2]);
  if (!*step) return jinja_fail(r, "slice step cannot be zero");
  bool back = *step < 0;
  wide from = slice_bound(&parts[0], true, back, n), to = slice_bound(&parts[1], false, back, n);
  wide span = back ? from - to : to - from, size_of_step = back ? -*step : *step;
  if (size_of_step > n) size_of_step = n + 1;
  *start = from;
  *stop = to;
  *count = span > 0 ? (size_t)((span + size_of_step - 1) / size_of_step) : 0;
  return 0;
}

/* Every step-th item (character) from start on, count of them. */
static int pick_items(struct jinja *r, const struct value *v, wide start, wide step, size_t count, struct value *out)
{
  struct value_list items;
  struct jinja_text b = {.r = r};
  struct value_list *list = NULL;
  TRY(value_iterate(r, v, &items));
  if (v->kind != VALUE_STRING)
    TRY(value_list_new(r, v->kind == VALUE_TUPLE ? VALUE_TUPLE : VALUE_LIST, count, out, &list));
  for (size_t i = 0; i < count; i++) {
    const struct value *item = &items.items[start + (wide)i * step];
    if (list)
      list->items[i] = *item;
    else
      jinja_add(&b, item->as.string.bytes, item->as.string.size);
  }
  if (list) return 0;
  TRY(jinja_take(&b, out));
  out->markup = v->markup;
  return 0;
}

static int eval_slice(struct jinja *r, const struct value *v, const struct node *n, struct value *out)
{
  struct value parts[3] = {value_none(), value_none(), value_none()};
  if (n->a) TRY(jinja_eval(r, n->a, &parts[0]));
  if (n->b) TRY(jinja_eval(r, n->b, &parts[1]));
  if (n->c) TRY(jinja_eval(r, n->c, &parts[2]));
  if (v->kind == VALUE_UNDEFINED) return jinja_fail_undefined(r, v);
  if (!jinja_is_sequence(v) && v->kind != VALUE_RANGE)
    return jinja_fail(r, "'%s' object cannot be sliced", value_type(v));
  size_t size = 0, count = 0;
  wide start = 0, stop = 0, step = 1;
  TRY(value_length(r, v, &size));
  TRY(slice_bounds(r, parts, size, &start, &stop, &step, &count));
  TRY(jinja_step(r, count / 8));
  if (v->kind == VALUE_STRING && step == 1) {
    *out = string_part(v, (size_t)start, count);
    return 0;
  }
  if (v->kind == VALUE_RANGE) {
    struct value_range *part = jinja_alloc(r, 1, sizeof *part);
    if (!part) return r->rc;
    const struct value_range *all = v->as.range;
    wide stride;
    if (__builtin_mul_overflow(all->step, step, &stride)) return jinja_fail(r, "a slice's step is too large");
    *part = (struct value_range){all->start + start * all->step, all->start + stop * all->step, stride, count};
    *out = (struct value){.kind = VALUE_RANGE, .as.range = part};
    return 0;
  }
  return pick_items(r, v, start, step, count, out);
}

/* Names. */

static int lookup(struct jinja *r, const char *name, struct value *out)
{
  for (struct scope *s = r->scope; s; s = s->parent)
    for (struct variable *x = s->first; x; x = x->next)
      if (!strcmp(x->name, name)) {
        *out = x->value;
        return 0;
      }
  *out = value_undefined(name);
  if (jinja_function_exists(name))
    *out = (struct value){.kind = VALUE_FUNCTION, .as.name = name};
  else if (!strcmp(name, "self"))
    *out = (struct value){.kind = VALUE_SELF};
  return 0;
}

/* Calls. */

/* Arguments by name that are no parameter of the macro: caller, and into *kwargs the others. */
static int bind_named(struct jinja *r, const struct node *n, const struct arguments *args, struct value *kwargs)
{
  size_t count = n->items.count;
  TRY(value_dict_new(r, VALUE_DICT, 0, kwargs));
  for (size_t k = 0; k < args->named; k++) {
    const char *name = args->names[k];
    size_t i = 0;
    while (i < count && strcmp(n->items.items[i]->name, name)) i++;
    if (i < count && i < args->count)
      return jinja_fail(r, "macro '%s' got multiple values for argument '%s'", n->name, name);
    if (i < count) continue;
    if (n->uses_caller && !strcmp(name, "caller"))
      TRY(jinja_set(r, "caller", args->values[k]));
    else if (n->uses_kwargs)
      TRY(value_dict_set(r, kwargs->as.dict, value_text(name), args->values[k]));
    else
      return jinja_fail(r, "macro '%s' takes no keyword argument '%s'", n->name, name);
  }
  return 0;
}

/* Parameters by position, by name, by default; the rest in varargs and kwargs where the macro uses them. */
static int bind_parameters(struct jinja *r, const struct node *n, const struct arguments *args)
{
  size_t count = n->items.count, first_default = count - n->values.count, extra = 0;
  if (args->count > count && !n->uses_varargs)
    return jinja_fail(r, "macro '%s' takes not more than %zu jinja_argument(s)", n->name, count);
  for (size_t i = 0; i < count; i++) {
    const char *name = n->items.items[i]->name;
    const struct value *given = jinja_argument(args, i, name);
    struct value v = value_undefined(name);
    if (given)
      v = *given;
    else if (i >= first_default)
      TRY(jinja_eval(r, n->values.items[i - first_default], &v));
    TRY(jinja_set(r, name, v));
  }
  struct value varargs, kwargs;
  struct value_list *rest = NULL;
  TRY(value_list_new(r, VALUE_TUPLE, args->count > count ? args->count - count : 0, &varargs, &rest));
  for (; extra < rest->count; extra++) rest->items[extra] = args->items[count + extra];
  TRY(bind_named(r, n, args, &kwargs));
  if (n->uses_varargs) TRY(jinja_set(r, "varargs", varargs));
  if (n->uses_kwargs) TRY(jinja_set(r, "kwargs", kwargs));
  return 0;
}

static int call_macro(struct jinja *r, const struct macro *m, const struct arguments *args, struct value *out)
{
  struct scope *outer = r->scope, *inner = jinja_alloc(r, 1, sizeof *inner);
  if (!inner) return r->rc;
  inner->parent = m->scope;
  r->scope = inner;
  int line = r->line, rc = bind_parameters(r, m->node, args);
  if (!rc) rc = jinja_capture(r, &m->node->body, inner, out);
  r->scope = outer;
  r->line = line;
  return rc;
}

/* loop(items) in a recursive loop: the loop again, one deeper. */
static int call_loop(struct jinja *r, const struct loop *l, const struct arguments *args, struct value *out)
{
  if (!l->node->flag) return jinja_fail(r, "the loop is called but is not marked \"recursive\"");
  const struct value *over = jinja_argument(args, 0, "iterable");
  if (!over) return jinja_fail(r, "loop() lacks the items to go over");
  struct jinja_text text = {.r = r}, *outer = r->out;
  r->out = &text;
  int rc = jinja_loop(r, l->node, over, l->depth + 1, l->scope);
  r->out = outer;
  return rc ? rc : jinja_take(&text, out);
}

int jinja_call_value(struct jinja *r, const struct value *f, const struct arguments *args, struct value *out)
{
  *out = value_none();
  switch (f->kind) {
    case VALUE_UNDEFINED:
      return jinja_fail_undefined(r, f);
    case VALUE_MACRO:
      return call_macro(r, f->as.macro, args, out);
    case VALUE_LOOP:
      return call_loop(r, f->as.loop, args, out);
    case VALUE_FUNCTION:
      return jinja_call_function(r, f->as.name, args, out);
    case VALUE_METHOD:
      return jinja_call_method(r, f->as.method->self, f->as.method->name, args, out);
    case VALUE_JOINER:
      *out = *f->as.joiner.used ? *f->as.joiner.separator : value_text("");
      *f->as.joiner.used = true;
      return 0;
    default:
      return jinja_fail(r, "'%s' object is not callable", value_type(f));
  }
}

static int eval_call(struct jinja *r, const struct node *n, struct value *out)
{
  struct value f;
  struct arguments args;
  TRY(jinja_eval(r, n->a, &f));
  if (f.kind == VALUE_UNDEFINED) return jinja_fail_undefined(r, &f);
  TRY(jinja_eval_arguments(r, n, &args));
  r->line = n->line;
  return jinja_call_value(r, &f, &args, out);
}

static int eval_filter(struct jinja *r, const struct node *n, struct value *out)
{
  struct value v;
  struct arguments args;
  TRY(jinja_eval(r, n->a, &v));
  TRY(jinja_eval_arguments(r, n, &args));
  r->line = n->line;
  return jinja_call_filter(r, n->name, &v, &args, out);
}

static int eval_test(struct jinja *r, const struct node *n, struct value *out)
{
  struct value v;
  struct arguments args;
  bool truth;
  TRY(jinja_eval(r, n->a, &v));
  TRY(jinja_eval_arguments(r, n, &args));
  TRY(jinja_call_test(r, n->name, &v, &args, &truth));
  *out = value_bool(truth);
  return 0;
}

static int eval_sign(struct jinja *r, const struct node *n, struct value *out)
{
  struct value v, zero = value_int(0);
  TRY(jinja_eval(r, n->a, &v));
  if (v.kind == VALUE_FLOAT) {
    *out = value_float(n->kind == NODE_NEG ? -v.as.real : v.as.real);
    return 0;
  }
  if (!value_is_number(&v)) {
    if (v.kind == VALUE_UNDEFINED) return jinja_fail_undefined(r, &v);
    return jinja_fail(r, "bad operand type for unary %c: '%s'", n->kind == NODE_NEG ? '-' : '+', value_type(&v));
  }
  return jinja_eval_binary(r, n->kind == NODE_NEG ? "-" : "+", &zero, &v, out);
}

static int eval_items(struct jinja *r, const struct node *n, struct value *out)
{
  struct value_list *list = NULL;
  TRY(value_list_new(r, n->kind == NODE_TUPLE ? VALUE_TUPLE : VALUE_LIST, n->items.count, out, &list));
  for (size_t i = 0; i < list->count; i++) TRY(jinja_eval(r, n->items.items[i], &list->items[i]));
  return 0;
}

static int eval_dict(struct jinja *r, const struct node *n, struct value *out)
{
  TRY(value_dict_new(r, VALUE_DICT, n->items.count / 2, out));
  for (size_t i = 0; i < n->items.count; i += 2) {
    struct value key, v;
    TRY(jinja_eval(r, n->items.items[i], &key));
    TRY(jinja_eval(r, n->items.items[i + 1], &v));
    TRY(value_dict_set(r, out->as.dict, key, v));
  }
  return 0;
}

static int eval_concat(struct jinja *r, const struct node *n, struct value *out)
{
  struct jinja_text text = {.r = r};
  for (size_t i = 0; i < n->items.count; i++) {
    struct value v;
    TRY(jinja_eval(r, n->items.items[i], &v));
    TRY(value_put_str(&text, &v));
  }
  TRY(jinja_step(r, text.size / 64));
  return jinja_take(&text, out);
}

/* a < b < c: each operand once, up to the first that fails. */
static int eval_chain(struct jinja *r, const struct node *n, struct value *out)
{
  struct value left, right;
  bool truth = true;
  TRY(jinja_eval(r, n->items.items[0], &left));
  for (size_t i = 1; i < n->items.count && truth; i++, left = right) {
    TRY(jinja_eval(r, n->items.items[i], &right));
    TRY(jinja_eval_compare(r, n->ops[i - 1], &left, &right, &truth));
  }
  *out = value_bool(truth);
  return 0;
}

/* The kinds that choose which of their parts to evaluate. */
static int eval_choice(struct jinja *r, const struct node *n, struct value *out)
{
  struct value test;
  if (n->kind == NODE_COND) {
    TRY(jinja_eval(r, n->b, &test));
    if (value_truth(&test)) return jinja_eval(r, n->a, out);
    if (n->c) return jinja_eval(r, n->c, out);
    *out = value_undefined("the inline if-expression evaluated to false and no else section was defined");
    return 0;
  }
  TRY(jinja_eval(r, n->a, out));
  return value_truth(out) == (n->kind == NODE_AND) ? jinja_eval(r, n->b, out) : 0;
}

static int eval_lookup(struct jinja *r, const struct node *n, struct value *out)
{
  struct value v, key;
  TRY(jinja_eval(r, n->a, &v));
  if (n->kind == NODE_ATTR) return jinja_eval_attribute(r, &v, n->name, out);
  if (n->b->kind == NODE_SLICE) return eval_slice(r, &v, n->b, out);
  TRY(jinja_eval(r, n->b, &key));
  return jinja_eval_item(r, &v, &key, out);
}

static int eval_kind(struct jinja *r, const struct node *n, struct value *out)
{
  struct value a, b;
  switch (n->kind) {
    case NODE_CONST:
      *out = n->value;
      return 0;
    case NODE_NAME:
      return lookup(r, n->name, out);
    case NODE_TUPLE:
    case NODE_LIST:
      return eval_items(r, n, out);
    case NODE_DICT:
      return eval_dict(r, n, out);
    case NODE_ATTR:
    case NODE_ITEM:
      return eval_lookup(r, n, out);
    case NODE_CALL:
      return eval_call(r, n, out);
    case NODE_FILTER:
      return eval_filter(r, n, out);
    case NODE_TEST:
      return eval_test(r, n, out);
    case NODE_BLOCK:
      *out = r->block;
      return 0;
    case NODE_NOT:
      TRY(jinja_eval(r, n->a, &a));
      *out = value_bool(!value_truth(&a));
      return 0;
    case NODE_NEG:
    case NODE_POS:
      return eval_sign(r, n, out);
    case NODE_BINARY:
      TRY(jinja_eval(r, n->a, &a));
      TRY(jinja_eval(r, n->b, &b));
      return jinja_eval_binary(r, n->name, &a, &b, out);
    case NODE_CONCAT:
      return eval_concat(r, n, out);
    case NODE_COMPARE:
      return eval_chain(r, n, out);
    default:
      return eval_choice(r, n, out);
  }
}

int jinja_eval(struct jinja *r, const struct node *n, struct value *out)
{
  TRY(jinja_step(r, 0));
  TRY(jinja_enter(r));
  int rc = eval_kind(r, n, out);
  jinja_leave(r);
  return rc ? rc : r->rc;
}
