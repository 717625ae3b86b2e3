#include "train/events.h"

#include "core/cursor.h"
#include "core/file.h"
#include "core/math.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

/* ---- checksums ----------------------------------------------------------------------------------------------------
 */

uint32_t events_crc32c(const void *bytes, size_t n)
{
  const uint8_t *p = bytes;
  uint32_t crc = ~0u;
  for (size_t i = 0; i < n; i++) {
    crc ^= p[i];
    for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
  }
  return ~crc;
}

uint32_t events_masked_crc32c(const void *bytes, size_t n)
{
  uint32_t crc = events_crc32c(bytes, n);
  return (crc >> 15 | crc << 17) + 0xa282ead8u;
}

/* ---- protobuf ---------------------------------------------------------------------------------------------------- */

enum { VARINT = 0, FIXED64 = 1, BYTES = 2, FIXED32 = 5 };

static void put_little(struct text *t, uint64_t x, int bytes)
{
  uint8_t out[8];
  for (int i = 0; i < bytes; i++) out[i] = (uint8_t)(x >> 8 * i);
  text_add(t, out, (size_t)bytes);
}

static void put_varint(struct text *t, uint64_t x)
{
  for (; x >= 128; x >>= 7) put_little(t, (x & 127) | 128, 1);
  put_little(t, x, 1);
}

static void put_key(struct text *t, unsigned field, unsigned type)
{
  put_varint(t, field << 3 | type);
}

static void put_bytes(struct text *t, unsigned field, const void *bytes, size_t n)
{
  put_key(t, field, BYTES);
  put_varint(t, n);
  text_add(t, bytes, n);
}

static void put_event_head(struct text *t, double wall, int64_t step)
{
  uint64_t bits;
  memcpy(&bits, &wall, sizeof bits);
  put_key(t, 1, FIXED64);
  put_little(t, bits, 8);
  if (!step) return;  // the default is not written
  put_key(t, 2, VARINT);
  put_varint(t, (uint64_t)step);
}

/* Frames an event and frees it. */
static void put_record(struct text *t, struct text *event)
{
  size_t at = t->size;
  if (event->rc) t->rc = event->rc;
  put_little(t, event->size, 8);
  if (!t->rc) put_little(t, events_masked_crc32c(t->bytes + at, 8), 4);
  text_add(t, event->bytes, event->size);
  if (!event->rc) put_little(t, events_masked_crc32c(event->bytes, event->size), 4);
  text_free(event);
}

/* ---- events ------------------------------------------------------------------------------------------------------ */

void events_put_version(struct text *t, double wall)
{
  static const char version[] = "brain.Event:2";
  struct text event = {0};
  put_event_head(&event, wall, 0);
  put_bytes(&event, 3, version, sizeof version - 1);
  put_record(t, &event);
}

void events_put_restart(struct text *t, double wall, int64_t step)
{
  static const uint8_t start[] = {1 << 3 | VARINT, 1}; /* status: START */
  struct text event = {0};
  put_event_head(&event, wall, step);
  put_bytes(&event, 7, start, sizeof start);
  put_record(t, &event);
}

void events_put_metrics(struct text *t, double wall, const struct metrics *m)
{
  struct text event = {0}, summary = {0}, value = {0};
  double step = metrics_get(m, "step");
  for (int i = 0; i < m->count; i++) {
    float number = (float)m->rows[i].value;
    uint32_t bits;
    if (math_is_nan(m->rows[i].value) || !strcmp(m->rows[i].name, "step")) continue;
    memcpy(&bits, &number, sizeof bits);
    text_clear(&value);
    put_bytes(&value, 1, m->rows[i].name, strlen(m->rows[i].name));
    put_key(&value, 2, FIXED32);
    put_little(&value, bits, 4);
    put_bytes(&summary, 1, value.bytes, value.size);
  }
  put_event_head(&event, wall, math_is_finite(step) ? (int64_t)step : 0);
  put_bytes(&event, 5, summary.bytes ? summary.bytes : "", summary.size);
  if (value.rc || summary.rc) event.rc = value.rc ? value.rc : summary.rc;
  put_record(t, &event);
  text_free(&summary);
  text_free(&value);
}

/* ---- the file ---------------------------------------------------------------------------------------------------- */

static bool sound_record(struct cursor *c)
{
  uint64_t length;
  uint32_t crc;
  const uint8_t *head = c->at, *body;
  struct error ignored = {0};
  return !cursor_u64(c, &length, "length", &ignored) && !cursor_u32(c, &crc, "checksum", &ignored) &&
         crc == events_masked_crc32c(head, 8) && !cursor_bytes(c, length, &body, "event", &ignored) &&
         !cursor_u32(c, &crc, "checksum", &ignored) && crc == events_masked_crc32c(body, (size_t)length);
}

size_t events_sound_prefix(const void *bytes, size_t n)
{
  struct cursor c = cursor_over(bytes, n, "events");
  size_t sound = 0;
  while (cursor_left(&c) && sound_record(&c)) sound = cursor_offset(&c);
  return sound;
}

static double wall_seconds(void)
{
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static int append(const char *path, struct text *t, struct error *err)
{
  int rc = text_finish(t, err);
  if (!rc) rc = file_append(path, t->bytes, t->size, false, err);
  text_free(t);
  return rc;
}

/* The newest event file of a folder: its name holds the time; NULL where there is none. */
static int find_file(struct arena *a, const char *folder, const char **path, struct error *err)
{
  static const char head[] = "events.out.tfevents.";
  char **names;
  size_t count;
  *path = NULL;
  TRY(file_list(a, folder, &names, &count, err));
  for (size_t i = 0; i < count; i++) {
    if (strncmp(names[i], head, sizeof head - 1)) continue;
    *path = path_join(a, folder, names[i], err);
    if (!*path) return err->code;
  }
  return 0;
}

/* What is left of the file once a record that a kill cut short is gone. */
static int cut_unsound(struct arena *a, const char *path, size_t *left, struct error *err)
{
  struct arena_mark mark = arena_mark(a);
  char *bytes;
  size_t n;
  TRY(file_read(a, path, SIZE_MAX / 2, &bytes, &n, err));
  *left = events_sound_prefix(bytes, n);
  arena_release(a, mark);
  return *left == n ? 0 : file_truncate(path, *left, err);
}

int events_open(struct arena *a, const char *folder, bool resume, int64_t next, const char **path, struct error *err)
{
  double wall = wall_seconds();
  struct text t = {0};
  size_t left = 0;
  *path = NULL;
  if (resume) TRY(find_file(a, folder, path, err));
  if (*path) TRY(cut_unsound(a, *path, &left, err));
  if (!*path)
    *path = arena_printf(a, "events", err, "%s/events.out.tfevents.%010" PRId64 ".assay", folder, (int64_t)wall);
  if (!*path) return err->code;
  if (left)
    events_put_restart(&t, wall, next);
  else
    events_put_version(&t, wall);
  return append(*path, &t, err);
}

int events_append(const char *path, const struct metrics *m, struct error *err)
{
  struct text t = {0};
  events_put_metrics(&t, wall_seconds(), m);
  return append(path, &t, err);
}
