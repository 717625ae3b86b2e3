/* core/arena: memory by lifetime. Four lifetimes exist: run, step, request, scratch (per thread, mark and release).
 *
 * An arena grows by blocks of malloc; nothing is freed one by one. Every push has a tag (a string literal), and the
 * bytes asked for and their high-water mark are counted per tag over the process; memory_total counts what malloc was
 * asked for, slack included. Under ASan the space between pushes is poisoned. An arena belongs to one thread; the
 * counters to all. Files, device buffers and child processes that live as long as an arena are closed by its reset
 * callbacks, newest first.
 */
#ifndef ASSAY_CORE_ARENA_H
#define ASSAY_CORE_ARENA_H

#include <stdint.h>
#include "core/error.h"

struct arena;
struct arena_mark {
  void *block;
  size_t used;
  void *callback;
  void *last;
};

/* name is kept (a literal). block_size 0: the default (64 KiB; 64 bytes in the hostile build). NULL on no memory. */
struct arena *arena_create(const char *name, size_t block_size, struct error *err);
void arena_destroy(struct arena *a); /* NULL is allowed; runs callbacks */
void arena_reset(struct arena *a);   /* runs callbacks, keeps the first block */

/* count * size bytes, zeroed, 64-byte aligned if the push is >= 64 bytes, else 16. Overflow-checked. NULL and err set
   (ERROR_RESOURCE, naming arena, tag and bytes) when memory is lacking. count or size may be 0: a valid pointer comes
   back. */
void *arena_push(struct arena *a, size_t count, size_t size, const char *tag, struct error *err);
#define ARENA_NEW(a, type, count, tag, err) ((type *)arena_push((a), (count), sizeof(type), (tag), (err)))

char *arena_strndup(struct arena *a, const char *s, size_t n, const char *tag, struct error *err); /* adds a NUL */
char *arena_strdup(struct arena *a, const char *s, const char *tag, struct error *err);
char *arena_printf(struct arena *a, const char *tag, struct error *err, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

struct arena_mark arena_mark(struct arena *a);
void arena_release(struct arena *a, struct arena_mark mark); /* everything pushed since, callbacks included */

/* fn(arg) runs at reset, release past this point, or destroy. */
int arena_on_reset(struct arena *a, void (*fn)(void *), void *arg, struct error *err) MUST_USE;

size_t arena_used(const struct arena *a);
size_t arena_peak(const struct arena *a);

/* Memory that is not in an arena (growing arrays, weights, KV): same counters, same fault injection. 64-byte aligned.
   memory_alloc zeroes. memory_resize keeps the old bytes, zeroes the new ones; on failure the old block stays valid. */
void *memory_alloc(size_t count, size_t size, const char *tag, struct error *err);
void *memory_resize(void *p, size_t count, size_t size, const char *tag, struct error *err);
void memory_free(void *p);

struct memory_tag {
  const char *tag;
  size_t bytes, peak;
};
/* Copies up to max rows, largest peak first; returns how many exist. */
size_t memory_report(struct memory_tag *rows, size_t max);
size_t memory_total(void); /* bytes now, arenas and memory_alloc together */
size_t memory_peak(void);
uint64_t memory_allocations(void); /* calls of malloc below this module so far: law tests read it */

#endif
