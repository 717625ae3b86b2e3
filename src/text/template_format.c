/* '%s' % x, '{}'.format(x) and strftime. */
#include "text/template_run.h"

#include "core/math.h"
#include "text/unicode.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* One conversion, of either kind of format. */
struct spec {
  uint32_t fill;
  char align; /* '<' '>' '^' '=', 0: by type */
  char sign;  /* '+', ' ' or 0 */
  bool alternate, comma;
  bool escapes;                      /* the format is marked text: what is not is escaped */
  bool width_given, precision_given; /* by a star: the next value */
  int width, precision;              /* precision -1: none */
  char type;                         /* 0: none given */
};

static bool one_of(const char *set, char c)
{
  return c && strchr(set, c);
}

static int read_digits(const char *s, size_t n, size_t *at)
{
  int value = 0;
  for (; *at < n && s[*at] >= '0' && s[*at] <= '9'; (*at)++)
    if (value < 100000) value = value * 10 + (s[*at] - '0');
  return value;
}

static void put_digits_base(struct jinja_text *b, wide n, unsigned base, bool upper)
{
  char digits[136];
  size_t at = sizeof digits;
  do {
    digits[--at] = (upper ? "0123456789ABCDEF" : "0123456789abcdef")[(unsigned)(n % (wide)base)];
    n /= (wide)base;
  } while (n);
  jinja_add(b, digits + at, sizeof digits - at);
}

static void put_grouped(struct jinja_text *b, const char *digits, size_t n)
{
  size_t whole = 0;
  while (whole < n && digits[whole] >= '0' && digits[whole] <= '9') whole++;
  for (size_t i = 0; i < n; i++) {
    if (i && i < whole && (whole - i) % 3 == 0) jinja_puts(b, ",");
    jinja_add(b, digits + i, 1);
  }
}

/* |x| by the type: 0 as str() has it where no precision is given, else as %g. */
static void put_real(struct jinja_text *b, const struct spec *s, double x)
{
  char text[512], type = s->type ? s->type : 'g';
  char format[8] = {'%', '.', '*', type == '%' ? 'f' : type, 0};
  int precision = s->precision < 0 ? 6 : s->precision > 100 ? 100 : s->precision;
  x = math_abs(x);
  if (!s->type && s->precision < 0) {
    value_put_real(b, x);
    return;
  }
  snprintf(text, sizeof text, format, precision, type == '%' ? x * 100 : x);
  jinja_puts(b, text);
  if (type == '%') jinja_puts(b, "%");
}

/* |n| in the base of the type, with the prefix of the base if it is asked for. */
static int put_integer(struct jinja_text *b, const struct spec *s, wide n)
{
  static const struct {
    char type;
    unsigned base;
    const char *prefix;
  } bases[] = {{'x', 16, "0x"}, {'X', 16, "0X"}, {'o', 8, "0o"}, {'b', 2, "0b"}, {0, 10, ""}};
  size_t i = 0;
  while (bases[i].type && bases[i].type != s->type) i++;
  if (n < 0 && __builtin_sub_overflow((wide)0, n, &n)) return jinja_fail(b->r, "an integer is too large");
  if (s->alternate) jinja_puts(b, bases[i].prefix);
  struct jinja_text digits = {.r = b->r};
  put_digits_base(&digits, n, bases[i].base, s->type == 'X');
  if (s->comma)
    put_grouped(b, digits.bytes, digits.size);
  else
    jinja_add(b, digits.bytes, digits.size);
  return b->r->rc;
}

/* A number without its sign. */
static int put_magnitude(struct jinja_text *b, const struct spec *s, const struct value *v)
{
  if (v->kind != VALUE_FLOAT && !one_of("eEfFgG%", s->type)) return put_integer(b, s, value_as_integer(v));
  struct jinja_text plain = {.r = b->r};
  put_real(&plain, s, value_as_real(v));
  if (s->comma)
    put_grouped(b, plain.bytes, plain.size);
  else
    jinja_add(b, plain.bytes, plain.size);
  return b->r->rc;
}

