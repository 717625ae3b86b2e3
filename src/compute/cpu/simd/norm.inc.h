/* compute/cpu/simd/norm: root mean square norm and its backward. Floors: 8 bytes per element forward, 16 backward (20
 * with accumulate) and 8 more for the scale's gradient; a handful of operations, so memory, or the latency of sum16 on
 * short rows. */
#ifndef ASSAY_COMPUTE_CPU_SIMD_NORM_INC_H
#define ASSAY_COMPUTE_CPU_SIMD_NORM_INC_H

#include "compute/cpu/ref/ref.h"

struct norm_job {
  const float *x, *w, *dy;
  float *y, *r, *dx, *dw;
  size_t m, c;
  float eps, plus; /* plus: 1 where the scale is 1 + w, else 0 */
  bool accumulate;
};

INLINE struct f16 norm_scale(const struct norm_job *job, size_t c)
{
  return f16_add(f16_load(job->w + c), f16_set(job->plus));
}

/* r = 1 / sqrt(sum16(x^2) / C + eps); y = (x * r) * w */
static void rmsnorm_part(void *arg, int thread, size_t begin, size_t end)
{
  const struct norm_job *job = arg;
  (void)thread;
  for (size_t m = begin; m < end; m++) {
    const float *x = job->x + m * job->c;
    float *y = job->y + m * job->c;
    struct f16 lane = f16_zero();
    for (size_t c = 0; c < job->c; c += 16) {
      const struct f16 v =
          f16_load_mask(x + c, m16_first(job->c - c)); /* adding +0 to a sum of squares changes nothing */
      lane = f16_fma(v, v, lane);
    }
    const float r = 1 / math_sqrtf(f16_sum(lane) / (float)job->c + job->eps);
    for (size_t c = 0; c < job->c; c += 16) {
      const struct m16 mask = m16_first(job->c - c);
      f16_store_mask(y + c, mask, f16_mul(f16_mul(f16_load_mask(x + c, mask), f16_set(r)), norm_scale(job, c)));
    }
    job->r[m] = r;
  }
}

static void rmsnorm_run(struct device *d, const struct weight *w, double eps, int32_t m, struct view x, struct view y,
                        struct view r)
{
  if (m <= 0) return;
  struct norm_job job = {.x = view_reals(x),
                         .w = weight_reals(w, WEIGHT_MASTER),
                         .y = view_reals(y),
                         .r = view_reals(r),
                         .m = (size_t)m,
                         .c = w->n,
                         .eps = (float)eps,
                         .plus = w->plus_one};
  pool_run_grain(d->pool, job.m, grain_of(job.c), rmsnorm_part, &job);
}

/* g = dy w; dx = g r - x ((r^3 sum16(g x)) / C) */
static void rmsnorm_dx_part(void *arg, int thread, size_t begin, size_t end)
{
  const struct norm_job *job = arg;
  (void)thread;
  for (size_t m = begin; m < end; m++) {
    const float *x = job->x + m * job->c, *dy = job->dy + m * job->c, r = job->r[m];
    float *dx = job->dx + m * job->c;
    struct f16 lane = f16_zero();
    for (size_t c = 0; c < job->c; c += 16) {
      const struct m16 mask = m16_first(job->c - c);
      const struct f16 g = f16_mul(f16_load_mask(dy + c, mask), norm_scale(job, c));
      lane = f16_select(mask, f16_fma(g, f16_load_mask(x + c, mask), lane), lane);
    }
    const struct f16 t = f16_set(((r * r) * r) * f16_sum(lane) / (float)job->c);
    for (size_t c = 0; c < job->c; c += 16) {
      const struct m16 mask = m16_first(job->c - c);
      const struct f16 g = f16_mul(f16_load_mask(dy + c, mask), norm_scale(job, c));
      struct f16 value = f16_fma(f16_neg(f16_load_mask(x + c, mask)), t, f16_mul(g, f16_set(r)));
      if (job->accumulate) value = f16_add(f16_load_mask(dx + c, mask), value);
      f16_store_mask(dx + c, mask, value);
    }
  }
}

/* grad(w) = chain_m dy (x r) */
static void rmsnorm_dw_part(void *arg, int thread, size_t begin, size_t end)
{
  const struct norm_job *job = arg;
  (void)thread;
  for (size_t m = 0; m < job->m; m++) {
    const float *x = job->x + m * job->c, *dy = job->dy + m * job->c;
    const struct f16 r = f16_set(job->r[m]);
    for (size_t c = begin; c < end; c += 16) {
      const struct m16 mask = m16_first(end - c);
      const struct f16 dw = f16_load_mask(job->dw + c, mask);
      f16_store_mask(job->dw + c, mask,
                     f16_fma(f16_load_mask(dy + c, mask), f16_mul(f16_load_mask(x + c, mask), r), dw));
    }
  }
}

static void rmsnorm_backward_run(struct device *d, struct weight *w, int32_t m, struct view x, struct view r,
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
  if (job.dw) pool_run_grain(d->pool, job.c, 16, rmsnorm_dw_part, &job);
  pool_run_grain(d->pool, job.m, grain_of(job.c), rmsnorm_dx_part, &job);
}

#endif
