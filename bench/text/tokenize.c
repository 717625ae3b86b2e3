/* How fast a tokenizer encodes: MiB a second of a text file on one thread, in documents of about 4 KiB cut at ends of
 * lines, the fastest of three rounds; then the worst cases, a megabyte each.
 *
 *     bench_text_tokenize MODEL TEXT
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "core/file.h"
#include "text/tokenizer.h"

enum { ROUNDS = 3, DOCUMENT = 4096, MEGABYTE = 1 << 20 };

static double now(void)
{
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Bytes of the next document: whole lines, where they are not too long. */
static size_t document(const char *text, size_t n)
{
  if (n <= DOCUMENT) return n;
  const char *end = memchr(text + DOCUMENT, '\n', n - DOCUMENT);
  size_t size = end ? (size_t)(end - text) + 1 : n;
  return size < 4 * DOCUMENT ? size : DOCUMENT;
}

static int encode_all(const struct tokenizer *t, const char *text, size_t n, struct token_list *ids, struct error *err)
{
  token_list_clear(ids);
  for (size_t at = 0, size; at < n; at += size) {
    size = document(text + at, n - at);
    while (at + size < n && ((unsigned char)text[at + size] & 0xc0) == 0x80) size++;
    TRY(tokenizer_encode(t, text + at, size, TOKENIZER_SPECIAL, ids, err));  // as the package does
  }
  return 0;
}

static int measure_text(const struct tokenizer *t, const char *text, size_t n, struct error *err)
{
  struct token_list ids = {0};
  double best = 0;
  for (int i = 0; i < ROUNDS; i++) {
    double start = now();
    TRY(encode_all(t, text, n, &ids, err));
    double seconds = now() - start;
    if (!i || seconds < best) best = seconds;
  }
  printf("%-28s %8.1f MiB/s, %zu tokens\n", "text", (double)n / MEGABYTE / best, ids.count);
  token_list_free(&ids);
  return 0;
}

static int measure_worst(const struct tokenizer *t, const char *name, const char *unit, struct arena *a,
                         struct error *err)
{
  size_t size = strlen(unit);
  for (size_t n = MEGABYTE / 4; n <= MEGABYTE; n *= 4) {
    struct token_list ids = {0};
    char *text = arena_push(a, n + size, 1, "bench", err);
    if (!text) return err->code;
    for (size_t i = 0; i + size <= n; i += size) memcpy(text + i, unit, size);
    double start = now();
    TRY(tokenizer_encode(t, text, n / size * size, 0, &ids, err));
    printf("%s %-22s %8.3f s, %zu tokens\n", n < MEGABYTE ? "1/4 M" : "1 M  ", name, now() - start, ids.count);
    token_list_free(&ids);
  }
  return 0;
}

int main(int argc, char **argv)
{
  static const char *const worst[][2] = {{"of one letter", "a"}, {"of spaces", " "},
                                         {"of newlines", "\n"},  {"of one emoji", "\xf0\x9f\x99\x82"},
                                         {"of hashes", "#"},     {"of accents", "e\xcc\x81"},
                                         {"of digits", "7"},     {"of CJK", "\xe6\xbc\xa2\xe5\xad\x97"}};
  struct error err = {0};
  struct arena *a = arena_create("bench", 0, &err);
  struct tokenizer *t;
  char *text;
  size_t n;
  if (argc != 3) return 2;
  int rc = tokenizer_open(a, argv[1], &t, &err);
  if (!rc) rc = file_read(a, argv[2], (size_t)1 << 30, &text, &n, &err);
  if (!rc) rc = measure_text(t, text, n, &err);
  for (size_t i = 0; i < sizeof worst / sizeof worst[0] && !rc; i++)
    rc = measure_worst(t, worst[i][0], worst[i][1], a, &err);
  if (rc) fprintf(stderr, "%s\n", err.message);
  arena_destroy(a);
  return rc;
}
