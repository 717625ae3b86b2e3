/* Filters on lists and dicts. */
#include "text/template_filters.h"

#include <string.h>

/* Does the right key go before the left one? Two missing attributes are equal, as they are to Jinja, which compares
 * lists of keys. */
static int goes_first(struct jinja *r, const struct value *right, const struct value *left, bool reverse, bool *out)
{
  int order = 0;
  if (right->kind != VALUE_UNDEFINED || left->kind != VALUE_UNDEFINED) TRY(value_compare(r, right, left, &order));
  *out = reverse ? order > 0 : order < 0;
  return 0;
}

/* Items in the order of their keys; equal keys keep their order. keys and items move together. */
int value_sort(struct jinja *r, struct value *keys, struct value *items, size_t count, bool reverse)
{
  struct value *spare_keys = jinja_alloc(r, count, sizeof *keys), *spare = jinja_alloc(r, count, sizeof *items);
  if (!spare_keys || !spare) return r->rc;
  for (size_t width = 1; width < count; width *= 2) {
    for (size_t from = 0; from < count; from += 2 * width) {
      size_t mid = from + width < count ? from + width : count, end = mid + width < count ? mid + width : count;
      size_t left = from, right = mid;
      for (size_t to = from; to < end; to++) {
        bool take_right = left == mid;
        if (left < mid && right < end) TRY(goes_first(r, &keys[right], &keys[left], reverse, &take_right));
        size_t at = take_right ? right++ : left++;
        spare_keys[to] = keys[at];
        spare[to] = items[at];
      }
    }
    memcpy(keys, spare_keys, count * sizeof *keys);
    memcpy(items, spare, count * sizeof *items);
  }
  return 0;
}

/* The items of what is filtered, copied, so that they can be moved. */
static int copy_items(struct filter_call *c, struct value_list *out)
{
  struct value_list items;
  TRY(value_iterate(c->r, c->v, &items));
  *out = (struct value_list){jinja_alloc(c->r, items.count, sizeof *out->items), items.count};
  if (!out->items) return c->r->rc;
  if (items.count) memcpy(out->items, items.items, items.count * sizeof *items.items);
  return 0;
}

static int make_list(struct filter_call *c, enum value_kind kind, struct value_list items)
{
  struct value_grow g = {items.items, items.count, items.count};
  return value_list_from(c->r, kind, &g, c->out);
}

/* What an item counts as: an attribute of it (a path) if one is given, without regard to case if so asked. */
static int item_key(struct filter_call *c, const struct value *item, const struct value *path, bool ignore_case,
                    struct value *out)
{
  *out = *item;
  if (path && path->kind != VALUE_NONE) TRY(jinja_eval_path(c->r, item, path, NULL, out));
  if (!ignore_case || out->kind != VALUE_STRING) return 0;
  struct value s = *out;
  return string_case(c->r, &s, false, out);
}

static int item_keys(struct filter_call *c, const struct value_list *items, const struct value *path, bool ignore_case,
                     struct value **out)
{
  *out = jinja_alloc(c->r, items->count, sizeof **out);
  if (!*out) return c->r->rc;
  for (size_t i = 0; i < items->count; i++) TRY(item_key(c, &items->items[i], path, ignore_case, &(*out)[i]));
  return 0;
}

/* Sorting by "a,b": the keys are tuples. */
static int sort_keys(struct filter_call *c, const struct value_list *items, const struct value *path, bool ignore_case,
                     struct value **out)
{
  if (!path || path->kind != VALUE_STRING || !path->as.string.size ||
      !memchr(path->as.string.bytes, ',', path->as.string.size))
    return item_keys(c, items, path, ignore_case, out);
  struct value comma = value_text(","), parts;
  struct arguments args = {.items = &comma, .count = 1};
  TRY(jinja_call_string_method(c->r, path, "split", &args, &parts));
  *out = jinja_alloc(c->r, items->count, sizeof **out);
  if (!*out) return c->r->rc;
  for (size_t i = 0; i < items->count; i++) {
    struct value_list *key = NULL;
    TRY(value_list_new(c->r, VALUE_TUPLE, parts.as.list->count, &(*out)[i], &key));
    for (size_t k = 0; k < key->count; k++)
      TRY(item_key(c, &items->items[i], &parts.as.list->items[k], ignore_case, &key->items[k]));
  }
  return 0;
}

