/* tojson as transformers has it: json.dumps without escaping of HTML, ensure_ascii off. */
#include "text/template_run.h"

#include "core/math.h"
#include "text/unicode.h"

#include <stdio.h>
#include <string.h>

struct dump {
  struct jinja_text out;
  bool ascii, sort_keys, lines;
  struct value indent, item, key; /* what is put per level, between items, behind keys */
};

static int put_value(struct dump *d, const struct value *v, size_t level);

static void put_escape(struct dump *d, uint32_t c)
{
  char text[16];
  static const char plain[] = "\"\"\\\\\nn\rr\tt\bb\ff";
  for (const char *p = plain; *p; p += 2)
    if (c == (uint8_t)p[0]) {
      jinja_puts(&d->out, "\\");
      jinja_add(&d->out, p + 1, 1);
      return;
    }
  if (c < 0x10000)
    snprintf(text, sizeof text, "\\u%04x", c);
  else
    snprintf(text, sizeof text, "\\u%04x\\u%04x", 0xd800 + ((c - 0x10000) >> 10), 0xdc00 + ((c - 0x10000) & 0x3ff));
  jinja_puts(&d->out, text);
}

static void put_string(struct dump *d, const struct value *s)
{
  const char *bytes = s->as.string.bytes;
  size_t n = s->as.string.size, from = 0;
  jinja_puts(&d->out, "\"");
  for (size_t i = 0, step; i < n; i += step) {
    uint32_t c = unicode_at(bytes, n, i, &step);
    if (c >= 0x20 && c != '"' && c != '\\' && !(d->ascii && c > 0x7e && c != 0x7f)) continue;
    jinja_add(&d->out, bytes + from, i - from);
    put_escape(d, c);
    from = i + step;
  }
  jinja_add(&d->out, bytes + from, n - from);
  jinja_puts(&d->out, "\"");
}

static void put_number(struct dump *d, double x)
{
  if (math_is_nan(x))
    jinja_puts(&d->out, "NaN");
  else if (!math_is_finite(x))
    jinja_puts(&d->out, x < 0 ? "-Infinity" : "Infinity");
  else
    value_put_real(&d->out, x);
}

static void put_break(struct dump *d, size_t level)
{
  if (!d->lines) return;
  jinja_puts(&d->out, "\n");
  for (size_t i = 0; i < level; i++) jinja_add(&d->out, d->indent.as.string.bytes, d->indent.as.string.size);
}

static int put_list(struct dump *d, const struct value_list *list, size_t level)
{
  if (!list->count) return jinja_puts(&d->out, "[]"), d->out.r->rc;
  jinja_puts(&d->out, "[");
  for (size_t i = 0; i < list->count; i++) {
    if (i) jinja_add(&d->out, d->item.as.string.bytes, d->item.as.string.size);
    put_break(d, level + 1);
    TRY(put_value(d, &list->items[i], level + 1));
  }
  put_break(d, level);
  jinja_puts(&d->out, "]");
  return d->out.r->rc;
}

/* Keys of a JSON object are strings: True, None and numbers are spelt as JSON. */
static int put_key(struct dump *d, const struct value *key)
{
  if (key->kind == VALUE_STRING) return put_string(d, key), d->out.r->rc;
  if (!value_is_number(key) && key->kind != VALUE_NONE)
    return jinja_fail(d->out.r, "keys must be str, int, float, bool or None, not %s", value_type(key));
  jinja_puts(&d->out, "\"");
  TRY(put_value(d, key, 0));
  jinja_puts(&d->out, "\"");
  return d->out.r->rc;
}

static int put_dict(struct dump *d, const struct value_dict *dict, size_t level)
{
  struct jinja *r = d->out.r;
  if (!dict->count) return jinja_puts(&d->out, "{}"), r->rc;
  struct value *keys = dict->keys, *values = dict->values;
  if (d->sort_keys) {
    keys = jinja_alloc(r, dict->count, sizeof *keys);
    values = jinja_alloc(r, dict->count, sizeof *values);
    if (!keys || !values) return r->rc;
    memcpy(keys, dict->keys, dict->count * sizeof *keys);
    memcpy(values, dict->values, dict->count * sizeof *values);
    TRY(value_sort(r, keys, values, dict->count, false));
  }
  jinja_puts(&d->out, "{");
  for (size_t i = 0; i < dict->count; i++) {
    if (i) jinja_add(&d->out, d->item.as.string.bytes, d->item.as.string.size);
    put_break(d, level + 1);
    TRY(put_key(d, &keys[i]));
    jinja_add(&d->out, d->key.as.string.bytes, d->key.as.string.size);
    TRY(put_value(d, &values[i], level + 1));
  }
  put_break(d, level);
  jinja_puts(&d->out, "}");
  return r->rc;
}

static int put_value(struct dump *d, const struct value *v, size_t level)
{
  struct jinja *r = d->out.r;
  int rc = 0;
  TRY(jinja_step(r, 0));
  TRY(jinja_enter(r));
  switch (v->kind) {
    case VALUE_NONE:
      jinja_puts(&d->out, "null");
      break;
    case VALUE_BOOL:
      jinja_puts(&d->out, v->as.truth ? "true" : "false");
      break;
    case VALUE_INT:
      value_put_int(&d->out, v->as.integer);
      break;
    case VALUE_FLOAT:
      put_number(d, v->as.real);
      break;
    case VALUE_STRING:
      put_string(d, v);
      break;
    case VALUE_LIST:
    case VALUE_TUPLE:
      rc = put_list(d, v->as.list, level);
      break;
    case VALUE_DICT:
      rc = put_dict(d, v->as.dict, level);
      break;
    default:
      rc = jinja_fail(r, "Object of type %s is not JSON serializable", value_type(v));
  }
  jinja_leave(r);
  return rc ? rc : r->rc;
}

static int read_indent(struct jinja *r, struct dump *d, const struct value *indent)
{
  d->lines = indent && indent->kind != VALUE_NONE;
  if (!d->lines) return 0;
  d->item = value_text(",");
  d->indent = *indent;
  if (indent->kind == VALUE_STRING) return 0;
  if (!value_is_integer(indent))
    return jinja_fail(r, "the indent of tojson is a '%s'; expected an integer or a string", value_type(indent));
  wide n = value_as_integer(indent);
  struct value space = value_text(" "), times = value_int(n < 0 ? 0 : n > 1000 ? 1000 : n);
  return jinja_eval_binary(r, "*", &space, &times, &d->indent);
}

int jinja_tojson(struct jinja *r, const struct value *v, const struct arguments *args, struct value *out)
{
  struct dump d = {.out.r = r,
                   .ascii = jinja_argument_truth(args, 0, "ensure_ascii", false),
                   .sort_keys = jinja_argument_truth(args, 3, "sort_keys", false)};
  d.item = value_text(", ");
  d.key = value_text(": ");
  d.indent = value_text("");
  TRY(read_indent(r, &d, jinja_argument(args, 1, "indent")));
  const struct value *separators = jinja_argument(args, 2, "separators");
  if (separators && separators->kind != VALUE_NONE) {
    struct value_list pair;
    TRY(value_iterate(r, separators, &pair));
    if (pair.count != 2 || pair.items[0].kind != VALUE_STRING || pair.items[1].kind != VALUE_STRING)
      return jinja_fail(r, "the separators of tojson are not two strings");
    d.item = pair.items[0];
    d.key = pair.items[1];
  }
  TRY(put_value(&d, v, 0));
  return jinja_take(&d.out, out);
}
