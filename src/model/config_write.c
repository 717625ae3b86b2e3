/* config.json and generation_config.json, written in a spelling that transformers 4 and 5 read. */
#include "model/config_parts.h"

void config_put_key(struct text *t, const char *key)
{
  text_printf(t, ",\n  \"%s\": ", key);
}

void config_put_flag(struct text *t, const char *key, bool value)
{
  config_put_key(t, key);
  text_puts(t, value ? "true" : "false");
}

void config_put_number(struct text *t, const char *key, int value)
{
  config_put_key(t, key);
  json_put_int(t, value);
}

void config_put_real(struct text *t, const char *key, double value)
{
  config_put_key(t, key);
  json_put_f64(t, value);
}

static void put_string(struct text *t, const char *key, const char *value)
{
  config_put_key(t, key);
  text_printf(t, "\"%s\"", value);
}

static void put_id(struct text *t, const char *key, int id)
{
  config_put_key(t, key);
  if (id < 0) {
    text_puts(t, "null");
  } else {
    json_put_int(t, id);
  }
}

static void put_end_ids(struct text *t, const struct model_config *c, const int *ids, size_t count)
{
  if (count < 2) {
    put_id(t, "eos_token_id", count ? ids[0] : c->eos);
    return;
  }
  config_put_key(t, "eos_token_id");
  for (size_t i = 0; i < count; i++) text_printf(t, "%s%d", i ? ", " : "[", ids[i]);
  text_puts(t, "]");
}

static void put_cap(struct text *t, const char *key, double cap)
{
  if (cap > 0) {
    config_put_real(t, key, cap);
  } else {
    config_put_key(t, key);
    text_puts(t, "null");
  }
}

static void put_scales(struct text *t, const struct model_config *c, const struct model_family *f)
{
  if (f->multipliers) {
    config_put_real(t, "embedding_multiplier", c->embed_scale > 0 ? c->embed_scale : 1);
    config_put_real(t, "residual_multiplier", c->residual_scale > 0 ? c->residual_scale : 1);
    config_put_real(t, "logits_scaling", c->logit_divisor > 0 ? c->logit_divisor : 1);
    config_put_real(t, "attention_multiplier", c->attention_scale);
  }
  if (!f->gemma) return;
  // an integer in all models: the nearest one is what was read
  config_put_number(t, "query_pre_attn_scalar", (int)(1 / (c->attention_scale * c->attention_scale) + 0.5));
  put_cap(t, "attn_logit_softcapping", c->attention_cap);
  put_cap(t, "final_logit_softcapping", c->logit_cap);
}

void model_config_put(struct text *t, const struct model_config *c, const int *end_ids, size_t end_id_count,
                      const char *dtype)
{
  const struct model_family *f = model_family_find(c->model_type);
  ASSAY_BUG_IF(!f);
  text_printf(t, "{\n  \"architectures\": [\"%s\"],\n  \"model_type\": \"%s\"", c->architecture, c->model_type);
  config_put_number(t, "vocab_size", c->vocab);
  config_put_number(t, "hidden_size", c->hidden);
  config_put_number(t, "intermediate_size", c->ffn);
  config_put_number(t, "num_hidden_layers", c->layers);
  config_put_number(t, "num_attention_heads", c->heads);
  config_put_number(t, "num_key_value_heads", c->kv_heads);
  config_put_number(t, "head_dim", c->head_dim);
  put_string(t, "hidden_act", f->gemma ? "gelu_pytorch_tanh" : "silu");
  if (f->gemma) put_string(t, "hidden_activation", "gelu_pytorch_tanh");
  config_put_real(t, "rms_norm_eps", c->norm_eps);
  config_put_rope(t, c, f);
  if (f->attention_bias) config_put_flag(t, "attention_bias", c->o_bias);
  if (f->mlp_bias) config_put_flag(t, "mlp_bias", c->mlp_bias);
  put_scales(t, c, f);
  config_put_layers(t, c, f);
  config_put_flag(t, "tie_word_embeddings", c->tied);
  put_id(t, "bos_token_id", c->bos);
  put_end_ids(t, c, end_ids, end_id_count);
  put_id(t, "pad_token_id", c->scores && c->pad < 0 ? c->eos : c->pad);  // transformers wants one to score a batch
  if (c->scores) text_puts(t, ",\n  \"id2label\": {\"0\": \"LABEL_0\"},\n  \"label2id\": {\"LABEL_0\": 0}");
  put_string(t, "torch_dtype", dtype);
  text_puts(t, ",\n  \"use_cache\": true\n}\n");
}

void model_generation_config_put(struct text *t, const struct model_config *c, const int *end_ids, size_t end_id_count)
{
  text_puts(t, "{\n  \"_from_model_config\": true");
  if (c->bos >= 0) put_id(t, "bos_token_id", c->bos);
  if (c->eos >= 0 || end_id_count) put_end_ids(t, c, end_ids, end_id_count);
  if (c->pad >= 0) put_id(t, "pad_token_id", c->pad);
  text_puts(t, "\n}\n");
}
