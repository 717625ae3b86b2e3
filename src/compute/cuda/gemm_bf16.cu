/* cuda/gemm_bf16: the matrix products of compute type bf16, on tensor cores, of devices whose products are PRODUCTS_MMA
 * (queue.h); those of Hopper are gemm_hopper.cu's. Each output is one warp's: blocks of 32
 * terms from the first on, added by tile_multiply (kernel.h) to one accumulator; no split of the inner length. So M, the
 * tile that a row falls into and which of the kernels runs move no bit.
 *
 * Both operands stand in shared memory as lines of 32 terms: rows of the left one, columns of the right one, each term
 * rounded on its way there. A line is 20 words long, so that the lanes of a warp read from 32 banks. A team of eight
 * warps has 128 x 128 outputs, a warp 32 x 64; while it multiplies, the next 32 terms are on their way to registers.
 *
 * With few rows (decode) a team of two warps has one panel of 16 columns and all rows: weights go from memory to
 * registers, each word once, 128 terms ahead; a matrix in blocks (blocks.h) becomes words there.
 */
#include "compute/cuda/blocks.h"
#include "compute/cuda/queue.h"

enum {
  TILE = 128,                           /* outputs of a team, both ways */
  LINE = TERM_BLOCK / 2 + 4,            /* words from line to line */
  WARP_ROWS = 32, WARP_COLUMNS = 64,    /* outputs of a warp */
  DOWN = WARP_ROWS / 16, ACROSS = WARP_COLUMNS / 8,
  WORDS_EACH = TILE * TERM_BLOCK / 2 / TEAM, /* of one operand's tile, of a thread */
};

/* How an operand lies in memory: as reals, its terms next to each other or its lines; or as the copy of a weight, whose
   rows are lines (y = x W^T), or terms (dx = dy W). */
enum operand { TERMS_NEXT, LINES_NEXT, COPY_LINES, COPY_TERMS };

struct product {
  const real *left, *right;
  const uint32_t *copy; /* instead of right */
  const real *bias;     /* [columns] or NULL */
  real *out;
  size_t rows, columns, inner;
  bool panels; /* out: in panels (a gradient), else [rows, columns] */
  bool accumulate;
  size_t left_row, out_row; /* reals from row to row: of left where its terms are next to each other, of out */
};

/* ---- operands ---- */

/* Terms `at` (even) and at + 1 of a line; 0 outside. */
HERE uint32_t operand_word(enum operand kind, const real *x, const uint32_t *copy, size_t lines, size_t inner,
                           size_t row, size_t line, size_t at)
{
  if (line >= lines || at >= inner) return 0;
  const bool both = at + 1 < inner;
  if (kind == TERMS_NEXT) return word_of(x[line * row + at], both ? x[line * row + at + 1] : 0);
  if (kind == LINES_NEXT) return word_of(x[at * lines + line], both ? x[(at + 1) * lines + line] : 0);
  if (kind == COPY_LINES) return copy[core_at(inner, line, at) / 2];
  const uint32_t one = copy[core_at(lines, at, line) / 2], two = both ? copy[core_at(lines, at + 1, line) / 2] : 0;
  return line % 2 ? (one >> 16 | (two & 0xffff0000u)) : ((one & 0xffff) | two << 16);
}

/* Which line and word of a tile the thread's i-th is, so that neighbours in memory go to neighbouring threads. */
HERE int word_line(enum operand kind, int i)
{
  const int word = i * TEAM + thread_here();
  if (kind == TERMS_NEXT) return word / (TERM_BLOCK / 2);
  if (kind == COPY_LINES) return word / (PANEL * TERM_BLOCK / 2) * PANEL + word / (CORE / 2) % PANEL;
  if (kind == COPY_TERMS) return word / (CORE * PANEL / 2) % (TILE / CORE) * CORE + word % CORE;
  return word % TILE;
}
HERE int word_pair(enum operand kind, int i)
{
  const int word = i * TEAM + thread_here();
  if (kind == TERMS_NEXT) return word % (TERM_BLOCK / 2);
  if (kind == COPY_LINES) return word / (PANEL * CORE / 2) % (TERM_BLOCK / CORE) * (CORE / 2) + word % (CORE / 2);
  if (kind == COPY_TERMS) return word / (TILE * PANEL / 2) * (PANEL / 2) + word / CORE % (PANEL / 2);
  return word / TILE;
}

