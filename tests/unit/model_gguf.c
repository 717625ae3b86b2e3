/* GGUF files made here, byte by byte: metadata access, a llama whose rotary rows are interleaved, blocks by hand,
 * options that are refused. */
#include "model_fixture.h"

#include "core/math.h"

/* A file in the making. */
struct maker {
  uint8_t bytes[1 << 16];
  size_t n;
};

static void put(struct maker *m, const void *bytes, size_t n)
{
  CHECK(m->n + n <= sizeof m->bytes);
  memcpy(m->bytes + m->n, bytes, n);
  m->n += n;
}

static void put_le(struct maker *m, uint64_t x, size_t bytes)
{
  for (size_t i = 0; i < bytes; i++) put(m, &(uint8_t){(uint8_t)(x >> (8 * i))}, 1);
}

static void put_string(struct maker *m, const char *s)
{
  put_le(m, strlen(s), 8);
  put(m, s, strlen(s));
}

static void put_head(struct maker *m, uint32_t version, uint64_t tensors, uint64_t pairs)
{
  m->n = 0;
  put(m, "GGUF", 4);
  put_le(m, version, 4);
  put_le(m, tensors, 8);
  put_le(m, pairs, 8);
}

static void put_key(struct maker *m, const char *key, enum gguf_type type)
{
  put_string(m, key);
  put_le(m, (uint64_t)type, 4);
}

static void put_u32(struct maker *m, const char *key, uint32_t x)
{
  put_key(m, key, GGUF_UINT32);
  put_le(m, x, 4);
}

static void put_f32(struct maker *m, const char *key, float x)
{
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  put_key(m, key, GGUF_FLOAT32);
  put_le(m, bits, 4);
}

static void put_text(struct maker *m, const char *key, const char *text)
{
  put_key(m, key, GGUF_STRING);
  put_string(m, text);
}

/* rows 0: a vector. */
static void put_tensor(struct maker *m, const char *name, uint64_t cols, uint64_t rows, uint32_t type, uint64_t *offset)
{
  uint32_t block = 1, bytes = 4;
  CHECK(gguf_block(type, &block, &bytes));
  put_string(m, name);
  put_le(m, rows ? 2 : 1, 4);
  put_le(m, cols, 8);
  if (rows) put_le(m, rows, 8);
  put_le(m, type, 4);
  put_le(m, *offset, 8);
  *offset += (cols * (rows ? rows : 1) / block * bytes + 31) / 32 * 32;
}

static void pad(struct maker *m)
{
  while (m->n % 32) put_le(m, 0, 1);
}

static void put_reals(struct maker *m, const float *x, size_t n)
{
  for (size_t i = 0; i < n; i++) {
    uint32_t bits;
    memcpy(&bits, x + i, sizeof bits);
    put_le(m, bits, 4);
  }
  pad(m);
}

static struct maker made;

/* ---- metadata -------------------------------------------------------------------------------------------- */

static void test_metadata(void **state)
{
  (void)state;
  struct error err = {0};
  struct gguf *g;
  put_head(&made, 2, 0, 6);
  put_u32(&made, "a.u32", 4000000000u);
  put_key(&made, "a.i16", GGUF_INT16);
  put_le(&made, 0xfffe, 2);
  put_key(&made, "a.u64", GGUF_UINT64);
  put_le(&made, UINT64_MAX, 8);
  put_text(&made, "a.text", "words");
  put_key(&made, "a.list", GGUF_ARRAY);
  put_le(&made, GGUF_STRING, 4);
  put_le(&made, 2, 8);
  put_string(&made, "");
  put_string(&made, "b");
  put_f32(&made, "a.real", 0.25f);
  CHECK_OK(gguf_parse(test_arena, made.bytes, made.n, "x", &g, &err), &err);

  int64_t i;
  double f;
  bool b;
  struct gguf_string s;
  const struct gguf_array *array;
  CHECK_OK(gguf_get_int(g, "a.u32", 0, UINT32_MAX, 0, &i, &err), &err);
  CHECK_INT(i, 4000000000);
  CHECK_OK(gguf_get_int(g, "a.i16", -5, 5, 0, &i, &err), &err);
  CHECK_INT(i, -2);
  CHECK_OK(gguf_get_int(g, "absent", 0, 5, 77, &i, &err), &err);
  CHECK_INT(i, 77);
  CHECK_OK(gguf_get_real(g, "a.real", 1, &f, &err), &err);
  CHECK_CLOSE(f, 0.25, 0, "exact in f32");
  CHECK_OK(gguf_get_bool(g, "absent", true, &b, &err), &err);
  CHECK(b);
  CHECK_OK(gguf_get_string(g, "a.text", &s, &err), &err);
  CHECK(gguf_string_is(s, "words") && !gguf_string_is(s, "word"));
  CHECK_OK(gguf_get_string(g, "absent", &s, &err), &err);
  CHECK(s.bytes == NULL);
  CHECK_OK(gguf_get_array(g, "a.list", GGUF_STRING, &array, &err), &err);
  CHECK_INT(array->count, 2);
  CHECK(array->strings[0].size == 0 && gguf_string_is(array->strings[1], "b"));

  CHECK_ERROR(gguf_get_int(g, "a.u64", 0, INT64_MAX, 0, &i, &err), &err, ERROR_INPUT, "a.u64 is out of range");
  error_clear(&err);
  CHECK_ERROR(gguf_get_int(g, "a.u32", 0, 10, 0, &i, &err), &err, ERROR_INPUT, "out of range; expected 0 to 10");
  error_clear(&err);
  CHECK_ERROR(gguf_get_int(g, "a.text", 0, 10, 0, &i, &err), &err, ERROR_INPUT,
              "a.text is a string; expected an integer");
  error_clear(&err);
  CHECK_ERROR(gguf_need_int(g, "absent", 0, 10, &i, &err), &err, ERROR_INPUT, "the key absent is missing");
  error_clear(&err);
  CHECK_ERROR(gguf_get_bool(g, "a.u32", true, &b, &err), &err, ERROR_INPUT, "expected a bool");
  error_clear(&err);
  CHECK_ERROR(gguf_get_array(g, "a.list", GGUF_FLOAT32, &array, &err), &err, ERROR_INPUT,
              "an array of string; expected an array of float32");
  arena_reset(test_arena);
}

