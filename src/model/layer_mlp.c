/* model/layer_mlp: the feed-forward half of a layer, forward and backward.
 *
 *   h = norm(mid);  g, u = h Wg + bg, h Wu + bu;  next = mid + (silu(g) u) Wd + bd
 */
#include "model/decoder_internal.h"

void layer_mlp_forward(const struct layer_pass *p, bool again)
{
  const struct decoder *d = p->d;
  const struct model_config *c = &d->model->config;
  const struct model_layer *w = p->w;
  int32_t m = p->rows->count;
  struct view h = decoder_view(d, d->at.h), act = decoder_view(d, d->at.act);
  d->ops->rmsnorm(d->device, w->mlp_norm, c->norm_eps, m, p->mid, h, decoder_view(d, d->at.r));
  layer_linear(p, ADAPTER_GATE, h, p->gate);
  layer_linear(p, ADAPTER_UP, h, p->up);
  if (again) return;
  d->ops->swiglu(d->device, (size_t)m * (size_t)c->ffn, p->gate, p->up, act);
  layer_linear(p, ADAPTER_DOWN, act, p->next);
  d->ops->add(d->device, (size_t)m * (size_t)c->hidden, p->next, p->mid);
}

void layer_mlp_backward(const struct layer_pass *p)
{
  const struct decoder *d = p->d;
  const struct model_config *c = &d->model->config;
  const struct model_layer *w = p->w;
  int32_t m = p->rows->count;
  size_t n = (size_t)m * (size_t)c->ffn;
  struct view dx = decoder_view(d, d->at.dx), dh = decoder_view(d, d->at.dh), h = decoder_view(d, d->at.h),
              r = decoder_view(d, d->at.r);
  struct view act = decoder_view(d, d->at.act), dact = act, dgate = p->gate,
              dup = p->up;                            // each takes the place of what is read last
  d->ops->swiglu(d->device, n, p->gate, p->up, act);  // again
  layer_linear_dw(p, ADAPTER_DOWN, dx, act);
  layer_linear_dx(p, ADAPTER_DOWN, dx, dact, false);
  d->ops->swiglu_backward(d->device, n, p->gate, p->up, dact, dgate, dup);
  // dh: one chain through the gate's outputs, then up's
  layer_linear_dx(p, ADAPTER_GATE, dgate, dh, false);
  layer_linear_dx(p, ADAPTER_UP, dup, dh, true);
  d->ops->rmsnorm(d->device, w->mlp_norm, c->norm_eps, m, p->mid, h, r);  // again
  layer_linear_dw(p, ADAPTER_GATE, dgate, h);
  layer_linear_dw(p, ADAPTER_UP, dup, h);
  d->ops->rmsnorm_backward(d->device, w->mlp_norm, m, p->mid, r, dh, dx, true);
}
