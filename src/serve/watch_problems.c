#include "serve/watch_problems.h"

#include "serve/watch_line.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static void free_problem(struct problem_history *h)
{
  memory_free(h->id);
  memory_free(h->text);
  memory_free(h->visits);
}

static void free_all(void *arg)
{
  struct problems *p = arg;
  for (size_t i = 0; i < p->count; i++) free_problem(&p->items[i]);
  memory_free(p->items);
  memory_free(p->slots);
  *p = (struct problems){.most = p->most};
}

void problems_clear(struct problems *p)
{
  free_all(p);
}

int problems_create(struct arena *a, size_t most, struct problems **out, struct error *err)
{
  struct problems *p = ARENA_NEW(a, struct problems, 1, "watch", err);
  if (!p) return err->code;
  p->most = most ? most : PROBLEMS_MOST;
  *out = p;
  return arena_on_reset(a, free_all, p, err);
}

/* ---- finding ----------------------------------------------------------------------------------------------------- */

/* The slot that holds the key, or the empty one where it belongs. slot_count is a power of two. */
static size_t slot_of(const struct problems *p, uint64_t key)
{
  size_t mask = p->slot_count - 1, at = (size_t)(key ^ key >> 32) & mask;
  while (p->slots[at] && p->items[p->slots[at] - 1].key != key) at = (at + 1) & mask;
  return at;
}

static void fill_slots(struct problems *p)
{
  memset(p->slots, 0, p->slot_count * sizeof *p->slots);
  for (size_t i = 0; i < p->count; i++) p->slots[slot_of(p, p->items[i].key)] = (uint32_t)i + 1;
}

struct problem_history *problems_get(const struct problems *p, uint64_t key)
{
  if (!p->count) return NULL;
  uint32_t index = p->slots[slot_of(p, key)];
  return index ? &p->items[index - 1] : NULL;
}

static int64_t last_step(const struct problem_history *h)
{
  return h->visit_count ? h->visits[h->visit_count - 1].last : -1;
}

/* Latest first; ties by key, so that the order is always the same. */
static int by_last_step(const void *a, const void *b)
{
  const struct problem_history *x = a, *y = b;
  int64_t s = last_step(x), t = last_step(y);
  return s != t ? (s < t) - (s > t) : (x->key > y->key) - (x->key < y->key);
}

/* Keeps the half that was asked last. */
static void forget(struct problems *p)
{
  qsort(p->items, p->count, sizeof *p->items, by_last_step);
  size_t keep = p->count / 2;
  for (size_t i = keep; i < p->count; i++) free_problem(&p->items[i]);
  p->forgotten += (int64_t)(p->count - keep);
  memset(p->items + keep, 0, (p->count - keep) * sizeof *p->items);
  p->count = keep;
  fill_slots(p);
}

static int grow(struct problems *p, struct error *err)
{
  size_t room = p->room ? 2 * p->room : 256;
  struct problem_history *items = p->items ? memory_resize(p->items, room, sizeof *items, "watch", err)
                                           : memory_alloc(room, sizeof *items, "watch", err);
  if (!items) return err->code;
  p->items = items;
  p->room = room;
  uint32_t *slots = memory_alloc(4 * room, sizeof *slots, "watch", err);
  if (!slots) return err->code;
  memory_free(p->slots);
  p->slots = slots;
  p->slot_count = 4 * room;
  fill_slots(p);
  return 0;
}

static int copy_text(char **out, const char *s, size_t n, struct error *err)
{
  *out = memory_alloc(n + 1, 1, "watch", err);
  if (!*out) return err->code;
  if (n) memcpy(*out, s, n);
  return 0;
}

int problems_find(struct problems *p, const char *id, struct problem_history **out, struct error *err)
{
  uint64_t key = watch_key(id);
  *out = problems_get(p, key);
  if (*out) return 0;
  if (p->count >= p->most) forget(p);
  if (p->count == p->room) TRY(grow(p, err));
  struct problem_history *h = &p->items[p->count];
  *h = (struct problem_history){.key = key};
  TRY(copy_text(&h->id, id, strlen(id), err));
  p->slots[slot_of(p, key)] = (uint32_t)++p->count;
  *out = h;
  return 0;
}

