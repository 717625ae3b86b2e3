/* model/config: config.json and generation_config.json, read in the spelling of transformers 4 (rope_theta,
 * rope_scaling, torch_dtype) and 5 (rope_parameters, dtype), and written in one that both read.
 *
 * What is absent takes the default of the family's configuration class in transformers. An option that would change
 * the result and is not supported is refused by name; options that only concern training or storage elsewhere are
 * passed over. */
#ifndef ASSAY_MODEL_CONFIG_H
#define ASSAY_MODEL_CONFIG_H

#include "core/json.h"
#include "model/model.h"

/* Which layers have a sliding window where layer_types does not say it. */
enum window_rule {
  WINDOW_NONE,
  WINDOW_ALL,      /* mistral, phi3 */
  WINDOW_SWITCHED, /* qwen: use_sliding_window, from layer max_window_layers on */
  WINDOW_PATTERN,  /* gemma: all but every sliding_window_pattern-th */
  WINDOW_NOPE      /* smollm3: use_sliding_window, in the layers without rotary positions */
};

/* What a family fixes, and the defaults of its configuration class in transformers. */
struct model_family {
  const char *model_type, *architecture;
  const char *gguf;                      /* its name there; NULL: llama's */
  const char *title;                     /* for documents: "Llama 2 and 3, SmolLM 1 and 2" */
  int kv_heads, head_dim, max_positions; /* 0: heads, hidden / heads */
  double rope_theta, norm_eps;
  bool tied;
  bool qkv_bias;       /* always there */
  bool attention_bias; /* the option attention_bias exists: bias on q, k, v, o */
  bool mlp_bias;       /* the option mlp_bias exists */
  bool qk_norm, qk_norm_wide, pre_norm_off, post_norm;
  bool gemma;       /* norms by 1 + w, GELU, embedding times sqrt(hidden), query_pre_attn_scalar, caps */
  bool caps;        /* the caps have defaults: 50 and 30 (Gemma 2) */
  bool multipliers; /* Granite's four factors */
  bool fused;       /* Phi-3's joined matrices, longrope and partial rotation */
  bool nope;        /* no_rope_layers (SmolLM3) */
  enum window_rule window;
  int window_default, window_pattern; /* sliding_window and sliding_window_pattern where absent */
  double rope_local_theta;            /* base in layers with a window; 0: the same as in all */
};
const struct model_family *model_family_at(size_t i); /* NULL behind the last */
/* NULL if unknown. */
const struct model_family *model_family_find(const char *model_type);
const struct model_family *model_family_find_gguf(const char *architecture);
#define MODEL_FAMILIES "llama (SmolLM too), mistral, smollm3, qwen2, qwen3, gemma2, gemma3_text, phi3, granite, olmo2"
/* One sentence for a model_type (or GGUF architecture) that is not supported: which supported one is nearest and what
   differs. */
int model_family_refuse(const char *where, const char *key, const char *model_type, struct error *err) MUST_USE;
/* Sets what the family fixes: names, norms, activation, places of weights. */
void model_family_apply(const struct model_family *f, struct model_config *c);

/* Reads and checks FOLDER's config.json (path is the file). */
int model_config_read(struct arena *a, const char *path, struct model_config *out, struct error *err) MUST_USE;

/* End tokens: eos_token_id (a number or a list) of config.json and, where it exists, generation_config.json; each once,
   in order of appearance. */
int model_config_end_ids(struct arena *a, const char *folder, int **ids, size_t *count, struct error *err) MUST_USE;

/* dtype: "float32", "bfloat16", "float16". With several end ids eos_token_id becomes a list. */
void model_config_put(struct text *t, const struct model_config *c, const int *end_ids, size_t end_id_count,
                      const char *dtype);
void model_generation_config_put(struct text *t, const struct model_config *c, const int *end_ids, size_t end_id_count);

#endif
