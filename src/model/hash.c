#include <string.h>

#include "core/file.h"
#include "model/adapter.h"

enum { CHUNK_REALS = 1 << 16 };

static void put_le(uint8_t *to, uint64_t x, size_t bytes)
{
  for (size_t i = 0; i < bytes; i++) to[i] = (uint8_t)(x >> (8 * i));
}

static void hash_head(struct sha256 *s, const struct weight *w, size_t rows, size_t cols)
{
  uint8_t head[4 + 16];
  uint32_t rank = cols == 1 ? 1 : 2;
  put_le(head, rank, 4);
  put_le(head + 4, rows, 8);
  put_le(head + 12, cols, 8);
  sha256_add(s, weight_name(w), strlen(weight_name(w)) + 1);
  sha256_add(s, "F32", 4);
  sha256_add(s, head, 4 + 8 * (size_t)rank);
}

/* Values as little-endian bytes, in place: a no-op where the machine is little-endian. */
static void to_le_bytes(float *values, size_t n)
{
  for (size_t i = 0; i < n; i++) {
    uint32_t bits;
    memcpy(&bits, values + i, sizeof bits);
    put_le((uint8_t *)(values + i), bits, sizeof bits);
  }
}

static int hash_weight(struct sha256 *s, const struct weight *w, struct error *err)
{
  size_t rows = weight_rows(w), cols = weight_cols(w), chunk = CHUNK_REALS / cols + 1;
  if (chunk > rows) chunk = rows;
  float *values = memory_alloc(chunk * cols, sizeof *values, "model.hash", err);
  if (!values) return ERROR_RESOURCE;
  hash_head(s, w, rows, cols);
  for (size_t row = 0; row < rows; row += chunk) {
    size_t count = rows - row < chunk ? rows - row : chunk;
    weight_read(w, WEIGHT_MASTER, row, count, values, HOST_F32);
    to_le_bytes(values, count * cols);
    sha256_add(s, values, count * cols * sizeof *values);
  }
  memory_free(values);
  return 0;
}

/* As files have it. */
static int hash_adapter_weight(struct sha256 *s, const struct weight *w, struct error *err)
{
  size_t n = weight_rows(w) * weight_cols(w);
  float *values = memory_alloc(n, sizeof *values, "model.hash", err);
  float *scratch = memory_alloc(n, sizeof *scratch, "model.hash", err);
  int rc = values && scratch ? 0 : ERROR_RESOURCE;
  if (!rc) {
    hash_head(s, w, adapter_file_rows(w), adapter_file_cols(w));
    adapter_file_read(w, values, scratch);
    to_le_bytes(values, n);
    sha256_add(s, values, n * sizeof *values);
  }
  memory_free(values);
  memory_free(scratch);
  return rc;
}

int model_hash(const struct model *m, char hex[65], struct error *err)
{
  struct sha256 s;
  uint8_t digest[32];
  sha256_start(&s);
  for (size_t i = 0; !m->adapter && i < m->weight_count; i++) TRY(hash_weight(&s, m->weights[i], err));
  for (size_t i = 0; m->adapter && i < m->adapter->count; i++)
    TRY(hash_adapter_weight(&s, m->adapter->weights[i], err));
  sha256_finish(&s, digest);
  sha256_hex(digest, hex);
  return device_sync(m->device, err);
}
