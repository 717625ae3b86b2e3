/* links: model
 * Any bytes as a safetensors file: refused in order, or whole: then every value can be read. */
#include <stdlib.h>
#include <string.h>

#include "model/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_all(const struct safetensors *s)
{
  float values[64];
  for (size_t i = 0; i < s->count; i++) {
    const struct safetensors_tensor *t = &s->tensors[i];
    ASSAY_BUG_IF(safetensors_find(s, t->name) != t);
    if (!safetensors_is_float(t)) continue;
    for (uint64_t at = 0; at < t->elements; at += 64)
      safetensors_read_f32(t, at, t->elements - at < 64 ? (size_t)(t->elements - at) : 64, values);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  struct error err = {0};
  struct safetensors s;
  struct arena *a = arena_create("fuzz", 0, &err);
  size_t before = memory_total();
  if (!a) return 0;
  int rc = safetensors_parse(a, data, size, "input", &s, &err);
  ASSAY_BUG_IF(rc && (rc != err.code || rc != ERROR_INPUT || !err.message[0]));
  ASSAY_BUG_IF(memory_total() > before + 16 * size + (1u << 18));
  if (!rc) read_all(&s);
  arena_destroy(a);
  return 0;
}
