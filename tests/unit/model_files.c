/* Models in folders: what is saved loads with the same hash, in any type and number of files; what is damaged is
 * refused. */
#include "model_fixture.h"

#include "core/fault.h"
#include "core/math.h"
#include "model/config.h"
#include "model/safetensors.h"

static struct model_config family_config(const char *type)
{
  const struct model_family *f = model_family_find(type);
  struct model_config c = {.vocab = 19,
                           .hidden = 16,
                           .layers = 2,
                           .heads = 4,
                           .kv_heads = 2,
                           .head_dim = 6,
                           .ffn = 24,
                           .max_positions = 64,
                           .norm_eps = 1e-5,
                           .rope_theta = 10000,
                           .bos = 1,
                           .eos = 2,
                           .pad = -1};
  snprintf(c.architecture, sizeof c.architecture, "%s", f->architecture);
  snprintf(c.model_type, sizeof c.model_type, "%s", f->model_type);
  c.qkv_bias = f->qkv_bias;
  c.qk_norm = f->qk_norm;
  c.tied = f->window == WINDOW_SWITCHED;
  c.window = f->window == WINDOW_ALL ? 8 : 0;
  return c;
}

static struct model *random_model(const char *type)
{
  struct error err = {0};
  struct model_config c = family_config(type);
  struct model *m;
  CHECK_OK(model_create(test_arena, test_device, &c, 1, &m, &err), &err);
  CHECK_OK(model_randomise(m, 42, &err), &err);
  return m;
}

static const char *in_folder(const char *folder, const char *name)
{
  struct error err = {0};
  const char *path = path_join(test_arena, folder, name, &err);
  CHECK(path != NULL);
  return path;
}

static void write_bytes(const char *path, const void *bytes, size_t n)
{
  struct error err = {0};
  struct file_writer *w;
  CHECK_OK(file_writer_open(test_arena, path, &w, &err), &err);
  CHECK_OK(file_writer_write(w, bytes, n, &err), &err);
  CHECK_OK(file_writer_commit(w, &err), &err);
}

static void write_text(const char *folder, const char *name, const char *text)
{
  write_bytes(in_folder(folder, name), text, strlen(text));
}

static char *read_text(const char *folder, const char *name, size_t *size)
{
  struct error err = {0};
  char *text;
  CHECK_OK(file_read(test_arena, in_folder(folder, name), 1 << 24, &text, size, &err), &err);
  return text;
}

static int try_load(const char *folder, struct error *err)
{
  struct model_source source;
  struct model *m;
  error_clear(err);
  return load_model(folder, &source, &m, err);
}

/* ---- what is saved loads --------------------------------------------------------------------------------- */

static void check_same(const struct model *m, const char *folder)
{
  struct error err = {0};
  struct model_source source;
  struct model *back;
  char want[65], got[65];
  CHECK_OK(load_model(folder, &source, &back, &err), &err);
  CHECK_BITS(&back->config, &m->config, sizeof m->config);
  CHECK_OK(model_hash(m, want, &err), &err);
  CHECK_OK(model_hash(back, got, &err), &err);
  CHECK_STR(got, want);
  CHECK_INT(source.end_id_count, 1);
  CHECK_INT(source.end_ids[0], 2);
}

static void test_families(void **state)
{
  (void)state;
  static const char *const types[] = {"llama", "mistral", "qwen2", "qwen3"};
  for (int i = 0; i < 4; i++) {
    struct error err = {0};
    struct model *m = random_model(types[i]);
    const char *folder = fresh_folder("model_files");
    CHECK_OK(model_save(m, NULL, folder, SAVE_F32, &err), &err);
    check_same(m, folder);
    arena_reset(test_arena);
  }
}

static void test_layout_of_file(void **state)
{
  (void)state;
  struct error err = {0};
  struct safetensors s;
  struct model *m = random_model("llama");
  const char *folder = fresh_folder("model_files");
  CHECK_OK(model_save(m, NULL, folder, SAVE_BF16, &err), &err);
  CHECK_OK(safetensors_open(test_arena, in_folder(folder, "model.safetensors"), &s, &err), &err);
  CHECK_STR(safetensors_metadata(&s, "format"), "pt");
  CHECK_INT(s.count, m->weight_count);
  CHECK_STR(s.tensors[0].dtype, "BF16");
  for (size_t i = 1; i < s.count; i++) CHECK_INT(s.tensors[i].begin, s.tensors[i - 1].end); /* in order of names */
  size_t size;
  char *config = read_text(folder, "config.json", &size);
  CHECK(strstr(config, "\"torch_dtype\": \"bfloat16\"") && strstr(config, "\"architectures\": [\"LlamaForCausalLM\"]"));
  CHECK(strstr(read_text(folder, "generation_config.json", &size), "\"eos_token_id\": 2"));
  CHECK(!file_exists(in_folder(folder, "model.safetensors.index.json")));
  arena_reset(test_arena);
}

