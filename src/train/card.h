/* train/card: a checkpoint's README.md, a model card as Hugging Face's hub reads it: what was trained, from what, how,
 * with what figures, and how to load it. It follows from recipe, step and figures alone: no time, no machine, so equal
 * runs have equal cards, whatever the threads and wherever they were stopped and resumed.
 *
 * Names come from outside (files, models, methods): in YAML they stand in double quotes, in Markdown as code.
 */
#ifndef ASSAY_TRAIN_CARD_H
#define ASSAY_TRAIN_CARD_H

#include "train/ledger.h"
#include "train/recipe.h"

struct card {
  const struct recipe *recipe;
  const char *license;           /* of the start model; NULL: it names none */
  const struct metrics *metrics; /* of the last step; without a row: none yet */
  const struct ledger *ledger;   /* evaluations */
  int64_t step;                  /* steps finished */
  bool adapter;                  /* the folder is PEFT's */
  bool scores;                   /* a reward model */
};

/* What the start model says of its license: `license:` in its README.md's front matter, "license" in its config.json,
   general.license of a GGUF file. NULL where it says nothing that could be an identifier ("apache-2.0"). Lives in a. */
int card_license(struct arena *a, const struct model_source *source, const char **out, struct error *err) MUST_USE;

/* The card up to the weights' hash, and that. text_finish tells whether memory was lacking. */
void card_put(const struct card *c, struct text *out);
void card_put_weights(const char *hash, struct text *out);

#endif
