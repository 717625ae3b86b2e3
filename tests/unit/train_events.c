/* Event files as TensorBoard reads them: checksums of published vectors, the first record of TensorFlow's own files
   byte for byte, what was written decoded again, a file that a kill cut short, restart records. */
#include "check.h"

#include "core/cursor.h"
#include "core/file.h"
#include "train/events.h"

#include <stdlib.h>
#include <string.h>

static char root[64];
static struct arena *arena;
static struct error err;

static int setup(void **state)
{
  (void)state;
  error_clear(&err);
  snprintf(root, sizeof root, "/tmp/assay-events-XXXXXX");
  arena = arena_create("test", 0, &err);
  return arena && mkdtemp(root) ? 0 : -1;
}

static int teardown(void **state)
{
  (void)state;
  arena_destroy(arena);
  error_clear(&err);
  return file_remove_tree(root, &err);
}

/* ---- a reader of its own ------------------------------------------------------------------------------------------
 */

static uint64_t varint(struct cursor *c)
{
  uint64_t x = 0;
  uint8_t byte = 128;
  for (int shift = 0; byte & 128; shift += 7) {
    CHECK_OK(cursor_u8(c, &byte, "varint", &err), &err);
    x |= (uint64_t)(byte & 127) << shift;
  }
  return x;
}

static struct cursor bytes_of(struct cursor *c)
{
  const uint8_t *at;
  uint64_t n = varint(c);
  CHECK_OK(cursor_bytes(c, n, &at, "bytes", &err), &err);
  return cursor_over(at, (size_t)n, "bytes");
}

struct scalar {
  char tag[64];
  float value;
};
struct event {
  double wall;
  int64_t step;
  char version[32];
  int status; /* of session_log, 0: none */
  struct scalar scalars[64];
  int count;
};

static struct scalar read_scalar(struct cursor c)
{
  struct scalar s = {0};
  while (cursor_left(&c)) {
    uint64_t key = varint(&c);
    uint32_t bits;
    if (key == (1 << 3 | 2)) {
      struct cursor tag = bytes_of(&c);
      snprintf(s.tag, sizeof s.tag, "%.*s", (int)cursor_left(&tag), (const char *)tag.at);
    } else {
      CHECK_INT(key, 2 << 3 | 5);
      CHECK_OK(cursor_u32(&c, &bits, "float", &err), &err);
      memcpy(&s.value, &bits, sizeof bits);
    }
  }
  return s;
}

static struct event read_event(struct cursor c)
{
  struct event e = {0};
  while (cursor_left(&c)) {
    uint64_t key = varint(&c), bits;
    if (key == (1 << 3 | 1)) {
      CHECK_OK(cursor_u64(&c, &bits, "double", &err), &err);
      memcpy(&e.wall, &bits, sizeof bits);
    } else if (key == (2 << 3 | 0)) {
      e.step = (int64_t)varint(&c);
    } else if (key == (3 << 3 | 2)) {
      struct cursor v = bytes_of(&c);
      snprintf(e.version, sizeof e.version, "%.*s", (int)cursor_left(&v), (const char *)v.at);
    } else if (key == (7 << 3 | 2)) {
      struct cursor log = bytes_of(&c);
      CHECK_INT(varint(&log), 1 << 3 | 0);
      e.status = (int)varint(&log);
    } else {
      CHECK_INT(key, 5 << 3 | 2);
      struct cursor summary = bytes_of(&c);
      while (cursor_left(&summary)) {
        CHECK_INT(varint(&summary), 1 << 3 | 2);
        e.scalars[e.count++] = read_scalar(bytes_of(&summary));
      }
    }
  }
  return e;
}

/* Record `index` of a file; its frame must be sound. */
static struct event record(const char *bytes, size_t n, int index)
{
  struct cursor c = cursor_over(bytes, n, "file");
  for (int i = 0;; i++) {
    uint64_t length;
    uint32_t crc;
    const uint8_t *head = c.at, *body;
    CHECK_OK(cursor_u64(&c, &length, "length", &err), &err);
    CHECK_OK(cursor_u32(&c, &crc, "crc", &err), &err);
    CHECK_INT(crc, events_masked_crc32c(head, 8));
    CHECK_OK(cursor_bytes(&c, length, &body, "body", &err), &err);
    CHECK_OK(cursor_u32(&c, &crc, "crc", &err), &err);
    CHECK_INT(crc, events_masked_crc32c(body, (size_t)length));
    if (i == index) return read_event(cursor_over(body, (size_t)length, "event"));
  }
}

static int records(const char *bytes, size_t n)
{
  struct cursor c = cursor_over(bytes, n, "file");
  int count = 0;
  for (; cursor_left(&c); count++) {
    uint64_t length;
    CHECK_OK(cursor_u64(&c, &length, "length", &err), &err);
    CHECK_OK(cursor_skip(&c, length + 8, "record", &err), &err);
  }
  return count;
}

/* ---- tests --------------------------------------------------------------------------------------------------------
 */

/* RFC 3720, B.4, and the check value of the CRC catalogue. */
static void test_checksums(void **state)
{
  (void)state;
  uint8_t zeros[32] = {0}, ones[32], up[32], down[32];
  for (int i = 0; i < 32; i++) {
    ones[i] = 0xff;
    up[i] = (uint8_t)i;
    down[i] = (uint8_t)(31 - i);
  }
  CHECK_INT(events_crc32c("", 0), 0);
  CHECK_INT(events_crc32c("123456789", 9), 0xe3069283u);
  CHECK_INT(events_crc32c(zeros, 32), 0x8a9136aau);
  CHECK_INT(events_crc32c(ones, 32), 0x62a8ab43u);
  CHECK_INT(events_crc32c(up, 32), 0x46dd794eu);
  CHECK_INT(events_crc32c(down, 32), 0x113fdb5cu);
}