struct tiles {
  uint32_t left[TILE][LINE], right[TILE][LINE];
};

struct words_held {
  uint32_t left[WORDS_EACH], right[WORDS_EACH];
};

HERE size_t tile_row(void) { return block_y() * TILE; }
HERE size_t tile_column(void) { return block_x() * TILE; }

HERE void tiles_fetch(const struct product *a, enum operand left, enum operand right, size_t begin, struct words_held *h)
{
  UNROLL
  for (int i = 0; i < WORDS_EACH; i++)
    h->left[i] = operand_word(left, a->left, NULL, a->rows, a->inner, a->left_row,
                              tile_row() + (size_t)word_line(left, i), begin + 2 * (size_t)word_pair(left, i));
  UNROLL
  for (int i = 0; i < WORDS_EACH; i++)
    h->right[i] = operand_word(right, a->right, a->copy, a->columns, a->inner, a->inner,
                               tile_column() + (size_t)word_line(right, i), begin + 2 * (size_t)word_pair(right, i));
}

HERE void tiles_store(struct tiles *t, enum operand left, enum operand right, const struct words_held *h)
{
  UNROLL
  for (int i = 0; i < WORDS_EACH; i++) t->left[word_line(left, i)][word_pair(left, i)] = h->left[i];
  UNROLL
  for (int i = 0; i < WORDS_EACH; i++) t->right[word_line(right, i)][word_pair(right, i)] = h->right[i];
}

/* ---- fragments (kernel.h) ---- */

HERE int lane_group(void) { return thread_here() % WARP / 4; }
HERE int lane_part(void) { return thread_here() % 4; }

/* 16 rows by 32 terms, from word `pair` of line `first` on. */
HERE void left_fragment(const uint32_t *lines, size_t stride, uint32_t a[8])
{
  const uint32_t *low = lines + (size_t)lane_group() * stride + (size_t)lane_part(), *high = low + 8 * stride;
  UNROLL
  for (int i = 0; i < 4; i++) {
    a[2 * i] = low[4 * i];
    a[2 * i + 1] = high[4 * i];
  }
}

/* ---- a team's tile ---- */

/* Where the thread's outputs are: number c of the sub-tile (i, j) of its warp. */
HERE size_t warp_row(int i) { return tile_row() + (size_t)(thread_here() / WARP / 2 * WARP_ROWS + i * 16); }
HERE size_t warp_column(int j) { return tile_column() + (size_t)(thread_here() / WARP % 2 * WARP_COLUMNS + j * 8); }

/* Index of output c, SIZE_MAX where it lies outside. */
HERE size_t out_at(const struct product *a, size_t row, size_t column, int c)
{
  row += (size_t)(lane_group() + c / 2 * 8);
  column += (size_t)(lane_part() * 2 + c % 2);
  if (row >= a->rows || column >= a->columns) return SIZE_MAX;
  return a->panels ? panel_here(a->columns, row, column) : row * a->out_row + column;
}

HERE void sum_begin(const struct product *a, size_t row, size_t column, real sum[4])
{
  UNROLL
  for (int c = 0; c < 4; c++) {
    const size_t at = a->accumulate ? out_at(a, row, column, c) : SIZE_MAX;
    sum[c] = at == SIZE_MAX ? 0 : a->out[at];
  }
}

HERE void sum_end(const struct product *a, size_t row, size_t column, const real sum[4])
{
  UNROLL
  for (int c = 0; c < 4; c++) {
    const size_t at = out_at(a, row, column, c);
    if (at != SIZE_MAX) a->out[at] = a->bias ? sum[c] + a->bias[column + (size_t)(lane_part() * 2 + c % 2)] : sum[c];
  }
}