static void test_shards(void **state)
{
  (void)state;
  struct error err = {0};
  struct model *m = random_model("qwen3");
  const char *folder = fresh_folder("model_files");
  char **names;
  size_t count, shards = 0;
  CHECK_OK(model_save_sharded(m, NULL, folder, SAVE_F32, 3000, &err), &err);
  CHECK_OK(file_list(test_arena, folder, &names, &count, &err), &err);
  for (size_t i = 0; i < count; i++) shards += strstr(names[i], ".safetensors") && !strstr(names[i], "index");
  CHECK(shards > 4);
  check_same(m, folder);

  /* One file into the same folder would leave the old index to be read by nobody, or the other way round. */
  CHECK_ERROR(model_save(m, NULL, folder, SAVE_F32, &err), &err, ERROR_INPUT, "the folder holds another model");

  const char *last = in_folder(folder, names[count - 2]);
  CHECK(strstr(last, "model-000"));
  CHECK(remove(last) == 0);
  CHECK_ERROR(try_load(folder, &err), &err, ERROR_INPUT, "reading the shard that model.safetensors.index.json names");
  CHECK_STR(err.file, last);
  arena_reset(test_arena);
}

static void test_rounding(void **state)
{
  (void)state;
  for (int type = SAVE_BF16; type <= SAVE_F16; type++) {
    struct error err = {0};
    struct model_source source;
    struct model *m = random_model("llama"), *back;
    const char *folder = fresh_folder("model_files");
    float special[16] = {0.0f, -0.0f, 1.00390625f, 1.01171875f, 6e-8f, -65504.0f, 1e-5f, 3.1415927f}, got[16];
    weight_write(m->embed, WEIGHT_MASTER, 3, 1, special, HOST_F32);
    CHECK_OK(model_save(m, NULL, folder, (enum save_type)type, &err), &err);
    CHECK_OK(load_model(folder, &source, &back, &err), &err);
    weight_read(back->embed, WEIGHT_MASTER, 3, 1, got, HOST_F32);
    for (int i = 0; i < 16; i++) {
      float want = type == SAVE_BF16 ? math_f32_from_bf16(math_bf16_from_f32(special[i]))
                                     : math_f32_from_f16(math_f16_from_f32(special[i]));
      CHECK_BITS(&got[i], &want, 4);
    }
    /* Saved once more, nothing moves. */
    char first[65], second[65];
    const char *again = fresh_folder("model_files_again");
    CHECK_OK(model_save(back, &source, again, (enum save_type)type, &err), &err);
    CHECK_OK(model_hash(back, first, &err), &err);
    CHECK_OK(load_model(again, &source, &back, &err), &err);
    CHECK_OK(model_hash(back, second, &err), &err);
    CHECK_STR(first, second);
    arena_reset(test_arena);
  }
}

static void test_unsaveable(void **state)
{
  (void)state;
  struct error err = {0};
  struct model *m = random_model("llama");
  const char *folder = fresh_folder("model_files");
  float row[16] = {1, 2, 70000};
  weight_write(m->embed, WEIGHT_MASTER, 5, 1, row, HOST_F32);
  CHECK_ERROR(model_save(m, NULL, folder, SAVE_F16, &err), &err, ERROR_INPUT,
              "\"model.embed_tokens.weight\" is 70000 at [5, 2], which F16 cannot hold; save as bf16 or f32");
  CHECK(!file_exists(in_folder(folder, "model.safetensors")) && !file_exists(in_folder(folder, "config.json")));
  error_clear(&err);
  row[1] = 0.0f / (row[0] - 1.0f);
  weight_write(m->embed, WEIGHT_MASTER, 5, 1, row, HOST_F32);
  CHECK_ERROR(model_save(m, NULL, folder, SAVE_F32, &err), &err, ERROR_INPUT, "at [5, 1], which F32 cannot hold");
  error_clear(&err);
  CHECK_ERROR(model_save(m, NULL, in_folder(folder, "absent"), SAVE_F32, &err), &err, ERROR_INPUT, "no such folder");
  arena_reset(test_arena);
}