static int filter_sort(struct filter_call *c)
{
  struct value_list items;
  struct value *keys;
  bool reverse = jinja_argument_truth(c->args, 0, "reverse", false),
       exact = jinja_argument_truth(c->args, 1, "case_sensitive", false);
  TRY(copy_items(c, &items));
  TRY(sort_keys(c, &items, jinja_argument(c->args, 2, "attribute"), !exact, &keys));
  TRY(value_sort(c->r, keys, items.items, items.count, reverse));
  return make_list(c, VALUE_LIST, items);
}

static int filter_dictsort(struct filter_call *c)
{
  struct value by, pairs;
  struct value *keys;
  if (c->v->kind != VALUE_DICT) return jinja_fail(c->r, "dictsort needs a mapping; found '%s'", value_type(c->v));
  TRY(jinja_argument_string(c->r, c->args, 1, "by", value_text("key"), &by));
  if (!value_is_string(&by, "key") && !value_is_string(&by, "value"))
    return jinja_fail(c->r, "You can only sort by either \"key\" or \"value\"");
  TRY(value_dict_view(c->r, c->v->as.dict, "items", VALUE_LIST, &pairs));
  struct value at = value_int(value_is_string(&by, "value"));
  TRY(item_keys(c, pairs.as.list, &at, !jinja_argument_truth(c->args, 0, "case_sensitive", false), &keys));
  TRY(value_sort(c->r, keys, pairs.as.list->items, pairs.as.list->count,
                 jinja_argument_truth(c->args, 2, "reverse", false)));
  *c->out = pairs;
  return 0;
}

static int filter_unique(struct filter_call *c)
{
  struct value_list items;
  struct value *keys;
  struct value_grow kept = {0};
  size_t seen = 0;
  TRY(copy_items(c, &items));
  TRY(item_keys(c, &items, jinja_argument(c->args, 1, "attribute"),
                !jinja_argument_truth(c->args, 0, "case_sensitive", false), &keys));
  for (size_t i = 0; i < items.count; i++) {
    TRY(value_check_hashable(c->r, &keys[i]));
    size_t k = 0;
    while (k < seen && !value_equal(c->r, &keys[k], &keys[i])) k++;
    TRY(jinja_step(c->r, k / 4));
    if (k < seen) continue;
    keys[seen++] = keys[i];
    TRY(value_grow_add(c->r, &kept, items.items[i]));
  }
  return value_list_from(c->r, VALUE_ITERATOR, &kept, c->out);
}

static int filter_extreme(struct filter_call *c)
{
  struct value_list items;
  struct value *keys;
  int order, sign = c->name[1] == 'a' ? 1 : -1;
  TRY(value_iterate(c->r, c->v, &items));
  TRY(item_keys(c, &items, jinja_argument(c->args, 1, "attribute"),
                !jinja_argument_truth(c->args, 0, "case_sensitive", false), &keys));
  size_t best = 0;
  for (size_t i = 1; i < items.count; i++) {
    TRY(value_compare(c->r, &keys[i], &keys[best], &order));
    if (order * sign > 0) best = i;
  }
  *c->out = items.count ? items.items[best] : value_undefined("No aggregated item, sequence was empty.");
  return 0;
}

static int filter_sum(struct filter_call *c)
{
  struct value_list items;
  const struct value *path = jinja_argument(c->args, 0, "attribute"), *start = jinja_argument(c->args, 1, "start");
  struct value total = start ? *start : value_int(0), key;
  TRY(value_iterate(c->r, c->v, &items));
  for (size_t i = 0; i < items.count; i++) {
    TRY(item_key(c, &items.items[i], path, false, &key));
    struct value left = total;
    TRY(jinja_eval_binary(c->r, "+", &left, &key, &total));
  }
  *c->out = total;
  return 0;
}

static int filter_join(struct filter_call *c)
{
  struct value_list items;
  struct value key, separator = value_text("");
  const struct value *given = jinja_argument(c->args, 0, "d"), *path = jinja_argument(c->args, 1, "attribute");
  if (given) TRY(value_to_string(c->r, given, &separator));
  TRY(value_iterate(c->r, c->v, &items));
  struct jinja_text b = {.r = c->r};
  for (size_t i = 0; i < items.count; i++) {
    if (i) jinja_add(&b, separator.as.string.bytes, separator.as.string.size);
    TRY(item_key(c, &items.items[i], path, false, &key));
    TRY(value_put_str(&b, &key));
  }
  return jinja_take(&b, c->out);
}

