#include "model/config.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "core/file.h"

enum { MAX_END_IDS = 1024 };

static const struct model_family families[] = {
    {"llama", "LlamaForCausalLM", 0, 0, 2048, false, true, true, false, WINDOW_NONE},
    {"mistral", "MistralForCausalLM", 8, 0, 131072, false, false, false, false, WINDOW_ALL},
    {"qwen2", "Qwen2ForCausalLM", 32, 0, 32768, true, false, false, false, WINDOW_SWITCHED},
    {"qwen3", "Qwen3ForCausalLM", 32, 128, 32768, false, true, false, true, WINDOW_SWITCHED},
};

const struct model_family *model_family_find(const char *model_type)
{
  for (size_t i = 0; i < sizeof families / sizeof families[0]; i++)
    if (!strcmp(families[i].model_type, model_type)) return &families[i];
  return NULL;
}

/* ---- options that are refused -------------------------------------------------------------------------------- */

/* Options of other models that change the result. Null and false are harmless, and so is the neutral number. */
static const struct {
  const char *key;
  double neutral;
} foreign_options[] = {
    {"quantization_config", 0},
    {"attn_logit_softcapping", 0},
    {"final_logit_softcapping", 0},
    {"partial_rotary_factor", 1},
    {"clip_qkv", 0},
    {"logits_scaling", 1},
    {"logit_scale", 1},
    {"embedding_multiplier", 1},
    {"residual_multiplier", 1},
    {"attention_multiplier", 0},
    {"query_pre_attn_scalar", 0},
    {"num_local_experts", 0},
    {"num_experts", 0},
    {"use_qk_norm", 0},
    {"use_bidirectional_attention", 0},
    {"no_rope_layers", 0},
    {"no_rope_layer_interval", 0},
    {"attention_chunk_size", 0},
    {"is_encoder_decoder", 0},
    {"scale_emb", 1},
    {"alibi", 0},
    {"add_cross_attention", 0},
};

static bool is_neutral(const json_t *v, double neutral)
{
  if (!v || json_is_null(v) || json_is_false(v)) return true;
  double x = json_number_value(v), difference = x - neutral;
  return json_is_number(v) && !(difference < 0) && !(difference > 0);
}

