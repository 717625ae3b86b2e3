/* model/adapter: low-rank adapters beside a frozen model (LoRA, Hu et al. 2021, eq. 3; rsLoRA, Kalajdzievski 2023).
 *
 *     y = x W^T + b + s (x A^T) B^T        A: [r, K], B: [N, r], s = alpha / r, or alpha / sqrt(r) with rslora
 *
 * The product is never merged into W: W may be rounded or quantised, and is shared with whoever reads the model without
 * the adapter (a reference costs no second copy). The order of summation is part of law 1 and is the same in decoding,
 * scoring and training:
 *
 *     t = (gemm's chain over K of x, A) * (real)s, elementwise
 *     y = gemm(x, W, b), then gemm_dx's chain over r of t and B, begun at y
 *
 * So B is kept transposed, as a matrix [r, N] whose gemm_dx adds t B^T to y where it lies: no second array of the width
 * of y, no pass to add it. AdamW is elementwise and does not see that. Files and hashes have B as PEFT does, [N, r].
 */
#ifndef ASSAY_MODEL_ADAPTER_H
#define ASSAY_MODEL_ADAPTER_H

#include "model/model.h"

/* A and B of one projection of one layer; NULL where the adapter leaves it alone. */
struct adapter_pair {
  struct weight *a, *b; /* [r, K] and, transposed, [r, N] */
};

struct adapter {
  double scale;
  struct adapter_pair (*pairs)[ADAPTER_TARGETS]; /* [layers] */
  struct weight **weights;                       /* sorted by name, "model.layers.0.mlp.up_proj.lora_A.weight" */
  size_t count;
};

/* "q", "k", ...: as recipes name them; "self_attn.q_proj": as checkpoints do, below a layer. */
const char *adapter_target_name(enum adapter_target t);
const char *adapter_target_module(enum adapter_target t);
/* By either name; ADAPTER_TARGETS where there is none. */
enum adapter_target adapter_target_find(const char *name);
/* The target that a weight of the base is under its config.adapter; ADAPTER_TARGETS: it is left alone. */
struct model_tensor;
enum adapter_target adapter_target_of(const struct model_config *c, const struct model_tensor *t);
double adapter_scale(const struct adapter_config *c);

/* For model_create and model_view: weights of config.adapter, zero. */
int adapter_create(struct arena *a, struct model *m, struct error *err) MUST_USE;
/* Bytes of one part (master, gradient, a moment) of all its weights, and of their copies in the compute type. */
size_t adapter_part_bytes(const struct model_config *c, size_t real_size);
size_t adapter_copy_bytes(const struct model_config *c, enum compute_type type);
size_t adapter_parameters(const struct model_config *c);

/* A start: B zero, so that the model is the base; A by config.adapter.init from the seed (RNG_INIT). */
int adapter_randomise(struct model *m, uint64_t seed, struct error *err) MUST_USE;

/* The second model of one base: shares all weights of m, which must outlive it, and has m's adapter as a copy of its
   own (own) or none. Never trained. */
int model_view(struct arena *a, const struct model *m, bool own, struct model **out, struct error *err) MUST_USE;

/* W = W + sign * s B A for all of them: products and sum in f64, rounded once to the weight's type; afterwards the
   model has no adapter. The model's weights must have masters. */
int adapter_fold(struct arena *a, struct model *m, double sign, struct error *err) MUST_USE;

/* A weight of an adapter as files have it: rows and columns, and all its values, row-major. */
bool adapter_is_b(const struct weight *w);
size_t adapter_file_rows(const struct weight *w);
size_t adapter_file_cols(const struct weight *w);
/* scratch: as many floats. */
void adapter_file_read(const struct weight *w, float *to, float *scratch);
void adapter_file_write(struct weight *w, const float *from, float *scratch);

/* rows [count, k] of W, from row `row` on, += factor * (B A)[row ..]: the product a chain over r in f64, the sum
   rounded once. a: [r, k], b: [n, r] as files have them. sum: scratch of [k]. */
void adapter_add_product(const float *a, const float *b, size_t rank, size_t k, size_t row, size_t count, double factor,
                         float *rows, double *sum);

/* ---- PEFT folders: adapter_config.json and adapter_model.safetensors (adapter_file.c) --------------------------- */

/* Is this folder an adapter's? */
bool adapter_folder_is(const char *folder);
/* Reads what adapter_config.json and the tensors' names say. base: base_model_name_or_path, "" where there is none.
   What a forward with it would need and this program lacks (DoRA, other kinds of adapter, modules saved whole, ranks
   that differ by layer) is an ERROR_INPUT that names it. */
int adapter_folder_read(struct arena *a, const char *folder, struct adapter_config *out, const char **base,
                        struct error *err) MUST_USE;
/* An adapter for those who need no model: its product, tensor by tensor. */
struct adapter_reader;
int adapter_reader_open(struct arena *a, const char *folder, const struct model_config *config,
                        struct adapter_reader **out, struct error *err) MUST_USE;
/* rows of t, from row `row` on, += sign * s (B A)[row ..]; nothing where the adapter leaves t alone. */
int adapter_reader_add(struct adapter_reader *r, const struct model_tensor *t, size_t row, size_t count, double sign,
                       float *rows, struct error *err) MUST_USE;

/* Fills m's adapter: every tensor once, of the right shape, finite; none besides. */
int adapter_load(struct model *m, const char *folder, struct error *err) MUST_USE;
/* Writes both files into an existing folder, and copies the base's tokenizer files. source: the base; its path is what
   adapter_config.json calls it. */
int adapter_save(const struct model *m, const struct model_source *source, const char *folder, enum save_type type,
                 struct error *err) MUST_USE;

#endif
