/* The families, and what other ones differ in. */
#include <stdio.h>
#include <string.h>

#include "core/math.h"
#include "model/config.h"

static const struct model_family families[] = {
    {.model_type = "llama",
     .architecture = "LlamaForCausalLM",
     .gguf = "llama",
     .title = "Llama 2 and 3, SmolLM 1 and 2",
     .max_positions = 2048,
     .rope_theta = 1e4,
     .norm_eps = 1e-6,
     .attention_bias = true,
     .mlp_bias = true},
    {.model_type = "mistral",
     .architecture = "MistralForCausalLM",
     .title = "Mistral 7B, Nemo",
     .kv_heads = 8,
     .max_positions = 131072,
     .rope_theta = 1e4,
     .norm_eps = 1e-6,
     .window = WINDOW_ALL,
     .window_default = 4096},
    {.model_type = "smollm3",
     .architecture = "SmolLM3ForCausalLM",
     .gguf = "smollm3",
     .title = "SmolLM3",
     .kv_heads = 4,
     .max_positions = 32768,
     .rope_theta = 2e6,
     .norm_eps = 1e-6,
     .tied = true,
     .attention_bias = true,
     .mlp_bias = true,
     .nope = true,
     .window = WINDOW_NOPE},
    {.model_type = "qwen2",
     .architecture = "Qwen2ForCausalLM",
     .gguf = "qwen2",
     .title = "Qwen2, Qwen2.5",
     .kv_heads = 32,
     .max_positions = 32768,
     .rope_theta = 1e4,
     .norm_eps = 1e-6,
     .qkv_bias = true,
     .window = WINDOW_SWITCHED,
     .window_default = 4096},
    {.model_type = "qwen3",
     .architecture = "Qwen3ForCausalLM",
     .gguf = "qwen3",
     .title = "Qwen3",
     .kv_heads = 32,
     .head_dim = 128,
     .max_positions = 32768,
     .rope_theta = 1e4,
     .norm_eps = 1e-6,
     .attention_bias = true,
     .qk_norm = true,
     .window = WINDOW_SWITCHED,
     .window_default = 4096},
    {.model_type = "gemma2",
     .architecture = "Gemma2ForCausalLM",
     .gguf = "gemma2",
     .title = "Gemma 2",
     .kv_heads = 4,
     .head_dim = 256,
     .max_positions = 8192,
     .rope_theta = 1e4,
     .norm_eps = 1e-6,
     .tied = true,
     .attention_bias = true,
     .post_norm = true,
     .gemma = true,
     .caps = true,
     .window = WINDOW_PATTERN,
     .window_default = 4096,
     .window_pattern = 2},
    {.model_type = "gemma3_text",
     .architecture = "Gemma3ForCausalLM",
     .gguf = "gemma3",
     .title = "Gemma 3, text",
     .kv_heads = 4,
     .head_dim = 256,
     .max_positions = 131072,
     .rope_theta = 1e6,
     .norm_eps = 1e-6,
     .tied = true,
     .attention_bias = true,
     .qk_norm = true,
     .post_norm = true,
     .gemma = true,
     .window = WINDOW_PATTERN,
     .window_default = 4096,
     .window_pattern = 6,
     .rope_local_theta = 1e4},
    {.model_type = "phi3",
     .architecture = "Phi3ForCausalLM",
     .gguf = "phi3",
     .title = "Phi-3, Phi-3.5 mini, Phi-4 mini",
     .max_positions = 4096,
     .rope_theta = 1e4,
     .norm_eps = 1e-5,
     .fused = true,
     .window = WINDOW_ALL},
    {.model_type = "granite",
     .architecture = "GraniteForCausalLM",
     .gguf = "granite",
     .title = "Granite 3",
     .max_positions = 2048,
     .rope_theta = 1e4,
     .norm_eps = 1e-6,
     .attention_bias = true,
     .mlp_bias = true,
     .multipliers = true},
    {.model_type = "olmo2",
     .architecture = "Olmo2ForCausalLM",
     .gguf = "olmo2",
     .title = "OLMo 2",
     .max_positions = 2048,
     .rope_theta = 1e4,
     .norm_eps = 1e-5,
     .attention_bias = true,
     .qk_norm = true,
     .qk_norm_wide = true,
     .pre_norm_off = true,
     .post_norm = true},
};
enum { FAMILIES = sizeof families / sizeof families[0] };

