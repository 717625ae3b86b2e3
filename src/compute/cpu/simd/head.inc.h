/* compute/cpu/simd/head: the softmax side of the LM head; its products are the gemms in force.
 *
 * Floors per row and token of the vocabulary: 4 bytes and one exp for a score, one exp and one division for the
 * backward, beside 2 C operations of the product: at C = 576 the softmax is about a tenth of it. Sampling: one exp for
 * the statistics and one for the weights, which are added in token order in f64: a chain of one addition per token,
 * hidden by taking CHAINS rows at once.
 */
#ifndef ASSAY_COMPUTE_CPU_SIMD_HEAD_INC_H
#define ASSAY_COMPUTE_CPU_SIMD_HEAD_INC_H

#include "compute/cpu/ref/head_steps.h"

/* ---- statistics ---- */

/* One block of n <= VOCAB_BLOCK logits, as head_block. */
static void block_step(struct head_state *s, bool first, const float *logit, size_t n, struct f16 inv)
{
  const struct f16 none = f16_set(-__builtin_inff());
  const struct m16 low = m16_first(n), high = m16_first(n < 16 ? 0 : n - 16);
  const struct f16 a = f16_mul(f16_load_mask(logit, low), inv),
                   b = f16_mul(f16_load_mask(logit + (n < 16 ? 0 : 16), high), inv);
  const float top = f16_largest(f16_max(f16_select(high, b, none), f16_max(f16_select(low, a, none), none)));
  const float before = first ? -__builtin_inff() : s->m, m = (top > before ? top : before) + 0.0f; /* -0 becomes +0 */
  const struct f16 x = f16_sub(a, f16_set(m)), y = f16_sub(b, f16_set(m));
  const struct f16 e = f16_select(low, f16_exp(x), f16_zero()), g = f16_select(high, f16_exp(y), f16_zero());
  const struct f16 weighted = f16_select(low, f16_fma(e, x, f16_zero()), f16_zero());
  const float l = f16_sum(f16_add(e, g)), u = f16_sum(f16_select(high, f16_fma(g, y, weighted), weighted));
  const float f = first ? 0 : math_exp_steps(s->m - m);
  s->u = first ? u : math_fmaf(f, math_fmaf(s->l, s->m - m, s->u), u);
  s->l = math_fmaf(first ? 0 : s->l, f, l);
  s->m = m;
}

static void blocks_step(struct head_state *s, size_t at, const float *logit, size_t n, float inv)
{
  for (size_t i = 0; i < n; i += VOCAB_BLOCK)
    block_step(s, at + i == 0, logit + i, size_min(VOCAB_BLOCK, n - i), f16_set(inv));
}

/* ---- score ---- */

struct score_job {
  const struct head_rows *rows;
  const float *logit; /* [H, width]: vocabulary at .. at+width-1 */
  size_t at, width;
  float inv_temperature, *stat, *logp, *entropy;
};

static void score_chunk(void *arg, int thread, size_t begin, size_t end)
{
  const struct score_job *job = arg;
  (void)thread;
  for (size_t h = begin; h < end; h++) {
    const float *logit = job->logit + h * job->width;
    struct head_state s = {job->stat[3 * h], job->stat[3 * h + 1], job->stat[3 * h + 2]};
    blocks_step(&s, job->at, logit, job->width, job->inv_temperature);
    job->stat[3 * h] = s.m;
    job->stat[3 * h + 1] = s.l;
    job->stat[3 * h + 2] = s.u;
    for (int32_t p = head_first_pair(job->rows, (int32_t)h);
         p < job->rows->pair_count && job->rows->pair_row[p] == (int32_t)h; p++) {
      const size_t target = (size_t)job->rows->pair_target[p];
      if (target >= job->at && target < job->at + job->width)
        job->logp[p] = head_z(logit[target - job->at], job->inv_temperature);
    }
  }
}

static void score_finish(void *arg, int thread, size_t begin, size_t end)
{
  const struct score_job *job = arg;
  (void)thread;
  for (size_t h = begin; h < end; h++) {
    const struct head_state s = {job->stat[3 * h], job->stat[3 * h + 1], job->stat[3 * h + 2]};
    job->entropy[h] = head_entropy(&s);
    for (int32_t p = head_first_pair(job->rows, (int32_t)h);
         p < job->rows->pair_count && job->rows->pair_row[p] == (int32_t)h; p++)
      job->logp[p] = head_logp(&s, job->logp[p]);
  }
}

