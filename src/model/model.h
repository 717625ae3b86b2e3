/* model/model: a decoder by configuration and its weights, as opaque backend objects.
 *
 * One decoder covers Llama, SmolLM, Mistral (window), Qwen2/2.5 (biases, tied) and Qwen3 (QK-norm). Weights are known
 * by their Hugging Face names ("model.layers.0.self_attn.q_proj.weight"); rotary halves are in the Hugging Face order
 * (GGUF's interleaved rows are put right on loading).
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

struct model_config {
  char architecture[64]; /* "LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM" */
  char model_type[32];   /* "llama", "mistral", "qwen2", "qwen3" */
  int vocab;             /* V */
  int hidden;            /* C */
  int layers;
  int heads, kv_heads, head_dim;
  int ffn;                /* F */
  int max_positions;      /* max_position_embeddings: the longest path */
  int window;             /* sliding window, 0: none */
  int window_layers_from; /* layers with index >= this use the window (qwen2 max_window_layers); 0: all */
  double norm_eps, rope_theta;
  bool qkv_bias, o_bias, mlp_bias, qk_norm, tied;
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
  struct buffer *rope; /* cos, sin: [rope_positions, head_dim/2, 2] */
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
