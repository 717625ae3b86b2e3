#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include "core/file.h"

enum { CHUNK = 64 * 1024, LONGEST_LINE = 256 * 1024 * 1024 };

enum packing { PLAIN, GZIP, ZSTD };

struct line_reader {
  const char *path;
  int fd;
  enum packing packing;
  z_stream gz;
  bool gz_ready, gz_member; /* initialised; inside a member (a .gz file may hold several) */
  ZSTD_DStream *zstd;
  size_t zstd_hint; /* 0: at the end of a frame */
  unsigned char *packed;
  size_t packed_at, packed_size;
  char *text; /* text[start..end) is unread; memory_alloc */
  size_t start, end, room;
  bool ended; /* no more bytes will come */
  int number;
};

static void reader_close(void *arg)
{
  struct line_reader *r = arg;
  if (r->fd > 0) close(r->fd);
  if (r->gz_ready) inflateEnd(&r->gz);
  ZSTD_freeDStream(r->zstd);
  memory_free(r->packed);
  memory_free(r->text);
  r->fd = -1;
}

static bool ends_with(const char *s, const char *end)
{
  size_t n = strlen(s), m = strlen(end);
  return n >= m && !strcmp(s + n - m, end);
}

static int reader_start(struct line_reader *r, struct error *err)
{
  r->packed = memory_alloc(CHUNK, 1, "readers", err);
  if (!r->packed) return ERROR_RESOURCE;
  r->text = memory_alloc(CHUNK, 1, "readers", err);
  if (!r->text) return ERROR_RESOURCE;
  r->room = CHUNK;
  if (r->packing == GZIP) {
    r->gz_ready = inflateInit2(&r->gz, 16 + MAX_WBITS) == Z_OK;
    if (!r->gz_ready) FAIL_AT(err, ERROR_RESOURCE, r->path, 0, NULL, "no memory to decompress it");
  }
  if (r->packing == ZSTD) {
    r->zstd = ZSTD_createDStream();
    if (!r->zstd) FAIL_AT(err, ERROR_RESOURCE, r->path, 0, NULL, "no memory to decompress it");
  }
  if (!strcmp(r->path, "-")) return 0; /* fd is 0 */
  r->fd = open(r->path, O_RDONLY | O_CLOEXEC);
  struct stat st;
  if (r->fd < 0) return file_fail_open(r->path, err);
  if (fstat(r->fd, &st) == 0 && S_ISDIR(st.st_mode)) {
    FAIL_AT(err, ERROR_INPUT, r->path, 0, NULL, "found a folder; expected a file; name a file of lines");
  }
  return 0;
}

int line_reader_open(struct arena *a, const char *path, struct line_reader **out, struct error *err)
{
  struct line_reader *r = ARENA_NEW(a, struct line_reader, 1, "readers", err);
  if (!r) return ERROR_RESOURCE;
  r->path = arena_strdup(a, path, "readers", err);
  if (!r->path) return ERROR_RESOURCE;
  r->packing = ends_with(path, ".gz") ? GZIP : ends_with(path, ".zst") ? ZSTD : PLAIN;
  TRY(arena_on_reset(a, reader_close, r, err));
  TRY(reader_start(r, err));
  *out = r;
  return 0;
}

/* Reads at most n bytes; 0 at the end of the file. */
static int read_some(struct line_reader *r, void *to, size_t n, size_t *got, struct error *err)
{
  ssize_t rc;
  do {
    rc = read(r->fd, to, n);
  } while (rc < 0 && errno == EINTR);
  if (rc < 0) FAIL_AT(err, ERROR_INPUT, r->path, r->number + 1, NULL, "cannot be read: %s", strerror(errno));
  *got = (size_t)rc;
  return 0;
}

static int fail_packed(struct line_reader *r, const char *what, struct error *err)
{
  FAIL_AT(err, ERROR_INPUT, r->path, r->number + 1, NULL, "the compressed data is %s; get the file again", what);
}

