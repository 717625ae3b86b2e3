/* model/model: a decoder by configuration and its weights, as opaque backend objects.
 *
 * One decoder covers all families of config.h: what they differ in is fields of struct model_config. Weights are known
 * by their Hugging Face names ("model.layers.0.self_attn.q_proj.weight"; Phi-3's fused matrices are split into such on
 * loading); rotary halves are in the Hugging Face order (GGUF's interleaved rows are put right on loading).
 */
#ifndef ASSAY_MODEL_MODEL_H
#define ASSAY_MODEL_MODEL_H

#include "compute/backend.h"
#include "core/arena.h"

struct gguf;

/* How matrices stay in memory that are never trained: those of a fixed model, and of a base under an adapter. */
enum model_keep {
  MODEL_KEEP_FULL, /* in the compute type */
  MODEL_KEEP_FILE, /* as a GGUF file has them, where that is one of quant.h's types; the same bits as MODEL_KEEP_FULL */
  MODEL_KEEP_Q8_0, /* those that the file does not have in blocks are rounded to Q8_0, ... */
  MODEL_KEEP_Q4_0  /* ... or to Q4_0, embedding and head to Q8_0: another model, but a small one */
};

/* Which products an adapter stands beside (model/adapter.h). */
enum adapter_target {
  ADAPTER_Q,
  ADAPTER_K,
  ADAPTER_V,
  ADAPTER_O,
  ADAPTER_GATE,
  ADAPTER_UP,
  ADAPTER_DOWN,
  ADAPTER_TARGETS
};
enum adapter_init { ADAPTER_KAIMING, ADAPTER_GAUSSIAN };

struct adapter_config {
  int rank; /* r; 0: no adapter */
  double alpha;
  bool rslora;
  unsigned targets;       /* bit t: enum adapter_target t */
  enum adapter_init init; /* of A; B begins at zero */
};

enum { MODEL_LAYERS_MAX = 1024, ROPE_FACTORS_MAX = 128 };

/* Some of a model's layers. */
struct layer_set {
  uint64_t bits[MODEL_LAYERS_MAX / 64];
};
static inline bool layer_in(const struct layer_set *s, int layer)
{
  return s->bits[layer / 64] >> layer % 64 & 1;
}
static inline void layer_add(struct layer_set *s, int layer)
{
  s->bits[layer / 64] |= (uint64_t)1 << layer % 64;
}

/* Scaled rotary positions, in the words of transformers' rope_scaling; model/rope.h has the formulas. A dynamic base
   and LongRoPE's long factors depend on the length of a sequence and not on a position alone; they apply behind the
   positions that a model was made with, and max_positions ends there. */
enum rope_kind { ROPE_PLAIN, ROPE_LINEAR, ROPE_DYNAMIC, ROPE_LLAMA3, ROPE_YARN, ROPE_LONG };
struct rope_scaling {
  enum rope_kind kind;
  double factor;                  /* 0: the ratio of stated_positions to original (yarn, longrope) */
  double low_freq, high_freq;     /* llama3 */
  double beta_fast, beta_slow;    /* yarn */
  double mscale, mscale_all;      /* yarn; 0: absent */
  double attention_factor;        /* yarn, longrope; 0: by the formula */
  bool no_truncate;               /* yarn: "truncate": false */
  int original, stated_positions; /* original_max_position_embeddings (0: absent) and max_position_embeddings */
  double short_factor[ROPE_FACTORS_MAX], long_factor[ROPE_FACTORS_MAX]; /* longrope, [rotary / 2] */
};

