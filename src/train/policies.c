#include "train/policies.h"

#include <string.h>

#include "core/pool.h"

void policies_start(struct policies *p, struct trainer *policy)
{
  *p = (struct policies){.policy = policy, .of = {{.name = "policy", .scorer = policy}}, .count = 1};
}

void policies_add(struct policies *p, const char *name, struct trainer *scorer)
{
  ASSAY_BUG_IF(p->count == POLICIES_MOST);
  p->of[p->count++] = (struct named_policy){.name = name, .scorer = scorer};
}

struct named_policy *policies_find(struct policies *p, const char *name)
{
  for (int32_t i = 0; i < p->count; i++)
    if (!strcmp(p->of[i].name, name)) return &p->of[i];
  ASSAY_BUG_IF(true);
  return NULL;
}

/* ---- weights ---------------------------------------------------------------------------------------------------- */

enum { BLEND_REALS = 1 << 18 }; /* rows are moved through buffers of about this size */

/* x, y: a piece's room. */
static void blend_weight(const struct weight *from, struct weight *to, double rate, double *x, double *y)
{
  size_t rows = weight_rows(to), cols = weight_cols(to), step = BLEND_REALS / cols ? BLEND_REALS / cols : 1;
  for (size_t r = 0; r < rows; r += step) {
    size_t n = rows - r < step ? rows - r : step;
    weight_read(from, WEIGHT_MASTER, r, n, x, HOST_F64);
    if (rate < 1) {
      weight_read(to, WEIGHT_MASTER, r, n, y, HOST_F64);
      for (size_t i = 0; i < n * cols; i++) x[i] = y[i] + rate * (x[i] - y[i]);
    }
    weight_write(to, WEIGHT_MASTER, r, n, x, HOST_F64);
  }
}

/* Reals of a piece: some rows, one at least. */
static size_t blend_piece(const struct weight *w)
{
  size_t all = weight_rows(w) * weight_cols(w), piece = BLEND_REALS > weight_cols(w) ? BLEND_REALS : weight_cols(w);
  return all < piece ? all : piece;
}

int policies_blend(struct arena *a, const struct model *from, struct model *to, double rate, struct error *err)
{
  struct arena_mark mark = arena_mark(a);
  size_t most = 0;
  ASSAY_BUG_IF(from->trained_count != to->trained_count);
  for (size_t i = 0; i < to->trained_count; i++)
    if (blend_piece(to->trained[i]) > most) most = blend_piece(to->trained[i]);
  double *x = ARENA_NEW(a, double, most, "weights", err), *y = ARENA_NEW(a, double, most, "weights", err);
  if (!x || !y) return err->code;
  for (size_t i = 0; i < to->trained_count; i++) blend_weight(from->trained[i], to->trained[i], rate, x, y);
  arena_release(a, mark);
  return 0;
}

int policies_forget(struct arena *a, struct trainer *t, struct error *err)
{
  for (size_t i = 0; i < t->trained->trained_count; i++) {
    struct arena_mark mark = arena_mark(a);
    struct weight *w = t->trained->trained[i];
    double *zero = ARENA_NEW(a, double, weight_cols(w), "weights", err);
    if (!zero) return err->code;
    for (size_t r = 0; r < weight_rows(w); r++) {
      weight_write(w, WEIGHT_MOMENT1, r, 1, zero, HOST_F64);
      weight_write(w, WEIGHT_MOMENT2, r, 1, zero, HOST_F64);
    }
    arena_release(a, mark);
  }
  t->updates = 0;
  return 0;
}

/* ---- rows from states ------------------------------------------------------------------------------------------- */

static void reader_close(void *arg)
{
  buffer_destroy(((struct row_reader *)arg)->buffer);
}

size_t row_reader_bytes(const struct model_config *c, size_t real_size)
{
  size_t vocab = (size_t)c->vocab, width = (size_t)c->hidden;
  return (size_t)ROW_BLOCK * ((width + vocab) * real_size + vocab * sizeof(double));
}

static int reader_open(struct arena *a, const struct model *m, struct row_reader **out, struct error *err)
{
  size_t vocab = (size_t)m->config.vocab, width = (size_t)m->config.hidden;
  struct row_reader *r = ARENA_NEW(a, struct row_reader, 1, "row reader", err);
  if (!r) return err->code;
  r->model = m;
  if (!(r->logp = ARENA_NEW(a, double, (size_t)ROW_BLOCK *vocab, "row reader", err))) return err->code;
  TRY(arena_on_reset(a, reader_close, r, err));
  TRY(buffer_create(m->device, (size_t)ROW_BLOCK * (width + vocab), "row reader", &r->buffer, err));
  *out = r;
  return 0;
}

struct softmax_job {
  struct row_reader *r;
  const float *const *hidden;
};

static void softmax_part(void *arg, int thread, size_t begin, size_t end)
{
  const struct softmax_job *job = arg;
  size_t vocab = (size_t)job->r->model->config.vocab;
  (void)thread;
  for (size_t i = begin; i < end; i++)
    if (job->hidden[i]) rows_log_softmax(job->r->logp + i * vocab, vocab);
}

int row_reader_read(struct row_reader *r, const float *const *hidden, int32_t count, double temperature,
                    struct error *err)
{
  struct device *d = r->model->device;
  size_t vocab = (size_t)r->model->config.vocab, width = (size_t)r->model->config.hidden, n = (size_t)count;
  struct view states = {r->buffer, 0}, logits = {r->buffer, (size_t)ROW_BLOCK * width};
  ASSAY_BUG_IF(count > ROW_BLOCK);
  for (size_t i = 0; i < n; i++)
    if (hidden[i]) buffer_write(d, view_at(states, i * width), hidden[i], HOST_F32, width);
  device_ops(d)->head_logits(d, r->model->head, count, states, logits);
  buffer_read(d, logits, r->logp, HOST_F64, n * vocab);
  decoder_scale_logits(d, temperature, n * vocab, r->logp);
  struct softmax_job job = {r, hidden};
  pool_run(device_pool(d), n, softmax_part, &job);
  return device_sync(d, err);
}

int policies_open(struct policies *p, struct arena *a, const struct needs *n, struct error *err)
{
  for (int32_t i = 0; n->flags & NEED_ROW_TERM && i < n->row_source_count; i++) {
    const struct named_policy *of = policies_find(p, n->row_sources[i].policy);
    TRY(reader_open(a, of->scorer->model, &p->readers[i], err));
  }
  if (!(n->flags & NEED_VALUE)) return 0;
  return value_create(a, &n->value, p->policy->model->config.hidden, &p->value, err);
}
