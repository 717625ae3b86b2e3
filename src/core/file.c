#include "core/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <nettle/sha2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/fault.h"
#include "core/yaml.h"

/* Wrong names are the user's; a full disk is a lacking resource. */
static int fail_errno(struct error *err, const char *path, const char *verb)
{
  int e = errno;
  bool lacking = e == ENOSPC || e == EDQUOT || e == EIO || e == EMFILE || e == ENFILE || e == ENOMEM || e == EFBIG;
  FAIL_AT(err, lacking ? ERROR_RESOURCE : ERROR_INPUT, path, 0, NULL, "%s: %s", verb, strerror(e));
}

/* A name in the same folder that differs little: "; did you mean runs/demo-1?", or "". */
static void nearest_path(const char *path, char *out, size_t size)
{
  const char *base = path_base(path), *nearest = NULL;
  char folder[4096], **names;
  size_t count, before = (size_t)(base - path);
  struct arena *a = arena_create("nearest", 0, NULL);
  *out = 0;
  snprintf(folder, sizeof folder, "%.*s", (int)before, before ? path : ".");
  if (a && *base && file_is_folder(before ? folder : ".") && !file_list(a, before ? folder : ".", &names, &count, NULL))
    nearest = name_nearest(base, (const char *const *)names, count);
  if (nearest && strcmp(nearest, base) != 0) snprintf(out, size, "; did you mean %s%s?", before ? folder : "", nearest);
  arena_destroy(a);
}

/* The first folder of the path that is not there: "; the folder a/b is not there either", or "". */
static void missing_folder(const char *path, char *out, size_t size)
{
  *out = 0;
  for (const char *slash = strchr(path + 1, '/'); *path && slash && !*out; slash = strchr(slash + 1, '/')) {
    char part[4096], near[1024];
    snprintf(part, sizeof part, "%.*s", (int)(slash - path), path);
    if (file_exists(part)) continue;
    nearest_path(part, near, sizeof near);
    snprintf(out, size, "; the folder %s is not there either%s", part, near);
  }
}

int file_fail_open(const char *path, struct error *err)
{
  int e = errno;
  char hint[1024] = "", here[512];
  if (e == ENOENT) missing_folder(path, hint, sizeof hint);
  if (e == ENOENT && !*hint) nearest_path(path, hint, sizeof hint);
  if (e == ENOENT && !*hint && *path != '/' && getcwd(here, sizeof here))
    snprintf(hint, sizeof hint, "; expected the path of a file, from %s on or beginning with /", here);
  if (e == EACCES) snprintf(hint, sizeof hint, "; expected a file that this user may read");
  if (e == ENOTDIR) snprintf(hint, sizeof hint, "; something before the last / is a file");
  if (!*hint) {
    errno = e;
    return fail_errno(err, path, "cannot be opened");
  }
  FAIL_AT(err, ERROR_INPUT, path, 0, NULL, "cannot be opened: %s%s", strerror(e), hint);
}

/* --- Mapped and whole files --- */

struct mapping {
  void *bytes;
  size_t size;
};

static void unmap(void *arg)
{
  struct mapping *m = arg;
  munmap(m->bytes, m->size);
}

/* Opens a regular file for reading and tells its size. */
static int open_regular(const char *path, int *fd, size_t *size, struct error *err)
{
  *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (*fd < 0) return file_fail_open(path, err);
  struct stat st;
  if (fstat(*fd, &st) != 0 || !S_ISREG(st.st_mode)) {
    bool folder = S_ISDIR(st.st_mode);
    close(*fd);
    FAIL_AT(err, ERROR_INPUT, path, 0, NULL, "found a %s; expected a file; name a regular file",
            folder ? "folder" : "device or pipe");
  }
  *size = (size_t)st.st_size;
  return 0;
}

int file_map(struct arena *a, const char *path, struct file_map *out, struct error *err)
{
  int fd;
  size_t size;
  *out = (struct file_map){0};
  struct mapping *m = ARENA_NEW(a, struct mapping, 1, "mappings", err);
  if (!m) return ERROR_RESOURCE;
  TRY(open_regular(path, &fd, &size, err));
  if (size == 0) {
    close(fd);
    return 0;
  }
  void *bytes = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
  int rc = bytes == MAP_FAILED ? fail_errno(err, path, "cannot be mapped") : 0;
  close(fd);
  TRY(rc);
  *m = (struct mapping){.bytes = bytes, .size = size};
  rc = arena_on_reset(a, unmap, m, err);
  if (rc) {
    munmap(bytes, size);
    return rc;
  }
  *out = (struct file_map){.bytes = bytes, .size = size};
  return 0;
}

