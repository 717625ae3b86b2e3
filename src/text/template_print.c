/* How values print: str() and repr() of Python, and the growing texts of a run. */
#include "text/template_run.h"
#include "text/unicode.h"

#include "core/cursor.h"
#include "core/math.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void jinja_add(struct jinja_text *b, const char *bytes, size_t n)
{
  if (b->r->rc || !n) return;
  if (n > TEMPLATE_OUTPUT - b->size) {
    jinja_fail(b->r, "a text grows beyond %d MiB", TEMPLATE_OUTPUT >> 20);
    return;
  }
  if (n > b->room - b->size) {
    size_t room = (b->size + n) * 2;
    if (room < 32) room = 32;
    char *grown = jinja_alloc(b->r, room, 1);
    if (!grown) return;
    if (b->size) memcpy(grown, b->bytes, b->size);
    b->bytes = grown;
    b->room = room;
  }
  memcpy(b->bytes + b->size, bytes, n);
  b->size += n;
}

void jinja_puts(struct jinja_text *b, const char *s)
{
  jinja_add(b, s, strlen(s));
}

void jinja_put_code(struct jinja_text *b, uint32_t code)
{
  uint8_t utf8[4];
  if (code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) code = 0xfffd;
  jinja_add(b, (const char *)utf8, utf8_encode(code, utf8));
}

int jinja_take(struct jinja_text *b, struct value *out)
{
  *out = value_string(b->size ? b->bytes : "", b->size);
  return b->r->rc;
}

void value_put_int(struct jinja_text *b, wide n)
{
  char digits[48];
  size_t at = sizeof digits;
  bool negative = n < 0;
  do {
    int digit = (int)(n % 10);
    digits[--at] = (char)('0' + (digit < 0 ? -digit : digit));
    n /= 10;
  } while (n);
  if (negative) digits[--at] = '-';
  jinja_add(b, digits + at, sizeof digits - at);
}

/* repr() of a float: the shortest digits that read back, with an exponent below 1e-4 and from 1e16 on. */
void value_put_real(struct jinja_text *b, double x)
{
  if (math_is_nan(x)) {
    jinja_puts(b, "nan");
    return;
  }
  if (!math_is_finite(x)) {
    jinja_puts(b, x < 0 ? "-inf" : "inf");
    return;
  }
  char text[40];
  int precision = 0;
  do {
    snprintf(text, sizeof text, "%.*e", precision, x);
  } while (strtod(text, NULL) != x && ++precision < 17);
  int exponent = (int)strtol(strchr(text, 'e') + 1, NULL, 10);
  if (exponent >= -4 && exponent < 16) {
    char fixed[64];
    snprintf(fixed, sizeof fixed, "%.*f", precision > exponent ? precision - exponent : 1, x);
    jinja_puts(b, fixed);
    return;
  }
  jinja_puts(b, text); /* C and Python agree on e+16, e-05 */
}

static void put_string_repr(struct jinja_text *b, const char *s, size_t n)
{
  bool has_single = n && memchr(s, '\'', n), has_double = n && memchr(s, '"', n);
  char quote = has_single && !has_double ? '"' : '\'';
  jinja_add(b, &quote, 1);
  for (size_t i = 0, step; i < n; i += step) {
    uint32_t c = unicode_at(s, n, i, &step);
    char escaped[16] = "";
    if (c == '\n')
      snprintf(escaped, sizeof escaped, "\\n");
    else if (c == '\r')
      snprintf(escaped, sizeof escaped, "\\r");
    else if (c == '\t')
      snprintf(escaped, sizeof escaped, "\\t");
    else if (c == '\\' || c == (uint32_t)quote)
      snprintf(escaped, sizeof escaped, "\\%c", (char)c);
    else if (unicode_prints(c))
      jinja_add(b, s + i, step);
    else if (c < 0x100)
      snprintf(escaped, sizeof escaped, "\\x%02x", c);
    else if (c < 0x10000)
      snprintf(escaped, sizeof escaped, "\\u%04x", c);
    else
      snprintf(escaped, sizeof escaped, "\\U%08x", c);
    jinja_puts(b, escaped);
  }
  jinja_add(b, &quote, 1);
}

