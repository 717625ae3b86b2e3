/* links: model
 * File formats against what other software wrote and read: every legal file of fixtures/safetensors and
 * fixtures/gguf/valid value for value, every tensor type of GGUF bit for bit, configurations in both spellings, hashes
 * of whole models, and the real model where ASSAY_SMOLLM2 names its GGUF file. */
#include "model_fixture.h"

#include "core/json.h"
#include "model/config.h"
#include "model/gguf_write.h"
#include "model/safetensors.h"

static json_t *read_json(const char *name)
{
  struct error err = {0};
  json_t *o;
  CHECK_OK(json_parse_file(test_arena, fixture_path(name), &o, &err), &err);
  return o;
}

static const char *join(const char *folder, const char *name, const char *suffix)
{
  struct error err = {0};
  const char *path = arena_printf(test_arena, "test", &err, "%s/%s%s", folder, name, suffix);
  CHECK(path != NULL);
  return fixture_path(path);
}

static const char *const readable_types[] = {"F32",  "F16",  "BF16", "Q4_0", "Q4_1", "Q5_0",   "Q5_1",   "Q8_0",
                                             "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL", "IQ4_XS", "MXFP4"};
#define COUNT(table) (sizeof(table) / sizeof(table)[0])

/* ---- safetensors --------------------------------------------------------------------------------------- */

static void check_values(const json_t *want, const float *got, size_t n)
{
  CHECK_INT(json_array_size(want), n);
  for (size_t i = 0; i < n; i++) {
    float x = (float)json_number_value(json_array_get(want, i));
    CHECK_BITS(&got[i], &x, sizeof x);
  }
}

static void check_safe_tensor(const struct safetensors *s, const char *name, const json_t *want)
{
  struct error err = {0};
  const struct safetensors_tensor *t = safetensors_find(s, name);
  CHECK(t != NULL);
  CHECK_STR(t->dtype, json_string_value(json_object_get(want, "dtype")));
  const json_t *shape = json_object_get(want, "shape");
  CHECK_INT(t->rank, json_array_size(shape));
  for (size_t i = 0; i < t->rank; i++) CHECK_INT(t->dims[i], json_integer_value(json_array_get(shape, i)));
  CHECK_INT(t->elements, json_array_size(json_object_get(want, "values")));
  CHECK(safetensors_is_float(t) == (strchr(t->dtype, 'F') != NULL)); /* the others are whole numbers and BOOL */
  if (!safetensors_is_float(t)) return;
  float *values = ARENA_NEW(test_arena, float, (size_t)t->elements, "test", &err);
  safetensors_read_f32(t, 0, (size_t)t->elements, values);
  check_values(json_object_get(want, "values"), values, (size_t)t->elements);
}

static void test_safetensors(void **state)
{
  (void)state;
  json_t *files = read_json("safetensors/valid.json"), *file, *tensor, *value;
  const char *name, *key;
  CHECK_INT(json_object_size(files), 8);
  json_object_foreach(files, name, file)
  {
    struct error err = {0};
    struct safetensors s;
    print_message("%s\n", name);
    CHECK_OK(safetensors_open(test_arena, join("safetensors", name, ""), &s, &err), &err);
    json_t *tensors = json_object_get(file, "tensors"), *metadata = json_object_get(file, "metadata");
    CHECK_INT(s.count, json_object_size(tensors));
    CHECK_INT(s.metadata_count, json_is_object(metadata) ? json_object_size(metadata) : 0);
    json_object_foreach(tensors, key, tensor) check_safe_tensor(&s, key, tensor);
    if (json_is_object(metadata)) {
      json_object_foreach(metadata, key, value) CHECK_STR(safetensors_metadata(&s, key), json_string_value(value));
    }
    CHECK(safetensors_find(&s, "absent") == NULL);
  }
  arena_reset(test_arena);
}

/* ---- GGUF metadata ---------------------------------------------------------------------------------------- */

static void check_number(enum gguf_type type, int64_t i, double f, const json_t *want)
{
  if (type == GGUF_FLOAT32) {
    CHECK(f <= (double)(float)json_number_value(want) && f >= (double)(float)json_number_value(want));
  } else if (type == GGUF_FLOAT64) {
    CHECK(f <= json_number_value(want) && f >= json_number_value(want));
  } else if (type == GGUF_BOOL) {
    CHECK_INT(i, json_is_true(want));
  } else if (json_is_string(want)) { /* 64-bit integers are written as text */
    char text[32];
    if (type == GGUF_UINT64) {
      snprintf(text, sizeof text, "%" PRIu64, (uint64_t)i);
    } else {
      snprintf(text, sizeof text, "%" PRId64, i);
    }
    CHECK_STR(text, json_string_value(want));
  } else {
    CHECK_INT(i, json_integer_value(want));
  }
}

