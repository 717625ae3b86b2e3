#include "method/part_prompt.h"

#include <string.h>

/* The part that stands at `at` in braces, or NULL. */
static const struct prompt_part *part_at(const struct prompt_form *f, const char *at)
{
  for (size_t i = 0; *at == '{' && i < f->count; i++) {
    size_t n = strlen(f->parts[i].name);
    if (!strncmp(at + 1, f->parts[i].name, n) && at[n + 1] == '}') return &f->parts[i];
  }
  return NULL;
}

static void fill(const struct prompt_form *f, const char *problem, struct text *out)
{
  static const char PROBLEM[] = "{problem}";
  for (const char *at = f->pattern; *at;) {
    const struct prompt_part *part = part_at(f, at);
    if (part) {
      text_puts(out, part->text);
      at += strlen(part->name) + 2;
    } else if (!strncmp(at, PROBLEM, sizeof PROBLEM - 1)) {
      text_puts(out, problem);
      at += sizeof PROBLEM - 1;
    } else {
      text_add(out, at++, 1);
    }
  }
}

/* The last user message, or NULL. */
static json_t *last_user(const json_t *messages)
{
  for (size_t i = json_array_size(messages); i-- > 0;) {
    json_t *m = json_array_get(messages, i);
    const char *role = json_string_value(json_object_get(m, "role"));
    if (role && !strcmp(role, "user")) return m;
  }
  return NULL;
}

/* The conversation with `text` as its last user message: a new reference, NULL: no memory. */
static json_t *with_text(const json_t *messages, const struct text *text)
{
  json_t *copy = json_deep_copy(messages), *last = last_user(copy);
  if (copy && last && !json_object_set_new(last, "content", json_stringn(text->bytes, text->size))) return copy;
  json_decref(copy);
  return NULL;
}

int prompt_add(struct method_call *c, struct step *s, int32_t group, const struct prompt_form *form, int32_t *out,
               struct error *err)
{
  const struct problem *p = s->groups[group].problem;
  const char *problem = p->messages ? json_string_value(json_object_get(last_user(p->messages), "content")) : p->prompt;
  struct context_source from = {.behind = -1};
  struct text text = {0};
  json_t *messages = NULL;
  if (!problem)
    FAIL_AT(err, ERROR_INPUT, p->source, p->line, "messages",
            "problem %s has no user message that is a text; %s needs one", p->id, c->method->name);
  fill(form, problem, &text);
  int rc = text_finish(&text, err);
  if (!rc && p->messages && !(messages = with_text(p->messages, &text)))
    rc =
        error_fail(err, ERROR_INPUT, p->source, p->line, "prompt", "the prompt made of problem %s is not UTF-8", p->id);
  from.messages = messages;
  from.prompt = messages ? NULL : text.bytes ? text.bytes : "";
  if (!rc) rc = method_add_context(c, s, group, form->kind, &from, out, err);
  json_decref(messages);
  text_free(&text);
  return rc;
}
