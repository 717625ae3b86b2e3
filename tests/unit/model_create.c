/* Creation of a model without any file: the list of weights, counts, rotary table, first values, and what a
 * configuration may not say. */
#include "model_fixture.h"

#include <math.h>

#include "model/config.h"
#include "model/layout.h"

static struct model_config small_config(void)
{
  struct model_config c = {.architecture = "LlamaForCausalLM",
                           .model_type = "llama",
                           .vocab = 11,
                           .hidden = 8,
                           .layers = 2,
                           .heads = 4,
                           .kv_heads = 2,
                           .head_dim = 6,
                           .ffn = 10,
                           .max_positions = 100,
                           .norm_eps = 1e-5,
                           .rope_theta = 10000,
                           .bos = 1,
                           .eos = 2,
                           .pad = -1};
  return c;
}

static void test_weights(void **state)
{
  (void)state;
  struct error err = {0};
  struct model_config c = small_config();
  struct model *m;
  CHECK_OK(model_create(test_arena, test_device, &c, 100, &m, &err), &err);
  CHECK_INT(m->weight_count, 3 + 2 * 9);
  for (size_t i = 1; i < m->weight_count; i++)
    CHECK(strcmp(weight_name(m->weights[i - 1]), weight_name(m->weights[i])) < 0);
  CHECK(model_find(m, "lm_head.weight") == m->head && m->head != m->embed);
  CHECK(model_find(m, "model.layers.1.mlp.down_proj.weight") == m->layer[1].down);
  CHECK(model_find(m, "model.layers.2.mlp.down_proj.weight") == NULL);
  CHECK(m->layer[0].q_bias == NULL && m->layer[0].q_norm == NULL && m->layer[0].gate_bias == NULL);
  CHECK_INT(weight_rows(m->layer[0].q), 24);
  CHECK_INT(weight_cols(m->layer[0].q), 8);
  CHECK_INT(weight_rows(m->layer[0].k), 12);
  CHECK_INT(weight_rows(m->layer[0].o), 8);
  CHECK_INT(weight_cols(m->layer[0].o), 24);
  CHECK_INT(weight_cols(m->layer[0].attn_norm), 1);
  /* By hand: embedding and head 2 * 88, last norm 8; a layer: norms 16, q and o 2 * 192, k and v 2 * 96, MLP 3 * 80. */
  CHECK_INT(model_parameters(&c), 176 + 8 + 2 * (16 + 384 + 192 + 240));
  CHECK(model_part_bytes(&c, 4) >= 4 * model_parameters(&c));
  arena_reset(test_arena);
}

static void test_options(void **state)
{
  (void)state;
  struct error err = {0};
  struct model_config c = small_config();
  struct model *m;
  c.qkv_bias = c.o_bias = c.mlp_bias = c.qk_norm = c.tied = true;
  CHECK_OK(model_create(test_arena, test_device, &c, 1, &m, &err), &err);
  CHECK_INT(m->weight_count, 2 + 2 * 18);
  CHECK(m->head == m->embed && !model_find(m, "lm_head.weight"));
  CHECK_INT(weight_rows(m->layer[1].q_norm), 6);
  CHECK_INT(weight_rows(m->layer[1].k_bias), 12);
  CHECK_INT(weight_rows(m->layer[1].up_bias), 10);
  CHECK_INT(model_parameters(&c), 88 + 8 + 2 * (16 + 384 + 192 + 240 + 24 + 24 + 8 + 12 + 20 + 8));
  arena_reset(test_arena);
}

/* The list's names are distinct in both formats. */
static void test_names(void **state)
{
  (void)state;
  struct model_config c = small_config();
  c.qkv_bias = c.o_bias = c.mlp_bias = c.qk_norm = true;
  size_t count = model_tensor_count(&c);
  CHECK_INT(count, 3 + 2 * 18);
  for (size_t i = 0; i < count; i++) {
    for (size_t j = 0; j < i; j++) {
      struct model_tensor a, b;
      model_tensor_at(&c, i, &a);
      model_tensor_at(&c, j, &b);
      CHECK(strcmp(a.name, b.name) && strcmp(a.gguf_name, b.gguf_name));
      CHECK(a.layer != b.layer || a.layer < 0 || a.slot != b.slot);
    }
  }
}

static void test_rope(void **state)
{
  (void)state;
  struct error err = {0};
  struct model_config c = small_config();
  struct model *m;
  double table[100][3][2];
  CHECK_OK(model_create(test_arena, test_device, &c, 100, &m, &err), &err);
  struct view whole = {m->rope, 0};
  buffer_read(test_device, whole, table, HOST_F64, 600);
  for (int p = 0; p < 100; p++) {
    for (int i = 0; i < 3; i++) {
      double angle = p * pow(10000, -2.0 * i / 6);
      const char *why = "one rounding to f32 of a number <= 1 (2^-25) on top of f64 errors";
      CHECK_CLOSE(table[p][i][0], cos(angle), 3.1e-8, why);
      CHECK_CLOSE(table[p][i][1], sin(angle), 3.1e-8, why);
    }
  }
  arena_reset(test_arena);
}