/* The 32 terms that stand in the tiles. Sub-tiles that lie outside are left out, by whole warps. */
HERE void tiles_multiply(const struct product *a, const struct tiles *t, real sum[DOWN][ACROSS][4])
{
  const int row = thread_here() / WARP / 2 * WARP_ROWS, column = thread_here() / WARP % 2 * WARP_COLUMNS;
  uint32_t left[DOWN][8];
  UNROLL
  for (int i = 0; i < DOWN; i++) left_fragment(t->left[row + i * 16], LINE, left[i]);
  UNROLL
  for (int j = 0; j < ACROSS; j++) {
    if (warp_column(j) >= a->columns) continue;
    const uint32_t *line = t->right[column + j * 8 + lane_group()] + lane_part();
    const uint32_t right[4] = {line[0], line[4], line[8], line[12]};
    UNROLL
    for (int i = 0; i < DOWN; i++)
      if (warp_row(i) < a->rows) tile_multiply(left[i], right, sum[i][j]);
  }
}

HERE void product_run(const struct product *a, struct tiles *t, enum operand left, enum operand right)
{
  real sum[DOWN][ACROSS][4];
  struct words_held held;
  UNROLL
  for (int i = 0; i < DOWN; i++)
    UNROLL
    for (int j = 0; j < ACROSS; j++) sum_begin(a, warp_row(i), warp_column(j), sum[i][j]);
  tiles_fetch(a, left, right, 0, &held);
  tiles_store(t, left, right, &held);
  team_wait();
  for (size_t begin = 0, turn = 0; begin < a->inner; begin += TERM_BLOCK, turn ^= 1) {
    const bool more = begin + TERM_BLOCK < a->inner;
    if (more) tiles_fetch(a, left, right, begin + TERM_BLOCK, &held);
    tiles_multiply(a, t + turn, sum);
    if (more) tiles_store(t + (turn ^ 1), left, right, &held);
    team_wait();
  }
  UNROLL
  for (int i = 0; i < DOWN; i++)
    UNROLL
    for (int j = 0; j < ACROSS; j++) sum_end(a, warp_row(i), warp_column(j), sum[i][j]);
}

KERNEL_TEAM(product_forward, struct product, TEAM) /* y = x W^T */
{
  SHARED struct tiles t[2];
  product_run(&a, t, TERMS_NEXT, COPY_LINES);
}

KERNEL_TEAM(product_dx, struct product, TEAM) /* dx = dy W */
{
  SHARED struct tiles t[2];
  product_run(&a, t, TERMS_NEXT, COPY_TERMS);
}

KERNEL_TEAM(product_dw, struct product, TEAM) /* dW = dy^T x */
{
  SHARED struct tiles t[2];
  product_run(&a, t, LINES_NEXT, LINES_NEXT);
}

/* ---- few rows ---- */

enum { FEW = 64, FEW_TEAM = 2 * WARP, AHEAD = 4 /* blocks of terms */, FEW_LINE = AHEAD * TERM_BLOCK / 2 + 4 };

/* A warp's words of the next AHEAD blocks; 0 behind the last. */
HERE void few_fetch(const struct product *a, size_t begin, uint32_t held[AHEAD][4])
{
  const size_t n = block_x() * PANEL + (size_t)(thread_here() / WARP * 8 + lane_group());
  const uint32_t *w = a->copy + core_at(a->inner, n, begin) / 2 + (size_t)lane_part();
  UNROLL
  for (int i = 0; i < AHEAD; i++)
    UNROLL
    for (int j = 0; j < 4; j++)
      held[i][j] = begin + (size_t)i * TERM_BLOCK < a->inner ? w[(i * (TERM_BLOCK / CORE) + j) * (PANEL * CORE / 2)] : 0;
}

