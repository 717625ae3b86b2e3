/* Methods of everything but strings, and the global functions. What would change a value is missing, as in Jinja's
 * immutable sandbox. */
#include "text/template_run.h"

#include "core/math.h"

#include <string.h>

int value_dict_view(struct jinja *r, const struct value_dict *d, const char *kind, enum value_kind as,
                    struct value *out)
{
  struct value_list *list = NULL;
  bool keys = !strcmp(kind, "keys"), values = !strcmp(kind, "values");
  TRY(jinja_step(r, d->count));
  TRY(value_list_new(r, as == VALUE_VIEW ? VALUE_LIST : as, d->count, out, &list));
  for (size_t i = 0; i < d->count; i++) {
    if (keys)
      list->items[i] = d->keys[i];
    else if (values)
      list->items[i] = d->values[i];
    else
      TRY(value_pair(r, d->keys[i], d->values[i], &list->items[i]));
  }
  if (as != VALUE_VIEW) return 0;
  out->kind = VALUE_VIEW;
  out->as.view.list = list;
  out->as.view.name = keys ? "dict_keys" : values ? "dict_values" : "dict_items";
  return 0;
}

static int dict_get(struct jinja *r, const struct value *v, const char *name, const struct arguments *args,
                    struct value *out)
{
  const struct value *key = jinja_argument(args, 0, NULL), *fallback = jinja_argument(args, 1, NULL);
  (void)name;
  if (!key) return jinja_fail(r, "get expected at least 1 argument, got 0");
  TRY(jinja_step(r, v->as.dict->count / 8));
  const struct value *have = value_dict_get(r, v->as.dict, key);
  *out = have ? *have : fallback ? *fallback : value_none();
  return r->rc;
}

static int dict_copy(struct jinja *r, const struct value *v, const char *name, const struct arguments *args,
                     struct value *out)
{
  (void)r, (void)name, (void)args;
  *out = *v; /* nothing changes: the same dict will do */
  return 0;
}

static int dict_walk(struct jinja *r, const struct value *v, const char *name, const struct arguments *args,
                     struct value *out)
{
  (void)args;
  return value_dict_view(r, v->as.dict, name, VALUE_VIEW, out);
}

/* index and count of a list or tuple. */
static int list_find(struct jinja *r, const struct value *v, const char *name, const struct arguments *args,
                     struct value *out)
{
  const struct value *item = jinja_argument(args, 0, NULL);
  if (!item) return jinja_fail(r, "%s() takes exactly one argument (0 given)", name);
  wide count = 0, first = -1;
  TRY(jinja_step(r, v->as.list->count));
  for (size_t i = 0; i < v->as.list->count; i++) {
    if (!value_equal(r, &v->as.list->items[i], item)) continue;
    if (!count++) first = (wide)i;
  }
  if (!strcmp(name, "index") && !count) return jinja_fail(r, "the item is not in the list");
  *out = value_int(!strcmp(name, "index") ? first : count);
  return r->rc;
}

static int real_is_integer(struct jinja *r, const struct value *v, const char *name, const struct arguments *args,
                           struct value *out)
{
  (void)r, (void)name, (void)args;
  *out = value_bool(value_is_integer(v) || (math_is_finite(v->as.real) && math_floor(v->as.real) == v->as.real));
  return 0;
}

static int integer_bits(struct jinja *r, const struct value *v, const char *name, const struct arguments *args,
                        struct value *out)
{
  (void)r, (void)name, (void)args;
  wide n = value_as_integer(v), bits = 0;
  for (; n; n /= 2) bits++;
  *out = value_int(bits);
  return 0;
}

static int loop_cycle(struct jinja *r, const struct value *v, const char *name, const struct arguments *args,
                      struct value *out)
{
  (void)name;
  if (!args->count) return jinja_fail(r, "no items for cycling given");
  *out = args->items[v->as.loop->index % args->count];
  return 0;
}

static int loop_changed(struct jinja *r, const struct value *v, const char *name, const struct arguments *args,
                        struct value *out)
{
  (void)name;
  struct loop *l = v->as.loop;
  struct value now;
  struct value_list *items = NULL;
  TRY(value_list_new(r, VALUE_TUPLE, args->count, &now, &items));
  for (size_t i = 0; i < args->count; i++) items->items[i] = args->items[i];
  *out = value_bool(!l->has_changed || !value_equal(r, &now, &l->changed));
  l->has_changed = true;
  l->changed = now;
  return r->rc;
}

