/* model/decoder_head: the final norm and the LM head, forward and backward: from rows to log-probabilities, tokens, and
 * coefficients back to rows. */
#include "model/decoder_internal.h"

#include <string.h>

#include "core/pool.h"

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

int decoder_draw(struct decoder *d, double record_temperature, const struct head_rows *head,
                 const struct sample_params *params, struct error *err)
{
  TRY(check_call(d, record_temperature, head, err));
  TRY(check_logits(d, err));
  d->ops->sample_start(d->device, d->model->head, record_temperature, head->count, decoder_view(d, d->at.head_hidden),
                       decoder_view(d, d->at.logits), params);
  return device_check(d->device, err);
}

int decoder_take(struct decoder *d, struct sample_result *out, struct error *err)
{
  d->ops->sample_take(d->device, out);
  return device_check(d->device, err);
}

void decoder_drop(struct decoder *d)
{
  while (device_draws(d->device)) d->ops->sample_take(d->device, NULL);
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

int decoder_logits(struct decoder *d, double temperature, const struct head_rows *head, int32_t first, int32_t count,
                   double *z, struct error *err)
{
  size_t vocab = (size_t)d->model->config.vocab, n = (size_t)count * vocab;
  TRY(check_call(d, temperature, head, err));
  ASSAY_BUG_IF(first < 0 || count < 1 || count > d->options.row_block || first > head->count - count);
  struct view hidden = decoder_view(d, d->at.head_hidden + (size_t)first * (size_t)d->model->config.hidden);
  struct view logits = decoder_view(d, d->at.row_logits);
  d->ops->head_logits(d->device, d->model->head, count, hidden, logits);
  buffer_read(d->device, logits, z, HOST_F64, n);
  decoder_scale_logits(d->device, temperature, n, z);
  return device_sync(d->device, err);
}

struct scale_job {
  double *z, inverse;
  bool wide;
};

static void scale_part(void *arg, int thread, size_t begin, size_t end)
{
  const struct scale_job *job = arg;
  (void)thread;
  for (size_t i = begin; i < end; i++)
    job->z[i] = job->wide ? job->z[i] * job->inverse : (double)((float)job->z[i] * (float)job->inverse);
}

/* As head_score does it: in the device's reals. */
void decoder_scale_logits(struct device *device, double temperature, size_t n, double *z)
{
  struct scale_job job = {z, 1 / temperature, device_real_size(device) == sizeof(double)};
  pool_run(device_pool(device), n, scale_part, &job);
}

/* ---- states --------------------------------------------------------------------------------- */

void decoder_set_tap(struct decoder *d, const struct decoder_tap *tap)
{
  d->tap = tap;
}

void decoder_tap_rows(const struct decoder *d, int layer, struct view x, struct view scratch)
{
  const struct decoder_tap *tap = d->tap;
  size_t width = (size_t)d->model->config.hidden;
  for (int32_t i = 0; tap && tap->count && i < tap->layer_count; i++) {
    if (tap->layers[i] != layer) continue;
    d->ops->gather(d->device, tap->count, tap->row, width, x, scratch);
    buffer_read(d->device, scratch, tap->to + (size_t)i * (size_t)tap->count * width, HOST_F32,
                (size_t)tap->count * width);
  }
}

/* ---- backward -------------------------------------------------------------------------------- */

/* Head rows first .. first+count-1 as a head of their own. */
static struct head_rows head_block(struct decoder *d, const struct head_rows *head, int32_t first, int32_t count,
                                   int32_t *pair)
{
  while (*pair < head->pair_count && head->pair_row[*pair] < first) ++*pair;
  struct head_rows block = {.count = count, .pair_row = d->block_pair, .pair_target = head->pair_target + *pair};
  while (*pair + block.pair_count < head->pair_count && head->pair_row[*pair + block.pair_count] < first + count) {
    d->block_pair[block.pair_count] = head->pair_row[*pair + block.pair_count] - first;
    block.pair_count++;
  }
  return block;
}

/* The head's backward block by block, each with its terms on whole rows. */
static int head_backward_rows(struct decoder *d, const struct decoder_backward_input *in, struct view grad,
                              struct error *err)
{
  size_t hidden = (size_t)d->model->config.hidden, vocab = (size_t)d->model->config.vocab;
  int32_t block = d->options.row_block, pair = 0;
  struct view extra = decoder_view(d, d->at.row_extra);
  for (int32_t first = 0; first < in->head->count; first += block) {
    int32_t count = in->head->count - first < block ? in->head->count - first : block;
    struct head_rows rows = head_block(d, in->head, first, count, &pair);
    size_t at = (size_t)first;
    bool any = false;
    memset(in->terms->extra, 0, (size_t)count * vocab * sizeof *in->terms->extra);
    TRY(in->terms->rows(in->terms->arg, first, count, in->terms->extra, &any, err));
    if (any) buffer_write(d->device, extra, in->terms->extra, HOST_F64, (size_t)count * vocab);
    d->ops->head_backward(d->device, d->model->head, 1 / in->temperature, &rows,
                          decoder_view(d, d->at.head_hidden + at * hidden), d->options.vocab_chunk,
                          decoder_view(d, d->at.logits), decoder_view(d, d->at.head_stat + 3 * at), in->coef + pair,
                          in->entropy_coef ? in->entropy_coef + at : NULL, any ? &extra : NULL,
                          view_at(grad, at * hidden));
  }
  return 0;
}

int decoder_norm_backward(struct decoder *d, struct view x, const struct decoder_backward_input *in, struct error *err)
{
  size_t hidden = (size_t)d->model->config.hidden;
  struct view grad = decoder_view(d, d->at.head_grad), dh = decoder_view(d, d->at.dh), h = decoder_view(d, d->at.h);
  struct view r = decoder_view(d, d->at.r), dx = decoder_view(d, d->at.dx);
  if (!d->scored || d->temperature != in->temperature) score(d, in->temperature, in->head);
  if (in->terms && in->terms->rows)
    TRY(head_backward_rows(d, in, grad, err));
  else
    d->ops->head_backward(d->device, d->model->head, 1 / in->temperature, in->head, decoder_view(d, d->at.head_hidden),
                          d->options.vocab_chunk, decoder_view(d, d->at.logits), decoder_view(d, d->at.head_stat),
                          in->coef, in->entropy_coef, NULL, grad);
  if (in->terms && in->terms->hidden_grad) {
    buffer_write(d->device, dh, in->terms->hidden_grad, HOST_F64, (size_t)in->head->count * hidden);
    d->ops->add(d->device, (size_t)in->head->count * hidden, grad, dh);
  }
  d->ops->zero(d->device, (size_t)d->rows * hidden, dh);
  d->ops->scatter(d->device, in->head->count, in->head->row, hidden, grad, dh);
  d->ops->rmsnorm(d->device, d->model->norm, d->model->config.norm_eps, d->rows, x, h, r);  // again: r
  d->ops->rmsnorm_backward(d->device, d->model->norm, d->rows, x, r, dh, dx, false);
  return 0;
}
