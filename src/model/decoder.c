#include "model/decoder_internal.h"

/* ---- the workspace --------------------------------------------------------------------------- */

enum { ALIGN_REALS = 16, VOCAB_BLOCK_ROWS = 32, DEFAULT_CHUNK = 8192, MAX_ROWS = 1 << 24 };

static size_t take(size_t *reals, size_t count)
{
  size_t at = *reals;
  *reals += (count + ALIGN_REALS - 1) / ALIGN_REALS * ALIGN_REALS;
  return at;
}

/* The LM head's chunk: the option, at most the vocabulary in whole reduction blocks. */
static int chunk_rows(const struct model_config *c, const struct decoder_options *o)
{
  int whole = (c->vocab + VOCAB_BLOCK_ROWS - 1) / VOCAB_BLOCK_ROWS * VOCAB_BLOCK_ROWS;
  int chunk = o->vocab_chunk ? o->vocab_chunk : DEFAULT_CHUNK;
  return chunk < whole ? chunk : whole;
}

/* What a backward reads of a layer, but its input. */
static void lay_layer(const struct model_config *c, size_t rows, size_t *reals, struct decoder_layout *at)
{
  size_t heads = (size_t)c->heads, query = heads * (size_t)c->head_dim, key = (size_t)c->kv_heads * (size_t)c->head_dim;
  at->mid = take(reals, rows * (size_t)c->hidden);
  at->q = take(reals, rows * query);
  at->k = take(reals, c->qk_norm ? rows * key : 0);
  at->o = take(reals, rows * query);
  at->stat = take(reals, rows * heads * 2);
  at->attn_out = take(reals, c->post_norm ? rows * (size_t)c->hidden : 0);
  at->mlp_out = take(reals, c->post_norm ? rows * (size_t)c->hidden : 0);
  at->gate = take(reals, rows * (size_t)c->ffn);
  at->up = take(reals, rows * (size_t)c->ffn);
}

/* What one layer uses at a time. */
static void lay_shared(const struct model_config *c, size_t rows, size_t *reals, struct decoder_layout *at)
{
  size_t heads = (size_t)c->heads, query = heads * (size_t)c->head_dim, key = (size_t)c->kv_heads * (size_t)c->head_dim;
  at->h = take(reals, rows * (size_t)c->hidden);
  at->r = take(reals, rows);
  at->v = take(reals, rows * key);
  at->act = take(reals, rows * (size_t)c->ffn);
  at->narrow = take(reals, rows * (size_t)c->adapter.rank);
  at->k_rotated = take(reals, rows * key);
  if (c->qk_norm) {
    at->q_rotated = take(reals, rows * query);
    at->r_heads = take(reals, rows * heads);
  } else {
    at->k = at->k_rotated;  // no backward reads k: the one in kv serves
  }
}

static void lay_backward(const struct model_config *c, size_t rows, size_t *reals, struct decoder_layout *at)
{
  size_t query = (size_t)c->heads * (size_t)c->head_dim, key = (size_t)c->kv_heads * (size_t)c->head_dim;
  at->dx = take(reals, rows * (size_t)c->hidden);
  at->dh = take(reals, rows * (size_t)c->hidden);
  at->dout = take(reals, rows * query);
  at->dq = take(reals, rows * query);
  at->dk = take(reals, rows * key);
  at->dv = take(reals, rows * key);
  at->dk_raw = take(reals, c->qk_norm ? rows * key : 0);
}

static void lay_head(const struct model_config *c, const struct decoder_options *o, size_t *reals,
                     struct decoder_layout *at)
{
  size_t rows = (size_t)o->max_head_rows, hidden = (size_t)c->hidden;
  size_t chunk = (size_t)chunk_rows(c, o), vocab = (size_t)c->vocab;
  at->head_hidden = take(reals, rows * hidden);
  at->head_grad = take(reals, o->train ? rows * hidden : 0);
  size_t backward = o->train && c->logit_cap > 0 ? 2 * chunk : chunk; /* logits, and the slopes of their cap */
  at->logits = take(reals, rows * (o->sample && vocab > backward ? vocab : backward));
  at->head_stat = take(reals, rows * 3);
  at->row_logits = take(reals, (size_t)o->row_block * vocab);
  at->row_extra = take(reals, o->train ? (size_t)o->row_block * vocab : 0);
  at->logp = take(reals, (size_t)o->max_pairs);
  at->entropy = take(reals, rows);
}

