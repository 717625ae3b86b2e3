#include "text/added.h"

#include "text/unicode.h"

#include <stdlib.h>
#include <string.h>

static int by_bytes(const void *x, const void *y)
{
  const struct added_token *a = *(const struct added_token *const *)x, *b = *(const struct added_token *const *)y;
  int order = memcmp(a->text, b->text, a->size < b->size ? a->size : b->size);
  if (order) return order;
  if (a->size != b->size) return a->size < b->size ? -1 : 1;
  return (a->id > b->id) - (a->id < b->id);
}

int added_set_create(struct arena *a, const struct added_token *tokens, size_t count, bool normalized,
                     struct added_set *out, struct error *err)
{
  *out = (struct added_set){.sorted = ARENA_NEW(a, const struct added_token *, count, "tokenizer", err)};
  if (!out->sorted) return ERROR_RESOURCE;
  for (size_t i = 0; i < count; i++)
    if (tokens[i].normalized == normalized && tokens[i].size) out->sorted[out->count++] = &tokens[i];
  qsort(out->sorted, out->count, sizeof *out->sorted, by_bytes);
  for (size_t i = 0; i < out->count; i++) out->range[(uint8_t)out->sorted[i]->text[0] + 1]++;
  for (size_t b = 0; b < 256; b++) out->range[b + 1] += out->range[b];
  return 0;
}

/* The first token of lo .. hi (which agree in `depth` bytes) whose byte at depth is >= byte. */
static size_t lower_bound(const struct added_set *s, size_t lo, size_t hi, size_t depth, int byte)
{
  while (lo < hi) {
    size_t mid = lo + (hi - lo) / 2;
    const struct added_token *t = s->sorted[mid];
    int have = depth < t->size ? (uint8_t)t->text[depth] : -1;
    if (have < byte)
      lo = mid + 1;
    else
      hi = mid;
  }
  return lo;
}

/* The longest token that starts at text[at], by narrowing the sorted range byte by byte. */
static const struct added_token *longest_at(const struct added_walk *w, size_t at)
{
  const struct added_set *s = w->set;
  uint8_t first = (uint8_t)w->text[at];
  size_t lo = s->range[first], hi = s->range[first + 1];
  const struct added_token *best = NULL;
  for (size_t depth = 1; lo < hi; depth++) {
    if (s->sorted[lo]->size == depth) best = s->sorted[lo];
    if (at + depth >= w->size) break;
    int byte = (uint8_t)w->text[at + depth];
    lo = lower_bound(s, lo, hi, depth, byte);
    hi = lower_bound(s, lo, hi, depth, byte + 1);
  }
  return best;
}

static bool is_whole_word(const struct added_walk *w, size_t start, size_t stop)
{
  size_t step;
  if (start > 0 && unicode_is_word(unicode_before(w->text, start, &step))) return false;
  return stop == w->size || !unicode_is_word(unicode_at(w->text, w->size, stop, &step));
}

/* The white space beside a match that goes with it; what the match before has taken stays with that one. */
static void take_spaces(const struct added_walk *w, const struct added_token *t, size_t *from, size_t *to)
{
  size_t step;
  if (t->lstrip)
    while (*from > w->last_stop && unicode_is_space(unicode_before(w->text, *from, &step))) *from -= step;
  if (t->rstrip)
    while (*to < w->size && unicode_is_space(unicode_at(w->text, w->size, *to, &step))) *to += step;
  if (*from < w->last_stop) *from = w->last_stop;
  if (*to < *from) *to = *from;
}

const struct added_token *added_next(struct added_walk *w, size_t *start, size_t *stop)
{
  if (!w->set->count) return NULL;
  while (w->search < w->size) {
    const struct added_token *t = longest_at(w, w->search);
    if (!t) {
      w->search++;
      continue;
    }
    size_t from = w->search, to = from + t->size;
    w->search = to;
    if (w->skip_special && t->special) continue;
    if (t->single_word && !is_whole_word(w, from, to)) continue;
    take_spaces(w, t, &from, &to);
    *start = from;
    *stop = w->last_stop = to;
    return t;
  }
  return NULL;
}
