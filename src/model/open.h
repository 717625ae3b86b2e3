/* model/open: what lies behind model.h's opening, loading and saving, for those who need one step of it. */
#ifndef ASSAY_MODEL_OPEN_H
#define ASSAY_MODEL_OPEN_H

#include "model/gguf.h"
#include "model/model.h"

/* Finds out what a path is: sets path and folder or gguf_path, reads nothing. A folder without config.json is taken for
   a run if it has checkpoints/, else it is an error. */
int model_source_locate(struct arena *a, const char *path, struct model_source *out, struct error *err) MUST_USE;

int model_config_from_gguf(const struct gguf *g, struct model_config *out, struct error *err) MUST_USE;
/* Whether llama.cpp takes hidden / heads for Gemma's query_pre_attn_scalar in a model of so many layers, not head_dim.
 */
bool model_gguf_wide_scalar(const struct model_config *c);
int model_end_ids_from_gguf(struct arena *a, const struct gguf *g, int **ids, size_t *count,
                            struct error *err) MUST_USE;

/* model_save with shards of at most limit bytes of data (a larger tensor has one to itself). */
int model_save_sharded(const struct model *m, const struct model_source *source, const char *folder,
                       enum save_type type, uint64_t limit, struct error *err) MUST_USE;

/* ---- weights as files have them, for those who need no model ---- */

struct model_tensor;
struct model_reader;
/* Checks that every weight of the configuration is there, in shape and type; the files stay mapped until the arena
   resets. An adapter of the source is not looked at (adapter_reader). */
int model_reader_open(struct arena *a, const struct model_source *source, const struct model_config *config,
                      struct model_reader **out, struct error *err) MUST_USE;
/* Rows row .. row+count-1 (of a vector all) in the order of Hugging Face; finite, or an error that names the tensor. */
int model_reader_rows(const struct model_reader *r, const struct model_tensor *t, size_t row, size_t count, float *to,
                      struct error *err) MUST_USE;

/* ---- saving tensors that need not be weights ---- */

#define SAVE_SHARD_BYTES 4000000000u
struct save_tensor {
  const char *name;
  size_t rows, cols; /* a tensor of one column is written with rank 1 */
};
struct save_tensors {
  const char *stem; /* of the files: "model", "adapter_model" */
  const struct save_tensor *tensors;
  size_t count;
  bool whole; /* read is asked for all rows of a tensor at once */
  /* rows row .. row+count-1 of tensor `index`; in order of tensors, and in each of rows */
  int (*read)(void *arg, size_t index, size_t row, size_t count, float *to, struct error *err);
  void *arg;
};
/* One file, or shards of at most limit bytes and an index. */
int save_tensors(struct arena *a, const struct save_tensors *from, const char *folder, enum save_type type,
                 uint64_t limit, struct error *err) MUST_USE;
/* Copies what tokenizers of transformers read; from NULL: nothing. */
int save_tokenizer_files(struct arena *a, const char *from, const char *folder, struct error *err) MUST_USE;
/* The same, generation_config.json and, last, config.json. */
int save_side_files(struct arena *a, const struct model_config *c, const struct model_source *source,
                    const char *folder, enum save_type type, struct error *err) MUST_USE;

/* Loads SRC and saves it into the folder DST, which is made, an adapter folded into its base, in files of at most
   `limit` bytes (0: 4 GB). source, if not NULL, is set to what was opened (in arena a), for whoever writes the
   tokenizer of a GGUF source. A GGUF file is written by gguf_write_model. */
int model_convert(struct arena *a, struct device *d, const char *src, const char *dst, enum save_type type,
                  uint64_t limit, struct model_source *source, struct error *err) MUST_USE;

#endif
