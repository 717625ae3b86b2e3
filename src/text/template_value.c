#define _GNU_SOURCE /* memmem, which takes linear time */
#include "text/template_value.h"

#include "core/cursor.h"
#include "text/unicode.h"

#include <stdio.h>
#include <string.h>

struct value value_none(void)
{
  return (struct value){.kind = VALUE_NONE};
}
struct value value_bool(bool truth)
{
  return (struct value){.kind = VALUE_BOOL, .as.truth = truth};
}
struct value value_int(wide n)
{
  return (struct value){.kind = VALUE_INT, .as.integer = n};
}
struct value value_float(double x)
{
  return (struct value){.kind = VALUE_FLOAT, .as.real = x};
}
struct value value_string(const char *bytes, size_t n)
{
  return (struct value){.kind = VALUE_STRING, .as.string = {bytes, n}};
}
struct value value_text(const char *s)
{
  return value_string(s, strlen(s));
}
struct value value_undefined(const char *hint)
{
  return (struct value){.kind = VALUE_UNDEFINED, .as.hint = hint};
}

int value_list_new(struct jinja *r, enum value_kind kind, size_t count, struct value *out, struct value_list **list)
{
  struct value_iterator *it = jinja_alloc(r, 1, sizeof *it);
  if (!it) return r->rc;
  it->list.count = count;
  it->list.items = jinja_alloc(r, count, sizeof *it->list.items);
  if (!it->list.items) return r->rc;
  out->kind = kind;
  if (kind == VALUE_ITERATOR)
    out->as.iterator = it;
  else
    out->as.list = &it->list;
  if (list) *list = &it->list;
  return 0;
}

int value_pair(struct jinja *r, struct value a, struct value b, struct value *out)
{
  struct value_list *list = NULL;
  TRY(value_list_new(r, VALUE_TUPLE, 2, out, &list));
  list->items[0] = a;
  list->items[1] = b;
  return 0;
}

int value_grow_add(struct jinja *r, struct value_grow *g, struct value v)
{
  if (g->count == g->room) {
    size_t room = g->room ? g->room * 2 : 8;
    struct value *items = jinja_alloc(r, room, sizeof *items);
    if (!items) return r->rc;
    if (g->count) memcpy(items, g->items, g->count * sizeof *items);
    g->items = items;
    g->room = room;
  }
  g->items[g->count++] = v;
  return 0;
}

int value_list_from(struct jinja *r, enum value_kind kind, const struct value_grow *g, struct value *out)
{
  struct value_list *list = NULL;
  TRY(value_list_new(r, kind, 0, out, &list));
  if (g->count) *list = (struct value_list){g->items, g->count};
  return 0;
}

int value_dict_new(struct jinja *r, enum value_kind kind, size_t room, struct value *out)
{
  struct value_dict *d = jinja_alloc(r, 1, sizeof *d);
  if (!d) return r->rc;
  d->keys = jinja_alloc(r, room, sizeof *d->keys);
  d->values = jinja_alloc(r, room, sizeof *d->values);
  if (!d->keys || !d->values) return r->rc;
  d->room = room;
  *out = (struct value){.kind = kind, .as.dict = d};
  return 0;
}

struct value *value_dict_get(struct jinja *r, const struct value_dict *d, const struct value *key)
{
  if (key->kind == VALUE_STRING) return value_dict_text(d, key->as.string.bytes, key->as.string.size);
  for (size_t i = 0; i < d->count; i++)
    if (value_equal(r, &d->keys[i], key)) return &d->values[i];
  return NULL;
}

struct value *value_dict_text(const struct value_dict *d, const char *key, size_t n)
{
  for (size_t i = 0; i < d->count; i++) {
    const struct value *k = &d->keys[i];
    if (k->kind == VALUE_STRING && k->as.string.size == n && !memcmp(k->as.string.bytes, key, n)) return &d->values[i];
  }
  return NULL;
}

int value_check_hashable(struct jinja *r, const struct value *v)
{
  if (v->kind == VALUE_LIST || v->kind == VALUE_DICT) return jinja_fail(r, "unhashable type: '%s'", value_type(v));
  if (v->kind != VALUE_TUPLE) return 0;
  TRY(jinja_enter(r));
  for (size_t i = 0; i < v->as.list->count; i++) TRY(value_check_hashable(r, &v->as.list->items[i]));
  jinja_leave(r);
  return 0;
}