/* What others have that no configuration of this decoder has. */
static const struct {
  const char *name, *nearest, *difference;
} others[] = {
    {"mixtral", "mistral", "a mixture of experts in place of the MLP"},
    {"mistral3", "mistral", "a vision tower beside the text model"},
    {"ministral", "mistral", "sliding and full layers that alternate"},
    {"ministral3", "mistral", "scaled queries and a vision tower"},
    {"llama4", "llama", "a mixture of experts, chunked attention and a vision tower"},
    {"llama4_text", "llama", "a mixture of experts and chunked attention"},
    {"mllama", "llama", "cross-attention to a vision tower"},
    {"qwen2_moe", "qwen2", "a mixture of experts in place of the MLP"},
    {"qwen2_vl", "qwen2", "rotary positions in three parts and a vision tower"},
    {"qwen2_5_vl", "qwen2", "rotary positions in three parts and a vision tower"},
    {"qwen3_moe", "qwen3", "a mixture of experts in place of the MLP"},
    {"qwen3_next", "qwen3", "linear attention in most layers and a mixture of experts"},
    {"qwen3_vl", "qwen3", "rotary positions in three parts and a vision tower"},
    {"qwen", "qwen2", "fused projections under other names"},
    {"gemma", "gemma2", "no norms behind the branches, no soft caps and no sliding windows"},
    {"gemma3", "gemma3_text", "a vision tower; its text model alone has model_type gemma3_text"},
    {"gemma3n", "gemma3_text", "embeddings by layer, alternating updates and shared keys and values"},
    {"gemma3n_text", "gemma3_text", "embeddings by layer, alternating updates and shared keys and values"},
    {"gemma4", "gemma3_text", "heads of two sizes and a vision tower"},
    {"phi", "phi3", "one LayerNorm for two parallel branches, and an MLP without a gate"},
    {"phimoe", "phi3", "LayerNorm and a mixture of experts"},
    {"phi2", "phi3", "one LayerNorm for two parallel branches, and an MLP without a gate"},
    {"phi4_multimodal", "phi3", "towers for pictures and sound"},
    {"granitemoe", "granite", "a mixture of experts in place of the MLP"},
    {"granitemoehybrid", "granite", "Mamba layers and a mixture of experts"},
    {"olmo", "olmo2", "LayerNorm without weights, before the branches"},
    {"olmo3", "olmo2", "sliding windows in three layers of four"},
    {"olmoe", "olmo2", "a mixture of experts in place of the MLP"},
    {"cohere", "llama", "LayerNorm for two parallel branches, interleaved rotary halves and scaled logits"},
    {"cohere2", "llama", "LayerNorm for two parallel branches, interleaved rotary halves and layers without positions"},
    {"deepseek_v2", "llama", "compressed keys and values, and a mixture of experts"},
    {"deepseek_v3", "llama", "compressed keys and values, and a mixture of experts"},
    {"deepseek2", "llama", "compressed keys and values, and a mixture of experts"},
    {"gpt_oss", "llama", "attention sinks and a mixture of experts"},
    {"gpt-oss", "llama", "attention sinks and a mixture of experts"},
    {"gpt2", "llama", "learned positions, LayerNorm and an MLP without a gate"},
    {"gpt_neo", "llama", "learned positions, LayerNorm and an MLP without a gate"},
    {"gpt_neox", "llama", "LayerNorm for two parallel branches, and an MLP without a gate"},
    {"gptneox", "llama", "LayerNorm for two parallel branches, and an MLP without a gate"},
    {"gptj", "llama", "LayerNorm, two parallel branches, and an MLP without a gate"},
    {"opt", "llama", "learned positions, LayerNorm and an MLP without a gate"},
    {"bloom", "llama", "ALiBi positions, LayerNorm and an MLP without a gate"},
    {"mpt", "llama", "ALiBi positions, LayerNorm and an MLP without a gate"},
    {"falcon", "llama", "LayerNorm, parallel branches, and an MLP without a gate"},
    {"starcoder2", "llama", "LayerNorm and an MLP without a gate"},
    {"stablelm", "llama", "LayerNorm in place of RMSNorm"},
    {"nemotron", "llama", "LayerNorm by 1 + w and an MLP without a gate"},
    {"minicpm", "granite", "its factors under other names"},
    {"minicpm3", "llama", "compressed keys and values"},
    {"internlm2", "llama", "fused projections under other names"},
    {"baichuan", "llama", "fused projections under other names, and ALiBi in its larger sizes"},
    {"chatglm", "llama", "rotary positions in half of a head, interleaved, and fused projections"},
    {"glm", "llama", "rotary positions in half of a head, interleaved"},
    {"glm4", "llama", "rotary positions in half of a head, interleaved, and four norms a layer"},
    {"exaone", "llama", "other names of the same weights"},
    {"exaone4", "qwen3", "norms behind the branches and layers without positions"},
    {"arcee", "llama", "an MLP without a gate"},
    {"helium", "llama", "interleaved rotary halves"},
    {"ernie4_5", "llama", "interleaved rotary halves"},
    {"seed_oss", "llama", "a bias on q, k and v but none on the output"},
    {"mamba", "llama", "state-space layers in place of attention"},
    {"mamba2", "llama", "state-space layers in place of attention"},
    {"jamba", "llama", "state-space layers and a mixture of experts"},
    {"rwkv", "llama", "recurrent layers in place of attention"},
    {"recurrent_gemma", "gemma2", "recurrent layers in most places"},
    {"lfm2", "llama", "convolutions in most layers"},
    {"bert", "llama", "attention to both sides: it does not generate"},
    {"roberta", "llama", "attention to both sides: it does not generate"},
    {"t5", "llama", "an encoder before the decoder"},
    {"bart", "llama", "an encoder before the decoder"},
    {"whisper", "llama", "an encoder of sound before the decoder"},
};