void file_forget(const void *bytes, size_t n)
{
  /* whole pages inside the range; what is left of its ends goes with its neighbours */
  uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), at = (uintptr_t)bytes, end = (at + n) & ~(page - 1);
  at = (at + page - 1) & ~(page - 1);
  if (end > at) (void)!madvise((void *)at, end - at, MADV_DONTNEED);
}

static int read_all(int fd, const char *path, char *text, size_t size, struct error *err)
{
  for (size_t at = 0; at < size;) {
    ssize_t n = read(fd, text + at, size - at);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail_errno(err, path, "cannot be read");
    if (n == 0) FAIL_AT(err, ERROR_INPUT, path, 0, NULL, "it became shorter while it was read; try again");
    at += (size_t)n;
  }
  return 0;
}

int file_read(struct arena *a, const char *path, size_t limit, char **text, size_t *size, struct error *err)
{
  int fd;
  TRY(open_regular(path, &fd, size, err));
  int rc = 0;
  if (*size > limit) {
    rc = error_fail(err, ERROR_INPUT, path, 0, NULL, "found %zu bytes; expected at most %zu; name a smaller file",
                    *size, limit);
  }
  if (!rc && !(*text = arena_push(a, *size + 1, 1, "files", err))) rc = ERROR_RESOURCE;
  if (!rc) rc = read_all(fd, path, *text, *size, err);
  close(fd);
  return rc;
}

/* --- Atomic writing --- */

enum { WRITER_BUFFER = 64 * 1024 };

struct file_writer {
  char *path, *temporary;
  int fd; /* -1: closed */
  uint64_t size;
  size_t held; /* bytes in buffer */
  unsigned char buffer[WRITER_BUFFER];
};

static void writer_abandon(void *w)
{
  file_writer_close(w);
}

