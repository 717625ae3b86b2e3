#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include "check.h"
#include "core/fault.h"
#include "core/file.h"

static struct arena *arena;
static char folder[] = "/tmp/assay-core-file-XXXXXX";

static int set_up(void **state)
{
  (void)state;
  struct error err = {0};
  arena = arena_create("test", 0, &err);
  return arena && mkdtemp(folder) ? 0 : 1;
}

static int tear_down(void **state)
{
  (void)state;
  struct error err = {0};
  arena_destroy(arena);
  int rc = file_remove_tree(folder, &err);
  return rc || file_exists(folder);
}

static const char *in_folder(const char *name)
{
  struct error err = {0};
  return path_join(arena, folder, name, &err);
}

static void put(const char *path, const void *bytes, size_t n)
{
  struct error err = {0};
  CHECK_OK(file_remove_tree(path, &err), &err);
  CHECK_OK(file_append(path, bytes, n, false, &err), &err);
}

static const char *get(const char *path)
{
  struct error err = {0};
  char *text = NULL;
  size_t n = 0;
  CHECK_OK(file_read(arena, path, 1 << 20, &text, &n, &err), &err);
  CHECK_INT(strlen(text), n);
  return text;
}

static size_t count_names(void)
{
  struct error err = {0};
  char **names = NULL;
  size_t n = 0;
  CHECK_OK(file_list(arena, folder, &names, &n, &err), &err);
  for (size_t i = 1; i < n; i++) CHECK(strcmp(names[i - 1], names[i]) < 0);
  return n;
}

static void test_read_and_map(void **state)
{
  (void)state;
  struct error err = {0};
  const char *path = in_folder("a.txt"), *empty = in_folder("empty");
  put(path, "hello", 5);
  put(empty, "", 0);
  struct file_map map = {0};
  struct arena *own = arena_create("own", 0, &err);
  CHECK_OK(file_map(own, path, &map, &err), &err);
  CHECK_INT(map.size, 5);
  CHECK_BITS(map.bytes, "hello", 5);
  CHECK_OK(file_map(own, empty, &map, &err), &err);
  CHECK(map.size == 0 && map.bytes == NULL);
  arena_destroy(own);
  CHECK_STR(get(path), "hello");
  char *text = NULL;
  size_t n = 0;
  CHECK_ERROR(file_read(arena, path, 4, &text, &n, &err), &err, ERROR_INPUT, "found 5 bytes; expected at most 4");
  error_clear(&err);
  CHECK_ERROR(file_map(arena, folder, &map, &err), &err, ERROR_INPUT, "found a folder; expected a file");
  CHECK_STR(err.file, folder);
  error_clear(&err);
  CHECK_ERROR(file_map(arena, "/dev/null", &map, &err), &err, ERROR_INPUT, "found a device or pipe");
  error_clear(&err);
  CHECK_ERROR(file_map(arena, in_folder("none"), &map, &err), &err, ERROR_INPUT, "No such file");
}

static void test_atomic_writing(void **state)
{
  (void)state;
  struct error err = {0};
  const char *path = in_folder("atomic");
  put(path, "old", 3);
  size_t before = count_names();
  struct file_writer *w = NULL;
  CHECK_OK(file_writer_open(arena, path, &w, &err), &err);
  CHECK_OK(file_writer_printf(w, &err, "new %d\n", 7), &err);
  static char large[200000];
  memset(large, 'x', sizeof large);
  CHECK_OK(file_writer_write(w, large, sizeof large, &err), &err);
  CHECK_OK(file_writer_write(w, "end", 3, &err), &err);
  CHECK_INT(file_writer_size(w), 6 + 200000 + 3);
  CHECK_STR(get(path), "old");
  CHECK_OK(file_writer_commit(w, &err), &err);
  const char *text = get(path);
  CHECK_INT(strlen(text), 200009);
  CHECK(!strncmp(text, "new 7\nxxx", 9) && !strcmp(text + 200006, "end"));
  CHECK_INT(count_names(), before);
  struct stat st;
  CHECK_INT(stat(path, &st), 0);
  mode_t mask = umask(0);
  umask(mask);
  CHECK_INT(st.st_mode & 0777, 0666 & ~mask);
}

