/* rollout/gguf_tokenizer: the tokenizer that a GGUF file's metadata describes, handed from model/gguf to
 * text/tokenizer. */
#ifndef ASSAY_ROLLOUT_GGUF_TOKENIZER_H
#define ASSAY_ROLLOUT_GGUF_TOKENIZER_H

#include "text/tokenizer.h"

struct gguf;

/* Does the file say anything of a tokenizer? "none" is nothing. */
bool gguf_has_tokenizer(const struct gguf *g);
/* ERROR_INPUT where the file holds no tokenizer, or one of a kind that is not supported. */
int gguf_tokenizer_open(struct arena *a, const struct gguf *g, const char *file, struct tokenizer **out,
                        struct error *err) MUST_USE;

#endif
