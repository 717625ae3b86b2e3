#include <string.h>
#include "data/preference.h"
#include "data/source.h"

int problem_value_text(struct arena *a, const json_t *v, const char **out, struct error *err)
{
  *out = NULL;
  if (!v || json_is_null(v)) return 0;
  if (json_is_string(v)) {
    *out = arena_strndup(a, json_string_value(v), json_string_length(v), "problem", err);
    return *out ? 0 : err->code;
  }
  struct text t = {0};
  json_put_value(&t, v);
  int rc = text_finish(&t, err);
  if (!rc && !(*out = arena_strndup(a, t.bytes, t.size, "problem", err))) rc = err->code;
  text_free(&t);
  return rc;
}

static int out_of_memory(struct error *err)
{
  FAIL(err, ERROR_RESOURCE, "no memory for a problem");
}

/* ---- mapping of names -------------------------------------------------------------------------------------------- */

/* The field, or an error that tells what the line has. */
static int need_field(const json_t *object, const char *name, const char *file, int line, const json_t **out,
                      struct error *err)
{
  const char *names[32], *key;
  char list[256] = "";
  json_t *v;
  size_t count = 0, at = 0;
  *out = json_object_get(object, name);
  if (*out) return 0;
  json_object_foreach((json_t *)object, key, v)
  {
    if (count < 32) names[count++] = key;
    if (at < sizeof list) at += (size_t)snprintf(list + at, sizeof list - at, "%s%s", at ? ", " : "", key);
  }
  const char *nearest = name_nearest(name, names, count);
  FAIL_AT(err, ERROR_INPUT, file, line, name, "found no field \"%s\"; the line has: %s%s%s%s", name, list,
          nearest ? "; did you mean \"" : "", nearest ? nearest : "", nearest ? "\"?" : "");
}

/* "{Body}. {Question}" with the fields' texts. */
static int join_fields(struct arena *a, const json_t *object, const char *pattern, const char *file, int line,
                       struct text *t, struct error *err)
{
  for (const char *at = pattern; *at;) {
    const char *close = *at == '{' ? strchr(at, '}') : NULL;
    if (!close) {
      text_add(t, at++, 1);
      continue;
    }
    const json_t *v;
    const char *name = arena_strndup(a, at + 1, (size_t)(close - at - 1), "problem", err), *text;
    if (!name) return err->code;
    TRY(need_field(object, name, file, line, &v, err));
    TRY(problem_value_text(a, v, &text, err));
    text_puts(t, text ? text : "");
    at = close + 1;
  }
  return 0;
}

static int map_field(struct arena *a, json_t *object, json_t *mapped, const struct source_field *f, const char *file,
                     int line, struct error *err)
{
  const json_t *v;
  if (!strchr(f->from, '{')) {
    TRY(need_field(object, f->from, file, line, &v, err));
    return json_object_set(mapped, f->to, (json_t *)v) ? out_of_memory(err) : 0;
  }
  struct text t = {0};
  int rc = join_fields(a, object, f->from, file, line, &t, err);
  if (!rc) rc = text_finish(&t, err);
  if (!rc && json_object_set_new(mapped, f->to, json_stringn(t.size ? t.bytes : "", t.size)) != 0)
    rc = error_fail(err, ERROR_RESOURCE, file, line, f->to,
                    "the joined field \"%s\" is not UTF-8, or memory is lacking", f->to);
  text_free(&t);
  return rc;
}

/* Every mapping reads the line as it stood, so that their order means nothing. */
static int map_fields(struct arena *a, json_t *object, const struct source_options *o, const char *file, int line,
                      struct error *err)
{
  json_t *mapped = json_object();
  int rc = mapped ? 0 : out_of_memory(err);
  for (size_t i = 0; i < o->field_count && !rc; i++) rc = map_field(a, object, mapped, &o->fields[i], file, line, err);
  if (!rc && json_object_update(object, mapped) != 0) rc = out_of_memory(err);
  json_decref(mapped);
  return rc;
}

/* ---- prompt, question, messages ---------------------------------------------------------------------------------- */