/* Tokenizer files and generation_config.json travel with the source; a conversion is load and save. */
static void test_convert(void **state)
{
  (void)state;
  struct error err = {0};
  struct model *m = random_model("qwen2");
  const char *from = fresh_folder("model_files"), *to = in_folder(fresh_folder("model_files_again"), "deep/er");
  CHECK_OK(model_save(m, NULL, from, SAVE_F32, &err), &err);
  write_text(from, "tokenizer.json", "{\"a\": 1}");
  write_text(from, "chat_template.jinja", "{{ x }}");
  write_text(from, "generation_config.json", "{\"eos_token_id\": [2, 4], \"top_p\": 0.5}");
  write_text(from, "notes.txt", "stays");
  CHECK_OK(model_convert(test_arena, test_device, from, to, SAVE_F32, 0, NULL, &err), &err);
  size_t size;
  CHECK_STR(read_text(to, "tokenizer.json", &size), "{\"a\": 1}");
  CHECK_STR(read_text(to, "chat_template.jinja", &size), "{{ x }}");
  CHECK(strstr(read_text(to, "generation_config.json", &size), "top_p"));
  CHECK(strstr(read_text(to, "config.json", &size), "\"eos_token_id\": [2, 4]"));
  CHECK(!file_exists(in_folder(to, "notes.txt")) && !file_exists(in_folder(to, "tokenizer_config.json")));
  struct model_source source;
  struct model *back;
  CHECK_OK(load_model(to, &source, &back, &err), &err);
  CHECK_INT(source.end_id_count, 2);
  CHECK_INT(source.end_ids[1], 4);
  arena_reset(test_arena);
}

/* ---- finding the model -------------------------------------------------------------------------------------- */

static void test_run_folder(void **state)
{
  (void)state;
  struct error err = {0};
  struct model *m = random_model("llama");
  const char *run = fresh_folder("model_files");
  static const char *const names[] = {"000010", "000020", "000030", "000040.tmp", "latest"};
  struct model_source source;
  CHECK_ERROR(model_source_locate(test_arena, run, &source, &err), &err, ERROR_INPUT,
              "no such file; expected a Hugging");
  error_clear(&err);
  CHECK_OK(file_make_folder(in_folder(run, "checkpoints"), &err), &err);
  CHECK_ERROR(model_source_locate(test_arena, run, &source, &err), &err, ERROR_INPUT, "no complete checkpoint");
  error_clear(&err);
  for (int i = 0; i < 5; i++) {
    const char *folder = path_join(test_arena, in_folder(run, "checkpoints"), names[i], &err);
    CHECK_OK(file_make_folder(folder, &err), &err);
    CHECK_OK(model_save(m, NULL, folder, SAVE_F32, &err), &err);
    if (i != 2) write_text(folder, "state.bin", "state"); /* 30 is not whole */
  }
  CHECK_OK(model_source_locate(test_arena, run, &source, &err), &err);
  CHECK_STR(path_base(source.folder), "000020");
  check_same(m, run);
  check_same(m, source.folder);
  CHECK_ERROR(model_source_locate(test_arena, in_folder(source.folder, "state.bin"), &source, &err), &err, ERROR_INPUT,
              "no GGUF file");
  error_clear(&err);
  CHECK_ERROR(model_source_locate(test_arena, in_folder(run, "absent"), &source, &err), &err, ERROR_INPUT,
              "cannot be opened");
  arena_reset(test_arena);
}

/* ---- what is damaged is refused ------------------------------------------------------------------------------ */

/* A folder's model.safetensors written anew by hand: header, then data. */
static void write_safetensors(const char *folder, const char *header, const void *data, size_t size)
{
  struct error err = {0};
  uint64_t length = strlen(header);
  uint8_t *bytes = ARENA_NEW(test_arena, uint8_t, 8 + length + size, "test", &err);
  for (int i = 0; i < 8; i++) bytes[i] = (uint8_t)(length >> (8 * i));
  memcpy(bytes + 8, header, length);
  memcpy(bytes + 8 + length, data, size);
  write_bytes(in_folder(folder, "model.safetensors"), bytes, 8 + length + size);
}