struct model_config {
  char architecture[64]; /* "LlamaForCausalLM", ...: of the family's row in config.h's table */
  char model_type[32];   /* "llama", ... */
  int vocab;             /* V */
  int hidden;            /* C */
  int layers;
  int heads, kv_heads, head_dim;
  int ffn;                      /* F */
  int max_positions;            /* the longest path: max_position_embeddings, or less (struct rope_scaling) */
  int window;                   /* sliding window, 0: none */
  struct layer_set full_layers; /* those without the window */
  struct layer_set nope_layers; /* those without rotary positions (SmolLM3) */
  double norm_eps, rope_theta;
  double rope_local_theta; /* base in layers with a window, which then are not scaled (Gemma 3); 0: as all */
  struct rope_scaling rope;
  int rotary; /* of a head's numbers the first so many are rotated (Phi-4); 0: all */
  bool qkv_bias, o_bias, mlp_bias, tied;
  bool qk_norm, qk_norm_wide;   /* norm of q and k by head, or (wide, OLMo 2) of their whole width */
  bool pre_norm_off, post_norm; /* norms before a branch are left out (OLMo 2); those behind it are there (Gemma) */
  bool norm_plus_one;           /* norms scale by 1 + w (Gemma) */
  bool gelu;                    /* gate by GELU in its tanh form, not by SiLU */
  bool fused;                   /* files hold qkv_proj and gate_up_proj (Phi-3) */
  double embed_scale, residual_scale, logit_divisor; /* factors of embedding and branches, divisor of logits; 0: 1 */
  double attention_scale;                            /* 0: 1 / sqrt(head_dim) */
  double attention_cap, logit_cap;                   /* soft caps (Gemma 2); 0: none */
  enum model_keep keep;         /* how the model is used, not of config.json: set it before anything is loaded */
  const struct gguf *keep_from; /* the file for MODEL_KEEP_FILE, by model_source_open; NULL: none */
  bool scores;     /* a reward model ("LlamaForSequenceClassification"): score.weight stands where a head would; tied */
  bool scores_new; /* it has no score.weight yet: zeros */
  int bos, eos, pad;             /* ids, -1: none */
  struct adapter_config adapter; /* trained in place of the weights; not of config.json but of how the model is used */
};

struct model_layer {
  /* NULL where the family has none */
  struct weight *attn_norm, *q, *k, *v, *o, *q_bias, *k_bias, *v_bias, *o_bias, *q_norm, *k_norm;
  struct weight *mlp_norm, *gate, *up, *down, *gate_bias, *up_bias, *down_bias;
  struct weight *attn_post_norm, *mlp_post_norm;
};

struct model {
  struct model_config config;
  struct device *device;
  struct weight *embed, *norm, *head; /* head == embed where tied */
  struct weight *score;               /* [1, hidden] of a reward model, else NULL */
  struct model_layer *layer;          /* [layers] */
  struct weight **weights;            /* every distinct weight, sorted by name (bytewise) */
  size_t weight_count;
  struct adapter *adapter; /* NULL: none */
  struct weight **trained; /* what an update moves: the adapter's weights, or all; sorted by name */
  size_t trained_count;
  struct buffer *rope;       /* cos, sin: [rope_positions, rotary/2, 2] */
  struct buffer *rope_local; /* the same for layers with a window, or NULL */
  int rope_positions;
};

/* The same decoder as a reward model: no head, and a score.weight that is yet to be learnt. One already stays as it is.
 */
void model_config_make_scorer(struct model_config *c);
/* Checks a configuration (sizes positive and bounded, kv_heads | heads, even head_dim): ERROR_INPUT names the key. */
int model_config_check(const struct model_config *c, const char *file, struct error *err) MUST_USE;

/* All weights of the configuration, zeroed, on a device (with config.adapter the base's as of model_create_fixed);
 * closed when the arena resets. positions: rotary table length
 * (<= max_positions). */
int model_create(struct arena *a, struct device *d, const struct model_config *c, int positions, struct model **out,
                 struct error *err) MUST_USE;
/* The same for a model that is never trained (generation, scoring, a reference): matrices are kept in the device's
   compute type alone, so in bf16 in half the bytes of f32 and a third of a model's that trains. The same results. */
