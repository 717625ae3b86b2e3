/* Filters that lay text out as Python's textwrap and pprint do. */
#include "text/template_filters.h"

#include "text/unicode.h"

#include <string.h>
#include <utf8proc.h>

/* ---- wordwrap: textwrap.wrap of each line ----------------------------------------------------------------------- */

/* The characters of a line, and where each begins in its bytes. */
struct letters {
  uint32_t *code;
  size_t *at; /* [n + 1] */
  size_t n;
};

static int read_letters(struct jinja *r, const struct value *s, struct letters *out)
{
  out->n = string_length(s);
  out->code = jinja_alloc(r, out->n, sizeof *out->code);
  out->at = jinja_alloc(r, out->n + 1, sizeof *out->at);
  if (!out->code || !out->at) return r->rc;
  size_t at = 0, step;
  for (size_t i = 0; i < out->n; i++, at += step) {
    out->code[i] = unicode_at(s->as.string.bytes, s->as.string.size, at, &step);
    out->at[i] = at;
  }
  out->at[out->n] = at;
  return jinja_step(r, out->n);
}

static bool is_blank(uint32_t c)
{
  return (c >= 9 && c <= 13) || c == ' ';
}

static bool is_word(const struct letters *l, size_t i)
{
  return i < l->n && unicode_is_word(l->code[i]);
}

static bool is_letter(const struct letters *l, size_t i)
{
  return is_word(l, i) && l->code[i] != '_' && utf8proc_category((utf8proc_int32_t)l->code[i]) != UTF8PROC_CATEGORY_ND;
}

/* What a dash may stand behind: the characters of words, and punctuation. */
static bool is_in_word(const struct letters *l, size_t i)
{
  return is_word(l, i) || (i < l->n && l->code[i] < 128 && l->code[i] && strchr("!\"'&.,?", (int)l->code[i]));
}

/* The end of two dashes or more from i on, with a word behind them and one before; i: there are none. */
static size_t dashes_end(const struct letters *l, size_t i)
{
  size_t end = i;
  while (end < l->n && l->code[end] == '-') end++;
  return end >= i + 2 && i && is_in_word(l, i - 1) && is_word(l, end) ? end : i;
}

/* Whether a word may be parted behind the hyphen at i: two letters, or a letter and one more part, stand before it. */
static bool parts_behind(const struct letters *l, size_t i)
{
  const bool before = (i >= 2 && is_letter(l, i - 1) && is_letter(l, i - 2)) ||
                      (i >= 3 && is_in_word(l, i - 1) && l->code[i - 2] == '-' && is_letter(l, i - 3));
  if (l->code[i] != '-' || !before || !is_letter(l, i + 1)) return false;
  return is_letter(l, i + 2) || (i + 2 < l->n && l->code[i + 2] == '-' && is_letter(l, i + 3));
}

/* The end of the piece that begins at i: blanks, dashes, or a word up to where it may be parted. */
static size_t piece_end(const struct letters *l, size_t i, bool hyphens)
{
  size_t end = i;
  if (is_blank(l->code[i])) {
    while (end < l->n && is_blank(l->code[end])) end++;
    return end;
  }
  if (hyphens && (end = dashes_end(l, i)) > i) return end;
  for (end = i + 1; end < l->n && !is_blank(l->code[end]); end++) {
    if (hyphens && dashes_end(l, end) > end) return end;
    if (hyphens && parts_behind(l, end)) return end + 1;
  }
  return end;
}

struct wrapping {
  struct jinja *r;
  struct letters letters;
  const struct value *line, *newline;
  size_t width;
  bool long_words, hyphens;
};

/* Where a piece that no line can hold is cut, of which `left` characters fit. */
static size_t cut_at(const struct wrapping *w, size_t begin, size_t end, size_t left)
{
  const struct letters *l = &w->letters;
  if (!w->hyphens || end - begin <= left) return begin + left;
  for (size_t i = begin + left; i-- > begin + 1;) {
    if (l->code[i] != '-') continue;
    for (size_t k = begin; k < i; k++)
      if (l->code[k] != '-') return i + 1;
    break;
  }
  return begin + left;
}

/* The end of the line that begins at `from`, and of the last piece on it. */
static size_t line_end(const struct wrapping *w, size_t from)
{
  const struct letters *l = &w->letters;
  size_t at = from;
  while (at < l->n) {
    const size_t end = piece_end(l, at, w->hyphens);
    if (end - from <= w->width) {
      at = end;
      continue;
    }
    if (end - at <= w->width) break;
    if (w->long_words) return cut_at(w, at, end, w->width - (at - from));
    return at > from ? at : end;
  }
  return at;
}