static int refuse_foreign(const json_t *o, const char *where, struct error *err)
{
  for (size_t i = 0; i < sizeof foreign_options / sizeof foreign_options[0]; i++) {
    const char *key = foreign_options[i].key;
    if (!is_neutral(json_object_get(o, key), foreign_options[i].neutral))
      FAIL_AT(err, ERROR_INPUT, where, 0, key,
              "the option %s is set, would change the result and is not supported; supported are plain %s models", key,
              MODEL_FAMILIES);
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

static int size_or(const json_t *o, const char *key, int fallback, int *out, const char *where, struct error *err)
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
  if (!f)
    FAIL_AT(err, ERROR_INPUT, where, 0, "model_type", "model_type \"%s\" is not supported; supported are %s", type,
            MODEL_FAMILIES);
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
  TRY(size_or(o, "num_key_value_heads", absent && f->kv_heads ? f->kv_heads : c->heads, &c->kv_heads, where, err));
  TRY(size_or(o, "max_position_embeddings", f->max_positions, &c->max_positions, where, err));
  TRY(size_or(o, "head_dim", f->head_dim, &c->head_dim, where, err));
  if (c->head_dim) return 0;
  if (c->hidden % c->heads)
    FAIL_AT(err, ERROR_INPUT, where, 0, "num_attention_heads",
            "hidden_size %d is not a multiple of num_attention_heads %d; give head_dim or correct one of them",
            c->hidden, c->heads);
  c->head_dim = c->hidden / c->heads;
  return 0;
}

/* rope_parameters (5) or rope_scaling (4): only the plain kind. */
static int check_rope_kind(const json_t *o, const char *key, const char *where, struct error *err)
{
  const json_t *rope = json_object_get(o, key);
  if (!rope || json_is_null(rope)) return 0;
  if (!json_is_object(rope)) FAIL_AT(err, ERROR_INPUT, where, 0, key, "%s must be an object or null", key);
  const json_t *type = json_object_get(rope, "rope_type");
  if (!type) type = json_object_get(rope, "type");
  if (!json_is_string(type)) FAIL_AT(err, ERROR_INPUT, where, 0, key, "%s has no rope_type; expected \"default\"", key);
  if (strcmp(json_string_value(type), "default"))
    FAIL_AT(err, ERROR_INPUT, where, 0, key,
            "rope_type \"%s\" (scaled rotary positions) is not supported; supported is \"default\"",
            json_string_value(type));
  if (!is_neutral(json_object_get(rope, "partial_rotary_factor"), 1))
    FAIL_AT(err, ERROR_INPUT, where, 0, key, "partial_rotary_factor other than 1 is not supported");
  return 0;
}

static int read_rope(const json_t *o, struct model_config *c, const char *where, struct error *err)
{
  TRY(check_rope_kind(o, "rope_parameters", where, err));
  TRY(check_rope_kind(o, "rope_scaling", where, err));
  double old, new;
  TRY(json_real_or(o, "rope_theta", 1, 1e15, 0, &old, where, err));
  new = old;
  const json_t *parameters = json_object_get(o, "rope_parameters");
  if (json_is_object(parameters)) TRY(json_real_or(parameters, "rope_theta", 1, 1e15, old, &new, where, err));
  if (old > 0 && (old < new || old > new))
    FAIL_AT(err, ERROR_INPUT, where, 0, "rope_theta", "rope_theta is %g, and %g in rope_parameters; remove one", old,
            new);
  c->rope_theta = new > 0 ? new : 10000.0;
  return 0;
}

static int read_biases(const json_t *o, const struct model_family *f, struct model_config *c, const char *where,
                       struct error *err)
{
  c->qkv_bias = f->qkv_bias;
  c->qk_norm = f->qk_norm;
  if (f->attention_bias) {
    TRY(json_bool_or(o, "attention_bias", false, &c->o_bias, where, err));
    c->qkv_bias = c->qkv_bias || c->o_bias;
  } else {
    TRY(refuse_true(o, "attention_bias", where, err));
  }
  if (!f->mlp_bias) return refuse_true(o, "mlp_bias", where, err);
  return json_bool_or(o, "mlp_bias", false, &c->mlp_bias, where, err);
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

/* ---- windows ------------------------------------------------------------------------------------------------- */

/* sliding_window and its switches, as the family reads them without layer_types. */
static int read_window(const json_t *o, const struct model_family *f, struct model_config *c, const char *where,
                       struct error *err)
{
  bool absent = !json_object_get(o, "sliding_window"), on;
  int window, from;
  TRY(size_or(o, "sliding_window", absent && f->window != WINDOW_NONE ? 4096 : 0, &window, where, err));
  TRY(json_bool_or(o, "use_sliding_window", f->window != WINDOW_SWITCHED, &on, where, err));
  TRY(size_or(o, "max_window_layers", 28, &from, where, err));
  if (f->window == WINDOW_NONE && window > 0 && window < c->max_positions)
    FAIL_AT(err, ERROR_INPUT, where, 0, "sliding_window", "model_type \"%s\" has no sliding window, but %d is given",
            f->model_type, window);
  if (f->window == WINDOW_NONE || !on || window == 0) return 0;
  if (f->window == WINDOW_SWITCHED && from >= c->layers) return 0;
  c->window = window;
  c->window_layers_from = f->window == WINDOW_SWITCHED ? from : 0;
  return 0;
}

/* Index of the first sliding layer; the number of layers if there is none. */
static int find_first_sliding(const json_t *types, int layers, int *out, const char *where, struct error *err)
{
  const json_t *type;
  int first_sliding = layers;
  size_t i;
  json_array_foreach(types, i, type)
  {
    const char *name = json_is_string(type) ? json_string_value(type) : "";
    bool sliding = !strcmp(name, "sliding_attention");
    if (!sliding && strcmp(name, "full_attention"))
      FAIL_AT(err, ERROR_INPUT, where, 0, "layer_types",
              "entry %zu of layer_types is not supported; supported are full_attention and sliding_attention", i);
    if (sliding && first_sliding == layers) first_sliding = (int)i;
    if (!sliding && first_sliding < layers)
      FAIL_AT(err, ERROR_INPUT, where, 0, "layer_types",
              "layer %zu has full attention behind a sliding one; supported are full layers first, then sliding ones",
              i);
  }
  *out = first_sliding;
  return 0;
}

/* layer_types (transformers 5) overrides: full layers first, then sliding ones, is what this decoder can do. */
static int read_layer_types(const json_t *o, const struct model_family *f, struct model_config *c, const char *where,
                            struct error *err)
{
  const json_t *types = json_object_get(o, "layer_types");
  if (!types || json_is_null(types)) return 0;
  if (!json_is_array(types) || json_array_size(types) != (size_t)c->layers)
    FAIL_AT(err, ERROR_INPUT, where, 0, "layer_types", "layer_types must be a list of %d names, one for each layer",
            c->layers);
  int first_sliding;
  TRY(find_first_sliding(types, c->layers, &first_sliding, where, err));
  int window;
  TRY(size_or(o, "sliding_window", 0, &window, where, err));
  if (first_sliding < c->layers && (window == 0 || f->window == WINDOW_NONE))
    FAIL_AT(err, ERROR_INPUT, where, 0, "layer_types", "layer %d is sliding_attention, but there is no sliding_window",
            first_sliding);
  if (f->window == WINDOW_ALL && c->window && first_sliding > 0)
    FAIL_AT(err, ERROR_INPUT, where, 0, "layer_types",
            "model_type \"%s\" has its sliding window in every layer; correct layer_types or sliding_window",
            f->model_type);
  c->window = first_sliding < c->layers ? window : 0;
  c->window_layers_from = c->window ? first_sliding : 0;
  return 0;
}

static int read_object(const json_t *o, struct model_config *c, const char *where, struct error *err)
{
  const struct model_family *f;
  const char *act;
  TRY(read_family(o, c, &f, where, err));
  set_architecture(c, f);
  strncpy(c->model_type, f->model_type, sizeof c->model_type - 1);
  TRY(refuse_foreign(o, where, err));
  TRY(json_string_or(o, "hidden_act", "silu", &act, where, err));
  if (strcmp(act, "silu") && strcmp(act, "swish"))
    FAIL_AT(err, ERROR_INPUT, where, 0, "hidden_act", "hidden_act \"%s\" is not supported; supported is \"silu\"", act);
  TRY(read_sizes(o, f, c, where, err));
  TRY(json_real_or(o, "rms_norm_eps", 0, 1, 1e-6, &c->norm_eps, where, err));
  TRY(read_rope(o, c, where, err));
  TRY(read_biases(o, f, c, where, err));
  TRY(json_bool_or(o, "tie_word_embeddings", false, &c->tied, where, err));
  TRY(read_labels(o, c, where, err));
  TRY(read_window(o, f, c, where, err));
  TRY(read_layer_types(o, f, c, where, err));
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

/* ---- writing ------------------------------------------------------------------------------------------------- */

static void put_key(struct text *t, const char *key)
{
  text_printf(t, ",\n  \"%s\": ", key);
}

static void put_id(struct text *t, const char *key, int id)
{
  put_key(t, key);
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
  put_key(t, "eos_token_id");
  for (size_t i = 0; i < count; i++) text_printf(t, "%s%d", i ? ", " : "[", ids[i]);
  text_puts(t, "]");
}

static void put_flag(struct text *t, const char *key, bool value)
{
  put_key(t, key);
  text_puts(t, value ? "true" : "false");
}

static void put_number(struct text *t, const char *key, int value)
{
  put_key(t, key);
  json_put_int(t, value);
}

static void put_window(struct text *t, const struct model_config *c, const struct model_family *f)
{
  if (f->window == WINDOW_NONE) return;
  if (f->window == WINDOW_SWITCHED) {
    put_flag(t, "use_sliding_window", c->window > 0);
    put_number(t, "max_window_layers", c->window > 0 ? c->window_layers_from : c->layers);
  }
  put_key(t, "sliding_window");
  if (c->window) {
    json_put_int(t, c->window);
  } else {
    text_puts(t, "null");
  }
}

void model_config_put(struct text *t, const struct model_config *c, const int *end_ids, size_t end_id_count,
                      const char *dtype)
{
  const struct model_family *f = model_family_find(c->model_type);
  ASSAY_BUG_IF(!f);
  text_printf(t, "{\n  \"architectures\": [\"%s\"],\n  \"model_type\": \"%s\"", c->architecture, c->model_type);
  put_number(t, "vocab_size", c->vocab);
  put_number(t, "hidden_size", c->hidden);
  put_number(t, "intermediate_size", c->ffn);
  put_number(t, "num_hidden_layers", c->layers);
  put_number(t, "num_attention_heads", c->heads);
  put_number(t, "num_key_value_heads", c->kv_heads);
  put_number(t, "head_dim", c->head_dim);
  put_number(t, "max_position_embeddings", c->max_positions);
  put_key(t, "hidden_act");
  text_puts(t, "\"silu\"");
  put_key(t, "rms_norm_eps");
  json_put_f64(t, c->norm_eps);
  put_key(t, "rope_theta");
  json_put_f64(t, c->rope_theta);
  put_key(t, "rope_scaling");
  text_puts(t, "null");
  if (f->attention_bias) put_flag(t, "attention_bias", c->o_bias);
  if (f->mlp_bias) put_flag(t, "mlp_bias", c->mlp_bias);
  put_window(t, c, f);
  put_flag(t, "tie_word_embeddings", c->tied);
  put_id(t, "bos_token_id", c->bos);
  put_end_ids(t, c, end_ids, end_id_count);
  put_id(t, "pad_token_id", c->scores && c->pad < 0 ? c->eos : c->pad);  // transformers wants one to score a batch
  if (c->scores) text_puts(t, ",\n  \"id2label\": {\"0\": \"LABEL_0\"},\n  \"label2id\": {\"LABEL_0\": 0}");
  text_printf(t, ",\n  \"torch_dtype\": \"%s\",\n  \"use_cache\": true\n}\n", dtype);
}

void model_generation_config_put(struct text *t, const struct model_config *c, const int *end_ids, size_t end_id_count)
{
  text_puts(t, "{\n  \"_from_model_config\": true");
  if (c->bos >= 0) put_id(t, "bos_token_id", c->bos);
  if (c->eos >= 0 || end_id_count) put_end_ids(t, c, end_ids, end_id_count);
  if (c->pad >= 0) put_id(t, "pad_token_id", c->pad);
  text_puts(t, "\n}\n");
}
