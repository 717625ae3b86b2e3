/* Filters on single values; those on lists are in template_lists.c. */
#include "text/template_filters.h"

#include "core/math.h"
#include "text/unicode.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Most filters take whatever comes as a string. */
static int as_string(struct filter_call *c, struct value *out)
{
  return value_to_string(c->r, c->v, out);
}

static int filter_case(struct filter_call *c)
{
  struct value s;
  TRY(as_string(c, &s));
  if (!strcmp(c->name, "title")) return string_title(c->r, &s, true, c->out);
  if (!strcmp(c->name, "capitalize")) return string_capitalize(c->r, &s, c->out);
  return string_case(c->r, &s, !strcmp(c->name, "upper"), c->out);
}

static int filter_trim(struct filter_call *c)
{
  struct value s;
  const struct value *chars = jinja_argument(c->args, 0, "chars");
  if (chars && chars->kind != VALUE_STRING) chars = NULL;
  TRY(as_string(c, &s));
  *c->out = string_strip(&s, chars, STRIP_LEFT | STRIP_RIGHT);
  return 0;
}

static int filter_string(struct filter_call *c)
{
  return as_string(c, c->out);
}

static int filter_length(struct filter_call *c)
{
  size_t n;
  TRY(value_length(c->r, c->v, &n));
  *c->out = value_int((wide)n);
  return 0;
}

static int filter_default(struct filter_call *c)
{
  const struct value *fallback = jinja_argument(c->args, 0, "default_value");
  *c->out = *c->v;
  if (c->v->kind == VALUE_UNDEFINED || (jinja_argument_truth(c->args, 1, "boolean", false) && !value_truth(c->v)))
    *c->out = fallback ? *fallback : value_text("");
  return 0;
}

static int filter_replace(struct filter_call *c)
{
  struct value s, from, to;
  const struct value *old = jinja_argument(c->args, 0, "old"), *new = jinja_argument(c->args, 1, "new");
  long count;
  if (!old || !new) return jinja_fail(c->r, "the filter replace needs what to replace and by what");
  TRY(as_string(c, &s));
  TRY(value_to_string(c->r, old, &from));
  TRY(value_to_string(c->r, new, &to));
  TRY(jinja_argument_integer(c->r, c->args, 2, "count", -1, &count));
  return string_replace(c->r, &s, &from, &to, count, c->out);
}

static int digit_value(char c)
{
  if (c >= '0' && c <= '9') return c - '0';
  c = (char)(c | 0x20);
  return c >= 'a' && c <= 'z' ? c - 'a' + 10 : 99;
}

/* Skips "0x" and the like where they fit the base. */
static const char *skip_prefix(const char *p, const char *end, int base)
{
  char mark = base == 16 ? 'x' : base == 8 ? 'o' : base == 2 ? 'b' : 0;
  return mark && end - p > 2 && p[0] == '0' && (p[1] | 0x20) == mark ? p + 2 : p;
}

/* int() of Python for a whole string in a base; false where it is not one. */
static bool read_integer(const struct value *s, int base, wide *out)
{
  struct value t = string_strip(s, NULL, STRIP_LEFT | STRIP_RIGHT);
  const char *p = t.as.string.bytes, *end = p + t.as.string.size;
  bool negative = p < end && *p == '-', digits = false;
  if (p < end && (*p == '-' || *p == '+')) p++;
  p = skip_prefix(p, end, base);
  for (*out = 0; p < end; p++) {
    if (*p == '_' && digits && p + 1 < end) continue;
    int d = digit_value(*p);
    if (d >= base || __builtin_mul_overflow(*out, (wide)base, out) || __builtin_add_overflow(*out, (wide)d, out))
      return false;
    digits = true;
  }
  if (negative) *out = -*out;
  return digits;
}

static bool read_real(const struct value *s, double *out)
{
  char text[512];
  struct value t = string_strip(s, NULL, STRIP_LEFT | STRIP_RIGHT);
  size_t n = 0;
  for (size_t i = 0; i < t.as.string.size && n + 1 < sizeof text; i++)
    if (t.as.string.bytes[i] != '_') text[n++] = t.as.string.bytes[i];
  text[n] = 0;
  char *end;
  if (!n || strpbrk(text, "xX(") || strlen(text) != n) return false;
  *out = strtod(text, &end);
  return *end == 0;
}

