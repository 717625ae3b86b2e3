/* train/recipe_parts: what the recipe's reader and writer share. */
#ifndef ASSAY_TRAIN_RECIPE_PARTS_H
#define ASSAY_TRAIN_RECIPE_PARTS_H

#include "train/recipe.h"

/* Keys that this kind of run reads: sft has no rollout and reward; train.batch and train.max_tokens are sft's. */
bool recipe_key_applies(const struct recipe_key *key, enum recipe_kind kind);
/* "rollout.group", or "seed". */
/* The group `reward` (NULL: absent) beyond its keys, once data and methods are read. */
int recipe_read_reward(struct arena *a, const struct yaml_node *reward, struct recipe *r, struct error *err) MUST_USE;
void recipe_key_path(const struct recipe_key *key, char *buf, size_t size);
/* YAML in double quotes, with an escape for whatever YAML does not allow as it stands (core/json's strings leave DEL,
 * C1 and noncharacters alone). */
void recipe_put_quoted(struct text *t, const char *s);

#endif
