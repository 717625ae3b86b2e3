#include "serve/tools.h"

#include <stdio.h>
#include <string.h>

static const char *const marks[] = {"<tool_call>", "[TOOL_CALLS]", "<|python_tag|>"};
enum { MARKS = sizeof marks / sizeof *marks };

static size_t find(const char *text, size_t n, size_t from, const char *word)
{
  size_t length = strlen(word);
  for (size_t i = from; i + length <= n; i++)
    if (!memcmp(text + i, word, length)) return i;
  return n;
}

static size_t skip_space(const char *text, size_t n, size_t at)
{
  while (at < n && (text[at] == ' ' || text[at] == '\n' || text[at] == '\r' || text[at] == '\t')) at++;
  return at;
}

size_t tools_begin(const char *text, size_t n)
{
  size_t first = skip_space(text, n, 0), begin = n;
  if (first < n && (text[first] == '{' || text[first] == '[')) return 0;
  for (size_t m = 0; m < MARKS; m++) {
    size_t at = find(text, n, 0, marks[m]), length = strlen(marks[m]);
    for (size_t k = length - 1 < n ? length - 1 : n; k > 0 && at == n; k--)
      if (!memcmp(text + n - k, marks[m], k)) at = n - k;
    if (at < begin) begin = at;
  }
  return begin;
}

static json_t *make_call(const json_t *said, const char *call, int32_t choice, size_t index)
{
  const char *name = json_string_value(json_object_get(said, "name"));
  json_t *arguments = json_object_get(said, "arguments");
  char id[96];
  struct text t = {0};
  if (!arguments) arguments = json_object_get(said, "parameters");
  if (!name) return NULL;
  if (json_is_string(arguments))
    text_add(&t, json_string_value(arguments), json_string_length(arguments));
  else if (arguments)
    json_put_value(&t, arguments);
  else
    text_puts(&t, "{}");
  snprintf(id, sizeof id, "call_%s_%d_%zu", strchr(call, '-') ? strchr(call, '-') + 1 : call, choice, index);
  json_t *made = t.rc ? NULL
                      : json_pack("{s:i, s:s, s:s, s:{s:s, s:s%}}", "index", (int)index, "id", id, "type", "function",
                                  "function", "name", name, "arguments", t.size ? t.bytes : "", t.size);
  text_free(&t);
  return made;
}

/* One value of JSON from text[at..): an object, or a list of them; *end: behind it. */
static bool read_value(const char *text, size_t n, size_t at, size_t *end, const char *call, int32_t choice,
                       json_t *calls)
{
  json_error_t error;
  json_t *value = json_loadb(text + at, n - at, JSON_DISABLE_EOF_CHECK, &error);
  if (!value) return false;
  *end = at + (size_t)error.position;
  size_t count = json_is_array(value) ? json_array_size(value) : 1;
  bool all = count > 0;
  for (size_t i = 0; i < count && all; i++) {
    json_t *made =
        make_call(json_is_array(value) ? json_array_get(value, i) : value, call, choice, json_array_size(calls));
    all = made && !json_array_append_new(calls, made);
  }
  json_decref(value);
  return all;
}

json_t *tools_read(const char *text, size_t n, const char *call, int32_t choice)
{
  json_t *calls = json_array();
  size_t at = tools_begin(text, n), mark = MARKS;
  bool whole = calls && at < n;
  for (size_t m = 0; m < MARKS && whole; m++)
    if (find(text, n, at, marks[m]) == at) mark = m;
  while (whole && at < n) {
    if (mark < MARKS) at += strlen(marks[mark]);
    whole = read_value(text, n, skip_space(text, n, at), &at, call, choice, calls);
    // further calls have a mark of their own
    size_t next = mark < MARKS ? find(text, n, at, marks[mark]) : n;
    at = next;
  }
  if (whole && json_array_size(calls)) return calls;
  json_decref(calls);
  return NULL;
}