static void test_blocks(void **state)
{
  (void)state;
  struct error err = {0};
  struct gguf *g;
  uint64_t offset = 0;
  put_head(&made, 3, 3, 0);
  put_tensor(&made, "q8", 32, 1, GGUF_Q8_0, &offset);
  put_tensor(&made, "q40", 32, 1, GGUF_Q4_0, &offset);
  put_tensor(&made, "q41", 32, 1, GGUF_Q4_1, &offset);
  pad(&made);
  uint16_t d = math_f16_from_f32(0.1f), min = math_f16_from_f32(-1.5f);
  put_le(&made, d, 2);
  for (int i = 0; i < 32; i++) put_le(&made, (uint64_t)(i * 8 - 128), 1);
  pad(&made);
  put_le(&made, d, 2);
  for (int i = 0; i < 16; i++) put_le(&made, (uint64_t)(i | (15 - i) << 4), 1);
  pad(&made);
  put_le(&made, d, 2);
  put_le(&made, min, 2);
  for (int i = 0; i < 16; i++) put_le(&made, (uint64_t)(i | (15 - i) << 4), 1);
  pad(&made);
  CHECK_OK(gguf_parse(test_arena, made.bytes, made.n, "x", &g, &err), &err);

  float scale = math_f32_from_f16(d), got[3][32];
  const char *const names[] = {"q8", "q40", "q41"};
  for (int i = 0; i < 3; i++) gguf_read_f32(gguf_find_tensor(g, names[i]), 0, 32, got[i]);
  for (int i = 0; i < 32; i++) {
    int q = i < 16 ? i : 31 - i;
    volatile float product = (float)q * scale; /* rounded by itself: no fused multiply-add */
    float want[3] = {(float)(i * 8 - 128) * scale, (float)(q - 8) * scale, product + -1.5f};
    for (int t = 0; t < 3; t++) CHECK_BITS(&got[t][i], &want[t], 4);
  }
  arena_reset(test_arena);
}

/* ---- a model ------------------------------------------------------------------------------------------------ */

enum { VOCAB = 5, HIDDEN = 4, HEADS = 2, KV_HEADS = 1, DIM = 4, FFN = 6 };

/* What a test changes in the good file. */
struct change {
  const char *arch, *key, *text; /* key: a pair more, of text if that is set, else of value */
  uint32_t value;
  const char *tensor;      /* a tensor more, of four values */
  const char *rename, *to; /* a tensor under another name */
  uint32_t embed_type;
};

static const char *tensor_name(const struct change *c, const char *name)
{
  return c->rename && !strcmp(c->rename, name) ? c->to : name;
}

