/* model/layout: the one list of a decoder's weights: their names in both file formats, shapes, and place in struct
 * model. Everything that walks over weights (creation, loading, byte counts) walks over this list, so that a weight
 * cannot be counted and not loaded. */
#ifndef ASSAY_MODEL_LAYOUT_H
#define ASSAY_MODEL_LAYOUT_H

#include "model/model.h"

struct model_tensor {
  char name[96];      /* Hugging Face: "model.layers.3.mlp.up_proj.weight" */
  char gguf_name[64]; /* GGUF: "blk.3.ffn_up.weight" */
  enum weight_kind kind;
  size_t n, k;       /* [n, k]; a vector has k = 1 */
  int layer;         /* -1: not in a layer */
  size_t slot;       /* offset of its pointer in struct model_layer, or in struct model */
  size_t rotary_dim; /* > 0: rows come in heads of so many, whose rotated halves GGUF interleaves in some families */
  bool norm;         /* a norm's scale */
  /* Where files hold it: under its own names, or as rows stored_row .. stored_row+n-1 of a joined matrix with
     stored_rows rows under these (Phi-3's qkv_proj and gate_up_proj). */
  char stored[96], stored_gguf[64];
  size_t stored_row, stored_rows;
  int part, parts; /* which of how many it is there; they stand behind each other in the list */
};

size_t model_tensor_count(const struct model_config *c);
/* Whether GGUF files of this family interleave a head's rotated halves (llama.cpp's LlamaModel.permute). */
bool model_gguf_interleaves(const struct model_config *c);
/* i < model_tensor_count. The order is fixed: embedding, layers, norm, head or score. */
void model_tensor_at(const struct model_config *c, size_t i, struct model_tensor *out);

/* In which blocks the weight stays where it is never trained (config.keep), or QUANT_NONE. */
enum quant_type model_tensor_quant(const struct model_config *c, const struct model_tensor *t);

#endif
