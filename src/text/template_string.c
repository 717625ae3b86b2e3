/* Strings: Python's methods, and the pieces that filters share with them. */
#define _GNU_SOURCE /* memmem, which takes linear time */
#include "text/template_run.h"

#include "text/unicode.h"

#include <string.h>
#include <utf8proc.h>

static bool is_space(uint32_t c)
{
  return unicode_is_space(c) || (c >= 0x1c && c <= 0x1f);
}
static uint32_t to_upper(uint32_t c)
{
  return (uint32_t)utf8proc_toupper((utf8proc_int32_t)c);
}
static uint32_t to_lower(uint32_t c)
{
  return (uint32_t)utf8proc_tolower((utf8proc_int32_t)c);
}
static bool is_upper(uint32_t c)
{
  return utf8proc_isupper((utf8proc_int32_t)c) || utf8proc_category((utf8proc_int32_t)c) == UTF8PROC_CATEGORY_LT;
}
static bool is_cased(uint32_t c)
{
  return is_upper(c) || utf8proc_islower((utf8proc_int32_t)c);
}

/* Walks over the characters of a string. */
struct walk {
  const char *s;
  size_t n, at;
};
static struct walk walk_over(const struct value *v)
{
  return (struct walk){v->as.string.bytes, v->as.string.size, 0};
}
static bool walk_next(struct walk *w, uint32_t *c)
{
  size_t step;
  if (w->at >= w->n) return false;
  *c = unicode_at(w->s, w->n, w->at, &step);
  w->at += step;
  return true;
}

/* Letters whose capitals are several. */
static const char *wide_capital(uint32_t c)
{
  static const struct {
    uint32_t c;
    const char *upper;
  } table[] = {{0xdf, "SS"},
               {0x149, "\u02bcN"},
               {0x1f0, "J\u030c"},
               {0x390, "\u0399\u0308\u0301"},
               {0x3b0, "\u03a5\u0308\u0301"},
               {0xfb00, "FF"},
               {0xfb01, "FI"},
               {0xfb02, "FL"},
               {0xfb03, "FFI"},
               {0xfb04, "FFL"},
               {0xfb05, "ST"},
               {0xfb06, "ST"}};
  for (size_t i = 0; i < sizeof table / sizeof *table; i++)
    if (table[i].c == c) return table[i].upper;
  return NULL;
}

/* A letter at the start of a word; of one whose capitals are several the first alone: Ss. */
static void put_initial(struct jinja_text *b, uint32_t c)
{
  const char *several = wide_capital(c);
  if (!several) {
    jinja_put_code(b, to_upper(c));
    return;
  }
  jinja_add(b, several, 1);
  for (const char *p = several + 1; *p; p++) {
    const bool lower = several[0] > 0 && *p >= 'A' && *p <= 'Z';
    const char letter = (char)(lower ? *p - 'A' + 'a' : *p);
    jinja_add(b, &letter, 1);
  }
}

static bool ends_word(const struct walk *w)
{
  size_t step;
  return w->at >= w->n || !is_cased(unicode_at(w->s, w->n, w->at, &step));
}

/* A sigma at the end of a word has a form of its own; the dotted capital I keeps its dot. */
int string_case(struct jinja *r, const struct value *s, bool upper, struct value *out)
{
  struct jinja_text b = {.r = r};
  bool inside = false;
  uint32_t c;
  TRY(jinja_step(r, s->as.string.size / 16));
  for (struct walk w = walk_over(s); walk_next(&w, &c); inside = is_cased(c)) {
    const char *several = upper ? wide_capital(c) : c == 0x130 ? "i\u0307" : NULL;
    if (several)
      jinja_puts(&b, several);
    else if (!upper && c == 0x3a3 && inside && ends_word(&w))
      jinja_put_code(&b, 0x3c2);
    else
      jinja_put_code(&b, upper ? to_upper(c) : to_lower(c));
  }
  return jinja_take(&b, out);
}

/* Python's str.title: a letter behind something that is no letter starts a word; Jinja's filter: words are what stands
   between white space, dashes and opening brackets. */