/* The header of a saved folder with one tensor's entry put in front, and its data appended. */
static void add_tensor(const char *folder, const char *name, const char *dtype, const char *shape, const void *data,
                       size_t n)
{
  struct error err = {0};
  size_t size;
  uint8_t *file = (uint8_t *)read_text(folder, "model.safetensors", &size);
  uint64_t length = 0;
  for (int i = 7; i >= 0; i--) length = length << 8 | file[i];
  size_t old = size - 8 - (size_t)length;
  char *header =
      arena_printf(test_arena, "test", &err, "{\"%s\":{\"dtype\":\"%s\",\"shape\":%s,\"data_offsets\":[%zu,%zu]},%.*s",
                   name, dtype, shape, old, old + n, (int)length - 1, (char *)file + 9);
  uint8_t *all = ARENA_NEW(test_arena, uint8_t, old + n, "test", &err);
  memcpy(all, file + 8 + length, old);
  memcpy(all + old, data, n);
  write_safetensors(folder, header, all, old + n);
}

static void test_extra_tensors(void **state)
{
  (void)state;
  struct error err = {0};
  struct model *m = random_model("qwen3");
  const char *folder = fresh_folder("model_files");
  float embed[19 * 16];
  weight_read(m->embed, WEIGHT_MASTER, 0, 19, embed, HOST_F32);

  CHECK_OK(model_save(m, NULL, folder, SAVE_F32, &err), &err);
  add_tensor(folder, "model.layers.0.self_attn.rotary_emb.inv_freq", "F32", "[2]", embed, 8);
  add_tensor(folder, "lm_head.weight", "F32", "[19,16]", embed, sizeof embed);
  check_same(m, folder); /* both follow from what is there */

  CHECK_OK(model_save(m, NULL, folder, SAVE_F32, &err), &err);
  embed[7] += 1;
  add_tensor(folder, "lm_head.weight", "F32", "[19,16]", embed, sizeof embed);
  CHECK_ERROR(try_load(folder, &err), &err, ERROR_INPUT, "tie_word_embeddings is true, but lm_head.weight differs");

  CHECK_OK((error_clear(&err), model_save(m, NULL, folder, SAVE_F32, &err)), &err);
  add_tensor(folder, "model.layers.2.mlp.up_proj.weight", "F32", "[1]", embed, 4);
  CHECK_ERROR(try_load(folder, &err), &err, ERROR_INPUT, "has no place in this configuration");
  CHECK_STR(err.key, "model.layers.2.mlp.up_proj.weight");
  arena_reset(test_arena);
}

static void replace(const char *folder, const char *name, const char *from, const char *to)
{
  size_t size;
  char *text = read_text(folder, name, &size), *at = NULL;
  for (size_t i = 0; !at && i + strlen(from) <= size; i++)
    if (!memcmp(text + i, from, strlen(from))) at = text + i;
  CHECK(at && strlen(from) == strlen(to));
  memcpy(at, to, strlen(to));
  write_bytes(in_folder(folder, name), text, size);
}

static void test_wrong_weights(void **state)
{
  (void)state;
  struct error err = {0};
  struct model *m = random_model("llama");
  const char *folder = fresh_folder("model_files");
  static const struct {
    const char *file, *from, *to, *part;
  } wrong[] = {
      {"model.safetensors", "lm_head.weight\":{\"dtype\":\"F32\"", "lm_head.weight\":{\"dtype\":\"I32\"",
       "\"lm_head.weight\" is of type I32, which is not supported; supported are F64, F32"},
      {"model.safetensors", "[19,16]", "[16,19]", "has shape [16, 19]; the configuration asks for [19, 16]"},
      {"model.safetensors", "lm_head.weight", "mm_head.weight",
       "if the head is the embedding, set tie_word_embeddings"},
      {"config.json", "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 9", "\"model.layers.2."},
      {"config.json", "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 1", "has no place in this configuration"},
      {"config.json", "\"head_dim\": 6", "\"head_dim\": 8", "q_proj.weight\" has shape [24, 16]"},
  };
  for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
    CHECK_OK((error_clear(&err), model_save(m, NULL, folder, SAVE_F32, &err)), &err);
    replace(folder, wrong[i].file, wrong[i].from, wrong[i].to);
    CHECK_ERROR(try_load(folder, &err), &err, ERROR_INPUT, wrong[i].part);
    CHECK_STR(path_base(err.file), "model.safetensors");
  }
  arena_reset(test_arena);
}

