/* model/layer_attention: the attention half of a layer, forward and backward.
 *
 *   h = norm(x);  q, k, v = h Wq + bq, h Wk + bk, h Wv + bv
 *   q, k = rope(qk_norm(q)), rope(qk_norm(k));  mid = x + attention(q, K, V) Wo + bo
 *
 * with layer_branch's norms and factor around it.
 */
#include "core/math.h"
#include "model/decoder_internal.h"

static struct attention_shape shape_of(const struct layer_pass *p)
{
  const struct model_config *c = &p->d->model->config;
  return (struct attention_shape){
      .heads = c->heads,
      .kv_heads = c->kv_heads,
      .head_dim = c->head_dim,
      .window = layer_in(&c->full_layers, p->layer) ? 0 : c->window,
      .scale = c->attention_scale > 0 ? c->attention_scale : 1 / math_sqrt((double)c->head_dim),
      .cap = c->attention_cap};
}

static void rotate(const struct layer_pass *p, int heads, bool inverse, struct view x)
{
  const struct model *m = p->d->model;
  const struct model_config *c = &m->config;
  bool local = m->rope_local && !layer_in(&c->full_layers, p->layer);
  if (layer_in(&c->nope_layers, p->layer)) return;
  p->d->ops->rope(p->d->device, p->rows->count, p->rows->position, heads, c->head_dim,
                  c->rotary ? c->rotary : c->head_dim, (struct view){local ? m->rope_local : m->rope, 0}, inverse, x);
}

/* ---- forward --------------------------------------------------------------------------------- */

/* How many rows a norm of projections sees: one a head, or one a row where it is as wide as they. */
static int32_t norm_rows(const struct layer_pass *p, int heads)
{
  return p->d->model->config.qk_norm_wide ? p->rows->count : p->rows->count * heads;
}

/* A projection, normed into `to` where the family does that, and rotated: where it lies afterwards. */
static struct view finish_projection(const struct layer_pass *p, const struct weight *norm, int heads, struct view x,
                                     struct view to)
{
  const struct decoder *d = p->d;
  if (norm)
    d->ops->rmsnorm(d->device, norm, d->model->config.norm_eps, norm_rows(p, heads), x, to,
                    decoder_view(d, d->at.r_heads));
  struct view result = norm ? to : x;
  rotate(p, heads, false, result);
  return result;
}

static void project_keys(const struct layer_pass *p, struct view h, bool again)
{
  const struct decoder *d = p->d;
  struct view v = decoder_view(d, d->at.v);
  if (again && !p->w->k_norm) return;
  layer_linear(p, ADAPTER_K, h, p->k);
  if (again) return;  // QK-norm's backward reads the raw k; K and V themselves are in kv
  layer_linear(p, ADAPTER_V, h, v);
  struct view k = finish_projection(p, p->w->k_norm, d->model->config.kv_heads, p->k, decoder_view(d, d->at.k_rotated));
  d->ops->kv_write(d->device, p->kv, p->layer, p->rows, k, v);
}

void layer_attention_forward(const struct layer_pass *p, bool again)
{
  const struct decoder *d = p->d;
  const struct model_config *c = &d->model->config;
  struct attention_shape shape = shape_of(p);
  struct view h = layer_enter(p, p->w->attn_norm, p->x), out = layer_out(p->w->attn_post_norm, p->attn_out, p->mid);
  project_keys(p, h, again);
  layer_linear(p, ADAPTER_Q, h, p->q);
  struct view q = finish_projection(p, p->w->q_norm, c->heads, p->q, decoder_view(d, d->at.q_rotated));
  d->ops->attention(d->device, &shape, p->kv, p->layer, p->rows, q, p->o, p->stat);
  layer_linear(p, ADAPTER_O, p->o, out);
  layer_leave(p, p->w->attn_post_norm, out, p->x, p->mid);
}

/* ---- backward -------------------------------------------------------------------------------- */

/* From the gradient of a finished projection to that of the raw one: `grad` itself, or `to` with QK-norm, which needs
   `spare` for the normed rows. */
static struct view unfinish_projection(const struct layer_pass *p, struct weight *norm, int heads, struct view raw,
                                       struct view grad, struct view to, struct view spare)
{
  const struct decoder *d = p->d;
  int32_t m = norm_rows(p, heads);
  struct view r = decoder_view(d, d->at.r_heads);
  rotate(p, heads, true, grad);
  if (!norm) return grad;
  d->ops->rmsnorm(d->device, norm, d->model->config.norm_eps, m, raw, spare, r);
  d->ops->rmsnorm_backward(d->device, norm, m, raw, r, grad, to, false);
  return to;
}

/* From the gradient of the branch's product: dq of the pass and, by way of the slots, its rows' dk and dv. */
static void attend_backward(const struct layer_pass *p, struct view dbranch, const int32_t *kv_slot,
                            struct kv_grad_view grad)
{
  const struct decoder *d = p->d;
  const struct model_config *c = &d->model->config;
  int32_t m = p->rows->count;
  size_t width = (size_t)c->kv_heads * (size_t)c->head_dim;
  struct attention_shape shape = shape_of(p);
  struct view q = p->q, dout = decoder_view(d, d->at.dout);
  if (p->w->q_norm) q = finish_projection(p, p->w->q_norm, c->heads, p->q, decoder_view(d, d->at.q_rotated));  // again
  layer_linear_dx(p, ADAPTER_O, dbranch, dout, false);
  d->ops->attention_backward(d->device, &shape, p->kv, p->layer, p->rows, q, p->o, p->stat, dout,
                             decoder_view(d, d->at.dq), grad);
  d->ops->gather(d->device, m, kv_slot, width, grad.dk, decoder_view(d, d->at.dk));
  d->ops->gather(d->device, m, kv_slot, width, grad.dv, decoder_view(d, d->at.dv));
}

void layer_attention_backward(const struct layer_pass *p, const int32_t *kv_slot, struct kv_grad_view grad)
{
  const struct decoder *d = p->d;
  const struct model_config *c = &d->model->config;
  const struct model_layer *w = p->w;
  struct view dbranch = layer_leave_backward(p, w->attn_post_norm, p->attn_out), dh = decoder_view(d, d->at.dh);
  layer_linear_dw(p, ADAPTER_O, dbranch, p->o);
  attend_backward(p, dbranch, kv_slot, grad);
  struct view dq = unfinish_projection(p, w->q_norm, c->heads, p->q, decoder_view(d, d->at.dq),
                                       decoder_view(d, d->at.dout), decoder_view(d, d->at.q_rotated));
  struct view dk = unfinish_projection(p, w->k_norm, c->kv_heads, p->k, decoder_view(d, d->at.dk),
                                       decoder_view(d, d->at.dk_raw), decoder_view(d, d->at.k_rotated));
  struct view dv = decoder_view(d, d->at.dv);
  // dh: one chain through q's outputs, then k's, then v's
  layer_linear_dx(p, ADAPTER_Q, dq, dh, false);
  layer_linear_dx(p, ADAPTER_K, dk, dh, true);
  layer_linear_dx(p, ADAPTER_V, dv, dh, true);
  struct view h = layer_enter(p, w->attn_norm, p->x);  // again
  layer_linear_dw(p, ADAPTER_Q, dq, h);
  layer_linear_dw(p, ADAPTER_K, dk, h);
  layer_linear_dw(p, ADAPTER_V, dv, h);
  layer_enter_backward(p, w->attn_norm, p->x);
}