static int filter_end(struct filter_call *c)
{
  struct value_list items;
  bool first = !strcmp(c->name, "first");
  TRY(value_iterate(c->r, c->v, &items));
  *c->out = items.count ? items.items[first ? 0 : items.count - 1] : value_undefined("the sequence was empty");
  return 0;
}

static int filter_list(struct filter_call *c)
{
  struct value_list items;
  TRY(value_iterate(c->r, c->v, &items));
  return make_list(c, VALUE_LIST, items);
}

static int filter_reverse(struct filter_call *c)
{
  struct value_list items;
  TRY(copy_items(c, &items));
  for (size_t i = 0; i < items.count / 2; i++) {
    struct value swap = items.items[i];
    items.items[i] = items.items[items.count - 1 - i];
    items.items[items.count - 1 - i] = swap;
  }
  if (c->v->kind != VALUE_STRING) return make_list(c, VALUE_ITERATOR, items);
  struct jinja_text b = {.r = c->r};
  for (size_t i = 0; i < items.count; i++) jinja_add(&b, items.items[i].as.string.bytes, items.items[i].as.string.size);
  return jinja_take(&b, c->out);
}

/* The arguments behind the first n. */
static struct arguments arguments_from(const struct arguments *args, size_t n)
{
  struct arguments rest = *args;
  if (n > rest.count) n = rest.count;
  rest.items += n;
  rest.count -= n;
  return rest;
}

static int name_of(struct filter_call *c, const struct value *v, char *name, size_t size)
{
  if (v->kind != VALUE_STRING || v->as.string.size >= size)
    return jinja_fail(c->r, "%s needs the name of a filter or test", c->name);
  memcpy(name, v->as.string.bytes, v->as.string.size);
  name[v->as.string.size] = 0;
  return 0;
}

/* What is false (None, 0, "") has no items for map, select and their kin. */
static int iterate_if_true(struct filter_call *c, struct value_list *items)
{
  *items = (struct value_list){NULL, 0};
  return value_truth(c->v) ? value_iterate(c->r, c->v, items) : 0;
}

/* map(attribute=...), or map("filter", its arguments). */
static int filter_map(struct filter_call *c)
{
  struct value_list items;
  struct value_list *out = NULL;
  const struct value *path = c->args->count ? NULL : jinja_argument(c->args, 0, "attribute"),
                     *fallback = jinja_argument(c->args, SIZE_MAX, "default");
  if (fallback && fallback->kind == VALUE_NONE) fallback = NULL;
  char name[64] = "";
  struct arguments rest = arguments_from(c->args, 1);
  if (!path && !c->args->count) return jinja_fail(c->r, "map requires a filter argument");
  if (!path) TRY(name_of(c, &c->args->items[0], name, sizeof name));
  TRY(iterate_if_true(c, &items));
  TRY(value_list_new(c->r, VALUE_ITERATOR, items.count, c->out, &out));
  for (size_t i = 0; i < items.count; i++) {
    if (!path) {
      TRY(jinja_call_filter(c->r, name, &items.items[i], &rest, &out->items[i]));
      continue;
    }
    TRY(jinja_eval_path(c->r, &items.items[i], path, fallback, &out->items[i]));
  }
  return 0;
}

/* select, reject, selectattr, rejectattr: by a test, or by truth where none is named. */
static int filter_select(struct filter_call *c)
{
  struct value_list items;
  struct value_grow kept = {0};
  struct value key;
  bool attribute = strstr(c->name, "attr") != NULL, want = c->name[0] == 's', pass;
  char name[64] = "";
  if (attribute && !c->args->count) return jinja_fail(c->r, "Missing parameter for attribute name");
  const struct value *test = jinja_argument(c->args, attribute, NULL);
  struct arguments rest = arguments_from(c->args, (size_t)attribute + 1);
  if (test) TRY(name_of(c, test, name, sizeof name));
  TRY(iterate_if_true(c, &items));
  for (size_t i = 0; i < items.count; i++) {
    TRY(item_key(c, &items.items[i], attribute ? &c->args->items[0] : NULL, false, &key));
    pass = value_truth(&key);
    if (test) TRY(jinja_call_test(c->r, name, &key, &rest, &pass));
    if (pass == want) TRY(value_grow_add(c->r, &kept, items.items[i]));
  }
  return value_list_from(c->r, VALUE_ITERATOR, &kept, c->out);
}