static bool fits_integer(double x)
{
  return math_is_finite(x) && math_abs(x) < 1e38;
}

static int filter_int(struct filter_call *c)
{
  const struct value *fallback = jinja_argument(c->args, 0, "default");
  long base;
  double x = 0;
  wide n;
  TRY(jinja_argument_integer(c->r, c->args, 1, "base", 10, &base));
  *c->out = fallback ? *fallback : value_int(0);
  if (c->v->kind == VALUE_UNDEFINED) return jinja_fail(c->r, "'%.200s' is undefined", c->v->as.hint);
  if (value_is_integer(c->v))
    *c->out = value_int(value_as_integer(c->v));
  else if (c->v->kind == VALUE_FLOAT && fits_integer(c->v->as.real))
    *c->out = value_int((wide)c->v->as.real);
  else if (c->v->kind == VALUE_STRING && base >= 2 && base <= 36 && read_integer(c->v, (int)base, &n))
    *c->out = value_int(n);
  else if (c->v->kind == VALUE_STRING && read_real(c->v, &x) && fits_integer(x))
    *c->out = value_int((wide)x);
  return 0;
}

static int filter_float(struct filter_call *c)
{
  const struct value *fallback = jinja_argument(c->args, 0, "default");
  double x;
  *c->out = fallback ? *fallback : value_float(0);
  if (c->v->kind == VALUE_UNDEFINED) return jinja_fail(c->r, "'%.200s' is undefined", c->v->as.hint);
  if (value_is_number(c->v))
    *c->out = value_float(value_as_real(c->v));
  else if (c->v->kind == VALUE_STRING && read_real(c->v, &x))
    *c->out = value_float(x);
  return 0;
}

static int filter_abs(struct filter_call *c)
{
  struct value zero = value_int(0);
  if (!value_is_number(c->v)) return jinja_fail(c->r, "bad operand type for abs(): '%s'", value_type(c->v));
  if (c->v->kind == VALUE_FLOAT)
    *c->out = value_float(math_abs(c->v->as.real));
  else if (value_as_integer(c->v) < 0)
    return jinja_eval_binary(c->r, "-", &zero, c->v, c->out);
  else
    *c->out = value_int(value_as_integer(c->v));
  return 0;
}

/* n to a multiple of 10^places, ties to even. */
static wide round_integer(wide n, long places)
{
  wide unit = 1;
  for (long i = 0; i < places; i++)
    if (__builtin_mul_overflow(unit, (wide)10, &unit)) return 0;
  wide rest = n % unit, size = rest < 0 ? -rest : rest, whole = n - rest;
  bool away = size > unit - size || (size == unit - size && whole / unit % 2);
  if (away && __builtin_add_overflow(whole, n < 0 ? -unit : unit, &whole)) return n;
  return whole;
}

static int filter_round(struct filter_call *c)
{
  long precision;
  struct value method;
  TRY(jinja_argument_integer(c->r, c->args, 0, "precision", 0, &precision));
  TRY(jinja_argument_string(c->r, c->args, 1, "method", value_text("common"), &method));
  bool ceil = value_is_string(&method, "ceil"), floor = value_is_string(&method, "floor");
  if (!ceil && !floor && !value_is_string(&method, "common"))
    return jinja_fail(c->r, "method must be common, ceil or floor");
  if (!value_is_number(c->v)) return jinja_fail(c->r, "type %s doesn't define __round__ method", value_type(c->v));
  if (precision < -300 || precision > 300) return jinja_fail(c->r, "a precision of %ld is out of range", precision);
  double x = value_as_real(c->v), scale = math_pow(10, (double)precision);
  if (value_is_integer(c->v) && !ceil && !floor) {
    *c->out = value_int(round_integer(value_as_integer(c->v), -precision));
  } else if (!math_is_finite(x)) {
    *c->out = value_float(x);
  } else if (ceil) {
    *c->out = value_float((0 - math_floor(-x * scale)) / scale);
  } else if (floor) {
    *c->out = value_float((math_floor(x * scale) + 0) / scale);
  } else if (precision < 0) {
    double unit = math_pow(10, (double)-precision);
    *c->out = value_float(math_round(x / unit) * unit);
  } else {
    char text[720]; /* printf rounds the exact value, ties to even, as Python does */
    snprintf(text, sizeof text, "%.*f", (int)precision, x);
    *c->out = value_float(strtod(text, NULL));
  }
  return 0;
}