int string_title(struct jinja *r, const struct value *s, bool jinja, struct value *out)
{
  struct jinja_text b = {.r = r};
  bool inside = false;
  uint32_t c;
  TRY(jinja_step(r, s->as.string.size / 16));
  for (struct walk w = walk_over(s); walk_next(&w, &c);) {
    const char *several =
        jinja && !inside ? wide_capital(c) : NULL; /* the filter makes a capital, the method a title */
    if (inside)
      jinja_put_code(&b, to_lower(c));
    else if (several)
      jinja_puts(&b, several);
    else
      put_initial(&b, c);
    inside = jinja ? !is_space(c) && !(c < 128 && c && strchr("-({[<", (int)c)) : is_cased(c);
  }
  return jinja_take(&b, out);
}

int string_capitalize(struct jinja *r, const struct value *s, struct value *out)
{
  struct jinja_text b = {.r = r};
  bool first = true;
  uint32_t c;
  for (struct walk w = walk_over(s); walk_next(&w, &c); first = false) {
    if (first)
      put_initial(&b, c);
    else
      jinja_put_code(&b, to_lower(c));
  }
  return jinja_take(&b, out);
}

static int swap_case(struct jinja *r, const struct value *s, struct value *out)
{
  struct jinja_text b = {.r = r};
  uint32_t c;
  for (struct walk w = walk_over(s); walk_next(&w, &c);) jinja_put_code(&b, is_upper(c) ? to_lower(c) : to_upper(c));
  return jinja_take(&b, out);
}

bool string_is_case(const struct value *s, bool upper)
{
  bool some = false;
  uint32_t c;
  for (struct walk w = walk_over(s); walk_next(&w, &c);) {
    if (!is_cased(c)) continue;
    if (is_upper(c) != upper) return false;
    some = true;
  }
  return some;
}

static bool is_stripped(uint32_t c, const struct value *chars)
{
  if (!chars) return is_space(c);
  uint32_t x;
  for (struct walk w = walk_over(chars); walk_next(&w, &x);)
    if (x == c) return true;
  return false;
}

struct value string_strip(const struct value *s, const struct value *chars, int sides)
{
  const char *bytes = s->as.string.bytes;
  size_t from = 0, to = s->as.string.size, step;
  while (sides & STRIP_LEFT && from < to && is_stripped(unicode_at(bytes, to, from, &step), chars)) from += step;
  while (sides & STRIP_RIGHT && to > from && is_stripped(unicode_before(bytes + from, to - from, &step), chars))
    to -= step;
  return value_string(bytes + from, to - from);
}

int string_replace(struct jinja *r, const struct value *s, const struct value *from, const struct value *to, long limit,
                   struct value *out)
{
  struct jinja_text b = {.r = r};
  const char *bytes = s->as.string.bytes;
  size_t n = s->as.string.size, m = from->as.string.size, at = 0;
  TRY(jinja_step(r, n / 16));
  while (limit != 0 && at <= n) {
    const char *found = m ? (n > at ? memmem(bytes + at, n - at, from->as.string.bytes, m) : NULL) : bytes + at;
    if (!found) break;
    jinja_add(&b, bytes + at, (size_t)(found - bytes) - at);
    jinja_add(&b, to->as.string.bytes, to->as.string.size);
    at = (size_t)(found - bytes) + m;
    limit--;
    if (m) continue;
    size_t step = 1; /* the empty string is found before every character and at the end */
    if (at < n) unicode_at(bytes, n, at, &step), jinja_add(&b, bytes + at, step);
    at += step;
    if (at > n) return jinja_take(&b, out);
  }
  if (at < n) jinja_add(&b, bytes + at, n - at);
  return jinja_take(&b, out);
}

static bool is_line_end(uint32_t c)
{
  return (c >= 10 && c <= 13) || (c >= 0x1c && c <= 0x1e) || c == 0x85 || c == 0x2028 || c == 0x2029;
}

