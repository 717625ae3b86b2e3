/* model/open: what lies behind model.h's opening, loading and saving, for those who need one step of it. */
#ifndef ASSAY_MODEL_OPEN_H
#define ASSAY_MODEL_OPEN_H

#include "model/gguf.h"
#include "model/model.h"

/* Finds out what a path is: sets path and folder or gguf_path, reads nothing. A folder without config.json is taken for
   a run if it has checkpoints/, else it is an error. */
int model_source_locate(struct arena *a, const char *path, struct model_source *out, struct error *err) MUST_USE;

int model_config_from_gguf(const struct gguf *g, struct model_config *out, struct error *err) MUST_USE;
int model_end_ids_from_gguf(struct arena *a, const struct gguf *g, int **ids, size_t *count,
                            struct error *err) MUST_USE;

/* model_save with shards of at most limit bytes of data (a larger tensor has one to itself). */
int model_save_sharded(const struct model *m, const struct model_source *source, const char *folder,
                       enum save_type type, uint64_t limit, struct error *err) MUST_USE;

/* Loads SRC and saves it into the folder DST, which is made, in files of at most `limit` bytes (0: 4 GB). source, if
   not NULL, is set to what was opened (in arena a), for whoever writes the tokenizer of a GGUF source. A GGUF file is
   written by gguf_write_model. */
int model_convert(struct arena *a, struct device *d, const char *src, const char *dst, enum save_type type,
                  uint64_t limit, struct model_source *source, struct error *err) MUST_USE;

#endif