static int check_messages(const json_t *messages, const char *file, int line, struct error *err)
{
  size_t i;
  json_t *m;
  if (!json_is_array(messages) || !json_array_size(messages))
    FAIL_AT(err, ERROR_INPUT, file, line, "messages",
            "found messages that are no list, or an empty one; expected [{\"role\", \"content\"}, ...]");
  json_array_foreach((json_t *)messages, i, m)
  {
    if (!json_is_object(m) || !json_is_string(json_object_get(m, "role")))
      FAIL_AT(err, ERROR_INPUT, file, line, "messages",
              "found message %zu without a role; expected {\"role\", \"content\"}", i + 1);
  }
  return 0;
}

/* {"role": ROLE, "content": text + suffix} */
static json_t *make_message(const char *role, const char *text, size_t n, const char *suffix)
{
  struct text t = {0};
  struct error e = {0};
  text_add(&t, text, n);
  if (suffix) text_puts(&t, suffix);
  json_t *m = text_finish(&t, &e)
                  ? NULL
                  : json_pack("{s:s, s:o}", "role", role, "content", json_stringn(t.size ? t.bytes : "", t.size));
  text_free(&t);
  return m;
}

static void release(void *list)
{
  json_decref(list);
}

/* A new list that lives as long as the arena; the line's own object stays as it stood in the file. */
static int new_list(struct arena *a, json_t **out, struct error *err)
{
  *out = json_array();
  if (!*out) return out_of_memory(err);
  int rc = arena_on_reset(a, release, *out, err);
  if (rc) json_decref(*out);
  return rc;
}

static int add_message(json_t *list, const char *role, const char *text, size_t n, const char *suffix,
                       struct error *err)
{
  return json_array_append_new(list, make_message(role, text, n, suffix)) ? out_of_memory(err) : 0;
}

/* The system message goes in front where there is none; the last user message gets the suffix. */
static int set_messages(struct arena *a, const json_t *given, const struct source_options *o, const char *file,
                        int line, struct problem *out, struct error *err)
{
  json_t *list, *m;
  size_t i, last = json_array_size(given);
  TRY(check_messages(given, file, line, err));
  out->messages = given;
  if (!o || (!o->system && !o->suffix)) return 0;
  TRY(new_list(a, &list, err));
  const char *first = json_string_value(json_object_get(json_array_get(given, 0), "role"));
  if (o->system && strcmp(first, "system") != 0)
    TRY(add_message(list, "system", o->system, strlen(o->system), NULL, err));
  while (last > 0 && strcmp(json_string_value(json_object_get(json_array_get(given, last - 1), "role")), "user") != 0)
    last--;
  json_array_foreach((json_t *)given, i, m)
  {
    const json_t *content = json_object_get(m, "content");
    if (o->suffix && i + 1 == last && json_is_string(content))
      TRY(add_message(list, "user", json_string_value(content), json_string_length(content), o->suffix, err));
    else if (json_array_append(list, m) != 0)
      return out_of_memory(err);
  }
  out->messages = list;
  return 0;
}

static int set_question(struct arena *a, const json_t *question, const struct source_options *o, const char *file,
                        int line, struct problem *out, struct error *err)
{
  json_t *list;
  if (!json_is_string(question))
    FAIL_AT(err, ERROR_INPUT, file, line, "question", "found a question that is no text; expected a string");
  TRY(new_list(a, &list, err));
  if (o && o->system) TRY(add_message(list, "system", o->system, strlen(o->system), NULL, err));
  TRY(add_message(list, "user", json_string_value(question), json_string_length(question), o ? o->suffix : NULL, err));
  out->messages = list;
  return 0;
}

static int set_prompt(struct arena *a, const json_t *prompt, const struct source_options *o, const char *file, int line,
                      struct problem *out, struct error *err)
{
  if (!json_is_string(prompt) || !json_string_length(prompt))
    FAIL_AT(err, ERROR_INPUT, file, line, "prompt",
            "found a prompt that is no text, or an empty one; expected a string");
  if (strlen(json_string_value(prompt)) != json_string_length(prompt))
    FAIL_AT(err, ERROR_INPUT, file, line, "prompt", "found U+0000 in a prompt; expected text without it");
  if (o && o->system)
    FAIL_AT(
        err, ERROR_INPUT, file, line, "system",
        "found system with a plain prompt; expected messages or a question; map the field: fields: {question: prompt}");
  out->prompt = arena_printf(a, "problem", err, "%s%s", json_string_value(prompt), o && o->suffix ? o->suffix : "");
  return out->prompt ? 0 : err->code;
}

