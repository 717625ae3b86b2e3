#include "core/arena.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/fault.h"

#if defined(__SANITIZE_ADDRESS__)
#define ASSAY_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ASSAY_ASAN 1
#endif
#endif
#ifdef ASSAY_ASAN
#include <sanitizer/asan_interface.h>
#define POISON(p, n)   __asan_poison_memory_region((p), (n))
#define UNPOISON(p, n) __asan_unpoison_memory_region((p), (n))
enum { RED_ZONE = 32 };
#else
#define POISON(p, n)   ((void)(p), (void)(n))
#define UNPOISON(p, n) ((void)(p), (void)(n))
enum { RED_ZONE = 0 };
#endif

#ifdef ASSAY_HOSTILE
enum { DEFAULT_BLOCK = 64 };
#else
enum { DEFAULT_BLOCK = 64 * 1024 };
#endif

/* --- Counters, over the process. Rows are found by the tag's text; a row once taken keeps its tag. --- */

enum { TAG_ROWS = 512 };
struct tag_row {
  _Atomic(const char *) tag;
  atomic_size_t bytes, peak;
};
static struct tag_row tags[TAG_ROWS];
static struct tag_row tags_left_over = {.tag = "other"};
static atomic_size_t total_bytes, total_peak;
static atomic_uint_fast64_t allocations;

static void raise_peak(atomic_size_t *peak, size_t bytes)
{
  size_t seen = atomic_load_explicit(peak, memory_order_relaxed);
  while (seen < bytes &&
         !atomic_compare_exchange_weak_explicit(peak, &seen, bytes, memory_order_relaxed, memory_order_relaxed)) {}
}

static void count_up(atomic_size_t *bytes, atomic_size_t *peak, size_t n)
{
  raise_peak(peak, atomic_fetch_add_explicit(bytes, n, memory_order_relaxed) + n);
}

static void count_down(atomic_size_t *bytes, size_t n)
{
  atomic_fetch_sub_explicit(bytes, n, memory_order_relaxed);
}

static struct tag_row *row_of(const char *tag)
{
  uint32_t hash = 2166136261u;
  for (const char *s = tag; *s; s++) hash = (hash ^ (uint8_t)*s) * 16777619u;
  for (uint32_t i = 0; i < TAG_ROWS; i++) {
    struct tag_row *row = &tags[(hash + i) % TAG_ROWS];
    const char *seen = atomic_load(&row->tag);
    if (!seen && atomic_compare_exchange_strong(&row->tag, &seen, tag)) return row;
    if (!strcmp(seen, tag)) return row;
  }
  return &tags_left_over;
}

size_t memory_total(void)
{
  return atomic_load(&total_bytes);
}

size_t memory_peak(void)
{
  return atomic_load(&total_peak);
}

uint64_t memory_allocations(void)
{
  return atomic_load(&allocations);
}

static void report_row(struct memory_tag *rows, size_t max, size_t *count, struct tag_row *row)
{
  struct memory_tag new = {
      .tag = atomic_load(&row->tag), .bytes = atomic_load(&row->bytes), .peak = atomic_load(&row->peak)};
  if (!new.tag || new.peak == 0) return;
  size_t at = *count < max ? *count : max;
  while (at > 0 && rows[at - 1].peak < new.peak) {
    if (at < max) rows[at] = rows[at - 1];
    at--;
  }
  if (at < max) rows[at] = new;
  *count += 1;
}

size_t memory_report(struct memory_tag *rows, size_t max)
{
  size_t count = 0;
  for (size_t i = 0; i < TAG_ROWS; i++) report_row(rows, max, &count, &tags[i]);
  report_row(rows, max, &count, &tags_left_over);
  return count;
}

/* --- The only callers of malloc. Zeroed memory, `bytes` long, counted. --- */

static void *take(size_t bytes)
{
  if (fault_hit(FAULT_ALLOC)) return NULL;
  void *p = calloc(1, bytes);
  if (!p) return NULL;
  atomic_fetch_add_explicit(&allocations, 1, memory_order_relaxed);
  count_up(&total_bytes, &total_peak, bytes);
  return p;
}

static void give(void *p, size_t bytes)
{
  count_down(&total_bytes, bytes);
  free(p);
}

static size_t round_up(size_t n, size_t to)
{
  return (n + to - 1) / to * to;
}

/* --- Arenas --- */

/* A push is [struct push][payload]; the header stays poisoned while the payload is in use. */
struct push {
  struct push *previous;
  size_t size;
  struct tag_row *row;
  uint64_t unused; /* keeps the payload 16-byte aligned */
};