/* A llama of one layer. Row r of every matrix holds the numbers r + column / 16, each tensor from its own hundred. */
static void make_llama(const struct change *c)
{
  static const struct {
    const char *name;
    uint32_t cols, rows;
  } tensors[] = {
      {"token_embd.weight", HIDDEN, VOCAB},
      {"blk.0.attn_norm.weight", HIDDEN, 0},
      {"blk.0.attn_q.weight", HIDDEN, HEADS * DIM},
      {"blk.0.attn_k.weight", HIDDEN, KV_HEADS * DIM},
      {"blk.0.attn_v.weight", HIDDEN, KV_HEADS * DIM},
      {"blk.0.attn_output.weight", HEADS * DIM, HIDDEN},
      {"blk.0.ffn_norm.weight", HIDDEN, 0},
      {"blk.0.ffn_gate.weight", HIDDEN, FFN},
      {"blk.0.ffn_up.weight", HIDDEN, FFN},
      {"blk.0.ffn_down.weight", FFN, HIDDEN},
      {"output_norm.weight", HIDDEN, 0},
  };
  enum { TENSORS = sizeof tensors / sizeof tensors[0] };
  const char *arch = c->arch ? c->arch : "llama";
  static const struct {
    const char *key;
    uint32_t value;
  } sizes[] = {{"block_count", 1},
               {"context_length", 32},
               {"embedding_length", HIDDEN},
               {"feed_forward_length", FFN},
               {"attention.head_count", HEADS},
               {"attention.head_count_kv", KV_HEADS},
               {"attention.key_length", DIM},
               {"attention.value_length", DIM}};
  put_head(&made, 3, TENSORS + (c->tensor != NULL), 12 + (c->key != NULL));
  put_text(&made, "general.architecture", arch);
  for (int i = 0; i < 8; i++) {
    char key[64];
    snprintf(key, sizeof key, "%s.%s", arch, sizes[i].key);
    put_u32(&made, key, sizes[i].value);
  }
  put_f32(&made, "llama.attention.layer_norm_rms_epsilon", 1e-5f);
  put_u32(&made, "tokenizer.ggml.eos_token_id", 2);
  put_u32(&made, "tokenizer.ggml.eot_token_id", 3);
  if (c->key && c->text) put_text(&made, c->key, c->text);
  if (c->key && !c->text) put_u32(&made, c->key, c->value);

  uint64_t offset = 0;
  for (int i = 0; i < TENSORS; i++)
    put_tensor(&made, tensor_name(c, tensors[i].name), tensors[i].cols, tensors[i].rows, i ? 0 : c->embed_type,
               &offset);
  if (c->tensor) put_tensor(&made, c->tensor, 4, 0, 0, &offset);
  pad(&made);
  for (int i = 0; i < TENSORS + (c->tensor != NULL); i++) {
    float values[64];
    uint32_t cols = i < TENSORS ? tensors[i].cols : 4, rows = i < TENSORS && tensors[i].rows ? tensors[i].rows : 1;
    for (uint32_t j = 0; j < rows * cols; j++)
      values[j] = (float)(100 * i) + (float)(j / cols) + (float)(j % cols) / 16;
    put_reals(&made, values, (size_t)rows * cols);
  }
}

static const char *write_made(void)
{
  struct error err = {0};
  struct file_writer *w;
  const char *path = path_join(test_arena, fresh_folder("model_gguf"), "llama.gguf", &err);
  CHECK_OK(file_writer_open(test_arena, path, &w, &err), &err);
  CHECK_OK(file_writer_write(w, made.bytes, made.n, &err), &err);
  CHECK_OK(file_writer_commit(w, &err), &err);
  return path;
}

static void check_rows(const struct weight *w, float base, const int *rows, size_t n)
{
  float got[16];
  CHECK_INT(weight_rows(w), n);
  for (size_t r = 0; r < n; r++) {
    weight_read(w, WEIGHT_MASTER, r, 1, got, HOST_F32);
    for (size_t k = 0; k < weight_cols(w); k++) {
      float want = base + (float)rows[r] + (float)k / 16;
      CHECK_BITS(&got[k], &want, 4);
    }
  }
}