int value_dict_set(struct jinja *r, struct value_dict *d, struct value key, struct value v)
{
  TRY(value_check_hashable(r, &key));
  TRY(jinja_step(r, 1 + d->count / 4));
  struct value *have = value_dict_get(r, d, &key);
  if (have) {
    *have = v;
    return 0;
  }
  if (d->count == d->room) {
    size_t room = d->room ? d->room * 2 : 4;
    struct value *keys = jinja_alloc(r, room, sizeof *keys), *values = jinja_alloc(r, room, sizeof *values);
    if (!keys || !values) return r->rc;
    if (d->count) {
      memcpy(keys, d->keys, d->count * sizeof *keys);
      memcpy(values, d->values, d->count * sizeof *values);
    }
    d->keys = keys;
    d->values = values;
    d->room = room;
  }
  d->keys[d->count] = key;
  d->values[d->count++] = v;
  return 0;
}

static int dict_from_json(struct jinja *r, const json_t *j, unsigned depth, struct value *out)
{
  TRY(value_dict_new(r, VALUE_DICT, json_object_size(j), out));
  struct value_dict *d = out->as.dict;
  for (void *at = json_object_iter((json_t *)(uintptr_t)j); at;
       at = json_object_iter_next((json_t *)(uintptr_t)j, at)) {
    const char *key = json_object_iter_key(at);
    d->keys[d->count] = value_string(key, json_object_iter_key_len(at));
    TRY(value_from_json(r, json_object_iter_value(at), depth + 1, &d->values[d->count]));
    d->count++;
  }
  return 0;
}

int value_from_json(struct jinja *r, const json_t *j, unsigned depth, struct value *out)
{
  if (depth > 600) return jinja_fail(r, "the variables are nested deeper than 600 levels");
  switch (json_typeof(j)) {
    case JSON_OBJECT:
      return dict_from_json(r, j, depth, out);
    case JSON_ARRAY: {
      struct value_list *list = NULL;
      TRY(value_list_new(r, VALUE_LIST, json_array_size(j), out, &list));
      for (size_t i = 0; i < list->count; i++)
        TRY(value_from_json(r, json_array_get(j, i), depth + 1, &list->items[i]));
      return 0;
    }
    case JSON_STRING:
      *out = value_string(json_string_value(j), json_string_length(j));
      return 0;
    case JSON_INTEGER:
      *out = value_int(json_integer_value(j));
      return 0;
    case JSON_REAL:
      *out = value_float(json_real_value(j));
      return 0;
    case JSON_NULL:
      *out = value_none();
      return 0;
    default:
      *out = value_bool(json_is_true(j));
      return 0;
  }
}

const char *value_type(const struct value *v)
{
  static const char *const names[] = {"Undefined", "NoneType",    "bool",      "int",      "float",
                                      "str",       "list",        "tuple",     "dict",     "dict_items",
                                      "range",     "generator",   "Namespace", "function", "method",
                                      "Macro",     "LoopContext", "Joiner",    "Cycler",   "TemplateReference"};
  return v->kind == VALUE_VIEW ? v->as.view.name : names[v->kind];
}

bool value_is_integer(const struct value *v)
{
  return v->kind == VALUE_INT || v->kind == VALUE_BOOL;
}
bool value_is_number(const struct value *v)
{
  return value_is_integer(v) || v->kind == VALUE_FLOAT;
}
wide value_as_integer(const struct value *v)
{
  return v->kind == VALUE_BOOL ? v->as.truth : v->as.integer;
}
double value_as_real(const struct value *v)
{
  return v->kind == VALUE_FLOAT ? v->as.real : (double)value_as_integer(v);
}

bool value_is_string(const struct value *v, const char *s)
{
  return v->kind == VALUE_STRING && v->as.string.size == strlen(s) && !memcmp(v->as.string.bytes, s, v->as.string.size);
}

bool value_truth(const struct value *v)
{
  switch (v->kind) {
    case VALUE_UNDEFINED:
    case VALUE_NONE:
      return false;
    case VALUE_BOOL:
      return v->as.truth;
    case VALUE_INT:
      return v->as.integer != 0;
    case VALUE_FLOAT:
      return v->as.real != 0;
    case VALUE_STRING:
      return v->as.string.size > 0;
    case VALUE_LIST:
    case VALUE_TUPLE:
      return v->as.list->count > 0;
    case VALUE_VIEW:
      return v->as.view.list->count > 0;
    case VALUE_DICT:
      return v->as.dict->count > 0;
    case VALUE_RANGE:
      return v->as.range->count > 0;
    default:
      return true;
  }
}

