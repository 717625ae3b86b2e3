/* cuda/gemm: y = x W^T + b, and its backward: dx = dy W, dW = dy^T x, db = sum dy. In f32 each output is one chain of
 * fused multiply-adds over the whole inner length by one thread: no split of it, so tiles move no bit.
 *
 * A team of 256 threads has a tile of 64 x 64 outputs, a thread 4 x 4 of them; 16 terms of both operands at a time stand
 * in shared memory. With few rows (decode) a thread has one column and all rows instead: weights stream once, and
 * sixteen loads are on their way at a time.
 */
#include "compute/cuda/cuda.h"

enum { TILE = 64, DEEP = 16, EACH = 4, FEW = 8 /* rows */, FEW_TEAM = 64 };

struct gemm_args {
  const real *left, *right; /* of the product; which is what stands with each kernel */
  const real *bias;         /* [columns] or NULL */
  real *out;
  size_t rows, columns, inner;
  bool accumulate;
};

/* The tiles of both operands, [inner][row] and [inner][column]. */
struct gemm_tiles {
  real left[DEEP][TILE], right[DEEP][TILE];
};

HERE size_t tile_row(void) { return block_y() * TILE; }
HERE size_t tile_column(void) { return block_x() * TILE; }

/* One element of a tile: what is outside of the matrices is 0 and only meets outputs that are not stored. */
HERE real left_rows(const struct gemm_args *a, size_t row, size_t at) /* left is [rows, inner] */
{
  return row < a->rows && at < a->inner ? a->left[row * a->inner + at] : 0;
}
HERE real left_columns(const struct gemm_args *a, size_t row, size_t at) /* left is [inner, rows] */
{
  return row < a->rows && at < a->inner ? a->left[at * a->rows + row] : 0;
}
HERE real right_rows(const struct gemm_args *a, size_t column, size_t at) /* right is [inner, columns] */
{
  return column < a->columns && at < a->inner ? a->right[at * a->columns + column] : 0;
}

/* The terms that a loaded tile holds, in order; the last tile holds fewer. */
HERE void tile_terms(const struct gemm_tiles *t, size_t terms, real sum[EACH][EACH])
{
  const int row = thread_here() / (TILE / EACH) * EACH, column = thread_here() % (TILE / EACH) * EACH;
  for (size_t at = 0; at < terms; at++)
    for (int i = 0; i < EACH; i++)
      for (int j = 0; j < EACH; j++)
        sum[i][j] = real_fma(t->left[at][row + i], t->right[at][column + j], sum[i][j]);
}

/* Where output (i, j) of this thread is. */
HERE size_t out_row(int i) { return tile_row() + (size_t)(thread_here() / (TILE / EACH) * EACH + i); }
HERE size_t out_column(int j) { return tile_column() + (size_t)(thread_here() % (TILE / EACH) * EACH + j); }

/* ---- forward: y[m, n] = chain_k x[m, k] W[n, k], then + b[n]; left: x, right: W in panels ---- */

HERE real gemm_finish(const struct gemm_args *a, real sum, size_t n)
{
  return a->bias ? sum + a->bias[n] : sum;
}

KERNEL_TEAM(gemm_forward, struct gemm_args, TEAM)
{
  SHARED struct gemm_tiles t;
  real sum[EACH][EACH] = {{0}};
  for (size_t begin = 0; begin < a.inner; begin += DEEP) {
    for (int i = thread_here(); i < TILE * DEEP; i += TEAM) {
      t.left[i % DEEP][i / DEEP] = left_rows(&a, tile_row() + (size_t)(i / DEEP), begin + (size_t)(i % DEEP));
      size_t n = tile_column() + (size_t)(i / (PANEL * DEEP) * PANEL + i % PANEL), k = begin + (size_t)(i / PANEL % DEEP);
      t.right[i / PANEL % DEEP][i / (PANEL * DEEP) * PANEL + i % PANEL] =
          n < a.columns && k < a.inner ? a.right[panel_here(a.inner, n, k)] : 0;
    }
    team_wait();
    tile_terms(&t, size_min(DEEP, a.inner - begin), sum);
    team_wait();
  }
  for (int i = 0; i < EACH; i++)
    for (int j = 0; j < EACH; j++)
      if (out_row(i) < a.rows && out_column(j) < a.columns)
        a.out[out_row(i) * a.columns + out_column(j)] = gemm_finish(&a, sum[i][j], out_column(j));
}

/* A column a thread. */
KERNEL(gemm_few, struct gemm_args)
{
  const size_t n = index_here();
  if (n >= a.columns) return;
  const real *w = a.right + panel_here(a.inner, n, 0);
  real sum[FEW] = {0};
  for (size_t begin = 0; begin < a.inner; begin += DEEP) {
    const size_t terms = size_min(DEEP, a.inner - begin);
    real held[DEEP];
    for (size_t i = 0; i < DEEP; i++) held[i] = i < terms ? w[(begin + i) * PANEL] : 0;
    for (size_t m = 0; m < FEW && m < a.rows; m++)
      for (size_t i = 0; i < terms; i++) sum[m] = real_fma(a.left[m * a.inner + begin + i], held[i], sum[m]);
  }
  for (size_t m = 0; m < FEW && m < a.rows; m++) a.out[m * a.columns + n] = gemm_finish(&a, sum[m], n);
}