static void test_randomise(void **state)
{
  (void)state;
  struct error err = {0};
  struct model_config c = small_config();
  struct model *m;
  char first[65], again[65], other[65];
  c.qkv_bias = true;
  c.hidden = 128;
  c.head_dim = 32;
  CHECK_OK(model_create(test_arena, test_device, &c, 1, &m, &err), &err);
  CHECK_OK(model_randomise(m, 7, &err), &err);
  CHECK_OK(model_hash(m, first, &err), &err);
  CHECK_OK(model_randomise(m, 8, &err), &err);
  CHECK_OK(model_hash(m, other, &err), &err);
  CHECK_OK(model_randomise(m, 7, &err), &err);
  CHECK_OK(model_hash(m, again, &err), &err);
  CHECK_STR(first, again);
  CHECK(strcmp(first, other) != 0);

  float values[128 * 128], one = 1, zero = 0;
  weight_read(m->layer[0].q, WEIGHT_MASTER, 0, 128, values, HOST_F32);
  double sum = 0, squares = 0;
  for (int i = 0; i < 128 * 128; i++) {
    sum += (double)values[i];
    squares += (double)values[i] * (double)values[i];
  }
  CHECK_CLOSE(sum / 16384, 0, 0.0008, "five standard errors of a mean of 16384 numbers of deviation 0.02");
  CHECK_CLOSE(sqrt(squares / 16384), 0.02, 0.0006, "five standard errors of a deviation: 0.02 / sqrt(2 n)");
  weight_read(m->layer[1].attn_norm, WEIGHT_MASTER, 127, 1, values, HOST_F32);
  CHECK_BITS(values, &one, 4);
  weight_read(m->layer[1].v_bias, WEIGHT_MASTER, 63, 1, values, HOST_F32);
  CHECK_BITS(values, &zero, 4);

  CHECK_OK(model_make_trainable(m, &err), &err);
  values[0] = 5;
  weight_read(m->embed, WEIGHT_MOMENT2, 0, 1, values, HOST_F32);
  CHECK_BITS(values, &zero, 4);
  arena_reset(test_arena);
}

static void test_refusals(void **state)
{
  (void)state;
  struct error err = {0};
  struct model *m;
  static const struct {
    const char *part;
    size_t at;
    int value;
  } wrong[] = {
      {"vocab_size is 0", offsetof(struct model_config, vocab), 0},
      {"hidden_size is -8", offsetof(struct model_config, hidden), -8},
      {"num_hidden_layers is 1025", offsetof(struct model_config, layers), 1025},
      {"4 query heads cannot share 3", offsetof(struct model_config, kv_heads), 3},
      {"head_dim is 5; expected an even number", offsetof(struct model_config, head_dim), 5},
      {"intermediate_size is 1", offsetof(struct model_config, ffn), 1},
      {"max_position_embeddings is 0", offsetof(struct model_config, max_positions), 0},
      {"sliding_window is -1", offsetof(struct model_config, window), -1},
      {"5 of a head's 6 numbers are rotated", offsetof(struct model_config, rotary), 5},
      {"eos_token_id is -2", offsetof(struct model_config, eos), -2},
  };
  for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
    struct model_config c = small_config();
    memcpy((char *)&c + wrong[i].at, &wrong[i].value, sizeof(int));
    error_clear(&err);
    CHECK_ERROR(model_create(test_arena, test_device, &c, 1, &m, &err), &err, ERROR_INPUT, wrong[i].part);
  }
  struct model_config c = small_config();
  error_clear(&err);
  c.norm_eps = 0;
  CHECK_ERROR(model_config_check(&c, "f", &err), &err, ERROR_INPUT, "rms_norm_eps is 0");
  CHECK_STR(err.file, "f");
  c = small_config();
  error_clear(&err);
  c.rope_theta = (double)NAN;
  CHECK_ERROR(model_config_check(&c, NULL, &err), &err, ERROR_INPUT, "rope_theta is");
  c = small_config();
  error_clear(&err);
  CHECK_ERROR(model_create(test_arena, test_device, &c, 101, &m, &err), &err, ERROR_INPUT, "101 positions asked for");
  arena_reset(test_arena);
}

/* The f64 device holds the table unrounded. */
static void test_reference64(void **state)
{
  (void)state;
  struct error err = {0};
  struct device *d;
  struct device_options options = {.kind = "reference64", .threads = 1};
  struct model_config c = small_config();
  struct model *m;
  double pair[2];
  CHECK_OK(device_open(&options, &d, &err), &err);
  CHECK_OK(model_create(test_arena, d, &c, 100, &m, &err), &err);
  struct view at = {m->rope, 99 * 6 + 2};
  buffer_read(d, at, pair, HOST_F64, 2);
  double angle = 99 * pow(10000, -2.0 / 6);
  CHECK_CLOSE(pair[0], cos(angle), 4e-15, "angle of size 5 known to 1 ulp (4.4e-16 relative), cosine to 1 ulp");
  CHECK_CLOSE(pair[1], sin(angle), 4e-15, "angle of size 5 known to 1 ulp (4.4e-16 relative), sine to 1 ulp");
  arena_reset(test_arena);
  device_close(d);
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_weights),    cmocka_unit_test(test_options),
                                     cmocka_unit_test(test_names),      cmocka_unit_test(test_rope),
                                     cmocka_unit_test(test_randomise),  cmocka_unit_test(test_refusals),
                                     cmocka_unit_test(test_reference64)};
  return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
