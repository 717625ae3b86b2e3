/* core/file: files as this program uses them: mapped whole for reading, written atomically (temporary file in the same
 * folder, fsync, rename, fsync of the folder), hashed by SHA-256, and line by line through .gz and .zst. */
#ifndef ASSAY_CORE_FILE_H
#define ASSAY_CORE_FILE_H

#include <stdio.h>
#include "core/arena.h"

struct file_map {
  const uint8_t *bytes; /* NULL iff size is 0 */
  size_t size;
};
/* Maps a regular file read-only; unmapped when the arena resets. Not a regular file: ERROR_INPUT. */
int file_map(struct arena *a, const char *path, struct file_map *out, struct error *err) MUST_USE;
/* Bytes of a mapped file that will hardly be read again: their memory goes back; reading them anew still works. */
void file_forget(const void *bytes, size_t n);
/* For those who open files by themselves, with errno as open left it: says what is wrong with the path, and the nearest
 * name that is there. */
int file_fail_open(const char *path, struct error *err) MUST_USE;
/* Reads a whole file, at most limit bytes, with a NUL behind it. */
int file_read(struct arena *a, const char *path, size_t limit, char **text, size_t *size, struct error *err) MUST_USE;

/* Atomic writing. Between open and commit nothing is visible under `path`; close without commit removes the temporary.
 */
struct file_writer;
int file_writer_open(struct arena *a, const char *path, struct file_writer **out, struct error *err) MUST_USE;
int file_writer_write(struct file_writer *w, const void *bytes, size_t n, struct error *err) MUST_USE;
int file_writer_printf(struct file_writer *w, struct error *err, const char *fmt, ...) MUST_USE
    __attribute__((format(printf, 3, 4)));
uint64_t file_writer_size(const struct file_writer *w);
int file_writer_commit(struct file_writer *w, struct error *err) MUST_USE; /* fsync, rename, fsync of the folder */
void file_writer_close(struct file_writer *w);                             /* also runs at arena reset */

/* One line a call, from a file, "-" (stdin), .gz or .zst. Lines end in \n or \r\n (stripped); the bytes stay valid
 * until the next call. */
struct line_reader;
int line_reader_open(struct arena *a, const char *path, struct line_reader **out, struct error *err) MUST_USE;
/* *line = NULL at the end. A line over 256 MiB is an error. number: 1-based. */
int line_reader_next(struct line_reader *r, char **line, size_t *size, int *number, struct error *err) MUST_USE;

/* Appending with flush per record (metrics.jsonl, journals). */
int file_append(const char *path, const void *bytes, size_t n, bool sync, struct error *err) MUST_USE;
int file_truncate(const char *path, uint64_t size, struct error *err) MUST_USE;
bool file_exists(const char *path);
bool file_is_folder(const char *path);
bool file_is_stream(const char *path); /* a device, pipe or socket, or a link to one: it has no bytes to replace */
bool file_is_stdout(const char *path); /* another name of where stdout goes */
/* The file that a path of links leads to, or the path itself where nothing is there. */
int file_behind_links(struct arena *a, const char *path, const char **out, struct error *err) MUST_USE;
int file_make_folder(const char *path, struct error *err) MUST_USE; /* parents too */
int file_sync_folder(const char *path, struct error *err) MUST_USE;
int file_remove_tree(const char *path, struct error *err) MUST_USE;
int file_rename(const char *from, const char *to, struct error *err) MUST_USE; /* then fsync of the folder */
/* Names in a folder, sorted bytewise, without . and .. */
int file_list(struct arena *a, const char *path, char ***names, size_t *count, struct error *err) MUST_USE;
char *path_join(struct arena *a, const char *folder, const char *name, struct error *err);
const char *path_base(const char *path);

/* SHA-256 by Nettle; its context lives in `state`. */
struct sha256 {
  uint64_t state[16];
};
void sha256_start(struct sha256 *s);
void sha256_add(struct sha256 *s, const void *bytes, size_t n);
void sha256_finish(struct sha256 *s, uint8_t out[32]);
void sha256_hex(const uint8_t digest[32], char out[65]);

#endif