static void test_llama(void **state)
{
  (void)state;
  struct error err = {0};
  struct model_source source;
  struct model *m;
  make_llama(&(struct change){0});
  CHECK_OK(load_model(write_made(), &source, &m, &err), &err);
  CHECK(m->config.tied && m->config.head_dim == DIM && m->config.vocab == VOCAB && m->config.max_positions == 32);
  CHECK_CLOSE(m->config.norm_eps, 1e-5, 0, "the shortest decimal of the f32 is what was meant");
  CHECK_CLOSE(m->config.rope_theta, 10000, 0, "the default");
  CHECK_INT(source.end_id_count, 2);
  CHECK(source.end_ids[0] == 2 && source.end_ids[1] == 3);
  /* Halves 0 1 | 2 3 of a head are stored 0 2 1 3. */
  check_rows(m->layer[0].q, 200, (const int[]){0, 2, 1, 3, 4, 6, 5, 7}, 8);
  check_rows(m->layer[0].k, 300, (const int[]){0, 2, 1, 3}, 4);
  check_rows(m->layer[0].v, 400, (const int[]){0, 1, 2, 3}, 4);
  check_rows(m->layer[0].o, 500, (const int[]){0, 1, 2, 3}, 4);
  float norm[4], want[4] = {1000, 1000.0625f, 1000.125f, 1000.1875f};
  weight_read(m->norm, WEIGHT_MASTER, 0, 4, norm, HOST_F32);
  CHECK_BITS(norm, want, sizeof want);

  /* Through a folder and back: the same weights. */
  char first[65], second[65];
  const char *folder = fresh_folder("model_gguf_folder");
  CHECK_OK(model_hash(m, first, &err), &err);
  CHECK_OK(model_save(m, &source, folder, SAVE_F32, &err), &err);
  CHECK_OK(load_model(folder, &source, &m, &err), &err);
  CHECK_OK(model_hash(m, second, &err), &err);
  CHECK_STR(second, first);
  CHECK_INT(source.end_id_count, 2);
  arena_reset(test_arena);
}

static void test_refusals(void **state)
{
  (void)state;
  static const struct {
    struct change change;
    const char *part;
  } wrong[] = {
      {{.arch = "mamba"}, "\"mamba\" is not supported; nearest is llama, but this one has state-space layers"},
      {{.key = "llama.rope.scaling.type", .text = "ntk"}, "rope scaling \"ntk\" is not supported"},
      {{.key = "llama.expert_count", .value = 8}, "a mixture of 8 experts"},
      {{.key = "llama.logit_scale", .value = 8}, "the option llama.logit_scale is not known and may change the result"},
      {{.key = "llama.rope.dimension_count", .value = 2}, "2 rotated dimensions; supported are equal ones"},
      {{.key = "llama.attention.sliding_window", .value = 8}, "a sliding window of 8 is not supported in GGUF"},
      {{.key = "llama.vocab_size", .value = 6}, "the configuration asks for 4 x 6"},
      {{.key = "split.count", .value = 2}, "part 1 of a model in 2 files; expected the first"},
      {{.tensor = "rope_freqs.weight"}, "rope_freqs.weight"},
      {{.tensor = "blk.0.attn_q_norm.weight"}, "\"blk.0.attn_q_norm.weight\" has no place in a model"},
      {{.tensor = "blk.1.ffn_norm.weight"}, "\"blk.1.ffn_norm.weight\" has no place in a model"},
      {{.tensor = "blk.0.attn_q.bias"}, "the biases of this file are not those of architecture \"llama\""},
      {{.rename = "blk.0.ffn_up.weight", .to = "blk.0.ffn_upp.weight"}, "\"blk.0.ffn_up.weight\" is missing"},
      {{.rename = "token_embd.weight", .to = "embd.weight"}, "token_embd.weight is missing"},
      {{.embed_type = 26}, "\"token_embd.weight\" is of type I32, which is not supported; supported are F32, F16"},
  };
  for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
    struct error err = {0};
    struct model_source source;
    struct model *m;
    print_message("%s\n", wrong[i].part);
    make_llama(&wrong[i].change);
    CHECK_ERROR(load_model(write_made(), &source, &m, &err), &err, ERROR_INPUT, wrong[i].part);
    CHECK_STR(path_base(err.file), "llama.gguf");
    arena_reset(test_arena);
  }
}

/* Cut at every byte, the file is refused; the data's padding at the very end may be missing. */
static void test_truncated(void **state)
{
  (void)state;
  struct error err = {0};
  struct gguf *g;
  make_llama(&(struct change){0});
  size_t needed = made.n - 16; /* the last tensor has 16 bytes, and 16 of padding behind it */
  for (size_t cut = 0; cut <= made.n; cut++) {
    struct arena *a = arena_create("cut", 0, &err);
    uint8_t *exact = memory_alloc(cut ? cut : 1, 1, "test", &err); /* so that ASan sees a read behind the end */
    memcpy(exact, made.bytes, cut);
    error_clear(&err);
    int rc = gguf_parse(a, exact, cut, "x", &g, &err);
    if (cut < needed) {
      CHECK_ERROR(rc, &err, ERROR_INPUT, " ");
      CHECK_STR(err.file, "x");
    } else {
      CHECK_OK(rc, &err);
    }
    memory_free(exact);
    arena_destroy(a);
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_metadata), cmocka_unit_test(test_blocks),
                                     cmocka_unit_test(test_refusals), cmocka_unit_test(test_truncated),
                                     cmocka_unit_test(test_llama)};
  return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