/* The same words of a matrix in blocks, whose rows are whole ones: words j < 2 of a block of terms are of its first step,
   the others of its second. */
HERE void few_make(const struct product *a, const struct blocks *b, size_t begin, uint32_t held[AHEAD][4])
{
  const size_t n = block_x() * PANEL + (size_t)(thread_here() / WARP * 8 + lane_group());
  UNROLL
  for (int i = 0; i < AHEAD; i++)
    UNROLL
    for (int half = 0; half < 2; half++) {
      const size_t k = begin + (size_t)(i * TERM_BLOCK + half * QUANT_STEP), at = (size_t)lane_part() * 2;
      held[i][2 * half] = held[i][2 * half + 1] = 0;
      if (k >= a->inner) continue;
      const struct block_step step = block_step_of(b, n, k);
      held[i][2 * half] = word_of(block_value(b, &step, at), block_value(b, &step, at + 1));
      held[i][2 * half + 1] = word_of(block_value(b, &step, at + 8), block_value(b, &step, at + 9));
    }
}

/* The team's rows of the next AHEAD blocks, into shared memory. */
HERE void few_left(const struct product *a, size_t begin, int tiles, uint32_t *left)
{
  const int pairs = AHEAD * TERM_BLOCK / 2;
  for (int i = thread_here(); i < tiles * 16 * pairs; i += FEW_TEAM)
    left[i / pairs * FEW_LINE + i % pairs] = operand_word(TERMS_NEXT, a->left, NULL, a->rows, a->inner, a->left_row,
                                                          (size_t)(i / pairs), begin + 2 * (size_t)(i % pairs));
}

HERE void few_multiply(const struct product *a, size_t begin, int tiles, const uint32_t *left,
                       uint32_t held[AHEAD][4], real sum[FEW / 16][4])
{
  UNROLL
  for (int i = 0; i < AHEAD; i++) {
    if (begin + (size_t)i * TERM_BLOCK >= a->inner) continue;
    UNROLL
    for (int j = 0; j < FEW / 16; j++) {
      if (j >= tiles) continue;
      uint32_t rows[8];
      left_fragment(left + j * 16 * FEW_LINE + i * (TERM_BLOCK / 2), FEW_LINE, rows);
      tile_multiply(rows, held[i], sum[j]);
    }
  }
}

/* blocks: NULL where there is a copy. */
HERE void few_run(const struct product *a, const struct blocks *blocks, uint32_t *left)
{
  const size_t column = block_x() * PANEL + (size_t)(thread_here() / WARP * 8);
  const int tiles = (int)((a->rows + 15) / 16);
  real sum[FEW / 16][4] = {{0}};
  uint32_t held[AHEAD][4];
  for (size_t begin = 0; begin < a->inner; begin += AHEAD * TERM_BLOCK) {
    if (blocks)
      few_make(a, blocks, begin, held);
    else
      few_fetch(a, begin, held);
    few_left(a, begin, tiles, left);
    team_wait();
    few_multiply(a, begin, tiles, left, held, sum);
    team_wait();
  }
  UNROLL
  for (int j = 0; j < FEW / 16; j++)
    if (j < tiles) sum_end(a, (size_t)j * 16, column, sum[j]);
}

KERNEL_TEAM(product_few, struct product, FEW_TEAM)
{
  SHARED uint32_t left[FEW * FEW_LINE];
  few_run(&a, NULL, left);
}

struct few_blocks_args {
  struct product product;
  struct blocks blocks;
};

KERNEL_TEAM(product_few_blocks, struct few_blocks_args, FEW_TEAM)
{
  SHARED uint32_t left[FEW * FEW_LINE];
  few_run(&a.product, &a.blocks, left);
}

/* ---- the operations ---- */

static size_t tiles_for(size_t n) { return (n + TILE - 1) / TILE; }

