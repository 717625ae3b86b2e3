#include "serve/watch_line.h"

#include <stdlib.h>
#include <string.h>

uint64_t watch_key(const char *id)
{
  uint64_t hash = 0xcbf29ce484222325u;
  for (; *id; id++) hash = (hash ^ (uint8_t)*id) * 0x100000001b3u;
  return hash;
}

/* ---- the pieces of a line ---------------------------------------------------------------------------------------- */

/* Where `mark` begins, behind `from`. A mark begins with ," and so stands in no string: there a quote has a backslash
 * before it. */
static const char *find_mark(const char *from, const char *end, const char *mark)
{
  size_t m = strlen(mark);
  while ((size_t)(end - from) >= m) {
    from = memchr(from, ',', (size_t)(end - from) - m + 1);
    if (!from) return NULL;
    if (!memcmp(from, mark, m)) return from;
    from++;
  }
  return NULL;
}

static int64_t count_items(const char *list, size_t n)
{
  int64_t count = n > 0;
  for (size_t i = 0; i < n; i++) count += list[i] == ',';
  return count;
}

/* The line without its lists: {HEAD, "from":N, TAIL}. NULL where it has another form. */
static char *shorten(struct arena *a, const char *line, size_t n, struct watch_line *l, size_t *size, struct error *err)
{
  static const char ids_mark[] = ",\"ids\":[",
                    from_mark[] = ",\"from\":", reward_mark[] = ",\"reward\":", advantage_mark[] = ",\"advantage\":[";
  const char *end = line + n, *ids = find_mark(line, end, ids_mark);
  const char *first = ids ? ids + sizeof ids_mark - 1 : end, *closed = memchr(first, ']', (size_t)(end - first));
  if (!closed || strncmp(closed + 1, from_mark, sizeof from_mark - 1) != 0) return NULL;
  const char *from = closed + 1, *from_end = memchr(from + 1, ',', (size_t)(end - from) - 1);
  const char *tail = from_end ? find_mark(from_end, end, reward_mark) : NULL;
  if (!tail) return NULL;
  const char *cut = find_mark(tail, end, advantage_mark), *cut_end = cut ? memchr(cut, ']', (size_t)(end - cut)) : NULL;
  if (cut_end)
    cut_end++;
  else
    cut = cut_end = end;
  *size = (size_t)(ids - line) + (size_t)(from_end - from) + (size_t)(cut - tail) + (size_t)(end - cut_end);
  char *out = ARENA_NEW(a, char, *size + 1, "watch", err), *at = out;
  if (!out) return NULL;
  l->ids = first;
  l->ids_size = (size_t)(closed - first);
  at = (char *)memcpy(at, line, (size_t)(ids - line)) + (ids - line);
  at = (char *)memcpy(at, from, (size_t)(from_end - from)) + (from_end - from);
  at = (char *)memcpy(at, tail, (size_t)(cut - tail)) + (cut - tail);
  memcpy(at, cut_end, (size_t)(end - cut_end));
  return out;
}

/* ---- fields ------------------------------------------------------------------------------------------------------ */

static int take_fields(struct watch_line *l, struct error *err)
{
  const json_t *o = l->object, *text = json_object_get(o, "text"), *verdict = json_object_get(o, "verdict");
  if (!json_is_object(o)) FAIL(err, ERROR_INPUT, "found no JSON object; expected a rollout");
  TRY(json_need_string(o, "problem", &l->problem, NULL, err));
  TRY(json_int_or(o, "group", 0, INT64_MAX, 0, &l->group, NULL, err));
  TRY(json_int_or(o, "attempt", 0, INT64_MAX, 0, &l->attempt, NULL, err));
  TRY(json_int_or(o, "rollout", 0, INT64_MAX, 0, &l->rollout, NULL, err));
  TRY(json_int_or(o, "from", 0, INT32_MAX, 0, &l->from, NULL, err));
  TRY(json_string_or(o, "finish", "", &l->finish, NULL, err));
  l->key = watch_key(l->problem);
  l->reward = json_number_value(json_object_get(o, "reward"));
  l->verdict =
      json_is_true(json_object_get(verdict, "failed")) ? -1 : json_is_true(json_object_get(verdict, "correct"));
  l->counts = !json_object_get(o, "probe") && !json_is_false(json_object_get(o, "kept"));
  l->text = json_is_string(text) ? json_string_value(text) : "";
  l->text_size = json_is_string(text) ? json_string_length(text) : 0;
  return 0;
}

int watch_line_read(struct arena *a, const char *line, size_t n, struct watch_line *l, struct error *err)
{
  json_t *object;
  *l = (struct watch_line){0};
  TRY(json_parse(a, line, n, NULL, 0, JSON_READ_PLAIN, &object, err));
  l->object = object;
  TRY(take_fields(l, err));
  int64_t ids = (int64_t)json_array_size(json_object_get(object, "ids"));
  l->tokens = ids > l->from ? ids - l->from : 0;
  return 0;
}

int watch_line_skim(struct arena *a, const char *line, size_t n, struct watch_line *l, struct error *err)
{
  size_t size;
  struct error failure = {0};
  json_t *object;
  *l = (struct watch_line){0};
  char *shorter = shorten(a, line, n, l, &size, &failure);
  if (failure.code) {
    *err = failure;
    return err->code;
  }
  // what is cut wrongly is no JSON any more: read it whole
  if (!shorter || json_parse(a, shorter, size, NULL, 0, JSON_READ_PLAIN, &object, &failure))
    return watch_line_read(a, line, n, l, err);
  l->object = object;
  TRY(take_fields(l, err));
  int64_t ids = count_items(l->ids, l->ids_size);
  l->tokens = ids > l->from ? ids - l->from : 0;
  return 0;
}

size_t watch_line_prompt(const struct watch_line *l, int32_t *ids, size_t most)
{
  size_t count = 0;
  int64_t skip = l->from - (int64_t)most;
  if (!l->ids) {
    const json_t *list = json_object_get(l->object, "ids");
    for (int64_t i = skip > 0 ? skip : 0; i < l->from && i < (int64_t)json_array_size(list); i++)
      ids[count++] = (int32_t)json_integer_value(json_array_get(list, (size_t)i));
    return count;
  }
  const char *at = l->ids, *end = at + l->ids_size;
  for (int64_t i = 0; i < l->from && at < end; i++) {
    if (i >= skip) ids[count++] = (int32_t)strtol(at, NULL, 10);
    const char *comma = memchr(at, ',', (size_t)(end - at));
    at = comma ? comma + 1 : end;
  }
  return count;
}
