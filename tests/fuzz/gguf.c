/* links: model
 * Any bytes as a GGUF file: refused in order, or whole: then every value can be read, and a configuration comes out or
 * an error. */
#include <stdlib.h>
#include <string.h>

#include "model/open.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_tensors(const struct gguf *g)
{
  float values[256];
  for (size_t i = 0; i < g->tensor_count; i++) {
    const struct gguf_tensor *t = &g->tensors[i];
    ASSAY_BUG_IF(gguf_find_tensor(g, t->name) != t);
    if (!gguf_can_read(t)) continue;
    for (uint64_t at = 0; at < t->elements; at += 256)
      gguf_read_f32(t, at, t->elements - at < 256 ? (size_t)(t->elements - at) : 256, values);
  }
}

static uint64_t touch_array(const struct gguf_array *v)
{
  uint64_t sum = 0;
  for (uint64_t i = 0; i < v->count; i++) {
    if (v->type == GGUF_STRING) {
      sum += v->strings[i].size ? (uint8_t)v->strings[i].bytes[v->strings[i].size - 1] : 0;
    } else if (v->type == GGUF_ARRAY) {
      sum += touch_array(&v->arrays[i]);
    } else if (v->type == GGUF_FLOAT32 || v->type == GGUF_FLOAT64) {
      sum += gguf_array_real(v, i) > 0;
    } else {
      sum += (uint64_t)gguf_array_int(v, i);
    }
  }
  return sum;
}

static volatile uint64_t sink;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  struct error err = {0};
  struct gguf *g;
  struct arena *a = arena_create("fuzz", 0, &err);
  size_t before = memory_total();
  if (!a) return 0;
  int rc = gguf_parse(a, data, size, "input", &g, &err);
  ASSAY_BUG_IF(rc && (rc != err.code || rc != ERROR_INPUT || !err.message[0]));
  ASSAY_BUG_IF(memory_total() > before + 16 * size + (1u << 18));
  if (!rc) {
    struct model_config config;
    read_tensors(g);
    for (size_t i = 0; i < g->pair_count; i++)
      if (g->pairs[i].value.type == GGUF_ARRAY) sink += touch_array(&g->pairs[i].value.array);
    rc = model_config_from_gguf(g, &config, &err);
    ASSAY_BUG_IF(rc && (rc != ERROR_INPUT || !err.message[0]));
  }
  arena_destroy(a);
  return 0;
}