static void test_abandoned_writing_leaves_nothing(void **state)
{
  (void)state;
  struct error err = {0};
  size_t before = count_names();
  struct arena *own = arena_create("own", 0, &err);
  struct file_writer *w = NULL, *other = NULL;
  CHECK_OK(file_writer_open(own, in_folder("never"), &w, &err), &err);
  CHECK_OK(file_writer_open(own, in_folder("never"), &other, &err), &err);
  CHECK_OK(file_writer_write(w, "half", 4, &err), &err);
  CHECK_INT(count_names(), before + 2);
  file_writer_close(w);
  CHECK_INT(count_names(), before + 1);
  arena_reset(own); /* closes the other */
  CHECK_INT(count_names(), before);
  arena_destroy(own);
  CHECK_ERROR(file_writer_open(arena, in_folder("no/such/folder"), &w, &err), &err, ERROR_INPUT, "cannot be written");
}

static void test_folders(void **state)
{
  (void)state;
  struct error err = {0};
  const char *deep = in_folder("d/e//f");
  CHECK_OK(file_make_folder(deep, &err), &err);
  CHECK_OK(file_make_folder(deep, &err), &err);
  CHECK(file_is_folder(deep) && !file_is_folder(in_folder("a.txt")));
  put(in_folder("d/e/f/file"), "x", 1);
  put(in_folder("outside"), "kept", 4);
  CHECK_INT(symlink(in_folder("outside"), in_folder("d/link")), 0);
  CHECK_INT(symlink(folder, in_folder("d/e/up")), 0);
  CHECK_OK(file_remove_tree(in_folder("d"), &err), &err);
  CHECK(!file_exists(in_folder("d")));
  CHECK_STR(get(in_folder("outside")), "kept");
  CHECK_OK(file_remove_tree(in_folder("d"), &err), &err);
  CHECK_ERROR(file_make_folder(in_folder("outside/x"), &err), &err, ERROR_INPUT, "cannot be made");
  error_clear(&err);
  CHECK_OK(file_rename(in_folder("outside"), in_folder("renamed"), &err), &err);
  CHECK(file_exists(in_folder("renamed")) && !file_exists(in_folder("outside")));
  CHECK_OK(file_truncate(in_folder("renamed"), 2, &err), &err);
  CHECK_OK(file_append(in_folder("renamed"), "!", 1, true, &err), &err);
  CHECK_STR(get(in_folder("renamed")), "ke!");
  CHECK_STR(path_join(arena, "a/", "b", &err), "a/b");
  CHECK_STR(path_join(arena, "", "b", &err), "b");
  CHECK_STR(path_base("a/b/c"), "c");
  CHECK_STR(path_base("c"), "c");
}