static void head_score_run(struct device *d, const struct weight *w, double inv_temperature,
                           const struct head_rows *rows, struct view hidden, int32_t chunk, struct view scratch,
                           struct view stat, struct view logp, struct view entropy)
{
  if (rows->count <= 0) return;
  head_check(w, rows, chunk);
  struct score_job job = {.rows = rows,
                          .logit = view_reals(scratch),
                          .inv_temperature = (float)inv_temperature,
                          .stat = view_reals(stat),
                          .logp = rows->pair_count ? view_reals(logp) : NULL,
                          .entropy = view_reals(entropy)};
  for (; job.at < w->n; job.at += job.width) {
    job.width = size_min((size_t)chunk, w->n - job.at);
    const struct weight slice = weight_slice(w, job.at, job.width);
    d->ops.head_logits(d, &slice, rows->count, hidden, scratch);
    pool_run(d->pool, (size_t)rows->count, score_chunk, &job);
  }
  pool_run(d->pool, (size_t)rows->count, score_finish, &job);
}

/* ---- backward: g = -(a p) [- b p (logp + entropy)] + coef at the targets; dz = g (1/T) ---- */

struct head_grad_job {
  const struct head_rows *rows;
  float *dz; /* [H, width]: logits in, dz out */
  size_t at, width;
  float inv_temperature;
  const float *stat;
  const double *coef, *entropy_coef;
  const float *extra; /* [H, V], or NULL */
  size_t vocab;
};

static void dz_row(const struct head_grad_job *job, size_t h)
{
  const struct head_state s = {job->stat[3 * h], job->stat[3 * h + 1], job->stat[3 * h + 2]};
  const int32_t first = head_first_pair(job->rows, (int32_t)h);
  int32_t end = first;
  double sum = 0;
  for (; end < job->rows->pair_count && job->rows->pair_row[end] == (int32_t)h; end++) sum += job->coef[end];
  const float coef = job->entropy_coef ? (float)job->entropy_coef[h] : 0;
  const struct f16 a = f16_set((float)sum), b = f16_set(coef), inv = f16_set(job->inv_temperature), m = f16_set(s.m),
                   l = f16_set(s.l);
  const struct f16 log_l = f16_set(math_logf(s.l)), entropy = f16_set(head_entropy(&s));
  float *g = job->dz + h * job->width;
  for (size_t i = 0; i < job->width; i += 16) {
    const struct m16 mask = m16_first(job->width - i);
    const struct f16 below = f16_sub(f16_mul(f16_load_mask(g + i, mask), inv), m), p = f16_div(f16_exp(below), l);
    struct f16 x = f16_neg(f16_mul(a, p));
    if (coef != 0) x = f16_fma(f16_neg(f16_mul(b, p)), f16_add(f16_sub(below, log_l), entropy), x);
    f16_store_mask(g + i, mask, x);
  }
  head_add_targets(job->rows, job->coef, first, end, job->at, job->width, g);
  const float *extra = job->extra ? job->extra + h * job->vocab + job->at : NULL;
  for (size_t i = 0; i < job->width; i += 16) {
    const struct m16 mask = m16_first(job->width - i);
    struct f16 x = f16_load_mask(g + i, mask);
    if (extra) x = f16_add(x, f16_load_mask(extra + i, mask));
    f16_store_mask(g + i, mask, f16_mul(x, inv));
  }
}

static void dz_part(void *arg, int thread, size_t begin, size_t end)
{
  (void)thread;
  for (size_t h = begin; h < end; h++) dz_row(arg, h);
}

static void head_backward_run(struct device *d, struct weight *w, double inv_temperature, const struct head_rows *rows,
                              struct view hidden, int32_t chunk, struct view scratch, struct view stat,
                              const double *coef, const double *entropy_coef, const struct view *extra,
                              struct view dhidden)
{
  if (rows->count <= 0) return;
  head_check(w, rows, chunk);
  struct head_grad_job job = {.rows = rows,
                              .dz = view_reals(scratch),
                              .inv_temperature = (float)inv_temperature,
                              .stat = view_reals(stat),
                              .coef = coef,
                              .entropy_coef = entropy_coef,
                              .extra = extra ? view_reals(*extra) : NULL,
                              .vocab = w->n};
  for (; job.at < w->n; job.at += job.width) {
    job.width = size_min((size_t)chunk, w->n - job.at);
    struct weight slice = weight_slice(w, job.at, job.width);
    const struct view slope = view_at(scratch, (size_t)rows->count * job.width);
    head_logits_and(d, &slice, rows->count, hidden, scratch, &slope);
    pool_run(d->pool, (size_t)rows->count, dz_part, &job);
    head_logits_backward(d, &slice, rows->count, scratch, slope);
    d->ops.gemm_dx(d, &slice, rows->count, scratch, dhidden, job.at > 0);
    if (slice.part[WEIGHT_GRAD]) d->ops.gemm_dw(d, &slice, NULL, rows->count, scratch, hidden);
  }
}

#endif
