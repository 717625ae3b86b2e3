/* model/layer_linear: the matrix products of a layer, forward and backward, with the adapter's part where there is one.
 *
 *   t = s (x A^T);  y = x W^T + b + t B^T                       (adapter.h)
 *   u = s (dy B);   dx = dy W + u A;  dA = u^T x;  dB = dy^T t
 *
 * t and u are [M, r]. Neither is kept for the backward: both are a hundredth of the product beside them, and the same
 * operations give the same bits.
 */
#include <string.h>

#include "model/adapter.h"
#include "model/decoder_internal.h"

static const struct {
  size_t weight, bias; /* in struct model_layer */
} slots[ADAPTER_TARGETS] = {
    [ADAPTER_Q] = {offsetof(struct model_layer, q), offsetof(struct model_layer, q_bias)},
    [ADAPTER_K] = {offsetof(struct model_layer, k), offsetof(struct model_layer, k_bias)},
    [ADAPTER_V] = {offsetof(struct model_layer, v), offsetof(struct model_layer, v_bias)},
    [ADAPTER_O] = {offsetof(struct model_layer, o), offsetof(struct model_layer, o_bias)},
    [ADAPTER_GATE] = {offsetof(struct model_layer, gate), offsetof(struct model_layer, gate_bias)},
    [ADAPTER_UP] = {offsetof(struct model_layer, up), offsetof(struct model_layer, up_bias)},
    [ADAPTER_DOWN] = {offsetof(struct model_layer, down), offsetof(struct model_layer, down_bias)},
};

static struct weight *slot(const struct layer_pass *p, size_t at)
{
  struct weight *w;
  memcpy(&w, (const char *)p->w + at, sizeof w);
  return w;
}

/* NULL where the model has no adapter for this product. */
static const struct adapter_pair *pair_of(const struct layer_pass *p, enum adapter_target which)
{
  const struct adapter *x = p->d->model->adapter;
  const struct adapter_pair *pair = x ? &x->pairs[p->layer][which] : NULL;
  return pair && pair->a ? pair : NULL;
}

/* s (x W^T), W being A, or B as it is kept: [M, r], in the decoder's scratch for it. */
static struct view narrow(const struct layer_pass *p, const struct weight *w, struct view x)
{
  const struct decoder *d = p->d;
  struct view t = decoder_view(d, d->at.narrow);
  d->ops->gemm(d->device, w, NULL, p->rows->count, x, t);
  d->ops->scale(d->device, (size_t)p->rows->count * weight_rows(w), d->model->adapter->scale, t);
  return t;
}

void layer_linear(const struct layer_pass *p, enum adapter_target which, struct view x, struct view y)
{
  const struct decoder *d = p->d;
  const struct adapter_pair *pair = pair_of(p, which);
  d->ops->gemm(d->device, slot(p, slots[which].weight), slot(p, slots[which].bias), p->rows->count, x, y);
  if (pair) d->ops->gemm_dx(d->device, pair->b, p->rows->count, narrow(p, pair->a, x), y, true);
}

void layer_linear_dx(const struct layer_pass *p, enum adapter_target which, struct view dy, struct view dx,
                     bool accumulate)
{
  const struct decoder *d = p->d;
  const struct adapter_pair *pair = pair_of(p, which);
  d->ops->gemm_dx(d->device, slot(p, slots[which].weight), p->rows->count, dy, dx, accumulate);
  if (pair) d->ops->gemm_dx(d->device, pair->a, p->rows->count, narrow(p, pair->b, dy), dx, true);
}

void layer_linear_dw(const struct layer_pass *p, enum adapter_target which, struct view dy, struct view x)
{
  const struct decoder *d = p->d;
  const struct adapter_pair *pair = pair_of(p, which);
  int32_t m = p->rows->count;
  if (!d->model->adapter) {
    d->ops->gemm_dw(d->device, slot(p, slots[which].weight), slot(p, slots[which].bias), m, dy, x);
  } else if (pair) {
    d->ops->gemm_dw(d->device, pair->b, NULL, m, narrow(p, pair->a, x), dy);
    d->ops->gemm_dw(d->device, pair->a, NULL, m, narrow(p, pair->b, dy), x);
  }
}
