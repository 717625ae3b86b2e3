/* train/recipe_parts: what the recipe's reader and writer share. */
#ifndef ASSAY_TRAIN_RECIPE_PARTS_H
#define ASSAY_TRAIN_RECIPE_PARTS_H

#include "train/recipe.h"

/* Keys that this kind of run reads: sft has no rollout and reward; train.batch and train.max_tokens are sft's. */
bool recipe_key_applies(const struct recipe_key *key, enum recipe_kind kind);
/* "rollout.group", or "seed". */
void recipe_key_path(const struct recipe_key *key, char *buf, size_t size);

#endif