static void put_fill(struct jinja_text *b, uint32_t c, size_t n)
{
  for (size_t i = 0; i < n; i++) jinja_put_code(b, c);
}

static void put_padded(struct jinja_text *b, const struct spec *s, const char *sign, const struct value *body,
                       char align)
{
  size_t have = string_length(body) + strlen(sign),
         pad = s->width > 0 && (size_t)s->width > have ? (size_t)s->width - have : 0;
  size_t left = align == '>' ? pad : align == '^' ? pad / 2 : 0;
  uint32_t fill = s->fill ? s->fill : ' ';
  put_fill(b, fill, left);
  jinja_puts(b, sign);
  if (align == '=') put_fill(b, fill, pad);
  jinja_add(b, body->as.string.bytes, body->as.string.size);
  if (align != '=') put_fill(b, fill, pad - left);
}

static int put_number(struct jinja_text *b, const struct spec *s, const struct value *v)
{
  struct jinja_text body = {.r = b->r};
  struct value text;
  double x = value_as_real(v);
  bool negative = v->kind == VALUE_FLOAT ? x < 0 || (x == 0 && 1 / x < 0) : value_as_integer(v) < 0;
  char sign[2] = {negative ? '-' : s->sign, 0};
  TRY(put_magnitude(&body, s, v));
  TRY(jinja_take(&body, &text));
  put_padded(b, s, sign, &text, s->align ? s->align : '>');
  return b->r->rc;
}

static int put_text(struct jinja_text *b, const struct spec *s, const struct value *v, char align)
{
  struct value text = *v;
  if (s->precision >= 0) text = string_part(v, 0, (size_t)s->precision);
  put_padded(b, s, "", &text, align);
  return b->r->rc;
}

/* %-formats. */

static int put_percent_text(struct jinja_text *b, struct spec *s, const struct value *v)
{
  struct value text;
  struct jinja_text body = {.r = b->r};
  TRY(one_of("sc", s->type) ? value_put_str(&body, v) : value_put_repr(&body, v));
  TRY(jinja_take(&body, &text));
  text.markup = v->markup && s->type == 's';
  if (s->escapes) TRY(string_escape(b->r, &text, &text));
  if (s->fill == '0') s->fill = ' ';
  return put_text(b, s, &text, s->align == '<' ? '<' : '>');
}

static int put_percent_code(struct jinja_text *b, struct spec *s, wide code)
{
  struct jinja_text one = {.r = b->r};
  struct value text;
  if (code < 0 || code > 0x10ffff) return jinja_fail(b->r, "%%c arg not in range(0x110000)");
  jinja_put_code(&one, (uint32_t)code);
  TRY(jinja_take(&one, &text));
  return put_percent_text(b, s, &text);
}

static int put_percent_number(struct jinja_text *b, struct spec *s, const struct value *v)
{
  struct value number = *v;
  if (one_of("diu", s->type)) {
    s->type = 'd';
    s->precision = -1;
    if (v->kind == VALUE_FLOAT) {
      if (!(math_abs(v->as.real) < 1e18)) return jinja_fail(b->r, "a float is too large for %%d");
      number = value_int((wide)v->as.real);
    }
  }
  if (s->fill == '0' && s->align != '<') s->align = '=';
  return put_number(b, s, &number);
}

static int put_percent(struct jinja_text *b, struct spec *s, const struct value *v)
{
  struct jinja *r = b->r;
  if (s->type == 'c' && value_is_integer(v)) return put_percent_code(b, s, value_as_integer(v));
  if (s->type == 'c' && (v->kind != VALUE_STRING || string_length(v) != 1))
    return jinja_fail(r, "%%c requires int or char");
  if (one_of("srac", s->type)) return put_percent_text(b, s, v);
  if (!one_of("diuxXoeEfFgG", s->type))
    return jinja_fail(r, "unsupported format character '%c'", s->type ? s->type : '?');
  if (!value_is_number(v)) return jinja_fail(r, "%%%c format: a number is required, not %s", s->type, value_type(v));
  if (v->kind == VALUE_FLOAT && one_of("xXo", s->type))
    return jinja_fail(r, "%%%c format: an integer is required, not float", s->type);
  return put_percent_number(b, s, v);
}