static int put_wrapped(struct jinja_text *b, const struct wrapping *w)
{
  const struct letters *l = &w->letters;
  bool some = false;
  for (size_t from = 0; from < l->n;) {
    if (some && is_blank(l->code[from])) from = piece_end(l, from, w->hyphens);
    if (from == l->n) break;
    size_t end = line_end(w, from), shown = end;
    TRY(jinja_step(w->r, end - from));
    while (shown > from && is_blank(l->code[shown - 1])) shown--;
    if (shown > from) {
      if (some) jinja_add(b, w->newline->as.string.bytes, w->newline->as.string.size);
      jinja_add(b, w->line->as.string.bytes + l->at[from], l->at[shown] - l->at[from]);
      some = true;
    }
    from = end > from ? end : from + 1;
  }
  return w->r->rc;
}

int jinja_filter_wordwrap(struct filter_call *c)
{
  struct value s, newline;
  struct value_list lines;
  long width;
  const struct value *given = jinja_argument(c->args, 2, "wrapstring");
  TRY(jinja_argument_integer(c->r, c->args, 0, "width", 79, &width));
  TRY(value_to_string(c->r, c->v, &s));
  newline = given && given->kind == VALUE_STRING ? *given : value_text("\n");
  TRY(string_lines(c->r, &s, false, &lines));
  if (width <= 0 && lines.count) return jinja_fail(c->r, "invalid width %ld (must be > 0)", width);
  struct jinja_text b = {.r = c->r};
  for (size_t i = 0; i < lines.count; i++) {
    struct wrapping w = {.r = c->r,
                         .line = &lines.items[i],
                         .newline = &newline,
                         .width = (size_t)width,
                         .long_words = jinja_argument_truth(c->args, 1, "break_long_words", true),
                         .hyphens = jinja_argument_truth(c->args, 3, "break_on_hyphens", true)};
    TRY(read_letters(c->r, w.line, &w.letters));
    if (i) jinja_add(&b, newline.as.string.bytes, newline.as.string.size);
    TRY(put_wrapped(&b, &w));
  }
  return jinja_take(&b, c->out);
}

/* ---- pprint: lines of 80 characters, a container's items under each other where they do not fit on one --------- */

enum { PRINT_WIDTH = 80 };

/* The value with the keys of its dicts in order. */
static int sort_keys(struct jinja *r, const struct value *v, struct value *out)
{
  *out = *v;
  if (v->kind != VALUE_DICT && v->kind != VALUE_LIST && v->kind != VALUE_TUPLE) return 0;
  TRY(jinja_enter(r));
  if (v->kind == VALUE_DICT) {
    const struct value_dict *d = v->as.dict;
    struct value *keys = jinja_alloc(r, d->count, sizeof *keys), *values = jinja_alloc(r, d->count, sizeof *values);
    if (!keys || !values) return r->rc;
    if (d->count) memcpy(keys, d->keys, d->count * sizeof *keys);
    for (size_t i = 0; i < d->count; i++) TRY(sort_keys(r, &d->values[i], &values[i]));
    TRY(value_sort(r, keys, values, d->count, false));
    TRY(value_dict_new(r, VALUE_DICT, d->count, out));
    for (size_t i = 0; i < d->count; i++) TRY(value_dict_set(r, out->as.dict, keys[i], values[i]));
  } else {
    struct value_list *list = NULL;
    TRY(value_list_new(r, v->kind, v->as.list->count, out, &list));
    for (size_t i = 0; i < list->count; i++) TRY(sort_keys(r, &v->as.list->items[i], &list->items[i]));
  }
  TRY(jinja_step(r, 1));
  jinja_leave(r);
  return 0;
}

static int repr_of(struct jinja *r, const struct value *v, struct value *out)
{
  struct jinja_text b = {.r = r};
  TRY(value_put_repr(&b, v));
  return jinja_take(&b, out);
}

static void put_newline(struct jinja_text *b, size_t indent)
{
  jinja_puts(b, "\n");
  for (size_t i = 0; i < indent; i++) jinja_puts(b, " ");
}

static void put_value(struct jinja_text *b, const struct value *s)
{
  jinja_add(b, s->as.string.bytes, s->as.string.size);
}

/* The strings that a long one is written as, one under the other. */
struct pieces {
  struct jinja *r;
  struct value_grow texts; /* each as it is printed */
  long width, reserve;     /* reserve: what comes behind the last one */
};

static int add_piece(struct pieces *p, const struct value *s)
{
  struct value text;
  TRY(repr_of(p->r, s, &text));
  return value_grow_add(p->r, &p->texts, text);
}

static int fits(struct pieces *p, const struct value *s, long width, bool *out)
{
  struct value text;
  TRY(repr_of(p->r, s, &text));
  *out = (long)string_length(&text) <= width;
  return jinja_step(p->r, s->as.string.size / 8);
}