static bool lists_equal(struct jinja *r, const struct value_list *a, const struct value_list *b)
{
  if (a->count != b->count || jinja_step(r, a->count) || jinja_enter(r)) return false;
  size_t i = 0;
  while (i < a->count && value_equal(r, &a->items[i], &b->items[i])) i++;
  jinja_leave(r);
  return i == a->count;
}

static bool dicts_equal(struct jinja *r, const struct value_dict *a, const struct value_dict *b)
{
  if (a->count != b->count || jinja_step(r, a->count) || jinja_enter(r)) return false;
  size_t i = 0;
  for (; i < a->count; i++) {
    const struct value *other = jinja_step(r, b->count / 4) ? NULL : value_dict_get(r, b, &a->keys[i]);
    if (!other || !value_equal(r, &a->values[i], other)) break;
  }
  jinja_leave(r);
  return i == a->count;
}

bool value_equal(struct jinja *r, const struct value *a, const struct value *b)
{
  if (r->rc) return false;
  if (value_is_integer(a) && value_is_integer(b)) return value_as_integer(a) == value_as_integer(b);
  if (value_is_number(a) && value_is_number(b)) return value_as_real(a) == value_as_real(b);
  if (a->kind != b->kind) return false;
  switch (a->kind) {
    case VALUE_UNDEFINED:
    case VALUE_NONE:
      return true;
    case VALUE_STRING:
      return a->as.string.size == b->as.string.size &&
             !memcmp(a->as.string.bytes, b->as.string.bytes, a->as.string.size);
    case VALUE_LIST:
    case VALUE_TUPLE:
      return lists_equal(r, a->as.list, b->as.list);
    case VALUE_VIEW:
      return lists_equal(r, a->as.view.list, b->as.view.list);
    case VALUE_DICT:
      return dicts_equal(r, a->as.dict, b->as.dict);
    case VALUE_RANGE:
      return a->as.range->count == b->as.range->count &&
             (!a->as.range->count || (a->as.range->start == b->as.range->start &&
                                      (a->as.range->count == 1 || a->as.range->step == b->as.range->step)));
    case VALUE_FUNCTION:
      return a->as.name == b->as.name;
    case VALUE_SELF:
      return true;
    default:
      return a->as.dict == b->as.dict; /* identity: all of these are one pointer */
  }
}

static int compare_lists(struct jinja *r, const struct value_list *a, const struct value_list *b, int *order)
{
  TRY(jinja_enter(r));
  int rc = 0;
  *order = (a->count > b->count) - (a->count < b->count);
  for (size_t i = 0; i < a->count && i < b->count; i++) {
    if (value_equal(r, &a->items[i], &b->items[i])) continue;
    rc = r->rc ? r->rc : value_compare(r, &a->items[i], &b->items[i], order);
    break;
  }
  jinja_leave(r);
  return rc;
}

int value_compare(struct jinja *r, const struct value *a, const struct value *b, int *order)
{
  TRY(jinja_step(r, 1));
  if (value_is_integer(a) && value_is_integer(b)) {
    wide x = value_as_integer(a), y = value_as_integer(b);
    *order = (x > y) - (x < y);
  } else if (value_is_number(a) && value_is_number(b)) {
    double x = value_as_real(a), y = value_as_real(b);
    *order = (x > y) - (x < y);
  } else if (a->kind == VALUE_STRING && b->kind == VALUE_STRING) {
    size_t n = a->as.string.size, m = b->as.string.size;
    *order = memcmp(a->as.string.bytes, b->as.string.bytes, n < m ? n : m); /* UTF-8 sorts like its code points */
    if (!*order) *order = (n > m) - (n < m);
  } else if (a->kind == b->kind && (a->kind == VALUE_LIST || a->kind == VALUE_TUPLE)) {
    return compare_lists(r, a->as.list, b->as.list, order);
  } else if (a->kind == VALUE_UNDEFINED || b->kind == VALUE_UNDEFINED) {
    const struct value *u = a->kind == VALUE_UNDEFINED ? a : b;
    return jinja_fail(r, "'%s' is undefined", u->as.hint);
  } else {
    return jinja_fail(r, "'<' not supported between instances of '%s' and '%s'", value_type(a), value_type(b));
  }
  return 0;
}

