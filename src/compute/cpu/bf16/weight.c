/* bf16/weight: the rounded copy of a matrix: made from the master, read by embed, refreshed by adamw. */
#include "compute/cpu/bf16/bf16.h"
#include "compute/cpu/quant.h"

/* ---- copy from master ---- */

struct round_job {
  struct weight *w;
  size_t panel; /* the first */
};

/* Items: rows of words of 16 outputs. */
static void round_part(void *arg, int thread, size_t begin, size_t end)
{
  const struct round_job *job = arg;
  const struct weight *w = job->w;
  const size_t steps = block_round(w->k) / 2;
  const float *master = weight_reals(w, WEIGHT_MASTER);
  (void)thread;
  for (size_t item = begin; item < end; item++) {
    const size_t panel = job->panel + item / steps, k = item % steps * 2;
    const float *from = master + (panel * w->k + k) * PANEL;
    uint32_t *to = w->copy + (panel * steps + item % steps) * PANEL;
    for (size_t i = 0; i < PANEL && k < w->k; i++)
      to[i] = bf16_from(from[i]) | (k + 1 < w->k ? bf16_from(from[PANEL + i]) << 16 : 0);
  }
}

void weight_round(struct weight *w, size_t first, size_t count)
{
  if (!w->copy || !w->part[WEIGHT_MASTER]) return;
  struct round_job job = {w, first / PANEL};
  pool_run(w->device->pool, (count + PANEL - 1) / PANEL * (block_round(w->k) / 2), round_part, &job);
}

/* ---- logical rows ---- */

void weight_round_rows(struct weight *w, size_t row, size_t count, const void *from, enum host_type type)
{
  for (size_t i = 0; i < count * w->k; i++)
    word_set(w->copy + words_at(w->k, row + i / w->k, i % w->k), i % w->k,
             type == HOST_F32 ? ((const float *)from)[i] : (float)((const double *)from)[i]);
}

void weight_widen_rows(const struct weight *w, size_t row, size_t count, void *to, enum host_type type)
{
  for (size_t i = 0; i < count * w->k; i++) {
    const float x = word_half(w->copy[words_at(w->k, row + i / w->k, i % w->k)], i % w->k);
    if (type == HOST_F32)
      ((float *)to)[i] = x;
    else
      ((double *)to)[i] = (double)x;
  }
}

/* ---- embed: y[m, :] = bf16(W[token[m], :]) ---- */

struct embed_job {
  const struct device *device;
  const struct weight *w;
  const int32_t *token;
  float *y;
};

static void embed_part(void *arg, int thread, size_t begin, size_t end)
{
  const struct embed_job *job = arg;
  const struct weight *w = job->w;
  (void)thread;
  for (size_t m = begin; m < end; m++) {
    const size_t token = host_token(job->device, job->token[m]);
    float *y = job->y + m * w->k;
    if (!w->quant) {
      weight_widen_rows(w, token, 1, y, HOST_F32);
      continue;
    }
    quant_row(w, token, 0, w->k, y);
    for (size_t k = 0; k < w->k; k++) y[k] = bf16_round(y[k]);
  }
}

void embed_bf16(struct device *d, const struct weight *w, int32_t m, const int32_t *token, struct view y)
{
  if (m <= 0) return;
  ASSAY_BUG_IF(!w->copy && !w->quant);
  host_tokens_check(d, w, m, token);
  struct embed_job job = {d, w, token, view_reals(y)};
  pool_run(d->pool, (size_t)m, embed_part, &job);
}

/* ---- adamw: f32's, then the copy ---- */

void adamw_bf16(struct device *d, struct weight *w, const struct adamw_params *p)
{
  d->adamw_f32(d, w, p);
  weight_round(w, 0, w->n);
}