/* A line that is too long by itself: words with the space behind them, as many as fit. */
static int add_words(struct pieces *p, const struct value *line, bool last)
{
  const char *s = line->as.string.bytes;
  const size_t n = line->as.string.size;
  size_t from = 0, end = 0, next, step;
  while (end < n) {
    for (next = end; next < n && !unicode_is_space(unicode_at(s, n, next, &step)); next += step) continue;
    for (; next < n && unicode_is_space(unicode_at(s, n, next, &step)); next += step) continue;
    const struct value more = value_string(s + from, next - from), have = value_string(s + from, end - from);
    bool enough = true;
    TRY(fits(p, &more, p->width - (last && next == n ? p->reserve : 0), &enough));
    if (!enough && end > from) TRY(add_piece(p, &have));
    if (!enough) from = end;
    end = next;
  }
  const struct value rest = value_string(s + from, end - from);
  return end > from ? add_piece(p, &rest) : 0;
}

static int put_long_text(struct jinja_text *b, const struct value *s, size_t indent, size_t allowance, bool outermost)
{
  struct value_list lines;
  indent += outermost;
  struct pieces p = {.r = b->r, .width = PRINT_WIDTH - (long)indent, .reserve = (long)(allowance + outermost)};
  TRY(string_lines(b->r, s, true, &lines));
  for (size_t i = 0; i < lines.count; i++) {
    const bool last = i + 1 == lines.count;
    bool enough = true;
    TRY(fits(&p, &lines.items[i], p.width - (last ? p.reserve : 0), &enough));
    TRY(enough ? add_piece(&p, &lines.items[i]) : add_words(&p, &lines.items[i], last));
  }
  const bool brackets = outermost && p.texts.count > 1;
  if (brackets) jinja_puts(b, "(");
  for (size_t i = 0; i < p.texts.count; i++) {
    if (i) put_newline(b, indent);
    put_value(b, &p.texts.items[i]);
  }
  if (brackets) jinja_puts(b, ")");
  return b->r->rc;
}

static int put_pretty(struct jinja_text *b, const struct value *v, size_t indent, size_t allowance, bool outermost);

static int put_pretty_items(struct jinja_text *b, const struct value *v, size_t indent, size_t allowance)
{
  const struct value_list *list = v->as.list;
  const char *close = v->kind == VALUE_LIST ? "]" : list->count == 1 ? ",)" : ")";
  jinja_puts(b, v->kind == VALUE_LIST ? "[" : "(");
  for (size_t i = 0; i < list->count; i++) {
    if (i) jinja_puts(b, ",");
    if (i) put_newline(b, indent + 1);
    TRY(put_pretty(b, &list->items[i], indent + 1, i + 1 == list->count ? allowance + strlen(close) : 1, false));
  }
  jinja_puts(b, close);
  return b->r->rc;
}

static int put_pretty_dict(struct jinja_text *b, const struct value_dict *d, size_t indent, size_t allowance)
{
  jinja_puts(b, "{");
  for (size_t i = 0; i < d->count; i++) {
    struct value key;
    if (i) jinja_puts(b, ",");
    if (i) put_newline(b, indent + 1);
    TRY(repr_of(b->r, &d->keys[i], &key));
    put_value(b, &key);
    jinja_puts(b, ": ");
    TRY(put_pretty(b, &d->values[i], indent + 1 + string_length(&key) + 2, i + 1 == d->count ? allowance + 1 : 1,
                   false));
  }
  jinja_puts(b, "}");
  return b->r->rc;
}

/* indent: the column where it begins; allowance: how much comes behind it on its last line. */
static int put_pretty(struct jinja_text *b, const struct value *v, size_t indent, size_t allowance, bool outermost)
{
  struct value text;
  int rc = 0;
  TRY(jinja_enter(b->r));
  TRY(repr_of(b->r, v, &text));
  const bool fits_here = string_length(&text) + indent + allowance <= PRINT_WIDTH;
  if (!fits_here && v->kind == VALUE_DICT)
    rc = put_pretty_dict(b, v->as.dict, indent, allowance);
  else if (!fits_here && (v->kind == VALUE_LIST || v->kind == VALUE_TUPLE))
    rc = put_pretty_items(b, v, indent, allowance);
  else if (!fits_here && v->kind == VALUE_STRING && !v->markup)
    rc = put_long_text(b, v, indent, allowance, outermost);
  else
    put_value(b, &text);
  jinja_leave(b->r);
  return rc ? rc : b->r->rc;
}

int jinja_filter_pprint(struct filter_call *c)
{
  struct value v;
  struct jinja_text b = {.r = c->r};
  TRY(sort_keys(c->r, c->v, &v));
  TRY(put_pretty(&b, &v, 0, 0, true));
  return jinja_take(&b, c->out);
}
