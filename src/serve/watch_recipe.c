#include "serve/watch_recipe.h"

#include <stdio.h>
#include <string.h>

enum { DEEPEST = 16, PART = 64 };

/* The path to the line that is read. */
struct place {
  char parts[DEEPEST][PART];
  int indents[DEEPEST], entries[DEEPEST]; /* column of the part; "- " seen below it so far */
  int depth;
};

static void descend(struct place *p, int indent, const char *name, size_t n)
{
  while (p->depth && p->indents[p->depth - 1] >= indent) p->depth--;
  if (p->depth == DEEPEST) return;
  snprintf(p->parts[p->depth], PART, "%.*s", (int)(n < PART ? n : PART - 1), name);
  p->indents[p->depth] = indent;
  p->entries[p->depth++] = 0;
}

/* "- " at this column: a part that is the entry's number. */
static void descend_entry(struct place *p, int indent)
{
  char number[16];
  while (p->depth && p->indents[p->depth - 1] >= indent) p->depth--;
  int entry = p->depth ? p->entries[p->depth - 1]++ : 0;
  int n = snprintf(number, sizeof number, "%d", entry);
  descend(p, indent, number, (size_t)n);
}

/* Where the value ends: "  # " outside of quotes, or the end. */
static size_t value_length(const char *s, size_t n)
{
  bool quoted = false;
  for (size_t i = 0; i < n; i++) {
    if (quoted && s[i] == '\\')
      i++;
    else if (s[i] == '"')
      quoted = !quoted;
    else if (!quoted && n - i >= 4 && !memcmp(s + i, "  # ", 4))
      return i;
  }
  return n;
}

static void put_key(const struct place *p, char *out)
{
  size_t at = 0;
  out[0] = '\0';
  for (int i = 0; i < p->depth && at < RECIPE_KEY; i++)
    at += (size_t)snprintf(out + at, RECIPE_KEY - at, "%s%s", i ? "." : "", p->parts[i]);
}

static void read_value(const struct place *p, const char *s, size_t n, recipe_row_fn *take, void *arg)
{
  struct recipe_row row = {.value = s, .value_size = value_length(s, n)};
  if (row.value_size < n) {
    row.origin = s + row.value_size + 4;
    row.origin_size = n - row.value_size - 4;
  }
  put_key(p, row.key);
  take(arg, &row);
}

static size_t key_length(const char *s, size_t n)
{
  size_t i = 0;
  while (i < n && s[i] != ':' && s[i] != ' ' && s[i] != '"' && s[i] != '{' && s[i] != '[') i++;
  return i < n && s[i] == ':' && (i + 1 == n || s[i + 1] == ' ') ? i : 0;
}

static void read_line(struct place *p, const char *s, size_t n, recipe_row_fn *take, void *arg)
{
  size_t at = 0;
  while (at < n && s[at] == ' ') at++;
  if (at == n || s[at] == '#') return;
  if (n - at >= 2 && s[at] == '-' && s[at + 1] == ' ') {
    descend_entry(p, (int)at);
    at += 2;
  }
  size_t key = key_length(s + at, n - at);
  if (key) {
    descend(p, (int)at, s + at, key);
    at += key + 1;
    while (at < n && s[at] == ' ') at++;
    if (at == n) return;
  }
  read_value(p, s + at, n - at, take, arg);
}

void recipe_rows(const char *text, size_t n, recipe_row_fn *take, void *arg)
{
  struct place p = {.depth = 0};
  for (const char *at = text, *end = text + n; at < end;) {
    const char *stop = memchr(at, '\n', (size_t)(end - at));
    size_t size = (size_t)((stop ? stop : end) - at);
    read_line(&p, at, size, take, arg);
    at += size + 1;
  }
}

struct putting {
  struct text *text;
  bool more;
};

static void put_row(void *arg, const struct recipe_row *row)
{
  struct putting *p = arg;
  text_puts(p->text, p->more ? ",[" : "[");
  p->more = true;
  json_put_string(p->text, row->key, strlen(row->key));
  text_puts(p->text, ",");
  json_put_string(p->text, row->value, row->value_size);
  text_puts(p->text, ",");
  json_put_string(p->text, row->origin_size ? row->origin : "", row->origin_size);
  text_puts(p->text, "]");
}

void recipe_rows_put(const char *text, size_t n, struct text *out)
{
  struct putting p = {.text = out};
  text_puts(out, "{\"rows\":[");
  recipe_rows(text, n, put_row, &p);
  text_puts(out, "]}");
}

struct asking {
  const char *key;
  char *out;
  size_t size;
};

static void answer_row(void *arg, const struct recipe_row *row)
{
  struct asking *a = arg;
  if (strcmp(row->key, a->key) != 0) return;
  const char *value = row->value;
  size_t n = row->value_size;
  if (n >= 2 && value[0] == '"' && value[n - 1] == '"') {
    value++;
    n -= 2;
  }
  snprintf(a->out, a->size, "%.*s", (int)(n < a->size ? n : a->size - 1), value);
}

void recipe_rows_value(const char *text, size_t n, const char *key, char *out, size_t size)
{
  struct asking a = {.key = key, .out = out, .size = size};
  out[0] = '\0';
  recipe_rows(text, n, answer_row, &a);
}
