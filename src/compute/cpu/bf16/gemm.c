/* bf16/gemm: y = x W^T + b, and its backward: dx = dy W, dW = dy^T x, db = sum dy, by blocks of 32 terms. */
#include "compute/cpu/bf16/bf16.h"
#include "compute/cpu/quant.h"

/* 16 sums that go on block by block. */
struct sums {
  float acc[PANEL], even[PANEL], odd[PANEL];
};

static void sums_begin(struct sums *s)
{
  memset(s->even, 0, sizeof s->even);
  memset(s->odd, 0, sizeof s->odd);
}

static void sums_end(struct sums *s)
{
  for (size_t i = 0; i < PANEL; i++) s->acc[i] = s->acc[i] + (s->even[i] + s->odd[i]);
}

/* ---- forward ---- */

struct gemm_job {
  const struct weight *weight;
  const float *x, *b; /* b: NULL or [N] */
  const uint32_t *w;  /* NULL where the weight is in blocks */
  float *y;
  size_t n, k, panels;
};

enum { BLOCK_WORDS = TERM_BLOCK / 2 * PANEL };

/* 32 terms of a panel in blocks, as words. */
static void words_of_blocks(const struct weight *w, size_t panel, size_t k, uint32_t word[BLOCK_WORDS])
{
  float steps[TERM_BLOCK * PANEL];
  quant_steps(w, panel, k, TERM_BLOCK, steps);
  for (size_t i = 0; i < BLOCK_WORDS; i++) {
    const float *pair = steps + i / PANEL * 2 * PANEL + i % PANEL;
    word[i] = bf16_from(pair[0]) | bf16_from(pair[PANEL]) << 16;
  }
}

/* One row by one panel: 16 outputs. */
REF_HOT static void gemm_panel(size_t k, const float *x, const uint32_t *panel, struct sums *s)
{
  for (size_t at = 0; at < k; at += TERM_BLOCK) {
    sums_begin(s);
    for (size_t t = at; t < at + TERM_BLOCK; t += 2) {
      const float a = t < k ? bf16_round(x[t]) : 0, b = t + 1 < k ? bf16_round(x[t + 1]) : 0;
      const uint32_t *word = panel + t / 2 * PANEL;
      for (size_t i = 0; i < PANEL; i++) {
        s->even[i] = math_fmaf(a, word_even(word[i]), s->even[i]);
        s->odd[i] = math_fmaf(b, word_odd(word[i]), s->odd[i]);
      }
    }
    sums_end(s);
  }
}

static void gemm_blocks(const struct weight *w, const float *x, size_t panel, struct sums *s)
{
  for (size_t k = 0; k < w->k; k += TERM_BLOCK) {
    uint32_t word[BLOCK_WORDS];
    words_of_blocks(w, panel, k, word);
    gemm_panel(TERM_BLOCK, x + k, word, s);
  }
}

static void gemm_part(void *arg, int thread, size_t begin, size_t end)
{
  const struct gemm_job *job = arg;
  (void)thread;
  for (size_t item = begin; item < end; item++) {
    const size_t m = item / job->panels, p = item % job->panels, first = p * PANEL;
    struct sums s = {{0}, {0}, {0}};
    if (job->w)
      gemm_panel(job->k, job->x + m * job->k, job->w + p * (block_round(job->k) / 2) * PANEL, &s);
    else
      gemm_blocks(job->weight, job->x + m * job->k, p, &s);
    for (size_t i = 0; i < size_min(PANEL, job->n - first); i++)
      job->y[m * job->n + first + i] = job->b ? s.acc[i] + job->b[first + i] : s.acc[i];
  }
}

void gemm_bf16(struct device *d, const struct weight *w, const struct weight *b, int32_t m, struct view x,
               struct view y)
{
  if (m <= 0) return;
  ASSAY_BUG_IF(!w->copy && !w->quant);
  struct gemm_job job = {.weight = w,
                         .x = view_reals(x),
                         .b = b ? weight_reals(b, WEIGHT_MASTER) : NULL,
                         .w = w->copy,
                         .y = view_reals(y),
                         .n = w->n,
                         .k = w->k,
                         .panels = w->padded / PANEL};
  pool_run(d->pool, (size_t)m * job.panels, gemm_part, &job);
}

/* ---- backward: dx[m, k] = blocks over n of dy[m, n] W[n, k] ---- */

struct gemm_dx_job {
  const struct weight *w;
  const float *dy;
  float *dx;
  size_t tiles; /* of 16 k */
  bool accumulate;
};

/* W[n, k .. k + 15] of a weight in blocks, as it enters a product. */
static void row_of_blocks(const struct weight *w, size_t n, size_t k, float to[PANEL])
{
  quant_row(w, n, k, PANEL, to);
  for (size_t i = 0; i < PANEL; i++) to[i] = bf16_round(to[i]);
}

