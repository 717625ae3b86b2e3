/* links: model
 * A checkpoint of seven thousand million parameters opens in under a second and without its size in memory: the file is
 * sparse, its header is whole. */
#include "model_fixture.h"

#include <time.h>

#include "core/json.h"
#include "core/pool.h"
#include "model/layout.h"
#include "model/safetensors.h"

static const struct model_config LLAMA_7B = {.architecture = "LlamaForCausalLM",
                                             .model_type = "llama",
                                             .vocab = 32000,
                                             .hidden = 4096,
                                             .layers = 32,
                                             .heads = 32,
                                             .kv_heads = 32,
                                             .head_dim = 128,
                                             .ffn = 11008,
                                             .max_positions = 4096,
                                             .norm_eps = 1e-5,
                                             .rope_theta = 10000,
                                             .bos = 1,
                                             .eos = 2,
                                             .pad = -1};

/* The header of model.safetensors in BF16; *data: bytes behind it. */
static void put_header(struct text *t, uint64_t *data)
{
  *data = 0;
  for (size_t i = 0; i < model_tensor_count(&LLAMA_7B); i++) {
    struct model_tensor x;
    model_tensor_at(&LLAMA_7B, i, &x);
    const uint64_t end = *data + 2 * (uint64_t)x.n * x.k;
    text_printf(t, "%s\"%s\":{\"dtype\":\"BF16\",\"shape\":[%zu", i ? "," : "{", x.name, x.n);
    if (x.kind == WEIGHT_MATRIX) text_printf(t, ",%zu", x.k);
    text_printf(t, "],\"data_offsets\":[%llu,%llu]}", (unsigned long long)*data, (unsigned long long)end);
    *data = end;
  }
  text_puts(t, "}");
}

static double seconds(void)
{
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void test_opens(void **state)
{
  (void)state;
  struct error err = {0};
  struct text header = {0};
  struct model_source source = {0};
  struct model_reader *reader;
  struct model_tensor last;
  uint64_t data;
  const char *folder = fresh_folder("model_large"), *path = path_join(test_arena, folder, "model.safetensors", &err);
  put_header(&header, &data);
  CHECK(data > 13000000000u && !header.rc);
  uint8_t length[8];
  for (int i = 0; i < 8; i++) length[i] = (uint8_t)((uint64_t)header.size >> (8 * i));
  CHECK_OK(file_append(path, length, 8, false, &err), &err);
  CHECK_OK(file_append(path, header.bytes, header.size, false, &err), &err);
  CHECK_OK(file_truncate(path, 8 + header.size + data, &err), &err);
  text_free(&header);

  source.path = source.folder = folder;
  const size_t before = memory_total(), peak = memory_resident_peak();
  const double begin = seconds();
  CHECK_OK(model_reader_open(test_arena, &source, &LLAMA_7B, &reader, &err), &err);
  CHECK(memory_total() - before < 16 << 20);
  if (!check_emulated()) { /* which keeps a book of its own of all mapped pages */
    CHECK(seconds() - begin < 1);
    CHECK(memory_resident_peak() - peak < 64 << 20);
  }

  /* A row of the last tensor is at hand at once. */
  float *row = ARENA_NEW(test_arena, float, 4096, "test", &err);
  model_tensor_at(&LLAMA_7B, model_tensor_count(&LLAMA_7B) - 1, &last);
  CHECK_OK(model_reader_rows(reader, &last, last.n - 1, 1, row, &err), &err);
  CHECK(row[0] == 0 && row[4095] == 0);
  arena_reset(test_arena);
  (void)fresh_folder("model_large");
  arena_reset(test_arena);
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_opens)};
  return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