static int filter_striptags(struct filter_call *c)
{
  struct value s;
  struct jinja_text b = {.r = c->r};
  bool space = false;
  TRY(as_string(c, &s));
  const char *p = s.as.string.bytes, *end = p + s.as.string.size;
  while (p < end) {
    const char *close = *p == '<' ? memchr(p, '>', (size_t)(end - p)) : NULL;
    if (close) {
      p = close + 1;
    } else if ((*p >= 9 && *p <= 13) || *p == ' ') {
      space = b.size > 0;
      p++;
    } else {
      if (space) jinja_puts(&b, " ");
      space = false;
      jinja_add(&b, p++, 1);
    }
  }
  return jinja_take(&b, c->out);
}

/* Percent signs for what an address cannot hold; in a query a slash too, and a plus for a space. */
static int put_quoted(struct jinja_text *b, const struct value *v, bool query)
{
  struct value s;
  TRY(value_to_string(b->r, v, &s));
  for (size_t i = 0; i < s.as.string.size; i++) {
    unsigned char x = (unsigned char)s.as.string.bytes[i];
    char text[8];
    bool plain = (x >= '0' && x <= '9') || ((x | 0x20) >= 'a' && (x | 0x20) <= 'z') || (x && strchr("_.-~", x));
    plain = plain || (x == '/' && !query);
    snprintf(text, sizeof text, plain ? "%c" : query && x == ' ' ? "+" : "%%%02X", x);
    jinja_puts(b, text);
  }
  return b->r->rc;
}

/* A string; or a mapping or pairs: a query. */
static int filter_urlencode(struct filter_call *c)
{
  struct value pairs = *c->v;
  struct value_list items, pair;
  struct jinja_text b = {.r = c->r};
  if (pairs.kind == VALUE_DICT) TRY(value_dict_view(c->r, c->v->as.dict, "items", VALUE_LIST, &pairs));
  bool query = pairs.kind == VALUE_LIST || pairs.kind == VALUE_TUPLE || pairs.kind == VALUE_ITERATOR;
  if (!query) {
    TRY(put_quoted(&b, c->v, false));
    return jinja_take(&b, c->out);
  }
  TRY(value_iterate(c->r, &pairs, &items));
  for (size_t i = 0; i < items.count; i++) {
    TRY(value_iterate(c->r, &items.items[i], &pair));
    if (pair.count != 2) return jinja_fail(c->r, "found %zu values to unpack; expected 2", pair.count);
    if (i) jinja_puts(&b, "&");
    TRY(put_quoted(&b, &pair.items[0], true));
    jinja_puts(&b, "=");
    TRY(put_quoted(&b, &pair.items[1], true));
  }
  return jinja_take(&b, c->out);
}

static int filter_wordcount(struct filter_call *c)
{
  struct value s;
  wide count = 0;
  bool inside = false;
  TRY(as_string(c, &s));
  for (size_t i = 0, step; i < s.as.string.size; i += step) {
    bool word = unicode_is_word(unicode_at(s.as.string.bytes, s.as.string.size, i, &step));
    count += word && !inside;
    inside = word;
  }
  *c->out = value_int(count);
  return 0;
}

