/* config.json: both spellings, defaults of the families, and every option that is refused and not ignored. */
#include "model_fixture.h"

#include "core/json.h"
#include "model/config.h"

/* The required sizes; a test adds members behind them. */
#define BASE(type)                                                          \
  "{\"model_type\": \"" type                                                \
  "\", \"vocab_size\": 16, \"hidden_size\": 8, \"intermediate_size\": 12, " \
  "\"num_hidden_layers\": 2, \"num_attention_heads\": 2, \"num_key_value_heads\": 1"

static const char *folder;

static void write_file(const char *name, const char *text)
{
  struct error err = {0};
  struct file_writer *w;
  CHECK_OK(file_writer_open(test_arena, path_join(test_arena, folder, name, &err), &w, &err), &err);
  CHECK_OK(file_writer_write(w, text, strlen(text), &err), &err);
  CHECK_OK(file_writer_commit(w, &err), &err);
}

static int read_config(const char *text, struct model_config *c, struct error *err)
{
  write_file("config.json", text);
  error_clear(err);
  return model_config_read(test_arena, path_join(test_arena, folder, "config.json", err), c, err);
}

static int setup(void **state)
{
  fixture_setup(state);
  folder = strdup(fresh_folder("model_config"));
  return folder ? 0 : -1;
}

static int teardown(void **state)
{
  free((char *)folder);
  return fixture_teardown(state);
}

static void test_defaults(void **state)
{
  (void)state;
  struct error err = {0};
  struct model_config c;
  CHECK_OK(read_config(BASE("llama") "}", &c, &err), &err);
  CHECK_STR(c.architecture, "LlamaForCausalLM");
  CHECK_INT(c.head_dim, 4);
  CHECK_INT(c.max_positions, 2048);
  CHECK_CLOSE(c.norm_eps, 1e-6, 0, "a constant");
  CHECK_CLOSE(c.rope_theta, 10000, 0, "a constant");
  CHECK(!c.tied && !c.qkv_bias && !c.o_bias && !c.mlp_bias && !c.qk_norm && c.window == 0);
  CHECK(c.bos == -1 && c.eos == -1 && c.pad == -1);
  CHECK_OK(read_config(BASE("mistral") "}", &c, &err), &err);
  CHECK(c.window == 4096 && !layer_in(&c.full_layers, 0) && c.max_positions == 131072);
  CHECK_OK(read_config(BASE("mistral") ", \"sliding_window\": null}", &c, &err), &err);
  CHECK_INT(c.window, 0);
  CHECK_OK(read_config(BASE("qwen2") "}", &c, &err), &err);
  CHECK(c.qkv_bias && !c.o_bias && c.window == 0);
  CHECK_OK(read_config(BASE("qwen3") "}", &c, &err), &err);
  CHECK(!c.qkv_bias && c.qk_norm && c.head_dim == 128);
}

static void test_options(void **state)
{
  (void)state;
  struct error err = {0};
  struct model_config c;
  CHECK_OK(read_config(BASE("llama") ", \"attention_bias\": true, \"mlp_bias\": true, \"tie_word_embeddings\": true, "
                                     "\"hidden_act\": \"swish\", \"pad_token_id\": -1, \"eos_token_id\": [5, 7]}",
                       &c, &err),
           &err);
  CHECK(c.qkv_bias && c.o_bias && c.mlp_bias && c.tied);
  CHECK_INT(c.eos, 5);
  CHECK_OK(read_config(BASE("qwen3") ", \"attention_bias\": true}", &c, &err), &err);
  CHECK(c.qkv_bias && c.o_bias);
  CHECK_OK(read_config(BASE("qwen2") ", \"use_sliding_window\": true, \"sliding_window\": 4, \"max_window_layers\": 1}",
                       &c, &err),
           &err);
  CHECK(c.window == 4 && layer_in(&c.full_layers, 0) && !layer_in(&c.full_layers, 1));
  CHECK_OK(read_config(BASE("qwen2") ", \"use_sliding_window\": true, \"sliding_window\": 4, \"max_window_layers\": 2}",
                       &c, &err),
           &err);
  CHECK_INT(c.window, 0);
  CHECK_OK(read_config(BASE("qwen2") ", \"use_sliding_window\": true, \"sliding_window\": 4, \"max_window_layers\": 0, "
                                     "\"layer_types\": [\"full_attention\", \"sliding_attention\"]}",
                       &c, &err),
           &err);
  CHECK(c.window == 4 && layer_in(&c.full_layers, 0) && !layer_in(&c.full_layers, 1));
  CHECK_OK(read_config(BASE("llama") ", \"rope_theta\": 500.0, \"rope_scaling\": {\"type\": \"default\"}}", &c, &err),
           &err);
  CHECK_CLOSE(c.rope_theta, 500, 0, "a constant");
  CHECK_OK(read_config(BASE("llama") ", \"rope_parameters\": {\"rope_type\": \"default\", \"rope_theta\": 600.0}}", &c,
                       &err),
           &err);
  CHECK_CLOSE(c.rope_theta, 600, 0, "a constant");
}

