/* A model's configuration from GGUF metadata. Every key under the architecture's name is either read here, known to be
 * harmless, or refused by name. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/json.h"
#include "model/config.h"
#include "model/open.h"

enum { MAX_ARCHITECTURE = 32 };

struct reader {
  const struct gguf *g;
  char arch[MAX_ARCHITECTURE];
};

/* "llama" and "block_count" to "llama.block_count". */
static const char *full_key(const struct reader *r, const char *key, char buffer[128])
{
  snprintf(buffer, 128, "%s.%s", r->arch, key);
  return buffer;
}

static int need_size(const struct reader *r, const char *key, int *out, struct error *err)
{
  char buffer[128];
  int64_t x;
  TRY(gguf_need_int(r->g, full_key(r, key, buffer), 1, INT_MAX, &x, err));
  *out = (int)x;
  return 0;
}

static int size_or(const struct reader *r, const char *key, int fallback, int *out, struct error *err)
{
  char buffer[128];
  int64_t x;
  TRY(gguf_get_int(r->g, full_key(r, key, buffer), 0, INT_MAX, fallback, &x, err));
  *out = (int)x;
  return 0;
}

/* The format stores f32 where config.json has a decimal: the shortest decimal of the f32 is what was meant (1e-5 and
   not 9.99999975e-06). */
static int meant_real(const struct reader *r, const char *key, double fallback, double *out, struct error *err)
{
  char buffer[128];
  TRY(gguf_get_real(r->g, full_key(r, key, buffer), fallback, out, err));
  const struct gguf_value *v = gguf_find(r->g, buffer);
  if (!v || v->type != GGUF_FLOAT32) return 0;
  struct text t = {0};
  json_put_f32(&t, (float)v->f);
  int rc = text_finish(&t, err);
  if (!rc && strcmp(t.bytes, "null")) *out = strtod(t.bytes, NULL);
  text_free(&t);
  return rc;
}

static int read_architecture(struct reader *r, struct model_config *c, struct error *err)
{
  struct gguf_string arch;
  TRY(gguf_get_string(r->g, "general.architecture", &arch, err));
  if (!arch.bytes)
    FAIL_AT(err, ERROR_INPUT, r->g->path, 0, "general.architecture", "the key general.architecture is missing");
  snprintf(r->arch, sizeof r->arch, "%.*s", arch.size < MAX_ARCHITECTURE ? (int)arch.size : 0, arch.bytes);
  const struct model_family *f = model_family_find(r->arch);
  if (!f || f->window == WINDOW_ALL)
    FAIL_AT(err, ERROR_INPUT, r->g->path, 0, "general.architecture",
            "architecture \"%.*s\" is not supported; supported in GGUF are llama, qwen2, qwen3",
            arch.size < 64 ? (int)arch.size : 64, arch.bytes);
  snprintf(c->architecture, sizeof c->architecture, "%s", f->architecture);
  snprintf(c->model_type, sizeof c->model_type, "%s", f->model_type);
  c->qk_norm = f->qk_norm;
  return 0;
}

static int refuse_unknown_keys(const struct reader *r, struct error *err)
{
  static const char *const known[] = {
      "block_count",
      "context_length",
      "embedding_length",
      "feed_forward_length",
      "attention.head_count",
      "attention.head_count_kv",
      "attention.key_length",
      "attention.value_length",
      "attention.layer_norm_rms_epsilon",
      "attention.sliding_window",
      "rope.freq_base",
      "rope.dimension_count",
      "rope.scaling.type",
      "rope.scaling.factor",
      "rope.scaling.original_context_length",
      "rope.scaling.finetuned",
      "vocab_size",
      "expert_count",
      "expert_used_count",
      "tensor_data_layout", /* says how the converter's input was laid out */
  };
  size_t prefix = strlen(r->arch);
  for (size_t i = 0; i < r->g->pair_count; i++) {
    const char *key = r->g->pairs[i].key;
    if (strncmp(key, r->arch, prefix) || key[prefix] != '.') continue;
    bool ok = false;
    for (size_t j = 0; j < sizeof known / sizeof known[0]; j++) ok = ok || !strcmp(key + prefix + 1, known[j]);
    if (!ok)
      FAIL_AT(
          err, ERROR_INPUT, r->g->path, 0, key,
          "the option %.200s is not known and may change the result; supported are plain llama, qwen2 and qwen3 models",
          key);
  }
  return 0;
}

