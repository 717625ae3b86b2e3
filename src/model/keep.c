/* Which matrices of a model that is not trained stay in blocks, and of which type. */
#include <string.h>

#include "model/gguf.h"
#include "model/layout.h"

static const struct {
  const char *word;
  enum model_keep keep;
} words[] = {
    {"full", MODEL_KEEP_FULL}, {"keep", MODEL_KEEP_FILE}, {"q8_0", MODEL_KEEP_Q8_0}, {"q4_0", MODEL_KEEP_Q4_0}};

bool model_keep_find(const char *word, enum model_keep *out)
{
  for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
    if (strcmp(word, words[i].word)) continue;
    *out = words[i].keep;
    return true;
  }
  return false;
}

/* What the file has, as far as it can stay. */
static enum quant_type stored_quant(const struct gguf *g, const struct model_tensor *t)
{
  const struct gguf_tensor *x = g ? gguf_find_tensor(g, t->stored_gguf) : NULL;
  if (!x || !quant_known(x->type) || !gguf_can_read(x)) return QUANT_NONE;
  enum quant_type type = (enum quant_type)x->type;
  return t->k % quant_block(type) ? QUANT_NONE : type;
}

enum quant_type model_tensor_quant(const struct model_config *c, const struct model_tensor *t)
{
  if (c->keep == MODEL_KEEP_FULL || t->kind != WEIGHT_MATRIX) return QUANT_NONE;
  const enum quant_type stored = stored_quant(c->keep_from, t);
  if (stored || c->keep == MODEL_KEEP_FILE) return stored;
  const enum quant_type wanted = c->keep == MODEL_KEEP_Q4_0 && t->layer >= 0 ? QUANT_Q4_0 : QUANT_Q8_0;
  return t->k % quant_block(wanted) ? QUANT_NONE : wanted;
}