static int unpack_gzip(struct line_reader *r, char *to, size_t room, size_t *got, struct error *err)
{
  r->gz.next_in = r->packed + r->packed_at;
  r->gz.avail_in = (uInt)(r->packed_size - r->packed_at);
  r->gz.next_out = (Bytef *)to;
  r->gz.avail_out = (uInt)room;
  int rc = inflate(&r->gz, Z_NO_FLUSH);
  r->packed_at = r->packed_size - r->gz.avail_in;
  *got = room - r->gz.avail_out;
  if (rc == Z_MEM_ERROR) FAIL_AT(err, ERROR_RESOURCE, r->path, 0, NULL, "no memory to decompress it");
  if (rc != Z_OK && rc != Z_STREAM_END && rc != Z_BUF_ERROR) return fail_packed(r, "damaged", err);
  r->gz_member = rc != Z_STREAM_END;
  if (rc == Z_STREAM_END && inflateReset(&r->gz) != Z_OK) return fail_packed(r, "damaged", err);
  return 0;
}

static int unpack_zstd(struct line_reader *r, char *to, size_t room, size_t *got, struct error *err)
{
  ZSTD_inBuffer in = {.src = r->packed, .size = r->packed_size, .pos = r->packed_at};
  ZSTD_outBuffer out = {.dst = to, .size = room, .pos = 0};
  size_t rc = ZSTD_decompressStream(r->zstd, &out, &in);
  if (ZSTD_isError(rc)) return fail_packed(r, "damaged", err);
  r->zstd_hint = rc;
  r->packed_at = in.pos;
  *got = out.pos;
  return 0;
}

/* Puts more text behind text[end]; *got 0 only at the end. */
static int read_text(struct line_reader *r, size_t *got, struct error *err)
{
  char *to = r->text + r->end;
  size_t room = r->room - r->end;
  if (r->packing == PLAIN) return read_some(r, to, room, got, err);
  if (room > CHUNK) room = CHUNK;
  for (;;) {
    bool hungry = r->packed_at == r->packed_size;
    if (hungry) {
      r->packed_at = 0;
      TRY(read_some(r, r->packed, CHUNK, &r->packed_size, err));
    }
    bool inside = r->packing == GZIP ? r->gz_member : r->zstd_hint != 0;
    if (r->packed_size == 0 && !inside) {
      *got = 0;
      return 0;
    }
    bool last = r->packed_size == 0;
    TRY(r->packing == GZIP ? unpack_gzip(r, to, room, got, err) : unpack_zstd(r, to, room, got, err));
    if (*got > 0) return 0;
    if (last) return fail_packed(r, "cut off", err);
  }
}

/* Makes room for more text: moves what is left to the front, then doubles. */
static int make_room(struct line_reader *r, struct error *err)
{
  if (r->start > 0) {
    memmove(r->text, r->text + r->start, r->end - r->start);
    r->end -= r->start;
    r->start = 0;
  }
  if (r->end < r->room) return 0;
  if (r->room >= LONGEST_LINE) {
    FAIL_AT(err, ERROR_INPUT, r->path, r->number + 1, NULL,
            "found a line of more than 256 MiB; expected shorter ones; is it a file of lines?");
  }
  char *text = memory_resize(r->text, r->room * 2, 1, "readers", err);
  if (!text) return ERROR_RESOURCE;
  r->text = text;
  r->room *= 2;
  return 0;
}

/* Without the \r of a line end, and on the first line without the mark that some editors begin a file with. */
static void trim_line(struct line_reader *r, bool ended, char **line, size_t *size)
{
  if (ended && *size > 0 && (*line)[*size - 1] == '\r') *size -= 1;
  if (r->number != 1 || *size < 3 || memcmp(*line, "\xef\xbb\xbf", 3)) return;
  *line += 3;
  *size -= 3;
}

int line_reader_next(struct line_reader *r, char **line, size_t *size, int *number, struct error *err)
{
  *line = NULL;
  *size = 0;
  size_t searched = 0;
  char *newline = NULL;
  for (;;) {
    size_t have = r->end - r->start;
    if (have > searched) newline = memchr(r->text + r->start + searched, '\n', have - searched);
    if (newline || r->ended) break;
    searched = have;
    if (r->end == r->room || r->start == r->end) TRY(make_room(r, err));
    size_t got = 0;
    TRY(read_text(r, &got, err));
    r->end += got;
    r->ended = got == 0;
  }
  if (!newline && r->start == r->end) return 0;
  *line = r->text + r->start;
  *size = newline ? (size_t)(newline - *line) : r->end - r->start;
  r->start += *size + (newline ? 1 : 0);
  r->number += 1;
  trim_line(r, newline != NULL, line, size);
  if (number) *number = r->number;
  return 0;
}
