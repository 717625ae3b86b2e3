/* model/layer_branch: how a branch of a layer (attention, MLP) leaves the residual stream and joins it again:
 *
 *   to = x + s post_norm(branch(norm(x)))
 *
 * where a family may lack either norm, and s is 1 but for Granite's residual_multiplier.
 */
#include "model/decoder_internal.h"

static size_t reals_of(const struct layer_pass *p)
{
  return (size_t)p->rows->count * (size_t)p->d->model->config.hidden;
}

struct view layer_enter(const struct layer_pass *p, const struct weight *norm, struct view x)
{
  const struct decoder *d = p->d;
  struct view h = decoder_view(d, d->at.h);
  if (!norm) return x;
  d->ops->rmsnorm(d->device, norm, d->model->config.norm_eps, p->rows->count, x, h, decoder_view(d, d->at.r));
  return h;
}

/* r still holds what layer_enter left there, for the backward calls it again. */
void layer_enter_backward(const struct layer_pass *p, struct weight *norm, struct view x)
{
  const struct decoder *d = p->d;
  struct view dx = decoder_view(d, d->at.dx), dh = decoder_view(d, d->at.dh);
  if (norm)
    d->ops->rmsnorm_backward(d->device, norm, p->rows->count, x, decoder_view(d, d->at.r), dh, dx, true);
  else
    d->ops->add(d->device, reals_of(p), dx, dh);
}

struct view layer_out(const struct weight *norm, struct view out, struct view to)
{
  return norm ? out : to;
}

/* x + y as y + x: the same bits without a copy. */
void layer_leave(const struct layer_pass *p, const struct weight *norm, struct view out, struct view x, struct view to)
{
  const struct decoder *d = p->d;
  const struct model_config *c = &d->model->config;
  if (norm) d->ops->rmsnorm(d->device, norm, c->norm_eps, p->rows->count, out, to, decoder_view(d, d->at.r));
  if (c->residual_scale > 0) d->ops->scale(d->device, reals_of(p), c->residual_scale, to);
  d->ops->add(d->device, reals_of(p), to, x);
}

struct view layer_leave_backward(const struct layer_pass *p, struct weight *norm, struct view out)
{
  const struct decoder *d = p->d;
  const struct model_config *c = &d->model->config;
  struct view dx = decoder_view(d, d->at.dx), dh = decoder_view(d, d->at.dh), r = decoder_view(d, d->at.r);
  if (norm) {
    d->ops->rmsnorm(d->device, norm, c->norm_eps, p->rows->count, out, decoder_view(d, d->at.h), r);  // again: r
    d->ops->rmsnorm_backward(d->device, norm, p->rows->count, out, r, dx, dh, false);
    return dh;
  }
  if (!(c->residual_scale > 0)) return dx;
  d->ops->copy(d->device, reals_of(p), dh, dx);
  d->ops->scale(d->device, reals_of(p), c->residual_scale, dh);
  return dh;
}
