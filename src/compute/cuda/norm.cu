/* cuda/norm: root mean square norm and its backward. Sixteen lanes have a row: lane i its chain over the columns i,
 * i + 16, ..., then their tree (half_sum). */
#include "compute/cuda/cuda.h"

struct norm_args {
  const real *x, *w, *dy;
  real *y, *r, *dx, *dw;
  size_t m, c;
  real eps, plus; /* plus: 1 where the scale is 1 + w, else 0 */
  bool accumulate;
};

enum { LANES = 16, ROWS_EACH = TEAM / LANES, AHEAD = 8 };

HERE size_t norm_row(void)
{
  return block_x() * ROWS_EACH + (size_t)(thread_here() / LANES);
}

/* ---- forward: r = 1 / sqrt(sum16(x^2) / C + eps); y = (x * r) * (w + plus) ---- */

KERNEL(norm_rows, struct norm_args)
{
  size_t row = norm_row(), lane = (size_t)(thread_here() % LANES), at = row < a.m ? row : 0;
  const real *x = a.x + at * a.c;
  real sum = 0;
  for (size_t c = lane; c < a.c; c += LANES) sum = real_fma(x[c], x[c], sum);
  real r = real_divide(1, real_sqrt(real_divide(half_sum(sum), (real)a.c) + a.eps));
  if (row >= a.m) return;
  for (size_t c = lane; c < a.c; c += LANES) a.y[at * a.c + c] = (x[c] * r) * (a.w[c] + a.plus);
  if (!lane) a.r[at] = r;
}

void CUDA_NAME(rmsnorm)(struct device *d, const struct weight *w, double eps, int32_t m, struct view x, struct view y,
                        struct view r)
{
  if (m <= 0) return;
  struct norm_args a = {view_reals(x), weight_reals(w, WEIGHT_MASTER), NULL, view_reals(y), view_reals(r), NULL, NULL,
                        (size_t)m, w->n, (real)eps, (real)w->plus_one, false};
  LAUNCH_TEAM(d, norm_rows, (a.m + ROWS_EACH - 1) / ROWS_EACH, 1, TEAM, a);
}

/* ---- backward: g = dy (w + plus); dx = g r - x ((r^3 sum16(g x)) / C); grad(w) = chain_m dy (x r) ---- */

KERNEL(norm_gradients, struct norm_args)
{
  size_t row = norm_row(), lane = (size_t)(thread_here() % LANES), at = row < a.m ? row : 0;
  const real *x = a.x + at * a.c, *dy = a.dy + at * a.c;
  real sum = 0, r = a.r[at];
  for (size_t c = lane; c < a.c; c += LANES) sum = real_fma(dy[c] * (a.w[c] + a.plus), x[c], sum);
  real t = real_divide(((r * r) * r) * half_sum(sum), (real)a.c);
  if (row >= a.m) return;
  for (size_t c = lane; c < a.c; c += LANES) {
    real value = real_fma(-x[c], t, (dy[c] * (a.w[c] + a.plus)) * r), *dx = a.dx + at * a.c + c;
    *dx = a.accumulate ? *dx + value : value;
  }
}

KERNEL(norm_weights, struct norm_args)
{
  size_t c = index_here();
  if (c >= a.c) return;
  real sum = a.dw[c];
  for (size_t m = 0; m < a.m; m += AHEAD) { /* so many rows are on their way at a time */
    real dy[AHEAD], x[AHEAD];
    UNROLL
    for (size_t i = 0; i < AHEAD; i++) {
      const bool there = m + i < a.m;
      dy[i] = there ? a.dy[(m + i) * a.c + c] : 0;
      x[i] = there ? a.x[(m + i) * a.c + c] * a.r[m + i] : 0;
    }
    UNROLL
    for (size_t i = 0; i < AHEAD; i++) sum = m + i < a.m ? real_fma(dy[i], x[i], sum) : sum;
  }
  a.dw[c] = sum;
}

void CUDA_NAME(rmsnorm_backward)(struct device *d, struct weight *w, int32_t m, struct view x, struct view r,
                                 struct view dy, struct view dx, bool accumulate)
{
  if (m <= 0) return;
  struct norm_args a = {view_reals(x), weight_reals(w, WEIGHT_MASTER), view_reals(dy), NULL, view_reals(r),
                        view_reals(dx), weight_reals(w, WEIGHT_GRAD), (size_t)m, w->n, 0, (real)w->plus_one, accumulate};
  if (a.dw) LAUNCH(d, norm_weights, blocks_for(a.c), 1, TEAM, a);
  LAUNCH_TEAM(d, norm_gradients, (a.m + ROWS_EACH - 1) / ROWS_EACH, 1, TEAM, a);
}
