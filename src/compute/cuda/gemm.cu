/* cuda/gemm: y = x W^T + b, and its backward: dx = dy W, dW = dy^T x, db = sum dy. In f32 each output is one chain of
 * fused multiply-adds over the whole inner length by one thread: no split of it, so tiles move no bit.
 *
 * A team of 256 threads has a tile of 64 x 64 outputs, a thread 4 x 4 of them; 16 terms of both operands at a time stand
 * in shared memory. With few rows (decode) a thread has one column and all rows instead: weights stream once, and
 * sixteen loads are on their way at a time. A matrix in blocks: blocks.h.
 */
#include "compute/cuda/blocks.h"

enum { TILE = 64, DEEP = 16, EACH = 4, FEW = 8 /* rows */, FEW_TEAM = 64 };

struct gemm_args {
  const real *left, *right; /* of the product; which is what stands with each kernel */
  const real *bias;         /* [columns] or NULL */
  real *out;
  size_t rows, columns, inner;
  bool accumulate;
  size_t left_row, out_row; /* reals from row to row: of left [rows, inner], and of out where it is no weight */
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
  return row < a->rows && at < a->inner ? a->left[row * a->left_row + at] : 0;
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
        a.out[out_row(i) * a.out_row + out_column(j)] = gemm_finish(&a, sum[i][j], out_column(j));
}

/* DEEP terms of a column for all rows. */
HERE void few_terms(const struct gemm_args *a, size_t begin, const real held[DEEP], real sum[FEW])
{
  const size_t terms = size_min(DEEP, a->inner - begin);
  for (size_t m = 0; m < FEW && m < a->rows; m++)
    for (size_t i = 0; i < terms; i++) sum[m] = real_fma(a->left[m * a->left_row + begin + i], held[i], sum[m]);
}
HERE void few_store(const struct gemm_args *a, size_t n, const real sum[FEW])
{
  for (size_t m = 0; m < FEW && m < a->rows; m++) a->out[m * a->out_row + n] = gemm_finish(a, sum[m], n);
}

/* A column a thread. */
KERNEL(gemm_few, struct gemm_args)
{
  const size_t n = index_here();
  if (n >= a.columns) return;
  const real *w = a.right + panel_here(a.inner, n, 0);
  real sum[FEW] = {0};
  for (size_t begin = 0; begin < a.inner; begin += DEEP) {
    real held[DEEP];
    for (size_t i = 0; i < DEEP; i++) held[i] = begin + i < a.inner ? w[(begin + i) * PANEL] : 0;
    few_terms(&a, begin, held, sum);
  }
  few_store(&a, n, sum);
}

struct few_blocks_args {
  struct gemm_args gemm;
  struct blocks blocks;
};

KERNEL(gemm_few_blocks, struct few_blocks_args)
{
  const size_t n = index_here();
  if (n >= a.gemm.columns) return;
  real sum[FEW] = {0};
  for (size_t begin = 0; begin < a.gemm.inner; begin += DEEP) {
    const struct block_step step = block_step_of(&a.blocks, n, begin);
    real held[DEEP];
    for (size_t i = 0; i < DEEP; i++) held[i] = block_value(&a.blocks, &step, i);
    few_terms(&a.gemm, begin, held, sum);
  }
  few_store(&a.gemm, n, sum);
}

static size_t tiles_for(size_t n) { return (n + TILE - 1) / TILE; }

/* Slices of the outputs, each a matrix of its own. */
static void gemm_blocks(struct device *d, const struct weight *w, struct gemm_args a)
{
  if (a.rows <= FEW) {
    struct few_blocks_args few = {a, blocks_of(w)};
    LAUNCH(d, gemm_few_blocks, (w->n + FEW_TEAM - 1) / FEW_TEAM, 1, FEW_TEAM, few);
    return;
  }
  real *const out = a.out;
  const real *const bias = a.bias;
  void *const room = CUDA_NAME(cuda_room)(d, CUDA_NAME(blocks_slice_bytes)(w));
  for (size_t first = 0; room && first < w->n; first += a.columns) {
    a.columns = size_min(CUDA_NAME(blocks_slice_rows)(w), w->n - first);
    const struct weight slice = CUDA_NAME(blocks_slice)(d, w, first, a.columns, room);
    a.right = weight_reals(&slice, WEIGHT_MASTER);
    a.out = out + first;
    a.bias = bias ? bias + first : NULL;
    LAUNCH_TEAM(d, gemm_forward, tiles_for(a.columns), tiles_for(a.rows), TEAM, a);
  }
}

