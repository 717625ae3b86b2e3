#include "data/task_text.h"
#include <string.h>

enum { WORD_ROOM = 256 };

char *text_keep(struct arena *a, struct text *t, struct error *err)
{
  char *out = text_finish(t, err) ? NULL : arena_strndup(a, t->bytes ? t->bytes : "", t->size, "task", err);
  text_free(t);
  return out;
}

void put_strings(struct text *t, const char *const *items, size_t count)
{
  text_puts(t, "[");
  for (size_t i = 0; i < count; i++) {
    if (i) text_puts(t, ", ");
    json_put_string(t, items[i], strlen(items[i]));
  }
  text_puts(t, "]");
}

bool is_letter(char c)
{
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

char to_lower(char c)
{
  return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

bool same_letters(const char *x, const char *y, size_t n)
{
  for (size_t i = 0; i < n; i++)
    if (to_lower(x[i]) != to_lower(y[i])) return false;
  return true;
}

bool is_word(const char *s, size_t n, const char *word)
{
  for (size_t i = 0; i < n; i++)
    if (to_lower(s[i]) != word[i]) return false; /* a word's end is no letter */
  return !word[n];
}

int meta_strings(const json_t *meta, const char *key, const char **out, size_t max, size_t *count, struct error *err)
{
  const json_t *list = json_object_get(meta, key);
  *count = 0;
  if (!list) return 0;
  size_t n = json_array_size(list);
  if (n == 0 || n > max)
    FAIL_AT(err, ERROR_INPUT, NULL, 0, key, "found no list of 1 to %zu texts in meta; expected one", max);
  for (size_t i = 0; i < n; i++) {
    out[i] = json_string_value(json_array_get(list, i));
    if (!out[i]) FAIL_AT(err, ERROR_INPUT, NULL, 0, key, "found an entry that is no text; expected texts alone");
  }
  *count = n;
  return 0;
}

/* ---- one word ---------------------------------------------------------------------------------------------------- */

void letters_read(const char *s, size_t n, char *out, size_t size, size_t *length)
{
  size_t kept = 0, gaps = 0, run = 0, longest = 0;
  *length = 0;
  for (size_t i = 0; i < n; i++) {
    bool gap = strchr(" \t,-", s[i]) && s[i];
    if (!gap && !is_letter(s[i])) return;
    run = gap ? 0 : run + 1;
    gaps += gap;
    if (run > longest) longest = run;
    if (gap) continue;
    if (kept == size) return;
    out[kept++] = to_lower(s[i]);
  }
  if (!gaps || longest == 1) *length = kept;
}

int word_check(struct arena *a, const char *want, const char *response, size_t n, struct task_verdict *out,
               struct error *err)
{
  struct answer_span span;
  const char *why, *read;
  char letters[WORD_ROOM];
  size_t length, right = 0, size = strlen(want);
  if (!answer_find(response, n, ANSWER_LINE, &span, &why))
    return answer_verdict(a, out, NULL, 0, false, 0, err, "%s", why);
  read = response + span.start;
  letters_read(read, span.length, letters, sizeof letters, &length);
  if (!length) return answer_verdict(a, out, NULL, 0, false, 0, err, "the answer (%s) is not one word", span.rule);
  for (size_t i = 0; i < length && length == size; i++) right += letters[i] == to_lower(want[i]);
  return answer_verdict(a, out, read, span.length, right == size, 0.5 * (double)right / (double)size, err,
                        "%.*s (%s) is %s \"%s\"", (int)(span.length < 64 ? span.length : 64), read, span.rule,
                        right == size ? "right:" : "not", want);
}

/* ---- a list ------------------------------------------------------------------------------------------------------ */

static bool is_space(char c)
{
  return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static struct list_item trim(const char *s, size_t n)
{
  while (n && is_space(*s)) s++, n--;
  while (n && is_space(s[n - 1])) n--;
  return (struct list_item){s, n};
}

/* Without blanks and one pair of quotes around it. */
static struct list_item unquote(const char *s, size_t n)
{
  struct list_item i = trim(s, n);
  bool quoted = i.n >= 2 && i.at[0] == i.at[i.n - 1] && i.at[0] && strchr("\"'`", i.at[0]);
  return quoted ? trim(i.at + 1, i.n - 2) : i;
}

/* Where the item that begins at `at` ends: at a comma or, where the list has none, at a blank. */
static size_t item_end(struct list_item list, size_t at, bool commas)
{
  while (at < list.n && (commas ? list.at[at] != ',' : !is_space(list.at[at]))) at++;
  return at;
}

static bool in_brackets(struct list_item i)
{
  return i.n >= 2 && ((i.at[0] == '[' && i.at[i.n - 1] == ']') || (i.at[0] == '(' && i.at[i.n - 1] == ')'));
}

size_t list_read(const char *s, size_t n, struct list_item *items, size_t max)
{
  struct list_item all = trim(s, n);
  if (in_brackets(all)) all = trim(all.at + 1, all.n - 2);
  bool commas = all.n && memchr(all.at, ',', all.n);
  size_t count = 0;
  for (size_t at = 0; at <= all.n && all.n;) {
    size_t end = item_end(all, at, commas);
    struct list_item item = unquote(all.at + at, end - at);
    at = end + 1;
    if (!item.n && !commas) continue;
    if (!item.n || count == max) return 0;
    items[count++] = item;
  }
  return count;
}
