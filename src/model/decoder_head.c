/* model/decoder_head: the final norm and the LM head, forward and backward: from rows to log-probabilities, tokens, and
 * coefficients back to rows. */
#include "model/decoder_internal.h"

/* ---- forward --------------------------------------------------------------------------------- */

void decoder_norm_forward(const struct decoder *d, struct view x, const struct head_rows *head)
{
  const struct model_config *c = &d->model->config;
  struct view h = decoder_view(d, d->at.h);
  d->ops->rmsnorm(d->device, d->model->norm, c->norm_eps, d->rows, x, h, decoder_view(d, d->at.r));
  if (head) d->ops->gather(d->device, head->count, head->row, (size_t)c->hidden, h, decoder_view(d, d->at.head_hidden));
}

/* The head given is that of the forward, and T a usable number. */
static int check_call(const struct decoder *d, double temperature, const struct head_rows *head, struct error *err)
{
  ASSAY_BUG_IF(!(temperature > 0));
  if (head->count == d->head_rows) return 0;
  FAIL(err, ERROR_BUG, "the LM head is asked for %d rows; expected the %d of the forward before it", head->count,
       d->head_rows);
}

static int check_logits(const struct decoder *d, struct error *err)
{
  if (d->options.sample) return 0;
  FAIL(err, ERROR_BUG, "this decoder was made without room for sampling; expected options.sample");
}

static void score(struct decoder *d, double temperature, const struct head_rows *head)
{
  d->ops->head_score(d->device, d->model->head, 1 / temperature, head, decoder_view(d, d->at.head_hidden),
                     d->options.vocab_chunk, decoder_view(d, d->at.logits), decoder_view(d, d->at.head_stat),
                     decoder_view(d, d->at.logp), decoder_view(d, d->at.entropy));
  d->scored = true;
  d->temperature = temperature;
}

int decoder_score(struct decoder *d, double temperature, const struct head_rows *head, double *logp, double *entropy,
                  struct error *err)
{
  TRY(check_call(d, temperature, head, err));
  TRY(decoder_check_head(d, d->rows, head, err));
  score(d, temperature, head);
  if (logp) buffer_read(d->device, decoder_view(d, d->at.logp), logp, HOST_F64, (size_t)head->pair_count);
  if (entropy) buffer_read(d->device, decoder_view(d, d->at.entropy), entropy, HOST_F64, (size_t)head->count);
  return device_sync(d->device, err);
}

int decoder_sample(struct decoder *d, double record_temperature, const struct head_rows *head,
                   const struct sample_params *params, struct sample_result *out, struct error *err)
{
  TRY(check_call(d, record_temperature, head, err));
  TRY(check_logits(d, err));
  d->ops->head_sample(d->device, d->model->head, record_temperature, head->count, decoder_view(d, d->at.head_hidden),
                      decoder_view(d, d->at.logits), params, out);
  return device_sync(d->device, err);
}

int decoder_top(struct decoder *d, double temperature, const struct head_rows *head, int k, int32_t *ids, float *logp,
                struct error *err)
{
  TRY(check_call(d, temperature, head, err));
  TRY(check_logits(d, err));
  if (k < 1 || k > d->model->config.vocab)
    FAIL(err, ERROR_INPUT, "the %d most likely tokens are asked for; expected 1 to %d, the model's vocabulary", k,
         d->model->config.vocab);
  d->ops->head_top(d->device, d->model->head, 1 / temperature, head->count, decoder_view(d, d->at.head_hidden),
                   decoder_view(d, d->at.logits), k, ids, logp);
  return device_sync(d->device, err);
}

/* ---- backward -------------------------------------------------------------------------------- */

void decoder_norm_backward(struct decoder *d, struct view x, const struct decoder_backward_input *in)
{
  size_t hidden = (size_t)d->model->config.hidden;
  struct view grad = decoder_view(d, d->at.head_grad), dh = decoder_view(d, d->at.dh), h = decoder_view(d, d->at.h);
  struct view r = decoder_view(d, d->at.r), dx = decoder_view(d, d->at.dx);
  if (!d->scored || d->temperature != in->temperature) score(d, in->temperature, in->head);
  d->ops->head_backward(d->device, d->model->head, 1 / in->temperature, in->head, decoder_view(d, d->at.head_hidden),
                        d->options.vocab_chunk, decoder_view(d, d->at.logits), decoder_view(d, d->at.head_stat),
                        in->coef, in->entropy_coef, grad);
  d->ops->zero(d->device, (size_t)d->rows * hidden, dh);
  d->ops->scatter(d->device, in->head->count, in->head->row, hidden, grad, dh);
  d->ops->rmsnorm(d->device, d->model->norm, d->model->config.norm_eps, d->rows, x, h, r);  // again: r
  d->ops->rmsnorm_backward(d->device, d->model->norm, d->rows, x, r, dh, dx, false);
}