static struct decoder_layout lay_out(const struct model_config *c, const struct decoder_options *o)
{
  struct decoder_layout at = {0};
  size_t rows = (size_t)o->max_rows, layers = (size_t)c->layers, reals = 0;
  at.x = take(&reals, rows * (size_t)c->hidden);
  if (o->train) {
    at.x_step = reals;
    reals *= layers + 1;
  }
  size_t first = reals;
  lay_layer(c, rows, &reals, &at);
  if (o->train && !o->recompute) {
    at.layer_step = reals - first;
    reals = first + at.layer_step * layers;
  }
  lay_shared(c, rows, &reals, &at);
  if (o->train) lay_backward(c, rows, &reals, &at);
  lay_head(c, o, &reals, &at);
  at.reals = reals;
  return at;
}

size_t decoder_reals(const struct model_config *c, const struct decoder_options *o)
{
  return lay_out(c, o).reals;
}

size_t decoder_bytes(const struct model_config *c, const struct decoder_options *o, size_t real_size)
{
  return sizeof(struct decoder) + decoder_reals(c, o) * real_size +
         (o->row_block ? (size_t)o->max_pairs * sizeof(int32_t) : 0);
}

static void decoder_close(void *arg)
{
  buffer_destroy(((struct decoder *)arg)->buffer);
}

int decoder_create(struct arena *a, const struct model *m, const struct decoder_options *o, struct decoder **out,
                   struct error *err)
{
  *out = NULL;
  ASSAY_BUG_IF(o->max_rows < 1 || o->max_rows > MAX_ROWS || o->max_head_rows < 0 || o->max_head_rows > MAX_ROWS ||
               o->max_pairs < 0 || o->row_block < 0);
  if (o->vocab_chunk < 0 || o->vocab_chunk % VOCAB_BLOCK_ROWS)
    FAIL_AT(err, ERROR_INPUT, NULL, 0, "vocab_chunk", "found an LM-head chunk of %d; expected a multiple of %d",
            o->vocab_chunk, VOCAB_BLOCK_ROWS);
  struct decoder *d = ARENA_NEW(a, struct decoder, 1, "decoder", err);
  if (!d) return ERROR_RESOURCE;
  d->model = m;
  d->device = m->device;
  d->ops = device_ops(m->device);
  d->options = *o;
  d->options.vocab_chunk = chunk_rows(&m->config, o);
  d->at = lay_out(&m->config, o);
  if (o->row_block && !(d->block_pair = ARENA_NEW(a, int32_t, (size_t)o->max_pairs, "decoder", err)))
    return ERROR_RESOURCE;
  if (o->sample) TRY(device_reserve_draws(m->device, o->max_head_rows, err));
  *out = d;
  d->buffer = o->buffer;
  if (d->buffer) return 0;
  TRY(arena_on_reset(a, decoder_close, d, err));
  return buffer_create(m->device, d->at.reals, "decoder", &d->buffer, err);
}

struct layer_pass layer_pass_at(const struct decoder *d, int layer, bool keep, const struct rows *rows, struct kv *kv)
{
  const struct decoder_layout *at = &d->at;
  size_t own = keep ? (size_t)layer : 0, x = at->x + own * at->x_step, rest = own * at->layer_step;
  bool qk_norm = d->model->config.qk_norm;
  return (struct layer_pass){.d = d,
                             .w = &d->model->layer[layer],
                             .layer = layer,
                             .rows = rows,
                             .kv = kv,
                             .x = decoder_view(d, x),
                             .mid = decoder_view(d, at->mid + rest),
                             .next = decoder_view(d, keep ? x + at->x_step : x),
                             .q = decoder_view(d, at->q + rest),
                             .k = decoder_view(d, qk_norm ? at->k + rest : at->k_rotated),
                             .o = decoder_view(d, at->o + rest),
                             .stat = decoder_view(d, at->stat + rest),
                             .attn_out = decoder_view(d, at->attn_out + rest),
                             .mlp_out = decoder_view(d, at->mlp_out + rest),
                             .gate = decoder_view(d, at->gate + rest),
                             .up = decoder_view(d, at->up + rest)};
}