int string_lines(struct jinja *r, const struct value *s, bool keep, struct value_list *out)
{
  struct value_grow lines = {0};
  size_t from = 0;
  uint32_t c;
  for (struct walk w = walk_over(s);;) {
    size_t at = w.at;
    bool more = walk_next(&w, &c);
    if (more && !is_line_end(c)) continue;
    if (more && c == '\r' && w.at < w.n && w.s[w.at] == '\n') w.at++;
    const size_t end = keep ? w.at : at;
    if (more || at > from) TRY(value_grow_add(r, &lines, value_string(w.s + from, end - from)));
    if (!more) break;
    from = w.at;
  }
  *out = (struct value_list){lines.items, lines.count};
  return jinja_step(r, s->as.string.size / 16);
}

int string_center(struct jinja *r, const struct value *s, size_t width, char align, uint32_t fill, struct value *out)
{
  size_t n = string_length(s), pad = width > n ? width - n : 0;
  size_t left = align == '>' ? pad : align == '^' ? pad / 2 + (pad & width & 1) : 0;
  struct jinja_text b = {.r = r};
  TRY(jinja_step(r, pad));
  for (size_t i = 0; i < left; i++) jinja_put_code(&b, fill);
  jinja_add(&b, s->as.string.bytes, s->as.string.size);
  for (size_t i = left; i < pad; i++) jinja_put_code(&b, fill);
  return jinja_take(&b, out);
}

/* The methods. */

struct string_call {
  struct jinja *r;
  const struct value *s;
  const struct arguments *args;
  const char *name;
  struct value *out;
};

static bool name_is(const struct string_call *c, const char *name)
{
  return !strcmp(c->name, name);
}

static int do_case(struct string_call *c)
{
  if (name_is(c, "title")) return string_title(c->r, c->s, false, c->out);
  if (name_is(c, "capitalize")) return string_capitalize(c->r, c->s, c->out);
  if (name_is(c, "swapcase")) return swap_case(c->r, c->s, c->out);
  return string_case(c->r, c->s, name_is(c, "upper"), c->out);
}

static int do_strip(struct string_call *c)
{
  const struct value *chars = jinja_argument(c->args, 0, NULL);
  if (chars && chars->kind == VALUE_NONE) chars = NULL;
  if (chars && chars->kind != VALUE_STRING) return jinja_fail(c->r, "%s arg must be None or str", c->name);
  int sides = c->name[0] == 'l' ? STRIP_LEFT : c->name[0] == 'r' ? STRIP_RIGHT : STRIP_LEFT | STRIP_RIGHT;
  *c->out = string_strip(c->s, chars, sides);
  return jinja_step(c->r, c->s->as.string.size / 16);
}

/* From the left, or from the right: the part that the limit leaves whole keeps the space at its other end. */
static int split_spaces(struct string_call *c, long limit, struct value_grow *parts)
{
  const bool last = c->name[0] == 'r';
  struct value rest = string_strip(c->s, NULL, last ? STRIP_RIGHT : STRIP_LEFT);
  while (rest.as.string.size) {
    const char *s = rest.as.string.bytes;
    size_t n = rest.as.string.size, from = last ? n : 0, to = last ? n : 0, step = 0;
    if (limit == 0) return value_grow_add(c->r, parts, rest);
    while (last && from > 0 && !is_space(unicode_before(s, from, &step))) from -= step;
    while (!last && to < n && !is_space(unicode_at(s, n, to, &step))) to += step;
    TRY(value_grow_add(c->r, parts, value_string(s + from, to - from)));
    limit--;
    rest = last ? value_string(s, from) : value_string(s + to, n - to);
    rest = string_strip(&rest, NULL, last ? STRIP_RIGHT : STRIP_LEFT);
  }
  return 0;
}

static void turn_around(struct value_grow *parts)
{
  for (size_t i = 0; i < parts->count / 2; i++) {
    struct value swap = parts->items[i];
    parts->items[i] = parts->items[parts->count - 1 - i];
    parts->items[parts->count - 1 - i] = swap;
  }
}

/* The last place of `part` in the first n bytes. */
static const char *find_last(const char *s, size_t n, const struct value *part)
{
  size_t m = part->as.string.size;
  for (size_t at = n >= m ? n - m + 1 : 0; at-- > 0;)
    if (!memcmp(s + at, part->as.string.bytes, m)) return s + at;
  return NULL;
}