/* FIPS 180-4, and a million letters. */
static void test_sha256(void **state)
{
  (void)state;
  static const char *const rows[][2] = {{"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
                                        {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
                                        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
                                         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"}};
  struct sha256 s;
  uint8_t digest[32];
  char hex[65];
  for (int i = 0; i < 3; i++) {
    sha256_start(&s);
    for (const char *c = rows[i][0]; *c; c++) sha256_add(&s, c, 1);
    sha256_finish(&s, digest);
    sha256_hex(digest, hex);
    CHECK_STR(hex, rows[i][1]);
  }
  sha256_start(&s);
  for (int i = 0; i < 1000; i++) {
    char letters[1000];
    memset(letters, 'a', sizeof letters);
    sha256_add(&s, letters, sizeof letters);
  }
  sha256_finish(&s, digest);
  sha256_hex(digest, hex);
  CHECK_STR(hex, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

static const char *const lines[] = {"first", "", "third with \xc3\xa9", "fourth\rinside", "last without newline"};
static const char whole[] = "first\n\r\nthird with \xc3\xa9\r\nfourth\rinside\nlast without newline";

static void check_lines(const char *path)
{
  struct error err = {0};
  struct arena *own = arena_create("own", 0, &err);
  struct line_reader *r = NULL;
  CHECK_OK(line_reader_open(own, path, &r, &err), &err);
  for (int i = 0; i <= 5; i++) {
    char *line = NULL;
    size_t n = 0;
    int number = 0;
    CHECK_OK(line_reader_next(r, &line, &n, &number, &err), &err);
    if (i == 5) {
      CHECK(line == NULL);
      break;
    }
    CHECK_INT(number, i + 1);
    CHECK_INT(n, strlen(lines[i]));
    if (n > 0) CHECK_BITS(line, lines[i], n);
  }
  arena_destroy(own);
}

static size_t gzip(const char *bytes, size_t n, unsigned char *out, size_t room)
{
  z_stream z = {0};
  CHECK_INT(deflateInit2(&z, 6, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY), Z_OK);
  z.next_in = (Bytef *)(uintptr_t)bytes;
  z.avail_in = (uInt)n;
  z.next_out = out;
  z.avail_out = (uInt)room;
  CHECK_INT(deflate(&z, Z_FINISH), Z_STREAM_END);
  deflateEnd(&z);
  return room - z.avail_out;
}

static void test_lines_plain_gzip_zstd(void **state)
{
  (void)state;
  size_t n = sizeof whole - 1, half = n / 2;
  unsigned char packed[1000];
  put(in_folder("lines"), whole, n);
  check_lines(in_folder("lines"));
  /* Two members or frames, one behind the other, are one text. */
  size_t size = gzip(whole, half, packed, 500);
  size += gzip(whole + half, n - half, packed + size, 500);
  put(in_folder("lines.gz"), packed, size);
  check_lines(in_folder("lines.gz"));
  put(in_folder("cut.gz"), packed, size - 9);
  size = ZSTD_compress(packed, 500, whole, half, 3);
  size += ZSTD_compress(packed + size, 500, whole + half, n - half, 3);
  put(in_folder("lines.zst"), packed, size);
  check_lines(in_folder("lines.zst"));
  put(in_folder("cut.zst"), packed, size - 3);
  put(in_folder("plain.gz"), whole, n);
}

static int read_to_end(const char *path, int *count, struct error *err)
{
  struct error ignored = {0};
  struct arena *own = arena_create("own", 0, &ignored);
  struct line_reader *r = NULL;
  char *line = NULL;
  size_t n = 0;
  int rc = own ? line_reader_open(own, path, &r, err) : ERROR_RESOURCE;
  *count = 0;
  while (!rc && !(rc = line_reader_next(r, &line, &n, NULL, err)) && line) ++*count;
  arena_destroy(own);
  return rc;
}

static void test_damaged_input(void **state)
{
  (void)state;
  static const char *const names[] = {"cut.gz", "cut.zst", "plain.gz"}, *const parts[] = {"cut off", "cut off",
                                                                                          "damaged"};
  int count;
  for (int i = 0; i < 3; i++) {
    struct error err = {0};
    CHECK_ERROR(read_to_end(in_folder(names[i]), &count, &err), &err, ERROR_INPUT, parts[i]);
  }
  struct error err = {0};
  CHECK_ERROR(read_to_end(folder, &count, &err), &err, ERROR_INPUT, "found a folder");
  error_clear(&err);
  CHECK_ERROR(read_to_end(in_folder("none"), &count, &err), &err, ERROR_INPUT, "No such file");
  error_clear(&err);
  put(in_folder("empty.gz"), "", 0);
  CHECK_OK(read_to_end(in_folder("empty.gz"), &count, &err), &err);
  CHECK_INT(count, 0);
}

/* Lines that straddle every buffer boundary. */
static void test_long_lines(void **state)
{
  (void)state;
  struct error err = {0};
  const char *path = in_folder("long");
  FILE *f = fopen(path, "w");
  for (int i = 0; i < 40; i++) {
    for (int j = 0; j < i * i * 100; j++) fputc('a' + i % 26, f);
    fputc('\n', f);
  }
  fclose(f);
  struct arena *own = arena_create("own", 0, &err);
  struct line_reader *r = NULL;
  CHECK_OK(line_reader_open(own, path, &r, &err), &err);
  for (int i = 0; i < 40; i++) {
    char *line = NULL;
    size_t n = 0;
    CHECK_OK(line_reader_next(r, &line, &n, NULL, &err), &err);
    CHECK_INT(n, i * i * 100);
    for (size_t j = 0; j < n; j++) {
      if (line[j] != 'a' + i % 26) CHECK_INT(line[j], 'a' + i % 26);
    }
  }
  arena_destroy(own);
}

#ifdef ASSAY_HOSTILE
static int write_file(const char *path, struct error *err)
{
  struct error ignored = {0};
  struct arena *own = arena_create("own", 0, &ignored);
  struct file_writer *w = NULL;
  static char large[70000];
  int rc = own ? file_writer_open(own, path, &w, err) : ERROR_RESOURCE;
  if (!own) error_fail(err, rc, NULL, 0, NULL, "no memory");
  if (!rc) rc = file_writer_write(w, "new ", 4, err);
  if (!rc) rc = file_writer_write(w, large, sizeof large, err);
  if (!rc) rc = file_writer_commit(w, err);
  arena_destroy(own);
  return rc;
}
#endif

/* Whatever write, fsync, rename or allocation fails: the old file stands whole or the new one does, and nothing lies
 * beside it. */
static void test_failures_leave_no_half_file(void **state)
{
  (void)state;
#ifdef ASSAY_HOSTILE
  const char *path = in_folder("precious");
  for (int kind = 0; kind < 2; kind++) {
    put(path, "old", 3);
    size_t before = count_names();
    long n = 1;
    for (;; n++) {
      struct error err = {0};
      fault_set(kind ? FAULT_WRITE : FAULT_ALLOC, n);
      int rc = write_file(path, &err);
      fault_set(kind ? FAULT_WRITE : FAULT_ALLOC, 0);
      CHECK_INT(count_names(), before);
      struct stat st;
      CHECK_INT(stat(path, &st), 0);
      CHECK(st.st_size == 3 || st.st_size == 70004);
      if (rc == 0) break;
      CHECK_ERROR(rc, &err, ERROR_RESOURCE, kind ? "cannot be" : "no memory");
    }
    CHECK(n > 3);
  }
#endif
}

static void test_reading_survives_failures(void **state)
{
  (void)state;
#ifdef ASSAY_HOSTILE
  const char *path = in_folder("lines.gz");
  for (long n = 1;; n++) {
    struct error err = {0};
    int count = 0;
    fault_set(FAULT_ALLOC, n);
    int rc = read_to_end(path, &count, &err);
    fault_set(FAULT_ALLOC, 0);
    if (rc == 0) {
      CHECK(n > 3);
      break;
    }
    CHECK_INT(rc, ERROR_RESOURCE);
  }
#endif
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_read_and_map),
                                     cmocka_unit_test(test_atomic_writing),
                                     cmocka_unit_test(test_abandoned_writing_leaves_nothing),
                                     cmocka_unit_test(test_folders),
                                     cmocka_unit_test(test_sha256),
                                     cmocka_unit_test(test_lines_plain_gzip_zstd),
                                     cmocka_unit_test(test_damaged_input),
                                     cmocka_unit_test(test_long_lines),
                                     cmocka_unit_test(test_failures_leave_no_half_file),
                                     cmocka_unit_test(test_reading_survives_failures)};
  return cmocka_run_group_tests(tests, set_up, tear_down);
}
