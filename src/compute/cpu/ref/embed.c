/* ref/embed: rows of the embedding, and its sparse gradient: a row for each token that occurs, joined into the weight's
 * once. */
#include "compute/cpu/quant.h"
#include "compute/cpu/ref/ref.h"

struct embed_job {
  const struct device *device;
  const struct weight *w;
  const int32_t *index; /* tokens, slots or ids */
  size_t m, c;
  const real *from;
  real *to;
};

/* One row of a weight in blocks. */
static void embed_blocks(const struct weight *w, size_t row, real *to)
{
  for (size_t k = 0; k < w->k; k += QUANT_STEP) {
    float values[QUANT_STEP];
    quant_row(w, row, k, QUANT_STEP, values);
    for (size_t i = 0; i < QUANT_STEP; i++) to[k + i] = (real)values[i];
  }
}

/* y[m, :] = W[token[m], :] */
static void embed_part(void *arg, int thread, size_t begin, size_t end)
{
  const struct embed_job *job = arg;
  const real *w = weight_reals(job->w, WEIGHT_MASTER);
  (void)thread;
  for (size_t m = begin; m < end; m++) {
    size_t token = host_token(job->device, job->index[m]), row = panel_at(job->w, token, 0);
    if (!w) embed_blocks(job->w, token, job->to + m * job->c);
    for (size_t c = 0; w && c < job->c; c++) job->to[m * job->c + c] = w[row + c * PANEL];
  }
}

void REAL_NAME(embed)(struct device *d, const struct weight *w, int32_t m, const int32_t *token, struct view y)
{
  if (m <= 0) return;
  host_tokens_check(d, w, m, token);
  struct embed_job job = {.device = d, .w = w, .index = token, .m = (size_t)m, .c = w->k, .to = view_reals(y)};
  pool_run(d->pool, job.m, embed_part, &job);
}

/* accum[slot[m], :] += dy[m, :], m ascending: a thread has columns, so that rows of one slot stay in order. */
static void embed_backward_part(void *arg, int thread, size_t begin, size_t end)
{
  const struct embed_job *job = arg;
  (void)thread;
  for (size_t m = 0; m < job->m; m++)
    for (size_t c = begin; c < end; c++) job->to[(size_t)job->index[m] * job->c + c] += job->from[m * job->c + c];
}

void REAL_NAME(embed_backward)(struct device *d, int32_t m, const int32_t *slot, size_t c, struct view dy,
                               struct view accum)
{
  if (m <= 0) return;
  struct embed_job job = {.index = slot, .m = (size_t)m, .c = c, .from = view_reals(dy), .to = view_reals(accum)};
  pool_run(d->pool, c, embed_backward_part, &job);
}

/* grad(W)[id[s], :] += accum[s, :] */
static void embed_join_part(void *arg, int thread, size_t begin, size_t end)
{
  const struct embed_job *job = arg;
  (void)thread;
  for (size_t s = begin; s < end; s++) {
    size_t row = panel_at(job->w, (size_t)job->index[s], 0);
    for (size_t c = 0; c < job->c; c++) job->to[row + c * PANEL] += job->from[s * job->c + c];
  }
}

void REAL_NAME(embed_join)(struct device *d, struct weight *w, int32_t slots, const int32_t *id, struct view accum)
{
  if (slots <= 0 || !w->part[WEIGHT_GRAD]) return;
  for (int32_t i = 0; i < slots; i++) ASSAY_BUG_IF(id[i] < 0 || (size_t)id[i] >= w->n);
  struct embed_job job = {.w = w,
                          .index = id,
                          .m = (size_t)slots,
                          .c = w->k,
                          .from = view_reals(accum),
                          .to = weight_reals(w, WEIGHT_GRAD)};
  pool_run(d->pool, job.m, embed_join_part, &job);
}