static const char *find_first(const char *s, size_t n, const struct value *part)
{
  if (!part->as.string.size) return s;
  return n ? memmem(s, n, part->as.string.bytes, part->as.string.size) : NULL;
}

static int split_by(struct string_call *c, const struct value *separator, long limit, struct value_grow *parts)
{
  const char *s = c->s->as.string.bytes;
  size_t n = c->s->as.string.size, m = separator->as.string.size;
  bool last = c->name[0] == 'r';
  if (!m) return jinja_fail(c->r, "empty separator");
  while (limit != 0) {
    const char *found = last ? find_last(s, n, separator) : find_first(s, n, separator);
    if (!found) break;
    size_t at = (size_t)(found - s);
    TRY(value_grow_add(c->r, parts, last ? value_string(found + m, n - at - m) : value_string(s, at)));
    if (!last) s = found + m;
    n = last ? at : n - at - m;
    limit--;
  }
  TRY(value_grow_add(c->r, parts, value_string(s, n)));
  return 0;
}

static int do_split(struct string_call *c)
{
  const struct value *separator = jinja_argument(c->args, 0, "sep");
  struct value_grow parts = {0};
  long limit;
  TRY(jinja_argument_integer(c->r, c->args, 1, "maxsplit", -1, &limit));
  TRY(jinja_step(c->r, c->s->as.string.size / 8));
  if (!separator || separator->kind == VALUE_NONE)
    TRY(split_spaces(c, limit, &parts));
  else if (separator->kind == VALUE_STRING)
    TRY(split_by(c, separator, limit, &parts));
  else
    return jinja_fail(c->r, "must be str or None, not %s", value_type(separator));
  if (c->name[0] == 'r') turn_around(&parts);
  return value_list_from(c->r, VALUE_LIST, &parts, c->out);
}

static int do_lines(struct string_call *c)
{
  struct value_list lines;
  TRY(string_lines(c->r, c->s, jinja_argument_truth(c->args, 0, "keepends", false), &lines));
  struct value_grow g = {lines.items, lines.count, lines.count};
  return value_list_from(c->r, VALUE_LIST, &g, c->out);
}

static int do_partition(struct string_call *c)
{
  struct value separator, empty = value_text("");
  struct value_list *parts = NULL;
  TRY(jinja_argument_string(c->r, c->args, 0, "sep", empty, &separator));
  if (!separator.as.string.size) return jinja_fail(c->r, "empty separator");
  const char *s = c->s->as.string.bytes;
  size_t n = c->s->as.string.size, m = separator.as.string.size;
  bool last = c->name[0] == 'r';
  const char *found = last ? find_last(s, n, &separator) : find_first(s, n, &separator);
  TRY(value_list_new(c->r, VALUE_TUPLE, 3, c->out, &parts));
  parts->items[0] = parts->items[1] = parts->items[2] = empty;
  if (!found) {
    parts->items[last ? 2 : 0] = *c->s;
    return 0;
  }
  size_t at = (size_t)(found - s);
  parts->items[0] = value_string(s, at);
  parts->items[1] = separator;
  parts->items[2] = value_string(found + m, n - at - m);
  return jinja_step(c->r, n / 16);
}

/* The characters that the arguments start and end (the second and third) leave. */
static int part_within(struct string_call *c, struct value *out, size_t *first)
{
  const long n = (long)string_length(c->s);
  long start, end;
  TRY(jinja_argument_integer(c->r, c->args, 1, NULL, 0, &start));
  TRY(jinja_argument_integer(c->r, c->args, 2, NULL, n, &end));
  if (start < 0) start = start + n > 0 ? start + n : 0;
  if (end < 0) end = end + n > 0 ? end + n : 0;
  if (start > n) start = n;
  *first = (size_t)start;
  *out = string_part(c->s, *first, end > start ? (size_t)(end - start) : 0);
  return jinja_step(c->r, c->s->as.string.size / 16);
}