static void check_string(struct gguf_string s, const json_t *want)
{
  CHECK(json_is_string(want) && s.bytes);
  CHECK_INT(s.size, json_string_length(want));
  if (s.size) CHECK_BITS(s.bytes, json_string_value(want), s.size);
}

static void check_array(const struct gguf_array *got, const json_t *want)
{
  CHECK_INT(got->count, json_array_size(want));
  for (uint64_t i = 0; i < got->count; i++) {
    const json_t *one = json_array_get(want, i);
    if (got->type == GGUF_STRING) {
      check_string(got->strings[i], one);
    } else if (got->type == GGUF_ARRAY) {
      check_array(&got->arrays[i], one);
    } else if (got->type == GGUF_FLOAT32 || got->type == GGUF_FLOAT64) {
      check_number(got->type, 0, gguf_array_real(got, i), one);
    } else {
      check_number(got->type, gguf_array_int(got, i), 0, one);
    }
  }
}

static void check_pair(const struct gguf *g, const char *key, const json_t *want)
{
  const struct gguf_value *v = gguf_find(g, key);
  const char *type = json_string_value(json_array_get(want, 0));
  const json_t *value = json_array_get(want, 1);
  CHECK(v != NULL);
  char name[64];
  if (v->type == GGUF_ARRAY) {
    snprintf(name, sizeof name, "array of %s%s", gguf_type_name(v->array.type),
             v->array.type == GGUF_ARRAY ? "s of int32" : "");
    CHECK_STR(name, type);
    check_array(&v->array, value);
    return;
  }
  CHECK_STR(gguf_type_name(v->type), type);
  if (v->type == GGUF_STRING) {
    check_string(v->s, value);
  } else {
    check_number(v->type, v->i, v->f, value);
  }
}

static void check_gguf_tensor(const struct gguf *g, const char *name, const json_t *want)
{
  struct error err = {0};
  const struct gguf_tensor *t = gguf_find_tensor(g, name);
  CHECK(t != NULL);
  const json_t *shape = json_object_get(want, "shape_row_major");
  CHECK_INT(t->rank, json_array_size(shape));
  for (uint32_t i = 0; i < t->rank; i++)
    CHECK_INT(t->dims[i], json_integer_value(json_array_get(shape, t->rank - 1 - i)));
  float *values = ARENA_NEW(test_arena, float, (size_t)t->elements, "test", &err);
  gguf_read_f32(t, 0, (size_t)t->elements, values);
  check_values(json_object_get(want, "values"), values, (size_t)t->elements);
}

static void test_gguf_values(void **state)
{
  (void)state;
  json_t *files = read_json("gguf/valid.json"), *file, *want;
  const char *name, *key;
  CHECK_INT(json_object_size(files), 8);
  json_object_foreach(files, name, file)
  {
    struct error err = {0};
    struct gguf *g;
    print_message("%s\n", name);
    CHECK_OK(gguf_open(test_arena, join("gguf/valid", name, ""), &g, &err), &err);
    CHECK(g->big_endian == !strcmp(name, "big-endian.gguf"));
    CHECK_INT(g->tensor_count, json_object_size(json_object_get(file, "tensors")));
    json_object_foreach(json_object_get(file, "keys"), key, want) check_pair(g, key, want);
    json_object_foreach(json_object_get(file, "tensors"), key, want) check_gguf_tensor(g, key, want);
  }
  arena_reset(test_arena);
}

/* ---- GGUF tensor types --------------------------------------------------------------------------------------- */

static void check_dequantised(const struct gguf_tensor *t, const struct safetensors *expect, const char *type,
                              const char *tensor)
{
  struct error err = {0};
  const char *name = arena_printf(test_arena, "test", &err, "%s.%s", type, tensor);
  const struct safetensors_tensor *want = safetensors_find(expect, name);
  CHECK(t && want && gguf_can_read(t));
  CHECK_STR(gguf_tensor_type_name(t->type), type);
  size_t n = (size_t)t->elements;
  CHECK_INT(n, want->elements);
  float *got = ARENA_NEW(test_arena, float, n, "test", &err), *wanted = ARENA_NEW(test_arena, float, n, "test", &err);
  gguf_read_f32(t, 0, n, got);
  safetensors_read_f32(want, 0, n, wanted);
  CHECK_BITS(got, wanted, n * sizeof *got);

  /* Rows by themselves are the same numbers. */
  size_t row = (size_t)t->dims[0];
  for (size_t i = 0; i < n; i += row) gguf_read_f32(t, i, row, got + i);
  CHECK_BITS(got, wanted, n * sizeof *got);
}

