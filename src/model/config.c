#include "model/config.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "core/file.h"
#include "core/math.h"
#include "model/config_parts.h"

enum { MAX_END_IDS = 1024 };

/* ---- options that are refused -------------------------------------------------------------------------------- */

/* Options that change the result and that only some families have, or none. Null and false are harmless, and so is the
   neutral number. */
enum owner { NOBODY, GEMMA, GRANITE, PHI, SMOLLM };
static const struct {
  const char *key;
  double neutral;
  enum owner owner;
} foreign_options[] = {
    {"quantization_config", 0, NOBODY},
    {"attn_logit_softcapping", 0, GEMMA},
    {"final_logit_softcapping", 0, GEMMA},
    {"query_pre_attn_scalar", 0, GEMMA},
    {"partial_rotary_factor", 1, PHI},
    {"clip_qkv", 0, NOBODY},
    {"logits_scaling", 1, GRANITE},
    {"embedding_multiplier", 1, GRANITE},
    {"residual_multiplier", 1, GRANITE},
    {"attention_multiplier", 0, GRANITE},
    {"logit_scale", 1, NOBODY},
    {"num_local_experts", 0, NOBODY},
    {"num_experts", 0, NOBODY},
    {"use_qk_norm", 0, NOBODY},
    {"use_bidirectional_attention", 0, NOBODY},
    {"no_rope_layers", 0, SMOLLM},
    {"no_rope_layer_interval", 0, SMOLLM},
    {"attention_chunk_size", 0, NOBODY},
    {"is_encoder_decoder", 0, NOBODY},
    {"scale_emb", 1, NOBODY},
    {"alibi", 0, NOBODY},
    {"add_cross_attention", 0, NOBODY},
};

bool config_is_neutral(const json_t *v, double neutral)
{
  if (!v || json_is_null(v) || json_is_false(v)) return true;
  double x = json_number_value(v), difference = x - neutral;
  return json_is_number(v) && !(difference < 0) && !(difference > 0);
}

static bool owns(const struct model_family *f, enum owner owner)
{
  switch (owner) {
    case GEMMA:
      return f->gemma;
    case GRANITE:
      return f->multipliers;
    case PHI:
      return f->fused;
    case SMOLLM:
      return f->nope;
    case NOBODY:
      break;
  }
  return false;
}

static int refuse_foreign(const json_t *o, const struct model_family *f, const char *where, struct error *err)
{
  for (size_t i = 0; i < sizeof foreign_options / sizeof foreign_options[0]; i++) {
    const char *key = foreign_options[i].key;
    if (!owns(f, foreign_options[i].owner) && !config_is_neutral(json_object_get(o, key), foreign_options[i].neutral))
      FAIL_AT(err, ERROR_INPUT, where, 0, key,
              "the option %s is set, would change the result and is not supported for model_type \"%s\"", key,
              f->model_type);
  }
  if (json_is_false(json_object_get(o, "is_causal")))
    FAIL_AT(err, ERROR_INPUT, where, 0, "is_causal", "is_causal is false; supported are causal models only");
  return 0;
}

static int refuse_true(const json_t *o, const char *key, const char *where, struct error *err)
{
  bool set;
  TRY(json_bool_or(o, key, false, &set, where, err));
  if (set) FAIL_AT(err, ERROR_INPUT, where, 0, key, "%s is true, which this model_type does not have; remove it", key);
  return 0;
}

/* ---- reading ------------------------------------------------------------------------------------------------- */

static int need_size(const json_t *o, const char *key, int *out, const char *where, struct error *err)
{
  int64_t x;
  TRY(json_need_int(o, key, 1, INT_MAX, &x, where, err));
  *out = (int)x;
  return 0;
}

int config_size_or(const json_t *o, const char *key, int fallback, int *out, const char *where, struct error *err)
{
  int64_t x;
  TRY(json_int_or(o, key, 0, INT_MAX, fallback, &x, where, err));
  *out = (int)x;
  return 0;
}

