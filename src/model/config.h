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

/* What a family fixes. The families are those of model.h. */
struct model_family {
  const char *model_type, *architecture;
  int kv_heads, head_dim, max_positions; /* class defaults; 0: heads, hidden / heads */
  bool qkv_bias;                         /* always there */
  bool attention_bias;                   /* the option attention_bias exists: bias on q, k, v, o */
  bool mlp_bias;                         /* the option mlp_bias exists */
  bool qk_norm;
  enum {
    WINDOW_NONE,
    WINDOW_ALL,
    WINDOW_SWITCHED
  } window; /* mistral: all layers; qwen: use_sliding_window and max_window_layers */
};
/* NULL if unknown. */
const struct model_family *model_family_find(const char *model_type);
#define MODEL_FAMILIES "llama (SmolLM too), mistral, qwen2, qwen3"

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
