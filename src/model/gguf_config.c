/* A model's configuration from GGUF metadata. Every key under the architecture's name is either read here, known to be
 * harmless, or refused by name. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/json.h"
#include "core/math.h"
#include "model/config.h"
#include "model/open.h"
#include "model/rope.h"

enum { MAX_ARCHITECTURE = 32 };

struct reader {
  const struct gguf *g;
  const struct model_family *family;
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

static int read_architecture(struct reader *r, struct error *err)
{
  struct gguf_string arch;
  TRY(gguf_get_string(r->g, "general.architecture", &arch, err));
  if (!arch.bytes)
    FAIL_AT(err, ERROR_INPUT, r->g->path, 0, "general.architecture", "the key general.architecture is missing");
  snprintf(r->arch, sizeof r->arch, "%.*s", arch.size < MAX_ARCHITECTURE ? (int)arch.size : 0, arch.bytes);
  r->family = model_family_find_gguf(r->arch);
  return r->family ? 0 : model_family_refuse(r->g->path, "architecture", r->arch, err);
}

/* Keys that are read for some families alone. */
static bool family_reads(const struct model_family *f, const char *key)
{
  const struct {
    const char *key;
    bool read;
  } some[] = {{"attn_logit_softcapping", f->caps},
              {"final_logit_softcapping", f->caps || f->gemma},
              {"embedding_scale", f->multipliers},
              {"residual_scale", f->multipliers},
              {"logit_scale", f->multipliers},
              {"attention.scale", f->multipliers},
              {"rope.freq_base_swa", f->rope_local_theta > 0}};
  for (size_t i = 0; i < sizeof some / sizeof some[0]; i++)
    if (!strcmp(key, some[i].key)) return some[i].read;
  return false;
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
      "rope.scaling.attn_factor",
      "vocab_size",
      "expert_count",
      "expert_used_count",
      "tensor_data_layout", /* says how the converter's input was laid out */
  };
  size_t prefix = strlen(r->arch);
  for (size_t i = 0; i < r->g->pair_count; i++) {
    const char *key = r->g->pairs[i].key;
    if (strncmp(key, r->arch, prefix) || key[prefix] != '.') continue;
    bool ok = family_reads(r->family, key + prefix + 1);
    for (size_t j = 0; j < sizeof known / sizeof known[0]; j++) ok = ok || !strcmp(key + prefix + 1, known[j]);
    if (!ok)
      FAIL_AT(err, ERROR_INPUT, r->g->path, 0, key,
              "the option %.200s is not known and may change the result of architecture \"%s\"", key, r->arch);
  }
  return 0;
}

/* Options that are supported at their neutral value only. */
static int refuse_options(const struct reader *r, struct model_config *c, struct error *err)
{
  int value_length, experts;
  TRY(size_or(r, "expert_count", 0, &experts, err));
  if (experts)
    FAIL_AT(err, ERROR_INPUT, r->g->path, 0, "expert_count", "a mixture of %d experts is not supported", experts);
  TRY(size_or(r, "attention.value_length", c->head_dim, &value_length, err));
  TRY(size_or(r, "rope.dimension_count", c->head_dim, &c->rotary, err));
  if (value_length != c->head_dim || (c->rotary != c->head_dim && !r->family->fused))
    FAIL_AT(err, ERROR_INPUT, r->g->path, 0, "attention.key_length",
            "heads of %d with values of %d and %d rotated dimensions; supported are equal ones", c->head_dim,
            value_length, c->rotary);
  if (c->rotary == c->head_dim) c->rotary = 0;
  return 0;
}

/* ---- rotary positions ---------------------------------------------------------------------------------------- */

/* The factors by which a tensor divides frequencies; *found: whether it is there. */
static int read_factors(const struct reader *r, const char *name, int pairs, double *to, bool *found, struct error *err)
{
  const struct gguf_tensor *t = gguf_find_tensor(r->g, name);
  float values[ROPE_FACTORS_MAX];
  *found = t != NULL;
  if (!t) return 0;
  if (t->type != GGUF_F32 || t->elements != (uint64_t)pairs || pairs > ROPE_FACTORS_MAX)
    FAIL_AT(err, ERROR_INPUT, r->g->path, 0, name,
            "the tensor \"%s\" has %llu numbers of type %s; expected %d of type F32", name,
            (unsigned long long)t->elements, gguf_tensor_type_name(t->type), pairs);
  gguf_read_f32(t, 0, (size_t)pairs, values);
  for (int i = 0; i < pairs; i++) to[i] = (double)values[i];
  return 0;
}