/* Options that are supported at their neutral value only. */
static int refuse_options(const struct reader *r, const struct model_config *c, struct error *err)
{
  char key[128];
  struct gguf_string scaling;
  double factor;
  int value_length, rotated, window, experts;
  TRY(gguf_get_string(r->g, full_key(r, "rope.scaling.type", key), &scaling, err));
  if (scaling.bytes && !gguf_string_is(scaling, "none"))
    FAIL_AT(err, ERROR_INPUT, r->g->path, 0, key, "rope scaling \"%.*s\" is not supported; supported is none",
            scaling.size < 64 ? (int)scaling.size : 64, scaling.bytes);
  TRY(gguf_get_real(r->g, full_key(r, "rope.scaling.factor", key), 1, &factor, err));
  if (!scaling.bytes && (factor < 1 || factor > 1))
    FAIL_AT(err, ERROR_INPUT, r->g->path, 0, key, "rope scaling by %g is not supported; supported is none", factor);
  if (gguf_find_tensor(r->g, "rope_freqs.weight"))
    FAIL_AT(err, ERROR_INPUT, r->g->path, 0, "rope_freqs.weight",
            "the tensor rope_freqs.weight means rope scaling of the llama3 kind, which is not supported; supported is "
            "none");
  TRY(size_or(r, "expert_count", 0, &experts, err));
  if (experts)
    FAIL_AT(err, ERROR_INPUT, r->g->path, 0, "expert_count", "a mixture of %d experts is not supported", experts);
  TRY(size_or(r, "attention.value_length", c->head_dim, &value_length, err));
  TRY(size_or(r, "rope.dimension_count", c->head_dim, &rotated, err));
  if (value_length != c->head_dim || rotated != c->head_dim)
    FAIL_AT(err, ERROR_INPUT, r->g->path, 0, "attention.key_length",
            "heads of %d with values of %d and %d rotated dimensions; supported are equal ones", c->head_dim,
            value_length, rotated);
  TRY(size_or(r, "attention.sliding_window", 0, &window, err));
  if (window && window < c->max_positions)
    FAIL_AT(err, ERROR_INPUT, r->g->path, 0, "attention.sliding_window",
            "a sliding window of %d is not supported in GGUF; use the Hugging Face folder", window);
  return 0;
}

static int read_sizes(const struct reader *r, struct model_config *c, struct error *err)
{
  TRY(need_size(r, "block_count", &c->layers, err));
  TRY(need_size(r, "context_length", &c->max_positions, err));
  TRY(need_size(r, "embedding_length", &c->hidden, err));
  TRY(need_size(r, "feed_forward_length", &c->ffn, err));
  TRY(need_size(r, "attention.head_count", &c->heads, err));
  TRY(size_or(r, "attention.head_count_kv", c->heads, &c->kv_heads, err));
  TRY(size_or(r, "attention.key_length", 0, &c->head_dim, err));
  if (!c->head_dim && c->hidden % c->heads)
    FAIL_AT(err, ERROR_INPUT, r->g->path, 0, "attention.head_count",
            "embedding_length %d is not a multiple of head_count %d, and there is no key_length", c->hidden, c->heads);
  if (!c->head_dim) c->head_dim = c->hidden / c->heads;
  const struct gguf_tensor *embed = gguf_find_tensor(r->g, "token_embd.weight");
  if (!embed) FAIL_AT(err, ERROR_INPUT, r->g->path, 0, "token_embd.weight", "the tensor token_embd.weight is missing");
  return size_or(r, "vocab_size", embed->dims[1] <= INT_MAX ? (int)embed->dims[1] : 0, &c->vocab, err);
}

/* Which optional weights exist; in the families here a layer has all or none of them. */
static int read_biases(const struct reader *r, struct model_config *c, struct error *err)
{
  c->tied = !gguf_find_tensor(r->g, "output.weight");
  c->qkv_bias = gguf_find_tensor(r->g, "blk.0.attn_q.bias");
  c->o_bias = gguf_find_tensor(r->g, "blk.0.attn_output.bias");
  c->mlp_bias = gguf_find_tensor(r->g, "blk.0.ffn_gate.bias");
  const struct model_family *f = model_family_find(c->model_type);
  if ((f->qkv_bias && !c->qkv_bias) || (!f->qkv_bias && c->qkv_bias != c->o_bias) ||
      (c->o_bias && !f->attention_bias) || (c->mlp_bias && !f->mlp_bias))
    FAIL_AT(err, ERROR_INPUT, r->g->path, 0, "blk.0.attn_q.bias",
            "the biases of this file are not those of architecture \"%s\"; expected %s", r->arch,
            f->qkv_bias ? "biases on q, k and v" : "none, or biases on q, k, v and the output alike");
  return 0;
}

static int read_id(const struct gguf *g, const char *key, int *out, struct error *err)
{
  int64_t id;
  TRY(gguf_get_int(g, key, 0, INT_MAX, -1, &id, err));
  *out = (int)id;
  return 0;
}

int model_config_from_gguf(const struct gguf *g, struct model_config *out, struct error *err)
{
  memset(out, 0, sizeof *out);
  struct reader r = {.g = g};
  TRY(read_architecture(&r, out, err));
  TRY(refuse_unknown_keys(&r, err));
  TRY(read_sizes(&r, out, err));
  TRY(meant_real(&r, "attention.layer_norm_rms_epsilon", 0, &out->norm_eps, err));
  TRY(meant_real(&r, "rope.freq_base", 10000, &out->rope_theta, err));
  TRY(refuse_options(&r, out, err));
  TRY(read_biases(&r, out, err));
  TRY(read_id(g, "tokenizer.ggml.bos_token_id", &out->bos, err));
  TRY(read_id(g, "tokenizer.ggml.eos_token_id", &out->eos, err));
  TRY(read_id(g, "tokenizer.ggml.padding_token_id", &out->pad, err));
  return model_config_check(out, g->path, err);
}

int model_end_ids_from_gguf(struct arena *a, const struct gguf *g, int **ids, size_t *count, struct error *err)
{
  int eos, eot;
  TRY(read_id(g, "tokenizer.ggml.eos_token_id", &eos, err));
  TRY(read_id(g, "tokenizer.ggml.eot_token_id", &eot, err));
  *count = 0;
  *ids = ARENA_NEW(a, int, 2, "model.end_ids", err);
  if (!*ids) return ERROR_RESOURCE;
  if (eos >= 0) (*ids)[(*count)++] = eos;
  if (eot >= 0 && eot != eos) (*ids)[(*count)++] = eot;
  return 0;
}