int problem_set_text(struct problem_history *h, const char *text, size_t n, struct error *err)
{
  char *copy;
  TRY(copy_text(&copy, text, n, err));
  memory_free(h->text);
  h->text = copy;
  return 0;
}

/* ---- visits ------------------------------------------------------------------------------------------------------ */

static void join_visits(struct problem_history *h)
{
  int half = h->visit_count / 2;
  for (int i = 0; i < half; i++) {
    const struct problem_visit *x = &h->visits[2 * i], *y = x + 1;
    h->visits[i] = (struct problem_visit){x->first, y->last, x->right + y->right, x->of + y->of};
  }
  h->visit_count = half;
}

int problem_add(struct problem_history *h, int64_t step, bool right, struct error *err)
{
  struct problem_visit *last = h->visit_count ? &h->visits[h->visit_count - 1] : NULL;
  if (!last || last->last != step) {
    if (h->visit_count == PROBLEM_VISITS) join_visits(h);
    if (h->visit_count == h->visit_room) {
      int room = h->visit_room ? 2 * h->visit_room : 4;
      struct problem_visit *grown = h->visits ? memory_resize(h->visits, (size_t)room, sizeof *grown, "watch", err)
                                              : memory_alloc((size_t)room, sizeof *grown, "watch", err);
      if (!grown) return err->code;
      h->visits = grown;
      h->visit_room = room;
    }
    last = &h->visits[h->visit_count++];
    *last = (struct problem_visit){.first = step, .last = step};
  }
  if (last->of < INT32_MAX) {
    last->right += right;
    last->of++;
  }
  h->right += right;
  h->of++;
  return 0;
}

/* ---- handing out ------------------------------------------------------------------------------------------------- */

static char lower(char c)
{
  return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

static bool holds(const char *text, const char *query)
{
  for (size_t i = 0;; i++) {
    size_t n = 0;
    while (query[n] && lower(text[i + n]) == lower(query[n])) n++;
    if (!query[n]) return true;
    if (!text[i]) return false;
  }
}

void problem_put(const struct problem_history *h, struct text *t)
{
  text_printf(t, "[\"%016" PRIx64 "\",", h->key);
  json_put_string(t, h->id, strlen(h->id));
  text_puts(t, ",");
  json_put_string(t, h->text ? h->text : "", h->text ? strlen(h->text) : 0);
  text_printf(t, ",%" PRId64 ",%" PRId64 ",[", h->right, h->of);
  for (int i = 0; i < h->visit_count; i++) {
    const struct problem_visit *v = &h->visits[i];
    text_printf(t, "%s[%" PRId64 ",%" PRId64 ",%" PRId32 ",%" PRId32 "]", i ? "," : "", v->first, v->last, v->right,
                v->of);
  }
  text_puts(t, "]]");
}

static int by_last_step_through(const void *a, const void *b)
{
  return by_last_step(*(const struct problem_history *const *)a, *(const struct problem_history *const *)b);
}

int problems_put(const struct problems *p, const char *query, size_t limit, struct text *t, struct error *err)
{
  const struct problem_history **found = memory_alloc(p->count + 1, sizeof *found, "watch", err);
  if (!found) return err->code;
  size_t matched = 0;
  for (size_t i = 0; i < p->count; i++)
    if (holds(p->items[i].id, query) || (p->items[i].text && holds(p->items[i].text, query)))
      found[matched++] = &p->items[i];
  qsort(found, matched, sizeof *found, by_last_step_through);
  text_printf(t, "{\"total\":%zu,\"forgotten\":%" PRId64 ",\"matched\":%zu,\"rows\":[", p->count, p->forgotten,
              matched);
  for (size_t i = 0; i < matched && i < limit; i++) {
    if (i) text_puts(t, ",");
    problem_put(found[i], t);
  }
  text_puts(t, "]}");
  memory_free(found);
  return 0;
}