static int put_items(struct jinja_text *b, const char *open, const struct value_list *list, const char *close)
{
  TRY(jinja_enter(b->r));
  int rc = jinja_step(b->r, list->count);
  jinja_puts(b, open);
  for (size_t i = 0; i < list->count && !rc; i++) {
    if (i) jinja_puts(b, ", ");
    rc = value_put_repr(b, &list->items[i]);
  }
  jinja_puts(b, close);
  jinja_leave(b->r);
  return rc ? rc : b->r->rc;
}

static int put_dict(struct jinja_text *b, const struct value_dict *d)
{
  TRY(jinja_enter(b->r));
  int rc = jinja_step(b->r, d->count);
  jinja_puts(b, "{");
  for (size_t i = 0; i < d->count && !rc; i++) {
    if (i) jinja_puts(b, ", ");
    rc = value_put_repr(b, &d->keys[i]);
    jinja_puts(b, ": ");
    if (!rc) rc = value_put_repr(b, &d->values[i]);
  }
  jinja_puts(b, "}");
  jinja_leave(b->r);
  return rc ? rc : b->r->rc;
}

static void put_range(struct jinja_text *b, const struct value_range *range)
{
  jinja_puts(b, "range(");
  value_put_int(b, range->start);
  jinja_puts(b, ", ");
  value_put_int(b, range->stop);
  if (range->step != 1) {
    jinja_puts(b, ", ");
    value_put_int(b, range->step);
  }
  jinja_puts(b, ")");
}

/* The caller of a call block has no name of its own. */
static void put_macro(struct jinja_text *b, const char *name)
{
  bool anonymous = !strcmp(name, "caller");
  jinja_puts(b, anonymous ? "<Macro anonymous>" : "<Macro '");
  if (anonymous) return;
  jinja_puts(b, name);
  jinja_puts(b, "'>");
}

int value_put_str(struct jinja_text *b, const struct value *v)
{
  if (v->kind == VALUE_UNDEFINED) return b->r->rc; /* prints as nothing, and in a list as "Undefined" */
  if (v->kind != VALUE_STRING) return value_put_repr(b, v);
  jinja_add(b, v->as.string.bytes, v->as.string.size);
  return b->r->rc;
}

int value_put_repr(struct jinja_text *b, const struct value *v)
{
  switch (v->kind) {
    case VALUE_UNDEFINED:
      jinja_puts(b, "Undefined");
      break;
    case VALUE_MACRO:
      put_macro(b, v->as.macro->node->name);
      break;
    case VALUE_LOOP:
      jinja_puts(b, "<LoopContext ");
      value_put_int(b, (wide)v->as.loop->index + 1);
      jinja_puts(b, "/");
      value_put_int(b, (wide)v->as.loop->items.count);
      jinja_puts(b, ">");
      break;
    case VALUE_NONE:
      jinja_puts(b, "None");
      break;
    case VALUE_BOOL:
      jinja_puts(b, v->as.truth ? "True" : "False");
      break;
    case VALUE_INT:
      value_put_int(b, v->as.integer);
      break;
    case VALUE_FLOAT:
      value_put_real(b, v->as.real);
      break;
    case VALUE_STRING:
      if (v->markup) jinja_puts(b, "Markup(");
      put_string_repr(b, v->as.string.bytes, v->as.string.size);
      if (v->markup) jinja_puts(b, ")");
      break;
    case VALUE_LIST:
      return put_items(b, "[", v->as.list, "]");
    case VALUE_TUPLE:
      return put_items(b, "(", v->as.list, v->as.list->count == 1 ? ",)" : ")");
    case VALUE_VIEW:
      jinja_puts(b, v->as.view.name);
      return put_items(b, "([", v->as.view.list, "])");
    case VALUE_DICT:
      return put_dict(b, v->as.dict);
    case VALUE_NAMESPACE:
      jinja_puts(b, "<Namespace ");
      TRY(put_dict(b, v->as.dict));
      jinja_puts(b, ">");
      break;
    case VALUE_RANGE:
      put_range(b, v->as.range);
      break;
    case VALUE_SELF:
      jinja_puts(b, "<TemplateReference None>");
      break;
    default: /* Python prints an address here; no template can mean it */
      jinja_puts(b, "<");
      jinja_puts(b, value_type(v));
      jinja_puts(b, " object>");
  }
  return b->r->rc;
}

int value_to_string(struct jinja *r, const struct value *v, struct value *out)
{
  *out = *v;
  if (v->kind == VALUE_STRING) return 0;
  struct jinja_text b = {.r = r};
  TRY(value_put_str(&b, v));
  return jinja_take(&b, out);
}
