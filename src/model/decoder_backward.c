#include "model/decoder_internal.h"

static int check_slots(const int32_t *slot, int32_t count, int limit, const char *what, struct error *err)
{
  for (int32_t i = 0; i < count; i++)
    if (slot[i] < 0 || slot[i] >= limit)
      FAIL(err, ERROR_BUG, "row %d has the %s slot %d; expected 0 to %d", i, what, slot[i], limit - 1);
  return 0;
}

/* The spans of each run cover its path without a gap and stay inside of the slots. */
static int check_spans(const struct decoder_gradients *g, const struct rows *rows, struct error *err)
{
  for (int32_t i = 0; i < rows->run_count; i++) {
    const struct rows_run *run = &rows->runs[i];
    int32_t end = 0;
    for (int32_t s = run->span; s < run->span + run->span_count; s++) {
      const struct rows_span *span = &rows->spans[s];
      if (span->position != end || span->count < 0 || span->slot < 0 || span->count > g->kv_slots - span->slot)
        FAIL(err, ERROR_BUG,
             "run %d has a span of %d positions from %d in slot %d; expected it to begin at %d and to end by slot %d",
             i, span->count, span->position, span->slot, end, g->kv_slots);
      end += span->count;
    }
    if (end < run->position + run->count)
      FAIL(err, ERROR_BUG, "run %d has gradient slots for %d positions; expected %d", i, end,
           run->position + run->count);
  }
  return 0;
}

static int check_input(const struct decoder *d, const struct rows *rows, const struct decoder_backward_input *in,
                       const struct decoder_gradients *g, struct error *err)
{
  if (!d->kept || rows->count != d->rows || in->head->count != d->head_rows)
    FAIL(err, ERROR_BUG,
         "a backward over %d rows, %d in the head; expected a forward before it that kept activations, of %d rows and "
         "%d",
         rows->count, in->head->count, d->rows, d->head_rows);
  ASSAY_BUG_IF(!(in->temperature > 0) || !in->coef);
  TRY(decoder_check_head(d, d->rows, in->head, err));
  TRY(check_slots(in->kv_slot, rows->count, g->kv_slots, "KV", err));
  if (!d->model->adapter) TRY(check_slots(in->embed_slot, rows->count, g->embed_slots, "embedding", err));
  return check_spans(g, rows, err);
}

int decoder_backward(struct decoder *d, const struct rows *rows, struct kv *kv, const struct decoder_backward_input *in,
                     struct decoder_gradients *g, struct error *err)
{
  int layers = d->model->config.layers;
  TRY(check_input(d, rows, in, g, err));
  d->hidden = d->kept = false;  // overwritten on the way
  TRY(decoder_norm_backward(d, layer_pass_at(d, layers - 1, true, rows, kv).next, in, err));
  device_hold(d->device, true);
  for (int layer = layers - 1; layer >= 0; layer--) {
    struct layer_pass p = layer_pass_at(d, layer, true, rows, kv);
    if (d->options.recompute) {
      layer_attention_forward(&p, true);
      layer_mlp_forward(&p, true);
    }
    layer_mlp_backward(&p);
    layer_attention_backward(&p, in->kv_slot, decoder_gradients_layer(g, layer));
  }
  device_hold(d->device, false);
  const struct model_config *c = &d->model->config;
  if (d->model->adapter) return device_sync(d->device, err);  // the embedding is frozen
  if (c->embed_scale > 0)
    d->ops->scale(d->device, (size_t)rows->count * (size_t)c->hidden, c->embed_scale, decoder_view(d, d->at.dx));
  d->ops->embed_backward(d->device, rows->count, in->embed_slot, (size_t)c->hidden, decoder_view(d, d->at.dx),
                         decoder_gradients_embed(g));
  return device_sync(d->device, err);
}
