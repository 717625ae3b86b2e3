/* model/layer_mlp: the feed-forward half of a layer, forward and backward.
 *
 *   h = norm(mid);  g, u = h Wg + bg, h Wu + bu;  next = mid + (silu(g) u) Wd + bd
 *
 * with GELU in silu's place in some families, and layer_branch's norms and factor around it.
 */
#include "model/decoder_internal.h"

/* act = gate(g) u */
static void gated(const struct layer_pass *p, struct view act)
{
  const struct decoder *d = p->d;
  const struct model_config *c = &d->model->config;
  (c->gelu ? d->ops->geglu : d->ops->swiglu)(d->device, (size_t)p->rows->count * (size_t)c->ffn, p->gate, p->up, act);
}

void layer_mlp_forward(const struct layer_pass *p, bool again)
{
  const struct decoder *d = p->d;
  const struct model_layer *w = p->w;
  struct view h = layer_enter(p, w->mlp_norm, p->mid), act = decoder_view(d, d->at.act);
  struct view out = layer_out(w->mlp_post_norm, p->mlp_out, p->next);
  layer_linear(p, ADAPTER_GATE, h, p->gate);
  layer_linear(p, ADAPTER_UP, h, p->up);
  if (again && !w->mlp_post_norm) return;
  gated(p, act);
  layer_linear(p, ADAPTER_DOWN, act, out);
  if (!again) layer_leave(p, w->mlp_post_norm, out, p->mid, p->next);
}

void layer_mlp_backward(const struct layer_pass *p)
{
  const struct decoder *d = p->d;
  const struct model_config *c = &d->model->config;
  const struct model_layer *w = p->w;
  int32_t m = p->rows->count;
  size_t n = (size_t)m * (size_t)c->ffn;
  struct view dbranch = layer_leave_backward(p, w->mlp_post_norm, p->mlp_out), dh = decoder_view(d, d->at.dh);
  struct view act = decoder_view(d, d->at.act), dact = act, dgate = p->gate,
              dup = p->up;  // each takes the place of what is read last
  gated(p, act);            // again
  layer_linear_dw(p, ADAPTER_DOWN, dbranch, act);
  layer_linear_dx(p, ADAPTER_DOWN, dbranch, dact, false);
  (c->gelu ? d->ops->geglu_backward : d->ops->swiglu_backward)(d->device, n, p->gate, p->up, dact, dgate, dup);
  // dh: one chain through the gate's outputs, then up's
  layer_linear_dx(p, ADAPTER_GATE, dgate, dh, false);
  layer_linear_dx(p, ADAPTER_UP, dup, dh, true);
  struct view h = layer_enter(p, w->mlp_norm, p->mid);  // again
  layer_linear_dw(p, ADAPTER_GATE, dgate, h);
  layer_linear_dw(p, ADAPTER_UP, dup, h);
  layer_enter_backward(p, w->mlp_norm, p->mid);
}