/* Slices of the outputs, each a matrix of its own. */
static void product_blocks(struct device *d, const struct weight *w, struct product a)
{
  if (a.rows <= FEW) {
    struct few_blocks_args few = {a, blocks_of(w)};
    LAUNCH_TEAM(d, product_few_blocks, w->padded / PANEL, 1, FEW_TEAM, few);
    return;
  }
  real *const out = a.out;
  const real *const bias = a.bias;
  void *const room = CUDA_NAME(cuda_room)(d, CUDA_NAME(blocks_slice_bytes)(w));
  for (size_t first = 0; room && first < w->n; first += a.columns) {
    a.columns = size_min(CUDA_NAME(blocks_slice_rows)(w), w->n - first);
    a.copy = CUDA_NAME(blocks_slice)(d, w, first, a.columns, room).copy;
    a.out = out + first;
    a.bias = bias ? bias + first : NULL;
    LAUNCH_TEAM(d, product_forward, tiles_for(a.columns), tiles_for(a.rows), TEAM, a);
  }
}

void CUDA_NAME(gemm_bf16)(struct device *d, const struct weight *w, const struct weight *b, int32_t m, struct view x,
                          struct view y)
{
  if (m <= 0) return;
  if (cuda_of(d)->products == PRODUCTS_WGMMA) {
    CUDA_NAME(wide_gemm)(d, w, b, m, x, y);
    return;
  }
  struct product a = {view_reals(x), NULL, w->copy, b ? weight_reals(b, WEIGHT_MASTER) : NULL, view_reals(y), (size_t)m,
                      w->n, w->k, false, false, w->k, w->n};
  if (w->quant)
    product_blocks(d, w, a);
  else if (m <= FEW)
    LAUNCH_TEAM(d, product_few, w->padded / PANEL, 1, FEW_TEAM, a);
  else
    LAUNCH_TEAM(d, product_forward, tiles_for(a.columns), tiles_for(a.rows), TEAM, a);
}

void CUDA_NAME(gemm_dx_bf16)(struct device *d, const struct weight *w, int32_t m, struct view dy, struct view dx,
                             bool accumulate)
{
  if (m <= 0) return;
  if (cuda_of(d)->products == PRODUCTS_WGMMA) {
    CUDA_NAME(wide_gemm_dx)(d, w, m, dy, dx, accumulate);
    return;
  }
  struct product a = {view_reals(dy), NULL, w->copy, NULL, view_reals(dx), (size_t)m, w->k, w->n, false, accumulate,
                      w->n, w->k};
  void *const room = w->quant ? CUDA_NAME(cuda_room)(d, CUDA_NAME(blocks_slice_bytes)(w)) : NULL;
  for (size_t first = 0; room && first < w->n; first += a.inner) { /* slices are whole blocks of terms */
    a.inner = size_min(CUDA_NAME(blocks_slice_rows)(w), w->n - first);
    a.left = view_reals(dy) + first;
    a.copy = CUDA_NAME(blocks_slice)(d, w, first, a.inner, room).copy;
    a.accumulate = accumulate || first;
    LAUNCH_TEAM(d, product_dx, tiles_for(a.columns), tiles_for(a.rows), TEAM, a);
  }
  if (!w->quant) LAUNCH_TEAM(d, product_dx, tiles_for(a.columns), tiles_for(a.rows), TEAM, a);
}

void CUDA_NAME(gemm_dw_bf16)(struct device *d, struct weight *w, struct weight *b, int32_t m, struct view dy,
                             struct view x)
{
  if (m <= 0) return;
  struct product a = {view_reals(dy), view_reals(x), NULL, NULL, weight_reals(w, WEIGHT_GRAD), w->n, w->k, (size_t)m,
                      true, true, 0, 0};
  if (a.out && cuda_of(d)->products == PRODUCTS_WGMMA)
    CUDA_NAME(wide_gemm_dw)(d, w, m, dy, x);
  else if (a.out)
    LAUNCH_TEAM(d, product_dw, tiles_for(a.columns), tiles_for(a.rows), TEAM, a);
  CUDA_NAME(gemm_bias)(d, b, m, dy);
}