/* Digits, or a star for the next value. */
static int read_count(const char *f, size_t n, size_t *at, bool *given)
{
  *given = *at < n && f[*at] == '*';
  *at += *given;
  return read_digits(f, n, at);
}

/* The flags, width, precision and type behind a '%'; a name in brackets goes to *name. */
static void read_percent(const char *f, size_t n, size_t *at, struct spec *s, struct value *name)
{
  *s = (struct spec){.precision = -1};
  if (*at < n && f[*at] == '(') {
    size_t from = ++*at;
    while (*at < n && f[*at] != ')') ++*at;
    *name = value_string(f + from, *at - from);
    if (*at < n) ++*at;
  }
  for (; *at < n && one_of("-+ #0", f[*at]); ++*at) {
    char c = f[*at];
    if (c == '-')
      s->align = '<';
    else if (c == '0')
      s->fill = '0';
    else if (c == '#')
      s->alternate = true;
    else
      s->sign = c;
  }
  s->width = read_count(f, n, at, &s->width_given);
  if (*at < n && f[*at] == '.') {
    ++*at;
    s->precision = read_count(f, n, at, &s->precision_given);
  }
  if (*at < n) s->type = f[(*at)++];
}

/* The value of the next conversion: by name from a dict, in turn from a tuple, or the one there is; NULL: none left. */
static const struct value *percent_value(struct jinja *r, const struct value *name, const struct value *values,
                                         size_t *used)
{
  if (name->kind == VALUE_STRING && values->kind == VALUE_DICT) return value_dict_get(r, values->as.dict, name);
  size_t count = values->kind == VALUE_TUPLE ? values->as.list->count : 1;
  if (*used >= count) return NULL;
  size_t at = (*used)++;
  return values->kind == VALUE_TUPLE ? &values->as.list->items[at] : values;
}

/* Widths and precisions that values give. */
static int take_stars(struct jinja *r, struct spec *s, const struct value *values, size_t *used)
{
  const struct value none = value_none();
  for (int i = 0; i < 2; i++) {
    if (!(i ? s->precision_given : s->width_given)) continue;
    const struct value *v = percent_value(r, &none, values, used);
    if (!v) return jinja_fail(r, "not enough arguments for format string");
    if (!value_is_integer(v)) return jinja_fail(r, "* wants int");
    const wide n = value_as_integer(v), size = n < 0 ? -n : n;
    if (size > 100000) return jinja_fail(r, "a width or precision of a format is too large");
    if (i) s->precision = n < 0 ? 0 : (int)size;
    if (!i) s->width = (int)size;
    if (!i && n < 0) s->align = '<';
  }
  return 0;
}

int jinja_format_percent(struct jinja *r, const struct value *format, const struct value *values, struct value *out)
{
  const char *f = format->as.string.bytes;
  size_t n = format->as.string.size, used = 0, at = 0;
  bool tuple = values->kind == VALUE_TUPLE;
  struct jinja_text b = {.r = r};
  while (at < n) {
    size_t from = at;
    while (at < n && f[at] != '%') at++;
    jinja_add(&b, f + from, at - from);
    if (at++ >= n) break;
    struct spec s;
    struct value name = value_none();
    read_percent(f, n, &at, &s, &name);
    s.escapes = format->markup;
    TRY(take_stars(r, &s, values, &used));
    TRY(jinja_step(r, (size_t)s.width));
    if (s.type == '%') {
      jinja_puts(&b, "%");
      continue;
    }
    const struct value *v = percent_value(r, &name, values, &used);
    if (!v) return jinja_fail(r, "not enough arguments for format string");
    TRY(put_percent(&b, &s, v));
  }
  if (tuple ? used < values->as.list->count : !used && values->kind != VALUE_DICT)
    return jinja_fail(r, "not all arguments converted during string formatting");
  TRY(jinja_take(&b, out));
  out->markup = format->markup;
  return 0;
}