static void test_gguf_types(void **state)
{
  (void)state;
  struct error err = {0};
  struct safetensors expect;
  struct gguf *g;
  CHECK_OK(safetensors_open(test_arena, fixture_path("gguf/types.safetensors"), &expect, &err), &err);
  for (size_t i = 0; i < COUNT(readable_types); i++) {
    CHECK_OK(gguf_open(test_arena, join("gguf/types", readable_types[i], ".gguf"), &g, &err), &err);
    check_dequantised(gguf_find_tensor(g, "t"), &expect, readable_types[i], "t");
    if (strchr(readable_types[i], 'F') && i < 3)
      check_dequantised(gguf_find_tensor(g, "special"), &expect, readable_types[i], "special");
  }
  arena_reset(test_arena);
}

/* A model split in two: the first part's metadata and the tensors of both; the second by itself is none. */
static void test_gguf_parts(void **state)
{
  (void)state;
  struct error err = {0};
  struct gguf *g, *one;
  CHECK_OK(gguf_open_parts(test_arena, fixture_path("gguf/valid/split-00001-of-00002.gguf"), &g, &err), &err);
  CHECK_INT(g->tensor_count, 3);
  size_t found = 0;
  for (int part = 1; part <= 2; part++) {
    const char *path = arena_printf(test_arena, "test", &err, "gguf/valid/split-%05d-of-00002.gguf", part);
    CHECK_OK(gguf_open(test_arena, fixture_path(path), &one, &err), &err);
    for (size_t i = 0; i < one->tensor_count; i++, found++) {
      const struct gguf_tensor *t = gguf_find_tensor(g, one->tensors[i].name);
      CHECK(t && t->elements == one->tensors[i].elements);
      CHECK_BITS(t->data, one->tensors[i].data, (size_t)t->bytes);
    }
  }
  CHECK_INT(found, 3);
  int rc = gguf_open_parts(test_arena, fixture_path("gguf/valid/split-00002-of-00002.gguf"), &g, &err);
  CHECK_ERROR(rc, &err, ERROR_INPUT, "part 2 of a model in 2 files; expected the first");
  arena_reset(test_arena);
}

/* ---- models ---------------------------------------------------------------------------------------------------- */

/* SHA-256 as CONTRACT.md defines "weights", computed from the safetensors files by a script of its own. */
static const struct {
  const char *family, *hash;
} hashes[] = {
    {"llama", "aa61f73c775a53ca396929769152f81c3c01c6f511d797e2ffe4b055390773e2"},
    {"smollm", "c93a2ca412bfa943de05b8f72b436d14c33e3b2f9a1b595b793fc30f9294057e"},
    {"mistral", "68cccb897080589c02b2347bcf54f19370cd9464139d1d7ee5955cbaec6657ea"},
    {"qwen2", "d5f4090b754daf851be3089bd65174e150d563128c4a6c91664d5469ed25c382"},
    {"qwen3", "fd90ad5b9b74f9b66b78bc3606036bfeaf6a246d9a3941bde1058ebe23d10ff7"},
    {"qwen3-bf16-sharded", "0e9e243eb85dee15b4089f837edd3b4d100abab2cb5db3f092823d30edbc00f8"},
};

static void check_hash(const char *path, const char *want)
{
  struct error err = {0};
  struct model_source source;
  struct model *m;
  char hex[65];
  CHECK_OK(load_model(path, &source, &m, &err), &err);
  CHECK_OK(model_hash(m, hex, &err), &err);
  CHECK_STR(hex, want);
  CHECK_INT(source.end_id_count, source.gguf ? 0 : 1); /* these GGUF files have no vocabulary */
  if (!source.gguf) CHECK_INT(source.end_ids[0], 2);
}