void CUDA_NAME(gemm)(struct device *d, const struct weight *w, const struct weight *b, int32_t m, struct view x,
                     struct view y)
{
  if (m <= 0) return;
  struct gemm_args a = {view_reals(x), weight_reals(w, WEIGHT_MASTER), b ? weight_reals(b, WEIGHT_MASTER) : NULL,
                        view_reals(y), (size_t)m, w->n, w->k, false, w->k, w->n};
  if (w->quant)
    gemm_blocks(d, w, a);
  else if (m <= FEW)
    LAUNCH(d, gemm_few, (w->n + FEW_TEAM - 1) / FEW_TEAM, 1, FEW_TEAM, a);
  else
    LAUNCH_TEAM(d, gemm_forward, tiles_for(a.columns), tiles_for(a.rows), TEAM, a);
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
                        accumulate, w->n, w->k};
  void *const room = w->quant ? CUDA_NAME(cuda_room)(d, CUDA_NAME(blocks_slice_bytes)(w)) : NULL;
  for (size_t first = 0; room && first < w->n; first += a.inner) { /* the chain goes on from slice to slice */
    a.inner = size_min(CUDA_NAME(blocks_slice_rows)(w), w->n - first);
    const struct weight slice = CUDA_NAME(blocks_slice)(d, w, first, a.inner, room);
    a.left = view_reals(dy) + first;
    a.right = weight_reals(&slice, WEIGHT_MASTER);
    a.accumulate = accumulate || first;
    LAUNCH_TEAM(d, gemm_dx_tiles, tiles_for(a.columns), tiles_for(a.rows), TEAM, a);
  }
  if (!w->quant) LAUNCH_TEAM(d, gemm_dx_tiles, tiles_for(a.columns), tiles_for(a.rows), TEAM, a);
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

/* grad(b)[n] = chain of additions of dy[m, n], of which some are on their way at a time. rows: M, columns: N. */
KERNEL(gemm_db, struct gemm_args)
{
  const size_t n = index_here();
  if (n >= a.columns) return;
  real sum = a.out[n];
  for (size_t m = 0; m < a.rows; m += DEEP) {
    real held[DEEP];
    UNROLL
    for (size_t i = 0; i < DEEP; i++) held[i] = m + i < a.rows ? a.left[(m + i) * a.columns + n] : 0;
    UNROLL
    for (size_t i = 0; i < DEEP; i++) sum = m + i < a.rows ? sum + held[i] : sum;
  }
  a.out[n] = sum;
}

void CUDA_NAME(gemm_bias)(struct device *d, struct weight *b, int32_t m, struct view dy)
{
  struct gemm_args a = {view_reals(dy), NULL, NULL, b ? weight_reals(b, WEIGHT_GRAD) : NULL, (size_t)m, b ? b->n : 0, 0,
                        true, 0, 0};
  if (a.out) LAUNCH(d, gemm_db, blocks_for(a.columns), 1, TEAM, a);
}

void CUDA_NAME(gemm_dw)(struct device *d, struct weight *w, struct weight *b, int32_t m, struct view dy, struct view x)
{
  if (m <= 0) return;
  struct gemm_args a = {view_reals(dy), view_reals(x), NULL, weight_reals(w, WEIGHT_GRAD), w->n, w->k, (size_t)m, true, 0,
                        0};
  if (a.out) LAUNCH_TEAM(d, gemm_dw_tiles, tiles_for(a.columns), tiles_for(a.rows), TEAM, a);
  CUDA_NAME(gemm_bias)(d, b, m, dy);
}