/* str.format */

/* [fill]align at the start of a format: its length. */
static size_t read_align(const char *f, size_t n, struct spec *s)
{
  size_t step = 0;
  uint32_t first = n ? unicode_at(f, n, 0, &step) : 0;
  if (n > step && step && one_of("<>^=", f[step])) {
    s->fill = first;
    s->align = f[step];
    return step + 1;
  }
  if (!n || !one_of("<>^=", f[0])) return 0;
  s->align = f[0];
  return 1;
}

/* Passes one of the characters, if it comes next. */
static char take(const char *f, size_t n, size_t *at, const char *set)
{
  return *at < n && one_of(set, f[*at]) ? f[(*at)++] : 0;
}

static int read_spec(struct jinja *r, const char *f, size_t n, struct spec *s)
{
  *s = (struct spec){.precision = -1};
  size_t at = read_align(f, n, s);
  char sign = take(f, n, &at, "+- ");
  s->sign = sign == '-' ? 0 : sign;
  s->alternate = take(f, n, &at, "#");
  if (!s->align && take(f, n, &at, "0")) s->fill = '0', s->align = '=';
  s->width = read_digits(f, n, &at);
  s->comma = take(f, n, &at, ",");
  if (take(f, n, &at, ".")) s->precision = read_digits(f, n, &at);
  if (at < n) s->type = f[at++];
  if (at < n || (s->type && !one_of("sdxXobeEfFgG%", s->type)))
    return jinja_fail(r, "Invalid format specifier '%.*s'", (int)(n < 40 ? n : 40), f);
  return jinja_step(r, (size_t)s->width);
}

/* What Python refuses of a format for a number. */
static int check_number_format(struct jinja *r, const struct spec *s, const struct value *v, size_t n)
{
  if (v->kind == VALUE_FLOAT && one_of("dxXob", s->type))
    return jinja_fail(r, "Unknown format code '%c' for object of type 'float'", s->type);
  if (value_is_integer(v) && n && s->precision >= 0 && !one_of("eEfFgG%", s->type))
    return jinja_fail(r, "Precision not allowed in integer format specifier");
  return 0;
}

/* What Python refuses of a format for text. */
static int check_text_format(struct jinja *r, const struct spec *s, const struct value *v)
{
  if (s->comma) return jinja_fail(r, "Cannot specify ',' with 's'.");
  if (s->sign || s->alternate || s->align == '=')
    return jinja_fail(r, "a sign, '#' or '=' is not allowed in the format of a string");
  if (s->type && (s->type != 's' || value_is_number(v)))
    return jinja_fail(r, "Unknown format code '%c' for object of type '%s'", s->type, value_type(v));
  return 0;
}

static int put_formatted(struct jinja_text *b, const struct value *v, const char *spec, size_t n)
{
  struct spec s;
  struct value text;
  TRY(read_spec(b->r, spec, n, &s));
  TRY(check_number_format(b->r, &s, v, n));
  if (value_is_number(v) && (n || v->kind != VALUE_BOOL) && s.type != 's') return put_number(b, &s, v);
  if (n && v->kind != VALUE_STRING && !value_is_number(v))
    return jinja_fail(b->r, "unsupported format string passed to %s.__format__", value_type(v));
  TRY(check_text_format(b->r, &s, v));
  TRY(value_to_string(b->r, v, &text));
  return put_text(b, &s, &text, s.align && s.align != '=' ? s.align : '<');
}