/* TensorFlow's files begin with these bytes: 24 bytes follow, the checksum of that, field 1 as a double. */
static void test_head_is_tensorflows(void **state)
{
  (void)state;
  static const uint8_t head[] = {24, 0, 0, 0, 0, 0, 0, 0, 0xa3, 0x7f, 0x4b, 0x22, 9};
  struct text t = {0};
  events_put_version(&t, 1.5e9);
  CHECK_INT(t.size, 12 + 24 + 4);
  CHECK_BITS(t.bytes, head, sizeof head);
  struct event e = record(t.bytes, t.size, 0);
  CHECK_STR(e.version, "brain.Event:2");
  CHECK(e.wall == 1.5e9 && e.step == 0);
  text_free(&t);
}

static void test_numbers(void **state)
{
  (void)state;
  struct text t = {0};
  static struct metrics m;
  m.count = 0;
  metrics_set_int(&m, "step", 300);
  metrics_set(&m, "solved", 0.9);
  metrics_set(&m, "kl", (double)__builtin_nanf(""));
  metrics_set(&m, "ratio/max", (double)__builtin_inff());
  metrics_set(&m, "huge", 1e300);
  metrics_set_int(&m, "tokens/generated", 3698);
  events_put_metrics(&t, 12.5, &m);
  struct event e = record(t.bytes, t.size, 0);
  CHECK(e.wall == 12.5);
  CHECK_INT(e.step, 300);
  CHECK_INT(e.count, 4);
  CHECK_STR(e.scalars[0].tag, "solved");
  CHECK(e.scalars[0].value == 0.9f);
  CHECK_STR(e.scalars[1].tag, "ratio/max");
  CHECK(e.scalars[1].value == __builtin_inff() && e.scalars[2].value == __builtin_inff());
  CHECK_STR(e.scalars[3].tag, "tokens/generated");
  CHECK(e.scalars[3].value == 3698);
  text_free(&t);
}

static char *contents(const char *path, size_t *n)
{
  char *bytes;
  CHECK_OK(file_read(arena, path, 1 << 20, &bytes, n, &err), &err);
  return bytes;
}

static void test_a_run_that_goes_on(void **state)
{
  (void)state;
  const char *path, *again;
  size_t n, whole;
  static struct metrics m;
  CHECK_OK(events_open(arena, root, false, 0, &path, &err), &err);
  CHECK(strstr(path, "/events.out.tfevents.") && strstr(path, ".assay"));
  for (int step = 0; step < 4; step++) {
    m.count = 0;
    metrics_set_int(&m, "step", step);
    metrics_set(&m, "solved", 0.25 * step);
    CHECK_OK(events_append(path, &m, &err), &err);
  }
  char *bytes = contents(path, &whole);
  CHECK_INT(records(bytes, whole), 5);
  CHECK_INT(events_sound_prefix(bytes, whole), whole);
  // a kill in the middle of the last record: it goes, and what follows can be read
  CHECK_OK(file_truncate(path, whole - 3, &err), &err);
  CHECK_OK(events_open(arena, root, true, 3, &again, &err), &err);
  CHECK_STR(again, path);
  CHECK_OK(events_append(path, &m, &err), &err);
  bytes = contents(path, &n);
  CHECK_INT(records(bytes, n), 6);
  struct event restart = record(bytes, n, 4), last = record(bytes, n, 5);
  CHECK_INT(restart.status, 1);
  CHECK_INT(restart.step, 3);
  CHECK_INT(last.step, 3);
  CHECK(last.scalars[0].value == 0.75f);
  // a flipped bit is found, wherever it stands
  size_t second = 12 + 24 + 4;
  for (size_t at = second; at < second + 40; at += 7) {
    bytes[at] ^= 1;
    CHECK_INT(events_sound_prefix(bytes, n), second);
    bytes[at] ^= 1;
  }
}

static void test_a_run_without_a_file(void **state)
{
  (void)state;
  const char *path;
  size_t n;
  CHECK_OK(events_open(arena, root, true, 8, &path, &err), &err);  // begun by a program that wrote none
  char *bytes = contents(path, &n);
  CHECK_STR(record(bytes, n, 0).version, "brain.Event:2");
  CHECK_OK(file_truncate(path, 10, &err), &err);  // killed while the head was written
  CHECK_OK(events_open(arena, root, true, 8, &path, &err), &err);
  bytes = contents(path, &n);
  CHECK_INT(records(bytes, n), 1);
  CHECK_STR(record(bytes, n, 0).version, "brain.Event:2");
  CHECK_ERROR(events_open(arena, "/no/such/folder", false, 0, &path, &err), &err, ERROR_INPUT, "No such file");
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(test_checksums, setup, teardown),
                                     cmocka_unit_test_setup_teardown(test_head_is_tensorflows, setup, teardown),
                                     cmocka_unit_test_setup_teardown(test_numbers, setup, teardown),
                                     cmocka_unit_test_setup_teardown(test_a_run_that_goes_on, setup, teardown),
                                     cmocka_unit_test_setup_teardown(test_a_run_without_a_file, setup, teardown)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
