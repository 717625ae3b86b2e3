#include "model/decoder_internal.h"

static int check_kv(const struct decoder *d, const struct kv *kv, struct error *err)
{
  const struct kv_shape *s = kv_get_shape(kv);
  const struct model_config *c = &d->model->config;
  if (s->layers == c->layers && s->heads == c->kv_heads && s->head_dim == c->head_dim) return 0;
  FAIL(err, ERROR_BUG, "KV of %d layers and %d heads of %d; expected the model's %d, %d and %d", s->layers, s->heads,
       s->head_dim, c->layers, c->kv_heads, c->head_dim);
}

int decoder_forward(struct decoder *d, const struct rows *rows, struct kv *kv, const struct head_rows *head, bool keep,
                    struct error *err)
{
  const struct model *m = d->model;
  ASSAY_BUG_IF(keep && (!d->options.train || d->tap));
  d->hidden = d->kept = d->scored = false;
  TRY(decoder_check_rows(d, rows, err));
  if (head) TRY(decoder_check_head(d, rows->count, head, err));
  TRY(check_kv(d, kv, err));
  d->rows = rows->count;
  d->head_rows = head ? head->count : 0;
  struct view x = layer_pass_at(d, 0, keep, rows, kv).x;
  device_hold(d->device, true);
  d->ops->embed(d->device, m->embed, rows->count, rows->token, x);
  if (m->config.embed_scale > 0)
    d->ops->scale(d->device, (size_t)rows->count * (size_t)m->config.hidden, m->config.embed_scale, x);
  decoder_tap_rows(d, 0, x, decoder_view(d, d->at.h));
  for (int layer = 0; layer < m->config.layers; layer++) {
    struct layer_pass p = layer_pass_at(d, layer, keep, rows, kv);
    layer_attention_forward(&p, false);
    layer_mlp_forward(&p, false);
    x = p.next;
    decoder_tap_rows(d, layer + 1, x, decoder_view(d, d->at.h));
  }
  decoder_norm_forward(d, x, head);
  decoder_tap_rows(d, -1, decoder_view(d, d->at.h), x);
  d->tap = NULL;
  device_hold(d->device, false);
  TRY(device_check(d->device, err));  // what is read of it will wait
  d->hidden = true;
  d->kept = keep;
  return 0;
}
