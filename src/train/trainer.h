/* train/trainer: forward, backward and update of a training batch, micro-batch by micro-batch.
 *
 *     batch_build     -> trainer_score      log-probabilities of the targets (no gradients)
 *                     -> trainer_backward   gradients of sum_targets coef * logp + sum_targets entropy_coef * entropy,
 * and the log-probabilities on the way
 *                     -> trainer_update     global norm, clipping, AdamW; the weights' version moves on
 *
 * Workspace and KV pool are a workroom of the trainer's own or one that it shares with a generator; gradients that
 * outlive a pass are its own. All are sized when it is made, by trainer_sizes.
 */
#ifndef ASSAY_TRAIN_TRAINER_H
#define ASSAY_TRAIN_TRAINER_H

#include "rollout/workroom.h"
#include "train/batch.h"
#include "train/rows.h"

struct trainer_options {
  int micro_rows;          /* rows of a micro-batch: a multiple of BATCH_UNIT_ROWS (memory knob) */
  int row_block;           /* batch.h; 0: that of the compute type */
  int max_path;            /* positions of the longest path */
  int max_leaves;          /* most paths of a batch */
  int max_prompts;         /* most different prompts of them; 0: as many as leaves */
  int max_prompt, max_new; /* longest prompt and answer: bounds on distinct tokens */
  int kv_block, vocab_chunk;
  bool recompute;        /* memory knobs */
  bool train;            /* false: only trainer_score and trainer_read will be called */
  bool rows;             /* functions of whole rows will be asked for */
  struct workroom *room; /* NULL: its own */
};

struct trainer_sizes {
  struct decoder_options decoder;
  int kv_blocks, kv_slots, ahead_slots, embed_slots;
};

struct optimiser {
  double beta1, beta2, eps, weight_decay;
  double clip_norm; /* 0: off */
};

/* What has been done, for metrics: rows of tokens, and rows of padding apart. */
struct trainer_counts {
  uint64_t rows_forward, rows_backward, rows_recomputed, rows_padding;
};

struct trainer {
  const struct model *model;
  struct model *trained; /* the same, writable; NULL where train is off */
  struct trainer_options options;
  struct trainer_sizes sizes;
  struct decoder *decoder;
  struct kv_space *kv;
  struct decoder_gradients *gradients;
  int64_t weight_version;       /* moves by one with every update */
  int64_t updates;              /* AdamW's t */
  struct trainer_counts counts; /* since trainer_clear_counts */
};

/* Rows of a micro-batch, at most `most` and a multiple of BATCH_UNIT_ROWS, beyond which products gain little and
   activations cost much: what is taken where nobody says otherwise. */
int trainer_enough_rows(const struct model_config *c, int most);
void trainer_plan(const struct model_config *c, const struct trainer_options *o, enum compute_type type,
                  struct trainer_sizes *out);
/* What it needs of a workroom. */
struct workroom_size trainer_workroom(const struct model_config *c, const struct trainer_options *o,
                                      enum compute_type type);
/* With a workroom of its own: workspace, KV and gradients that outlive a pass; weights, their gradients and moments are
 * the model's. */
size_t trainer_bytes(const struct model_config *c, const struct trainer_options *o, enum compute_type type);
int trainer_create(struct arena *a, struct model *m, const struct trainer_options *o, struct trainer **out,
                   struct error *err) MUST_USE;

/* batch_build's options with the trainer's own knobs, and a call with these. */
struct batch_options trainer_batch_options(const struct trainer *t);
int trainer_batch(const struct trainer *t, struct arena *a, const struct tree *tree, const struct batch_path *paths,
                  int32_t path_count, struct batch **out, struct error *err) MUST_USE;

/* logp, entropy: [batch->target_count], f64 holding f32 values; NaN where not wanted. entropy may be NULL. */
int trainer_score(struct trainer *t, struct arena *a, const struct batch *b, double temperature, double *logp,
                  double *entropy, struct error *err) MUST_USE;
/* coef: [target_count] dL/dlogp; entropy_coef: [target_count] dL/dentropy of the distribution before each target, or
 * NULL. Gradients are added to the weights'. */
int trainer_backward(struct trainer *t, struct arena *a, const struct batch *b, double temperature, const double *coef,
                     const double *entropy_coef, double *logp, double *entropy, struct error *err) MUST_USE;

/* What a scoring pass is to read. States are those at a token, after it was read: they predict the next one. */
struct trainer_reading {
  double *logp, *entropy;          /* [target_count] or NULL */
  int32_t layer_count;             /* 0: no states */
  const int32_t *layers;           /* [layer_count] of decoder_tap */
  const int32_t *state;            /* [target_count] place of a token's state, -1: not wanted */
  int32_t state_count;             /* places */
  float *states;                   /* [layer_count][state_count, width] */
  const struct trainer_rows *rows; /* or NULL; targets that it looks at must be wanted in the batch */
};
int trainer_read(struct trainer *t, struct arena *a, const struct batch *b, double temperature,
                 const struct trainer_reading *out, struct error *err) MUST_USE;

/* All gradients that there are; those of trainer_backward, and: */
struct trainer_gradient {
  const double *coef, *entropy_coef;
  const struct trainer_rows *rows; /* adds dL/dz, or NULL */
  const double *state_coef;        /* [target_count] dL/d(v . direction), v the last hidden state before the target */
  const double *direction;         /* [width]; NULL: none */
};
int trainer_differentiate(struct trainer *t, struct arena *a, const struct batch *b, double temperature,
                          const struct trainer_gradient *in, double *logp, double *entropy, struct error *err) MUST_USE;
/* One AdamW step with the gradients gathered; *norm: the global norm before clipping (sqrt of the sum over weights in
   name order). A norm that is not finite is ERROR_INPUT: the weights have not moved. Gradients are zero afterwards. */
int trainer_update(struct trainer *t, const struct optimiser *o, double lr, double *norm, struct error *err) MUST_USE;

#endif