/* "LlamaForSequenceClassification" beside "LlamaForCausalLM". */
static bool names_scorer(const char *name, const char *architecture)
{
  const char *end = strstr(architecture, "ForCausalLM");
  size_t n = end ? (size_t)(end - architecture) : 0;
  return n && !strncmp(name, architecture, n) && !strcmp(name + n, "ForSequenceClassification");
}

/* A reward model gives one number. */
static int read_labels(const json_t *o, struct model_config *c, const char *where, struct error *err)
{
  const json_t *labels = json_object_get(o, "id2label");
  int64_t count;
  if (!c->scores) return 0;
  TRY(json_int_or(o, "num_labels", 1, 1 << 20, labels ? (int64_t)json_object_size(labels) : 2, &count, where, err));
  if (count != 1)
    FAIL_AT(err, ERROR_INPUT, where, 0, "num_labels",
            "found a classifier of %lld labels; expected a reward model, which has one (id2label: {\"0\": ...})",
            (long long)count);
  c->tied = true;  // no head writes text
  return 0;
}

static int read_family(const json_t *o, struct model_config *c, const struct model_family **out, const char *where,
                       struct error *err)
{
  const char *type;
  TRY(json_need_string(o, "model_type", &type, where, err));
  const struct model_family *f = model_family_find(type);
  if (!f) return model_family_refuse(where, "model_type", type, err);
  const json_t *names = json_object_get(o, "architectures"), *name = json_array_get(names, 0);
  if (names && !json_is_null(names)) {
    if (!json_is_array(names) || json_array_size(names) != 1 || !json_is_string(name))
      FAIL_AT(err, ERROR_INPUT, where, 0, "architectures", "architectures must be a list of one name, [\"%s\"]",
              f->architecture);
    c->scores = names_scorer(json_string_value(name), f->architecture);
    if (strcmp(json_string_value(name), f->architecture) && !c->scores)
      FAIL_AT(err, ERROR_INPUT, where, 0, "architectures",
              "architecture \"%s\" is not supported for model_type \"%s\"; expected \"%s\"", json_string_value(name),
              type, f->architecture);
  }
  *out = f;
  return 0;
}

/* The name of the family's architecture, with a head that writes text or one that scores. */
static void set_architecture(struct model_config *c, const struct model_family *f)
{
  const char *end = strstr(f->architecture, "ForCausalLM");
  if (c->scores && end)
    snprintf(c->architecture, sizeof c->architecture, "%.*sForSequenceClassification", (int)(end - f->architecture),
             f->architecture);
  else
    snprintf(c->architecture, sizeof c->architecture, "%s", f->architecture);
}

void model_config_make_scorer(struct model_config *c)
{
  if (c->scores) return;
  c->scores = c->scores_new = c->tied = true;
  set_architecture(c, model_family_find(c->model_type));
}

static int read_sizes(const json_t *o, const struct model_family *f, struct model_config *c, const char *where,
                      struct error *err)
{
  TRY(need_size(o, "vocab_size", &c->vocab, where, err));
  TRY(need_size(o, "hidden_size", &c->hidden, where, err));
  TRY(need_size(o, "intermediate_size", &c->ffn, where, err));
  TRY(need_size(o, "num_hidden_layers", &c->layers, where, err));
  TRY(need_size(o, "num_attention_heads", &c->heads, where, err));
  bool absent = !json_object_get(o, "num_key_value_heads"); /* null, unlike absence, means as many as query heads */
  TRY(config_size_or(o, "num_key_value_heads", absent && f->kv_heads ? f->kv_heads : c->heads, &c->kv_heads, where,
                     err));
  TRY(config_size_or(o, "max_position_embeddings", f->max_positions, &c->max_positions, where, err));
  TRY(config_size_or(o, "head_dim", f->head_dim, &c->head_dim, where, err));
  if (c->head_dim) return 0;
  if (c->hidden % c->heads)
    FAIL_AT(err, ERROR_INPUT, where, 0, "num_attention_heads",
            "hidden_size %d is not a multiple of num_attention_heads %d; give head_dim or correct one of them",
            c->hidden, c->heads);
  c->head_dim = c->hidden / c->heads;
  return 0;
}

