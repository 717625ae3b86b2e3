/* model/gguf_family: what a family's configuration is in GGUF's words beyond the sizes: scaled rotary positions,
 * windows, factors, caps. Some of it llama.cpp does not read but knows by the architecture and the number of layers; a
 * configuration that differs from that cannot be written. */
#ifndef ASSAY_MODEL_GGUF_FAMILY_H
#define ASSAY_MODEL_GGUF_FAMILY_H

#include "model/gguf_write.h"

const char *gguf_family_name(const struct model_config *c); /* general.architecture; NULL: none */
/* ERROR_INPUT names what GGUF has no word for. */
int gguf_family_check(const struct model_config *c, const char *path, struct error *err) MUST_USE;
void gguf_family_put(struct gguf_pairs *p, const struct model_config *c);

/* Divisors of rotary frequencies, which are tensors there. */
struct gguf_factors {
  const char *name;
  int count;
  float values[ROPE_FACTORS_MAX];
};
/* How many of the two there are. */
size_t gguf_family_factors(const struct model_config *c, struct gguf_factors out[2]);

#endif
