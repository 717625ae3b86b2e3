/* model/safetensors: a bounded reader of the safetensors format, version of safetensors 0.8.
 *
 *     u64 header length n | n bytes of JSON | data
 *     JSON: {"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [begin, end]}, ..., "__metadata__": {...}}
 *
 * All of it is checked on opening: the header is one JSON object from its first byte (blanks may follow it), names are
 * unique and free of NUL, types are known, sizes do not overflow, and the tensors cover the data without hole or
 * overlap. Tensors point into the map: nothing is copied. Data may lie at odd addresses. */
#ifndef ASSAY_MODEL_SAFETENSORS_H
#define ASSAY_MODEL_SAFETENSORS_H

#include "core/arena.h"

struct safetensors_tensor {
  const char *name, *dtype; /* dtype: "F32", ... */
  size_t rank;
  const uint64_t *dims; /* [rank] */
  uint64_t elements;    /* product of dims; 1 for a scalar */
  const uint8_t *data;  /* little-endian, any alignment */
  uint64_t begin, end;  /* data_offsets */
};

struct safetensors {
  const char *path;
  struct safetensors_tensor *tensors; /* sorted by name, bytewise */
  size_t count;
  const char **metadata; /* [2 * metadata_count]: key, value */
  size_t metadata_count;
};

/* Maps the file until the arena resets. */
int safetensors_open(struct arena *a, const char *path, struct safetensors *out, struct error *err) MUST_USE;
/* The same over bytes that outlive the arena's use. */
int safetensors_parse(struct arena *a, const uint8_t *bytes, size_t size, const char *path, struct safetensors *out,
                      struct error *err) MUST_USE;
const struct safetensors_tensor *safetensors_find(const struct safetensors *s, const char *name); /* NULL if absent */
const char *safetensors_metadata(const struct safetensors *s, const char *key);                   /* NULL if absent */

/* Can safetensors_read_f32 read this dtype? Weights come in these. */
bool safetensors_is_float(const struct safetensors_tensor *t);
#define SAFETENSORS_READABLE "F64, F32, F16, BF16, F8_E4M3, F8_E5M2"
/* Elements first .. first+n-1; exact, but that F64 is rounded to f32. */
void safetensors_read_f32(const struct safetensors_tensor *t, uint64_t first, size_t n, float *to);

#endif