/* ---- what a pass may contain ----------------------------------------------------------------- */

/* Runs are in row order and cover all rows, whose positions are theirs. */
static bool runs_cover(const struct rows *rows)
{
  int32_t row = 0;
  for (int32_t i = 0; i < rows->run_count; i++) {
    const struct rows_run *run = &rows->runs[i];
    if (run->row != row || run->count < 1 || run->count > rows->count - row) return false;
    for (int32_t k = 0; k < run->count; k++, row++)
      if (rows->position[row] != run->position + k) return false;
  }
  return row == rows->count;
}

int decoder_check_rows(const struct decoder *d, const struct rows *rows, struct error *err)
{
  if (rows->count < 0 || rows->count > d->options.max_rows)
    FAIL(err, ERROR_BUG, "a pass of %d rows; expected at most %d, for which the decoder was made", rows->count,
         d->options.max_rows);
  for (int32_t i = 0; i < rows->count; i++) {
    if (rows->token[i] < -rows->drawn || rows->token[i] >= d->model->config.vocab)
      FAIL(err, ERROR_INPUT, "found token %d at position %d; expected 0 to %d, the model's vocabulary", rows->token[i],
           rows->position[i], d->model->config.vocab - 1);
    if (rows->position[i] < 0 || rows->position[i] >= d->model->rope_positions)
      FAIL(err, ERROR_INPUT, "found a token at position %d; expected 0 to %d; shorten prompt or answer",
           rows->position[i], d->model->rope_positions - 1);
  }
  if (!runs_cover(rows)) FAIL(err, ERROR_BUG, "the runs of a pass do not cover its %d rows in order", rows->count);
  return 0;
}

static int check_pairs(const struct decoder *d, const struct head_rows *head, struct error *err)
{
  for (int32_t p = 0; p < head->pair_count; p++) {
    if (head->pair_target[p] < 0 || head->pair_target[p] >= d->model->config.vocab)
      FAIL(err, ERROR_INPUT,
           "found token %d, whose log-probability is wanted; expected 0 to %d, the model's vocabulary",
           head->pair_target[p], d->model->config.vocab - 1);
    if (head->pair_row[p] < (p ? head->pair_row[p - 1] : 0) || head->pair_row[p] >= head->count)
      FAIL(err, ERROR_BUG, "pair %d belongs to head row %d of %d; expected ascending rows", p, head->pair_row[p],
           head->count);
  }
  return 0;
}

int decoder_check_head(const struct decoder *d, int32_t rows, const struct head_rows *head, struct error *err)
{
  const struct decoder_options *o = &d->options;
  if (head->count < 0 || head->count > o->max_head_rows || head->pair_count < 0 || head->pair_count > o->max_pairs)
    FAIL(err, ERROR_BUG,
         "a pass with %d rows and %d pairs for the LM head; expected at most %d and %d, for which the decoder was made",
         head->count, head->pair_count, o->max_head_rows, o->max_pairs);
  // a prompt's last row may be drawn from several times; a row that is scored stands once
  for (int32_t h = 0; h < head->count; h++)
    if (head->row[h] < 0 || head->row[h] >= rows || (h && head->row[h] < head->row[h - 1] + (head->pair_count > 0)))
      FAIL(err, ERROR_BUG, "the LM head wants row %d of a pass of %d; expected ascending rows", head->row[h], rows);
  return check_pairs(d, head, err);
}

