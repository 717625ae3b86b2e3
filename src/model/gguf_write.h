/* model/gguf_write: a model as a GGUF file, version 3, little-endian, that llama.cpp loads.
 *
 * Metadata pairs are collected first (struct gguf_pairs), then the file is written from front to back; a tensor's rows
 * are asked for when their turn comes, so a piece of one tensor is in memory and no more. Matrices come in the type
 * asked for, norms and biases in F32; in Q8_0 a matrix whose rows are no multiple of 32 is F16. Rotary rows are put
 * into the order in which llama.cpp wants them. */
#ifndef ASSAY_MODEL_GGUF_WRITE_H
#define ASSAY_MODEL_GGUF_WRITE_H

#include "core/json.h"
#include "model/gguf.h"
#include "model/layout.h"

struct gguf_pairs {
  struct text bytes;
  uint64_t count;
};
void gguf_pairs_free(struct gguf_pairs *p);
void gguf_put_u32(struct gguf_pairs *p, const char *key, uint32_t x);
void gguf_put_f32(struct gguf_pairs *p, const char *key, float x);
void gguf_put_bool(struct gguf_pairs *p, const char *key, bool x);
void gguf_put_string(struct gguf_pairs *p, const char *key, const char *bytes, size_t n);
void gguf_put_reals(struct gguf_pairs *p, const char *key, const float *x, size_t n);
void gguf_put_ints(struct gguf_pairs *p, const char *key, const int32_t *x, size_t n);
/* An array of strings: so many calls of gguf_put_item have to follow. */
void gguf_put_strings(struct gguf_pairs *p, const char *key, size_t count);
void gguf_put_item(struct gguf_pairs *p, const char *bytes, size_t n);
/* Every pair of a file whose key begins so, as it stands there. */
void gguf_copy_pairs(struct gguf_pairs *p, const struct gguf *from, const char *prefix);

/* Rows row .. row+count-1 of a weight (a vector: all of it), in f32. */
typedef int gguf_rows_fn(void *arg, const struct model_tensor *t, size_t row, size_t count, float *to,
                         struct error *err);

/* Writes the file atomically. extra: pairs beside the configuration's (tokenizer, name). from: the GGUF file that the
   weights are of, or NULL: what it holds in the type wanted is copied bit for bit. ERROR_INPUT names what of the
   configuration GGUF has no word for. */
int gguf_write_model(struct arena *a, const char *path, const struct model_config *c, enum save_type type,
                     const struct gguf_pairs *extra, const struct gguf *from, gguf_rows_fn *rows, void *arg,
                     struct error *err) MUST_USE;

#endif