void CUDA_NAME(gemm)(struct device *d, const struct weight *w, const struct weight *b, int32_t m, struct view x,
                     struct view y)
{
  if (m <= 0) return;
  struct gemm_args a = {view_reals(x), weight_reals(w, WEIGHT_MASTER), b ? weight_reals(b, WEIGHT_MASTER) : NULL,
                        view_reals(y), (size_t)m, w->n, w->k, false};
  if (m <= FEW)
    LAUNCH(d, gemm_few, (w->n + FEW_TEAM - 1) / FEW_TEAM, 1, FEW_TEAM, a);
  else
    LAUNCH_TEAM(d, gemm_forward, (a.columns + TILE - 1) / TILE, (a.rows + TILE - 1) / TILE, TEAM, a);
}

/* ---- backward: dx[m, k] = chain_n dy[m, n] W[n, k]; left: dy, right: W in panels, 16 n of which are a tile's depth ---- */

KERNEL_TEAM(gemm_dx_tiles, struct gemm_args, TEAM)
{
  SHARED struct gemm_tiles t;
  real sum[EACH][EACH] = {{0}};
  for (int i = 0; i < EACH; i++)
    for (int j = 0; j < EACH; j++)
      if (a.accumulate && out_row(i) < a.rows && out_column(j) < a.columns)
        sum[i][j] = a.out[out_row(i) * a.columns + out_column(j)];
  for (size_t begin = 0; begin < a.inner; begin += DEEP) {
    for (int i = thread_here(); i < TILE * DEEP; i += TEAM) {
      t.left[i % DEEP][i / DEEP] = left_rows(&a, tile_row() + (size_t)(i / DEEP), begin + (size_t)(i % DEEP));
      size_t k = tile_column() + (size_t)(i / DEEP), n = begin + (size_t)(i % DEEP);
      t.right[i % DEEP][i / DEEP] = k < a.columns && n < a.inner ? a.right[panel_here(a.columns, n, k)] : 0;
    }
    team_wait();
    tile_terms(&t, size_min(DEEP, a.inner - begin), sum);
    team_wait();
  }
  for (int i = 0; i < EACH; i++)
    for (int j = 0; j < EACH; j++)
      if (out_row(i) < a.rows && out_column(j) < a.columns) a.out[out_row(i) * a.columns + out_column(j)] = sum[i][j];
}

void CUDA_NAME(gemm_dx)(struct device *d, const struct weight *w, int32_t m, struct view dy, struct view dx,
                        bool accumulate)
{
  if (m <= 0) return;
  struct gemm_args a = {view_reals(dy), weight_reals(w, WEIGHT_MASTER), NULL, view_reals(dx), (size_t)m, w->k, w->n,
                        accumulate};
  LAUNCH_TEAM(d, gemm_dx_tiles, (a.columns + TILE - 1) / TILE, (a.rows + TILE - 1) / TILE, TEAM, a);
}

/* ---- backward: grad(W)[n, k] = chain_m dy[m, n] x[m, k] from grad(W); left: dy, right: x, out: W's panels ---- */

KERNEL_TEAM(gemm_dw_tiles, struct gemm_args, TEAM)
{
  SHARED struct gemm_tiles t;
  real sum[EACH][EACH] = {{0}};
  for (int i = 0; i < EACH; i++)
    for (int j = 0; j < EACH; j++)
      if (out_row(i) < a.rows && out_column(j) < a.columns)
        sum[i][j] = a.out[panel_here(a.columns, out_row(i), out_column(j))];
  for (size_t begin = 0; begin < a.inner; begin += DEEP) {
    for (int i = thread_here(); i < TILE * DEEP; i += TEAM) {
      t.left[i / TILE][i % TILE] = left_columns(&a, tile_row() + (size_t)(i % TILE), begin + (size_t)(i / TILE));
      t.right[i / TILE][i % TILE] = right_rows(&a, tile_column() + (size_t)(i % TILE), begin + (size_t)(i / TILE));
    }
    team_wait();
    tile_terms(&t, size_min(DEEP, a.inner - begin), sum);
    team_wait();
  }
  for (int i = 0; i < EACH; i++)
    for (int j = 0; j < EACH; j++)
      if (out_row(i) < a.rows && out_column(j) < a.columns)
        a.out[panel_here(a.columns, out_row(i), out_column(j))] = sum[i][j];
}

/* grad(b)[n] = chain of additions of dy[m, n]. rows: M, columns: N. */
KERNEL(gemm_db, struct gemm_args)
{
  const size_t n = index_here();
  if (n >= a.columns) return;
  real sum = a.out[n];
  for (size_t m = 0; m < a.rows; m++) sum = sum + a.left[m * a.columns + n];
  a.out[n] = sum;
}

void CUDA_NAME(gemm_bias)(struct device *d, struct weight *b, int32_t m, struct view dy)
{
  struct gemm_args a = {view_reals(dy), NULL, NULL, b ? weight_reals(b, WEIGHT_GRAD) : NULL, (size_t)m, b ? b->n : 0, 0,
                        true};
  if (a.out) LAUNCH(d, gemm_db, blocks_for(a.columns), 1, TEAM, a);
}

void CUDA_NAME(gemm_dw)(struct device *d, struct weight *w, struct weight *b, int32_t m, struct view dy, struct view x)
{
  if (m <= 0) return;
  struct gemm_args a = {view_reals(dy), view_reals(x), NULL, weight_reals(w, WEIGHT_GRAD), w->n, w->k, (size_t)m, true};
  if (a.out) LAUNCH_TEAM(d, gemm_dw_tiles, (a.columns + TILE - 1) / TILE, (a.rows + TILE - 1) / TILE, TEAM, a);
  CUDA_NAME(gemm_bias)(d, b, m, dy);
}