static int filter_truncate(struct filter_call *c)
{
  struct value s, end;
  long length, leeway;
  TRY(jinja_argument_integer(c->r, c->args, 0, "length", 255, &length));
  TRY(jinja_argument_string(c->r, c->args, 2, "end", value_text("..."), &end));
  TRY(jinja_argument_integer(c->r, c->args, 3, "leeway", 5, &leeway));
  size_t n, tail = string_length(&end);
  if (length < 0 || leeway < 0 || (size_t)length < tail)
    return jinja_fail(c->r, "expected length >= %zu, got %ld", tail, length);
  TRY(value_length(c->r, c->v, &n));
  *c->out = *c->v;
  if (n <= (size_t)length + (size_t)leeway) return 0;
  TRY(as_string(c, &s));
  struct value part = string_part(&s, 0, (size_t)length - tail);
  if (!jinja_argument_truth(c->args, 1, "killwords", false)) {
    size_t at = part.as.string.size;
    while (at > 0 && part.as.string.bytes[at - 1] != ' ') at--;
    if (at > 0) part.as.string.size = at - 1;
  }
  return jinja_eval_binary(c->r, "+", &part, &end, c->out);
}

static int filter_center(struct filter_call *c)
{
  struct value s;
  long width;
  TRY(as_string(c, &s));
  TRY(jinja_argument_integer(c->r, c->args, 0, "width", 80, &width));
  return string_center(c->r, &s, width < 0 ? 0 : (size_t)width, '^', ' ', c->out);
}

static int filter_format(struct filter_call *c)
{
  struct value s, values;
  struct value_list *list = NULL;
  TRY(as_string(c, &s));
  if (c->args->named && c->args->count)
    return jinja_fail(c->r, "can't handle positional and keyword arguments at the same time");
  if (c->args->named) {
    TRY(value_dict_new(c->r, VALUE_DICT, c->args->named, &values));
    for (size_t i = 0; i < c->args->named; i++)
      TRY(value_dict_set(c->r, values.as.dict, value_text(c->args->names[i]), c->args->values[i]));
  } else {
    TRY(value_list_new(c->r, VALUE_TUPLE, c->args->count, &values, &list));
    for (size_t i = 0; i < list->count; i++) list->items[i] = c->args->items[i];
  }
  return jinja_format_percent(c->r, &s, &values, c->out);
}