/* .name and [key] behind the argument of a field; a key of digits is a number. */
static int follow_path(struct jinja *r, const char *f, size_t n, struct value *v)
{
  for (size_t at = 0; at < n;) {
    const bool index = f[at] == '[';
    const char *close = index ? memchr(f + at, ']', n - at) : NULL;
    if (!index && f[at] != '.') return jinja_fail(r, "Only '.' or '[' may follow ']' in format field specifier");
    if (index && !close) return jinja_fail(r, "Missing ']' in format string");
    const size_t from = at + 1;
    size_t end = index ? (size_t)(close - f) : from, digits = from;
    while (!index && end < n && f[end] != '.' && f[end] != '[') end++;
    if (end == from) return jinja_fail(r, "Empty attribute in format string");
    struct value key = value_string(f + from, end - from), have = *v;
    const int number = read_digits(f, end, &digits);
    if (index && digits == end) key = value_int(number);
    TRY(jinja_eval_item(r, &have, &key, v));
    at = end + index;
  }
  return 0;
}

/* What stands before ':' or '!' in braces: nothing, a number or a name, then .attributes and [items]. */
static int find_field(struct jinja *r, const char *f, size_t n, const struct arguments *args, size_t *next,
                      struct value *out)
{
  size_t head = 0;
  while (head < n && f[head] != '.' && f[head] != '[') head++;
  const struct value *v = NULL;
  size_t at = 0, index = head ? (size_t)read_digits(f, head, &at) : (*next)++;
  if (at == head) {
    if (index < args->count) v = &args->items[index];
  } else {
    for (size_t i = 0; i < args->named; i++)
      if (strlen(args->names[i]) == head && !memcmp(args->names[i], f, head)) v = &args->values[i];
  }
  if (!v) return jinja_fail(r, "format lacks the argument '%.*s'", (int)(head < 40 ? head : 40), f);
  *out = *v;
  return follow_path(r, f + head, n - head, out);
}

/* The brace that ends the field at f[at], whose format may hold fields of its own; n: there is none. */
static size_t field_end(const char *f, size_t n, size_t at)
{
  int depth = 0;
  for (; at < n; at++) {
    depth += (f[at] == '{') - (f[at] == '}');
    if (!depth) return at;
  }
  return n;
}

static int put_braces(struct jinja_text *b, const struct value *format, const struct arguments *args, size_t *next,
                      bool nested);

/* {name!r:spec} without its braces. */
static int put_field(struct jinja_text *b, const char *f, size_t n, const struct arguments *args, size_t *next,
                     bool escapes, bool nested)
{
  struct jinja *r = b->r;
  struct jinja_text shown = {.r = r}, inner = {.r = r};
  struct value v, spec, text;
  size_t name = 0;
  while (name < n && f[name] != ':' && f[name] != '!') name++;
  TRY(find_field(r, f, name, args, next, &v));
  if (name + 1 < n && f[name] == '!') {
    struct jinja_text converted = {.r = r};
    TRY(f[name + 1] == 's' ? value_put_str(&converted, &v) : value_put_repr(&converted, &v));
    TRY(jinja_take(&converted, &v));
    name += 2;
  }
  if (name < n) name++; /* the colon */
  spec = value_string(f + name, n - name);
  if (memchr(f + name, '{', n - name)) {
    if (nested) return jinja_fail(r, "Max string recursion exceeded");
    TRY(put_braces(&inner, &spec, args, next, true));
    TRY(jinja_take(&inner, &spec));
  }
  TRY(put_formatted(&shown, &v, spec.as.string.bytes, spec.as.string.size));
  TRY(jinja_take(&shown, &text));
  text.markup = v.kind == VALUE_STRING && v.markup;
  if (escapes) TRY(string_escape(r, &text, &text));
  jinja_add(b, text.as.string.bytes, text.as.string.size);
  return r->rc;
}