static int cycler_next(struct jinja *r, const struct value *v, const char *name, const struct arguments *args,
                       struct value *out)
{
  (void)r, (void)args;
  struct value_iterator *it = v->as.iterator;
  *out = it->list.items[it->at];
  it->at = !strcmp(name, "reset") ? 0 : (it->at + 1) % it->list.count;
  if (!strcmp(name, "reset")) *out = value_none();
  return 0;
}

static const struct {
  enum value_kind kind;
  const char *name;
  int (*run)(struct jinja *, const struct value *, const char *, const struct arguments *, struct value *);
} methods[] = {{VALUE_DICT, "get", dict_get},
               {VALUE_DICT, "items", dict_walk},
               {VALUE_DICT, "keys", dict_walk},
               {VALUE_DICT, "values", dict_walk},
               {VALUE_DICT, "copy", dict_copy},
               {VALUE_LIST, "index", list_find},
               {VALUE_LIST, "count", list_find},
               {VALUE_LIST, "copy", dict_copy},
               {VALUE_TUPLE, "index", list_find},
               {VALUE_TUPLE, "count", list_find},
               {VALUE_FLOAT, "is_integer", real_is_integer},
               {VALUE_INT, "is_integer", real_is_integer},
               {VALUE_INT, "bit_length", integer_bits},
               {VALUE_LOOP, "cycle", loop_cycle},
               {VALUE_LOOP, "changed", loop_changed},
               {VALUE_CYCLER, "next", cycler_next},
               {VALUE_CYCLER, "reset", cycler_next}};

/* dict.fromkeys, the one method of a function. */
static int dict_from_keys(struct jinja *r, const struct arguments *args, struct value *out)
{
  const struct value *given = jinja_argument(args, 1, NULL), none = value_none();
  struct value_list keys;
  if (!args->count) return jinja_fail(r, "fromkeys expected at least 1 argument, got 0");
  TRY(value_iterate(r, &args->items[0], &keys));
  TRY(value_dict_new(r, VALUE_DICT, keys.count, out));
  for (size_t i = 0; i < keys.count; i++) TRY(value_dict_set(r, out->as.dict, keys.items[i], given ? *given : none));
  return 0;
}

static bool is_from_keys(const struct value *v, const char *name)
{
  return v->kind == VALUE_FUNCTION && !strcmp(v->as.name, "dict") && !strcmp(name, "fromkeys");
}

bool jinja_method_exists(const struct value *v, const char *name)
{
  if (is_from_keys(v, name)) return true;
  if (v->kind == VALUE_STRING) return jinja_string_method_exists(name);
  for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
    if (methods[i].kind == v->kind && !strcmp(methods[i].name, name)) return true;
  return false;
}

int jinja_call_method(struct jinja *r, const struct value *v, const char *name, const struct arguments *args,
                      struct value *out)
{
  if (v->kind == VALUE_STRING) return jinja_call_string_method(r, v, name, args, out);
  if (is_from_keys(v, name)) return dict_from_keys(r, args, out);
  for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
    if (methods[i].kind == v->kind && !strcmp(methods[i].name, name)) return methods[i].run(r, v, name, args, out);
  return jinja_fail(r, "'%s object' has no attribute '%s'", value_type(v), name);
}

/* Functions. */

static int make_range(struct jinja *r, const struct arguments *args, struct value *out)
{
  wide v[3] = {0, 0, 1};
  if (!args->count || args->count > 3) return jinja_fail(r, "range expected 1 to 3 arguments, got %zu", args->count);
  for (size_t i = 0; i < args->count; i++) {
    if (!value_is_integer(&args->items[i]))
      return jinja_fail(r, "'%s' object cannot be interpreted as an integer", value_type(&args->items[i]));
    v[args->count == 1 ? 1 : i] = value_as_integer(&args->items[i]);
  }
  const wide far = (wide)1 << 100;
  if (!v[2]) return jinja_fail(r, "range() arg 3 must not be zero");
  for (int i = 0; i < 3; i++)
    if (v[i] > far || v[i] < -far) return jinja_fail(r, "an argument of range is too large");
  wide span = v[2] > 0 ? v[1] - v[0] : v[0] - v[1], step = v[2] > 0 ? v[2] : -v[2];
  wide count = span > 0 ? (span + step - 1) / step : 0;
  if (count > TEMPLATE_RANGE)
    return jinja_fail(r, "Range too big. The sandbox blocks ranges larger than MAX_RANGE (%d).", TEMPLATE_RANGE);
  struct value_range *range = jinja_alloc(r, 1, sizeof *range);
  if (!range) return r->rc;
  *range = (struct value_range){v[0], v[1], v[2], (size_t)count};
  *out = (struct value){.kind = VALUE_RANGE, .as.range = range};
  return 0;
}