static const struct {
  const char *text, *part;
} wrong[] = {
    {"[]", "must hold one JSON object"},
    {"{}", "model_type"},
    {BASE("mixtral") "}",
     "model_type \"mixtral\" is not supported; nearest is mistral, but this one has a mixture of experts"},
    {BASE("gemma3") "}", "nearest is gemma3_text, but this one has a vision tower"},
    {BASE("qwen9") "}", "model_type \"qwen9\" is not supported and not known here; nearest by name is qwen2"},
    {BASE("llama") ", \"architectures\": [\"LlamaForSequenceClassification\"]}", "found a classifier of 2 labels"},
    {BASE("llama") ", \"architectures\": []}", "architectures must be a list of one name"},
    {"{\"model_type\": \"llama\", \"vocab_size\": 16}", "hidden_size"},
    {BASE("llama") ", \"hidden_act\": \"gelu\"}",
     "hidden_act \"gelu\" is not supported for model_type \"llama\"; supported is \"silu\""},
    {BASE("llama") ", \"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 8.0}}", "low_freq_factor 0 and"},
    {BASE("llama") ", \"rope_scaling\": {\"type\": \"linear\"}}", "the factor of linear rope scaling is 0"},
    {BASE("llama") ", \"rope_scaling\": {\"type\": \"ntk\", \"factor\": 2.0}}",
     "rope_type \"ntk\" is not supported; supported are default, linear"},
    {BASE("phi3") ", \"rope_scaling\": {\"type\": \"longrope\", \"short_factor\": [1]}}",
     "short_factor must be a list of 2 numbers"},
    {BASE("gemma3_text") ", \"rope_parameters\": {\"full_attention\": {\"rope_type\": \"default\"}, "
                         "\"sliding_attention\": {\"rope_type\": \"linear\", \"factor\": 2.0}}}",
     "rope_type \"linear\" in sliding_attention"},
    {BASE("gemma2") ", \"hidden_activation\": \"gelu\"}", "hidden_activation \"gelu\" is not supported"},
    {BASE("smollm3") ", \"no_rope_layers\": [1]}", "no_rope_layers must be a list of 2 numbers"},
    {BASE("granite") ", \"logits_scaling\": 0.0}", "logits_scaling"},
    {BASE("llama") ", \"rope_scaling\": {\"factor\": 2.0}}", "rope_scaling has no rope_type"},
    {BASE("llama") ", \"rope_scaling\": 2}", "rope_scaling must be an object or null"},
    {BASE("llama") ", \"rope_theta\": 5.0, \"rope_parameters\": {\"rope_type\": \"default\", \"rope_theta\": 6.0}}",
     "rope_theta is 5, and 6 in rope_parameters"},
    {BASE("llama") ", \"rope_parameters\": {\"rope_type\": \"default\", \"partial_rotary_factor\": 0.5}}",
     "partial_rotary_factor"},
    {BASE("llama") ", \"partial_rotary_factor\": 0.5}", "partial_rotary_factor is set"},
    {BASE("llama") ", \"quantization_config\": {\"quant_method\": \"gptq\"}}", "quantization_config is set"},
    {BASE("llama") ", \"final_logit_softcapping\": 30.0}", "final_logit_softcapping is set"},
    {BASE("llama") ", \"num_local_experts\": 8}", "num_local_experts is set"},
    {BASE("llama") ", \"is_causal\": false}", "is_causal is false"},
    {BASE("llama") ", \"sliding_window\": 16}", "model_type \"llama\" has no sliding window"},
    {BASE("mistral") ", \"attention_bias\": true}", "attention_bias is true"},
    {BASE("qwen3") ", \"mlp_bias\": true}", "mlp_bias is true"},
    {BASE("qwen2") ", \"layer_types\": [\"full_attention\"]}", "layer_types must be a list of 2 names"},
    {BASE("qwen2") ", \"layer_types\": [\"full_attention\", \"linear_attention\"]}", "entry 1 of layer_types"},
    {BASE("qwen3") ", \"sliding_window\": null, \"layer_types\": [\"full_attention\", \"sliding_attention\"]}",
     "there is no sliding_window"},
    {BASE("mistral") ", \"sliding_window\": 4, \"layer_types\": [\"full_attention\", \"full_attention\"]}",
     "sliding window in every layer"},
    {BASE("llama") ", \"eos_token_id\": \"two\"}", "eos_token_id must be a token id"},
    {BASE("llama") ", \"rms_norm_eps\": \"1e-5\"}", "rms_norm_eps"},
    {BASE("llama") ", \"tie_word_embeddings\": 1}", "tie_word_embeddings"},
    {BASE("llama") ", \"head_dim\": 7}", "head_dim is 7; expected an even number"},
    {BASE("llama") ", \"max_position_embeddings\": 99999999999}", "max_position_embeddings"},
};