int decoder_hidden(struct decoder *d, int layer, void *to, enum host_type type, struct error *err)
{
  if (layer < -1 || layer > d->model->config.layers || (layer < 0 ? !d->hidden : !d->kept))
    FAIL(err, ERROR_BUG,
         "hidden states after %d layers are not held; expected -1 after a forward, 0 to %d after one that keeps "
         "activations",
         layer, d->model->config.layers);
  size_t at = layer < 0 ? d->at.h : d->at.x + (size_t)layer * d->at.x_step;
  buffer_read(d->device, decoder_view(d, at), to, type, (size_t)d->rows * (size_t)d->model->config.hidden);
  return device_sync(d->device, err);
}

/* ---- gradients that outlive a pass ----------------------------------------------------------- */

static size_t gradients_reals(const struct model_config *c, int kv_slots, int embed_slots)
{
  size_t key = (size_t)c->kv_heads * (size_t)c->head_dim;
  return 2 * (size_t)c->layers * (size_t)kv_slots * key + (size_t)embed_slots * (size_t)c->hidden;
}

size_t decoder_gradients_bytes(const struct model_config *c, int kv_slots, int embed_slots, size_t real_size)
{
  return sizeof(struct decoder_gradients) + gradients_reals(c, kv_slots, embed_slots) * real_size;
}

static void gradients_close(void *arg)
{
  buffer_destroy(((struct decoder_gradients *)arg)->buffer);
}

int decoder_gradients_create(struct arena *a, const struct model *m, int kv_slots, int embed_slots,
                             struct decoder_gradients **out, struct error *err)
{
  const struct model_config *c = &m->config;
  *out = NULL;
  ASSAY_BUG_IF(kv_slots < 1 || embed_slots < !m->adapter);
  struct decoder_gradients *g = ARENA_NEW(a, struct decoder_gradients, 1, "decoder gradients", err);
  if (!g) return ERROR_RESOURCE;
  *g = (struct decoder_gradients){.device = m->device,
                                  .ops = device_ops(m->device),
                                  .layers = c->layers,
                                  .kv_slots = kv_slots,
                                  .embed_slots = embed_slots,
                                  .kv_width = (size_t)c->kv_heads * (size_t)c->head_dim,
                                  .hidden = (size_t)c->hidden};
  TRY(arena_on_reset(a, gradients_close, g, err));
  TRY(buffer_create(m->device, gradients_reals(c, kv_slots, embed_slots), "decoder gradients", &g->buffer, err));
  *out = g;
  return 0;
}

struct kv_grad_view decoder_gradients_layer(const struct decoder_gradients *g, int layer)
{
  size_t each = (size_t)g->kv_slots * g->kv_width;
  return (struct kv_grad_view){{g->buffer, (size_t)layer * each}, {g->buffer, (size_t)(g->layers + layer) * each}};
}

struct view decoder_gradients_embed(const struct decoder_gradients *g)
{
  return (struct view){g->buffer, 2 * (size_t)g->layers * (size_t)g->kv_slots * g->kv_width};
}

void decoder_gradients_clear_slots(struct decoder_gradients *g, int first, int count)
{
  ASSAY_BUG_IF(first < 0 || count < 0 || count > g->kv_slots - first);
  size_t at = (size_t)first * g->kv_width, n = (size_t)count * g->kv_width;
  for (int layer = 0; layer < g->layers; layer++) {
    struct kv_grad_view grad = decoder_gradients_layer(g, layer);
    g->ops->zero(g->device, n, view_at(grad.dk, at));
    g->ops->zero(g->device, n, view_at(grad.dv, at));
  }
}

int decoder_gradients_join(struct decoder_gradients *g, struct model *m, const int32_t *token_ids, int count,
                           struct error *err)
{
  if (m->adapter) return device_sync(g->device, err);  // the embedding is frozen
  ASSAY_BUG_IF(count < 0 || count > g->embed_slots);
  g->ops->embed_join(g->device, m->embed, count, token_ids, decoder_gradients_embed(g));
  g->ops->zero(g->device, (size_t)count * g->hidden, decoder_gradients_embed(g));  // for the next mini-batch
  return device_sync(g->device, err);
}