int model_create_fixed(struct arena *a, struct device *d, const struct model_config *c, int positions,
                       struct model **out, struct error *err) MUST_USE;
/* Normal(0, 0.02) by RNG_INIT keyed by tensor ordinal and element; norms 1, biases 0: models/tiny starts from it. */
int model_randomise(struct model *m, uint64_t seed, struct error *err) MUST_USE;
/* Its `trained` weights; not of a model that was created fixed and has no adapter. */
int model_make_trainable(struct model *m, struct error *err) MUST_USE;
struct weight *model_find(const struct model *m, const char *name); /* the adapter's too; NULL if absent */
size_t model_parameters(const struct model_config *c);
/* Bytes of one part of all weights on a device of that real size (padding included). */
size_t model_part_bytes(const struct model_config *c, size_t real_size);
/* Bytes of the copies in the compute type that stand beside the masters: 0 in f32. */
size_t model_copy_bytes(const struct model_config *c, enum compute_type type);
/* "full", "keep", "q8_0", "q4_0" as recipes and options write them; false: another word. */
bool model_keep_find(const char *word, enum model_keep *out);
/* Bytes of the weights of a fixed model. */
size_t model_fixed_bytes(const struct model_config *c, enum compute_type type);
/* Sets "weights HEX" of CONTRACT.md: SHA-256 over tensors in name order: name, NUL, "F32", NUL, rank u32 LE, dims u64
   LE, little-endian f32 master bytes. A tied head counts once, under the embedding's name. With an adapter: over its
   tensors alone, in the shapes that files have. */
int model_hash(const struct model *m, char hex[65], struct error *err) MUST_USE;

/* ---- opening and saving (model/open.c and friends) -------------------------------------------------------------- */

/* What a MODEL argument turned out to be. */
struct model_source {
  const char *path;      /* as given */
  const char *folder;    /* Hugging Face folder, or NULL where the source is a GGUF file */
  const char *gguf_path; /* GGUF file, or NULL */
  struct gguf *gguf;     /* its metadata (model/gguf.h): tokenizer and template come from here */
  const char *adapter;   /* PEFT folder whose adapter the model is used with, or NULL: then the rest is of its base */
  int *end_ids;          /* end tokens: union of config.json, generation_config.json (GGUF: eos, eot) */
  size_t end_id_count;
};

/* MODEL is a Hugging Face directory, a GGUF file, a run folder (its last checkpoint), a checkpoint folder, or a PEFT
 * folder, whose adapter_config.json says where its base is. Reads configuration and metadata only. */
int model_source_open(struct arena *a, const char *path, struct model_source *out, struct model_config *config,
                      struct error *err) MUST_USE;
/* Takes the adapter of a PEFT folder to an opened source, in place of its own if it has one. */
int model_source_adapt(struct arena *a, const char *folder, struct model_source *source, struct model_config *config,
                       struct error *err) MUST_USE;
/* Loads the weights (and the source's adapter): every tensor present once, of the right shape, finite (a NaN is an
 * error that names the tensor); one tensor in memory at a time. */
int model_load(struct arena *a, struct device *d, const struct model_source *source, const struct model_config *config,
               int positions, struct model **out, struct error *err) MUST_USE;
/* The same as a model that is never trained. */
int model_load_fixed(struct arena *a, struct device *d, const struct model_source *source,
                     const struct model_config *config, int positions, struct model **out, struct error *err) MUST_USE;

enum save_type { SAVE_F32, SAVE_BF16, SAVE_F16, SAVE_Q8_0 /* GGUF alone */ };
/* Writes config.json, model.safetensors (sharded above 4 GB with an index), generation_config.json into an existing
   folder; copies tokenizer files of the source folder. (The tokenizer of a GGUF source is written by text/, called from
   above.) Each file is written atomically. */
int model_save(const struct model *m, const struct model_source *source, const char *folder, enum save_type type,
               struct error *err) MUST_USE;

#endif
