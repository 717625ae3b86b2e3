/* cuda/adamw: decoupled weight decay (Loshchilov and Hutter 2019, algorithm 2), a thread eight k of one output. */
#include "compute/cuda/cuda.h"

struct adamw_args {
  real *master, *grad, *moment1, *moment2;
  uint32_t *copy; /* rounded; NULL where there is none */
  size_t n, k;
  real b1, not_b1, b2, not_b2, c1, c2, lr, decay, eps, grad_scale;
};

/* m1 = b1 m1 + (1-b1) g;  m2 = b2 m2 + (1-b2) g^2;  w -= lr wd w;  w -= lr (m1 / c1) / (sqrt(m2 / c2) + eps) */
HERE real adamw_element(const struct adamw_args *a, size_t i)
{
  real g = a->grad[i] * a->grad_scale, w = a->master[i];
  real m1 = real_fma(a->b1, a->moment1[i], a->not_b1 * g);
  real m2 = real_fma(a->b2, a->moment2[i], a->not_b2 * (g * g));
  w = real_fma(a->decay, w, w);
  w = w - a->lr * real_divide(real_divide(m1, a->c1), real_sqrt(real_divide(m2, a->c2)) + a->eps);
  a->master[i] = w;
  a->moment1[i] = m1;
  a->moment2[i] = m2;
  a->grad[i] = 0;
  return w;
}

KERNEL(adamw_cores, struct adamw_args)
{
  const size_t i = index_here(), cores = (a.k + CORE - 1) / CORE, n = i / (PANEL * cores) * PANEL + i % PANEL,
               k = i / PANEL % cores * CORE;
  if (n >= a.n) return; /* the padding stays 0 */
  real w[CORE];
  UNROLL
  for (size_t j = 0; j < CORE; j++) w[j] = k + j < a.k ? adamw_element(&a, panel_here(a.k, n, k + j)) : 0;
  if (a.copy) core_put(a.copy, core_at(a.k, n, k), w);
}

void CUDA_NAME(adamw)(struct device *d, struct weight *w, const struct adamw_params *p)
{
  ASSAY_BUG_IF(!w->part[WEIGHT_GRAD] || !w->part[WEIGHT_MOMENT1] || !w->part[WEIGHT_MOMENT2]);
  struct adamw_args a = {weight_reals(w, WEIGHT_MASTER),
                         weight_reals(w, WEIGHT_GRAD),
                         weight_reals(w, WEIGHT_MOMENT1),
                         weight_reals(w, WEIGHT_MOMENT2),
                         w->copy,
                         w->n,
                         w->k,
                         (real)p->beta1,
                         (real)(1.0 - p->beta1),
                         (real)p->beta2,
                         (real)(1.0 - p->beta2),
                         (real)p->correction1,
                         (real)p->correction2,
                         (real)p->lr,
                         (real)(-(p->lr * p->weight_decay)),
                         (real)p->eps,
                         (real)p->grad_scale};
  LAUNCH(d, adamw_cores, blocks_for(w->padded * ((w->k + CORE - 1) / CORE)), 1, TEAM, a);
}
