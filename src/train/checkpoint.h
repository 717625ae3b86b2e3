/* train/checkpoint: a run that is killed at any instant goes on from its last checkpoint with the same bits (law 2).
 *
 * checkpoints/000020/ is a Hugging Face directory (model, tokenizer, template), or of a run with lora a PEFT folder
 * (adapter, tokenizer, template; the base is where it was), plus
 *   state.bin      what the weights alone do not say: AdamW's moments, f32 masters where the weights were saved
 * narrower, counters, methods' state. No times: its SHA-256 is the `state` hash of CONTRACT.md.
 *   README.md      the model card (train/card.h)
 *   checksums.txt  SHA-256 of every other file, as sha256sum writes it
 * It is written under another name, synced, and renamed when whole.
 * state.bin: "ASSAYST1", then sections (name length u32, name, size u64, bytes), little-endian.
 */
#ifndef ASSAY_TRAIN_CHECKPOINT_H
#define ASSAY_TRAIN_CHECKPOINT_H

#include "model/model.h"
#include "text/tokenizer.h"

struct checkpoint_blob {
  const char *name; /* "method/grpo", "history": unique */
  const void *bytes;
  size_t size;
};

struct checkpoint {
  int64_t step;    /* steps finished */
  int64_t updates; /* AdamW's t */
  int64_t weight_version;
  int64_t data_position;
  char identity[65]; /* SHA-256 of the recipe's unchangeable part: which run this belongs to */
  struct checkpoint_blob *blobs;
  size_t blob_count;
  /* saving: other weights that a resume needs, by name ("ema") */
  struct checkpoint_weights {
    const char *name;
    const struct model *model;
  } weights[4];
  size_t weights_count;
  const char *card; /* saving: README.md; NULL: none */
};

/* Writes run/checkpoints/STEP. state_hash: [65]. A full disk leaves the checkpoints before it as they were. */
int checkpoint_save(struct arena *a, const char *run, const struct model *m, const struct model_source *source,
                    const struct tokenizer *tokenizer, const struct checkpoint *c, enum save_type type,
                    char state_hash[65], struct error *err) MUST_USE;
/* Deletes all but the newest `keep` checkpoints (0: keeps all), and what an interrupted save left. best: a step that is
 * kept too, -1: none. */
int checkpoint_prune(struct arena *a, const char *run, int keep, int64_t best, struct error *err) MUST_USE;
/* The newest whole checkpoint of a run: *folder NULL where there is none. */
int checkpoint_last(struct arena *a, const char *run, const char **folder, int64_t *step, struct error *err) MUST_USE;
/* Checks checksums.txt, reads state.bin and puts moments (and masters) into a trainable model of the same weights that
   train; blobs live in the arena. identity: what the run expects, or NULL. A checkpoint of another model or run is
   ERROR_INPUT. */
int checkpoint_load(struct arena *a, const char *folder, const char *identity, struct model *m, struct checkpoint *out,
                    struct error *err) MUST_USE;
/* Puts the other weights of this name into a model of the same shape; *found says whether there are any. After
 * checkpoint_load, which has looked at the checksums. */
int checkpoint_load_weights(struct arena *a, const char *folder, const char *name, struct model *m, bool *found,
                            struct error *err) MUST_USE;
/* SHA-256 of folder/state.bin. */
int checkpoint_state_hash(struct arena *a, const char *folder, char hex[65], struct error *err) MUST_USE;

#endif