/* startswith, endswith: one string or a tuple of them. */
static int do_affix(struct string_call *c)
{
  const struct value *what = jinja_argument(c->args, 0, NULL);
  if (!what) return jinja_fail(c->r, "%s() lacks its argument", c->name);
  struct value within;
  size_t start;
  TRY(part_within(c, &within, &start));
  struct value_list one = {(struct value *)(uintptr_t)what, 1};
  if (what->kind == VALUE_TUPLE) one = *what->as.list;
  *c->out = value_bool(false);
  for (size_t i = 0; i < one.count; i++) {
    const struct value *part = &one.items[i];
    if (part->kind != VALUE_STRING)
      return jinja_fail(c->r, "%s first arg must be str or a tuple of str, not %s", c->name, value_type(part));
    size_t n = within.as.string.size, m = part->as.string.size;
    const char *at = within.as.string.bytes + (c->name[0] == 'e' && m <= n ? n - m : 0);
    if (m <= n && !memcmp(at, part->as.string.bytes, m)) *c->out = value_bool(true);
  }
  return 0;
}

static int do_remove_affix(struct string_call *c)
{
  struct value part;
  TRY(jinja_argument_string(c->r, c->args, 0, NULL, value_text(""), &part));
  size_t n = c->s->as.string.size, m = part.as.string.size;
  bool prefix = name_is(c, "removeprefix");
  const char *s = c->s->as.string.bytes, *at = prefix ? s : s + (n - (m <= n ? m : 0));
  *c->out = *c->s;
  if (m && m <= n && !memcmp(at, part.as.string.bytes, m)) *c->out = value_string(prefix ? s + m : s, n - m);
  return 0;
}

/* find, rfind, index, rindex, count; places are counted in characters. */
static int do_find(struct string_call *c)
{
  struct value part, within;
  size_t start = 0;
  if (!c->args->count) return jinja_fail(c->r, "%s() lacks its argument", c->name);
  TRY(jinja_argument_string(c->r, c->args, 0, NULL, value_text(""), &part));
  TRY(part_within(c, &within, &start));
  const char *s = within.as.string.bytes;
  size_t n = within.as.string.size, m = part.as.string.size;
  if (name_is(c, "count")) {
    wide count = m ? 0 : (wide)string_length(&within) + 1;
    for (const char *found; m && (found = find_first(s, n, &part)); count++) {
      n -= (size_t)(found - s) + m;
      s = found + m;
    }
    *c->out = value_int(count);
    return 0;
  }
  const char *found = c->name[0] == 'r' ? find_last(s, n, &part) : find_first(s, n, &part);
  if (!found && strstr(c->name, "index")) return jinja_fail(c->r, "substring not found");
  struct value before = value_string(s, found ? (size_t)(found - s) : 0);
  *c->out = value_int(found ? (wide)(string_length(&before) + start) : -1);
  return 0;
}

static int do_replace(struct string_call *c)
{
  struct value from, to;
  long limit;
  if (c->args->count < 2) return jinja_fail(c->r, "replace expected at least 2 arguments, got %zu", c->args->count);
  TRY(jinja_argument_string(c->r, c->args, 0, "old", value_text(""), &from));
  TRY(jinja_argument_string(c->r, c->args, 1, "new", value_text(""), &to));
  TRY(jinja_argument_integer(c->r, c->args, 2, "count", -1, &limit));
  if (c->s->markup) TRY(string_escape(c->r, &to, &to));
  return string_replace(c->r, c->s, &from, &to, limit, c->out);
}

static int do_join(struct string_call *c)
{
  const struct value *over = jinja_argument(c->args, 0, NULL);
  struct value_list items;
  if (!over) return jinja_fail(c->r, "join() lacks its argument");
  TRY(value_iterate(c->r, over, &items));
  struct jinja_text b = {.r = c->r};
  for (size_t i = 0; i < items.count; i++) {
    if (items.items[i].kind != VALUE_STRING)
      return jinja_fail(c->r, "sequence item %zu: expected str instance, %s found", i, value_type(&items.items[i]));
    struct value item = items.items[i];
    if (c->s->markup) TRY(string_escape(c->r, &item, &item));
    if (i) jinja_add(&b, c->s->as.string.bytes, c->s->as.string.size);
    jinja_add(&b, item.as.string.bytes, item.as.string.size);
  }
  return jinja_take(&b, c->out);
}