struct block {
  struct block *previous;
  size_t bytes;        /* from malloc */
  size_t room, used;   /* of the data below */
  size_t dirty;        /* data[dirty..] has never been written: still zero */
  unsigned char *data; /* 64-byte aligned */
};

struct callback {
  struct callback *previous;
  void (*fn)(void *);
  void *arg;
};

struct arena {
  const char *name;
  size_t block_size;
  struct block *block; /* newest */
  struct block *spare; /* one released block of the default size */
  struct push *last;
  struct callback *callback; /* newest */
  size_t used, peak;
};

static struct block *block_create(size_t room)
{
  size_t bytes = sizeof(struct block) + 64 + room;
  struct block *b = take(bytes);
  if (!b) return NULL;
  b->bytes = bytes;
  b->room = room;
  b->data = (unsigned char *)round_up((uintptr_t)(b + 1), 64);
  POISON(b->data, room);
  return b;
}

static void block_destroy(struct block *b)
{
  if (!b) return;
  UNPOISON(b->data, b->room);
  give(b, b->bytes);
}

struct arena *arena_create(const char *name, size_t block_size, struct error *err)
{
  struct arena *a = take(sizeof *a);
  if (!a) {
    error_fail(err, ERROR_RESOURCE, NULL, 0, NULL, "no memory for the arena %s; free memory or choose smaller sizes",
               name);
    return NULL;
  }
  a->name = name;
#ifdef ASSAY_HOSTILE
  block_size = 0;
#endif
  a->block_size = block_size ? block_size : DEFAULT_BLOCK;
  return a;
}

/* Where a push of `size` bytes would begin in the block, or SIZE_MAX if it does not fit. */
static size_t place_in(const struct block *b, size_t size)
{
  if (!b) return SIZE_MAX;
  size_t align = size >= 64 ? 64 : 16;
  size_t at = round_up(b->used + sizeof(struct push), align);
  return at <= b->room && size + RED_ZONE <= b->room - at ? at : SIZE_MAX;
}

/* Makes a newer block with room for the push. A large push gets a block of its own size. */
static bool grow(struct arena *a, size_t size)
{
  size_t need = 64 + size + RED_ZONE;
  struct block *b = a->spare && need <= a->spare->room ? a->spare : NULL;
  if (b) {
    a->spare = NULL;
  } else {
    b = block_create(need > a->block_size ? need : a->block_size);
    if (!b) return false;
  }
  b->previous = a->block;
  a->block = b;
  return true;
}

void *arena_push(struct arena *a, size_t count, size_t size, const char *tag, struct error *err)
{
  size_t bytes;
  if (__builtin_mul_overflow(count, size, &bytes) || bytes > SIZE_MAX / 4) {
    error_fail(err, ERROR_RESOURCE, NULL, 0, NULL, "arena %s, %s: %zu times %zu bytes is more than an address space",
               a->name, tag, count, size);
    return NULL;
  }
  if (place_in(a->block, bytes) == SIZE_MAX && !grow(a, bytes)) {
    error_fail(err, ERROR_RESOURCE, NULL, 0, NULL,
               "arena %s, %s: no memory for %zu bytes; free memory or choose smaller sizes", a->name, tag, bytes);
    return NULL;
  }
  struct block *b = a->block;
  size_t at = place_in(b, bytes);
  struct push *p = (struct push *)(void *)(b->data + at) - 1;
  UNPOISON(p, sizeof *p + bytes);
  if (at < b->dirty) memset(b->data + at, 0, bytes < b->dirty - at ? bytes : b->dirty - at);
  *p = (struct push){.previous = a->last, .size = bytes, .row = row_of(tag)};
  b->used = at + bytes + RED_ZONE;
  if (b->dirty < b->used) b->dirty = b->used;
  a->last = p;
  a->used += bytes;
  if (a->peak < a->used) a->peak = a->used;
  count_up(&p->row->bytes, &p->row->peak, bytes);
  POISON(p, sizeof *p);
  return b->data + at;
}

struct arena_mark arena_mark(struct arena *a)
{
  return (struct arena_mark){
      .block = a->block, .used = a->block ? a->block->used : 0, .callback = a->callback, .last = a->last};
}