static void test_not_finite(void **state)
{
  (void)state;
  static const uint32_t bad[] = {0x7fc00000u, 0x7f800000u, 0xff800000u};
  static const char *const says[] = {"is NaN at [18, 15]", "is infinite at [18, 15]", "is infinite at [18, 15]"};
  for (int i = 0; i < 3; i++) {
    struct error err = {0};
    struct safetensors s;
    struct model *m = random_model("llama");
    const char *folder = fresh_folder("model_files");
    size_t size;
    CHECK_OK(model_save(m, NULL, folder, SAVE_F32, &err), &err);
    char *bytes = read_text(folder, "model.safetensors", &size);
    CHECK_OK(safetensors_parse(test_arena, (const uint8_t *)bytes, size, "x", &s, &err), &err);
    const struct safetensors_tensor *t = safetensors_find(&s, "model.embed_tokens.weight");
    CHECK(t != NULL);
    size_t at = (size_t)(t->data - (const uint8_t *)bytes) + 4 * (19 * 16 - 1);
    memcpy(bytes + at, &bad[i], 4);
    write_bytes(in_folder(folder, "model.safetensors"), bytes, size);
    CHECK_ERROR(try_load(folder, &err), &err, ERROR_INPUT, says[i]);
    CHECK_STR(err.key, "model.embed_tokens.weight");
    arena_reset(test_arena);
  }
}

/* Cut at every byte, a file is refused; and so is one with a byte too many. */
static void test_truncated(void **state)
{
  (void)state;
  struct error err = {0};
  struct safetensors s;
  static const char text[] =
      "........{\"__metadata__\":{\"a\":\"b\"},\"x\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
      "\"y\":{\"dtype\":\"BF16\",\"shape\":[1,2],\"data_offsets\":[8,12]}}  012345678901";
  size_t size = sizeof text - 1;
  uint8_t *bytes = ARENA_NEW(test_arena, uint8_t, size + 1, "test", &err);
  memcpy(bytes, text, size);
  memset(bytes, 0, 8);
  bytes[0] = (uint8_t)(size - 8 - 12);
  CHECK_OK(safetensors_parse(test_arena, bytes, size, "x", &s, &err), &err);
  CHECK_INT(s.count, 2);
  for (size_t cut = 0; cut <= size + 1; cut++) {
    if (cut == size) continue;
    uint8_t *exact = memory_alloc(cut ? cut : 1, 1, "test", &err); /* so that ASan sees a read behind the end */
    memcpy(exact, bytes, cut < size ? cut : size);
    error_clear(&err);
    int rc = safetensors_parse(test_arena, exact, cut, "x", &s, &err);
    CHECK_ERROR(rc, &err, ERROR_INPUT, " ");
    CHECK_STR(err.file, "x");
    memory_free(exact);
  }
  arena_reset(test_arena);
}

#ifdef ASSAY_HOSTILE
/* Allocations, writes and device calls fail, one in a run: an orderly error each time, and nothing visible of a save
 * that failed. */
static void test_faults(void **state)
{
  (void)state;
  for (int kind = 0; kind < FAULT_KINDS; kind++) {
    long failures = 0;
    for (long n = 1;; n += n < 100 ? 1 : 7) { /* each of the first hundred, then a sample: a save has a thousand */
      struct error err = {0};
      struct model *m = random_model("qwen2");
      const char *folder = fresh_folder("model_files");
      fault_set((enum fault_kind)kind, n);
      int rc = model_save_sharded(m, NULL, folder, SAVE_BF16, 4000, &err);
      if (!rc) rc = try_load(folder, &err);
      bool hit = fault_calls((enum fault_kind)kind) >= n;
      fault_set((enum fault_kind)kind, 0);
      arena_reset(test_arena);
      if (!hit) {
        CHECK_OK(rc, &err);
        break;
      }
      failures++;
      if (!rc || rc != err.code)
        print_error("fault %ld of kind %d: rc %d, %d %s\n", n, kind, rc, err.code, err.message);
      CHECK(rc != 0 && rc == err.code && rc != ERROR_BUG && err.message[0]);
    }
    print_message("%ld faults of kind %d\n", failures, kind);
    CHECK(failures > 0);
  }
}
#endif

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_families),   cmocka_unit_test(test_layout_of_file), cmocka_unit_test(test_shards),
      cmocka_unit_test(test_rounding),   cmocka_unit_test(test_unsaveable),     cmocka_unit_test(test_convert),
      cmocka_unit_test(test_run_folder), cmocka_unit_test(test_extra_tensors),  cmocka_unit_test(test_wrong_weights),
      cmocka_unit_test(test_not_finite), cmocka_unit_test(test_truncated),
#ifdef ASSAY_HOSTILE
      cmocka_unit_test(test_faults),
#endif
  };
  return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
