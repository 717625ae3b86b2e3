#include "data/preference.h"

#include <string.h>

static const char *const names[] = {[PREFERENCE_CHOSEN] = "chosen", [PREFERENCE_REJECTED] = "rejected"};

bool preference_is(const json_t *fields)
{
  return json_object_get(fields, "chosen") && json_object_get(fields, "rejected");
}

size_t preference_common(const json_t *chosen, const json_t *rejected)
{
  size_t a = json_array_size(chosen), b = json_array_size(rejected), n = 0;
  while (n + 1 < a && n + 1 < b && json_equal(json_array_get(chosen, n), json_array_get(rejected, n))) n++;
  return n;
}

static bool has_role(const json_t *message, const char *role)
{
  const char *is = json_string_value(json_object_get(message, "role"));
  return is && (!role || !strcmp(is, role));
}

/* A conversation of its own, not the answer to one. */
static bool is_whole(const json_t *side)
{
  return json_is_array(side) && json_array_size(side) && !has_role(json_array_get(side, 0), "assistant");
}

static int bad_side(const struct problem *p, const char *name, const char *what, struct error *err)
{
  FAIL_AT(
      err, ERROR_INPUT, p->source, p->line, name,
      "found %s that is %s; expected a text behind a prompt, or messages {\"role\", \"content\"} that end with one of "
      "the assistant",
      name, what);
}

/* The messages of a side behind what the problem's own prompt takes. */
static int add_answer(const struct problem *p, const char *name, const json_t *side, size_t skip, json_t *list,
                      struct error *err)
{
  int rc = 0;
  if (json_is_string(side))
    rc = json_array_append_new(list, json_pack("{s:s, s:O}", "role", "assistant", "content", side));
  else if (json_is_object(side))
    rc = json_array_append(list, (json_t *)side);
  for (size_t i = skip; !rc && i < json_array_size(side); i++) rc = json_array_append(list, json_array_get(side, i));
  if (rc) FAIL(err, ERROR_RESOURCE, "no memory for a conversation");
  size_t n = json_array_size(list);
  for (size_t i = 0; i < n; i++)
    if (!has_role(json_array_get(list, i), NULL)) return bad_side(p, name, "a list with a message without a role", err);
  if (!n || !has_role(json_array_get(list, n - 1), "assistant"))
    return bad_side(p, name, "a conversation that does not end with the assistant", err);
  return 0;
}

/* Whether a side can stand behind the problem's prompt. */
static int check_side(const struct problem *p, enum preference_side which, bool whole, struct error *err)
{
  const json_t *side = json_object_get(p->fields, names[which]);
  bool list = json_is_array(side);
  if (list && !json_array_size(side)) return bad_side(p, names[which], "an empty list", err);
  if (!list && !json_is_string(side) && !json_is_object(side))
    return bad_side(p, names[which], "neither text nor messages", err);
  if (whole != is_whole(json_object_get(p->fields, names[!which])))
    return bad_side(p, names[whole ? !which : which], "an answer where the other side is a whole conversation", err);
  if (!whole && !p->messages) return bad_side(p, names[which], "messages behind a prompt that is plain text", err);
  return 0;
}

int preference_read(const struct problem *p, enum preference_side which, const json_t **text, json_t **messages,
                    size_t *from, struct error *err)
{
  const json_t *side = json_object_get(p->fields, names[which]);
  bool whole = is_whole(side);
  *text = json_is_string(side) && !p->messages ? side : NULL;
  *messages = NULL;
  if (*text) return 0;
  TRY(check_side(p, which, whole, err));
  json_t *list = json_array();
  // of whole conversations the problem holds the common beginning, unless its line has a plain prompt, too
  size_t common = whole ? preference_common(side, json_object_get(p->fields, names[!which])) : 0;
  *from = p->messages ? json_array_size(p->messages) : common;
  int rc = list && (!p->messages || !json_array_extend(list, (json_t *)p->messages))
               ? 0
               : error_fail(err, ERROR_RESOURCE, NULL, 0, NULL, "no memory for a conversation");
  if (!rc) rc = add_answer(p, names[which], side, p->messages ? common : 0, list, err);
  if (rc)
    json_decref(list);
  else
    *messages = list;
  return rc;
}
