#include "data/history.h"

#include "core/cursor.h"

#include <string.h>

struct entry {
  const char *id;
  struct history_record record;
};

struct history {
  struct arena *arena;
  struct entry *entries; /* in order of first meeting */
  size_t count, room;
  uint32_t *table; /* [slots] entry + 1, 0: empty; a power of two */
  size_t slots;
};

static uint64_t hash(const char *s)
{
  uint64_t h = 1469598103934665603u;  // FNV-1a: only looks up, never decides an order
  for (; *s; s++) h = (h ^ (uint8_t)*s) * 1099511628211u;
  return h;
}

int history_create(struct arena *a, struct history **out, struct error *err)
{
  struct history *h = ARENA_NEW(a, struct history, 1, "history", err);
  if (!h) return err->code;
  h->arena = a;
  *out = h;
  return 0;
}

/* The table's place for an id: where it stands, or where it would. */
static size_t place(const struct history *h, const char *id)
{
  size_t i = hash(id) & (h->slots - 1);
  while (h->table[i] && strcmp(h->entries[h->table[i] - 1].id, id)) i = (i + 1) & (h->slots - 1);
  return i;
}

static int grow(struct history *h, struct error *err)
{
  size_t room = h->room ? 2 * h->room : 64, slots = 2 * room;
  struct entry *entries = ARENA_NEW(h->arena, struct entry, room, "history", err);
  uint32_t *table = ARENA_NEW(h->arena, uint32_t, slots, "history", err);
  if (!entries || !table) return err->code;
  if (h->count) memcpy(entries, h->entries, h->count * sizeof *entries);
  h->entries = entries;
  h->room = room;
  h->table = table;
  h->slots = slots;
  for (size_t i = 0; i < h->count; i++) h->table[place(h, entries[i].id)] = (uint32_t)i + 1;
  return 0;
}

struct history_record history_get(const struct history *h, const char *id)
{
  size_t at = h->slots ? place(h, id) : 0;
  return h->slots && h->table[at] ? h->entries[h->table[at] - 1].record : (struct history_record){.last_step = -1};
}

static int find_or_add(struct history *h, const char *id, struct entry **out, struct error *err)
{
  if (h->count == h->room) TRY(grow(h, err));
  size_t at = place(h, id);
  if (!h->table[at]) {
    struct entry *e = &h->entries[h->count];
    e->record = (struct history_record){.last_step = -1};
    e->id = arena_strdup(h->arena, id, "history", err);
    if (!e->id) return err->code;
    h->table[at] = (uint32_t)++h->count;
  }
  *out = &h->entries[h->table[at] - 1];
  return 0;
}

int history_add(struct history *h, const char *id, int64_t step, int64_t tried, int64_t solved, struct error *err)
{
  struct entry *e;
  TRY(find_or_add(h, id, &e, err));
  e->record.tried += tried;
  e->record.solved += solved;
  e->record.steps += e->record.last_step != step;
  e->record.last_step = step;
  return 0;
}

static void put(struct text *out, uint64_t x)
{
  uint8_t b[8];
  for (int i = 0; i < 8; i++) b[i] = (uint8_t)(x >> (8 * i));
  text_add(out, b, sizeof b);
}

void history_save(const struct history *h, struct text *out)
{
  put(out, h->count);
  for (size_t i = 0; i < h->count; i++) {
    const struct history_record *r = &h->entries[i].record;
    put(out, strlen(h->entries[i].id));
    text_puts(out, h->entries[i].id);
    put(out, (uint64_t)r->tried);
    put(out, (uint64_t)r->solved);
    put(out, (uint64_t)r->steps);
    put(out, (uint64_t)r->last_step);
  }
}

int history_load(struct history *h, const void *bytes, size_t size, struct error *err)
{
  struct cursor c = cursor_over(bytes, size, "history");
  uint64_t count, length, number[4];
  const uint8_t *id;
  TRY(cursor_u64(&c, &count, "the number of problems", err));
  for (uint64_t i = 0; i < count; i++) {
    struct entry *e;
    TRY(cursor_u64(&c, &length, "the length of a problem's id", err));
    TRY(cursor_bytes(&c, length, &id, "a problem's id", err));
    for (int k = 0; k < 4; k++) TRY(cursor_u64(&c, &number[k], "a problem's counts", err));
    char *text = arena_strndup(h->arena, (const char *)id, length, "history", err);
    if (!text) return err->code;
    TRY(find_or_add(h, text, &e, err));
    e->record = (struct history_record){(int64_t)number[0], (int64_t)number[1], (int64_t)number[2], (int64_t)number[3]};
  }
  return 0;
}