static int set_id(struct arena *a, const json_t *object, const char *file, int line, struct problem *out,
                  struct error *err)
{
  const json_t *id = json_object_get(object, "id");
  if (id && !json_is_string(id) && !json_is_integer(id) && !json_is_null(id))
    FAIL_AT(err, ERROR_INPUT, file, line, "id", "found an id that is neither text nor a whole number");
  TRY(problem_value_text(a, id, &out->id, err));
  if (!out->id) out->id = arena_printf(a, "problem", err, "%s:%d", file, line);
  return out->id ? 0 : err->code;
}

/* The messages with which the two conversations of a preference begin. */
static int set_common(struct arena *a, const json_t *object, const struct source_options *o, const char *file, int line,
                      struct problem *out, struct error *err)
{
  const json_t *chosen = json_object_get(object, "chosen");
  size_t n = preference_common(chosen, json_object_get(object, "rejected"));
  json_t *list;
  if (!n)
    FAIL_AT(
        err, ERROR_INPUT, file, line, "chosen",
        "found chosen and rejected without a prompt; expected a prompt, a question or messages, or two conversations "
        "(lists of messages) that begin alike");
  TRY(new_list(a, &list, err));
  for (size_t i = 0; i < n; i++)
    if (json_array_append(list, json_array_get(chosen, i))) return out_of_memory(err);
  return set_messages(a, list, o, file, line, out, err);
}

static const char *const forms[] = {"messages", "prompt", "question"};

/* The form that the recipe maps to, or else the first that is there; NULL: none. Two whole conversations are a form of
 * their own, whatever stands beside them. */
static const char *form_of(const json_t *object, const struct source_options *o)
{
  const char *form = NULL;
  for (size_t i = 0; o && i < o->field_count; i++)
    for (size_t k = 0; k < 3; k++)
      if (!strcmp(o->fields[i].to, forms[k])) form = forms[k];
  if (!form && preference_common(json_object_get(object, "chosen"), json_object_get(object, "rejected"))) return NULL;
  for (size_t k = 0; k < 3 && !form; k++)
    if (json_object_get(object, forms[k])) form = forms[k];
  return form;
}

/* What the model reads. */
static int set_text(struct arena *a, const json_t *object, const struct source_options *o, const char *file, int line,
                    struct problem *out, struct error *err)
{
  const char *form = form_of(object, o);
  const json_t *value;
  if (!form && preference_is(object)) return set_common(a, object, o, file, line, out, err);
  TRY(need_field(object, form ? form : "question", file, line, &value, err));
  if (form == forms[0] || (form == forms[1] && json_is_array(value)))
    return set_messages(a, value, o, file, line, out, err);
  if (form == forms[1]) return set_prompt(a, value, o, file, line, out, err);
  return set_question(a, value, o, file, line, out, err);
}

int problem_from_object(struct arena *a, json_t *object, const struct source_options *o, const char *file, int line,
                        struct problem *out, struct error *err)
{
  if (!json_is_object(object))
    FAIL_AT(err, ERROR_INPUT, file, line, NULL,
            "found JSON that is no object; expected {\"question\": ..., \"answer\": ...}");
  *out = (struct problem){.source = file, .line = line, .fields = object};
  if (o && o->field_count) TRY(map_fields(a, object, o, file, line, err));
  TRY(set_id(a, object, file, line, out, err));
  TRY(problem_value_text(a, json_object_get(object, "answer"), &out->answer, err));
  const json_t *verifier = json_object_get(object, "verifier");
  out->verifier = o && o->verifier ? o->verifier : verifier ? json_string_value(verifier) : NULL;
  if (o && o->verifier) {
    out->verifier_settings = o->verifier_settings;
    out->verifier_setting_count = o->verifier_setting_count;
  }
  if (!out->verifier && json_object_get(object, "task") && json_object_get(object, "meta")) out->verifier = "task";
  return set_text(a, object, o, file, line, out, err);
}