const struct model_family *model_family_at(size_t i)
{
  return i < FAMILIES ? &families[i] : NULL;
}

const struct model_family *model_family_find(const char *model_type)
{
  for (size_t i = 0; i < FAMILIES; i++)
    if (!strcmp(families[i].model_type, model_type)) return &families[i];
  return NULL;
}

const struct model_family *model_family_find_gguf(const char *architecture)
{
  for (size_t i = 0; i < FAMILIES; i++)
    if (families[i].gguf && !strcmp(families[i].gguf, architecture)) return &families[i];
  return NULL;
}

/* The family with the longest common beginning, for names that nobody knows. */
static const char *nearest_name(const char *name)
{
  const char *best = families[0].model_type;
  size_t most = 2;
  for (size_t i = 0; i < FAMILIES; i++) {
    size_t n = 0;
    while (name[n] && name[n] == families[i].model_type[n]) n++;
    if (n <= most) continue;
    most = n;
    best = families[i].model_type;
  }
  return best;
}

int model_family_refuse(const char *where, const char *key, const char *model_type, struct error *err)
{
  for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
    if (strcmp(others[i].name, model_type)) continue;
    FAIL_AT(err, ERROR_INPUT, where, 0, key,
            "%s \"%s\" is not supported; nearest is %s, but this one has %s; supported are " MODEL_FAMILIES, key,
            model_type, others[i].nearest, others[i].difference);
  }
  FAIL_AT(
      err, ERROR_INPUT, where, 0, key,
      "%s \"%.64s\" is not supported and not known here; nearest by name is %s, which this program will not assume; "
      "supported are " MODEL_FAMILIES,
      key, model_type, nearest_name(model_type));
}

void model_family_apply(const struct model_family *f, struct model_config *c)
{
  snprintf(c->architecture, sizeof c->architecture, "%s", f->architecture);
  snprintf(c->model_type, sizeof c->model_type, "%s", f->model_type);
  c->qkv_bias = f->qkv_bias;
  c->qk_norm = f->qk_norm;
  c->qk_norm_wide = f->qk_norm_wide;
  c->pre_norm_off = f->pre_norm_off;
  c->post_norm = f->post_norm;
  c->norm_plus_one = c->gelu = f->gemma;
  c->fused = f->fused;
  if (f->gemma) c->embed_scale = math_sqrt((double)c->hidden);
}