static int read_biases(const json_t *o, const struct model_family *f, struct model_config *c, const char *where,
                       struct error *err)
{
  if (f->attention_bias) {
    TRY(json_bool_or(o, "attention_bias", false, &c->o_bias, where, err));
    c->qkv_bias = c->qkv_bias || c->o_bias;
  } else {
    TRY(refuse_true(o, "attention_bias", where, err));
  }
  if (!f->mlp_bias) return refuse_true(o, "mlp_bias", where, err);
  return json_bool_or(o, "mlp_bias", false, &c->mlp_bias, where, err);
}

/* The gate's activation: hidden_act, in Gemma hidden_activation. */
static int read_activation(const json_t *o, const struct model_family *f, const char *where, struct error *err)
{
  const char *key = f->gemma ? "hidden_activation" : "hidden_act", *act,
             *want = f->gemma ? "gelu_pytorch_tanh" : "silu";
  TRY(json_string_or(o, key, want, &act, where, err));
  if (!strcmp(act, want) || (!f->gemma && !strcmp(act, "swish"))) return 0;
  FAIL_AT(err, ERROR_INPUT, where, 0, key, "%s \"%s\" is not supported for model_type \"%s\"; supported is \"%s\"", key,
          act, f->model_type, want);
}

/* A factor of Granite's, 1 where it is absent: kept as 0, which is no operation at all. */
static int read_factor(const json_t *o, const char *key, double *out, const char *where, struct error *err)
{
  TRY(json_real_or(o, key, 1e-9, 1e9, 1, out, where, err));
  if (config_is_neutral(json_object_get(o, key), 1)) *out = 0;
  return 0;
}

static int read_scales(const json_t *o, const struct model_family *f, struct model_config *c, const char *where,
                       struct error *err)
{
  if (f->multipliers) {
    TRY(read_factor(o, "embedding_multiplier", &c->embed_scale, where, err));
    TRY(read_factor(o, "residual_multiplier", &c->residual_scale, where, err));
    TRY(read_factor(o, "logits_scaling", &c->logit_divisor, where, err));
    return json_real_or(o, "attention_multiplier", 1e-9, 1e9, 1, &c->attention_scale, where, err);
  }
  if (!f->gemma) return 0;
  double scalar;
  TRY(json_real_or(o, "query_pre_attn_scalar", 1e-9, 1e9, 256, &scalar, where, err));
  c->attention_scale = 1 / math_sqrt(scalar);
  const char *keys[] = {"attn_logit_softcapping", "final_logit_softcapping"};
  double fallback[] = {f->caps ? 50 : 0, f->caps ? 30 : 0}, *caps[] = {&c->attention_cap, &c->logit_cap};
  for (int i = 0; i < 2; i++) {
    const json_t *v = json_object_get(o, keys[i]);
    if (v && json_is_null(v)) fallback[i] = 0;
    TRY(json_real_or(o, keys[i], 0, 1e9, fallback[i], caps[i], where, err));
  }
  return 0;
}

static int read_token_id(const json_t *o, const char *key, int *out, const char *where, struct error *err)
{
  const json_t *v = json_object_get(o, key);
  if (json_is_array(v)) v = json_array_get(v, 0);
  *out = -1;
  if (!v || json_is_null(v)) return 0;
  json_int_t id = json_integer_value(v);
  if (!json_is_integer(v) || id < -1 || id > INT_MAX)
    FAIL_AT(err, ERROR_INPUT, where, 0, key, "%s must be a token id, a list of them, or null", key);
  *out = (int)id;
  return 0;
}

