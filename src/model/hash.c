#include <string.h>

#include "core/file.h"
#include "model/model.h"

enum { CHUNK_REALS = 1 << 16 };

static void put_le(uint8_t *to, uint64_t x, size_t bytes)
{
  for (size_t i = 0; i < bytes; i++) to[i] = (uint8_t)(x >> (8 * i));
}

static void hash_head(struct sha256 *s, const struct weight *w)
{
  uint8_t head[4 + 16];
  uint32_t rank = weight_cols(w) == 1 ? 1 : 2;
  put_le(head, rank, 4);
  put_le(head + 4, weight_rows(w), 8);
  put_le(head + 12, weight_cols(w), 8);
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

int model_hash(const struct model *m, char hex[65], struct error *err)
{
  struct sha256 s;
  sha256_start(&s);
  for (size_t i = 0; i < m->weight_count; i++) {
    const struct weight *w = m->weights[i];
    size_t rows = weight_rows(w), cols = weight_cols(w), chunk = CHUNK_REALS / cols + 1;
    if (chunk > rows) chunk = rows;
    float *values = memory_alloc(chunk * cols, sizeof *values, "model.hash", err);
    if (!values) return ERROR_RESOURCE;
    hash_head(&s, w);
    for (size_t row = 0; row < rows; row += chunk) {
      size_t count = rows - row < chunk ? rows - row : chunk;
      weight_read(w, WEIGHT_MASTER, row, count, values, HOST_F32);
      to_le_bytes(values, count * cols);
      sha256_add(&s, values, count * cols * sizeof *values);
    }
    memory_free(values);
  }
  uint8_t digest[32];
  sha256_finish(&s, digest);
  sha256_hex(digest, hex);
  return device_sync(m->device, err);
}
