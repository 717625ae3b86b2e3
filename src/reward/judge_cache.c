#include "reward/judge_cache.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "core/file.h"
#include "core/log.h"

static const char header[] = "{\"assay\":\"judge cache 1\"}\n";
enum { HEADER = sizeof header - 1, TAIL = 18 /* ,"crc":"12345678"} */, CHUNK = 1 << 16 };

struct entry {
  uint8_t key[32];
  struct judge_cached cached;
};

struct judge_cache {
  pthread_mutex_t lock; /* guards everything below; flock guards the file against others */
  struct arena *arena;
  const char *path;
  int fd;
  uint64_t at;          /* bytes of the file that were read and belong to whole lines */
  struct text rest;     /* bytes behind them that were read */
  uint64_t bad;         /* lines passed over */
  struct entry **slots; /* [room], a power of two; at most half of them are used */
  size_t room, count;
};

/* ---- the table --------------------------------------------------------------------------------------------------- */

static struct entry **slot_of(struct judge_cache *c, const uint8_t key[32])
{
  uint64_t hash;
  memcpy(&hash, key, sizeof hash);
  size_t at = (size_t)hash & (c->room - 1);
  while (c->slots[at] && memcmp(c->slots[at]->key, key, 32) != 0) at = (at + 1) & (c->room - 1);
  return &c->slots[at];
}

static int make_room(struct judge_cache *c, struct error *err)
{
  if (2 * (c->count + 1) <= c->room) return 0;
  size_t old_room = c->room, room = old_room ? 2 * old_room : 256;
  struct entry **old = c->slots, **slots = ARENA_NEW(c->arena, struct entry *, room, "judge cache", err);
  if (!slots) return err->code;
  c->slots = slots;
  c->room = room;
  for (size_t i = 0; i < old_room; i++)
    if (old[i]) *slot_of(c, old[i]->key) = old[i];
  return 0;
}

/* ---- lines ------------------------------------------------------------------------------------------------------- */

static void put_hex(const uint8_t key[32], struct text *t)
{
  char hex[65];
  sha256_hex(key, hex);
  text_puts(t, hex);
}

static void put_line(const uint8_t key[32], const struct judge_cached *v, struct text *t)
{
  size_t from = t->size;
  text_puts(t, "{\"key\":\"");
  put_hex(key, t);
  text_printf(t, "\",\"verdict\":%s,\"expected\":", v->verdict);
  if (v->has_expected)
    json_put_f64(t, v->expected);
  else
    text_puts(t, "null");
  uLong crc = t->rc ? 0 : crc32(0, (const Bytef *)t->bytes + from, (uInt)(t->size - from));
  text_printf(t, ",\"crc\":\"%08lx\"}\n", (unsigned long)crc);
}

static bool is_whole(const char *line, size_t n)
{
  char sum[TAIL + 1];
  if (n < TAIL) return false;
  snprintf(sum, sizeof sum, ",\"crc\":\"%08lx\"}", (unsigned long)crc32(0, (const Bytef *)line, (uInt)(n - TAIL)));
  return !memcmp(line + n - TAIL, sum, TAIL);
}

static bool read_key(const char *hex, uint8_t out[32])
{
  static const char digits[] = "0123456789abcdef";
  if (!hex || strlen(hex) != 64) return false;
  for (size_t i = 0; i < 64; i++) {
    const char *digit = strchr(digits, hex[i]);
    if (!digit) return false;
    out[i / 2] = (uint8_t)((out[i / 2] << 4) | (digit - digits));
  }
  return true;
}

/* The line's entry in the cache's arena; NULL where it is none. */
static int read_entry(struct judge_cache *c, const char *line, size_t n, struct entry **out, struct error *err)
{
  json_t *o = is_whole(line, n) ? json_loadb(line, n, 0, NULL) : NULL;
  const json_t *verdict = json_object_get(o, "verdict"), *expected = json_object_get(o, "expected");
  struct entry *e = ARENA_NEW(c->arena, struct entry, 1, "judge cache", err);
  struct text t = {0};
  bool good = e && json_is_object(verdict) && read_key(json_string_value(json_object_get(o, "key")), e->key);
  if (good) json_put_value(&t, verdict);
  int rc = e ? text_finish(&t, err) : err->code;
  if (good && !rc) {
    e->cached.has_expected = json_is_number(expected);
    e->cached.expected = json_number_value(expected);
    e->cached.verdict = arena_strndup(c->arena, t.bytes, t.size, "judge cache", err);
    if (!e->cached.verdict) rc = err->code;
  }
  text_free(&t);
  json_decref(o);
  *out = good ? e : NULL;
  return rc;
}

static int read_line(struct judge_cache *c, const char *line, size_t n, struct error *err)
{
  struct entry *e;
  if (!n) return 0;
  TRY(make_room(c, err));
  TRY(read_entry(c, line, n, &e, err));
  if (!e) {
    if (!c->bad++) log_warn("%s: a line that is not whole is passed over", c->path);
    return 0;
  }
  struct entry **slot = slot_of(c, e->key);
  c->count += !*slot;
  if (!*slot) *slot = e;
  return 0;
}

/* ---- the file ---------------------------------------------------------------------------------------------------- */

static int fail_file(const struct judge_cache *c, const char *what, struct error *err)
{
  FAIL_AT(err, ERROR_RESOURCE, c->path, 0, "cache",
          "the judge's cache could not be %s: %s; give another cache, or none", what, strerror(errno));
}

