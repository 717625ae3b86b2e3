/* model/decoder_internal: what the decoder's files share: where activations lie, and a layer's two halves.
 *
 * All activations are views of one buffer. A decoder that trains keeps, of each layer, what its backward cannot get
 * back by an elementwise operation; norms' outputs, the gated product and rotated QK-normed projections are computed
 * again (same operations, same bits). With recompute only the layer's input is kept and the rest is one layer's worth,
 * filled again layer by layer on the way back.
 */
#ifndef ASSAY_MODEL_DECODER_INTERNAL_H
#define ASSAY_MODEL_DECODER_INTERNAL_H

#include "model/decoder.h"

/* Offsets in the buffer, in reals. M, H, P: the options' maxima; C, F, V as in backend.h; Q = heads * D,
   K = kv_heads * D. */
struct decoder_layout {
  size_t x;                             /* [M, C], layer 0's input; the next one x_step further */
  size_t mid, q, k, o, stat, gate, up;  /* layer 0's; those of the next layer_step further */
  size_t attn_out, mlp_out;             /* with norms behind branches: what these norms read, [M, C] */
  size_t x_step, layer_step;            /* 0 where all layers share */
  size_t h, r;                          /* normed rows [M, C] and their 1/rms [M] */
  size_t q_rotated, k_rotated, r_heads; /* QK-norm: [M, Q], [M, K], [M, heads]; without it q and k themselves */
  size_t v, act;                        /* [M, K]; [M, F] */
  size_t narrow;                        /* [M, r], with an adapter */
  size_t dx, dh, dout, dq, dk, dv;      /* training: [M, C] twice, [M, Q] twice, [M, K] twice */
  size_t dk_raw;                        /* training with QK-norm: [M, K] */
  size_t head_hidden, head_grad, logits, head_stat, logp, entropy; /* [H, C] twice, [H, chunk or V], [H, 3], [P], [H] */
  size_t row_logits, row_extra;                                    /* [row_block, V] each; the second for training */
  size_t reals;
};

struct decoder {
  const struct model *model;
  struct device *device;
  const struct backend_ops *ops;
  struct decoder_options options; /* vocab_chunk filled in */
  struct decoder_layout at;
  struct buffer *buffer;
  /* the last forward */
  int32_t rows, head_rows;
  bool hidden; /* h holds the final hidden states */
  bool kept;   /* activations are there for decoder_backward */
  bool scored; /* head_stat belongs to it, at this temperature: */
  double temperature;
  const struct decoder_tap *tap;
  int32_t *block_pair; /* [P] pairs of a block of head rows, by its own rows; where row_block is set */
};

/* What a layer reads and writes in one pass. */
struct layer_pass {
  const struct decoder *d;
  const struct model_layer *w;
  int layer;
  const struct rows *rows;
  struct kv *kv;
  struct view x, mid, next; /* input; after attention; after the MLP (next may be x: x is dead by then) */
  struct view q, k;         /* projections: rotated in place, or as QK-norm's input */
  struct view o, stat, gate, up;
  struct view attn_out, mlp_out; /* what a branch gave, where a norm follows it */
};

static inline struct view decoder_view(const struct decoder *d, size_t at)
{
  return (struct view){d->buffer, at};
}

/* The views of a layer in a pass that keeps activations, or in one that does not. */
struct layer_pass layer_pass_at(const struct decoder *d, int layer, bool keep, const struct rows *rows, struct kv *kv);

/* y = x W + b, dx (+)= dy W, and the gradients of what trains: of a product of this layer, its adapter included. The
   backward's two are called with the same dy; x is that of the forward. */
void layer_linear(const struct layer_pass *p, enum adapter_target which, struct view x, struct view y);
void layer_linear_dx(const struct layer_pass *p, enum adapter_target which, struct view dy, struct view dx,
                     bool accumulate);
void layer_linear_dw(const struct layer_pass *p, enum adapter_target which, struct view dy, struct view x);

/* mid = x + attention(norm(x)); K and V of the rows go into kv. again: before the backward; kv holds them already. */
void layer_attention_forward(const struct layer_pass *p, bool again);
/* dx: from the gradient of mid to that of x. grad: this layer's dK and dV, complete for the pass's rows afterwards. */
void layer_attention_backward(const struct layer_pass *p, const int32_t *kv_slot, struct kv_grad_view grad);
/* next = mid + mlp(norm(mid)). again: only what the backward reads. */
void layer_mlp_forward(const struct layer_pass *p, bool again);
/* dx: from the gradient of next to that of mid. */
void layer_mlp_backward(const struct layer_pass *p);

/* What a branch reads of x: norm(x) in h, or x itself where the family has no norm there. */
struct view layer_enter(const struct layer_pass *p, const struct weight *norm, struct view x);
/* dx += the gradient of what layer_enter gave, which stands in dh. */
void layer_enter_backward(const struct layer_pass *p, struct weight *norm, struct view x);
/* to = x + what the branch gave, normed and scaled as the family wants it. out: where the branch's last product goes,
   layer_out(p, norm, out, to). */
struct view layer_out(const struct weight *norm, struct view out, struct view to);
void layer_leave(const struct layer_pass *p, const struct weight *norm, struct view out, struct view x, struct view to);
/* The gradient of the branch's last product, from that of the sum in dx: dx itself, or dh. */
struct view layer_leave_backward(const struct layer_pass *p, struct weight *norm, struct view out);

/* hidden = norm(x), then the head's rows gathered. */
void decoder_norm_forward(const struct decoder *d, struct view x, const struct head_rows *head);
/* dx: from the head's coefficients to the gradient of x, the last layer's output. */
int decoder_norm_backward(struct decoder *d, struct view x, const struct decoder_backward_input *in,
                          struct error *err) MUST_USE;
/* Hands out rows of x, the output of `layer` layers, if the tap names it; at: scratch of [M, C]. */
void decoder_tap_rows(const struct decoder *d, int layer, struct view x, struct view scratch);

/* ERROR_INPUT or ERROR_BUG where rows or head do not fit the decoder. */
int decoder_check_rows(const struct decoder *d, const struct rows *rows, struct error *err) MUST_USE;
int decoder_check_head(const struct decoder *d, int32_t rows, const struct head_rows *head, struct error *err) MUST_USE;

struct decoder_gradients {
  struct device *device;
  const struct backend_ops *ops;
  int layers, kv_slots, embed_slots;
  size_t kv_width, hidden; /* K, C */
  struct buffer *buffer;   /* dK [layers, kv_slots, K], dV the same, the embedding's [embed_slots, C] */
};

struct kv_grad_view decoder_gradients_layer(const struct decoder_gradients *g, int layer);
struct view decoder_gradients_embed(const struct decoder_gradients *g);

#endif