static int filter_filesize(struct filter_call *c)
{
  static const char *const units[2][8] = {{"kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"},
                                          {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB"}};
  bool binary = jinja_argument_truth(c->args, 0, "binary", false);
  double x = 0, base = binary ? 1024 : 1000, unit = base;
  if (value_is_number(c->v))
    x = value_as_real(c->v);
  else if (c->v->kind != VALUE_STRING || !read_real(c->v, &x))
    return jinja_fail(c->r, "filesizeformat needs a number; found '%s'", value_type(c->v));
  char text[64];
  if (x == 1)
    snprintf(text, sizeof text, "1 Byte");
  else if (x < base)
    snprintf(text, sizeof text, "%.0f Bytes", math_floor(x));
  else {
    int i = 0;
    for (; i < 7 && x >= unit * base; i++) unit *= base;
    snprintf(text, sizeof text, "%.1f %s", x / unit, units[binary][i]);
  }
  struct jinja_text b = {.r = c->r};
  jinja_puts(&b, text);
  return jinja_take(&b, c->out);
}

static int filter_indent(struct filter_call *c)
{
  struct value s, space = value_text(" "), indent, newline = value_text("\n");
  struct value_list lines;
  const struct value *width = jinja_argument(c->args, 0, "width");
  struct value four = value_int(4);
  s = *c->v;
  if (s.kind != VALUE_STRING) return jinja_fail(c->r, "the filter indent needs a string; found '%s'", value_type(&s));
  if (width && width->kind == VALUE_STRING)
    indent = *width;
  else
    TRY(jinja_eval_binary(c->r, "*", &space, width ? width : &four, &indent));
  TRY(jinja_eval_binary(c->r, "+", &s, &newline, &s)); /* so that a newline at the end counts as a line */
  TRY(string_lines(c->r, &s, false, &lines));
  bool first = jinja_argument_truth(c->args, 1, "first", false),
       blank = jinja_argument_truth(c->args, 2, "blank", false);
  struct jinja_text b = {.r = c->r};
  for (size_t i = 0; i < lines.count; i++) {
    if (i) jinja_puts(&b, "\n");
    if (i ? blank || lines.items[i].as.string.size : first)
      jinja_add(&b, indent.as.string.bytes, indent.as.string.size);
    jinja_add(&b, lines.items[i].as.string.bytes, lines.items[i].as.string.size);
  }
  return jinja_take(&b, c->out);
}

static int filter_items(struct filter_call *c)
{
  struct value_list *empty = NULL;
  if (c->v->kind == VALUE_UNDEFINED) return value_list_new(c->r, VALUE_ITERATOR, 0, c->out, &empty);
  if (c->v->kind != VALUE_DICT) return jinja_fail(c->r, "Can only get item pairs from a mapping.");
  return value_dict_view(c->r, c->v->as.dict, "items", VALUE_ITERATOR, c->out);
}

static int filter_attr(struct filter_call *c)
{
  struct value name, found;
  TRY(jinja_argument_string(c->r, c->args, 0, "name", value_text(""), &name));
  *c->out = value_undefined("attribute");
  if (c->v->kind == VALUE_DICT && value_dict_get(c->r, c->v->as.dict, &name))
    return 0; /* attributes only, never items */
  TRY(jinja_eval_item(c->r, c->v, &name, &found));
  *c->out = found;
  return 0;
}

static int filter_random(struct filter_call *c)
{
  return jinja_fail(c->r, "the filter random picks by chance; a chat template must not depend on it");
}

static int filter_json(struct filter_call *c)
{
  return jinja_tojson(c->r, c->v, c->args, c->out);
}

static const struct filter filters[] = {{"upper", filter_case},
                                        {"lower", filter_case},
                                        {"title", filter_case},
                                        {"capitalize", filter_case},
                                        {"trim", filter_trim},
                                        {"string", filter_string},
                                        {"length", filter_length},
                                        {"count", filter_length},
                                        {"default", filter_default},
                                        {"d", filter_default},
                                        {"replace", filter_replace},
                                        {"int", filter_int},
                                        {"float", filter_float},
                                        {"abs", filter_abs},
                                        {"round", filter_round},
                                        {"escape", jinja_filter_markup},
                                        {"e", jinja_filter_markup},
                                        {"forceescape", jinja_filter_markup},
                                        {"striptags", filter_striptags},
                                        {"urlencode", filter_urlencode},
                                        {"wordcount", filter_wordcount},
                                        {"truncate", filter_truncate},
                                        {"center", filter_center},
                                        {"format", filter_format},
                                        {"filesizeformat", filter_filesize},
                                        {"indent", filter_indent},
                                        {"items", filter_items},
                                        {"attr", filter_attr},
                                        {"tojson", filter_json},
                                        {"safe", jinja_filter_markup},
                                        {"xmlattr", jinja_filter_xmlattr},
                                        {"wordwrap", jinja_filter_wordwrap},
                                        {"pprint", jinja_filter_pprint},
                                        {"random", filter_random}};

static const struct filter *find_filter(const char *name)
{
  for (size_t i = 0; i < sizeof filters / sizeof *filters; i++)
    if (!strcmp(filters[i].name, name)) return &filters[i];
  return jinja_find_list_filter(name);
}

bool jinja_filter_exists(const char *name)
{
  return find_filter(name) != NULL;
}

/* The filters that hand marked text back marked; format and truncate do so by what they call. */
static bool keeps_mark(const char *name)
{
  static const char *const names[] = {"upper", "lower", "capitalize", "trim", "center", "reverse", "indent"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (!strcmp(names[i], name)) return true;
  return false;
}

int jinja_call_filter(struct jinja *r, const char *name, const struct value *v, const struct arguments *args,
                      struct value *out)
{
  const struct filter *f = find_filter(name);
  if (!f) return jinja_fail(r, "found the filter \"%.60s\", which is unknown here", name);
  struct filter_call c = {r, v, args, name, out};
  TRY(jinja_enter(r));
  TRY(f->run(&c));
  if (v->kind == VALUE_STRING && v->markup && keeps_mark(name)) out->markup = out->kind == VALUE_STRING;
  jinja_leave(r);
  return r->rc;
}