/* Takes the whole lines of what was read. */
static int take_lines(struct judge_cache *c, struct error *err)
{
  size_t from = 0;
  for (const char *end; from < c->rest.size && (end = memchr(c->rest.bytes + from, '\n', c->rest.size - from));) {
    size_t n = (size_t)(end - c->rest.bytes) - from;
    if (c->at + from >= HEADER) TRY(read_line(c, c->rest.bytes + from, n, err));
    from += n + 1;
  }
  c->at += from;
  c->rest.size -= from;
  if (from) memmove(c->rest.bytes, c->rest.bytes + from, c->rest.size);
  return 0;
}

/* Reads what stands behind that which is known; the last line, if it has no end yet, waits. */
static int catch_up(struct judge_cache *c, struct error *err)
{
  static const size_t longest = 64u << 20;
  for (;;) {
    char chunk[CHUNK];
    ssize_t n = pread(c->fd, chunk, sizeof chunk, (off_t)(c->at + c->rest.size));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail_file(c, "read", err);
    if (!n) return 0;
    text_add(&c->rest, chunk, (size_t)n);
    TRY(text_finish(&c->rest, err));
    TRY(take_lines(c, err));
    if (c->rest.size > longest)
      FAIL_AT(err, ERROR_INPUT, c->path, 0, "cache", "found a line of over 64 MiB; expected a cache of verdicts");
  }
}

static int lock_file(const struct judge_cache *c, int how, struct error *err)
{
  while (flock(c->fd, how))
    if (errno != EINTR) return fail_file(c, "locked", err);
  return 0;
}

static int write_all(const struct judge_cache *c, const char *bytes, size_t n, struct error *err)
{
  while (n) {
    ssize_t done = write(c->fd, bytes, n);
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0) return fail_file(c, "written", err);
    bytes += done;
    n -= (size_t)done;
  }
  return 0;
}

/* Under the lock: the first line is there, or is written; a file that is something else stays as it is. */
static int check_header(const struct judge_cache *c, struct error *err)
{
  char first[HEADER];
  ssize_t n = pread(c->fd, first, HEADER, 0);
  if (n < 0) return fail_file(c, "read", err);
  if (memcmp(first, header, (size_t)n))
    FAIL_AT(err, ERROR_INPUT, c->path, 0, "cache",
            "found a file that is no judge's cache; expected one that begins with {\"assay\":\"judge cache 1\"}, or "
            "none; give another path");
  if (n == HEADER) return 0;
  if (n && ftruncate(c->fd, 0)) return fail_file(c, "written", err);
  return write_all(c, header, HEADER, err);
}

static void close_cache(void *arg)
{
  struct judge_cache *c = arg;
  if (c->fd >= 0) close(c->fd);
  text_free(&c->rest);
  arena_destroy(c->arena);
  pthread_mutex_destroy(&c->lock);
}

int judge_cache_open(struct arena *a, const char *path, struct judge_cache **out, struct error *err)
{
  struct judge_cache *c = ARENA_NEW(a, struct judge_cache, 1, "judge cache", err);
  if (!c) return err->code;
  c->path = path;
  c->arena = arena_create("judge cache", 0, err);
  if (!c->arena) return err->code;
  pthread_mutex_init(&c->lock, NULL);
  c->fd = open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
  int rc = arena_on_reset(a, close_cache, c, err);
  if (rc) {
    close_cache(c);
    return rc;
  }
  if (c->fd < 0) return fail_file(c, "opened", err);
  TRY(make_room(c, err));
  TRY(lock_file(c, LOCK_EX, err));
  rc = check_header(c, err);
  int unlocked = lock_file(c, LOCK_UN, err);
  if (!rc && !unlocked) rc = catch_up(c, err);
  *out = c;
  return rc ? rc : unlocked;
}

int judge_cache_find(struct judge_cache *c, const uint8_t key[32], bool *found, struct judge_cached *out,
                     struct error *err)
{
  pthread_mutex_lock(&c->lock);
  int rc = *slot_of(c, key) ? 0 : catch_up(c, err);
  const struct entry *e = *slot_of(c, key);
  *found = e != NULL;
  if (e) *out = e->cached;
  pthread_mutex_unlock(&c->lock);
  return rc;
}

/* The line, on a line of its own whatever was cut off in front of it. */
static int append(const struct judge_cache *c, struct text *line, struct error *err)
{
  struct stat info;
  char last = '\n';
  if (fstat(c->fd, &info)) return fail_file(c, "read", err);
  if (info.st_size && pread(c->fd, &last, 1, info.st_size - 1) != 1) return fail_file(c, "read", err);
  size_t skip = last == '\n' ? 1 : 0; /* the line feed that put_line's caller has put in front */
  return write_all(c, line->bytes + skip, line->size - skip, err);
}

int judge_cache_add(struct judge_cache *c, const uint8_t key[32], const struct judge_cached *v, struct error *err)
{
  struct text line = {0};
  text_puts(&line, "\n");
  put_line(key, v, &line);
  int rc = text_finish(&line, err);
  pthread_mutex_lock(&c->lock);
  if (!rc) rc = lock_file(c, LOCK_EX, err);
  if (!rc) {
    rc = append(c, &line, err);
    int unlocked = lock_file(c, LOCK_UN, err);
    if (!rc) rc = unlocked;
  }
  pthread_mutex_unlock(&c->lock);
  text_free(&line);
  return rc;
}