/* dict(...) and namespace(...): a mapping or pairs, and names. */
static int make_dict(struct jinja *r, enum value_kind kind, const struct arguments *args, struct value *out)
{
  TRY(value_dict_new(r, kind, args->named, out));
  struct value_dict *d = out->as.dict;
  struct value_list pairs = {NULL, 0}, pair;
  if (args->count > 1) return jinja_fail(r, "dict expected at most 1 argument, got %zu", args->count);
  if (args->count && args->items[0].kind == VALUE_DICT) {
    const struct value_dict *from = args->items[0].as.dict;
    for (size_t i = 0; i < from->count; i++) TRY(value_dict_set(r, d, from->keys[i], from->values[i]));
  } else if (args->count) {
    TRY(value_iterate(r, &args->items[0], &pairs));
  }
  for (size_t i = 0; i < pairs.count; i++) {
    TRY(value_iterate(r, &pairs.items[i], &pair));
    if (pair.count != 2)
      return jinja_fail(r, "dictionary update sequence element #%zu has length %zu; 2 is required", i, pair.count);
    TRY(value_dict_set(r, d, pair.items[0], pair.items[1]));
  }
  for (size_t i = 0; i < args->named; i++) TRY(value_dict_set(r, d, value_text(args->names[i]), args->values[i]));
  for (size_t i = 0; i < d->count && kind == VALUE_NAMESPACE; i++)
    if (d->keys[i].kind == VALUE_STRING && d->keys[i].as.string.size && d->keys[i].as.string.bytes[0] == '_')
      return jinja_fail(r, "names in a namespace must not start with an underscore");
  return 0;
}

static int make_joiner(struct jinja *r, const struct arguments *args, struct value *out)
{
  struct value *separator = jinja_alloc(r, 1, sizeof *separator);
  bool *used = jinja_alloc(r, 1, sizeof *used);
  if (!separator || !used) return r->rc;
  const struct value *given = jinja_argument(args, 0, "sep");
  *separator = given ? *given : value_text(", ");
  *out = (struct value){.kind = VALUE_JOINER, .as.joiner = {separator, used}};
  return 0;
}

static int make_cycler(struct jinja *r, const struct arguments *args, struct value *out)
{
  struct value_list *list = NULL;
  if (!args->count) return jinja_fail(r, "at least one item has to be provided");
  TRY(value_list_new(r, VALUE_ITERATOR, args->count, out, &list));
  for (size_t i = 0; i < args->count; i++) list->items[i] = args->items[i];
  out->kind = VALUE_CYCLER;
  return 0;
}

static int raise_exception(struct jinja *r, const struct arguments *args)
{
  struct value text = value_text("");
  if (args->count) TRY(value_to_string(r, &args->items[0], &text));
  int n = text.as.string.size < 1000 ? (int)text.as.string.size : 1000;
  int rc = jinja_fail(r, "%.*s", n, text.as.string.bytes);
  r->raised = true;
  r->raised_text = text;
  return rc;
}

static const char *const functions[] = {"range",  "dict",   "namespace",       "joiner",
                                        "cycler", "lipsum", "raise_exception", "strftime_now"};

bool jinja_function_exists(const char *name)
{
  for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
    if (!strcmp(functions[i], name)) return true;
  return false;
}

int jinja_call_function(struct jinja *r, const char *name, const struct arguments *args, struct value *out)
{
  if (!strcmp(name, "range")) return make_range(r, args, out);
  if (!strcmp(name, "dict")) return make_dict(r, VALUE_DICT, args, out);
  if (!strcmp(name, "namespace")) return make_dict(r, VALUE_NAMESPACE, args, out);
  if (!strcmp(name, "joiner")) return make_joiner(r, args, out);
  if (!strcmp(name, "cycler")) return make_cycler(r, args, out);
  if (!strcmp(name, "raise_exception")) return raise_exception(r, args);
  if (!strcmp(name, "lipsum"))
    return jinja_fail(r, "lipsum makes random text; a chat template must not depend on chance");
  struct value format;
  if (!jinja_argument(args, 0, "format")) return jinja_fail(r, "strftime_now lacks its format, like \"%%d %%b %%Y\"");
  TRY(jinja_argument_string(r, args, 0, "format", value_text(""), &format));
  return jinja_format_time(r, &format, out);
}