/* One string value per character. */
static int characters(struct jinja *r, const struct value *s, struct value_list *out)
{
  size_t n = string_length(s), at = 0;
  TRY(jinja_step(r, n));
  *out = (struct value_list){jinja_alloc(r, n, sizeof *out->items), n};
  if (!out->items) return r->rc;
  for (size_t i = 0, step; i < n; i++, at += step) {
    unicode_at(s->as.string.bytes, s->as.string.size, at, &step);
    out->items[i] = value_string(s->as.string.bytes + at, step);
  }
  return 0;
}

static int range_items(struct jinja *r, const struct value_range *range, struct value_list *out)
{
  *out = (struct value_list){jinja_alloc(r, range->count, sizeof *out->items), range->count};
  if (!out->items) return r->rc;
  for (size_t i = 0; i < range->count; i++) out->items[i] = value_int(range->start + (wide)i * range->step);
  return 0;
}

int value_iterate(struct jinja *r, const struct value *v, struct value_list *out)
{
  static struct value nothing[1];
  *out = (struct value_list){nothing, 0};
  switch (v->kind) {
    case VALUE_UNDEFINED:
      return 0;
    case VALUE_LIST:
    case VALUE_TUPLE:
      *out = *v->as.list;
      break;
    case VALUE_VIEW:
      *out = *v->as.view.list;
      break;
    case VALUE_DICT:
      *out = (struct value_list){v->as.dict->keys, v->as.dict->count};
      break;
    case VALUE_STRING:
      return characters(r, v, out);
    case VALUE_RANGE:
      TRY(range_items(r, v->as.range, out));
      break;
    case VALUE_ITERATOR: {
      struct value_iterator *it = v->as.iterator;
      *out = (struct value_list){it->list.items + it->at, it->list.count - it->at};
      it->at = it->list.count;
      break;
    }
    default:
      return jinja_fail(r, "'%s' object is not iterable", value_type(v));
  }
  return jinja_step(r, out->count);
}

int value_length(struct jinja *r, const struct value *v, size_t *out)
{
  switch (v->kind) {
    case VALUE_UNDEFINED:
      *out = 0;
      return 0;
    case VALUE_STRING:
      *out = string_length(v);
      return jinja_step(r, v->as.string.size / 64);
    case VALUE_LIST:
    case VALUE_TUPLE:
      *out = v->as.list->count;
      return 0;
    case VALUE_VIEW:
      *out = v->as.view.list->count;
      return 0;
    case VALUE_DICT:
      *out = v->as.dict->count;
      return 0;
    case VALUE_RANGE:
      *out = v->as.range->count;
      return 0;
    default:
      return jinja_fail(r, "object of type '%s' has no len()", value_type(v));
  }
}

int value_contains(struct jinja *r, const struct value *item, const struct value *in, bool *out)
{
  *out = false;
  if (in->kind == VALUE_STRING) {
    if (item->kind != VALUE_STRING)
      return jinja_fail(r, "'in <string>' requires string as left operand, not %s", value_type(item));
    TRY(jinja_step(r, in->as.string.size / 64));
    *out = !item->as.string.size || (in->as.string.size && memmem(in->as.string.bytes, in->as.string.size,
                                                                  item->as.string.bytes, item->as.string.size));
    return 0;
  }
  if (in->kind == VALUE_DICT) {
    TRY(jinja_step(r, in->as.dict->count / 4));
    *out = value_dict_get(r, in->as.dict, item) != NULL;
    return r->rc;
  }
  if (in->kind == VALUE_NONE || value_is_number(in))
    return jinja_fail(r, "argument of type '%s' is not iterable", value_type(in));
  struct value_list items;
  TRY(value_iterate(r, in, &items));
  for (size_t i = 0; i < items.count && !*out; i++) *out = value_equal(r, &items.items[i], item);
  return r->rc;
}

size_t string_length(const struct value *s)
{
  size_t n = 0;
  for (size_t i = 0; i < s->as.string.size; i++) n += ((uint8_t)s->as.string.bytes[i] & 0xc0) != 0x80;
  return n;
}

struct value string_part(const struct value *s, size_t first, size_t count)
{
  const char *bytes = s->as.string.bytes;
  size_t n = s->as.string.size, at = 0, step;
  for (; first && at < n; first--, at += step) unicode_at(bytes, n, at, &step);
  size_t end = at;
  for (; count && end < n; count--, end += step) unicode_at(bytes, n, end, &step);
  struct value part = value_string(bytes + at, end - at);
  part.markup = s->markup;
  return part;
}