static int read_object(const json_t *o, struct model_config *c, const char *where, struct error *err)
{
  const struct model_family *f;
  TRY(read_family(o, c, &f, where, err));
  TRY(refuse_foreign(o, f, where, err));
  TRY(read_activation(o, f, where, err));
  TRY(read_sizes(o, f, c, where, err));
  model_family_apply(f, c);
  set_architecture(c, f);
  TRY(json_real_or(o, "rms_norm_eps", 0, 1, f->norm_eps, &c->norm_eps, where, err));
  TRY(config_read_rope(o, f, c, where, err));
  TRY(read_biases(o, f, c, where, err));
  TRY(read_scales(o, f, c, where, err));
  TRY(json_bool_or(o, "tie_word_embeddings", f->tied, &c->tied, where, err));
  TRY(read_labels(o, c, where, err));
  TRY(config_read_layers(o, f, c, where, err));
  TRY(read_token_id(o, "bos_token_id", &c->bos, where, err));
  TRY(read_token_id(o, "eos_token_id", &c->eos, where, err));
  TRY(read_token_id(o, "pad_token_id", &c->pad, where, err));
  return model_config_check(c, where, err);
}

static int read_json_object(struct arena *a, const char *path, json_t **out, struct error *err)
{
  TRY(json_parse_file(a, path, out, err));
  if (!json_is_object(*out)) FAIL_AT(err, ERROR_INPUT, path, 0, NULL, "the file must hold one JSON object");
  return 0;
}

int model_config_read(struct arena *a, const char *path, struct model_config *out, struct error *err)
{
  memset(out, 0, sizeof *out);
  json_t *o;
  TRY(read_json_object(a, path, &o, err));
  int rc = read_object(o, out, path, err);
  return rc ? error_place(err, path, 0) : 0;
}

/* ---- end tokens ---------------------------------------------------------------------------------------------- */

/* Adds the ids of one value; ids has room for all of them. */
static int add_end_ids(const json_t *v, const char *where, int *ids, size_t *count, struct error *err)
{
  size_t n = json_is_array(v) ? json_array_size(v) : v && !json_is_null(v);
  if (n > MAX_END_IDS)
    FAIL_AT(err, ERROR_INPUT, where, 0, "eos_token_id", "%zu end tokens; expected at most %d", n, MAX_END_IDS);
  for (size_t i = 0; i < n; i++) {
    const json_t *one = json_is_array(v) ? json_array_get(v, i) : v;
    json_int_t id = json_integer_value(one);
    if (!json_is_integer(one) || id < 0 || id > INT_MAX)
      FAIL_AT(err, ERROR_INPUT, where, 0, "eos_token_id", "eos_token_id must be a token id, a list of them, or null");
    bool known = false;
    for (size_t j = 0; j < *count; j++) known = known || ids[j] == (int)id;
    if (!known) ids[(*count)++] = (int)id;
  }
  return 0;
}

int model_config_end_ids(struct arena *a, const char *folder, int **ids, size_t *count, struct error *err)
{
  static const char *const names[] = {"config.json", "generation_config.json"};
  const json_t *values[2] = {NULL, NULL};
  const char *paths[2];
  size_t room = 0;
  for (int i = 0; i < 2; i++) {
    json_t *o;
    paths[i] = path_join(a, folder, names[i], err);
    if (!paths[i]) return ERROR_RESOURCE;
    if (!file_exists(paths[i])) continue;
    TRY(read_json_object(a, paths[i], &o, err));
    values[i] = json_object_get(o, "eos_token_id");
    room += json_is_array(values[i]) ? json_array_size(values[i]) : 1;
  }
  *count = 0;
  *ids = ARENA_NEW(a, int, room, "model.end_ids", err);
  if (!*ids) return ERROR_RESOURCE;
  for (int i = 0; i < 2; i++) TRY(add_end_ids(values[i], paths[i], *ids, count, err));
  return 0;
}