static int put_braces(struct jinja_text *b, const struct value *format, const struct arguments *args, size_t *next,
                      bool nested)
{
  const char *f = format->as.string.bytes;
  const size_t n = format->as.string.size;
  for (size_t at = 0; at < n;) {
    if (f[at] != '{' && f[at] != '}') {
      jinja_add(b, f + at++, 1);
      continue;
    }
    if (at + 1 < n && f[at + 1] == f[at]) {
      jinja_add(b, f + at, 1);
      at += 2;
      continue;
    }
    const size_t end = f[at] == '{' ? field_end(f, n, at) : n;
    if (end == n) return jinja_fail(b->r, "Single '%c' encountered in format string", f[at]);
    TRY(put_field(b, f + at + 1, end - at - 1, args, next, format->markup, nested));
    at = end + 1;
  }
  return b->r->rc;
}

int jinja_format_braces(struct jinja *r, const struct value *format, const struct arguments *args, struct value *out)
{
  size_t next = 0;
  struct jinja_text b = {.r = r};
  TRY(put_braces(&b, format, args, &next, false));
  TRY(jinja_take(&b, out));
  out->markup = format->markup;
  return 0;
}

/* strftime of the one moment that the run knows. */

static bool read_now(const char *now, struct tm *tm)
{
  static const char shape[] = "dddd-dd-ddTdd:dd:dd";
  if (strlen(now) != sizeof shape - 1) return false;
  for (size_t i = 0; shape[i]; i++)
    if (shape[i] == 'd' ? now[i] < '0' || now[i] > '9' : now[i] != shape[i]) return false;
  static const struct {
    int at, digits;
  } fields[] = {{0, 4}, {5, 2}, {8, 2}, {11, 2}, {14, 2}, {17, 2}};
  int v[6];
  for (int i = 0; i < 6; i++) {
    v[i] = 0;
    for (int k = 0; k < fields[i].digits; k++) v[i] = v[i] * 10 + (now[fields[i].at + k] - '0');
  }
  *tm = (struct tm){
      .tm_year = v[0] - 1900, .tm_mon = v[1] - 1, .tm_mday = v[2], .tm_hour = v[3], .tm_min = v[4], .tm_sec = v[5]};
  if (v[1] < 1 || v[1] > 12 || v[2] < 1 || v[2] > 31 || v[3] > 23 || v[4] > 59 || v[5] > 60) return false;
  return timegm(tm) != (time_t)-1; /* fills in the days of week and year */
}

bool template_knows_time(const char *now)
{
  struct tm tm;
  return read_now(now, &tm);
}

/* Python's format as C's: no zone, which the moment has not, and no microseconds, which C does not know. n bytes at f;
 * at most three are written for one. */
static void put_time_format(const char *f, size_t n, char *to)
{
  for (size_t i = 0; i < n; i++) {
    const char kind = f[i] == '%' && i + 1 < n ? f[i + 1] : 0;
    if (kind == 'f') memcpy(to, "000000", 6), to += 6;
    if (kind && !strchr("zZf", kind)) *to++ = f[i], *to++ = kind;
    if (!kind) *to++ = f[i];
    i += kind != 0;
  }
  *to = 0;
}

int jinja_format_time(struct jinja *r, const struct value *format, struct value *out)
{
  struct tm tm;
  if (!r->now)
    return jinja_fail(
        r,
        "the template asks for the time (strftime_now) and none was given; give \"now\", like \"2025-01-15T14:30:05\"");
  if (!read_now(r->now, &tm))
    return jinja_fail(r, "found the time \"%.40s\"; expected one like \"2025-01-15T14:30:05\"", r->now);
  char fmt[2048], text[4096];
  size_t n = format->as.string.size;
  if (n >= sizeof fmt / 4 || memchr(format->as.string.bytes, 0, n))
    return jinja_fail(r, "a format of strftime_now is too long or holds a NUL");
  put_time_format(format->as.string.bytes, n, fmt);
  size_t size = n ? strftime(text, sizeof text, fmt, &tm) : 0;
  struct jinja_text b = {.r = r};
  jinja_add(&b, text, size);
  return jinja_take(&b, out);
}