static int do_pad(struct string_call *c)
{
  long width;
  struct value fill;
  size_t step;
  TRY(jinja_argument_integer(c->r, c->args, 0, "width", 0, &width));
  TRY(jinja_argument_string(c->r, c->args, 1, "fillchar", value_text(" "), &fill));
  if (string_length(&fill) != 1) return jinja_fail(c->r, "The fill character must be exactly one character long");
  uint32_t code = unicode_at(fill.as.string.bytes, fill.as.string.size, 0, &step);
  return string_center(c->r, c->s, width < 0 ? 0 : (size_t)width,
                       c->name[0] == 'l'   ? '<'
                       : c->name[0] == 'r' ? '>'
                                           : '^',
                       code, c->out);
}

static int do_zfill(struct string_call *c)
{
  long width;
  TRY(jinja_argument_integer(c->r, c->args, 0, "width", 0, &width));
  bool sign = c->s->as.string.size && memchr("+-", c->s->as.string.bytes[0], 2);
  struct value digits = string_part(c->s, sign, SIZE_MAX), padded;
  TRY(string_center(c->r, &digits, width > sign ? (size_t)(width - sign) : 0, '>', '0', &padded));
  struct jinja_text b = {.r = c->r};
  jinja_add(&b, c->s->as.string.bytes, sign);
  jinja_add(&b, padded.as.string.bytes, padded.as.string.size);
  return jinja_take(&b, c->out);
}

/* Digits beside the decimal ones: powers, indices, those in circles, brackets or with a full stop. */
static bool is_other_digit(uint32_t c)
{
  static const uint16_t ranges[][2] = {{0xb2, 0xb3},     {0xb9, 0xb9},     {0x2070, 0x2070}, {0x2074, 0x2079},
                                       {0x2080, 0x2089}, {0x2460, 0x2468}, {0x2474, 0x247c}, {0x2488, 0x2490},
                                       {0x24ea, 0x24ea}, {0x24f5, 0x24fd}, {0x24ff, 0x24ff}, {0x2776, 0x277e},
                                       {0x2780, 0x2788}, {0x278a, 0x2792}};
  for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
    if (c >= ranges[i][0] && c <= ranges[i][1]) return true;
  return false;
}

static bool is_numeric(uint32_t c)
{
  const utf8proc_category_t kind = utf8proc_category((utf8proc_int32_t)c);
  return kind == UTF8PROC_CATEGORY_ND || kind == UTF8PROC_CATEGORY_NL || kind == UTF8PROC_CATEGORY_NO;
}

static bool char_is(const char *test, uint32_t c)
{
  const bool decimal = utf8proc_category((utf8proc_int32_t)c) == UTF8PROC_CATEGORY_ND;
  if (!strcmp(test, "isdecimal")) return decimal;
  if (!strcmp(test, "isdigit")) return decimal || is_other_digit(c);
  if (!strcmp(test, "isnumeric")) return is_numeric(c);

  if (!strcmp(test, "isspace")) return is_space(c);
  if (!strcmp(test, "isalpha")) return unicode_is_alpha(c);
  if (!strcmp(test, "isascii")) return c < 128;
  return unicode_is_alpha(c) || is_numeric(c); /* isalnum */
}

static int do_is(struct string_call *c)
{
  bool all = c->s->as.string.size > 0 || name_is(c, "isascii");
  uint32_t x;
  if (name_is(c, "isupper") || name_is(c, "islower"))
    all = string_is_case(c->s, name_is(c, "isupper"));
  else
    for (struct walk w = walk_over(c->s); walk_next(&w, &x);) all = all && char_is(c->name, x);
  *c->out = value_bool(all);
  return 0;
}

/* A word has one capital, in front. */
static int do_is_title(struct string_call *c)
{
  bool inside = false, some = false, good = true;
  uint32_t x;
  for (struct walk w = walk_over(c->s); walk_next(&w, &x); inside = is_cased(x)) {
    if (!is_cased(x)) continue;
    good = good && is_upper(x) != inside;
    some = true;
  }
  *c->out = value_bool(some && good);
  return 0;
}

