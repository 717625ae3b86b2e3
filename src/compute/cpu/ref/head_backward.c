/* ref/head_backward: from coefficients on log-probabilities and entropies to gradients of the hidden states and of the
 * LM head.
 *
 *   d logp_t / d z_v = [v = t] - p_v,   d entropy / d z_v = -p_v (log p_v + entropy),   d z_v / d logit_v = 1/T
 */
#include "compute/cpu/ref/head_steps.h"

struct head_grad_job {
  const struct head_rows *rows;
  real *dz; /* [H, width]: logits in, dz out */
  size_t at, width;
  real inv_temperature;
  const real *stat;
  const double *coef, *entropy_coef;
  const real *extra; /* [H, V], or NULL */
  size_t vocab;
};

/* g = -(a p) [- b p (logp + entropy)] + coef at the targets; dz = g (1/T) */
static void dz_row(const struct head_grad_job *job, size_t h)
{
  struct head_state s = {job->stat[3 * h], job->stat[3 * h + 1], job->stat[3 * h + 2]};
  int32_t first = head_first_pair(job->rows, (int32_t)h), end = first;
  double sum = 0;
  for (; end < job->rows->pair_count && job->rows->pair_row[end] == (int32_t)h; end++) sum += job->coef[end];
  real a = (real)sum, b = job->entropy_coef ? (real)job->entropy_coef[h] : 0;
  real log_l = real_log(s.l), entropy = head_entropy(&s), *g = job->dz + h * job->width;
  for (size_t i = 0; i < job->width; i++) {
    real below = head_z(g[i], job->inv_temperature) - s.m, p = real_exp(below) / s.l;
    g[i] = -(a * p);
    if (b != 0) g[i] = real_fma(-(b * p), (below - log_l) + entropy, g[i]);
  }
  head_add_targets(job->rows, job->coef, first, end, job->at, job->width, g);
  const real *extra = job->extra ? job->extra + h * job->vocab + job->at : NULL;
  for (size_t i = 0; extra && i < job->width; i++) g[i] += extra[i];
  for (size_t i = 0; i < job->width; i++) g[i] *= job->inv_temperature;
}

static void dz_part(void *arg, int thread, size_t begin, size_t end)
{
  (void)thread;
  for (size_t h = begin; h < end; h++) dz_row(arg, h);
}

void REAL_NAME(head_backward)(struct device *d, struct weight *w, double inv_temperature, const struct head_rows *rows,
                              struct view hidden, int32_t chunk, struct view scratch, struct view stat,
                              const double *coef, const double *entropy_coef, const struct view *extra,
                              struct view dhidden)
{
  if (rows->count <= 0) return;
  head_check(w, rows, chunk);
  struct head_grad_job job = {.rows = rows,
                              .dz = view_reals(scratch),
                              .inv_temperature = (real)inv_temperature,
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