/* One block of n for `width` inputs from k on. */
REF_HOT static void gemm_dx_block(const struct weight *w, const float *dy, size_t n, size_t k, size_t width,
                                  struct sums *s)
{
  sums_begin(s);
  for (size_t t = 0; t < TERM_BLOCK; t++) {
    const bool real_term = n + t < w->n;
    const float a = real_term ? bf16_round(dy[n + t]) : 0;
    float *sum = t % 2 ? s->odd : s->even, made[PANEL] = {0};
    if (w->quant && real_term) row_of_blocks(w, n + t, k, made);
    for (size_t i = 0; i < width; i++) {
      const float b = real_term && w->copy ? word_half(w->copy[words_at(w->k, n + t, k + i)], k + i) : made[i];
      sum[i] = math_fmaf(a, b, sum[i]);
    }
  }
  sums_end(s);
}

static void gemm_dx_part(void *arg, int thread, size_t begin, size_t end)
{
  const struct gemm_dx_job *job = arg;
  const struct weight *w = job->w;
  (void)thread;
  for (size_t item = begin; item < end; item++) {
    const size_t m = item / job->tiles, first = item % job->tiles * PANEL, width = size_min(PANEL, w->k - first);
    float *dx = job->dx + m * w->k + first;
    struct sums s = {{0}, {0}, {0}};
    for (size_t i = 0; job->accumulate && i < width; i++) s.acc[i] = dx[i];
    for (size_t n = 0; n < w->n; n += TERM_BLOCK) gemm_dx_block(w, job->dy + m * w->n, n, first, width, &s);
    memcpy(dx, s.acc, width * sizeof *dx);
  }
}

void gemm_dx_bf16(struct device *d, const struct weight *w, int32_t m, struct view dy, struct view dx, bool accumulate)
{
  if (m <= 0) return;
  ASSAY_BUG_IF(!w->copy && !w->quant);
  struct gemm_dx_job job = {w, view_reals(dy), view_reals(dx), (w->k + PANEL - 1) / PANEL, accumulate};
  pool_run(d->pool, (size_t)m * job.tiles, gemm_dx_part, &job);
}

/* ---- backward: grad(W)[n, k] = blocks over m of dy[m, n] x[m, k]; grad(b)[n] = chain_m of additions of dy[m, n] ----
 */

struct gemm_dw_job {
  const float *dy, *x;
  float *dw;
  size_t m, n, k;
};

/* The 16 outputs of a panel at one k, one block of rows. */
REF_HOT static void gemm_dw_block(const struct gemm_dw_job *job, size_t first, size_t width, size_t at, size_t m,
                                  struct sums *s)
{
  sums_begin(s);
  for (size_t t = 0; t < TERM_BLOCK; t++) {
    const bool real_term = m + t < job->m;
    const float b = real_term ? bf16_round(job->x[(m + t) * job->k + at]) : 0;
    float *sum = t % 2 ? s->odd : s->even;
    for (size_t i = 0; i < width; i++) {
      const float a = real_term ? bf16_round(job->dy[(m + t) * job->n + first + i]) : 0;
      sum[i] = math_fmaf(a, b, sum[i]);
    }
  }
  sums_end(s);
}

static void gemm_dw_part(void *arg, int thread, size_t begin, size_t end)
{
  const struct gemm_dw_job *job = arg;
  (void)thread;
  for (size_t item = begin; item < end; item++) {
    const size_t first = item / job->k * PANEL, width = size_min(PANEL, job->n - first);
    float *dw = job->dw + item * PANEL;
    struct sums s = {{0}, {0}, {0}};
    memcpy(s.acc, dw, width * sizeof *dw);
    for (size_t m = 0; m < job->m; m += TERM_BLOCK) gemm_dw_block(job, first, width, item % job->k, m, &s);
    memcpy(dw, s.acc, width * sizeof *dw);
  }
}

static void gemm_db_part(void *arg, int thread, size_t begin, size_t end)
{
  const struct gemm_dw_job *job = arg;
  (void)thread;
  for (size_t m = 0; m < job->m; m++)
    for (size_t n = begin; n < end; n++) job->dw[n] += job->dy[m * job->n + n];
}

void gemm_dw_bf16(struct device *d, struct weight *w, struct weight *b, int32_t m, struct view dy, struct view x)
{
  if (m <= 0) return;
  struct gemm_dw_job job = {view_reals(dy), view_reals(x), weight_reals(w, WEIGHT_GRAD), (size_t)m, w->n, w->k};
  if (job.dw) pool_run(d->pool, w->padded / PANEL * w->k, gemm_dw_part, &job);
  job.dw = b ? weight_reals(b, WEIGHT_GRAD) : NULL;
  if (job.dw) pool_run(d->pool, w->n, gemm_db_part, &job);
}