/* llama3's parameters from what the converter made of them: the factor is the last one, the original length a power of
   two; low and high are 1 and 4 in every model. */
static int find_llama3(const struct reader *r, struct model_config *c, struct error *err)
{
  double factors[ROPE_FACTORS_MAX], plain[ROPE_FACTORS_MAX], scaled[ROPE_FACTORS_MAX], amplitude;
  int pairs = model_rope_pairs(c);
  bool found;
  TRY(read_factors(r, "rope_freqs.weight", pairs, factors, &found, err));
  if (!found) return 0;
  model_rope_frequencies(c, false, plain, &amplitude);
  c->rope = (struct rope_scaling){.kind = ROPE_LLAMA3,
                                  .factor = factors[pairs - 1],
                                  .low_freq = 1,
                                  .high_freq = 4,
                                  .stated_positions = c->max_positions};
  for (c->rope.original = 8192; c->rope.original >= 16; c->rope.original /= 2) {
    double worst = 0;
    model_rope_frequencies(c, false, scaled, &amplitude);
    for (int i = 0; i < pairs; i++) {
      double off = math_abs(plain[i] / scaled[i] / factors[i] - 1);
      worst = off > worst ? off : worst;
    }
    if (worst < 1e-4) return 0;
  }
  FAIL_AT(err, ERROR_INPUT, r->g->path, 0, "rope_freqs.weight",
          "the factors of rope_freqs.weight are not those of llama3 scaling with 1 and 4; use the Hugging Face folder");
}

static int read_longrope(const struct reader *r, struct model_config *c, struct error *err)
{
  struct rope_scaling *s = &c->rope;
  int pairs = model_rope_pairs(c);
  bool low, high;
  double given, amplitude, frequency[ROPE_FACTORS_MAX];
  TRY(read_factors(r, "rope_factors_short.weight", pairs, s->short_factor, &low, err));
  TRY(read_factors(r, "rope_factors_long.weight", pairs, s->long_factor, &high, err));
  if (!low || !high)
    FAIL_AT(err, ERROR_INPUT, r->g->path, 0, "rope.scaling.type",
            "longrope without the tensors rope_factors_short.weight and rope_factors_long.weight");
  TRY(meant_real(r, "rope.scaling.attn_factor", 0, &given, err));
  TRY(model_rope_check(c, r->g->path, err));
  model_rope_frequencies(c, false, frequency, &amplitude);
  if (given > 0 && !(math_abs(given / amplitude - 1) < 1e-6)) s->attention_factor = given;
  if (s->original < c->max_positions) c->max_positions = s->original;
  return 0;
}

/* Its word there; llama3's scaling has none, and a dynamic base is not written. */
static int read_kind(const struct reader *r, double factor, enum rope_kind *out, struct error *err)
{
  char key[128];
  struct gguf_string type;
  TRY(gguf_get_string(r->g, full_key(r, "rope.scaling.type", key), &type, err));
  *out = ROPE_PLAIN;
  if (!type.bytes && factor > 1)
    FAIL_AT(err, ERROR_INPUT, r->g->path, 0, key, "rope scaling by %g without its type", factor);
  if (!type.bytes || gguf_string_is(type, "none")) return 0;
  static const enum rope_kind kinds[] = {ROPE_LINEAR, ROPE_YARN, ROPE_LONG};
  for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
    if (!gguf_string_is(type, model_rope_name(kinds[i]))) continue;
    *out = kinds[i];
    return 0;
  }
  FAIL_AT(err, ERROR_INPUT, r->g->path, 0, key,
          "rope scaling \"%.*s\" is not supported; supported are none, linear, yarn and longrope",
          type.size < 64 ? (int)type.size : 64, type.bytes);
}

