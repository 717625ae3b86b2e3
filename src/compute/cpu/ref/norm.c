/* ref/norm: root mean square norm and its backward. */
#include "compute/cpu/ref/ref.h"

struct norm_job {
  const real *x, *w, *dy;
  real *y, *r, *dx, *dw;
  size_t m, c;
  real eps, plus; /* plus: 1 where the scale is 1 + w, else 0 */
  bool accumulate;
};

/* ---- forward: r = 1 / sqrt(sum16(x^2) / C + eps); y = (x * r) * w ---- */

static void rmsnorm_part(void *arg, int thread, size_t begin, size_t end)
{
  const struct norm_job *job = arg;
  (void)thread;
  for (size_t m = begin; m < end; m++) {
    const real *x = job->x + m * job->c;
    real *y = job->y + m * job->c, lane[16] = {0};
    for (size_t c = 0; c < job->c; c++) lane[c % 16] = real_fma(x[c], x[c], lane[c % 16]);
    real r = 1 / real_sqrt(lanes_sum(lane) / (real)job->c + job->eps);
    for (size_t c = 0; c < job->c; c++) y[c] = (x[c] * r) * (job->w[c] + job->plus);
    job->r[m] = r;
  }
}

void REAL_NAME(rmsnorm)(struct device *d, const struct weight *w, double eps, int32_t m, struct view x, struct view y,
                        struct view r)
{
  if (m <= 0) return;
  struct norm_job job = {.x = view_reals(x),
                         .w = weight_reals(w, WEIGHT_MASTER),
                         .y = view_reals(y),
                         .r = view_reals(r),
                         .m = (size_t)m,
                         .c = w->n,
                         .eps = (real)eps,
                         .plus = w->plus_one};
  pool_run(d->pool, job.m, rmsnorm_part, &job);
}

/* ---- backward: g = dy w; dx = g r - x ((r^3 sum16(g x)) / C); grad(w) = chain_m dy (x r) ---- */

static void rmsnorm_dx_part(void *arg, int thread, size_t begin, size_t end)
{
  const struct norm_job *job = arg;
  (void)thread;
  for (size_t m = begin; m < end; m++) {
    const real *x = job->x + m * job->c, *dy = job->dy + m * job->c;
    real *dx = job->dx + m * job->c, lane[16] = {0}, r = job->r[m];
    for (size_t c = 0; c < job->c; c++) lane[c % 16] = real_fma(dy[c] * (job->w[c] + job->plus), x[c], lane[c % 16]);
    real t = ((r * r) * r) * lanes_sum(lane) / (real)job->c;
    for (size_t c = 0; c < job->c; c++) {
      real value = real_fma(-x[c], t, (dy[c] * (job->w[c] + job->plus)) * r);
      dx[c] = job->accumulate ? dx[c] + value : value;
    }
  }
}

static void rmsnorm_dw_part(void *arg, int thread, size_t begin, size_t end)
{
  const struct norm_job *job = arg;
  (void)thread;
  for (size_t m = 0; m < job->m; m++) {
    const real *x = job->x + m * job->c, *dy = job->dy + m * job->c;
    for (size_t c = begin; c < end; c++) job->dw[c] = real_fma(dy[c], x[c] * job->r[m], job->dw[c]);
  }
}

void REAL_NAME(rmsnorm_backward)(struct device *d, struct weight *w, int32_t m, struct view x, struct view r,
                                 struct view dy, struct view dx, bool accumulate)
{
  if (m <= 0) return;
  struct norm_job job = {.x = view_reals(x),
                         .w = weight_reals(w, WEIGHT_MASTER),
                         .dy = view_reals(dy),
                         .r = view_reals(r),
                         .dx = view_reals(dx),
                         .dw = weight_reals(w, WEIGHT_GRAD),
                         .m = (size_t)m,
                         .c = w->n,
                         .plus = w->plus_one,
                         .accumulate = accumulate};
  if (job.dw) pool_run(d->pool, job.c, rmsnorm_dw_part, &job);
  pool_run(d->pool, job.m, rmsnorm_dx_part, &job);
}