/* GGUF's llama interleaves rotary rows and the others do not: the same hash says that both are put right. */
static void test_models(void **state)
{
  (void)state;
  for (size_t i = 0; i < COUNT(hashes); i++) {
    const char *gguf = join("gguf/models", hashes[i].family, ".f32.gguf");
    print_message("%s\n", hashes[i].family);
    check_hash(join("models", hashes[i].family, ""), hashes[i].hash);
    CHECK(file_exists(gguf) == (strncmp(hashes[i].family, "mistral", 7) && !strstr(hashes[i].family, "sharded")));
    if (file_exists(gguf)) check_hash(gguf, hashes[i].hash);
    arena_reset(test_arena);
  }
}

/* ---- writing GGUF ---------------------------------------------------------------------------------------------- */

static int rows_of_model(void *arg, const struct model_tensor *t, size_t row, size_t count, float *to,
                         struct error *err)
{
  (void)err;
  weight_read(model_find(arg, t->name), WEIGHT_MASTER, row, count, to, HOST_F32);
  return 0;
}

/* Each tensor as llama.cpp's converter wrote it: type, shape and bytes; and each option of the model. */
static void check_written(const char *family, enum save_type type, const char *want_name)
{
  struct error err = {0};
  struct model_source source;
  struct model *m;
  struct gguf *got, *want;
  struct gguf_pairs pairs = {0};
  print_message("%s\n", want_name);
  const char *path = path_join(test_arena, fresh_folder("parity_formats"), "made.gguf", &err);
  CHECK_OK(load_model(join("models", family, ""), &source, &m, &err), &err);
  CHECK_OK(gguf_open(test_arena, join("gguf/models", want_name, ".gguf"), &want, &err), &err);
  gguf_copy_pairs(&pairs, want, "tokenizer.");
  CHECK_OK(gguf_write_model(test_arena, path, &m->config, type, &pairs, NULL, rows_of_model, m, &err), &err);
  gguf_pairs_free(&pairs);
  CHECK_OK(gguf_open(test_arena, path, &got, &err), &err);
  CHECK_INT(got->tensor_count, want->tensor_count);
  for (size_t i = 0; i < want->tensor_count; i++) {
    const struct gguf_tensor *w = &want->tensors[i], *g = gguf_find_tensor(got, w->name);
    CHECK(g != NULL);
    CHECK_STR(gguf_tensor_type_name(g->type), gguf_tensor_type_name(w->type));
    CHECK_BITS(g->dims, w->dims, sizeof g->dims);
    CHECK_BITS(g->data, w->data, (size_t)w->bytes);
  }
  for (size_t i = 0; i < want->pair_count; i++) {
    const struct gguf_value *w = &want->pairs[i].value, *g = gguf_find(got, want->pairs[i].key);
    if (!strncmp(want->pairs[i].key, "general.", 8) && strcmp(want->pairs[i].key, "general.architecture") != 0)
      continue;
    if (!g) print_message("not written: %s\n", want->pairs[i].key);
    CHECK(g && g->type == w->type);
    if (w->type == GGUF_UINT32) CHECK_INT(g->u, w->u);
    if (w->type == GGUF_FLOAT32) CHECK_BITS(&g->f, &w->f, sizeof w->f);
  }
  arena_reset(test_arena);
}

static void test_gguf_writing(void **state)
{
  (void)state;
  check_written("llama", SAVE_F32, "llama.f32");
  check_written("llama", SAVE_F16, "llama.f16");
  check_written("llama", SAVE_Q8_0, "llama.q8_0");
  check_written("smollm", SAVE_F32, "smollm.f32");
  check_written("qwen2", SAVE_F32, "qwen2.f32");
  check_written("qwen3", SAVE_F32, "qwen3.f32");
}

/* Matrices that stay in the file's blocks make the numbers that the file holds. */
static void test_kept(void **state)
{
  (void)state;
  static const char *const files[] = {"gguf/models/llama.q8_0.gguf", "gguf/models/llama.f32.gguf"};
  for (size_t i = 0; i < COUNT(files); i++) {
    struct error err = {0};
    struct model_source source;
    struct model_config config;
    struct model *m;
    char full[65], kept[65];
    CHECK_OK(model_source_open(test_arena, fixture_path(files[i]), &source, &config, &err), &err);
    CHECK_OK(model_load_fixed(test_arena, test_device, &source, &config, 1, &m, &err), &err);
    CHECK_OK(model_hash(m, full, &err), &err);
    size_t before = model_fixed_bytes(&config, COMPUTE_F32);
    config.keep = MODEL_KEEP_FILE;
    CHECK_OK(model_load_fixed(test_arena, test_device, &source, &config, 1, &m, &err), &err);
    CHECK_OK(model_hash(m, kept, &err), &err);
    CHECK_STR(kept, full);
    CHECK_INT(weight_quant(m->layer[0].q), i == 0 ? QUANT_Q8_0 : QUANT_NONE);
    CHECK((model_fixed_bytes(&config, COMPUTE_F32) < before) == (i == 0));
    config.keep = MODEL_KEEP_Q4_0; /* what the file has in blocks stays so */
    CHECK_OK(model_load_fixed(test_arena, test_device, &source, &config, 1, &m, &err), &err);
    CHECK_INT(weight_quant(m->layer[0].q), i == 0 ? QUANT_Q8_0 : QUANT_Q4_0);
    CHECK_INT(weight_quant(m->embed), QUANT_Q8_0);
    CHECK_INT(weight_quant(m->layer[0].down), QUANT_NONE); /* rows of 88 */
    arena_reset(test_arena);
  }
}