static void test_refusals(void **state)
{
  (void)state;
  struct model_config c;
  for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
    struct error err = {0};
    print_message("%s\n", wrong[i].part);
    int rc = read_config(wrong[i].text, &c, &err);
    CHECK_ERROR(rc, &err, ERROR_INPUT, wrong[i].part);
    CHECK_STR(path_base(err.file), "config.json");
  }
}

/* What is written reads back as the same configuration. */
static void test_round_trip(void **state)
{
  (void)state;
  static const char *const texts[] = {
      BASE("llama") ", \"rms_norm_eps\": 1e-05, \"rope_theta\": 1234567.25, \"attention_bias\": true, "
                    "\"eos_token_id\": 3}",
      BASE("mistral") ", \"sliding_window\": 4, \"head_dim\": 10, \"bos_token_id\": 1}",
      BASE("mistral") ", \"sliding_window\": null}",
      BASE("qwen2") ", \"use_sliding_window\": true, \"sliding_window\": 4, \"max_window_layers\": 1}",
      BASE("qwen3") ", \"tie_word_embeddings\": true, \"pad_token_id\": 0}",
      BASE("qwen2") ", \"sliding_window\": 4, \"use_sliding_window\": true, "
                    "\"layer_types\": [\"sliding_attention\", \"full_attention\"]}",
      BASE("llama") ", \"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 8.0, \"low_freq_factor\": 1.0, "
                    "\"high_freq_factor\": 4.0, \"original_max_position_embeddings\": 512}}",
      BASE("qwen3") ", \"rope_scaling\": {\"type\": \"yarn\", \"factor\": 4.0, \"beta_fast\": 16.0, "
                    "\"truncate\": false, \"original_max_position_embeddings\": 512}}",
      BASE("gemma2") ", \"query_pre_attn_scalar\": 144}",
      BASE("gemma2") ", \"attn_logit_softcapping\": null, \"final_logit_softcapping\": 7.5}",
      BASE("gemma3_text") ", \"rope_scaling\": {\"rope_type\": \"linear\", \"factor\": 8.0}, "
                          "\"sliding_window_pattern\": 2}",
      BASE("phi3") ", \"max_position_embeddings\": 4096, \"original_max_position_embeddings\": 1024, \"rope_scaling\": "
                   "{\"type\": \"su\", \"short_factor\": [1, 1.5], \"long_factor\": [2, 3.25]}}",
      BASE("phi3") ", \"head_dim\": 8, \"partial_rotary_factor\": 0.75, \"sliding_window\": 5}",
      BASE("granite") ", \"embedding_multiplier\": 12.0, \"residual_multiplier\": 0.22, \"attention_multiplier\": "
                      "0.015625, \"logits_scaling\": 8.0}",
      BASE("olmo2") "}",
      BASE("smollm3") ", \"no_rope_layers\": [0, 1]}",
  };
  for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
    struct error err = {0};
    struct model_config c, back;
    struct text t = {0};
    CHECK_OK(read_config(texts[i], &c, &err), &err);
    model_config_put(&t, &c, NULL, 0, "float32");
    CHECK_OK(text_finish(&t, &err), &err);
    CHECK_OK(read_config(t.bytes, &back, &err), &err);
    CHECK_BITS(&back, &c, sizeof c);
    text_free(&t);
  }
}

static void test_end_ids(void **state)
{
  (void)state;
  struct error err = {0};
  int *ids;
  size_t count;
  write_file("config.json", "{\"eos_token_id\": [5, 7]}");
  write_file("generation_config.json", "{\"eos_token_id\": [7, 9, 5]}");
  CHECK_OK(model_config_end_ids(test_arena, folder, &ids, &count, &err), &err);
  CHECK_INT(count, 3);
  CHECK(ids[0] == 5 && ids[1] == 7 && ids[2] == 9);
  write_file("config.json", "{\"eos_token_id\": null}");
  write_file("generation_config.json", "{\"eos_token_id\": 2}");
  CHECK_OK(model_config_end_ids(test_arena, folder, &ids, &count, &err), &err);
  CHECK_INT(count, 1);
  CHECK_INT(ids[0], 2);
  write_file("generation_config.json", "{\"eos_token_id\": [2.5]}");
  CHECK_ERROR(model_config_end_ids(test_arena, folder, &ids, &count, &err), &err, ERROR_INPUT, "eos_token_id must be");
  CHECK_STR(path_base(err.file), "generation_config.json");
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_defaults), cmocka_unit_test(test_options),
                                     cmocka_unit_test(test_refusals), cmocka_unit_test(test_round_trip),
                                     cmocka_unit_test(test_end_ids)};
  return cmocka_run_group_tests(tests, setup, teardown);
}