static int read_rope(const struct reader *r, struct model_config *c, struct error *err)
{
  struct rope_scaling *s = &c->rope;
  TRY(meant_real(r, "rope.freq_base", r->family->gemma ? r->family->rope_theta : 10000, &c->rope_theta, err));
  if (r->family->rope_local_theta > 0)
    TRY(meant_real(r, "rope.freq_base_swa", r->family->rope_local_theta, &c->rope_local_theta, err));
  s->stated_positions = c->max_positions;
  TRY(meant_real(r, "rope.scaling.factor", 0, &s->factor, err));
  TRY(read_kind(r, s->factor, &s->kind, err));
  if (s->kind == ROPE_PLAIN) {
    *s = (struct rope_scaling){0};
    return find_llama3(r, c, err);
  }
  if (s->kind != ROPE_LINEAR)
    TRY(size_or(r, "rope.scaling.original_context_length", c->max_positions, &s->original, err));
  return s->kind == ROPE_LONG ? read_longrope(r, c, err) : 0;
}

/* ---- windows and factors --------------------------------------------------------------------------------------- */

/* Which layers slide is the architecture's own rule (llama.cpp's set_swa_pattern). */
static int read_window(const struct reader *r, struct model_config *c, struct error *err)
{
  const struct model_family *f = r->family;
  TRY(size_or(r, "attention.sliding_window", f->caps ? f->window_default : 0, &c->window, err));
  if (c->window >= c->max_positions && f->window != WINDOW_PATTERN) c->window = 0;
  if (c->window && f->window != WINDOW_ALL && f->window != WINDOW_PATTERN)
    FAIL_AT(err, ERROR_INPUT, r->g->path, 0, "attention.sliding_window",
            "a sliding window of %d is not supported in GGUF; use the Hugging Face folder", c->window);
  for (int i = 0; i < c->layers && c->window && f->window == WINDOW_PATTERN; i++)
    if ((i + 1) % f->window_pattern == 0) layer_add(&c->full_layers, i);
  for (int i = 0; i < c->layers && f->nope; i++)
    if ((i + 1) % 4 == 0) layer_add(&c->nope_layers, i);
  return 0;
}

static int read_factor(const struct reader *r, const char *key, double *out, struct error *err)
{
  TRY(meant_real(r, key, 0, out, err));
  if (!(*out < 1) && !(*out > 1)) *out = 0; /* no operation at all */
  return 0;
}

/* Gemma's query_pre_attn_scalar is not in the file: llama.cpp knows it by the number of layers. */
bool model_gguf_wide_scalar(const struct model_config *c)
{
  return !strcmp(c->model_type, "gemma2") ? c->layers == 46 : c->layers == 62;
}

static int read_scales(const struct reader *r, struct model_config *c, struct error *err)
{
  if (r->family->multipliers) {
    TRY(read_factor(r, "embedding_scale", &c->embed_scale, err));
    TRY(read_factor(r, "residual_scale", &c->residual_scale, err));
    TRY(read_factor(r, "logit_scale", &c->logit_divisor, err));
    return meant_real(r, "attention.scale", 0, &c->attention_scale, err);
  }
  if (!r->family->gemma) return 0;
  c->attention_scale = 1 / math_sqrt((double)(model_gguf_wide_scalar(c) ? c->hidden / c->heads : c->head_dim));
  if (r->family->caps) TRY(meant_real(r, "attn_logit_softcapping", 50, &c->attention_cap, err));
  return meant_real(r, "final_logit_softcapping", r->family->caps ? 30 : 0, &c->logit_cap, err);
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
  const struct model_family *f = r->family;
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
  TRY(read_architecture(&r, err));
  TRY(refuse_unknown_keys(&r, err));
  TRY(read_sizes(&r, out, err));
  TRY(meant_real(&r, "attention.layer_norm_rms_epsilon", 0, &out->norm_eps, err));
  model_family_apply(r.family, out);
  TRY(refuse_options(&r, out, err));
  TRY(read_rope(&r, out, err));
  TRY(read_window(&r, out, err));
  TRY(read_scales(&r, out, err));
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