static void test_spellings(void **state)
{
  (void)state;
  for (size_t i = 0; i < COUNT(hashes); i++) {
    struct error err = {0};
    struct model_config five, four;
    const char *folder = join("models", hashes[i].family, "");
    CHECK_OK(model_config_read(test_arena, path_join(test_arena, folder, "config.json", &err), &five, &err), &err);
    CHECK_OK(model_config_read(test_arena, path_join(test_arena, folder, "config.v4.json", &err), &four, &err), &err);
    CHECK_BITS(&five, &four, sizeof five);
  }
  arena_reset(test_arena);
}

/* ---- the real model ------------------------------------------------------------------------------------------- */

static void check_real_tensor(const struct gguf_tensor *t, const json_t *want)
{
  struct error err = {0};
  CHECK_STR(t->name, json_string_value(json_object_get(want, "name")));
  CHECK_STR(gguf_tensor_type_name(t->type), json_string_value(json_object_get(want, "type")));
  size_t n = (size_t)t->elements;
  float *values = memory_alloc(n, sizeof *values, "test", &err);
  CHECK(values != NULL);
  gguf_read_f32(t, 0, n, values);
  double sum = 0, squares = 0, size = 0;
  for (size_t i = 0; i < n; i++) {
    sum += (double)values[i];
    squares += (double)values[i] * (double)values[i];
    size += check_abs((double)values[i]);
  }
  const char *why = "f64 sums in another order differ by n * 2^-53 of the sum of sizes at most; 28 million values";
  CHECK_CLOSE(sum, json_number_value(json_object_get(want, "sum")), 1e-9 * size, why);
  CHECK_CLOSE(squares, json_number_value(json_object_get(want, "sum_of_squares")), 1e-9 * squares, why);
  const json_t *first = json_object_get(want, "first64"), *last = json_object_get(want, "last64");
  if (first) check_values(first, values, 64);
  if (last) check_values(last, values + n - 64, 64);
  memory_free(values);
}

static void test_real_model(void **state)
{
  (void)state;
  struct error err = {0};
  struct gguf *g;
  const char *path = getenv("ASSAY_SMOLLM2");
  if (!path) {
    print_message("skipped: ASSAY_SMOLLM2 does not name SmolLM2-135M-Instruct.Q4_1.gguf (tools/get-smollm2.sh)\n");
    skip();
  }
  const json_t *tensors = json_object_get(read_json("models/smollm2-135m/dequant.json"), "tensors"), *want;
  CHECK_OK(gguf_open(test_arena, path, &g, &err), &err);
  CHECK_INT(g->tensor_count, 272);
  CHECK_INT(json_array_size(tensors), 272);
  size_t i;
  json_array_foreach(tensors, i, want) check_real_tensor(&g->tensors[i], want);

  struct model_source source;
  struct model *m;
  CHECK_OK(load_model(path, &source, &m, &err), &err);
  CHECK_INT(model_parameters(&m->config), 134515008);
  CHECK_INT(source.end_id_count, 1);
  CHECK_INT(source.end_ids[0], 2);
  arena_reset(test_arena);
}

int main(void)
{
  if (fixtures_absent("parity_formats")) return 77;
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_safetensors), cmocka_unit_test(test_gguf_values),  cmocka_unit_test(test_gguf_types),
      cmocka_unit_test(test_gguf_parts),  cmocka_unit_test(test_gguf_writing), cmocka_unit_test(test_kept),
      cmocka_unit_test(test_models),      cmocka_unit_test(test_spellings),    cmocka_unit_test(test_real_model)};
  return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