/* Makes a new file beside `path`; the names of temporaries that a killed process left behind are passed over. */
static int make_temporary(struct arena *a, struct file_writer *w, struct error *err)
{
  for (unsigned i = 0; i < 1000; i++) {
    w->temporary = arena_printf(a, "writers", err, "%s.tmp-%ld-%u", w->path, (long)getpid(), i);
    if (!w->temporary) return ERROR_RESOURCE;
    w->fd = open(w->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (w->fd >= 0) return 0;
    if (errno != EEXIST) break;
  }
  return fail_errno(err, w->path, "cannot be written");
}

/* A rename would put a file in the place of what stands there: never of a folder, a device or a pipe. */
static int check_place(const char *path, struct error *err)
{
  struct stat st;
  if (lstat(path, &st) != 0 || S_ISREG(st.st_mode) || S_ISLNK(st.st_mode)) return 0;
  FAIL_AT(err, ERROR_INPUT, path, 0, NULL, "found %s; expected the name of a file to write",
          S_ISDIR(st.st_mode) ? "a folder" : "a device or a pipe");
}

int file_writer_open(struct arena *a, const char *path, struct file_writer **out, struct error *err)
{
  TRY(check_place(path, err));
  struct file_writer *w = ARENA_NEW(a, struct file_writer, 1, "writers", err);
  if (!w) return ERROR_RESOURCE;
  w->fd = -1;
  w->path = arena_strdup(a, path, "writers", err);
  if (!w->path) return ERROR_RESOURCE;
  TRY(arena_on_reset(a, writer_abandon, w, err));
  TRY(make_temporary(a, w, err));
  *out = w;
  return 0;
}

static int write_all(int fd, const char *path, const void *bytes, size_t n, struct error *err)
{
  for (size_t at = 0; at < n;) {
    if (fault_hit(FAULT_WRITE)) {
      errno = ENOSPC;
      return fail_errno(err, path, "cannot be written");
    }
    ssize_t got = write(fd, (const char *)bytes + at, n - at);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail_errno(err, path, "cannot be written");
    at += (size_t)got;
  }
  return 0;
}

static int writer_flush(struct file_writer *w, struct error *err)
{
  size_t n = w->held;
  w->held = 0;
  return write_all(w->fd, w->path, w->buffer, n, err);
}

int file_writer_write(struct file_writer *w, const void *bytes, size_t n, struct error *err)
{
  ASSAY_BUG_IF(w->fd < 0);
  w->size += n;
  if (w->held + n > WRITER_BUFFER) TRY(writer_flush(w, err));
  if (n > WRITER_BUFFER) return write_all(w->fd, w->path, bytes, n, err);
  if (n > 0) memcpy(w->buffer + w->held, bytes, n);
  w->held += n;
  return 0;
}

int file_writer_printf(struct file_writer *w, struct error *err, const char *fmt, ...)
{
  char line[4096];
  va_list args;
  va_start(args, fmt);
  int n = vsnprintf(line, sizeof line, fmt, args);
  va_end(args);
  ASSAY_BUG_IF(n < 0 || (size_t)n >= sizeof line);
  return file_writer_write(w, line, (size_t)n, err);
}

uint64_t file_writer_size(const struct file_writer *w)
{
  return w->size;
}

/* fsync, which counts as a write for fault injection: it is where a full disk may show. */
static int sync_file(int fd, const char *path, struct error *err)
{
  if (fault_hit(FAULT_WRITE)) {
    errno = EIO;
    return fail_errno(err, path, "cannot be made durable");
  }
  while (fsync(fd) != 0) {
    if (errno != EINTR) return fail_errno(err, path, "cannot be made durable");
  }
  return 0;
}

static int writer_finish(struct file_writer *w, struct error *err)
{
  TRY(writer_flush(w, err));
  TRY(sync_file(w->fd, w->path, err));
  int rc = close(w->fd);
  w->fd = -1;
  if (rc != 0) return fail_errno(err, w->path, "cannot be closed");
  return file_rename(w->temporary, w->path, err);
}

int file_writer_commit(struct file_writer *w, struct error *err)
{
  ASSAY_BUG_IF(w->fd < 0);
  int rc = writer_finish(w, err);
  if (rc) unlink(w->temporary);
  file_writer_close(w);
  return rc;
}

void file_writer_close(struct file_writer *w)
{
  if (w->fd < 0) return;
  close(w->fd);
  w->fd = -1;
  unlink(w->temporary);
}

/* --- Whole paths --- */

int file_append(const char *path, const void *bytes, size_t n, bool sync, struct error *err)
{
  int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
  if (fd < 0) return fail_errno(err, path, "cannot be opened for appending");
  int rc = write_all(fd, path, bytes, n, err);
  if (!rc && sync) rc = sync_file(fd, path, err);
  if (close(fd) != 0 && !rc) rc = fail_errno(err, path, "cannot be closed");
  return rc;
}

int file_truncate(const char *path, uint64_t size, struct error *err)
{
  if (size > INT64_MAX || truncate(path, (off_t)size) != 0) return fail_errno(err, path, "cannot be truncated");
  return 0;
}

bool file_exists(const char *path)
{
  struct stat st;
  return stat(path, &st) == 0;
}

bool file_is_folder(const char *path)
{
  struct stat st;
  return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

bool file_is_stream(const char *path)
{
  struct stat st;
  return stat(path, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode);
}

bool file_is_stdout(const char *path)
{
  struct stat st, out;
  return stat(path, &st) == 0 && fstat(STDOUT_FILENO, &out) == 0 && st.st_dev == out.st_dev && st.st_ino == out.st_ino;
}

int file_behind_links(struct arena *a, const char *path, const char **out, struct error *err)
{
  char real[PATH_MAX];
  *out = realpath(path, real) ? arena_strdup(a, real, "path", err) : path;
  return *out ? 0 : err->code;
}

int file_make_folder(const char *path, struct error *err)
{
  char part[4096];
  size_t n = strlen(path);
  if (n == 0 || n >= sizeof part)
    FAIL_AT(err, ERROR_INPUT, path, 0, NULL, "found a folder name of %zu bytes; expected 1 to 4095", n);
  memcpy(part, path, n + 1);
  for (size_t i = 1; i <= n; i++) {
    if (part[i] != '/' && part[i] != '\0') continue;
    char kept = part[i];
    part[i] = '\0';
    int made = mkdir(part, 0777), why = errno;
    if (made != 0 && !file_is_folder(part)) {
      errno = why;
      return fail_errno(err, part, "the folder cannot be made");
    }
    part[i] = kept;
  }
  return 0;
}

int file_sync_folder(const char *path, struct error *err)
{
  int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return fail_errno(err, path, "the folder cannot be opened");
  int rc = sync_file(fd, path, err);
  close(fd);
  return rc;
}

int file_rename(const char *from, const char *to, struct error *err)
{
  if (fault_hit(FAULT_WRITE)) {
    errno = EIO;
    return fail_errno(err, to, "cannot be renamed to");
  }
  if (rename(from, to) != 0) return fail_errno(err, to, "cannot be renamed to");
  char folder[4096];
  size_t n = (size_t)(path_base(to) - to);
  if (n >= sizeof folder) FAIL_AT(err, ERROR_INPUT, to, 0, NULL, "the name of its folder is longer than 4095 bytes");
  memcpy(folder, n > 0 ? to : ".", n > 0 ? n : 1);
  folder[n > 0 ? n : 1] = '\0';
  return file_sync_folder(folder, err);
}

/* Deletes what a folder holds; links are deleted, never followed. */
static int empty_folder(int fd, const char *path, int depth, struct error *err)
{
  DIR *dir = depth < 64 ? fdopendir(fd) : NULL;
  if (!dir) {
    close(fd);
    return fail_errno(err, path, "the folder cannot be read");
  }
  int rc = 0;
  struct dirent *entry;
  while (!rc && (errno = 0, entry = readdir(dir))) {
    const char *name = entry->d_name;
    if (!strcmp(name, ".") || !strcmp(name, "..")) continue;
    if (unlinkat(dirfd(dir), name, 0) == 0) continue;
    int inner = openat(dirfd(dir), name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (inner < 0) {
      rc = fail_errno(err, path, "its content cannot be deleted");
      break;
    }
    rc = empty_folder(inner, path, depth + 1, err);
    if (!rc && unlinkat(dirfd(dir), name, AT_REMOVEDIR) != 0)
      rc = fail_errno(err, path, "its content cannot be deleted");
  }
  closedir(dir);
  return rc;
}

int file_remove_tree(const char *path, struct error *err)
{
  if (unlink(path) == 0 || errno == ENOENT) return 0;
  int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return fail_errno(err, path, "cannot be deleted");
  TRY(empty_folder(fd, path, 0, err));
  if (rmdir(path) != 0) return fail_errno(err, path, "cannot be deleted");
  return 0;
}

struct name_link {
  struct name_link *next;
  char name[];
};

static int compare_names(const void *x, const void *y)
{
  return strcmp(*(char *const *)x, *(char *const *)y);
}

static int read_names(struct arena *a, DIR *dir, const char *path, struct name_link **head, size_t *count,
                      struct error *err)
{
  struct dirent *entry;
  while ((errno = 0, entry = readdir(dir))) {
    if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
    size_t n = strlen(entry->d_name) + 1;
    struct name_link *link = arena_push(a, 1, sizeof *link + n, "names", err);
    if (!link) return ERROR_RESOURCE;
    memcpy(link->name, entry->d_name, n);
    link->next = *head;
    *head = link;
    *count += 1;
  }
  return errno ? fail_errno(err, path, "the folder cannot be read") : 0;
}

int file_list(struct arena *a, const char *path, char ***names, size_t *count, struct error *err)
{
  DIR *dir = opendir(path);
  if (!dir) return fail_errno(err, path, "the folder cannot be opened");
  struct name_link *head = NULL;
  *count = 0;
  int rc = read_names(a, dir, path, &head, count, err);
  closedir(dir);
  TRY(rc);
  *names = ARENA_NEW(a, char *, *count, "names", err);
  if (!*names) return ERROR_RESOURCE;
  for (size_t i = 0; head; head = head->next) (*names)[i++] = head->name;
  qsort(*names, *count, sizeof **names, compare_names);
  return 0;
}

char *path_join(struct arena *a, const char *folder, const char *name, struct error *err)
{
  size_t n = strlen(folder);
  const char *between = n == 0 || folder[n - 1] == '/' ? "" : "/";
  return arena_printf(a, "paths", err, "%s%s%s", folder, between, name);
}

const char *path_base(const char *path)
{
  const char *slash = strrchr(path, '/');
  return slash ? slash + 1 : path;
}

/* --- SHA-256 --- */

_Static_assert(sizeof(struct sha256_ctx) <= sizeof(struct sha256), "Nettle's context fits");
_Static_assert(_Alignof(struct sha256_ctx) <= _Alignof(struct sha256), "Nettle's context is aligned");

void sha256_start(struct sha256 *s)
{
  nettle_sha256_init((struct sha256_ctx *)s->state);
}

void sha256_add(struct sha256 *s, const void *bytes, size_t n)
{
  if (n > 0) nettle_sha256_update((struct sha256_ctx *)s->state, n, bytes);
}

void sha256_finish(struct sha256 *s, uint8_t out[32])
{
  nettle_sha256_digest((struct sha256_ctx *)s->state, 32, out);
}

void sha256_hex(const uint8_t digest[32], char out[65])
{
  static const char digits[] = "0123456789abcdef";
  for (int i = 0; i < 32; i++) {
    out[2 * i] = digits[digest[i] >> 4];
    out[2 * i + 1] = digits[digest[i] & 15];
  }
  out[64] = '\0';
}