static int do_is_identifier(struct string_call *c)
{
  bool good = c->s->as.string.size > 0, first = true;
  uint32_t x;
  for (struct walk w = walk_over(c->s); walk_next(&w, &x); first = false)
    good = good && (x == '_' || unicode_is_alpha(x) || (!first && unicode_is_digit(x)));
  *c->out = value_bool(good);
  return 0;
}

static int do_is_printable(struct string_call *c)
{
  bool good = true;
  uint32_t x;
  for (struct walk w = walk_over(c->s); walk_next(&w, &x);) good = good && unicode_prints(x);
  *c->out = value_bool(good);
  return 0;
}

static int do_expand_tabs(struct string_call *c)
{
  struct jinja_text b = {.r = c->r};
  long size, column = 0;
  uint32_t x;
  TRY(jinja_argument_integer(c->r, c->args, 0, "tabsize", 8, &size));
  for (struct walk w = walk_over(c->s); walk_next(&w, &x);) {
    long spaces = x == '\t' && size > 0 ? size - column % size : 0;
    if (spaces > TEMPLATE_RANGE) return jinja_fail(c->r, "a tab of %ld columns is too wide", spaces);
    for (long i = 0; i < spaces; i++) jinja_puts(&b, " ");
    if (x != '\t') jinja_put_code(&b, x);
    column = x == '\n' || x == '\r' ? 0 : column + (x == '\t' ? spaces : 1);
  }
  return jinja_take(&b, c->out);
}

static int do_format(struct string_call *c)
{
  return jinja_format_braces(c->r, c->s, c->args, c->out);
}

static const struct {
  const char *name;
  int (*run)(struct string_call *);
} methods[] = {{"upper", do_case},
               {"lower", do_case},
               {"casefold", do_case},
               {"title", do_case},
               {"capitalize", do_case},
               {"swapcase", do_case},
               {"strip", do_strip},
               {"lstrip", do_strip},
               {"rstrip", do_strip},
               {"split", do_split},
               {"rsplit", do_split},
               {"splitlines", do_lines},
               {"partition", do_partition},
               {"rpartition", do_partition},
               {"startswith", do_affix},
               {"endswith", do_affix},
               {"removeprefix", do_remove_affix},
               {"removesuffix", do_remove_affix},
               {"find", do_find},
               {"rfind", do_find},
               {"index", do_find},
               {"rindex", do_find},
               {"count", do_find},
               {"replace", do_replace},
               {"join", do_join},
               {"center", do_pad},
               {"ljust", do_pad},
               {"rjust", do_pad},
               {"zfill", do_zfill},
               {"isdigit", do_is},
               {"isdecimal", do_is},
               {"isnumeric", do_is},
               {"isalpha", do_is},
               {"isalnum", do_is},
               {"isspace", do_is},
               {"isupper", do_is},
               {"islower", do_is},
               {"isascii", do_is},
               {"istitle", do_is_title},
               {"isidentifier", do_is_identifier},
               {"isprintable", do_is_printable},
               {"expandtabs", do_expand_tabs},
               {"format", do_format}};

/* What a method makes of marked text is marked: the string, or those in the list. */
static void mark(struct value *v)
{
  v->markup = v->kind == VALUE_STRING;
  for (size_t i = 0; (v->kind == VALUE_LIST || v->kind == VALUE_TUPLE) && i < v->as.list->count; i++)
    v->as.list->items[i].markup = true;
}

bool jinja_string_method_exists(const char *name)
{
  for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
    if (!strcmp(methods[i].name, name)) return true;
  return false;
}

int jinja_call_string_method(struct jinja *r, const struct value *v, const char *name, const struct arguments *args,
                             struct value *out)
{
  struct string_call c = {r, v, args, name, out};
  for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
    if (strcmp(methods[i].name, name)) continue;
    TRY(methods[i].run(&c));
    if (v->markup) mark(out);
    return 0;
  }
  return jinja_fail(r, "'str object' has no attribute '%s'", name);
}
