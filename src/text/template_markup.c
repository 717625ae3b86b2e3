/* Marked text: HTML that the filters safe and escape give. What joins it is escaped (template_operators.c, the methods
 * of strings, formats); everything else takes it as text. */
#include "text/template_filters.h"

#include <string.h>

int string_escape(struct jinja *r, const struct value *s, struct value *out)
{
  struct jinja_text b = {.r = r};
  const struct value text = *s;
  *out = text;
  if (text.markup) return 0;
  TRY(jinja_step(r, text.as.string.size / 16));
  for (size_t i = 0; i < text.as.string.size; i++) {
    const char x = text.as.string.bytes[i];
    const char *as = x == '&'    ? "&amp;"
                     : x == '<'  ? "&lt;"
                     : x == '>'  ? "&gt;"
                     : x == '"'  ? "&#34;"
                     : x == '\'' ? "&#39;"
                                 : NULL;
    if (as)
      jinja_puts(&b, as);
    else
      jinja_add(&b, &x, 1);
  }
  TRY(jinja_take(&b, out));
  out->markup = true;
  return 0;
}

int jinja_filter_markup(struct filter_call *c)
{
  struct value s;
  TRY(value_to_string(c->r, c->v, &s));
  if (c->name[0] == 'f') s.markup = false;
  if (c->name[0] != 's') return string_escape(c->r, &s, c->out);
  *c->out = s;
  c->out->markup = true;
  return 0;
}

static int put_escaped(struct jinja_text *b, const struct value *v)
{
  struct value s;
  TRY(value_to_string(b->r, v, &s));
  TRY(string_escape(b->r, &s, &s));
  jinja_add(b, s.as.string.bytes, s.as.string.size);
  return b->r->rc;
}

/* name="value" of each pair that has a value. */
int jinja_filter_xmlattr(struct filter_call *c)
{
  struct jinja_text b = {.r = c->r};
  const bool space = jinja_argument_truth(c->args, 0, "autospace", true);
  if (c->v->kind != VALUE_DICT) return jinja_fail(c->r, "xmlattr needs a mapping; found '%s'", value_type(c->v));
  const struct value_dict *d = c->v->as.dict;
  for (size_t i = 0; i < d->count; i++) {
    const struct value *key = &d->keys[i];
    if (d->values[i].kind == VALUE_NONE || d->values[i].kind == VALUE_UNDEFINED) continue;
    if (key->kind != VALUE_STRING) return jinja_fail(c->r, "xmlattr needs names that are strings");
    for (size_t k = 0; k < key->as.string.size; k++)
      if (memchr(" \t\n\r\f\v/>=", key->as.string.bytes[k], 9))
        return jinja_fail(c->r, "found a space, \"/\", \">\" or \"=\" in the name of an attribute");
    if (space || b.size) jinja_puts(&b, " ");
    TRY(put_escaped(&b, key));
    jinja_puts(&b, "=\"");
    TRY(put_escaped(&b, &d->values[i]));
    jinja_puts(&b, "\"");
  }
  return jinja_take(&b, c->out);
}
