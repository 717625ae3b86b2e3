/* model/decoder: the one forward, and its backward.
 *
 * Prefill, decode, scoring and training call decoder_forward with struct rows (law 1). A pass is:
 *
 *     decoder_forward   x = embed(token); each layer: x += attention(norm(x)), x += mlp(norm(x)); hidden = norm(x)
 *     decoder_score     or decoder_sample: the fused LM head on the rows that need it
 *     decoder_backward  from coefficients on log-probabilities and entropies to the weights' gradients
 *
 * A `struct decoder` is a workspace for passes of at most max_rows rows: activations are allocated once, when it is
 * created, and decoder_bytes says how many before that. For training, what the backward needs is kept: with recompute,
 * only each layer's input, and the rest of a layer is computed again (the same bits) just before its backward.
 */
#ifndef ASSAY_MODEL_DECODER_H
#define ASSAY_MODEL_DECODER_H

#include "model/model.h"

struct decoder;

struct decoder_options {
  int max_rows;      /* M of the largest pass */
  int max_head_rows; /* H of the largest pass */
  int max_pairs;     /* P of the largest pass */
  bool train;        /* keep activations for decoder_backward */
  bool recompute;    /* train: keep layer inputs only (memory knob) */
  bool sample;       /* logits scratch of max_head_rows * V for decoder_sample and decoder_top */
  int vocab_chunk;   /* LM head rows held at a time, multiple of 32 (memory knob); 0: 8192 */
  int row_block;     /* whole rows of logits held at a time, for decoder_logits and terms on rows; 0: none */
  /* where activations lie: at least decoder_reals() reals, which others may use between passes; NULL: its own buffer */
  struct buffer *buffer;
};

size_t decoder_reals(const struct model_config *c, const struct decoder_options *o);
/* With a buffer of its own. */
size_t decoder_bytes(const struct model_config *c, const struct decoder_options *o, size_t real_size);
int decoder_create(struct arena *a, const struct model *m, const struct decoder_options *o, struct decoder **out,
                   struct error *err) MUST_USE;

/* States that the next decoder_forward hands out on its way: rows `row` of the outputs of some layers, as f32. For
 * passes that keep nothing. */
struct decoder_tap {
  int32_t layer_count, count;
  const int32_t *layers; /* [layer_count] as in decoder_hidden, ascending but for -1, which stands last */
  const int32_t *row;    /* [count] rows of the pass */
  float *to;             /* [layer_count][count, C] */
};
void decoder_set_tap(struct decoder *d, const struct decoder_tap *tap); /* alive until the forward is over */

/* Runs the rows through all layers; K and V of every row are stored in kv. Afterwards the final normed hidden states
   are held by the decoder. keep: keep activations for decoder_backward (needs options.train). head: which rows will
   need the LM head (their hidden states are gathered); NULL: none (the last layer's MLP of a pure prefill is still
   computed: one forward). Fails where a token id or position is out of range, or max_rows is exceeded. */
int decoder_forward(struct decoder *d, const struct rows *rows, struct kv *kv, const struct head_rows *head, bool keep,
                    struct error *err) MUST_USE;

/* After decoder_forward with the same head. logp [P], entropy [H]: the device's reals as f64; NULLs are skipped. */
int decoder_score(struct decoder *d, double temperature, const struct head_rows *head, double *logp, double *entropy,
                  struct error *err) MUST_USE;
/* One token for each head row. params, out: [H]. */
int decoder_sample(struct decoder *d, double record_temperature, const struct head_rows *head,
                   const struct sample_params *params, struct sample_result *out, struct error *err) MUST_USE;
/* The same in two halves (sample_start, sample_take): between them the next pass may be started, with rows whose tokens
   are those that this one draws (rows.drawn). out: [H] of the oldest draw. */
int decoder_draw(struct decoder *d, double record_temperature, const struct head_rows *head,
                 const struct sample_params *params, struct error *err) MUST_USE;
int decoder_take(struct decoder *d, struct sample_result *out, struct error *err) MUST_USE;
void decoder_drop(struct decoder *d); /* what was started and not taken */
int decoder_top(struct decoder *d, double temperature, const struct head_rows *head, int k, int32_t *ids, float *logp,
                struct error *err) MUST_USE;
/* Logits divided by the temperature (z of head_score) of head rows first .. first+count-1, whole: [count, V]. count is
 * at most options.row_block. */
int decoder_logits(struct decoder *d, double temperature, const struct head_rows *head, int32_t first, int32_t count,
                   double *z, struct error *err) MUST_USE;
/* Raw logits [n] to z, as head_score divides them. */
void decoder_scale_logits(struct device *device, double temperature, size_t n, double *z);
/* Hidden states after `layer` layers (0: embedding, config.layers: last layer before the norm, -1: after the final
   norm) of the last forward, [M, C]. Only -1 where it kept no activations; none after decoder_backward. */
int decoder_hidden(struct decoder *d, int layer, void *to, enum host_type type, struct error *err) MUST_USE;

/* Where gradients that outlive a pass are gathered: dK and dV of positions by slot, and the embedding's sparse
 * accumulator. One per optimiser step (mini-batch). */
struct decoder_gradients;
/* kv_slots: distinct tree positions alive at once. embed_slots: distinct tokens of a mini-batch; 0 where an adapter is
   trained, as the embedding is frozen then. All zero at first. */
int decoder_gradients_create(struct arena *a, const struct model *m, int kv_slots, int embed_slots,
                             struct decoder_gradients **out, struct error *err) MUST_USE;
size_t decoder_gradients_bytes(const struct model_config *c, int kv_slots, int embed_slots, size_t real_size);
/* Zeroes slots first .. first+count-1 of dK and dV in all layers: a node's, before its first descendant's backward. */
void decoder_gradients_clear_slots(struct decoder_gradients *g, int first, int count);

/* Gradients that come from elsewhere than coefficients on log-probabilities and entropies. */
struct decoder_terms {
  /* Terms on whole rows, in blocks of options.row_block head rows: extra [count, V] gets dL/dz of rows first ..
     first+count-1 (zero at first; *any says whether something was written). It may call decoder_logits. NULL: none. */
  int (*rows)(void *arg, int32_t first, int32_t count, double *extra, bool *any, struct error *err);
  void *arg;
  double *extra;             /* [row_block, V], where rows is set */
  const double *hidden_grad; /* [H, C] dL/dhidden (value head), or NULL */
};

struct decoder_backward_input {
  const struct head_rows *head;
  double temperature;
  const double *coef;         /* [P] dL/dlogp */
  const double *entropy_coef; /* [H] dL/dentropy, or NULL */
  const int32_t *kv_slot;     /* [M] slot of each row: its dK and dV are complete after the pass's attention backward */
  const int32_t *embed_slot;  /* [M] index of the row's token among the mini-batch's distinct tokens */
  const struct decoder_terms *terms; /* or NULL */
};
/* Backward of the last kept forward, once: it uses up the activations. Weight gradients continue their chains over rows
   in row order; rows of the pass must be in post-order (a segment's rows after those of its descendants). dK, dV of
   ancestors outside the pass are added into their slots. */
int decoder_backward(struct decoder *d, const struct rows *rows, struct kv *kv, const struct decoder_backward_input *in,
                     struct decoder_gradients *g, struct error *err) MUST_USE;
/* Once after the last pass of the mini-batch: the embedding's accumulator joins the weight's gradient and is zero
   again. token_ids: [count] the token of each embedding slot. */
int decoder_gradients_join(struct decoder_gradients *g, struct model *m, const int32_t *token_ids, int count,
                           struct error *err) MUST_USE;

#endif
