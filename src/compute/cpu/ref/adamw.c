/* ref/adamw: decoupled weight decay (Loshchilov and Hutter 2019, algorithm 2). The panels of master, gradient and
 * moments are the same, so it is elementwise. */
#include "compute/cpu/ref/ref.h"

struct adamw_job {
  real *master, *grad, *moment1, *moment2;
  size_t n, k;
  real b1, not_b1, b2, not_b2, c1, c2, lr, decay, eps, grad_scale;
};

/* m1 = b1 m1 + (1-b1) g;  m2 = b2 m2 + (1-b2) g^2;  w -= lr wd w;  w -= lr (m1 / c1) / (sqrt(m2 / c2) + eps) */
static void adamw_part(void *arg, int thread, size_t begin, size_t end)
{
  const struct adamw_job *job = arg;
  (void)thread;
  for (size_t item = begin; item < end; item++) {
    size_t width = size_min(PANEL, job->n - item / job->k * PANEL); /* the padding stays 0 */
    for (size_t i = item * PANEL; i < item * PANEL + width; i++) {
      real g = job->grad[i] * job->grad_scale, w = job->master[i];
      real m1 = real_fma(job->b1, job->moment1[i], job->not_b1 * g);
      real m2 = real_fma(job->b2, job->moment2[i], job->not_b2 * (g * g));
      w = real_fma(job->decay, w, w);
      job->master[i] = w - job->lr * ((m1 / job->c1) / (real_sqrt(m2 / job->c2) + job->eps));
      job->moment1[i] = m1;
      job->moment2[i] = m2;
      job->grad[i] = 0;
    }
  }
}

void REAL_NAME(adamw)(struct device *d, struct weight *w, const struct adamw_params *p)
{
  ASSAY_BUG_IF(!w->part[WEIGHT_GRAD] || !w->part[WEIGHT_MOMENT1] || !w->part[WEIGHT_MOMENT2]);
  struct adamw_job job = {.master = weight_reals(w, WEIGHT_MASTER),
                          .grad = weight_reals(w, WEIGHT_GRAD),
                          .moment1 = weight_reals(w, WEIGHT_MOMENT1),
                          .moment2 = weight_reals(w, WEIGHT_MOMENT2),
                          .n = w->n,
                          .k = w->k,
                          .b1 = (real)p->beta1,
                          .not_b1 = (real)(1.0 - p->beta1),
                          .b2 = (real)p->beta2,
                          .not_b2 = (real)(1.0 - p->beta2),
                          .c1 = (real)p->correction1,
                          .c2 = (real)p->correction2,
                          .lr = (real)p->lr,
                          .decay = (real)(-(p->lr * p->weight_decay)),
                          .eps = (real)p->eps,
                          .grad_scale = (real)p->grad_scale};
  pool_run(d->pool, w->padded / PANEL * w->k, adamw_part, &job);
}

static void zero_part(void *arg, int thread, size_t begin, size_t end)
{
  real *grad = arg;
  (void)thread;
  for (size_t i = begin; i < end; i++) grad[i] = 0;
}

void REAL_NAME(weight_zero_grad)(struct device *d, struct weight *w)
{
  if (w->part[WEIGHT_GRAD]) pool_run(d->pool, w->padded * w->k, zero_part, w->part[WEIGHT_GRAD]);
}