void arena_release(struct arena *a, struct arena_mark mark)
{
  while (a->callback != mark.callback) {
    struct callback *c = a->callback;
    ASSAY_BUG_IF(!c);
    a->callback = c->previous;
    c->fn(c->arg);
  }
  while (a->last != mark.last) {
    struct push *p = a->last;
    ASSAY_BUG_IF(!p);
    UNPOISON(p, sizeof *p);
    a->last = p->previous;
    a->used -= p->size;
    count_down(&p->row->bytes, p->size);
    POISON(p, sizeof *p + p->size);
  }
  while (a->block != mark.block) {
    struct block *b = a->block;
    ASSAY_BUG_IF(!b);
    a->block = b->previous;
    if (!a->spare && b->room == a->block_size && DEFAULT_BLOCK > 64) {
      b->used = 0;
      a->spare = b;
    } else {
      block_destroy(b);
    }
  }
  if (a->block) a->block->used = mark.used;
}

void arena_reset(struct arena *a)
{
  arena_release(a, (struct arena_mark){0});
}

void arena_destroy(struct arena *a)
{
  if (!a) return;
  arena_reset(a);
  block_destroy(a->spare);
  give(a, sizeof *a);
}

int arena_on_reset(struct arena *a, void (*fn)(void *), void *arg, struct error *err)
{
  struct callback *c = ARENA_NEW(a, struct callback, 1, "callbacks", err);
  if (!c) return ERROR_RESOURCE;
  *c = (struct callback){.previous = a->callback, .fn = fn, .arg = arg};
  a->callback = c;
  return 0;
}

size_t arena_used(const struct arena *a)
{
  return a->used;
}

size_t arena_peak(const struct arena *a)
{
  return a->peak;
}

char *arena_strndup(struct arena *a, const char *s, size_t n, const char *tag, struct error *err)
{
  ASSAY_BUG_IF(n == SIZE_MAX);
  char *copy = arena_push(a, n + 1, 1, tag, err);
  if (copy && n > 0) memcpy(copy, s, n);
  return copy;
}

char *arena_strdup(struct arena *a, const char *s, const char *tag, struct error *err)
{
  return arena_strndup(a, s, strlen(s), tag, err);
}

char *arena_printf(struct arena *a, const char *tag, struct error *err, const char *fmt, ...)
{
  va_list args;
  va_start(args, fmt);
  int n = vsnprintf(NULL, 0, fmt, args);
  va_end(args);
  ASSAY_BUG_IF(n < 0);
  char *text = arena_push(a, (size_t)n + 1, 1, tag, err);
  if (!text) return NULL;
  va_start(args, fmt);
  vsnprintf(text, (size_t)n + 1, fmt, args);
  va_end(args);
  return text;
}

/* --- Memory outside arenas: [struct allocation in 64 bytes][payload], 64-byte aligned --- */

struct allocation {
  void *start;
  size_t taken, size;
  struct tag_row *row;
};

static struct allocation *allocation_of(void *p)
{
  return (struct allocation *)((unsigned char *)p - 64);
}

void *memory_alloc(size_t count, size_t size, const char *tag, struct error *err)
{
  size_t bytes;
  bool fits = !__builtin_mul_overflow(count, size, &bytes) && bytes <= SIZE_MAX / 4;
  unsigned char *start = fits ? take(bytes + 128) : NULL;
  if (!start) {
    error_fail(err, ERROR_RESOURCE, NULL, 0, NULL,
               "%s: no memory for %zu times %zu bytes; free memory or choose smaller sizes", tag, count, size);
    return NULL;
  }
  unsigned char *p = (unsigned char *)round_up((uintptr_t)start + 64, 64);
  struct allocation *h = allocation_of(p);
  *h = (struct allocation){.start = start, .taken = bytes + 128, .size = bytes, .row = row_of(tag)};
  count_up(&h->row->bytes, &h->row->peak, bytes);
  POISON(h, 64);
  POISON(p + bytes, (size_t)(start + bytes + 128 - (p + bytes)));
  return p;
}

void *memory_resize(void *p, size_t count, size_t size, const char *tag, struct error *err)
{
  void *new = memory_alloc(count, size, tag, err);
  if (!new || !p) return new;
  struct allocation *h = allocation_of(p);
  UNPOISON(h, 64);
  size_t keep = h->size < count * size ? h->size : count * size;
  if (keep > 0) memcpy(new, p, keep);
  memory_free(p);
  return new;
}

void memory_free(void *p)
{
  if (!p) return;
  struct allocation *h = allocation_of(p);
  UNPOISON(h, 64);
  UNPOISON(h->start, h->taken);
  count_down(&h->row->bytes, h->size);
  give(h->start, h->taken);
}