/* Pairs (grouper, list), in the order of the groupers. */
static int filter_groupby(struct filter_call *c)
{
  struct value_list items;
  struct value *keys;
  struct value_grow groups = {0};
  const struct value *path = jinja_argument(c->args, 0, "attribute"), *fallback = jinja_argument(c->args, 1, "default");
  if (!path) return jinja_fail(c->r, "groupby lacks its attribute");
  TRY(copy_items(c, &items));
  TRY(item_keys(c, &items, path, !jinja_argument_truth(c->args, 2, "case_sensitive", false), &keys));
  for (size_t i = 0; i < items.count && fallback; i++)
    if (keys[i].kind == VALUE_UNDEFINED) keys[i] = *fallback;
  TRY(value_sort(c->r, keys, items.items, items.count, false));
  for (size_t i = 0, end; i < items.count; i = end) {
    for (end = i + 1; end < items.count && value_equal(c->r, &keys[i], &keys[end]);) end++;
    struct value list, pair, grouper;
    struct value_grow members = {items.items + i, end - i, end - i};
    TRY(value_list_from(c->r, VALUE_LIST, &members, &list));
    TRY(item_key(c, &items.items[i], path, false, &grouper));
    if (fallback && grouper.kind == VALUE_UNDEFINED) grouper = *fallback;
    TRY(value_pair(c->r, grouper, list, &pair));
    TRY(value_grow_add(c->r, &groups, pair));
  }
  return value_list_from(c->r, VALUE_LIST, &groups, c->out);
}

static int add_part(struct filter_call *c, struct value_grow *parts, const struct value *items, size_t count,
                    size_t fill, const struct value *with)
{
  struct value part;
  struct value_list *list = NULL;
  TRY(value_list_new(c->r, VALUE_LIST, count + fill, &part, &list));
  if (count) memcpy(list->items, items, count * sizeof *items);
  for (size_t i = 0; i < fill; i++) list->items[count + i] = *with;
  return value_grow_add(c->r, parts, part);
}

/* batch(n): lists of n items; slice(n): n lists. */
static int filter_parts(struct filter_call *c)
{
  struct value_list items;
  struct value_grow parts = {0};
  bool batch = c->name[0] == 'b';
  long n;
  TRY(jinja_argument_integer(c->r, c->args, 0, batch ? "linecount" : "slices", 0, &n));
  const struct value *with = jinja_argument(c->args, 1, "fill_with");
  if (with && with->kind == VALUE_NONE) with = NULL;
  if (n <= 0 || n > TEMPLATE_RANGE)
    return jinja_fail(c->r, "%s(%ld); expected a number from 1 to %d", c->name, n, TEMPLATE_RANGE);
  TRY(value_iterate(c->r, c->v, &items));
  size_t size = (size_t)n, at = 0;
  TRY(jinja_step(c->r, batch ? 0 : size));
  for (size_t i = 0; batch ? at < items.count : i < size; i++) {
    size_t share = items.count / size, extra = items.count % size, left = items.count - at;
    size_t take = batch ? (left < size ? left : size) : share + (i < extra);
    size_t fill = !with ? 0 : batch ? size - take : i >= extra;
    TRY(add_part(c, &parts, items.items + at, take, fill, with));
    at += take;
  }
  return value_list_from(c->r, VALUE_ITERATOR, &parts, c->out);
}

static const struct filter filters[] = {
    {"sort", filter_sort},         {"dictsort", filter_dictsort}, {"unique", filter_unique},
    {"min", filter_extreme},       {"max", filter_extreme},       {"sum", filter_sum},
    {"join", filter_join},         {"first", filter_end},         {"last", filter_end},
    {"list", filter_list},         {"reverse", filter_reverse},   {"map", filter_map},
    {"select", filter_select},     {"reject", filter_select},     {"selectattr", filter_select},
    {"rejectattr", filter_select}, {"groupby", filter_groupby},   {"batch", filter_parts},
    {"slice", filter_parts}};

const struct filter *jinja_find_list_filter(const char *name)
{
  for (size_t i = 0; i < sizeof filters / sizeof *filters; i++)
    if (!strcmp(filters[i].name, name)) return &filters[i];
  return NULL;
}
